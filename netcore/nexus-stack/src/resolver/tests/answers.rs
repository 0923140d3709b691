//! What honest servers say, and what is made of it.

use super::*;

#[test]
fn both_families_are_asked_at_once_and_take_turns() {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let id = desk.start("WWW.Example.com.");
    let (a, aaaa) = desk.pair();
    for query in [&a, &aaaa] {
        assert_eq!(query.server, server(1));
        assert_eq!(*question(query).queries[0].name(), wire("www.example.com"));
    }
    assert_eq!(desk.resolver.poll(id), None);
    let answers = (1..=3)
        .map(|n| address("www.example.com", 60, v4(n)))
        .collect();
    assert_eq!(desk.answer(&a, &reply(&a, answers)), Taken::Answer);
    assert_eq!(desk.resolver.poll(id), None, "the other family is missing");
    let answers = (1..=2)
        .map(|n| address("www.example.com", 40, v6(n)))
        .collect();
    assert_eq!(desk.answer(&aaaa, &reply(&aaaa, answers)), Taken::Answer);
    assert_eq!(desk.resolver.poll_finished(), Some(id));
    assert_eq!(
        desk.result(id),
        Ok(Answer {
            addresses: vec![v6(1), v4(1), v6(2), v4(2), v4(3)],
            until: T0 + Duration::from_secs(40),
        })
    );
    assert_eq!(desk.resolver.poll_finished(), None);
    desk.assert_idle();
}

#[test]
fn the_name_comes_back_in_another_case() {
    let mut desk = Desk::new(&[server(1)]);
    let id = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    let mut message = reply(&a, vec![address("wWw.eXample.com", 60, v4(1))]);
    message.queries[0].set_name(wire("WWW.EXAMPLE.COM"));
    assert_eq!(desk.answer(&a, &message), Taken::Answer);
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
}

#[test]
fn the_longest_name_is_asked_for() {
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    let mut desk = Desk::new(&[server(1)]);
    let answers = vec![address(&name, 60, v4(1))];
    assert_eq!(desk.look_up(&name, answers).unwrap().addresses, [v4(1)]);
}

#[test]
fn a_chain_of_names_counts_with_its_shortest_time() {
    let mut desk = Desk::new(&[server(1)]);
    // In an order that is not the chain's.
    let answers = vec![
        address("c.example.org", 200, v4(9)),
        alias("b.example.net", 30, "c.example.org"),
        alias("www.example.com", 100, "b.example.net"),
    ];
    let answer = desk.look_up("www.example.com", answers).unwrap();
    assert_eq!(answer.addresses, [v4(9)]);
    assert_eq!(answer.until, T0 + Duration::from_secs(30));
}

/// `count` CNAMEs, and an address at their end.
fn chain(count: u32) -> Vec<Record> {
    let name = |n| {
        if n == 0 {
            "www.example.com".to_owned()
        } else {
            format!("n{n}.example")
        }
    };
    let mut answers: Vec<_> = (0..count)
        .map(|n| alias(&name(n), 60, &name(n + 1)))
        .collect();
    answers.push(address(&name(count), 60, v4(1)));
    answers
}

#[test]
fn a_chain_at_the_limit() {
    let mut desk = Desk::new(&[server(1)]);
    let answer = desk.look_up("www.example.com", chain(limits::DNS_CNAMES));
    assert_eq!(answer.unwrap().addresses, [v4(1)]);
}

#[test]
fn reject_a_chain_over_the_limit() {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let answer = desk.look_up("www.example.com", chain(limits::DNS_CNAMES + 1));
    assert_eq!(answer, Err(ResolveError::BadAnswer));
    desk.assert_idle();
}

#[test]
fn reject_chains_without_an_end() {
    for answers in [
        vec![alias("www.example.com", 60, "www.example.com")],
        vec![
            alias("www.example.com", 60, "b.example"),
            alias("b.example", 60, "c.example"),
            alias("c.example", 60, "b.example"),
        ],
        vec![
            alias("www.example.com", 60, "b.example"),
            alias("B.example", 60, "WWW.example.com"),
        ],
    ] {
        let mut desk = Desk::new(&[server(1)]);
        let answer = desk.look_up("www.example.com", answers);
        assert_eq!(answer, Err(ResolveError::BadAnswer));
        desk.assert_idle();
    }
}

