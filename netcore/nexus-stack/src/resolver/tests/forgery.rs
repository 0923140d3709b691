//! What is not an answer: it ends nothing, and is counted.

use super::*;

/// A started lookup, its queries, and the honest answer to the first.
fn open() -> (Desk, LookupId, Query, Query, Message) {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let id = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    let honest = reply(&a, vec![address("www.example.com", 60, v4(1))]);
    (desk, id, a, aaaa, honest)
}

/// The lookup still goes on, and the honest answers still end it.
fn assert_unharmed(mut desk: Desk, id: LookupId, a: &Query, aaaa: &Query, honest: &Message) {
    assert_eq!(desk.resolver.poll(id), None);
    assert_eq!(desk.queries().len(), 0);
    assert_eq!(desk.answer(a, honest), Taken::Answer);
    desk.answer(aaaa, &reply(aaaa, vec![]));
    assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
    desk.assert_idle();
}

#[test]
fn reject_answers_that_differ_in_anything() {
    type Forge = fn(&mut Message);
    let forgeries: [(&str, Forge); 12] = [
        ("id", |m| m.metadata.id ^= 1),
        ("not an answer", |m| {
            m.metadata.message_type = MessageType::Query
        }),
        ("opcode", |m| m.metadata.op_code = OpCode::Status),
        ("opcode update", |m| m.metadata.op_code = OpCode::Update),
        ("no question", |m| m.queries.clear()),
        ("two questions", |m| {
            let again = m.queries[0].clone();
            m.add_query(again);
        }),
        ("another name", |m| {
            m.queries[0].set_name(wire("ww.example.com"));
        }),
        ("a name below", |m| {
            m.queries[0].set_name(wire("a.www.example.com"));
        }),
        ("another type", |m| {
            m.queries[0].set_query_type(RecordType::AAAA);
        }),
        ("another class", |m| {
            m.queries[0].set_query_class(DNSClass::CH);
        }),
        ("another id, NXDOMAIN", |m| {
            m.metadata.id = m.metadata.id.wrapping_add(1);
            m.metadata.response_code = ResponseCode::NXDomain;
        }),
        ("another question, truncated", |m| {
            m.queries[0].set_name(wire("evil.example"));
            m.metadata.truncation = true;
        }),
    ];
    for (what, forge) in forgeries {
        let (mut desk, id, a, aaaa, honest) = open();
        let mut forged = honest.clone();
        forge(&mut forged);
        assert_eq!(desk.answer(&a, &forged), Taken::Stray, "{what}");
        assert_eq!(desk.resolver.stats().strays, 1);
        assert_unharmed(desk, id, &a, &aaaa, &honest);
    }
}

#[test]
fn reject_answers_from_elsewhere() {
    let (mut desk, id, a, aaaa, honest) = open();
    let bytes = honest.to_vec().unwrap();
    let port = local_port(&a);
    for from in [
        server(2),                             // another server of ours
        SocketAddr::new(server(1).ip(), 54),   // another port of this one
        SocketAddr::new(server(1).ip(), 5353), // multicast DNS's
        SocketAddr::new(v4(66), 53),
        SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 53),
    ] {
        let taken = desk.resolver.handle_datagram(T0, from, port, &bytes);
        assert_eq!(taken, Taken::Stray, "{from}");
    }
    assert_unharmed(desk, id, &a, &aaaa, &honest);
}

#[test]
fn reject_answers_to_another_port() {
    let (mut desk, id, a, aaaa, honest) = open();
    let bytes = honest.to_vec().unwrap();
    // The other query's port: a stray there. A port without a query: not ours.
    let taken = desk
        .resolver
        .handle_datagram(T0, a.server, local_port(&aaaa), &bytes);
    assert_eq!(taken, Taken::Stray);
    let free = (1_024..)
        .find(|port| !desk.resolver.owns_port(*port))
        .unwrap();
    let taken = desk.resolver.handle_datagram(T0, a.server, free, &bytes);
    assert_eq!(taken, Taken::NotOurs);
    assert_unharmed(desk, id, &a, &aaaa, &honest);
}

