//! Reassembly: what is whole again, what is refused, and what it may hold.

use proptest::prelude::*;

use super::parse::checksum;
use super::*;

const T0: Instant = Instant::from_secs(1);
const UDP: u8 = 17;
const TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const DESTINATION: u8 = 60;
const FRAGMENT: u8 = 44;

/// An IPv4 packet, or a fragment of one if `place` (the flags and offset field) says so.
fn v4(source: u8, id: u16, place: u16, options: usize, data: &[u8]) -> Vec<u8> {
    let header = 20 + options;
    let mut packet = vec![0; header];
    packet[0] = 0x40 | (header / 4) as u8;
    packet[2..4].copy_from_slice(&((header + data.len()) as u16).to_be_bytes());
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&place.to_be_bytes());
    packet[8] = 64;
    packet[9] = UDP;
    packet[12..16].copy_from_slice(&[10, 0, 0, source]);
    packet[16..20].copy_from_slice(&[10, 0, 0, 200]);
    packet[20..].fill(1); // "no operation"
    let sum = checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(data);
    packet
}

fn v4_piece(id: u16, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
    assert!(offset.is_multiple_of(8));
    v4(
        1,
        id,
        (offset / 8) as u16 | if more { 0x2000 } else { 0 },
        0,
        data,
    )
}

/// An IPv6 packet: `chain` is what lies between the fixed header and the data, its first type first.
fn v6(first: u8, chain: &[u8], data: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x60;
    packet[4..6].copy_from_slice(&((chain.len() + data.len()) as u16).to_be_bytes());
    packet[6] = first;
    packet[7] = 64;
    packet[8] = 0xfd;
    packet[23] = 1;
    packet[24] = 0xfd;
    packet[39] = 2;
    packet.extend_from_slice(chain);
    packet.extend_from_slice(data);
    packet
}

fn fragment_header(next: u8, id: u32, offset: usize, more: bool) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend_from_slice(&(offset as u16 | u16::from(more)).to_be_bytes());
    header.extend_from_slice(&id.to_be_bytes());
    header
}

fn v6_piece(next: u8, id: u32, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
    v6(FRAGMENT, &fragment_header(next, id, offset, more), data)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 7 + index / 256) as u8)
        .collect()
}

fn feed(reassembler: &mut Reassembler, packets: &[Vec<u8>]) -> Vec<Reassembly> {
    packets
        .iter()
        .map(|packet| reassembler.handle(T0, packet))
        .collect()
}

#[test]
fn what_is_no_fragment_passes() {
    let mut all = Reassembler::new(true);
    for packet in [
        v4(1, 7, 0, 0, &bytes(100)),
        v4(1, 7, 0x4000, 8, &bytes(100)), // "don't fragment"
        v6(UDP, &[], &bytes(100)),
        v6(HOP_BY_HOP, &[UDP, 0, 0, 0, 0, 0, 0, 0], &bytes(8)),
        vec![],
        vec![0x45],
        vec![0x60],
        vec![0xff; 100],
    ] {
        assert_eq!(
            all.handle(T0, &packet),
            Reassembly::NotAFragment,
            "{packet:?}"
        );
    }
    assert_eq!(all.held_datagrams(), 0);
    assert_eq!(all.poll_timeout(), None);
}

#[test]
fn v4_is_whole_with_its_options_length_and_checksum() {
    let data = bytes(40);
    let mut all = Reassembler::new(true);
    // The first fragment has 12 bytes of options, the others are without (RFC 791: not copied).
    let first = v4(1, 7, 0x2000, 12, &data[..16]);
    assert_eq!(
        all.handle(T0, &v4_piece(7, 16, false, &data[16..])),
        Reassembly::Held
    );
    let Reassembly::Whole(packet) = all.handle(T0, &first) else {
        panic!("not whole");
    };
    assert_eq!(packet, v4(1, 7, 0, 12, &data));
    assert_eq!((all.held_datagrams(), all.held_bytes()), (0, 0));
}

