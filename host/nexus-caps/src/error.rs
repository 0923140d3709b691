//! How a failed call reaches the app: as `nexus:error/types.error`, or as a trap when the app
//! broke the contract of the component model (a handle it does not have).

use nexus_node::NetError;
use nexus_types::ErrorCode;
use wasmtime::component::ResourceTableError;

use crate::bindings::nexus::error::types;
use crate::ctx::NetCtxView;

/// Why a call did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The app is told.
    Error(NetError),
    /// The app is ended.
    Trap(wasmtime::Error),
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        Self::Error(error)
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl Failure {
    /// What the app is told; else it is ended.
    pub(crate) fn told(self) -> wasmtime::Result<types::Error> {
        match self {
            Self::Error(error) => Ok(error.into()),
            Self::Trap(trap) => Err(trap),
        }
    }
}

impl types::Host for NetCtxView<'_> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<types::Error> {
        failure.told()
    }
}

impl From<NetError> for types::Error {
    fn from(error: NetError) -> Self {
        Self {
            code: error.code.into(),
            reason: error.reason.to_owned(),
            why: error.why.into_string(),
        }
    }
}

impl From<ErrorCode> for types::ErrorCode {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Denied => Self::Denied,
            ErrorCode::InvalidArgument => Self::InvalidArgument,
            ErrorCode::InvalidState => Self::InvalidState,
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::AlreadyExists => Self::AlreadyExists,
            ErrorCode::WouldBlock => Self::WouldBlock,
            ErrorCode::NoCapacity => Self::NoCapacity,
            ErrorCode::Deadline => Self::Deadline,
            ErrorCode::Cancelled => Self::Cancelled,
            ErrorCode::Refused => Self::Refused,
            ErrorCode::Unreachable => Self::Unreachable,
            ErrorCode::Reset => Self::Reset,
            ErrorCode::Closed => Self::Closed,
            ErrorCode::Protocol => Self::Protocol,
            ErrorCode::Unavailable => Self::Unavailable,
            ErrorCode::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wit_enum_is_the_frozen_one() {
        for (index, code) in ErrorCode::ALL.into_iter().enumerate() {
            let wit = types::ErrorCode::from(code);
            assert_eq!(wit as usize, index, "{code}");
        }
    }
}
