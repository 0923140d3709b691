//! One TCP connection: a socket set of its own, and what smoltcp does not keep.

use core::num::NonZeroU16;

use nexus_types::{Duration, Instant, SocketAddr};
use smoltcp::socket::tcp::{self, State};

use crate::buffers::Arena;
use crate::checksum::Sum;
use crate::config::{Congestion, KeepAlive, TcpConfig, TcpOptions};
use crate::engine;
use crate::error::TcpError;
use crate::frame::Frame;
use crate::id::{Key, Scope};
use crate::key::{FlowKey, Path};
use crate::offer::{self, Offer};
use crate::offload::Offload;
use crate::packet::{self, ACK, FIN, RST, SYN, Segment, seq_lt, u32_at};
use crate::recovery::Recovery;
use crate::socket::Socket;
use crate::wakers::Wakers;

/// What segments may carry to an end that says nothing (RFC 9293 section 3.7.1), and the least smoltcp
/// goes down to.
const MSS_DEFAULT: NonZeroU16 = NonZeroU16::new(536).unwrap();
const MSS_LEAST: NonZeroU16 = NonZeroU16::new(48).unwrap();

const CHALLENGE_EVERY: Duration = Duration::from_millis(500);

/// Who holds a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// An app, by its handle.
    App,
    /// A listener's queue.
    Listener(Key),
    /// Nobody: it delivers what was queued, until then at most.
    Lingering(Instant),
}

/// Between whom a connection is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) path: Path,
    pub(crate) scope: Scope,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) path: Path,
    pub(crate) scope: Scope,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) socket: Socket,
    pub(crate) owner: Owner,
    /// In the dirty list.
    pub(crate) dirty: bool,
    /// No packet comes or goes any more; what was received can still be read.
    pub(crate) off_wire: bool,
    /// Its local port was asked for, and is bound.
    pub(crate) bound: bool,
    /// The app has finished writing.
    pub(crate) finished: bool,
    /// The app reads no more: what comes is acknowledged and dropped.
    pub(crate) deaf: bool,
    /// What ended it, if not the two ends in agreement.
    pub(crate) error: Option<TcpError>,
    /// Their first sequence number.
    pub(crate) irs: u32,
    /// The most data of one of our segments on a wire.
    pub(crate) mss: NonZeroU16,
    /// Bytes read so far, on the circle.
    read: u32,
    /// SND.MAX: the end of what was ever sent. smoltcp goes back behind it after a timeout.
    pub(crate) snd_max: u32,
    /// What of ours was found lost.
    pub(crate) recovery: Recovery,
    /// How much of ours they take.
    pub(crate) offer: Offer,
    /// What we last acknowledged.
    pub(crate) told: u32,
    /// The window we last told, as it stood in the segment.
    pub(crate) window: u16,
    /// The window smoltcp told last may be that of a SYN: see [`Flow::share`].
    syn_window: bool,
    /// The far end's newest word is that it has no room: what it acknowledged with it.
    no_room: Option<u32>,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) heard_at: Instant,
    /// When we last sent a challenge.
    challenged_at: Option<Instant>,
    /// Since when something of ours is unacknowledged without a word from the far end.
    pub(crate) waiting_since: Option<Instant>,
    pub(crate) readers: Wakers,
    pub(crate) writers: Wakers,
}