#[test]
fn reject_answers_cut_at_every_length() {
    let (_, _, a, _, honest) = open();
    let mut long = reply(
        &a,
        vec![
            alias("www.example.com", 60, "b.example"),
            address("b.example", 60, v4(1)),
        ],
    );
    long.add_authority(soa("example", 60, 60));
    long.add_additional(record(
        "b.example",
        60,
        RData::TXT(TXT::new(vec!["x".into()])),
    ));
    for message in [honest.clone(), long] {
        let bytes = message.to_vec().unwrap();
        for length in 0..bytes.len() {
            let (mut desk, id, a, aaaa, honest) = open();
            assert_eq!(
                desk.datagram(&a, &bytes[..length]),
                Taken::Stray,
                "{length}"
            );
            assert_unharmed(desk, id, &a, &aaaa, &honest);
        }
    }
}

#[test]
fn reject_pointers_that_loop() {
    // The question's name, or the answer's, points at itself, forward, or into the header.
    for (place, target) in [
        (12_usize, 12_usize),
        (12, 14),
        (12, 0),
        (33, 33),
        (33, 35),
        (33, 200),
        (33, 0x3fff),
    ] {
        let (mut desk, id, a, aaaa, honest) = open();
        let mut bytes = honest.to_vec().unwrap();
        assert_eq!(
            bytes[33..35],
            [0xc0, 0x0c],
            "the answer's name points at the question's"
        );
        let pointer = (0xc000 | target as u16).to_be_bytes();
        bytes[place..place + 2].copy_from_slice(&pointer);
        assert_eq!(
            desk.datagram(&a, &bytes),
            Taken::Stray,
            "{place} -> {target}"
        );
        assert_unharmed(desk, id, &a, &aaaa, &honest);
    }
}

#[test]
fn reject_counts_that_lie() {
    // Thousands of questions or records are announced, none of them there.
    for place in [4, 6, 8, 10] {
        for count in [10_000_u16, u16::MAX] {
            let (mut desk, id, a, aaaa, honest) = open();
            let mut bytes = honest.to_vec().unwrap();
            bytes[place..place + 2].copy_from_slice(&count.to_be_bytes());
            assert_eq!(desk.datagram(&a, &bytes), Taken::Stray, "{place} {count}");
            assert_unharmed(desk, id, &a, &aaaa, &honest);
        }
    }
}

#[test]
fn reject_addresses_smuggled_in_beside_the_answer() {
    let evil = v4(66);
    let mut desk = Desk::new(&[server(1)]);
    let id = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    let mut message = reply(
        &a,
        vec![
            address("bank.example", 60, evil),      // another name
            address("example.com", 60, evil),       // the name above
            address("a.www.example.com", 60, evil), // a name below
            alias("www.example.com", 60, "b.example"),
            address("other.example", 60, evil), // not in the chain
            address("b.example", 60, v6(66)),   // another family than asked
            address("b.example", 60, v4(1)),
        ],
    );
    let mut chaos = address("b.example", 60, evil);
    chaos.dns_class = DNSClass::CH;
    message.add_answer(chaos);
    message.add_authority(address("www.example.com", 60, evil));
    message.add_authority(address("b.example", 60, evil));
    message.add_additional(address("www.example.com", 60, evil));
    message.add_additional(address("b.example", 60, evil));
    assert_eq!(desk.answer(&a, &message), Taken::Answer);
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
    // Nor are they remembered for their own names.
    for name in ["bank.example", "b.example", "other.example"] {
        desk.start(name);
        assert_eq!(desk.queries().len(), 2, "{name}");
    }
}

#[test]
fn reject_addresses_only_in_the_additional_section() {
    let mut desk = Desk::new(&[server(1)]);
    let id = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    let mut message = reply(&a, vec![alias("www.example.com", 60, "b.example")]);
    message.add_additional(address("b.example", 60, v4(66)));
    desk.answer(&a, &message);
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    assert_eq!(desk.result(id), Err(ResolveError::NotFound));
}

#[test]
fn an_answer_counts_once() {
    let (mut desk, _, a, _, honest) = open();
    assert_eq!(desk.answer(&a, &honest), Taken::Answer);
    assert_eq!(desk.answer(&a, &honest), Taken::NotOurs);
}

