//! `GET /metrics` on this machine's loopback, for Prometheus.
//!
//! One thread that accepts, and one for each connection, of which there are [`AT_ONCE`] at most and each has an end:
//! who says nothing keeps out nobody else. Nothing else is served, and a name that is not this machine's (as a page in
//! a browser may make up) is refused.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::board::Board;
use super::prometheus;

/// The longest head of a request. Prometheus sends a few hundred bytes.
const HEAD_BYTES: usize = 8 << 10;

/// Connections that are answered at once; one more is closed. Stops connections without end from being threads
/// without end.
const AT_ONCE: usize = 16;

/// How long the head of a request may take. Who asks from this machine has it ready; who has not gives way soon, so
/// that [`AT_ONCE`] of those keep out the others for no longer than Prometheus waits (10 s).
const HEAD_PATIENCE: Duration = Duration::from_millis(500);

/// How long one connection may take as a whole. Stops one that does not read its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait after the kernel would not hand over a connection (no more descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// Reads where to listen.
///
/// # Errors
/// What to write instead.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        "an address and port of this machine's loopback, as 127.0.0.1:9464 or [::1]:9464 (port 0: any)".to_owned()
    })?;
    if !address.ip().is_loopback() {
        return Err("not an address of this machine's loopback: the page has no password, and says what apps do. \
                    Write 127.0.0.1:9464, and let something with a password lead there"
            .to_owned());
    }
    Ok(address)
}

/// Answers on threads of its own for as long as the process lives.
pub(super) fn serve(listener: TcpListener, board: Arc<Board>) -> io::Result<()> {
    thread::Builder::new()
        .name("nexus-metrics".into())
        .spawn(move || {
            // Held once here, and once by every connection that is answered.
            let answering = Arc::new(());
            loop {
                match listener.accept() {
                    Ok((stream, _)) if Arc::strong_count(&answering) <= AT_ONCE => {
                        begin(stream, &board, &answering);
                    }
                    // Closed by being dropped.
                    Ok(_) => {}
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        })
        .map(|_| ())
}

fn begin(mut stream: TcpStream, board: &Arc<Board>, answering: &Arc<()>) {
    let (board, answering) = (Arc::clone(board), Arc::clone(answering));
    // Where there are no more threads it is closed.
    let _ = thread::Builder::new()
        .name("nexus-metrics-page".into())
        .spawn(move || {
            // Who goes away before the answer has no use for it.
            let _ = answer(&mut stream, &board);
            // Before the end is seen: who asks again then finds room.
            drop(answering);
        });
}

fn answer(stream: &mut TcpStream, board: &Board) -> io::Result<()> {
    let begun = Instant::now();
    let until = begun + PATIENCE;
    let (status, kind, body) = match head(stream, begun + HEAD_PATIENCE)? {
        None => ("431 Request Header Fields Too Large", "", String::new()),
        Some(head) => match route(&head) {
            Ok(()) => (
                "200 OK",
                prometheus::CONTENT_TYPE,
                prometheus::text(&board.read()),
            ),
            Err(status) => (status, "", String::new()),
        },
    };
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    if !kind.is_empty() {
        text.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    if status.starts_with("405") {
        text.push_str("Allow: GET\r\n");
    }
    text.push_str("\r\n");
    text.push_str(&body);
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        let written = stream.write(rest)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = &rest[written..];
    }
    Ok(())
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// All up to the empty line. None: it is longer than any may be.
fn head(stream: &mut TcpStream, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            head.truncate(end);
            return Ok(Some(head));
        }
        if head.len() > HEAD_BYTES {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend(&chunk[..read]),
        }
    }
}

/// Whether it is the one request there is.
fn route(head: &[u8]) -> Result<(), &'static str> {
    const BAD: &str = "400 Bad Request";
    let text = str::from_utf8(head).map_err(|_| BAD)?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path, version) = (first.next(), first.next(), first.next());
    let (Some(method), Some(path), Some("HTTP/1.1" | "HTTP/1.0")) = (method, path, version) else {
        return Err(BAD);
    };
    let hosts = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    for (_, host) in hosts {
        if !is_this_machine(host.trim()) {
            return Err("403 Forbidden");
        }
    }
    if path.split('?').next() != Some("/metrics") {
        return Err("404 Not Found");
    }
    if method != "GET" {
        return Err("405 Method Not Allowed");
    }
    Ok(())
}

