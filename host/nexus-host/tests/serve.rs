//! `nexus-host serve`, from outside: probes that answer HTTP well and badly, of wasi:http 0.2 and 0.3, asked over
//! kernel sockets byte by byte.
//!
//! What depends on time alone (a head that drips, an idle instance, the wait for a turn) is in src/serve, on a clock
//! that a test moves.

mod guests;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const BOTH: [&str; 2] = ["probes/http_serve_p2", "probes/http_serve_p3"];

/// Ends a test that hangs; far longer than any wait in it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host that serves.
struct Serving {
    child: Child,
    port: u16,
    stderr: Option<JoinHandle<String>>,
}

impl Serving {
    fn start(component: &str, flags: &[&str]) -> Self {
        let mut listen = vec!["--listen", "127.0.0.1:0"];
        listen.extend(flags);
        Self::start_at(component, &listen, "serving http://127.0.0.1:")
    }

    /// `ready` is what stands before the port that can be asked.
    fn start_at(component: &str, flags: &[&str], ready: &'static str) -> Self {
        let flags: Vec<_> = flags.iter().map(AsRef::as_ref).collect();
        Self::spawn("serve", &guests::component(component), &flags, ready)
    }

    /// Of `serve`, or of `up` with a world file.
    fn spawn(verb: &str, file: &Path, flags: &[&OsStr], ready: &'static str) -> Self {
        let mut child = Command::new(guests::HOST)
            .arg(verb)
            .arg(file)
            .args(["--no-cache", "--state"])
            .arg(std::env::temp_dir().join("nexus-host-serve-tests"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host starts");
        let pipe = child.stderr.take().expect("piped");
        let (sender, port) = mpsc::channel();
        let stderr = thread::spawn(move || {
            let mut all = String::new();
            for line in BufReader::new(pipe).lines() {
                let line = line.expect("text");
                if let Some((_, rest)) = line.split_once(ready) {
                    let digits = rest.find(|c: char| !c.is_ascii_digit());
                    let _ = sender.send(rest[..digits.unwrap_or(rest.len())].parse());
                }
                all.push_str(&line);
                all.push('\n');
            }
            all
        });
        match port.recv_timeout(PATIENCE) {
            Ok(port) => Self {
                child,
                port: port.expect("a port"),
                stderr: Some(stderr),
            },
            Err(_) => {
                let _ = child.kill();
                panic!("it does not serve: {}", stderr.join().expect("stderr"));
            }
        }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("sets a timeout");
        Client(BufReader::new(stream))
    }

    /// One request on a connection of its own.
    fn get(&self, path: &str) -> Answered {
        self.connect().get(path)
    }

    fn signal(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signals");
    }

    /// Ends it as a supervisor does; its exit code and what it said.
    fn stop(self) -> (i32, String) {
        self.signal();
        self.wait()
    }

    fn wait(mut self) -> (i32, String) {
        let status = self.child.wait().expect("it ends");
        let stderr = self.stderr.take().expect("once").join().expect("stderr");
        (status.code().expect("no signal ends it"), stderr)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(BufReader<TcpStream>);

/// What came back: nothing, if the connection ended before a head did.
type Answered = Option<Answer>;

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
    /// All of it came.
    whole: bool,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A server that ends the connection early is told by what it answers.
        let _ = self.0.get_mut().write_all(bytes.as_ref());
    }

    fn get(&mut self, path: &str) -> Answered {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: probe.example\r\n\r\n"
        ));
        self.answer(false)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(1..) if line.ends_with("\r\n") => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }

    fn bytes(&mut self, count: usize, into: &mut Vec<u8>) -> bool {
        let begun = into.len();
        let _ = self.0.by_ref().take(count as u64).read_to_end(into);
        into.len() - begun == count
    }

