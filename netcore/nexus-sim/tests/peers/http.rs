//! HTTP peers.

use nexus_sim::peers::{HttpFault, HttpFraming, HttpLog, HttpResponse, HttpRoute, HttpScript};

use super::*;

const PORT: u16 = 8080;

fn route(method: &str, path: &str, response: HttpResponse) -> HttpRoute {
    HttpRoute {
        method: method.to_owned(),
        path: path.to_owned(),
        response,
    }
}

/// A body that shows when a part of it is missing or elsewhere.
fn long_body() -> Vec<u8> {
    (0..40_000_u32).map(|at| (at % 251) as u8).collect()
}

fn routes() -> Vec<HttpRoute> {
    let mut hello = HttpResponse::new(200, "hello");
    hello.headers = vec![("x-from".to_owned(), "peer".to_owned())];
    let mut chunked = HttpResponse::new(200, long_body());
    chunked.framing = HttpFraming::Chunked;
    let mut close = HttpResponse::new(200, "to the end");
    close.framing = HttpFraming::Close;
    let mut cut = HttpResponse::new(200, "0123456789");
    cut.fault = Some(HttpFault::CutAfter(4));
    let mut cut_chunk = chunked.clone();
    cut_chunk.fault = Some(HttpFault::CutAfter(3));
    let mut never = HttpResponse::new(200, "");
    never.fault = Some(HttpFault::Never);
    let mut slow = HttpResponse::new(503, "later");
    slow.delay = Duration::from_secs(3);
    vec![
        route("GET", "/hello", hello),
        route("GET", "/q", HttpResponse::new(200, "any query")),
        route("GET", "/q?a=1", HttpResponse::new(200, "this query")),
        route("POST", "/hello", HttpResponse::new(201, "made")),
        route("HEAD", "/head", HttpResponse::new(200, "12345")),
        route("GET", "/none", HttpResponse::new(204, "")),
        route("GET", "/chunked", chunked),
        route("GET", "/close", close),
        route("GET", "/cut", cut),
        route("GET", "/cut-chunk", cut_chunk),
        route("GET", "/never", never),
        route("GET", "/slow", slow),
    ]
}

fn bench(seed: u64, conditions: Conditions, apps: Apps) -> (Bench, HttpLog) {
    let log = HttpLog::new();
    let script = HttpScript::new(routes()).unwrap();
    let role = Role::Http(script, log.clone());
    (Bench::new(seed, conditions, PORT, role, apps), log)
}

/// What one connection gets for `send`, and what failed.
fn exchange(send: &str) -> (String, Vec<String>) {
    let (apps, outcome) = one_client(PORT, send.as_bytes());
    let (mut bench, _) = bench(1, good_link(), apps);
    bench.run(Duration::from_secs(20));
    assert_eq!(*outcome.ended.borrow(), Some(Ok(())), "{send}");
    let read = String::from_utf8_lossy(&outcome.read()).into_owned();
    (read, bench.failures())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nx-from: peer\r\ncontent-length: 5\r\n\r\nhello";

/// Goal: routes are found by method and path, the query counts where a route has one, and requests on one connection
/// are answered in their order. Method: all of them at once on one connection.
#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let post = "POST /hello HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody";
    let head = "HEAD /head HTTP/1.1\r\nhost: h\r\n\r\n";
    let send = [
        get("/hello"),
        post.to_owned(),
        get("/hello?x"),
        get("http://h/q?a=1"),
        get("/q?a=2"),
        head.to_owned(),
        get("/none"),
        get("/nowhere"),
        get("/head"),
        "PUT /hello HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(),
        "GET /q HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_owned(),
        get("/not-read-any-more"),
    ];
    let expected = [
        HELLO.to_owned(),
        "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nmade".to_owned(),
        HELLO.to_owned(),
        ok("this query"),
        ok("any query"),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 405 Method Not Allowed\r\nallow: HEAD\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 405 Method Not Allowed\r\nallow: GET, POST\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nany query".to_owned(),
    ];
    let (read, failures) = exchange(&send.concat());
    assert_eq!(read, expected.concat());
    assert_eq!(failures, [""; 0]);
}

