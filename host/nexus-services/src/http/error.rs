//! What ends a request, by phase and by who is to blame.
//!
//! Every text here is fixed: nothing of a URL, a header or a body can be in one.

use core::fmt;

use nexus_types::{ErrorCode, Why};

use super::network::{ConnectError, Refusal, ResolveError};

/// What ended a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// The app asked for what can never be sent.
    Request(RequestFault),
    /// The policy says no.
    Refused(Refusal),
    /// Too many requests of the app wait already.
    TooMany,
    /// The time of a phase ran out.
    TimedOut(Phase),
    /// There is no address.
    Resolve(ResolveError),
    /// There is no stream.
    Connect(ConnectError),
    /// TLS failed, in the handshake or after it.
    Tls(TlsFault),
    /// The request could not be sent.
    Send(SendFault),
    /// The response's head is not one.
    Head(HeadFault),
    /// The response's body is not whole.
    Body(BodyFault),
    /// A redirect was not followed.
    Redirect(RedirectFault),
    /// The app ended, or its connections were dropped.
    Ended,
    /// A fault of the host itself.
    Internal,
}

macro_rules! faults {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident => $code:ident, $word:literal, $why:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $(#[doc = $why] $(#[$case_doc])* $case,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$case),*];

            const fn parts(self) -> (ErrorCode, &'static str, &'static str) {
                match self {
                    $(Self::$case => (ErrorCode::$code, $word, $why),)*
                }
            }
        }
    };
}

faults! {
    /// A phase with a time limit of its own.
    Phase {
        Resolve => Deadline, "resolve-timeout", "no name server answered in time";
        Connect => Deadline, "connect-timeout", "no connection was open in time";
        Tls => Deadline, "tls-timeout", "the TLS handshake was not over in time";
        Send => Deadline, "send-timeout", "the server took no more of the request in time";
        Head => Deadline, "first-byte-timeout", "the response's head was not there in time";
        Body => Deadline, "between-bytes-timeout", "no more of the response's body came in time";
        Total => Deadline, "total-timeout", "the request as a whole took too long";
    }
}

faults! {
    /// Why a text is no URL to ask for.
    UrlFault {
        TooLong => InvalidArgument, "url-too-long", "the URL is longer than 8 KiB";
        Character => InvalidArgument, "url-character", "the URL has a blank, a control character or a backslash in it";
        Scheme => InvalidArgument, "url-scheme", "the URL begins with neither http:// nor https://";
        Userinfo => InvalidArgument, "url-userinfo", "the URL has a user or a password in it";
        Host => InvalidArgument, "url-host", "the URL's host is neither a name nor an address";
        Port => InvalidArgument, "url-port", "the URL's port is 0";
        Syntax => InvalidArgument, "url-syntax", "this is no URL";
    }
}

faults! {
    /// Why headers cannot be sent.
    HeaderFault {
        Name => InvalidArgument, "header-name", "a header's name has a character that no name has";
        Value => InvalidArgument, "header-value", "a header's value has a line break, a NUL or another control character in it";
        Forbidden => InvalidArgument, "header-forbidden", "a header that is the host's to set: Host, Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, or Accept-Encoding where the host decodes";
        ContentLength => InvalidArgument, "header-content-length", "Content-Length is not the body's length";
        TooMany => NoCapacity, "headers-too-many", "the request has more than 64 header fields";
        TooLarge => NoCapacity, "headers-too-large", "the request's header fields are larger than 16 KiB";
    }
}

/// What the app asked for that can never be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestFault {
    /// The URL.
    Url(UrlFault),
    /// The method: none that a rule can name.
    Method,
    /// The headers.
    Header(HeaderFault),
    /// More retries or redirects than there are.
    Options,
}

