//! HTTP, by the host: the app says what it asks for, and sees responses.
//!
//! The app's `nexus.toml` asks for `network.http.request`, with rules as `GET https://api.example.com/v1/*`. The host
//! parses, judges, looks up, speaks TLS and HTTP/1.1, and bounds all of it; see the guide's page on HTTP.
//!
//! ```no_run
//! # use nexus_sdk::{Error, svc::net::http::Request};
//! # async fn weather() -> Result<(), Error> {
//! let response = Request::get("https://api.example.com/v1/weather").send().await?;
//! if response.status() == 200 {
//!     println!("{}", response.text(64 * 1024).await?);
//! }
//! # Ok(())
//! # }
//! ```

use core::future::Future;
use core::time::Duration;

use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

use crate::bindings::nexus::error::types::Error as WitError;
use crate::bindings::nexus::net::http as wit;
use crate::bindings::wit_stream;
use crate::host::net::http;
use crate::{Error, ErrorCode};

/// What is asked for. It can be sent once.
#[must_use = "nothing is asked for until it is sent"]
#[derive(Debug)]
pub struct Request(wit::Request);

impl Request {
    /// A request of this method, without headers or body: no redirect is followed, nothing is tried again, and the
    /// host's own times hold.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self(wit::Request {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: wit::Body::Empty,
            options: wit::Options {
                redirects: wit::Redirects::Refuse,
                gzip: false,
                retries: 0,
                timeouts: wit::Timeouts {
                    connect: None,
                    first_byte: None,
                    between_bytes: None,
                    total: None,
                },
            },
        })
    }

    /// `GET`
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `HEAD`: a response without its body.
    pub fn head(url: impl Into<String>) -> Self {
        Self::new("HEAD", url)
    }

    /// `POST`
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", url).body(body)
    }

    /// `PUT`
    pub fn put(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("PUT", url).body(body)
    }

    /// `DELETE`
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// One more header field. Those of the connection (`Host`, `Connection`, `Transfer-Encoding`, ...) are the host's.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push(wit::Field {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// This body, all of it.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = wit::Body::Bytes(body.into());
        self
    }

    /// Follows so many redirects, at most 5. Each place is judged like a request; credentials stay with the first
    /// origin.
    pub fn follow(mut self, redirects: u8) -> Self {
        self.0.options.redirects = wit::Redirects::Follow(redirects);
        self
    }

    /// Takes redirects for responses like any other.
    pub fn return_redirects(mut self) -> Self {
        self.0.options.redirects = wit::Redirects::Return;
        self
    }

    /// Asks for gzip; the host takes it off.
    pub fn gzip(mut self) -> Self {
        self.0.options.gzip = true;
        self
    }

    /// Tries again so often, at most 2: idempotent methods alone, and while nothing of a response has come.
    pub fn retries(mut self, retries: u8) -> Self {
        self.0.options.retries = retries;
        self
    }

    /// Ends it after this long, its response's body included; the host may end it sooner.
    pub fn timeout(mut self, total: Duration) -> Self {
        self.0.options.timeouts.total = Some(millis(total));
        self
    }

    /// Ends it if no connection stands after this long.
    pub fn connect_timeout(mut self, connect: Duration) -> Self {
        self.0.options.timeouts.connect = Some(millis(connect));
        self
    }

    /// Sends it, and waits for the response's head. Dropped, it gives up.
    pub async fn send(self) -> Result<Response, Error> {
        let response = http::send(self.0).await?;
        Ok(Response {
            status: response.status,
            url: response.url,
            headers: Headers(response.headers),
            length: response.length,
            data: response.data,
            end: Some(response.end),
            received: 0,
        })
    }

    /// Sends it with a body that is made meanwhile: what is written to the [`BodyWriter`], to its end. With a length
    /// it must be exactly that. Both are to be used at the same time.
    ///
    /// ```no_run
    /// # use nexus_sdk::{Error, svc::net::http::Request, task::join};
    /// # async fn upload(parts: Vec<Vec<u8>>) -> Result<u16, Error> {
    /// let (mut body, response) = Request::new("POST", "https://files.example.com/new").streamed(None);
    /// let write = async move {
    ///     for part in parts {
    ///         body.write_all(part).await?;
    ///     }
    ///     Ok::<_, Error>(())
    /// };
    /// let (written, response) = join(write, response).await;
    /// let response = response?;
    /// written?;
    /// Ok(response.status())
    /// # }
    /// ```
    pub fn streamed(
        mut self,
        length: Option<u64>,
    ) -> (BodyWriter, impl Future<Output = Result<Response, Error>>) {
        let (writer, data) = wit_stream::new();
        self.0.body = wit::Body::Streamed(wit::Streamed { data, length });
        (BodyWriter { writer, written: 0 }, self.send())
    }
}

