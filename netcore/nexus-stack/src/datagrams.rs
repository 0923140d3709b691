//! A bounded queue of datagrams: no allocation per datagram, and none before the first.

use smoltcp::storage::{PacketBuffer, PacketMetadata};

pub(crate) struct Datagrams<H: 'static> {
    buffer: Option<PacketBuffer<'static, H>>,
    count: usize,
    bytes: usize,
}

impl<H: Copy> Datagrams<H> {
    /// For `count` datagrams of `bytes` together.
    pub(crate) fn new(count: u32, bytes: u32) -> Self {
        Self {
            buffer: None,
            count: count.max(1) as usize,
            bytes: bytes.max(1) as usize,
        }
    }

    /// Queues one; false if there is no room.
    pub(crate) fn push(&mut self, header: H, data: &[u8]) -> bool {
        let (count, bytes) = (self.count, self.bytes);
        let buffer = self.buffer.get_or_insert_with(|| {
            let metadata: Vec<_> = (0..count).map(|_| PacketMetadata::EMPTY).collect();
            PacketBuffer::new(metadata, vec![0; bytes])
        });
        match buffer.enqueue(data.len(), header) {
            Ok(room) => {
                room.copy_from_slice(data);
                true
            }
            Err(_) => false,
        }
    }

    /// The oldest one; it is gone afterwards.
    pub(crate) fn pop(&mut self) -> Option<(H, &[u8])> {
        let (header, data) = self.buffer.as_mut()?.dequeue().ok()?;
        Some((header, data))
    }

    /// Drops all whose header does not match.
    pub(crate) fn retain(&mut self, keep: impl Fn(&H) -> bool) {
        let mut old = core::mem::replace(self, Self::new(self.count as u32, self.bytes as u32));
        while let Some((header, data)) = old.pop() {
            if keep(&header) {
                self.push(header, data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_through_many_turns_of_the_ring() {
        let mut queue = Datagrams::new(8, 1_000);
        let (mut sent, mut received) = (0_u32, 0_u32);
        for step in 0..10_000_u32 {
            let data = vec![sent as u8; (step.wrapping_mul(2_654_435_761) >> 24) as usize];
            if queue.push(sent, &data) {
                sent += 1;
            } else {
                let (header, data) = queue.pop().expect("a full queue has something");
                assert_eq!(header, received);
                assert!(data.iter().all(|byte| *byte == received as u8));
                received += 1;
            }
        }
        assert!(received > 1_000);
    }

    #[test]
    fn reject_over_the_limits() {
        let mut queue = Datagrams::new(2, 10);
        assert!(queue.push((), &[0; 10]));
        assert!(!queue.push((), &[0; 1]));
        assert!(queue.push((), &[]));
        assert!(!queue.push((), &[]));
        let mut queue = Datagrams::new(2, 10);
        assert!(!queue.push((), &[0; 11]));
    }

    #[test]
    fn retain_keeps_order() {
        let mut queue = Datagrams::new(8, 100);
        for number in 0..6_u8 {
            assert!(queue.push(number, &[number]));
        }
        queue.retain(|number| number % 2 == 1);
        let rest: Vec<_> =
            core::iter::from_fn(|| queue.pop().map(|(n, data)| (n, data[0]))).collect();
        assert_eq!(rest, [(1, 1), (3, 3), (5, 5)]);
    }
}
