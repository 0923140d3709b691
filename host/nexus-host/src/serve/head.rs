//! Heads: what of a request's the app is told, and what of a response's a client can be sent.

use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use wasmtime_wasi_http::WasiBody;

use super::Ends;
use super::exchange::Failure;

/// Why a request is not one for the app.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadRequest {
    /// No host, two, or none that is one (RFC 9112 section 3.2).
    Host,
    /// A target that is no path.
    Target,
    /// A method that is not the app's to answer.
    Method,
}

impl BadRequest {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Target => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// The word of the access log.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Host => "bad-host",
            Self::Target => "bad-target",
            Self::Method => "bad-method",
        }
    }
}

/// Gives a request the scheme and authority it came with: the scheme is the connection's; the authority is what the
/// client called us, which is a claim like any other header.
pub(super) fn complete<B>(request: &mut Request<B>, ends: &Ends) -> Result<(), BadRequest> {
    // A tunnel (RFC 9110 section 9.3.6) is not what is served here; the target of CONNECT has no path.
    if request.method() == Method::CONNECT {
        return Err(BadRequest::Method);
    }
    check_target(request.method(), request.uri())?;
    let authority = authority(request, ends)?;
    let uri = std::mem::take(request.uri_mut()).into_parts();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if ends.secure {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    });
    parts.authority = Some(authority);
    parts.path_and_query = uri.path_and_query.or(Some(PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| BadRequest::Target)?;
    Ok(())
}

/// RFC 9112 section 3.2: an authority alone is for CONNECT, `*` for OPTIONS, and what is asked for here is of HTTP.
fn check_target(method: &Method, target: &Uri) -> Result<(), BadRequest> {
    let good = match (target.scheme_str(), target.authority(), target.path()) {
        (Some("http" | "https"), Some(_), path) => path.starts_with('/'),
        (None, None, "*") => method == Method::OPTIONS,
        (None, None, path) => path.starts_with('/'),
        _ => false,
    };
    good.then_some(()).ok_or(BadRequest::Target)
}

fn authority<B>(request: &Request<B>, ends: &Ends) -> Result<Authority, BadRequest> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(BadRequest::Host);
    }
    // "a proxy MUST ignore the received Host": so is a server to, of a target in absolute form (section 3.2.2).
    let authority = match (request.uri().authority(), host) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => Authority::try_from(host.as_bytes()).map_err(|_| BadRequest::Host)?,
        (None, None) if request.version() == Version::HTTP_10 => {
            Authority::try_from(ends.local.to_string()).map_err(|_| BadRequest::Host)?
        }
        (None, None) => return Err(BadRequest::Host),
    };
    // Section 4.2.4 of RFC 9110: userinfo is not for us.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(BadRequest::Host);
    }
    if host.is_none() && request.version() >= Version::HTTP_11 {
        return Err(BadRequest::Host);
    }
    Ok(authority)
}

/// How long a request says its body is.
pub(super) fn says_length<B: Body>(request: &Request<B>) -> Option<u64> {
    request.body().size_hint().exact()
}

/// Whether a response has a body at all, whatever its headers say (RFC 9112 section 6.3).
fn is_head_only(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// What of a response follows its head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// Nothing does, whatever the head says.
    pub(super) head_only: bool,
    /// So many bytes, the head says.
    pub(super) length: Option<u64>,
}

/// Whether an app's answer can be sent as it is. What says one length and has another would have the client take the
/// next response for the rest of this one.
pub(super) fn check(response: &Response<WasiBody>, method: &Method) -> Result<Shape, Failure> {
    let head_only = is_head_only(method, response.status());
    let bad = |why: &str| Err(Failure::BadAnswer(why.to_owned()));
    if response.status().is_informational() {
        return bad("its status is one of those that come before an answer");
    }
    let mut lengths = response.headers().get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(Shape {
            head_only,
            length: None,
        });
    };
    let Some(length) = decimal(length.as_bytes()).filter(|_| lengths.next().is_none()) else {
        return bad("its content-length is no number");
    };
    match response.body().size_hint().exact() {
        Some(exact) if exact != length && !head_only => {
            bad("its content-length is not that of its body")
        }
        _ => Ok(Shape {
            head_only,
            length: Some(length),
        }),
    }
}

/// RFC 9110 section 8.6: digits alone.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
