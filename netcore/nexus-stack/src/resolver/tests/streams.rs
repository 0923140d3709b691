//! Over TCP: what did not fit, in whatever pieces it comes.

use super::*;

/// A lookup whose first question went on to TCP; the other has no address.
fn truncated() -> (Desk, LookupId, Query) {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let id = desk.start("www.example.com");
    let (a, aaaa) = desk.pair();
    desk.answer(&aaaa, &reply(&aaaa, vec![]));
    // What is there does not count (RFC 2181 section 9).
    let mut message = reply(&a, vec![address("www.example.com", 60, v4(66))]);
    message.metadata.truncation = true;
    assert_eq!(desk.answer(&a, &message), Taken::Answer);
    let mut queries = desk.queries();
    assert_eq!(queries.len(), 1);
    let query = queries.remove(0);
    assert_eq!(query.server, server(1), "the same server");
    assert!(matches!(query.via, Via::Stream { .. }));
    let length = u16::from_be_bytes([query.message[0], query.message[1]]);
    assert_eq!(usize::from(length), query.message.len() - 2);
    assert_ne!(question(&query).metadata.id, question(&a).metadata.id);
    (desk, id, query)
}

fn stream_of(query: &Query) -> StreamId {
    match query.via {
        Via::Stream { stream } => stream,
        Via::Datagram { .. } => panic!("not a stream"),
    }
}

/// The next server is asked, by datagram; the stream is over.
fn assert_next_server(desk: &mut Desk, old: &Query, closed: bool) {
    let queries = desk.queries();
    assert_eq!(queries.len(), 1);
    assert_eq!(queries[0].server, server(2));
    assert!(matches!(queries[0].via, Via::Datagram { .. }));
    assert_eq!(
        desk.resolver.poll_closed_stream(),
        closed.then(|| stream_of(old))
    );
    assert_eq!(desk.resolver.poll_closed_stream(), None);
}

#[test]
fn the_whole_answer_comes_over_tcp() {
    let (mut desk, id, query) = truncated();
    let answers = (1..=12)
        .map(|n| address("www.example.com", 60, v4(n)))
        .collect();
    desk.stream(&query, &reply(&query, answers));
    let answer = desk.result(id).unwrap();
    assert_eq!(answer.addresses, (1..=12).map(v4).collect::<Vec<_>>());
    assert_eq!(desk.resolver.poll_closed_stream(), Some(stream_of(&query)));
    desk.assert_idle();
}

#[test]
fn a_cut_datagram_with_the_bit_set_is_truncated_all_the_same() {
    let mut desk = Desk::new(&[server(1)]);
    desk.start("www.example.com");
    let (a, _) = desk.pair();
    let mut message = reply(&a, vec![address("www.example.com", 60, v4(1))]);
    message.metadata.truncation = true;
    let bytes = message.to_vec().unwrap();
    // Some servers cut in the middle of a record.
    assert_eq!(desk.datagram(&a, &bytes[..bytes.len() - 3]), Taken::Answer);
    assert!(matches!(desk.queries()[0].via, Via::Stream { .. }));
}

#[test]
fn pieces_of_every_size_are_the_same_answer() {
    for size in 1..60 {
        let (mut desk, id, query) = truncated();
        let answer = reply(&query, vec![address("www.example.com", 60, v4(1))]);
        let bytes = framed(&answer.to_vec().unwrap());
        for piece in bytes.chunks(size) {
            assert_eq!(desk.resolver.poll(id), None, "{size}");
            desk.stream_bytes(&query, piece);
        }
        assert_eq!(desk.result(id).unwrap().addresses, [v4(1)], "{size}");
    }
}

#[test]
fn what_follows_the_answer_is_ignored() {
    let (mut desk, id, query) = truncated();
    let answer = reply(&query, vec![address("www.example.com", 60, v4(1))]);
    let mut bytes = framed(&answer.to_vec().unwrap());
    bytes.extend_from_slice(&[0xff; 70_000]);
    desk.stream_bytes(&query, &bytes);
    assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);
    desk.stream_bytes(&query, &bytes);
    desk.assert_idle();
}

