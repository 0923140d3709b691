//! A fixed piece of work on the packet path, for counting instructions: `packet-path WORK UNITS`.
//!
//! `cargo xtask bench --instructions` runs it under callgrind, which counts from where [`counted`] is entered to
//! where it is left, and divides by the units. No clock, no randomness, no threads: the same build counts the same
//! every time. The far end is a stack of ours, too, but works uncounted (echo apart, where both do).

use std::process::ExitCode;
use std::task::{Poll, Waker};
use std::time::Duration;

use nexus_policy::{Act, AppIdentity, Consent, Gate, Manifest, Policy, Topology, WallTime};
use nexus_stack::{Config, Frame, Scope, Stack, TcpId, TcpOptions, UdpId, UdpOptions};
use nexus_types::{AppDigest, HostName, InstanceId, Instant, InterfaceAddress, Seed, SocketAddr};

const APP: Scope = Scope(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, units] = &arguments[..] else {
        eprintln!("usage: packet-path WORK UNITS");
        return ExitCode::FAILURE;
    };
    let units: u32 = units.parse().unwrap_or(0);
    match work.as_str() {
        "tcp-receive" => Pair::new().bulk(units, Counted::Receiver),
        "tcp-send" => Pair::new().bulk(units, Counted::Sender),
        "tcp-echo" => Pair::new().echo(units),
        "udp" => Pair::new().datagrams(units),
        "decide" => decide(units),
        _ => {
            eprintln!("{work} is no work of packet-path");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What callgrind counts: its name is what xtask asks for.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    std::hint::black_box(work())
}

enum Counted {
    Sender,
    Receiver,
}

/// Two stacks as on a wire (MTU 1500, checksums), a connection and a pair of UDP sockets between them.
struct Pair {
    a: Stack,
    b: Stack,
    client: TcpId,
    server: TcpId,
    from: UdpId,
    to: UdpId,
    now: Instant,
    data: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::ZERO;
        let ip = |number: u8| SocketAddr::from(([10, 0, 0, number], 80));
        let stack = |number: u8| {
            let address = InterfaceAddress::new(ip(number).ip(), 24).expect("a prefix that fits");
            let mut config = Config::new(1_500, vec![address]);
            config.tcp.rx_bytes = 128 << 10;
            config.tcp.tx_bytes = 128 << 10;
            Stack::new(config, now, Seed::from_number(number.into()))
                .expect("a sound configuration")
        };
        let (mut a, mut b) = (stack(1), stack(2));
        let options = TcpOptions::default();
        let listener = b
            .tcp_listen(now, APP, ip(2), 1, &options)
            .expect("a free port");
        let client = a
            .tcp_connect(now, APP, None, ip(2), &options)
            .expect("can be tried");
        for _ in 0..4 {
            deliver(&frames(&mut a, now), &mut b, now);
            deliver(&frames(&mut b, now), &mut a, now);
        }
        let Poll::Ready(Ok(server)) = b.poll_accept(now, listener, Waker::noop()) else {
            panic!("the connection was not made");
        };
        let options = UdpOptions::default();
        let from = a.udp_bind(now, APP, ip(1), &options).expect("a free port");
        let to = b.udp_bind(now, APP, ip(2), &options).expect("a free port");
        Self {
            a,
            b,
            client,
            server,
            from,
            to,
            now,
            data: vec![7; 64 << 10],
        }
    }

    /// A little later; timers that are due act.
    fn pass(&mut self) {
        self.now += Duration::from_micros(50);
        for stack in [&mut self.a, &mut self.b] {
            if stack.poll_timeout().is_some_and(|at| at <= self.now) {
                stack.handle_timeout(self.now);
            }
        }
    }

    /// So many full segments, one way, 64 KiB a write.
    fn bulk(mut self, segments: u32, counts: Counted) {
        let mut rest = segments as usize * 1_460;
        let mut unread = rest;
        let mut buffer = vec![0; 64 << 10];
        while unread > 0 {
            let now = self.now;
            let mut send = || {
                while rest > 0 {
                    let chunk = &self.data[..self.data.len().min(rest)];
                    match self.a.poll_write(now, self.client, chunk, Waker::noop()) {
                        Poll::Ready(Ok(queued)) => rest -= queued,
                        _ => break,
                    }
                }
                frames(&mut self.a, now)
            };
            let sent = match counts {
                Counted::Sender => counted(send),
                Counted::Receiver => send(),
            };
            let mut receive = || {
                deliver(&sent, &mut self.b, now);
                while let Poll::Ready(Ok(read @ 1..)) =
                    self.b
                        .poll_read(now, self.server, &mut buffer, Waker::noop())
                {
                    unread -= read;
                }
                frames(&mut self.b, now)
            };
            let answers = match counts {
                Counted::Sender => receive(),
                Counted::Receiver => counted(receive),
            };
            let mut take = || deliver(&answers, &mut self.a, now);
            match counts {
                Counted::Sender => counted(take),
                Counted::Receiver => take(),
            }
            recycle(sent, &mut self.a);
            recycle(answers, &mut self.b);
            self.pass();
        }
    }

    /// 64 bytes there and back; both ends count.
    fn echo(mut self, rounds: u32) {
        for _ in 0..rounds {
            counted(|| {
                let now = self.now;
                exchange(
                    now,
                    (&mut self.a, self.client),
                    (&mut self.b, self.server),
                    &self.data,
                );
                exchange(
                    now,
                    (&mut self.b, self.server),
                    (&mut self.a, self.client),
                    &self.data,
                );
            });
            self.pass();
        }
    }

    /// Datagrams of 512 bytes; both ends count.
    fn datagrams(mut self, datagrams: u32) {
        let remote = SocketAddr::from(([10, 0, 0, 2], 80));
        for _ in 0..datagrams {
            counted(|| {
                let now = self.now;
                let sent = self.a.udp_send(now, self.from, &self.data[..512], remote);
                assert!(sent.is_ok(), "there is room");
                while let Some(frame) = self.a.poll_transmit(now) {
                    self.b.handle_frame(now, &frame);
                    self.a.recycle(frame);
                }
                let received = self
                    .b
                    .poll_udp_recv(now, self.to, Waker::noop(), |_, data| data.len());
                assert_eq!(received, Poll::Ready(Ok(512)));
            });
            self.pass();
        }
    }
}

