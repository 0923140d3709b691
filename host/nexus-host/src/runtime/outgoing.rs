//! `wasi:http/outgoing-handler` 0.2 and `client` 0.3: requests of programs that know nothing of us, by the client that
//! `nexus:net/http` has, judged alike.
//!
//! wasmtime's own `handle` of 0.2 gives the request to a task of tokio's, on another thread. Here it is a job of the
//! app's ([`HttpCtx::work`]), on the shard's thread and in its time; so the three functions that know what is behind
//! a `future-incoming-response` are ours as well.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use nexus_caps::{HttpCtx, NodeNetwork};
use nexus_services::http as client;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::p2::body::HostIncomingBody;
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest,
};
use wasmtime_wasi_http::{Error, FieldMap, RequestOptions, WasiBody, WasiHttp, WasiHttpView, p3};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::state::AppState;

type Sent = Result<Response<WasiBody>, Error>;

/// Asks for `request` in the app's name.
pub(super) fn send(
    http: &HttpCtx,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> impl Future<Output = Sent> + Send + use<> {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    // The client makes its own, out of the URL that is judged.
    headers.remove(header::HOST);
    let length = body.size_hint().exact();
    let said = length.is_some() || headers.contains_key(header::CONTENT_LENGTH);
    // As hyper has it, and so wasmtime: neither has a body whose length is not said. One in chunks that is empty is what
    // 0.3 makes of a request without any; servers refuse that, or take what ends it for the next request.
    let bodyless = matches!(parts.method, Method::GET | Method::HEAD) && !said;
    let body = if bodyless || body.is_end_stream() {
        client::RequestBody::Empty
    } else {
        let body = body.map_err(|_| client::StreamError);
        client::RequestBody::Stream(Box::pin(body), length)
    };
    let asked = http.request(client::Request {
        method: parts.method.as_str().to_owned(),
        url: parts.uri.to_string(),
        headers,
        body,
        options: client::Options {
            // A program follows redirects and takes codings off itself, if it does.
            redirects: client::Redirects::Return,
            coding: client::Coding::AsSent,
            retries: 0,
            timeouts: options.map(timeouts),
        },
    });
    async move {
        let answer = asked.await.map_err(|error| word(&error))?;
        let mut response = Response::new(());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        let body = Answer(answer.body).boxed_unsync();
        Ok(response.map(|()| body))
    }
}

fn timeouts(asked: RequestOptions) -> client::Timeouts {
    let longest = client::Timeouts::LONGEST;
    let or = |asked: Option<Duration>, longest| asked.unwrap_or(longest);
    client::Timeouts {
        connect: or(asked.connect_timeout, longest.connect),
        first_byte: or(asked.first_byte_timeout, longest.first_byte),
        between_bytes: or(asked.between_bytes_timeout, longest.between_bytes),
        ..longest
    }
}

/// A response's body, whose errors are told in the words of `wasi:http`.
struct Answer(client::ResponseBody<NodeNetwork>);

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(|error| word(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// What `wasi:http` has for a failure. Where it has no word of its own, the text is the client's, which holds nothing
/// of the request or the response.
fn word(error: &client::Error) -> Error {
    use client::{
        BodyFault, ConnectError, Error as Failed, HeadFault, HeaderFault, Phase, RequestFault,
        ResolveError, SendFault, TlsFault, UrlFault,
    };
    match error {
        Failed::Request(RequestFault::Method) => Error::HttpRequestMethodInvalid,
        Failed::Request(RequestFault::Url(UrlFault::TooLong)) => Error::HttpRequestUriTooLong,
        Failed::Request(RequestFault::Url(_)) => Error::HttpRequestUriInvalid,
        Failed::Request(RequestFault::Header(HeaderFault::TooMany | HeaderFault::TooLarge)) => {
            Error::HttpRequestHeaderSectionSize(None)
        }
        Failed::Request(RequestFault::Header(HeaderFault::ContentLength)) => {
            Error::HttpRequestBodySize(None)
        }
        Failed::Refused(_)
        | Failed::Resolve(ResolveError::Refused(_))
        | Failed::Connect(ConnectError::Refused(_)) => Error::HttpRequestDenied,
        Failed::TooMany
        | Failed::Resolve(ResolveError::NoCapacity)
        | Failed::Connect(ConnectError::NoCapacity) => Error::ConnectionLimitReached,
        Failed::TimedOut(Phase::Resolve) | Failed::Resolve(ResolveError::TimedOut) => {
            Error::DnsTimeout
        }
        Failed::TimedOut(Phase::Connect | Phase::Tls) | Failed::Connect(ConnectError::TimedOut) => {
            Error::ConnectionTimeout
        }
        Failed::TimedOut(Phase::Send) => Error::ConnectionWriteTimeout,
        Failed::TimedOut(Phase::Head | Phase::Total) => Error::HttpResponseTimeout,
        Failed::TimedOut(Phase::Body) => Error::ConnectionReadTimeout,
        Failed::Resolve(ResolveError::NotFound) => Error::DnsError {
            rcode: Some("NXDOMAIN".to_owned()),
            info_code: None,
        },
        Failed::Resolve(ResolveError::Failed) => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        Failed::Connect(ConnectError::Rejected) => Error::ConnectionRefused,
        Failed::Connect(ConnectError::Unreachable) => Error::DestinationUnavailable,
        Failed::Tls(
            TlsFault::Expired
            | TlsFault::NotYetValid
            | TlsFault::WrongName
            | TlsFault::UnknownIssuer
            | TlsFault::BadCertificate,
        ) => Error::TlsCertificateError,
        Failed::Tls(TlsFault::Alert) => Error::TlsAlertReceived {
            alert_id: None,
            alert_message: None,
        },
        Failed::Tls(_) => Error::TlsProtocolError,
        Failed::Send(SendFault::BodyTooLarge | SendFault::BodyLength) => {
            Error::HttpRequestBodySize(None)
        }
        Failed::Send(_) | Failed::Head(HeadFault::Closed | HeadFault::Reset) | Failed::Ended => {
            Error::ConnectionTerminated
        }
        Failed::Head(HeadFault::TooMany | HeadFault::TooLarge) => {
            Error::HttpResponseHeaderSectionSize(None)
        }
        Failed::Head(HeadFault::Upgrade) => Error::HttpUpgradeFailed,
        Failed::Body(BodyFault::TooLarge) => Error::HttpResponseBodySize(None),
        Failed::Body(BodyFault::Truncated | BodyFault::Reset) => Error::HttpResponseIncomplete,
        Failed::Head(_) | Failed::Body(_) => Error::HttpProtocolError,
        Failed::Request(_) | Failed::Redirect(_) | Failed::Internal => {
            Error::InternalError(Some(error.to_string()))
        }
    }
}

/// A response that is waited for.
struct Waiting(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    sent: Option<Sent>,
    /// Somebody has had it.
    taken: bool,
    /// Nobody will: the request is given up.
    unwanted: bool,
    waiter: Option<Waker>,
    worker: Option<Waker>,
}

impl Waiting {
    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pollable for Waiting {
    async fn ready(&mut self) {
        poll_fn(|cx| {
            let mut slot = self.slot();
            if slot.sent.is_some() || slot.taken {
                return Poll::Ready(());
            }
            slot.waiter = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A request given up when nobody waits for it any more.
struct Job<F> {
    slot: Arc<Mutex<Slot>>,
    sending: Pin<Box<F>>,
}

impl<F: Future<Output = Sent>> Future for Job<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let slot = self.slot.clone();
        let held = || slot.lock().unwrap_or_else(PoisonError::into_inner);
        if held().unwanted {
            return Poll::Ready(());
        }
        let Poll::Ready(sent) = self.sending.as_mut().poll(cx) else {
            held().worker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let mut slot = held();
        slot.sent = Some(sent);
        if let Some(waiter) = slot.waiter.take() {
            waiter.wake();
        }
        Poll::Ready(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut slot = self.slot();
        slot.unwanted = true;
        if let Some(worker) = slot.worker.take() {
            worker.wake();
        }
    }
}

type Handled = Result<Resource<HostFutureIncomingResponse>, types::ErrorCode>;

/// `outgoing-handler.handle`: the request is on its way when this returns.
fn handle(
    state: &mut AppState,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Handled> {
    let http = state.client().clone();
    let view = WasiHttpView::http(state);
    let options = match options {
        // It is ours now, and nobody else would delete it.
        Some(options) => Some(view.table.delete(options)?),
        None => None,
    };
    let request = match request_of(view.table.delete(request)?) {
        Ok(request) => request,
        Err(code) => return Ok(Err(code)),
    };
    let slot = Arc::new(Mutex::new(Slot::default()));
    let waiting = view.table.push(Waiting(slot.clone()))?;
    http.work(Job {
        slot,
        sending: Box::pin(send(&http, request, options)),
    });
    Ok(Ok(Resource::new_own(waiting.rep())))
}

/// The request as it is to be sent.
fn request_of(asked: HostOutgoingRequest) -> Result<Request<WasiBody>, types::ErrorCode> {
    let method: Method = asked
        .method
        .try_into()
        .map_err(|_| types::ErrorCode::HttpRequestMethodInvalid)?;
    let scheme = match asked.scheme {
        // As wasmtime's own.
        None | Some(types::Scheme::Https) => "https",
        Some(types::Scheme::Http) => "http",
        Some(types::Scheme::Other(_)) => return Err(types::ErrorCode::HttpProtocolError),
    };
    let uri = http::Uri::builder()
        .scheme(scheme)
        .authority(asked.authority.unwrap_or_default())
        .path_and_query(asked.path_with_query.unwrap_or_else(|| "/".to_owned()))
        .build()
        .map_err(|_| types::ErrorCode::HttpRequestUriInvalid)?;
    let body = match asked.body {
        Some(body) => body.map_err(Into::into).boxed_unsync(),
        None => http_body_util::Empty::new()
            .map_err(|never| match never {})
            .boxed_unsync(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = asked.headers.into();
    Ok(request)
}

/// What `future-incoming-response.get` returns: nothing yet; or once, the response or why there is none.
type Got = Option<Result<Result<Resource<HostIncomingResponse>, types::ErrorCode>, ()>>;

fn get(
    state: &mut AppState,
    future: &Resource<HostFutureIncomingResponse>,
) -> wasmtime::Result<Got> {
    let view = WasiHttpView::http(state);
    let waiting: &Waiting = view.table.get(&Resource::new_borrow(future.rep()))?;
    let sent = {
        let mut slot = waiting.slot();
        if slot.taken {
            return Ok(Some(Err(())));
        }
        let Some(sent) = slot.sent.take() else {
            return Ok(None);
        };
        slot.taken = true;
        sent
    };
    let response = match sent {
        Ok(response) => response,
        // wasmtime knows the codes of its errors.
        Err(error) => {
            let mut view = view;
            let failed = view
                .table
                .push(HostFutureIncomingResponse::Ready(Err(error)))?;
            let rep = failed.rep();
            let got = types::HostFutureIncomingResponse::get(&mut view, failed)?;
            view.table
                .delete::<HostFutureIncomingResponse>(Resource::new_own(rep))?;
            return Ok(got);
        }
    };
    let (parts, body) = response.into_parts();
    let response = view.table.push(HostIncomingResponse {
        status: parts.status.as_u16(),
        headers: FieldMap::new_immutable(view.hooks, parts.headers),
        body: Some(HostIncomingBody::new(body)),
    })?;
    Ok(Some(Ok(Ok(response))))
}

/// `http-error-code`: wasmtime 48 finds the codes of its own errors alone, not that of a response's body that failed.
fn error_code(
    state: &mut AppState,
    failed: &Resource<types::IoError>,
) -> wasmtime::Result<Option<types::ErrorCode>> {
    use types::ErrorCode as Code;
    let failed = WasiHttpView::http(state).table.get(failed)?;
    if let Some(code) = failed.downcast_ref::<Code>() {
        return Ok(Some(code.clone()));
    }
    // What `word` says of a body.
    Ok(failed
        .downcast_ref::<Error>()
        .and_then(|error| match error {
            Error::ConnectionReadTimeout => Some(Code::ConnectionReadTimeout),
            Error::ConnectionTerminated => Some(Code::ConnectionTerminated),
            Error::HttpProtocolError => Some(Code::HttpProtocolError),
            Error::HttpRequestDenied => Some(Code::HttpRequestDenied),
            Error::HttpResponseBodySize(size) => Some(Code::HttpResponseBodySize(*size)),
            Error::HttpResponseIncomplete => Some(Code::HttpResponseIncomplete),
            Error::HttpResponseTimeout => Some(Code::HttpResponseTimeout),
            Error::TlsProtocolError => Some(Code::TlsProtocolError),
            _ => None,
        }))
}

/// Links `wasi:http/outgoing-handler@0.2`. `wasi:http/types@0.2` must be linked already.
///
/// # Errors
/// The linker has it already.
pub(super) fn link_p2(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    linker.instance(HANDLER_P2)?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, AppState>,
         (request, options): (
            Resource<HostOutgoingRequest>,
            Option<Resource<RequestOptions>>,
        )| { Ok((handle(store.data_mut(), request, options)?,)) },
    )?;
    linker.allow_shadowing(true);
    let shadowed = shadow(linker);
    linker.allow_shadowing(false);
    shadowed
}

/// The interfaces as wasmtime-wasi-http names them; its WIT has this version.
const HANDLER_P2: &str = "wasi:http/outgoing-handler@0.2.12";
const TYPES_P2: &str = "wasi:http/types@0.2.12";

fn shadow(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    type Future = Resource<HostFutureIncomingResponse>;
    let mut types = linker.instance(TYPES_P2)?;
    types.resource(
        "future-incoming-response",
        ResourceType::host::<HostFutureIncomingResponse>(),
        |mut store: StoreContextMut<'_, AppState>, rep| {
            let view = WasiHttpView::http(store.data_mut());
            view.table.delete::<Waiting>(Resource::new_own(rep))?;
            Ok(())
        },
    )?;
    types.func_wrap(
        "http-error-code",
        |mut store: StoreContextMut<'_, AppState>, (failed,): (Resource<types::IoError>,)| {
            Ok((error_code(store.data_mut(), &failed)?,))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.get",
        |mut store: StoreContextMut<'_, AppState>, (future,): (Future,)| {
            Ok((get(store.data_mut(), &future)?,))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut store: StoreContextMut<'_, AppState>,
         (future,): (Future,)|
         -> wasmtime::Result<(Resource<DynPollable>,)> {
            let view = WasiHttpView::http(store.data_mut());
            let waiting: Resource<Waiting> = Resource::new_borrow(future.rep());
            Ok((subscribe(view.table, waiting)?,))
        },
    )
}

/// Links `wasi:http/client@0.3`.
///
/// # Errors
/// The linker has it already.
pub(super) fn link_p3(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    p3::bindings::http::client::add_to_linker::<AppState, WasiHttp>(linker, AppState::http)
}
