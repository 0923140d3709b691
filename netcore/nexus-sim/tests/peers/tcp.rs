//! TCP peers with steps.

use nexus_sim::peers::{Step, TcpScript};

use super::*;

const PORT: u16 = 7000;

fn role(steps: Vec<Step>) -> Role {
    Role::Tcp(TcpScript::new(steps).unwrap())
}

fn greeting() -> Vec<Step> {
    vec![
        Step::Send(b"hello\r\n".to_vec()),
        Step::ExpectUntil(b"\r\n\r\n".to_vec()),
        Step::Expect(b"exactly this".to_vec()),
        Step::Wait(Duration::from_secs(2)),
        Step::Send(vec![b'x'; 200_000]),
        Step::Finish,
        Step::ExpectEnd,
    ]
}

/// What the app sends to have all steps of it done, and what it gets.
fn greeted() -> (Vec<u8>, Vec<u8>) {
    let mut got = b"hello\r\n".to_vec();
    got.extend([b'x'; 200_000]);
    (b"what\r\never\r\n\r\nexactly this".to_vec(), got)
}

/// Goal: all steps are done in their order, the wait takes its time, and nothing fails. Method: a script with each
/// kind that goes on, and an app that does its part; the app's end is not before the wait's.
#[test]
fn steps_are_done_in_order() {
    let (send, got) = greeted();
    let (apps, outcome) = one_client(PORT, &send);
    let mut bench = Bench::new(1, good_link(), PORT, role(greeting()), apps);
    bench.run(Duration::from_secs(20));
    outcome.assert_whole(&got);
    assert!(outcome.at.get() > Instant::from_secs(2));
    assert_eq!(bench.failures(), [""; 0]);
}

/// Goal: a script is done over IPv6 and on an Ethernet, too. Method: the same there.
#[test]
fn steps_are_done_on_every_wire() {
    let (send, got) = greeted();
    for wire in Wire::OTHERS {
        let (apps, outcome) = one_client_to(wire.remote(PORT), &send);
        let mut bench = Bench::on(wire, PORT, role(greeting()), apps);
        bench.run(Duration::from_secs(20));
        outcome.assert_whole(&got);
        bench.assert_on(wire);
    }
}

/// Goal: loss, duplicates and reordering change nothing of what a script sees. Method: the same on the bad link,
/// for some seeds.
#[test]
fn steps_are_done_on_a_bad_link() {
    let (send, got) = greeted();
    for seed in 0..10 {
        let (apps, outcome) = one_client(PORT, &send);
        let mut bench = Bench::new(seed, bad_link(), PORT, role(greeting()), apps);
        bench.run(Duration::from_secs(300));
        outcome.assert_whole(&got);
        assert_eq!(bench.failures(), [""; 0]);
    }
}

/// Goal: the same seed gives the same run. Method: the bad link twice, and the hashes.
#[test]
fn a_run_is_repeated_by_its_seed() {
    let hash = || {
        let (apps, _) = one_client(PORT, &greeted().0);
        let mut bench = Bench::new(3, bad_link(), PORT, role(greeting()), apps);
        bench.run(Duration::from_secs(60));
        bench.world.trace_hash()
    };
    assert_eq!(hash(), hash());
}

