//! Handshakes that go wrong on purpose, at a listener and through a gateway; and an app that dials
//! without end.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{ConnectError, InvitationError, Refusal, Stack, TcpOptions};
use nexus_types::{Instant, Seed, SocketAddr};

use crate::pair::{A, APP, address, config, idle};
use crate::raw::{self, ACK, FIN, RST, SYN, Segment};

fn segment(seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let segment = Segment {
        src: address("10.0.0.2:5000"),
        dst: address("10.0.0.1:80"),
        seq,
        ack,
        flags,
        data: data.to_vec(),
    };
    segment.packet()
}

fn stack(gateway: bool) -> Stack {
    let mut config = config(A);
    config.any_address = gateway;
    Stack::new(config, Instant::ZERO, Seed::from_number(3)).expect("sound")
}

fn sent(stack: &mut Stack, now: Instant) -> Vec<Segment> {
    let mut all = Vec::new();
    while let Some(frame) = stack.poll_transmit(now) {
        all.extend(Segment::read(&frame));
        stack.recycle(frame);
    }
    all
}

/// Lets time pass; nobody answers.
fn run(stack: &mut Stack, now: &mut Instant, time: Duration) {
    let until = *now + time;
    sent(stack, *now);
    while let Some(at) = stack.poll_timeout().filter(|at| *at <= until) {
        *now = (*now).max(at);
        stack.handle_timeout(*now);
        sent(stack, *now);
    }
    *now = until;
}

#[test]
fn reject_forgeries_of_a_half_open_connection() {
    let now = Instant::ZERO;
    let mut stack = stack(false);
    let options = TcpOptions::default();
    let listener = stack
        .tcp_listen(now, APP, address("10.0.0.1:80"), 4, &options)
        .expect("free");
    stack.handle_frame(now, &segment(100, 0, SYN, b""));
    let answer = sent(&mut stack, now).remove(0);
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, 101));
    let ours = answer.seq.wrapping_add(1);
    for offset in [1_u32, 2, 70_000, 1 << 31, 0_u32.wrapping_sub(2)] {
        for flags in [RST, RST | ACK, SYN | ACK, FIN, 0, FIN | SYN, SYN | RST] {
            stack.handle_frame(
                now,
                &segment(101_u32.wrapping_add(offset), ours, flags, b""),
            );
        }
        // An acknowledgement of nothing of ours is reset, and changes nothing here.
        for flags in [ACK, ACK | FIN] {
            let forged = segment(101, ours.wrapping_add(offset), flags, b"data");
            stack.handle_frame(now, &forged);
        }
        // Ours, but nowhere near what we said there is room for.
        let forged = segment(
            101_u32.wrapping_add(70_000 + offset % 1_000),
            ours,
            ACK,
            b"data",
        );
        stack.handle_frame(now, &forged);
    }
    assert_eq!(stack.stats().half_open, 1);
    assert_eq!(stack.stats().flows, 0);
    assert!(stack.poll_accept(now, listener, idle()).is_pending());
    stack.handle_frame(now, &segment(101, ours, ACK, b"data"));
    assert!(matches!(
        stack.poll_accept(now, listener, idle()),
        Poll::Ready(Ok(_))
    ));
    // What is exactly next does end one: the rest was about the numbers alone.
    let mut other = stack_with_half_open();
    other.handle_frame(now, &segment(101, 0, RST, b""));
    assert_eq!(other.stats().half_open, 0);
}

fn stack_with_half_open() -> Stack {
    let mut stack = stack(false);
    let options = TcpOptions::default();
    stack
        .tcp_listen(Instant::ZERO, APP, address("10.0.0.1:80"), 4, &options)
        .expect("free");
    stack.handle_frame(Instant::ZERO, &segment(100, 0, SYN, b""));
    assert_eq!(stack.stats().half_open, 1);
    stack
}

#[test]
fn a_silent_dialler_is_answered_a_few_times_and_forgotten() {
    let mut stack = stack_with_half_open();
    let mut now = Instant::ZERO;
    let before = stack.stats().frames_out;
    run(&mut stack, &mut now, Duration::from_secs(120));
    assert_eq!(stack.stats().half_open, 0);
    let answers = stack.stats().frames_out - before;
    assert!((2..=6).contains(&answers), "{answers}");
    assert_eq!(stack.poll_timeout(), None, "nothing is left to wait for");
}

#[test]
fn reject_invitations_that_are_no_more() {
    let now = Instant::ZERO;
    let options = TcpOptions::default();
    // The dialler resets before it is decided; it dials again, with another number; it is silent.
    for (what, then) in [
        ("reset", Some(segment(101, 0, RST, b""))),
        ("dialled anew", Some(segment(5_000, 0, SYN, b""))),
        ("silent", None),
    ] {
        let mut stack = stack(true);
        let mut now = now;
        stack.handle_frame(now, &segment(100, 0, SYN, b""));
        let Poll::Ready(invitation) = stack.poll_invitation(idle()) else {
            panic!("no invitation");
        };
        assert!(sent(&mut stack, now).is_empty(), "nothing is answered yet");
        match then {
            Some(frame) => stack.handle_frame(now, &frame),
            None => run(&mut stack, &mut now, Duration::from_secs(600)),
        }
        let accepted = stack.accept(now, invitation, &options);
        assert_eq!(accepted.err(), Some(InvitationError::Gone), "{what}");
        assert_eq!(stack.stats().flows, 0, "{what}");
        if what == "dialled anew" {
            assert!(stack.poll_invitation(idle()).is_ready());
        } else {
            assert_eq!(stack.stats().half_open, 0, "{what}");
        }
    }
}

