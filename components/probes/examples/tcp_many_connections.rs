//! Many connections at once each carry their own bytes.

use core::num::NonZeroUsize;

use nexus_sdk::Error;
use nexus_sdk::svc::net::TcpStream;
use nexus_sdk::svc::time::timeout;
use nexus_sdk::task::{Either, race};
use probes::{Outcome, PATIENCE, listener, pattern, same, success};

const CONNECTIONS: usize = 100;

async fn echo(mut stream: TcpStream) {
    while let Ok(chunk) = stream.read(1 << 16).await {
        if chunk.is_empty() || stream.write_all(chunk).await.is_err() {
            return;
        }
    }
}

async fn talk(address: std::net::SocketAddr) -> Result<(), Error> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(TcpStream::connect(address).await?);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(pattern(1_000 + number)).await?;
    }
    for (number, stream) in streams.iter_mut().enumerate().rev() {
        let mut answer = vec![0; 1_000 + number];
        stream.read_exact(&mut answer).await?;
        if answer != pattern(1_000 + number) {
            return Err(Error::new(
                nexus_sdk::ErrorCode::Protocol,
                "mixed",
                "another's bytes",
            ));
        }
    }
    Ok(())
}

async fn run() -> Outcome {
    let listener = listener().await?;
    let limit = NonZeroUsize::new(CONNECTIONS + 10).unwrap_or(NonZeroUsize::MIN);
    let clients = timeout(PATIENCE, talk(listener.local_addr()));
    match race(clients, listener.serve(limit, echo)).await {
        Either::First(talked) => success(talked, "talk"),
        Either::Second(served) => same(served.is_err(), false, "serving ended"),
    }
}

nexus_sdk::main!(run);
