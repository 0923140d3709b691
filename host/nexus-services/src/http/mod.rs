//! A bounded HTTP/1.1 client over streams that somebody else permits and opens.
//!
//! The client decides nothing and opens nothing: a [`Network`] judges each hop of a request, resolves and
//! connects, and says what time it is. What is here holds the bounds ([`Limits`]), the framing, TLS, redirects,
//! retries and the pool of idle connections. hyper speaks HTTP/1.1; a filter in front of it (`guard.rs`) refuses
//! what it would let pass.
//!
//! Invariants:
//! 1. the URL that is judged is the URL that is asked for: one parser ([`RequestUrl`]), and the request line and
//!    `Host` are built from what it made of the text;
//! 2. each hop is judged, resolved and connected anew; a connection is used again only under the same app,
//!    grant, origin, address, TLS profile and policy epoch;
//! 3. a body is whole or it is an error, never shortened;
//! 4. no text of an error holds anything of the request or the response;
//! 5. nothing runs by itself: no thread, task or timer. A request runs while its future is polled, a body
//!    while it is read, idle connections while [`Client::drive`] is polled.

mod body;
mod client;
mod connection;
mod error;
mod exchange;
mod guard;
mod gzip;
mod head;
mod headers;
mod limits;
mod network;
mod pool;
mod redirect;
mod request;
mod response;
mod retry;
mod run;
mod send;
mod slots;
mod time;
mod tls;
mod url;

pub use body::ResponseBody;
pub use client::{Client, Drive};
pub use error::{
    BodyFault, Error, HeadFault, HeaderFault, Phase, RedirectFault, RequestFault, SendFault,
    TlsFault, UrlFault,
};
pub use headers::read as read_headers;
pub use limits::{Limits, Timeouts};
pub use network::{Caller, ConnectError, Grant, Hop, Network, Refusal, ResolveError};
pub use nexus_policy::parameter::url::{Method, Scheme};
pub use request::{Coding, Options, Redirects, Request, RequestBody, StreamBody, StreamError};
pub use response::{Progress, Response};
pub use tls::{RootsError, TlsProfile, WallClock};
pub use url::{Host, RequestUrl};
