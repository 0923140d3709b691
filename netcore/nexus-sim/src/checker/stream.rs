//! Streams: what is read is, byte for byte, the beginning of what was written, and ends where that ends.

use std::collections::BTreeMap;

use nexus_types::Instant;

use super::{Checker, Found, Seen};
use crate::machine::{MachineId, Note};
use crate::stream::stream_fill;

#[derive(Clone, Copy, Debug, Default)]
struct Written {
    end: u64,
    finished: bool,
}

/// See the module. Streams are those of [`crate::stream_byte`].
#[derive(Clone, Debug, Default)]
pub struct StreamPrefix {
    written: BTreeMap<u64, Written>,
    /// How far each reader is.
    read: BTreeMap<(MachineId, u64), u64>,
}

impl StreamPrefix {
    /// What is wrong with bytes that somebody was given, if something is.
    fn wrong(&self, stream: u64, start: u64, bytes: &[u8]) -> Option<String> {
        let end = start + bytes.len() as u64;
        let Some(written) = self.written.get(&stream) else {
            return Some(format!("bytes of {stream:x}, which nobody writes"));
        };
        if end > written.end {
            let so_far = written.end;
            return Some(format!("{stream:x} up to {end}, of {so_far} written"));
        }
        let mut expected = [0; 512];
        for (start, bytes) in (start..).step_by(expected.len()).zip(bytes.chunks(512)) {
            let expected = &mut expected[..bytes.len()];
            stream_fill(stream, start, expected);
            if expected != bytes {
                let mut places = (start..).zip(bytes).zip(expected);
                let ((at, byte), _) = places.find(|((_, byte), expected)| *byte != *expected)?;
                return Some(format!("byte {at} of {stream:x} is {byte:#04x}"));
            }
        }
        None
    }
}

impl Checker for StreamPrefix {
    fn name(&self) -> &'static str {
        "stream-prefix"
    }

    fn looks_at_frames(&self) -> bool {
        false
    }

    fn see(&mut self, _: Instant, machine: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        let Seen::Noted(note) = seen else { return };
        match *note {
            Note::Text(_) => {}
            Note::Wrote { stream, end } => self.written.entry(stream).or_default().end = end,
            Note::Finished { stream, end } => {
                let finished = true;
                self.written.insert(stream, Written { end, finished });
            }
            Note::Datagram {
                stream,
                start,
                bytes,
            } => {
                if let Some(wrong) = self.wrong(stream, start, bytes) {
                    found.violation(|| format!("a datagram has {wrong}"));
                }
            }
            Note::Read {
                stream,
                start,
                bytes,
            } => {
                let at = self.read.entry((machine, stream)).or_default();
                if *at != start {
                    found.violation(|| format!("{stream:x} goes on at {start}, not at {at}"));
                }
                *at = start + bytes.len() as u64;
                if let Some(wrong) = self.wrong(stream, start, bytes) {
                    found.violation(|| format!("it reads {wrong}"));
                }
            }
            Note::Ended { stream, end } => {
                let whole = self.written.get(&stream);
                if !whole.is_some_and(|whole| whole.finished && whole.end == end) {
                    found.violation(|| format!("{stream:x} ends at {end}; written: {whole:?}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::show;

    fn notes(notes: &[Note<'_>]) -> Vec<String> {
        let seen: Vec<_> = notes
            .iter()
            .map(|note| (0, 0, Seen::Noted(*note)))
            .collect();
        show(&mut StreamPrefix::default(), &seen)
    }

    #[test]
    fn reject_what_was_not_written_and_bytes_that_are_others() {
        let mut all = [0; 20];
        stream_fill(5, 0, &mut all);
        let stream = 5;
        let wrote = Note::Wrote { stream, end: 20 };
        let read = |start: usize, bytes| Note::Read {
            stream,
            start: start as u64,
            bytes,
        };
        let finished = Note::Finished { stream, end: 20 };
        let ended = |end| Note::Ended { stream, end };
        let sound = [
            wrote,
            read(0, &all[..8]),
            read(8, &all[8..]),
            finished,
            ended(20),
        ];
        assert_eq!(notes(&sound), [""; 0]);
        let mut other = all;
        other[11] ^= 1;
        for (wrong, text) in [
            (vec![read(0, &all)], "nobody writes"),
            (
                vec![Note::Wrote { stream, end: 19 }, read(0, &all)],
                "of 19 written",
            ),
            (vec![wrote, read(0, &other)], "byte 11 of 5 is"),
            (
                vec![wrote, read(0, &all[..8]), read(9, &all[9..])],
                "goes on at 9, not at 8",
            ),
            (vec![wrote, read(0, &all), ended(20)], "ends at 20"),
            (vec![wrote, finished, ended(8)], "ends at 8"),
        ] {
            let found = notes(&wrong);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(text), "{found:?}");
        }
    }
}
