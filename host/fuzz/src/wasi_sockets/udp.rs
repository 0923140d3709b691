//! Calls of `udp` and `udp-create-socket`, and what `udp.wit` says of them: which datagrams come out where.

use nexus_types::SocketAddr;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagramStream,
    OutgoingDatagramStream, UdpSocket,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;

use super::tcp_model::Allowed;
use super::world::{FORBIDDEN, Side, at_once};
use super::{Run, SOCKETS, addresses};
use crate::input::Input;

/// What every network carries in one packet of IPv6; what is larger may be refused.
pub(super) const CARRIED: usize = 1_232;
/// What UDP over IPv4 can carry.
pub(super) const LARGEST: usize = 65_507;
/// What a length of more than 250 stands for.
const LARGE: [usize; 5] = [CARRIED, 1_472, 1_473, LARGEST, LARGEST + 21];

/// A socket.
pub(super) struct Socket {
    pub(super) side: Side,
    pub(super) v6: bool,
    pub(super) handle: u32,
    pub(super) binding: bool,
    /// As it was asked, and as `local-address` said.
    pub(super) asked: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    /// Whom the last call of `stream` was for.
    pub(super) remote: Option<SocketAddr>,
    pub(super) incoming: Option<Resource<IncomingDatagramStream>>,
    pub(super) outgoing: Option<Resource<OutgoingDatagramStream>>,
    /// The streams are of the last call of `stream`.
    pub(super) permitted: u64,
    pub(super) hop_limit: u8,
    /// It has sent to where perhaps nobody is.
    pub(super) may_be_told: bool,
    pub(super) dropped: bool,
}

macro_rules! call {
    ($run:expr, $number:expr, $function:ident $(, $argument:expr)*) => {{
        let socket = &$run.udp[$number];
        let (side, handle) = (socket.side, Resource::<UdpSocket>::new_borrow(socket.handle));
        let (mut view, _network) = $run.world.app(side);
        let told = HostUdpSocket::$function(&mut view, handle $(, $argument)*);
        $run.world.told(side, told)
    }};
}

const STATE: &[ErrorCode] = &[ErrorCode::InvalidState, ErrorCode::ConcurrencyConflict];

impl Socket {
    pub(super) fn is_bound(&self) -> bool {
        self.asked.is_some() && !self.binding
    }

    pub(super) fn place(&self) -> Option<SocketAddr> {
        self.local.or(self.asked)
    }

    /// Whether it hears what is sent to `to`, on `side`.
    pub(super) fn hears(&self, side: Side, to: SocketAddr) -> bool {
        let place = self
            .place()
            .is_some_and(|place| addresses::overlap(place, to));
        self.side == side && !self.dropped && place
    }
}

impl Run {
    pub(super) fn call_udp(&mut self, call: u8, input: &mut Input<'_>) {
        let choice = input.byte().unwrap_or(0);
        if call == 26 {
            self.create_udp(choice);
            return;
        }
        let living: Vec<_> = (0..self.udp.len())
            .filter(|at| !self.udp[*at].dropped)
            .collect();
        let Some(number) = living
            .get(usize::from(choice) % living.len().max(1))
            .copied()
        else {
            return;
        };
        let mut byte = || input.byte().unwrap_or(0);
        match call {
            27 => {
                let choice = byte();
                self.bind_udp(number, addresses::pick(choice));
                // A bind that is in progress is met now and then.
                if choice < 200 {
                    self.finish_bind_udp(number);
                }
            }
            28 => self.finish_bind_udp(number),
            29 => {
                let choice = byte();
                let remote = self.udp_remote(choice);
                self.stream(number, (choice & 3 != 2).then_some(remote));
            }
            30 => self.receive(number, u64::from(byte())),
            31 => self.check_send(number),
            32 => {
                let count = byte() % 4;
                let mut datagrams = Vec::new();
                for _ in 0..count {
                    let (choice, length) = (byte(), usize::from(byte()));
                    let length = length.checked_sub(251).map_or(length, |at| LARGE[at]);
                    datagrams.push(((choice & 3 != 2).then(|| self.udp_remote(choice)), length));
                }
                self.send(number, &datagrams);
            }
            33 => self.udp_addresses(number),
            34 => self.udp_options(number, byte(), byte()),
            _ => self.drop_udp(number, byte()),
        }
    }

