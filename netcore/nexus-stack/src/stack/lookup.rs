//! Name lookups: the resolver wired to this stack's own UDP and TCP.

use core::fmt;
use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use nexus_types::{
    ErrorCode, HostName, Instant, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, Transport,
};

use super::Stack;
use crate::config::TcpOptions;
use crate::emit::HOP_LIMIT;
use crate::id::{LookupId, Scope, TcpId};
use crate::key::Path;
use crate::resolver::{Query, ResolverStats, StreamId, Via};
use crate::wakers::Wakers;

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// At least one address.
    pub addresses: Vec<IpAddr>,
    /// How long it may be used.
    pub until: Instant,
}

/// Why a name gave no address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    NotFound,
    /// No server is configured, or none can be asked.
    Unavailable,
    /// The servers that answered cannot or will not say.
    ServerFailed,
    /// No server answered in time.
    TimedOut,
    /// The servers' answers made no sense.
    BadAnswer,
    /// As many lookups as there may be.
    TooMany,
    /// The handle has ended.
    Closed,
}

impl ResolveError {
    /// The code an app sees.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NotFound,
            Self::Unavailable | Self::ServerFailed => ErrorCode::Unavailable,
            Self::TimedOut => ErrorCode::Deadline,
            Self::BadAnswer => ErrorCode::Protocol,
            Self::TooMany => ErrorCode::NoCapacity,
            Self::Closed => ErrorCode::Closed,
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the name does not exist or has no address",
            Self::Unavailable => "no name server can be asked",
            Self::ServerFailed => "the name servers cannot or will not say",
            Self::TimedOut => "no name server answered in time",
            Self::BadAnswer => "the name servers' answers make no sense",
            Self::TooMany => "the stack looks up as many names as it may",
            Self::Closed => "the lookup has ended",
        })
    }
}

impl core::error::Error for ResolveError {}

/// What is kept beside the resolver: who waits, and its TCP exchanges.
#[derive(Default)]
pub(super) struct Lookups {
    waiting: BTreeMap<LookupId, Wakers>,
    streams: Vec<Stream>,
    /// A connection of the resolver's has moved.
    pub(super) stirred: bool,
}

struct Stream {
    id: StreamId,
    tcp: TcpId,
    message: Vec<u8>,
    written: usize,
}

/// The scope of the resolver's own connections: no app has it.
pub(super) const RESOLVER: Scope = Scope(u32::MAX);

impl Stack {
    /// Looks a name up: IPv4 and IPv6 addresses. Answers are cached per scope, so that no app can
    /// tell from the time it takes what another one asked.
    pub fn resolve(
        &mut self,
        now: Instant,
        scope: Scope,
        name: &HostName,
    ) -> Result<LookupId, ResolveError> {
        self.now = now;
        let id = self.resolver.start(now, scope, name)?;
        self.pump_resolver(now);
        Ok(id)
    }

    /// Ready when the lookup has an answer, or has failed; the handle ends then.
    pub fn poll_lookup(
        &mut self,
        id: LookupId,
        waker: &Waker,
    ) -> Poll<Result<Answer, ResolveError>> {
        match self.resolver.poll(id) {
            Some(result) => {
                self.lookups.waiting.remove(&id);
                Poll::Ready(result)
            }
            None => {
                self.lookups.waiting.entry(id).or_default().register(waker);
                Poll::Pending
            }
        }
    }

    /// Nobody waits for it any more.
    pub fn lookup_cancel(&mut self, id: LookupId) {
        self.resolver.cancel(id);
        self.end_lookup_waits(id);
        self.lookups.stirred = true;
    }

    /// What the resolver counted.
    pub fn resolver_stats(&self) -> &ResolverStats {
        self.resolver.stats()
    }

    pub(super) fn end_lookups(&mut self, scope: Scope) {
        self.resolver.end_scope(scope);
        // Whoever still waits polls once more, and learns that the lookup has ended. If nobody does
        // (the instance is gone), nothing of it stays here.
        let resolver = &self.resolver;
        self.lookups.waiting.retain(|id, wakers| {
            let goes_on = resolver.contains(*id);
            if !goes_on {
                wakers.wake();
            }
            goes_on
        });
        self.lookups.stirred = true;
    }

