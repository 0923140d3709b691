//! The NIC: one door for both kinds of device.

use std::fmt;
use std::io::IoSlice;
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd};

use nexus_types::limits;
use rustix::io::{Errno, writev};

use crate::error::NicError;
use crate::headers::{ETHERNET_HEADER, FRAME_MAX, Headers};
use crate::intake::Intake;
use crate::link::{self, Link, LinkState, LinkStatus};
use crate::mac::Mac;
use crate::packet::Packet;
use crate::segment::segment;
use crate::tap::Tap;
use crate::target::Target;
use crate::vnet::{self, Request};

/// What a NIC is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interface.
    pub target: Target,
    /// Our address on it.
    pub mac: Mac,
    /// Whether frames may come with several TCP segments in one ([`Inbound::gso_size`]) and
    /// without a checksum ([`Checksum::Absent`]). If not, what comes is what a wire would carry.
    pub offload: bool,
    /// The MTU below which the interface is of no use: 576, or 1280 with IPv6 (RFC 8200 section 5).
    pub least_mtu: usize,
}

/// A frame that came in.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The Ethernet frame, without its check sequence.
    pub frame: &'a [u8],
    /// What is known of its TCP or UDP checksum.
    pub checksum: Checksum,
    /// The payload of each segment, where the frame is several: it may have 64 KiB then.
    pub gso_size: Option<NonZeroU16>,
}

/// What is known of a TCP or UDP checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// Nothing: check it.
    Unknown,
    /// The kernel, the hardware or we have seen or made it.
    Right,
    /// It is not in the frame, which was never on a wire: take the frame as right. Only with
    /// [`Config::offload`].
    Absent,
}

/// What is left for the NIC to do with a frame to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offload {
    /// Nothing.
    None,
    /// Its TCP or UDP checksum; the field may hold anything.
    Checksum,
    /// Its TCP checksum, and splitting it into segments of this much payload.
    Segments(NonZeroU16),
}

/// What became of a frame to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Sent {
    /// The kernel has it.
    Taken,
    /// The kernel has no room now. Send it again when the NIC is writable, or drop it.
    Full,
    /// It is lost, and was counted: the link is down, its queue is full, the frame is longer than
    /// the MTU, or no whole packet of what [`Offload`] says.
    Dropped,
}

/// Whether [`Nic::receive`] has taken all there was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Drained {
    /// It has; the NIC becomes readable when there is more.
    Empty,
    /// Its bound was reached first: call again, also with an edge-triggered poll.
    More,
}

/// Counters since the NIC was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Frames handed out; each segment counts where we split.
    pub received: u64,
    /// Frames the kernel took; a frame that it splits counts once.
    pub sent: u64,
    /// Dropped: shorter than an Ethernet header.
    pub runts: u64,
    /// Dropped: longer than the MTU allows, and not several segments.
    pub jumbos: u64,
    /// Dropped: a VLAN tag, whichever.
    pub tagged: u64,
    /// Dropped: for another station.
    pub others: u64,
    /// Dropped: what the kernel said of the frame and the frame contradict each other.
    pub malformed: u64,
    /// Dropped by the kernel: no room in the ring (`packet:` alone; for a TAP interface
    /// `ip -s link` shows it as TX dropped).
    pub missed: u64,
    /// Dropped of what was to be sent: see [`Sent::Dropped`].
    pub unsent: u64,
}

enum Device {
    Tap(Tap),
    Packet(Packet),
}

/// A NIC on an interface of this machine. See the crate's documentation.
pub struct Nic {
    target: Target,
    device: Device,
    link: Link,
    intake: Intake,
    scratch: Vec<u8>,
}

