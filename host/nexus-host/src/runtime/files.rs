//! File streams of `wasi:filesystem` 0.2 that read and write where they are called.
//!
//! wasmtime-wasi serves every other file function inline (`allow_blocking_current_thread`), but
//! hands these streams to a thread pool; nothing on a guest's path goes there (DESIGN section 5).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi_io::IoView;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, StreamError, StreamResult,
};

use super::state::AppState;

/// The name under which wasmtime-wasi links the interface; the version must be its own.
const INTERFACE: &str = "wasi:filesystem/types@0.2.12";

/// The most one call reads or is permitted to write. Stops `read(4 GiB)` from allocating it.
const CHUNK_BYTES: usize = 64 << 10;

/// Replaces the three functions that open streams.
pub(super) fn link(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut store: StoreContextMut<'_, AppState>, (file, offset): (Resource<Descriptor>, u64)| {
            let table = store.data_mut().table();
            let file = match table.get(&file)? {
                Descriptor::File(file) if file.open_mode.contains(OpenMode::READ) => {
                    Arc::clone(&file.file)
                }
                Descriptor::File(_) => return Ok((Err(ErrorCode::BadDescriptor),)),
                Descriptor::Dir(_) => return Ok((Err(ErrorCode::IsDirectory),)),
            };
            let stream: DynInputStream = Box::new(Reader {
                file,
                offset,
                ended: false,
            });
            Ok((Ok::<Resource<DynInputStream>, ErrorCode>(
                table.push(stream)?,
            ),))
        },
    )?;
    interface.func_wrap(
        "[method]descriptor.write-via-stream",
        |store: StoreContextMut<'_, AppState>, (file, offset): (Resource<Descriptor>, u64)| {
            open_writer(store, &file, Some(offset))
        },
    )?;
    interface.func_wrap(
        "[method]descriptor.append-via-stream",
        |store: StoreContextMut<'_, AppState>, (file,): (Resource<Descriptor>,)| {
            open_writer(store, &file, None)
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

type Opened = (Result<Resource<DynOutputStream>, ErrorCode>,);

fn open_writer(
    mut store: StoreContextMut<'_, AppState>,
    file: &Resource<Descriptor>,
    offset: Option<u64>,
) -> wasmtime::Result<Opened> {
    let table = store.data_mut().table();
    let file = match table.get(file)? {
        Descriptor::File(file) if file.perms.write_not_permitted() => {
            return Ok((Err(ErrorCode::NotPermitted),));
        }
        Descriptor::File(file) if file.open_mode.contains(OpenMode::WRITE) => {
            Arc::clone(&file.file)
        }
        _ => return Ok((Err(ErrorCode::BadDescriptor),)),
    };
    let stream: DynOutputStream = Box::new(Writer {
        file,
        offset,
        failed: None,
        ended: false,
    });
    Ok((Ok(table.push(stream)?),))
}

fn retry<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

struct Reader {
    file: Arc<File>,
    offset: u64,
    ended: bool,
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = BytesMut::zeroed(size.min(CHUNK_BYTES));
        match retry(|| self.file.read_at(&mut bytes, self.offset)) {
            Ok(0) => {
                self.ended = true;
                Err(StreamError::Closed)
            }
            Ok(read) => {
                bytes.truncate(read);
                self.offset += read as u64;
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
    file: Arc<File>,
    /// None: at the end of the file, wherever that is by then.
    offset: Option<u64>,
    failed: Option<io::Error>,
    ended: bool,
}

impl Writer {
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
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
            bytes = &bytes[written..];
            if let Some(offset) = &mut self.offset {
                *offset += written as u64;
            }
        }
        Ok(())
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        // As the interface has it, the next check-write tells of the failure.
        if let Err(error) = self.write_all(&bytes) {
            self.failed = Some(error);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
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
