//! UDP peers with answers.

use nexus_node::UdpSocket;
use nexus_sim::peers::{UdpAnswer, UdpScript};

use super::*;

const PORT: u16 = 7001;

/// What fits a packet of the link: its MTU without the headers of IP and UDP.
const FIT: usize = 1_500 - 28;

fn answer(prefix: Option<&str>, replies: &[&str], delay: Duration) -> UdpAnswer {
    UdpAnswer {
        prefix: prefix.map(|prefix| prefix.as_bytes().to_vec()),
        replies: replies
            .iter()
            .map(|reply| reply.as_bytes().to_vec())
            .collect(),
        delay,
    }
}

fn role() -> Role {
    let answers = vec![
        answer(Some("slow"), &["late"], Duration::from_secs(3)),
        answer(Some("two"), &["one", "", "other"], Duration::ZERO),
        answer(Some("mute"), &[], Duration::ZERO),
        answer(Some("big"), &[&"x".repeat(FIT)], Duration::ZERO),
    ];
    Role::Udp(UdpScript::new(answers).unwrap())
}

type Heard = Rc<RefCell<Vec<(Instant, Vec<u8>)>>>;

/// Sends datagrams, again and again if it is told to, and keeps what comes.
struct Asker {
    remote: SocketAddr,
    send: Vec<&'static str>,
    again: Option<Duration>,
    next: Instant,
    socket: Option<UdpSocket>,
    heard: Heard,
}

impl App for Asker {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let socket = *self.socket.get_or_insert_with(|| {
            let act = Act::UdpSend {
                remote: self.remote,
                name: None,
            };
            let permit = turn.node.permit(turn.now, turn.instance, &act).unwrap();
            turn.node.udp_connect(turn.now, permit).unwrap()
        });
        if turn.now >= self.next {
            for datagram in &self.send {
                let _ = turn
                    .node
                    .udp_send(turn.now, socket, datagram.as_bytes(), None);
            }
            self.next = match self.again {
                Some(again) => turn.now + again,
                None => Instant::FAR_FUTURE,
            };
        }
        if self.next < Instant::FAR_FUTURE {
            turn.wake_at(self.next);
        }
        loop {
            let (now, heard) = (turn.now, &self.heard);
            let received = turn
                .node
                .poll_udp_receive(now, socket, turn.waker, |_, data| {
                    heard.borrow_mut().push((now, data.to_vec()));
                });
            let _ = ready!(received);
        }
    }
}