/// Goal: what is not as expected is a failure that says which connection, which step and where, and resets the
/// connection. Method: one client for each way to be wrong.
#[test]
fn reject_what_is_not_expected() {
    let cases: [(Vec<Step>, &[u8], &str); 7] = [
        (
            vec![Step::Expect(b"abcdef".to_vec())],
            b"abcxef",
            "step 1 (expect): byte 3 is 0x78 ('x'), not 0x64 ('d')",
        ),
        (
            vec![Step::Expect(b"ab".to_vec()), Step::Expect(b"cd".to_vec())],
            b"ab\0",
            "step 2 (expect): byte 0 is 0x00, not 0x63 ('c')",
        ),
        (
            vec![Step::Expect(b"abc".to_vec())],
            b"ab",
            "step 1 (expect): it ended after 2 of 3 bytes",
        ),
        (
            vec![Step::ExpectUntil(b"..".to_vec())],
            b"a.b.",
            "step 1 (expect until): it ended after 4 bytes, without them",
        ),
        (
            vec![Step::ExpectEnd],
            b"a",
            "step 1 (expect end): 0x61 ('a') came, not the end",
        ),
        (
            vec![
                Step::ExpectUntil(b"b".to_vec()),
                Step::Expect(b"c".to_vec()),
            ],
            b"abd",
            "step 2 (expect): byte 0 is 0x64",
        ),
        (
            vec![Step::ExpectUntil(b"never".to_vec())],
            &[b'a'; limits::PEER_UNTIL_BYTES + 1],
            "step 1 (expect until): not within 65536 bytes",
        ),
    ];
    for (steps, send, text) in cases {
        let (apps, outcome) = one_client(PORT, send);
        let mut bench = Bench::new(1, good_link(), PORT, role(steps), apps);
        bench.run(Duration::from_secs(20));
        outcome.assert_failed("reset");
        let failures = bench.failures();
        assert_eq!(failures.len(), 1, "{failures:?}");
        let begin = "tcp peer at 0.0.0.0:7000, connection 1 from 10.0.0.2:";
        assert!(failures[0].starts_with(begin), "{failures:?}");
        assert!(failures[0].contains(text), "{failures:?}");
        assert_eq!(bench.noted("failure: tcp peer at"), 1);
    }
}

/// Goal: the search for a delimiter goes as far as its limit, and no further. Method: one that ends at the limit (one
/// byte later is a case of `reject_what_is_not_expected`).
#[test]
fn a_delimiter_at_the_limit_is_found() {
    let mut send = vec![b'a'; limits::PEER_UNTIL_BYTES - 1];
    send.push(b'!');
    let (apps, outcome) = one_client(PORT, &send);
    let steps = vec![Step::ExpectUntil(b"!".to_vec()), Step::ExpectEnd];
    let mut bench = Bench::new(1, good_link(), PORT, role(steps), apps);
    bench.run(Duration::from_secs(20));
    outcome.assert_whole(b"");
    assert_eq!(bench.failures(), [""; 0]);
}

/// Goal: a connection that breaks is a failure where something is expected, and none where nothing is. Method: a
/// client that resets, at a peer that waits for bytes and at one that sends.
#[test]
fn a_broken_connection_fails_what_is_expected() {
    for (steps, failures) in [
        (vec![Step::Expect(b"ab".to_vec())], 1),
        (vec![Step::Send(vec![0; 1 << 20])], 0),
    ] {
        let apps = || -> Vec<Box<dyn App>> {
            let mut client = Client::new(PORT, b"a", &Outcome::default());
            client.finish = false;
            client.reset_at = Some(Instant::from_millis(100));
            vec![Box::new(client)]
        };
        let mut bench = Bench::new(1, good_link(), PORT, role(steps), Box::new(apps));
        bench.run(Duration::from_secs(20));
        let found = bench.failures();
        assert_eq!(found.len(), failures, "{found:?}");
        assert!(found.iter().all(|text| text.contains("connection failed")));
    }
}

/// Goal: a reset is one. Method: after a few bytes.
#[test]
fn a_step_resets() {
    let (apps, outcome) = one_client(PORT, b"");
    let steps = vec![
        Step::Send(b"abc".to_vec()),
        Step::Wait(Duration::from_secs(1)),
        Step::Reset,
    ];
    let mut bench = Bench::new(1, good_link(), PORT, role(steps), apps);
    bench.run(Duration::from_secs(20));
    outcome.assert_failed("reset");
    assert_eq!(outcome.read(), b"abc");
    assert_eq!(bench.failures(), [""; 0]);
}

/// Goal: a silent peer takes connections and neither reads nor writes, and no checker calls that a standstill. Method:
/// a client that sends more than the buffers hold is still connected after minutes, and has read nothing.
#[test]
fn a_silent_peer_does_nothing() {
    let (apps, outcome) = one_client(PORT, &[0; 1 << 20]);
    let role = Role::Tcp(TcpScript::silent());
    let mut bench = Bench::new(1, good_link(), PORT, role, apps);
    bench.run(Duration::from_secs(200));
    assert!(outcome.is_open() && outcome.read().is_empty());
    let tables = bench.world.machine(PEERS).unwrap().vitals().tables;
    assert_eq!(tables.sockets, 2);
    assert_eq!(bench.failures(), [""; 0]);
}

