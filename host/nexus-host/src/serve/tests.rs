//! Goal: every wait of serving ends when it should, and not before. Method: the server as it is, on a clock that the
//! test moves, with clients on streams in memory and apps of a few instructions.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt as _, StreamExt as _};
use nexus_caps::NetCtx;
use nexus_policy::{Policy, WallTime};
use nexus_sim::{Boot, Machine as _};
use nexus_stack::Config;
use nexus_types::{InstanceId, Instant, Seed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf};
use wasmtime::component::{Component, Linker};

use super::*;
use crate::driver::{GuestMachine, SLICE_FUEL};
use crate::runtime::clocks::WallClock;
use crate::runtime::engine::{EngineOptions, HostEngine, Slices};
use crate::runtime::limits::AppLimits;
use crate::runtime::state::{AppStart, Opened};
use crate::runtime::{imports, linker};

/// Returns at once, without an answer.
const RETURNS: &str = "";
/// Waits for an hour.
const WAITS: &str = "(call $block (call $subscribe (i64.const 3600000000000)))";

fn component(engine: &wasmtime::Engine, body: &str) -> Component {
    let text = format!(
        r#"(component
            (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $p (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $p))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $p))
                (export "pollable" (type $q (eq $p)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $q))))))
            (import "wasi:http/types@0.2.0" (instance $http
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $http "incoming-request" (type $request))
            (alias export $http "response-outparam" (type $out))
            (core func $block (canon lower (func $poll "[method]pollable.block")))
            (core func $subscribe (canon lower (func $clock "subscribe-duration")))
            (core module $m
                (import "host" "block" (func $block (param i32)))
                (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
                (func (export "handle") (param i32 i32) {body}))
            (core instance $i (instantiate $m (with "host" (instance
                (export "block" (func $block))
                (export "subscribe" (func $subscribe))))))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $i "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    );
    Component::new(engine, wat::parse_str(text).expect("wat")).expect("compiles")
}

/// A stream that takes one piece at a time, as the kernel's: hyper copies what it holds for it into one buffer.
struct Plain(DuplexStream);

impl BreakOff for Plain {
    fn break_off(&mut self) {}
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Clients of a test, as they come.
struct Clients(mpsc::UnboundedReceiver<DuplexStream>);

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

impl Listener for Clients {
    type Stream = Plain;

    fn local(&self) -> SocketAddr {
        NOWHERE
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Plain, SocketAddr)>> {
        let next = self.0.poll_next_unpin(cx);
        next.map(|stream| {
            stream
                .map(|stream| (Plain(stream), NOWHERE))
                .ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }
}

struct Lab {
    machine: GuestMachine,
    now: Instant,
    server: Server,
    clients: mpsc::UnboundedSender<DuplexStream>,
}

impl Lab {
    fn new(body: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let slices = Slices::Fuel(SLICE_FUEL);
        let engine = HostEngine::new(EngineOptions {
            pooling: false,
            slices,
            ..EngineOptions::default()
        })
        .expect("engine");
        let seed = Seed::from_number(1);
        let boot = Boot {
            number: 1,
            now: Instant::ZERO,
            addresses: &[],
            store: nexus_sim::Store::default(),
            seed: seed.split("machine"),
        };
        let policy = (
            Policy::none(),
            WallTime::parse("2026-01-01T00:00:00Z").expect("a time"),
        );
        let machine = GuestMachine::new(&boot, Config::new(1_500, Vec::new()), policy, |_| {})
            .expect("a machine");
        let component = component(engine.engine(), body);
        let mut links = Linker::new(engine.engine());
        let wanted = imports::of_component(engine.engine(), &component);
        linker::link_base(&mut links, &wanted).expect("links");
        let start = AppStart {
            args: vec!["app".into()],
            env: Vec::new(),
            dirs: Vec::new(),
            stdin: None,
            stdout: None,
            stderr: None,
            seed,
            wall: WallClock::Os,
            slices,
            limits: AppLimits::default(),
            roots: Vec::new(),
        };
        let net = NetCtx {
            shard: machine.shard().clone(),
            node: machine.node(),
            instance: InstanceId(0),
        };
        let opened = Opened::new(&[]).expect("no folders");
        let servable = Servable::new(&links, &component).expect("fits");
        let app = App::new(servable, start, opened, net);
        let mut settings = Settings::for_handler(app.handler());
        change(&mut settings);
        let server = Server::new(
            app,
            settings,
            machine.spawner(),
            AccessLog::new(None),
            ("app".into(), None),
        );
        let (clients, come) = mpsc::unbounded();
        server.listen(Clients(come), None);
        Self {
            machine,
            now: Instant::ZERO,
            server,
            clients,
        }
    }

    /// Lets everything happen that happens within `time`.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let busy = self.machine.run(self.now);
            let next = [busy, self.machine.poll_timeout()];
            match next.into_iter().flatten().min() {
                Some(next) if next <= end => self.now = next.max(self.now),
                _ => break,
            }
            self.machine.handle_timeout(self.now);
        }
        self.now = end;
        self.machine.handle_timeout(end);
        self.machine.run(end);
    }

    fn connect(&self) -> Client {
        self.connect_within(1 << 16)
    }

    /// The network takes `room` bytes each way that nobody has read.
    fn connect_within(&self, room: usize) -> Client {
        let (near, far) = tokio::io::duplex(room);
        self.clients.unbounded_send(far).expect("somebody listens");
        Client(near)
    }

    fn ask(&self) -> Client {
        let mut client = self.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    }
}

struct Client(DuplexStream);

impl Client {
    fn send(&mut self, text: &str) {
        let sent = self.0.write_all(text.as_bytes()).now_or_never();
        sent.expect("there is room").expect("sends");
    }

    /// What has come; none: the connection has ended.
    fn received(&mut self) -> Option<String> {
        let mut all = String::new();
        let mut bytes = [0; 4096];
        loop {
            match self.0.read(&mut bytes).now_or_never() {
                None => return Some(all),
                Some(Ok(0) | Err(_)) if all.is_empty() => return None,
                Some(Ok(0) | Err(_)) => return Some(all),
                Some(Ok(count)) => all.push_str(&String::from_utf8_lossy(&bytes[..count])),
            }
        }
    }

    fn status(&mut self) -> Option<u16> {
        let received = self.received()?;
        received.split(' ').nth(1)?.parse().ok()
    }
}

const STEP: Duration = Duration::from_millis(1);

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

#[test]
fn reject_an_app_that_takes_longer_than_its_deadline() {
    let deadline = micros(limits::SERVE_DEADLINE_MICROS);
    let mut lab = Lab::new(WAITS, |_| {});
    let mut client = lab.ask();
    lab.pass(deadline - STEP);
    assert_eq!(client.received().as_deref(), Some(""));
    assert_eq!(lab.server.0.pool.living(), 1);
    lab.pass(STEP);
    assert_eq!(client.status(), Some(504));
    assert_eq!(lab.server.0.pool.living(), 0);
    // The connection goes on.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    lab.pass(deadline);
    assert_eq!(client.status(), Some(504));
}

/// Goal: a head that drips, and a connection that says nothing, end alike. Method: a byte a second; and none.
#[test]
fn reject_a_head_that_drips() {
    let time = micros(limits::SERVE_HEAD_MICROS);
    let mut lab = Lab::new(RETURNS, |_| {});
    let (mut slow, mut silent) = (lab.connect(), lab.connect());
    slow.send("GET / HTTP/1.1\r\nx: ");
    let mut passed = Duration::ZERO;
    while passed + Duration::from_secs(1) < time {
        slow.send("y");
        lab.pass(Duration::from_secs(1));
        passed += Duration::from_secs(1);
    }
    lab.pass(time - passed - STEP);
    assert_eq!(slow.received().as_deref(), Some(""));
    assert_eq!(silent.received().as_deref(), Some(""));
    lab.pass(STEP);
    assert_eq!(slow.received(), None);
    assert_eq!(silent.received(), None);
}

/// Goal: an idle connection that was used ends as one that never was. Method: one request, then nothing.
#[test]
fn reject_a_connection_that_stays_idle() {
    let time = micros(limits::SERVE_HEAD_MICROS);
    let mut lab = Lab::new(RETURNS, |_| {});
    let mut client = lab.ask();
    lab.pass(STEP);
    assert_eq!(client.status(), Some(500));
    lab.pass(time - 3 * STEP);
    assert_eq!(client.received().as_deref(), Some(""));
    lab.pass(3 * STEP);
    assert_eq!(client.received(), None);
}

#[test]
fn as_many_requests_as_may_be_in_flight_are() {
    let mut lab = Lab::new(WAITS, |settings| settings.requests = 2);
    let _clients = [lab.ask(), lab.ask()];
    lab.pass(STEP);
    assert_eq!(lab.server.0.pool.living(), 2);
}

/// Goal: one request too many waits for its turn, for so long. Method: one place, taken; then a second one that gets
/// it.
#[test]
fn reject_a_request_whose_turn_does_not_come() {
    let wait = micros(limits::SERVE_WAIT_MICROS);
    let mut lab = Lab::new(WAITS, |settings| settings.requests = 1);
    let first = lab.ask();
    let mut second = lab.ask();
    lab.pass(wait - STEP);
    assert_eq!(second.received().as_deref(), Some(""));
    lab.pass(STEP);
    let answer = second.received().expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert_eq!(lab.server.0.pool.living(), 1);
    // The next one gets the place, once its client has left.
    let mut third = lab.ask();
    lab.pass(STEP);
    drop(first);
    lab.pass(micros(limits::SERVE_DEADLINE_MICROS) + STEP);
    assert_eq!(third.status(), Some(504));
}

/// Goal: one connection too many is not taken, and not refused. Method: one place; the second is answered when the
/// first has left.
#[test]
fn reject_a_connection_too_many_until_one_leaves() {
    let mut lab = Lab::new(RETURNS, |settings| settings.connections = 1);
    let mut first = lab.ask();
    let mut second = lab.ask();
    lab.pass(STEP);
    assert_eq!(first.status(), Some(500));
    assert_eq!(second.received().as_deref(), Some(""));
    drop(first);
    lab.pass(STEP);
    assert_eq!(second.status(), Some(500));
}

/// Goal: an instance that could serve more is kept for so long, and used. Method: two requests, less than a second
/// apart; then nothing.
#[test]
fn an_idle_instance_serves_again_and_then_ends() {
    let idle = micros(limits::SERVE_IDLE_MICROS);
    let mut lab = Lab::new(RETURNS, |settings| settings.reuse = 10);
    for _ in 0..2 {
        let mut client = lab.ask();
        lab.pass(idle - STEP);
        assert_eq!(client.status(), Some(500));
    }
    assert_eq!(lab.server.0.pool.living(), 1);
    assert_eq!(lab.server.0.pool.started(), 1);
    // What it worked took time, too.
    lab.pass(2 * STEP);
    assert_eq!(lab.server.0.pool.living(), 0);
}

/// Goal: draining ends when all is done, or else when the grace period is over, and says what it cut. Method: an app
/// that hangs, one that does not.
#[test]
fn draining_waits_no_longer_than_it_may() {
    let grace = Duration::from_secs(10);
    for (body, cut, takes) in [(WAITS, 1, grace), (RETURNS, 0, STEP)] {
        let mut lab = Lab::new(body, |_| {});
        let mut client = lab.ask();
        lab.pass(STEP);
        let served = Rc::new(Cell::new(None));
        let (told, server) = (served.clone(), lab.server.clone());
        lab.machine.spawn(async move {
            let (_, served) = server.until(async {}, grace).await;
            told.set(Some(served));
        });
        lab.pass(takes - STEP);
        assert_eq!(served.get().is_some(), cut == 0);
        lab.pass(STEP);
        let served = served.get().expect("it has ended");
        assert_eq!(served.cut, cut);
        assert_eq!(served.connections, 1);
        if cut == 0 {
            assert_eq!(client.status(), Some(500));
            assert_eq!(client.received(), None);
        }
        assert!(lab.clients.unbounded_send(tokio::io::duplex(1).0).is_err());
    }
}

/// Goal: who does not take the end of an answer is let go, like who does not take its beginning. Method: an answer larger
/// than what the network takes, and none of it read, which hyper holds whole.
#[test]
fn reject_a_client_that_never_takes_the_end_of_an_answer() {
    let mut lab = Lab::new(RETURNS, |settings| settings.connections = 1);
    let mut client = lab.connect_within(64);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    lab.pass(STEP);
    assert_eq!(lab.server.0.served.get().requests, 1);
    let mut next = lab.ask();
    lab.pass(micros(
        limits::SERVE_DEADLINE_MICROS + limits::SERVE_HEAD_MICROS,
    ));
    assert_eq!(next.status(), Some(500), "its place is free");
}

/// Goal: answers that nobody takes do not pile up. Method: ten thousand pipelined requests, whose bodies nobody reads,
/// and none of the answers read.
#[test]
fn reject_requests_whose_answers_nobody_takes() {
    let mut lab = Lab::new(RETURNS, |_| {});
    let mut client = lab.connect_within(1 << 10);
    let request =
        b"POST / HTTP/1.1\r\nHost: u@a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let mut sent = 0;
    for _ in 0..10_000 {
        match client.0.write_all(request).now_or_never() {
            Some(result) => result.expect("sends"),
            None => break,
        }
        sent += 1;
        lab.machine.run(lab.now);
    }
    // Each is more than this, the buffer as large as it may be.
    let held = lab.server.0.served.get().requests * 100;
    let most = limits::SERVE_BUFFER_BYTES as u64;
    assert!(held < most, "{held} bytes of {sent} answers");
}

/// Goal: an answer is whole, however slowly it is taken and whatever was not read of the request. Method: one before its
/// request's body has come, taken a few bytes at a time; the same while draining, and of a client that would have liked
/// another protocol.
#[test]
fn an_answer_taken_slowly_is_whole() {
    for (drains, more) in [(false, ""), (true, ""), (false, "Upgrade: h2c\r\n")] {
        let mut lab = Lab::new(RETURNS, |_| {});
        let mut client = lab.connect_within(48);
        client.send("POST / HTTP/1.1\r\nHost: a\r\n");
        lab.pass(STEP);
        client.send(more);
        lab.pass(STEP);
        client.send("Content-Length: 99999999\r\n\r\n");
        lab.pass(STEP);
        if drains {
            drop(lab.server.0.drain.borrow_mut().take());
        }
        let mut all = String::new();
        while let Some(some) = client.received() {
            if some.is_empty() {
                break;
            }
            all += &some;
            lab.pass(STEP);
        }
        assert!(all.starts_with("HTTP/1.1 413 "), "{all}");
        assert!(all.ends_with("\r\n\r\n413 Payload Too Large\n"), "{all}");
    }
}
