//! The stack: its tables, the wire side, and what drives them.

mod addressing;
mod control;
mod flows;
pub(crate) mod gateway;
mod handshake;
mod learnt;
mod link;
mod listen;
pub(crate) mod lookup;
mod ndisc;
mod reserve;
mod routers;
mod source;
mod tcp;
mod udp;
pub(crate) mod unheld;

use std::collections::{BTreeMap, VecDeque};

use nexus_types::{Instant, InterfaceAddress, IpAddr, Seed, SocketAddr};

use crate::addressing::AddressEvent;
use crate::addressing::dad::Dad;
use crate::bucket::Bucket;
use crate::buffers::Arena;
use crate::config::{Checksums, Config, ConfigError, Medium};
use crate::cut::Cut;
use crate::emit::Emit;
use crate::engine::Engine;
use crate::flow::Flow;
use crate::flow_map::{FlowMap, siphash};
use crate::fragment::{Reassembler, Reassembly};
use crate::frame::{Frame, Pool};
use crate::half_open::HalfOpens;
use crate::id::{Key, ReservationId, Scope};
use crate::key::{BoundKey, FlowKey, Path};
use crate::neighbors::{Mac, Neighbors};
use crate::offload::Received;
use crate::packet::{self, Packet};
use crate::ports::{Ports, Turns};
use crate::resolver::Resolver;
use crate::rng::Random;
use crate::slab::Slab;
use crate::stats::Stats;
use crate::time_wait::TimeWaits;
use crate::timers::Timers;
use gateway::Gateway;
use learnt::Learnt;
use listen::Listener;
use lookup::Lookups;
use reserve::Reservation;
use udp::UdpSocket;
use unheld::Unheld;

/// One TCP/IP stack. See the crate's documentation.
pub struct Stack {
    config: Config,
    checksums: bool,
    stats: Stats,
    pool: Pool,
    engine: Engine,
    random: Random,
    isn_key: (u64, u64),
    replies: Bucket,
    reassembler: Reassembler,
    neighbors: Neighbors,
    /// Answers to neighbours in use.
    neighbor_replies: Bucket,
    /// Who sent the frame at hand.
    heard_from: Mac,
    dad: Dad,
    /// Frames from addresses that are not sure yet.
    held: Vec<Frame>,
    address_events: VecDeque<AddressEvent>,
    learnt: Learnt,

    /// Who owns a connection's packets.
    places: FlowMap<FlowKey, Place>,
    flows: Slab<Flow>,
    /// The slot of the flow that had the last segment.
    recent: u32,
    arena: Arena,
    timers: Timers,
    /// Flows that may have something to send. A flow is here at most once.
    dirty: VecDeque<u32>,
    /// Segments that the flow whose turn it is has sent in it.
    burst: u32,
    /// The last one was a full one.
    train: bool,
    half_open: HalfOpens,
    half_open_timers: Timers,
    time_wait: TimeWaits,

    /// Who owns packets that belong to no connection.
    bound: FlowMap<BoundKey, Bound>,
    ports: Ports,
    turns: Turns,
    listeners: Slab<Listener>,
    reserved: Slab<Reservation>,
    udp: Slab<UdpSocket>,
    /// What scopes have without handles.
    unheld: BTreeMap<Scope, Unheld>,
    gateway: Gateway,
    resolver: Resolver,
    lookups: Lookups,

    /// Frames for the wire.
    out: VecDeque<Frame>,
    /// The one of them that is being cut into segments.
    cut: Option<Cut>,
    /// Packets within scopes.
    looped: VecDeque<(Scope, Frame)>,
    /// When we were last told the time.
    now: Instant,
}

/// What a four-tuple belongs to; slab indices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Flow(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

/// What an address and port belong to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    Listener(Key),
    Udp(Key),
}

/// Steps of work one `poll_transmit` does before it lets its caller breathe: two ends in one scope
/// could keep each other busy.
const STEPS: u32 = 4_096;

/// Segments a flow sends before it is another one's turn.
const BURST: u32 = 16;

