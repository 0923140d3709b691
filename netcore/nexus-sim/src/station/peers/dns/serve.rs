//! A name server's socket, and its streams for what does not fit a datagram.

use core::task::{Poll, ready};

use nexus_node::{NetError, UdpSocket};
use nexus_types::{Instant, SocketAddr};

use super::DnsZone;
use super::answer::{Via, answer};
use crate::limits;
use crate::machine::Note;
use crate::station::peers::call::{Call, End, Talk, Talking};
use crate::station::peers::door::Door;
use crate::station::peers::outbox::{Outbox, bound};
use crate::station::peers::report::{Report, clip};
use crate::station::{App, Turn};

/// A peer with a [`DnsZone`]: datagrams, and it starts the app for streams.
pub(in crate::station::peers) struct DnsPeer {
    local: SocketAddr,
    zone: DnsZone,
    report: Report,
    socket: Option<UdpSocket>,
    outbox: Outbox<Vec<u8>>,
    streams: bool,
}

impl DnsPeer {
    pub(in crate::station::peers) fn new(local: SocketAddr, zone: DnsZone, report: Report) -> Self {
        Self {
            local,
            zone,
            report,
            socket: None,
            outbox: Outbox::default(),
            streams: false,
        }
    }

    fn fail(&self, turn: &mut Turn<'_>, what: &str) {
        let text = format!("dns peer at {}: {what}", self.local);
        self.report.fail(turn, &text);
    }

    /// Takes a message, if there is one.
    fn receive(&mut self, turn: &mut Turn<'_>, socket: UdpSocket) -> bool {
        let zone = &self.zone;
        let polled = turn
            .node
            .poll_udp_receive(turn.now, socket, turn.waker, |from, data| {
                (from, answer(zone, data, Via::Datagram))
            });
        let (from, answered) = match polled {
            Poll::Pending => return false,
            Poll::Ready(Ok(received)) => received,
            // An ICMP error about an answer: whom it was for has gone.
            Poll::Ready(Err(_)) => return true,
        };
        let text = format!("{} from {from}", answered.text);
        if answered.malformed {
            self.fail(turn, &text);
        } else {
            let text = format!("dns peer at {}: {text}", self.local);
            turn.note(Note::Text(clip(&text)));
        }
        let at = turn.now + answered.delay;
        let mut messages = answered.messages.into_iter();
        if !messages.all(|message| self.outbox.put(at, from, message)) {
            self.fail(
                turn,
                &format!("too many answers wait: one to {from} is lost"),
            );
        }
        true
    }
}

impl App for DnsPeer {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        if !self.streams {
            self.streams = true;
            let (zone, report) = (self.zone.clone(), self.report.clone());
            let door = Door::new("dns peer", self.local, limits::PEER_CONNECTIONS, report);
            turn.spawn(Box::new(Streams { door, zone }));
        }
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
            let text = format!("dns peer at {local}: an answer to {to} cannot be sent: {error}");
            report.fail(turn, &text);
        });
        Poll::Pending
    }
}

struct Streams {
    door: Door,
    zone: DnsZone,
}

impl App for Streams {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let zone = &self.zone;
        self.door.poll(turn, |call| {
            let questions = Questions {
                zone: zone.clone(),
                state: State::Question(Vec::new()),
            };
            Talking::new(call, questions)
        })
    }
}

enum State {
    /// What has come of a question, with the two bytes of its length (RFC 1035 section 4.2.2).
    Question(Vec<u8>),
    /// What is to be written then.
    Answer {
        at: Instant,
        bytes: Vec<u8>,
        written: usize,
    },
}

/// Questions on one stream, one after the other (RFC 7766 section 6.2.1.1 lets it be so).
struct Questions {
    zone: DnsZone,
    state: State,
}

/// A whole question; none: the far end has finished. Else why there is none.
type Asked = Result<Option<Vec<u8>>, String>;

/// Reads a question.
fn read(came: &mut Vec<u8>, turn: &mut Turn<'_>, call: &mut Call) -> Poll<Result<Asked, NetError>> {
    loop {
        let wanted = match came.first_chunk::<2>() {
            None => 2,
            Some(length) => 2 + usize::from(u16::from_be_bytes(*length)),
        };
        if wanted > 2 + limits::DNS_QUERY_BYTES {
            let why = format!("a question of {} bytes", wanted - 2);
            return Poll::Ready(Ok(Err(why)));
        }
        if came.len() >= 2 && came.len() == wanted {
            return Poll::Ready(Ok(Ok(Some(came.split_off(2)))));
        }
        let more = ready!(call.fill(turn))?;
        if more.is_empty() {
            let whole = came.is_empty();
            let why = format!("it ended after {} bytes of a question", came.len());
            return Poll::Ready(Ok(if whole { Ok(None) } else { Err(why) }));
        }
        let count = more.len().min(wanted - came.len());
        came.extend_from_slice(&more[..count]);
        call.take(count);
    }
}

impl Talk for Questions {
    fn poll(&mut self, turn: &mut Turn<'_>, call: &mut Call) -> Poll<Result<End, NetError>> {
        loop {
            let next = match &mut self.state {
                State::Question(came) => match ready!(read(came, turn, call))? {
                    Ok(None) => return Poll::Ready(Ok(End::Finish)),
                    Err(why) => {
                        call.fail(turn, &why);
                        return Poll::Ready(Ok(End::Reset));
                    }
                    Ok(Some(question)) => {
                        let answered = answer(&self.zone, &question, Via::Stream);
                        if answered.malformed {
                            call.fail(turn, &answered.text);
                        } else {
                            call.note(turn, &answered.text);
                        }
                        let mut bytes = Vec::new();
                        for message in &answered.messages {
                            // No message is longer: the codec sees to that.
                            let length = u16::try_from(message.len()).unwrap_or(0);
                            bytes.extend_from_slice(&length.to_be_bytes());
                            bytes.extend_from_slice(&message[..usize::from(length)]);
                        }
                        State::Answer {
                            at: turn.now + answered.delay,
                            bytes,
                            written: 0,
                        }
                    }
                },
                State::Answer { at, bytes, written } => {
                    if turn.now < *at {
                        turn.wake_at(*at);
                        return Poll::Pending;
                    }
                    ready!(call.write(turn, bytes, written))?;
                    State::Question(Vec::new())
                }
            };
            self.state = next;
        }
    }
}