faults! {
    /// What TLS failed at.
    TlsFault {
        Expired => Protocol, "certificate-expired", "the server's certificate has expired";
        NotYetValid => Protocol, "certificate-not-yet-valid", "the server's certificate is not valid yet";
        WrongName => Protocol, "certificate-wrong-name", "the server's certificate is for another name";
        UnknownIssuer => Protocol, "certificate-unknown-issuer", "the server's certificate is from nobody who is trusted";
        BadCertificate => Protocol, "certificate-bad", "the server's certificate is not valid";
        Incompatible => Protocol, "tls-incompatible", "the server speaks no TLS that is accepted here: 1.2 or 1.3, http/1.1";
        Alert => Protocol, "tls-alert", "the server ended TLS with an alert";
        Closed => Closed, "tls-closed", "the server closed the connection during the TLS handshake";
        Protocol => Protocol, "tls-protocol", "the server broke the TLS protocol";
        Clock => Unavailable, "tls-clock", "the host does not know what day it is";
    }
}

faults! {
    /// Why a request could not be sent.
    SendFault {
        BodyTooLarge => NoCapacity, "request-body-too-large", "the request's body is larger than its grant allows";
        BodyLength => InvalidArgument, "request-body-length", "the request's body is not as long as was said";
        BodyFailed => Cancelled, "request-body-failed", "the request's body ended before it was whole";
        Trailers => InvalidArgument, "request-trailers", "the request's body has trailers, which are not sent";
        Closed => Closed, "send-closed", "the server closed the connection before the request was sent";
        Reset => Reset, "send-reset", "the server cut the connection before the request was sent";
    }
}

faults! {
    /// Why a response's head is none.
    HeadFault {
        Early => Protocol, "response-early", "the server sent something before it was asked";
        Version => Protocol, "response-version", "the answer is not HTTP/1.0 or HTTP/1.1";
        Syntax => Protocol, "response-syntax", "the response's head breaks the rules of HTTP/1.1";
        TooMany => NoCapacity, "response-headers-too-many", "the response has more than 64 header fields";
        TooLarge => NoCapacity, "response-head-too-large", "the response's head is larger than 16 KiB";
        Interim => Protocol, "response-interim", "the server sent more than 4 interim responses";
        Upgrade => Protocol, "response-upgrade", "the server switched to another protocol unasked";
        Framing => Protocol, "response-framing", "how long the response's body is, is not said in one way";
        Coding => Protocol, "response-coding", "the response is coded in a way that was not asked for";
        Closed => Closed, "response-closed", "the server closed the connection before the response's head was whole";
        Reset => Reset, "response-reset", "the server cut the connection before the response's head was whole";
    }
}

faults! {
    /// Why a response's body is not whole.
    BodyFault {
        TooLarge => NoCapacity, "body-too-large", "the response's body is larger than its grant allows";
        Unexpected => Protocol, "body-unexpected", "the response has a body where none can be";
        Framing => Protocol, "body-framing", "the response's body is more chunk framing than body";
        Syntax => Protocol, "body-syntax", "the response's chunks or trailers break the rules of HTTP/1.1";
        Truncated => Closed, "body-truncated", "the server closed the connection before the response's body was whole";
        Reset => Reset, "body-reset", "the server cut the connection before the response's body was whole";
        Gzip => Protocol, "body-gzip", "the response's body is not valid gzip";
        GzipTruncated => Protocol, "body-gzip-truncated", "the response's gzip ends before it is whole";
        GzipTrailing => Protocol, "body-gzip-trailing", "something follows the response's gzip";
        GzipRatio => NoCapacity, "body-gzip-ratio", "the response's gzip becomes more than 100 times its size";
    }
}

faults! {
    /// Why a redirect was not followed.
    RedirectFault {
        NotAsked => Denied, "redirect-not-followed", "the server redirects, and following was not asked for";
        TooMany => NoCapacity, "redirect-too-many", "the server redirects too often";
        Location => Protocol, "redirect-location", "where the server redirects to is no URL that is followed";
        Downgrade => Denied, "redirect-downgrade", "the server redirects from https to http";
        Body => InvalidState, "redirect-body", "the server redirects, and the request's body cannot be sent again";
    }
}

