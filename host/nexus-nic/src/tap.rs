//! A TAP interface: whole Ethernet frames, one each read and write.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};

use crate::error::NicError;
use crate::headers::FRAME_MAX;
use crate::intake::Intake;
use crate::sys::{interface, tun};
use crate::target::{InterfaceName, Target};
use crate::vnet::{self, Incoming};
use crate::{Budget, Drained, Inbound};

/// What the kernel may leave to us: checksums, and the segmentation of TCP.
const OFFLOADS: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

pub(crate) struct Tap {
    pub(crate) device: OwnedFd,
    /// Whether a `virtio_net_hdr` stands before each frame.
    pub(crate) header: bool,
    /// Room for a header, the longest frame, and one byte more: a frame that fills it was cut.
    buffer: Box<[u8]>,
}

impl Tap {
    /// Attaches to the TAP interface, or creates it and brings it up. Its number, too.
    pub(crate) fn open(
        questions: &OwnedFd,
        name: &InterfaceName,
        offload: bool,
    ) -> Result<(Self, i32), NicError> {
        let target = || Target::Tap(name.clone());
        let os = |what, error| NicError::Os {
            target: target(),
            what,
            error,
        };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = open("/dev/net/tun", flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => NicError::NoTun,
            Errno::ACCESS | Errno::PERM => NicError::NoPermission(target()),
            error => os("open /dev/net/tun", error),
        })?;
        let questions = questions.as_fd();
        let there = interface::index(questions, name.as_str()).is_ok();
        tun::attach(device.as_fd(), name.as_str(), offload).map_err(|error| match error {
            Errno::BUSY => NicError::Taken(name.clone()),
            Errno::PERM | Errno::ACCESS => NicError::NoPermission(target()),
            Errno::INVAL => NicError::WrongKind(target()),
            error => os("attach to it", error),
        })?;
        if offload {
            tun::set_header(device.as_fd(), vnet::LEN)
                .map_err(|error| os("agree on the header", error))?;
        }
        // Without a header, too: what another program was offered stays with the interface.
        let offloads = if offload { OFFLOADS } else { 0 };
        tun::set_offload(device.as_fd(), offloads)
            .map_err(|error| os("agree on offloads", error))?;
        let index = interface::index(questions, name.as_str())
            .map_err(|_| NicError::Vanished(name.clone()))?;
        if !there {
            interface::bring_up(questions, index).map_err(|error| os("bring it up", error))?;
        }
        let header = if offload { vnet::LEN } else { 0 };
        let tap = Self {
            device,
            header: offload,
            buffer: vec![0; header + FRAME_MAX + 1].into_boxed_slice(),
        };
        Ok((tap, index))
    }

    pub(crate) fn receive(
        &mut self,
        intake: &mut Intake,
        f: &mut impl FnMut(&Inbound<'_>),
    ) -> Result<Drained, Errno> {
        let mut budget = Budget::new();
        while budget.is_left() {
            let len = match read(&self.device, &mut *self.buffer) {
                Ok(len) => len,
                Err(Errno::INTR) => continue,
                // EIO: the interface is down.
                Err(Errno::AGAIN | Errno::IO) => return Ok(Drained::Empty),
                Err(error) => return Err(error),
            };
            let cut = len == self.buffer.len();
            let read = &mut self.buffer[..len];
            let (incoming, frame) = if self.header {
                match read.split_first_chunk_mut::<{ vnet::LEN }>() {
                    Some((header, frame)) => (Incoming::parse(header), frame),
                    None => (None, &mut [][..]),
                }
            } else {
                (Some(Incoming::PLAIN), read)
            };
            if cut {
                intake.stats.jumbos += 1;
                budget.spend(1, len);
            } else {
                budget.spend(intake.take(frame, incoming, false, f), len);
            }
        }
        Ok(Drained::More)
    }
}
