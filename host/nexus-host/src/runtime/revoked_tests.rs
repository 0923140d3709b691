//! Goal: of what an app has open, exactly what is in a folder that was taken ends, whichever way it was opened.
//! Method: a table with handles of real folders, and lists of what is left.

use rustix::fs::{CWD, linkat};
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem;

use super::super::open::{self, Ask};
use super::*;

const READ: OpenMode = OpenMode::READ;

const ASK: Ask = Ask {
    follow: true,
    create: false,
    directory: false,
    exclusive: false,
    truncate: false,
    read: true,
    write: false,
    synchronized: false,
};

/// Two folders with a file each, granted `rw`; the first has a folder in it.
struct Place {
    folder: tempfile::TempDir,
    table: ResourceTable,
    granted: Vec<(Dir, String)>,
    revocations: Arc<Revocations>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["one", "one/inner", "two"] {
            fs::create_dir(path(name)).expect("made");
            fs::write(path(name).join("file"), "bytes").expect("written");
        }
        let dirs = ["one", "two"].map(|name| GrantedDir {
            host: path(name),
            guest: name.into(),
            writable: true,
        });
        let granted = dirs.iter().map(|dir| {
            let opened = File::open(&dir.host).expect("opens");
            let mode = READ | OpenMode::WRITE;
            let opened = Dir::new(opened, FsPerms::ReadWrite, mode, true);
            (opened, dir.guest.clone())
        });
        Self {
            granted: granted.collect(),
            table: ResourceTable::new(),
            revocations: Arc::new(Revocations::new(&dirs).expect("made")),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().canonicalize().expect("is there");
        folder.join(name)
    }

    /// Opens below one of the folders, as an app does.
    fn open(&mut self, granted: usize, path: &str, write: bool) -> Resource<Descriptor> {
        let ask = Ask { write, ..ASK };
        let opened = open::open(&self.granted[granted].0, path, ask).expect("opens");
        self.table.push(opened).expect("room")
    }

    /// These are left.
    fn leave(&mut self, folders: &[(&str, DirectoryMode)]) {
        let left: Vec<_> = folders
            .iter()
            .map(|(name, mode)| (self.path(name), *mode))
            .collect();
        self.revocations.leave(left);
        self.revocations.end(&mut self.table, &mut self.granted);
    }

    fn handle(&self, of: &Resource<Descriptor>) -> (Arc<File>, FsPerms, OpenMode) {
        match self.table.get(of).expect("is there") {
            Descriptor::File(filesystem::File {
                file,
                perms,
                open_mode,
                ..
            }) => (Arc::clone(file), *perms, *open_mode),
            Descriptor::Dir(dir) => (Arc::clone(&dir.dir), dir.perms, dir.open_mode),
        }
    }

    fn reads(&self, of: &Resource<Descriptor>) -> bool {
        use std::os::unix::fs::FileExt;
        self.handle(of).0.read_at(&mut [0; 5], 0).is_ok()
    }

    fn names(&self) -> Vec<&str> {
        self.granted.iter().map(|(_, name)| &**name).collect()
    }
}

use DirectoryMode::{Ro, Rw};

#[test]
fn what_is_in_a_folder_that_was_taken_ends_and_nothing_else() {
    let mut place = Place::new();
    let ended = place.open(0, "file", true);
    let ended_folder = place.open(0, "inner", false);
    let stays = place.open(1, "file", true);
    place.leave(&[("two", Rw)]);
    assert_eq!(place.names(), ["two"]);
    assert!(!place.reads(&ended) && place.reads(&stays));
    for of in [&ended, &ended_folder] {
        let (file, perms, mode) = place.handle(of);
        assert!(is_revoked(mode) && perms.write_not_permitted());
        // Whatever is looked for there.
        for path in [".", "file", ".."] {
            let found = rustix::fs::openat(&*file, path, OFlags::PATH, Mode::empty());
            assert_eq!(found.expect_err("no folder"), Errno::NOTDIR, "{path}");
        }
    }
    let (_, perms, mode) = place.handle(&stays);
    assert_eq!((perms, mode), (FsPerms::ReadWrite, READ | OpenMode::WRITE));
}

