//! Passive handshakes: from a SYN to a connection in a listener's queue.

use nexus_types::{Duration, Instant, SocketAddr, Transport};
use smoltcp::socket::tcp::State;

use super::flows::spoken;
use super::{Bound, Place, Stack};
use crate::config::TcpOptions;
use crate::emit::{Bare, HOP_LIMIT};
use crate::engine;
use crate::flow::{self, Ends, Flow, Owner, Sums};
use crate::frame::Frame;
use crate::half_open::HalfOpen;
use crate::id::{Key, Scope};
use crate::key::{FlowKey, Path};
use crate::packet::{ACK, FIN, Packet, RST, SYN, Segment, SynOptions};

/// How often a SYN-ACK goes out: after 1, 2, 4 and 8 seconds again, forgotten after 31.
const ANSWERS_MAX: u8 = 5;

impl Stack {
    /// Whether a SYN to there can open a connection.
    pub(super) fn takes_syns(&self, path: Path, local: SocketAddr) -> bool {
        let bound = self.find_bound(Transport::Tcp, path, local);
        matches!(bound, Some(Bound::Listener(_))) || (self.config.any_address && path == Path::Wire)
    }

    /// A SYN that belongs to no connection. `isn` is ours if it must be a certain one.
    #[allow(
        clippy::too_many_arguments,
        reason = "what a SYN is made of; a struct would be made here and taken apart there"
    )]
    pub(super) fn handle_syn(
        &mut self,
        now: Instant,
        path: Path,
        local: SocketAddr,
        remote: SocketAddr,
        packet: &Packet<'_>,
        segment: &Segment,
        isn: Option<u32>,
    ) {
        let listener = match self.find_bound(Transport::Tcp, path, local) {
            Some(Bound::Listener(key)) => Some(key),
            _ if self.config.any_address && path == Path::Wire => None,
            _ => return self.refuse_segment(now, path, local, remote, segment),
        };
        if segment.has(FIN) {
            self.stats.dropped_malformed += 1;
            return;
        }
        let full = match listener.and_then(|key| self.listeners.get(key)) {
            Some(listener) => listener.is_full() || !self.may_wait(listener.scope),
            None => self.half_open.is_full(),
        };
        if full {
            self.stats.dropped_backlog += 1;
            return;
        }
        if self.half_open.is_full()
            && let Some(oldest) = self.half_open.oldest()
        {
            self.stats.half_open_evicted += 1;
            self.forget_half_open(oldest);
        }
        let key = FlowKey::new(path, local, remote);
        let isn = isn.unwrap_or_else(|| self.isn(now, &key));
        let options = SynOptions::parse(&packet.payload()[20..segment.header_len]);
        let entry = HalfOpen {
            key,
            path,
            local,
            remote,
            listener,
            irs: segment.seq,
            isn,
            window: segment.window,
            options,
            answered_at: now,
            answers: 0,
        };
        let place = self.half_open.insert(entry);
        self.stats.half_open = self.half_open.len() as u32;
        self.places.insert(key, Place::HalfOpen(place.index));
        if listener.is_some() {
            self.answer_half_open(now, place);
        } else {
            self.half_open_timers
                .set(place.index, Some(now + self.config.limits.connect_timeout));
            self.invite(place);
        }
    }

    /// A segment for a connection that is half open.
    pub(super) fn half_open_segment(
        &mut self,
        now: Instant,
        index: u32,
        packet: &Packet<'_>,
        segment: &Segment,
    ) {
        let Some(key) = self.half_open.key_at(index) else {
            debug_assert!(false, "a place that is half open has an entry");
            return;
        };
        let Some(entry) = self.half_open.get_mut(key) else {
            return;
        };
        let next = entry.irs.wrapping_add(1);
        if segment.has(RST) {
            // Exactly there, or it is not from who sent the SYN (RFC 5961 section 3).
            if segment.seq == next {
                self.forget_half_open(key);
            }
            return;
        }
        if segment.has(SYN) {
            if segment.has(ACK) {
                return;
            }
            if segment.seq == entry.irs {
                // Ours was lost, or theirs came twice. The timer decides how often we answer beyond this.
                if entry.listener.is_some() && now - entry.answered_at >= Duration::from_millis(500)
                {
                    self.answer_half_open(now, key);
                }
                return;
            }
            // The far end began anew (RFC 9293 section 3.10.7.4: back to LISTEN).
            let (path, local, remote) = (entry.path, entry.local, entry.remote);
            self.forget_half_open(key);
            return self.handle_syn(now, path, local, remote, packet, segment, None);
        }
        let Some(listener) = entry.listener else {
            return;
        };
        if !segment.has(ACK) {
            return;
        }
        if segment.ack != entry.isn.wrapping_add(1) {
            let (path, local, remote) = (entry.path, entry.local, entry.remote);
            return self.refuse_segment(now, path, local, remote, segment);
        }
        let Some(listening) = self.listeners.get(listener) else {
            return;
        };
        let (room, _) = flow::buffer_bytes(&self.config.tcp, &listening.options);
        if segment.seq.wrapping_sub(next) >= room as u32 {
            return;
        }
        if listening.is_full()
            || !self.may_wait(listening.scope)
            || self.flows.len() >= self.config.limits.flows as usize
        {
            // It stays half open: our next SYN-ACK gets this answer again.
            self.stats.dropped_backlog += 1;
            return;
        }
        let (scope, options) = (listening.scope, listening.options.clone());
        let Some((index, answer)) =
            self.promote(now, key, scope, &options, Owner::Listener(listener))
        else {
            return;
        };
        self.begin_waiting(scope);
        self.pool.put(answer);
        self.flow_segment(now, index, packet, segment);
        let (Some(key), Some(flow)) = (self.flows.key_at(index), self.flows.at_mut(index)) else {
            return;
        };
        if !flow.off_wire && flow.socket.state() == State::SynReceived {
            debug_assert!(
                false,
                "an acknowledgement that was checked completes the handshake"
            );
            return self.abort_flow(now, key);
        }
        if let Some(listening) = self.listeners.get_mut(listener) {
            listening.queue.push_back(key);
            listening.wakers.wake();
        }
    }

    /// Makes a connection of a half-open one, up to where our SYN-ACK goes out. That SYN-ACK comes
    /// back: it is to be sent if it was not before.
    pub(super) fn promote(
        &mut self,
        now: Instant,
        key: Key,
        scope: Scope,
        options: &TcpOptions,
        owner: Owner,
    ) -> Option<(u32, Frame)> {
        let entry = self.forget_half_open(key)?;
        let (path, local, remote) = (entry.path, entry.local, entry.remote);
        let mut flow = Flow::new(
            now,
            Ends {
                path,
                scope,
                local,
                remote,
            },
            &self.config.tcp,
            options,
            &mut self.arena,
        );
        flow.owner = owner;
        flow.irs = entry.irs;
        let mss = flow.set_mss(self.engine.mtu(path), entry.options.mss);
        flow.offer.set_shift(entry.options.window_scale);
        let listening = (smoltcp::wire::IpAddress::from(local.ip()), local.port());
        flow.socket
            .with_mut(|socket| socket.listen(listening))
            .ok()?;
        let mut interface = self.engine.with_isn(path, entry.isn);
        let syn = Bare {
            seq: entry.irs,
            ack: 0,
            flags: SYN,
            window: entry.window,
            hop_limit: HOP_LIMIT,
        };
        let (words, len) = syn_options(SynOptions {
            mss,
            ..entry.options
        });
        let syn = spoken(&mut self.pool, remote, local, syn, &words[..len]);
        // Sent once, the answer's round trip is a measurement; sent more often, nobody knows of which (RFC 6298
        // section 3).
        let at = match entry.answers {
            1 => entry.answered_at,
            _ => now,
        };
        let mtu = self.engine.mtu(path);
        let pool = &mut self.pool;
        let answer = flow.socket.with_set_mut(|set| {
            engine::ingress_on(&mut interface, at, mtu, syn.packet(), set, pool);
            engine::egress_on(&mut interface, at, mtu, set, pool)
        });
        self.pool.put(syn);
        let mut answer = answer?;
        if flow::seq_of(&answer, local.is_ipv4()) != entry.isn {
            debug_assert!(false, "smoltcp takes the sequence number we chose");
            return None;
        }
        let sums = match path {
            Path::Wire if self.checksums => Sums::Make,
            _ => Sums::None,
        };
        flow.seal(&mut answer, true, sums);
        flow.waiting_since = Some(now);
        let place = flow.key;
        let flow = self.flows.insert(flow);
        self.stats.flows = self.flows.len() as u32;
        self.places.insert(place, Place::Flow(flow.index));
        self.mark_dirty(flow.index);
        Some((flow.index, answer))
    }

    /// Sends our SYN-ACK, and sets the time for the next one.
    fn answer_half_open(&mut self, now: Instant, key: Key) {
        let Some(entry) = self.half_open.get_mut(key) else {
            return;
        };
        let Some(listener) = entry.listener.and_then(|key| self.listeners.get(key)) else {
            return;
        };
        if entry.answers == 0 {
            entry.answered_at = now;
        }
        entry.answers = entry.answers.saturating_add(1);
        let (rx, _) = flow::buffer_bytes(&self.config.tcp, &listener.options);
        let (path, local, remote) = (entry.path, entry.local, entry.remote);
        let header_len = if local.is_ipv4() { 20 } else { 40 };
        let offer = SynOptions {
            mss: Some((self.engine.mtu(path) - header_len - 20) as u16),
            window_scale: entry.options.window_scale.map(|_| window_shift(rx)),
            sack: entry.options.sack,
        };
        let (words, len) = syn_options(offer);
        let bare = Bare {
            seq: entry.isn,
            ack: entry.irs.wrapping_add(1),
            flags: SYN | ACK,
            window: rx.min(65_535) as u16,
            hop_limit: listener
                .options
                .hop_limit
                .map_or(HOP_LIMIT, |hops| hops.get()),
        };
        let wait = Duration::from_secs(1 << entry.answers.saturating_sub(1).min(5));
        self.half_open_timers.set(key.index, Some(now + wait));
        let frame = self.emit(path).segment(local, remote, bare, &words[..len]);
        self.send(path, frame);
    }

    pub(super) fn handle_half_open_timeout(&mut self, now: Instant, index: u32) {
        let Some(key) = self.half_open.key_at(index) else {
            return;
        };
        match self.half_open.get(key) {
            Some(entry) if entry.listener.is_some() && entry.answers < ANSWERS_MAX => {
                self.answer_half_open(now, key);
            }
            _ => {
                self.forget_half_open(key);
            }
        }
    }

    pub(super) fn forget_half_open(&mut self, key: Key) -> Option<HalfOpen> {
        let entry = self.half_open.remove(key)?;
        self.stats.half_open = self.half_open.len() as u32;
        self.half_open_timers.remove(key.index);
        self.places.remove(&entry.key);
        Some(entry)
    }
}

/// The window scale smoltcp uses for a receive buffer of this size.
fn window_shift(rx: usize) -> u8 {
    (usize::BITS - rx.leading_zeros()).saturating_sub(16) as u8
}

/// A SYN's options as they stand in a segment, in whole words.
pub(super) fn syn_options(options: SynOptions) -> ([u8; 12], usize) {
    let mut words = [0; 12];
    let mut len = 0;
    let mut put = |word: [u8; 4]| {
        words[len..len + 4].copy_from_slice(&word);
        len += 4;
    };
    if let Some(mss) = options.mss {
        let [high, low] = mss.to_be_bytes();
        put([2, 4, high, low]);
    }
    if let Some(scale) = options.window_scale {
        put([1, 3, 3, scale]);
    }
    if options.sack {
        put([1, 1, 4, 2]);
    }
    (words, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read_back_as_they_were_written() {
        for mss in [None, Some(536), Some(65_495)] {
            for window_scale in [None, Some(0), Some(14)] {
                for sack in [false, true] {
                    let options = SynOptions {
                        mss,
                        window_scale,
                        sack,
                    };
                    let (words, len) = syn_options(options);
                    assert_eq!(SynOptions::parse(&words[..len]), options);
                }
            }
        }
    }
}
