//! `tcp`, `tcp-create-socket`.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{
    Host, HostTcpSocket, ShutdownType, TcpSocket as Theirs,
};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::{SocketError, SocketResult};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::super::code::Code;
use super::super::options::Options;
use super::super::tcp::TcpSocket;
use super::super::{ours, theirs};
use super::network::told;
use super::streams::{Input, Output};
use crate::ctx::NetCtxView;

/// A socket, and what of it was started and not finished.
pub(super) struct Tcp {
    socket: TcpSocket,
    started: Option<Started>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Started {
    Bind,
    Connect,
    Listen,
}

impl Tcp {
    /// Nothing else may be in progress.
    fn idle(&mut self) -> SocketResult<&mut TcpSocket> {
        match self.started {
            None => Ok(&mut self.socket),
            Some(_) => Err(told(Code::ConcurrencyConflict)),
        }
    }

    /// "Trying to finish an asynchronous operation that has not been started yet, or was already finished."
    fn finish(&mut self, what: Started) -> SocketResult<()> {
        if self.started != Some(what) {
            return Err(told(Code::NotInProgress));
        }
        self.started = None;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Tcp {
    /// Ready when whatever would have said `would-block` will not say so again.
    async fn ready(&mut self) {
        // What was only started is finished at once.
        if let Some(Started::Bind | Started::Listen) = self.started {
            return;
        }
        let socket = &mut self.socket;
        if socket.is_listening() {
            poll_fn(|cx| socket.poll_ahead(cx.waker()).map(|_| ())).await;
        } else {
            poll_fn(|cx| socket.poll_connect_ready(cx)).await;
        }
    }
}

impl NetCtxView<'_> {
    fn tcp(&mut self, socket: &Resource<Theirs>) -> Result<&mut Tcp, SocketError> {
        Ok(self.table.get_mut(&ours::<_, Tcp>(socket))?)
    }

    fn get_tcp<R>(
        &mut self,
        socket: &Resource<Theirs>,
        get: impl FnOnce(&TcpSocket) -> Result<R, Code>,
    ) -> SocketResult<R> {
        get(&self.tcp(socket)?.socket).map_err(told)
    }

    fn set_tcp(
        &mut self,
        socket: &Resource<Theirs>,
        set: impl FnOnce(&mut TcpSocket) -> Result<(), Code>,
    ) -> SocketResult<()> {
        set(&mut self.tcp(socket)?.socket).map_err(told)
    }

    fn get_option<R>(
        &mut self,
        socket: &Resource<Theirs>,
        get: impl FnOnce(&Options) -> R,
    ) -> SocketResult<R> {
        self.get_tcp(socket, |socket| socket.options().map(get))
    }

    /// The two streams of a connection. They are children of the socket, which must outlive them.
    fn tcp_streams(
        &mut self,
        socket: &Resource<Tcp>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let open = &mut self.table.get_mut(socket)?.socket;
        let input: DynInputStream = Box::new(Input::new(open.take_receive().map_err(told)?));
        let output: DynOutputStream = Box::new(Output::new(open.take_send().map_err(told)?));
        Ok((
            self.table.push_child(input, socket)?,
            self.table.push_child(output, socket)?,
        ))
    }

    fn push_tcp(&mut self, socket: TcpSocket) -> SocketResult<Resource<Tcp>> {
        let tcp = Tcp {
            socket,
            started: None,
        };
        // The table is full: the app holds as many handles as it may.
        self.table.push(tcp).map_err(|_| told(Code::TooManySockets))
    }
}

impl tcp_create_socket::Host for NetCtxView<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<Theirs>> {
        let socket = TcpSocket::new(self.ctx.clone(), family.into());
        Ok(theirs(&self.push_tcp(socket)?))
    }
}

impl Host for NetCtxView<'_> {}

impl HostTcpSocket for NetCtxView<'_> {
    async fn start_bind(
        &mut self,
        this: Resource<Theirs>,
        network: Resource<Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let tcp = self.tcp(&this)?;
        tcp.idle()?.bind(local.into()).map_err(told)?;
        tcp.started = Some(Started::Bind);
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<Theirs>) -> SocketResult<()> {
        self.tcp(&this)?.finish(Started::Bind)
    }

    fn start_connect(
        &mut self,
        this: Resource<Theirs>,
        network: Resource<Network>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let tcp = self.tcp(&this)?;
        tcp.idle()?.start_connect(remote.into()).map_err(told)?;
        tcp.started = Some(Started::Connect);
        Ok(())
    }

    fn finish_connect(
        &mut self,
        this: Resource<Theirs>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let tcp = self.tcp(&this)?;
        match tcp.socket.poll_connect(Waker::noop()) {
            Some(Poll::Pending) => return Err(told(Code::WouldBlock)),
            Some(Poll::Ready(made)) => {
                tcp.finish(Started::Connect)?;
                made.map_err(told)?;
            }
            None => return Err(told(Code::NotInProgress)),
        }
        self.tcp_streams(&ours(&this))
    }