#[test]
fn a_name_without_addresses_and_a_name_that_is_not_there() {
    for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
        let mut desk = Desk::new(&[server(1)]);
        let id = desk.start("nothing.example.com");
        let (a, aaaa) = desk.pair();
        for query in [&a, &aaaa] {
            let mut message = failure(query, code);
            message.add_authority(soa("example.com", 900, 10));
            assert_eq!(desk.answer(query, &message), Taken::Answer);
        }
        assert_eq!(desk.result(id), Err(ResolveError::NotFound));
        // "No" is remembered for the SOA's time.
        desk.now = T0 + Duration::from_millis(9_999);
        let id = desk.start("nothing.example.com");
        assert_eq!(desk.result(id), Err(ResolveError::NotFound));
        assert_eq!(desk.queries().len(), 0);
        desk.now = T0 + Duration::from_secs(10);
        desk.start("nothing.example.com");
        assert_eq!(desk.queries().len(), 2);
    }
}

#[test]
fn how_long_no_holds() {
    for (record, secs) in [
        (None, limits::DNS_TTL_SECS_MIN),
        (Some(soa("example.com", 900, 0)), limits::DNS_TTL_SECS_MIN),
        (Some(soa("example.com", 20, 900)), 20),
        (Some(soa("example.com", 900, 20)), 20),
        (
            Some(soa("example.com", 86_400, 86_400)),
            limits::DNS_NEGATIVE_SECS,
        ),
        (
            Some(soa("example.com", u32::MAX, u32::MAX)),
            limits::DNS_TTL_SECS_MIN,
        ),
    ] {
        let mut desk = Desk::new(&[server(1)]);
        let id = desk.start("nothing.example.com");
        let (a, aaaa) = desk.pair();
        for query in [&a, &aaaa] {
            let mut message = failure(query, ResponseCode::NXDomain);
            message.add_authorities(record.clone());
            desk.answer(query, &message);
        }
        assert_eq!(desk.result(id), Err(ResolveError::NotFound));
        desk.now = T0 + (Duration::from_secs(secs) - Duration::from_nanos(1));
        let id = desk.start("nothing.example.com");
        assert_eq!(desk.result(id), Err(ResolveError::NotFound), "{record:?}");
        desk.now = T0 + Duration::from_secs(secs);
        desk.start("nothing.example.com");
        assert_eq!(desk.queries().len(), 2, "{record:?}");
    }
}

#[test]
fn how_long_an_answer_holds() {
    for (ttl, secs) in [
        (0, limits::DNS_TTL_SECS_MIN),
        (4, limits::DNS_TTL_SECS_MIN),
        (5, 5),
        (299, 299),
        (300, 300),
        (301, limits::DNS_TTL_SECS_MAX),
        (0x7fff_ffff, limits::DNS_TTL_SECS_MAX),
        (0x8000_0000, limits::DNS_TTL_SECS_MIN), // RFC 2181 section 8: as if 0
        (u32::MAX, limits::DNS_TTL_SECS_MIN),
    ] {
        let mut desk = Desk::new(&[server(1)]);
        let answers = vec![address("www.example.com", ttl, v4(1))];
        let answer = desk.look_up("www.example.com", answers).unwrap();
        assert_eq!(answer.until, T0 + Duration::from_secs(secs), "{ttl}");
    }
}

#[test]
fn a_cached_answer_is_used_for_its_time_and_handed_out_for_a_while() {
    let mut desk = Desk::new(&[server(1)]);
    let answers = vec![address("www.example.com", 60, v4(1))];
    desk.look_up("www.example.com", answers).unwrap();
    for (later, until) in [(0, 60), (30, 60), (54, 60), (58, 63), (59, 64)] {
        desk.now = T0 + Duration::from_secs(later);
        let id = desk.start("www.example.com");
        let answer = desk.result(id).unwrap();
        assert_eq!(answer.until, T0 + Duration::from_secs(until), "{later}");
    }
    assert_eq!(desk.queries().len(), 0);
    assert_eq!(desk.resolver.stats().cached, 5);
    desk.now = T0 + Duration::from_secs(60);
    desk.start("www.example.com");
    assert_eq!(desk.queries().len(), 2);
}

#[test]
fn what_one_scope_knows_another_asks_for() {
    let mut desk = Desk::new(&[server(1)]);
    let answers = vec![address("www.example.com", 60, v4(1))];
    desk.look_up("www.example.com", answers).unwrap();
    desk.start_in(Scope(2), "www.example.com");
    assert_eq!(desk.queries().len(), 2);
    // An ended scope is forgotten.
    desk.resolver.end_scope(APP);
    desk.start("www.example.com");
    assert_eq!(desk.queries().len(), 2);
}

