//! Frames and their pool: no allocation per packet once the pool is warm.

use core::ops::Deref;

use crate::offload::Offload;

/// Room before the packet for an Ethernet header.
pub(crate) const HEADROOM: usize = 14;

/// What most frames fit in: 1500 bytes of IP and an Ethernet header. Larger ones are of the
/// full size, so that a pool of small acknowledgements does not pin 64 KiB each.
const SMALL: usize = 2_048;

/// The longest IP packet there is, with its link header.
const FULL: usize = HEADROOM + 65_535;

/// One frame to transmit. Give it back with [`Stack::recycle`](crate::Stack::recycle).
pub struct Frame {
    /// The length is kept apart from the buffer's: `resize(len, 0)` would zero it again each time.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The UDP socket whose send queue this counts in.
    pub(crate) owner: Option<crate::id::Key>,
    pub(crate) offload: Offload,
}

impl Frame {
    /// What is left to the NIC.
    pub fn offload(&self) -> Offload {
        self.offload
    }

    /// The IP packet, without a link header.
    pub(crate) fn packet_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM..self.end]
    }

    pub(crate) fn packet(&self) -> &[u8] {
        &self.buffer[HEADROOM..self.end]
    }

    /// What it takes of memory, however little is in it.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Puts a link header before the packet.
    pub(crate) fn set_link_header(&mut self, header: &[u8; HEADROOM]) {
        self.buffer[..HEADROOM].copy_from_slice(header);
        self.start = 0;
    }

    /// Puts another frame's link header, if that has one, before the packet.
    pub(crate) fn copy_link_header(&mut self, of: &Self) {
        self.buffer[of.start..HEADROOM].copy_from_slice(&of.buffer[of.start..HEADROOM]);
        self.start = of.start;
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Frame({} bytes)", self.len())
    }
}

/// Buffers that wait to be used again.
#[derive(Debug)]
pub(crate) struct Pool {
    small: Vec<Box<[u8]>>,
    full: Vec<Box<[u8]>>,
}

impl Pool {
    /// Most buffers kept of each size; beyond, they are freed.
    const SMALL_KEPT: usize = 1_024;
    const FULL_KEPT: usize = 64;

    pub(crate) const fn new() -> Self {
        Self {
            small: Vec::new(),
            full: Vec::new(),
        }
    }

    /// A frame with room for a packet of `len` bytes, at most 65535; its bytes are whatever they were.
    pub(crate) fn take(&mut self, len: usize) -> Frame {
        let end = HEADROOM + len;
        debug_assert!(end <= FULL, "no IP packet is longer than 65535 bytes");
        let (shelf, size) = if end <= SMALL {
            (&mut self.small, SMALL)
        } else {
            (&mut self.full, FULL)
        };
        let buffer = shelf
            .pop()
            .unwrap_or_else(|| vec![0; size].into_boxed_slice());
        Frame {
            buffer,
            start: HEADROOM,
            end,
            owner: None,
            offload: Offload::None,
        }
    }

    pub(crate) fn put(&mut self, frame: Frame) {
        let (shelf, kept) = match frame.buffer.len() {
            SMALL => (&mut self.small, Self::SMALL_KEPT),
            FULL => (&mut self.full, Self::FULL_KEPT),
            _ => return,
        };
        if shelf.len() < kept {
            shelf.push(frame.buffer);
        }
    }
}
