//! `types.tcp-socket`.

use std::future::poll_fn;
use std::iter;
use std::task::Poll;

use futures::channel::oneshot;
use nexus_node::NetError;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};
use wasmtime_wasi::p3::bindings::sockets::types::{
    Duration, ErrorCode, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress,
    TcpSocket as Theirs,
};
use wasmtime_wasi::p3::sockets::SocketResult;

use super::super::code::Code;
use super::super::options::Options;
use super::super::tcp::TcpSocket;
use super::super::{ours, theirs};
use super::listen::Accepting;
use super::shared::Shared;
use super::told;
use crate::ctx::{Net, NetCtxView};
use crate::types::{Receiving, Sending, WhenDropped};

fn word(error: NetError) -> ErrorCode {
    Code::from(error).into()
}

/// A future that has come to its end already.
fn over<T: 'static>(
    access: &mut Access<'_, T, Net>,
    code: Code,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    FutureReader::new(access, async move {
        wasmtime::error::Ok(Err(ErrorCode::from(code)))
    })
}

impl<T: Send + 'static> HostTcpSocketWithStore<T> for Net {
    async fn connect(
        accessor: &Accessor<T, Self>,
        this: Resource<Theirs>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        let socket = accessor.with(|mut access| access.get().p3_socket(&this))?;
        socket.lock().start_connect(remote.into()).map_err(told)?;
        let mut connecting = Connecting(Some(&socket));
        let made = poll_fn(|cx| match socket.lock().poll_connect(cx.waker()) {
            Some(polled) => polled.map_err(told),
            None => Poll::Ready(Err(told(Code::InvalidState))),
        })
        .await;
        connecting.0 = None;
        made
    }

    async fn listen(
        mut access: Access<'_, T, Self>,
        this: Resource<Theirs>,
    ) -> SocketResult<StreamReader<Resource<Theirs>>> {
        let view = access.getter();
        let listener = access.get().p3_socket(&this)?;
        listener.lock().listen().map_err(told)?;
        let accepting = Accepting { listener, view };
        StreamReader::new(&mut access, accepting)
            .map_err(wasmtime_wasi::p3::sockets::SocketError::trap)
    }

    fn send(
        mut access: Access<'_, T, Self>,
        this: Resource<Theirs>,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        let taken = access.get().table.get(&ours(&this))?;
        let taken = Shared::lock(taken).take_send();
        match taken {
            Ok(open) => {
                let (sender, receiver) = oneshot::channel();
                data.pipe(&mut access, Sending::new(open, sender, word))?;
                FutureReader::new(&mut access, receiver)
            }
            Err(code) => {
                data.close(&mut access)?;
                over(&mut access, code)
            }
        }
    }

    fn receive(
        mut access: Access<'_, T, Self>,
        this: Resource<Theirs>,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), ErrorCode>>)> {
        let taken = access.get().table.get(&ours(&this))?;
        let taken = Shared::lock(taken).take_receive();
        match taken {
            Ok(open) => {
                let (sender, receiver) = oneshot::channel();
                // "If the caller is not expecting to receive any more data from the peer, they should drop the
                // stream. Any data still in the receive queue will be discarded."
                let receiving = Receiving::new(open, WhenDropped::Discard, sender, word);
                let stream = StreamReader::new(&mut access, receiving)?;
                Ok((stream, FutureReader::new(&mut access, receiver)?))
            }
            // "Subsequent calls return a closed stream and a future resolved to `err(invalid-state)`."
            Err(code) => Ok((
                StreamReader::new(&mut access, iter::empty())?,
                over(&mut access, code)?,
            )),
        }
    }
}

/// A connection attempt that ends when its call does.
struct Connecting<'a>(Option<&'a Shared>);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.0 {
            socket.lock().cancel_connect();
        }
    }
}