/// The body of an answer in chunks, and whether its last chunk was there.
fn of_chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            assert_eq!(rest, b"\r\n");
            return (body, true);
        }
        body.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
    }
}

/// Goal: requests are answered over IPv6 and on an Ethernet, too. Method: a long answer there, and one whose target
/// names the host by its address.
#[test]
fn requests_are_answered_on_every_wire() {
    for wire in Wire::OTHERS {
        let remote = wire.remote(PORT);
        let by_address = format!(
            "GET http://{remote}/hello HTTP/1.1\r\nhost: {remote}\r\nconnection: close\r\n\r\n"
        );
        let send = [get("/hello"), get("/chunked"), by_address].concat();
        let (apps, outcome) = one_client_to(remote, send.as_bytes());
        let log = HttpLog::new();
        let script = HttpScript::new(routes()).unwrap();
        let role = Role::Http(script, log.clone());
        let mut bench = Bench::on(wire, PORT, role, apps);
        bench.run(Duration::from_secs(20));
        assert_eq!(*outcome.ended.borrow(), Some(Ok(())), "{wire:?}");
        let read = outcome.read();
        assert!(read.starts_with(HELLO.as_bytes()) && read.ends_with(b"hello"));
        assert!(read.len() > long_body().len(), "{wire:?}");
        assert_eq!(log.requests().len(), 3, "{wire:?}");
        bench.assert_on(wire);
    }
}

