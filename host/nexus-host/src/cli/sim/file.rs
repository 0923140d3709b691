//! Files that are read and written beside a scenario.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use nexus_policy::explain::escape;

use crate::cli::{CliError, Kind};

/// A pipe would be waited at for ever, and a device has no end.
pub(super) fn regular(path: &Path) -> Result<(), CliError> {
    match fs::metadata(path) {
        Ok(file) if file.is_file() => Ok(()),
        Ok(_) => {
            let message = format!("{} is no file", escape(&path.display().to_string()));
            Err(CliError::new(Kind::Config, message))
        }
        // Whoever reads it says what is wrong.
        Err(_) => Ok(()),
    }
}

/// Whether a file may be written below a folder: it is one of its own or not there, and no link leads out.
pub(in crate::cli) fn writable(path: &Path, folder: &Path) -> Result<(), CliError> {
    let fail = |error: &dyn std::fmt::Display| {
        let path = escape(&path.display().to_string());
        CliError::new(Kind::Host, format!("{path}: {error}"))
    };
    let real = |path: &Path| {
        // The parent of a bare name is the empty path.
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        path.canonicalize().map_err(|error| fail(&error))
    };
    if !real(path.parent().unwrap_or(path))?.starts_with(real(folder)?) {
        return Err(fail(&"a link leads out of the scenario's folder"));
    }
    match fs::symlink_metadata(path) {
        Ok(file) if !file.is_file() => {
            Err(fail(&"it is no file of its own, and is not written over"))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fail(&error)),
        _ => Ok(()),
    }
}

/// Writes a file anew, whole or not at all. What is not a file there is left alone.
pub(in crate::cli) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let fail = |error: &dyn std::fmt::Display| {
        let path = escape(&path.display().to_string());
        CliError::new(Kind::Host, format!("{path}: {error}"))
    };
    writable(path, path.parent().unwrap_or(path))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| {
            let _ = fs::remove_file(&new);
            fail(&error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_what_is_no_file_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        replace(&path("a"), b"one").expect("written");
        replace(&path("a"), b"two").expect("written anew");
        assert_eq!(fs::read(path("a")).expect("read"), b"two");
        std::os::unix::fs::symlink(path("a"), path("link")).expect("made");
        replace(&path("link"), b"three").expect_err("a link to somewhere");
        fs::create_dir(path("folder")).expect("made");
        replace(&path("folder"), b"three").expect_err("a folder");
        regular(&path("folder")).expect_err("a folder");
        std::os::unix::fs::symlink("/", path("out")).expect("made");
        writable(&path("out/tmp"), folder.path()).expect_err("a link that leads out");
        writable(&path("folder/a"), folder.path()).expect("below");
        fs::remove_file(path("out")).expect("removed");
        assert_eq!(fs::read(path("a")).expect("read"), b"two");
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 3);
    }
}
