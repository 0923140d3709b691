//! The app as it is, on a simulated node: many clients, a bad link, clients that break off.

use core::time::Duration;

use nexus_sdk::Error;
use nexus_sdk::sim::{App, Conditions, Node, Ppm, World};
use nexus_sdk::svc::net::TcpStream;
use nexus_sdk::svc::time::{BackoffConfig, retry, sleep};
use nexus_sdk::task::join;

const MANIFEST: &str = include_str!("../nexus.toml");

/// Longer than any of these takes.
const LIMIT: Duration = Duration::from_secs(600);

/// A world with the app at `server`, started with these arguments; and a node for its clients.
fn serving(arguments: &[&str]) -> (World, App, Node) {
    let mut world = World::from_env(1);
    let server = world
        .node("server", "10.0.0.1/24")
        .app(MANIFEST)
        .allow("network.tcp.listen=any:7777")
        .args(arguments.iter().copied())
        .background()
        .start(crate::run);
    let clients = world.node("clients", "10.0.0.2/24");
    (world, server, clients)
}

/// A client of the server, of the test's own.
fn client<F>(node: &Node, code: impl FnOnce() -> F + 'static) -> App
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    node.app("")
        .allow("network.tcp.connect=lan:7777")
        .allow("network.tcp.connect=server:7777")
        .start(code)
}

/// Sends `bytes`, all of one value, and reads them back.
async fn echoed(value: u8, bytes: usize) -> Result<(), Error> {
    let connect = || TcpStream::connect("server:7777");
    let (mut read, mut write) = retry(BackoffConfig::default(), connect).await?.split();
    let (sent, back) = join(
        async move {
            write.write_all(vec![value; bytes]).await?;
            write.finish()
        },
        read.read_to_end(bytes),
    )
    .await;
    sent?;
    let back = back?;
    assert!(back.len() == bytes && back.iter().all(|byte| *byte == value));
    Ok(())
}

#[track_caller]
fn all_end(world: &mut World, clients: &[App]) {
    world.run(LIMIT).unwrap();
    for client in clients {
        assert_eq!(client.exit_code(), Some(0), "{}", client.stderr());
    }
}

/// Goal: every client gets back its own bytes, then the end. Method: 100 clients at once, and 10 at a time where the
/// app is told to serve no more.
#[test]
fn many_clients_are_served() {
    for arguments in [&[][..], &["0.0.0.0:7777", "10"]] {
        let (mut world, server, node) = serving(arguments);
        let clients: Vec<_> = (0..100)
            .map(|number| client(&node, move || echoed(number, 20_000)))
            .collect();
        all_end(&mut world, &clients);
        assert_eq!(server.exit_code(), None, "it serves for ever");
        assert_eq!(server.stdout(), "listening on 0.0.0.0:7777\n");
        assert_eq!(server.stderr(), "");
    }
}

/// Goal: a bad link changes nothing of that. Method: loss and reordering.
#[test]
fn bytes_come_back_over_a_bad_link() {
    let (mut world, _, node) = serving(&[]);
    world.link(Conditions {
        latency: Duration::from_millis(5),
        loss: Ppm::per_mille(20),
        reorder: Ppm::per_mille(50),
        reorder_by: Duration::from_millis(5),
        ..Conditions::PLAIN
    });
    let clients: Vec<_> = (0..10)
        .map(|number| client(&node, move || echoed(number, 20_000)))
        .collect();
    all_end(&mut world, &clients);
}

/// Goal: however bad the link, nobody is left waiting for minutes. Method: one client, 300 seeds, a link that loses,
/// repeats, reorders and flips; how long it takes, in virtual time. What is lost twice waits for a timeout: a second,
/// and twice as long each further time in a row. So four seconds are usual; 30 is four in a row, twice, and
/// the slowest took 13. Two ends that are deaf to each other but for probes a minute apart took up to ten minutes.
#[test]
fn a_very_bad_link_costs_seconds_and_not_minutes() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        let server = world.node("server", "10.0.0.1/24");
        server
            .app(MANIFEST)
            .allow("network.tcp.listen=any:7777")
            .background()
            .start(crate::run);
        let node = world.node("clients", "10.0.0.2/24");
        world.link(Conditions {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(10),
            loss: Ppm::per_mille(30),
            duplication: Ppm::per_mille(20),
            reorder: Ppm::per_mille(100),
            reorder_by: Duration::from_millis(20),
            bit_flip: Ppm::per_mille(5),
            ..Conditions::PLAIN
        });
        let client = client(&node, || echoed(7, 200_000));
        world.run(Duration::from_secs(30)).unwrap();
        assert_eq!(client.exit_code(), Some(0), "{seed}: {}", client.stderr());
    }
}

/// Goal: a client that breaks off is told of and harms nobody. Method: one cuts its connection in the middle, the next
/// is served.
#[test]
fn reject_a_client_that_breaks_off() {
    let (mut world, server, node) = serving(&[]);
    let cuts = client(&node, async || {
        let mut stream = TcpStream::connect("server:7777").await?;
        stream.write_all("hello").await?;
        assert_eq!(stream.read(10).await?, b"hello");
        stream.abort();
        Ok(())
    });
    let next = client(&node, async || {
        sleep(Duration::from_secs(1)).await;
        echoed(7, 100).await
    });
    all_end(&mut world, &[cuts, next]);
    let said = server.stderr();
    assert!(said.contains(": reset: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Goal: it listens where it was granted and nowhere else. Method: another port; no grant at all.
#[test]
fn reject_where_it_may_not_listen() {
    let mut world = World::from_env(1);
    let node = world.node("server", "10.0.0.1/24");
    let elsewhere = node
        .app(MANIFEST)
        .allow("network.tcp.listen=any:7777")
        .args(["0.0.0.0:7778"])
        .start(crate::run);
    let refused = node.app(MANIFEST).allow_manifest().start(crate::run);
    world.run(LIMIT).unwrap();
    assert_eq!(elsewhere.exit_code(), Some(1));
    assert!(
        elsewhere.stderr().starts_with("error: denied"),
        "{}",
        elsewhere.stderr()
    );
    // Listening is a capability of system class: the operator's yes is needed, not a person's.
    assert_eq!(refused.exit_code(), Some(77));
}

#[test]
fn reject_arguments_it_cannot_read() {
    let mut world = World::from_env(1);
    let app = world
        .node("server", "10.0.0.1/24")
        .app(MANIFEST)
        .allow("network.tcp.listen=any:7777")
        .args(["here"])
        .start(crate::run);
    world.run(LIMIT).unwrap();
    assert_eq!(app.exit_code(), Some(1));
    assert!(app.stderr().contains("usage: tcp-echo"), "{}", app.stderr());
}
