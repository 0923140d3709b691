//! A direction of a connection as a stream: the ends an app has of it.
//!
//! In a component bytes go from the app's memory to the stack's buffers when both sides are there; so they do here,
//! with nothing in between. The pair that `wit_stream` makes moves nothing until a connection has its reader.

use core::cell::RefCell;
use core::future::{IntoFuture, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use nexus_node::NetError;

use super::tcp_connection::Open;
use crate::bindings::nexus::error::types::Error;

pub(crate) use wit_bindgen::StreamResult;

/// How a direction ended, once it has: told by one, awaited by one.
#[derive(Default)]
struct Told {
    result: RefCell<Option<Result<(), Error>>>,
    waker: RefCell<Option<Waker>>,
}

impl Told {
    /// The first word counts.
    fn tell(&self, result: Result<(), NetError>) {
        self.result
            .borrow_mut()
            .get_or_insert_with(|| result.map_err(Into::into));
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The future of it.
pub(crate) struct End(Rc<Told>);

/// [`End`], awaited.
pub(crate) struct Ending(Rc<Told>);

impl IntoFuture for End {
    type Output = Result<(), Error>;
    type IntoFuture = Ending;

    fn into_future(self) -> Ending {
        Ending(self.0)
    }
}

impl Future for Ending {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let told = &self.0;
        if let Some(result) = &*told.result.borrow() {
            return Poll::Ready(result.clone());
        }
        told.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl core::fmt::Debug for End {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("End")
    }
}

/// What comes in.
pub(crate) struct Incoming {
    open: Rc<Open>,
    end: Rc<Told>,
    over: bool,
}

impl Incoming {
    pub(super) fn new(open: Rc<Open>) -> (Self, End) {
        let end = Rc::<Told>::default();
        let incoming = Self {
            open,
            end: end.clone(),
            over: false,
        };
        (incoming, End(end))
    }

    /// Waits for bytes and appends them to `buffer`, as far as its capacity goes.
    pub(crate) async fn read(&mut self, mut buffer: Vec<u8>) -> (StreamResult, Vec<u8>) {
        self.open.check("Receiver::read");
        let begin = buffer.len();
        if self.over {
            return (StreamResult::Dropped, buffer);
        }
        buffer.resize(buffer.capacity(), 0);
        let read = poll_fn(|context| self.open.poll_read(context, &mut buffer[begin..])).await;
        buffer.truncate(begin + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(count) if count > 0 => return (StreamResult::Complete(count), buffer),
            Ok(_) => self.end.tell(Ok(())),
            Err(error) => self.end.tell(Err(error)),
        }
        self.over = true;
        (StreamResult::Dropped, buffer)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // The app has stopped reading: no failure.
        self.end.tell(Ok(()));
    }
}

impl core::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Incoming")
    }
}

/// Where what an app writes to a stream goes.
#[derive(Default)]
struct Pipe(RefCell<Option<(Rc<Open>, Rc<Told>)>>);

/// The reader of a stream that the app writes: for [`TcpConnection::send`](super::net::types::TcpConnection::send).
pub(crate) struct Source(Rc<Pipe>);

impl Source {
    pub(super) fn pipe(self, open: Rc<Open>) -> End {
        let end = Rc::<Told>::default();
        *self.0.0.borrow_mut() = Some((open, end.clone()));
        End(end)
    }
}

/// What goes out. Once it is dropped, sending is finished (half-close).
pub(crate) struct Outgoing {
    pipe: Rc<Pipe>,
    over: bool,
}

impl Outgoing {
    /// Writes everything; what could not be written is returned.
    pub(crate) async fn write_all(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let to = self.pipe.0.borrow().clone();
        let Some((open, end)) = to.filter(|_| !self.over) else {
            return bytes;
        };
        open.check("Sender::write_all");
        let mut written = 0;
        while written < bytes.len() {
            match poll_fn(|context| open.poll_write(context, &bytes[written..])).await {
                Ok(count) => written += count,
                Err(error) => {
                    end.tell(Err(error));
                    self.over = true;
                    break;
                }
            }
        }
        bytes.drain(..written);
        bytes
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some((open, end)) = self.pipe.0.borrow_mut().take() {
            let finished = open.finish();
            end.tell(finished);
        }
    }
}

impl core::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Outgoing")
    }
}

/// A stream of the app's own.
pub(crate) mod wit_stream {
    use std::rc::Rc;

    use super::{Outgoing, Pipe, Source};

    pub(crate) fn new() -> (Outgoing, Source) {
        let pipe = Rc::<Pipe>::default();
        let writer = Outgoing {
            pipe: pipe.clone(),
            over: false,
        };
        (writer, Source(pipe))
    }
}
