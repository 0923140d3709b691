//! Writes a file whole: another one first, then renamed, so that a reader never sees half of it.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes it in the place of whatever is at `to`, and keeps the rights of what is there. `like`: whose rights to take
/// where nothing is there yet; none: what the user's umask says.
pub(super) fn write_whole(to: &Path, bytes: &[u8], like: Option<&Path>) -> io::Result<()> {
    let rights = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let before = match to.symlink_metadata() {
        // A device or a folder is nothing that a file could be renamed over without harm.
        Ok(there) if !(there.is_file() || there.is_symlink()) => {
            return Err(io::Error::other("is there, and is no file"));
        }
        Ok(_) => rights(to),
        Err(_) => None,
    };
    let mode = before.or_else(|| like.and_then(rights));
    let mode = mode.map(|there| there.mode() & 0o777);
    // A name nobody can guess, and a file that was not there: a link somebody has laid is not written through.
    let mut draw = [0; 8];
    getrandom::fill(&mut draw).map_err(|error| io::Error::other(error.to_string()))?;
    let mut name = to.file_name().unwrap_or_default().to_owned();
    let mut suffix = String::from(".");
    for byte in draw {
        // Writing to a String cannot fail.
        let _ = write!(suffix, "{byte:02x}");
    }
    name.push(suffix + ".new");
    let temporary = to.with_file_name(name);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        // Nobody else's while it is written, where it is not to be anybody else's afterwards.
        .mode(mode.map_or(0o666, |_| 0o600))
        .open(&temporary)?;
    let written = fill(file, bytes, mode).and_then(|()| fs::rename(&temporary, to));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn fill(mut file: File, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(mode) = mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.sync_all()
}

/// Whether two names lead to one file.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let what = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    one == other || matches!((what(one), what(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o777
    }

    /// Goal: what is written over keeps its rights, and nothing is left beside it. Method: a file of its owner's alone;
    /// a new one like it.
    #[test]
    fn rights_stay_as_they_were() {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "before").expect("writes");
        fs::set_permissions(&old, Permissions::from_mode(0o600)).expect("chmod");
        write_whole(&old, b"after", None).expect("written");
        write_whole(&new, b"new", Some(&old)).expect("written");
        assert_eq!((mode(&old), mode(&new)), (0o600, 0o600));
        assert_eq!(fs::read(&old).expect("reads"), b"after");
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 2);
    }

    /// Goal: nothing is written through a link, and a folder is left alone. Method: a link to another file, a folder.
    #[test]
    fn reject_what_is_no_file_and_follow_no_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (other, link) = (folder.path().join("other"), folder.path().join("link"));
        fs::write(&other, "precious").expect("writes");
        std::os::unix::fs::symlink(&other, &link).expect("links");
        write_whole(&link, b"new", None).expect("written");
        assert_eq!(fs::read(&other).expect("reads"), b"precious");
        assert!(!link.is_symlink());
        assert!(write_whole(folder.path(), b"new", None).is_err());
    }

    /// Goal: one file is known by any name. Method: itself, a link to it, another, one that is not there.
    #[test]
    fn one_file_is_known_by_its_other_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "").expect("writes");
        fs::write(path("b"), "").expect("writes");
        std::os::unix::fs::symlink(path("a"), path("link")).expect("links");
        assert!(is_same(&path("a"), &path("link")) && is_same(&path("no"), &path("no")));
        assert!(!is_same(&path("a"), &path("b")) && !is_same(&path("a"), &path("no")));
    }
}
