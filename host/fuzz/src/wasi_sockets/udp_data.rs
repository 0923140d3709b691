//! Which datagrams come out where; see [`super::udp`].

use nexus_types::SocketAddr;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostIncomingDatagramStream, HostOutgoingDatagramStream, IncomingDatagramStream,
    OutgoingDatagram, OutgoingDatagramStream,
};

use super::udp::{CARRIED, LARGEST};
use super::world::{Told, Word};
use super::{Run, addresses, says};

/// Datagrams that wait at one socket without any being lost, and their bytes each: far less than a queue holds.
const WAITING: usize = 32;
const SMALL: usize = 512;

/// A datagram that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    by: usize,
    from: SocketAddr,
    to: SocketAddr,
    length: usize,
    /// Who must hear it, if nothing changes there before.
    must: Option<usize>,
    /// Who has.
    heard: bool,
}

impl Run {
    /// Whatever is on its way to a socket need not arrive any more.
    pub(super) fn release(&mut self, number: usize) {
        for sent in &mut self.datagrams {
            sent.must = sent.must.filter(|must| *must != number);
        }
    }

    pub(super) fn receive(&mut self, number: usize, max: u64) {
        let Some(stream) = self.udp[number].incoming.as_ref().map(Resource::rep) else {
            return;
        };
        let side = self.udp[number].side;
        let stream = Resource::<IncomingDatagramStream>::new_borrow(stream);
        let (mut view, _) = self.world.app(side);
        let told = HostIncomingDatagramStream::receive(&mut view, stream, max);
        let told = self.world.told(side, told);
        let shown: Told<Vec<_>> = told
            .as_ref()
            .map(|came| came.iter().map(|datagram| datagram.data.len()).collect())
            .map_err(|word| *word);
        let unheard = [ErrorCode::ConnectionRefused, ErrorCode::RemoteUnreachable];
        let allowed = match &told {
            Ok(came) => came.len() as u64 <= max,
            Err(_) => says(&told, &unheard) && self.udp[number].may_be_told,
        };
        self.expect(&("receive", number, max), &shown, allowed);
        let Ok(came) = told else {
            // It was told: what comes now is another matter.
            return;
        };
        let count = came.len();
        for datagram in came {
            self.hear(number, &datagram.data, datagram.remote_address.into());
        }
        // An error comes between datagrams, and the next call tells it.
        let all = (count as u64) < max && count < 64 && !self.udp[number].may_be_told;
        if self.quiet && all {
            let missing = self
                .datagrams
                .iter()
                .find(|sent| sent.must == Some(number) && !sent.heard);
            assert!(missing.is_none(), "{missing:?} has not come to {number}");
        }
    }

    fn hear(&mut self, number: usize, data: &[u8], from: SocketAddr) {
        let socket = &self.udp[number];
        assert!(
            socket.remote.is_none_or(|remote| remote == from),
            "{from} was heard by {number}"
        );
        // Which it is, stands in it, if there is room for that.
        let its = |sent: &Sent| {
            !sent.heard
                && sent.length == data.len()
                && sent.from == from
                && addresses::owner(self.udp[sent.by].side, sent.to) == Some(socket.side)
                && socket
                    .place()
                    .is_some_and(|place| addresses::overlap(place, sent.to))
        };
        let number_of = |data: &[u8]| usize::from(data[0]) | usize::from(data[1]) << 8;
        let at = if data.len() < 2 {
            // Several may look alike: one that must come, rather than one that was lost, perhaps.
            let alike = |at: &usize| its(&self.datagrams[*at]) && data == payload(*at, data.len());
            (0..self.datagrams.len())
                .filter(alike)
                .min_by_key(|at| self.datagrams[*at].must != Some(number))
        } else {
            Some(number_of(data)).filter(|at| self.datagrams.get(*at).is_some_and(its))
        };
        let at = at.expect("what came was sent, and came once");
        assert!(data == payload(at, data.len()), "datagram {at} is another");
        self.datagrams[at].heard = true;
        // In order, from one socket to another over one way.
        let (by, to) = (self.datagrams[at].by, self.datagrams[at].to);
        let before = self.datagrams[..at].iter().find(|sent| {
            sent.by == by && sent.to == to && sent.must == Some(number) && !sent.heard
        });
        assert!(
            before.is_none() || data.len() < 2,
            "{before:?} comes after {at}"
        );
    }

    pub(super) fn check_send(&mut self, number: usize) {
        let Some(stream) = self.udp[number].outgoing.as_ref().map(Resource::rep) else {
            return;
        };
        let side = self.udp[number].side;
        let stream = Resource::<OutgoingDatagramStream>::new_borrow(stream);
        let (mut view, _) = self.world.app(side);
        let told = HostOutgoingDatagramStream::check_send(&mut view, stream);
        let told = self.world.told(side, told);
        let codes = [ErrorCode::ConnectionRefused, ErrorCode::RemoteUnreachable];
        let allowed = match &told {
            Ok(0) => !self.quiet,
            Ok(_) => true,
            Err(_) => self.udp[number].may_be_told && says(&told, &codes),
        };
        self.expect(&("check-send", number), &told, allowed);
        self.udp[number].permitted = told.unwrap_or(0);
    }