#[test]
fn reject_an_answer_that_comes_too_late() {
    let (mut desk, id, a, aaaa, honest) = open();
    desk.wait();
    assert_eq!(desk.now, T0 + TRY);
    assert_eq!(desk.answer(&a, &honest), Taken::NotOurs);
    assert_eq!(desk.answer(&aaaa, &reply(&aaaa, vec![])), Taken::NotOurs);
    assert_eq!(desk.resolver.poll(id), None);
}

#[test]
fn strays_at_the_limit_move_the_query() {
    let (mut desk, id, a, aaaa, honest) = open();
    let forged = failure(&aaaa, ResponseCode::NXDomain); // another id, another type
    for _ in 1..limits::DNS_STRAYS {
        desk.answer(&a, &forged);
        assert_eq!(desk.queries().len(), 0, "below the limit nothing moves");
    }
    desk.now = T0 + Duration::from_secs(1);
    desk.answer(&a, &forged);
    let moved = desk.queries();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].server, a.server);
    assert_ne!(local_port(&moved[0]), local_port(&a));
    assert_ne!(question(&moved[0]).metadata.id, question(&a).metadata.id);
    assert_eq!(
        desk.answer(&a, &honest),
        Taken::NotOurs,
        "the old port is closed"
    );
    assert_eq!(
        desk.resolver.poll_timeout(),
        Some(T0 + TRY),
        "a forger gives no more time"
    );
    let honest = reply(&moved[0], vec![address("www.example.com", 60, v4(1))]);
    assert_eq!(desk.answer(&moved[0], &honest), Taken::Answer);
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
    assert_eq!(desk.resolver.stats().renewals, 1);
}

#[test]
fn a_forger_that_keeps_finding_the_port_is_left_for_tcp() {
    let (mut desk, id, a, aaaa, _) = open();
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    let mut query = a;
    for _ in 0..=limits::DNS_RENEWALS {
        for _ in 0..limits::DNS_STRAYS {
            assert_eq!(desk.datagram(&query, b"forged"), Taken::Stray);
        }
        let mut moved = desk.queries();
        assert_eq!(moved.len(), 1);
        query = moved.remove(0);
    }
    assert!(matches!(query.via, Via::Stream { .. }));
    let honest = reply(&query, vec![address("www.example.com", 60, v4(1))]);
    desk.stream(&query, &honest);
    assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
    desk.assert_idle();
}

#[test]
fn ports_and_ids_are_spread_and_follow_the_seed() {
    let trace = |seed: u64| {
        let config = ResolverConfig {
            servers: vec![server(1)],
            hosts: vec![],
        };
        let mut resolver = Resolver::new(config, &Seed::from_number(seed));
        let mut seen = Vec::new();
        for number in 0..limits::DNS_LOOKUPS_SCOPE {
            let name = host(&format!("n{number}.example"));
            resolver.start(T0, APP, &name).unwrap();
        }
        while let Some(query) = resolver.poll_transmit(T0, |_| false) {
            seen.push((local_port(&query), question(&query).metadata.id));
        }
        seen
    };
    let one = trace(1);
    assert_eq!(one, trace(1));
    assert_ne!(one, trace(2));
    let mut ports: Vec<u16> = one.iter().map(|(port, _)| *port).collect();
    ports.sort_unstable();
    let count = ports.len();
    ports.dedup();
    assert_eq!(ports.len(), count, "no port twice");
    assert!(ports[0] >= 1_024);
    // 128 draws of 64,512: some in the lowest and the highest eighth, or it is no even spread.
    assert!(ports[0] < 9_000 && ports[count - 1] > 57_000, "{ports:?}");
}

#[test]
fn a_port_that_others_have_is_not_taken() {
    let mut desk = Desk::new(&[server(1)]);
    desk.start("www.example.com");
    let (free, mut asked) = (40_000..=65_535, 0);
    let query = desk.resolver.poll_transmit(T0, |port| {
        asked += 1;
        !free.contains(&port)
    });
    assert!(free.contains(&local_port(&query.unwrap())));
    assert!(asked >= 1);
}

#[test]
fn without_a_free_port_the_lookup_fails() {
    let mut desk = Desk::new(&[server(1)]);
    let id = desk.start("www.example.com");
    assert_eq!(desk.resolver.poll_transmit(T0, |_| true), None);
    assert_eq!(desk.result(id), Err(ResolveError::Unavailable));
    desk.assert_idle();
}
