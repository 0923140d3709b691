//! One connection: its requests, one after another.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{Either, select};
use http::{Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use nexus_caps::{Shard, Sleep};
use nexus_types::limits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::io::TokioIo;

use super::BreakOff;
use super::access::Entry;
use super::body::{Progress, Sent};
use super::exchange::{Exchange, Failure, Hold};
use super::head::{self, BadRequest};
use super::outlet::{Outlet, Watched};
use super::pool::Job;
use super::timer::Timer;
use super::{Ends, Server};

/// How long a connection that we close is read from, and how much of it: a client still sending a body that nobody
/// wants would else get a reset in place of its response (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

/// HTTP/1.1 within the bounds of `nexus_types::limits`.
pub(super) fn builder(shard: &Shard) -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(Timer::new(shard))
        .header_read_timeout(Duration::from_micros(limits::SERVE_HEAD_MICROS))
        .max_headers(limits::SERVE_HEAD_FIELDS)
        .max_header_size(limits::SERVE_HEAD_BYTES)
        .max_buf_size(limits::SERVE_BUFFER_BYTES);
    builder
}

/// The time of the response a connection is sending, watched by the connection: hyper asks a body for nothing while its
/// client takes nothing. It is not over before the client has taken what hyper holds of it.
#[derive(Clone)]
pub(super) struct Sending(Rc<Pace>);