impl Nic {
    /// Opens the interface.
    ///
    /// # Errors
    /// See [`NicError`]; nothing stays open or changed then.
    pub fn open(config: &Config) -> Result<Self, NicError> {
        let target = &config.target;
        let os = |what, error| NicError::Os {
            target: target.clone(),
            what,
            error,
        };
        let socket = link::socket().map_err(|error| os("watch links", error))?;
        let name = target.interface();
        let (device, index) = match target {
            Target::Tap(name) => {
                let (tap, index) = Tap::open(&socket, name, config.offload)?;
                (Device::Tap(tap), index)
            }
            Target::Packet(name) => {
                let (packet, index) = Packet::open(&socket, name, config.mac)?;
                (Device::Packet(packet), index)
            }
        };
        let link = Link::new(socket, index).map_err(|error| os("read its state", error))?;
        let LinkState { status, mtu } = link.state();
        if status == LinkStatus::Gone {
            return Err(NicError::Vanished(name.clone()));
        }
        if mtu < config.least_mtu {
            return Err(NicError::MtuTooSmall {
                name: name.clone(),
                mtu,
                least: config.least_mtu,
            });
        }
        Ok(Self {
            target: target.clone(),
            device,
            link,
            intake: Intake::new(config.mac, mtu, config.offload),
            scratch: Vec::new(),
        })
    }

    /// The interface.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Our address on it.
    pub fn mac(&self) -> Mac {
        self.intake.mac
    }

    /// Its state as [`Nic::poll_link`] last saw it.
    pub fn link(&self) -> LinkState {
        self.link.state()
    }

    /// Becomes readable when [`Nic::poll_link`] may have something to say.
    pub fn link_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// Looks at the interface again: `Some` if it is up, down, gone or of another MTU since the last
    /// look. To be called when [`Nic::link_fd`] is readable or the NIC itself tells of an error.
    pub fn poll_link(&mut self) -> Option<LinkState> {
        if let Device::Packet(packet) = &self.device {
            packet.forget_error();
        }
        // What fails is a socket of ours without memory; the next look may be luckier.
        let changed = self.link.poll().ok().flatten()?;
        self.intake.mtu = changed.mtu;
        Some(changed)
    }

    /// What was counted.
    pub fn stats(&mut self) -> Stats {
        if let Device::Packet(packet) = &self.device {
            self.intake.stats.missed += packet.missed();
        }
        self.intake.stats
    }

    /// Hands the frames that are there to `f`: at most [`limits::NIC_FRAMES`] and about
    /// [`limits::NIC_BYTES`] in one call. Never blocks.
    ///
    /// # Errors
    /// The interface is gone (on `packet:` seen first by [`Nic::poll_link`]), or the kernel refuses
    /// in another way; the NIC is of no more use.
    pub fn receive(&mut self, mut f: impl FnMut(&Inbound<'_>)) -> Result<Drained, NicError> {
        match &mut self.device {
            Device::Packet(packet) => match packet.receive(&mut self.intake, &mut f) {
                // The ring outlives the interface; what was in it is out now.
                Drained::Empty if self.link.state().status == LinkStatus::Gone => {
                    Err(NicError::Vanished(self.target.interface().clone()))
                }
                drained => Ok(drained),
            },
            Device::Tap(tap) => tap
                .receive(&mut self.intake, &mut f)
                .map_err(|error| ended(&self.target, "receive", error)),
        }
    }

    /// Sends one frame. Never blocks.
    ///
    /// # Errors
    /// The interface is gone, or the kernel refuses in another way; the NIC is of no more use.
    pub fn send(&mut self, frame: &[u8], offload: Offload) -> Result<Sent, NicError> {
        let sent = self.try_send(frame, offload)?;
        match sent {
            Sent::Taken => self.intake.stats.sent += 1,
            Sent::Dropped => self.intake.stats.unsent += 1,
            Sent::Full => {}
        }
        Ok(sent)
    }

    fn try_send(&mut self, frame: &[u8], offload: Offload) -> Result<Sent, NicError> {
        let longest = ETHERNET_HEADER + self.intake.mtu;
        let size = match offload {
            Offload::Segments(size) => Some(size),
            Offload::None | Offload::Checksum => None,
        };
        let fits = match size {
            None => frame.len() <= longest,
            Some(size) => {
                frame.len() <= FRAME_MAX
                    && Headers::of(frame)
                        .is_some_and(|headers| headers.payload + usize::from(size.get()) <= longest)
            }
        };
        if !fits || frame.len() < ETHERNET_HEADER {
            return Ok(Sent::Dropped);
        }
        let (fd, header) = match &self.device {
            Device::Tap(tap) => (tap.device.as_fd(), tap.header),
            Device::Packet(packet) => (packet.socket.as_fd(), true),
        };
        if offload == Offload::None {
            let whole = [IoSlice::new(&vnet::NOTHING), IoSlice::new(frame)];
            let parts = if header { &whole[..] } else { &whole[1..] };
            return outcome(writev(fd, parts), &self.target);
        }
        if !header {
            let size = size.unwrap_or(NonZeroU16::MAX);
            return split(fd, frame, size, &mut self.scratch, &self.target);
        }
        let Some(request) = Request::new(frame, size) else {
            return Ok(Sent::Dropped);
        };
        // The field is not ours to write to: what the kernel wants to find there goes between.
        let parts = [
            IoSlice::new(&request.header),
            IoSlice::new(&frame[..request.field]),
            IoSlice::new(&request.pseudo),
            IoSlice::new(&frame[request.field + 2..]),
        ];
        outcome(writev(fd, &parts), &self.target)
    }
}

/// Does in software what the device cannot: the checksum, and the segments.
fn split(
    fd: BorrowedFd<'_>,
    frame: &[u8],
    size: NonZeroU16,
    scratch: &mut Vec<u8>,
    target: &Target,
) -> Result<Sent, NicError> {
    let mut result = Ok(Sent::Taken);
    let mut first = true;
    let whole = segment(frame, size, scratch, |piece| {
        if result == Ok(Sent::Taken) {
            result = outcome(writev(fd, &[IoSlice::new(piece)]), target);
            // Once some of it is sent, the whole is not to be sent again: the rest is lost as on a wire.
            if !first && result == Ok(Sent::Full) {
                result = Ok(Sent::Dropped);
            }
            first = false;
        }
    });
    match whole {
        Ok(_) => result,
        Err(_) => Ok(Sent::Dropped),
    }
}

/// What the result of a write says.
fn outcome(result: Result<usize, Errno>, target: &Target) -> Result<Sent, NicError> {
    match result {
        Ok(_) => Ok(Sent::Taken),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Sent::Full),
        // EIO and ENETDOWN: the interface is down. ENOBUFS: its queue (or, for a veth, its peer)
        // threw the frame away; polling for writability would not wait for room there. EMSGSIZE
        // and EINVAL are of this one frame.
        Err(
            Errno::IO
            | Errno::NETDOWN
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::MSGSIZE
            | Errno::INVAL,
        ) => Ok(Sent::Dropped),
        Err(error) => Err(ended(target, "send", error)),
    }
}

