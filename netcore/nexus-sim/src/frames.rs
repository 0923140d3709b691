//! Frames on their way: kept once however many machines they go to, in buffers that are used again.

use crate::limits;

/// A frame's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FrameId(u32);

#[derive(Debug)]
struct Slot {
    bytes: Vec<u8>,
    holders: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Frames {
    /// Copies a frame; its one holder is the caller. None: there is no room.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Option<FrameId> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() == limits::FRAMES => return None,
            None => {
                self.slots.push(Slot {
                    bytes: Vec::new(),
                    holders: 0,
                });
                self.slots.len() as u32 - 1
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.bytes.clear();
        slot.bytes.extend_from_slice(bytes);
        slot.holders = 1;
        Some(FrameId(index))
    }

    /// A copy of its own, to be changed.
    pub(crate) fn duplicate(&mut self, id: FrameId) -> Option<FrameId> {
        let bytes = core::mem::take(&mut self.slots[id.0 as usize].bytes);
        let copy = self.add(&bytes);
        self.slots[id.0 as usize].bytes = bytes;
        copy
    }

    /// One holder more.
    pub(crate) fn hold(&mut self, id: FrameId) {
        self.slots[id.0 as usize].holders += 1;
    }

    /// One holder less; without holders it is gone.
    pub(crate) fn release(&mut self, id: FrameId) {
        let slot = &mut self.slots[id.0 as usize];
        slot.holders -= 1;
        if slot.holders == 0 {
            self.free.push(id.0);
        }
    }

    pub(crate) fn bytes(&self, id: FrameId) -> &[u8] {
        &self.slots[id.0 as usize].bytes
    }

    pub(crate) fn bytes_mut(&mut self, id: FrameId) -> &mut Vec<u8> {
        debug_assert!(self.slots[id.0 as usize].holders == 1, "others hold it");
        &mut self.slots[id.0 as usize].bytes
    }

    /// Frames that exist now.
    pub(crate) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_gone_with_its_last_holder() {
        let mut frames = Frames::default();
        let one = frames.add(&[1, 2, 3]).unwrap();
        frames.hold(one);
        let copy = frames.duplicate(one).unwrap();
        frames.bytes_mut(copy)[0] = 9;
        assert_eq!(frames.bytes(one), [1, 2, 3]);
        assert_eq!(frames.bytes(copy), [9, 2, 3]);
        frames.release(one);
        assert_eq!(frames.count(), 2);
        frames.release(one);
        frames.release(copy);
        assert_eq!(frames.count(), 0);
    }

    #[test]
    fn frames_at_and_over_the_limit() {
        let mut frames = Frames::default();
        let first = frames.add(&[]).unwrap();
        for _ in 1..limits::FRAMES {
            assert!(frames.add(&[]).is_some());
        }
        assert_eq!(frames.add(&[]), None);
        frames.release(first);
        assert!(frames.add(&[]).is_some());
    }
}
