//! The filter between the stream and hyper: it reads every byte of a response before hyper does, and refuses
//! what hyper would take. It keeps no bytes back and stores none.
//!
//! What hyper takes and this does not: bare LF as a line's end, an empty line before the status line, interim
//! responses without end, 101, bytes before the request was sent or after a response without a body, framing
//! without body for ever (`000…`, extensions). What both bound, this names: size and number of header fields.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use nexus_types::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::{BodyFault, Error, HeadFault, SendFault};
use super::head::Head;
use super::network::Refusal;
use super::tls;

/// Bytes taken from the stream at once; a TLS record holds as many.
const READ_BYTES: usize = 16 << 10;

/// What hyper reads and writes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where an exchange of request and response stands, seen from the stream.
#[derive(Default)]
enum Stage {
    /// Nobody asked for anything.
    #[default]
    Idle,
    /// A request is about to be written.
    Asked,
    /// The response's head, or an interim one's.
    Head(Head),
    /// What follows the head.
    Body,
}

/// What the filter, the request's body and the reader of the response's body tell one another.
#[derive(Default)]
struct State {
    stage: Stage,
    /// HEAD: whatever the head says, no body follows.
    bodyless: bool,
    /// The first fault. What hyper makes of it afterwards says less.
    fault: Option<Error>,
    progress: Exchanged,
    /// Bytes of body that somebody has read, codings on.
    content: u64,
    /// Bytes after the head.
    after_head: u64,
}

/// How far an exchange is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Exchanged {
    /// Bytes the stream took.
    pub(super) written: u64,
    /// Bytes the stream gave.
    pub(super) read: u64,
    /// Whether some of the request's body is still to come.
    pub(super) sending: bool,
    /// Whether the stream takes no more for now.
    pub(super) blocked: bool,
}

/// One connection's state, shared by the filter and what stands behind hyper.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<State>>);

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the state is still bytes counted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is about to be given to hyper. `bodyless`: its response has no body (HEAD).
    pub(super) fn ask(&self, bodyless: bool, sending: bool) {
        let mut state = self.state();
        let fault = state.fault.take();
        *state = State {
            stage: Stage::Asked,
            bodyless,
            fault,
            progress: Exchanged {
                sending,
                ..Exchanged::default()
            },
            ..State::default()
        };
    }

    /// The response was read to its end.
    pub(super) fn rest(&self) {
        self.state().stage = Stage::Idle;
    }

    /// The request's body has been handed over whole.
    pub(super) fn sent(&self) {
        self.state().progress.sending = false;
    }

    /// Somebody read this much of the body.
    pub(super) fn consumed(&self, bytes: u64) {
        self.state().content += bytes;
    }

    /// Keeps the first fault.
    pub(super) fn fail(&self, fault: impl Into<Error>) {
        self.state().fault.get_or_insert_with(|| fault.into());
    }

    /// What went wrong first.
    pub(super) fn fault(&self) -> Option<Error> {
        self.state().fault.clone()
    }

    /// What the app did wrong with the request's body. Whatever comes back answers half a request; other faults,
    /// once hyper has the whole of a response, came after it.
    pub(super) fn unsound_request(&self) -> Option<Error> {
        self.fault().filter(|fault| {
            matches!(
                fault,
                Error::Send(
                    SendFault::BodyTooLarge
                        | SendFault::BodyLength
                        | SendFault::BodyFailed
                        | SendFault::Trailers
                )
            )
        })
    }

    pub(super) fn exchanged(&self) -> Exchanged {
        self.state().progress
    }

    /// What hyper's error means at this stage, if the filter saw no fault.
    pub(super) fn ended_by(&self, error: &hyper::Error) -> Error {
        let state = self.state();
        if let Some(fault) = &state.fault {
            return fault.clone();
        }
        // Only heads are parsed, and hyper may find a fault in one the filter has let pass.
        if error.is_parse_too_large() {
            return HeadFault::TooLarge.into();
        }
        if error.is_parse() {
            return HeadFault::Syntax.into();
        }
        match state.stage {
            // hyper's findings in chunks and trailers are of these two kinds.
            Stage::Body if hyper_found(error) => BodyFault::Syntax.into(),
            Stage::Idle | Stage::Asked => SendFault::Closed.into(),
            Stage::Head(_) if state.progress.sending && state.progress.read == 0 => {
                SendFault::Closed.into()
            }
            Stage::Head(_) => HeadFault::Closed.into(),
            Stage::Body => BodyFault::Truncated.into(),
        }
    }
}

