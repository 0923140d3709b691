//! Reads and writes of nothing: would one of something wait?

use std::task::Poll;
use std::time::Duration;

use nexus_stack::TcpError;

use crate::pair::{A, B, Count, Pair, idle};

/// Goal: a read and a write of nothing tell whether one of something would wait (the Component Model's
/// zero-length reads and writes), and wake who waits.
#[test]
fn empty_reads_and_writes_are_ready_when_others_are() {
    let mut pair = Pair::new(40);
    let (a, b, _) = pair.established("10.0.0.2:80");
    let (count, waker) = Count::new();
    let read = |pair: &mut Pair| pair.stacks[B].poll_read(pair.now, b, &mut [], &waker);
    assert_eq!(read(&mut pair), Poll::Pending);
    pair.write_all(A, a, b"x");
    pair.run(Duration::from_millis(10));
    assert_eq!(count.get(), 1);
    assert_eq!(read(&mut pair), Poll::Ready(Ok(0)));
    assert_eq!(pair.read(B, b), Ok(b"x".to_vec()), "nothing was taken");
    assert_eq!(read(&mut pair), Poll::Pending);

    let (count, waker) = Count::new();
    let write = |pair: &mut Pair| pair.stacks[A].poll_write(pair.now, a, &[], &waker);
    assert_eq!(write(&mut pair), Poll::Ready(Ok(0)));
    let full = |pair: &mut Pair| {
        pair.stacks[A]
            .poll_write(pair.now, a, &[7; 65_536], idle())
            .is_pending()
    };
    while !full(&mut pair) {
        pair.run(Duration::from_millis(10));
    }
    assert_eq!(write(&mut pair), Poll::Pending);
    while pair.stacks[B].tcp_readable(b) > 0 {
        pair.read(B, b).unwrap();
        pair.run(Duration::from_millis(10));
    }
    assert!(count.get() > 0);
    assert_eq!(write(&mut pair), Poll::Ready(Ok(0)));

    // The end is no reason to wait, an error none either.
    pair.stacks[A].tcp_finish(pair.now, a).unwrap();
    pair.run(Duration::from_millis(10));
    assert_eq!(read(&mut pair), Poll::Ready(Ok(0)));
    assert_eq!(write(&mut pair), Poll::Ready(Err(TcpError::Finished)));
    pair.stacks[B].tcp_abort(pair.now, b);
    pair.run(Duration::from_millis(10));
    let polled = pair.stacks[A].poll_read(pair.now, a, &mut [], idle());
    assert_eq!(polled, Poll::Ready(Err(TcpError::Reset)));
}

#[test]
fn an_empty_write_waits_for_the_connection() {
    let mut pair = Pair::new(41);
    pair.listen(B, "10.0.0.2:80");
    let a = pair.connect(A, "10.0.0.2:80");
    let write = |pair: &mut Pair| pair.stacks[A].poll_write(pair.now, a, &[], idle());
    assert_eq!(write(&mut pair), Poll::Pending);
    pair.connected(A, a).unwrap();
    assert_eq!(write(&mut pair), Poll::Ready(Ok(0)));
}