#[test]
fn lookups_of_one_name_share_their_queries() {
    let mut desk = Desk::new(&[server(1)]);
    let ids = [desk.start("www.example.com"), desk.start("WWW.example.com")];
    let gone = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    desk.resolver.cancel(gone);
    desk.answer(&a, &reply(&a, vec![address("www.example.com", 60, v4(1))]));
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    for id in ids {
        assert_eq!(desk.resolver.poll_finished(), Some(id));
        assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
    }
    assert_eq!(desk.resolver.poll(gone), Some(Err(ResolveError::Closed)));
    desk.assert_idle();
}

#[test]
fn a_server_that_fails_is_followed_by_the_next() {
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::FormErr,
        ResponseCode::NotImp,
    ] {
        let mut desk = Desk::new(&[server(1), server(2)]);
        let id = desk.start("www.example.com");
        let (a, aaaa) = desk.pair();
        desk.answer(&aaaa, &reply(&aaaa, vec![]));
        assert_eq!(desk.answer(&a, &failure(&a, code)), Taken::Answer);
        let again = desk.queries();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].server, server(2));
        assert_ne!(local_port(&again[0]), local_port(&a));
        let answers = vec![address("www.example.com", 60, v4(1))];
        desk.answer(&again[0], &reply(&again[0], answers));
        assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
        desk.assert_idle();
    }
}

#[test]
fn a_server_that_only_points_elsewhere_is_followed_by_the_next() {
    let mut desk = Desk::new(&[server(1), server(2)]);
    desk.start("www.example.com");
    let (a, _) = desk.pair();
    let mut message = reply(&a, vec![]);
    message.metadata.recursion_available = false;
    desk.answer(&a, &message);
    assert_eq!(desk.queries()[0].server, server(2));
}

#[test]
fn servers_that_all_fail_are_asked_twice_each() {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let id = desk.start("www.example.com");
    let mut asked = Vec::new();
    loop {
        let queries = desk.queries();
        if queries.is_empty() {
            break;
        }
        for query in queries {
            asked.push(query.server);
            desk.answer(&query, &failure(&query, ResponseCode::ServFail));
        }
    }
    let (one, two) = (server(1), server(2));
    assert_eq!(asked, [one, one, two, two, one, one, two, two]);
    assert_eq!(desk.result(id), Err(ResolveError::ServerFailed));
    desk.assert_idle();
    // A failure is not remembered.
    desk.start("www.example.com");
    assert_eq!(desk.queries().len(), 2);
}

#[test]
fn half_an_answer_is_used_and_asked_for_again_soon() {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let id = desk.start("www.example.com");
    let (a, _) = desk.pair();
    desk.answer(&a, &reply(&a, vec![address("www.example.com", 60, v4(1))]));
    assert_eq!(desk.resolver.poll(id), None);
    desk.wait();
    assert_eq!(desk.now, T0 + TRY, "one try of the silent family, no more");
    let answer = desk.result(id).unwrap();
    assert_eq!(answer.addresses, [v4(1)]);
    let soon = Duration::from_secs(limits::DNS_TTL_SECS_MIN);
    assert_eq!(answer.until, desk.now + soon);
    desk.assert_idle();
}

#[test]
fn names_that_are_ours_are_never_asked_for() {
    let gateway: IpAddr = [10, 0, 2, 2].into();
    let hosts = vec![(host("host.internal"), vec![gateway])];
    let mut desk = Desk::with_hosts(&[server(1)], hosts);
    for (name, addresses) in [
        ("host.internal", Some(vec![gateway])),
        (
            "localhost",
            Some(vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()]),
        ),
        (
            "db.localhost",
            Some(vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()]),
        ),
        ("x.host.internal", None),
        ("x.invalid", None),
        ("printer.local", None),
    ] {
        let id = desk.start(name);
        let answer = desk.result(id).map(|answer| answer.addresses);
        assert_eq!(answer, addresses.ok_or(ResolveError::NotFound), "{name}");
    }
    assert_eq!(desk.queries().len(), 0);
}

#[test]
fn without_a_server_only_our_names_are_known() {
    let mut desk = Desk::new(&[]);
    let id = desk.start("localhost");
    assert!(desk.result(id).is_ok());
    let asked = desk.resolver.start(T0, APP, &host("example.com"));
    assert_eq!(asked, Err(ResolveError::Unavailable));
    desk.assert_idle();
}
