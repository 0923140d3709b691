//! Error codes of `wasi:sockets`, both versions'.

use std::fmt;

use nexus_node::{BindError, Cause, ConnectError, NetError, ResolveError, TcpError, UdpError};
use nexus_types::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as P2;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as P3Lookup;
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode as P3;

/// Why a call did not succeed: the union of what the versions can say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Code {
    AccessDenied,
    InvalidArgument,
    Timeout,
    ConcurrencyConflict,
    NotInProgress,
    WouldBlock,
    InvalidState,
    NotSupported,
    TooManySockets,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionBroken,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
    Unknown,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Code {}

impl From<NetError> for Code {
    fn from(error: NetError) -> Self {
        match error.cause {
            Some(Cause::Bind(error)) => error.into(),
            Some(Cause::Connect(error)) => error.into(),
            Some(Cause::Tcp(error)) => error.into(),
            Some(Cause::Udp(error)) => error.into(),
            Some(Cause::Resolve(error)) => error.into(),
            None => match error.code {
                ErrorCode::Denied | ErrorCode::Unavailable => Self::AccessDenied,
                ErrorCode::NoCapacity => Self::TooManySockets,
                ErrorCode::InvalidArgument => Self::InvalidArgument,
                ErrorCode::InvalidState | ErrorCode::Closed => Self::InvalidState,
                ErrorCode::Deadline => Self::Timeout,
                ErrorCode::WouldBlock => Self::WouldBlock,
                _ => Self::Unknown,
            },
        }
    }
}

impl From<BindError> for Code {
    fn from(error: BindError) -> Self {
        match error {
            BindError::NotOurs => Self::AddressNotBindable,
            // "address-in-use: No ephemeral ports available."
            BindError::InUse | BindError::NoPort => Self::AddressInUse,
            BindError::TooMany => Self::TooManySockets,
            BindError::Mapped | BindError::RemoteInvalid => Self::InvalidArgument,
            BindError::NotFound => Self::InvalidState,
        }
    }
}

impl From<ConnectError> for Code {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::RemoteUnspecified
            | ConnectError::RemotePortZero
            | ConnectError::RemoteMulticast
            | ConnectError::RemoteBroadcast
            | ConnectError::RemoteMapped
            | ConnectError::FamilyMismatch
            | ConnectError::RemoteIsLocal => Self::InvalidArgument,
            ConnectError::LocalNotOurs => Self::AddressNotBindable,
            ConnectError::LocalInUse | ConnectError::NoPort => Self::AddressInUse,
            ConnectError::NoSource | ConnectError::NoRoute => Self::RemoteUnreachable,
            ConnectError::TooManyFlows => Self::TooManySockets,
        }
    }
}

impl From<TcpError> for Code {
    fn from(error: TcpError) -> Self {
        match error {
            TcpError::Refused => Self::ConnectionRefused,
            TcpError::Reset => Self::ConnectionReset,
            TcpError::Unreachable => Self::RemoteUnreachable,
            TcpError::TimedOut => Self::Timeout,
            TcpError::Finished => Self::ConnectionBroken,
            TcpError::Closed | TcpError::NotFound => Self::ConnectionAborted,
        }
    }
}

impl From<UdpError> for Code {
    fn from(error: UdpError) -> Self {
        match error {
            UdpError::WouldBlock => Self::WouldBlock,
            UdpError::TooLong => Self::DatagramTooLarge,
            UdpError::RemoteInvalid | UdpError::FamilyMismatch | UdpError::NotConnectedTo => {
                Self::InvalidArgument
            }
            UdpError::NoSource | UdpError::Unreachable => Self::RemoteUnreachable,
            UdpError::Refused => Self::ConnectionRefused,
            UdpError::NotFound => Self::InvalidState,
        }
    }
}

impl From<ResolveError> for Code {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound => Self::NameUnresolvable,
            // Asking again may help.
            ResolveError::Unavailable
            | ResolveError::ServerFailed
            | ResolveError::TimedOut
            | ResolveError::TooMany => Self::TemporaryResolverFailure,
            ResolveError::BadAnswer => Self::PermanentResolverFailure,
            ResolveError::Closed => Self::InvalidState,
        }
    }
}

impl From<Code> for P2 {
    fn from(code: Code) -> Self {
        match code {
            Code::AccessDenied => Self::AccessDenied,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::Timeout => Self::Timeout,
            Code::ConcurrencyConflict => Self::ConcurrencyConflict,
            Code::NotInProgress => Self::NotInProgress,
            Code::WouldBlock => Self::WouldBlock,
            Code::InvalidState => Self::InvalidState,
            Code::NotSupported => Self::NotSupported,
            Code::TooManySockets => Self::NewSocketLimit,
            Code::AddressNotBindable => Self::AddressNotBindable,
            Code::AddressInUse => Self::AddressInUse,
            Code::RemoteUnreachable => Self::RemoteUnreachable,
            Code::ConnectionRefused => Self::ConnectionRefused,
            // 0.2 has no word of its own for a connection that takes no more.
            Code::ConnectionBroken | Code::ConnectionAborted => Self::ConnectionAborted,
            Code::ConnectionReset => Self::ConnectionReset,
            Code::DatagramTooLarge => Self::DatagramTooLarge,
            Code::NameUnresolvable => Self::NameUnresolvable,
            Code::TemporaryResolverFailure => Self::TemporaryResolverFailure,
            Code::PermanentResolverFailure => Self::PermanentResolverFailure,
            Code::Unknown => Self::Unknown,
        }
    }
}

impl From<Code> for P3 {
    fn from(code: Code) -> Self {
        match code {
            Code::AccessDenied => Self::AccessDenied,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::Timeout => Self::Timeout,
            Code::InvalidState | Code::ConcurrencyConflict | Code::NotInProgress => {
                Self::InvalidState
            }
            Code::NotSupported => Self::NotSupported,
            Code::AddressNotBindable => Self::AddressNotBindable,
            Code::AddressInUse => Self::AddressInUse,
            Code::RemoteUnreachable => Self::RemoteUnreachable,
            Code::ConnectionRefused => Self::ConnectionRefused,
            Code::ConnectionBroken => Self::ConnectionBroken,
            Code::ConnectionReset => Self::ConnectionReset,
            Code::ConnectionAborted => Self::ConnectionAborted,
            Code::DatagramTooLarge => Self::DatagramTooLarge,
            // 0.3 has no word of its own; what it is for "other" to hold is a text for people.
            Code::TooManySockets => {
                Self::Other(Some("the app has as many sockets as it may".into()))
            }
            Code::WouldBlock => Self::Other(Some("the queue is full".into())),
            Code::NameUnresolvable
            | Code::TemporaryResolverFailure
            | Code::PermanentResolverFailure
            | Code::Unknown => Self::Other(None),
        }
    }
}

impl From<Code> for P3Lookup {
    fn from(code: Code) -> Self {
        match code {
            Code::AccessDenied => Self::AccessDenied,
            Code::InvalidArgument => Self::InvalidArgument,
            Code::NameUnresolvable => Self::NameUnresolvable,
            Code::TemporaryResolverFailure => Self::TemporaryResolverFailure,
            Code::PermanentResolverFailure => Self::PermanentResolverFailure,
            _ => Self::Other(None),
        }
    }
}