    async fn start_listen(&mut self, this: Resource<Theirs>) -> SocketResult<()> {
        let tcp = self.tcp(&this)?;
        let socket = tcp.idle()?;
        // "Unlike POSIX, the socket must already be explicitly bound."
        if !socket.is_bound() {
            return Err(told(Code::InvalidState));
        }
        socket.listen().map_err(told)?;
        tcp.started = Some(Started::Listen);
        Ok(())
    }

    fn finish_listen(&mut self, this: Resource<Theirs>) -> SocketResult<()> {
        self.tcp(&this)?.finish(Started::Listen)
    }

    fn accept(
        &mut self,
        this: Resource<Theirs>,
    ) -> SocketResult<(
        Resource<Theirs>,
        Resource<DynInputStream>,
        Resource<DynOutputStream>,
    )> {
        let tcp = self.tcp(&this)?;
        // "Socket is not in the `listening` state": nor is one whose `start-listen` was not finished.
        if tcp.started.is_some() {
            return Err(told(Code::InvalidState));
        }
        let accepted = match tcp.socket.poll_accept(Waker::noop()) {
            Poll::Pending => return Err(told(Code::WouldBlock)),
            Poll::Ready(accepted) => accepted.map_err(told)?,
        };
        let accepted = self.push_tcp(accepted)?;
        let (input, output) = self.tcp_streams(&accepted)?;
        Ok((theirs(&accepted), input, output))
    }

    fn local_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        // "... in the `bound` state *or higher*", which `bind-in-progress` is not.
        if self.tcp(&this)?.started == Some(Started::Bind) {
            return Err(told(Code::InvalidState));
        }
        self.get_tcp(&this, |socket| socket.local().map(Into::into))
    }

    fn remote_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        self.get_tcp(&this, |socket| socket.remote().map(Into::into))
    }

    fn is_listening(&mut self, this: Resource<Theirs>) -> wasmtime::Result<bool> {
        let tcp = self.table.get(&ours::<_, Tcp>(&this))?;
        Ok(tcp.socket.is_listening() && tcp.started.is_none())
    }

    fn address_family(&mut self, this: Resource<Theirs>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self
            .table
            .get(&ours::<_, Tcp>(&this))?
            .socket
            .family()
            .into())
    }

    fn set_listen_backlog_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, |socket| socket.set_backlog(value))
    }

    fn keep_alive_enabled(&mut self, this: Resource<Theirs>) -> SocketResult<bool> {
        self.get_option(&this, |options| options.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<Theirs>, value: bool) -> SocketResult<()> {
        self.set_tcp(&this, |socket| {
            socket.set(|options| {
                options.keep_alive = value;
                Ok(())
            })
        })
    }

    fn keep_alive_idle_time(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.get_option(&this, Options::idle_nanos)
    }

    fn set_keep_alive_idle_time(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, |socket| {
            socket.set(|options| options.set_idle_nanos(value))
        })
    }

    fn keep_alive_interval(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.get_option(&this, Options::interval_nanos)
    }

    fn set_keep_alive_interval(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, |socket| {
            socket.set(|options| options.set_interval_nanos(value))
        })
    }

    fn keep_alive_count(&mut self, this: Resource<Theirs>) -> SocketResult<u32> {
        self.get_option(&this, Options::count)
    }

    fn set_keep_alive_count(&mut self, this: Resource<Theirs>, value: u32) -> SocketResult<()> {
        self.set_tcp(&this, |socket| {
            socket.set(|options| options.set_count(value))
        })
    }

    fn hop_limit(&mut self, this: Resource<Theirs>) -> SocketResult<u8> {
        self.get_option(&this, |options| options.hop_limit.get())
    }

    fn set_hop_limit(&mut self, this: Resource<Theirs>, value: u8) -> SocketResult<()> {
        self.set_tcp(&this, |socket| socket.set_hop_limit(value))
    }

    fn receive_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.get_tcp(&this, TcpSocket::receive_buffer_bytes)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, |socket| socket.set_receive_buffer_bytes(value))
    }

    fn send_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.get_tcp(&this, TcpSocket::send_buffer_bytes)
    }

    fn set_send_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.set_tcp(&this, |socket| socket.set_send_buffer_bytes(value))
    }

    fn subscribe(&mut self, this: Resource<Theirs>) -> wasmtime::Result<Resource<DynPollable>> {
        let tcp: Resource<Tcp> = Resource::new_borrow(this.rep());
        subscribe(self.table, tcp)
    }

    fn shutdown(&mut self, this: Resource<Theirs>, how: ShutdownType) -> SocketResult<()> {
        self.get_tcp(&this, |socket| {
            let open = socket.open()?;
            if matches!(how, ShutdownType::Receive | ShutdownType::Both) {
                open.stop_reading()?;
            }
            if matches!(how, ShutdownType::Send | ShutdownType::Both) {
                // "This function is idempotent"; of a connection that is gone there is nothing to shut down.
                if let Err(Code::AccessDenied) = open.finish().map_err(Code::from) {
                    return Err(Code::AccessDenied);
                }
            }
            Ok(())
        })
    }

    fn drop(&mut self, this: Resource<Theirs>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, Tcp>(&this))?;
        Ok(())
    }
}
