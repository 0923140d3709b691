//! The head of a request: read by httparse, and judged by RFC 9112.

use crate::limits;

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) why: String,
}

impl Refusal {
    fn new(status: u16, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }
}

/// What a request says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: Option<String>,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub(super) length: u64,
    /// HTTP/1.0.
    pub(super) is_old: bool,
    /// Whether the connection goes on after the answer.
    pub(super) keep: bool,
    /// The body comes once it is asked for (RFC 9110 section 10.1.1).
    pub(super) waits: bool,
}

/// Reads a head from the first bytes of a request. None: more must come. With the head, how many bytes it has.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; limits::HTTP_REQUEST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= limits::HTTP_HEAD_BYTES => length,
        Ok(httparse::Status::Partial) if bytes.len() < limits::HTTP_HEAD_BYTES => return Ok(None),
        Ok(_) => {
            let most = limits::HTTP_HEAD_BYTES;
            return Err(Refusal::new(431, format!("more than {most} bytes of head")));
        }
        Err(httparse::Error::TooManyHeaders) => {
            let most = limits::HTTP_REQUEST_HEADERS;
            return Err(Refusal::new(431, format!("more than {most} headers")));
        }
        Err(error) => return Err(Refusal::new(400, error.to_string())),
    };
    let headers = request.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_ascii_lowercase(), value)
    });
    let (method, target) = (request.method, request.path);
    let head = Head {
        method: method.unwrap_or_default().to_owned(),
        target: target.unwrap_or_default().to_owned(),
        host: None,
        headers: headers.collect(),
        length: 0,
        is_old: request.version == Some(0),
        keep: false,
        waits: false,
    };
    judge(head).map(|head| Some((head, length)))
}

fn judge(mut head: Head) -> Result<Head, Refusal> {
    let form = head.target.starts_with('/')
        || head.target == "*"
        || head.target.contains("://")
        || head.method == "CONNECT";
    if !form {
        return Err(Refusal::new(400, "the target is no path"));
    }
    let values = |name: &str| {
        let headers = head.headers.iter();
        let named = headers.filter(|(header, _)| header == name);
        named.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    // RFC 9112 section 3.2: exactly one in HTTP/1.1, and never more.
    let mut hosts = values("host");
    head.host = hosts.pop();
    if !hosts.is_empty() || (head.host.is_none() && !head.is_old) {
        return Err(Refusal::new(400, "there is not one host"));
    }
    // Sections 6.1 and 6.3: what is read differently by others is not guessed at.
    if !values("transfer-encoding").is_empty() {
        return Err(Refusal::new(400, "a body without content-length"));
    }
    head.length = match &values("content-length")[..] {
        [] => 0,
        [length] if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            // One that does not fit is too large, whatever it is.
            length.parse().unwrap_or(u64::MAX)
        }
        _ => return Err(Refusal::new(400, "content-length is no number")),
    };
    if head.length > limits::HTTP_BODY_BYTES {
        let most = limits::HTTP_BODY_BYTES;
        return Err(Refusal::new(413, format!("more than {most} bytes of body")));
    }
    let says = |name: &str, word: &str| {
        let values = values(name);
        let mut words = values.iter().flat_map(|value| value.split(','));
        words.any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    head.keep = !head.is_old && !says("connection", "close");
    head.waits = !head.is_old && says("expect", "100-continue");
    Ok(head)
}

/// The path of a target, with its query: what is before it in a proxy's form is dropped (RFC 9112 section 3.2.2).
pub(super) fn path(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => match rest.find('/') {
            Some(at) => &rest[at..],
            None => "/",
        },
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Head {
        let (head, length) = read(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    fn status(text: &[u8]) -> u16 {
        read(text).unwrap_err().status
    }

    /// Goal: what a request says is read as the RFC has it. Method: both versions, headers in any case.
    #[test]
    fn requests_are_read() {
        let head = whole(
            "POST /a?b HTTP/1.1\r\nHOST: x\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n",
        );
        assert_eq!((&head.method[..], &head.target[..]), ("POST", "/a?b"));
        assert_eq!((head.host.as_deref(), head.length), (Some("x"), 5));
        assert!(head.keep && head.waits && !head.is_old);
        assert_eq!(head.headers[0], ("host".to_owned(), "x".to_owned()));
        let close = "GET / HTTP/1.1\r\nhost: x\r\nconnection: a, Close\r\n\r\n";
        assert!(!whole(close).keep);
        let old = whole("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        assert!(old.is_old && !old.keep && old.host.is_none());
        assert_eq!(path("http://x/a/b?c"), "/a/b?c");
        assert_eq!(path("http://x"), "/");
        assert_eq!(path("/a?u=http://x/y"), "/a?u=http://x/y");
    }

    /// Goal: a head that is not all there is waited for. Method: every beginning of one.
    #[test]
    fn beginnings_wait_for_more() {
        let text = b"GET /a HTTP/1.1\r\nhost: x\r\nx: y\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]), Ok(None), "{end}");
        }
        read(text).unwrap().unwrap();
    }

    /// Goal: what is no request is refused, and nothing is guessed. Method: one of each kind.
    #[test]
    fn reject_what_is_no_request() {
        for text in [
            "nonsense\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/2.0\r\nhost: x\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
            "GET / HTTP/1.1\r\nhost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n",
            "GET a HTTP/1.1\r\nhost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length:\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5, 5\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
            "\0\r\n\r\n",
        ] {
            assert_eq!(status(text.as_bytes()), 400, "{text:?}");
        }
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01"), 400);
    }

    /// Goal: heads, their headers and bodies have a bound that is exact. Method: at each and one past it.
    #[test]
    fn requests_at_and_over_the_limits() {
        let head = |bytes: usize| {
            let text = "GET / HTTP/1.1\r\nhost: x\r\ny: ";
            let pad = "p".repeat(bytes - text.len() - 4);
            format!("{text}{pad}\r\n\r\n")
        };
        whole(&head(limits::HTTP_HEAD_BYTES));
        let over = head(limits::HTTP_HEAD_BYTES + 1);
        assert_eq!(status(over.as_bytes()), 431);
        assert_eq!(status(&over.as_bytes()[..limits::HTTP_HEAD_BYTES]), 431);
        assert_eq!(
            read(&over.as_bytes()[..limits::HTTP_HEAD_BYTES - 1]),
            Ok(None)
        );
        let headers = |count: usize| {
            let more = "a: b\r\n".repeat(count - 1);
            format!("GET / HTTP/1.1\r\nhost: x\r\n{more}\r\n")
        };
        whole(&headers(limits::HTTP_REQUEST_HEADERS));
        let over = headers(limits::HTTP_REQUEST_HEADERS + 1);
        assert_eq!(status(over.as_bytes()), 431);
        let body =
            |bytes: u128| format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
        let most = u128::from(limits::HTTP_BODY_BYTES);
        assert_eq!(whole(&body(most)).length, limits::HTTP_BODY_BYTES);
        for over in [most + 1, u128::MAX] {
            assert_eq!(status(body(over).as_bytes()), 413);
        }
    }
}
