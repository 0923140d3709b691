//! `resource tcp-connection`.

use core::cell::Cell;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use std::rc::Rc;

use nexus_node::{NetError, TcpSocket};
use nexus_types::{ErrorCode, SocketAddr, limits};

use super::super::caller::Caller;
use super::convert::{to_wit, unspecified};
use super::streams::{End, Incoming, Source};
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::SocketAddress;

/// An open connection. It closes in the background once the resource and both its streams are gone.
pub(crate) struct TcpConnection {
    open: Rc<Open>,
    receive_taken: Cell<bool>,
    send_taken: Cell<bool>,
}

/// The connection itself, shared by the resource and its streams.
pub(super) struct Open {
    caller: Rc<Caller>,
    socket: TcpSocket,
    /// A `read` waits.
    reading: Cell<bool>,
    /// A `write` waits.
    writing: Cell<bool>,
}

/// The one call that may wait in a direction.
struct Turn<'a>(&'a Cell<bool>);

impl<'a> Turn<'a> {
    fn take(taken: &'a Cell<bool>, call: &str) -> Result<Self, NetError> {
        if taken.replace(true) {
            let why = format!("another `{call}` of this connection waits");
            return Err(NetError::new(ErrorCode::InvalidState, why));
        }
        Ok(Self(taken))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Open {
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, NetError>> {
        self.caller
            .node(|node, now| node.poll_read(now, self.socket, buffer, context.waker()))
    }

    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, NetError>> {
        self.caller
            .node(|node, now| node.poll_write(now, self.socket, data, context.waker()))
    }

    pub(super) fn finish(&self) -> Result<(), NetError> {
        self.caller
            .node(|node, now| node.tcp_finish(now, self.socket))
    }

    #[track_caller]
    pub(super) fn check(&self, call: &str) {
        self.caller.check(call);
    }

    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.caller.node(|node, _| node.tcp_addresses(self.socket))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.caller
            .node(|node, now| node.tcp_close(now, self.socket));
    }
}

impl TcpConnection {
    pub(super) fn new(caller: Rc<Caller>, socket: TcpSocket) -> Self {
        Self {
            open: Rc::new(Open {
                caller,
                socket,
                reading: Cell::new(false),
                writing: Cell::new(false),
            }),
            receive_taken: Cell::new(false),
            send_taken: Cell::new(false),
        }
    }

    fn reading(&self) -> Result<&Rc<Open>, NetError> {
        if self.receive_taken.get() {
            return Err(taken("receive"));
        }
        Ok(&self.open)
    }

    fn writing(&self) -> Result<&Rc<Open>, NetError> {
        if self.send_taken.get() {
            return Err(taken("send"));
        }
        Ok(&self.open)
    }

    pub(crate) fn local_address(&self) -> SocketAddress {
        let addresses = self.open.addresses();
        addresses.map_or_else(unspecified, |(local, _)| to_wit(local))
    }

    pub(crate) fn remote_address(&self) -> SocketAddress {
        let addresses = self.open.addresses();
        addresses.map_or_else(unspecified, |(_, remote)| to_wit(remote))
    }

    pub(crate) async fn read(&self, max: u32) -> Result<Vec<u8>, Error> {
        self.open.check("read");
        let open = self.reading()?;
        if max == 0 {
            return Err(NetError::new(
                ErrorCode::InvalidArgument,
                "a read of at most 0 bytes cannot tell data from the end",
            )
            .into());
        }
        let _turn = Turn::take(&open.reading, "read")?;
        let max = max.min(limits::READ_BYTES_MAX) as usize;
        let read = poll_fn(|context| {
            open.caller
                .node(|node, now| node.poll_read_vec(now, open.socket, max, context.waker()))
        });
        Ok(read.await?)
    }

    pub(crate) async fn write(&self, bytes: Vec<u8>) -> Result<(), Error> {
        self.open.check("write_all");
        let open = self.writing()?;
        let _turn = Turn::take(&open.writing, "write")?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = poll_fn(|context| open.poll_write(context, rest)).await?;
            rest = &rest[written..];
        }
        Ok(())
    }

    pub(crate) fn receive(&self) -> Result<(Incoming, End), Error> {
        self.open.check("into_streams");
        let open = self.reading()?.clone();
        self.receive_taken.set(true);
        Ok(Incoming::new(open))
    }

    pub(crate) fn send(&self, data: Source) -> Result<End, Error> {
        self.open.check("into_streams");
        let open = self.writing()?.clone();
        self.send_taken.set(true);
        Ok(data.pipe(open))
    }

    pub(crate) fn finish(&self) -> Result<(), Error> {
        Ok(self.writing()?.finish()?)
    }

    pub(crate) fn abort(&self) {
        let open = &self.open;
        open.caller
            .node(|node, now| node.tcp_abort(now, open.socket));
    }

    pub(crate) fn set_keep_alive(&self, interval_ms: Option<u32>) -> Result<(), Error> {
        if interval_ms == Some(0) {
            return Err(
                NetError::new(ErrorCode::InvalidArgument, "a keep-alive interval of 0 ms").into(),
            );
        }
        let interval = interval_ms.map(|ms| Duration::from_millis(ms.into()));
        let open = &self.open;
        Ok(open
            .caller
            .node(|node, now| node.tcp_set_keep_alive(now, open.socket, interval))?)
    }
}

impl core::fmt::Debug for TcpConnection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.open.socket.fmt(f)
    }
}

fn taken(by: &str) -> NetError {
    NetError::new(
        ErrorCode::InvalidState,
        format!("`{by}` has made a stream of this direction"),
    )
}