/// Goal: a body's end is told as the route says, and chunks are not sent to HTTP/1.0, which is always closed. Method:
/// the long body in chunks to 1.1 and to 1.0, and one to the end of the connection.
#[test]
fn bodies_are_framed_as_the_route_says() {
    let (apps, outcome) = one_client(PORT, get("/chunked").as_bytes());
    let (mut world, _) = bench(1, good_link(), apps);
    world.run(Duration::from_secs(20));
    let read = outcome.read();
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert!(read.starts_with(head));
    assert!(of_chunks(&read[head.len()..]) == (long_body(), true));
    let (apps, outcome) = one_client(PORT, b"GET /chunked HTTP/1.0\r\n\r\n");
    let (mut world, _) = bench(1, good_link(), apps);
    world.run(Duration::from_secs(20));
    let mut expected = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    expected.extend(long_body());
    outcome.assert_whole(&expected);
    let (read, _) = exchange(&get("/close").repeat(2));
    assert_eq!(
        read,
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end"
    );
    let (read, _) = exchange("GET /q HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert!(read.contains("connection: close\r\n"));
}

/// Goal: what the script has go wrong goes wrong. Method: a body cut with a length and in a chunk, an answer that never
/// comes, and one that comes late.
#[test]
fn faults_are_done() {
    let (read, failures) = exchange(&get("/cut"));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n";
    assert_eq!(read, format!("{head}0123"));
    assert_eq!(failures, [""; 0]);
    let (read, _) = exchange(&get("/cut-chunk"));
    assert!(read.ends_with("\r\n\r\n3\r\n\0\u{1}\u{2}\r\n"), "{read:?}");
    let (apps, outcome) = one_client(PORT, get("/slow").as_bytes());
    let (mut world, _) = bench(1, good_link(), apps);
    world.run(Duration::from_secs(10));
    assert!(outcome.at.get() > Instant::from_secs(3));
    assert!(outcome.read().starts_with(b"HTTP/1.1 503 "));
    let kept = Outcome::default();
    let outcome = kept.clone();
    let apps = move || -> Vec<Box<dyn App>> {
        let mut client = Client::new(PORT, get("/never").as_bytes(), &kept);
        client.finish = false;
        vec![Box::new(client)]
    };
    let (mut world, log) = bench(1, good_link(), Box::new(apps));
    world.run(Duration::from_secs(200));
    assert!(outcome.is_open() && outcome.read().is_empty());
    assert_eq!(log.requests()[0].status, None);
    assert_eq!(world.failures(), [""; 0]);
}

/// Goal: a request that is none is a failure, is answered with why, and ends the connection; what comes after it is no
/// request. Method: each status, with a request behind it and more bytes than the window.
#[test]
fn reject_requests_that_are_none() {
    let long = "x".repeat(limits::HTTP_HEAD_BYTES);
    let big = limits::HTTP_BODY_BYTES + 1;
    for (status, send) in [
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (431, format!("GET /{long} HTTP/1.1\r\n")),
        (
            413,
            format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {big}\r\n\r\n"),
        ),
    ] {
        let more = "y".repeat(300_000);
        let (read, failures) = exchange(&format!("{send}{}{more}", get("/hello")));
        assert!(read.starts_with(&format!("HTTP/1.1 {status} ")), "{read}");
        assert!(read.contains("connection: close\r\n"));
        assert_eq!(read.matches("HTTP/1.1").count(), 1, "{read}");
        assert_eq!(failures.len(), 1);
        assert!(failures[0].starts_with("http peer at 0.0.0.0:8080, connection 1 from 10.0.0.2:"));
        assert!(failures[0].contains(&format!(": {status}: ")));
    }
}

/// Goal: a body of the limit is taken, and a client that waits to be told is told. Method: the largest body, sent with
/// its head.
#[test]
fn the_largest_body_is_taken() {
    let length = limits::HTTP_BODY_BYTES;
    let head = format!(
        "POST /hello HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    let (read, failures) = exchange(&(head + &"b".repeat(length as usize)));
    assert!(read.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"));
    assert_eq!(failures, [""; 0]);
}

/// Goal: a client that goes away within a request is no failure of its request. Method: an end within the head, and
/// within the body.
#[test]
fn a_request_without_its_end_is_noted() {
    for (send, note) in [
        ("GET /he", "it ended after 7 bytes of a head"),
        (
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n123",
            "it ended 6 bytes before the end of a body",
        ),
    ] {
        let (apps, outcome) = one_client(PORT, send.as_bytes());
        let (mut bench, log) = bench(1, good_link(), apps);
        bench.run(Duration::from_secs(20));
        outcome.assert_whole(b"");
        assert_eq!(bench.noted(note), 1);
        assert_eq!((bench.failures().len(), log.count()), (0, 0));
    }
}

/// Goal: the owner of the station can read what was asked, and the trace says it. Method: two requests, one with a body
/// and a host.
#[test]
fn requests_are_kept_and_noted() {
    let post =
        "POST /hello?x HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\ncontent-length: 4\r\n\r\nbody";
    let send = format!("{post}GET /nowhere HTTP/1.0\r\n\r\n");
    let (apps, _) = one_client(PORT, send.as_bytes());
    let (mut bench, log) = bench(1, good_link(), apps);
    bench.run(Duration::from_secs(20));
    let requests = log.requests();
    assert_eq!((requests.len(), log.count()), (2, 2));
    let [first, second] = &requests[..] else {
        panic!("{requests:?}");
    };
    assert_eq!((&first.method[..], &first.target[..]), ("POST", "/hello?x"));
    assert_eq!(first.host.as_deref(), Some("a.example"));
    assert_eq!(first.headers[1], ("x-a".to_owned(), "b".to_owned()));
    assert_eq!((first.body_length, first.status), (4, Some(201)));
    assert_eq!(first.from.ip(), IpAddr::from([10, 0, 0, 2]));
    assert_eq!((second.host.as_deref(), second.status), (None, Some(404)));
    let note = "POST /hello?x host a.example, 4 bytes: 201";
    assert_eq!(bench.noted(note), 1);
}

/// Goal: loss, duplicates and reordering change nothing of what is answered, and the same seed is the same run. Method:
/// requests on one connection over the bad link, each seed twice.
#[test]
fn requests_are_answered_on_a_bad_link() {
    let send = [get("/hello"), get("/chunked"), get("/slow"), get("/close")].concat();
    for seed in 0..8 {
        let run = || {
            let (apps, outcome) = one_client(PORT, send.as_bytes());
            let (mut bench, log) = bench(seed, bad_link(), apps);
            bench.run(Duration::from_secs(300));
            assert_eq!(*outcome.ended.borrow(), Some(Ok(())));
            assert_eq!((log.count(), bench.failures().len()), (4, 0));
            (outcome.read(), bench.world.trace_hash())
        };
        let (read, hash) = run();
        assert!(read.starts_with(HELLO.as_bytes()) && read.ends_with(b"to the end"));
        assert!(run() == (read, hash));
    }
}
