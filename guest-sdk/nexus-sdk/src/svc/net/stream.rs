//! The two directions of a connection as streams, for bulk.

use std::rc::Rc;

use crate::host::{End, Incoming, Outgoing, StreamResult, net::types, wit_stream};
use crate::{Error, ErrorCode};

/// The incoming direction of a connection, read into buffers of the app's.
///
/// ```no_run
/// # use nexus_sdk::{Error, svc::net::Receiver};
/// async fn count(mut receiver: Receiver) -> Result<usize, Error> {
///     let mut buffer = Vec::with_capacity(64 * 1024);
///     let mut total = 0;
///     loop {
///         buffer = receiver.read(buffer).await?;
///         if buffer.is_empty() {
///             return Ok(total);
///         }
///         total += buffer.len();
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Receiver {
    stream: Incoming,
    end: Option<End>,
    // The streams are of the connection: it stays open as long as one of them is used.
    _connection: Rc<types::TcpConnection>,
}

impl Receiver {
    pub(super) fn open(connection: Rc<types::TcpConnection>) -> Result<Self, Error> {
        let (stream, end) = connection.receive()?;
        Ok(Self {
            stream,
            end: Some(end),
            _connection: connection,
        })
    }

    /// Waits for data and returns `buffer` with what is there: its old contents gone, at most its capacity.
    /// Empty: the far end has finished.
    pub async fn read(&mut self, mut buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        buffer.clear();
        if buffer.capacity() == 0 {
            return Err(Error::invalid("the buffer has no capacity"));
        }
        loop {
            let result;
            (result, buffer) = self.stream.read(buffer).await;
            match result {
                StreamResult::Complete(0) => {}
                StreamResult::Complete(_) => return Ok(buffer),
                StreamResult::Dropped | StreamResult::Cancelled => break,
            }
        }
        match self.end.take() {
            Some(end) => end.await.map(|()| buffer).map_err(Into::into),
            None => Ok(buffer),
        }
    }
}

/// The outgoing direction of a connection. Dropping it finishes sending.
#[derive(Debug)]
pub struct Sender {
    stream: Outgoing,
    end: End,
    _connection: Rc<types::TcpConnection>,
}

impl Sender {
    pub(super) fn open(connection: Rc<types::TcpConnection>) -> Result<Self, Error> {
        let (stream, reader) = wit_stream::new();
        let end = connection.send(reader)?;
        Ok(Self {
            stream,
            end,
            _connection: connection,
        })
    }

    /// Writes everything, waiting while the host's buffer is full, and gives the buffer back, cleared, to be
    /// filled again. [`ErrorCode::Closed`] if the connection takes no more: [`Sender::finish`] tells why.
    pub async fn write_all(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut rest = self.stream.write_all(bytes).await;
        if rest.is_empty() {
            rest.clear();
            return Ok(rest);
        }
        Err(Error::new(
            ErrorCode::Closed,
            "closed",
            format!("{} bytes could not be sent", rest.len()),
        ))
    }

    /// Finishes sending and waits until everything is handed to the network, or why it cannot be.
    pub async fn finish(self) -> Result<(), Error> {
        drop(self.stream);
        Ok(self.end.await?)
    }
}
