//! Our addresses: how they come and go, who else claims them, and what that does to what is open on them.

use std::collections::VecDeque;

use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv4Addr, limits};

use super::Stack;
use crate::addressing::AddressEvent;
use crate::addressing::dad::{Claim, Due};
use crate::config::Medium;
use crate::error::{TcpError, UdpError};
use crate::frame::Frame;
use crate::neighbors::Mac;
use crate::packet::{u32_at, v6_at};

/// Events nobody has taken; beyond, the oldest goes. [`Stack::addresses`] says what holds.
const EVENTS_MAX: usize = 64;

impl Stack {
    /// What became of our addresses, oldest first. To be asked after [`Stack::handle_frame`] and
    /// [`Stack::handle_timeout`]; whoever keeps a list of our addresses makes it anew from
    /// [`Stack::addresses`] then.
    pub fn poll_address_event(&mut self) -> Option<AddressEvent> {
        self.address_events.pop_front()
    }

    pub(super) fn tell(&mut self, event: AddressEvent) {
        if self.address_events.len() == EVENTS_MAX {
            self.address_events.pop_front();
        }
        self.address_events.push_back(event);
    }

    /// Begins to use an address that is in the list: at once, or when the link has nothing against it.
    pub(super) fn begin_address(&mut self, now: Instant, ip: IpAddr) {
        let how = self.config.duplicate_detection;
        if let (Medium::Ethernet(_), Some(how)) = (self.config.medium, how) {
            // Not all at once after a power cut (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2).
            let spread = (how.interval / 4).as_micros() as u32;
            let delay = core::time::Duration::from_micros(self.random.below(spread).into());
            self.dad.begin(now, ip, delay);
        } else {
            self.address_free(ip);
        }
    }

    /// Whether an address of ours may still turn out to be somebody else's.
    pub(super) fn is_tentative(&self, ip: IpAddr) -> bool {
        self.dad.is_tentative(ip)
    }

    pub(super) fn handle_address_timeout(&mut self, now: Instant) {
        let Medium::Ethernet(ours) = self.config.medium else {
            return;
        };
        while let Some(due) = self.dad.pop_due(now) {
            match due {
                Due::Probe(IpAddr::V4(ip)) => {
                    let nobody = Ipv4Addr::UNSPECIFIED;
                    self.send_arp_to_all((ours, nobody), ip);
                }
                Due::Probe(IpAddr::V6(ip)) => self.send_probe(ours, ip),
                Due::Announce(ip) => self.announce(ours, ip),
                Due::Free(ip) => {
                    self.announce(ours, ip);
                    self.address_free(ip);
                }
            }
        }
    }

    fn announce(&mut self, ours: Mac, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.send_arp_to_all((ours, ip), ip),
            IpAddr::V6(ip) => self.advertise_to_all(ours, ip),
        }
    }

    /// Nobody else has it: what waited for that goes.
    fn address_free(&mut self, ip: IpAddr) {
        if let Some(address) = self.interface_address(ip) {
            self.tell(AddressEvent::Ready(address));
        }
        for frame in self.take_held(ip) {
            self.send(crate::key::Path::Wire, frame);
        }
    }

    /// Somebody with another hardware address uses an address of ours.
    pub(super) fn claimed(&mut self, now: Instant, ip: IpAddr, mac: Mac) {
        let Medium::Ethernet(ours) = self.config.medium else {
            return;
        };
        let Some(address) = self.interface_address(ip).filter(|_| mac != ours) else {
            return;
        };
        match self.dad.claimed(now, ip) {
            Claim::Taken => {
                self.drop_address(ip);
                self.tell(AddressEvent::Duplicate { address, mac });
                self.learnt_is_taken(now, ip);
            }
            Claim::Defend => {
                self.announce(ours, ip);
                self.tell(AddressEvent::Contested { address: ip, mac });
            }
            Claim::Quiet => {}
        }
    }

    pub(super) fn interface_address(&self, ip: IpAddr) -> Option<InterfaceAddress> {
        let mut own = self.config.addresses.iter();
        own.find(|own| own.address() == ip).copied()
    }

    /// An address is ours no more: what is open on it ends, without a word on the wire.
    pub(super) fn drop_address(&mut self, ip: IpAddr) {
        self.config.addresses.retain(|own| own.address() != ip);
        self.dad.forget(ip);
        let mut gone = self.take_held(ip);
        gone.extend(self.neighbors.take_waiting(|frame| source_of(frame) == ip));
        let queued = core::mem::take(&mut self.out).into_iter();
        let its: (VecDeque<_>, _) = queued.partition(|frame| source_of(frame) == ip);
        self.out = its.1;
        for frame in gone.into_iter().chain(its.0) {
            self.sent(&frame);
            self.pool.put(frame);
        }
        for key in self
            .flows
            .keys_where(|flow| flow.local.ip() == ip && !flow.off_wire)
        {
            if let Some(flow) = self.flows.get_mut(key) {
                flow.error.get_or_insert(TcpError::Unreachable);
                flow.socket.abort();
            }
            self.end_flow(key.index);
        }
        for key in self.half_open.keys_where(|entry| entry.local.ip() == ip) {
            self.forget_half_open(key);
        }
        for key in self.udp.keys_where(|socket| socket.local.ip() == ip) {
            if let Some(socket) = self.udp.get_mut(key) {
                socket.fail(UdpError::Unreachable);
            }
        }
    }

    /// Lets a frame wait if its sender's address is not sure yet; gives it back if it need not.
    pub(super) fn hold(&mut self, frame: Frame) -> Option<Frame> {
        if !self.dad.is_probing() || !self.is_tentative(source_of(&frame)) {
            return Some(frame);
        }
        let held: usize = self.held.iter().map(Frame::buffer_bytes).sum();
        if self.held.len() >= limits::ADDRESS_FRAMES as usize
            || held + frame.buffer_bytes() > limits::ADDRESS_BYTES as usize
        {
            self.stats.dropped_queue += 1;
            self.sent(&frame);
            self.pool.put(frame);
        } else {
            self.held.push(frame);
        }
        None
    }

    fn take_held(&mut self, ip: IpAddr) -> Vec<Frame> {
        let is_its = |frame: &mut Frame| source_of(frame) == ip;
        self.held.extract_if(.., is_its).collect()
    }
}

fn source_of(frame: &Frame) -> IpAddr {
    let bytes = frame.packet();
    match bytes[0] >> 4 {
        4 => IpAddr::V4(u32_at(bytes, 12).into()),
        6 => v6_at(bytes, 8),
        // ARP.
        _ => IpAddr::V4(u32_at(bytes, 14).into()),
    }
}
