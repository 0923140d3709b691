//! How a question goes from try to try: ports, streams and deadlines are taken, and given back.

use nexus_types::{Duration, HostName, Instant, SocketAddr, limits};
use rand_core::Rng;

use super::cache::Entry;
use super::job::{Job, Outcome, State, Verdict};
use super::message::{self, Family, Reply};
use super::{AskKey, LookupState, Query, Resolver, StreamId, Via, answer};
use crate::id::Scope;
use crate::{Answer, ResolveError};

const TRY: Duration = Duration::from_micros(limits::DNS_TRY_MICROS);

/// How often a port is drawn before the try is given up: with half of all ports taken, one of 2^64
/// queries is.
const PORT_DRAWS: u32 = 64;

impl Resolver {
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// The server of an attempt; none if there are none any more.
    pub(super) fn server(&self, attempt: u32) -> Option<SocketAddr> {
        let at = (attempt as usize).checked_rem(self.servers.len())?;
        self.servers.get(at).copied()
    }

    /// The job that looks `name` up for `scope`; a new one if there is none.
    pub(super) fn job(&mut self, scope: Scope, name: &HostName) -> Result<u64, ResolveError> {
        if self.servers.is_empty() {
            return Err(ResolveError::Unavailable);
        }
        let key = (scope, name.clone());
        if let Some(job) = self.by_name.get(&key) {
            return Ok(*job);
        }
        let wire_name = message::wire_name(name).ok_or(ResolveError::NotFound)?;
        let number = self.number();
        self.jobs
            .insert(number, Job::new(scope, name.clone(), wire_name));
        self.by_name.insert(key, number);
        self.queue
            .extend(Family::BOTH.map(|family| (number, family)));
        Ok(number)
    }

    pub(super) fn transmit(
        &mut self,
        now: Instant,
        key: AskKey,
        taken: &mut impl FnMut(u16) -> bool,
    ) -> Option<Query> {
        let ask = self.jobs.get(&key.0)?.ask(key.1);
        let State::Queued { over_tcp, deadline } = ask.state else {
            return None;
        };
        let Some(server) = self.server(ask.attempt) else {
            self.try_failed(now, key, ResolveError::Unavailable);
            return None;
        };
        let id = self.rng.next_u32() as u16;
        let question = message::question(id, &self.jobs.get(&key.0)?.wire_name, key.1);
        let Some(mut message) = question else {
            self.try_failed(now, key, ResolveError::Unavailable);
            return None;
        };
        let deadline = deadline.unwrap_or(now + TRY);
        let (via, state) = if over_tcp {
            let stream = StreamId(self.number());
            self.streams.insert(stream, key);
            self.stats.streams += 1;
            // A header, one name and two numbers: 271 bytes at most.
            let length = message.len() as u16;
            message.splice(0..0, length.to_be_bytes());
            let received = Vec::new();
            (
                Via::Stream { stream },
                State::Stream {
                    id,
                    stream,
                    deadline,
                    received,
                },
            )
        } else {
            let Some(port) = self.draw_port(taken) else {
                self.try_failed(now, key, ResolveError::Unavailable);
                return None;
            };
            self.ports.insert(port, key);
            self.stats.datagrams += 1;
            (
                Via::Datagram { local_port: port },
                State::Datagram {
                    id,
                    port,
                    deadline,
                    strays: 0,
                },
            )
        };
        self.timers.insert((deadline, key));
        self.jobs.get_mut(&key.0)?.ask_mut(key.1).state = state;
        Some(Query {
            server,
            via,
            message,
        })
    }

    /// RFC 5452 section 9.2: from the largest range there is, 1024 and up.
    fn draw_port(&mut self, taken: &mut impl FnMut(u16) -> bool) -> Option<u16> {
        for _ in 0..PORT_DRAWS {
            let port = self.rng.next_u32() as u16;
            if port >= 1_024 && !self.ports.contains_key(&port) && !taken(port) {
                return Some(port);
            }
        }
        None
    }