#[test]
fn v6_is_whole_without_its_fragment_header() {
    let data = bytes(48);
    let mut all = Reassembler::new(true);
    let hop = [FRAGMENT, 0, 1, 4, 0, 0, 0, 0];
    let piece = |offset, more, data: &[u8]| {
        let mut chain = hop.to_vec();
        chain.extend(fragment_header(UDP, 9, offset, more));
        v6(HOP_BY_HOP, &chain, data)
    };
    assert_eq!(
        all.handle(T0, &piece(16, false, &data[16..])),
        Reassembly::Held
    );
    let Reassembly::Whole(packet) = all.handle(T0, &piece(0, true, &data[..16])) else {
        panic!("not whole");
    };
    let mut hop = hop;
    hop[0] = UDP;
    assert_eq!(packet, v6(HOP_BY_HOP, &hop, &data));
}

#[test]
fn bytes_behind_the_packet_are_no_data() {
    let mut all = Reassembler::new(true);
    let mut first = v4_piece(7, 0, true, &bytes(16));
    first.extend_from_slice(&[0xee; 14]); // Ethernet padding
    assert_eq!(all.handle(T0, &first), Reassembly::Held);
    let mut last = v4_piece(7, 16, false, &bytes(3));
    last.extend_from_slice(&[0xee; 23]);
    let Reassembly::Whole(packet) = all.handle(T0, &last) else {
        panic!("not whole");
    };
    assert_eq!(packet[20..], [bytes(16), bytes(3)].concat());
}

#[test]
fn an_atomic_fragment_never_meets_the_others() {
    let mut all = Reassembler::new(true);
    let data = bytes(40);
    assert_eq!(
        all.handle(T0, &v6_piece(UDP, 9, 0, true, &data[..16])),
        Reassembly::Held
    );
    // Same addresses and id, bytes that would overlap.
    let Reassembly::Whole(packet) = all.handle(T0, &v6_piece(UDP, 9, 0, false, &[0xaa; 24])) else {
        panic!("not whole");
    };
    assert_eq!(packet, v6(UDP, &[], &[0xaa; 24]));
    let whole = all.handle(T0, &v6_piece(UDP, 9, 16, false, &data[16..]));
    assert_eq!(whole, Reassembly::Whole(v6(UDP, &[], &data)));
}

#[test]
fn duplicates_change_nothing() {
    let data = bytes(40);
    let first = v4_piece(7, 0, true, &data[..16]);
    let last = v4_piece(7, 24, false, &data[24..]);
    let mut all = Reassembler::new(true);
    let got = feed(
        &mut all,
        &[
            first.clone(),
            last.clone(),
            first,
            last,
            v4_piece(7, 16, true, &data[16..24]),
        ],
    );
    assert_eq!(got[..4], vec![Reassembly::Held; 4]);
    assert_eq!(got[4], Reassembly::Whole(v4(1, 7, 0, 0, &data)));
}

#[test]
fn other_sources_ids_and_protocols_are_other_datagrams() {
    let mut all = Reassembler::new(true);
    let mut tcp = v4_piece(7, 0, true, &bytes(16));
    tcp[9] = TCP;
    tcp[10..12].fill(0);
    let sum = checksum(&tcp[..20]);
    tcp[10..12].copy_from_slice(&sum.to_be_bytes());
    let got = feed(
        &mut all,
        &[
            v4_piece(7, 0, true, &bytes(16)),
            v4_piece(8, 0, true, &bytes(24)),
            v4(2, 7, 0x2000, 0, &bytes(32)),
            tcp,
        ],
    );
    assert_eq!(got, vec![Reassembly::Held; 4]);
    assert_eq!(all.held_datagrams(), 4);
}