#[test]
fn an_undecided_invitation_is_moved_by_nothing_but_a_decision() {
    let now = Instant::ZERO;
    let mut stack = stack(true);
    for _ in 0..100 {
        stack.handle_frame(now, &segment(100, 0, SYN, b"early data"));
        stack.handle_frame(now, &segment(101, 1, ACK, b"data"));
        stack.handle_frame(now, &segment(101, 1, ACK | FIN, b""));
        stack.handle_frame(now, &segment(102, 1, RST, b""));
    }
    let Poll::Ready(invitation) = stack.poll_invitation(idle()) else {
        panic!("no invitation");
    };
    assert!(
        stack.poll_invitation(idle()).is_pending(),
        "one, however often it dials"
    );
    assert!(sent(&mut stack, now).iter().all(|s| s.flags & SYN == 0));
    stack.refuse(now, invitation, Refusal::Reset);
    let answer = sent(&mut stack, now).remove(0);
    assert_eq!((answer.flags, answer.ack), (RST | ACK, 101));
    assert_eq!(stack.stats().half_open, 0);
}

#[test]
fn diallers_without_number_find_the_invitations_full() {
    let now = Instant::ZERO;
    let mut stack = stack(true);
    let most = nexus_types::limits::INVITATIONS;
    for number in 0..most + 1_000 {
        let src = SocketAddr::new(address("10.0.0.2:1").ip(), 1 + (number % 60_000) as u16);
        let dst = SocketAddr::new(address("192.0.2.1:1").ip(), 1 + (number / 60_000) as u16);
        let syn = Segment {
            src,
            dst,
            seq: 1,
            ack: 0,
            flags: SYN,
            data: Vec::new(),
        };
        stack.handle_frame(now, &syn.packet());
    }
    assert_eq!(stack.stats().half_open, most);
    assert_eq!(stack.stats().dropped_backlog, 1_000);
    let mut invitations = 0;
    while let Poll::Ready(invitation) = stack.poll_invitation(idle()) {
        stack.refuse(now, invitation, Refusal::Silent);
        invitations += 1;
    }
    assert_eq!((invitations, stack.stats().half_open), (most, 0));
}

/// 65,536 times: ports run out, nothing else does, and each comes back.
#[test]
fn an_app_that_dials_without_end_runs_out_of_ports_alone() {
    let mut config = config(A);
    config.tcp.rx_bytes = 4_096;
    config.tcp.tx_bytes = 4_096;
    let mut stack = Stack::new(config, Instant::ZERO, Seed::from_number(4)).expect("sound");
    let options = TcpOptions::default();
    let now = Instant::ZERO;
    let remote = address("10.0.0.2:80");
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..65_536 {
        match stack.tcp_connect(now, APP, None, remote, &options) {
            Ok(id) => open.push(id),
            Err(ConnectError::NoPort) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
        if refused == 100 {
            break;
        }
    }
    assert_eq!(open.len(), 16_384, "as many as there are ephemeral ports");
    // Another destination has all ports again.
    let other = stack.tcp_connect(now, APP, None, address("10.0.0.3:80"), &options);
    assert!(other.is_ok());
    for id in &open {
        stack.tcp_abort(now, *id);
    }
    assert_eq!(stack.stats().flows, 1);
    let again = stack
        .tcp_connect(now, APP, None, remote, &options)
        .expect("a port");
    for id in open {
        assert_ne!(id, again, "a handle is never another's");
        assert!(stack.tcp_addresses(id).is_none());
        stack.tcp_abort(now, id);
    }
    assert_eq!(stack.stats().flows, 2);
}

/// First fragments of datagrams that never get whole, from everywhere: bounded, and an honest
/// datagram in fragments still arrives.
#[test]
fn fragments_without_their_rest_do_not_lock_out_others() {
    let mut stack = stack(false);
    let now = Instant::ZERO;
    let options = nexus_stack::UdpOptions::default();
    let id = stack
        .udp_bind(now, APP, address("10.0.0.1:7"), &options)
        .expect("free");
    let piece = |source: u32, id: u16, place: u16, data: &[u8]| {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        packet[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        packet[6..8].copy_from_slice(&place.to_be_bytes());
        packet.extend((0x0a00_0002 + source).to_be_bytes());
        packet.extend([10, 0, 0, 1]);
        let sum = raw::checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(data);
        packet
    };
    for number in 0..20_000_u32 {
        stack.handle_frame(
            now,
            &piece(number % 200, number as u16, 0x2000, &[0; 1_480]),
        );
    }
    let whole = raw::datagram(address("10.0.0.2:9"), address("10.0.0.1:7"), &[5; 100]);
    stack.handle_frame(now, &piece(0, 9, 0x2000, &whole[20..84]));
    stack.handle_frame(now, &piece(0, 9, 8, &whole[84..]));
    let received = stack.poll_udp_recv(now, id, idle(), |_, data| data.to_vec());
    assert_eq!(received, Poll::Ready(Ok(vec![5; 100])));
    let mut later = now;
    run(&mut stack, &mut later, Duration::from_secs(31));
    assert_eq!(stack.poll_timeout(), None);
}