/// Goal: a stalled connection keeps its place no longer than it lives, unread bytes or not. Method: one place;
/// clients that write nothing or something and reset, and one that comes after them.
#[test]
fn a_stalled_connection_that_is_gone_frees_its_place() {
    for send in [&b""[..], b"unread"] {
        let last = Outcome::default();
        let kept = last.clone();
        let apps = move || -> Vec<Box<dyn App>> {
            let mut first = Client::new(PORT, send, &Outcome::default());
            first.reset_at = Some(Instant::from_secs(1));
            let mut second = Client::new(PORT, b"", &kept);
            second.from = Instant::from_secs(15);
            vec![Box::new(first), Box::new(second)]
        };
        let role = Role::Tcp(TcpScript::silent().at_once(1).unwrap());
        let mut bench = Bench::new(1, good_link(), PORT, role, Box::new(apps));
        bench.run(Duration::from_secs(30));
        assert!(last.is_open());
        assert_eq!(bench.noted("1 are served"), 0);
    }
}

/// Goal: as many connections as may be are served at once, one more is reset, and a place that is free again is
/// taken. Method: at the least and at the most number of places, one client more, and one later.
#[test]
fn connections_at_once_at_and_over_the_limit() {
    for most in [1, limits::PEER_CONNECTIONS] {
        let outcomes: Vec<Outcome> = (0..most + 2).map(|_| Outcome::default()).collect();
        let kept = outcomes.clone();
        let apps = move || -> Vec<Box<dyn App>> {
            let client = |(number, outcome): (u32, &Outcome)| {
                let mut client = Client::new(PORT, b"", outcome);
                client.from = match number {
                    last if last == most + 1 => Instant::from_secs(30),
                    number => Instant::from_millis(number.into()),
                };
                Box::new(client) as Box<dyn App>
            };
            (0..).zip(&kept).map(client).collect()
        };
        let steps = vec![
            Step::Wait(Duration::from_secs(10)),
            Step::Send(b"served".to_vec()),
        ];
        let script = TcpScript::new(steps).unwrap().at_once(most).unwrap();
        let mut bench = Bench::new(1, good_link(), PORT, Role::Tcp(script), Box::new(apps));
        bench.run(Duration::from_secs(60));
        for (number, outcome) in (0..).zip(&outcomes) {
            if number == most {
                outcome.assert_failed("reset");
            } else {
                outcome.assert_whole(b"served");
            }
        }
        assert_eq!(bench.noted(&format!("reset, {most} are served")), 1);
        assert_eq!(bench.failures(), [""; 0]);
    }
}

/// Goal: a peer that cannot be where its script says is a failure of the run. Method: two at one port.
#[test]
fn reject_two_peers_at_one_port() {
    let mut world = World::new(&Seed::from_number(1));
    let segment = world.add_segment(Carries::Packets, good_link());
    let report = Report::new();
    let peer = |report| Peer::new(local(PORT), role(greeting()), report).unwrap();
    let peers = [peer(Report::new()), peer(report.clone())];
    let spec = MachineSpec {
        name: "peers".to_owned(),
        segment,
        addresses: vec![InterfaceAddress::new(peer_address(), 24).unwrap()],
        mac: None,
        clock: Instant::ZERO,
    };
    let factory = move |boot: Boot<'_>| {
        Station::of_peers(&boot, Config::new(1_500, Vec::new()), &peers).unwrap()
    };
    let id = world.add_machine(spec, Box::new(factory)).unwrap();
    world.at(Instant::ZERO, Action::Start(id)).unwrap();
    world.run_until(Instant::from_secs(1));
    let failures = report.failures();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].starts_with("tcp peer at 0.0.0.0:7000: cannot listen:"));
}