    fn answer(&mut self, head_only: bool) -> Answered {
        let first = self.line()?;
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let mut fields = BTreeMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ")?;
            fields.insert(name.to_lowercase(), value.to_owned());
        }
        let mut body = Vec::new();
        let length = fields.get("content-length").map(|text| text.parse());
        let whole = match length {
            _ if head_only || status < 200 => true,
            Some(length) => self.bytes(length.expect("a length"), &mut body),
            None if fields.contains_key("transfer-encoding") => self.chunks(&mut body),
            None => self.0.read_to_end(&mut body).is_ok(),
        };
        Some(Answer {
            status,
            fields,
            body,
            whole,
        })
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(size) = self.line().and_then(|l| usize::from_str_radix(&l, 16).ok()) else {
                return false;
            };
            let whole = self.bytes(size, body) && self.line().as_deref() == Some("");
            if size == 0 || !whole {
                return whole;
            }
        }
    }
}

fn status(answered: &Answered) -> Option<u16> {
    answered.as_ref().map(|answer| answer.status)
}

fn run_to_end(arguments: &[&str], component: &str) -> Output {
    Command::new(guests::HOST)
        .arg(arguments[0])
        .arg(guests::component(component))
        .args(&arguments[1..])
        .output()
        .expect("the host runs")
}

/// Goal: requests reach the app as they were sent, answers come as they were made. Method: each kind of body, both
/// versions.
#[test]
fn requests_are_answered() {
    for component in BOTH {
        let serving = Serving::start(component, &[]);
        let hello = serving.get("/hello").expect("an answer");
        assert_eq!(hello.status, 200, "{component}");
        assert!(hello.text().starts_with("hello from 0."), "{hello:?}");
        assert_eq!(status(&serving.get("/none")), Some(404));

        let mut client = serving.connect();
        client.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&client.answer(true)), Some(200));
        // It is still in step.
        assert_eq!(status(&client.get("/hello")), Some(200));

        let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        client.send(head);
        client.send(&bytes);
        let echo = client.answer(false).expect("an answer");
        assert!(echo.whole && echo.body == bytes, "{component}");

        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in bytes.chunks(100_000) {
            client.send(format!("{:x}\r\n", chunk.len()));
            client.send(chunk);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        let echo = client.answer(false).expect("an answer");
        assert!(echo.whole && echo.body == bytes, "{component}");

        let large = serving.get("/large").expect("an answer");
        assert!(large.whole && large.body.len() == 4 << 20, "{component}");
        let (code, stderr) = serving.stop();
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains("7 requests (0 failed)"), "{stderr}");
    }
}

/// Goal: what belongs to the connection stays there, who the client calls us is what the app is told, and what a
/// client claims of itself is passed on as it is. Method: a probe that tells what it saw.
#[test]
fn an_app_sees_messages_and_not_connections() {
    for component in BOTH {
        let serving = Serving::start(component, &[]);
        let mut client = serving.connect();
        client.send(
            "GET /seen HTTP/1.1\r\nHost: probe.example:8080\r\nConnection: keep-alive, x-hop\r\nTE: trailers\r\n\
             Keep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-Forwarded-For: 10.0.0.1\r\nCookie: a=b\r\n\r\n",
        );
        let seen = client.answer(false).expect("an answer").text();
        let mut fields: Vec<&str> = seen.lines().skip(1).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            ["cookie=a=b", "x-forwarded-for=10.0.0.1"],
            "{component}"
        );
        assert!(
            seen.starts_with("Method::Get Some(Scheme::Http) Some(\"probe.example:8080\")\n"),
            "{seen}"
        );
        client.send("GET https://other.example/seen HTTP/1.1\r\nHost: probe.example\r\n\r\n");
        let seen = client.answer(false).expect("an answer").text();
        assert!(
            seen.starts_with("Method::Get Some(Scheme::Http) Some(\"other.example\")"),
            "{seen}"
        );
    }
}

