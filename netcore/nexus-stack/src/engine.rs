//! smoltcp, driven one packet and one socket set at a time.
//!
//! Two interfaces (the wire's and the loopback's MTU differ) without addresses of their own:
//! which packet reaches which socket set is decided before it comes here.

use core::num::NonZeroUsize;

use nexus_types::Instant;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::SegmentationCapabilities;
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::wire::HardwareAddress;

use crate::cut::SEGMENTS;
use crate::frame::{Frame, Pool};
use crate::key::Path;
use crate::offload::whole_segments;
use crate::rng;

/// The MTU of the loopback. Not 65535: with 64 KiB buffers a single segment would fill the window,
/// and sender and receiver would take turns.
pub(crate) const LOOPBACK_MTU: usize = 16_384;

/// The largest IP packet: what a frame may be whose segments the NIC makes.
const LARGE: usize = 65_535;

pub(crate) struct Engine {
    wire: Interface,
    looped: Interface,
    /// As `wire`, for established connections, where segments are made behind it: by the NIC, or when they leave
    /// ([`cut`](crate::cut)).
    ///
    /// smoltcp believes that its MTU is 65535, so no SYN may come from here: its MSS would be of that.
    /// With the wire's MTU it would drop what is larger in IPv6 (0.14 looks at what is left to the NIC
    /// in IPv4 alone), and the MSS of the far end decides on what segments have anyway.
    large: Option<Interface>,
    mtu: usize,
}

impl Engine {
    pub(crate) fn new(mtu: usize, offload: bool) -> Self {
        Self {
            wire: interface(&Shape::plain(mtu), 0),
            looped: interface(&Shape::plain(LOOPBACK_MTU), 0),
            // Two segments to a frame at least, or there is nothing to cut.
            large: (offload || mtu <= LARGE / 2).then(|| {
                interface(
                    &Shape::large(mtu, if offload { LARGE } else { SEGMENTS }),
                    0,
                )
            }),
            mtu,
        }
    }

    pub(crate) fn mtu(&self, path: Path) -> usize {
        match path {
            Path::Wire => self.mtu,
            Path::Loop(_) => LOOPBACK_MTU,
        }
    }

    /// An interface whose next initial sequence number is `isn`.
    pub(crate) fn with_isn(&self, path: Path, isn: u32) -> Interface {
        interface(&Shape::plain(self.mtu(path)), rng::interface_seed(isn))
    }

    /// Hands a packet to the sockets of a set. An answer that smoltcp gives at once comes back.
    pub(crate) fn ingress(
        &mut self,
        now: Instant,
        path: Path,
        packet: &[u8],
        set: &mut SocketSet<'_>,
        pool: &mut Pool,
    ) -> Option<Frame> {
        let mtu = self.mtu(path);
        ingress_on(self.interface(path), now, mtu, packet, set, pool)
    }

    /// The next segment that a set's socket has to send; `large`: several in one, where that is of use.
    /// Not of a socket that may send a SYN.
    pub(crate) fn egress(
        &mut self,
        now: Instant,
        path: Path,
        large: bool,
        set: &mut SocketSet<'_>,
        pool: &mut Pool,
    ) -> Option<Frame> {
        let mtu = self.mtu(path);
        egress_on(self.sender(path, large), now, mtu, set, pool)
    }

    /// When a set's socket wants to be polled again; the past for "now". `large` as in
    /// [`Engine::egress`]: the two differ in what a full segment is, and so in what waits for one.
    pub(crate) fn poll_at(
        &mut self,
        now: Instant,
        path: Path,
        large: bool,
        set: &SocketSet<'_>,
    ) -> Option<Instant> {
        self.sender(path, large)
            .poll_at(time(now), set)
            .map(|at| Instant::from_micros(at.total_micros().try_into().unwrap_or(0)))
    }

    fn sender(&mut self, path: Path, large: bool) -> &mut Interface {
        match (path, &mut self.large) {
            (Path::Wire, Some(interface)) if large => interface,
            (Path::Wire, _) => &mut self.wire,
            (Path::Loop(_), _) => &mut self.looped,
        }
    }

    fn interface(&mut self, path: Path) -> &mut Interface {
        match path {
            Path::Wire => &mut self.wire,
            Path::Loop(_) => &mut self.looped,
        }
    }
}

/// As [`Engine::ingress`], on an interface of one's own.
pub(crate) fn ingress_on(
    interface: &mut Interface,
    now: Instant,
    mtu: usize,
    packet: &[u8],
    set: &mut SocketSet<'_>,
    pool: &mut Pool,
) -> Option<Frame> {
    let mut sent = None;
    let mut tap = Tap {
        received: Some(packet),
        sent: &mut sent,
        pool,
        shape: Shape::plain(mtu),
    };
    interface.poll_ingress_single(time(now), &mut tap, set);
    sent
}

