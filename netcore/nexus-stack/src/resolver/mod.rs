//! A stub resolver: asks the configured servers for a name's IPv4 and IPv6 addresses.
//!
//! Sans-IO. [`Resolver::start`] gives a lookup; what [`Resolver::poll_transmit`] gives is to be sent,
//! what comes back goes to [`Resolver::handle_datagram`] or [`Resolver::handle_stream`];
//! [`Resolver::poll_finished`] says which lookups can be asked for with [`Resolver::poll`].
//!
//! What holds:
//! - an answer counts only if it comes from the server that was asked, to the random port and with
//!   the random id of that query, and repeats the question (RFC 5452 section 9.1). Anything else is
//!   ignored and counted: a forger cannot end a lookup. Who hits a query's port
//!   [`limits::DNS_STRAYS`] times makes it move to another port and id, then to TCP;
//! - one name is asked for once at a time and scope, however many want it (RFC 5452 section 5: many
//!   open queries for one name make a forger's birthday attack);
//! - answers are cached per scope, see `cache`: no app learns what another one asked;
//! - an answer that is handed out holds for at least [`limits::DNS_TTL_SECS_MIN`], a cached one
//!   too, so that a connection made right after is made to what was judged;
//! - a lookup ends: each server is tried [`limits::DNS_TRIES`] times, a try is a datagram and, if the
//!   answer says so, a TCP exchange, of [`limits::DNS_TRY_MICROS`] each;
//! - `localhost` and its like are answered here, see `local`.
//!
//! Not supported: search domains and ndots, EDNS and DNSSEC, multicast DNS, DNS over TLS or HTTPS,
//! chasing a CNAME whose target the server left out (a recursive server does not), mixed-case
//! questions (some home routers answer them in lower case only).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nexus_types::{Duration, HostName, Instant, IpAddr, Seed, SocketAddr, limits};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::id::{Key, LookupId, Scope};
use crate::{Answer, ResolveError, ResolverConfig};

mod cache;
mod exchange;
mod job;
mod local;
mod message;
#[cfg(test)]
mod tests;

use cache::Cache;
use job::{Job, State};
use local::Local;
use message::{Family, Reply};

/// The longest message with the two bytes of length before it (RFC 1035 section 4.2.2).
const STREAM_BYTES_MAX: usize = 2 + limits::DNS_MESSAGE_BYTES as usize;

/// Something to send to a server.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Query {
    /// Where to.
    pub server: SocketAddr,
    /// How.
    pub via: Via,
    /// The bytes; for a stream with the length before them.
    pub message: Vec<u8>,
}

/// How a query travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// One datagram from this local port.
    Datagram {
        /// Ours until [`Resolver::owns_port`] says otherwise.
        local_port: u16,
    },
    /// A TCP connection of its own; what is read goes to [`Resolver::handle_stream`], an end or a failure
    /// to [`Resolver::handle_stream_failed`]. It is to be aborted when [`Resolver::poll_closed_stream`] says so.
    Stream {
        /// What it is called here.
        stream: StreamId,
    },
}

/// A TCP exchange. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamId(u64);

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// No query is open on that port.
    NotOurs,
    /// On a query's port, and not its answer: ignored.
    Stray,
    /// It was the answer.
    Answer,
}

/// Counters; they only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResolverStats {
    /// Queries handed out as datagrams.
    pub datagrams: u64,
    /// Queries handed out as TCP exchanges.
    pub streams: u64,
    /// Answers that were taken.
    pub answers: u64,
    /// What was not an answer and came to a query's port.
    pub strays: u64,
    /// Queries asked anew because of strays.
    pub renewals: u64,
    /// Tries that ended without an answer in time.
    pub timeouts: u64,
    /// Lookups answered from the cache.
    pub cached: u64,
}

/// One question of one job.
type AskKey = (u64, Family);

#[derive(Debug)]
struct Lookup {
    scope: Scope,
    state: LookupState,
}

#[derive(Debug)]
enum LookupState {
    Waiting(u64),
    Ready(Result<Answer, ResolveError>),
}

