//! The receive ring of a packet socket: memory shared with the kernel
//! (Documentation/networking/packet_mmap.rst).
//!
//! ```text
//!   slot:  tpacket2_hdr ... virtio_net_hdr | frame ...
//!          tp_status                       ^ tp_mac
//!   KERNEL (0): the kernel's, to write to.  USER bit: ours, until we write KERNEL again.
//! ```

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::packet::Slots;
use crate::vnet;

/// Bytes before the frame in a slot, at most: the header, the address, a `virtio_net_hdr`, all
/// aligned to 16 (net/packet/af_packet.c, `tpacket_rcv`).
pub(crate) const HEADROOM: usize = 96;

const HEADER: usize = size_of::<libc::tpacket2_hdr>();

/// The mapped ring.
pub(crate) struct Ring {
    memory: NonNull<u8>,
    slots: Slots,
    next: usize,
}

// SAFETY: the memory is the mapping's own, is reached through `&mut self` alone, and the kernel
// does not care which thread that is on.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring that the socket was told to have.
    pub(crate) fn new(socket: BorrowedFd<'_>, slots: Slots) -> Result<Self, Errno> {
        let len = slots.size * slots.count;
        // SAFETY: a new mapping at a place the kernel chooses takes no memory that is in use.
        let memory = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::SHARED,
                socket,
                0,
            )?
        };
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(Errno::NOMEM)?;
        Ok(Self {
            memory,
            slots,
            next: 0,
        })
    }

    /// The oldest slot with a frame, if there is one.
    pub(crate) fn next(&mut self) -> Option<Slot<'_>> {
        // SAFETY: `next` is below `count`, so the slot is within the mapping.
        let slot = unsafe { self.memory.add(self.next * self.slots.size) };
        // SAFETY: `tp_status` is the first member (u32) of the header at the slot's beginning, and
        // slots are aligned to 16. Kernel and we reach it as one word, which an atomic is.
        let status = unsafe { AtomicU32::from_ptr(slot.as_ptr().cast::<u32>()) };
        // Acquire: what the kernel wrote to the slot before this word is seen after it.
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        self.next = (self.next + 1) % self.slots.count;
        // SAFETY: the slot is within the mapping, which lives as long as `self`, so longer than
        // the borrow. The USER bit says that the kernel does not touch it until it is given back,
        // which `Slot` does when it is dropped; and `next` has moved on, so nobody else of this
        // process has it. The first word is left out: it is the atomic's.
        let bytes = unsafe { slice::from_raw_parts_mut(slot.as_ptr().add(4), self.slots.size - 4) };
        Some(Slot { status, bytes })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it is the mapping of `new`, whole; slots borrow `self`, so none is left.
        let _ = unsafe {
            munmap(
                self.memory.as_ptr().cast(),
                self.slots.size * self.slots.count,
            )
        };
    }
}

/// A slot that is ours until it is dropped.
pub(crate) struct Slot<'a> {
    status: &'a AtomicU32,
    /// The slot without its first word.
    bytes: &'a mut [u8],
}

impl Slot<'_> {
    /// The number at this place of the slot, of the header's u32 members.
    fn word(&self, at: usize) -> usize {
        let bytes = self.bytes[at - 4..at].try_into().unwrap_or_default();
        u32::from_ne_bytes(bytes) as usize
    }

    /// Whether the kernel took a VLAN tag off the frame.
    pub(crate) fn tagged(&self) -> bool {
        self.status.load(Ordering::Relaxed) & libc::TP_STATUS_VLAN_VALID != 0
    }

    /// Whether a whole copy of the frame waits in the socket, because it does not fit.
    pub(crate) fn copied(&self) -> bool {
        self.status.load(Ordering::Relaxed) & libc::TP_STATUS_COPY != 0
    }

    /// The `virtio_net_hdr` and the frame. `None`: it does not fit, or nothing is right with it.
    pub(crate) fn parts(&mut self) -> Option<([u8; vnet::LEN], &mut [u8])> {
        // tpacket2_hdr: status, len, snaplen (u32 each), mac, net (u16 each).
        let (len, held) = (self.word(4), self.word(8));
        let mac = usize::from(u16::from_ne_bytes([self.bytes[8], self.bytes[9]]));
        if len != held || mac < HEADER + vnet::LEN {
            return None;
        }
        let from = mac - 4;
        let both = self.bytes.get_mut(from - vnet::LEN..from + len)?;
        let (header, frame) = both.split_at_mut(vnet::LEN);
        Some((<[u8; vnet::LEN]>::try_from(&*header).ok()?, frame))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // Release: the kernel writes to the slot only after all that we did with it.
        self.status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}
