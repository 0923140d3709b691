//! `read-directory` of 0.2 and 0.3: a folder's entries, read from the kernel as the app asks.
//!
//! wasmtime-wasi's collects the whole folder in the host when a stream of 0.2 is opened, and as
//! much of it as a stream of 0.3 is asked for: host memory outside every limit, and the shard's
//! thread for as long as it takes. Here a listing holds one descriptor, which counts, and one
//! buffer of getdents64(2), which rustix grows to 48 KiB at most.

use std::fs::File;
use std::io;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use nexus_policy::wasi::DirectoryMode;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureReader, LinkerInstance, Resource, ResourceType, StreamProducer,
    StreamReader, StreamResult, VecBuffer,
};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;
use wasmtime_wasi_io::IoView;

use super::held::{OpenFiles, exhausted};
use super::revoked::{REVOKED, Watch, What, is_revoked};
use super::state::AppState;

const READ_DIRECTORY: &str = "[method]descriptor.read-directory";

/// The most entries one read of a stream is answered with. Stops a read of a million from holding
/// the shard, and from copying a folder into the host.
const ENTRIES_PER_READ: usize = 64;

/// Where an app is in a folder.
pub(super) struct Listing {
    entries: Dir,
    ended: bool,
    watch: Watch,
    _held: Arc<()>,
}

/// What stands in a folder.
#[derive(Debug)]
pub(super) struct Entry {
    name: String,
    kind: FileType,
}

impl Listing {
    fn new(folder: &File, held: &mut OpenFiles, watch: Watch) -> io::Result<Self> {
        held.room(folder)?;
        // Not a duplicate: that would share its place in the folder with the handle.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(folder, ".", flags, Mode::empty()).map_err(exhausted)?;
        let counted = Arc::new(());
        held.hold(&counted);
        Ok(Self {
            entries: Dir::new(opened)?,
            ended: false,
            watch,
            _held: counted,
        })
    }
}

/// After an entry that cannot be told (a name that is not UTF-8) come the others.
impl Iterator for Listing {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.ended
            && let Err(error) = self.look()
        {
            self.ended = true;
            return Some(Err(error));
        }
        while !self.ended {
            let entry = match self.entries.read() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) => return Some(Err(error.into())),
                None => {
                    // What is made from now on would come otherwise.
                    self.ended = true;
                    break;
                }
            };
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            let Ok(name) = str::from_utf8(bytes) else {
                return Some(Err(Errno::ILSEQ.into()));
            };
            return Some(self.kind(&entry).map(|kind| Entry {
                name: name.into(),
                kind,
            }));
        }
        None
    }
}

impl Listing {
    fn look(&mut self) -> io::Result<()> {
        Ok(self.watch.look(self.entries.fd()?)?)
    }

    /// Not every file system says it with the name: readdir(3).
    fn kind(&self, entry: &rustix::fs::DirEntry) -> io::Result<FileType> {
        match entry.file_type() {
            FileType::Unknown => {
                let folder = self.entries.fd()?;
                let stat = statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(FileType::from_raw_mode(stat.st_mode))
            }
            told => Ok(told),
        }
    }
}

/// As wasmtime-wasi tells types: of a FIFO and a socket, none.
impl From<Entry> for p2::DirectoryEntry {
    fn from(entry: Entry) -> Self {
        Self {
            type_: match entry.kind {
                FileType::RegularFile => p2::DescriptorType::RegularFile,
                FileType::Directory => p2::DescriptorType::Directory,
                FileType::Symlink => p2::DescriptorType::SymbolicLink,
                FileType::BlockDevice => p2::DescriptorType::BlockDevice,
                FileType::CharacterDevice => p2::DescriptorType::CharacterDevice,
                _ => p2::DescriptorType::Unknown,
            },
            name: entry.name,
        }
    }
}

impl From<Entry> for p3::DirectoryEntry {
    fn from(entry: Entry) -> Self {
        Self {
            type_: match entry.kind {
                FileType::RegularFile => p3::DescriptorType::RegularFile,
                FileType::Directory => p3::DescriptorType::Directory,
                FileType::Symlink => p3::DescriptorType::SymbolicLink,
                FileType::BlockDevice => p3::DescriptorType::BlockDevice,
                FileType::CharacterDevice => p3::DescriptorType::CharacterDevice,
                _ => p3::DescriptorType::Other(None),
            },
            name: entry.name,
        }
    }
}