    fn udp_remote(&self, choice: u8) -> SocketAddr {
        let others: Vec<_> = self.udp.iter().filter_map(|udp| udp.local).collect();
        match others.get(usize::from(choice >> 3) % others.len().max(1)) {
            Some(other) if choice & 1 == 1 => {
                let mut other = *other;
                if other.ip().is_unspecified() {
                    // Where it is for both.
                    let side = Side(usize::from(choice >> 2 & 1));
                    other.set_ip(side.addresses()[usize::from(other.is_ipv6())]);
                }
                other
            }
            _ => addresses::pick(choice >> 1),
        }
    }

    fn create_udp(&mut self, choice: u8) {
        if self.udp.len() >= SOCKETS {
            return;
        }
        let (side, v6) = (Side(usize::from(choice & 1)), choice & 2 != 0);
        let family = if v6 {
            IpAddressFamily::Ipv6
        } else {
            IpAddressFamily::Ipv4
        };
        let (mut view, _) = self.world.app(side);
        let told = at_once(view.create_udp_socket(family));
        let told = self.world.told(side, told);
        self.check(
            &("create udp", self.udp.len(), side, v6),
            &told,
            &(true, vec![]),
        );
        let handle = told.expect("there is room").rep();
        self.udp.push(Socket {
            side,
            v6,
            handle,
            binding: false,
            asked: None,
            local: None,
            remote: None,
            incoming: None,
            outgoing: None,
            permitted: 0,
            hop_limit: 64,
            may_be_told: false,
            dropped: false,
        });
    }

    fn bind_udp(&mut self, number: usize, local: SocketAddr) {
        let socket = &self.udp[number];
        let taken = self.udp.iter().any(|other| {
            let place = other
                .place()
                .is_some_and(|place| addresses::overlap(place, local));
            other.side == socket.side && !other.dropped && place && local.port() != 0
        });
        let allowed: Allowed = if socket.asked.is_some() {
            (false, STATE.to_vec())
        } else if let Some(code) = addresses::local_fault(socket.side, socket.v6, local) {
            (false, vec![code])
        } else if local.port() == FORBIDDEN {
            (false, vec![ErrorCode::AccessDenied])
        } else if taken {
            (false, vec![ErrorCode::AddressInUse])
        } else {
            (true, vec![])
        };
        let handle = Resource::new_borrow(socket.handle);
        let side = socket.side;
        let (mut view, network) = self.world.app(side);
        let told = at_once(HostUdpSocket::start_bind(
            &mut view,
            handle,
            network,
            local.into(),
        ));
        let told = self.world.told(side, told);
        self.check(&("udp start-bind", number, local), &told, &allowed);
        if told.is_ok() {
            let socket = &mut self.udp[number];
            (socket.asked, socket.binding) = (Some(local), true);
        }
    }

    fn finish_bind_udp(&mut self, number: usize) {
        let told = call!(self, number, finish_bind);
        let binding = self.udp[number].binding;
        let allowed = (
            binding,
            if binding {
                vec![]
            } else {
                vec![ErrorCode::NotInProgress]
            },
        );
        self.check(&("udp finish-bind", number), &told, &allowed);
        if told.is_ok() {
            self.udp[number].binding = false;
            self.udp_addresses(number);
        }
    }

    fn stream(&mut self, number: usize, remote: Option<SocketAddr>) {
        let socket = &self.udp[number];
        let fault = remote.and_then(|remote| addresses::remote_fault(socket.v6, remote, false));
        let allowed: Allowed = match (socket.is_bound(), fault) {
            (false, None) => (false, STATE.to_vec()),
            (false, Some(_)) => (false, [STATE, &[ErrorCode::InvalidArgument]].concat()),
            (true, Some(addresses::Fault::Invalid)) => (false, vec![ErrorCode::InvalidArgument]),
            (true, Some(addresses::Fault::Broadcast)) => (
                true,
                vec![ErrorCode::InvalidArgument, ErrorCode::AccessDenied],
            ),
            // "`remote-unreachable`: The remote address is not reachable."
            (true, None) if remote.is_some() => (
                true,
                vec![ErrorCode::RemoteUnreachable, ErrorCode::InvalidArgument],
            ),
            (true, None) => (true, vec![]),
        };
        let (side, handle) = (socket.side, Resource::new_borrow(socket.handle));
        let (mut view, _) = self.world.app(side);
        let told = at_once(HostUdpSocket::stream(
            &mut view,
            handle,
            remote.map(Into::into),
        ));
        let told = self.world.told(side, told);
        self.check(&("udp stream", number, remote), &told, &allowed);
        let Ok((incoming, outgoing)) = told else {
            return;
        };
        // Those before are not operational any more; what they would have heard may be lost.
        self.drop_streams(number);
        let socket = &mut self.udp[number];
        (socket.incoming, socket.outgoing) = (Some(incoming), Some(outgoing));
        (socket.remote, socket.permitted) = (remote, 0);
        self.release(number);
        self.udp_addresses(number);
    }

