//! Puts the fragments of an IPv4 or IPv6 packet together before the demux sees it.
//!
//! The demux finds a flow by its ports, and only the first fragment has them; hence whole
//! packets only from here on. Pure: packets and the time in, packets and a deadline out.
//!
//! What holds:
//! - bytes that two fragments both claim end the whole datagram, what is still to come of it
//!   included (RFC 5722 section 4; the same for IPv4, where the choice between old and new
//!   bytes is what RFC 1858 section 4 and its followers abuse). Exact duplicates are none
//!   (RFC 8200 section 4.5): wires do duplicate packets;
//! - a datagram has one end: a second, different end and bytes beyond it are contradictions
//!   too, treated like an overlap;
//! - an IPv6 packet that is whole in its one fragment never meets the others (RFC 6946);
//! - the first IPv6 fragment holds all headers up to the upper layer's (RFC 7112);
//! - what is held stays under [`limits::FRAGMENT_DATAGRAMS`] and [`limits::FRAGMENT_BYTES`]
//!   and no longer than [`limits::FRAGMENT_MICROS`]; the oldest datagram makes room.
//!
//! Not supported: the ICMP "time exceeded" and "parameter problem" that RFC 8200 section 4.5
//! allows in answer to bad fragments (silence gives a scanner nothing), jumbograms (RFC 2675),
//! fragments inside of fragments.

use std::collections::BTreeMap;

use nexus_types::{Duration, Instant, IpAddr, limits};

mod parse;
#[cfg(test)]
mod tests;

use parse::Fragment;

/// What a fragment costs beside its bytes: its node in the map and its allocation. Without
/// it, 8-byte fragments would hold ten times the memory they are counted with.
const PIECE_COST: usize = 64;

/// The longest packet there is, in either protocol's 16-bit length field.
const PACKET_BYTES_MAX: usize = 65_535;

const MAX_AGE: Duration = Duration::from_micros(limits::FRAGMENT_MICROS);

/// What became of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Reassembly {
    /// It is none of ours: go on with the packet as it came.
    NotAFragment,
    /// Kept until the rest arrives.
    Held,
    /// The last missing piece: here is the packet, its header telling of no fragments.
    Whole(Vec<u8>),
    /// Gone, and perhaps the rest of its datagram with it.
    Dropped(FragmentDrop),
}

/// Why a fragment was dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FragmentDrop {
    /// Its header contradicts itself, its length or its checksum.
    Malformed,
    /// It is not the last one, and its length is no multiple of 8: nothing can follow it.
    Unaligned,
    /// It ends beyond the longest packet ("ping of death").
    TooLong,
    /// The first fragment, without all of the headers (RFC 7112).
    HeadersCut,
    /// It contradicts another fragment; the datagram is refused until its time is over.
    Overlap,
    /// An earlier fragment contradicted another one.
    Refused,
    /// Its datagram was the oldest when room was needed.
    NoRoom,
}

/// Whose piece a fragment is. RFC 8200 section 4.5 leaves the protocol out for IPv6, where
/// only the first fragment's counts; it is 0 there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
}

/// The pieces of one packet so far.
#[derive(Debug)]
struct Datagram {
    /// Counts up; the key into `by_age`.
    serial: u64,
    expires: Instant,
    /// What comes before the data: taken from the first fragment, ready for the whole packet
    /// except for its length (and checksum).
    head: Option<Vec<u8>>,
    /// By offset; never overlapping.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Sum of the pieces' lengths.
    received: usize,
    /// Where the last fragment ends, once it came.
    end: Option<usize>,
    /// What this datagram is counted with in `held_bytes`.
    cost: usize,
    /// Contradicted: nothing is kept any more, and nothing will be taken.
    refused: bool,
}

/// Reassembles the packets of one interface.
#[derive(Debug)]
pub struct Reassembler {
    /// Whether IPv4 header checksums mean anything on this link.
    checksums: bool,
    datagrams: BTreeMap<Key, Datagram>,
    by_age: BTreeMap<u64, Key>,
    serial: u64,
    held: usize,
}

impl Reassembler {
    /// An empty one. `checksums`: whether to verify IPv4 header checksums; off only where
    /// there is no wire and nobody fills them in.
    pub fn new(checksums: bool) -> Self {
        Self {
            checksums,
            datagrams: BTreeMap::new(),
            by_age: BTreeMap::new(),
            serial: 0,
            held: 0,
        }
    }

    /// How many datagrams wait for pieces.
    pub fn held_datagrams(&self) -> usize {
        self.datagrams.len()
    }

