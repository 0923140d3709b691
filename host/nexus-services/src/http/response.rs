//! What comes back.

use core::fmt;

use http::{HeaderMap, StatusCode};

use super::body::ResponseBody;
use super::network::Network;
use super::url::RequestUrl;

/// A response whose head is whole; its body comes as it is read.
pub struct Response<N: Network> {
    /// What the server says of it.
    pub status: StatusCode,
    /// Without those that belong to the connection, or to a coding that is taken off.
    pub headers: HeaderMap,
    /// Dropped before its end, it closes the connection.
    pub body: ResponseBody<N>,
    /// Where it is from: the request's own URL, or where redirects led.
    pub url: RequestUrl,
}

impl<N: Network> fmt::Debug for Response<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body", &self.body)
            .field("url", &self.url)
            .finish()
    }
}

/// How far a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Bytes of it that came, codings on, framing off.
    pub received: u64,
    /// Bytes of it that were handed over, codings off.
    pub decoded: u64,
    /// How many will come, if the server said.
    pub length: Option<u64>,
}
