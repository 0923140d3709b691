//! The trace of a run: a hash of everything that happened, and lines to read if somebody wants them.
//!
//! The hash has eight lanes of 64 bits; each takes two words at a time and is the folded product of both with itself
//! (as in wyhash). It goes over a record for each event and the bytes of each frame where it leaves its machine. It
//! tells runs apart; nobody has a reason to forge one, and SHA-256 of every frame would cost more than the stack that
//! made it.

use nexus_types::Instant;

/// What kind of event a record is of. The numbers are part of the hash.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Boot = 1,
    End = 2,
    Sent = 3,
    Arrived = 4,
    Due = 5,
    Run = 6,
    Note = 7,
    FaultBegins = 8,
    FaultEnds = 9,
}

/// Odd, so that multiplying loses nothing (those of XXH64).
const PRIMES: [u64; 4] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
];

const LANES: usize = 8;

/// Bytes that go in at a time.
const STRIPE: usize = 16 * LANES;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    lanes: [u64; LANES],
}

impl Digest {
    pub(crate) const fn new() -> Self {
        let [a, b, c, d] = PRIMES;
        Self {
            lanes: [a, b, c, d, !a, !b, !c, !d],
        }
    }

    /// The record of an event: one pair of words for each lane.
    fn record(&mut self, words: [u64; 4]) {
        let [one, two, three, four] = words;
        for (lane, (a, b)) in self.lanes.iter_mut().zip([(one, two), (three, four)]) {
            *lane = mixed(*lane, a, b);
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (stripes, rest) = bytes.as_chunks::<STRIPE>();
        // In registers, not behind `self`.
        let mut lanes = self.lanes;
        for stripe in stripes {
            take(&mut lanes, stripe);
        }
        if !rest.is_empty() {
            // A record before says how long it is, so that the padding is no ambiguity.
            let mut last = [0; STRIPE];
            last[..rest.len()].copy_from_slice(rest);
            take(&mut lanes, &last);
        }
        self.lanes = lanes;
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        // Each word of the outcome depends on all lanes.
        let mut lanes = self.lanes;
        for round in 0..3 * LANES {
            let from = lanes[(round + LANES - 1) % LANES];
            let lane = &mut lanes[round % LANES];
            *lane ^= from;
            *lane ^= *lane >> 29;
            *lane = lane.wrapping_mul(PRIMES[2]);
            *lane ^= *lane >> 32;
        }
        let mut out = [0; 32];
        for (to, lane) in out.chunks_exact_mut(8).zip(lanes) {
            to.copy_from_slice(&lane.to_le_bytes());
        }
        out
    }
}

#[inline]
fn take(lanes: &mut [u64; LANES], stripe: &[u8; STRIPE]) {
    for (lane, pair) in lanes.iter_mut().zip(stripe.as_chunks::<16>().0) {
        let pair = u128::from_le_bytes(*pair);
        *lane = mixed(*lane, pair as u64, (pair >> 64) as u64);
    }
}

/// The halves of the product, folded. It forgets `lane` for one value of `b` in 2^64, and that is no word of a frame
/// more than any other.
#[inline]
const fn mixed(lane: u64, a: u64, b: u64) -> u64 {
    let product = (a ^ lane) as u128 * (b ^ PRIMES[1]) as u128;
    (product as u64) ^ ((product >> 64) as u64) ^ lane.rotate_left(23)
}

/// Takes the lines of a trace.
pub type TraceSink = Box<dyn FnMut(&str)>;

/// See the module.
pub(crate) struct Trace {
    digest: Digest,
    sink: Option<TraceSink>,
    line: String,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            digest: Digest::new(),
            sink: None,
            line: String::new(),
        }
    }

    pub(crate) fn set_sink(&mut self, sink: TraceSink) {
        self.sink = Some(sink);
    }

    /// An event. `say` is asked for its line only if somebody reads.
    pub(crate) fn event(
        &mut self,
        at: Instant,
        kind: Kind,
        machine: u32,
        detail: [u64; 2],
        say: impl FnOnce(&mut String),
    ) {
        let head = u64::from(kind as u8) << 32 | u64::from(machine);
        let [one, other] = detail;
        self.digest.record([at.as_nanos(), head, one, other]);
        if let Some(sink) = &mut self.sink {
            self.line.clear();
            self.line.push_str(&at.to_string());
            self.line.push(' ');
            say(&mut self.line);
            sink(&self.line);
        }
    }

    /// Bytes that belong to the event before; their number is in its detail.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.digest.bytes(bytes);
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        self.digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let hash = |bytes: &[u8]| {
            let mut digest = Digest::new();
            digest.bytes(bytes);
            digest.finish()
        };
        let bytes = [7; 150];
        let whole = hash(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            let other = hash(&other);
            let same = whole.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 8, "bit {bit}: {same} bytes are the same");
        }
    }
}
