//! TCP: a stream and its halves, a listener.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::address::{from_wit, to_wit, to_wit_host};
use super::{Receiver, Sender, ToLocal, ToRemote};
use crate::host::net::{tcp_connect, tcp_listen, types};
use crate::{Error, ErrorCode};

/// What [`TcpListener::bind`] asks for: the host's own default.
pub const BACKLOG: u32 = 0;

/// Most asked of the host in one read: it has no more at once, and a larger buffer is memory for nothing.
const READ_BYTES_MAX: usize = 1 << 20;

/// An open connection.
///
/// Dropping it closes it in the background: what was written is still delivered, within a bounded time.
#[derive(Debug)]
pub struct TcpStream {
    connection: Rc<types::TcpConnection>,
}

impl TcpStream {
    /// Connects to `"name:port"`, `("name", port)`, a `SocketAddr` or `(IpAddr, port)`.
    ///
    /// Of a name's addresses those that a rule permits are tried in order.
    pub async fn connect(remote: impl ToRemote) -> Result<Self, Error> {
        let remote = remote.to_remote()?;
        let connection = tcp_connect::connect(to_wit_host(remote.host), remote.port).await?;
        Ok(Self::new(connection))
    }

    fn new(connection: types::TcpConnection) -> Self {
        Self {
            connection: Rc::new(connection),
        }
    }

    /// Our end.
    pub fn local_addr(&self) -> SocketAddr {
        from_wit(self.connection.local_address())
    }

    /// The far end.
    pub fn remote_addr(&self) -> SocketAddr {
        from_wit(self.connection.remote_address())
    }

    /// Waits for data and returns what is there, at most `max` bytes. Empty: the far end has finished.
    pub async fn read(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        read(&self.connection, max).await
    }

    /// Fills `buffer`; [`ErrorCode::Closed`] if the far end finishes before.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        read_exact(&self.connection, buffer).await
    }

    /// Reads until the far end finishes. [`ErrorCode::NoCapacity`] if that is more than `max` bytes.
    pub async fn read_to_end(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        read_to_end(&self.connection, max).await
    }

    /// Writes everything, waiting while the send buffer is full. A `Vec` is handed over, anything else copied.
    pub async fn write_all(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
        Ok(self.connection.write(bytes.into()).await?)
    }

    /// Finishes sending: the far end reads the rest, then the end. Reading goes on.
    pub fn finish(&mut self) -> Result<(), Error> {
        Ok(self.connection.finish()?)
    }

    /// Cuts the connection: what is queued is lost, the far end sees a reset.
    pub fn abort(self) {
        self.connection.abort();
    }

    /// Sends probes after this long without a word from the far end; `None`, the default: never.
    /// Less than a second counts as one; no time at all is [`ErrorCode::InvalidArgument`].
    pub fn set_keep_alive(&self, interval: Option<Duration>) -> Result<(), Error> {
        let millis =
            interval.map(|interval| u32::try_from(interval.as_millis()).unwrap_or(u32::MAX));
        Ok(self.connection.set_keep_alive(millis)?)
    }

    /// Two halves that can be used at the same time, by [`join`](crate::task::join) or from two tasks.
    ///
    /// ```no_run
    /// # use nexus_sdk::{Error, svc::net::TcpStream, task::join};
    /// # async fn both(stream: TcpStream) -> Result<(), Error> {
    /// let (mut read, mut write) = stream.split();
    /// let (sent, answer) = join(
    ///     async move {
    ///         write.write_all("a question longer than any buffer").await?;
    ///         write.finish()
    ///     },
    ///     read.read_to_end(1 << 20),
    /// )
    /// .await;
    /// sent?;
    /// println!("{} bytes", answer?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let read = ReadHalf {
            connection: Rc::clone(&self.connection),
        };
        let write = WriteHalf {
            connection: self.connection,
            finished: false,
        };
        (read, write)
    }

    /// Both directions as streams: bytes move between the host's buffers and the app's without a call per
    /// chunk, and the buffers are reused. For bulk; a call has less latency.
    pub fn into_streams(self) -> Result<(Receiver, Sender), Error> {
        let receiver = Receiver::open(Rc::clone(&self.connection))?;
        let sender = Sender::open(self.connection)?;
        Ok((receiver, sender))
    }
}

/// The incoming half of a [`TcpStream`].
#[derive(Debug)]
pub struct ReadHalf {
    connection: Rc<types::TcpConnection>,
}

impl ReadHalf {
    /// See [`TcpStream::read`].
    pub async fn read(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        read(&self.connection, max).await
    }

    /// See [`TcpStream::read_exact`].
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        read_exact(&self.connection, buffer).await
    }

    /// See [`TcpStream::read_to_end`].
    pub async fn read_to_end(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        read_to_end(&self.connection, max).await
    }
}

/// The outgoing half of a [`TcpStream`]. Dropping it finishes sending.
#[derive(Debug)]
pub struct WriteHalf {
    connection: Rc<types::TcpConnection>,
    finished: bool,
}

impl WriteHalf {
    /// See [`TcpStream::write_all`].
    pub async fn write_all(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
        Ok(self.connection.write(bytes.into()).await?)
    }

    /// See [`TcpStream::finish`].
    pub fn finish(&mut self) -> Result<(), Error> {
        self.finished = true;
        Ok(self.connection.finish()?)
    }

    /// See [`TcpStream::abort`]. The other half sees [`ErrorCode::Closed`] from then on.
    pub fn abort(mut self) {
        self.finished = true;
        self.connection.abort();
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if !self.finished {
            // A connection that is already gone is finished too.
            let _ = self.connection.finish();
        }
    }
}

