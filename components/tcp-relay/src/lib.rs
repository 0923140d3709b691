//! Serves TCP and passes every byte on to another server, and what that answers back.
//!
//! `tcp-relay LISTEN SERVER`, each an ADDRESS:PORT. Either end may finish before the other. Ends only from
//! outside. With it a measuring program of the machine, iperf3 say, measures what an app moves.

use core::net::SocketAddr;
use core::num::NonZeroUsize;

use nexus_sdk::svc::net::{Receiver, Sender, TcpListener, TcpStream};
use nexus_sdk::task::join;
use nexus_sdk::{Error, ErrorCode, args, eprint, print};

const USAGE: &str = "usage: tcp-relay ADDRESS:PORT ADDRESS:PORT";

/// Most connections at once; each takes two sockets of the host's default quota.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Most bytes passed on at a time.
const CHUNK_BYTES: usize = 256 * 1024;

async fn run() -> Result<(), Error> {
    let (listen, server) =
        parse(&args()).map_err(|why| Error::new(ErrorCode::InvalidArgument, "usage", why))?;
    let listener = TcpListener::bind(listen).await?;
    print(&format!("listening on {}\n", listener.local_addr())).await;
    listener
        .serve(CONNECTIONS, |client| async move {
            let remote = client.remote_addr();
            if let Err(error) = relay(client, server).await {
                eprint(&format!("{remote}: {error}\n")).await;
            }
        })
        .await
}

fn parse(args: &[String]) -> Result<(SocketAddr, SocketAddr), String> {
    let address = |text: &String| {
        text.parse()
            .map_err(|_| format!("{USAGE}; {text:?} is not address:port"))
    };
    match args {
        [listen, server] => Ok((address(listen)?, address(server)?)),
        _ => Err(USAGE.into()),
    }
}

/// Until both have finished.
async fn relay(client: TcpStream, server: SocketAddr) -> Result<(), Error> {
    let server = TcpStream::connect(server).await?;
    let (from_client, to_client) = client.into_streams()?;
    let (from_server, to_server) = server.into_streams()?;
    let (up, down) = join(pass(from_client, to_server), pass(from_server, to_client)).await;
    up.and(down)
}

async fn pass(mut from: Receiver, mut to: Sender) -> Result<(), Error> {
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    loop {
        buffer = from.read(buffer).await?;
        if buffer.is_empty() {
            return to.finish().await;
        }
        buffer = to.write_all(buffer).await?;
    }
}

nexus_sdk::main!(run);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<(SocketAddr, SocketAddr), String> {
        parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn both_addresses_are_read() {
        let (listen, server) = of(&["0.0.0.0:5201", "[fd00::1]:5201"]).unwrap();
        assert_eq!(listen.to_string(), "0.0.0.0:5201");
        assert_eq!(server.to_string(), "[fd00::1]:5201");
    }

    #[test]
    fn reject_other_arguments() {
        for args in [
            &[][..],
            &["0.0.0.0:1"],
            &["5201", "0.0.0.0:1"],
            &["0.0.0.0:1"; 3],
        ] {
            assert!(of(args).is_err(), "{args:?}");
        }
    }
}