#[test]
fn reject_overlaps_and_all_that_follows() {
    let data = bytes(64);
    for (why, second) in [
        (
            "same place, other bytes",
            v4_piece(7, 16, true, &[0xaa; 16]),
        ),
        (
            "reaching into it from before",
            v4_piece(7, 8, true, &data[8..24]),
        ),
        (
            "reaching into it from behind",
            v4_piece(7, 24, true, &data[24..40]),
        ),
        ("within it", v4_piece(7, 16, true, &data[16..24])),
        ("around it", v4_piece(7, 8, true, &data[8..40])),
        (
            "teardrop: a last one within it",
            v4_piece(7, 24, false, &data[24..28]),
        ),
        ("an end before it", v4_piece(7, 8, false, &data[8..16])),
    ] {
        let mut all = Reassembler::new(true);
        assert_eq!(
            all.handle(T0, &v4_piece(7, 16, true, &data[16..32])),
            Reassembly::Held
        );
        assert_eq!(
            all.handle(T0, &second),
            Reassembly::Dropped(FragmentDrop::Overlap),
            "{why}"
        );
        assert_eq!(all.held_bytes(), 0, "{why}");
        // The honest rest does not make it whole, nor does the whole of it again.
        for rest in [
            v4_piece(7, 0, true, &data[..16]),
            v4_piece(7, 16, true, &data[16..32]),
            v4_piece(7, 32, false, &data[32..]),
        ] {
            assert_eq!(
                all.handle(T0, &rest),
                Reassembly::Dropped(FragmentDrop::Refused),
                "{why}"
            );
        }
        // The refusal ends with the datagram's time, not later.
        assert_eq!(all.handle_timeout(T0 + MAX_AGE), 1);
        assert_eq!(
            all.handle(T0 + MAX_AGE, &v4_piece(7, 0, true, &data[..16])),
            Reassembly::Held
        );
    }
}

#[test]
fn reject_a_second_end() {
    let data = bytes(64);
    for second in [
        v4_piece(7, 40, false, &data[40..48]), // behind the first one's
        v4_piece(7, 16, false, &data[16..24]), // before it
        v4_piece(7, 48, true, &data[48..64]),  // more behind the end
    ] {
        let mut all = Reassembler::new(true);
        assert_eq!(
            all.handle(T0, &v4_piece(7, 32, false, &data[32..40])),
            Reassembly::Held
        );
        assert_eq!(
            all.handle(T0, &second),
            Reassembly::Dropped(FragmentDrop::Overlap)
        );
    }
}

#[test]
fn reject_lengths_that_cannot_be() {
    let mut all = Reassembler::new(true);
    for length in [1, 7, 9, 15] {
        let piece = v4_piece(7, 0, true, &bytes(length));
        assert_eq!(
            all.handle(T0, &piece),
            Reassembly::Dropped(FragmentDrop::Unaligned)
        );
        let piece = v6_piece(UDP, 7, 8, true, &bytes(length));
        assert_eq!(
            all.handle(T0, &piece),
            Reassembly::Dropped(FragmentDrop::Unaligned)
        );
    }
    for piece in [
        v4_piece(7, 0, true, &[]),
        v4_piece(7, 8, false, &[]),
        v6_piece(UDP, 7, 8, true, &[]),
    ] {
        assert_eq!(
            all.handle(T0, &piece),
            Reassembly::Dropped(FragmentDrop::Malformed)
        );
    }
    assert_eq!(all.held_datagrams(), 0);
}

#[test]
fn reject_the_ping_of_death_one_byte_over() {
    let mut all = Reassembler::new(true);
    // 20 bytes of header and 65,515 of data are the most there is.
    let last_offset = 65_512;
    assert_eq!(
        all.handle(T0, &v4_piece(7, last_offset, false, &bytes(3))),
        Reassembly::Held
    );
    let over = all.handle(T0, &v4_piece(8, last_offset, false, &bytes(4)));
    assert_eq!(over, Reassembly::Dropped(FragmentDrop::TooLong));
    // Options in the first fragment alone make the whole too long: seen when it is whole.
    for offset in (16_384..last_offset).step_by(16_376) {
        let length = 16_376.min(last_offset - offset);
        assert_eq!(
            all.handle(T0, &v4_piece(7, offset, true, &bytes(length))),
            Reassembly::Held
        );
    }
    let first = all.handle(T0, &v4(1, 7, 0x2000, 4, &bytes(16_384)));
    assert_eq!(first, Reassembly::Dropped(FragmentDrop::TooLong));

    assert_eq!(
        all.handle(T0, &v6_piece(UDP, 7, 65_528, false, &bytes(7))),
        Reassembly::Held
    );
    let over = all.handle(T0, &v6_piece(UDP, 8, 65_528, false, &bytes(8)));
    assert_eq!(over, Reassembly::Dropped(FragmentDrop::TooLong));
}

