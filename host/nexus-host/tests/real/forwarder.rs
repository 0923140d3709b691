//! A wire that loses, doubles, delays and reorders, between the two ends of a cut cable.
//!
//! Each end is a NIC that goes by the address of the station at the other end, so that it gets what is
//! meant for that. The guest's address is not known beforehand: its first frames say it, and what comes
//! for it alone before that is lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nexus_nic::{Config, Mac, Nic, Offload, Sent};
use nexus_testbed::{Dice, GUEST_V4, GUEST_V6, KERNEL_MAC, Network};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Most frames that are on their way at once; what comes then is lost, as in a router.
const QUEUE: usize = 2_000;

/// What befalls frames, each so many times in a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Held back by up to [`Weather::late`], while others pass.
    pub(crate) reordered: u64,
    pub(crate) late: Duration,
    /// How long every frame is on its way.
    pub(crate) delay: Duration,
}

/// What befell them.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Lost since the queue or the kernel had no room.
    pub(crate) crowded: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            lost,
            doubled,
            reordered,
            crowded,
        } = self;
        write!(
            f,
            "{passed} frames passed, {lost} lost, {doubled} doubled, {reordered} reordered, \
             {crowded} found no room"
        )
    }
}

/// The wire; it is there until dropped.
#[derive(Debug)]
pub(crate) struct Forwarder {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    /// Says the seed when the test fails.
    dice: Dice,
}

impl Forwarder {
    pub(crate) fn join(network: &Network, weather: Weather, seed: u64) -> Self {
        let [near, far] = network.ends();
        let dice = Dice::new(seed);
        let (stop, tally) = (
            Arc::new(AtomicBool::new(false)),
            Arc::<Mutex<Tally>>::default(),
        );
        let near = near.0.spawn(move || open(&near.1, KERNEL_MAC));
        let near = near.join().expect("the near end");
        let (stopped, told) = (stop.clone(), tally.clone());
        let (here, wired) = channel();
        let thread = far.0.spawn({
            let dice = [dice.split(0), dice.split(1)];
            move || {
                let mut wire = Wire {
                    near,
                    far: Some(open(&far.1, [0; 6])),
                    far_name: far.1,
                    guest: None,
                    weather,
                    dice,
                    under: BinaryHeap::new(),
                    number: 0,
                    tally: Tally::default(),
                };
                here.send(()).expect("the test waits");
                while !stopped.load(Ordering::Relaxed) {
                    wire.turn();
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = wire.tally;
                }
            }
        });
        wired.recv().expect("the far end");
        Self {
            thread: Some(thread),
            stop,
            tally,
            dice,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replay(&self) -> String {
        self.dice.replay()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn open(target: &str, mac: [u8; 6]) -> Nic {
    Nic::open(&Config {
        target: target.parse().expect("a target"),
        mac: Mac::new(mac),
        offload: false,
        least_mtu: 1_280,
    })
    .expect("root may open it")
}

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum To {
    Guest,
    Kernel,
}

/// A frame under way: when it arrives, its number, and where.
type Under = Reverse<(Instant, u64, To, Vec<u8>)>;

struct Wire {
    near: Nic,
    /// Not there while it is opened again.
    far: Option<Nic>,
    far_name: String,
    guest: Option<[u8; 6]>,
    weather: Weather,
    dice: [Dice; 2],
    under: BinaryHeap<Under>,
    number: u64,
    tally: Tally,
}

impl Wire {
    /// Waits for something to do, and does it.
    fn turn(&mut self) {
        let mut wait = Duration::from_millis(100);
        if let Some(Reverse((due, ..))) = self.under.peek() {
            wait = wait.min(due.saturating_duration_since(Instant::now()));
        }
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let far = self.far.as_mut().expect("it is open");
        let mut fds = [
            PollFd::new(&self.near, PollFlags::IN),
            PollFd::new(far, PollFlags::IN),
        ];
        let _ = poll(&mut fds, Some(&timeout));
        let (mut from_guest, mut from_kernel) = (Vec::new(), Vec::new());
        for (nic, frames) in [(&mut self.near, &mut from_guest), (far, &mut from_kernel)] {
            let _ = nic
                .receive(|inbound| frames.push(inbound.frame.to_vec()))
                .expect("the cable stays");
        }
        for frame in from_guest {
            self.meet(&frame);
            self.take(To::Kernel, frame);
        }
        for frame in from_kernel {
            self.take(To::Guest, frame);
        }
        self.deliver();
    }

    /// Learns the guest's hardware address from what it sends by one of its IP addresses: the kernel
    /// of its end sends as well, on a veth pair.
    fn meet(&mut self, frame: &[u8]) {
        let from_guest = match (&frame[12..14], frame.get(22..38)) {
            // The sender of ARP (RFC 826), and the source of IPv6.
            ([8, 6], Some(rest)) => rest[6..10] == GUEST_V4.octets(),
            ([0x86, 0xdd], Some(source)) => source == GUEST_V6.octets(),
            _ => false,
        };
        if self.guest.is_none() && from_guest {
            let guest = frame[6..12].try_into().expect("six bytes");
            self.guest = Some(guest);
            // One at a time may be attached to it.
            self.far = None;
            self.far = Some(open(&self.far_name, guest));
        }
    }

    fn take(&mut self, to: To, frame: Vec<u8>) {
        let dice = &mut self.dice[usize::from(to == To::Guest)];
        if dice.happens(self.weather.lost) {
            self.tally.lost += 1;
            return;
        }
        let mut due = Instant::now() + self.weather.delay;
        if dice.happens(self.weather.reordered) {
            self.tally.reordered += 1;
            due += self
                .weather
                .late
                .mul_f64((dice.roll() % 1_000) as f64 / 1_000.0);
        }
        if dice.happens(self.weather.doubled) {
            self.tally.doubled += 1;
            self.put(due, to, frame.clone());
        }
        self.put(due, to, frame);
    }

    fn put(&mut self, due: Instant, to: To, frame: Vec<u8>) {
        if self.under.len() >= QUEUE {
            self.tally.crowded += 1;
            return;
        }
        self.number += 1;
        self.under.push(Reverse((due, self.number, to, frame)));
    }

    /// Hands on what has arrived.
    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, ..))) = self.under.peek()
            && *due <= now
        {
            let Some(Reverse((_, _, to, frame))) = self.under.pop() else {
                return;
            };
            let nic = match to {
                To::Guest => &mut self.near,
                To::Kernel => self.far.as_mut().expect("it is open"),
            };
            match nic.send(&frame, Offload::None).expect("the cable stays") {
                Sent::Taken => self.tally.passed += 1,
                Sent::Full | Sent::Dropped => self.tally.crowded += 1,
            }
        }
    }
}
