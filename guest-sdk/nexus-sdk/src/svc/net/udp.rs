//! UDP: one socket type, opened in three ways.

use core::net::SocketAddr;

use super::address::{from_wit, to_wit, to_wit_host};
use super::{ToLocal, ToRemote};
use crate::host::net::{types, udp_bind, udp_send};
use crate::{Error, ErrorCode};

/// The most datagrams in one call.
pub const DATAGRAMS_MAX: usize = 64;

pub use crate::bindings::nexus::net::udp_send::IpFamily as Family;

/// One datagram, with the far end it came from or goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// The payload.
    pub data: Vec<u8>,
    /// Received from, or to be sent to; `None` when sending on a connected socket.
    pub remote: Option<SocketAddr>,
}

/// A UDP socket.
///
/// ```no_run
/// use std::time::Duration;
/// use nexus_sdk::{Error, svc::{net::UdpSocket, time::timeout}};
///
/// async fn ask(question: &[u8]) -> Result<Vec<u8>, Error> {
///     let mut socket = UdpSocket::connect("ntp.example.com:123").await?;
///     socket.send(question).await?;
///     timeout(Duration::from_secs(2), socket.recv()).await
/// }
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    socket: types::UdpSocket,
}

impl UdpSocket {
    /// A socket that sends to, and receives from, this one far end. (`network.udp.send`)
    pub async fn connect(remote: impl ToRemote) -> Result<Self, Error> {
        let remote = remote.to_remote()?;
        let socket = udp_send::connect(to_wit_host(remote.host), remote.port).await?;
        Ok(Self { socket })
    }

    /// A socket that sends wherever a rule permits and receives only from far ends it has sent to.
    /// (`network.udp.send`)
    pub async fn open(family: Family) -> Result<Self, Error> {
        let socket = udp_send::open(family).await?;
        Ok(Self { socket })
    }

    /// A socket on `local` that receives from anyone and answers whom it received from.
    /// (`network.udp.bind`)
    pub async fn bind(local: impl ToLocal) -> Result<Self, Error> {
        let socket = udp_bind::bind(to_wit(local.to_local()?)).await?;
        Ok(Self { socket })
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        from_wit(self.socket.local_address())
    }

    /// The far end of a connected socket.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.socket.remote_address().map(from_wit)
    }

    /// Sends one datagram on a connected socket.
    pub async fn send(&mut self, data: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.send_one(data.into(), None).await
    }

    /// Sends one datagram to `remote`.
    pub async fn send_to(
        &mut self,
        data: impl Into<Vec<u8>>,
        remote: SocketAddr,
    ) -> Result<(), Error> {
        self.send_one(data.into(), Some(remote)).await
    }

    /// Waits for a datagram, from whomever.
    pub async fn recv(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.recv_one().await?.data)
    }

    /// Waits for a datagram, and tells from whom it is.
    pub async fn recv_from(&mut self) -> Result<(Vec<u8>, SocketAddr), Error> {
        let datagram = self.recv_one().await?;
        let remote = datagram
            .remote
            .or_else(|| self.remote_addr())
            .ok_or_else(|| {
                Error::new(ErrorCode::Internal, "no-sender", "a datagram from nowhere")
            })?;
        Ok((datagram.data, remote))
    }

    /// Sends the datagrams in their order, in one call, and returns how many went: fewer than given when one
    /// could not be sent; an error if that was the first. At most [`DATAGRAMS_MAX`] go.
    pub async fn send_batch(&mut self, mut datagrams: Vec<Datagram>) -> Result<usize, Error> {
        datagrams.truncate(DATAGRAMS_MAX);
        if datagrams.is_empty() {
            return Ok(0);
        }
        let datagrams = datagrams
            .into_iter()
            .map(|datagram| types::Datagram {
                data: datagram.data,
                remote: datagram.remote.map(to_wit),
            })
            .collect();
        Ok(self.socket.send(datagrams).await? as usize)
    }

    /// Waits for a datagram and returns what else is there with it, at most `max` (and [`DATAGRAMS_MAX`]).
    pub async fn recv_batch(&mut self, max: usize) -> Result<Vec<Datagram>, Error> {
        if max == 0 {
            return Err(Error::invalid("a batch of no datagrams would never come"));
        }
        let datagrams = self.socket.receive(max.min(DATAGRAMS_MAX) as u32).await?;
        Ok(datagrams
            .into_iter()
            .map(|datagram| Datagram {
                data: datagram.data,
                remote: datagram.remote.map(from_wit),
            })
            .collect())
    }

    async fn send_one(&mut self, data: Vec<u8>, remote: Option<SocketAddr>) -> Result<(), Error> {
        match self.send_batch(vec![Datagram { data, remote }]).await? {
            0 => Err(Error::new(
                ErrorCode::WouldBlock,
                "not-sent",
                "the host took nothing",
            )),
            _ => Ok(()),
        }
    }

    async fn recv_one(&mut self) -> Result<Datagram, Error> {
        let mut batch = self.recv_batch(1).await?;
        batch.pop().ok_or_else(|| {
            Error::new(
                ErrorCode::Internal,
                "no-datagram",
                "the host answered with none",
            )
        })
    }
}
