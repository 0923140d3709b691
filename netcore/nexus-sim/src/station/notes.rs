//! Notes that wait to be taken, in buffers that are used again.

use crate::machine::Note;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Wrote,
    Finished,
    Ended,
    Datagram,
    Read,
}

/// One note; its bytes stand in [`Notes::bytes`].
#[derive(Clone, Copy, Debug)]
struct Kept {
    kind: Kind,
    stream: u64,
    at: u64,
    length: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<Kept>,
    bytes: Vec<u8>,
}

impl Notes {
    pub(super) fn push(&mut self, note: Note<'_>) {
        let (kind, stream, at, bytes) = match note {
            Note::Text(text) => (Kind::Text, 0, 0, text.as_bytes()),
            Note::Wrote { stream, end } => (Kind::Wrote, stream, end, &[][..]),
            Note::Finished { stream, end } => (Kind::Finished, stream, end, &[][..]),
            Note::Ended { stream, end } => (Kind::Ended, stream, end, &[][..]),
            Note::Datagram {
                stream,
                start,
                bytes,
            } => (Kind::Datagram, stream, start, bytes),
            Note::Read {
                stream,
                start,
                bytes,
            } => (Kind::Read, stream, start, bytes),
        };
        self.bytes.extend_from_slice(bytes);
        self.list.push(Kept {
            kind,
            stream,
            at,
            length: bytes.len(),
        });
    }

    pub(super) fn take(&mut self, note: &mut dyn FnMut(Note<'_>)) {
        let mut rest = &self.bytes[..];
        for kept in self.list.drain(..) {
            let (bytes, later) = rest.split_at(kept.length);
            rest = later;
            let (stream, start, end) = (kept.stream, kept.at, kept.at);
            note(match kept.kind {
                Kind::Text => Note::Text(str::from_utf8(bytes).unwrap_or_default()),
                Kind::Wrote => Note::Wrote { stream, end },
                Kind::Finished => Note::Finished { stream, end },
                Kind::Ended => Note::Ended { stream, end },
                Kind::Datagram => Note::Datagram {
                    stream,
                    start,
                    bytes,
                },
                Kind::Read => Note::Read {
                    stream,
                    start,
                    bytes,
                },
            });
        }
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_out_as_they_went_in() {
        let all = [
            Note::Text("hello"),
            Note::Wrote { stream: 1, end: 2 },
            Note::Read {
                stream: 1,
                start: 0,
                bytes: &[1, 2],
            },
            Note::Datagram {
                stream: 3,
                start: 8,
                bytes: &[3],
            },
            Note::Finished { stream: 1, end: 2 },
            Note::Ended { stream: 1, end: 2 },
        ];
        let mut notes = Notes::default();
        for _ in 0..2 {
            all.iter().for_each(|note| notes.push(*note));
            let mut at = 0;
            notes.take(&mut |note| {
                assert_eq!(note, all[at]);
                at += 1;
            });
            assert_eq!(at, all.len());
        }
    }
}