fn asker(send: &[&'static str], again: Option<Duration>) -> (Apps, Heard) {
    asker_to(remote(PORT), send, again)
}

fn asker_to(remote: SocketAddr, send: &[&'static str], again: Option<Duration>) -> (Apps, Heard) {
    let heard = Heard::default();
    let (send, kept) = (send.to_vec(), heard.clone());
    let apps = move || -> Vec<Box<dyn App>> {
        vec![Box::new(Asker {
            remote,
            send: send.clone(),
            again,
            next: Instant::ZERO,
            socket: None,
            heard: kept.clone(),
        })]
    };
    (Box::new(apps), heard)
}

/// Goal: the first answer that matches counts, with its replies in order and its delay; what nothing matches is noted
/// and no failure. Method: a datagram of each kind, at once.
#[test]
fn datagrams_are_answered_by_what_they_begin_with() {
    let (apps, heard) = asker(&["slowly", "two", "mute", "unknown", "big"], None);
    let mut bench = Bench::new(1, good_link(), PORT, role(), apps);
    bench.run(Duration::from_secs(10));
    let heard = heard.borrow();
    let texts: Vec<_> = heard.iter().map(|(_, data)| data.as_slice()).collect();
    let big = vec![b'x'; FIT];
    assert!(texts == [&b"one"[..], b"", b"other", &big, b"late"]);
    let late = heard.last().unwrap().0;
    assert_eq!(late, Instant::ZERO + Duration::from_secs(3) + 2 * LATENCY);
    let noted = "nothing for 7 bytes from 10.0.0.2";
    assert_eq!(bench.noted(noted), 1);
    assert_eq!(bench.failures(), [""; 0]);
}

/// Goal: datagrams are answered over IPv6 and on an Ethernet, too, where the first of them waits for the neighbour.
/// Method: one that is answered at once and one later; the answers are from where the questions went.
#[test]
fn datagrams_are_answered_on_every_wire() {
    for wire in Wire::OTHERS {
        let (apps, heard) = asker_to(wire.remote(PORT), &["slow", "two"], None);
        let mut bench = Bench::on(wire, PORT, role(), apps);
        bench.run(Duration::from_secs(10));
        let heard = heard.borrow();
        let texts: Vec<_> = heard.iter().map(|(_, data)| data.as_slice()).collect();
        assert_eq!(texts, [&b"one"[..], b"", b"other", b"late"], "{wire:?}");
        bench.assert_on(wire);
    }
}

/// Goal: on a bad link answers are lost or come twice as datagrams may, and are never others. Method: asked again and
/// again, on some seeds; each kind of answer is heard at last.
#[test]
fn datagrams_are_answered_on_a_bad_link() {
    for seed in 0..10 {
        let again = Some(Duration::from_millis(500));
        let (apps, heard) = asker(&["slow", "two", "unknown"], again);
        let mut bench = Bench::new(seed, bad_link(), PORT, role(), apps);
        bench.run(Duration::from_secs(60));
        let heard = heard.borrow();
        let expected = [&b"one"[..], b"", b"other", b"late"];
        assert!(heard.iter().all(|(_, data)| expected.contains(&&data[..])));
        for text in expected {
            let count = heard.iter().filter(|(_, data)| data == text).count();
            assert!(count > 50, "{count}");
        }
        assert_eq!(bench.failures(), [""; 0]);
    }
}

/// Goal: replies that the socket cannot queue at once are sent all the same. Method: two questions, each with the most
/// replies there may be, are twice as many as a socket queues.
#[test]
fn many_replies_are_sent_one_after_the_other() {
    let reply = "y".repeat(FIT);
    let replies = vec![reply.as_str(); limits::PEER_REPLIES];
    let script = UdpScript::new(vec![answer(None, &replies, Duration::ZERO)]);
    let (apps, heard) = asker(&["go", "go"], None);
    let role = Role::Udp(script.unwrap());
    let mut bench = Bench::new(1, good_link(), PORT, role, apps);
    bench.run(Duration::from_secs(10));
    assert_eq!(bench.failures(), [""; 0]);
    assert_eq!(heard.borrow().len(), 2 * limits::PEER_REPLIES);
}

/// Goal: a reply that no packet of the link holds is a failure, for the stack sends no fragments. Method: one byte over.
#[test]
fn reject_a_reply_that_fits_no_packet() {
    let reply = "y".repeat(FIT + 1);
    let script = UdpScript::new(vec![answer(None, &[&reply], Duration::ZERO)]);
    let (apps, heard) = asker(&["go"], None);
    let role = Role::Udp(script.unwrap());
    let mut bench = Bench::new(1, good_link(), PORT, role, apps);
    bench.run(Duration::from_secs(1));
    let failures = bench.failures();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains("does not fit one packet"));
    assert_eq!(heard.borrow().len(), 0);
}

/// Goal: replies that wait are bounded, and one that is lost for that is a failure. Method: as many questions as may
/// wait for an answer, and one more, before the first is due.
#[test]
fn replies_that_wait_at_and_over_the_limit() {
    let delayed = answer(None, &["late"], Duration::from_secs(60));
    for (over, failures) in [(0, 0), (1, 1)] {
        let script = UdpScript::new(vec![delayed.clone()]).unwrap();
        let count = limits::PEER_DATAGRAMS + over;
        let apps = move || -> Vec<Box<dyn App>> {
            let app = |number: usize| {
                Box::new(Asker {
                    remote: remote(PORT),
                    send: vec!["?"; (count - 128 * number).min(128)],
                    again: None,
                    next: Instant::from_millis(number as u64 * 10),
                    socket: None,
                    heard: Heard::default(),
                }) as Box<dyn App>
            };
            (0..count.div_ceil(128)).map(app).collect()
        };
        let role = Role::Udp(script);
        let mut bench = Bench::new(1, good_link(), PORT, role, Box::new(apps));
        bench.run(Duration::from_secs(30));
        assert_eq!(bench.failures().len(), failures);
        let lost = "too many replies wait: one to 10.0.0.2";
        assert!(bench.failures().iter().all(|text| text.contains(lost)));
    }
}