async fn read(connection: &types::TcpConnection, max: usize) -> Result<Vec<u8>, Error> {
    if max == 0 {
        return Err(Error::invalid(
            "a read of no bytes could not be told from the end",
        ));
    }
    Ok(connection.read(max.min(READ_BYTES_MAX) as u32).await?)
}

async fn read_exact(connection: &types::TcpConnection, buffer: &mut [u8]) -> Result<(), Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        let chunk = read(connection, buffer.len() - filled).await?;
        if chunk.is_empty() {
            return Err(Error::new(
                ErrorCode::Closed,
                "finished",
                format!(
                    "the far end finished after {filled} of {} bytes",
                    buffer.len()
                ),
            ));
        }
        buffer[filled..filled + chunk.len()].copy_from_slice(&chunk);
        filled += chunk.len();
    }
    Ok(())
}

async fn read_to_end(connection: &types::TcpConnection, max: usize) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    loop {
        // One more than may be, to tell "exactly max" from "more".
        let chunk = read(connection, max.saturating_sub(all.len()).saturating_add(1)).await?;
        if chunk.is_empty() {
            return Ok(all);
        }
        if all.len() + chunk.len() > max {
            return Err(Error::new(
                ErrorCode::NoCapacity,
                "too-long",
                format!("the far end sent more than the {max} bytes asked for"),
            ));
        }
        if all.is_empty() {
            all = chunk;
        } else {
            all.extend_from_slice(&chunk);
        }
    }
}

/// Connections to come.
#[derive(Debug)]
pub struct TcpListener {
    listener: types::TcpListener,
}

impl TcpListener {
    /// Listens on `"0.0.0.0:7777"`, a `SocketAddr` or `(IpAddr, port)`; port 0 takes a free one.
    pub async fn bind(local: impl ToLocal) -> Result<Self, Error> {
        Self::bind_with_backlog(local, BACKLOG).await
    }

    /// Listens, with at most `backlog` connections waiting to be accepted; further ones wait outside.
    pub async fn bind_with_backlog(local: impl ToLocal, backlog: u32) -> Result<Self, Error> {
        let listener = tcp_listen::listen(to_wit(local.to_local()?), backlog).await?;
        Ok(Self { listener })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        from_wit(self.listener.local_address())
    }

    /// Waits for a connection.
    pub async fn accept(&self) -> Result<TcpStream, Error> {
        Ok(TcpStream::new(self.listener.accept().await?))
    }

    /// Accepts for ever and gives each connection a task of its own, at most `limit` at once: further ones
    /// wait in the backlog. Returns when accepting fails for good.
    ///
    /// ```no_run
    /// use core::num::NonZeroUsize;
    /// use nexus_sdk::{Error, svc::net::{TcpListener, TcpStream}};
    ///
    /// async fn greet(mut stream: TcpStream) {
    ///     if let Err(error) = stream.write_all("hello\n").await {
    ///         eprintln!("{}: {error}", stream.remote_addr());
    ///     }
    /// }
    ///
    /// async fn run() -> Result<(), Error> {
    ///     let listener = TcpListener::bind("0.0.0.0:7777").await?;
    ///     println!("listening on {}", listener.local_addr());
    ///     let limit = const { NonZeroUsize::new(100).unwrap() };
    ///     listener.serve(limit, greet).await
    /// }
    /// # fn main() { let _ = run(); }
    /// ```
    pub async fn serve<F>(
        &self,
        limit: NonZeroUsize,
        handle: impl Fn(TcpStream) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + 'static,
    {
        let places = Rc::new(Places::new(limit.get()));
        loop {
            let place = Places::take(&places).await;
            let stream = match self.accept().await {
                Ok(stream) => stream,
                // The far end was gone before it was accepted: the next one may not be.
                Err(error) if error.code() == ErrorCode::Reset => continue,
                // A quota: a connection that ends makes room. With none to end, it is final.
                Err(error)
                    if error.code() == ErrorCode::NoCapacity
                        && places.free.get() + 1 < limit.get() =>
                {
                    drop(place);
                    Places::wait_for_change(&places).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let future = handle(stream);
            crate::task::spawn(async move {
                future.await;
                drop(place);
            });
        }
    }
}

/// A bounded number of places, for [`TcpListener::serve`]: one waiter.
#[derive(Debug)]
struct Places {
    free: Cell<usize>,
    waiter: RefCell<Option<Waker>>,
}

/// One taken place; dropping it gives it back.
struct Place(Rc<Places>);

impl Places {
    fn new(free: usize) -> Self {
        Self {
            free: Cell::new(free),
            waiter: RefCell::new(None),
        }
    }

    async fn take(places: &Rc<Self>) -> Place {
        poll_fn(|context| {
            let free = places.free.get();
            if free == 0 {
                *places.waiter.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            places.free.set(free - 1);
            Poll::Ready(())
        })
        .await;
        Place(Rc::clone(places))
    }

    async fn wait_for_change(places: &Rc<Self>) {
        let before = places.free.get();
        poll_fn(|context| {
            if places.free.get() > before {
                return Poll::Ready(());
            }
            *places.waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        if let Some(waker) = self.0.waiter.borrow_mut().take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::task::Context;

    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let places = Rc::new(Places::new(1));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(place) = pin!(Places::take(&places)).poll(&mut context) else {
            panic!("the first place is free");
        };
        let mut second = pin!(Places::take(&places));
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(place);
        assert!(second.as_mut().poll(&mut context).is_ready());
    }
}
