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

use super::access::Entry;
use super::body::{Progress, Sent};
use super::exchange::{Exchange, Failure, Hold};
use super::head::{self, BadRequest};
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
/// client takes nothing.
#[derive(Clone, Default)]
pub(super) struct Sending(Rc<RefCell<Option<Pin<Box<Sleep>>>>>);

impl Sending {
    fn begin(&self, deadline: Pin<Box<Sleep>>) {
        *self.0.borrow_mut() = Some(deadline);
    }

    /// All was sent, or nothing more will be.
    pub(super) fn end(&self) {
        self.0.borrow_mut().take();
    }

    fn is_over(&self, cx: &mut Context<'_>) -> bool {
        let mut deadline = self.0.borrow_mut();
        deadline
            .as_mut()
            .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
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
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    ends: Ends,
    _room: OwnedSemaphorePermit,
) {
    let mut draining = Some(server.0.draining.clone());
    let connection = Rc::new(Connection {
        server,
        ends,
        sending: Sending::default(),
        unread: Cell::new(false),
    });
    let answering = connection.clone();
    let service = service_fn(move |request| Box::pin(answer(answering.clone(), request)));
    let builder = &connection.server.0.http;
    let mut http = builder.serve_connection(TokioIo::new(&mut stream), service);
    let cut = poll_fn(|cx| {
        if let Some(drain) = &mut draining
            && drain.poll_unpin(cx).is_ready()
        {
            draining = None;
            Pin::new(&mut http).graceful_shutdown();
        }
        match http.poll_without_shutdown(cx) {
            // Whatever it was: the client has been told what it can be told.
            Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(false),
            Poll::Pending if connection.sending.is_over(cx) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    drop(http);
    if !cut {
        let _ = stream.shutdown().await;
        if connection.unread.get() {
            linger(&connection.server.0.shard, &mut stream).await;
        }
    }
}

async fn linger(shard: &Shard, stream: &mut (impl AsyncRead + Unpin)) {
    let over = shard.sleep_until(shard.now() + LINGER);
    let rest = async {
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
            self.server.0.pool.tell(failure.word(), why);
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
