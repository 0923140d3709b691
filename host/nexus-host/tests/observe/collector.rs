//! A collector of OTLP over HTTP that remembers what it was sent, and a reader of protobuf for it.
//!
//! The reader knows the encoding and no message: fields are looked up by their numbers in opentelemetry-proto.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// What it does with a request.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    Takes,
    /// Says that it has thrown three spans away, or points.
    Rejects,
    Fails,
    /// Reads, and never answers.
    Silent,
}

/// A request, whole.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = Arc::clone(&heard);
                thread::spawn(move || serve(&stream, manner, &heard));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self, path: &str) -> Vec<Request> {
        let begin = format!("POST {path} ");
        let requests = self.requests.lock().expect("whole");
        requests
            .iter()
            .filter(|request| request.head.starts_with(&begin))
            .cloned()
            .collect()
    }

    /// All that was ever sent, as one text.
    pub(crate) fn everything(&self) -> String {
        let requests = self.requests.lock().expect("whole");
        let texts = requests.iter().map(|request| {
            let body = String::from_utf8_lossy(&request.body);
            format!("{}\n{body}\n", request.head)
        });
        texts.collect()
    }
}

fn serve(stream: &TcpStream, manner: Manner, heard: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        heard.lock().expect("whole").push(Request { head, body });
        let answer = match manner {
            Manner::Takes => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            Manner::Rejects => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\x0a\x02\x08\x03",
            Manner::Fails => "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            Manner::Silent => continue,
        };
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The list under these names, of all elements of lists on the way.
pub(crate) fn flat<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a Value> {
    let mut found = vec![value];
    for name in path {
        found = found
            .into_iter()
            .filter_map(|value| value[*name].as_array())
            .flatten()
            .collect();
    }
    found
}

/// An attribute as a text; none: it has no such attribute.
pub(crate) fn attribute(of: &Value, key: &str) -> Option<String> {
    let list = of["attributes"].as_array()?;
    let found = list.iter().find(|pair| pair["key"] == key)?;
    let value = found["value"].as_object()?.values().next()?;
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

/// One field of a protobuf message.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    Varint(u64),
    Fixed(u64),
    Bytes(Vec<u8>),
}

/// The fields of a message.
pub(crate) fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => {
                let (value, rest) = bytes.split_at(8);
                bytes = rest;
                Field::Fixed(u64::from_le_bytes(value.try_into().expect("eight")))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("fits");
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value.to_vec())
            }
            kind => panic!("a field of kind {kind}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

/// The messages (or texts) at the end of this way of field numbers.
pub(crate) fn at(bytes: &[u8], way: &[u64]) -> Vec<Vec<u8>> {
    let mut found = vec![bytes.to_vec()];
    for number in way {
        found = found
            .iter()
            .flat_map(|message| fields(message))
            .filter_map(|(field, value)| match value {
                Field::Bytes(bytes) if field == *number => Some(bytes),
                _ => None,
            })
            .collect();
    }
    found
}