/// The stub resolver of one node.
pub struct Resolver {
    servers: Vec<SocketAddr>,
    local: Local,
    cache: Cache,
    rng: ChaCha20Rng,
    lookups: BTreeMap<LookupId, Lookup>,
    jobs: BTreeMap<u64, Job>,
    by_name: BTreeMap<(Scope, HostName), u64>,
    queue: VecDeque<AskKey>,
    ports: BTreeMap<u16, AskKey>,
    streams: BTreeMap<StreamId, AskKey>,
    timers: BTreeSet<(Instant, AskKey)>,
    finished: VecDeque<LookupId>,
    closed_streams: VecDeque<StreamId>,
    /// Numbers of lookups, jobs and streams: one after the other, none twice.
    next: u64,
    stats: ResolverStats,
}

impl Resolver {
    /// A resolver that asks `config.servers` in their order. Ports and ids are drawn from `seed`.
    pub fn new(config: ResolverConfig, seed: &Seed) -> Self {
        Self {
            servers: config.servers,
            local: Local::new(config.hosts),
            cache: Cache::default(),
            rng: ChaCha20Rng::from_seed(seed.bytes()),
            lookups: BTreeMap::new(),
            jobs: BTreeMap::new(),
            by_name: BTreeMap::new(),
            queue: VecDeque::new(),
            ports: BTreeMap::new(),
            streams: BTreeMap::new(),
            timers: BTreeSet::new(),
            finished: VecDeque::new(),
            closed_streams: VecDeque::new(),
            next: 0,
            stats: ResolverStats::default(),
        }
    }

    /// Asks others from now on. What waits for an answer of an old one is asked anew when its try ends.
    pub fn set_servers(&mut self, servers: Vec<SocketAddr>) {
        self.servers = servers;
    }

    /// Whom it asks.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The counters.
    pub fn stats(&self) -> &ResolverStats {
        &self.stats
    }

    /// Starts a lookup. It may be [`Resolver::poll`]ed at once; if nothing is there yet,
    /// [`Resolver::poll_finished`] names it later.
    pub fn start(
        &mut self,
        now: Instant,
        scope: Scope,
        name: &HostName,
    ) -> Result<LookupId, ResolveError> {
        let of_scope = self.lookups.values().filter(|lookup| lookup.scope == scope);
        if self.lookups.len() >= limits::DNS_LOOKUPS as usize
            || of_scope.count() >= limits::DNS_LOOKUPS_SCOPE as usize
        {
            return Err(ResolveError::TooMany);
        }
        let state = if let Some(addresses) = self.local.find(name) {
            let until = now + Duration::from_secs(limits::DNS_TTL_SECS_MAX);
            LookupState::Ready(answer(now, addresses, until))
        } else if let Some(entry) = self.cache.find(now, scope, name) {
            self.stats.cached += 1;
            LookupState::Ready(answer(now, &entry.addresses, entry.until))
        } else {
            LookupState::Waiting(self.job(scope, name)?)
        };
        let number = self.number();
        let id = LookupId(Key {
            index: number as u32,
            generation: (number >> 32) as u32,
        });
        if let LookupState::Waiting(job) = state
            && let Some(job) = self.jobs.get_mut(&job)
        {
            job.waiters.push(id);
        }
        self.lookups.insert(id, Lookup { scope, state });
        Ok(id)
    }

    /// The lookup's result, if it is there; the lookup ends with it. An ended one is `Closed`.
    pub fn poll(&mut self, id: LookupId) -> Option<Result<Answer, ResolveError>> {
        match self.lookups.get(&id).map(|lookup| &lookup.state) {
            Some(LookupState::Waiting(_)) => return None,
            Some(LookupState::Ready(_)) => {}
            None => return Some(Err(ResolveError::Closed)),
        }
        match self.lookups.remove(&id)?.state {
            LookupState::Ready(result) => Some(result),
            LookupState::Waiting(_) => None,
        }
    }

    /// Whether the lookup has not ended: it was started, and neither cancelled nor polled for its result.
    pub fn contains(&self, id: LookupId) -> bool {
        self.lookups.contains_key(&id)
    }

    /// Nobody waits for it any more. Its queries end if they are nobody else's.
    pub fn cancel(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.remove(&id) else {
            return;
        };
        if let LookupState::Waiting(number) = lookup.state
            && let Some(job) = self.jobs.get_mut(&number)
        {
            job.waiters.retain(|waiter| *waiter != id);
            if job.waiters.is_empty() {
                self.end_job(number);
            }
        }
    }

