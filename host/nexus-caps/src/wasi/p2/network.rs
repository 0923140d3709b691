//! `network`, `instance-network`: handles and error codes.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, Host, HostNetwork, IpAddressFamily, Network,
};
use wasmtime_wasi::p2::bindings::sockets::{instance_network, network};
use wasmtime_wasi_io::streams::Error;

use super::super::address::Family;
use super::super::code::Code;
use super::super::{ours, theirs};
use crate::ctx::NetCtxView;

/// The one network there is. It says nothing of what may be reached there.
pub(super) struct TheNetwork;

impl Host for NetCtxView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<network::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error: &Error = self.table.get(&error)?;
        Ok(error.downcast_ref::<Code>().map(|code| (*code).into()))
    }
}

impl HostNetwork for NetCtxView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, TheNetwork>(&network))?;
        Ok(())
    }
}

impl instance_network::Host for NetCtxView<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        Ok(theirs(&self.table.push(TheNetwork)?))
    }
}

impl NetCtxView<'_> {
    /// The handle that a call names is one of ours.
    pub(super) fn check_network(&self, network: &Resource<Network>) -> Result<(), SocketError> {
        self.table.get(&ours::<_, TheNetwork>(network))?;
        Ok(())
    }
}

impl From<IpAddressFamily> for Family {
    fn from(family: IpAddressFamily) -> Self {
        match family {
            IpAddressFamily::Ipv4 => Self::V4,
            IpAddressFamily::Ipv6 => Self::V6,
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

/// What an app is told, as these bindings carry it.
pub(super) fn told(code: Code) -> SocketError {
    ErrorCode::from(code).into()
}
