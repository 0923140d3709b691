//! A peer that speaks HTTP/1.1 and 1.0 (RFC 9110, RFC 9112): routes, and what goes wrong at them.

mod head;
mod log;
mod reply;
mod serve;

pub use log::{HttpLog, HttpRequest};
pub(super) use serve::HttpPeer;

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_types::Duration;

use super::check;
use super::error::ScriptError;
use crate::limits;

/// How the client learns where a body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HttpFraming {
    /// From `content-length`.
    #[default]
    Length,
    /// From the last chunk. To HTTP/1.0, which does not know chunks, as [`HttpFraming::Close`].
    Chunked,
    /// From the end of the connection.
    Close,
}

/// What goes wrong with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpFault {
    /// It is finished after so many bytes of the body.
    CutAfter(usize),
    /// There is none; the connection stays.
    Never,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpResponse {
    /// 200 to 599.
    pub status: u16,
    /// Beside those of framing and of the connection, which are the peer's.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How its end is told.
    pub framing: HttpFraming,
    /// It begins so long after the request was there.
    pub delay: Duration,
    /// What goes wrong.
    pub fault: Option<HttpFault>,
}

impl HttpResponse {
    /// One at once, with nothing wrong.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            framing: HttpFraming::Length,
            delay: Duration::ZERO,
            fault: None,
        }
    }
}

/// What is answered to what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRoute {
    /// The method, as it is written: `GET`. One of `HEAD` sends the headers of its body and not the body; without
    /// one `HEAD` is a method like any other.
    pub method: String,
    /// The target's path, as it is written: nothing is decoded. With a `?` in it, the query counts too.
    pub path: String,
    /// The answer.
    pub response: HttpResponse,
}

/// The routes of an HTTP peer. A path that no route has is answered 404, a method that none of the path's has 405;
/// what is no request as RFC 9112 has it 400, a head over [`limits::HTTP_HEAD_BYTES`] 431 and a body over
/// [`limits::HTTP_BODY_BYTES`] 413, and then the connection is closed. These three are failures.
#[derive(Clone, Debug)]
pub struct HttpScript {
    routes: Arc<[(String, String, Arc<HttpResponse>)]>,
}

impl HttpScript {
    /// A script of these.
    ///
    /// # Errors
    /// Routes, headers, bytes or a delay over their limit; two routes for one method and path; what HTTP has no such
    /// thing as.
    pub fn new(routes: Vec<HttpRoute>) -> Result<Self, ScriptError> {
        check::count("routes", routes.len(), limits::HTTP_ROUTES)?;
        let bytes = routes.iter().map(HttpRoute::bytes).sum();
        check::count("bytes of script", bytes, limits::PEER_SCRIPT_BYTES)?;
        let mut known = BTreeSet::new();
        for (number, route) in (1_usize..).zip(&routes) {
            let (method, path) = (&route.method, &route.path);
            let mut checked = route.check();
            if checked.is_ok() && !known.insert((method, path)) {
                checked = Err(ScriptError::new("an earlier route is the same"));
            }
            checked.map_err(|why| ScriptError::new(format!("route {number}: {why}")))?;
        }
        let routes = routes.into_iter();
        let kept = routes.map(|route| (route.method, route.path, Arc::new(route.response)));
        Ok(Self {
            routes: kept.collect(),
        })
    }
}

impl HttpRoute {
    fn bytes(&self) -> usize {
        let headers = self.response.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        self.method.len() + self.path.len() + headers + self.response.body.len()
    }

    fn check(&self) -> Result<(), ScriptError> {
        let response = &self.response;
        if !is_token(&self.method) {
            let why = format!("{:?} is no method", self.method);
            return Err(ScriptError::new(why));
        }
        let fits = self.path.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits || (self.path != "*" && !self.path.starts_with('/')) {
            let why = format!("{:?} is no path", self.path);
            return Err(ScriptError::new(why));
        }
        let status = response.status;
        if !(200..=599).contains(&status) {
            let why = format!("{status} is no status of an answer");
            return Err(ScriptError::new(why));
        }
        // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
        if matches!(status, 204 | 205 | 304) && !response.body.is_empty() {
            return Err(ScriptError::new(format!("a {status} has no body")));
        }
        check::wait(response.delay)?;
        let most = limits::HTTP_RESPONSE_HEADERS;
        check::count("headers", response.headers.len(), most)?;
        response.headers.iter().try_for_each(check_header)?;
        match response.fault {
            Some(HttpFault::CutAfter(_)) if self.method == "HEAD" => {
                Err(ScriptError::new("HEAD has no body to cut"))
            }
            Some(HttpFault::CutAfter(at)) if at >= response.body.len() => {
                let length = response.body.len();
                let why = format!("a body of {length} bytes cannot be cut after {at}");
                Err(ScriptError::new(why))
            }
            _ => Ok(()),
        }
    }
}

