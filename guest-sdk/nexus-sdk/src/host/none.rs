//! No host at all: natively, without the feature `sim`. Everything compiles; a call says what is missing.

pub(crate) use crate::bindings::wit_stream;
pub(crate) use wit_bindgen::StreamResult;

use crate::bindings::nexus::error::types::Error;

/// Bytes that come in.
pub(crate) type Incoming = wit_bindgen::StreamReader<u8>;
/// Bytes that go out.
pub(crate) type Outgoing = wit_bindgen::StreamWriter<u8>;
/// How a direction ended.
pub(crate) type End = wit_bindgen::FutureReader<Result<(), Error>>;

#[track_caller]
fn absent(call: &str) -> ! {
    panic!(
        "`{call}` needs a host, and natively there is none: run the app with nexus-host, or test it in a simulated \
         world (nexus_sdk::sim) with `nexus-sdk = {{ version = \"0.1\", features = [\"sim\"] }}` in its \
         [dev-dependencies]"
    )
}

/// The functions that open something. What they would return nobody ever has.
pub(crate) mod net {
    pub(crate) use crate::bindings::nexus::net::types;

    pub(crate) mod tcp_connect {
        use super::super::{Error, absent};
        use super::types::{Destination, IpAddress, TcpConnection};

        pub(crate) async fn connect(_: Destination, _: u16) -> Result<TcpConnection, Error> {
            absent("TcpStream::connect")
        }

        pub(crate) async fn resolve(_: String) -> Result<Vec<IpAddress>, Error> {
            absent("resolve")
        }
    }

    pub(crate) mod http {
        use super::super::{Error, absent};
        use crate::bindings::nexus::net::http::{Request, Response};

        pub(crate) async fn send(_: Request) -> Result<Response, Error> {
            absent("http::Request::send")
        }
    }

    pub(crate) mod tcp_listen {
        use super::super::{Error, absent};
        use super::types::{SocketAddress, TcpListener};

        pub(crate) async fn listen(_: SocketAddress, _: u32) -> Result<TcpListener, Error> {
            absent("TcpListener::bind")
        }
    }

    pub(crate) mod udp_bind {
        use super::super::{Error, absent};
        use super::types::{SocketAddress, UdpSocket};

        pub(crate) async fn bind(_: SocketAddress) -> Result<UdpSocket, Error> {
            absent("UdpSocket::bind")
        }
    }

    pub(crate) mod udp_send {
        use super::super::{Error, absent};
        use super::types::{Destination, IpAddress, UdpSocket};
        use crate::bindings::nexus::net::udp_send::IpFamily;

        pub(crate) async fn connect(_: Destination, _: u16) -> Result<UdpSocket, Error> {
            absent("UdpSocket::connect")
        }

        pub(crate) async fn open(_: IpFamily) -> Result<UdpSocket, Error> {
            absent("UdpSocket::open")
        }

        pub(crate) async fn resolve(_: String) -> Result<Vec<IpAddress>, Error> {
            absent("resolve_for_udp")
        }
    }
}

pub(crate) mod monotonic_clock {
    use super::absent;

    pub(crate) fn now() -> u64 {
        absent("time::now")
    }

    pub(crate) async fn wait_for(_: u64) {
        absent("time::sleep")
    }
}

pub(crate) mod insecure_seed {
    use super::absent;

    pub(crate) fn get_insecure_seed() -> (u64, u64) {
        absent("time::backoff")
    }
}
