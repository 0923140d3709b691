//! Real NICs: TAP interfaces and packet sockets with their offloads, and packet capture.
//!
//! ```text
//!   node's stack <--frames--> Nic --+-- tap:NAME      /dev/net/tun, the kernel at the other end
//!                              |    +-- packet:IFACE  AF_PACKET, a station beside the kernel's
//!                           Capture (pcapng)
//! ```
//!
//! A [`Nic`] has no thread and makes no call that blocks. Its owner polls two file descriptors: the
//! NIC's own ([`AsFd`](std::os::fd::AsFd)) for frames, [`Nic::link_fd`] for the link's state. It is
//! made for edge-triggered polls as well: [`Nic::receive`] says whether it has taken all there was.
//!
//! What holds:
//! - Frames pass whole, unchanged, in order, or are dropped and counted in [`Stats`]. What passes
//!   is for our [`Mac`] or a group, without a VLAN tag, and fits the interface's MTU.
//! - Without [`Config::offload`] what comes is what a wire would carry. With it, TCP comes and goes
//!   in frames of up to 64 KiB, and checksums are left out where no wire is.
//! - What a call takes is bounded (`nexus_types::limits`), and so is all that waits in the kernel.
//! - Our own frames do not come back to us; on `packet:` they do not reach this machine's own stack
//!   on that interface either, which is how packet sockets work.
//!
//! Not supported: VLAN tags (name the VLAN's own interface), several queues, wireless interfaces in
//! station mode (they carry one address only), jumbograms beyond 64 KiB (RFC 2675, "BIG TCP").

mod capture;
mod checksum;
mod error;
mod headers;
mod intake;
mod link;
mod mac;
mod nic;
mod packet;
mod segment;
mod sys;
mod tap;
mod target;
mod vnet;

pub use capture::{Capture, CaptureError, Direction, InterfaceId, LinkType};
pub use error::NicError;
pub use headers::{ETHERNET_HEADER, FRAME_MAX};
pub use link::{LinkState, LinkStatus};
pub use mac::Mac;
pub use nic::{Checksum, Config, Drained, Inbound, Nic, Offload, Sent, Stats};
pub use segment::{SegmentError, segment};
pub use target::{InterfaceName, Target, TargetError};

use nic::Budget;
