//! Kernel sockets as streams of a shard: what the host itself listens on, beside its nodes' networks.
//!
//! A socket tells the shard's poll of changes only, so what is known of it is kept until a call finds otherwise; and
//! a call that took less than it could is known to have taken all there was (epoll(7), question 9).

use std::cell::RefCell;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use nexus_caps::{Shard, Sleep};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Driver;

/// Most bytes one read takes.
const READ_BYTES: usize = 16 << 10;

/// How long a listener waits when the process has no more file descriptors: one may be free then.
const RETRY: Duration = Duration::from_millis(100);

/// What is known about a socket, and who waits for it.
#[derive(Default)]
struct Known {
    readable: bool,
    writable: bool,
    /// The far end has finished, or the socket is gone: the next read says which.
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The sockets of one listener, its own first.
struct Sockets {
    registry: Registry,
    first: Token,
    known: RefCell<Vec<Option<Known>>>,
    free: RefCell<Vec<usize>>,
    /// One read of any socket.
    scratch: RefCell<Box<[u8]>>,
}

impl Sockets {
    fn add(&self, socket: &mut impl mio::event::Source, interest: Interest) -> io::Result<usize> {
        let known = Known {
            readable: true,
            writable: true,
            ..Known::default()
        };
        let number = match self.free.borrow_mut().pop() {
            Some(number) => number,
            None => {
                self.known.borrow_mut().push(None);
                self.known.borrow().len() - 1
            }
        };
        let token = Token(self.first.0 + number);
        if let Err(error) = self.registry.register(socket, token, interest) {
            self.free.borrow_mut().push(number);
            return Err(error);
        }
        self.known.borrow_mut()[number] = Some(known);
        Ok(number)
    }

    /// An event of a socket that is gone may still be under way: whoever has its number next is woken once too often.
    fn remove(&self, number: usize) {
        self.known.borrow_mut()[number] = None;
        self.free.borrow_mut().push(number);
    }

    fn with<R>(&self, number: usize, look: impl FnOnce(&mut Known) -> R) -> Option<R> {
        let mut known = self.known.borrow_mut();
        known.get_mut(number)?.as_mut().map(look)
    }

    fn handle_event(&self, event: &Event) {
        let number = event.token().0 - self.first.0;
        let wakers = self.with(number, |known| {
            known.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            known.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
            known.ended |= event.is_read_closed() || event.is_error();
            let reader = known.reader.take_if(|_| known.readable);
            let writer = known.writer.take_if(|_| known.writable);
            [reader, writer]
        });
        for waker in wakers.into_iter().flatten().flatten() {
            waker.wake();
        }
    }
}

/// A port of this machine that the host listens on.
pub struct KernelListener {
    socket: TcpListener,
    local: SocketAddr,
    sockets: Rc<Sockets>,
    number: usize,
    shard: Shard,
    /// No more file descriptors.
    short: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    /// Listens on a port of this machine; port 0 is any that is free. At most `backlog` connections wait.
    ///
    /// # Errors
    /// What the OS says: the port is taken, or needs privileges.
    pub fn listen(&mut self, address: SocketAddr, backlog: i32) -> io::Result<KernelListener> {
        let std = bind(address, backlog)?;
        let local = std.local_addr()?;
        let mut socket = TcpListener::from_std(std);
        let sockets = Rc::new(Sockets {
            registry: self.registry()?,
            first: self.next_tokens(),
            known: RefCell::default(),
            free: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
        });
        let number = sockets.add(&mut socket, Interest::READABLE)?;
        let told = sockets.clone();
        self.add_nic(move |event| told.handle_event(event));
        Ok(KernelListener {
            socket,
            local,
            sockets,
            number,
            shard: self.shard().clone(),
            short: None,
        })
    }
}

/// std's own binds with a backlog of 128.
fn bind(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if address.is_ipv6() {
        // `[::]` is IPv6 alone, as everywhere in this host.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Lets a server follow the one before at once; a port that another socket listens on stays taken (socket(7)).
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, backlog)?;
    Ok(socket.into())
}

/// The process, or the machine, has no more file descriptors or memory for sockets.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl KernelListener {
    /// Where it listens.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The next connection, and who made it.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(KernelStream, SocketAddr)> {
        loop {
            if let Some(short) = &mut self.short {
                std::task::ready!(short.as_mut().poll(cx));
                self.short = None;
            }
            let ready = self.sockets.with(self.number, |known| {
                if !known.readable {
                    known.reader = Some(cx.waker().clone());
                }
                known.readable
            });
            if ready != Some(true) {
                return Poll::Pending;
            }
            match self.socket.accept() {
                Ok((socket, remote)) => {
                    if let Ok(stream) = KernelStream::new(socket, &self.sockets) {
                        return Poll::Ready((stream, remote));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = self
                        .sockets
                        .with(self.number, |known| known.readable = false);
                }
                Err(error) if is_shortage(&error) => {
                    let retry = self.shard.sleep_until(self.shard.now() + RETRY);
                    self.short = Some(Box::pin(retry));
                }
                // This client is gone already; the next may be there.
                Err(_) => {}
            }
        }
    }
}