#[test]
fn a_folder_left_for_reading_is_read_and_not_written() {
    let mut place = Place::new();
    let both = place.open(0, "file", true);
    let Ok(Descriptor::File(only)) = open::open(
        &place.granted[0].0,
        "file",
        Ask {
            read: false,
            write: true,
            ..ASK
        },
    ) else {
        panic!("opens");
    };
    let only = place.table.push(Descriptor::File(only)).expect("room");
    place.leave(&[("one", Ro), ("two", Rw)]);
    let (_, perms, mode) = place.handle(&both);
    assert_eq!((perms, mode), (FsPerms::ReadOnly, READ));
    assert!(place.reads(&both));
    assert!(
        is_revoked(place.handle(&only).2),
        "it was for writing alone"
    );
    assert_eq!(place.granted[0].0.perms, FsPerms::ReadOnly);
    assert_eq!(place.granted[0].0.open_mode, READ);
    assert_eq!(place.granted[1].0.perms, FsPerms::ReadWrite);
}

/// What is open is where it is, not what it was opened through.
#[test]
fn a_folder_inside_one_that_was_taken_stays() {
    let mut place = Place::new();
    let inner = place.open(0, "inner/file", false);
    let outer = place.open(0, "file", false);
    place.leave(&[("one/inner", Ro)]);
    assert!(place.reads(&inner) && !place.reads(&outer));
    assert!(place.names().is_empty());
}

/// A name that begins like a folder's is not inside it, nor is what was moved out of it, nor a folder that is gone.
#[test]
fn reject_what_only_looks_like_a_folder_that_is_left() {
    let mut place = Place::new();
    let moved = place.open(1, "file", false);
    let gone = place.open(0, "inner", false);
    fs::rename(place.path("two/file"), place.path("two-file")).expect("moved");
    fs::remove_dir_all(place.path("one/inner")).expect("removed");
    place.leave(&[("one", Rw), ("two", Rw), ("one/inner (deleted)", Rw)]);
    assert!(!place.reads(&moved));
    assert!(is_revoked(place.handle(&gone).2));
    assert_eq!(place.names(), ["one", "two"]);
}

/// Apps remove files they go on using.
#[test]
fn a_removed_file_counts_as_where_it_was() {
    let mut place = Place::new();
    let (one, two) = (place.open(0, "file", false), place.open(1, "file", false));
    fs::remove_file(place.path("one/file")).expect("removed");
    fs::remove_file(place.path("two/file")).expect("removed");
    place.leave(&[("two", Ro)]);
    assert!(!place.reads(&one) && place.reads(&two));
    // A folder that is called as the kernel calls what was a file.
    place.leave(&[("two/file (deleted)", Ro)]);
    assert!(!place.reads(&two));
}

/// A second name of a file is another place of it: the one it was opened by counts.
#[test]
fn a_linked_file_counts_as_where_it_was_opened() {
    let mut place = Place::new();
    let (from, to) = (place.path("one/file"), place.path("two/link"));
    linkat(CWD, from, CWD, to, rustix::fs::AtFlags::empty()).expect("linked");
    let (file, link) = (place.open(0, "file", false), place.open(1, "link", false));
    place.leave(&[("two", Rw)]);
    assert!(!place.reads(&file) && place.reads(&link));
}

#[test]
fn a_watch_looks_again_only_after_something_was_taken() {
    let mut place = Place::new();
    let file = File::open(place.path("one/file")).expect("opens");
    let mut reads = Watch::new(&place.revocations, What::File, Ro);
    let mut writes = Watch::new(&place.revocations, What::File, Rw);
    let mut lists = Watch::new(&place.revocations, What::Folder, Ro);
    let folder = File::open(place.path("one")).expect("opens");
    let mut look = || (reads.look(&file), writes.look(&file), lists.look(&folder));
    assert_eq!(look(), (Ok(()), Ok(()), Ok(())));
    place.leave(&[("one", Rw)]);
    assert_eq!(look(), (Ok(()), Ok(()), Ok(())));
    place.leave(&[("one", Ro)]);
    assert_eq!(look(), (Ok(()), Err(REVOKED), Ok(())));
    place.leave(&[]);
    let refused = (Err(REVOKED), Err(REVOKED), Err(REVOKED));
    assert_eq!(look(), refused);
    assert_eq!(look(), refused, "for ever");
}
