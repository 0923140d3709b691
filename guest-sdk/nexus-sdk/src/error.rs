//! The one error of the SDK: what `nexus:error/types` carries, as a Rust error.

use core::fmt;

pub use nexus_types::ErrorCode;
use nexus_types::Why;

/// What went wrong: a frozen code to program against, a stable finer word, and a sentence for the author.
///
/// Displayed, it also says what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    code: ErrorCode,
    reason: String,
    why: String,
}

impl Error {
    /// An error of the app's own making, in the same words. `why` is cut at 256 bytes, like the host's.
    pub fn new(code: ErrorCode, reason: impl Into<String>, why: impl AsRef<str>) -> Self {
        Self {
            code,
            reason: reason.into(),
            why: Why::new(why).into_string(),
        }
    }

    /// The code: one of sixteen, for ever.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// A stable word, finer than the code: for [`ErrorCode::Denied`] the reason of the refusal
    /// (`not-permitted`, `operator-denied`, ...). New words may appear.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// A sentence for the app's author.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether the same call may well succeed later without anybody changing anything: what
    /// [`retry`](crate::svc::time::retry) goes by.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::WouldBlock
                | ErrorCode::Deadline
                | ErrorCode::Refused
                | ErrorCode::Unreachable
                | ErrorCode::Reset
                | ErrorCode::Unavailable
        )
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self.code {
            ErrorCode::Denied => refused(&self.reason),
            ErrorCode::Unavailable if self.reason == "unrecorded" => {
                "who runs this host must make its audit log writable; `nexus-host doctor` looks at it"
            }
            ErrorCode::InvalidArgument => "correct the argument; it can never be right as it is",
            ErrorCode::InvalidState => "see the documentation of the call for when it may be made",
            ErrorCode::NotFound => "check the name",
            ErrorCode::AlreadyExists => "take another address or port, or end what holds it",
            ErrorCode::WouldBlock => "wait and call again",
            ErrorCode::NoCapacity => {
                "close what is no longer used, or ask for more under [limits] in nexus.toml"
            }
            ErrorCode::Deadline => "allow more time, or try again later",
            ErrorCode::Cancelled => "the app itself gave up",
            ErrorCode::Refused => "check that something listens at this address and port",
            ErrorCode::Unreachable => "check the address, and the network in between",
            ErrorCode::Reset => "the far end cut the connection; connect again",
            ErrorCode::Closed => "it has been closed; open a new one",
            ErrorCode::Protocol => "the far end does not speak the expected protocol",
            ErrorCode::Unavailable => "this host has no way to do it; ask who runs it",
            ErrorCode::Internal => "a fault of the host; please report it",
        }
    }

    pub(crate) fn invalid(why: impl AsRef<str>) -> Self {
        Self::new(ErrorCode::InvalidArgument, "invalid-argument", why)
    }
}

