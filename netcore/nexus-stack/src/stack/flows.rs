//! Driving connections: segments in, segments out, timers, and how each ends.

use nexus_types::{Duration, Instant, SocketAddr, Transport};
use smoltcp::socket::tcp::State;

use super::handshake::syn_options;
use super::lookup::RESOLVER;
use super::{Place, Stack};
use crate::checksum::Sum;
use crate::emit::{Bare, Emit, HOP_LIMIT};
use crate::error::TcpError;
use crate::flow::{Judgement, Owner, Sums};
use crate::frame::{Frame, Pool};
use crate::id::Key;
use crate::key::{FlowKey, Path};
use crate::offload::Offload;
use crate::packet::{self, ACK, FIN, Packet, RST, SYN, Segment, SynOptions};
use crate::recovery;
use crate::time_wait::TimeWait;

impl Stack {
    pub(super) fn handle_tcp(&mut self, now: Instant, path: Path, packet: &Packet<'_>) {
        let bytes = packet.payload();
        let segment = match Segment::parse(bytes) {
            Ok(segment) => segment,
            Err(cause) => return self.count_drop(cause),
        };
        // Nobody makes segments of what opens or resets a connection.
        if packet.segments && segment.flags & (SYN | RST) != 0 {
            return self.count_drop(packet::Drop::Malformed);
        }
        if self.checksums && path == Path::Wire && !packet.checked {
            let sum = Sum::default()
                .pseudo(packet.src, packet.dst, packet::TCP, bytes.len())
                .bytes(bytes);
            if !sum.is_intact() {
                return self.count_drop(packet::Drop::Checksum);
            }
        }
        let local = SocketAddr::new(packet.dst, segment.dst_port);
        let remote = SocketAddr::new(packet.src, segment.src_port);
        let key = FlowKey::new(path, local, remote);
        // Segments come in trains: one that belongs to the flow of the last one needs no hash. A flow
        // that is on the wire has its place.
        if let Some(flow) = self.flows.at(self.recent)
            && flow.key == key
            && !flow.off_wire
        {
            return self.flow_segment(now, self.recent, packet, &segment);
        }
        match self.places.get(&key) {
            Some(Place::Flow(index)) => {
                self.recent = index;
                self.flow_segment(now, index, packet, &segment);
            }
            Some(Place::HalfOpen(index)) => {
                self.half_open_segment(now, index, packet, &segment);
            }
            Some(Place::TimeWait(index)) => {
                self.time_wait_segment(now, index, packet, &segment);
            }
            None if segment.flags & (SYN | ACK | RST) == SYN => {
                self.handle_syn(now, path, local, remote, packet, &segment, None);
            }
            None => self.refuse_segment(now, path, local, remote, &segment),
        }
    }

