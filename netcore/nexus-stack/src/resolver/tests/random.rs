//! Any bytes, in any order: no panic, no lookup without an end, nothing left behind.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Start(u32, u8),
    Cancel(prop::sample::Index),
    Poll(prop::sample::Index),
    Transmit,
    /// Bytes to a query's port; with its id in front if `true`.
    Datagram(prop::sample::Index, bool, Vec<u8>),
    /// An honest answer with so many addresses, flipped at a place.
    Answer(prop::sample::Index, u8, Option<(prop::sample::Index, u8)>),
    Stream(prop::sample::Index, Vec<u8>),
    StreamFailed(prop::sample::Index),
    EndScope(u32),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    use prop::sample::Index;
    let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        (0..3_u32, 0..4_u8).prop_map(|(scope, name)| Act::Start(scope, name)),
        any::<Index>().prop_map(Act::Cancel),
        any::<Index>().prop_map(Act::Poll),
        Just(Act::Transmit),
        Just(Act::Transmit),
        (any::<Index>(), any::<bool>(), bytes()).prop_map(|(q, id, b)| Act::Datagram(q, id, b)),
        (
            any::<Index>(),
            0..4_u8,
            proptest::option::of((any::<Index>(), any::<u8>()))
        )
            .prop_map(|(q, n, flip)| Act::Answer(q, n, flip)),
        (any::<Index>(), bytes()).prop_map(|(q, b)| Act::Stream(q, b)),
        any::<Index>().prop_map(Act::StreamFailed),
        (0..3_u32).prop_map(Act::EndScope),
        (0..5_000_u64).prop_map(Act::Wait),
    ]
}

fn pick<'a, T>(index: &prop::sample::Index, from: &'a [T]) -> Option<&'a T> {
    (!from.is_empty()).then(|| index.get(from))
}

/// Plays the acts; gives what could be seen from outside.
fn play(acts: &[Act]) -> Vec<String> {
    let mut desk = Desk::new(&[server(1), server(2)]);
    let mut ids = Vec::new();
    let mut queries: Vec<Query> = Vec::new();
    let mut trace = Vec::new();
    for act in acts {
        match act {
            Act::Start(scope, name) => {
                let name = host(&format!("n{name}.example"));
                ids.extend(desk.resolver.start(desk.now, Scope(*scope), &name));
            }
            Act::Cancel(index) => {
                if let Some(id) = pick(index, &ids) {
                    desk.resolver.cancel(*id);
                }
            }
            Act::Poll(index) => {
                if let Some(id) = pick(index, &ids) {
                    trace.push(format!("{:?}", desk.resolver.poll(*id)));
                }
            }
            Act::Transmit => {
                let sent = desk.queries();
                trace.push(format!("{sent:?}"));
                queries.extend(sent);
            }
            Act::Datagram(index, with_id, bytes) => {
                if let Some(query) = pick(index, &queries)
                    && let Via::Datagram { .. } = query.via
                {
                    let mut bytes = bytes.clone();
                    if *with_id && bytes.len() > 2 {
                        bytes[..2].copy_from_slice(&query.message[..2]);
                    }
                    trace.push(format!("{:?}", desk.datagram(query, &bytes)));
                }
            }
            Act::Answer(index, count, flip) => {
                if let Some(query) = pick(index, &queries) {
                    let name = question(query).queries[0].name().to_ascii();
                    let answers = match asks_for(query) {
                        RecordType::A => (0..*count).map(|n| address(&name, 60, v4(n))).collect(),
                        _ => (0..*count)
                            .map(|n| address(&name, 60, v6(n.into())))
                            .collect(),
                    };
                    let mut bytes = reply(query, answers).to_vec().unwrap();
                    if let Some((place, value)) = flip {
                        let place = place.index(bytes.len());
                        bytes[place] = *value;
                    }
                    match query.via {
                        Via::Datagram { .. } => {
                            desk.datagram(query, &bytes);
                        }
                        Via::Stream { .. } => desk.stream_bytes(query, &framed(&bytes)),
                    }
                }
            }
            Act::Stream(index, bytes) => {
                if let Some(query) = pick(index, &queries)
                    && let Via::Stream { .. } = query.via
                {
                    desk.stream_bytes(query, bytes);
                }
            }
            Act::StreamFailed(index) => {
                if let Some(query) = pick(index, &queries)
                    && let Via::Stream { stream } = query.via
                {
                    desk.resolver.handle_stream_failed(desk.now, stream);
                }
            }
            Act::EndScope(scope) => desk.resolver.end_scope(Scope(*scope)),
            Act::Wait(millis) => {
                desk.now += Duration::from_millis(*millis);
                desk.resolver.handle_timeout(desk.now);
            }
        }
    }
    // With nobody answering, all of it ends.
    let end = desk.now + TRY * 16;
    loop {
        trace.push(format!("{:?}", desk.queries()));
        if desk.resolver.poll_timeout().is_none() {
            break;
        }
        desk.wait();
        assert!(desk.now <= end, "a lookup without an end");
    }
    for id in ids {
        let result = desk.resolver.poll(id);
        trace.push(format!("{:?}", result.expect("a lookup without an end")));
    }
    desk.assert_idle();
    trace
}

proptest! {
    #[test]
    fn any_acts_end_and_are_the_same_again(acts in proptest::collection::vec(act(), 0..120)) {
        prop_assert_eq!(play(&acts), play(&acts));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let name = wire("www.example.com");
        let _ = message::read(&bytes, 0, &name, Family::V4);
        // Behind a right header and question, so that the records are reached.
        let mut framed = message::question(7, &name, Family::V6).unwrap();
        framed[2] |= 0x80;
        framed[6..12].copy_from_slice(&[0, 3, 0, 1, 0, 1]);
        framed.extend_from_slice(&bytes);
        let _ = message::read(&framed, 7, &name, Family::V6);
    }
}
