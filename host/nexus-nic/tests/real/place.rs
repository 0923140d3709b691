//! Network namespaces of a test's own, and what it does in them.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nexus_nic::{Checksum, Config, Inbound, LinkStatus, Mac, Nic, NicError};
use nexus_types::Seed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Our addresses in every test; `.1` and `::1` are the kernel's.
pub(crate) const OURS_V4: [u8; 4] = [10, 77, 0, 2];
pub(crate) const KERNEL_V4: [u8; 4] = [10, 77, 0, 1];

/// Lets one test run at a time: a program that another starts holds all files of this process for
/// the moment between fork and exec, and so a TAP interface that was let go of.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has not broken anything for the next.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A network namespace, gone when dropped.
pub(crate) struct Namespace(String, Option<MutexGuard<'static, ()>>);

impl Namespace {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("nexus-nic-{}-{number}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        let namespace = Self(name, None);
        // Nothing but what a test sends: no router solicitations, no address detection.
        namespace.run("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0");
        namespace.run("ip link set lo up");
        namespace
    }

    /// A namespace that this thread is in from now on; the first of a test, which is [`alone`].
    pub(crate) fn entered() -> Self {
        let alone = alone();
        let mut namespace = Self::new();
        namespace.1 = Some(alone);
        namespace.enter();
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Moves the calling thread there; every test has a thread of its own.
    pub(crate) fn enter(&self) {
        let file = File::open(format!("/run/netns/{}", self.0)).expect("the namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(file.as_fd(), kind).expect("root may enter it");
    }

    /// Runs a command there.
    pub(crate) fn run(&self, command: &str) {
        let mut words = vec!["ip", "netns", "exec", &self.0];
        words.extend(command.split_whitespace());
        run(&words);
    }

    /// Does something there on a thread of its own.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let file = File::open(format!("/run/netns/{}", self.0)).expect("the namespace");
        thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(file.as_fd(), kind).expect("root may enter it");
            act()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.0])
            .stderr(Stdio::null())
            .status();
    }
}

fn run(words: &[&str]) {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|error| panic!("{words:?}: {error}; these tests need iproute2"));
    assert!(
        output.status.success(),
        "{words:?} (needs root): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn config(target: &str, offload: bool) -> Config {
    Config {
        target: target.parse().expect("a target"),
        mac: Mac::from_seed(&Seed::from_number(7)),
        offload,
        least_mtu: 1_280,
    }
}

/// A frame that came in, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) frame: Vec<u8>,
    pub(crate) checksum: Checksum,
    pub(crate) gso_size: Option<u16>,
}

impl Kept {
    fn of(inbound: &Inbound<'_>) -> Self {
        Self {
            frame: inbound.frame.to_vec(),
            checksum: inbound.checksum,
            gso_size: inbound.gso_size.map(std::num::NonZeroU16::get),
        }
    }
}

/// A NIC with patience: waits for frames.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) nic: Nic,
}

impl Station {
    pub(crate) fn open(config: &Config) -> Result<Self, NicError> {
        Nic::open(config).map(|nic| Self { nic })
    }

    /// Waits until frames can pass: a link that has just been brought up takes a moment.
    pub(crate) fn up(mut self) -> Self {
        let end = Instant::now() + PATIENCE;
        while self.nic.link().status != LinkStatus::Up {
            assert!(Instant::now() < end, "up: never; {:?}", self.nic);
            if self.nic.poll_link().is_none() {
                self.wait(Duration::from_millis(100));
            }
        }
        self
    }

    /// Hands frames to `wanted` until it says `Some`.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&mut Nic, Kept) -> Option<T>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut kept = Vec::new();
            let _ = self
                .nic
                .receive(|inbound| kept.push(Kept::of(inbound)))
                .expect("a NIC that lives");
            for frame in kept {
                if let Some(found) = wanted(&mut self.nic, frame) {
                    return found;
                }
            }
            assert!(Instant::now() < end, "{what}: never came; {:?}", self.nic);
            self.wait(Duration::from_millis(100));
        }
    }

    /// Waits for frames or news of the link.
    pub(crate) fn wait(&self, at_most: Duration) {
        let timeout = Timespec {
            tv_sec: at_most.as_secs() as _,
            tv_nsec: at_most.subsec_nanos().into(),
        };
        let link = self.nic.link_fd();
        let mut fds = [
            PollFd::new(&self.nic, PollFlags::IN),
            PollFd::new(&link, PollFlags::IN),
        ];
        let _ = poll(&mut fds, Some(&timeout));
    }

    /// Waits for news of the link that `wanted` likes.
    pub(crate) fn until_link(
        &mut self,
        what: &str,
        wanted: impl Fn(nexus_nic::LinkState) -> bool,
    ) -> nexus_nic::LinkState {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(state) = self.nic.poll_link()
                && wanted(state)
            {
                return state;
            }
            assert!(Instant::now() < end, "{what}: never; {:?}", self.nic);
            self.wait(Duration::from_millis(100));
        }
    }
}