/// RFC 9110 section 5: no line can end in a header that is not its own.
fn check_header((name, value): &(String, String)) -> Result<(), ScriptError> {
    if !is_token(name) {
        return Err(ScriptError::new(format!("{name:?} is no header's name")));
    }
    let ours = ["content-length", "transfer-encoding", "connection"];
    if ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        let why = format!("{name} is made by the peer: see `framing`");
        return Err(ScriptError::new(why));
    }
    let fits = |byte: u8| byte == b' ' || byte == b'\t' || byte >= 0x80 || byte.is_ascii_graphic();
    if !value.bytes().all(fits) {
        return Err(ScriptError::new(format!("{value:?} is no header's value")));
    }
    Ok(())
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(of_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, response: HttpResponse) -> HttpRoute {
        HttpRoute {
            method: "GET".to_owned(),
            path: path.to_owned(),
            response,
        }
    }

    fn refused(routes: Vec<HttpRoute>) -> String {
        HttpScript::new(routes).unwrap_err().to_string()
    }

    /// Goal: routes, headers, bytes and delays have a bound that is exact. Method: at each and one past it.
    #[test]
    fn scripts_at_and_over_the_limits() {
        let routes = |count: usize| {
            let routes = (0..count).map(|n| route(&format!("/{n}"), HttpResponse::new(200, "")));
            routes.collect::<Vec<_>>()
        };
        HttpScript::new(routes(limits::HTTP_ROUTES)).unwrap();
        assert!(refused(routes(limits::HTTP_ROUTES + 1)).contains("1025 routes"));
        let bytes = |count| vec![route("/", HttpResponse::new(200, vec![0; count]))];
        let most = limits::PEER_SCRIPT_BYTES - "GET/".len();
        HttpScript::new(bytes(most)).unwrap();
        assert!(refused(bytes(most + 1)).contains("bytes of script"));
        let with = |headers: usize, delay| {
            let mut response = HttpResponse::new(200, "");
            response.headers = vec![("x".to_owned(), "y".to_owned()); headers];
            response.delay = delay;
            vec![route("/", response)]
        };
        let late = Duration::from_secs(limits::PEER_WAIT_SECONDS);
        HttpScript::new(with(limits::HTTP_RESPONSE_HEADERS, late)).unwrap();
        let over = with(limits::HTTP_RESPONSE_HEADERS + 1, late);
        assert!(refused(over).contains("headers"));
        assert!(refused(with(0, late + Duration::from_nanos(1))).contains("wait"));
    }

    /// Goal: no script makes a peer say what is no HTTP. Method: one of each kind.
    #[test]
    fn reject_what_is_no_http() {
        let fine = || route("/", HttpResponse::new(200, "body"));
        let with = |change: fn(&mut HttpRoute)| {
            let mut route = fine();
            change(&mut route);
            vec![route]
        };
        let header = |route: &mut HttpRoute, name: &str, value: &str| {
            let headers = &mut route.response.headers;
            headers.push((name.to_owned(), value.to_owned()));
        };
        let mut injected = fine();
        header(&mut injected, "x", "y\r\nz: 1");
        let mut unnamed = fine();
        header(&mut unnamed, "a b", "");
        let mut ours = fine();
        header(&mut ours, "Content-Length", "7");
        let wrong = [
            (with(|route| route.method.clear()), "no method"),
            (with(|route| route.method = "A B".to_owned()), "no method"),
            (with(|route| route.path = "x".to_owned()), "no path"),
            (with(|route| route.path = "/a b".to_owned()), "no path"),
            (with(|route| route.response.status = 199), "199 is no"),
            (with(|route| route.response.status = 600), "600 is no"),
            (with(|route| route.response.status = 204), "has no body"),
            (
                with(|route| route.response.fault = Some(HttpFault::CutAfter(4))),
                "cannot be cut after 4",
            ),
            (
                with(|route| {
                    route.method = "HEAD".to_owned();
                    route.response.fault = Some(HttpFault::CutAfter(1));
                }),
                "no body to cut",
            ),
            (vec![injected], "is no header's value"),
            (vec![unnamed], "is no header's name"),
            (vec![ours], "is made by the peer"),
            (
                vec![fine(), fine()],
                "route 2: an earlier route is the same",
            ),
        ];
        for (routes, text) in wrong {
            let refused = refused(routes);
            assert!(refused.contains(text), "{refused}");
        }
    }
}