/// Goal: pipelined requests are answered in order. Method: three in one write, one with a body.
#[test]
fn pipelined_requests_are_answered_in_order() {
    for component in BOTH {
        let serving = Serving::start(component, &[]);
        let mut client = serving.connect();
        client.send(
            "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
             GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        let answers: Vec<Answer> = (0..3).filter_map(|_| client.answer(false)).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 404], "{component}");
        assert_eq!(answers[1].text(), "abc");
    }
}

/// Goal: a body is asked for when the app wants it (RFC 9110 section 10.1.1). Method: a client that waits.
#[test]
fn a_client_that_waits_is_told_to_continue() {
    for component in BOTH {
        let serving = Serving::start(component, &[]);
        let mut client = serving.connect();
        client.send(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        );
        assert_eq!(status(&client.answer(false)), Some(100), "{component}");
        client.send("abc");
        assert_eq!(client.answer(false).expect("an answer").text(), "abc");
    }
}

/// Goal: whatever an app does wrong, its client is told so, and the next request is served. Method: each wrong, then
/// a right one, both versions.
#[test]
fn reject_what_an_app_does_wrong() {
    // The path, and the status; none: the connection breaks off.
    let wrongs: [(&str, &[Option<u16>]); 15] = [
        ("/trap", &[Some(500)]),
        ("/trap-in-body", &[None]),
        ("/spin", &[Some(504)]),
        ("/sleep", &[Some(504)]),
        ("/spin-in-body", &[None]),
        ("/leak", &[Some(500)]),
        ("/many-fields", &[Some(500)]),
        ("/answers-an-error", &[Some(500)]),
        ("/short-body", &[None]),
        ("/long-body", &[None]),
        ("/length-without-body", &[None, Some(500)]),
        ("/informational", &[Some(500)]),
        ("/never-answers", &[Some(500), Some(404)]),
        ("/keeps-the-parameter", &[Some(500), Some(404)]),
        ("/works-on", &[Some(200)]),
    ];
    for component in BOTH {
        // One at a time, so that what is not given back is missed.
        let flags = ["--timeout", "700ms", "--max-requests", "1"];
        let serving = Serving::start(component, &flags);
        for (path, expected) in wrongs {
            let answered = serving.get(path).filter(|answer| answer.whole);
            assert!(
                expected.contains(&status(&answered)),
                "{component} {path}: {answered:?}"
            );
            if let Some(answer) = answered.filter(|answer| answer.status >= 500) {
                assert!(!answer.text().contains("as asked"), "{path}: {answer:?}");
            }
            let next = serving.get("/hello");
            assert_eq!(status(&next), Some(200), "{component} after {path}");
        }
        let (code, stderr) = serving.stop();
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(" 504 "), "{stderr}");
        assert!(
            stderr.contains("the app asked for 65664 KiB of memory; its limit is"),
            "{stderr}"
        );
    }
}

