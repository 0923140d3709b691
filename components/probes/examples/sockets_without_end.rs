//! Who opens sockets without end comes to a bound that is no permission, whatever the kind, and closing makes
//! room.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::{TcpListener, UdpSocket};
use probes::{ANY_PORT, Outcome, ensure, failure, still_alive, success};

const FAR_TOO_MANY: usize = 5_000;

async fn run() -> Outcome {
    let (mut sockets, mut listeners) = (Vec::new(), Vec::new());
    let error = loop {
        match UdpSocket::bind(ANY_PORT).await {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error,
        }
        ensure(sockets.len() < FAR_TOO_MANY, "no bound on sockets")?;
    };
    failure(
        Err::<(), _>(error),
        ErrorCode::NoCapacity,
        "one socket too many",
    )?;
    let error = loop {
        match TcpListener::bind(ANY_PORT).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => break error,
        }
        ensure(listeners.len() < FAR_TOO_MANY, "no bound on listeners")?;
    };
    failure(
        Err::<(), _>(error),
        ErrorCode::NoCapacity,
        "one listener too many",
    )?;
    ensure(
        sockets.len() >= 64,
        format!("only {} sockets", sockets.len()),
    )?;

    drop((sockets, listeners));
    let socket = success(UdpSocket::bind(ANY_PORT).await, "a socket after closing")?;
    drop(socket);
    still_alive().await
}

nexus_sdk::main!(run);
