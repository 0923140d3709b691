//! A name is resolved by the host and the connection carries bytes both ways. Argument: the port of an echo
//! server on the machine the host runs on.

use nexus_sdk::svc::net::{TcpStream, resolve};
use nexus_sdk::svc::time::timeout;
use probes::{Outcome, PATIENCE, ensure, same, success};

async fn run() -> Outcome {
    let args = nexus_sdk::args();
    let port = success(
        args.first().map_or("", String::as_str).parse(),
        "the argument",
    )?;
    let addresses = success(resolve("host.internal").await, "resolve")?;
    ensure(!addresses.is_empty(), "host.internal has no address")?;

    let mut stream = success(
        timeout(PATIENCE, TcpStream::connect(("host.internal", port))).await,
        "connect",
    )?;
    same(stream.remote_addr().port(), port, "the remote port")?;
    ensure(
        addresses.contains(&stream.remote_addr().ip()),
        "connected to an address the name does not have",
    )?;
    success(stream.write_all("ping").await, "write")?;
    success(stream.finish(), "finish")?;
    let answer = success(timeout(PATIENCE, stream.read_to_end(64)).await, "read")?;
    same(answer.as_slice(), b"ping", "the answer")
}

nexus_sdk::main!(run);