/// One message from the first end to the second, and what follows from it.
fn exchange(
    now: Instant,
    (from, sender): (&mut Stack, TcpId),
    (to, reader): (&mut Stack, TcpId),
    data: &[u8],
) {
    let sent = from.poll_write(now, sender, &data[..64], Waker::noop());
    assert_eq!(sent, Poll::Ready(Ok(64)));
    while let Some(frame) = from.poll_transmit(now) {
        to.handle_frame(now, &frame);
        from.recycle(frame);
    }
    let mut buffer = [0; 64];
    let read = to.poll_read(now, reader, &mut buffer, Waker::noop());
    assert_eq!(read, Poll::Ready(Ok(64)));
    while let Some(frame) = to.poll_transmit(now) {
        from.handle_frame(now, &frame);
        to.recycle(frame);
    }
}

fn frames(stack: &mut Stack, now: Instant) -> Vec<Frame> {
    std::iter::from_fn(|| stack.poll_transmit(now)).collect()
}

fn deliver(frames: &[Frame], to: &mut Stack, now: Instant) {
    for frame in frames {
        to.handle_frame(now, frame);
    }
}

fn recycle(frames: Vec<Frame>, to: &mut Stack) {
    frames.into_iter().for_each(|frame| to.recycle(frame));
}

/// Decisions by name, allowed, behind 1,000 rules that are about others.
fn decide(decisions: u32) {
    let app = InstanceId(1);
    let mut policy = String::new();
    for number in 0..1_000 {
        let verdict = ["forbid", "ask", "allow"][number % 3];
        policy += &format!(
            "[[rule]]\nid = \"r{number}\"\ncapability = \"network.tcp.connect\"\n\
             verdict = \"{verdict}\"\nto = [\"host{number}.example.net:443\"]\n"
        );
    }
    policy += "[[rule]]\nid = \"own\"\ncapability = \"network.tcp.connect\"\n\
               verdict = \"allow\"\nto = [\"api.example.com:443\"]\n";
    let manifest = "[app]\nid = \"bench\"\n[capabilities.\"network.tcp.connect\"]\n\
                    allow = [\"api.example.com:443\"]\n";
    let mut gate = Gate::new(Topology::default());
    let policy = Policy::parse(&policy, "policy.toml").expect("a policy");
    gate.set_policies(Instant::ZERO, WallTime(0), Policy::none(), policy);
    let identity = AppIdentity {
        id: "bench".to_owned(),
        digest: AppDigest([7; 32]),
        publisher: None,
    };
    let manifest = Manifest::parse(manifest, "nexus.toml").expect("a manifest");
    gate.admit(
        Instant::ZERO,
        app,
        identity,
        manifest,
        Consent::default(),
        &[],
    )
    .expect("admitted");
    let name = HostName::parse("api.example.com").expect("a name");
    let remote = SocketAddr::from(([93, 184, 216, 34], 443));
    let until = Instant::from_secs(300);
    gate.bind_answer(Instant::ZERO, app, &name, &[remote.ip()], until);
    let act = Act::Connect {
        remote,
        name: Some(&name),
    };
    for _ in 0..decisions {
        let decided = counted(|| gate.decide(Instant::from_secs(1), app, &act));
        assert!(decided.is_ok(), "it is allowed");
    }
}