/// A time beyond what the WIT can say is as good as none.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// A body on its way. Dropping it is its end.
#[derive(Debug)]
pub struct BodyWriter {
    writer: StreamWriter<u8>,
    written: u64,
}

impl BodyWriter {
    /// Writes everything, waiting while the server takes no more. [`ErrorCode::Closed`] if the request is over:
    /// the response, or its error, says why.
    pub async fn write_all(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let length = bytes.len() as u64;
        let rest = self.writer.write_all(bytes).await;
        self.written += length - rest.len() as u64;
        if rest.is_empty() {
            return Ok(());
        }
        let why = format!("{} bytes of the body could not be sent", rest.len());
        Err(Error::new(ErrorCode::Closed, "closed", why))
    }

    /// Bytes the host has taken.
    pub fn written(&self) -> u64 {
        self.written
    }
}

/// Header fields, in the order they came. Names are compared in any case.
#[derive(Debug, Default)]
pub struct Headers(Vec<wit::Field>);

impl Headers {
    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first field of this name, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.get(name)?).ok()
    }

    /// All fields of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let its = move |field: &&wit::Field| field.name.eq_ignore_ascii_case(name);
        self.0.iter().filter(its).map(|field| &field.value[..])
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|field| (&field.name[..], &field.value[..]))
    }
}

/// A response. Dropped before its end it gives up the rest.
#[derive(Debug)]
pub struct Response {
    status: u16,
    url: String,
    headers: Headers,
    length: Option<u64>,
    data: StreamReader<u8>,
    end: Option<FutureReader<Result<(), WitError>>>,
    received: u64,
}

impl Response {
    /// The status: 200, 404, ...
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether it is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Where it is from: the request's URL, or where redirects led.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// How long the body is, if the server said so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes of the body that were read so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Waits for more of the body and returns `buffer` with it: its old contents gone, at most its capacity. Empty:
    /// that was all, and the body is whole.
    pub async fn read(&mut self, mut buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        buffer.clear();
        if buffer.capacity() == 0 {
            return Err(Error::invalid("the buffer has no capacity"));
        }
        loop {
            let result;
            (result, buffer) = self.data.read(buffer).await;
            match result {
                StreamResult::Complete(0) => {}
                StreamResult::Complete(count) => {
                    self.received += count as u64;
                    return Ok(buffer);
                }
                StreamResult::Dropped | StreamResult::Cancelled => break,
            }
        }
        match self.end.take() {
            Some(end) => end.await.map(|()| buffer).map_err(Into::into),
            None => Ok(buffer),
        }
    }

    /// The whole body. [`ErrorCode::NoCapacity`] if it is more than `max` bytes.
    pub async fn bytes(mut self, max: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        let mut buffer = Vec::with_capacity(READ_BYTES.min(max.saturating_add(1)));
        loop {
            buffer = self.read(buffer).await?;
            if buffer.is_empty() {
                return Ok(all);
            }
            if buffer.len() > max - all.len() {
                let why = format!("the response's body is longer than {max} bytes");
                return Err(Error::new(ErrorCode::NoCapacity, "body-too-large", why));
            }
            all.extend_from_slice(&buffer);
        }
    }

    /// The whole body as text. [`ErrorCode::Protocol`] if it is not UTF-8.
    pub async fn text(self, max: usize) -> Result<String, Error> {
        String::from_utf8(self.bytes(max).await?).map_err(|_| {
            let why = "the response's body is not UTF-8";
            Error::new(ErrorCode::Protocol, "body-not-text", why)
        })
    }
}

/// What the host hands over at once.
const READ_BYTES: usize = 64 << 10;