    pub(super) fn send(&mut self, number: usize, asked: &[(Option<SocketAddr>, usize)]) {
        let Some(stream) = self.udp[number].outgoing.as_ref().map(Resource::rep) else {
            return;
        };
        let first = self.datagrams.len();
        let datagrams = asked
            .iter()
            .enumerate()
            .map(|(at, (to, length))| OutgoingDatagram {
                data: payload(first + at, *length),
                remote_address: to.map(Into::into),
            });
        let datagrams: Vec<_> = datagrams.collect();
        let side = self.udp[number].side;
        let stream = Resource::<OutgoingDatagramStream>::new_borrow(stream);
        let (mut view, _) = self.world.app(side);
        let told = HostOutgoingDatagramStream::send(&mut view, stream, datagrams);
        let told = self.world.told(side, told);
        let socket = &self.udp[number];
        let permitted = socket.permitted;
        let ends = [ErrorCode::ConnectionRefused, ErrorCode::RemoteUnreachable];
        let allowed = match &told {
            _ if asked.is_empty() => matches!(told, Ok(0)),
            _ if asked.len() as u64 > permitted => told == Err(Word::Trap),
            // None was sent: the queue is full, which it is not here, unless much was sent before.
            Ok(0) => !self.quiet,
            Ok(count) => {
                let faults = asked
                    .iter()
                    .map(|(to, length)| self.send_fault(number, *to, *length));
                let sound = faults.take_while(|fault| *fault != Some(true)).count() as u64;
                *count <= asked.len() as u64 && *count <= sound
            }
            Err(_) => {
                let (to, length) = asked[0];
                let fault = self.send_fault(number, to, length);
                match fault {
                    Some(_) => says(
                        &told,
                        &[
                            ErrorCode::InvalidArgument,
                            ErrorCode::DatagramTooLarge,
                            ErrorCode::RemoteUnreachable,
                            ErrorCode::AccessDenied,
                        ],
                    ),
                    None => socket.may_be_told && says(&told, &ends),
                }
            }
        };
        self.expect(&("send", number, asked), &told, allowed);
        if !asked.is_empty() && told != Err(Word::Trap) {
            self.udp[number].permitted = 0;
        }
        self.quiet = false;
        let count = usize::try_from(told.unwrap_or(0)).expect("few");
        for (to, length) in &asked[..count] {
            self.sent(number, to.or(self.udp[number].remote), *length);
        }
    }

    /// Whether a datagram cannot be sent for what it is: surely, or (false) perhaps.
    fn send_fault(&self, number: usize, to: Option<SocketAddr>, length: usize) -> Option<bool> {
        let socket = &self.udp[number];
        let unmatched = match (to, socket.remote) {
            (None, None) => true,
            (Some(to), Some(remote)) => to != remote,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let fault = to.and_then(|to| addresses::remote_fault(socket.v6, to, false));
        if unmatched || fault == Some(addresses::Fault::Invalid) || length > LARGEST + 20 {
            return Some(true);
        }
        let to = to.or(socket.remote)?;
        let place = socket.place()?;
        // All stations, a group, nobody, another interface's address, or as large as it gets: for the network to know.
        let odd = fault.is_some()
            || to.ip().is_multicast()
            || to.ip() == std::net::Ipv4Addr::BROADCAST
            || addresses::owner(socket.side, to).is_none()
            || (!place.ip().is_unspecified() && place.ip() != to.ip())
            || length > CARRIED;
        odd.then_some(false)
    }

    fn sent(&mut self, by: usize, to: Option<SocketAddr>, length: usize) {
        let socket = &self.udp[by];
        let (side, to) = (socket.side, to.expect("it was sent somewhere"));
        let place = socket.local.expect("it is bound");
        let owner = addresses::owner(side, to);
        let hearer = owner.and_then(|owner| self.udp.iter().position(|udp| udp.hears(owner, to)));
        // Who sends from everywhere is heard where it is on the way there.
        let mut from = place;
        if place.ip().is_unspecified() {
            from.set_ip(if to.ip().is_loopback() || owner == Some(side) {
                to.ip()
            } else {
                side.addresses()[usize::from(to.is_ipv6())]
            });
        }
        let waiting = |hearer: usize| {
            self.datagrams
                .iter()
                .filter(|sent| sent.must == Some(hearer) && !sent.heard)
                .count()
        };
        let must = hearer.filter(|hearer| {
            let remote = self.udp[*hearer].remote;
            let listens = self.udp[*hearer].incoming.is_some();
            listens
                && remote.is_none_or(|remote| remote == from)
                && length <= SMALL
                && waiting(*hearer) < WAITING
                && (place.ip().is_unspecified() || place.ip() == to.ip() || owner != Some(side))
        });
        if hearer.is_none() {
            self.udp[by].may_be_told = true;
        }
        self.datagrams.push(Sent {
            by,
            from,
            to,
            length,
            must,
            heard: false,
        });
    }
}

/// What is in a datagram: its number, and more of the same.
fn payload(number: usize, length: usize) -> Vec<u8> {
    let number = number.to_le_bytes();
    (0..length).map(|at| number[at % 2]).collect()
}
