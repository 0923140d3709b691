//! A lookup whose servers say anything at all.
//!
//! An act is a byte and its arguments. The id and the question of an answer are set right where the act
//! says so, or a fuzzer would never get past them.

use nexus_stack::resolver::{Query, Resolver, Taken, Via};
use nexus_stack::{Answer, ResolveError, ResolverConfig, Scope};
use nexus_types::{Duration, HostName, Instant, Seed, SocketAddr, limits};

use crate::input::Input;

const HEADER: usize = 12;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut now = Instant::from_secs(1);
    let config = ResolverConfig {
        servers: vec![
            SocketAddr::from(([10, 0, 0, 1], 53)),
            SocketAddr::from(([10, 0, 0, 2], 53)),
        ],
        hosts: Vec::new(),
    };
    let mut resolver = Resolver::new(config, &Seed::from_number(1));
    let name = HostName::parse("www.example.com").expect("it is one");
    let id = resolver
        .start(now, Scope(1), &name)
        .expect("nothing else is looked up");
    let mut queries = Vec::new();
    while let Some(act) = input.byte() {
        while let Some(query) = resolver.poll_transmit(now, |_| false) {
            queries.push(query);
        }
        let query = &queries[usize::from(act >> 4) % queries.len()];
        let length = usize::from(input.byte().unwrap_or(0)) * 2;
        match act & 0x0f {
            0 => {
                now += Duration::from_millis(length as u64 * 10);
                resolver.handle_timeout(now);
            }
            // Raw bytes from the right place.
            1 => {
                let bytes = input.bytes(length).to_vec();
                give(&mut resolver, now, query, &bytes);
            }
            // Raw bytes behind the right id.
            2 => {
                let mut bytes = query_message(query)[..2].to_vec();
                bytes.extend_from_slice(input.bytes(length));
                give(&mut resolver, now, query, &bytes);
            }
            3 => {
                if let Via::Stream { stream } = query.via {
                    resolver.handle_stream_failed(now, stream);
                }
            }
            // The right id and question; flags, counts and records as they come.
            _ => {
                let question = query_message(query);
                let mut bytes = question[..2].to_vec();
                bytes.extend_from_slice(input.bytes(HEADER - 2));
                bytes.resize(HEADER, 0);
                bytes[2] = bytes[2] & 0x07 | 0x80;
                bytes[4..6].copy_from_slice(&[0, 1]);
                bytes.extend_from_slice(&question[HEADER..]);
                bytes.extend_from_slice(input.bytes(length));
                give(&mut resolver, now, query, &bytes);
            }
        }
        if let Some(result) = resolver.poll(id) {
            return check(now, result);
        }
    }
    // With nobody answering any more it ends: two servers, two tries each, a datagram and a stream a try.
    let end = now + Duration::from_micros(limits::DNS_TRY_MICROS) * 8;
    let result = loop {
        while resolver.poll_transmit(now, |_| false).is_some() {}
        if let Some(result) = resolver.poll(id) {
            break result;
        }
        now = resolver
            .poll_timeout()
            .expect("a lookup waits for something");
        assert!(now <= end);
        resolver.handle_timeout(now);
    };
    check(now, result);
    assert_eq!(resolver.poll_timeout(), None);
}

fn query_message(query: &Query) -> &[u8] {
    match query.via {
        Via::Datagram { .. } => &query.message,
        Via::Stream { .. } => &query.message[2..],
    }
}

fn give(resolver: &mut Resolver, now: Instant, query: &Query, bytes: &[u8]) {
    match query.via {
        Via::Datagram { local_port } => {
            let elsewhere = SocketAddr::from(([10, 0, 0, 3], 53));
            let taken = resolver.handle_datagram(now, elsewhere, local_port, bytes);
            assert_ne!(taken, Taken::Answer);
            let _ = resolver.handle_datagram(now, query.server, local_port, bytes);
        }
        Via::Stream { stream } => {
            let length = bytes.len() as u16;
            resolver.handle_stream(now, stream, &length.to_be_bytes());
            resolver.handle_stream(now, stream, bytes);
        }
    }
}

fn check(now: Instant, result: Result<Answer, ResolveError>) {
    if let Ok(answer) = result {
        assert!((1..=limits::DNS_ANSWERS as usize).contains(&answer.addresses.len()));
        let held = answer.until - now;
        assert!(held >= Duration::from_secs(limits::DNS_TTL_SECS_MIN));
        assert!(held <= Duration::from_secs(limits::DNS_TTL_SECS_MAX));
    }
}
