//! One direction between two machines: what it does to frames.
//!
//! Each has a generator of its own, seeded by who it is from and to, and made when it is first needed: drawing
//! more on one shifts no other, and a thousand machines that do not talk cost nothing.

use core::num::NonZeroU64;
use std::collections::VecDeque;

use nexus_types::{Duration, Instant};

use crate::dice::{Dice, Ppm};
use crate::frames::{FrameId, Frames};
use crate::limits;
use crate::world::Counts;

/// How a direction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// How long a frame is on its way.
    pub latency: Duration,
    /// It may take up to this much longer; frames stay in order.
    pub jitter: Duration,
    /// Bits a second; none: as many as come.
    pub rate: Option<NonZeroU64>,
    /// Bytes that wait for the line; a frame that finds more is lost. Without `rate` nothing waits.
    pub queue: u64,
    /// A frame is lost.
    pub loss: Ppm,
    /// Frames are lost in bursts.
    pub burst: Option<Burst>,
    /// A frame comes twice.
    pub duplication: Ppm,
    /// A frame comes up to [`Conditions::reorder_by`] later, and others pass it.
    pub reorder: Ppm,
    /// See [`Conditions::reorder`].
    pub reorder_by: Duration,
    /// One bit of a frame is another. An ARP frame, which has no checksum, is lost instead.
    pub bit_flip: Ppm,
    /// The end of a frame is missing.
    pub truncation: Ppm,
    /// A longer frame is lost: bytes of what the medium carries, a link header counted.
    pub mtu: Option<usize>,
    /// After a frame one that was carried earlier comes again, up to [`limits::CAPTURE_SECONDS`] old.
    pub replay: Ppm,
    /// Nothing passes.
    pub cut: bool,
    /// Frames are held; when it ends they come, in order.
    pub clogged: bool,
}

/// Losses that come together (Gilbert, Elliott): a good and a bad state, drawn anew with every frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burst {
    /// From good to bad.
    pub begin: Ppm,
    /// From bad to good.
    pub end: Ppm,
    /// A frame is lost in the bad state.
    pub loss: Ppm,
}

impl Conditions {
    /// A wire of a millisecond that does nothing else to frames.
    pub const PLAIN: Self = Self {
        latency: Duration::from_millis(1),
        jitter: Duration::ZERO,
        rate: None,
        queue: 256 << 10,
        loss: Ppm::NEVER,
        burst: None,
        duplication: Ppm::NEVER,
        reorder: Ppm::NEVER,
        reorder_by: Duration::ZERO,
        bit_flip: Ppm::NEVER,
        truncation: Ppm::NEVER,
        mtu: None,
        replay: Ppm::NEVER,
        cut: false,
        clogged: false,
    };

