//! The streams of files, 0.2 and 0.3.
//!
//! They read and write where they are called, a bounded amount, and look before each time whether
//! the file was revoked: wasmtime-wasi's keep the file and ask nobody.

use std::fs::File;
use std::io;
use std::iter;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::channel::oneshot;
use nexus_policy::wasi::DirectoryMode;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureReader, LinkerInstance, Resource, Source, StreamConsumer, StreamProducer,
    StreamReader, StreamResult,
};
use wasmtime_wasi::filesystem::{Descriptor, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, StreamError,
    StreamResult as Streamed,
};

use super::revoked::{Watch, What, is_revoked};
use super::state::AppState;

const READ: &str = "[method]descriptor.read-via-stream";
const WRITE: &str = "[method]descriptor.write-via-stream";
const APPEND: &str = "[method]descriptor.append-via-stream";

/// The most one call reads or is permitted to write. Stops `read(4 GiB)` from allocating it, and from
/// holding the shard for as long as that takes.
const CHUNK_BYTES: usize = 64 << 10;

/// Why there is no stream, in the words that both versions have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    NotPermitted,
    BadDescriptor,
    IsDirectory,
}

impl From<Refused> for p2::ErrorCode {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotPermitted => Self::NotPermitted,
            Refused::BadDescriptor => Self::BadDescriptor,
            Refused::IsDirectory => Self::IsDirectory,
        }
    }
}

impl From<Refused> for p3::ErrorCode {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotPermitted => Self::NotPermitted,
            Refused::BadDescriptor => Self::BadDescriptor,
            Refused::IsDirectory => Self::IsDirectory,
        }
    }
}

/// `Err` inside is the app's to know.
fn reading(
    state: &mut AppState,
    file: &Resource<Descriptor>,
    offset: u64,
) -> wasmtime::Result<Result<Reading, Refused>> {
    let watch = state.watch(What::File, DirectoryMode::Ro);
    let (table, _) = state.files();
    Ok(match table.get(file)? {
        Descriptor::File(file) if file.open_mode.contains(OpenMode::READ) => Ok(Reading {
            file: Arc::clone(&file.file),
            offset,
            watch,
        }),
        Descriptor::File(file) if is_revoked(file.open_mode) => Err(Refused::NotPermitted),
        Descriptor::File(_) => Err(Refused::BadDescriptor),
        Descriptor::Dir(_) => Err(Refused::IsDirectory),
    })
}

/// As `reading`; without an offset at the end of the file.
fn writing(
    state: &mut AppState,
    file: &Resource<Descriptor>,
    offset: Option<u64>,
) -> wasmtime::Result<Result<Writing, Refused>> {
    let watch = state.watch(What::File, DirectoryMode::Rw);
    let (table, _) = state.files();
    Ok(match table.get(file)? {
        Descriptor::File(file) if file.perms.write_not_permitted() => Err(Refused::NotPermitted),
        Descriptor::File(file) if file.open_mode.contains(OpenMode::WRITE) => Ok(Writing {
            file: Arc::clone(&file.file),
            offset,
            watch,
        }),
        _ => Err(Refused::BadDescriptor),
    })
}

fn retry<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// A file that is being read, and where.
struct Reading {
    file: Arc<File>,
    offset: u64,
    watch: Watch,
}

impl Reading {
    /// None: the file is at its end.
    fn read(&mut self, to: &mut [u8]) -> io::Result<Option<usize>> {
        self.watch.look(&*self.file)?;
        let read = retry(|| self.file.read_at(to, self.offset))?;
        self.offset += read as u64;
        Ok((read > 0).then_some(read))
    }
}

/// A file that is being written, and where.
struct Writing {
    file: Arc<File>,
    /// None: at the end of the file, wherever that is by then.
    offset: Option<u64>,
    watch: Watch,
}

impl Writing {
    /// As much as the kernel takes at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watch.look(&*self.file)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = match self.offset {
            Some(offset) => retry(|| self.file.write_at(bytes, offset))?,
            None => retry(|| {
                // One call that seeks to the end and writes, so that two appenders do not
                // overwrite each other (Linux pwritev2(2), RWF_APPEND).
                rustix::io::pwritev2(
                    &*self.file,
                    &[io::IoSlice::new(bytes)],
                    u64::MAX,
                    rustix::io::ReadWriteFlags::APPEND,
                )
                .map_err(io::Error::from)
            })?,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if let Some(offset) = &mut self.offset {
            *offset += written as u64;
        }
        Ok(written)
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }
}

/// Replaces what opens streams in 0.2.
pub(super) fn link_p2(interface: &mut LinkerInstance<'_, AppState>) -> wasmtime::Result<()> {
    interface.func_wrap(
        READ,
        |mut store: StoreContextMut<'_, AppState>, (file, offset): (Resource<Descriptor>, u64)| {
            let reading = match reading(store.data_mut(), &file, offset)? {
                Ok(reading) => reading,
                Err(refused) => return Ok((Err(p2::ErrorCode::from(refused)),)),
            };
            let stream: DynInputStream = Box::new(Reader {
                reading,
                ended: false,
            });
            Ok((Ok(store.data_mut().files().0.push(stream)?),))
        },
    )?;
    interface.func_wrap(
        WRITE,
        |store: StoreContextMut<'_, AppState>, (file, offset): (Resource<Descriptor>, u64)| {
            open_writer(store, &file, Some(offset))
        },
    )?;
    interface.func_wrap(
        APPEND,
        |store: StoreContextMut<'_, AppState>, (file,): (Resource<Descriptor>,)| {
            open_writer(store, &file, None)
        },
    )
}