    /// A segment of a connection.
    pub(super) fn flow_segment(
        &mut self,
        now: Instant,
        index: u32,
        packet: &Packet<'_>,
        segment: &Segment,
    ) {
        let Some(flow) = self.flows.at_mut(index) else {
            debug_assert!(false, "a place that is a flow has one");
            return;
        };
        match flow.judge(segment) {
            Judgement::Take => {}
            Judgement::Ignore => return,
            Judgement::Hear => return flow.hear_at_end(now, segment),
            Judgement::Challenge => return self.challenge(now, index),
        }
        self.stats.segments_in += 1;
        let state = flow.socket.state();
        let unsent = flow.socket.send_queue();
        let path = flow.path;
        let news = flow.recovery.is_news(segment, flow.snd_max);
        // From one left of the window to its right edge.
        let ahead = segment.seq.wrapping_sub(flow.rcv_nxt()).wrapping_add(1);
        let beside = ahead <= flow.receive_room() + 1;
        let believed = beside && flow.is_current(segment);
        let opened = believed && flow.note_room(segment);
        let needless = flow.note_offer(segment);
        // smoltcp reads no IPv6 extension headers: it gets the packet without them.
        let stripped;
        let bytes = if packet.src.is_ipv6() && !packet.is_plain() {
            stripped = without_extensions(packet);
            &stripped
        } else {
            packet.bytes
        };
        let share = flow.share(segment).map(|len| {
            let headers = bytes.len() - segment.data_len;
            let tcp = headers - segment.header_len;
            cut_short(&mut self.pool, &bytes[..headers + len], tcp)
        });
        let bytes = share.as_ref().map_or(bytes, Frame::packet);
        let opens = state == State::SynSent && segment.has(SYN);
        // Of what opens a connection smoltcp gets no more than it reads, and no MSS above ours.
        let opening = opens.then(|| {
            let options = SynOptions::parse(&packet.payload()[20..segment.header_len]);
            let mss = flow.set_mss(self.engine.mtu(path), options.mss);
            flow.offer.set_shift(options.window_scale);
            let (words, len) = syn_options(SynOptions { mss, ..options });
            let syn = Bare {
                seq: segment.seq,
                ack: segment.ack,
                flags: segment.flags & (SYN | ACK),
                window: segment.window,
                hop_limit: HOP_LIMIT,
            };
            spoken(&mut self.pool, flow.remote, flow.local, syn, &words[..len])
        });
        let bytes = opening.as_ref().map_or(bytes, Frame::packet);
        let (engine, pool) = (&mut self.engine, &mut self.pool);
        let delayed = self.config.tcp.ack_delay.filter(|_| packet.segments);
        if delayed.is_some() {
            // Two full segments are not kept waiting (RFC 9293 section 3.8.6.3); smoltcp counts frames.
            flow.delay_acks(Duration::ZERO);
        }
        let mut answer = None;
        if !needless {
            answer = flow
                .socket
                .with_set_mut(|set| engine.ingress(now, path, bytes, set, pool));
        }
        if share.is_some() && flow.ends_here(segment) {
            let (mut end, len) = recovery::bare_ack(packet, flow.rcv_nxt());
            end[len - 20 + 13] |= FIN;
            let newest = flow
                .socket
                .with_set_mut(|set| engine.ingress(now, path, &end[..len], set, pool));
            if let Some(newest) = newest
                && let Some(old) = answer.replace(newest)
            {
                pool.put(old);
            }
        }
        opening
            .into_iter()
            .chain(share)
            .for_each(|made| pool.put(made));
        if let Some(delay) = delayed {
            flow.delay_acks(delay);
        }
        let mss = u32::from(flow.mss.get());
        let payload = packet.payload();
        // What stands elsewhere may be of anybody: nothing it says of us is believed (RFC 5961 section 5).
        let lost = beside
            && ((flow.may_resend(segment.ack)
                && flow.recovery.is_due(segment, payload, flow.snd_max, mss))
                || (opened && flow.socket.send_queue() > 0));
        let untaken = flow.socket.send_queue() == unsent && flow.socket.state() == state;
        if news && (beside || !untaken) {
            flow.recovery.acknowledged(segment);
        }
        let acks = match (lost, news && untaken && beside) {
            (true, _) => recovery::REPEATS,
            (false, more) => usize::from(more),
        };
        if acks > 0 {
            let (mut bare, len) = recovery::bare_ack(packet, flow.rcv_nxt());
            let mut hand = |bare: &[u8]| {
                flow.socket
                    .with_set_mut(|set| engine.ingress(now, path, bare, set, pool));
            };
            if lost && segment.window > 1 {
                // smoltcp acts on the third alone, and may be past it: another window begins anew.
                let field = len - 20 + 14;
                bare[field..field + 2].copy_from_slice(&(segment.window - 1).to_be_bytes());
                hand(&bare[..len]);
                bare[field..field + 2].copy_from_slice(&segment.window.to_be_bytes());
                hand(&bare[..len]);
            }
            for _ in 0..acks {
                hand(&bare[..len]);
            }
        }
        flow.heard_at = now;
        let after = flow.socket.state();
        if opens && after != State::SynSent {
            flow.irs = segment.seq;
            if segment.has(ACK) {
                flow.recovery.acknowledged(segment);
            }
        }
        // What counts is that they take something: an end that answers and takes nothing is as good as
        // gone, unless it says that it has no room, and it is the one who says so.
        let no_room = believed && segment.window == 0;
        let progress = after != state || flow.socket.send_queue() < unsent || no_room;
        flow.waiting_since = match flow.is_unacknowledged() {
            true if progress => Some(now),
            true => flow.waiting_since.or(Some(now)),
            false => None,
        };
        if let Some(frame) = answer {
            self.send_segment(index, frame);
        }
        self.after_segment(index, state, segment.has(RST));
    }

