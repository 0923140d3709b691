//! What the server sends, and what is asked of it: out of an input's bytes.
//!
//! The first four bytes say how it is asked. What is after them are answers: as the bytes they are, with escapes for
//! what is no byte ([`raw`]), or as choices that make whole responses, and edits of them ([`whole`]).

use std::io::Write;

use flate2::{Compression, GzBuilder};
use nexus_services::http::{Coding, Limits, Options, Redirects};
use nexus_types::Duration;

use crate::input::Input;

/// Bytes of one answer: more than any limit it is held against but the body's, which is set lower here.
const ANSWER_BYTES: usize = 256 << 10;
/// Answers of one input: three requests, each with all its redirects or retries.
const ANSWERS: usize = 12;
/// Bytes that a response's body may have, one of them a run.
const BODY_LIMITS: [u64; 4] = [1 << 20, 100 << 10, 100, 0];
/// Bytes that the server takes: all, a part of the head, the head alone.
const WINDOWS: [usize; 4] = [usize::MAX, usize::MAX, 300, 20];

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Close,
    Reset,
}

/// One thing the server does.
pub(super) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    End(End),
}

/// What it does when it is asked. When nothing is left to say, it closes.
pub(super) struct Answer(pub(super) Vec<Step>);

impl Default for Answer {
    fn default() -> Self {
        Self(vec![Step::End(End::Close)])
    }
}

/// A run.
pub(super) struct Plan {
    pub(super) answers: Vec<Answer>,
    pub(super) method: &'static str,
    pub(super) options: Options,
    pub(super) limits: Limits,
    pub(super) window: usize,
    /// How often it is asked, one after the other, with this long between.
    pub(super) asks: u8,
    pub(super) between: Duration,
}

impl Plan {
    pub(super) fn read(data: &[u8]) -> Self {
        let mut input = Input::new(data);
        let mut next = || input.byte().unwrap_or(0);
        let (how, options, limits, pieces) = (next(), next(), next(), next());
        let answers = if how & 1 == 0 {
            raw(&mut input, pieces)
        } else {
            whole(&mut input, pieces)
        };
        Self {
            answers,
            asks: 1 + (how >> 1) % 3,
            between: Duration::from_secs([0, 1, 14, 20][usize::from(how >> 4 & 3)]),
            method: ["GET", "GET", "HEAD", "POST"][usize::from(how >> 6)],
            options: Options {
                coding: [Coding::Gzip, Coding::Identity, Coding::AsSent]
                    [usize::from(options & 3) % 3],
                redirects: [
                    Redirects::Refuse,
                    Redirects::Return,
                    Redirects::Follow(1),
                    Redirects::Follow(5),
                ][usize::from(options >> 2 & 3)],
                retries: (options >> 4) % 3,
                timeouts: None,
            },
            limits: Limits {
                response_body: BODY_LIMITS[usize::from(limits & 3)],
                ..Limits::default()
            },
            window: WINDOWS[usize::from(limits >> 2 & 3)],
        }
    }
}

/// An answer that is being put together.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    bytes: Vec<u8>,
}

impl Draft {
    /// What there is goes out, in pieces of so many bytes; 0: as one.
    fn cut(&mut self, pieces: u8) {
        let bytes = std::mem::take(&mut self.bytes);
        if pieces == 0 || bytes.len() > 64 * usize::from(pieces) {
            self.steps.push(Step::Send(bytes));
            return;
        }
        for piece in bytes.chunks(pieces.into()) {
            self.steps.push(Step::Send(piece.to_vec()));
            self.steps.push(Step::Wait(Duration::from_millis(1)));
        }
    }

    fn then(&mut self, pieces: u8, step: Step) {
        self.cut(pieces);
        self.steps.push(step);
    }

    fn repeat(&mut self, length: usize, times: usize) {
        let from = self.bytes.len().saturating_sub(length);
        let piece = self.bytes[from..].to_vec();
        let times = times.min(ANSWER_BYTES.saturating_sub(self.bytes.len()) / piece.len().max(1));
        self.bytes.extend(piece.repeat(times));
    }
}

/// Bytes as they are. After 0xff a byte says what is done: `n` the next answer begins, `c` and `r` the connection is
/// closed or reset, `w` a wait of so many half seconds, `s` a piece ends, `*` so many bytes come so many times again
/// (times 16); and what else there is, is itself.
fn raw(input: &mut Input<'_>, pieces: u8) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut draft = Draft::default();
    while let Some(byte) = input.byte() {
        if byte != 0xff {
            draft.bytes.push(byte);
            continue;
        }
        match input.byte() {
            Some(b'n') => {
                draft.cut(pieces);
                answers.push(Answer(std::mem::take(&mut draft).steps));
                if answers.len() == ANSWERS {
                    return answers;
                }
            }
            Some(b'c') => draft.then(pieces, Step::End(End::Close)),
            Some(b'r') => draft.then(pieces, Step::End(End::Reset)),
            Some(b'w') => {
                let halves = input.byte().unwrap_or(1);
                draft.then(
                    pieces,
                    Step::Wait(Duration::from_millis(500) * halves.into()),
                );
            }
            Some(b's') => draft.then(pieces, Step::Wait(Duration::from_millis(1))),
            Some(b'*') => {
                let (length, times) = (input.byte().unwrap_or(1), input.byte().unwrap_or(1));
                draft.repeat(length.into(), 16 * usize::from(times));
            }
            other => draft.bytes.extend(other),
        }
    }
    draft.cut(pieces);
    answers.push(Answer(draft.steps));
    answers
}

