//! The requests an HTTP peer has seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexus_types::{Instant, SocketAddr};

use crate::limits;

/// A request, once its body was whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRequest {
    /// When, by the peer's clock.
    pub at: Instant,
    /// Who asked.
    pub from: SocketAddr,
    /// `GET`.
    pub method: String,
    /// As it was written.
    pub target: String,
    /// What the header `host` says.
    pub host: Option<String>,
    /// All headers in their order, names in lower case; what is no UTF-8 in a value is replaced.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub body_length: u64,
    /// What it was answered; none: the route never answers.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: Vec<HttpRequest>,
    count: u64,
}

/// A handle; clones are the same log. It outlives the machine.
#[derive(Clone, Debug, Default)]
pub struct HttpLog(Arc<Mutex<Kept>>);

impl HttpLog {
    /// None was seen.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first requests, at most [`limits::HTTP_REQUESTS`], in the order they were whole.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.kept().requests.clone()
    }

    /// How many there were, those that were not kept counted.
    pub fn count(&self) -> u64 {
        self.kept().count
    }

    pub(super) fn keep(&self, request: HttpRequest) {
        let mut kept = self.kept();
        kept.count += 1;
        if kept.requests.len() < limits::HTTP_REQUESTS {
            kept.requests.push(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: who asks for ever fills no memory. Method: as many requests as are kept, and one more.
    #[test]
    fn requests_at_and_over_the_limit() {
        let log = HttpLog::new();
        let request = |number: usize| HttpRequest {
            at: Instant::ZERO,
            from: SocketAddr::from(([10, 0, 0, 1], 1)),
            method: "GET".to_owned(),
            target: format!("/{number}"),
            host: None,
            headers: Vec::new(),
            body_length: 0,
            status: None,
        };
        for number in 0..=limits::HTTP_REQUESTS {
            assert_eq!(log.count(), number as u64);
            log.keep(request(number));
        }
        let requests = log.requests();
        assert_eq!(requests.len(), limits::HTTP_REQUESTS);
        assert_eq!(requests.first(), Some(&request(0)));
        assert_eq!(log.count(), limits::HTTP_REQUESTS as u64 + 1);
    }
}
