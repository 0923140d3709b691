//! Requests of guests, by whichever interface: what they are on the wire, and that `[limits]` hold as a manifest asks for
//! them and a policy caps them.

mod guests;

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use guests::{HOST, component};

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A guest, and its words for: a body of its own too large, a response's too large, too late.
type Guest = (&'static str, [&'static str; 3]);

const GUESTS: [Guest; 3] = [
    (
        "probes/http_request",
        ["request-body-too-large", "body-too-large", "total-timeout"],
    ),
    ("probes/http_request_p2", WASI),
    ("probes/http_request_p3", WASI),
];

const WASI: [&str; 3] = [
    "HttpRequestBodySize",
    "HttpResponseBodySize",
    "HttpResponseTimeout",
];

/// A request in a simulated world.
struct Case<'a> {
    /// `[limits]` of the manifest.
    limits: &'a str,
    /// The server's route, and its line.
    route: &'a str,
    rate: &'a str,
    arguments: &'a [&'a str],
    /// What the guest says of it, or which of its words.
    expected: Result<&'a str, usize>,
}

impl Case<'_> {
    fn check(&self, folder: &Path) {
        let manifest = format!(
            "[app]\nid = \"org.nexus.test\"\nversion = \"0.1.0\"\n\
             [capabilities.\"network.http.request\"]\nallow = [\"http://10.0.0.1\"]\n\
             [limits]\n{}\n",
            self.limits
        );
        fs::write(folder.join("nexus.toml"), manifest).expect("written");
        for (guest, words) in GUESTS {
            let (exit, says) = match self.expected {
                Ok(says) => (0, says),
                Err(word) => (1, words[word]),
            };
            let scenario = format!(
                "[scenario]\nuntil = \"5m\"\n[[link]]\nname = \"lan\"\nlatency = \"20ms\"\n{}\n\
                 [[node]]\nname = \"web\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
                 [[node.peer]]\nhttp = 80\n[[node.peer.route]]\npath = \"/\"\n{}\n\
                 [[node]]\nname = \"client\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n\
                 [[node.app]]\ncomponent = {:?}\nmanifest = \"nexus.toml\"\nargs = {:?}\nconsent = \"manifest\"\n\
                 [node.app.expect]\nexit = {exit}\nstderr = [{says:?}]\n",
                self.rate,
                self.route,
                component(guest),
                self.arguments,
            );
            let file = folder.join("scenario.toml");
            fs::write(&file, scenario).expect("written");
            let output = Command::new(HOST)
                .arg("sim")
                .arg(&file)
                .arg("--state")
                .arg(folder.join("state"))
                .output()
                .expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{guest}: {said}");
        }
    }
}

/// Goal: a response of the size that was asked for is read, of one of a byte more the app is told. Method: with a length,
/// which is refused by its head, and in chunks.
#[test]
fn reject_responses_over_what_the_manifest_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    for (route, expected) in [
        ("body-size = \"100KiB\"", Ok("200 102400\n")),
        ("body-size = \"102401B\"", Err(1)),
        (
            "body-size = \"100KiB\"\nframing = \"chunked\"",
            Ok("200 102400\n"),
        ),
        ("body-size = \"102401B\"\nframing = \"chunked\"", Err(1)),
    ] {
        Case {
            limits: "response-body = \"100KiB\"",
            route,
            rate: "",
            arguments: &["GET", "http://10.0.0.1/"],
            expected,
        }
        .check(folder.path());
    }
}

/// Goal: a request lasts as long as was asked for and no longer, be that less than the default or more. Method: a server
/// that answers just before and just after (two round trips of 40 ms are the connection's and the request's), and a line
/// on which the response takes a minute and a half.
#[test]
fn reject_requests_that_last_longer_than_the_manifest_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = "body-size = \"4000KiB\"";
    for (limits, route, rate, expected) in [
        (
            "request-timeout = \"2s\"",
            "after = \"1915ms\"\nbody = \"ok\"",
            "",
            Ok("200 2\n"),
        ),
        (
            "request-timeout = \"2s\"",
            "after = \"1925ms\"\nbody = \"ok\"",
            "",
            Err(2),
        ),
        ("", slow, "rate = \"400kbit\"", Err(2)),
        (
            "request-timeout = \"2m\"",
            slow,
            "rate = \"400kbit\"",
            Ok("200 4096000\n"),
        ),
    ] {
        Case {
            limits,
            route,
            rate,
            arguments: &["GET", "http://10.0.0.1/"],
            expected,
        }
        .check(folder.path());
    }
}

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

