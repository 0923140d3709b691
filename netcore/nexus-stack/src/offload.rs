//! What a NIC does of the work on a frame: what is left to it on the way out ([`Offload`]), and what
//! it says of a frame on the way in ([`Received`]).
//!
//! Between two ends that can, a frame then carries up to 64 KiB of one connection, as several segments
//! behind one header, and no checksum: a packet's cost is paid once for forty. What a wire sees is the
//! same: the NIC (or whoever stands in for it) makes the segments and their checksums.

use core::num::NonZeroU16;

/// What is left to do with a frame that [`Stack::poll_transmit`](crate::Stack::poll_transmit) hands out.
/// Not [`Offload::None`] only with [`Config::offload`](crate::Config::offload).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offload {
    /// Nothing.
    None,
    /// Its TCP checksum; the field holds nothing.
    Checksum,
    /// Its TCP checksum, and making segments of at most this much data of it.
    Segments(NonZeroU16),
}

/// What is known of a frame that is handed to
/// [`Stack::handle_received`](crate::Stack::handle_received).
///
/// Who hands it over is believed: it is the kernel, or hardware. A wrong word costs a connection its
/// data or a frame its way, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Its TCP or UDP checksum is right, or is not there because the frame was on no wire. An IPv4
    /// header's and an ICMP message's are looked at all the same.
    pub checked: bool,
    /// It is several TCP segments behind one header, each but the last with this much data.
    pub segments: Option<NonZeroU16>,
}

impl Received {
    /// A frame as a wire carries it: nothing is known of it.
    pub const PLAIN: Self = Self {
        checked: false,
        segments: None,
    };
}

/// How much data one frame may carry at most where the NIC makes segments of `mss` of it: as many
/// whole ones as an IP packet has room for behind `headers`.
pub(crate) const fn whole_segments(headers: usize, mss: usize) -> usize {
    (65_535 - headers) / mss * mss
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At every MTU there may be, both families.
    #[test]
    fn a_large_frame_is_whole_segments_and_an_ip_packet() {
        for mtu in 576..=65_535 {
            for headers in [40, 60] {
                let data = whole_segments(headers, mtu - headers);
                assert_eq!(data % (mtu - headers), 0);
                assert!(data >= mtu - headers && headers + data <= 65_535, "{mtu}");
            }
        }
    }
}
