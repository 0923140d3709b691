//! Goal: a stream that is open when its folder is taken ends with its next use. Method: streams of a real file, used
//! before and after.

use std::fs;

use rustix::io::Errno;

use super::super::revoked::Revocations;
use super::super::state::GrantedDir;
use super::*;

struct Place {
    folder: tempfile::TempDir,
    revocations: Arc<Revocations>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "0123456789").expect("written");
        let dir = GrantedDir {
            host: folder.path().canonicalize().expect("is there"),
            guest: "/".into(),
            writable: true,
        };
        let revocations = Arc::new(Revocations::new(&[dir]).expect("made"));
        Self {
            folder,
            revocations,
        }
    }

    fn file(&self) -> Arc<File> {
        let mut options = File::options();
        options.read(true).write(true);
        let path = self.folder.path().join("file");
        Arc::new(options.open(path).expect("opens"))
    }

    fn reader(&self) -> Reader {
        Reader {
            reading: Reading {
                file: self.file(),
                offset: 0,
                watch: Watch::new(&self.revocations, What::File, DirectoryMode::Ro),
            },
            ended: false,
        }
    }

    fn writer(&self, offset: Option<u64>) -> Writer {
        Writer {
            writing: Writing {
                file: self.file(),
                offset,
                watch: Watch::new(&self.revocations, What::File, DirectoryMode::Rw),
            },
            failed: None,
            ended: false,
        }
    }

    fn leave(&self, mode: DirectoryMode) {
        let folder = self.folder.path().canonicalize().expect("is there");
        self.revocations.leave([(folder, mode)]);
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("file")).expect("reads")
    }
}

#[track_caller]
fn assert_revoked<T>(result: Streamed<T>) {
    match result {
        Err(StreamError::LastOperationFailed(error)) => {
            let error = error.downcast_ref::<io::Error>().expect("the kernel's");
            assert_eq!(Errno::from_io_error(error), Some(REVOKED));
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it goes on"),
    }
}

use super::super::revoked::REVOKED;

#[test]
fn streams_go_on_where_they_are() {
    let place = Place::new();
    let mut reader = place.reader();
    assert_eq!(&reader.read(4).expect("reads")[..], b"0123");
    place.leave(DirectoryMode::Ro);
    assert_eq!(&reader.read(99).expect("reads")[..], b"456789");
    assert!(matches!(reader.read(1), Err(StreamError::Closed)));
}

#[test]
fn reject_reading_what_was_taken() {
    let place = Place::new();
    let mut reader = place.reader();
    assert_eq!(&reader.read(4).expect("reads")[..], b"0123");
    place.revocations.leave([]);
    assert_revoked(reader.read(4));
    assert!(matches!(reader.read(4), Err(StreamError::Closed)));
}

#[test]
fn reject_writing_what_is_left_for_reading() {
    for offset in [Some(2), None] {
        let place = Place::new();
        let mut writer = place.writer(offset);
        writer.write(Bytes::from_static(b"ab")).expect("taken");
        writer.check_write().expect("written");
        let text = place.text();
        assert!(text.contains("ab"), "{text}");
        place.leave(DirectoryMode::Ro);
        writer.write(Bytes::from_static(b"cd")).expect("taken");
        assert_revoked(writer.check_write());
        assert!(matches!(writer.check_write(), Err(StreamError::Closed)));
        assert_eq!(place.text(), text);
    }
}