const STATUSES: [&str; 12] = [
    "200 OK",
    "200 ",
    "200",
    "204 No Content",
    "206 Partial Content",
    "301 Moved",
    "302 Found",
    "303 See Other",
    "304 Not Modified",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
    "404 Not Found",
];
const LOCATIONS: [&str; 8] = [
    "/elsewhere",
    "http://other.example/a?b=c",
    "//other.example/",
    "https://server.example/",
    "http://server.example:8080/",
    "../x/./y#z",
    "http://user@server.example/",
    "\\\\other.example",
];
const FIELDS: [&str; 4] = [
    "",
    "x: y\r\n",
    "connection: close\r\n",
    "set-cookie: a=b\r\nset-cookie: c=d\r\n",
];

/// What is put into responses: the same words as in the dictionary.
const TOKENS: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b"0",
    b"ffffffffffffffff",
    b"Content-Length: 1\r\n",
    b"Content-Length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake",
    b"\r\n\r\n",
    b":",
];

/// Whole responses of every kind, and what edits make of them.
fn whole(input: &mut Input<'_>, pieces: u8) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(status) = input.byte()
        && answers.len() < ANSWERS
    {
        let mut bytes = response(status, input);
        for _ in 0..input.byte().unwrap_or(0) % 4 {
            edit(&mut bytes, input);
        }
        bytes.truncate(ANSWER_BYTES);
        let mut draft = Draft {
            bytes,
            ..Draft::default()
        };
        let end = input.byte().unwrap_or(0);
        match end & 3 {
            0 | 1 => draft.cut(pieces),
            2 => draft.then(pieces, Step::End(End::Close)),
            _ => draft.then(pieces, Step::End(End::Reset)),
        }
        if end & 4 != 0 {
            let at = usize::from(end >> 3) % (draft.steps.len() + 1);
            let wait = Duration::from_secs(1 + u64::from(end >> 3));
            draft.steps.insert(at, Step::Wait(wait));
        }
        answers.push(Answer(draft.steps));
    }
    answers
}

fn response(status: u8, input: &mut Input<'_>) -> Vec<u8> {
    let shape = input.byte().unwrap_or(0);
    let what = input.byte().unwrap_or(0);
    let length = usize::from(input.word().unwrap_or(0));
    let coded = match shape >> 2 & 3 {
        0 | 1 => body(what, length),
        2 => gzip(&body(what, length), what),
        // Zeros, and more of them than a body may become.
        _ => gzip(&vec![0; 32 * length], what),
    };
    let minor = usize::from(status >= 0xf0 && shape & 3 != 1);
    let mut bytes = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        .repeat(usize::from(shape >> 4) % 6)
        .into_bytes();
    let mut head = |text: &str| bytes.extend_from_slice(text.as_bytes());
    let number = usize::from(status) % STATUSES.len();
    head(&format!("HTTP/1.{} {}\r\n", 1 - minor, STATUSES[number]));
    if STATUSES[number].starts_with('3') {
        head(&format!(
            "location: {}\r\n",
            LOCATIONS[usize::from(what >> 4) % 8]
        ));
    }
    if shape & 8 != 0 {
        head("content-encoding: gzip\r\n");
    }
    head(FIELDS[usize::from(what >> 2 & 3)]);
    match shape & 3 {
        0 => head(&format!("content-length: {}\r\n\r\n", coded.len())),
        1 => head("transfer-encoding: chunked\r\n\r\n"),
        _ => head("\r\n"),
    }
    if shape & 3 == 1 {
        for chunk in coded.chunks(1 + usize::from(what) * 37) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(if what & 1 == 0 {
            &b"0\r\n\r\n"[..]
        } else {
            b"0;a=b\r\nt: u\r\n\r\n"
        });
    } else if shape & 3 != 3 {
        bytes.extend(coded);
    }
    bytes
}

fn body(what: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| what.wrapping_add(at.to_le_bytes()[0]))
        .collect()
}

fn gzip(body: &[u8], what: u8) -> Vec<u8> {
    let mut builder = GzBuilder::new();
    if what & 1 != 0 {
        builder = builder.filename("a name").extra([what; 5]);
    }
    if what & 2 != 0 {
        builder = builder.comment("a comment");
    }
    let mut coder = builder.write(Vec::new(), Compression::fast());
    coder.write_all(body).expect("into memory");
    coder.finish().expect("into memory")
}

fn edit(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let kind = input.byte().unwrap_or(0);
    let at = usize::from(input.word().unwrap_or(0)) % (bytes.len() + 1);
    let argument = usize::from(kind >> 3);
    match kind & 7 {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << (argument & 7),
        2 => drop(bytes.drain(at..(at + 1 + argument).min(bytes.len()))),
        3 | 4 => drop(bytes.splice(at..at, TOKENS[argument % 16].iter().copied())),
        5 => {
            let piece = bytes[at..(at + argument).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece.repeat(64));
        }
        6 => bytes.extend_from_slice(TOKENS[argument % 16]),
        _ => {
            let typed = input.bytes(argument).to_vec();
            bytes.splice(at..at, typed);
        }
    }
}
