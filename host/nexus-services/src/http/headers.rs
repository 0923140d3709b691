//! Headers: what an app may set, what a response may say, and what crosses to another origin.

use bytes::BytesMut;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use nexus_types::limits;

use super::error::{BodyFault, Error, HeadFault, HeaderFault};
use super::request::{Coding, RequestBody};

/// What frames a message or belongs to one connection (RFC 9110 section 7.6.1): the host's to set.
const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
];

/// What may go along to another origin. Everything else may be a credential, whatever it is called.
const TO_ANOTHER_ORIGIN: [HeaderName; 15] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
    header::USER_AGENT,
];

/// Makes headers of what an app gives; line breaks, NULs and other control characters are refused.
pub fn read<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    fields: impl IntoIterator<Item = (N, V)>,
) -> Result<HeaderMap, HeaderFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if headers.len() == limits::HTTP_REQUEST_FIELDS {
            return Err(HeaderFault::TooMany);
        }
        let name = HeaderName::from_bytes(name.as_ref()).map_err(|_| HeaderFault::Name)?;
        let value = HeaderValue::from_bytes(value.as_ref()).map_err(|_| HeaderFault::Value)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Checks what an app set. What comes back is without `Content-Length`, whose value went into the body.
pub(super) fn check(
    mut headers: HeaderMap,
    body: RequestBody,
    coding: Coding,
) -> Result<(HeaderMap, RequestBody), HeaderFault> {
    if headers.len() > limits::HTTP_REQUEST_FIELDS {
        return Err(HeaderFault::TooMany);
    }
    // On the wire a field is its name, `: `, its value and CRLF.
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if bytes > limits::HTTP_REQUEST_HEAD_BYTES {
        return Err(HeaderFault::TooLarge);
    }
    for name in headers.keys() {
        let forbidden = OF_THE_CONNECTION.contains(name)
            || *name == header::HOST
            || name.as_str().starts_with("proxy-")
            || (*name == header::ACCEPT_ENCODING && coding != Coding::AsSent);
        if forbidden {
            return Err(HeaderFault::Forbidden);
        }
    }
    let said = match length(&headers) {
        Length::Absent => None,
        Length::Is(said) => Some(said),
        Length::Unclear => return Err(HeaderFault::ContentLength),
    };
    headers.remove(header::CONTENT_LENGTH);
    let body = match (body, said) {
        (RequestBody::Stream(stream, None), said) => RequestBody::Stream(stream, said),
        (body, Some(said)) if body.length() != Some(said) => {
            return Err(HeaderFault::ContentLength);
        }
        (body, _) => body,
    };
    if coding != Coding::AsSent {
        let asked = match coding {
            Coding::Gzip => "gzip",
            _ => "identity",
        };
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(asked));
    }
    Ok((headers, body))
}

/// Drops whatever may be a credential: the list names what is none, since nobody can name all that are.
pub(super) fn cross_origin(headers: &mut HeaderMap) {
    keep(headers, |name| TO_ANOTHER_ORIGIN.contains(name));
}

/// Drops what describes a body that is no longer sent (RFC 9110 section 15.4).
pub(super) fn without_body(headers: &mut HeaderMap) {
    keep(headers, |name| !name.as_str().starts_with("content-"));
}

fn keep(headers: &mut HeaderMap, keeps: impl Fn(&HeaderName) -> bool) {
    let dropped: Vec<_> = headers
        .keys()
        .filter(|name| !keeps(name))
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// How long a body is said to be.
enum Length {
    Absent,
    Is(u64),
    /// Said twice, or no plain number.
    Unclear,
}

/// RFC 9110 section 8.6: digits alone. A list of equal lengths may be taken for one; we need not, and do not.
fn length(headers: &HeaderMap) -> Length {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Length::Absent;
    };
    let digits = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    let said = value.to_str().ok().and_then(|text| text.parse().ok());
    match (said, values.next()) {
        (Some(said), None) if digits => Length::Is(said),
        _ => Length::Unclear,
    }
}

/// What a response's head says about its body.
pub(super) struct Framing {
    /// Its length as it is sent, if it is said.
    pub(super) length: Option<u64>,
    /// Whether it is gzip that we asked for.
    pub(super) gzip: bool,
}

/// Checks how a response is framed and coded, and drops what belongs to the connection or to the coding that
/// is taken off. `bodyless`: there can be no body, whatever is said (RFC 9112 section 6.3).
pub(super) fn framing(
    headers: &mut HeaderMap,
    bodyless: bool,
    coding: Coding,
    most: u64,
) -> Result<Framing, Error> {
    let length = match length(headers) {
        Length::Absent => None,
        Length::Is(said) => Some(said),
        Length::Unclear => return Err(HeadFault::Framing.into()),
    };
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // RFC 9112 section 6.1: with both, the message may be an attempt at smuggling.
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || codings.next().is_some() || length.is_some() {
            return Err(HeadFault::Framing.into());
        }
    }
    let mut gzip = false;
    if coding != Coding::AsSent && !bodyless {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        if let Some(value) = codings.next() {
            let value = value.as_bytes();
            gzip = [&b"gzip"[..], b"x-gzip"]
                .iter()
                .any(|name| value.eq_ignore_ascii_case(name));
            let known = value.eq_ignore_ascii_case(b"identity") || (gzip && coding == Coding::Gzip);
            if !known || codings.next().is_some() {
                return Err(HeadFault::Coding.into());
            }
        }
    }
    if !bodyless && length.is_some_and(|length| length > most) {
        return Err(BodyFault::TooLarge.into());
    }
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    if gzip {
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Framing { length, gzip })
}

/// Copies the values out of what they were read into: hyper's are slices of its buffer, and a head that an app keeps
/// would keep the whole of it, 32 KiB and more for a status and a date.
pub(super) fn detach(headers: &mut HeaderMap) {
    let bytes = headers.values().map(HeaderValue::len).sum();
    let mut all = BytesMut::with_capacity(bytes);
    for value in headers.values_mut() {
        all.extend_from_slice(value.as_bytes());
        // It was a value before.
        if let Ok(own) = HeaderValue::from_maybe_shared(all.split().freeze()) {
            *value = own;
        }
    }
}