struct Pace {
    shard: Shard,
    outlet: Outlet,
    /// There is more of a response to come.
    runs: Cell<bool>,
    /// There is, and it will not.
    broken: Cell<bool>,
    deadline: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl Sending {
    fn new(shard: &Shard, outlet: Outlet) -> Self {
        Self(Rc::new(Pace {
            shard: shard.clone(),
            outlet,
            runs: Cell::new(false),
            broken: Cell::new(false),
            deadline: RefCell::default(),
        }))
    }

    fn begin(&self, deadline: Pin<Box<Sleep>>) {
        self.0.runs.set(true);
        *self.0.deadline.borrow_mut() = Some(deadline);
    }

    /// Nothing more will be handed over; `whole`: nothing is missing.
    pub(super) fn end(&self, whole: bool) {
        self.0.runs.set(false);
        self.0.broken.set(!whole);
    }

    fn is_broken(&self) -> bool {
        self.0.broken.get()
    }

    fn is_over(&self, cx: &mut Context<'_>) -> bool {
        let Pace { shard, outlet, .. } = &*self.0;
        let mut deadline = self.0.deadline.borrow_mut();
        if !self.0.runs.get() && !outlet.is_blocked() {
            *deadline = None;
            return false;
        }
        // What is not of an app's response has the time that the head of a request has.
        let set = deadline.get_or_insert_with(|| {
            let time = Duration::from_micros(limits::SERVE_HEAD_MICROS);
            Box::pin(shard.sleep_until(shard.now() + time))
        });
        set.as_mut().poll(cx).is_ready()
    }
}

/// What the requests of a connection share.
struct Connection {
    server: Server,
    ends: Ends,
    sending: Sending,
    /// Of the body of the last request there may be more.
    unread: Cell<bool>,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    server: Server,
    mut stream: impl AsyncRead + AsyncWrite + BreakOff + Unpin,
    ends: Ends,
    _room: OwnedSemaphorePermit,
) {
    let mut draining = Some(server.0.draining.clone());
    let outlet = Outlet::default();
    let sending = Sending::new(&server.0.shard, outlet.clone());
    let connection = Rc::new(Connection {
        server,
        ends,
        sending,
        unread: Cell::new(false),
    });
    let answering = connection.clone();
    let service = service_fn(move |request| Box::pin(answer(answering.clone(), request)));
    let builder = &connection.server.0.http;
    let watched = Watched::new(&mut stream, outlet.clone());
    let mut http = builder.serve_connection(TokioIo::new(watched), service);
    let cut = poll_fn(|cx| {
        if let Some(drain) = &mut draining
            && drain.poll_unpin(cx).is_ready()
        {
            draining = None;
            Pin::new(&mut http).graceful_shutdown();
        }
        // Its end is that of the stream's output, too: hyper writes what it still holds before that, and not otherwise.
        let mut polled = Pin::new(&mut http).poll(cx);
        if matches!(polled, Poll::Ready(Ok(()))) && outlet.is_blocked() {
            // Of a client that would have liked another protocol (`Upgrade`) it lets go first.
            polled = Pin::new(&mut http).poll(cx);
        }
        match polled {
            // Whatever it was: the client has been told what it can be told.
            Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(false),
            Poll::Pending if connection.sending.is_over(cx) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    drop(http);
    if cut || connection.sending.is_broken() {
        stream.break_off();
    } else {
        let unread = connection.unread.get();
        close(&connection.server.0.shard, &mut stream, unread).await;
    }
}

/// Says goodbye; `unread`: reads on for a while.
async fn close(shard: &Shard, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), unread: bool) {
    let over = shard.sleep_until(shard.now() + LINGER);
    let rest = async {
        // By TLS that is something to be sent, which the client may not take.
        let _ = stream.shutdown().await;
        if !unread {
            return;
        }
        let mut scratch = [0; 4 << 10];
        let mut left = LINGER_BYTES;
        while let Ok(count @ 1..) = stream.read(&mut scratch).await {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    };
    select(pin!(rest), pin!(over)).await;
}

/// Answers one request: by the app, or for it.
async fn answer(
    connection: Rc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Sent>, Infallible> {
    let server = &connection.server.0;
    let entry = Entry::new(&connection.server, connection.ends.remote, &request);
    connection.unread.set(!request.body().is_end_stream());
    if let Err(bad) = head::complete(&mut request, &connection.ends) {
        return Ok(connection.refuse(entry, bad));
    }
    let settings = &server.settings;
    if head::says_length(&request).is_some_and(|length| length > settings.body_bytes) {
        return Ok(connection.fail(entry, &Failure::TooLarge));
    }
    let Some(turn) = connection.turn().await else {
        return Ok(connection.fail(entry, &Failure::NoTurn));
    };

    let method = request.method().clone();
    let body = Progress::default();
    let request = request.map(|incoming| body.watch(incoming, settings.body_bytes));
    let exchange = Exchange::new(server.shard.latest() + settings.deadline);
    let hold = Hold::new(exchange.clone());
    let mut deadline = Box::pin(server.shard.sleep_until(exchange.deadline));
    let (sender, answered) = oneshot::channel();
    server.pool.submit(Job {
        request,
        answer: sender,
        exchange,
    });
    let answered = match select(answered, &mut deadline).await {
        Either::Left((Ok(answer), _)) => answer,
        Either::Left((Err(oneshot::Canceled), _)) => {
            let failure = hold.exchange().failure.borrow_mut().take();
            Err(failure.unwrap_or(Failure::Trap))
        }
        Either::Right(((), _)) if hold.exchange().taken.get() => Err(Failure::Deadline),
        Either::Right(((), _)) => Err(Failure::NoTurn),
    };
    connection.unread.set(!body.is_read());
    let answered = answered
        .and_then(|response| head::check(&response, &method).map(|shape| (response, shape)));
    match answered {
        Ok((response, shape)) => {
            connection.sending.begin(deadline);
            let mut entry = entry;
            entry.status = response.status();
            let sending = connection.sending.clone();
            let mut response = response;
            connection.server.date(response.headers_mut());
            Ok(response.map(|body| Sent::app(body, (hold, turn), entry, shape, sending)))
        }
        Err(_) if body.is_over() => Ok(connection.fail(entry, &Failure::TooLarge)),
        Err(failure) => {
            if failure.is_of_one_call() {
                hold.complete();
            }
            Ok(connection.fail(entry, &failure))
        }
    }
}

impl Connection {
    /// Its place among the requests in flight; none: it did not come in time.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let server = &self.server.0;
        if let Ok(turn) = server.requests.clone().try_acquire_owned() {
            return Some(turn);
        }
        let wait = Duration::from_micros(limits::SERVE_WAIT_MICROS);
        let over = server.shard.sleep_until(server.shard.now() + wait);
        let turn = pin!(server.requests.clone().acquire_owned());
        match select(turn, over).await {
            Either::Left((turn, _)) => turn.ok(),
            Either::Right(_) => None,
        }
    }

    fn refuse(&self, mut entry: Entry, bad: BadRequest) -> Response<Sent> {
        entry.refused(bad);
        self.text(entry)
    }

    fn fail(&self, mut entry: Entry, failure: &Failure) -> Response<Sent> {
        entry.answered_for(failure);
        if let Failure::Error(why) | Failure::BadAnswer(why) = failure {
            self.server.0.pool.tell(failure, why);
        }
        self.text(entry)
    }

    /// An answer in the app's place: what it is called, and nothing of why.
    fn text(&self, entry: Entry) -> Response<Sent> {
        let status = entry.status;
        let text = format!(
            "{} {}\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        );
        let mut response = Response::new(Sent::text(text.into(), entry, self.sending.clone()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let plain = header::HeaderValue::from_static("text/plain");
        headers.insert(header::CONTENT_TYPE, plain);
        self.server.date(headers);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
