//! TCP between two stacks: connecting, moving bytes, and every way to end.

use std::task::Poll;
use std::time::Duration;

use crate::pair::{A, B, Pair, idle};
use nexus_stack::TcpError;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| ((n * 31) >> 3) as u8).collect()
}

#[test]
fn bytes_arrive_both_ways_over_ipv4_and_ipv6() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let mut pair = Pair::new(1);
        let (a, b, _) = pair.established(remote);
        let data = bytes(300_000);
        let mut received = Vec::new();
        let mut sent = 0;
        while received.len() < data.len() {
            if let Poll::Ready(queued) =
                pair.stacks[A].poll_write(pair.now, a, &data[sent..], idle())
            {
                sent += queued.expect("an open connection");
            }
            pair.run(Duration::from_millis(1));
            let mut buf = [0; 4_096];
            while let Poll::Ready(read) = pair.stacks[B].poll_read(pair.now, b, &mut buf, idle()) {
                received.extend_from_slice(&buf[..read.expect("an open connection")]);
            }
        }
        assert_eq!(received, data);
        pair.write_all(B, b, b"thanks");
        assert_eq!(pair.read(A, a).expect("an answer"), b"thanks");
    }
}

#[test]
fn half_close_one_way_leaves_the_other_open() {
    let mut pair = Pair::new(2);
    let (a, b, _) = pair.established("10.0.0.2:80");
    pair.write_all(A, a, b"question");
    let now = pair.now;
    pair.stacks[A].tcp_finish(now, a).expect("open");
    assert_eq!(pair.read_to_end(B, b).expect("all of it"), b"question");
    pair.write_all(B, b, b"answer");
    pair.stacks[B].tcp_finish(pair.now, b).expect("open");
    assert_eq!(pair.read_to_end(A, a).expect("all of it"), b"answer");
    assert_eq!(pair.flushed(A, a), Ok(()));
    assert_eq!(pair.flushed(B, b), Ok(()));
}

#[test]
fn reject_a_closed_port_as_refused() {
    let mut pair = Pair::new(3);
    let a = pair.connect(A, "10.0.0.2:81");
    assert_eq!(pair.connected(A, a), Err(TcpError::Refused));
}
