//! Many connections to one place, of which the far end keeps the last ones in TIME-WAIT.

use std::collections::BTreeSet;
use std::time::Duration;

use nexus_stack::{ListenerId, TcpOptions};
use nexus_types::SocketAddr;

use crate::pair::{A, APP, B, Link, Pair, address};

/// A link on which a connection of 60 kB takes about a millisecond, as on one host.
fn near(seed: u64) -> Pair {
    let link = Link {
        latency: Duration::from_micros(20),
        ..Link::CLEAN
    };
    Pair::with(seed, link, |_| {})
}

/// One connection whose server ends first, and hence waits. Returns how long the client took to connect.
fn upload(
    pair: &mut Pair,
    listener: ListenerId,
    local: Option<SocketAddr>,
    data: &[u8],
) -> Duration {
    let begun = pair.now;
    let a = pair.stacks[A]
        .tcp_connect(
            begun,
            APP,
            local,
            address("10.0.0.2:80"),
            &TcpOptions::default(),
        )
        .expect("a free port");
    pair.connected(A, a).expect("open");
    let took = pair.now - begun;
    let b = pair.accept(B, listener);
    pair.stacks[B].tcp_finish(pair.now, b).expect("open");
    // Only when the client knows of that end is the server the one that waits, alone.
    assert_eq!(pair.read_to_end(A, a), Ok(Vec::new()));
    pair.write_all(A, a, data);
    pair.stacks[A].tcp_close(pair.now, a);
    assert_eq!(
        pair.read_to_end(B, b).expect("the whole upload").len(),
        data.len()
    );
    pair.stacks[B].tcp_close(pair.now, b);
    pair.run(pair.link.latency * 4);
    assert_eq!(pair.stacks[A].stats().time_wait, 0);
    took
}

/// Goal: none of 2,000 uploads in a row stalls because its port was used a moment ago (random ports collide
/// after about 160: a birthday among 16,384). Method: virtual time; a stall is a second at least.
#[test]
fn none_of_2000_uploads_in_a_row_meets_one_before_it() {
    for seed in 0..4 {
        let mut pair = near(seed);
        let listener = pair.listen(B, "10.0.0.2:80");
        for round in 0..2_000 {
            let took = upload(&mut pair, listener, None, &[7; 60_000]);
            assert!(
                took < Duration::from_millis(500),
                "{round} (seed {seed}): {took:?}"
            );
        }
        assert!(pair.now < nexus_types::Instant::from_secs(10));
    }
}

/// Goal: the same port at once again, as an app that binds it does: the clock of sequence numbers has passed
/// what a sender of 6 MB/s used up, so TIME-WAIT makes way.
#[test]
fn a_port_is_free_again_at_once() {
    let mut pair = Pair::new(5);
    let listener = pair.listen(B, "10.0.0.2:80");
    let local = address("10.0.0.1:6000");
    for round in 0..50 {
        let took = upload(&mut pair, listener, Some(local), &[7; 60_000]);
        assert!(took < Duration::from_millis(500), "{round}: {took:?}");
    }
}

/// Goal: towards one destination every port is used once before one is used twice, and a second destination
/// sees another order. Method: all 16,384, each given up at once.
#[test]
fn no_port_comes_twice_before_all_others_did() {
    let mut pair = Pair::new(6);
    let mut ports = |remote: &str| -> Vec<u16> {
        (0..16_384)
            .map(|_| {
                let id = pair.connect(A, remote);
                let (local, _) = pair.stacks[A].tcp_addresses(id).expect("open");
                pair.stacks[A].tcp_abort(pair.now, id);
                local.port()
            })
            .collect()
    };
    let first = ports("10.0.0.2:80");
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 16_384);
    let second = ports("10.0.0.2:81");
    assert_eq!(second.iter().collect::<BTreeSet<_>>().len(), 16_384);
    let same = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    assert!(same < 20, "{same} ports of 16,384 in the same place");
    // The steps from one to the next say nothing either: no step comes often.
    let mut steps = std::collections::BTreeMap::new();
    for pair in first.windows(2) {
        *steps.entry(pair[1].wrapping_sub(pair[0])).or_insert(0) += 1;
    }
    assert!(steps.values().all(|count| *count < 20));
}