impl Stack {
    /// A stack that has sent nothing yet.
    pub fn new(config: Config, now: Instant, seed: Seed) -> Result<Self, ConfigError> {
        config.check()?;
        let checksums = config.checksums == Checksums::Full;
        let mut random = Random::new(&seed.split("random"));
        let mut word = || u64::from(random.word()) << 32 | u64::from(random.word());
        let isn_key = (word(), word());
        let turns_key = (word(), word());
        let mut stack = Self {
            checksums,
            stats: Stats::default(),
            pool: Pool::new(),
            engine: Engine::new(config.mtu, config.offload),
            isn_key,
            random,
            replies: Bucket::new(config.limits.replies_per_second, now),
            reassembler: Reassembler::new(checksums),
            neighbors: Neighbors::default(),
            neighbor_replies: Bucket::new(config.limits.replies_per_second, now),
            heard_from: [0; 6],
            dad: Dad::new(config.duplicate_detection.unwrap_or_default()),
            held: Vec::new(),
            address_events: VecDeque::new(),
            learnt: Learnt::default(),
            places: FlowMap::new(&seed.split("places")),
            flows: Slab::new(),
            recent: 0,
            arena: Arena::new(),
            timers: Timers::default(),
            dirty: VecDeque::new(),
            burst: 0,
            train: false,
            half_open: HalfOpens::new(if config.any_address {
                config.limits.invitations
            } else {
                config.limits.half_open
            }),
            half_open_timers: Timers::default(),
            time_wait: TimeWaits::new(config.limits.time_wait),
            bound: FlowMap::new(&seed.split("bound")),
            ports: Ports::default(),
            turns: Turns::new(turns_key),
            listeners: Slab::new(),
            reserved: Slab::new(),
            udp: Slab::new(),
            unheld: BTreeMap::new(),
            gateway: Gateway::default(),
            resolver: Resolver::new(config.resolver.clone(), &seed.split("resolver")),
            lookups: Lookups::default(),
            out: VecDeque::new(),
            cut: None,
            looped: VecDeque::new(),
            now,
            config,
        };
        for own in stack.config.addresses.clone() {
            stack.begin_address(now, own.address());
        }
        stack.begin_learning(now, &seed);
        Ok(stack)
    }