    /// What follows from a segment: states, wakers, deadlines.
    fn after_segment(&mut self, index: u32, before: State, reset: bool) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        let after = flow.socket.state();
        if after == State::Closed || after == State::Listen {
            // Listen: smoltcp sends a passively opened connection back there on a reset.
            if reset && flow.error.is_none() {
                flow.error = Some(match before {
                    State::SynSent => TcpError::Refused,
                    _ => TcpError::Reset,
                });
            }
            return self.end_flow(index);
        }
        if before == State::SynSent && after != State::SynSent && flow.finished {
            flow.socket.close();
        }
        if flow.deaf {
            flow.discard();
        }
        if let Owner::Lingering(_) = flow.owner {
            let unread = flow.socket.recv_queue();
            if unread > 0 {
                if after == State::FinWait2 {
                    // All of ours arrived, and nobody will read what still comes: say so (RFC 1122 section 4.2.2.13).
                    flow.socket.abort();
                } else {
                    flow.discard();
                }
            }
        }
        let readable = flow
            .socket
            .with(|socket| socket.can_recv() || !socket.may_recv());
        // A writer is woken when it is worth its while, or when the state is another one.
        let room = flow
            .socket
            .with(|socket| socket.send_queue() * 3 <= socket.send_capacity() * 2);
        let writable = before != after || room;
        if readable {
            flow.readers.wake();
        }
        if writable {
            flow.writers.wake();
        }
        self.lookups.stirred |= flow.scope == RESOLVER;
        self.mark_dirty(index);
    }

    #[inline]
    pub(super) fn mark_dirty(&mut self, index: u32) {
        if let Some(flow) = self.flows.at_mut(index)
            && !flow.dirty
            && !flow.off_wire
        {
            flow.dirty = true;
            self.dirty.push_back(index);
        }
    }

    /// Lets a dirty flow send one segment. False if it has no more to send.
    pub(super) fn run_flow(&mut self, now: Instant, index: u32) -> bool {
        let offload = self.config.offload;
        let Some(flow) = self.flows.at_mut(index) else {
            return false;
        };
        if flow.off_wire || !flow.dirty {
            return false;
        }
        let path = flow.path;
        let (engine, pool) = (&mut self.engine, &mut self.pool);
        let large = flow.is_large(engine.mtu(path), offload);
        // Behind a full segment there is mostly another. Elsewhere it is cheaper to ask than to try: most turns
        // of a flow, as after an acknowledgement, come to nothing.
        if !self.train {
            let next = flow
                .socket
                .with_set(|set| engine.poll_at(now, path, large, set));
            if next.is_none_or(|at| at > now) {
                flow.dirty = false;
                self.settle_flow(now, index, next);
                return false;
            }
        }
        match flow
            .socket
            .with_set_mut(|set| engine.egress(now, path, large, set, pool))
        {
            Some(frame) => {
                self.train = frame.packet().len() >= self.engine.mtu(path);
                self.send_segment(index, frame);
                true
            }
            None => {
                flow.dirty = false;
                self.train = false;
                let next = flow
                    .socket
                    .with_set(|set| engine.poll_at(now, path, large, set));
                self.settle_flow(now, index, next);
                false
            }
        }
    }

    fn send_segment(&mut self, index: u32, mut frame: Frame) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        let path = flow.path;
        let sums = match path {
            Path::Wire if self.config.offload => Sums::Leave,
            Path::Wire if self.checksums => Sums::Make,
            Path::Wire | Path::Loop(_) => Sums::None,
        };
        let corrected = flow.seal(&mut frame, self.config.tcp.snd_max_correction, sums);
        self.burst += match frame.offload {
            Offload::Segments(size) => frame.packet().len() as u32 / u32::from(size.get()),
            _ => 1,
        };
        self.stats.snd_max_corrected += u64::from(corrected);
        self.send(path, frame);
    }

    /// A flow has nothing to send now: when will it, and is it over?
    fn settle_flow(&mut self, now: Instant, index: u32, next: Option<Instant>) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        match flow.socket.state() {
            State::Closed => return self.end_flow(index),
            // Not before their end is acknowledged: that may wait for company a moment.
            State::TimeWait if flow.told == flow.rcv_nxt() => {
                return self.enter_time_wait(now, index);
            }
            _ => {}
        }
        let mut next = next;
        if let Some(ack) = flow.unprobed(now, next) {
            let closed = Bare {
                seq: flow.rcv_nxt(),
                ack,
                flags: ACK,
                window: 0,
                hop_limit: HOP_LIMIT,
            };
            let path = flow.path;
            let large = flow.is_large(self.engine.mtu(path), self.config.offload);
            let closed = spoken(&mut self.pool, flow.remote, flow.local, closed, &[]);
            let (engine, pool) = (&mut self.engine, &mut self.pool);
            next = flow.socket.with_set_mut(|set| {
                engine.ingress(now, path, closed.packet(), set, pool);
                engine.poll_at(now, path, large, set)
            });
            self.pool.put(closed);
        }
        let limits = &self.config.limits;
        let give_up = flow.give_up_at(limits.connect_timeout, limits.user_timeout);
        // It just had its turn: "now" would be a loop.
        let next = next.map(|at| at.max(now + Duration::from_micros(100)));
        let deadline = [next, give_up].into_iter().flatten().min();
        self.timers.set(index, deadline);
    }

    pub(super) fn handle_flow_timeout(&mut self, now: Instant, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        let limits = &self.config.limits;
        let give_up = flow.give_up_at(limits.connect_timeout, limits.user_timeout);
        if give_up.is_some_and(|at| at <= now) {
            flow.error.get_or_insert(TcpError::TimedOut);
            flow.socket.abort();
        }
        self.mark_dirty(index);
    }

    /// The connection is over on the wire, by agreement or not.
    pub(super) fn end_flow(&mut self, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        flow.off_wire = true;
        flow.waiting_since = None;
        flow.readers.wake();
        flow.writers.wake();
        self.lookups.stirred |= flow.scope == RESOLVER;
        let key = flow.key;
        // One that failed before it was accepted must not take the place of one that did not.
        let failed = match flow.owner {
            Owner::Listener(listener) if flow.error.is_some() => Some(listener),
            _ => None,
        };
        if self.places.get(&key) == Some(Place::Flow(index)) {
            self.places.remove(&key);
        }
        self.timers.remove(index);
        if let (Some(listener), Some(key)) = (failed, self.flows.key_at(index)) {
            self.leave_queue(self.now, listener, key);
        }
        self.free_if_unheld(index);
    }

    /// Both ends are done: what is left fits a small table.
    fn enter_time_wait(&mut self, now: Instant, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        let entry = TimeWait {
            key: flow.key,
            path: flow.path,
            local: flow.local,
            remote: flow.remote,
            snd_nxt: flow.snd_max,
            rcv_nxt: flow.rcv_nxt(),
            window: flow.window,
            until: now + self.config.limits.time_wait_for,
            answered_at: None,
        };
        self.end_flow(index);
        let key = entry.key;
        let (place, evicted) = self.time_wait.insert(entry);
        if let Some(evicted) = evicted {
            self.places.remove(&evicted.key);
        }
        self.places.insert(key, Place::TimeWait(place.index));
        self.stats.time_wait = self.time_wait.len() as u32;
    }

    /// Frees a flow that is off the wire and that no handle and no queue holds.
    pub(super) fn free_if_unheld(&mut self, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        if !flow.off_wire || !matches!(flow.owner, Owner::Lingering(_)) {
            return;
        }
        if let Some(key) = self.flows.key_at(index)
            && let Some(flow) = self.flows.remove(key)
        {
            self.stats.flows = self.flows.len() as u32;
            if flow.bound {
                self.ports.release(Transport::Tcp, flow.local, flow.scope);
            }
            self.end_lingering(flow.scope);
            self.arena.put(flow.socket.into_buffers());
            if self.flows.len() == 0 {
                self.arena.clear();
            }
        }
    }

    /// The handle ends, and so does the connection, with a reset.
    pub(super) fn abort_flow(&mut self, now: Instant, key: Key) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        let (off_wire, state) = (flow.off_wire, flow.socket.state());
        if !off_wire {
            flow.socket.abort();
            flow.dirty = true;
        }
        self.begin_lingering(key, now);
        if off_wire {
            self.free_if_unheld(key.index);
        } else if state == State::SynSent {
            // Nobody to reset: a SYN-ACK that still comes is answered by the closed port.
            self.end_flow(key.index);
        } else {
            // The reset goes now, and the connection with it: what is aborted in a loop does not pile up.
            while self.run_flow(now, key.index) {}
        }
    }

    /// Answers a segment that only the real far end can answer back to (RFC 5961).
    fn challenge(&mut self, now: Instant, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else {
            return;
        };
        if !flow.may_challenge(now) {
            self.stats.replies_suppressed += 1;
            return;
        }
        let (path, local, remote) = (flow.path, flow.local, flow.remote);
        let bare = Bare {
            seq: flow.snd_max,
            ack: flow.rcv_nxt(),
            flags: ACK,
            window: flow.window,
            hop_limit: HOP_LIMIT,
        };
        let frame = self.emit(path).segment(local, remote, bare, &[]);
        self.send(path, frame);
    }

    /// A segment that matches nothing (RFC 9293 section 3.10.7.1).
    pub(super) fn refuse_segment(
        &mut self,
        now: Instant,
        path: Path,
        local: SocketAddr,
        remote: SocketAddr,
        segment: &Segment,
    ) {
        if segment.has(RST) || !self.may_reply(now, path) {
            return;
        }
        self.stats.resets_sent += 1;
        let bare = reset_for(segment);
        let frame = self.emit(path).segment(local, remote, bare, &[]);
        self.send(path, frame);
    }

    fn time_wait_segment(
        &mut self,
        now: Instant,
        index: u32,
        packet: &Packet<'_>,
        segment: &Segment,
    ) {
        let Some(key) = self.time_wait.key_at(index) else {
            return;
        };
        let Some(entry) = self.time_wait.get(key).cloned() else {
            return;
        };
        if segment.has(RST) {
            // RFC 1337: a reset must not end the wait.
            return;
        }
        // Only where it can open one: elsewhere it would end the wait and be refused.
        let anew = segment.flags & (SYN | ACK) == SYN && packet::seq_lt(entry.rcv_nxt, segment.seq);
        if anew && self.takes_syns(entry.path, entry.local) {
            self.time_wait.remove(key);
            self.stats.time_wait = self.time_wait.len() as u32;
            self.places.remove(&entry.key);
            // Beyond all that the old connection sent, so that no late segment of it fits the new one.
            let isn = entry
                .snd_nxt
                .wrapping_add(0x1_0000 + self.random.below(0x1_0000));
            return self.handle_syn(
                now,
                entry.path,
                entry.local,
                entry.remote,
                packet,
                segment,
                Some(isn),
            );
        }
        if segment.has(FIN) && segment.seq.wrapping_add(segment.len()) == entry.rcv_nxt {
            self.time_wait
                .restart(key, now + self.config.limits.time_wait_for);
        } else if segment.len() == 0 && segment.seq == entry.rcv_nxt {
            return;
        }
        if self.time_wait.answer(key, now) {
            let bare = Bare {
                seq: entry.snd_nxt,
                ack: entry.rcv_nxt,
                flags: ACK,
                window: entry.window,
                hop_limit: HOP_LIMIT,
            };
            let frame = self
                .emit(entry.path)
                .segment(entry.local, entry.remote, bare, &[]);
            self.send(entry.path, frame);
        }
    }
}