impl Drop for KernelListener {
    fn drop(&mut self) {
        let _ = self.sockets.registry.deregister(&mut self.socket);
        self.sockets.remove(self.number);
    }
}

/// A connection that came to a [`KernelListener`]. Dropping it closes it.
pub struct KernelStream {
    socket: TcpStream,
    sockets: Rc<Sockets>,
    number: usize,
}

impl KernelStream {
    fn new(mut socket: TcpStream, sockets: &Rc<Sockets>) -> io::Result<Self> {
        // A response in two writes would wait for the acknowledgement of the first (RFC 896).
        socket.set_nodelay(true)?;
        let number = sockets.add(&mut socket, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            sockets: sockets.clone(),
            number,
        })
    }

    /// Dropped from now on, it is reset, and what was not sent yet is not.
    pub fn break_off(&self) {
        // One that is gone needs none.
        let _ = sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    /// Whether a read may be tried; else `cx` is woken when it may.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.sockets.with(self.number, |known| {
            if !known.readable {
                known.reader = Some(cx.waker().clone());
            }
            known.readable
        });
        match ready {
            Some(true) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.sockets.with(self.number, |known| {
            if !known.writable {
                known.writer = Some(cx.waker().clone());
            }
            known.writable
        });
        match ready {
            Some(true) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl AsyncRead for KernelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            std::task::ready!(self.poll_readable(cx));
            let this = &mut *self;
            let mut scratch = this.sockets.scratch.borrow_mut();
            let room = buf.remaining().min(scratch.len());
            match this.socket.read(&mut scratch[..room]) {
                Ok(count) => {
                    if count < room {
                        this.sockets.with(this.number, |known| {
                            // Its end was told once, perhaps with the bytes before it.
                            known.readable = known.ended;
                        });
                    }
                    buf.put_slice(&scratch[..count]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    this.sockets
                        .with(this.number, |known| known.readable = false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for KernelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(self.poll_writable(cx));
            match self.socket.write(bytes) {
                Ok(count) => {
                    if count < bytes.len() {
                        self.sockets
                            .with(self.number, |known| known.writable = false);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.sockets
                        .with(self.number, |known| known.writable = false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The far end may be gone already.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

impl Drop for KernelStream {
    fn drop(&mut self) {
        let _ = self.sockets.registry.deregister(&mut self.socket);
        self.sockets.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::OsClock;
    use nexus_node::Mesh;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Goal: bytes go both ways, and both ends are told. Method: a client of std's on a thread of its own; more than
    /// the kernel's buffers hold comes back.
    #[test]
    fn bytes_go_both_ways_and_end() {
        const BYTES: usize = 8 << 20;
        let mut driver = Driver::new(Mesh::new(), OsClock::start()).expect("driver");
        let any = "127.0.0.1:0".parse().expect("an address");
        let mut listener = driver.listen(any, 8).expect("listens");
        let local = listener.local();
        let client = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(local).expect("connects");
            stream.write_all(b"ping").expect("writes");
            stream
                .shutdown(std::net::Shutdown::Write)
                .expect("finishes");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("reads");
            answer.len()
        });
        let read = driver.block_on(async move {
            let (mut stream, _) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
            let mut request = Vec::new();
            stream.read_to_end(&mut request).await.expect("reads");
            stream.write_all(&vec![7; BYTES]).await.expect("writes");
            stream.shutdown().await.expect("finishes");
            request
        });
        assert_eq!(read.expect("drives"), b"ping");
        assert_eq!(client.join().expect("client"), BYTES);
    }
}
