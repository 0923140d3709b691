//! One request on one connection, until the head of its response is there.

use core::future::Future;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use http::header::{self, HeaderMap, HeaderValue};
use http_body::Body;
use hyper::body::Incoming;
use nexus_types::Instant;

use super::Method;
use super::connection::Connection;
use super::error::{Error, Phase, SendFault};
use super::guard::Exchanged;
use super::limits::Timeouts;
use super::network::Network;
use super::send::SendBody;
use super::time::{Alarm, Deadline};
use super::url::RequestUrl;

/// A request as hyper takes it.
pub(super) type WireRequest = http::Request<SendBody>;

/// Why there is no response.
pub(super) enum Failed {
    /// Nothing of it was sent: it can go over another connection.
    Unsent(Box<WireRequest>),
    /// Some of it may have been.
    Sent {
        error: Error,
        /// Whether anything of a response was read.
        read: bool,
    },
}

/// Makes what goes on the wire: the target and `Host` are the judged URL's.
pub(super) fn wire_request(
    method: Method,
    url: &RequestUrl,
    headers: &HeaderMap,
    body: SendBody,
) -> Result<WireRequest, Error> {
    let mut all = HeaderMap::with_capacity(headers.len() + 2);
    all.insert(header::HOST, url.host_value().ok_or(Error::Internal)?);
    for (name, value) in headers {
        all.append(name, value.clone());
    }
    match body.size_hint().exact() {
        // Said here: hyper leaves the body of a GET away if nothing is said about it.
        None => {
            all.insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
        }
        // RFC 9110 section 8.6: where a body would mean something, say that there is none.
        Some(0) if matches!(method, Method::Post | Method::Put | Method::Patch) => {
            all.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Some(_) => {}
    }
    let method = match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    };
    let mut request = http::Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = url.target().ok_or(Error::Internal)?;
    *request.headers_mut() = all;
    Ok(request)
}

/// Asks.
pub(super) async fn ask<N: Network>(
    network: &N,
    connection: &mut Connection<N::Carrier>,
    request: WireRequest,
    timeouts: &Timeouts,
    total: Deadline,
) -> Result<http::Response<Incoming>, Failed> {
    let wire = connection.wire.clone();
    let (parts, body) = request.into_parts();
    wire.ask(parts.method == http::Method::HEAD, !body.is_end_stream());
    connection.used = true;
    let request = http::Request::from_parts(parts, body.over(wire.clone()));
    let mut response = pin!(connection.sender.try_send_request(request));
    let mut pace = Pace::new(network.now());
    let mut alarm = Alarm::default();
    let answer = poll_fn(|cx| {
        let over = connection.drive(cx).is_ready();
        if let Poll::Ready(answer) = response.as_mut().poll(cx) {
            return Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                Some(request) => Failed::Unsent(Box::new(request)),
                None => Failed::Sent {
                    error: wire.ended_by(&error.into_error()),
                    read: wire.exchanged().read > 0,
                },
            }));
        }
        let failed = |error| {
            Poll::Ready(Err(Failed::Sent {
                error,
                read: wire.exchanged().read > 0,
            }))
        };
        if over {
            return failed(wire.fault().unwrap_or(SendFault::Closed.into()));
        }
        let deadline = pace.deadline(network.now(), wire.exchanged(), timeouts, Phase::Head);
        let deadline = deadline.map_or(total, |deadline| deadline.or(total));
        match alarm.poll(network, deadline, cx) {
            Poll::Ready(phase) => failed(phase.into()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    match (answer, wire.unsound_request()) {
        (Ok(_), Some(error)) => Err(Failed::Sent { error, read: true }),
        (answer, _) => answer,
    }
}

/// Whom an exchange waits for, and since when.
pub(super) struct Pace {
    since: Instant,
    seen: (bool, bool, u64),
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            seen: (false, false, 0),
        }
    }

    /// Something came: what is waited for begins anew.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
    }

    /// By when the far end has to do something. `None` while the app is the one that is waited for.
    pub(super) fn deadline(
        &mut self,
        now: Instant,
        exchanged: Exchanged,
        timeouts: &Timeouts,
        answer: Phase,
    ) -> Option<Deadline> {
        let Exchanged {
            written,
            sending,
            blocked,
            ..
        } = exchanged;
        let seen = (sending, blocked, if blocked { written } else { 0 });
        if self.seen != seen {
            self.seen = seen;
            self.since = now;
        }
        let (wait, phase) = match (blocked, sending) {
            (true, _) => (timeouts.between_bytes, Phase::Send),
            (false, true) => return None,
            (false, false) if answer == Phase::Head => (timeouts.first_byte, answer),
            (false, false) => (timeouts.between_bytes, answer),
        };
        Some(Deadline {
            at: self.since + wait,
            phase,
        })
    }
}