impl Flow {
    /// A connection with buffers and a closed socket.
    pub(crate) fn new(
        now: Instant,
        ends: Ends,
        config: &TcpConfig,
        options: &TcpOptions,
        arena: &mut Arena,
    ) -> Self {
        let Ends {
            path,
            scope,
            local,
            remote,
        } = ends;
        let (rx, tx) = buffer_bytes(config, options);
        let mut socket = Socket::new(arena.take(rx, tx), rx, tx);
        // On the loopback nothing is lost and nobody waits for company.
        let looped = matches!(path, Path::Loop(_));
        let congestion = options.congestion.unwrap_or(config.congestion);
        let congestion = match congestion {
            _ if looped => tcp::CongestionControl::None,
            Congestion::None => tcp::CongestionControl::None,
            Congestion::Reno => tcp::CongestionControl::Reno,
            Congestion::Cubic => tcp::CongestionControl::Cubic,
        };
        let ack_delay = config.ack_delay.filter(|_| !looped);
        socket.with_mut(|socket| {
            socket.set_congestion_control(congestion);
            socket.set_ack_delay(ack_delay.map(engine::duration));
            socket.set_nagle_enabled(options.nagle.unwrap_or(config.nagle));
            socket.set_hop_limit(options.hop_limit.map(core::num::NonZeroU8::get));
        });
        let mut flow = Self {
            key: FlowKey::new(path, local, remote),
            path,
            scope,
            local,
            remote,
            socket,
            owner: Owner::App,
            dirty: false,
            off_wire: false,
            bound: false,
            finished: false,
            deaf: false,
            error: None,
            irs: 0,
            mss: MSS_DEFAULT,
            read: 0,
            snd_max: 0,
            recovery: Recovery::default(),
            offer: Offer::default(),
            told: 0,
            window: 0,
            syn_window: true,
            no_room: None,
            keep_alive: None,
            heard_at: now,
            challenged_at: None,
            waiting_since: None,
            readers: Wakers::default(),
            writers: Wakers::default(),
        };
        flow.set_keep_alive(options.keep_alive);
        flow
    }

    /// Nobody holds it, and bytes or the end of ours are not acknowledged yet.
    pub(crate) fn is_undelivered(&self) -> bool {
        matches!(self.owner, Owner::Lingering(_))
            && !self.off_wire
            && (self.socket.send_queue() > 0
                || matches!(
                    self.socket.state(),
                    State::FinWait1 | State::Closing | State::LastAck
                ))
    }

    pub(crate) fn set_keep_alive(&mut self, keep_alive: Option<KeepAlive>) {
        self.keep_alive = keep_alive.map(KeepAlive::bounded);
        let interval = self.keep_alive.map(|probed| engine::duration(probed.every));
        self.socket
            .with_mut(|socket| socket.set_keep_alive(interval));
    }

    /// How long an acknowledgement may wait for company.
    pub(crate) fn delay_acks(&mut self, delay: Duration) {
        let delay = Some(engine::duration(delay));
        self.socket.with_mut(|socket| socket.set_ack_delay(delay));
    }

    /// Notes what the far end's SYN says of how long our segments may be, and returns what smoltcp is to be told of
    /// it: it counts its congestion window in segments of what it is told, whatever fits our MTU.
    pub(crate) fn set_mss(&mut self, mtu: usize, theirs: Option<u16>) -> Option<u16> {
        let told = theirs;
        let headers = if self.local.is_ipv4() { 40 } else { 60 };
        // As smoltcp reads it: 0 is none, and less than MSS_LEAST is that.
        let theirs = theirs.and_then(NonZeroU16::new).unwrap_or(MSS_DEFAULT);
        let ours = u16::try_from(mtu - headers).ok().and_then(NonZeroU16::new);
        let ours = ours.unwrap_or(NonZeroU16::MAX);
        self.mss = theirs.max(MSS_LEAST).min(ours);
        told.map(|mss| mss.min(ours.get()))
    }

    /// Whether it sends no SYN any more.
    pub(crate) fn is_established(&self) -> bool {
        !matches!(
            self.socket.state(),
            State::Closed | State::Listen | State::SynSent | State::SynReceived
        )
    }

    /// Whether several of its segments may be made as one frame: not where the far end wants far shorter ones than the
    /// link carries, for a frame would be a great many of them, and all leave before another flow has its turn.
    pub(crate) fn is_large(&self, mtu: usize, offload: bool) -> bool {
        let headers = if self.local.is_ipv4() { 40 } else { 60 };
        self.is_established() && (offload || 2 * usize::from(self.mss.get()) >= mtu - headers)
    }

