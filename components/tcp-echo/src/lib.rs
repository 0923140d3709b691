//! Serves TCP and echoes every byte back, many connections at once.
//!
//! `tcp-echo [ADDRESS:PORT [CONNECTIONS]]`, by default `0.0.0.0:7777` and 200. A client that finishes sending reads all it sent,
//! then the end (half-close). Ends only from outside.

mod options;
#[cfg(test)]
mod world_tests;

use nexus_sdk::svc::net::{TcpListener, TcpStream};
use nexus_sdk::{Error, args, eprint, print};

use crate::options::Options;

/// Most bytes echoed at a time.
const CHUNK_BYTES: usize = 64 * 1024;

async fn run() -> Result<(), Error> {
    let options = Options::parse(&args())
        .map_err(|why| Error::new(nexus_sdk::ErrorCode::InvalidArgument, "usage", why))?;
    let listener = TcpListener::bind(options.listen).await?;
    print(&format!("listening on {}\n", listener.local_addr())).await;
    listener
        .serve(options.connections, |stream| async move {
            let remote = stream.remote_addr();
            if let Err(error) = echo(stream).await {
                eprint(&format!("{remote}: {error}\n")).await;
            }
        })
        .await
}

/// Until the far end finishes; then ours finishes too, after the last byte.
async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    loop {
        let chunk = stream.read(CHUNK_BYTES).await?;
        if chunk.is_empty() {
            return stream.finish();
        }
        stream.write_all(chunk).await?;
    }
}

nexus_sdk::main!(run);