#[test]
fn reject_a_first_fragment_without_all_headers() {
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0].to_vec();
    let two_units = |next: u8| [next, 1, 1, 4, 0, 0, 0, 0].to_vec();
    let cut = Reassembly::Dropped(FragmentDrop::HeadersCut);
    for (next, data, expected) in [
        (TCP, bytes(16), cut.clone()),
        (TCP, bytes(24), Reassembly::Held),
        (UDP, bytes(8), Reassembly::Held),
        (DESTINATION, options(UDP), cut.clone()),
        (DESTINATION, two_units(UDP), cut.clone()),
        (
            DESTINATION,
            [options(UDP), bytes(8)].concat(),
            Reassembly::Held,
        ),
        (DESTINATION, [options(TCP), bytes(16)].concat(), cut.clone()),
        (FRAGMENT, bytes(64), cut.clone()), // a fragment in a fragment
        (DESTINATION, [options(FRAGMENT), bytes(64)].concat(), cut),
    ] {
        let mut all = Reassembler::new(true);
        assert_eq!(
            all.handle(T0, &v6_piece(next, 9, 0, true, &data)),
            expected,
            "{next} {data:?}"
        );
    }
}

#[test]
fn reject_fragments_cut_at_every_length() {
    for packet in [
        v4_piece(7, 0, true, &bytes(16)),
        v4_piece(7, 16, false, &bytes(3)),
        v6_piece(UDP, 7, 0, true, &bytes(16)),
        v6_piece(UDP, 7, 16, false, &bytes(3)),
    ] {
        for length in 0..packet.len() {
            let mut all = Reassembler::new(true);
            let got = all.handle(T0, &packet[..length]);
            assert!(
                matches!(
                    got,
                    Reassembly::NotAFragment | Reassembly::Dropped(FragmentDrop::Malformed)
                ),
                "{length}: {got:?}"
            );
            assert_eq!(all.held_datagrams(), 0);
        }
    }
}

#[test]
fn reject_a_wrong_checksum_where_there_is_a_wire() {
    let mut piece = v4_piece(7, 0, true, &bytes(16));
    piece[10] ^= 1;
    let malformed = Reassembly::Dropped(FragmentDrop::Malformed);
    assert_eq!(Reassembler::new(true).handle(T0, &piece), malformed);
    assert_eq!(Reassembler::new(false).handle(T0, &piece), Reassembly::Held);
}

#[test]
fn datagrams_at_and_over_the_limit() {
    let mut all = Reassembler::new(true);
    for id in 0..limits::FRAGMENT_DATAGRAMS as u16 {
        assert_eq!(
            all.handle(T0, &v4_piece(id, 0, true, &bytes(8))),
            Reassembly::Held
        );
    }
    assert_eq!(all.held_datagrams(), limits::FRAGMENT_DATAGRAMS as usize);
    let extra = v4_piece(limits::FRAGMENT_DATAGRAMS as u16, 0, true, &bytes(8));
    assert_eq!(all.handle(T0, &extra), Reassembly::Held);
    assert_eq!(all.held_datagrams(), limits::FRAGMENT_DATAGRAMS as usize);
    // The oldest made room: its end finds nothing; the second oldest is still there.
    let second = all.handle(T0, &v4_piece(1, 8, false, &bytes(8)));
    assert!(matches!(second, Reassembly::Whole(_)), "{second:?}");
    assert_eq!(
        all.handle(T0, &v4_piece(0, 8, false, &bytes(8))),
        Reassembly::Held
    );
}

