//! A far end that knows all sequence numbers and keeps to no rule: it may harm its own connection,
//! never the stack, and never another connection.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{
    Congestion, KeepAlive, ListenerId, Scope, Stack, TcpError, TcpId, TcpOptions, UdpError,
    UdpOptions,
};
use nexus_types::{Instant, Seed, SocketAddr};

use crate::pair::{A, APP, B, Pair, address, config, idle};
use crate::raw::{self, ACK, FIN, RST, SYN, Segment};

const URG: u8 = 0x20;
const US: &str = "10.0.0.1:80";

/// One stack, and the far end's side of one connection with it.
pub(crate) struct Far {
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
    pub(crate) us: SocketAddr,
    far: SocketAddr,
    /// What the far end sends next, and what it has received.
    pub(crate) next: u32,
    pub(crate) received: u32,
    pub(crate) window: u16,
    /// Every segment the stack sent, with its window.
    pub(crate) sent: Vec<(Segment, u16)>,
}

impl Far {
    pub(crate) fn new(us: &str, far: &str) -> Self {
        let seed = Seed::from_number(11);
        let stack = Stack::new(config(A), Instant::ZERO, seed).expect("sound");
        Self {
            stack,
            now: Instant::ZERO,
            us: address(us),
            far: address(far),
            next: 0xffff_ff00, // wraps soon
            received: 0,
            window: 0xffff,
            sent: Vec::new(),
        }
    }

    fn listen(&mut self) -> ListenerId {
        self.stack
            .tcp_listen(self.now, APP, self.us, 8, &TcpOptions::default())
            .expect("free")
    }

    /// A listener, and a connection to it that was accepted.
    pub(crate) fn established() -> (Self, TcpId) {
        let mut far = Self::new(US, "10.0.0.2:5000");
        let id = far.accept();
        (far, id)
    }

    /// A connection of the far end's that was accepted.
    pub(crate) fn accept(&mut self) -> TcpId {
        let listener = self.listen();
        self.dial(listener, &[])
    }