/// Asks a server of this machine's under these limits, as the manifest and as the policy say.
fn ask(guest: &str, port: u16, asked: &str, caps: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("nexus.toml");
    let policy = folder.path().join("policy.toml");
    let text = format!(
        "[app]\nid = \"org.nexus.test\"\nversion = \"0.1.0\"\n\
         [capabilities.\"network.http.request\"]\nallow = [\"http://host.internal:{port}\"]\n\
         [limits]\n{asked}\n"
    );
    fs::write(&manifest, text).expect("written");
    fs::write(&policy, format!("[limits]\n{caps}\n")).expect("written");
    Command::new(HOST)
        .arg("run")
        .arg(component(guest))
        .arg("--manifest")
        .arg(manifest)
        .arg("--policy")
        .arg(policy)
        .args(["--allow-manifest", "--timeout", "120s", "--"])
        .args([arguments[0], &format!("http://host.internal:{port}/")])
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
    for (guest, _) in GUESTS {
        for (arguments, says, sent) in [
            (&["GET"][..], "200 2\n", 0),
            (&["HEAD"], "200 0\n", 0),
            (&["POST", "--send", "300000"], "200 2\n", 300_000),
        ] {
            ended(guest, &ask(guest, port, "", "", arguments), 0, says);
            let (head, body) = told.recv_timeout(PATIENCE).expect("it was asked");
            let head = head.to_ascii_lowercase();
            let framed = head.contains("transfer-encoding") || head.contains("content-length");
            assert_eq!((framed, body.len()), (sent > 0, sent), "{guest}: {head}");
        }
    }
}

/// Goal: a body of the size that was asked for is sent, one of a byte more is not. Method: with its length said, which is
/// refused before anything is sent, and without, which is cut off.
#[test]
fn reject_bodies_over_what_the_manifest_asked_for() {
    let (port, _told) = serve(2);
    let limits = "request-body = \"100KiB\"";
    for (guest, words) in GUESTS {
        for (arguments, code, says) in [
            (
                &["POST", "--send", "102400", "--say", "102400"][..],
                0,
                "200 2\n",
            ),
            (
                &["POST", "--send", "102401", "--say", "102401"],
                1,
                words[0],
            ),
            (&["POST", "--send", "102400"], 0, "200 2\n"),
            (&["POST", "--send", "102401"], 1, words[0]),
        ] {
            ended(guest, &ask(guest, port, limits, "", arguments), code, says);
        }
    }
}

/// Goal: more than the default is had by who asks for it, at most as much as the operator allows. Method: bodies above
/// the defaults (1 MiB out, 8 MiB in): not asked for, asked for, and asked for past the operator's cap, when no app starts.
#[test]
fn reject_more_than_the_defaults_unless_asked_for_and_allowed() {
    let (larger, largest) = (2 << 20, 9 << 20);
    let (sent, received) = (larger.to_string(), largest.to_string());
    let post = &["POST", "--send", &sent, "--say", &sent][..];
    for (guest, words) in GUESTS {
        for ((port, _told), key, arguments, says, word) in [
            (
                serve(2),
                "request-body",
                post,
                "200 2\n".to_owned(),
                words[0],
            ),
            (
                serve(largest),
                "response-body",
                &["GET"][..],
                format!("200 {received}\n"),
                words[1],
            ),
        ] {
            let asked = format!("{key} = \"9MiB\"");
            let lower = format!("{key} = \"8MiB\"");
            let fails = |output: Output, code: i32, says: &str| ended(guest, &output, code, says);
            fails(ask(guest, port, "", "", arguments), 1, word);
            fails(ask(guest, port, &asked, "", arguments), 0, &says);
            fails(ask(guest, port, &asked, &asked, arguments), 0, &says);
            let capped = format!("allows 8MiB at most ([limits] {key})");
            fails(ask(guest, port, &asked, &lower, arguments), 77, &capped);
        }
    }
}
