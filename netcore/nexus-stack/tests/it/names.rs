//! Names: A asks a server that runs as an app at B. (What an answer may be is tested in the resolver itself.)

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{Answer, ResolveError};
use nexus_types::{HostName, IpAddr};

use crate::pair::{A, APP, B, Count, Link, Pair, address, idle};

fn pair() -> Pair {
    Pair::with(1, Link::CLEAN, |config| {
        config.resolver.servers = vec![address("10.0.0.2:53")];
    })
}

/// The answer to a query: one address of the asked family, or "truncated".
fn reply(query: &[u8], truncated: bool) -> Vec<u8> {
    let question = &query[12..];
    let name_len = question
        .iter()
        .position(|byte| *byte == 0)
        .expect("a name ends");
    let question = &question[..name_len + 5];
    let v4 = question[name_len + 2] == 1;
    let mut bytes = query[..2].to_vec();
    bytes.extend([0x81 | if truncated { 2 } else { 0 }, 0x80]);
    bytes.extend([0, 1, 0, u8::from(!truncated), 0, 0, 0, 0]);
    bytes.extend(question);
    if !truncated {
        bytes.extend([0xc0, 12, 0, if v4 { 1 } else { 28 }, 0, 1, 0, 0, 0, 60]);
        if v4 {
            bytes.extend([0, 4, 192, 0, 2, 7]);
        } else {
            bytes.extend([
                0, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
            ]);
        }
    }
    bytes
}

fn expected() -> Vec<IpAddr> {
    let parse = |text: &str| text.parse().expect("an address");
    vec![parse("192.0.2.7"), parse("2001:db8::7")]
}

fn resolve(pair: &mut Pair, server: impl Fn(&mut Pair)) -> Result<Answer, ResolveError> {
    let name = HostName::parse("app.example").expect("a name");
    let (woken, waker) = Count::new();
    let id = pair.stacks[A].resolve(pair.now, APP, &name).expect("room");
    assert!(pair.stacks[A].poll_lookup(id, &waker).is_pending());
    let result = pair.until(Duration::from_secs(60), |pair| {
        server(pair);
        pair.stacks[A].poll_lookup(id, &waker)
    });
    assert!(woken.get() > 0, "a waiting task is woken");
    result
}

fn sorted(answer: Answer) -> Vec<IpAddr> {
    let mut addresses = answer.addresses;
    addresses.sort();
    addresses
}

#[test]
fn a_name_is_resolved_over_udp() {
    let mut pair = pair();
    let server = pair.udp(B, "10.0.0.2:53");
    let result = resolve(&mut pair, |pair| {
        while let Poll::Ready(Ok((from, query))) =
            pair.stacks[B]
                .poll_udp_recv(pair.now, server, idle(), |from, data| (from, data.to_vec()))
        {
            pair.stacks[B]
                .udp_send(pair.now, server, &reply(&query, false), from)
                .expect("room");
        }
    });
    assert_eq!(sorted(result.expect("an answer")), expected());
    assert_eq!(pair.stacks[A].stats().flows, 0);
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let mut pair = pair();
    let server = pair.udp(B, "10.0.0.2:53");
    let listener = pair.listen(B, "10.0.0.2:53");
    let accepted = std::cell::RefCell::new(Vec::new());
    let result = resolve(&mut pair, |pair| {
        while let Poll::Ready(Ok((from, query))) =
            pair.stacks[B]
                .poll_udp_recv(pair.now, server, idle(), |from, data| (from, data.to_vec()))
        {
            pair.stacks[B]
                .udp_send(pair.now, server, &reply(&query, true), from)
                .expect("room");
        }
        let mut accepted = accepted.borrow_mut();
        if let Poll::Ready(Ok(id)) = pair.stacks[B].poll_accept(pair.now, listener, idle()) {
            accepted.push(id);
        }
        for id in accepted.iter() {
            let mut query = [0; 600];
            if let Poll::Ready(Ok(len @ 3..)) =
                pair.stacks[B].poll_read(pair.now, *id, &mut query, idle())
            {
                let answer = reply(&query[2..len], false);
                let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
                framed.extend(answer);
                assert!(
                    pair.stacks[B]
                        .poll_write(pair.now, *id, &framed, idle())
                        .is_ready()
                );
            }
        }
    });
    assert_eq!(sorted(result.expect("an answer")), expected());
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.stacks[A].stats().flows, 0, "the exchanges are closed");
}

#[test]
fn reject_a_silent_server_as_timed_out() {
    let mut pair = pair();
    let _socket = pair.udp(B, "10.0.0.2:53");
    assert_eq!(resolve(&mut pair, |_| {}), Err(ResolveError::TimedOut));
}

#[test]
fn reject_lookups_of_an_ended_scope() {
    let mut pair = pair();
    let name = HostName::parse("app.example").expect("a name");
    let id = pair.stacks[A].resolve(pair.now, APP, &name).expect("room");
    let (woken, waker) = Count::new();
    assert!(pair.stacks[A].poll_lookup(id, &waker).is_pending());
    pair.stacks[A].end_scope(pair.now, APP);
    assert_eq!(woken.get(), 1);
    assert_eq!(
        pair.stacks[A].poll_lookup(id, idle()),
        Poll::Ready(Err(ResolveError::Closed))
    );
}