    /// Ends the lookups of a scope and forgets its answers.
    pub fn end_scope(&mut self, scope: Scope) {
        let ids: Vec<LookupId> = self
            .lookups
            .iter()
            .filter(|(_, lookup)| lookup.scope == scope)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.cancel(id);
        }
        self.cache.end_scope(scope);
    }

    /// A lookup whose result came since the last time; each is named once.
    pub fn poll_finished(&mut self) -> Option<LookupId> {
        self.finished.pop_front()
    }

    /// A TCP exchange that is to be aborted; each that was handed out and did not fail is named once.
    pub fn poll_closed_stream(&mut self) -> Option<StreamId> {
        self.closed_streams.pop_front()
    }

    /// Whether an open query waits for its answer on this local port: what comes for it is to be given to
    /// [`Resolver::handle_datagram`], and nobody else may bind it.
    pub fn owns_port(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// The next query to send. `taken` says which local UDP ports others have.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        mut taken: impl FnMut(u16) -> bool,
    ) -> Option<Query> {
        while let Some(key) = self.queue.pop_front() {
            if let Some(query) = self.transmit(now, key, &mut taken) {
                return Some(query);
            }
        }
        None
    }

    /// When [`Resolver::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Ends the tries whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().copied()
            && at <= now
        {
            self.stats.timeouts += 1;
            self.try_failed(now, key, ResolveError::TimedOut);
        }
    }

    /// A datagram came from `from` to our port `local_port`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local_port: u16,
        bytes: &[u8],
    ) -> Taken {
        let Some(key) = self.ports.get(&local_port).copied() else {
            return Taken::NotOurs;
        };
        let Some(job) = self.jobs.get(&key.0) else {
            return Taken::NotOurs;
        };
        let ask = job.ask(key.1);
        let State::Datagram { id, .. } = ask.state else {
            return Taken::NotOurs;
        };
        let server = self.server(ask.attempt);
        let reply = if server.is_some_and(|server| same_peer(from, server)) {
            message::read(bytes, id, &job.wire_name, key.1)
        } else {
            Err(message::Stray)
        };
        match reply {
            Ok(reply) => {
                self.stats.answers += 1;
                self.take(now, key, reply);
                Taken::Answer
            }
            Err(message::Stray) => {
                self.stats.strays += 1;
                self.count_stray(key);
                Taken::Stray
            }
        }
    }

    /// Bytes came on a TCP exchange, in whatever pieces. A server that breaks the protocol there is
    /// given up for this try.
    pub fn handle_stream(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        let Some(key) = self.streams.get(&stream).copied() else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&key.0) else {
            return;
        };
        let State::Stream { id, received, .. } = &mut job.ask_mut(key.1).state else {
            return;
        };
        let room = STREAM_BYTES_MAX - received.len();
        received.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let Some((length, message)) = received.split_first_chunk::<2>() else {
            return;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > limits::DNS_MESSAGE_BYTES as usize {
            self.try_failed(now, key, ResolveError::BadAnswer);
            return;
        }
        let Some(message) = message.get(..length) else {
            return;
        };
        let (id, message) = (*id, message.to_vec());
        match message::read(&message, id, &job.wire_name, key.1) {
            // Truncated here too: a server that never gives the whole answer (or makes us loop).
            Ok(Reply::Truncated) | Err(message::Stray) => {
                self.try_failed(now, key, ResolveError::BadAnswer);
            }
            Ok(reply) => {
                self.stats.answers += 1;
                self.take(now, key, reply);
            }
        }
    }

    /// A TCP exchange could not be made, or ended before its answer was whole. It is gone.
    pub fn handle_stream_failed(&mut self, now: Instant, stream: StreamId) {
        if let Some(key) = self.streams.remove(&stream) {
            self.try_failed(now, key, ResolveError::ServerFailed);
        }
        self.closed_streams.retain(|closed| *closed != stream);
    }
}

/// What is handed out holds for a while, however little of its time is left.
fn answer(now: Instant, addresses: &[IpAddr], until: Instant) -> Result<Answer, ResolveError> {
    if addresses.is_empty() {
        return Err(ResolveError::NotFound);
    }
    Ok(Answer {
        addresses: addresses.to_vec(),
        until: until.max(now + Duration::from_secs(limits::DNS_TTL_SECS_MIN)),
    })
}

/// The IPv6 flow label and zone are no part of who sent a datagram.
fn same_peer(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}