    pub(crate) fn dial(&mut self, listener: ListenerId, options: &[u8]) -> TcpId {
        self.send(SYN, 0, options, b"");
        self.next = self.next.wrapping_add(1);
        let answer = self.last();
        assert_eq!(answer.flags, SYN | ACK);
        self.received = answer.seq.wrapping_add(1);
        self.send(ACK, 0, &[], b"");
        match self.stack.poll_accept(self.now, listener, idle()) {
            Poll::Ready(Ok(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    /// A segment `ahead` of where the far end stands; it stands still.
    fn send(&mut self, flags: u8, ahead: u32, options: &[u8], data: &[u8]) {
        self.send_ack(flags, ahead, 0, options, data);
    }

    pub(crate) fn send_ack(
        &mut self,
        flags: u8,
        ahead: u32,
        ack: u32,
        options: &[u8],
        data: &[u8],
    ) {
        self.hand(flags, ahead, ack, options, data);
        self.take();
    }

    /// As [`Far::send_ack`], with what the stack says to it left there.
    fn hand(&mut self, flags: u8, ahead: u32, ack: u32, options: &[u8], data: &[u8]) {
        let mut bytes = Vec::new();
        bytes.extend(self.far.port().to_be_bytes());
        bytes.extend(self.us.port().to_be_bytes());
        bytes.extend(self.next.wrapping_add(ahead).to_be_bytes());
        bytes.extend(self.received.wrapping_add(ack).to_be_bytes());
        bytes.extend([(5 + options.len() as u8 / 4) << 4, flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0, 0, 3]); // an urgent pointer, wherever URG is set
        bytes.extend(options);
        bytes.extend(data);
        let packet = raw::packet(self.far.ip(), self.us.ip(), 6, bytes, 16);
        self.stack.handle_frame(self.now, &packet);
    }

    /// Data or an end in order; the far end goes on by it.
    pub(crate) fn say(&mut self, flags: u8, data: &[u8]) {
        self.send(flags, 0, &[], data);
        let end = u32::from(flags & FIN != 0);
        self.next = self.next.wrapping_add(data.len() as u32 + end);
    }

    /// What the stack sends; data in order is received, not yet acknowledged.
    pub(crate) fn take(&mut self) {
        for _ in 0..10_000 {
            let Some(frame) = self.stack.poll_transmit(self.now) else {
                return;
            };
            assert!(frame.len() <= 1_500);
            if let Some(segment) = Segment::read(&frame)
                && segment.dst == self.far
            {
                if segment.seq == self.received && segment.flags & (SYN | RST) == 0 {
                    let end = u32::from(segment.flags & FIN != 0);
                    let len = segment.data.len() as u32 + end;
                    self.received = self.received.wrapping_add(len);
                }
                let header = if self.us.is_ipv4() { 20 } else { 40 };
                let window = u16::from_be_bytes([frame[header + 14], frame[header + 15]]);
                self.sent.push((segment, window));
            }
            self.stack.recycle(frame);
        }
        panic!("frames without an end");
    }

    pub(crate) fn last(&self) -> &Segment {
        &self.sent.last().expect("something was sent").0
    }

    /// Time passes with the far end silent.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..100_000 {
            self.take();
            match self.stack.poll_timeout().filter(|at| *at <= until) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.stack.handle_timeout(self.now);
                }
                None => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("deadlines without an end");
    }

    fn read(&mut self, id: TcpId) -> Poll<Result<Vec<u8>, TcpError>> {
        let mut buf = [0; 65_536];
        let read = self.stack.poll_read(self.now, id, &mut buf, idle());
        read.map_ok(|len| buf[..len].to_vec())
    }

    fn write(&mut self, id: TcpId, data: &[u8]) -> usize {
        match self.stack.poll_write(self.now, id, data, idle()) {
            Poll::Ready(Ok(len)) => {
                self.take();
                len
            }
            other => panic!("{other:?}"),
        }
    }

    /// The connection carries bytes both ways, as if nothing had been.
    fn assert_works(&mut self, id: TcpId) {
        self.say(ACK, b"ping");
        assert_eq!(self.read(id), Poll::Ready(Ok(b"ping".to_vec())));
        let before = self.received;
        assert_eq!(self.write(id, b"pong"), 4);
        assert_eq!(self.received.wrapping_sub(before), 4);
        self.send(ACK, 0, &[], b"");
    }
}

fn ready<T: core::fmt::Debug>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

#[test]
fn reject_what_comes_after_the_end() {
    // CLOSE-WAIT: the end was told, and read.
    let (mut far, id) = Far::established();
    far.say(ACK | FIN, b"all");
    assert_eq!(far.read(id), Poll::Ready(Ok(b"all".to_vec())));
    assert_eq!(far.read(id), Poll::Ready(Ok(Vec::new())));
    for flags in [ACK, ACK | FIN] {
        far.send(flags, 0, &[], b"more");
        far.send(flags, 5, &[], b"more");
        far.send(flags, u32::MAX, &[], b"over the end");
        assert_eq!(far.stack.tcp_readable(id), 0, "{flags}");
        assert_eq!(far.read(id), Poll::Ready(Ok(Vec::new())), "{flags}");
    }
    // Our direction is as it was, and LAST-ACK takes no data either.
    let before = far.received;
    assert_eq!(far.write(id, b"answer"), 6);
    assert_eq!(far.received.wrapping_sub(before), 6);
    far.stack.tcp_finish(far.now, id).expect("open");
    far.take();
    far.send(ACK, 0, &[], b"more");
    assert_eq!(far.read(id), Poll::Ready(Ok(Vec::new())));
    far.send(ACK, 0, &[], b"");
    assert_eq!(ready(far.stack.poll_flushed(id, idle())), Ok(()));
}

/// Each state by its name, and how to get there from an established connection.
type Reach = (&'static str, fn(&mut Far, TcpId));

const STATES: [Reach; 5] = [
    ("established", |_, _| {}),
    ("fin-wait-1", |far, id| {
        far.stack.tcp_finish(far.now, id).expect("open");
        far.take();
    }),
    ("fin-wait-2", |far, id| {
        far.stack.tcp_finish(far.now, id).expect("open");
        far.take();
        far.send(ACK, 0, &[], b"");
    }),
    ("close-wait", |far, _| far.say(ACK | FIN, b"")),
    ("last-ack", |far, id| {
        far.say(ACK | FIN, b"");
        far.stack.tcp_finish(far.now, id).expect("open");
        far.take();
    }),
];

/// Any control, out of the window or with an acknowledgement of nothing: who cannot see the
/// connection ends nothing.
#[test]
fn reject_forgeries_in_every_state() {
    let flags = [
        0,
        SYN,
        SYN | ACK,
        FIN,
        FIN | ACK,
        RST,
        RST | ACK,
        ACK,
        URG | ACK,
        SYN | FIN,
        SYN | RST,
        FIN | RST | ACK,
        0x3f,
    ];
    let offsets = [70_000, 1 << 20, 1 << 31, 0_u32.wrapping_sub(70_000)];
    for (state, reach) in STATES {
        let (mut far, id) = Far::established();
        reach(&mut far, id);
        for flags in flags {
            for seq in offsets {
                for ack in [0, 70_000, 1 << 31, 0_u32.wrapping_sub(70_000)] {
                    far.send_ack(flags, seq, ack, &[], b"");
                    far.send_ack(flags, seq, ack, &[], b"forged");
                }
            }
            // In the window, not next: a challenge, no more.
            for flags in [SYN, SYN | ACK, RST, RST | ACK] {
                far.send_ack(flags, 1, 70_000, &[], b"");
                far.send_ack(flags, 1_000, 0, &[], b"");
            }
        }
        assert_eq!(far.stack.stats().flows, 1, "{state}");
        match state {
            "established" => far.assert_works(id),
            "fin-wait-1" | "fin-wait-2" => {
                far.say(ACK, b"still");
                assert_eq!(far.read(id), Poll::Ready(Ok(b"still".to_vec())), "{state}");
                far.say(ACK | FIN, b"");
                assert_eq!(far.read(id), Poll::Ready(Ok(Vec::new())), "{state}");
                far.run(Duration::from_millis(100));
                assert_eq!(far.stack.stats().time_wait, 1, "{state}");
            }
            _ => {
                assert_eq!(far.read(id), Poll::Ready(Ok(Vec::new())), "{state}");
                if state == "close-wait" {
                    assert_eq!(far.write(id, b"last words"), 10);
                    far.stack.tcp_finish(far.now, id).expect("open");
                    far.take();
                }
                far.send(ACK, 0, &[], b"");
                assert_eq!(ready(far.stack.poll_flushed(id, idle())), Ok(()), "{state}");
            }
        }
    }
}

/// Challenges of one connection do not use up those of another: or who makes us challenge his own
/// could count what is left, and so find another's sequence numbers (CVE-2016-5696).
#[test]
fn challenges_of_one_connection_tell_nothing_of_another() {
    let (mut far, _) = Far::established();
    for _ in 0..5_000 {
        far.send(RST, 1, &[], b"");
        far.send(SYN, 1, &[], b"");
    }
    let challenges = far.sent.len();
    assert!(challenges <= 5, "{challenges}: challenges are few");
    // Replies to what matches nothing are as many as before.
    let src = address("10.0.0.3:1");
    let stray = raw::datagram(src, address("10.0.0.1:9"), b"x");
    let suppressed = far.stack.stats().replies_suppressed;
    for _ in 0..100 {
        far.stack.handle_frame(far.now, &stray);
    }
    assert_eq!(far.stack.stats().replies_suppressed, suppressed);
    // And the other way: with those used up, a connection is still challenged.
    far.run(Duration::from_secs(2));
    for _ in 0..1_000 {
        far.stack.handle_frame(far.now, &stray);
    }
    assert!(far.stack.stats().replies_suppressed > suppressed);
    far.take();
    let before = far.sent.len();
    far.send(SYN, 0, &[], b"");
    assert_eq!(far.sent.len(), before + 1);
    assert_eq!(far.last().flags, ACK);
}

/// A SYN can open a new connection out of TIME-WAIT where somebody listens, and nowhere else.
#[test]
fn reject_a_syn_that_would_only_end_the_wait() {
    let mut far = Far::new("10.0.0.1:1", "10.0.0.2:5000");
    let id = connect(&mut far);
    far.send(SYN | ACK, 0, &[], b"");
    far.next = far.next.wrapping_add(1);
    far.received = far.last().seq;
    far.stack.tcp_finish(far.now, id).expect("open");
    far.take();
    far.say(ACK | FIN, b"");
    assert_eq!(far.stack.stats().time_wait, 1);
    far.send(SYN, 1 << 20, &[], b"");
    assert_eq!(far.stack.stats().time_wait, 1);
    assert_eq!(
        far.last().flags,
        ACK,
        "answered as what it is, a late segment"
    );
}

/// A SYN on its way to the far end; `us` is told where from.
fn connect(far: &mut Far) -> TcpId {
    let options = TcpOptions::default();
    let id = far
        .stack
        .tcp_connect(far.now, APP, None, far.far, &options)
        .expect("it can be tried");
    far.us = far.stack.tcp_addresses(id).expect("ours").0;
    far.take();
    assert_eq!(far.last().flags, SYN);
    far.received = far.last().seq.wrapping_add(1);
    id
}

#[test]
fn two_syns_that_cross_make_one_connection() {
    // The far end dials us while we dial it (RFC 9293 section 3.5, figure 8).
    let mut far = Far::new("10.0.0.1:1", "10.0.0.2:5000");
    let id = connect(&mut far);
    let ours = far.received;
    far.send_ack(SYN, 0, 0_u32.wrapping_sub(far.received), &[], b"");
    assert_eq!(far.last().flags, SYN | ACK);
    assert_eq!(far.last().seq, ours.wrapping_sub(1), "the same SYN");
    far.next = far.next.wrapping_add(1);
    far.send(ACK, 0, &[], b"");
    assert_eq!(ready(far.stack.poll_connected(id, idle())), Ok(()));
    far.assert_works(id);

    // Two of our own stacks, at the same moment.
    let mut pair = Pair::new(5);
    let (at_a, at_b) = (address("10.0.0.1:4000"), address("10.0.0.2:4000"));
    let mut dial = |on: usize, local, remote| {
        pair.stacks[on]
            .tcp_connect(pair.now, APP, Some(local), remote, &TcpOptions::default())
            .expect("it can be tried")
    };
    let (a, b) = (dial(A, at_a, at_b), dial(B, at_b, at_a));
    assert_eq!(pair.connected(A, a), Ok(()));
    assert_eq!(pair.connected(B, b), Ok(()));
    pair.write_all(A, a, b"ping");
    assert_eq!(pair.read(B, b).expect("open"), b"ping");
    pair.write_all(B, b, b"pong");
    assert_eq!(pair.read(A, a).expect("open"), b"pong");
    assert_eq!(pair.stacks[A].stats().flows, 1);
    assert_eq!(pair.stacks[B].stats().flows, 1);
}

#[test]
fn reject_answers_to_a_syn_that_acknowledge_something_else() {
    let mut far = Far::new("10.0.0.1:1", "10.0.0.2:5000");
    let id = connect(&mut far);
    for ack in [1, 70_000, 1 << 31, u32::MAX, u32::MAX - 1] {
        far.send_ack(SYN | ACK, 0, ack, &[], b"");
        far.send_ack(RST | ACK, 0, ack, &[], b"");
        far.send_ack(RST, 0, ack, &[], b"");
        far.send_ack(ACK, 0, ack, &[], b"data");
        far.send_ack(FIN | ACK, 0, ack, &[], b"");
    }
    assert!(far.stack.poll_connected(id, idle()).is_pending());
    far.send(SYN | ACK, 0, &[], b"");
    assert_eq!(ready(far.stack.poll_connected(id, idle())), Ok(()));
}

#[test]
fn a_window_that_stays_closed_costs_few_probes_and_ends_with_its_handle() {
    let (mut far, id) = Far::established();
    far.window = 0;
    far.send(ACK, 0, &[], b"");
    assert_eq!(far.write(id, &[7; 4_000]), 4_000);
    let before = far.sent.len();
    for _ in 0..600 {
        // It answers and takes no probe: that is no reason to give up (RFC 1122 section 4.2.2.17).
        let received = far.received;
        far.run(Duration::from_secs(1));
        far.received = received;
        far.send(ACK, 0, &[], b"");
    }
    let probes = far.sent.len() - before;
    assert!((3..=120).contains(&probes), "{probes} in ten minutes");
    assert_eq!(
        far.stack.stats().flows,
        1,
        "the app may wait as long as it likes"
    );
    far.stack.tcp_close(far.now, id);
    for _ in 0..61 {
        far.run(Duration::from_secs(1));
        far.send(ACK, 0, &[], b"");
    }
    assert_eq!(far.stack.stats().flows, 0, "nobody waits for it any more");
    assert!(far.sent.iter().any(|(segment, _)| segment.flags & RST != 0));
}

#[test]
fn windows_that_shrink_are_survived() {
    let (mut far, id) = Far::established();
    assert_eq!(far.write(id, &[1; 20_000]), 20_000);
    let mut acknowledged = far.received;
    for window in [0_u16, 1, 0xffff, 0, 3, 100, 0, 0xffff] {
        far.window = window;
        // Acknowledges less than before, too.
        far.send_ack(ACK, 0, acknowledged.wrapping_sub(far.received), &[], b"");
        far.run(Duration::from_secs(3));
        acknowledged = far.received;
    }
    for _ in 0..100 {
        far.send(ACK, 0, &[], b"");
        far.run(Duration::from_millis(100));
    }
    assert_eq!(ready(far.stack.poll_flushed(id, idle())), Ok(()));
    far.assert_works(id);
}

#[test]
fn segments_are_neither_tiny_nor_longer_than_the_link() {
    for (mss, most) in [(0_u16, 40), (1, 200), (8, 200), (536, 40), (65_535, 20)] {
        let mut far = Far::new(US, "10.0.0.2:5000");
        let listener = far.listen();
        let [high, low] = mss.to_be_bytes();
        let id = far.dial(listener, &[2, 4, high, low]);
        let before = far.sent.len();
        let mut left = 8_192_usize;
        while left > 0 {
            left -= far.write(id, &[0; 8_192][..left]);
        }
        for _ in 0..100 {
            far.send(ACK, 0, &[], b"");
        }
        assert_eq!(ready(far.stack.poll_flushed(id, idle())), Ok(()), "{mss}");
        let segments = far.sent.len() - before;
        assert!(segments <= most, "{mss}: {segments} segments");
    }
}

/// Goal: who wants tiny segments does not keep others from their turn. Method: it and another one have as much to be
/// sent; how many segments leave in a row. From half of what the link carries on, as many as make a large frame
/// may, at most twice as many segments.
#[test]
fn tiny_segments_leave_others_their_turn() {
    const TURN: usize = 16;
    for (mss, most) in [(48_u16, TURN), (729, TURN), (730, 2 * TURN), (1_460, TURN)] {
        let mut far = Far::new(US, "10.0.0.2:5000");
        let options = TcpOptions {
            congestion: Some(Congestion::None),
            ..TcpOptions::default()
        };
        let listener = far.stack.tcp_listen(far.now, APP, far.us, 8, &options);
        let listener = listener.expect("free");
        let ids = [(5_001, mss), (5_002, 1_460)].map(|(port, mss)| {
            far.far = SocketAddr::new(far.far.ip(), port);
            let [high, low] = mss.to_be_bytes();
            (
                far.dial(listener, &[2, 4, high, low]),
                40 * usize::from(mss),
            )
        });
        for (id, len) in ids {
            let written = far.stack.poll_write(far.now, id, &vec![7; len], idle());
            assert_eq!(ready(written), Ok(len));
        }
        let (mut last, mut row, mut longest, mut all) = (0, 0, 0, 0);
        while let Some(frame) = far.stack.poll_transmit(far.now) {
            let port = Segment::read(&frame).expect("one").dst.port();
            row = if port == last { row + 1 } else { 1 };
            (last, longest, all) = (port, longest.max(row), all + 1);
            far.stack.recycle(frame);
        }
        assert_eq!(all, 80, "{mss}");
        assert!(longest <= most, "{mss}: {longest} in a row");
    }
}

#[test]
fn urgent_data_is_data() {
    let (mut far, id) = Far::established();
    far.say(ACK | URG, b"urgent");
    assert_eq!(far.read(id), Poll::Ready(Ok(b"urgent".to_vec())));
    far.assert_works(id);
}

#[test]
fn holes_without_number_keep_nothing_but_what_fits() {
    let (mut far, id) = Far::established();
    for hole in 1..20_000_u32 {
        far.send(ACK, hole * 2, &[], b"x");
    }
    assert_eq!(far.stack.tcp_readable(id), 0);
    assert!(far.sent.len() <= 60_000);
    let whole = vec![b'y'; 40_000];
    for part in whole.chunks(1_000) {
        far.say(ACK, part);
    }
    let mut read = Vec::new();
    while let Poll::Ready(Ok(part)) = far.read(id) {
        read.extend(part);
    }
    // Where a hole was filled before, its byte stands: RFC 9293 lets either stand.
    assert_eq!(read.len(), 40_000);
    assert!(read.iter().all(|byte| matches!(byte, b'x' | b'y')));
}

#[test]
fn a_peer_that_fills_the_window_finds_it_closed() {
    let (mut far, id) = Far::established();
    for _ in 0..200 {
        far.say(ACK, &[3; 1_000]);
    }
    assert_eq!(far.stack.tcp_readable(id), 65_536);
    assert_eq!(
        far.sent.last().expect("an answer").1,
        0,
        "the window it is told"
    );
}

/// Goal: bytes beyond the buffer are not kept, however soon they come. Method: both ends scale, as RFC 7323 section 2.2
/// has it all windows but that of a SYN, which is all that was told so far; a segment lies across the end
/// of the buffer, or beyond it, and what is before it comes then. As who is dialed, as who dials and as who
/// sent nothing but a keep-alive.
#[test]
fn reject_bytes_beyond_the_buffer_before_a_window_is_told() {
    const SCALE: [u8; 4] = [1, 3, 3, 7];
    const BUFFER: u32 = 65_536;
    let options = TcpOptions {
        keep_alive: Some(KeepAlive::every(Duration::from_secs(10))),
        ..TcpOptions::default()
    };
    let dialed = |us, from| {
        let mut far = Far::new(us, from);
        let listener = far.stack.tcp_listen(far.now, APP, far.us, 8, &options);
        let listener = listener.expect("free");
        far.send(SYN, 0, &SCALE, b"");
        far.next = far.next.wrapping_add(1);
        far.received = far.last().seq.wrapping_add(1);
        (far, listener)
    };
    let accept = |far: &mut Far, listener| {
        let accepted = far.stack.poll_accept(far.now, listener, idle());
        ready(accepted).expect("a connection")
    };
    type Open<'a> = &'a dyn Fn(u32) -> (Far, TcpId);
    let opens: [(&str, Open); 4] = [
        ("dialed", &|at| {
            let (mut far, listener) = dialed(US, "10.0.0.2:5000");
            far.send(ACK, at, &[], &[7; 1_000]);
            let id = accept(&mut far, listener);
            (far, id)
        }),
        ("dialed over IPv6", &|at| {
            let (mut far, listener) = dialed("[fd00::1]:80", "[fd00::2]:5000");
            far.send(ACK, at, &[], &[7; 1_000]);
            let id = accept(&mut far, listener);
            (far, id)
        }),
        ("kept alive", &|at| {
            let (mut far, listener) = dialed(US, "10.0.0.2:5000");
            far.send(ACK, 0, &[], b"");
            let id = accept(&mut far, listener);
            far.run(Duration::from_secs(11));
            assert_eq!(far.last().data.len(), 1, "a keep-alive");
            far.send(ACK, at, &[], &[7; 1_000]);
            (far, id)
        }),
        ("dials", &|at| {
            let mut far = Far::new("10.0.0.1:1", "10.0.0.2:5000");
            let id = connect(&mut far);
            // Both are there before we say anything.
            far.hand(SYN | ACK, 0, 0, &SCALE, b"");
            far.next = far.next.wrapping_add(1);
            far.send(ACK, at, &[], &[7; 1_000]);
            (far, id)
        }),
    ];
    for (name, open) in opens {
        // To the last byte of the buffer, one over it, all but one, all, and far away. A segment that is all beyond
        // may not be what opens a connection.
        for at in [1_000, 999, 1, 0, -40_000_i32].map(|left| BUFFER.wrapping_sub(left as u32)) {
            if at >= BUFFER && name.starts_with("dialed") {
                continue;
            }
            let (mut far, id) = open(at);
            for _ in 0..BUFFER / 1_024 {
                far.say(ACK, &[1; 1_024]);
            }
            assert_eq!(far.stack.tcp_readable(id), BUFFER as usize, "{name} {at}");
            let mut read = 0;
            while let Poll::Ready(Ok(part)) = far.read(id) {
                read += part.len();
            }
            assert_eq!(read, BUFFER as usize, "{name} {at}");
            far.take(); // The window is open again.
            far.assert_works(id);
        }
    }
}

#[test]
fn reject_icmp_errors_about_what_stands_or_was_never_sent() {
    let (mut far, id) = Far::established();
    let before = far.stack.stats().dropped_icmp;
    // Quotes the connection exactly; a router on the way may still be lying.
    let quote = Segment {
        src: far.us,
        dst: far.far,
        seq: far.received,
        ack: far.next,
        flags: ACK,
        data: Vec::new(),
    };
    let quote = quote.packet();
    for code in 0..16 {
        let lie = raw::icmp(address("10.0.0.99:1").ip(), far.us.ip(), 3, code, &quote);
        far.stack.handle_frame(far.now, &lie);
    }
    // Code 4 says that a packet was too big: it is not even looked at.
    assert_eq!(far.stack.stats().dropped_icmp - before, 15);
    far.assert_works(id);

    // An attempt to connect: only the SYN that was sent ends it.
    let mut far = Far::new("10.0.0.1:1", "10.0.0.2:5000");
    let id = connect(&mut far);
    let real = far.received.wrapping_sub(1);
    let lie = |far: &Far, seq: u32, port: u16, cut: usize| {
        let quote = Segment {
            src: far.us,
            dst: SocketAddr::new(far.far.ip(), port),
            seq,
            ack: 0,
            flags: SYN,
            data: Vec::new(),
        };
        let quote = quote.packet();
        raw::icmp(far.far.ip(), far.us.ip(), 3, 3, &quote[..cut])
    };
    for (seq, port, cut) in [
        (real.wrapping_add(1), 5_000, 40),
        (real.wrapping_sub(1), 5_000, 40),
        (0, 5_000, 40),
        (real, 5_001, 40),
        (real, 5_000, 27),
        (real, 5_000, 0),
    ] {
        let packet = lie(&far, seq, port, cut);
        far.stack.handle_frame(far.now, &packet);
        assert!(far.stack.poll_connected(id, idle()).is_pending());
    }
    let packet = lie(&far, real, 5_000, 28);
    far.stack.handle_frame(far.now, &packet);
    assert_eq!(
        ready(far.stack.poll_connected(id, idle())),
        Err(TcpError::Refused)
    );
}

#[test]
fn reject_icmp_errors_about_datagrams_nobody_sent() {
    let mut far = Far::new("10.0.0.1:7", "10.0.0.2:7");
    let options = UdpOptions::default();
    let id = far
        .stack
        .udp_bind(far.now, APP, address("0.0.0.0:7"), &options)
        .expect("free");
    let lie = |to: &str| {
        let quote = raw::datagram(address("10.0.0.1:7"), address(to), b"x");
        let (from, us) = (address("10.0.0.2:7").ip(), address("10.0.0.1:7").ip());
        raw::icmp(from, us, 3, 3, &quote)
    };
    let receive = |far: &mut Far| {
        far.stack
            .poll_udp_recv(far.now, id, idle(), |_, data| data.to_vec())
    };
    far.stack.handle_frame(far.now, &lie("10.0.0.2:7"));
    assert!(receive(&mut far).is_pending());
    far.stack
        .udp_send(far.now, id, b"x", address("10.0.0.2:7"))
        .expect("room");
    far.stack.handle_frame(far.now, &lie("10.0.0.2:8"));
    assert!(receive(&mut far).is_pending());
    far.stack.handle_frame(far.now, &lie("10.0.0.2:7"));
    assert_eq!(receive(&mut far), Poll::Ready(Err(UdpError::Refused)));
    assert!(receive(&mut far).is_pending(), "once");
}

#[test]
fn a_flood_of_datagrams_fills_one_queue_and_no_other() {
    let mut far = Far::new("10.0.0.1:7", "10.0.0.2:7");
    let mut bind = |port: u16| {
        let local = SocketAddr::new(address("0.0.0.0:0").ip(), port);
        let options = UdpOptions::default();
        far.stack
            .udp_bind(far.now, APP, local, &options)
            .expect("free")
    };
    let (flooded, other) = (bind(7), bind(8));
    let src = address("10.0.0.2:7");
    for size in [0_usize, 1, 1_400] {
        for _ in 0..10_000 {
            let datagram = raw::datagram(src, address("10.0.0.1:7"), &vec![0; size]);
            far.stack.handle_frame(far.now, &datagram);
        }
        let mut queued = 0;
        while let Poll::Ready(Ok(len)) =
            far.stack
                .poll_udp_recv(far.now, flooded, idle(), |_, data| data.len())
        {
            assert_eq!(len, size);
            queued += 1;
        }
        let fits = (256_usize << 10)
            .checked_div(size)
            .unwrap_or(usize::MAX)
            .min(256);
        assert_eq!(queued, fits, "of {size} bytes");
    }
    far.stack
        .handle_frame(far.now, &raw::datagram(src, address("10.0.0.1:8"), b"x"));
    let received = far
        .stack
        .poll_udp_recv(far.now, other, idle(), |_, data| data.to_vec());
    assert_eq!(received, Poll::Ready(Ok(b"x".to_vec())));
}

/// An app's loopback is its own, by whatever address: not another app's, and not the wire's.
#[test]
fn reject_another_scope_on_the_loopback() {
    let mut far = Far::new(US, "10.0.0.2:5000");
    let options = TcpOptions::default();
    let mut listen = |scope: Scope, local: &str| {
        far.stack
            .tcp_listen(far.now, scope, address(local), 4, &options)
            .expect("free")
    };
    let any = listen(Scope(1), "0.0.0.0:80");
    let looped = listen(Scope(1), "127.0.0.1:81");
    for (scope, remote, expected) in [
        (Scope(1), "127.0.0.1:80", Ok(())),
        (Scope(1), "127.9.9.9:80", Ok(())),
        (Scope(1), "10.0.0.1:80", Ok(())),
        (Scope(1), "127.0.0.1:81", Ok(())),
        (Scope(2), "127.0.0.1:80", Err(TcpError::Refused)),
        (Scope(2), "10.0.0.1:80", Err(TcpError::Refused)),
        (Scope(2), "127.0.0.1:81", Err(TcpError::Refused)),
        (Scope(1), "10.0.0.1:81", Err(TcpError::Refused)),
    ] {
        let id = far
            .stack
            .tcp_connect(far.now, scope, None, address(remote), &options)
            .expect("it can be tried");
        far.run(Duration::from_millis(10));
        let connected = far.stack.poll_connected(id, idle());
        assert_eq!(connected, Poll::Ready(expected), "{scope:?} {remote}");
    }
    assert_eq!(far.stack.stats().frames_out, 0, "none of it is on the wire");
    for (listener, count) in [(any, 3), (looped, 1)] {
        for _ in 0..count {
            assert!(far.stack.poll_accept(far.now, listener, idle()).is_ready());
        }
        assert!(
            far.stack
                .poll_accept(far.now, listener, idle())
                .is_pending()
        );
    }
}
