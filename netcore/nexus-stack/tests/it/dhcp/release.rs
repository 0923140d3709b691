//! Leases given back: what the server is told, what remains here, and when there is nothing to give back.

use super::*;

const RELEASE: u8 = 7;
const DAY: Duration = Duration::from_secs(86_400);

impl Desk {
    /// Gives back; what is sent from now on, for longer than any lease of these tests.
    fn release(&mut self) -> (bool, Vec<Vec<u8>>) {
        let told = self.stack.release(self.now);
        let sent = self.run(DAY).into_iter();
        (told, sent.map(|(_, frame)| frame).collect())
    }
}

/// The kinds of a message's options, in order.
fn options(message: &[u8]) -> Vec<u8> {
    let mut rest = &message[240..];
    let mut kinds = Vec::new();
    while let [kind, len, after @ ..] = rest {
        if *kind == 255 {
            break;
        }
        kinds.push(*kind);
        rest = &after[usize::from(*len)..];
    }
    kinds
}

/// Goal: the server that gave the address is told, with the fields of RFC 2131 table 5 and no others. Method: its
/// neighbour entry was never asked for, so the frame goes where the lease came from.
#[test]
fn a_lease_goes_back_to_who_gave_it() {
    let mut desk = Desk::bound(3_600);
    let (told, sent) = desk.release();
    assert!(told);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!((&sent[0][..6], &sent[0][6..12]), (&SERVER[..], &OURS[..]));
    let asked = Asked::read(&sent[0]).expect("a message");
    assert_eq!((asked.src, asked.dst), (GIVEN, [10, 0, 0, 2]));
    assert_eq!((asked.kind, asked.requested), (RELEASE, None));
    assert_eq!(asked.server, Some(vec![10, 0, 0, 2]));
    let message = &asked.frame[42..];
    assert_eq!(message[..4], [1, 1, 6, 0]);
    assert_eq!(message[8..12], [0; 4], "neither seconds nor flags");
    assert_eq!(message[12..16], GIVEN, "ciaddr");
    assert_eq!(message[16..28], [0; 12], "yiaddr, siaddr and giaddr");
    assert_eq!(options(message), [53, 61, 54]);
}

/// Goal: a server elsewhere is told through the relay that brought its answer; one that renewed the lease in the
/// first one's place is the one that is told.
#[test]
fn a_lease_goes_back_through_a_relay_and_to_who_renewed_it() {
    let mut desk = Desk::new();
    for say in [OFFER, ACK] {
        let asked = desk.asks(Duration::ZERO).expect("a question");
        let mut reply = Reply::to(&asked, say);
        (reply.server, reply.router) = ([192, 0, 2, 1], None);
        desk.deliver(&reply);
    }
    desk.run(Duration::from_secs(1));
    let (told, sent) = desk.release();
    assert!(told && sent.len() == 1, "{sent:?}");
    let asked = Asked::read(&sent[0]).expect("a message");
    assert_eq!((&sent[0][..6], asked.dst), (&SERVER[..], [192, 0, 2, 1]));
    assert_eq!(asked.server, Some(vec![192, 0, 2, 1]));

    let mut desk = Desk::bound(3_600);
    let to_all = loop {
        let asked = desk.asks(Duration::from_secs(3_600)).expect("a question");
        if asked.dst == [255; 4] {
            break asked;
        }
    };
    let mut reply = Reply::to(&to_all, ACK);
    reply.server = [10, 0, 0, 66];
    desk.deliver(&reply);
    let (told, sent) = desk.release();
    let asked = sent.iter().find_map(|frame| Asked::read(frame));
    let asked = asked.expect("a message");
    assert_eq!((told, asked.kind), (true, RELEASE));
    assert_eq!((asked.dst, asked.src), ([10, 0, 0, 66], GIVEN));
    assert_eq!(asked.server, Some(vec![10, 0, 0, 66]));
}

