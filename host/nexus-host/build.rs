//! Lists the sources of the SDK, so that `nexus-host new` carries them: a crate it makes needs nothing of ours from a
//! registry. Sources and their licences alone, in the order of their paths.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What an app is compiled from, below the repository. `sim` is for native tests, and stands on crates of the host.
const FOLDERS: [(&str, &str); 3] = [
    ("guest-sdk/nexus-sdk/src", "rs"),
    ("netcore/nexus-types/src", "rs"),
    ("wit", "wit"),
];
const LEFT_OUT: &str = "guest-sdk/nexus-sdk/src/sim";
const FILES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let root = here
        .ancestors()
        .nth(2)
        .ok_or(io::ErrorKind::NotFound)?
        .to_path_buf();
    let mut found: Vec<PathBuf> = FILES.iter().map(|file| root.join(file)).collect();
    for (folder, ending) in FOLDERS {
        // Cargo looks at every file below.
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        list(&root.join(folder), ending, &root.join(LEFT_OUT), &mut found)?;
    }
    found.sort();
    let mut table = String::from(
        "/// Path below the repository, and content.\nconst SDK: &[(&str, &str)] = &[\n",
    );
    for path in found {
        let below = path.strip_prefix(&root).map_err(io::Error::other)?;
        writeln!(table, "    ({below:?}, include_str!({path:?})),").map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("sdk.rs"), table)
}

fn list(folder: &Path, ending: &str, left_out: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path == left_out {
            continue;
        }
        if path.is_dir() {
            list(&path, ending, left_out, found)?;
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    Ok(())
}