    fn end_lookup_waits(&mut self, id: LookupId) {
        if let Some(mut wakers) = self.lookups.waiting.remove(&id) {
            wakers.wake();
        }
    }

    /// Sends what the resolver has to send, and tells whom its answers concern.
    pub(super) fn pump_resolver(&mut self, now: Instant) {
        self.lookups.stirred = false;
        self.pump_streams(now);
        loop {
            let ports = &self.ports;
            let query = self.resolver.poll_transmit(now, |port| {
                let any = |ip: IpAddr| SocketAddr::new(ip, port);
                let v4 = any(Ipv4Addr::UNSPECIFIED.into());
                let v6 = any(Ipv6Addr::UNSPECIFIED.into());
                ports.is_taken(Transport::Udp, v4, RESOLVER)
                    || ports.is_taken(Transport::Udp, v6, RESOLVER)
            });
            let Some(query) = query else {
                break;
            };
            match query.via {
                Via::Datagram { local_port } => {
                    self.send_query(local_port, query.server, &query.message);
                }
                Via::Stream { stream } => self.open_stream(now, stream, query),
            }
        }
        while let Some(closed) = self.resolver.poll_closed_stream() {
            let streams = &mut self.lookups.streams;
            if let Some(at) = streams.iter().position(|stream| stream.id == closed) {
                let stream = streams.swap_remove(at);
                self.abort_flow(now, stream.tcp.0);
            }
        }
        while let Some(id) = self.resolver.poll_finished() {
            self.end_lookup_waits(id);
        }
    }

    fn send_query(&mut self, local_port: u16, server: SocketAddr, message: &[u8]) {
        // A server we have no address for is one that does not answer: the next one is asked.
        let Some(source) = self.source_for(Path::Wire, server.ip()) else {
            return;
        };
        if message.len() > self.datagram_max(Path::Wire, server) {
            return;
        }
        let source = SocketAddr::new(source, local_port);
        let frame = self
            .emit(Path::Wire)
            .datagram(source, server, HOP_LIMIT, message);
        self.send(Path::Wire, frame);
    }

    fn open_stream(&mut self, now: Instant, id: StreamId, query: Query) {
        let options = TcpOptions {
            rx_bytes: Some(16 << 10),
            tx_bytes: Some(4 << 10),
            ..TcpOptions::default()
        };
        match self.tcp_connect(now, RESOLVER, None, query.server, &options) {
            Ok(tcp) => self.lookups.streams.push(Stream {
                id,
                tcp,
                message: query.message,
                written: 0,
            }),
            Err(_) => self.resolver.handle_stream_failed(now, id),
        }
    }

    /// Moves bytes of the resolver's TCP exchanges; there are few.
    fn pump_streams(&mut self, now: Instant) {
        let mut streams = core::mem::take(&mut self.lookups.streams);
        streams.retain_mut(|stream| {
            let goes_on = self.pump_stream(now, stream);
            if !goes_on {
                self.abort_flow(now, stream.tcp.0);
                self.resolver.handle_stream_failed(now, stream.id);
            }
            goes_on
        });
        self.lookups.streams = streams;
    }

    /// False if the exchange is over.
    fn pump_stream(&mut self, now: Instant, stream: &mut Stream) -> bool {
        // The resolver's flows are polled whenever they move; nobody is to be woken.
        let waker = Waker::noop();
        if stream.written < stream.message.len() {
            let rest = &stream.message[stream.written..];
            match self.poll_write(now, stream.tcp, rest, waker) {
                Poll::Ready(Ok(written)) => stream.written += written,
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => {}
            }
        }
        let mut bytes = [0; 2_048];
        loop {
            match self.poll_read(now, stream.tcp, &mut bytes, waker) {
                Poll::Ready(Ok(0) | Err(_)) => return false,
                Poll::Ready(Ok(read)) => {
                    self.resolver.handle_stream(now, stream.id, &bytes[..read]);
                }
                Poll::Pending => return true,
            }
        }
    }
}