#[test]
fn a_failed_stream_is_followed_by_the_next_server() {
    let (mut desk, _, query) = truncated();
    desk.stream_bytes(&query, &[0, 100, 1]);
    desk.resolver.handle_stream_failed(T0, stream_of(&query));
    assert_next_server(&mut desk, &query, false);
    // Told twice, or too late: nothing.
    desk.resolver.handle_stream_failed(T0, stream_of(&query));
    desk.stream_bytes(&query, &[0; 100]);
    assert_eq!(desk.queries().len(), 0);
}

#[test]
fn a_silent_stream_ends_with_its_time() {
    let (mut desk, _, query) = truncated();
    desk.stream_bytes(&query, &[0, 100, 1]);
    desk.wait();
    assert_eq!(desk.now, T0 + TRY);
    assert_next_server(&mut desk, &query, true);
}

#[test]
fn answers_at_and_over_the_longest() {
    // At: as many records as fit, and a last one to fill up.
    let (mut desk, id, query) = truncated();
    let most = limits::DNS_MESSAGE_BYTES as usize;
    let padded = |query: &Query, padding: usize| {
        let answers = vec![address("www.example.com", 60, v4(1))];
        let mut message = reply(query, answers);
        let texts = vec!["x".repeat(200); padding / 201];
        message.add_additional(record(".", 0, RData::TXT(TXT::new(texts))));
        let rest = vec!["x".repeat(padding % 201)];
        message.add_additional(record(".", 0, RData::TXT(TXT::new(rest))));
        message.to_vec().unwrap()
    };
    let fixed = padded(&query, 0).len();
    let at = padded(&query, most - fixed);
    assert_eq!(at.len(), most);
    desk.stream_bytes(&query, &framed(&at));
    assert_eq!(desk.result(id).unwrap().addresses, [v4(1)]);

    let (mut desk, _, query) = truncated();
    let over = padded(&query, most - fixed + 1);
    assert_eq!(over.len(), most + 1);
    desk.stream_bytes(&query, &framed(&over)[..2]);
    assert_next_server(&mut desk, &query, true);
}

#[test]
fn reject_streams_that_break_the_protocol() {
    type Forge = fn(&mut Message);
    let forgeries: [(&str, Forge); 5] = [
        ("id", |m| m.metadata.id ^= 1),
        ("question", |m| {
            m.queries[0].set_name(wire("evil.example"));
        }),
        ("not an answer", |m| {
            m.metadata.message_type = MessageType::Query
        }),
        ("truncated over TCP", |m| m.metadata.truncation = true),
        ("refused", |m| {
            m.metadata.response_code = ResponseCode::Refused
        }),
    ];
    for (what, forge) in forgeries {
        let (mut desk, id, query) = truncated();
        let mut message = reply(&query, vec![address("www.example.com", 60, v4(1))]);
        forge(&mut message);
        desk.stream(&query, &message);
        assert_eq!(desk.resolver.poll(id), None, "{what}");
        assert_next_server(&mut desk, &query, true);
    }
    for bytes in [
        &[0, 0][..],
        &[0, 1, 0],
        &[0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let (mut desk, _, query) = truncated();
        desk.stream_bytes(&query, bytes);
        assert_next_server(&mut desk, &query, true);
    }
}

#[test]
fn reject_answers_cut_short_within_their_frame() {
    let (_, _, query) = truncated();
    let whole = reply(&query, vec![address("www.example.com", 60, v4(1))]);
    let whole = whole.to_vec().unwrap();
    for length in 0..whole.len() {
        let (mut desk, _, query) = truncated();
        desk.stream_bytes(&query, &framed(&whole[..length]));
        assert_next_server(&mut desk, &query, true);
    }
}

#[test]
fn a_cancelled_lookup_closes_its_stream() {
    let (mut desk, id, query) = truncated();
    desk.resolver.cancel(id);
    assert_eq!(desk.resolver.poll_closed_stream(), Some(stream_of(&query)));
    desk.assert_idle();
}
