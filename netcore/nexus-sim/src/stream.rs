//! The bytes of a stream: known from its number and a place in it, so that nobody has to remember what was
//! written to say what must be read. The first eight are the number itself: a reader learns it from them.

use nexus_types::Instant;

use crate::dice::Dice;

/// The byte at `at` of a stream.
pub fn stream_byte(stream: u64, at: u64) -> u8 {
    stream_word(stream, at / 8).to_le_bytes()[(at % 8) as usize]
}

/// Fills `out` with the bytes of a stream from `start` on.
pub fn stream_fill(stream: u64, start: u64, out: &mut [u8]) {
    // Up to the border of a word, then words.
    let first = (start.wrapping_neg() % 8).min(out.len() as u64);
    let (head, rest) = out.split_at_mut(first as usize);
    for (at, byte) in (start..).zip(head) {
        *byte = stream_byte(stream, at);
    }
    let (words, tail) = rest.as_chunks_mut::<8>();
    let number = (start + first) / 8;
    for (number, word) in (number..).zip(&mut *words) {
        *word = stream_word(stream, number).to_le_bytes();
    }
    let last = stream_word(stream, number + words.len() as u64).to_le_bytes();
    tail.copy_from_slice(&last[..tail.len()]);
}

/// No two words of a stream are the same (both steps are bijections), so a byte out of place shows.
fn stream_word(stream: u64, number: u64) -> u64 {
    if number == 0 {
        return stream;
    }
    let mut z = stream ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// A number for a new stream; not 0.
pub fn stream_number(dice: &mut Dice, now: Instant) -> u64 {
    (dice.word() ^ now.as_nanos()) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_the_whole_has_there() {
        let mut whole = [0; 100];
        stream_fill(7, 0, &mut whole);
        for (start, end) in [(0, 8), (3, 5), (7, 30), (99, 100), (16, 16)] {
            let mut part = vec![0; end - start];
            stream_fill(7, start as u64, &mut part);
            assert_eq!(part, whole[start..end]);
        }
        assert_eq!(stream_byte(7, 42), whole[42]);
        assert_ne!(whole[..8], whole[8..16]);
    }
}