    /// Takes one frame from the wire. Never panics, whatever the bytes.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        self.handle_received(now, frame, Received::PLAIN);
    }

    /// Takes one frame from a NIC, with what that knows of it. Never panics, whatever the bytes, and
    /// however the two contradict each other.
    pub fn handle_received(&mut self, now: Instant, frame: &[u8], received: Received) {
        self.now = now;
        self.stats.frames_in += 1;
        self.stats.bytes_in += frame.len() as u64;
        match self.config.medium {
            Medium::Ip => self.handle_packet(now, Path::Wire, frame, received),
            Medium::Ethernet(ours) => self.handle_ethernet(now, ours, frame, received),
        }
    }

    /// The next frame for the wire, if there is one. Give it back with [`Stack::recycle`].
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        self.now = now;
        for _ in 0..STEPS {
            if self.lookups.stirred {
                self.pump_resolver(now);
            }
            if let Some((scope, frame)) = self.looped.pop_front() {
                self.stats.loopback += 1;
                let path = Path::Loop(scope);
                self.handle_packet(now, path, frame.packet(), Received::PLAIN);
                self.sent(&frame);
                self.pool.put(frame);
            } else if let Some(frame) = self.next_for_the_wire() {
                self.stats.frames_out += 1;
                self.stats.bytes_out += frame.len() as u64;
                return Some(frame);
            } else if let Some(&index) = self.dirty.front() {
                // One segment at a time: handed over before the next is made, it is still in the cache, and so
                // is its buffer when it comes back.
                let more = self.run_flow(now, index);
                if !more || self.burst >= BURST {
                    self.burst = 0;
                    self.train = false;
                    self.dirty.pop_front();
                    if more {
                        self.dirty.push_back(index);
                    }
                }
            } else {
                return None;
            }
        }
        None
    }

    /// What is cut into segments is, one at a time, before anything behind it leaves.
    fn next_for_the_wire(&mut self) -> Option<Frame> {
        loop {
            if let Some(cut) = &mut self.cut {
                if let Some(segment) = cut.next(&mut self.pool, self.checksums) {
                    return Some(segment);
                }
                let whole = self.cut.take().map(Cut::into_frame);
                whole.into_iter().for_each(|whole| self.pool.put(whole));
            }
            let frame = self.out.pop_front()?;
            self.sent(&frame);
            if self.config.offload {
                return Some(frame);
            }
            match Cut::begin(frame) {
                Ok(cut) => self.cut = Some(cut),
                Err(frame) => return Some(frame),
            }
        }
    }

    /// Takes a transmitted frame's buffer back.
    pub fn recycle(&mut self, frame: Frame) {
        self.pool.put(frame);
    }

    /// When [`Stack::handle_timeout`] must be called next, if nothing else happens before.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let idle = self.dirty.is_empty() && self.looped.is_empty() && !self.has_frames();
        if !idle || self.lookups.stirred {
            return Some(self.now);
        }
        [
            self.timers.next(),
            self.half_open_timers.next(),
            self.time_wait.next(),
            self.reassembler.poll_timeout(),
            self.resolver.poll_timeout(),
            self.neighbors.next(),
            self.dad.next(),
            self.learnt.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due at `now`. Frames may have to be transmitted afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(index) = self.timers.pop_due(now) {
            self.handle_flow_timeout(now, index);
        }
        while let Some(index) = self.half_open_timers.pop_due(now) {
            self.handle_half_open_timeout(now, index);
        }
        while let Some(entry) = self.time_wait.pop_due(now) {
            self.places.remove(&entry.key);
            self.stats.time_wait = self.time_wait.len() as u32;
        }
        self.reassembler.handle_timeout(now);
        self.handle_neighbor_timeout(now);
        self.handle_address_timeout(now);
        self.handle_learning_timeout(now);
        if self.resolver.poll_timeout().is_some_and(|at| at <= now) {
            self.resolver.handle_timeout(now);
            self.pump_resolver(now);
        }
    }

    /// Our addresses, loopback apart; those that may still turn out to be somebody else's among them.
    pub fn addresses(&self) -> &[InterfaceAddress] {
        &self.config.addresses
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Ends everything of a scope: an instance is gone. Connections nobody accepted are reset; what was
    /// written to the others is delivered in the background, within the scope's limit and the linger time.
    pub fn end_scope(&mut self, now: Instant, scope: Scope) {
        self.now = now;
        self.end_lookups(scope);
        for key in self
            .listeners
            .keys_where(|listener| listener.scope == scope)
        {
            self.close_listener(now, key);
        }
        for key in self.reserved.keys_where(|reserved| reserved.scope == scope) {
            self.tcp_release(ReservationId(key));
        }
        for key in self.udp.keys_where(|socket| socket.scope == scope) {
            self.close_udp(key);
        }
        for key in self.flows.keys_where(|flow| flow.scope == scope) {
            self.leave_flow(now, key);
        }
        self.end_unheld(scope);
    }

    /// Whether frames wait to be transmitted.
    pub fn has_frames(&self) -> bool {
        !self.out.is_empty() || self.cut.is_some()
    }

    /// Connections whose owner has closed them and whose last bytes the far end has not
    /// acknowledged yet. Walks all connections: for the end of a run, not for its course.
    pub fn undelivered(&self) -> usize {
        self.flows.keys_where(Flow::is_undelivered).len()
    }

    /// One IP packet, whichever way it came.
    fn handle_packet(&mut self, now: Instant, path: Path, bytes: &[u8], received: Received) {
        let checksums = self.checksums && path == Path::Wire;
        let mut packet = match Packet::parse(bytes, checksums) {
            Ok(packet) => packet,
            Err(cause) => return self.count_drop(cause),
        };
        packet.checked = received.checked;
        packet.segments = received.segments.is_some();
        // Several segments are of TCP and whole, whatever else is said.
        if packet.segments && (packet.fragment || packet.protocol != packet::TCP) {
            return self.count_drop(packet::Drop::Malformed);
        }
        if path == Path::Wire
            && !self.may_arrive(&packet)
            && !self.is_discovery(&packet)
            && !self.is_dhcp(&packet)
        {
            self.stats.dropped_address += 1;
            return;
        }
        if packet.fragment {
            self.stats.fragments_held += 1;
            // What is whole is no fragment, so this goes no deeper.
            if let Reassembly::Whole(whole) = self.reassembler.handle(now, packet.bytes) {
                match Packet::parse(&whole, checksums) {
                    // Neighbour discovery never needs fragments, its forgers do (RFC 6980).
                    Ok(packet) if ndisc::is_discovery_message(&packet) => {
                        self.stats.dropped_malformed += 1;
                    }
                    Ok(packet) if !packet.fragment => self.handle_whole(now, path, &packet),
                    Ok(_) => self.stats.dropped_malformed += 1,
                    Err(cause) => self.count_drop(cause),
                }
            }
            return;
        }
        self.handle_whole(now, path, &packet);
    }

    fn handle_whole(&mut self, now: Instant, path: Path, packet: &Packet<'_>) {
        match packet.protocol {
            packet::TCP => self.handle_tcp(now, path, packet),
            packet::UDP => self.handle_udp(now, path, packet),
            packet::ICMP if packet.src.is_ipv4() => self.handle_icmp(now, path, packet),
            packet::ICMP6 if packet.src.is_ipv6() => self.handle_icmp(now, path, packet),
            _ => self.stats.dropped_protocol += 1,
        }
    }

    fn count_drop(&mut self, cause: packet::Drop) {
        match cause {
            packet::Drop::Malformed => self.stats.dropped_malformed += 1,
            packet::Drop::Checksum => self.stats.dropped_checksum += 1,
        }
    }

    /// Whether a packet on the wire is for us and from somebody who can be there.
    fn may_arrive(&self, packet: &Packet<'_>) -> bool {
        let (src, dst) = (packet.src, packet.dst);
        if !is_unicast(src) || src.is_loopback() || self.owns(src) || dst.is_loopback() {
            return false;
        }
        if self.is_tentative(dst) {
            return false;
        }
        self.owns(dst) || (self.config.any_address && is_unicast(dst) && !self.is_broadcast(dst))
    }

    fn owns(&self, ip: IpAddr) -> bool {
        self.config.addresses.iter().any(|own| own.address() == ip)
    }

    /// The broadcast address of one of our links, or of all.
    fn is_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else {
            return false;
        };
        ip.is_broadcast()
            || self.config.addresses.iter().any(|own| match own.address() {
                IpAddr::V4(address) if own.prefix() < 31 => {
                    let host_bits = u32::MAX.checked_shr(own.prefix().into()).unwrap_or(0);
                    address.to_bits() | host_bits == ip.to_bits()
                }
                _ => false,
            })
    }

    /// The path to an address, from within a scope.
    fn path_to(&self, scope: Scope, remote: IpAddr) -> Path {
        if remote.is_loopback() || self.owns(remote) {
            Path::Loop(scope)
        } else {
            Path::Wire
        }
    }

    /// A first sequence number as RFC 6528 wants it: a clock, plus a keyed hash of the connection.
    ///
    /// The RFC's clock (4 µs) stays above what a connection before it used up only if that sent less than
    /// 250 kB/s. Ours ticks every 62.5 ns, for 16 MB/s, as the clocks of hosts do today (Linux: 64 ns); above
    /// that the far end's TIME-WAIT is avoided by [`Turns`].
    fn isn(&self, now: Instant, key: &FlowKey) -> u32 {
        use crate::flow_map::MapKey as _;
        let clock = (now.as_micros() as u32).wrapping_mul(16);
        clock.wrapping_add(siphash(self.isn_key.0, self.isn_key.1, &key.words()) as u32)
    }

    fn emit(&mut self, path: Path) -> Emit<'_> {
        Emit {
            checksums: self.checksums && path == Path::Wire,
            pool: &mut self.pool,
        }
    }

    /// Sends a packet on its way.
    fn send(&mut self, path: Path, frame: Frame) {
        let limit = self.config.limits.queue_frames as usize;
        let full = match path {
            Path::Wire => self.out.len() >= limit,
            Path::Loop(_) => self.looped.len() >= limit,
        };
        if full {
            self.stats.dropped_queue += 1;
            self.sent(&frame);
            return self.pool.put(frame);
        }
        match path {
            Path::Wire => match self.config.medium {
                Medium::Ip => self.out.push_back(frame),
                Medium::Ethernet(ours) => self.send_ethernet(self.now, ours, frame),
            },
            Path::Loop(scope) => self.looped.push_back((scope, frame)),
        }
    }

    /// Whether one more answer to what matched nothing may go out.
    fn may_reply(&mut self, now: Instant, path: Path) -> bool {
        // Within a scope an app can only flood itself, and a refusal has to be told.
        let may = path != Path::Wire || self.replies.take(now);
        self.stats.replies_suppressed += u64::from(!may);
        may
    }

    /// A frame left its queue: its owner has room again.
    fn sent(&mut self, frame: &Frame) {
        if let Some(owner) = frame.owner {
            self.udp_sent(owner, frame.packet().len());
        }
    }

    /// Finds who is bound to an address and port, a specific address first.
    fn find_bound(
        &self,
        transport: nexus_types::Transport,
        path: Path,
        local: SocketAddr,
    ) -> Option<Bound> {
        self.bound
            .get(&BoundKey::new(transport, path, local))
            .or_else(|| {
                let any = SocketAddr::new(unspecified(local.ip()), local.port());
                self.bound.get(&BoundKey::new(transport, path, any))
            })
    }
}

/// The unspecified address of the same family.
fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => nexus_types::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => nexus_types::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// An address one host can have. Mapped addresses are none: nothing on a wire carries them (RFC 4942 section 2.2).
fn is_unicast(ip: IpAddr) -> bool {
    !ip.is_unspecified()
        && !ip.is_multicast()
        && match ip {
            IpAddr::V4(v4) => !v4.is_broadcast(),
            IpAddr::V6(v6) => v6.to_ipv4_mapped().is_none(),
        }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether an address is on the link of one of ours.
fn contains(own: &InterfaceAddress, ip: IpAddr) -> bool {
    let prefix = u32::from(own.prefix());
    match (own.address(), ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            differ.leading_zeros() >= prefix
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            differ.leading_zeros() >= prefix
        }
        _ => false,
    }
}
