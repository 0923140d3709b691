//! A packet socket: one more station at the cable of an interface that the kernel uses, too.
//!
//! Receiving is a ring of `TPACKET_V2`: a frame is there as soon as the kernel has copied it, and
//! costs no system call. `TPACKET_V3` would pack frames tighter, but hands out a block only when
//! it is full or a timer of some milliseconds is over: a round trip would take that long.
//!
//! A ring has slots of one size, and with segmentation offload (a veth peer's, or a real NIC's GRO)
//! a frame can have 64 KiB; slots of that size would be megabytes for a hundred frames. So slots
//! fit the MTU, and what is larger comes by a copy in the socket's queue (`PACKET_COPY_THRESH`), in
//! order with the ring.
//!
//! Sending is one call a frame, straight from the caller's buffer. Measured on a veth with frames
//! of 1514 bytes, `sendmmsg` of 64 was 0 to 5 % faster and a transmit ring 5 to 15 % slower (the
//! peer must not keep pages of the ring, so the kernel copies there, too): the time goes into the
//! kernel's own path. What does pay is fewer and larger frames: segmentation offload.

use std::os::fd::{AsFd, OwnedFd};

use nexus_types::limits;
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_send_buffer_size,
    set_socket_send_buffer_size_force, socket_error,
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use crate::error::NicError;
use crate::headers::{ETHERNET_HEADER, FRAME_MAX};
use crate::intake::Intake;
use crate::mac::Mac;
use crate::sys::interface;
use crate::sys::packet::{self, Slots};
use crate::sys::ring::{self, Ring};
use crate::target::{InterfaceName, Target};
use crate::vnet::{self, Incoming};
use crate::{Budget, Drained, Inbound};

/// The largest slot: beyond, frames come as copies.
const SLOT_MAX: usize = 16 << 10;

/// Blocks are what the kernel allocates at once; it falls back to single pages.
const BLOCK: usize = 64 << 10;

/// Slots for frames of this MTU.
fn slots(mtu: usize) -> Slots {
    let size = (ring::HEADROOM + ETHERNET_HEADER + mtu)
        .next_power_of_two()
        .clamp(2_048, SLOT_MAX);
    Slots {
        size,
        count: limits::PACKET_RING_BYTES as usize / size,
        block: BLOCK,
    }
}

pub(crate) struct Packet {
    pub(crate) socket: OwnedFd,
    ring: Ring,
    /// For copies: room for a header, the longest frame, and one byte more.
    buffer: Box<[u8]>,
}

