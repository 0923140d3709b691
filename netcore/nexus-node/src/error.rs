//! The one error a command of a node gives back: what an app may be told.

use core::fmt;

use nexus_policy::Denial;
use nexus_stack::{BindError, ConnectError, ResolveError, TcpError, UdpError};
use nexus_types::{ErrorCode, Reason, Why};

/// `nexus:error/types.error`, before it becomes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetError {
    /// What to program against.
    pub code: ErrorCode,
    /// A stable word: the reason of a refusal, else a finer name of the failure.
    pub reason: &'static str,
    /// For the app's author.
    pub why: Why,
    /// What of the stack failed, if it did: for who has to tell apart what has one code.
    pub cause: Option<Cause>,
}

/// What of the stack failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// An address or port to be bound.
    Bind(BindError),
    /// A connection to be begun.
    Connect(ConnectError),
    /// A name to be looked up.
    Resolve(ResolveError),
    /// A connection.
    Tcp(TcpError),
    /// A UDP socket.
    Udp(UdpError),
}

impl NetError {
    /// An error whose reason is its code.
    pub fn new(code: ErrorCode, why: impl AsRef<str>) -> Self {
        Self {
            code,
            reason: code.as_str(),
            why: Why::new(why),
            cause: None,
        }
    }

    /// An error for a reason of policy, quota or time.
    pub fn because(reason: Reason, why: impl AsRef<str>) -> Self {
        Self {
            code: reason.code(),
            reason: reason.as_str(),
            why: Why::new(why),
            cause: None,
        }
    }

    /// What is called on is not open.
    pub fn closed() -> Self {
        Self::new(ErrorCode::Closed, "it is closed")
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.why)
    }
}

impl core::error::Error for NetError {}

impl From<&Denial> for NetError {
    /// An app learns no more than its own request: the rule and the file are the operator's.
    fn from(denial: &Denial) -> Self {
        Self::because(denial.reason, denial.why().as_str())
    }
}

macro_rules! from_stack {
    ($($error:ty => $cause:ident),*) => {$(
        impl From<$error> for NetError {
            fn from(error: $error) -> Self {
                Self {
                    cause: Some(Cause::$cause(error)),
                    ..Self::new(error.code(), error.to_string())
                }
            }
        }
    )*};
}

from_stack!(
    BindError => Bind,
    ConnectError => Connect,
    ResolveError => Resolve,
    TcpError => Tcp,
    UdpError => Udp
);
