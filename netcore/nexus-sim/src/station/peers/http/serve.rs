//! Requests on a connection, one after the other.

use core::task::{Poll, ready};

use nexus_node::NetError;
use nexus_types::{Instant, SocketAddr};
use std::sync::Arc;

use super::head::{self, Head, Refusal};
use super::log::{HttpLog, HttpRequest};
use super::reply::Reply;
use super::{HttpFault, HttpResponse, HttpScript};
use crate::limits;
use crate::station::peers::Report;
use crate::station::peers::call::{Call, End, Talk, Talking};
use crate::station::peers::door::Door;
use crate::station::{App, Turn};

/// A peer with an [`HttpScript`].
pub(in crate::station::peers) struct HttpPeer {
    door: Door,
    script: HttpScript,
    log: HttpLog,
}

impl HttpPeer {
    pub(in crate::station::peers) fn new(
        local: SocketAddr,
        script: HttpScript,
        log: HttpLog,
        report: Report,
    ) -> Self {
        Self {
            door: Door::new("http peer", local, limits::PEER_CONNECTIONS, report),
            script,
            log,
        }
    }
}

impl App for HttpPeer {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let (script, log) = (&self.script, &self.log);
        self.door.poll(turn, |call| {
            let requests = Requests {
                script: script.clone(),
                log: log.clone(),
                state: State::Head(Vec::new()),
            };
            Talking::new(call, requests)
        })
    }
}

enum State {
    /// What has come of a head.
    Head(Vec<u8>),
    /// The client waits to be told that its body is wanted: so much of that is written.
    Continue(Head, usize),
    /// So many bytes of the body are to come.
    Body(Head, u64),
    Answer {
        at: Instant,
        reply: Reply,
    },
    Never,
}

struct Requests {
    script: HttpScript,
    log: HttpLog,
    state: State,
}

/// RFC 9110 section 15.2.1.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Requests {
    /// A request is whole: what is next.
    fn answer(&self, turn: &mut Turn<'_>, call: &Call, head: Head) -> State {
        let path = head::path(&head.target);
        let bare = path.split('?').next().unwrap_or(path);
        let of_path = |route: &&(String, String, Arc<HttpResponse>)| {
            let known = &route.1;
            known == path || (known == bare && !known.contains('?'))
        };
        // A route with the query goes before one without.
        let routes = self.script.routes.iter().filter(of_path);
        let fits = routes.clone().filter(|route| route.0 == head.method);
        let found = fits.max_by_key(|route| route.1.len());
        // RFC 9110 section 15.5.6: a 405 says which there are.
        let mut allow: Vec<_> = routes.map(|route| route.0.as_str()).collect();
        allow.sort_unstable();
        allow.dedup();
        let (response, allow) = match found {
            Some((_, _, response)) => (response.clone(), String::new()),
            None if allow.is_empty() => (HttpResponse::new(404, "").into(), String::new()),
            None => (HttpResponse::new(405, "").into(), allow.join(", ")),
        };
        let never = response.fault == Some(HttpFault::Never);
        let status = (!never).then_some(response.status);
        let (method, target, bytes) = (&head.method, &head.target, head.length);
        let host = head.host.as_deref().unwrap_or("-");
        let text = match status {
            Some(status) => status.to_string(),
            None => "no answer".to_owned(),
        };
        let text = format!("{method} {target} host {host}, {bytes} bytes: {text}");
        call.note(turn, &text);
        let next = if never {
            State::Never
        } else {
            State::Answer {
                at: turn.now + response.delay,
                reply: Reply::new(response, Some(&head), &allow),
            }
        };
        self.log.keep(HttpRequest {
            at: turn.now,
            from: call.remote,
            method: head.method,
            target: head.target,
            host: head.host,
            headers: head.headers,
            body_length: head.length,
            status,
        });
        next
    }

    fn refuse(turn: &mut Turn<'_>, call: &Call, refusal: &Refusal) -> State {
        let Refusal { status, why } = refusal;
        call.fail(turn, &format!("{status}: {why}"));
        let response = HttpResponse::new(*status, format!("{why}\n"));
        State::Answer {
            at: turn.now,
            reply: Reply::new(response.into(), None, ""),
        }
    }
}

/// Reads on. None: the far end has finished before there was a request.
fn read_head(
    came: &mut Vec<u8>,
    turn: &mut Turn<'_>,
    call: &mut Call,
) -> Poll<Result<Option<Result<Head, Refusal>>, NetError>> {
    loop {
        let more = ready!(call.fill(turn))?;
        if more.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let before = came.len();
        let count = more.len().min(limits::HTTP_HEAD_BYTES - before);
        came.extend_from_slice(&more[..count]);
        let (used, head) = match head::read(came) {
            Ok(Some((head, length))) => (length - before, Some(Ok(head))),
            Ok(None) => (count, None),
            Err(refusal) => (count, Some(Err(refusal))),
        };
        call.take(used);
        if head.is_some() {
            return Poll::Ready(Ok(head));
        }
    }
}

impl Talk for Requests {
    fn poll(&mut self, turn: &mut Turn<'_>, call: &mut Call) -> Poll<Result<End, NetError>> {
        loop {
            let next = match &mut self.state {
                State::Head(came) => match ready!(read_head(came, turn, call))? {
                    None => {
                        if !came.is_empty() {
                            let text = format!("it ended after {} bytes of a head", came.len());
                            call.note(turn, &text);
                        }
                        return Poll::Ready(Ok(End::Finish));
                    }
                    Some(Ok(head)) if head.waits && head.length > 0 => State::Continue(head, 0),
                    Some(Ok(head)) => {
                        let length = head.length;
                        State::Body(head, length)
                    }
                    Some(Err(refusal)) => Self::refuse(turn, call, &refusal),
                },
                State::Continue(head, written) => {
                    ready!(call.write(turn, CONTINUE, written))?;
                    State::Body(head.clone(), head.length)
                }
                State::Body(head, 0) => {
                    let head = head.clone();
                    self.answer(turn, call, head)
                }
                State::Body(_, left) => {
                    let came = ready!(call.fill(turn))?.len();
                    if came == 0 {
                        let text = format!("it ended {left} bytes before the end of a body");
                        call.note(turn, &text);
                        return Poll::Ready(Ok(End::Finish));
                    }
                    let count = (*left).min(came as u64);
                    call.take(count as usize);
                    *left -= count;
                    continue;
                }
                State::Answer { at, reply } => {
                    if turn.now < *at {
                        turn.wake_at(*at);
                        return Poll::Pending;
                    }
                    ready!(reply.write(turn, call))?;
                    if !reply.keep {
                        return Poll::Ready(Ok(End::Finish));
                    }
                    State::Head(Vec::new())
                }
                // What comes is read, so that it shows when the client gives up.
                State::Never => {
                    let came = ready!(call.fill(turn))?.len();
                    if came == 0 {
                        return Poll::Ready(Ok(End::Finish));
                    }
                    call.take(came);
                    continue;
                }
            };
            self.state = next;
        }
    }
}