    fn udp_addresses(&mut self, number: usize) {
        let bound = self.udp[number].is_bound();
        let codes = if bound { vec![] } else { STATE.to_vec() };
        let told = call!(self, number, local_address);
        self.check(&("udp local-address", number), &told, &(bound, codes));
        let socket = &mut self.udp[number];
        if let Ok(local) = told {
            let local = SocketAddr::from(local);
            let asked = socket.asked.expect("it is bound");
            assert!(local.port() != 0 && local.is_ipv6() == socket.v6, "{local}");
            assert!(
                asked.port() == 0 || asked.port() == local.port(),
                "{local} for {asked}"
            );
            assert!(
                socket
                    .local
                    .is_none_or(|before| before.port() == local.port())
            );
            socket.local = Some(local);
        }
        let remote = socket.remote;
        let told = call!(self, number, remote_address);
        let codes = if remote.is_some() {
            vec![]
        } else {
            STATE.to_vec()
        };
        self.check(
            &("udp remote-address", number),
            &told,
            &(remote.is_some(), codes),
        );
        if let Ok(told) = told {
            assert_eq!(Some(SocketAddr::from(told)), remote);
        }
    }

    fn udp_options(&mut self, number: usize, which: u8, value: u8) {
        let bytes = u64::from(value) << (which >> 2);
        let zero = if which & 1 == 0 {
            value == 0
        } else {
            bytes == 0
        };
        let allowed = (
            !zero,
            if zero {
                vec![ErrorCode::InvalidArgument]
            } else {
                vec![]
            },
        );
        if which & 1 == 0 {
            let told = call!(self, number, set_unicast_hop_limit, value);
            self.check(&("set-unicast-hop-limit", number, value), &told, &allowed);
            if told.is_ok() {
                self.udp[number].hop_limit = value;
            }
        } else {
            let told = if which & 2 == 0 {
                call!(self, number, set_receive_buffer_size, bytes)
            } else {
                call!(self, number, set_send_buffer_size, bytes)
            };
            self.check(&("set udp buffer", number, which, value), &told, &allowed);
        }
        assert_eq!(
            call!(self, number, unicast_hop_limit),
            Ok(self.udp[number].hop_limit)
        );
        let told = call!(self, number, receive_buffer_size);
        assert!(told.is_ok_and(|bytes| bytes > 0), "{told:?}");
        let told = call!(self, number, send_buffer_size);
        assert!(told.is_ok_and(|bytes| bytes > 0), "{told:?}");
        let handle = Resource::new_borrow(self.udp[number].handle);
        let (mut view, _) = self.world.app(self.udp[number].side);
        let family = HostUdpSocket::address_family(&mut view, handle).expect("no trap");
        assert_eq!(family == IpAddressFamily::Ipv6, self.udp[number].v6);
    }

    fn drop_streams(&mut self, number: usize) {
        let socket = &mut self.udp[number];
        let (side, incoming, outgoing) =
            (socket.side, socket.incoming.take(), socket.outgoing.take());
        let (mut view, _) = self.world.app(side);
        if let Some(incoming) = incoming {
            HostIncomingDatagramStream::drop(&mut view, incoming).expect("it is there");
        }
        if let Some(outgoing) = outgoing {
            at_once(HostOutgoingDatagramStream::drop(&mut view, outgoing)).expect("it is there");
        }
    }

    fn drop_udp(&mut self, number: usize, which: u8) {
        self.calls.note(format!("drop udp {number} {which}"));
        let streams = self.udp[number].incoming.is_some() || self.udp[number].outgoing.is_some();
        if which & 1 == 1 || !streams {
            self.drop_streams(number);
            self.release(number);
            if which & 2 != 0 {
                return;
            }
        }
        let streams = streams && which & 1 == 0;
        let socket = &self.udp[number];
        let handle = Resource::new_own(socket.handle);
        let (mut view, _) = self.world.app(socket.side);
        let dropped = HostUdpSocket::drop(&mut view, handle);
        assert_eq!(dropped.is_ok(), !streams);
        if dropped.is_ok() {
            self.udp[number].dropped = true;
            // Where it was, perhaps nobody is.
            for other in &mut self.udp {
                other.may_be_told = true;
            }
        }
    }
}