/// Whether hyper's error comes from what it read, and not from how.
fn hyper_found(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
            )
        })
}

impl State {
    /// Takes what came in.
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.progress.read += bytes.len() as u64;
        if let Stage::Head(head) = &mut self.stage {
            let Some((status, length)) = head.scan(bytes)? else {
                return Ok(());
            };
            self.bodyless |= matches!(status, 204 | 304);
            self.stage = Stage::Body;
            bytes = &bytes[length..];
        }
        match self.stage {
            Stage::Idle | Stage::Asked => {
                if bytes.is_empty() {
                    return Ok(());
                }
                return Err(HeadFault::Early.into());
            }
            Stage::Head(_) | Stage::Body => {}
        }
        if self.bodyless && !bytes.is_empty() {
            return Err(BodyFault::Unexpected.into());
        }
        self.after_head += bytes.len() as u64;
        // What hyper has read ahead is no framing yet: its buffer, and a chunk cut from one before.
        let ahead = 2 * limits::HTTP_BUFFER_BYTES as u64;
        let most = limits::HTTP_FRAMING_BYTES + ahead + 17 * self.content;
        if self.after_head > most {
            return Err(BodyFault::Framing.into());
        }
        Ok(())
    }

    /// What an error of the stream means at this stage.
    fn broken(&self, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Refusal::revoked().into();
        }
        if let Some(fault) = tls::fault(error) {
            return fault.into();
        }
        let cut = error.kind() != io::ErrorKind::UnexpectedEof;
        match self.stage {
            Stage::Idle | Stage::Asked if cut => SendFault::Reset.into(),
            Stage::Idle | Stage::Asked => SendFault::Closed.into(),
            Stage::Head(_) if cut => HeadFault::Reset.into(),
            Stage::Head(_) => HeadFault::Closed.into(),
            Stage::Body if cut => BodyFault::Reset.into(),
            Stage::Body => BodyFault::Truncated.into(),
        }
    }
}

/// The stream as hyper gets it.
pub(super) struct Guard {
    stream: Box<dyn Stream>,
    wire: Wire,
    buffer: Box<[u8]>,
}

impl Guard {
    pub(super) fn new(stream: Box<dyn Stream>, wire: Wire) -> Self {
        Self {
            stream,
            wire,
            buffer: vec![0; READ_BYTES].into(),
        }
    }

    /// Says goodbye as far as that goes without waiting; the stream is closed when it is dropped.
    pub(super) fn close(mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut state = self.wire.state();
        state.progress.blocked = result.is_pending();
        match &result {
            Poll::Ready(Ok(bytes)) if *bytes > 0 => {
                state.progress.written += *bytes as u64;
                if matches!(state.stage, Stage::Asked) {
                    state.stage = Stage::Head(Head::default());
                }
            }
            Poll::Ready(Err(error)) => {
                let fault = match state.stage {
                    // A server may answer and close before it has read all; its answer may still come.
                    Stage::Head(_) if error.kind() != io::ErrorKind::PermissionDenied => {
                        tls::fault(error).map_or(SendFault::Reset.into(), Error::Tls)
                    }
                    _ => state.broken(error),
                };
                state.fault.get_or_insert(fault);
            }
            _ => {}
        }
        result
    }
}

/// What hyper is told; the fault itself is kept on the wire.
fn refused() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

impl hyper::rt::Read for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let most = cursor.remaining().min(this.buffer.len());
        let mut buffer = ReadBuf::new(&mut this.buffer[..most]);
        let result = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
        let mut state = this.wire.state();
        if let Err(error) = result {
            let fault = state.broken(&error);
            state.fault.get_or_insert(fault);
            return Poll::Ready(Err(error));
        }
        if let Err(fault) = state.read(buffer.filled()) {
            state.fault.get_or_insert(fault);
            return Poll::Ready(Err(refused()));
        }
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Guard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.wire.state().progress.blocked = result.is_pending();
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(result)
    }
}
