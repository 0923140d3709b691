//! A NIC with patience, and the networks it is tested on.

use std::time::Duration;

use nexus_nic::{Checksum, Config, Inbound, LinkStatus, Mac, Nic, NicError, Offload, Sent};
use nexus_testbed::frames::{self, arp_answer, arp_reply, arp_request, ethernet, ping, pong};
use nexus_testbed::{Deadline, Network, PATIENCE};
use nexus_types::Seed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A TAP interface that a station has made, the kernel's addresses at it.
pub(crate) fn tap(offload: bool) -> (Network, Station) {
    let network = Network::empty();
    let station = Station::open(&config("tap:nx0", offload)).expect("root may make it");
    network.kernel_at("nx0");
    (network, station.up())
}

/// A station beside the kernel's stack on one end of a veth pair.
pub(crate) fn veth(offload: bool) -> (Network, Station) {
    let network = Network::veth();
    let station = Station::open(&config("packet:nx0", offload)).expect("root may");
    (network, station.up())
}

/// Goal: frames pass both ways whole. Method: ask for the kernel's address, then ping it with
/// these sizes.
pub(crate) fn arp_and_ping(station: &mut Station, sizes: &[usize]) {
    let ours = station.mac();
    let sent = station.nic.send(&arp_request(ours), Offload::None);
    assert_eq!(sent, Ok(Sent::Taken));
    let kernel = station.until("the ARP answer", |_, kept| {
        // What we broadcast is all of ours that a filter would let in.
        assert_ne!(kept.frame[6..12], ours, "our own frame");
        arp_answer(&kept.frame)
    });
    for (number, &size) in sizes.iter().enumerate() {
        let data = vec![number as u8; size];
        let frame = ethernet(kernel, ours, 0x0800, &ping(number as u16, &data));
        assert_eq!(station.nic.send(&frame, Offload::None), Ok(Sent::Taken));
        station.until("the ping's answer", |nic, kept| {
            if let Some(reply) = arp_reply(&kept.frame, ours) {
                assert_eq!(nic.send(&reply, Offload::None), Ok(Sent::Taken));
            }
            assert_eq!(pong(&kept.frame)?, number as u16);
            assert_eq!(kept.frame[42..], data);
            Some(())
        });
    }
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

    pub(crate) fn mac(&self) -> frames::Mac {
        self.nic.mac().bytes()
    }

    /// Waits until frames can pass: a link that has just been brought up takes a moment.
    pub(crate) fn up(mut self) -> Self {
        let deadline = Deadline::after(PATIENCE);
        while self.nic.link().status != LinkStatus::Up {
            deadline.left("the link");
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
        let deadline = Deadline::after(PATIENCE);
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
            deadline.left(&format!("{what}; {:?}", self.nic));
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
        let deadline = Deadline::after(PATIENCE);
        loop {
            if let Some(state) = self.nic.poll_link()
                && wanted(state)
            {
                return state;
            }
            deadline.left(&format!("{what}; {:?}", self.nic));
            self.wait(Duration::from_millis(100));
        }
    }
}
