//! What an app asks for.

use core::fmt;
use core::pin::Pin;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use nexus_types::limits;

use super::Method;
use super::error::{Error, RequestFault};
use super::headers;
use super::limits::Timeouts;
use super::url::RequestUrl;

/// A body that comes as it is made; it is asked for more only while the server takes it.
pub type StreamBody = Pin<Box<dyn Body<Data = Bytes, Error = StreamError> + Send>>;

/// The app gave up the body before its end. The connection is closed, so that the server sees no whole request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamError;

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body ended before it was whole")
    }
}

impl core::error::Error for StreamError {}

/// What is sent with a request.
#[derive(Default)]
pub enum RequestBody {
    /// Nothing.
    #[default]
    Empty,
    /// All of it is there, and can be sent again.
    Whole(Bytes),
    /// It is sent once. With a length it goes out under it, without in chunks.
    Stream(StreamBody, Option<u64>),
}

impl RequestBody {
    /// Its length, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Stream(_, length) => *length,
        }
    }

    /// The same once more; `None` for a stream, which is gone once it was sent.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Stream(..) => None,
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_, length) => write!(f, "Stream({length:?})"),
        }
    }
}

/// What to do with a redirect (301, 302, 303, 307 and 308 with a `Location`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Redirects {
    /// It is an error.
    #[default]
    Refuse,
    /// It is a response like any other; whoever follows it asks anew.
    Return,
    /// Follow this many, at most [`limits::HTTP_REDIRECTS`]; each is judged like a request.
    Follow(u8),
}

/// What to do about codings of the response's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Coding {
    /// Ask for none and take none.
    #[default]
    Identity,
    /// Ask for gzip, and decode it.
    Gzip,
    /// The app asks for and decodes what it likes: bytes are passed as they come.
    AsSent,
}

/// How a request is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// What to do with a redirect.
    pub redirects: Redirects,
    /// What to do about codings.
    pub coding: Coding,
    /// How often to try again, at most [`limits::HTTP_RETRIES`]: idempotent methods alone, and only while
    /// nothing of a response was read.
    pub retries: u8,
    /// Shorter times than the grant's; longer ones change nothing.
    pub timeouts: Option<Timeouts>,
}

/// What an app asks for.
pub struct Request {
    /// How.
    pub method: String,
    /// For what.
    pub url: String,
    /// With what headers; those that are the host's to set are refused.
    pub headers: HeaderMap,
    /// With what body.
    pub body: RequestBody,
    /// How it is made.
    pub options: Options,
}

impl Request {
    /// A request without headers or body, under the default options.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: HeaderMap::new(),
            body: RequestBody::Empty,
            options: Options::default(),
        }
    }

    pub(super) fn check(self) -> Result<Checked, Error> {
        let url = RequestUrl::parse(&self.url)?;
        let method = Method::ALL
            .into_iter()
            .find(|method| method.as_str() == self.method)
            .ok_or(RequestFault::Method)?;
        let Options {
            redirects, retries, ..
        } = self.options;
        let too_many =
            matches!(redirects, Redirects::Follow(most) if most > limits::HTTP_REDIRECTS);
        if too_many || retries > limits::HTTP_RETRIES {
            return Err(RequestFault::Options.into());
        }
        let (headers, body) = headers::check(self.headers, self.body, self.options.coding)?;
        Ok(Checked {
            method,
            url,
            headers,
            body,
            options: self.options,
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &RequestUrl::parse(&self.url))
            .field("headers", &self.headers.len())
            .field("body", &self.body)
            .field("options", &self.options)
            .finish()
    }
}

/// A request that may be sent, if it is permitted.
pub(super) struct Checked {
    pub(super) method: Method,
    pub(super) url: RequestUrl,
    /// Without those that frame the message.
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    pub(super) options: Options,
}