/// The reset that answers a segment.
pub(super) fn reset_for(segment: &Segment) -> Bare {
    let (seq, ack, flags) = if segment.has(ACK) {
        (segment.ack, 0, RST)
    } else {
        (0, segment.seq.wrapping_add(segment.len()), RST | ACK)
    };
    Bare {
        seq,
        ack,
        flags,
        window: 0,
        hop_limit: HOP_LIMIT,
    }
}

/// A segment that smoltcp is handed in the far end's name.
pub(super) fn spoken(
    pool: &mut Pool,
    remote: SocketAddr,
    local: SocketAddr,
    bare: Bare,
    options: &[u8],
) -> Frame {
    // Nobody looks at its checksums.
    let mut emit = Emit {
        pool,
        checksums: false,
    };
    emit.segment(remote, local, bare, options)
}

/// A segment that ends where these bytes of it do, and is no end; `tcp`: where its header is.
fn cut_short(pool: &mut Pool, packet: &[u8], tcp: usize) -> Frame {
    let mut frame = pool.take(packet.len());
    let bytes = frame.packet_mut();
    bytes.copy_from_slice(packet);
    bytes[tcp + 13] &= !FIN;
    // Nobody looks at its checksums.
    if bytes[0] >> 4 == 4 {
        bytes[2..4].copy_from_slice(&(packet.len() as u16).to_be_bytes());
    } else {
        bytes[4..6].copy_from_slice(&((packet.len() - 40) as u16).to_be_bytes());
    }
    frame
}

/// An IPv6 packet with its payload right behind the fixed header.
fn without_extensions(packet: &Packet<'_>) -> Vec<u8> {
    let payload = packet.payload();
    let mut bytes = Vec::with_capacity(40 + payload.len());
    bytes.extend_from_slice(&packet.bytes[..40]);
    bytes[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    bytes[6] = packet.protocol;
    bytes.extend_from_slice(payload);
    bytes
}
