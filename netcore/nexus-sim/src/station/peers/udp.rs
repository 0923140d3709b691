//! A peer that answers datagrams by what they begin with.

use core::task::Poll;
use std::sync::Arc;

use nexus_node::UdpSocket;
use nexus_types::{Duration, SocketAddr};

use super::check;
use super::error::ScriptError;
use super::outbox::{Outbox, bound};
use super::report::{Report, clip};
use crate::limits;
use crate::machine::Note;
use crate::station::{App, Turn};

/// How some datagrams are answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UdpAnswer {
    /// Which: those that begin with these bytes; none: every one.
    pub prefix: Option<Vec<u8>>,
    /// A datagram each, in this order, to whom the question came from; one that fits no packet of the link is a
    /// failure when it is sent. None: it is not answered.
    pub replies: Vec<Vec<u8>>,
    /// They go so long after the question came.
    pub delay: Duration,
}

/// What a peer answers: the first that matches counts. What nothing matches is noted in the trace and ignored.
#[derive(Clone, Debug)]
pub struct UdpScript(Arc<[Kept]>);

/// A [`UdpAnswer`] whose replies can wait without being copied.
#[derive(Debug)]
struct Kept {
    prefix: Option<Vec<u8>>,
    replies: Vec<Arc<[u8]>>,
    delay: Duration,
}

impl UdpScript {
    /// A script of these.
    ///
    /// # Errors
    /// Answers, replies, bytes or a delay over their limit; an answer that an earlier one leaves nothing to.
    pub fn new(answers: Vec<UdpAnswer>) -> Result<Self, ScriptError> {
        check::count("answers", answers.len(), limits::PEER_STEPS)?;
        let prefix = |answer: &UdpAnswer| answer.prefix.as_ref().map_or(0, Vec::len);
        let bytes = answers.iter().map(|answer| {
            let replies = answer.replies.iter().map(Vec::len);
            prefix(answer) + replies.sum::<usize>()
        });
        check::count("bytes of script", bytes.sum(), limits::PEER_SCRIPT_BYTES)?;
        for (number, answer) in answers.iter().enumerate() {
            let checked = Self::check(answer).and_then(|()| {
                let all = answer.prefix.as_deref().unwrap_or_default();
                let earlier = answers[..number].iter().position(|earlier| {
                    let first = earlier.prefix.as_deref().unwrap_or_default();
                    all.starts_with(first)
                });
                earlier.map_or(Ok(()), |earlier| {
                    let why = format!("answer {} matches all that it does", earlier + 1);
                    Err(ScriptError::new(why))
                })
            });
            checked.map_err(|why| ScriptError::new(format!("answer {}: {why}", number + 1)))?;
        }
        let kept = answers.into_iter().map(|answer| Kept {
            prefix: answer.prefix,
            replies: answer.replies.into_iter().map(Into::into).collect(),
            delay: answer.delay,
        });
        Ok(Self(kept.collect()))
    }

    fn check(answer: &UdpAnswer) -> Result<(), ScriptError> {
        check::wait(answer.delay)?;
        check::count("replies", answer.replies.len(), limits::PEER_REPLIES)?;
        for reply in &answer.replies {
            check::count(
                "bytes of datagram",
                reply.len(),
                limits::PEER_DATAGRAM_BYTES,
            )?;
        }
        Ok(())
    }

    fn answer(&self, datagram: &[u8]) -> Option<&Kept> {
        self.0.iter().find(|answer| match &answer.prefix {
            Some(prefix) => datagram.starts_with(prefix),
            None => true,
        })
    }
}

/// A peer with a [`UdpScript`].
pub(super) struct UdpPeer {
    local: SocketAddr,
    script: UdpScript,
    report: Report,
    socket: Option<UdpSocket>,
    outbox: Outbox<Arc<[u8]>>,
}

impl UdpPeer {
    pub(super) fn new(local: SocketAddr, script: UdpScript, report: Report) -> Self {
        Self {
            local,
            script,
            report,
            socket: None,
            outbox: Outbox::default(),
        }
    }

    fn fail(&self, turn: &mut Turn<'_>, what: &str) {
        let text = format!("udp peer at {}: {what}", self.local);
        self.report.fail(turn, &text);
    }