impl Error {
    /// The frozen code, the stable word, and a sentence.
    fn parts(&self) -> (ErrorCode, &'static str, &'static str) {
        match self {
            Self::Request(RequestFault::Url(fault)) => fault.parts(),
            Self::Request(RequestFault::Header(fault)) => fault.parts(),
            Self::Request(RequestFault::Method) => (
                ErrorCode::InvalidArgument,
                "method",
                "the method is none of GET, HEAD, POST, PUT, PATCH and DELETE",
            ),
            Self::Request(RequestFault::Options) => (
                ErrorCode::InvalidArgument,
                "options",
                "at most 2 retries and 5 redirects can be asked for",
            ),
            Self::Refused(refusal) => (refusal.reason.code(), refusal.reason.as_str(), ""),
            Self::TooMany => (
                ErrorCode::NoCapacity,
                "no-capacity",
                "too many requests of the app wait already",
            ),
            Self::TimedOut(phase) => phase.parts(),
            Self::Resolve(error) => match error {
                ResolveError::NotFound => (
                    ErrorCode::NotFound,
                    "name-not-found",
                    "the name does not exist, or has no address",
                ),
                ResolveError::Failed => (
                    ErrorCode::Unreachable,
                    "resolve-failed",
                    "no name server gave an answer",
                ),
                ResolveError::NoCapacity => (
                    ErrorCode::NoCapacity,
                    "no-capacity",
                    "too many names are being looked up",
                ),
                ResolveError::TimedOut => Phase::Resolve.parts(),
                ResolveError::Refused(refusal) => {
                    (refusal.reason.code(), refusal.reason.as_str(), "")
                }
            },
            Self::Connect(error) => match error {
                ConnectError::Rejected => (
                    ErrorCode::Refused,
                    "connect-refused",
                    "the server refused the connection",
                ),
                ConnectError::Unreachable => (
                    ErrorCode::Unreachable,
                    "unreachable",
                    "there is no way to the server",
                ),
                ConnectError::TimedOut => Phase::Connect.parts(),
                ConnectError::NoCapacity => (
                    ErrorCode::NoCapacity,
                    "no-capacity",
                    "too many connections are open",
                ),
                ConnectError::Refused(refusal) => {
                    (refusal.reason.code(), refusal.reason.as_str(), "")
                }
            },
            Self::Tls(fault) => fault.parts(),
            Self::Send(fault) => fault.parts(),
            Self::Head(fault) => fault.parts(),
            Self::Body(fault) => fault.parts(),
            Self::Redirect(fault) => fault.parts(),
            Self::Ended => (ErrorCode::Cancelled, "ended", "the app ended"),
            Self::Internal => (ErrorCode::Internal, "internal", "a fault of the host"),
        }
    }

    /// The code an app programs against.
    pub fn code(&self) -> ErrorCode {
        self.parts().0
    }

    /// The stable word.
    pub fn reason(&self) -> &'static str {
        self.parts().1
    }

    /// For the app's author.
    pub fn why(&self) -> Why {
        match self {
            Self::Refused(refusal)
            | Self::Resolve(ResolveError::Refused(refusal))
            | Self::Connect(ConnectError::Refused(refusal)) => refusal.why.clone(),
            _ => Why::new(self.parts().2),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason(), self.why())
    }
}

impl core::error::Error for Error {}

macro_rules! wraps {
    ($($fault:ident => $case:ident,)*) => {
        $(impl From<$fault> for Error {
            fn from(fault: $fault) -> Self {
                Self::$case(fault)
            }
        })*
    };
}

wraps! {
    RequestFault => Request,
    Refusal => Refused,
    Phase => TimedOut,
    TlsFault => Tls,
    SendFault => Send,
    HeadFault => Head,
    BodyFault => Body,
    RedirectFault => Redirect,
}

impl From<UrlFault> for Error {
    fn from(fault: UrlFault) -> Self {
        Self::Request(RequestFault::Url(fault))
    }
}

impl From<HeaderFault> for Error {
    fn from(fault: HeaderFault) -> Self {
        Self::Request(RequestFault::Header(fault))
    }
}
