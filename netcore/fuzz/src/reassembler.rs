//! Fragments in any order, of any shape, against the reassembler's bounds.
//!
//! An act is a byte and its arguments: raw bytes as a packet, an IPv4 or IPv6 fragment that is
//! well-formed but for what the arguments say, or time.

use nexus_stack::fragment::{Reassembler, Reassembly};
use nexus_types::{Duration, Instant, limits};

use crate::input::Input;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut all = Reassembler::new(false);
    let mut now = Instant::from_secs(1);
    while let Some(act) = input.byte() {
        match act % 4 {
            0 => {
                let length = usize::from(input.byte().unwrap_or(0));
                take(&mut all, now, input.bytes(length));
            }
            1 => {
                let piece = Piece::read(&mut input);
                take(&mut all, now, &piece.v4());
            }
            2 => {
                let piece = Piece::read(&mut input);
                take(&mut all, now, &piece.v6());
            }
            _ => {
                now += Duration::from_millis(u64::from(input.byte().unwrap_or(0)) * 250);
                all.handle_timeout(now);
                assert!(all.poll_timeout().is_none_or(|at| at > now));
            }
        }
        assert!(all.held_bytes() <= limits::FRAGMENT_BYTES as usize);
        assert!(all.held_datagrams() <= limits::FRAGMENT_DATAGRAMS as usize);
        assert_eq!(all.poll_timeout().is_some(), all.held_datagrams() > 0);
    }
    all.handle_timeout(Instant::FAR_FUTURE);
    assert_eq!((all.held_bytes(), all.held_datagrams()), (0, 0));
}

fn take(all: &mut Reassembler, now: Instant, packet: &[u8]) {
    let Reassembly::Whole(whole) = all.handle(now, packet) else {
        return;
    };
    // What comes out says its own length and is no fragment.
    let length = match whole[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([whole[2], whole[3]])),
        _ => 40 + usize::from(u16::from_be_bytes([whole[4], whole[5]])),
    };
    assert_eq!(length, whole.len());
    let again = Reassembler::new(true).handle(now, &whole);
    assert_eq!(again, Reassembly::NotAFragment);
}

/// Where a fragment says it is, and how long it is.
struct Piece {
    id: u8,
    next: u8,
    /// Offset in its upper bits, "more" in its lowest; as IPv6 has it.
    place: u16,
    length: usize,
    fill: u8,
}

impl Piece {
    fn read(input: &mut Input<'_>) -> Self {
        Self {
            id: input.byte().unwrap_or(0),
            next: input.byte().unwrap_or(17),
            place: input.word().unwrap_or(0),
            // In units of 4: half of the non-last ones are aligned.
            length: usize::from(input.byte().unwrap_or(0)) * 4,
            fill: input.byte().unwrap_or(0),
        }
    }

    fn v4(&self) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&((20 + self.length) as u16).to_be_bytes());
        packet[5] = self.id;
        let place = (self.place >> 3) | if self.place & 1 == 1 { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&place.to_be_bytes());
        packet[9] = self.next;
        packet[15] = 1;
        packet[19] = 2;
        packet.resize(20 + self.length, self.fill);
        packet
    }

    fn v6(&self) -> Vec<u8> {
        let mut packet = vec![0; 48];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&((8 + self.length) as u16).to_be_bytes());
        packet[6] = 44;
        packet[23] = 1;
        packet[39] = 2;
        packet[40] = self.next;
        packet[42..44].copy_from_slice(&self.place.to_be_bytes());
        packet[47] = self.id;
        packet.resize(48 + self.length, self.fill);
        packet
    }
}
