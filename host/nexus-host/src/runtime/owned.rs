//! Folders, files and keys of the host's own: made for nobody else, and not used where they are anybody
//! else's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::shown;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The folder, made if it is not there; an error if it is anybody else's, or open to others.
pub fn own_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    check_own_dir(dir)
}

/// An error if the folder is anybody else's, or open to others, or not there.
pub fn check_own_dir(dir: &Path) -> io::Result<()> {
    let metadata = dir_of_ours(dir)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "other users can look into it (mode {:o}); run: chmod 700 {}",
            metadata.mode() & 0o777,
            shown::path(dir)
        )));
    }
    Ok(())
}

/// An error if others can put something into the folder, or it is anybody else's, or not there.
pub fn check_closed_dir(dir: &Path) -> io::Result<()> {
    let metadata = dir_of_ours(dir)?;
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!(
            "other users can write it (mode {:o}); run: chmod go-w {}",
            metadata.mode() & 0o777,
            shown::path(dir)
        )));
    }
    Ok(())
}

fn dir_of_ours(dir: &Path) -> io::Result<fs::Metadata> {
    let metadata = fs::symlink_metadata(dir)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("is not a folder (a link is not followed)"));
    }
    check_owner(&metadata)?;
    Ok(metadata)
}

fn check_owner(metadata: &fs::Metadata) -> io::Result<()> {
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() == us {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "belongs to user {}, not to user {us}",
            metadata.uid()
        )))
    }
}

/// Opens a file that is ours, no link, and that nobody else can write.
pub fn open_own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    check_owner(&metadata)?;
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("other users can write it"));
    }
    Ok(file)
}

/// The key there, made at random if there is none; of two that make it at once, one wins for both.
pub fn read_or_make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&key)?;
    file.sync_all()?;
    // A link and not a rename: of two hosts that start at once, the first one's key holds for both.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    read_key(path)
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut file = open_own(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => error,
        // Whoever is told names the folder, and what is wrong is the file.
        kind => io::Error::new(kind, format!("the key {}: {error}", shown::path(path))),
    })?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "the key {} is open to other users; remove it, and a new one is made",
            shown::path(path)
        )));
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key).map_err(|_| {
        io::Error::other(format!(
            "the key {} is cut off; remove it, and a new one is made",
            shown::path(path)
        ))
    })?;
    Ok(key)
}