    /// Its latency, if it does nothing else: such a direction needs no state.
    pub(crate) fn plain(&self) -> Option<Duration> {
        let Self {
            latency,
            jitter,
            rate,
            queue: _,
            loss,
            burst,
            duplication,
            reorder,
            reorder_by: _,
            bit_flip,
            truncation,
            mtu,
            replay,
            cut,
            clogged,
        } = self;
        let chances = [loss, duplication, reorder, bit_flip, truncation, replay];
        let plain = jitter.is_zero()
            && rate.is_none()
            && burst.is_none()
            && mtu.is_none()
            && !cut
            && !clogged
            && chances.into_iter().all(|chance| *chance == Ppm::NEVER);
        plain.then_some(*latency)
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// The state of a direction.
#[derive(Debug)]
pub(crate) struct Link {
    dice: Dice,
    /// As the faults in force make it, and as of which change of them.
    pub(crate) conditions: Conditions,
    pub(crate) version: u64,
    /// It is an Ethernet's: what no checksum of the packet covers its own check sees to.
    checks_frames: bool,
    bad: bool,
    /// When the line is free.
    free_at: Instant,
    /// Nothing in order arrives before.
    last_arrival: Instant,
    /// What a clog holds.
    pub(crate) held: VecDeque<FrameId>,
    captured: Vec<(Instant, FrameId)>,
}

impl Link {
    pub(crate) fn new(
        dice: Dice,
        conditions: Conditions,
        version: u64,
        checks_frames: bool,
    ) -> Self {
        Self {
            dice,
            checks_frames,
            conditions,
            version,
            bad: false,
            free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
            held: VecDeque::new(),
            captured: Vec::new(),
        }
    }

    /// Carries a frame, which has a holder more for each time it arrives.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        frame: FrameId,
        frames: &mut Frames,
        counts: &mut Counts,
        arrive: &mut dyn FnMut(&mut Frames, Instant, FrameId),
    ) {
        let conditions = self.conditions;
        let length = frames.bytes(frame).len();
        if conditions.cut {
            counts.cut += 1;
            return;
        }
        if conditions.mtu.is_some_and(|mtu| length > mtu) {
            counts.over_mtu += 1;
            return;
        }
        if conditions.clogged {
            if self.held.len() == limits::FRAMES_HELD {
                counts.over_limit += 1;
            } else {
                frames.hold(frame);
                self.held.push_back(frame);
            }
            return;
        }
        if self.is_lost() {
            counts.lost += 1;
            return;
        }
        let Some(sent) = self.leave(now, length) else {
            counts.queue_full += 1;
            return;
        };
        let twice = self.dice.chance(conditions.duplication);
        counts.duplicated += u64::from(twice);
        for _ in 0..=u32::from(twice) {
            let changed = self.corrupt(frame, frames, counts);
            let at = self.arrival(sent, counts);
            match changed {
                Some(changed) if self.checks_frames && is_arp(frames.bytes(frame)) => {
                    counts.lost += 1;
                    frames.release(changed);
                }
                Some(changed) => arrive(frames, at, changed),
                None => {
                    frames.hold(frame);
                    arrive(frames, at, frame);
                }
            }
        }
        if conditions.replay != Ppm::NEVER {
            self.replay(now, sent, frame, frames, counts, arrive);
        }
    }

    /// What a clog held comes out.
    pub(crate) fn release(
        &mut self,
        now: Instant,
        frames: &mut Frames,
        counts: &mut Counts,
        arrive: &mut dyn FnMut(&mut Frames, Instant, FrameId),
    ) {
        for frame in core::mem::take(&mut self.held) {
            self.carry(now, frame, frames, counts, arrive);
            frames.release(frame);
        }
    }

    /// What was captured is let go.
    pub(crate) fn forget(&mut self, frames: &mut Frames) {
        for (_, frame) in self.captured.drain(..) {
            frames.release(frame);
        }
    }

    fn is_lost(&mut self) -> bool {
        if let Some(burst) = self.conditions.burst {
            let turn = if self.bad { burst.end } else { burst.begin };
            self.bad ^= self.dice.chance(turn);
            if self.bad && self.dice.chance(burst.loss) {
                return true;
            }
        }
        self.dice.chance(self.conditions.loss)
    }

    /// When a frame of this length has left, if there is room for it in the queue.
    fn leave(&mut self, now: Instant, length: usize) -> Option<Instant> {
        let Some(rate) = self.conditions.rate else {
            return Some(now);
        };
        let begins = self.free_at.max(now);
        let waiting = u128::from((begins - now).as_nanos() as u64) * u128::from(rate.get());
        if waiting / 8_000_000_000 > u128::from(self.conditions.queue) {
            return None;
        }
        let nanos = length as u128 * 8_000_000_000 / u128::from(rate.get());
        self.free_at = begins + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.free_at)
    }

    fn arrival(&mut self, sent: Instant, counts: &mut Counts) -> Instant {
        let at = sent + self.conditions.latency + self.dice.up_to(self.conditions.jitter);
        if self.dice.chance(self.conditions.reorder) {
            counts.reordered += 1;
            return at + self.dice.up_to(self.conditions.reorder_by);
        }
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// A changed copy, if the frame is to be changed.
    fn corrupt(
        &mut self,
        frame: FrameId,
        frames: &mut Frames,
        counts: &mut Counts,
    ) -> Option<FrameId> {
        let flips = self.dice.chance(self.conditions.bit_flip);
        let cuts = self.dice.chance(self.conditions.truncation);
        if !flips && !cuts || frames.bytes(frame).is_empty() {
            return None;
        }
        let changed = frames.duplicate(frame)?;
        let bytes = frames.bytes_mut(changed);
        if flips {
            counts.flipped += 1;
            let bit = self.dice.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if cuts {
            counts.truncated += 1;
            bytes.truncate(self.dice.below(bytes.len() as u64) as usize);
        }
        Some(changed)
    }

    fn replay(
        &mut self,
        now: Instant,
        sent: Instant,
        frame: FrameId,
        frames: &mut Frames,
        counts: &mut Counts,
        arrive: &mut dyn FnMut(&mut Frames, Instant, FrameId),
    ) {
        if self.dice.chance(self.conditions.replay) && !self.captured.is_empty() {
            let at = self.dice.below(self.captured.len() as u64) as usize;
            let (since, old) = self.captured[at];
            if now - since <= Duration::from_secs(limits::CAPTURE_SECONDS) {
                counts.replayed += 1;
                frames.hold(old);
                arrive(frames, sent + self.conditions.latency, old);
            } else {
                self.captured.swap_remove(at);
                frames.release(old);
            }
        }
        frames.hold(frame);
        if self.captured.len() < limits::FRAMES_CAPTURED {
            self.captured.push((now, frame));
        } else {
            // Any may make room: the store then holds old and new alike.
            let at = self.dice.below(self.captured.len() as u64) as usize;
            let (_, old) = core::mem::replace(&mut self.captured[at], (now, frame));
            frames.release(old);
        }
    }
}

/// ARP has no checksum of its own: one changed bit would give an address away, which is not what a fault of a line
/// with a frame check does.
fn is_arp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 6])
}