/// `Err` inside is the app's to know.
fn list(
    state: &mut AppState,
    folder: &Resource<Descriptor>,
) -> wasmtime::Result<io::Result<Listing>> {
    let watch = state.watch(What::Folder, DirectoryMode::Ro);
    let (table, held) = state.files();
    Ok(match table.get(folder)? {
        Descriptor::Dir(folder) if is_revoked(folder.open_mode) => Err(REVOKED.into()),
        Descriptor::Dir(folder) => Listing::new(&folder.dir, held, watch),
        Descriptor::File(_) => Err(Errno::NOTDIR.into()),
    })
}

/// Replaces the resource of 0.2, and what makes and reads one.
pub(super) fn link_p2(interface: &mut LinkerInstance<'_, AppState>) -> wasmtime::Result<()> {
    interface.resource(
        "directory-entry-stream",
        ResourceType::host::<Listing>(),
        |mut store, rep| {
            let listing = Resource::<Listing>::new_own(rep);
            store.data_mut().table().delete(listing)?;
            Ok(())
        },
    )?;
    interface.func_wrap(
        READ_DIRECTORY,
        |mut store: StoreContextMut<'_, AppState>, (folder,): (Resource<Descriptor>,)| {
            Ok((match list(store.data_mut(), &folder)? {
                Ok(listing) => Ok(store.data_mut().table().push(listing)?),
                Err(error) => Err(p2::ErrorCode::from(error)),
            },))
        },
    )?;
    interface.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: StoreContextMut<'_, AppState>, (listing,): (Resource<Listing>,)| {
            let entry = store.data_mut().table().get_mut(&listing)?.next();
            let entry = entry.transpose().map_err(p2::ErrorCode::from);
            Ok((entry.map(|entry| entry.map(p2::DirectoryEntry::from)),))
        },
    )
}

/// Replaces what reads a folder in 0.3.
pub(super) fn link_p3(interface: &mut LinkerInstance<'_, AppState>) -> wasmtime::Result<()> {
    interface.func_wrap(
        READ_DIRECTORY,
        |mut store: StoreContextMut<'_, AppState>, (folder,): (Resource<Descriptor>,)| {
            let (done, outcome) = oneshot::channel();
            let entries = match list(store.data_mut(), &folder)? {
                Ok(listing) => StreamReader::new(
                    &mut store,
                    Entries {
                        listing,
                        done: Some(done),
                    },
                )?,
                Err(error) => {
                    // It cannot have gone: it is read below.
                    let _ = done.send(Err(error.into()));
                    StreamReader::new(&mut store, iter::empty::<p3::DirectoryEntry>())?
                }
            };
            Ok(((entries, FutureReader::new(&mut store, outcome)?),))
        },
    )
}

type Done = oneshot::Sender<Result<(), p3::ErrorCode>>;

/// The stream of 0.3; how it ended is told beside it.
struct Entries {
    listing: Listing,
    done: Option<Done>,
}

impl Entries {
    fn end(&mut self, outcome: Result<(), p3::ErrorCode>) {
        if let Some(done) = self.done.take() {
            // The app may not care.
            let _ = done.send(outcome);
        }
    }
}

impl<D> StreamProducer<D> for Entries {
    type Item = p3::DirectoryEntry;
    type Buffer = VecBuffer<p3::DirectoryEntry>;

    /// Never waits, so there is nothing to cancel.
    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut to: Destination<'a, Self::Item, Self::Buffer>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let most = to
            .remaining(&mut store)
            .map_or(ENTRIES_PER_READ, |asked| asked.min(ENTRIES_PER_READ));
        let mut entries = Vec::with_capacity(most);
        let mut result = StreamResult::Completed;
        while entries.len() < most {
            let outcome = match self.listing.next() {
                Some(Ok(entry)) => {
                    entries.push(entry.into());
                    continue;
                }
                Some(Err(error)) => Err(error.into()),
                None => Ok(()),
            };
            self.end(outcome);
            result = StreamResult::Dropped;
            break;
        }
        to.set_buffer(entries.into());
        Poll::Ready(Ok(result))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