    /// Frees what a waiting question holds: its port or stream, and its timer.
    fn release(&mut self, key: AskKey) {
        let Some(job) = self.jobs.get(&key.0) else {
            return;
        };
        match &job.ask(key.1).state {
            State::Datagram { port, deadline, .. } => {
                self.ports.remove(port);
                self.timers.remove(&(*deadline, key));
            }
            State::Stream {
                stream, deadline, ..
            } => {
                if self.streams.remove(stream).is_some() {
                    self.closed_streams.push_back(*stream);
                }
                self.timers.remove(&(*deadline, key));
            }
            State::Queued { .. } | State::Ended(_) => {}
        }
    }

    pub(super) fn try_failed(&mut self, now: Instant, key: AskKey, why: ResolveError) {
        self.release(key);
        let servers = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let Some(job) = self.jobs.get_mut(&key.0) else {
            return;
        };
        if job.try_failed(key.1, why, servers) {
            self.queue.push_back(key);
        } else {
            self.finish_if_ended(now, key.0);
        }
    }

    fn requeue(&mut self, key: AskKey, over_tcp: bool, deadline: Option<Instant>) {
        self.release(key);
        if let Some(job) = self.jobs.get_mut(&key.0) {
            job.ask_mut(key.1).state = State::Queued { over_tcp, deadline };
            self.queue.push_back(key);
        }
    }

    pub(super) fn take(&mut self, now: Instant, key: AskKey, reply: Reply) {
        let outcome = match reply {
            Reply::Found { addresses, ttl } => Outcome::Found { addresses, ttl },
            Reply::Nothing { ttl } => Outcome::Nothing { ttl },
            Reply::Endless => Outcome::Failed(ResolveError::BadAnswer),
            Reply::Truncated => return self.requeue(key, true, None),
            Reply::Failed => return self.try_failed(now, key, ResolveError::ServerFailed),
        };
        self.release(key);
        if let Some(job) = self.jobs.get_mut(&key.0) {
            job.ask_mut(key.1).state = State::Ended(outcome);
        }
        self.finish_if_ended(now, key.0);
    }

    /// A renewed question has no more time than the first: a forger does not make a lookup longer, but for
    /// the one TCP exchange at the end.
    pub(super) fn count_stray(&mut self, key: AskKey) {
        let Some(job) = self.jobs.get_mut(&key.0) else {
            return;
        };
        let ask = job.ask_mut(key.1);
        let State::Datagram {
            strays, deadline, ..
        } = &mut ask.state
        else {
            return;
        };
        *strays += 1;
        if *strays < limits::DNS_STRAYS {
            return;
        }
        let deadline = *deadline;
        self.stats.renewals += 1;
        if ask.renewals < limits::DNS_RENEWALS {
            ask.renewals += 1;
            self.requeue(key, false, Some(deadline));
        } else {
            self.requeue(key, true, None);
        }
    }

    fn finish_if_ended(&mut self, now: Instant, number: u64) {
        let Some(verdict) = self.jobs.get(&number).and_then(Job::verdict) else {
            return;
        };
        let Some(job) = self.end_job(number) else {
            return;
        };
        let result = self.keep(now, job.scope, job.name, verdict);
        for id in job.waiters {
            if let Some(lookup) = self.lookups.get_mut(&id) {
                lookup.state = LookupState::Ready(result.clone());
                self.finished.push_back(id);
            }
        }
    }

    /// Caches what a server said. Failures are not cached: the next lookup tries again.
    fn keep(
        &mut self,
        now: Instant,
        scope: Scope,
        name: HostName,
        verdict: Verdict,
    ) -> Result<Answer, ResolveError> {
        let (addresses, ttl) = verdict?;
        let until = now + ttl;
        let result = answer(now, &addresses, until);
        self.cache
            .insert(now, scope, name, Entry { addresses, until });
        result
    }

    pub(super) fn end_job(&mut self, number: u64) -> Option<Job> {
        for family in Family::BOTH {
            self.release((number, family));
        }
        let job = self.jobs.remove(&number)?;
        self.queue.retain(|(job, _)| *job != number);
        self.by_name.remove(&(job.scope, job.name.clone()));
        Some(job)
    }
}
