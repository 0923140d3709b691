//! A peer that does the same steps on every TCP connection.

use core::task::{Poll, ready};
use std::sync::Arc;

use nexus_node::NetError;
use nexus_types::{Duration, Instant, SocketAddr};

use super::call::{Call, End, Talk, Talking};
use super::check;
use super::door::Door;
use super::error::ScriptError;
use super::report::{Expecting, Report};
use crate::limits;
use crate::station::apps::KEEP_ALIVE;
use crate::station::{App, Turn};

/// What a [`TcpScript`] does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Reads as many bytes and compares. Others, or an end before: a failure, and a reset.
    Expect(Vec<u8>),
    /// Reads until these have come; what is before them may be anything. Not within
    /// [`limits::PEER_UNTIL_BYTES`], or an end before: a failure, and a reset.
    ExpectUntil(Vec<u8>),
    /// Lets so much time pass, whatever comes.
    Wait(Duration),
    /// Finishes its direction, and reads on.
    Finish,
    /// Waits until the far end has finished. A byte before that: a failure, and a reset.
    ExpectEnd,
    /// Resets the connection.
    Reset,
    /// Never goes on: reads and writes nothing more.
    Stall,
}

impl Step {
    const fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Expect(_) => "expect",
            Self::ExpectUntil(_) => "expect until",
            Self::Wait(_) => "wait",
            Self::Finish => "finish",
            Self::ExpectEnd => "expect end",
            Self::Reset => "reset",
            Self::Stall => "stall",
        }
    }

    const fn expects(&self) -> bool {
        matches!(
            self,
            Self::Expect(_) | Self::ExpectUntil(_) | Self::ExpectEnd
        )
    }
}

/// What a peer does on each connection. After the last step it finishes, and reads and throws away what comes until
/// the far end has finished too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpScript {
    steps: Arc<[Step]>,
    connections: u32,
}

impl TcpScript {
    /// Serves [`limits::PEER_CONNECTIONS`] at once.
    ///
    /// # Errors
    /// Steps, bytes or a wait over their limit; a step that does nothing; one that can never be done after those
    /// before it.
    pub fn new(steps: Vec<Step>) -> Result<Self, ScriptError> {
        check::count("steps", steps.len(), limits::PEER_STEPS)?;
        let bytes = steps.iter().map(|step| match step {
            Step::Send(bytes) | Step::Expect(bytes) | Step::ExpectUntil(bytes) => bytes.len(),
            _ => 0,
        });
        check::count("bytes of script", bytes.sum(), limits::PEER_SCRIPT_BYTES)?;
        let mut before = Before::default();
        for (number, step) in (1_usize..).zip(&steps) {
            before.check(step).map_err(|why| {
                let name = step.name();
                ScriptError::new(format!("step {number} ({name}): {why}"))
            })?;
        }
        Ok(Self {
            steps: steps.into(),
            connections: limits::PEER_CONNECTIONS,
        })
    }

    /// One that takes connections and then does nothing.
    pub fn silent() -> Self {
        Self {
            steps: [Step::Stall].into(),
            connections: limits::PEER_CONNECTIONS,
        }
    }

    /// Serves so many connections at once; one more is reset.
    ///
    /// # Errors
    /// None, or more than [`limits::PEER_CONNECTIONS`].
    pub fn at_once(mut self, connections: u32) -> Result<Self, ScriptError> {
        let most = limits::PEER_CONNECTIONS;
        if !(1..=most).contains(&connections) {
            let why = format!("{connections} connections at once: 1 to {most} can be served");
            return Err(ScriptError::new(why));
        }
        self.connections = connections;
        Ok(self)
    }
}

impl TcpScript {
    pub(super) fn run(&self) -> Run {
        Run::new(self.steps.clone())
    }
}

/// What the steps before one have done for good.
#[derive(Default)]
struct Before {
    finished: bool,
    ended: bool,
    over: Option<&'static str>,
}

impl Before {
    fn check(&mut self, step: &Step) -> Result<(), ScriptError> {
        if let Some(over) = self.over {
            let why = format!("nothing comes after a step of {over}");
            return Err(ScriptError::new(why));
        }
        if self.finished && matches!(step, Step::Send(_) | Step::Finish) {
            return Err(ScriptError::new("its direction is finished already"));
        }
        if self.ended && step.expects() {
            return Err(ScriptError::new("the far end has finished already"));
        }
        match step {
            Step::Send(bytes) | Step::Expect(bytes) if bytes.is_empty() => {
                return Err(ScriptError::new("there are no bytes"));
            }
            Step::ExpectUntil(bytes) => {
                if bytes.is_empty() {
                    return Err(ScriptError::new("there are no bytes"));
                }
                let most = limits::PEER_DELIMITER_BYTES;
                check::count("bytes of delimiter", bytes.len(), most)?;
            }
            Step::Wait(time) => check::wait(*time)?,
            Step::Finish => self.finished = true,
            Step::ExpectEnd => self.ended = true,
            Step::Reset | Step::Stall => self.over = Some(step.name()),
            Step::Send(_) | Step::Expect(_) => {}
        }
        Ok(())
    }
}