/// What to do about a refusal: by its reason, for each is somebody else's to mend.
fn refused(reason: &str) -> &'static str {
    match reason {
        "not-granted" => {
            "ask for the capability in the app's nexus.toml; `nexus-host check` shows what is granted"
        }
        "consent-required" => {
            "nexus.toml asks for it already; who runs the app must say yes: at a terminal, with --allow-manifest, \
             or by a rule of the operator's policy"
        }
        "consent-denied" => {
            "who runs the app said no; it is asked again once that answer is over or taken back \
             (`nexus-host consent list`)"
        }
        "operator-denied" => "the operator of this host says no; changing nexus.toml does not help",
        "host-owned-port" => "take another port; the host keeps this one, and no rule gives it",
        "revoked" => "it is over until the operator or the person who gave it allows it again",
        "expired" => {
            "look the name up again; if that does not help, the grant is over: ask the operator for a new one"
        }
        "blocked-range" => {
            "no rule reaches into this address range by itself; `nexus-host policy check` says whether one in \
             nexus.toml can name it"
        }
        "method-not-permitted" => "add the method to the rule in the app's nexus.toml",
        "redirect-not-permitted" => "name where the redirect leads in the app's nexus.toml",
        "rule-error" => "a rule could not be evaluated; please report it",
        _ => "name the target in the app's nexus.toml; `nexus-host check` shows what is granted",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        if !self.reason.is_empty() && self.reason != self.code.as_str() {
            write!(f, " ({})", self.reason)?;
        }
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for Error {}

impl From<crate::bindings::nexus::error::types::Error> for Error {
    fn from(error: crate::bindings::nexus::error::types::Error) -> Self {
        use crate::bindings::nexus::error::types::ErrorCode as Wit;
        let code = match error.code {
            Wit::Denied => ErrorCode::Denied,
            Wit::InvalidArgument => ErrorCode::InvalidArgument,
            Wit::InvalidState => ErrorCode::InvalidState,
            Wit::NotFound => ErrorCode::NotFound,
            Wit::AlreadyExists => ErrorCode::AlreadyExists,
            Wit::WouldBlock => ErrorCode::WouldBlock,
            Wit::NoCapacity => ErrorCode::NoCapacity,
            Wit::Deadline => ErrorCode::Deadline,
            Wit::Cancelled => ErrorCode::Cancelled,
            Wit::Refused => ErrorCode::Refused,
            Wit::Unreachable => ErrorCode::Unreachable,
            Wit::Reset => ErrorCode::Reset,
            Wit::Closed => ErrorCode::Closed,
            Wit::Protocol => ErrorCode::Protocol,
            Wit::Unavailable => ErrorCode::Unavailable,
            Wit::Internal => ErrorCode::Internal,
        };
        Self {
            code,
            reason: error.reason,
            why: error.why,
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.code {
            ErrorCode::Denied => ErrorKind::PermissionDenied,
            ErrorCode::InvalidArgument | ErrorCode::InvalidState => ErrorKind::InvalidInput,
            ErrorCode::NotFound => ErrorKind::NotFound,
            ErrorCode::AlreadyExists => ErrorKind::AddrInUse,
            ErrorCode::WouldBlock => ErrorKind::WouldBlock,
            ErrorCode::NoCapacity => ErrorKind::QuotaExceeded,
            ErrorCode::Deadline => ErrorKind::TimedOut,
            ErrorCode::Cancelled => ErrorKind::Interrupted,
            ErrorCode::Refused => ErrorKind::ConnectionRefused,
            ErrorCode::Unreachable => ErrorKind::HostUnreachable,
            ErrorCode::Reset => ErrorKind::ConnectionReset,
            ErrorCode::Closed => ErrorKind::NotConnected,
            ErrorCode::Protocol => ErrorKind::InvalidData,
            ErrorCode::Unavailable => ErrorKind::Unsupported,
            ErrorCode::Internal => ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_it_says_what_to_do() {
        let error = Error::new(
            ErrorCode::Denied,
            "not-permitted",
            "no rule names api.example.com:443",
        );
        assert_eq!(
            error.to_string(),
            "denied (not-permitted): no rule names api.example.com:443; \
             name the target in the app's nexus.toml; `nexus-host check` shows what is granted"
        );
        // No advice to edit a manifest when the operator refused.
        let error = Error::new(ErrorCode::Denied, "operator-denied", "");
        assert!(error.to_string().contains("does not help"), "{error}");
    }

    /// Goal: nobody is sent to a manifest that asks already, or that cannot help. Method: each reason there is.
    #[test]
    fn a_manifest_is_blamed_for_what_it_can_mend_alone() {
        use nexus_types::Reason;
        for reason in Reason::ALL {
            let error = Error::new(ErrorCode::Denied, reason.as_str(), "");
            let blamed = error.advice().contains("in the app's nexus.toml");
            let can_mend = matches!(
                reason,
                Reason::NotGranted
                    | Reason::NotPermitted
                    | Reason::NameNotPermitted
                    | Reason::BindNotPermitted
                    | Reason::MethodNotPermitted
                    | Reason::RedirectNotPermitted
            );
            // These two have codes of their own, and are never `denied`.
            if !matches!(
                reason,
                Reason::NoCapacity | Reason::Deadline | Reason::Unrecorded
            ) {
                assert_eq!(blamed, can_mend, "{reason:?}: {}", error.advice());
            }
        }
        let error = Error::new(ErrorCode::Unavailable, Reason::Unrecorded.as_str(), "");
        assert!(error.advice().contains("audit log"), "{error}");
    }

    #[test]
    fn a_reason_equal_to_the_code_is_not_repeated() {
        let error = Error::new(ErrorCode::Refused, "refused", "");
        assert_eq!(
            error.to_string(),
            "refused; check that something listens at this address and port"
        );
    }

    #[test]
    fn a_denial_is_never_worth_retrying() {
        for code in ErrorCode::ALL {
            let error = Error::new(code, "", "");
            assert!(!error.advice().is_empty());
            if matches!(
                code,
                ErrorCode::Denied
                    | ErrorCode::InvalidArgument
                    | ErrorCode::NotFound
                    | ErrorCode::Internal
            ) {
                assert!(!error.is_transient(), "{code}");
            }
        }
    }
}
