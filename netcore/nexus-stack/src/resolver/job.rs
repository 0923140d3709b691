//! One name being looked up: two questions side by side, and what comes of both.

use hickory_proto::rr::Name;
use nexus_types::{Duration, HostName, Instant, IpAddr, limits};

use super::StreamId;
use super::message::Family;
use crate::ResolveError;
use crate::id::{LookupId, Scope};

/// A name being looked up for those of one scope who want it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) scope: Scope,
    pub(super) name: HostName,
    pub(super) wire_name: Name,
    pub(super) waiters: Vec<LookupId>,
    asks: [Ask; 2],
}

/// One question, from server to server.
///
/// ```text
///            poll_transmit            TC, or too many strays
/// Queued ------------------> Waiting ------------------------> Queued (the same server, TCP)
///   ^                           |  ^ \
///   |     timeout, failure      |   \ \ answer
///   +---------------------------+    \ +----------------------> Ended
///   (the next server)                 strays (new port and id)
/// ```
#[derive(Debug)]
pub(super) struct Ask {
    /// Counts tries: which server, and which time around.
    pub(super) attempt: u32,
    /// Of this try.
    pub(super) renewals: u32,
    /// Why the tries so far failed.
    failure: ResolveError,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// To be handed out; a renewal keeps its deadline.
    Queued {
        over_tcp: bool,
        deadline: Option<Instant>,
    },
    Datagram {
        id: u16,
        port: u16,
        deadline: Instant,
        strays: u32,
    },
    Stream {
        id: u16,
        stream: StreamId,
        deadline: Instant,
        received: Vec<u8>,
    },
    Ended(Outcome),
}

/// What came of one question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Found {
        addresses: Vec<IpAddr>,
        ttl: Duration,
    },
    Nothing {
        ttl: Duration,
    },
    Failed(ResolveError),
}

/// What came of both: addresses (none: the name has none) and for how long, or why not.
pub(super) type Verdict = Result<(Vec<IpAddr>, Duration), ResolveError>;

impl Job {
    pub(super) fn new(scope: Scope, name: HostName, wire_name: Name) -> Self {
        Self {
            scope,
            name,
            wire_name,
            waiters: Vec::new(),
            asks: [Ask::new(), Ask::new()],
        }
    }

    pub(super) fn ask(&self, family: Family) -> &Ask {
        &self.asks[family as usize]
    }

    pub(super) fn ask_mut(&mut self, family: Family) -> &mut Ask {
        &mut self.asks[family as usize]
    }

    /// Notes that a try failed; says whether there is to be another one.
    ///
    /// With addresses of the other family at hand there is not: a server that is silent about
    /// one family (they exist) must not hold those of the other back for more than a try.
    pub(super) fn try_failed(&mut self, family: Family, why: ResolveError, servers: u32) -> bool {
        let other_found = self
            .asks
            .iter()
            .any(|ask| matches!(ask.state, State::Ended(Outcome::Found { .. })));
        let ask = self.ask_mut(family);
        ask.attempt += 1;
        ask.renewals = 0;
        // What a server said tells more than that another was silent.
        if why != ResolveError::TimedOut {
            ask.failure = why;
        }
        if other_found || ask.attempt >= servers.saturating_mul(limits::DNS_TRIES) {
            ask.state = State::Ended(Outcome::Failed(ask.failure));
            return false;
        }
        ask.state = State::Queued {
            over_tcp: false,
            deadline: None,
        };
        true
    }

    /// The verdict, once both questions have ended.
    ///
    /// Addresses are in the order of the answers, the families taking turns, IPv6 first (RFC 8305
    /// section 4, without its measurements): who tries them in order meets both families early,
    /// and the same answers give the same order. Destination sorting by RFC 6724 is left out:
    /// its rules compare source addresses, which the stack chooses per connection.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let [State::Ended(v4), State::Ended(v6)] = [&self.asks[0].state, &self.asks[1].state]
        else {
            return None;
        };
        Some(match (v4, v6) {
            (
                Outcome::Found { addresses: v4, ttl },
                Outcome::Found {
                    addresses: v6,
                    ttl: other,
                },
            ) => Ok((interleave(v6, v4), (*ttl).min(*other))),
            (Outcome::Found { addresses, ttl }, Outcome::Nothing { .. })
            | (Outcome::Nothing { .. }, Outcome::Found { addresses, ttl }) => {
                Ok((addresses.clone(), *ttl))
            }
            // Half an answer is used, and asked for again soon.
            (Outcome::Found { addresses, .. }, Outcome::Failed(_))
            | (Outcome::Failed(_), Outcome::Found { addresses, .. }) => Ok((
                addresses.clone(),
                Duration::from_secs(limits::DNS_TTL_SECS_MIN),
            )),
            (Outcome::Nothing { ttl }, Outcome::Nothing { ttl: other }) => {
                Ok((Vec::new(), (*ttl).min(*other)))
            }
            (Outcome::Failed(why), Outcome::Failed(ResolveError::TimedOut)) => Err(*why),
            (_, Outcome::Failed(why)) | (Outcome::Failed(why), _) => Err(*why),
        })
    }
}

impl Ask {
    fn new() -> Self {
        Self {
            attempt: 0,
            renewals: 0,
            failure: ResolveError::TimedOut,
            state: State::Queued {
                over_tcp: false,
                deadline: None,
            },
        }
    }
}

fn interleave(first: &[IpAddr], second: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = Vec::with_capacity(limits::DNS_ANSWERS as usize);
    for index in 0..first.len().max(second.len()) {
        addresses.extend(first.get(index));
        addresses.extend(second.get(index));
    }
    addresses.truncate(limits::DNS_ANSWERS as usize);
    addresses
}