    /// Takes a datagram, if there is one.
    fn receive(&mut self, turn: &mut Turn<'_>, socket: UdpSocket) -> bool {
        let script = &self.script;
        let polled = turn
            .node
            .poll_udp_receive(turn.now, socket, turn.waker, |from, data| {
                (from, data.len(), script.answer(data))
            });
        let (from, length, answer) = match polled {
            Poll::Pending => return false,
            Poll::Ready(Ok(received)) => received,
            // An ICMP error about an answer: whom it was for has gone.
            Poll::Ready(Err(_)) => return true,
        };
        let Some(answer) = answer else {
            let local = self.local;
            let text = format!("udp peer at {local}: nothing for {length} bytes from {from}");
            turn.note(Note::Text(clip(&text)));
            return true;
        };
        let at = turn.now + answer.delay;
        let mut replies = answer.replies.iter();
        if !replies.all(|reply| self.outbox.put(at, from, reply.clone())) {
            self.fail(
                turn,
                &format!("too many replies wait: one to {from} is lost"),
            );
        }
        true
    }
}

impl App for UdpPeer {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let socket = match bound(turn, &mut self.socket, self.local) {
            Ok(socket) => socket,
            Err(error) => {
                self.fail(turn, &format!("cannot be bound: {error}"));
                return Poll::Ready(());
            }
        };
        while self.receive(turn, socket) {}
        let (local, report) = (self.local, &self.report);
        self.outbox.send(turn, socket, |turn, to, error| {
            let text = format!("udp peer at {local}: a reply to {to} cannot be sent: {error}");
            report.fail(turn, &text);
        });
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(prefix: Option<&[u8]>, replies: Vec<Vec<u8>>) -> UdpAnswer {
        UdpAnswer {
            prefix: prefix.map(Into::into),
            replies,
            delay: Duration::ZERO,
        }
    }

    fn refused(answers: Vec<UdpAnswer>) -> String {
        UdpScript::new(answers).unwrap_err().to_string()
    }

    /// Goal: answers, replies, bytes and delays have a bound that is exact. Method: at each and one past it.
    #[test]
    fn scripts_at_and_over_the_limits() {
        let answers = |count: usize| {
            let prefix = |number: usize| number.to_be_bytes();
            (0..count)
                .map(|number| answer(Some(&prefix(number)), vec![]))
                .collect()
        };
        UdpScript::new(answers(limits::PEER_STEPS)).unwrap();
        assert!(refused(answers(limits::PEER_STEPS + 1)).contains("1025 answers"));
        let replies = |count, bytes| vec![answer(None, vec![vec![0; bytes]; count])];
        UdpScript::new(replies(limits::PEER_REPLIES, 1)).unwrap();
        assert!(refused(replies(limits::PEER_REPLIES + 1, 1)).contains("replies"));
        UdpScript::new(replies(1, limits::PEER_DATAGRAM_BYTES)).unwrap();
        let over = replies(1, limits::PEER_DATAGRAM_BYTES + 1);
        assert!(refused(over).contains("bytes of datagram"));
        let (count, bytes) = (128, limits::PEER_SCRIPT_BYTES / 128);
        UdpScript::new(replies(count, bytes)).unwrap();
        let over = replies(count, bytes + 1);
        assert!(refused(over).contains("bytes of script"));
        let mut late = answer(None, vec![]);
        late.delay = Duration::from_secs(limits::PEER_WAIT_SECONDS);
        UdpScript::new(vec![late.clone()]).unwrap();
        late.delay += Duration::from_nanos(1);
        assert!(refused(vec![late]).contains("wait"));
    }

    /// Goal: an answer that never counts is told to its writer. Method: after one for all, and after a shorter prefix;
    /// a longer one first is fine.
    #[test]
    fn reject_answers_that_nothing_is_left_to() {
        let all = answer(None, vec![]);
        let short = answer(Some(b"a"), vec![]);
        let long = answer(Some(b"ab"), vec![]);
        UdpScript::new(vec![long.clone(), short.clone(), all.clone()]).unwrap();
        let text = "answer 2: answer 1 matches all that it does";
        for answers in [
            vec![short.clone(), long],
            vec![all.clone(), short],
            vec![all.clone(), all],
        ] {
            assert_eq!(refused(answers), text);
        }
    }
}