    /// The bytes held, each fragment's overhead included.
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// When [`Self::handle_timeout`] has something to drop.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (_, key) = self.by_age.first_key_value()?;
        self.datagrams.get(key).map(|datagram| datagram.expires)
    }

    /// Drops what waited for too long; says how many datagrams that were.
    pub fn handle_timeout(&mut self, now: Instant) -> usize {
        let mut dropped = 0;
        while self.poll_timeout().is_some_and(|expires| expires <= now) {
            self.evict_oldest();
            dropped += 1;
        }
        dropped
    }

    /// Takes one IP packet (no link header). Bytes behind the packet's own length are ignored.
    pub fn handle(&mut self, now: Instant, packet: &[u8]) -> Reassembly {
        let fragment = match parse::fragment(packet, self.checksums) {
            Ok(Some(fragment)) => fragment,
            Ok(None) => return Reassembly::NotAFragment,
            Err(cause) => return Reassembly::Dropped(cause),
        };
        self.handle_timeout(now);
        if fragment.offset == 0 && !fragment.more {
            // RFC 6946: an atomic fragment is a packet of its own, whatever else has its id.
            let head = fragment.head();
            return match parse::finish(head, fragment.data.len()) {
                Some(mut packet) => {
                    packet.extend_from_slice(fragment.data);
                    Reassembly::Whole(packet)
                }
                None => Reassembly::Dropped(FragmentDrop::TooLong),
            };
        }
        self.insert(now, &fragment)
    }

    fn insert(&mut self, now: Instant, fragment: &Fragment<'_>) -> Reassembly {
        if !self.datagrams.contains_key(&fragment.key) {
            while self.datagrams.len() >= limits::FRAGMENT_DATAGRAMS as usize {
                self.evict_oldest();
            }
            self.by_age.insert(self.serial, fragment.key);
            self.datagrams
                .insert(fragment.key, Datagram::new(self.serial, now + MAX_AGE));
            self.serial += 1;
        }
        let Some(datagram) = self.datagrams.get_mut(&fragment.key) else {
            return Reassembly::Dropped(FragmentDrop::NoRoom);
        };
        match datagram.check(fragment) {
            Fit::Refused => return Reassembly::Dropped(FragmentDrop::Refused),
            Fit::Duplicate => return Reassembly::Held,
            Fit::Contradiction => {
                self.held -= datagram.refuse();
                return Reassembly::Dropped(FragmentDrop::Overlap);
            }
            Fit::New => {}
        }
        let cost = fragment.cost();
        while self.held + cost > limits::FRAGMENT_BYTES as usize {
            if self.evict_oldest() == Some(fragment.key) {
                return Reassembly::Dropped(FragmentDrop::NoRoom);
            }
        }
        let Some(datagram) = self.datagrams.get_mut(&fragment.key) else {
            return Reassembly::Dropped(FragmentDrop::NoRoom);
        };
        datagram.add(fragment);
        self.held += cost;
        if !datagram.is_complete() {
            return Reassembly::Held;
        }
        match self.remove(&fragment.key).and_then(Datagram::into_packet) {
            Some(packet) => Reassembly::Whole(packet),
            None => Reassembly::Dropped(FragmentDrop::TooLong),
        }
    }

    fn evict_oldest(&mut self) -> Option<Key> {
        let (_, key) = self.by_age.first_key_value()?;
        let key = *key;
        self.remove(&key);
        Some(key)
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.by_age.remove(&datagram.serial);
        self.held -= datagram.cost;
        Some(datagram)
    }
}

/// How a fragment goes with those before it.
enum Fit {
    New,
    Duplicate,
    Contradiction,
    Refused,
}

impl Datagram {
    fn new(serial: u64, expires: Instant) -> Self {
        Self {
            serial,
            expires,
            head: None,
            pieces: BTreeMap::new(),
            received: 0,
            end: None,
            cost: 0,
            refused: false,
        }
    }

    fn check(&self, fragment: &Fragment<'_>) -> Fit {
        if self.refused {
            return Fit::Refused;
        }
        let end = fragment.end();
        if let Some(piece) = self.pieces.get(&fragment.offset)
            && piece.as_slice() == fragment.data
            && fragment.more == (self.end != Some(end))
        {
            return Fit::Duplicate;
        }
        let before = self.pieces.range(..=fragment.offset).next_back();
        let overlaps_before =
            before.is_some_and(|(offset, piece)| offset + piece.len() > fragment.offset);
        let overlaps_after = self.pieces.range(fragment.offset..end).next().is_some();
        let two_ends = match self.end {
            Some(known) => end > known || (!fragment.more && end != known),
            None => {
                let furthest = self.pieces.last_key_value();
                !fragment.more && furthest.is_some_and(|(offset, piece)| offset + piece.len() > end)
            }
        };
        if overlaps_before || overlaps_after || two_ends {
            Fit::Contradiction
        } else {
            Fit::New
        }
    }

    fn add(&mut self, fragment: &Fragment<'_>) {
        if fragment.offset == 0 {
            self.head = Some(fragment.head());
        }
        if !fragment.more {
            self.end = Some(fragment.end());
        }
        self.pieces.insert(fragment.offset, fragment.data.to_vec());
        self.received += fragment.data.len();
        self.cost += fragment.cost();
    }

    /// Forgets the pieces, keeps the refusal; says what was freed.
    fn refuse(&mut self) -> usize {
        self.refused = true;
        self.head = None;
        self.pieces.clear();
        core::mem::take(&mut self.cost)
    }

    /// Pieces never overlap and none is beyond the end: equal sums mean no gap.
    fn is_complete(&self) -> bool {
        self.head.is_some() && self.end == Some(self.received)
    }

    fn into_packet(self) -> Option<Vec<u8>> {
        let mut packet = parse::finish(self.head?, self.received)?;
        for piece in self.pieces.values() {
            packet.extend_from_slice(piece);
        }
        Some(packet)
    }
}
