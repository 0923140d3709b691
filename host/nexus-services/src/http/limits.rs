//! The bounds a grant sets; what is not here is the same for all ([`nexus_types::limits`]).

use nexus_types::{Duration, limits};

/// How much and how long. The defaults are the guide's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub request_body: u64,
    /// Bytes of a response's body, as sent and as decoded.
    pub response_body: u64,
    /// Requests at once, an app; at least 1.
    pub concurrent: u32,
    /// How long each phase may take.
    pub timeouts: Timeouts,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: limits::HTTP_REQUEST_BODY_BYTES,
            response_body: limits::HTTP_RESPONSE_BODY_BYTES,
            concurrent: limits::HTTP_CONCURRENT,
            timeouts: Timeouts::default(),
        }
    }
}

/// How long each phase may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// From a name to an address.
    pub resolve: Duration,
    /// Until the stream is open, the wait for one's turn included.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From the request's last byte to the end of the response's head.
    pub first_byte: Duration,
    /// Between two bytes of a body, either way, while the far end is waited for.
    pub between_bytes: Duration,
    /// All of it, redirects and retries included, until the response's last byte is read.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_micros(limits::HTTP_RESOLVE_MICROS),
            connect: Duration::from_micros(limits::HTTP_CONNECT_MICROS),
            tls: Duration::from_micros(limits::HTTP_TLS_MICROS),
            first_byte: Duration::from_micros(limits::HTTP_FIRST_BYTE_MICROS),
            between_bytes: Duration::from_micros(limits::HTTP_BETWEEN_BYTES_MICROS),
            total: Duration::from_micros(limits::HTTP_TOTAL_MICROS),
        }
    }
}

impl Timeouts {
    /// None is shorter than a grant's: what an app asks for that asks for nothing.
    pub const LONGEST: Self = Self {
        resolve: Duration::MAX,
        connect: Duration::MAX,
        tls: Duration::MAX,
        first_byte: Duration::MAX,
        between_bytes: Duration::MAX,
        total: Duration::MAX,
    };

    /// The shorter of each: what an app asks for shortens what its grant gives, and never lengthens it.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            resolve: self.resolve.min(other.resolve),
            connect: self.connect.min(other.connect),
            tls: self.tls.min(other.tls),
            first_byte: self.first_byte.min(other.first_byte),
            between_bytes: self.between_bytes.min(other.between_bytes),
            total: self.total.min(other.total),
        }
    }
}
