//! Frames and their pool: no allocation per packet once the pool is warm.

use core::ops::Deref;

/// Room before the packet for an Ethernet header.
pub(crate) const HEADROOM: usize = 14;

/// What most frames fit in: 1500 bytes of IP and an Ethernet header. Larger ones are of the
/// full size, so that a pool of small acknowledgements does not pin 64 KiB each.
const SMALL: usize = 2_048;

/// One frame to transmit. Give it back with [`Stack::recycle`](crate::Stack::recycle).
pub struct Frame {
    /// The length is kept apart from the buffer's: `resize(len, 0)` would zero it again each time.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The UDP socket whose send queue this counts in.
    pub(crate) owner: Option<crate::id::Key>,
}

impl Frame {
    /// The IP packet, without a link header.
    pub(crate) fn packet_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM..self.end]
    }

    pub(crate) fn packet(&self) -> &[u8] {
        &self.buffer[HEADROOM..self.end]
    }

    /// Puts a link header before the packet.
    pub(crate) fn set_link_header(&mut self, header: &[u8; HEADROOM]) {
        self.buffer[..HEADROOM].copy_from_slice(header);
        self.start = 0;
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
    full_size: usize,
}

impl Pool {
    /// Most buffers kept of each size; beyond, they are freed.
    const KEPT: usize = 256;

    pub(crate) fn new(mtu: usize) -> Self {
        Self {
            small: Vec::new(),
            full: Vec::new(),
            full_size: mtu + HEADROOM,
        }
    }

    /// A frame with room for a packet of `len` bytes (of the full size at most); its bytes are
    /// whatever they were.
    pub(crate) fn take(&mut self, len: usize) -> Frame {
        let end = HEADROOM + len;
        let (shelf, size) = if end <= SMALL.min(self.full_size) {
            (&mut self.small, SMALL.min(self.full_size))
        } else {
            (&mut self.full, self.full_size)
        };
        let buffer = match shelf.pop() {
            Some(buffer) if buffer.len() >= end => buffer,
            _ => vec![0; size.max(end)].into_boxed_slice(),
        };
        Frame {
            buffer,
            start: HEADROOM,
            end,
            owner: None,
        }
    }

    pub(crate) fn put(&mut self, frame: Frame) {
        let shelf = match frame.buffer.len() {
            len if len == SMALL.min(self.full_size) => &mut self.small,
            len if len == self.full_size => &mut self.full,
            _ => return,
        };
        if shelf.len() < Self::KEPT {
            shelf.push(frame.buffer);
        }
    }
}
