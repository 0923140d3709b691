//! Who opens sockets without end comes to a bound that is no permission, and closing makes room.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::UdpSocket;
use probes::{ANY_PORT, Outcome, ensure, failure, listener, still_alive, success};

const FAR_TOO_MANY: usize = 5_000;

async fn run() -> Outcome {
    let mut open = Vec::new();
    let error = loop {
        match UdpSocket::bind(ANY_PORT).await {
            Ok(socket) => open.push(socket),
            Err(error) => break error,
        }
        ensure(open.len() < FAR_TOO_MANY, "no bound on sockets")?;
    };
    failure(
        Err::<(), _>(error),
        ErrorCode::NoCapacity,
        "one socket too many",
    )?;
    ensure(open.len() >= 64, format!("only {} sockets", open.len()))?;
    // Of another kind neither.
    ensure(listener().await.is_err(), "a listener beyond the bound")?;

    drop(open);
    let socket = success(UdpSocket::bind(ANY_PORT).await, "a socket after closing")?;
    drop(socket);
    still_alive().await
}

nexus_sdk::main!(run);