/// `localhost`, or an address of the loopback; with a port or without.
fn is_this_machine(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_addresses_others_could_reach() {
        for text in [
            "0.0.0.0:9464",
            "10.0.0.1:9464",
            "[::]:9464",
            "9464",
            "localhost:9464",
        ] {
            assert!(parse_address(text).is_err(), "{text}");
        }
        for text in ["127.0.0.1:0", "127.9.9.9:9464", "[::1]:9464"] {
            assert!(parse_address(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn reject_all_but_the_one_request() {
        let of = |head: &str| route(head.as_bytes());
        assert_eq!(of("GET /metrics HTTP/1.1\r\nHost: localhost:9464"), Ok(()));
        assert_eq!(of("GET /metrics?a=b HTTP/1.0"), Ok(()));
        assert_eq!(of("GET /metrics HTTP/1.1\r\nhost: [::1]:1"), Ok(()));
        let status = |head| of(head).expect_err(head).get(..3).map(str::to_owned);
        for (head, code) in [
            ("GET / HTTP/1.1", "404"),
            ("POST /metrics HTTP/1.1", "405"),
            ("GET /metrics", "400"),
            ("GET /metrics HTTP/2", "400"),
            ("", "400"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example", "403"),
            ("GET /metrics HTTP/1.1\r\nHost: 10.0.0.1:9464", "403"),
        ] {
            assert_eq!(status(head).as_deref(), Some(code), "{head}");
        }
    }

    fn served(send: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("reaches");
        client.write_all(send).expect("sends");
        let (mut stream, _) = listener.accept().expect("accepts");
        answer(&mut stream, &Board::default()).expect("answers");
        drop(stream);
        let mut said = Vec::new();
        // What was not read of a request that was too long makes the end a reset.
        let _ = client.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Goal: a head of the most bytes is answered, one byte more is refused. Method: a header that fills it.
    #[test]
    fn reject_a_head_that_is_too_long() {
        let start = "GET /metrics HTTP/1.1\r\nx: ";
        let fill = |length: usize| format!("{start}{}", "a".repeat(length - start.len()));
        let said = served(format!("{}\r\n\r\n", fill(HEAD_BYTES - 4)).as_bytes());
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.contains("nexus_log_lines_dropped_total 0"), "{said}");
        let said = served(fill(HEAD_BYTES + 1).as_bytes());
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    /// The page, as a client of this machine asks for it; empty: the connection was closed.
    fn page(address: SocketAddr) -> String {
        let mut client = TcpStream::connect(address).expect("reaches");
        let mut said = String::new();
        let asked = client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
        if asked
            .and_then(|()| client.read_to_string(&mut said))
            .is_err()
        {
            said.clear();
        }
        said
    }

    /// Goal: connections that say nothing hold up no other while there is room, are ended soon, and there are no more
    /// of them than the bound. Method: as many as fit but one, and the page; then one too many, and the page again once
    /// their time is over.
    #[test]
    fn reject_idle_connections_beyond_the_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        serve(listener, Arc::default()).expect("serves");
        let idle = || TcpStream::connect(address).expect("reaches");
        let begun = Instant::now();
        let mut all: Vec<_> = (1..AT_ONCE).map(|_| idle()).collect();
        let said = page(address);
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        // Where the machine had too much else to do, their time is over and there is nothing to see.
        let in_time = || begun.elapsed() < HEAD_PATIENCE / 2;
        all.push(idle());
        all.push(idle());
        let beyond = page(address);
        if in_time() {
            assert_eq!(beyond, "");
        }
        for mut stream in all {
            // Closed, by them or with a reset.
            assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        }
        assert!(begun.elapsed() < PATIENCE + HEAD_PATIENCE);
        let until = Instant::now() + PATIENCE;
        while page(address).is_empty() {
            assert!(Instant::now() < until, "it is not answered again");
        }
    }
}
