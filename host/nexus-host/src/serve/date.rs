//! The Date of responses in a simulated world: by the world's clock. hyper, which dates them elsewhere, reads the
//! machine's.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{DATE, Entry, HeaderMap, HeaderValue};

/// See the module. What a second's date looks like is kept for its other responses.
#[derive(Default)]
pub(super) struct Dates(RefCell<Option<(u64, HeaderValue)>>);

impl Dates {
    /// RFC 9110 section 6.6.1: an origin server with a clock dates its responses. What an app says itself stands.
    pub(super) fn date(&self, headers: &mut HeaderMap, since_1970: Duration) {
        if let Entry::Vacant(vacant) = headers.entry(DATE)
            && let Some(value) = self.of(since_1970.as_secs())
        {
            vacant.insert(value);
        }
    }

    fn of(&self, seconds: u64) -> Option<HeaderValue> {
        let mut kept = self.0.borrow_mut();
        if let Some((of, value)) = &*kept
            && *of == seconds
        {
            return Some(value.clone());
        }
        // A clock that is past the year 9999 has no date in HTTP.
        let seconds_9999 = 253_402_300_799;
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(seconds_9999)))?;
        let value = HeaderValue::from_str(&httpdate::fmt_http_date(at)).ok()?;
        *kept = Some((seconds, value.clone()));
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dated(headers: &mut HeaderMap, seconds: u64) -> String {
        Dates::default().date(headers, Duration::from_secs(seconds));
        headers[DATE].to_str().expect("a text").to_owned()
    }

    #[test]
    fn a_response_is_dated_once() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            dated(&mut headers, 784_111_777),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(dated(&mut headers, 0), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_clock_past_all_dates_stops_nobody() {
        let date = dated(&mut HeaderMap::new(), u64::MAX);
        assert_eq!(date, "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
