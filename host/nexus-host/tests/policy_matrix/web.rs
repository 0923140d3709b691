//! HTTP/1.1 on the far node, as much of it as requests of the matrix need.
//!
//! By path: `/v1/silent` is never answered, `/v1/later` when it is told to, of `/v1/half` the second half of the body is
//! kept back likewise, `/v1/to/REST` leads to `http://REST`. Anything else: five bytes.

use std::net::SocketAddr;
use std::task::{Poll, Waker};

use nexus_node::{Node, TcpSocket};
use nexus_types::Instant;

/// One connection.
struct Served {
    socket: TcpSocket,
    heard: Vec<u8>,
    /// What is sent when it is told to.
    later: Option<&'static str>,
}

/// A request that was heard whole.
pub(crate) struct Heard {
    pub(crate) path: String,
    /// Its body, with whatever frames it.
    pub(crate) body: String,
}

/// The server.
#[derive(Default)]
pub(crate) struct Web {
    open: Vec<Served>,
    /// Connections that were ever made.
    pub(crate) accepted: usize,
    pub(crate) heard: Vec<Heard>,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

impl Web {
    pub(crate) fn accept(&mut self, socket: TcpSocket) {
        self.accepted += 1;
        self.open.push(Served {
            socket,
            heard: Vec::new(),
            later: None,
        });
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// Where the connection that was made last comes from.
    pub(crate) fn last_from(&self, node: &Node) -> Option<SocketAddr> {
        let last = self.open.last()?;
        node.tcp_addresses(last.socket).map(|(_, remote)| remote)
    }

    /// Sends what was kept back.
    pub(crate) fn go_on(&mut self, node: &mut Node, now: Instant) {
        for served in &mut self.open {
            if let Some(rest) = served.later.take() {
                let _ = node.poll_write(now, served.socket, rest.as_bytes(), Waker::noop());
            }
        }
    }

    /// Reads and answers. Whether there was anything.
    pub(crate) fn turn(&mut self, node: &mut Node, now: Instant) -> bool {
        let mut busy = false;
        self.open.retain_mut(|served| {
            let mut buffer = [0; 4_096];
            loop {
                match node.poll_read(now, served.socket, &mut buffer, Waker::noop()) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(count)) if count > 0 => {
                        busy = true;
                        served.heard.extend_from_slice(&buffer[..count]);
                    }
                    // It has finished, or is cut.
                    Poll::Ready(_) => {
                        busy = true;
                        node.tcp_close(now, served.socket);
                        return false;
                    }
                }
            }
            while let Some(request) = asked(&mut served.heard) {
                busy = true;
                let (answer, later) = answer(&request.path);
                self.heard.push(request);
                served.later = later;
                let _ = node.poll_write(now, served.socket, answer.as_bytes(), Waker::noop());
            }
            true
        });
        busy
    }
}

/// The first request, which is taken away; none: it is not whole.
fn asked(heard: &mut Vec<u8>) -> Option<Heard> {
    let text = String::from_utf8_lossy(heard).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let field = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::trim).map(str::to_owned))
    };
    let length = match field("content-length:") {
        Some(length) => length.parse().ok()?,
        None if field("transfer-encoding:").is_some() => body.find("0\r\n\r\n")? + 5,
        None => 0,
    };
    let whole = head.len() + 4 + length;
    if heard.len() < whole {
        return None;
    }
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let body = body.get(..length)?.to_owned();
    heard.drain(..whole);
    Some(Heard { path, body })
}

/// What is sent at once, and what is sent later.
fn answer(path: &str) -> (String, Option<&'static str>) {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    match path {
        "/v1/silent" => (String::new(), None),
        "/v1/later" => (String::new(), Some(OK)),
        "/v1/half" => (half.to_owned(), Some("world")),
        _ => match path.strip_prefix("/v1/to/") {
            Some(rest) => {
                let found = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n";
                (format!("{found}location: http://{rest}\r\n\r\n"), None)
            }
            None => (OK.to_owned(), None),
        },
    }
}