#[test]
fn bytes_at_and_over_the_limit() {
    let bound = limits::FRAGMENT_BYTES as usize;
    let mut all = Reassembler::new(true);
    let mut id = 0;
    let cost = PIECE_COST + 65_512;
    while all.held_bytes() + cost <= bound {
        assert_eq!(
            all.handle(T0, &v4_piece(id, 8, false, &bytes(65_507))),
            Reassembly::Held
        );
        id += 1;
    }
    let before = all.held_datagrams();
    assert_eq!(
        all.handle(T0, &v4_piece(id, 8, false, &bytes(65_507))),
        Reassembly::Held
    );
    assert_eq!(all.held_datagrams(), before, "the oldest made room");
    assert!(all.held_bytes() <= bound);
}

#[test]
fn a_datagram_that_is_itself_the_oldest_ends_when_room_is_needed() {
    let mut all = Reassembler::new(true);
    assert_eq!(
        all.handle(T0, &v4_piece(0, 0, true, &bytes(8))),
        Reassembly::Held
    );
    let mut id = 1;
    while all.held_bytes() + PIECE_COST + 65_507 <= limits::FRAGMENT_BYTES as usize {
        assert_eq!(
            all.handle(T0, &v4_piece(id, 8, false, &bytes(65_507))),
            Reassembly::Held
        );
        id += 1;
    }
    let got = all.handle(T0, &v4_piece(0, 8, true, &bytes(65_504)));
    assert_eq!(got, Reassembly::Dropped(FragmentDrop::NoRoom));
    assert_eq!(all.held_datagrams(), usize::from(id) - 1);
}

#[test]
fn small_pieces_count_for_what_they_hold() {
    // All 8-byte pieces of the longest packet there is still fit, and no more than the bound.
    let mut all = Reassembler::new(true);
    let mut last = Reassembly::Held;
    for offset in (0..65_512).step_by(8) {
        assert_eq!(last, Reassembly::Held);
        last = all.handle(T0, &v4_piece(7, offset, offset < 65_504, &bytes(8)));
        assert!(all.held_bytes() <= limits::FRAGMENT_BYTES as usize);
    }
    assert!(matches!(last, Reassembly::Whole(_)));
    assert_eq!(all.held_bytes(), 0);
}

#[test]
fn incomplete_datagrams_end_with_their_time() {
    let mut all = Reassembler::new(true);
    let later = T0 + Duration::from_secs(1);
    assert_eq!(
        all.handle(T0, &v4_piece(1, 0, true, &bytes(8))),
        Reassembly::Held
    );
    assert_eq!(
        all.handle(later, &v4_piece(2, 0, true, &bytes(8))),
        Reassembly::Held
    );
    // More of the first does not make it younger.
    assert_eq!(
        all.handle(later, &v4_piece(1, 8, true, &bytes(8))),
        Reassembly::Held
    );
    assert_eq!(all.poll_timeout(), Some(T0 + MAX_AGE));
    assert_eq!(
        all.handle_timeout(T0 + (MAX_AGE - Duration::from_nanos(1))),
        0
    );
    assert_eq!(all.handle_timeout(T0 + MAX_AGE), 1);
    assert_eq!(all.poll_timeout(), Some(later + MAX_AGE));
    // Without a call of handle_timeout too: the rest comes too late.
    let late = later + MAX_AGE;
    assert_eq!(
        all.handle(late, &v4_piece(2, 8, false, &bytes(8))),
        Reassembly::Held
    );
    assert_eq!(all.held_datagrams(), 1);
}

/// A datagram and a way to cut it: lengths of the pieces in units of 8, and an order.
fn cuts() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize)>)> {
    (
        proptest::collection::vec(any::<u8>(), 25..3_000),
        any::<u64>(),
        3_usize..40,
    )
        .prop_flat_map(|(data, seed, largest)| {
            let mut pieces = Vec::new();
            let mut state = seed;
            let mut at = 0;
            while at < data.len() {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                // The first holds the upper layer's header; the others are as small as may be.
                let least = if at == 0 { 3 } else { 1 };
                let units = least + (state >> 33) as usize % largest;
                let end = (at + units * 8).min(data.len());
                pieces.push((at, end));
                at = end;
            }
            (Just(data), Just(pieces).prop_shuffle())
        })
}

