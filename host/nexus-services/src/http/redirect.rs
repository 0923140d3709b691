//! Where a redirect leads, and what goes along.

use http::header;
use http::{HeaderMap, StatusCode};

use super::error::{Error, RedirectFault};
use super::request::{Redirects, RequestBody};
use super::url::RequestUrl;
use super::{Method, Scheme, headers};

/// Whether a response sends its reader elsewhere (RFC 9110 section 15.4). 300, 304 and 305 do not.
pub(super) fn is_redirect(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) && headers.contains_key(header::LOCATION)
}

/// Whether the `followed + 1`th redirect is followed.
pub(super) fn may_follow(redirects: Redirects, followed: u8) -> Result<(), RedirectFault> {
    match redirects {
        Redirects::Follow(most) if followed < most => Ok(()),
        Redirects::Follow(_) => Err(RedirectFault::TooMany),
        Redirects::Refuse | Redirects::Return => Err(RedirectFault::NotAsked),
    }
}

/// What is sent next.
pub(super) struct Next {
    pub(super) method: Method,
    pub(super) url: RequestUrl,
    pub(super) body: RequestBody,
}

/// Follows: `again` is the body if it can be sent again; `sent` loses what must not go along.
pub(super) fn follow(
    method: Method,
    url: &RequestUrl,
    status: StatusCode,
    response: &HeaderMap,
    sent: &mut HeaderMap,
    again: Option<RequestBody>,
) -> Result<Next, Error> {
    let mut locations = response.get_all(header::LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else {
        return Err(RedirectFault::Location.into());
    };
    let next = url
        .join(location.as_bytes())
        .map_err(|_| RedirectFault::Location)?;
    if url.scheme() == Scheme::Https && next.scheme() == Scheme::Http {
        return Err(RedirectFault::Downgrade.into());
    }
    if !url.same_origin(&next) {
        headers::cross_origin(sent);
    }
    // RFC 9110 sections 15.4.2 to 15.4.4: 303 says so; after 301 and 302 everybody does it.
    let (method, body) = match (status.as_u16(), method) {
        (301..=303, Method::Get | Method::Head) => (method, RequestBody::Empty),
        (301..=303, _) => (Method::Get, RequestBody::Empty),
        _ => (method, again.ok_or(RedirectFault::Body)?),
    };
    if matches!(body, RequestBody::Empty) {
        headers::without_body(sent);
    }
    Ok(Next {
        method,
        url: next,
        body,
    })
}