/// A peer with a [`TcpScript`].
pub(super) struct TcpPeer {
    door: Door,
    script: TcpScript,
}

impl TcpPeer {
    pub(super) fn new(local: SocketAddr, script: TcpScript, report: Report) -> Self {
        Self {
            door: Door::new("tcp peer", local, script.connections, report),
            script,
        }
    }
}

impl App for TcpPeer {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let script = &self.script;
        self.door
            .poll(turn, |call| Talking::new(call, script.run()))
    }
}

/// Where the script is on one connection.
pub(super) struct Run {
    steps: Arc<[Step]>,
    at: usize,
    /// Bytes of the step that are done.
    done: usize,
    /// The last bytes that were read in search of a delimiter: as many as it has, at most.
    last: Vec<u8>,
    /// When the wait ends.
    until: Option<Instant>,
    /// The step at hand expects something, or one after it does.
    expecting: Option<Expecting>,
}

impl Run {
    fn new(steps: Arc<[Step]>) -> Self {
        Self {
            steps,
            at: 0,
            done: 0,
            last: Vec::new(),
            until: None,
            expecting: None,
        }
    }

    /// The step at hand. Ready: it is done, or what came is not what it expects, or the connection failed.
    fn step(
        &mut self,
        step: &Step,
        turn: &mut Turn<'_>,
        call: &mut Call,
    ) -> Poll<Result<Result<(), String>, NetError>> {
        match step {
            Step::Send(bytes) => ready!(call.write(turn, bytes, &mut self.done))?,
            Step::Expect(bytes) => return self.expect(bytes, turn, call),
            Step::ExpectUntil(delimiter) => return self.expect_until(delimiter, turn, call),
            Step::Wait(time) => {
                let until = *self.until.get_or_insert(turn.now + *time);
                if turn.now < until {
                    turn.wake_at(until);
                    return Poll::Pending;
                }
            }
            Step::Finish => call.finish(turn)?,
            Step::ExpectEnd => {
                if let Some(byte) = ready!(call.fill(turn))?.first() {
                    let why = format!("{} came, not the end", byte_text(*byte));
                    return Poll::Ready(Ok(Err(why)));
                }
            }
            // Not a step that is ever done: see `poll`.
            Step::Reset => {}
            Step::Stall => {
                // What is not read wakes nobody again, but a connection that is gone must not keep its place.
                if let Poll::Ready(flushed) =
                    turn.node.poll_flushed(turn.now, call.socket, turn.waker)
                {
                    flushed?;
                }
                turn.wake_at(turn.now + KEEP_ALIVE);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(Ok(())))
    }

    fn expect(
        &mut self,
        expected: &[u8],
        turn: &mut Turn<'_>,
        call: &mut Call,
    ) -> Poll<Result<Result<(), String>, NetError>> {
        while let Some(rest) = expected.get(self.done..)
            && !rest.is_empty()
        {
            let came = ready!(call.fill(turn))?;
            let count = came.len().min(rest.len());
            let differs = came.iter().zip(rest).position(|(a, b)| a != b);
            let why = if count == 0 {
                let (done, all) = (self.done, expected.len());
                Some(format!("it ended after {done} of {all} bytes"))
            } else {
                differs.map(|at| {
                    let (place, came, want) = (self.done + at, came[at], rest[at]);
                    let (came, want) = (byte_text(came), byte_text(want));
                    format!("byte {place} is {came}, not {want}")
                })
            };
            if let Some(why) = why {
                return Poll::Ready(Ok(Err(why)));
            }
            call.take(count);
            self.done += count;
        }
        Poll::Ready(Ok(Ok(())))
    }

    fn expect_until(
        &mut self,
        delimiter: &[u8],
        turn: &mut Turn<'_>,
        call: &mut Call,
    ) -> Poll<Result<Result<(), String>, NetError>> {
        loop {
            let came = ready!(call.fill(turn))?;
            if came.is_empty() {
                let why = format!("it ended after {} bytes, without them", self.done);
                return Poll::Ready(Ok(Err(why)));
            }
            let (mut count, mut found) = (0, false);
            for byte in came {
                if self.done == limits::PEER_UNTIL_BYTES {
                    let why = format!("not within {} bytes", self.done);
                    return Poll::Ready(Ok(Err(why)));
                }
                if self.last.len() == delimiter.len() {
                    self.last.remove(0);
                }
                self.last.push(*byte);
                self.done += 1;
                count += 1;
                found = self.last == delimiter;
                if found {
                    break;
                }
            }
            call.take(count);
            if found {
                return Poll::Ready(Ok(Ok(())));
            }
        }
    }
}

impl Talk for Run {
    fn poll(&mut self, turn: &mut Turn<'_>, call: &mut Call) -> Poll<Result<End, NetError>> {
        let steps = self.steps.clone();
        while let Some(step) = steps.get(self.at) {
            if *step == Step::Reset {
                return Poll::Ready(Ok(End::Reset));
            }
            if self.expecting.is_none()
                && let Some(ahead) = steps[self.at..].iter().position(Step::expects)
            {
                let at = self.at + ahead;
                let (number, name) = (at + 1, steps[at].name());
                let what = match ahead {
                    0 => "is still waiting",
                    _ => "was not come to",
                };
                let text = call.text(&format!("step {number} ({name}) {what}"));
                self.expecting = Some(call.report.expect(&text));
            }
            let wrong = match ready!(self.step(step, turn, call)) {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                // A connection that breaks while something is expected does not bring it.
                Err(error) if step.expects() => Some(format!("the connection failed: {error}")),
                Err(error) => return Poll::Ready(Err(error)),
            };
            if let Some(why) = wrong {
                let (number, name) = (self.at + 1, step.name());
                call.fail(turn, &format!("step {number} ({name}): {why}"));
                return Poll::Ready(Ok(End::Reset));
            }
            self.at += 1;
            self.done = 0;
            self.last.clear();
            self.until = None;
            self.expecting = None;
        }
        Poll::Ready(Ok(End::Finish))
    }
}

/// A byte as a text shows it.
fn byte_text(byte: u8) -> String {
    if byte.is_ascii_graphic() {
        format!("{byte:#04x} ('{}')", char::from(byte))
    } else {
        format!("{byte:#04x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(steps: Vec<Step>) -> String {
        TcpScript::new(steps).unwrap_err().to_string()
    }

    /// Goal: steps, bytes, delimiters and waits have a bound that is exact. Method: a script at each bound and one
    /// past it.
    #[test]
    fn scripts_at_and_over_the_limits() {
        let steps = |count| vec![Step::Send(vec![1]); count];
        TcpScript::new(steps(limits::PEER_STEPS)).unwrap();
        assert!(refused(steps(limits::PEER_STEPS + 1)).contains("1025 steps"));
        let bytes = |count| vec![Step::Send(vec![1]), Step::Expect(vec![0; count])];
        TcpScript::new(bytes(limits::PEER_SCRIPT_BYTES - 1)).unwrap();
        assert!(refused(bytes(limits::PEER_SCRIPT_BYTES)).contains("bytes of script"));
        let until = |count| vec![Step::ExpectUntil(vec![0; count])];
        TcpScript::new(until(limits::PEER_DELIMITER_BYTES)).unwrap();
        assert!(refused(until(limits::PEER_DELIMITER_BYTES + 1)).contains("delimiter"));
        let most = Duration::from_secs(limits::PEER_WAIT_SECONDS);
        TcpScript::new(vec![Step::Wait(most)]).unwrap();
        assert!(refused(vec![Step::Wait(most + Duration::from_nanos(1))]).contains("wait"));
    }

    /// Goal: connections at once have a bound that is exact, and none is no number. Method: at both ends and past
    /// them.
    #[test]
    fn connections_at_and_over_the_limit() {
        for fine in [1, limits::PEER_CONNECTIONS] {
            TcpScript::silent().at_once(fine).unwrap();
        }
        for wrong in [0, limits::PEER_CONNECTIONS + 1] {
            TcpScript::silent().at_once(wrong).unwrap_err();
        }
    }

    /// Goal: a script that can never be done is told to its writer. Method: one of each kind.
    #[test]
    fn reject_steps_that_can_never_be_done() {
        let send = || Step::Send(vec![1]);
        let wrong = [
            (
                vec![Step::Send(vec![])],
                "step 1 (send): there are no bytes",
            ),
            (
                vec![Step::Expect(vec![])],
                "step 1 (expect): there are no bytes",
            ),
            (
                vec![Step::ExpectUntil(vec![])],
                "step 1 (expect until): there are no",
            ),
            (
                vec![Step::Finish, send()],
                "step 2 (send): its direction is finished",
            ),
            (
                vec![Step::Finish, Step::Finish],
                "step 2 (finish): its direction",
            ),
            (
                vec![Step::ExpectEnd, Step::ExpectEnd],
                "step 2 (expect end): the far",
            ),
            (
                vec![send(), Step::Reset, send()],
                "step 3 (send): nothing comes after a step of reset",
            ),
            (
                vec![Step::Stall, Step::Finish],
                "nothing comes after a step of stall",
            ),
        ];
        for (steps, text) in wrong {
            let refused = refused(steps);
            assert!(refused.contains(text), "{refused}");
        }
    }
}