/// Goal: what was queued before goes first, and then nothing comes from the address, whatever is asked of it; the
/// client has ended. Method: a connection, a socket with a datagram, questions for the address, answers of the
/// server, a day.
#[test]
fn after_a_release_nothing_comes_from_the_address() {
    let mut desk = Desk::bound(3_600);
    let server = address("10.0.0.2:7");
    let udp = desk
        .stack
        .udp_bind(desk.now, APP, address("10.0.0.9:7"), &UdpOptions::default())
        .expect("ours");
    let options = TcpOptions::default();
    desk.stack
        .udp_send(desk.now, udp, b"who are you?", server)
        .expect("a way");
    assert!(desk.asks(Duration::ZERO).is_none(), "answers ARP");
    let open = desk
        .stack
        .tcp_connect(desk.now, APP, None, server, &options)
        .expect("a way");
    desk.run(Duration::ZERO);
    desk.events();
    desk.stack
        .udp_send(desk.now, udp, b"the last word", server)
        .expect("a way");
    assert!(desk.stack.release(desk.now));
    let sent = desk.run(DAY);
    let [(_, word), (at, released)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert!(word.ends_with(b"the last word"));
    let released = Asked::read(released).expect("a message");
    assert_eq!(released.kind, RELEASE);
    assert!(desk.now - *at >= DAY - Duration::from_millis(1));

    assert_eq!(desk.stack.addresses(), []);
    assert_eq!(desk.stack.gateways().count(), 0);
    assert_eq!(desk.stack.resolvers(), []);
    assert_eq!(desk.events(), [], "who gave it back knows");
    assert!(desk.stack.poll_connected(open, idle()).is_ready());
    let again = desk.stack.udp_send(desk.now, udp, b"x", server);
    assert_eq!(again, Err(UdpError::NoSource));
    let again = desk
        .stack
        .tcp_connect(desk.now, APP, None, server, &options);
    assert_eq!(again, Err(ConnectError::NoSource));
    // Somebody asks for it, somebody else has it, the server speaks.
    let mut question = claim();
    question[28..32].copy_from_slice(&[10, 0, 0, 2]);
    desk.stack.handle_frame(desk.now, &question);
    desk.stack.handle_frame(desk.now, &claim());
    for say in [OFFER, ACK, NAK] {
        desk.deliver(&Reply::to(&released, say));
    }
    assert_eq!(desk.release(), (false, Vec::new()), "once");
    assert_eq!(desk.stack.addresses(), []);
    assert_eq!(desk.events(), []);
}

/// Goal: without a lease nobody is told anything, and nobody is asked any more. Method: each way to have none: no
/// offer, no acknowledgement, an address that is not sure, is somebody else's, was taken back, or has ended.
#[test]
fn reject_a_release_without_a_lease() {
    let selecting = Desk::new();
    let after = |says: &[u8]| {
        let mut desk = Desk::new();
        for say in says {
            let asked = desk.asks(Duration::from_secs(2)).expect("a question");
            desk.deliver(&Reply::to(&asked, *say));
        }
        desk
    };
    let requesting = after(&[OFFER]);
    let refused = after(&[OFFER, NAK]);
    let tentative = after(&[OFFER, ACK]);
    assert_eq!(tentative.stack.addresses(), [given()]);
    let mut declined = after(&[OFFER, ACK]);
    declined.stack.handle_frame(declined.now, &claim());
    assert_eq!(declined.asks(Duration::ZERO).expect("a word").kind, DECLINE);
    let mut lost = Desk::bound(3_600);
    let asked = lost.asks(Duration::from_secs(1_802)).expect("a question");
    lost.deliver(&Reply::to(&asked, NAK));
    // Its end has come, and nobody has looked at the clock.
    let mut ended = Desk::bound(3_600);
    ended.now += Duration::from_secs(3_600);
    for (name, mut desk) in [
        ("selecting", selecting),
        ("requesting", requesting),
        ("refused", refused),
        ("tentative", tentative),
        ("declined", declined),
        ("lost", lost),
        ("ended", ended),
    ] {
        // What it had asked before may still go out.
        while desk.stack.poll_transmit(desk.now).is_some() {}
        assert_eq!(desk.release(), (false, Vec::new()), "{name}");
        assert_eq!(desk.stack.addresses(), [], "{name}");
    }
    // An address that is given by hand is nobody's to take.
    let mut config = config();
    (config.addressing_v4, config.addresses) = (AddressingV4::Static, vec![given()]);
    let now = Instant::from_secs(1);
    let mut fixed = Desk {
        stack: Stack::new(config, now, Seed::from_number(1)).expect("sound"),
        now,
    };
    fixed.run(Duration::from_secs(10));
    assert_eq!(fixed.release(), (false, Vec::new()));
    assert_eq!(fixed.stack.addresses(), [given()]);
}