/// As [`Engine::egress`], on an interface of one's own. What that may send it knows since it was made.
pub(crate) fn egress_on(
    interface: &mut Interface,
    now: Instant,
    mtu: usize,
    set: &mut SocketSet<'_>,
    pool: &mut Pool,
) -> Option<Frame> {
    let mut sent = None;
    let mut tap = Tap {
        received: None,
        sent: &mut sent,
        pool,
        shape: Shape::plain(mtu),
    };
    interface.poll_egress(time(now), &mut tap, set);
    sent
}

/// smoltcp counts microseconds in an i64; ours saturate long before.
pub(crate) fn time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((now.as_micros() & (i64::MAX as u64)) as i64)
}

pub(crate) fn duration(duration: core::time::Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(duration.as_micros().try_into().unwrap_or(u64::MAX >> 1))
}

fn interface(shape: &Shape, random_seed: u64) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = random_seed;
    let mut tap = Tap {
        received: None,
        sent: &mut None,
        pool: &mut Pool::new(),
        shape: *shape,
    };
    let mut interface = Interface::new(config, &mut tap, smoltcp::time::Instant::ZERO);
    interface.set_any_ip(true);
    interface
}

/// How large what a device takes may be.
#[derive(Clone, Copy)]
struct Shape {
    mtu: usize,
    /// The largest packets that segments are made of, IPv4 and IPv6.
    large: Option<(NonZeroUsize, NonZeroUsize)>,
}

impl Shape {
    const fn plain(mtu: usize) -> Self {
        Self { mtu, large: None }
    }

    /// Where a packet becomes segments that fit `mtu`, at most `segments` of them.
    fn large(mtu: usize, segments: usize) -> Self {
        let most = |headers| {
            let mss = mtu - headers;
            let data = whole_segments(headers, mss).min(mss.saturating_mul(segments));
            NonZeroUsize::new(headers + data)
        };
        Self {
            mtu: LARGE,
            large: most(40).zip(most(60)),
        }
    }
}

/// A device with at most one packet in and one out.
struct Tap<'a> {
    received: Option<&'a [u8]>,
    sent: &'a mut Option<Frame>,
    pool: &'a mut Pool,
    shape: Shape,
}

impl Device for Tap<'_> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Room<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received<'_>, Room<'_>)> {
        let packet = self.received.take()?;
        Some((
            Received(packet),
            Room {
                sent: self.sent,
                pool: self.pool,
            },
        ))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Room<'_>> {
        self.sent.is_none().then_some(Room {
            sent: self.sent,
            pool: self.pool,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.shape.mtu;
        let mut segmentation = SegmentationCapabilities::default();
        segmentation.tcpv4 = self.shape.large.map(|(v4, _)| v4);
        segmentation.tcpv6 = self.shape.large.map(|(_, v6)| v6);
        capabilities.segmentation = segmentation;
        // Checked before a packet comes here, made after it left.
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Room<'a> {
    sent: &'a mut Option<Frame>,
    pool: &'a mut Pool,
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.pool.take(len);
        let result = f(frame.packet_mut());
        *self.sent = Some(frame);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::socket::tcp;

    /// smoltcp chooses the sequence number we chose: the whole of `rng::interface_seed` rests on it.
    #[test]
    fn a_syn_carries_the_sequence_number_we_chose() {
        let engine = Engine::new(1_500, false);
        for isn in [0, 1, 0x1234_5678, 0x8000_0000, u32::MAX, 0xdead_beef] {
            let mut interface = engine.with_isn(Path::Wire, isn);
            let mut set = SocketSet::new(Vec::new());
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(vec![0; 4_096]),
                tcp::SocketBuffer::new(vec![0; 4_096]),
            );
            let remote = (smoltcp::wire::IpAddress::v4(192, 0, 2, 1), 80);
            let local = (smoltcp::wire::IpAddress::v4(192, 0, 2, 2), 50_000);
            socket
                .connect(interface.context(), remote, local)
                .expect("a fresh socket connects");
            set.add(socket);
            let mut pool = Pool::new();
            let frame = egress_on(&mut interface, Instant::ZERO, 1_500, &mut set, &mut pool);
            let frame = frame.expect("a SYN");
            assert_eq!(crate::packet::u32_at(frame.packet(), 24), isn);
        }
    }
}