/// Goal: half an answer does not look like one, not even to who takes the end of the connection for the end of the answer.
/// Method: clients of HTTP/1.0, of apps that go wrong in the body; and a whole one.
#[test]
fn reject_half_an_answer_as_a_whole_one() {
    for component in BOTH {
        let serving = Serving::start(component, &["--timeout", "700ms"]);
        for (path, whole) in [
            ("/trap-in-body", false),
            ("/spin-in-body", false),
            ("/hello", true),
        ] {
            let mut client = serving.connect();
            client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
            let answered = client.answer(false).filter(|answer| answer.whole);
            assert_eq!(answered.is_some(), whole, "{component} {path}");
        }
        // A head is whole without a body.
        let mut client = serving.connect();
        client.send("HEAD /hello HTTP/1.1\r\nHost: u@a\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&client.answer(true)), Some(400));
        let end = client.0.read_to_end(&mut Vec::new());
        assert_eq!(end.expect("it is closed in order"), 0);
    }
}

/// Goal: no field leaves an app that would become another. Method: names and values that are none, and those of the
/// connection.
#[test]
fn reject_fields_that_are_none() {
    for component in BOTH {
        let serving = Serving::start(component, &[]);
        let said = serving.get("/bad-fields").expect("an answer").text();
        assert_eq!(said.matches("InvalidSyntax").count(), 4, "{said}");
        assert_eq!(said.matches("Forbidden").count(), 2, "{said}");
    }
}

/// Goal: an app that does not read a body does not keep its client, nor the next. Method: a large upload to one that
/// answers at once.
#[test]
fn a_body_nobody_reads_keeps_nobody() {
    for component in BOTH {
        let serving = Serving::start(component, &[]);
        let mut client = serving.connect();
        client.send("POST /never-reads HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
        client.send(vec![b'x'; 200_000]);
        let answer = client.answer(false).expect("an answer, and no reset");
        assert_eq!(
            (answer.status, &*answer.text()),
            (200, "I did not listen\n")
        );
        assert_eq!(status(&serving.get("/hello")), Some(200));
    }
}

#[test]
fn a_body_at_the_limit_is_read() {
    for component in BOTH {
        let serving = Serving::start(component, &["--max-body", "1KiB"]);
        let mut client = serving.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n");
        client.send([b'x'; 1024]);
        assert_eq!(client.answer(false).expect("an answer").body.len(), 1024);
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n");
        client.send([b'x'; 1024]);
        client.send("\r\n0\r\n\r\n");
        assert_eq!(client.answer(false).expect("an answer").body.len(), 1024);
    }
}

#[test]
fn reject_a_body_over_the_limit() {
    for component in BOTH {
        let serving = Serving::start(component, &["--max-body", "1KiB"]);
        let mut client = serving.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
        client.send([b'x'; 1025]);
        assert_eq!(status(&client.answer(false)), Some(413), "{component}");
        let mut client = serving.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n");
        client.send([b'x'; 1025]);
        client.send("\r\n0\r\n\r\n");
        let answer = client.answer(false).expect("an answer");
        // The app's read failed; what it makes of that is its own. It never had the byte too many.
        assert!(answer.body.len() <= 1024, "{component}: {answer:?}");
        assert_eq!(status(&serving.get("/hello")), Some(200));
    }
}

fn head_of(fields: usize, bytes: usize) -> String {
    let mut head = "GET /hello HTTP/1.1\r\nHost: a\r\n".to_owned();
    for number in 1..fields {
        head += &format!("x-{number}: y\r\n");
    }
    let filler = bytes.saturating_sub(head.len() + "x-filler: \r\n\r\n".len());
    if filler > 0 {
        head += &format!("x-filler: {}\r\n", "y".repeat(filler));
    }
    head + "\r\n"
}

#[test]
fn a_head_at_the_limit_is_read() {
    let serving = Serving::start(BOTH[0], &[]);
    for head in [head_of(64, 0), head_of(1, 16 << 10)] {
        let mut client = serving.connect();
        client.send(head);
        assert_eq!(status(&client.answer(false)), Some(200));
    }
}

/// Goal: heads that cost more than a request may, or that two parties could read differently, reach no app. Method:
/// each as bytes; the instances are counted.
#[test]
fn reject_heads_that_are_none() {
    let serving = Serving::start(BOTH[0], &[]);
    for (head, expected) in [
        (head_of(65, 0), 431),
        (head_of(1, (16 << 10) + 2), 431),
        ("GET /hello HTTP/1.1\r\n\r\n".into(), 400),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
            400,
        ),
        ("GET /hello HTTP/1.1\r\nHost: u@a\r\n\r\n".into(), 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".into(), 501),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nx y: z\r\n\r\n".into(),
            400,
        ),
        (
            "GET /hello HTTP/1.1\r\nHost: a\r\nx: y\r\n folded\r\n\r\n".into(),
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n".into(),
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
                .into(),
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".into(),
            400,
        ),
        ("nonsense\r\n\r\n".into(), 400),
    ] {
        let mut client = serving.connect();
        client.send(&head);
        let answered = client.answer(false);
        assert_eq!(status(&answered), Some(expected), "{head}: {answered:?}");
    }
    let (_, stderr) = serving.stop();
    assert!(stderr.contains("by 0 instances"), "{stderr}");
}

/// Goal: an app of 0.2 has a fresh instance for each request, unless the operator says otherwise; one of 0.3 has as
/// many as it may. Method: probes that count.
#[test]
fn instances_serve_as_many_as_they_may() {
    let counts = |component, flags: &[&str]| -> Vec<String> {
        let serving = Serving::start(component, flags);
        let mut client = serving.connect();
        (0..4)
            .map(|_| client.get("/served").expect("an answer").text())
            .collect()
    };
    assert_eq!(counts(BOTH[0], &[]), ["1", "1", "1", "1"]);
    assert_eq!(counts(BOTH[0], &["--reuse", "3"]), ["1", "2", "3", "1"]);
    assert_eq!(counts(BOTH[1], &[]), ["1", "2", "3", "4"]);
    assert_eq!(counts(BOTH[1], &["--reuse", "3"]), ["1", "2", "3", "1"]);
}

/// Goal: requests of 0.3 are served at once by one instance, as many as it may. Method: three that wait for a while,
/// then how many instances there were.
#[test]
fn an_instance_serves_several_at_once() {
    for (concurrent, instances) in [("3", "by 1 instances"), ("1", "by 3 instances")] {
        let serving = Serving::start(BOTH[1], &["--concurrent", concurrent]);
        let mut clients: Vec<Client> = (0..3).map(|_| serving.connect()).collect();
        for client in &mut clients {
            client.send("GET /nap HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(status(&client.answer(false)), Some(200));
        }
        let (_, stderr) = serving.stop();
        assert!(stderr.contains(instances), "{concurrent}: {stderr}");
    }
}

/// Goal: what a client no longer waits for is ended at once, not at its deadline. Method: one place for requests; a
/// client that leaves an app that never answers; another.
#[test]
fn a_client_that_leaves_frees_its_instance() {
    for component in BOTH {
        for path in ["/sleep", "/spin", "/large"] {
            let flags = ["--max-requests", "1", "--timeout", "1h"];
            let serving = Serving::start(component, &flags);
            let mut client = serving.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.0.get_ref().shutdown(Shutdown::Both).expect("leaves");
            drop(client);
            assert_eq!(
                status(&serving.get("/hello")),
                Some(200),
                "{component} {path}"
            );
        }
    }
}

/// Goal: a request in flight is answered after SIGTERM, no other one is taken, and the exit code is 0. Method: one
/// that naps, and a connection that is idle.
#[test]
fn what_is_in_flight_ends_in_order() {
    let serving = Serving::start(BOTH[1], &[]);
    let mut idle = serving.connect();
    assert_eq!(status(&idle.get("/hello")), Some(200));
    let mut client = serving.connect();
    client.send("GET /nap HTTP/1.1\r\nHost: a\r\n\r\n");
    // It was taken when a later one is answered.
    assert_eq!(status(&serving.get("/hello")), Some(200));
    serving.signal();
    let answer = client.answer(false).expect("an answer");
    assert_eq!((answer.status, &*answer.text()), (200, "awake\n"));
    assert_eq!(status(&idle.get("/hello")), None, "it was closed");
    assert!(TcpStream::connect(("127.0.0.1", serving.port)).is_err());
    let (code, stderr) = serving.wait();
    assert_eq!(code, 0, "{stderr}");
}

/// Goal: the grace period bounds the wait. Method: a request that never ends.
#[test]
fn what_outlives_the_grace_period_is_cut() {
    for component in BOTH {
        let report = tempfile::NamedTempFile::new().expect("a file");
        let path = report.path().to_str().expect("text");
        let serving = Serving::start(component, &["--grace", "100ms", "--report", path]);
        let mut client = serving.connect();
        client.send("GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status(&serving.get("/hello")), Some(200));
        let (code, stderr) = serving.stop();
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(status(&client.answer(false)), None);
        let report = std::fs::read_to_string(report.path()).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        assert_eq!(report["served"]["cut"], 1, "{report}");
        assert_eq!(report["outcome"], "stopped", "{report}");
        assert_eq!(report["code"], 0, "{report}");
    }
}

/// Goal: a second signal does not wait. Method: a grace period of an hour.
#[test]
fn a_second_signal_ends_at_once() {
    let serving = Serving::start(BOTH[0], &["--grace", "1h"]);
    let mut client = serving.connect();
    client.send("GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&serving.get("/hello")), Some(200));
    serving.signal();
    // One that comes within a quarter of a second is the first again (`runtime/signals.rs`).
    let mut child = serving;
    while child.child.try_wait().expect("waits").is_none() {
        child.signal();
        thread::yield_now();
    }
    assert_eq!(child.wait().0, 143);
}

/// Goal: what is secret is in no line of the log. Method: a canary in query, fields and body, both forms.
#[test]
fn the_access_log_tells_no_secret() {
    for format in ["text", "json"] {
        let serving = Serving::start(BOTH[0], &["--access-log", format]);
        let mut client = serving.connect();
        client.send(
            "POST /echo?token=canary HTTP/1.1\r\nHost: a\r\nAuthorization: canary\r\nCookie: canary\r\n\
             Content-Length: 6\r\n\r\ncanary",
        );
        assert_eq!(status(&client.answer(false)), Some(404));
        let (_, stderr) = serving.stop();
        assert!(!stderr.contains("canary"), "{stderr}");
        let line = stderr
            .lines()
            .find(|line| line.contains("/echo"))
            .expect("a line");
        if format == "json" {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let access = &line["access"];
            assert_eq!(access["method"], "POST", "{line}");
            assert_eq!(access["path"], "/echo", "{line}");
            assert_eq!(access["status"], 404, "{line}");
            assert_eq!(access["bytes"], 14, "{line}");
        } else {
            assert!(line.contains(" POST /echo 404 14 B "), "{line}");
        }
    }
    let serving = Serving::start(BOTH[0], &["--access-log", "off"]);
    assert_eq!(status(&serving.get("/hello")), Some(200));
    assert!(!serving.stop().1.contains("/hello"));
}

/// Goal: a port of the app's node is the app's to open. Method: with the grant it answers there, through a published
/// port; without it does not start.
#[test]
fn a_port_of_the_node_is_served_if_it_is_granted() {
    let flags = ["--listen", "stack:80", "--publish", "0:80"];
    let granted = [&flags[..], &["--allow", "network.tcp.listen=any:80"]].concat();
    for component in BOTH {
        let serving = Serving::start_at(component, &granted, "published 127.0.0.1:");
        let mut client = serving.connect();
        for _ in 0..2 {
            let answer = client.get("/hello").expect("an answer");
            assert!(answer.text().starts_with("hello from 0."), "{answer:?}");
        }
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
        client.send(vec![b'x'; 500_000]);
        assert_eq!(client.answer(false).expect("an answer").body.len(), 500_000);
        let (code, stderr) = serving.stop();
        assert_eq!(code, 0, "{stderr}");
    }
}

#[test]
fn reject_a_port_of_the_node_without_a_grant() {
    let arguments = ["serve", "--listen", "stack:80"];
    let output = run_to_end(&arguments, BOTH[0]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{stderr}");
    assert!(stderr.contains("bind-not-permitted"), "{stderr}");
    assert!(stderr.contains("network.tcp.listen"), "{stderr}");
}

#[test]
fn reject_what_cannot_be_served() {
    for (component, arguments, code, told) in [
        ("hello", &["serve"][..], 1, "nexus-host run"),
        (BOTH[0], &["run"], 1, "nexus-host serve"),
        (BOTH[1], &["run"], 1, "nexus-host serve"),
        ("tcp-echo", &["serve"], 77, "network.tcp.listen"),
        (BOTH[0], &["serve", "--listen", "8080"], 2, "ADDR:PORT"),
        (
            BOTH[0],
            &["serve", "--max-requests", "0"],
            2,
            "max-requests",
        ),
    ] {
        let output = run_to_end(arguments, component);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
}

#[test]
fn reject_a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let output = run_to_end(&["serve", "--listen", &address], BOTH[0]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&address), "{stderr}");
}

/// Goal: the example app does what its first page says. Method: each line of it.
#[test]
fn the_example_api_answers() {
    let serving = Serving::start("http-api", &["--access-log", "off"]);
    let mut client = serving.connect();
    let hello = client.get("/hello/world").expect("an answer");
    assert_eq!(hello.text(), "{\"hello\":\"world\"}\n");
    assert_eq!(hello.fields["content-type"], "application/json");
    client.send("POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n1 2 39");
    assert_eq!(
        client.answer(false).expect("an answer").text(),
        "{\"sum\":42}\n"
    );
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nany bytes");
    assert_eq!(client.answer(false).expect("an answer").text(), "any bytes");
    assert_eq!(status(&client.get("/none")), Some(404));
    drop(client);
    let (code, said) = serving.stop();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("4 requests (0 failed)"), "{said}");
}

/// Goal: an app is served by TLS and another fetches it, and neither trusts who is not who they say. Method: a
/// certificate that is trusted for the run, one that is not, and a client that does not speak TLS.
#[test]
fn https_is_served_and_fetched() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["host.internal".to_owned()]);
    let made = made.expect("a certificate");
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).expect("writes");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ];
    let serving = Serving::start_at("http-api", &flags, "serving https://127.0.0.1:");
    let url = format!("https://host.internal:{}/hello/tls", serving.port);
    let fetch = |more: &[&str]| {
        let rule = format!(
            "network.http.request=GET https://host.internal:{}/*",
            serving.port
        );
        Command::new(guests::HOST)
            .args(["run", "--quiet", "--allow", &rule])
            .args(more)
            .arg(guests::component("web-fetch"))
            .args(["--", &url, "/hello"])
            .output()
            .expect("it runs")
    };
    let fetched = fetch(&["--ca", &certificate]);
    let said = String::from_utf8_lossy(&fetched.stderr);
    assert_eq!(String::from_utf8_lossy(&fetched.stdout), "tls\n", "{said}");
    let refused = fetch(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("certificate-unknown-issuer"), "{said}");
    assert!(
        serving.get("/hello/plain").is_none(),
        "without TLS nothing is answered"
    );
}