impl NetCtxView<'_> {
    fn p3_socket(&mut self, this: &Resource<Theirs>) -> SocketResult<Shared> {
        Ok(self.get_mut::<Shared>(&ours(this))?.clone())
    }

    fn p3_get<R>(
        &mut self,
        this: &Resource<Theirs>,
        get: impl FnOnce(&TcpSocket) -> Result<R, Code>,
    ) -> SocketResult<R> {
        get(&self.p3_socket(this)?.lock()).map_err(told)
    }

    fn p3_set(
        &mut self,
        this: &Resource<Theirs>,
        set: impl FnOnce(&mut TcpSocket) -> Result<(), Code>,
    ) -> SocketResult<()> {
        set(&mut self.p3_socket(this)?.lock()).map_err(told)
    }

    fn p3_option<R>(
        &mut self,
        this: &Resource<Theirs>,
        get: impl FnOnce(&Options) -> R,
    ) -> SocketResult<R> {
        self.p3_get(this, |socket| socket.options().map(get))
    }
}

impl HostTcpSocket for NetCtxView<'_> {
    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<Theirs>> {
        let socket = TcpSocket::new(self.ctx.clone(), family.into());
        Ok(theirs(&self.push(Shared::new(socket))?))
    }

    async fn bind(&mut self, this: Resource<Theirs>, local: IpSocketAddress) -> SocketResult<()> {
        self.p3_set(&this, |socket| socket.bind(local.into()))
    }

    fn get_local_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        self.p3_get(&this, |socket| socket.local().map(Into::into))
    }

    fn get_remote_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        self.p3_get(&this, |socket| socket.remote().map(Into::into))
    }

    fn get_is_listening(&mut self, this: Resource<Theirs>) -> wasmtime::Result<bool> {
        let socket: &Shared = self.table.get(&ours(&this))?;
        Ok(socket.lock().is_listening())
    }

    fn get_address_family(&mut self, this: Resource<Theirs>) -> wasmtime::Result<IpAddressFamily> {
        let socket: &Shared = self.table.get(&ours(&this))?;
        Ok(socket.lock().family().into())
    }

    fn set_listen_backlog_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.p3_set(&this, |socket| socket.set_backlog(value))
    }

    fn get_keep_alive_enabled(&mut self, this: Resource<Theirs>) -> SocketResult<bool> {
        self.p3_option(&this, |options| options.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<Theirs>, value: bool) -> SocketResult<()> {
        self.p3_set(&this, |socket| {
            socket.set(|options| {
                options.keep_alive = value;
                Ok(())
            })
        })
    }

    fn get_keep_alive_idle_time(&mut self, this: Resource<Theirs>) -> SocketResult<Duration> {
        self.p3_option(&this, Options::idle_nanos)
    }

    fn set_keep_alive_idle_time(
        &mut self,
        this: Resource<Theirs>,
        value: Duration,
    ) -> SocketResult<()> {
        self.p3_set(&this, |socket| {
            socket.set(|options| options.set_idle_nanos(value))
        })
    }

    fn get_keep_alive_interval(&mut self, this: Resource<Theirs>) -> SocketResult<Duration> {
        self.p3_option(&this, Options::interval_nanos)
    }

    fn set_keep_alive_interval(
        &mut self,
        this: Resource<Theirs>,
        value: Duration,
    ) -> SocketResult<()> {
        self.p3_set(&this, |socket| {
            socket.set(|options| options.set_interval_nanos(value))
        })
    }

    fn get_keep_alive_count(&mut self, this: Resource<Theirs>) -> SocketResult<u32> {
        self.p3_option(&this, Options::count)
    }

    fn set_keep_alive_count(&mut self, this: Resource<Theirs>, value: u32) -> SocketResult<()> {
        self.p3_set(&this, |socket| {
            socket.set(|options| options.set_count(value))
        })
    }

    fn get_hop_limit(&mut self, this: Resource<Theirs>) -> SocketResult<u8> {
        self.p3_option(&this, |options| options.hop_limit.get())
    }

    fn set_hop_limit(&mut self, this: Resource<Theirs>, value: u8) -> SocketResult<()> {
        self.p3_set(&this, |socket| socket.set_hop_limit(value))
    }

    fn get_receive_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.p3_get(&this, TcpSocket::receive_buffer_bytes)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.p3_set(&this, |socket| socket.set_receive_buffer_bytes(value))
    }

    fn get_send_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.p3_get(&this, TcpSocket::send_buffer_bytes)
    }

    fn set_send_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.p3_set(&this, |socket| socket.set_send_buffer_bytes(value))
    }

    fn drop(&mut self, this: Resource<Theirs>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, Shared>(&this))?;
        Ok(())
    }
}
