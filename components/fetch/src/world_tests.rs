//! The app as it is, on a simulated node, with its own manifest: what it fetches, and what becomes of it otherwise.
//!
//! The far end stands for the `example.com` of the manifest.

use core::time::Duration;

use nexus_sdk::sim::{App, Conditions, Ppm, World};
use nexus_sdk::svc::net::{TcpListener, TcpStream};
use nexus_sdk::svc::time::sleep;
use nexus_sdk::{Error, ErrorCode};

const MANIFEST: &str = include_str!("../nexus.toml");

/// Longer than the app takes in any case.
const LIMIT: Duration = Duration::from_secs(60);

const URL: &str = "http://example.com/page";

/// Accepts one client and reads its request.
async fn asked() -> Result<(TcpStream, String), Error> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    let mut stream = listener.accept().await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let chunk = stream.read(1_000).await?;
        if chunk.is_empty() {
            return Err(Error::new(ErrorCode::Protocol, "no-request", ""));
        }
        request.extend_from_slice(&chunk);
    }
    Ok((stream, String::from_utf8_lossy(&request).into_owned()))
}

/// Answers one client with this, and finishes.
async fn answer(answer: Vec<u8>) -> Result<(), Error> {
    let (mut stream, request) = asked().await?;
    assert!(request.starts_with("GET /page HTTP/1.0\r\n"), "{request}");
    assert!(request.contains("\r\nHost: example.com\r\n"), "{request}");
    stream.write_all(answer).await
}

/// What becomes of the app with this server, on this link.
fn fetched<F>(world: &mut World, server: impl FnOnce() -> F + 'static) -> App
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    world.node("example.com", "93.184.215.14/24").peer(server);
    let node = world.node("client", "93.184.215.2/24");
    let app = node
        .app(MANIFEST)
        .allow_manifest()
        .args([URL])
        .start(crate::run);
    world.run(LIMIT).unwrap();
    app
}

/// Goal: a page is printed as it is. Method: one of 100 kB that is no text at its end, over a link that loses 2%.
#[test]
fn a_page_is_fetched_and_printed() {
    let mut world = World::from_env(1);
    world.link(Conditions {
        latency: Duration::from_millis(5),
        loss: Ppm::per_mille(20),
        ..Conditions::PLAIN
    });
    let app = fetched(&mut world, || {
        let body = "0123456789".repeat(10_000);
        let mut page =
            format!("HTTP/1.0 200 OK\r\nContent-Length: 100001\r\n\r\n{body}").into_bytes();
        page.push(0xff);
        answer(page)
    });
    assert_eq!(app.exit_code(), Some(0), "{}", app.stderr());
    assert_eq!(app.stdout(), "0123456789".repeat(10_000) + "\u{fffd}");
    assert_eq!(app.stderr(), "");
}

/// Goal: a page without a length ends with the connection.
#[test]
fn a_page_without_a_length_is_read_to_its_end() {
    let mut world = World::from_env(1);
    let app = fetched(&mut world, || {
        answer(b"HTTP/1.0 200 OK\r\n\r\nhello".to_vec())
    });
    assert_eq!((app.exit_code(), app.stdout().as_str()), (Some(0), "hello"));
}

/// Goal: no page without a yes. Method: nobody says yes to the manifest; then a host that it does not name.
#[test]
fn reject_what_was_not_granted() {
    let mut world = World::from_env(1);
    let node = world.node("client", "93.184.215.2/24");
    world.node("other.com", "93.184.215.3/24");
    let refused = node.app(MANIFEST).args([URL]).start(crate::run);
    let denied = node
        .app(MANIFEST)
        .allow_manifest()
        .args(["http://other.com/"])
        .start(crate::run);
    world.run(LIMIT).unwrap();
    assert_eq!(refused.exit_code(), Some(77));
    assert!(refused.refusal().unwrap().contains("network.tcp.connect"));
    assert_eq!(denied.exit_code(), Some(1));
    let said = denied.stderr();
    assert!(
        said.starts_with("error: denied (name-not-permitted)"),
        "{said}"
    );
    assert_eq!(denied.denials().len(), 1);
}

/// Goal: what a server does wrong is an error that says it, never half a page. Method: each way to break off.
#[test]
fn reject_a_server_that_breaks_off() {
    for (sent, said) in [
        ("", "the server finished before its answer's head did"),
        (
            "HTTP/1.0 200 OK\r\nContent-",
            "the server finished before its answer's head did",
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "the server promised 9 bytes and sent 5",
        ),
        (
            "HTTP/1.0 404 Not Found\r\n\r\n",
            "the server answered 404 Not Found",
        ),
    ] {
        let mut world = World::from_env(1);
        let app = fetched(&mut world, || answer(sent.into()));
        assert_eq!(
            (app.exit_code(), app.stdout().as_str()),
            (Some(1), ""),
            "{sent:?}"
        );
        assert_eq!(app.stderr(), format!("error: {said}\n"), "{sent:?}");
    }
}

#[test]
fn reject_a_server_that_cuts_the_connection() {
    let mut world = World::from_env(1);
    let app = fetched(&mut world, async || {
        let (mut stream, _) = asked().await?;
        stream
            .write_all("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello")
            .await?;
        sleep(Duration::from_secs(1)).await;
        stream.abort();
        Ok(())
    });
    assert_eq!((app.exit_code(), app.stdout().as_str()), (Some(1), ""));
    assert!(app.stderr().starts_with("error: reset"), "{}", app.stderr());
}

/// Goal: a server that trickles stops nobody for longer than [`crate::TIME_MAX`]. Method: a byte a second.
#[test]
fn reject_a_server_that_trickles() {
    let mut world = World::from_env(1);
    let app = fetched(&mut world, async || {
        let (mut stream, _) = asked().await?;
        stream.write_all("HTTP/1.0 200 OK\r\n\r\n").await?;
        loop {
            stream.write_all("x").await?;
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(app.exit_code(), Some(1));
    assert!(
        app.stderr().starts_with("error: deadline"),
        "{}",
        app.stderr()
    );
    assert_eq!(world.elapsed(), crate::TIME_MAX);
}

/// Goal: nobody there is said at once, or when the time is over. Method: a node that does not listen, a name without a
/// node.
#[test]
fn reject_where_nobody_answers() {
    let mut world = World::from_env(1);
    let app = fetched(&mut world, sleep_for_ever);
    assert_eq!(app.exit_code(), Some(1));
    assert!(
        app.stderr().starts_with("error: refused"),
        "{}",
        app.stderr()
    );

    let mut world = World::from_env(1);
    let node = world.node("client", "93.184.215.2/24");
    let app = node
        .app(MANIFEST)
        .allow_manifest()
        .args([URL])
        .start(crate::run);
    world.run(LIMIT).unwrap();
    assert_eq!(app.exit_code(), Some(1));
    assert!(app.stderr().starts_with("error: "), "{}", app.stderr());
}

async fn sleep_for_ever() -> Result<(), Error> {
    sleep(Duration::MAX).await;
    Ok(())
}
