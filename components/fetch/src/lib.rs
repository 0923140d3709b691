//! HTTP/1.0 GET over plain TCP, by name: `fetch URL` prints the body to stdout.
//!
//! Status and errors go to stderr; a status other than 200 is exit code 1. Bounded: the answer's head, its
//! body, and the time it all takes.
//!
//! Not supported: `https`, redirects (the status shows where to), and transfer codings, which an HTTP/1.0
//! request does not permit (RFC 9112 section 6.1).

mod response;
mod url;
#[cfg(test)]
mod world_tests;

use core::fmt;
use core::time::Duration;

use nexus_sdk::svc::net::TcpStream;
use nexus_sdk::svc::time::timeout;
use nexus_sdk::{Error, args, print_bytes};

use crate::response::{BODY_BYTES_MAX, Head};
use crate::url::Url;

/// From connecting to the last byte. A server that trickles stops nobody for longer.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Most bytes asked for in one read.
const CHUNK_BYTES: usize = 64 * 1024;

async fn run() -> Result<(), Failure> {
    let args = args();
    let [url] = args.as_slice() else {
        return Err(Failure("usage: fetch URL".into()));
    };
    let url = Url::parse(url).map_err(Failure)?;
    let (head, body) = timeout(TIME_MAX, fetch(&url)).await?;
    if head.status != 200 {
        let location = head.location.map(|to| format!(" (see {to})"));
        return Err(Failure(format!(
            "the server answered {} {}{}",
            head.status,
            head.reason,
            location.unwrap_or_default()
        )));
    }
    print_bytes(&body)
        .await
        .map_err(|error| Failure(format!("stdout: {error}")))
}

/// What is shown to the person who ran it.
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

async fn fetch(url: &Url) -> Result<(Head, Vec<u8>), Failure> {
    let mut stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.write_all(url.request()).await?;

    let mut received = Vec::new();
    let (head, length) = loop {
        let chunk = stream.read(CHUNK_BYTES).await?;
        if chunk.is_empty() {
            return Err(Failure(
                "the server finished before its answer's head did".into(),
            ));
        }
        received.extend_from_slice(&chunk);
        if let Some(found) = Head::parse(&received).map_err(Failure)? {
            break found;
        }
    };
    let mut body = received.split_off(length);
    let wanted = head.body_bytes().map_err(Failure)?;
    while wanted.is_none_or(|wanted| body.len() < wanted) {
        let chunk = stream.read(CHUNK_BYTES).await?;
        if chunk.is_empty() {
            break;
        }
        body.extend_from_slice(&chunk);
        if wanted.is_none() && body.len() > BODY_BYTES_MAX {
            return Err(Failure(response::too_long()));
        }
    }
    if let Some(wanted) = wanted {
        if body.len() < wanted {
            return Err(Failure(format!(
                "the server promised {wanted} bytes and sent {}",
                body.len()
            )));
        }
        body.truncate(wanted);
    }
    Ok((head, body))
}

nexus_sdk::main!(run);
