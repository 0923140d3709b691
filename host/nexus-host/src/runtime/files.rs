//! The functions of `wasi:filesystem` that are ours, not wasmtime-wasi's, 0.2 and 0.3.
//!
//! wasmtime-wasi serves file functions inline (`allow_blocking_current_thread`), but hands the
//! streams of 0.2 to a thread pool; nothing on a guest's path goes there (DESIGN section 5), so
//! these read and write where they are called. And it opens whatever is there, and as much of it
//! as is asked for: see `open.rs`, `held.rs` and `listing.rs`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;
use wasmtime_wasi_io::IoView;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, StreamError, StreamResult,
};

use super::listing;
use super::open::{self, Ask, Time};
use super::state::AppState;

/// The names under which wasmtime-wasi links the interface; the versions must be its own.
const INTERFACE_P2: &str = "wasi:filesystem/types@0.2.12";
const INTERFACE_P3: &str = "wasi:filesystem/types@0.3.0";

const OPEN_AT: &str = "[method]descriptor.open-at";
const SET_TIMES_AT: &str = "[method]descriptor.set-times-at";

/// The most one call reads or is permitted to write. Stops `read(4 GiB)` from allocating it.
const CHUNK_BYTES: usize = 64 << 10;

/// Replaces what opens streams, files and listings in 0.2.
pub(super) fn link_p2(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(INTERFACE_P2)?;
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
    interface.func_wrap(
        OPEN_AT,
        |mut store: StoreContextMut<'_, AppState>,
         (dir, path_flags, path, open_flags, flags): (
            Resource<Descriptor>,
            p2::PathFlags,
            String,
            p2::OpenFlags,
            p2::DescriptorFlags,
        )| {
            let ask = Ask {
                follow: path_flags.contains(p2::PathFlags::SYMLINK_FOLLOW),
                create: open_flags.contains(p2::OpenFlags::CREATE),
                directory: open_flags.contains(p2::OpenFlags::DIRECTORY),
                exclusive: open_flags.contains(p2::OpenFlags::EXCLUSIVE),
                truncate: open_flags.contains(p2::OpenFlags::TRUNCATE),
                read: flags.contains(p2::DescriptorFlags::READ),
                write: flags.contains(p2::DescriptorFlags::WRITE),
                synchronized: flags.intersects(
                    p2::DescriptorFlags::FILE_INTEGRITY_SYNC
                        | p2::DescriptorFlags::DATA_INTEGRITY_SYNC
                        | p2::DescriptorFlags::REQUESTED_WRITE_SYNC,
                ),
            };
            let opened = open_at(store.data_mut(), &dir, &path, ask)?;
            Ok((opened.map_err(ErrorCode::from),))
        },
    )?;
    interface.func_wrap(
        SET_TIMES_AT,
        |mut store: StoreContextMut<'_, AppState>,
         (dir, path_flags, path, access, modification): (
            Resource<Descriptor>,
            p2::PathFlags,
            String,
            p2::NewTimestamp,
            p2::NewTimestamp,
        )| {
            let follow = path_flags.contains(p2::PathFlags::SYMLINK_FOLLOW);
            let times = (time_p2(access), time_p2(modification));
            let set = set_times_at(store.data_mut().table(), &dir, &path, follow, times)?;
            Ok((set.map_err(ErrorCode::from),))
        },
    )?;
    listing::link_p2(&mut interface)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces what opens files and listings in 0.3.
pub(super) fn link_p3(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(INTERFACE_P3)?;
    interface.func_wrap_concurrent(
        OPEN_AT,
        |store: &Accessor<AppState>,
         (dir, path_flags, path, open_flags, flags): (
            Resource<Descriptor>,
            p3::PathFlags,
            String,
            p3::OpenFlags,
            p3::DescriptorFlags,
        )| {
            let ask = Ask {
                follow: path_flags.contains(p3::PathFlags::SYMLINK_FOLLOW),
                create: open_flags.contains(p3::OpenFlags::CREATE),
                directory: open_flags.contains(p3::OpenFlags::DIRECTORY),
                exclusive: open_flags.contains(p3::OpenFlags::EXCLUSIVE),
                truncate: open_flags.contains(p3::OpenFlags::TRUNCATE),
                read: flags.contains(p3::DescriptorFlags::READ),
                write: flags.contains(p3::DescriptorFlags::WRITE),
                synchronized: flags.intersects(
                    p3::DescriptorFlags::FILE_INTEGRITY_SYNC
                        | p3::DescriptorFlags::DATA_INTEGRITY_SYNC
                        | p3::DescriptorFlags::REQUESTED_WRITE_SYNC,
                ),
            };
            Box::pin(async move {
                let opened = store.with(|mut store| open_at(store.get(), &dir, &path, ask))?;
                Ok((opened.map_err(p3::ErrorCode::from),))
            })
        },
    )?;
    interface.func_wrap_concurrent(
        SET_TIMES_AT,
        |store: &Accessor<AppState>,
         (dir, path_flags, path, access, modification): (
            Resource<Descriptor>,
            p3::PathFlags,
            String,
            p3::NewTimestamp,
            p3::NewTimestamp,
        )| {
            let follow = path_flags.contains(p3::PathFlags::SYMLINK_FOLLOW);
            let times = (time_p3(access), time_p3(modification));
            Box::pin(async move {
                let set = store.with(|mut store| {
                    set_times_at(store.get().table(), &dir, &path, follow, times)
                })?;
                Ok((set.map_err(p3::ErrorCode::from),))
            })
        },
    )?;
    listing::link_p3(&mut interface)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The folder behind a handle; `Err` inside is the app's to know.
fn folder(table: &ResourceTable, dir: &Resource<Descriptor>) -> wasmtime::Result<io::Result<Dir>> {
    Ok(match table.get(dir)? {
        Descriptor::Dir(dir) => Ok(dir.clone()),
        Descriptor::File(_) => Err(rustix::io::Errno::NOTDIR.into()),
    })
}

fn open_at(
    state: &mut AppState,
    dir: &Resource<Descriptor>,
    path: &str,
    ask: Ask,
) -> wasmtime::Result<io::Result<Resource<Descriptor>>> {
    let (table, held) = state.files();
    let opened = folder(table, dir)?.and_then(|dir| {
        held.room(&*dir.dir)?;
        open::open(&dir, path, ask)
    });
    match opened {
        Ok(opened) => {
            match &opened {
                Descriptor::File(file) => held.hold(&file.file),
                Descriptor::Dir(dir) => held.hold(&dir.dir),
            }
            Ok(Ok(table.push(opened)?))
        }
        Err(error) => Ok(Err(error)),
    }
}

fn set_times_at(
    table: &ResourceTable,
    dir: &Resource<Descriptor>,
    path: &str,
    follow: bool,
    (access, modification): (Time, Time),
) -> wasmtime::Result<io::Result<()>> {
    Ok(folder(table, dir)?
        .and_then(|dir| open::set_times(&dir, path, follow, access, modification)))
}

fn time_p2(time: p2::NewTimestamp) -> Time {
    match time {
        p2::NewTimestamp::NoChange => Time::Keep,
        p2::NewTimestamp::Now => Time::Now,
        p2::NewTimestamp::Timestamp(at) => Time::At {
            // Past what the kernel can be told; it cuts a time to what the file system keeps.
            seconds: i64::try_from(at.seconds).unwrap_or(i64::MAX),
            nanoseconds: at.nanoseconds,
        },
    }
}

fn time_p3(time: p3::NewTimestamp) -> Time {
    match time {
        p3::NewTimestamp::NoChange => Time::Keep,
        p3::NewTimestamp::Now => Time::Now,
        p3::NewTimestamp::Timestamp(at) => Time::At {
            seconds: at.seconds,
            nanoseconds: at.nanoseconds,
        },
    }
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