    /// Takes what was received and drops it.
    pub(crate) fn discard(&mut self) {
        let all = |socket: &mut tcp::Socket<'_>| socket.recv(|bytes| (bytes.len(), bytes.len()));
        while let Ok(taken @ 1..) = self.socket.with_mut(all) {
            self.count_read(taken);
        }
    }

    /// Counts what was read, for RCV.NXT.
    pub(crate) fn count_read(&mut self, bytes: usize) {
        self.read = self.read.wrapping_add(bytes as u32);
    }

    /// RCV.NXT. smoltcp keeps it to itself; it is all that came, in order.
    pub(crate) fn rcv_nxt(&self) -> u32 {
        let socket = &self.socket;
        let fin = matches!(
            socket.state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
        self.irs
            .wrapping_add(1)
            .wrapping_add(self.read)
            .wrapping_add(socket.recv_queue() as u32)
            .wrapping_add(u32::from(fin))
    }

    /// How far right of RCV.NXT a segment may lie.
    pub(crate) fn receive_room(&self) -> u32 {
        self.socket
            .with(|socket| (socket.recv_capacity() - socket.recv_queue()) as u32)
    }

    /// How much of a segment's data smoltcp may have, without its end; none: all of the segment as it is.
    ///
    /// The window of a SYN is not scaled (RFC 7323 section 2.2). smoltcp scales it all the same, and until it has told
    /// another one takes bytes that lie beyond its buffer. It would keep none of these, count them as kept, and
    /// panic when what is missing before them comes.
    ///
    /// Where data reaches beyond the window smoltcp cuts it there, as it may, and takes the end behind it all the
    /// same, as if all had come. RFC 9293 section 3.10.7.4 cuts off the FIN with it. Where its window ends smoltcp
    /// does not say: it takes no note of that on a probe or a keep-alive. So data comes first, and
    /// the end when it [follows](Self::ends_here).
    pub(crate) fn share(&self, segment: &Segment) -> Option<usize> {
        let ends = segment.has(FIN);
        if !(self.syn_window || ends) || segment.data_len == 0 {
            return None;
        }
        let mut beyond = 0;
        if self.syn_window {
            let ahead = segment.data_end().wrapping_sub(self.rcv_nxt()) as i32;
            beyond = usize::try_from(ahead).unwrap_or(0);
            beyond = beyond.saturating_sub(self.receive_room() as usize);
        }
        (ends || beyond > 0).then(|| segment.data_len.saturating_sub(beyond))
    }

    /// Whether a segment's end is what comes next: all before it was taken. It may be just beyond the window, which
    /// loses nobody a byte; a full buffer would else keep it off until the app has read.
    pub(crate) fn ends_here(&self, segment: &Segment) -> bool {
        segment.has(FIN) && self.is_established() && segment.data_end() == self.rcv_nxt()
    }

    /// Something of ours is on the way, or waits to be.
    pub(crate) fn is_unacknowledged(&self) -> bool {
        let socket = &self.socket;
        match socket.state() {
            State::SynSent
            | State::SynReceived
            | State::FinWait1
            | State::Closing
            | State::LastAck => true,
            State::Established | State::CloseWait => socket.send_queue() > 0,
            _ => false,
        }
    }

    /// All that was written is acknowledged, and the end if it was finished.
    pub(crate) fn is_flushed(&self) -> bool {
        let socket = &self.socket;
        let end = !self.finished
            || matches!(
                socket.state(),
                State::FinWait2 | State::TimeWait | State::Closed
            );
        socket.send_queue() == 0 && end
    }

    /// Notes what a segment that goes out says, puts SND.MAX into it if it is empty, and seals it.
    /// True if it was corrected.
    pub(crate) fn seal(&mut self, frame: &mut Frame, correction: bool, sums: Sums) -> bool {
        let bytes = frame.packet_mut();
        let header_len = if self.local.is_ipv4() { 20 } else { 40 };
        let Ok(segment) = Segment::parse(&bytes[header_len..]) else {
            debug_assert!(false, "smoltcp writes well-formed segments");
            return false;
        };
        let mut corrected = false;
        let end = segment.seq.wrapping_add(segment.len());
        if segment.has(SYN) {
            self.snd_max = end;
        } else if segment.len() == 0 {
            // An empty segment tells where we are: at SND.MAX, wherever a retransmission stands (RFC 9293
            // section 3.4). A reset has to hit the far end's RCV.NXT exactly (RFC 5961 section 3).
            if correction && seq_lt(segment.seq, self.snd_max) {
                bytes[header_len + 4..header_len + 8].copy_from_slice(&self.snd_max.to_be_bytes());
                corrected = true;
            }
        } else if seq_lt(self.snd_max, end) && !self.is_probe(&segment) {
            self.snd_max = end;
        }
        if !segment.has(RST) {
            self.window = segment.window;
            self.told = segment.ack;
            // Of what it says on a probe or a keep-alive smoltcp takes no note.
            self.syn_window = segment.has(SYN) || (self.syn_window && segment.data_len == 1);
        }
        // Options are at the cost of data (RFC 6691 section 2).
        let options = (segment.header_len - 20) as u16;
        let size = NonZeroU16::new(self.mss.get().saturating_sub(options)).unwrap_or(MSS_LEAST);
        match sums {
            // Whoever makes segments of it makes their checksums.
            _ if segment.data_len > usize::from(size.get()) => {
                if sums == Sums::Leave {
                    seal_header(bytes, header_len);
                }
                frame.offload = Offload::Segments(size);
            }
            Sums::None => {}
            // To sum up a bare header costs less than to say that somebody else is to.
            Sums::Leave if segment.data_len > 0 => {
                seal_header(bytes, header_len);
                frame.offload = Offload::Checksum;
            }
            Sums::Make | Sums::Leave => {
                seal_header(bytes, header_len);
                seal(bytes, self.local, self.remote, header_len);
            }
        }
        corrected
    }

    /// Whether what we send is a probe of a closed window: a byte the far end has no room for, and
    /// will drop. It does not count as sent. If it did, our empty segments would stand one byte
    /// outside that window, no window update of ours would be taken (RFC 9293 section 3.10.7.4),
    /// and two ends that are both full would wait for each other for ever.
    ///
    /// It stands where the window closed; or, where that took back the last bytes it had offered (it counts in steps,
    /// RFC 7323 section 2.4) and these are on their way, behind them.
    fn is_probe(&self, segment: &Segment) -> bool {
        let beyond = |una| una == segment.seq || !self.offer.reaches(segment.seq);
        self.no_room.is_some_and(beyond) && segment.data_len == 1 && !segment.has(FIN)
    }

    /// What is to be acknowledged once more, with a closed window, for smoltcp to probe it.
    ///
    /// A window that closes over bytes on their way leaves smoltcp without a timer: it forgets theirs when it
    /// fires, has no room to send them again, and sets that of a probe only on a segment that comes. Were
    /// the window update lost, nothing would be sent any more (RFC 9293 section 3.8.6.1: it must be). In
    /// LAST-ACK smoltcp takes no such segment.
    pub(crate) fn unprobed(&mut self, now: Instant, next: Option<Instant>) -> Option<u32> {
        let state = self.socket.state();
        let sends = matches!(
            state,
            State::Established | State::CloseWait | State::FinWait1 | State::Closing
        );
        let una = self.recovery.una().filter(|_| sends)?;
        let idle = match (next, self.keep_alive) {
            (None, _) => true,
            // Only its keep-alive is left, set just now; smoltcp counts microseconds.
            (Some(at), Some(probed)) if self.no_room == Some(una) => {
                u128::from(at.as_micros()) == u128::from(now.as_micros()) + probed.every.as_micros()
            }
            _ => false,
        };
        if !idle || self.socket.send_queue() == 0 {
            return None;
        }
        self.no_room = Some(una);
        Some(una)
    }

    /// Whether what a segment says of the far end's room is to be believed, as far as its acknowledgement goes: what
    /// was acknowledged before it was sent makes it old (RFC 9293 section 3.10.7.4, fifth). One of more than was sent
    /// does not [come here](Self::judge).
    pub(crate) fn is_current(&self, segment: &Segment) -> bool {
        let una = self.recovery.una();
        segment.has(ACK) && una.is_none_or(|una| !seq_lt(segment.ack, una))
    }

    /// Notes what a segment that came says about the far end's room. Whether a window has opened that had closed
    /// over bytes on their way: smoltcp, which was to probe it, then has no timer for these any more, and takes
    /// them for sent.
    pub(crate) fn note_room(&mut self, segment: &Segment) -> bool {
        let old = self
            .no_room
            .is_some_and(|newest| seq_lt(segment.ack, newest));
        if !segment.has(ACK) || old {
            return false;
        }
        let closed = self.no_room;
        self.no_room = (segment.window == 0).then_some(segment.ack);
        closed == Some(segment.ack) && self.no_room.is_none() && seq_lt(segment.ack, self.snd_max)
    }

    /// Whether smoltcp may send again what is first missing, from `una` on: a full segment, whether or not as much was
    /// offered. Where it may not, it does so when its timer has fired, and then keeps to the window.
    pub(crate) fn may_resend(&self, una: u32) -> bool {
        let full = self.socket.send_queue().min(usize::from(self.mss.get()));
        self.offer.covers(una, full as u32)
    }

    /// Notes what a segment offers. Whether smoltcp is better without it: it says nothing new, and three such make
    /// smoltcp send what it [may not](Self::may_resend). What stands outside the window gets its answer.
    pub(crate) fn note_offer(&mut self, segment: &Segment) -> bool {
        let same = self.offer.note(segment);
        same && offer::is_bare(segment)
            && self.recovery.una() == Some(segment.ack)
            && segment.seq.wrapping_sub(self.rcv_nxt()) <= self.receive_room()
            && !self.may_resend(segment.ack)
    }

    /// Whether a segment that came may have been sent by the far end, as far as RST and SYN go.
    /// smoltcp takes a reset anywhere in the window; RFC 5961 sections 3 and 4 do not.
    pub(crate) fn judge(&self, segment: &Segment) -> Judgement {
        let state = self.socket.state();
        if matches!(state, State::SynSent | State::Closed | State::Listen) {
            return Judgement::Take;
        }
        if segment.has(RST) {
            let ahead = segment.seq.wrapping_sub(self.rcv_nxt());
            return match ahead {
                0 => Judgement::Take,
                _ if ahead < self.receive_room() => Judgement::Challenge,
                _ => Judgement::Ignore,
            };
        }
        if segment.has(SYN) && state != State::SynReceived {
            return Judgement::Challenge;
        }
        // The far end said that it has finished; smoltcp would still take bytes behind that, and
        // hand them to an app that has read the end (RFC 9293 section 3.10.7.4, seventh: ignore them).
        let ended = matches!(
            state,
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
        if ended && seq_lt(self.rcv_nxt(), segment.seq.wrapping_add(segment.len())) {
            return Judgement::Ignore;
        }
        // What was never sent cannot have arrived; smoltcp would take it for all that is in the buffer (RFC
        // 9293 section 3.10.7.4, fifth). A probe does not count as sent, and may have been taken.
        let never_sent = seq_lt(self.snd_max.wrapping_add(1), segment.ack);
        if segment.has(ACK) && never_sent && state != State::SynReceived {
            return Judgement::Challenge;
        }
        // Only our end is under way. smoltcp would take three acknowledgements without it for a loss of
        // bytes, find none to send again, and forget the timer of the end: it would never be sent again.
        let at_end = matches!(state, State::FinWait1 | State::LastAck | State::Closing)
            && self.socket.send_queue() == 0
            && segment.ack.wrapping_add(1) == self.snd_max;
        // Ahead of RCV.NXT, too: behind bytes that were lost.
        let ahead = segment.seq.wrapping_sub(self.rcv_nxt());
        if at_end && segment.len() == 0 && (ahead == 0 || ahead < self.receive_room()) {
            return Judgement::Hear;
        }
        Judgement::Take
    }

    /// Notes that the far end is there, without our end. While it has no room it may be so for as long as
    /// it likes (RFC 9293 section 3.8.6.1).
    pub(crate) fn hear_at_end(&mut self, now: Instant, segment: &Segment) {
        self.heard_at = now;
        if segment.window == 0 {
            self.waiting_since = Some(now);
        }
    }

    /// Whether a challenge may go out: two a second and connection (RFC 5961 section 7). One bound
    /// for all connections would tell who is challenged on his own what happens on another
    /// (CVE-2016-5696).
    pub(crate) fn may_challenge(&mut self, now: Instant) -> bool {
        let due = self
            .challenged_at
            .is_none_or(|at| now - at >= CHALLENGE_EVERY);
        if due {
            self.challenged_at = Some(now);
        }
        due
    }

    /// When we stop waiting for the far end.
    pub(crate) fn give_up_at(&self, connect: Duration, user: Duration) -> Option<Instant> {
        let state = self.socket.state();
        if matches!(state, State::Closed | State::TimeWait) {
            return None;
        }
        let waiting = self.waiting_since.map(|since| {
            since
                + if matches!(state, State::SynSent | State::SynReceived) {
                    connect
                } else {
                    user
                }
        });
        let silent = self
            .keep_alive
            .filter(|_| state != State::SynSent)
            .map(|probed| self.heard_at + probed.give_up);
        let lingering = match self.owner {
            Owner::Lingering(until) => Some(until),
            _ => None,
        };
        [waiting, silent, lingering].into_iter().flatten().min()
    }
}

/// What becomes of the checksums of a segment that goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sums {
    /// There are none on this link.
    None,
    /// We make them.
    Make,
    /// The NIC makes them.
    Leave,
}

/// What to do with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    Take,
    /// Only that it came counts.
    Hear,
    Challenge,
    Ignore,
}