type Opened = (Result<Resource<DynOutputStream>, p2::ErrorCode>,);

fn open_writer(
    mut store: StoreContextMut<'_, AppState>,
    file: &Resource<Descriptor>,
    offset: Option<u64>,
) -> wasmtime::Result<Opened> {
    let writing = match writing(store.data_mut(), file, offset)? {
        Ok(writing) => writing,
        Err(refused) => return Ok((Err(refused.into()),)),
    };
    let stream: DynOutputStream = Box::new(Writer {
        writing,
        failed: None,
        ended: false,
    });
    Ok((Ok(store.data_mut().files().0.push(stream)?),))
}

struct Reader {
    reading: Reading,
    ended: bool,
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> Streamed<Bytes> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = BytesMut::zeroed(size.min(CHUNK_BYTES));
        match self.reading.read(&mut bytes) {
            Ok(None) => {
                self.ended = true;
                Err(StreamError::Closed)
            }
            Ok(Some(read)) => {
                bytes.truncate(read);
                Ok(bytes.freeze())
            }
            Err(error) => {
                self.ended = true;
                Err(StreamError::LastOperationFailed(error.into()))
            }
        }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

struct Writer {
    writing: Writing,
    failed: Option<io::Error>,
    ended: bool,
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> Streamed<()> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        // As the interface has it, the next check-write tells of the failure.
        if let Err(error) = self.writing.write_all(&bytes) {
            self.failed = Some(error);
        }
        Ok(())
    }

    fn flush(&mut self) -> Streamed<()> {
        self.check_write().map(|_| ())
    }

    fn check_write(&mut self) -> Streamed<usize> {
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Err(StreamError::LastOperationFailed(error.into()));
        }
        if self.ended {
            return Err(StreamError::Closed);
        }
        Ok(CHUNK_BYTES)
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

/// Replaces what opens streams in 0.3.
pub(super) fn link_p3(interface: &mut LinkerInstance<'_, AppState>) -> wasmtime::Result<()> {
    interface.func_wrap(
        READ,
        |mut store: StoreContextMut<'_, AppState>, (file, offset): (Resource<Descriptor>, u64)| {
            let (done, outcome) = Done::new();
            let stream = match reading(store.data_mut(), &file, offset)? {
                Ok(reading) => StreamReader::new(&mut store, Producer { reading, done })?,
                Err(refused) => {
                    done.end(Err(refused.into()));
                    StreamReader::new(&mut store, iter::empty::<u8>())?
                }
            };
            Ok(((stream, FutureReader::new(&mut store, outcome)?),))
        },
    )?;
    interface.func_wrap(
        WRITE,
        |store: StoreContextMut<'_, AppState>,
         (file, data, offset): (Resource<Descriptor>, StreamReader<u8>, u64)| {
            consume(store, &file, data, Some(offset))
        },
    )?;
    interface.func_wrap(
        APPEND,
        |store: StoreContextMut<'_, AppState>,
         (file, data): (Resource<Descriptor>, StreamReader<u8>)| {
            consume(store, &file, data, None)
        },
    )
}

type Ended = Result<(), p3::ErrorCode>;

fn consume(
    mut store: StoreContextMut<'_, AppState>,
    file: &Resource<Descriptor>,
    mut data: StreamReader<u8>,
    offset: Option<u64>,
) -> wasmtime::Result<(FutureReader<Ended>,)> {
    let (done, outcome) = Done::new();
    match writing(store.data_mut(), file, offset)? {
        Ok(writing) => data.pipe(&mut store, Consumer { writing, done })?,
        Err(refused) => {
            data.close(&mut store)?;
            done.end(Err(refused.into()));
        }
    }
    Ok((FutureReader::new(&mut store, outcome)?,))
}

/// How a stream of 0.3 ended is told beside it, once; dropped untold, well.
struct Done(Option<oneshot::Sender<Ended>>);

impl Done {
    fn new() -> (Self, oneshot::Receiver<Ended>) {
        let (done, outcome) = oneshot::channel();
        (Self(Some(done)), outcome)
    }

    fn end(mut self, outcome: Ended) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Ended) {
        if let Some(done) = self.0.take() {
            // The app may not care.
            let _ = done.send(outcome);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.tell(Ok(()));
    }
}

struct Producer {
    reading: Reading,
    done: Done,
}

impl<D> StreamProducer<D> for Producer {
    type Item = u8;
    type Buffer = BytesMut;

    /// Never waits, so there is nothing to cancel.
    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        to: Destination<'a, Self::Item, Self::Buffer>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut to = to.as_direct(store, CHUNK_BYTES);
        let room = to.remaining();
        if room.is_empty() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let most = room.len().min(CHUNK_BYTES);
        let outcome = match self.reading.read(&mut room[..most]) {
            Ok(Some(read)) => {
                to.mark_written(read);
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        self.done.tell(outcome);
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

struct Consumer {
    writing: Writing,
    done: Done,
}

impl<D> StreamConsumer<D> for Consumer {
    type Item = u8;

    /// Never waits, so there is nothing to cancel.
    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        from: Source<'_, Self::Item>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut from = from.as_direct(store);
        let bytes = from.remaining();
        let most = bytes.len().min(CHUNK_BYTES);
        match self.writing.write(&bytes[..most]) {
            Ok(written) => {
                from.mark_read(written);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Err(error) => {
                self.done.tell(Err(error.into()));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