/// Why the NIC is of no more use.
fn ended(target: &Target, what: &'static str, error: Errno) -> NicError {
    match error {
        Errno::BADFD | Errno::NXIO | Errno::NODEV => NicError::Vanished(target.interface().clone()),
        error => NicError::Os {
            target: target.clone(),
            what,
            error,
        },
    }
}

/// Becomes readable when frames are there. With [`Nic::link_fd`] that makes two to poll.
impl AsFd for Nic {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.device {
            Device::Tap(tap) => tap.device.as_fd(),
            Device::Packet(packet) => packet.socket.as_fd(),
        }
    }
}

impl fmt::Debug for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nic")
            .field("target", &self.target)
            .field("mac", &self.intake.mac)
            .field("link", &self.link.state())
            .field("stats", &self.intake.stats)
            .finish_non_exhaustive()
    }
}

/// What is left of one call's bound.
pub(crate) struct Budget {
    frames: usize,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            frames: limits::NIC_FRAMES as usize,
            bytes: limits::NIC_BYTES as usize,
        }
    }

    pub(crate) fn is_left(&self) -> bool {
        self.frames > 0 && self.bytes > 0
    }

    pub(crate) fn spend(&mut self, frames: usize, bytes: usize) {
        self.frames = self.frames.saturating_sub(frames);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

const fn assert_send<T: Send>() {}
const _: () = assert_send::<Nic>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_at_its_frames_or_its_bytes() {
        let frames = limits::NIC_FRAMES as usize;
        let mut budget = Budget::new();
        budget.spend(frames - 1, 0);
        assert!(budget.is_left());
        budget.spend(1, 0);
        assert!(!budget.is_left());
        let mut budget = Budget::new();
        budget.spend(1, limits::NIC_BYTES as usize - 1);
        assert!(budget.is_left());
        // The last may be larger than what is left.
        budget.spend(1, FRAME_MAX);
        assert!(!budget.is_left());
    }
}
