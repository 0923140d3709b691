//! The error codes an app sees, the stable reasons behind them, and the bounded "why".
//!
//! `ErrorCode` is `nexus:error/types.error-code`, case for case and in its order. It is
//! frozen: an added case breaks every compiled app, so what is new goes into `Reason`.

use core::fmt;

/// What went wrong, coarsely enough to program against. Frozen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ErrorCode {
    /// Policy says no. The reason says which part of it; retrying changes nothing.
    Denied,
    /// An argument can never be right.
    InvalidArgument,
    /// The call does not fit the state of what it is called on.
    InvalidState,
    /// The name, address or thing does not exist.
    NotFound,
    /// The address or name is taken.
    AlreadyExists,
    /// Nothing can be done at once; wait and call again.
    WouldBlock,
    /// A bound of the host is reached. Never a permission.
    NoCapacity,
    /// The time given ran out.
    Deadline,
    /// The caller gave up.
    Cancelled,
    /// The far end answered: no.
    Refused,
    /// No way to the far end.
    Unreachable,
    /// The far end cut the connection.
    Reset,
    /// What was called on has been closed.
    Closed,
    /// The far end broke the protocol.
    Protocol,
    /// A part of the host needed for this is not there.
    Unavailable,
    /// A fault of the host itself.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the WIT enum.
    pub const ALL: [Self; 16] = [
        Self::Denied,
        Self::InvalidArgument,
        Self::InvalidState,
        Self::NotFound,
        Self::AlreadyExists,
        Self::WouldBlock,
        Self::NoCapacity,
        Self::Deadline,
        Self::Cancelled,
        Self::Refused,
        Self::Unreachable,
        Self::Reset,
        Self::Closed,
        Self::Protocol,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The word used in WIT, reports and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::InvalidArgument => "invalid-argument",
            Self::InvalidState => "invalid-state",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::WouldBlock => "would-block",
            Self::NoCapacity => "no-capacity",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why policy (or a bound, or time) ended an act. Stable words: reports, audit and `explain` use them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The app's manifest does not ask for the capability.
    NotGranted,
    /// The capability is granted, but no rule of the manifest names this target.
    NotPermitted,
    /// The operator forbids it, or names no rule that allows it.
    OperatorDenied,
    /// The address is of a class that the rule does not cover.
    BlockedRange,
    /// The port belongs to the host itself.
    HostOwnedPort,
    /// The rule does not let the app bind this address or port.
    BindNotPermitted,
    /// No granted rule names this name.
    NameNotPermitted,
    /// The rule does not cover this method.
    MethodNotPermitted,
    /// A redirect leads where no rule does.
    RedirectNotPermitted,
    /// A person has to be asked, and none is there.
    ConsentRequired,
    /// A person was asked and said no.
    ConsentDenied,
    /// The grant was taken back.
    Revoked,
    /// The grant's time is over.
    Expired,
    /// A quota is used up.
    NoCapacity,
    /// The time given ran out.
    Deadline,
    /// A rule could not be evaluated; error is deny.
    RuleError,
    /// It could not be recorded, and acts like it do not go unrecorded.
    Unrecorded,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::NotGranted,
        Self::NotPermitted,
        Self::OperatorDenied,
        Self::BlockedRange,
        Self::HostOwnedPort,
        Self::BindNotPermitted,
        Self::NameNotPermitted,
        Self::MethodNotPermitted,
        Self::RedirectNotPermitted,
        Self::ConsentRequired,
        Self::ConsentDenied,
        Self::Revoked,
        Self::Expired,
        Self::NoCapacity,
        Self::Deadline,
        Self::RuleError,
        Self::Unrecorded,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotGranted => "not-granted",
            Self::NotPermitted => "not-permitted",
            Self::OperatorDenied => "operator-denied",
            Self::BlockedRange => "blocked-range",
            Self::HostOwnedPort => "host-owned-port",
            Self::BindNotPermitted => "bind-not-permitted",
            Self::NameNotPermitted => "name-not-permitted",
            Self::MethodNotPermitted => "method-not-permitted",
            Self::RedirectNotPermitted => "redirect-not-permitted",
            Self::ConsentRequired => "consent-required",
            Self::ConsentDenied => "consent-denied",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NoCapacity => "no-capacity",
            Self::Deadline => "deadline",
            Self::RuleError => "rule-error",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// The code an app sees with this reason. A quota and a deadline never look like a permission.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NoCapacity => ErrorCode::NoCapacity,
            Self::Deadline => ErrorCode::Deadline,
            Self::Unrecorded => ErrorCode::Unavailable,
            _ => ErrorCode::Denied,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A short explanation for an app's author: at most [`Why::BYTES_MAX`] bytes, no control
/// characters, and never a secret (it is built from parsed parts, never from raw input).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Why(String);

impl Why {
    /// The bound `nexus:error/types` promises.
    pub const BYTES_MAX: usize = 256;

    /// Keeps what fits, cut at a character, with control characters replaced.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let mut out = String::with_capacity(text.len().min(Self::BYTES_MAX));
        for c in text
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        {
            if out.len() + c.len_utf8() > Self::BYTES_MAX {
                break;
            }
            out.push(c);
        }
        Self(out)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_frozen_in_their_order() {
        let words: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(
            words.join(" "),
            "denied invalid-argument invalid-state not-found already-exists would-block no-capacity deadline \
             cancelled refused unreachable reset closed protocol unavailable internal"
        );
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, index);
        }
    }

    #[test]
    fn a_quota_never_looks_like_a_permission() {
        for reason in Reason::ALL {
            let denied = reason.code() == ErrorCode::Denied;
            assert_eq!(
                denied,
                !matches!(
                    reason,
                    Reason::NoCapacity | Reason::Deadline | Reason::Unrecorded
                ),
                "{reason}"
            );
        }
    }

    #[test]
    fn why_at_the_limit_is_kept_whole() {
        let text = "x".repeat(Why::BYTES_MAX);
        assert_eq!(Why::new(&text).as_str(), text);
    }

    #[test]
    fn why_over_the_limit_is_cut_at_a_character() {
        let text = "é".repeat(Why::BYTES_MAX);
        assert_eq!(Why::new(&text).as_str(), "é".repeat(Why::BYTES_MAX / 2));
    }

    #[test]
    fn why_shows_no_control_characters() {
        assert_eq!(Why::new("a\x1b[2Jb\nc").as_str(), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
