//! An answer on its way: its head, and its body in pieces that are not copied until they are written.

use core::fmt::Write as _;
use core::ops::Range;
use core::task::{Poll, ready};
use std::collections::VecDeque;
use std::sync::Arc;

use nexus_node::NetError;

use super::head::Head;
use super::{HttpFault, HttpFraming, HttpResponse};
use crate::station::Turn;
use crate::station::apps::CHUNK;
use crate::station::peers::call::Call;

enum Piece {
    Made(Vec<u8>),
    Body(Range<usize>),
}

/// See the module.
pub(super) struct Reply {
    response: Arc<HttpResponse>,
    pieces: VecDeque<Piece>,
    written: usize,
    /// Whether the connection goes on after it.
    pub(super) keep: bool,
}

impl Reply {
    /// The answer to `head`; none: to what is no request. `allow`: what the path has instead of the method.
    pub(super) fn new(response: Arc<HttpResponse>, head: Option<&Head>, allow: &str) -> Self {
        let is_old = head.is_some_and(|head| head.is_old);
        // RFC 9112 section 6.1: chunks only to who knows them.
        let framing = match response.framing {
            HttpFraming::Chunked if is_old => HttpFraming::Close,
            framing => framing,
        };
        // RFC 9110 section 8.6 and RFC 9112 section 6.3: these have no body, and of a length only the 304 says one.
        let bare = matches!(response.status, 204 | 304);
        let cut = match response.fault {
            Some(HttpFault::CutAfter(at)) => Some(at),
            _ => None,
        };
        let keep = head.is_some_and(|head| head.keep)
            && (framing != HttpFraming::Close || bare)
            && cut.is_none();
        let mut text = format!("HTTP/1.1 {}\r\n", status_line(response.status));
        // Writing to a string does not fail.
        for (name, value) in &response.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !allow.is_empty() {
            let _ = write!(text, "allow: {allow}\r\n");
        }
        match framing {
            _ if bare => {}
            HttpFraming::Length => {
                let _ = write!(text, "content-length: {}\r\n", response.body.len());
            }
            HttpFraming::Chunked => text.push_str("transfer-encoding: chunked\r\n"),
            HttpFraming::Close => {}
        }
        if !keep {
            text.push_str("connection: close\r\n");
        }
        text.push_str("\r\n");
        let mut pieces = VecDeque::from([Piece::Made(text.into_bytes())]);
        if head.is_none_or(|head| head.method != "HEAD") && !bare {
            let end = cut.unwrap_or(response.body.len());
            let chunked = framing == HttpFraming::Chunked;
            body(&mut pieces, end, chunked);
            if chunked && cut.is_none() {
                pieces.push_back(Piece::Made(b"0\r\n\r\n".to_vec()));
            }
        }
        Self {
            response,
            pieces,
            written: 0,
            keep,
        }
    }

    pub(super) fn write(
        &mut self,
        turn: &mut Turn<'_>,
        call: &mut Call,
    ) -> Poll<Result<(), NetError>> {
        while let Some(piece) = self.pieces.front() {
            let bytes = match piece {
                Piece::Made(bytes) => bytes,
                Piece::Body(range) => &self.response.body[range.clone()],
            };
            ready!(call.write(turn, bytes, &mut self.written))?;
            self.pieces.pop_front();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// The first `end` bytes of a body. RFC 9112 section 7.1.
fn body(pieces: &mut VecDeque<Piece>, end: usize, chunked: bool) {
    if !chunked {
        pieces.push_back(Piece::Body(0..end));
        return;
    }
    for start in (0..end).step_by(CHUNK) {
        let range = start..end.min(start + CHUNK);
        let size = format!("{:x}\r\n", range.len());
        pieces.push_back(Piece::Made(size.into_bytes()));
        pieces.push_back(Piece::Body(range));
        pieces.push_back(Piece::Made(b"\r\n".to_vec()));
    }
}

/// The reason may be empty (RFC 9112 section 4); these are for who reads a capture.
fn status_line(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    };
    format!("{status} {reason}")
}
