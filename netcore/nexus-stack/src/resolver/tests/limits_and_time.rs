//! Bounds, each at and over; and that every lookup ends.

use super::*;

#[test]
fn silent_servers_are_asked_twice_each_and_no_longer() {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let id = desk.start("www.example.com");
    let mut asked = Vec::new();
    for round in 0..4 {
        let queries = desk.queries();
        assert_eq!(queries.len(), 2);
        asked.extend(queries.iter().map(|query| query.server));
        assert_eq!(desk.resolver.poll(id), None);
        desk.wait();
        assert_eq!(desk.now, T0 + TRY * (round + 1));
    }
    let (one, two) = (server(1), server(2));
    assert_eq!(asked, [one, one, two, two, one, one, two, two]);
    assert_eq!(desk.resolver.poll_finished(), Some(id));
    assert_eq!(desk.result(id), Err(ResolveError::TimedOut));
    assert_eq!(desk.resolver.stats().timeouts, 8);
    desk.assert_idle();
}

#[test]
fn what_a_server_said_tells_more_than_silence() {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let id = desk.start("www.example.com");
    while desk.resolver.poll(id).is_none() {
        for query in desk.queries() {
            if query.server == server(1) {
                desk.answer(&query, &failure(&query, ResponseCode::ServFail));
            }
        }
        if desk.resolver.poll_timeout().is_some() {
            desk.wait();
        }
        if desk.resolver.finished.contains(&id) {
            break;
        }
    }
    assert_eq!(desk.result(id), Err(ResolveError::ServerFailed));
}

#[test]
fn lookups_of_an_app_at_and_over_the_limit() {
    let mut desk = Desk::new(&[server(1)]);
    let mut ids = Vec::new();
    for number in 0..limits::DNS_LOOKUPS_SCOPE {
        ids.push(desk.start(&format!("n{number}.example")));
    }
    let over = |desk: &mut Desk, name: &str| desk.resolver.start(T0, APP, &host(name));
    assert_eq!(over(&mut desk, "over.example"), Err(ResolveError::TooMany));
    // The same name, or one that needs no server, is a lookup too.
    assert_eq!(over(&mut desk, "n0.example"), Err(ResolveError::TooMany));
    assert_eq!(over(&mut desk, "localhost"), Err(ResolveError::TooMany));
    // Another app is not hindered.
    desk.start_in(Scope(2), "over.example");
    desk.resolver.cancel(ids[0]);
    assert!(over(&mut desk, "over.example").is_ok());
}

#[test]
fn lookups_of_a_node_at_and_over_the_limit() {
    let mut desk = Desk::new(&[server(1)]);
    for number in 0..limits::DNS_LOOKUPS {
        let scope = Scope(number / limits::DNS_LOOKUPS_SCOPE);
        desk.start_in(scope, &format!("n{number}.example"));
    }
    let name = host("over.example");
    let over = desk.resolver.start(T0, Scope(99), &name);
    assert_eq!(over, Err(ResolveError::TooMany));
    let queries = desk.queries().len();
    assert_eq!(queries, 2 * limits::DNS_LOOKUPS as usize);
    desk.resolver.end_scope(Scope(0));
    assert!(desk.resolver.start(T0, Scope(99), &name).is_ok());
    for scope in 0..100 {
        desk.resolver.end_scope(Scope(scope));
    }
    desk.assert_idle();
}

#[test]
fn addresses_at_and_over_the_limit() {
    let most = limits::DNS_ANSWERS as u8;
    for count in [most, most + 1, 250] {
        let mut desk = Desk::new(&[server(1)]);
        let answers = (1..=count)
            .map(|n| address("www.example.com", 60, v4(n)))
            .collect();
        let answer = desk.look_up("www.example.com", answers).unwrap();
        assert_eq!(
            answer.addresses,
            (1..=most).map(v4).collect::<Vec<_>>(),
            "{count}"
        );
    }
    // Of both families together; each has its share.
    let mut desk = Desk::new(&[server(1)]);
    let id = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    let answers = (1..=100)
        .map(|n| address("www.example.com", 60, v4(n)))
        .collect();
    desk.answer(&a, &reply(&a, answers));
    let answers = (1..=100)
        .map(|n| address("www.example.com", 60, v6(n)))
        .collect();
    desk.answer(&aaaa, &reply(&aaaa, answers));
    let addresses = desk.result(id).unwrap().addresses;
    assert_eq!(addresses.len(), usize::from(most));
    let six = addresses.iter().filter(|address| address.is_ipv6()).count();
    assert_eq!(six, usize::from(most) / 2);
}

#[test]
fn an_address_given_often_is_one() {
    let mut desk = Desk::new(&[server(1)]);
    let answers = (0..100)
        .map(|n| address("www.example.com", 60, v4(n / 50)))
        .collect();
    let answer = desk.look_up("www.example.com", answers).unwrap();
    assert_eq!(answer.addresses, [v4(0), v4(1)]);
}

#[test]
fn reject_ten_thousand_answers() {
    // No message is that long; what a server can send is refused for its size before it is read.
    let mut desk = Desk::new(&[server(1)]);
    let id = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    let head = reply(&a, vec![]).to_vec().unwrap();
    let mut bytes = head.clone();
    bytes[6..8].copy_from_slice(&10_000_u16.to_be_bytes());
    for number in 0..10_000_u32 {
        bytes.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    assert_eq!(desk.datagram(&a, &bytes), Taken::Stray);
    // As many as the longest message has.
    let count = (limits::DNS_MESSAGE_BYTES as usize - head.len()) / 16;
    bytes.truncate(head.len() + count * 16);
    bytes[6..8].copy_from_slice(&(count as u16).to_be_bytes());
    assert_eq!(desk.datagram(&a, &bytes), Taken::Answer);
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    let addresses = desk.result(id).unwrap().addresses;
    assert_eq!(addresses.len(), limits::DNS_ANSWERS as usize);
}

#[test]
fn cancelled_lookups_leave_nothing() {
    let mut desk = Desk::new(&[server(1)]);
    let before = desk.start("a.example");
    desk.resolver.cancel(before);
    assert_eq!(desk.queries().len(), 0, "not even sent");
    let after = desk.start("a.example");
    let (a, _) = desk.pair();
    desk.resolver.cancel(after);
    assert!(!desk.resolver.owns_port(local_port(&a)));
    assert_eq!(desk.answer(&a, &reply(&a, vec![])), Taken::NotOurs);
    assert_eq!(desk.resolver.poll(after), Some(Err(ResolveError::Closed)));
    desk.resolver.cancel(after);
    desk.assert_idle();
}

#[test]
fn a_lookup_that_ended_is_never_another() {
    let mut desk = Desk::new(&[server(1)]);
    let mut seen = Vec::new();
    for _ in 0..100 {
        let id = desk.start("localhost");
        assert!(!seen.contains(&id));
        assert!(desk.resolver.poll(id).is_some());
        seen.push(id);
    }
}