fn piece(six: bool, data: &[u8], (start, end): (usize, usize)) -> Vec<u8> {
    let more = end < data.len();
    if six {
        v6_piece(TCP, 7, start, more, &data[start..end])
    } else {
        v4_piece(7, start, more, &data[start..end])
    }
}

proptest! {
    #[test]
    fn any_split_in_any_order_is_whole_again((data, pieces) in cuts(), six: bool, again in any::<prop::sample::Index>()) {
        prop_assume!(pieces.len() > 1);
        let mut all = Reassembler::new(true);
        let (last, rest) = pieces.split_last().unwrap();
        for cut in rest {
            prop_assert_eq!(all.handle(T0, &piece(six, &data, *cut)), Reassembly::Held);
        }
        // A duplicate on the way is no harm.
        prop_assert_eq!(all.handle(T0, &piece(six, &data, *again.get(rest))), Reassembly::Held);
        let whole = if six { v6(TCP, &[], &data) } else { v4(1, 7, 0, 0, &data) };
        prop_assert_eq!(all.handle(T0, &piece(six, &data, *last)), Reassembly::Whole(whole));
        prop_assert_eq!((all.held_bytes(), all.held_datagrams()), (0, 0));
    }

    #[test]
    fn reject_any_overlap((data, pieces) in cuts(), six: bool, start in 0_usize..400, units in 1_usize..400, at in any::<prop::sample::Index>()) {
        prop_assume!(pieces.len() > 1);
        let start = start * 8 % data.len().next_multiple_of(8);
        let end = (start + units * 8).min(data.len());
        prop_assume!(start < end && end - start >= 24 && end - start < data.len());
        let touches = |(from, to): &(usize, usize)| *from < end && start < *to;
        // What comes before the stray piece must touch it, must not be the same, and must not
        // be all there is.
        let cut = at.index(pieces.len() - 1) + 1;
        let (before, after) = pieces.split_at(cut.min(pieces.len() - 1));
        prop_assume!(before.iter().any(touches) && !before.contains(&(start, end)));
        let mut all = Reassembler::new(true);
        for cut in before {
            prop_assert_eq!(all.handle(T0, &piece(six, &data, *cut)), Reassembly::Held);
        }
        let stray = all.handle(T0, &piece(six, &data, (start, end)));
        prop_assert_eq!(stray, Reassembly::Dropped(FragmentDrop::Overlap));
        for cut in after {
            let rest = all.handle(T0, &piece(six, &data, *cut));
            prop_assert_eq!(rest, Reassembly::Dropped(FragmentDrop::Refused));
        }
    }

    #[test]
    fn memory_stays_under_the_bound(ops in proptest::collection::vec((0_u16..200, 0_usize..8_190, any::<bool>(), 0_usize..4_000, 0_u64..2_000), 1..400)) {
        let mut all = Reassembler::new(true);
        let mut now = T0;
        for (id, offset, more, length, wait) in ops {
            now += Duration::from_millis(wait);
            all.handle_timeout(now);
            let length = if more { length.next_multiple_of(8) } else { length };
            let _ = all.handle(now, &v4_piece(id, offset * 8, more, &bytes(length)));
            prop_assert!(all.held_bytes() <= limits::FRAGMENT_BYTES as usize);
            prop_assert!(all.held_datagrams() <= limits::FRAGMENT_DATAGRAMS as usize);
            let counted: usize = all.datagrams.values().map(|datagram| datagram.cost).sum();
            prop_assert_eq!(counted, all.held_bytes());
            prop_assert_eq!(all.by_age.len(), all.datagrams.len());
            prop_assert!(all.poll_timeout().is_none_or(|at| at > now));
        }
    }

    #[test]
    fn random_bytes_never_panic(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..50), version in prop::sample::select(vec![0x45_u8, 0x46, 0x60])) {
        let mut all = Reassembler::new(false);
        for mut packet in packets {
            if let Some(first) = packet.first_mut() {
                *first = version;
            }
            let _ = all.handle(T0, &packet);
        }
    }
}
