//! A NIC whose wire is the simulated world: one end a `nexus_node::Nic` for the mesh, the other the machine's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexus_node::Nic;
use nexus_stack::{Offload, Received};
use nexus_types::Instant;

use crate::limits;

/// Frames one behind the other in one buffer, which is used again once all are out.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// How many are out, and where the next one begins.
    out: usize,
    begin: usize,
    dropped: u64,
}

impl Frames {
    fn push(&mut self, frame: &[u8]) {
        if self.ends.len() - self.out == limits::NIC_FRAMES {
            self.dropped += 1;
            return;
        }
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    fn pop(&mut self) -> Option<&[u8]> {
        let Some(&end) = self.ends.get(self.out) else {
            self.bytes.clear();
            self.ends.clear();
            (self.out, self.begin) = (0, 0);
            return None;
        };
        let frame = &self.bytes[self.begin..end];
        self.out += 1;
        self.begin = end;
        Some(frame)
    }

    /// Takes over all that `other` has.
    fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            let dropped = self.dropped + other.dropped;
            core::mem::swap(self, other);
            (self.dropped, other.dropped) = (dropped, 0);
            while other.pop().is_some() {}
        } else {
            while let Some(frame) = other.pop() {
                self.push(frame);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.out == self.ends.len()
    }
}

#[derive(Debug, Default)]
struct Wire {
    to_node: Frames,
    from_node: Frames,
}

/// The mesh's end: give it to [`nexus_node::Mesh::attach_nic`].
#[derive(Debug)]
pub struct SimNic {
    wire: Arc<Mutex<Wire>>,
    /// What the node has sent in this step. The mesh asks for frames to the node at the end of each, and then all of
    /// it goes to the wire at once.
    sent: Frames,
}

/// The machine's end.
#[derive(Debug)]
pub struct SimNicHandle(Arc<Mutex<Wire>>);

/// A NIC and the handle on its other end.
pub fn sim_nic() -> (SimNic, SimNicHandle) {
    let wire = Arc::new(Mutex::new(Wire::default()));
    let nic = SimNic {
        wire: wire.clone(),
        sent: Frames::default(),
    };
    (nic, SimNicHandle(wire))
}

fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimNicHandle {
    /// A frame for the node. Tell the mesh: [`nexus_node::Mesh::touch_nic`]. How many wait for it now.
    pub fn deliver(&mut self, frame: &[u8]) -> usize {
        let mut wire = lock(&self.0);
        wire.to_node.push(frame);
        wire.to_node.ends.len() - wire.to_node.out
    }

    /// Hands on what the node has sent since, in order. `send` must not reach the mesh.
    pub fn take(&mut self, send: &mut dyn FnMut(&[u8])) {
        let mut wire = lock(&self.0);
        while let Some(frame) = wire.from_node.pop() {
            send(frame);
        }
    }

    /// Whether the node has sent something.
    pub fn has_frames(&self) -> bool {
        !lock(&self.0).from_node.is_empty()
    }

    /// Frames dropped, to the node and from it: more than [`limits::NIC_FRAMES`] waited.
    pub fn dropped(&self) -> (u64, u64) {
        let wire = lock(&self.0);
        (wire.to_node.dropped, wire.from_node.dropped)
    }
}

impl Nic for SimNic {
    fn handle_frame(&mut self, _: Instant, frame: &[u8], offload: Offload) {
        debug_assert!(
            offload == Offload::None,
            "a simulated wire carries what the stack makes: `Config::offload` stays off"
        );
        self.sent.push(frame);
    }

    fn poll_transmit(
        &mut self,
        _: Instant,
        max: usize,
        deliver: &mut dyn FnMut(&[u8], Received),
    ) -> usize {
        let mut wire = lock(&self.wire);
        wire.from_node.append(&mut self.sent);
        let mut count = 0;
        while count < max
            && let Some(frame) = wire.to_node.pop()
        {
            deliver(frame, Received::PLAIN);
            count += 1;
        }
        count
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn undelivered(&self) -> usize {
        usize::from(!self.sent.is_empty() || !lock(&self.wire).from_node.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_in_order_and_a_part_at_a_time() {
        let (mut nic, mut handle) = sim_nic();
        for frame in [&[1_u8, 2][..], &[3], &[]] {
            handle.deliver(frame);
        }
        let mut got = Vec::new();
        let now = Instant::ZERO;
        let mut take = |max| nic.poll_transmit(now, max, &mut |frame, _| got.push(frame.to_vec()));
        assert_eq!((take(2), take(2), take(2)), (2, 1, 0));
        assert_eq!(got, [vec![1, 2], vec![3], vec![]]);
        for frame in [7, 8] {
            nic.handle_frame(now, &[frame], Offload::None);
            assert_eq!(nic.poll_transmit(now, 1, &mut |_, _| {}), 0);
        }
        assert!(handle.has_frames() && nic.undelivered() == 1);
        let mut sent = Vec::new();
        handle.take(&mut |frame| sent.push(frame.to_vec()));
        assert_eq!(sent, [[7], [8]]);
        assert!(!handle.has_frames());
    }

    #[test]
    fn frames_at_and_over_the_limit() {
        let (mut nic, mut handle) = sim_nic();
        for _ in 0..limits::NIC_FRAMES {
            handle.deliver(&[0]);
        }
        assert_eq!(handle.dropped(), (0, 0));
        handle.deliver(&[0]);
        assert_eq!(handle.dropped(), (1, 0));
        nic.poll_transmit(Instant::ZERO, 1, &mut |_, _| {});
        handle.deliver(&[0]);
        assert_eq!(handle.dropped(), (1, 0));
    }
}
