//! Where tests find guests: `cargo xtask build --guests` makes what is missing or stale, once a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The `nexus-host` under test.
pub(crate) const HOST: &str = env!("CARGO_BIN_EXE_nexus-host");

/// The repository.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors()
            .nth(2)
            .expect("host/nexus-host is two folders down")
            .to_path_buf()
    });
    &ROOT
}

/// A component by the name `cargo xtask build` gives it: `hello`, `probes/sleeps`.
pub(crate) fn component(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| build("--guests"));
    let path = FOLDER.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} was not built", path.display());
    path
}

/// Runs `cargo xtask build` for these; returns the folder of what it makes.
///
/// `cargo xtask` is an alias of the repository's own configuration; what it builds goes where we were built.
pub(crate) fn build(what: &str) -> PathBuf {
    let target = Path::new(HOST)
        .ancestors()
        .nth(2)
        .expect("target/<profile>/nexus-host");
    let status = Command::new(env!("CARGO"))
        .args(["xtask", "build", what])
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target)
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "`cargo xtask build {what}` failed; its message is above"
    );
    target.join("components")
}