/// A world file of these nodes, beside a certificate of `host.internal` and its key.
fn world(nodes: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["host.internal".to_owned()]);
    let made = made.expect("a certificate");
    for (name, text) in [
        ("world.toml", nodes.to_owned()),
        ("cert.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), text).expect("writes");
    }
    let file = folder.path().join("world.toml");
    (folder, file)
}

/// Two nodes on a link, `api` with this app.
fn linked(app: &str) -> String {
    format!(
        "[[link]]\nname = \"lan\"\n[[node]]\nname = \"api\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {:?}\n{app}\n\
         [[node]]\nname = \"client\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nargs = [\"http://10.0.0.1/hello/link\", \"/hello\"]\n",
        guests::component("http-api"),
        guests::component("web-fetch")
    )
}

fn up(file: &Path, flags: &[&str]) -> Output {
    Command::new(guests::HOST)
        .arg("up")
        .arg(file)
        .args(["--no-cache", "--state"])
        .arg(std::env::temp_dir().join("nexus-host-serve-tests"))
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

const REQUEST: &str = "network.http.request=GET http://10.0.0.1/*";

/// Goal: an app of a world answers those of its link, in the background, and ends with them, all requests answered; a
/// report has what it served. Method: one that fetches once, over the link; then the end of the world.
#[test]
fn an_app_of_a_world_is_served_on_its_link() {
    let (folder, file) = world(&linked("serve = 80"));
    let report = folder.path().join("report.json");
    let flags = [
        "--allow",
        REQUEST,
        "--allow",
        "network.tcp.listen=any:80",
        "--report",
    ];
    let report_path = report.display().to_string();
    let ran = up(&file, &[&flags[..], &[&report_path]].concat());
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "link\n");
    for wanted in [
        " of node-0 by org.nexus.http-api\n",
        "org.nexus.http-api: 10.0.0.2:",
        " GET /hello/link 200 17 B ",
        "org.nexus.http-api: 1 requests (0 failed) on 1 connections by 1 instances\n",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let report = std::fs::read(report).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    let api = &report["apps"][0];
    assert_eq!(
        (&api["served"]["requests"], &api["outcome"]),
        (&1.into(), &"stopped".into())
    );
    assert!(report["apps"][1]["served"].is_null(), "{report:#}");
}

/// Goal: what a world serves on ports of this machine is served until somebody says that it is enough; the second app of
/// the file by TLS. Method: two apps and no others, asked; then SIGTERM.
#[test]
fn apps_of_a_world_are_served_on_this_machine() {
    let apps = |tls: &str| {
        format!(
            "[[node.app]]\ncomponent = {:?}\nserve = \"127.0.0.1:0\"\n{tls}\n",
            guests::component("http-api")
        )
    };
    let tls = apps("tls = { cert = \"cert.pem\", key = \"key.pem\" }");
    let node = "[[node]]\nname = \"web\"\nnet = \"none\"\n";
    for (ready, answers) in [("http://127.0.0.1:", true), ("https://127.0.0.1:", false)] {
        let (_folder, file) = world(&format!("{node}{tls}{}", apps("")));
        let serving = Serving::spawn("up", &file, &[], ready);
        let answered = serving.get("/hello/up");
        assert_eq!(answered.is_some(), answers, "{ready}");
        if let Some(answer) = answered {
            assert_eq!(
                (answer.status, answer.text()),
                (200, "{\"hello\":\"up\"}\n".into())
            );
        }
        let (code, said) = serving.stop();
        assert_eq!(code, 0, "{said}");
        assert!(
            said.contains(&format!("{} requests (0 failed)", u8::from(answers))),
            "{said}"
        );
    }
    // A time limit of the world's ends it, too.
    let (_folder, file) = world(&format!("{node}{}", apps("")));
    let ran = up(&file, &["--timeout", "100ms"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        said.contains("deadline  org.nexus.http-api: not done after 100"),
        "{said}"
    );
    assert_eq!(ran.status.code(), Some(0), "{said}");
}

/// Goal: a world whose app cannot listen starts nobody, and says what is missing. Method: no grant; a port that is
/// taken; words that are none; a key that is none.
#[test]
fn reject_a_world_whose_app_cannot_be_served() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address");
    for (app, code, says) in [
        (
            "serve = 80".to_owned(),
            77,
            "org.nexus.http-api: serve = stack:0.0.0.0:80: not-granted",
        ),
        (format!("serve = \"{taken}\""), 1, "name another port"),
        (
            "serve = \"80\"".to_owned(),
            78,
            "world.toml:9:9: `80` is not ADDR:PORT",
        ),
        ("serve = []".to_owned(), 78, "world.toml:9:9: "),
        (
            "tls = { cert = \"cert.pem\", key = \"key.pem\" }".to_owned(),
            78,
            "only an app that serves",
        ),
        (
            "serve = \"127.0.0.1:0\"\ntls = { cert = \"cert.pem\", key = \"cert.pem\" }".to_owned(),
            78,
            "tls: the key ",
        ),
        (String::new(), 1, "nothing to run"),
    ] {
        let (_folder, file) = world(&linked(&app));
        let ran = up(&file, &["--allow", REQUEST]);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{app}: {said}");
        assert!(said.contains(says), "{says}: {said}");
        assert_eq!(
            String::from_utf8_lossy(&ran.stdout),
            "",
            "nobody was started"
        );
    }
}
