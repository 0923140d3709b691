//! Socket buffers that cost nothing until they are used.
//!
//! A buffer of 64 KiB from the allocator is not free while idle: below its threshold for mapping memory
//! glibc's `calloc` clears most of what it hands out, so 50,000 idle connections would keep 5 GB resident
//! (measured). Here buffers are cut out of large zeroed blocks, whose pages come from the OS one by one as
//! they are first written. An idle connection touches none.
//!
//! Buffers are used again, uncleared: sockets read only what they wrote. A stack thus keeps what its most
//! crowded moment needed, until it has no connection left.

use bytes::BytesMut;

/// Sizes are powers of two between these; 4 KiB is a page, 4 MiB the largest buffer there may be.
const SMALLEST: usize = 4 << 10;
const CLASSES: usize = 11;

/// Blocks grow with the number of connections: a stack in a simulation has two, a server 50,000.
const BLOCK_FIRST: usize = 1 << 20;
const BLOCK_LAST: usize = 64 << 20;

/// The buffers of one connection.
pub(crate) struct Buffers {
    pub(crate) rx: BytesMut,
    pub(crate) tx: BytesMut,
}

/// Where buffers come from and go back to.
pub(crate) struct Arena {
    /// What is left of the newest block.
    block: BytesMut,
    next_block: usize,
    /// Buffers that wait to be used again, by size.
    spare: [Vec<BytesMut>; CLASSES],
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            block: BytesMut::new(),
            next_block: BLOCK_FIRST,
            spare: Default::default(),
        }
    }

    /// Buffers with at least that many bytes of room.
    pub(crate) fn take(&mut self, rx: usize, tx: usize) -> Buffers {
        Buffers {
            rx: self.take_one(rx),
            tx: self.take_one(tx),
        }
    }

    pub(crate) fn put(&mut self, buffers: Buffers) {
        for buffer in [buffers.rx, buffers.tx] {
            self.spare[class_of(buffer.len())].push(buffer);
        }
    }

    /// Nobody has a buffer any more: the blocks go back to the OS.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    fn take_one(&mut self, len: usize) -> BytesMut {
        let class = class_of(len);
        if let Some(buffer) = self.spare[class].pop() {
            return buffer;
        }
        let size = SMALLEST << class;
        if self.block.len() < size {
            // What is left of the old block is still good for smaller ones.
            self.split_rest();
            let len = self.next_block.max(size);
            self.block = BytesMut::zeroed(len);
            self.next_block = (len * 2).min(BLOCK_LAST);
        }
        self.block.split_to(size)
    }

    fn split_rest(&mut self) {
        for class in (0..CLASSES).rev() {
            while self.block.len() >= SMALLEST << class {
                let buffer = self.block.split_to(SMALLEST << class);
                self.spare[class].push(buffer);
            }
        }
    }
}

/// The class whose buffers have at least `len` bytes; the largest for more than there may be.
fn class_of(len: usize) -> usize {
    let pages = len.max(1).div_ceil(SMALLEST).next_power_of_two();
    (pages.trailing_zeros() as usize).min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_fits_and_comes_back_to_be_used_again() {
        let mut arena = Arena::new();
        for len in [1, 4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 4 << 20] {
            let buffers = arena.take(len, 4_096);
            assert!(buffers.rx.len() >= len, "{len}");
            assert!(buffers.rx.len().is_power_of_two());
            let at = buffers.rx.as_ptr();
            arena.put(buffers);
            let again = arena.take(len, 4_096);
            assert!([again.rx.as_ptr(), again.tx.as_ptr()].contains(&at));
            arena.put(again);
        }
    }

    /// The high-water mark does not creep up over many rounds of filling and emptying.
    #[test]
    fn rounds_of_connections_need_no_more_blocks() {
        let mut arena = Arena::new();
        let mut blocks = Vec::new();
        for _ in 0..20 {
            let held: Vec<_> = (0..500).map(|_| arena.take(64 << 10, 64 << 10)).collect();
            for buffers in held {
                arena.put(buffers);
            }
            blocks.push(arena.next_block);
        }
        assert!(blocks.iter().all(|block| *block == blocks[0]));
    }
}
