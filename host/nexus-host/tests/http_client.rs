//! Requests of guests, by whichever interface: what they are on the wire.

mod guests;

use std::io::{self, BufRead, BufReader, ErrorKind, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use guests::{HOST, component};

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

const GUESTS: [&str; 3] = [
    "probes/http_request",
    "probes/http_request_p2",
    "probes/http_request_p3",
];

/// Answers requests, one a connection, with bodies of this many bytes; its port, and the heads and bodies it was sent.
fn serve(bytes: usize) -> (u16, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            // A client that cuts off says why itself.
            let Ok(request) = read(&mut reader) else {
                continue;
            };
            let mut stream = reader.into_inner();
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            if !request.0.starts_with("HEAD") {
                let _ = stream.write_all(&vec![b'x'; bytes]);
            }
            let _ = tell.send(request);
        }
    });
    (port, told)
}

/// A request: its head in small letters, and its body, which is as long as is said or in chunks.
fn read(reader: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let fields = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if let Some((_, rest)) = fields.split_once("content-length: ") {
        let length = rest.lines().next().and_then(|line| line.parse().ok());
        body.resize(length.ok_or(ErrorKind::InvalidData)?, 0);
        reader.read_exact(&mut body)?;
    } else if fields.contains("transfer-encoding: chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let mut part = vec![0; size + 2];
            reader.read_exact(&mut part)?;
            body.extend(&part[..size]);
            if size == 0 {
                break;
            }
        }
    }
    Ok((head, body))
}

/// Asks a server of this machine's.
fn ask(guest: &str, port: u16, arguments: &[&str]) -> Output {
    let origin = format!("http://host.internal:{port}");
    Command::new(HOST)
        .arg("run")
        .arg(component(guest))
        .args(["--allow", &format!("network.http.request={origin}")])
        .args([
            "--timeout",
            "120s",
            "--",
            arguments[0],
            &format!("{origin}/"),
        ])
        .args(&arguments[1..])
        .output()
        .expect("it runs")
}

/// That a run ended with this code and said this.
#[track_caller]
fn ended(guest: &str, output: &Output, code: i32, says: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{guest}: {said}");
    assert!(said.contains(says), "{guest}: no {says} in {said}");
}

/// Goal: a request without a body has none on the wire, be it that an interface cannot say so. Method: GET and HEAD by
/// each, and a POST in chunks, which has one.
#[test]
fn reject_a_body_that_no_guest_made() {
    let (port, told) = serve(2);
    for guest in GUESTS {
        for (arguments, says, sent) in [
            (&["GET"][..], "200 2\n", 0),
            (&["HEAD"], "200 0\n", 0),
            (&["POST", "--send", "300000"], "200 2\n", 300_000),
        ] {
            ended(guest, &ask(guest, port, arguments), 0, says);
            let (head, body) = told.recv_timeout(PATIENCE).expect("it was asked");
            let head = head.to_ascii_lowercase();
            let framed = head.contains("transfer-encoding") || head.contains("content-length");
            assert_eq!((framed, body.len()), (sent > 0, sent), "{guest}: {head}");
        }
    }
}
