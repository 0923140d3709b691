//! Sends a line to a TCP server and prints the line that comes back: `SERVER:PORT WORDS...`

use std::time::Duration;

use nexus_sdk::svc::net::TcpStream;
use nexus_sdk::svc::time::{BackoffConfig, retry_within, timeout};
use nexus_sdk::{Error, ErrorCode, args, print};

/// For connecting, with all that is tried again.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// For the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Longest line that is read: a server may send without end.
const LINE_BYTES_MAX: usize = 4096;

async fn run() -> Result<(), Error> {
    let args = args();
    let Some((server, words)) = args.split_first().filter(|(_, words)| !words.is_empty()) else {
        let usage = "SERVER:PORT WORDS...";
        return Err(Error::new(ErrorCode::InvalidArgument, "usage", usage));
    };
    // A server that is just starting refuses: that may pass, and is tried again. A denial is final at once.
    let connect = || TcpStream::connect(server.as_str());
    let mut stream = retry_within(CONNECT_WITHIN, BackoffConfig::default(), connect).await?;
    stream.write_all(words.join(" ") + "\n").await?;
    let line = timeout(ANSWER_WITHIN, read_line(&mut stream)).await?;
    print(&String::from_utf8_lossy(&line)).await;
    Ok(())
}

/// What comes until the end of a line, with it; or until the server finishes.
async fn read_line(stream: &mut TcpStream) -> Result<Vec<u8>, Error> {
    let mut line = Vec::new();
    loop {
        let chunk = stream.read(LINE_BYTES_MAX).await?;
        line.extend_from_slice(&chunk);
        if let Some(end) = end_of_line(&line) {
            line.truncate(end);
            return Ok(line);
        }
        if chunk.is_empty() {
            return Ok(line);
        }
        if line.len() > LINE_BYTES_MAX {
            let why = format!("a line of more than {LINE_BYTES_MAX} bytes");
            return Err(Error::new(ErrorCode::Protocol, "too-long", why));
        }
    }
}

/// Where the first line ends.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| at + 1)
}

nexus_sdk::main!(run);

#[cfg(test)]
mod tests {
    use super::*;

    // What needs no network is tested natively, by `cargo test`; the rest in tests/, by `nexus-host test`.
    #[test]
    fn a_line_ends_where_it_says() {
        assert_eq!(end_of_line(b"one\ntwo\n"), Some(4));
        assert_eq!(end_of_line(b"one"), None);
    }
}
