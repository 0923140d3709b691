//! The functions of `wasi:filesystem` that are ours, not wasmtime-wasi's, 0.2 and 0.3.
//!
//! wasmtime-wasi serves file functions inline (`allow_blocking_current_thread`), but hands the
//! streams of 0.2 to a thread pool; nothing on a guest's path goes there (DESIGN section 5), so
//! these read and write where they are called (`streams.rs`). And it opens whatever is there, and as
//! much of it as is asked for: see `open.rs`, `held.rs` and `listing.rs`. What it has opened, and the
//! folders it gives, nobody can take back: see `revoked.rs`.

use std::io;

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;

use super::open::{self, Ask, Time};
use super::revoked::{REVOKED, is_revoked};
use super::state::AppState;
use super::{listing, streams};

/// The names under which wasmtime-wasi links the interface; the versions must be its own.
const INTERFACE_P2: &str = "wasi:filesystem/types@0.2.12";
const INTERFACE_P3: &str = "wasi:filesystem/types@0.3.0";
const PREOPENS_P2: &str = "wasi:filesystem/preopens@0.2.12";
const PREOPENS_P3: &str = "wasi:filesystem/preopens@0.3.0";

const OPEN_AT: &str = "[method]descriptor.open-at";
const SET_TIMES_AT: &str = "[method]descriptor.set-times-at";

/// Links what gives an app its folders, 0.2.
pub(super) fn link_preopens_p2(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    link_preopens(linker, PREOPENS_P2)
}

/// Links what gives an app its folders, 0.3.
pub(super) fn link_preopens_p3(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    link_preopens(linker, PREOPENS_P3)
}

fn link_preopens(linker: &mut Linker<AppState>, interface: &str) -> wasmtime::Result<()> {
    linker.instance(interface)?.func_wrap(
        "get-directories",
        |mut store: StoreContextMut<'_, AppState>, (): ()| Ok((store.data_mut().directories()?,)),
    )
}

/// Replaces what opens streams, files and listings in 0.2.
pub(super) fn link_p2(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(INTERFACE_P2)?;
    streams::link_p2(&mut interface)?;
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
            let set = set_times_at(store.data_mut().files().0, &dir, &path, follow, times)?;
            Ok((set.map_err(ErrorCode::from),))
        },
    )?;
    listing::link_p2(&mut interface)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces what opens streams, files and listings in 0.3.
pub(super) fn link_p3(linker: &mut Linker<AppState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(INTERFACE_P3)?;
    streams::link_p3(&mut interface)?;
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
                    set_times_at(store.get().files().0, &dir, &path, follow, times)
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
        Descriptor::Dir(dir) if is_revoked(dir.open_mode) => Err(REVOKED.into()),
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