/// Buffer sizes of a connection with these options: receive, send.
pub(crate) fn buffer_bytes(config: &TcpConfig, options: &TcpOptions) -> (usize, usize) {
    let fit = |bytes: usize| {
        bytes.clamp(
            *TcpConfig::BUFFER_BYTES.start(),
            *TcpConfig::BUFFER_BYTES.end(),
        )
    };
    (
        fit(options.rx_bytes.unwrap_or(config.rx_bytes)),
        fit(options.tx_bytes.unwrap_or(config.tx_bytes)),
    )
}

/// Makes the checksum of an IPv4 header that has none; no NIC is asked for that.
pub(crate) fn seal_header(bytes: &mut [u8], header_len: usize) {
    if header_len == 20 {
        bytes[10..12].fill(0);
        let sum = Sum::default().bytes(&bytes[..20]).finish();
        bytes[10..12].copy_from_slice(&sum);
    }
}

/// Makes the checksum of a segment that has none.
fn seal(bytes: &mut [u8], local: SocketAddr, remote: SocketAddr, header_len: usize) {
    let payload = &mut bytes[header_len..];
    payload[16..18].fill(0);
    let sum = Sum::default()
        .pseudo(local.ip(), remote.ip(), packet::TCP, payload.len())
        .bytes(payload)
        .finish();
    payload[16..18].copy_from_slice(&sum);
}

/// The sequence number of a packet smoltcp made.
pub(crate) fn seq_of(frame: &Frame, v4: bool) -> u32 {
    u32_at(frame.packet(), if v4 { 24 } else { 44 })
}