impl Packet {
    /// Opens the interface of this number.
    pub(crate) fn open(
        questions: &OwnedFd,
        name: &InterfaceName,
        mac: Mac,
    ) -> Result<(Self, i32), NicError> {
        let target = || Target::Packet(name.clone());
        let os = |what, error| NicError::Os {
            target: target(),
            what,
            error,
        };
        let questions = questions.as_fd();
        let index = interface::index(questions, name.as_str()).map_err(|error| match error {
            Errno::NODEV => NicError::Missing(name.clone()),
            error => os("look for it", error),
        })?;
        let vanished = |_| NicError::Vanished(name.clone());
        if interface::hardware_type(questions, index).map_err(vanished)? != libc::ARPHRD_ETHER {
            return Err(NicError::WrongKind(target()));
        }
        let (_, mtu) = interface::state(questions, index).map_err(vanished)?;
        // No protocol yet: nothing comes in before the filter is there.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).map_err(|error| {
                match error {
                    Errno::PERM | Errno::ACCESS => NicError::NoPermission(target()),
                    error => os("open a packet socket", error),
                }
            })?;
        let fd = socket.as_fd();
        let slots = slots(mtu);
        packet::set_up(fd, &slots).map_err(|error| os("make the receive ring", error))?;
        packet::filter(fd, mac).map_err(|error| os("set the filter", error))?;
        let ring = Ring::new(fd, slots).map_err(|error| os("map the receive ring", error))?;
        // Without CAP_NET_ADMIN the kernel's own maximum (net.core.rmem_max) holds: copies that
        // find no room are counted as missed.
        let bytes = limits::PACKET_QUEUE_BYTES as usize;
        if set_socket_recv_buffer_size_force(fd, bytes).is_err() {
            let _ = set_socket_recv_buffer_size(fd, bytes);
        }
        if set_socket_send_buffer_size_force(fd, bytes).is_err() {
            let _ = set_socket_send_buffer_size(fd, bytes);
        }
        packet::join(fd, index, mac).map_err(|error| os("take a second address", error))?;
        packet::bind(fd, index).map_err(|error| os("bind to it", error))?;
        let packet = Self {
            socket,
            ring,
            buffer: vec![0; vnet::LEN + FRAME_MAX + 1].into_boxed_slice(),
        };
        // An interface that is down is no error: it may come up.
        packet.forget_error();
        Ok((packet, index))
    }

    /// Takes the pending error (ENETDOWN) off the socket, which would be ready for ever with it.
    /// What it says, the link says, too.
    pub(crate) fn forget_error(&self) {
        let _ = socket_error(&self.socket);
    }

    /// Frames that found the ring full since this was last asked.
    pub(crate) fn missed(&self) -> u64 {
        packet::missed(self.socket.as_fd()).map_or(0, u64::from)
    }

    pub(crate) fn receive(
        &mut self,
        intake: &mut Intake,
        f: &mut impl FnMut(&Inbound<'_>),
    ) -> Drained {
        let mut budget = Budget::new();
        while budget.is_left() {
            let Some(mut slot) = self.ring.next() else {
                return Drained::Empty;
            };
            let tagged = slot.tagged();
            if slot.copied() {
                // Taken in any case: the next copy is the next such slot's.
                let Some(len) = copy(&self.socket, &mut self.buffer) else {
                    intake.stats.missed += 1;
                    budget.spend(1, 0);
                    continue;
                };
                if len > vnet::LEN + FRAME_MAX {
                    intake.stats.jumbos += 1;
                    budget.spend(1, 0);
                    continue;
                }
                let (incoming, frame) =
                    match self.buffer[..len].split_first_chunk_mut::<{ vnet::LEN }>() {
                        Some((header, frame)) => (Incoming::parse(header), frame),
                        None => (None, &mut [][..]),
                    };
                budget.spend(intake.take(frame, incoming, tagged, f), len);
            } else if let Some((header, frame)) = slot.parts() {
                let len = frame.len();
                let incoming = Incoming::parse(&header);
                budget.spend(intake.take(frame, incoming, tagged, f), len);
            } else {
                // It does not fit, and there was no room for a copy either.
                intake.stats.missed += 1;
                budget.spend(1, 0);
            }
        }
        Drained::More
    }
}

/// The next copy, header and frame; how long it is, which may be more than there is room for.
fn copy(socket: &OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    // Twice: the socket may tell of a pending error first.
    (0..2).find_map(|_| match recv(socket, &mut *buffer, flags) {
        Ok((_, len)) => Some(len),
        Err(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mtu_has_slots_that_make_whole_blocks_and_stay_within_the_bound() {
        for mtu in [68, 576, 1_500, 9_000, 16_000, 65_535] {
            let slots = slots(mtu);
            assert_eq!(slots.block % slots.size, 0, "{mtu}");
            assert_eq!(slots.size * slots.count % slots.block, 0, "{mtu}");
            assert!(slots.size * slots.count <= limits::PACKET_RING_BYTES as usize);
            assert!(slots.size == SLOT_MAX || slots.size >= ring::HEADROOM + ETHERNET_HEADER + mtu);
        }
        assert_eq!(slots(1_500).size, 2_048);
        assert_eq!(slots(9_000).size, 16_384);
    }
}
