//! DNS queries of the node, passed to the system's resolvers and their answers passed back.
//!
//! A query is asked of the first resolver; of the next as well when the one before has failed, or
//! has not answered within [`PATIENCE`]. The first useful answer wins. When every resolver has
//! failed, or none is configured, the node is told so at once (SERVFAIL, RFC 1035 section 4.1.1);
//! when they are merely slow, its own timer decides, since an answer may still come.
//!
//! Queries over TCP are connections like any other, see `tcp`.

use std::io;

use mio::net::UdpSocket;
use nexus_types::{Duration, Instant, SocketAddr};

use crate::kernel::{Kernel, Step, Tenant, Turn};
use crate::udp;

/// How long a resolver is waited for before the next is asked too.
const PATIENCE: Duration = Duration::from_secs(1);

/// The header, RFC 1035 section 4.1.1.
const HEADER: usize = 12;
/// A query has one name and perhaps an OPT record; a larger one is none.
const QUERY_BYTES_MAX: usize = 1_232;
/// Datagrams read of one query's sockets in one turn: forged answers must not hold the shard.
const TURN_ANSWERS: usize = 16;

pub(crate) struct DnsQuery {
    node: SocketAddr,
    asked: SocketAddr,
    query: Box<[u8]>,
    /// The resolvers not asked yet, the next one last.
    more: Vec<SocketAddr>,
    /// Those whose answer may come.
    pending: Vec<UdpSocket>,
    /// The best there is: a failure that a resolver reported.
    failure: Option<Vec<u8>>,
    over: Instant,
    overdue: bool,
}

/// What became of a query.
pub(crate) enum Asked {
    /// It is on its way, or dropped.
    Done,
    /// It failed at once; this is the answer.
    Failed(Vec<u8>),
}

pub(crate) fn ask(
    kernel: &mut Kernel,
    now: Instant,
    node: SocketAddr,
    asked: SocketAddr,
    query: &[u8],
) -> Asked {
    let sound = (HEADER..=QUERY_BYTES_MAX).contains(&query.len()) && !is_answer(query);
    if !sound {
        kernel.stats.dropped_datagrams += 1;
        return Asked::Done;
    }
    if kernel.stats.dns_queries >= kernel.limits.dns_queries || !kernel.has_room() {
        kernel.stats.refused_limit += 1;
        return Asked::Failed(servfail(query));
    }
    let mut more = kernel.resolvers.servers(now).to_vec();
    more.reverse();
    let mut query = DnsQuery {
        node,
        asked,
        query: query.into(),
        more,
        pending: Vec::new(),
        failure: None,
        over: now + kernel.limits.dns,
        overdue: false,
    };
    let number = kernel.slots.next();
    if !query.ask_next(kernel, number) {
        return Asked::Failed(servfail(&query.query));
    }
    kernel.stats.dns_queries += 1;
    kernel.slots.insert(Tenant::Dns(query), now + PATIENCE);
    Asked::Done
}

impl DnsQuery {
    pub(crate) fn handle_overdue(&mut self) {
        self.overdue = true;
    }

    /// Asks the next resolver that can be asked, if there is one.
    fn ask_next(&mut self, kernel: &mut Kernel, number: crate::slots::Number) -> bool {
        while let Some(server) = self.more.pop() {
            let asked = udp::connect(server).and_then(|mut socket| {
                kernel.register(&mut socket, Some(number))?;
                socket.send(&self.query)?;
                Ok(socket)
            });
            if let Ok(socket) = asked {
                self.pending.push(socket);
                return true;
            }
        }
        false
    }

    pub(crate) fn serve(mut self, turn: &mut Turn<'_>) -> Step {
        let mut looks = TURN_ANSWERS;
        let mut index = 0;
        while index < self.pending.len() {
            if looks == 0 {
                return Step::Again(Tenant::Dns(self));
            }
            looks -= 1;
            match self.pending[index].recv(&mut turn.kernel.scratch) {
                Ok(bytes) => {
                    let answer = turn.kernel.scratch[..bytes].to_vec();
                    if !is_answer(&answer) || answer.get(..2) != self.query.get(..2) {
                        continue;
                    }
                    if !is_failure(&answer) {
                        return self.end(turn, &answer);
                    }
                    self.failure = Some(answer);
                    self.pending.swap_remove(index);
                    self.ask_next(turn.kernel, turn.number);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => index += 1,
                    io::ErrorKind::Interrupted => {}
                    // Nobody there, or no way there.
                    _ => {
                        self.pending.swap_remove(index);
                        self.ask_next(turn.kernel, turn.number);
                    }
                },
            }
        }
        if self.pending.is_empty() {
            let failure = self.failure.take();
            let failure = failure.unwrap_or_else(|| servfail(&self.query));
            return self.end(turn, &failure);
        }
        if std::mem::take(&mut self.overdue) {
            if turn.now >= self.over {
                return Step::End;
            }
            let asked = self.ask_next(turn.kernel, turn.number);
            let next = if asked && !self.more.is_empty() {
                self.over.min(turn.now + PATIENCE)
            } else {
                self.over
            };
            turn.kernel.slots.set_deadline(turn.number, next);
        }
        Step::Keep(Tenant::Dns(self))
    }

    fn end(self, turn: &mut Turn<'_>, answer: &[u8]) -> Step {
        udp::send_to_node(
            turn.stack,
            turn.kernel,
            turn.now,
            self.asked,
            self.node,
            answer,
        );
        Step::End
    }
}

fn is_answer(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & 0x80 != 0
}

/// Anything but an answer (0) or "no such name" (3): another resolver may know better.
fn is_failure(answer: &[u8]) -> bool {
    !matches!(answer[3] & 0x0f, 0 | 3)
}

/// "I could not", with the question of `query`, which has a whole header.
fn servfail(query: &[u8]) -> Vec<u8> {
    let question = question_end(query);
    let mut answer = query[..question.unwrap_or(HEADER)].to_vec();
    // A response, to the same kind of query, that recursed as it was asked to (RD is kept).
    answer[2] = 0x80 | (query[2] & 0x79);
    answer[3] = 0x80 | 2;
    answer[4..HEADER].fill(0);
    answer[5] = u8::from(question.is_some());
    answer
}

/// Where the one question of a query ends; names in it are not compressed.
fn question_end(query: &[u8]) -> Option<usize> {
    if query.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let length = *query.get(at)?;
        at += 1 + usize::from(length);
        match length {
            0 => break,
            1..=63 => {}
            _ => return None,
        }
    }
    let end = at + 4;
    (end <= query.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Vec<u8> {
        let mut query = vec![0x12, 0x34, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
        query.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
        query.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        query
    }

    #[test]
    fn servfail_repeats_id_and_question_alone() {
        let answer = servfail(&query());
        assert_eq!(
            answer[..HEADER],
            [0x12, 0x34, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(&answer[HEADER..], b"\x01a\x07example\x00\x00\x01\x00\x01");
        assert!(is_answer(&answer) && is_failure(&answer));
    }

    #[test]
    fn reject_questions_cut_at_every_length() {
        let query = query();
        let whole = HEADER + 15;
        for length in HEADER..query.len() {
            let answer = servfail(&query[..length]);
            assert_eq!(answer[5], u8::from(length >= whole), "{length}");
        }
        let mut looped = query;
        looped[HEADER] = 0xc0;
        assert_eq!(servfail(&looped).len(), HEADER);
    }
}
