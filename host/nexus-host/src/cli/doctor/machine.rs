//! What the machine gives: file descriptors to run apps, a compiler to make them.

use std::env;
use std::path::{Path, PathBuf};

use nexus_types::limits;
use rustix::process::{Resource, getrlimit};

use super::finding::{Finding, Level};

const TARGET: &str = "wasm32-wasip2";

/// Toolchains looked at. Stops a strange folder from making this slow.
const TOOLCHAINS_MAX: usize = 256;

pub(super) fn look(findings: &mut Vec<Finding>) {
    findings.push(descriptors(getrlimit(Resource::Nofile).maximum));
    findings.push(target(&env::var_os("PATH").unwrap_or_default(), rustup()));
}

fn descriptors(hard: Option<u64>) -> Finding {
    const WHY: &str = "each connection of --net user takes one, as does each open file of an app";
    let shown = hard.map_or_else(|| "no limit".to_owned(), |hard| format!("at most {hard}"));
    let what = format!("open files: {shown}");
    // Below this one app with all its files open leaves nothing for its connections.
    let least = u64::from(limits::FILES) * 4;
    if hard.is_none_or(|hard| hard >= least) {
        Finding::new("files", Level::Ok, what, WHY)
    } else {
        Finding::new("files", Level::Warning, what, WHY).advise(format!(
            "raise the hard limit to {least} or more (ulimit -Hn, LimitNOFILE=)"
        ))
    }
}

fn rustup() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".rustup"));
    env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(home)
}

/// By files alone: a `rustc` of rustup may begin to download when it is asked.
fn target(path: &std::ffi::OsStr, rustup: Option<PathBuf>) -> Finding {
    const WHY: &str = "it builds apps; running them takes nothing of it";
    let has = |root: &Path| root.join("lib/rustlib").join(TARGET).join("lib").is_dir();
    let rustc = env::split_paths(path)
        .map(|folder| folder.join("rustc"))
        .find(|rustc| rustc.is_file());
    let Some(rustc) = rustc else {
        return Finding::new("target", Level::Note, "there is no rustc", WHY)
            .advise("to build apps: install Rust, then rustup target add wasm32-wasip2");
    };
    let beside = rustc.parent().and_then(Path::parent).map(Path::to_path_buf);
    let toolchains = rustup
        .and_then(|rustup| rustup.join("toolchains").read_dir().ok())
        .into_iter()
        .flatten()
        .flatten()
        .take(TOOLCHAINS_MAX)
        .map(|entry| entry.path());
    match beside.into_iter().chain(toolchains).find(|root| has(root)) {
        Some(root) => {
            let what = format!("rustc can build apps: {TARGET} is in {}", root.display());
            Finding::new("target", Level::Ok, what, WHY)
        }
        None => {
            let what = format!("rustc is there, {TARGET} is not");
            Finding::new("target", Level::Note, what, WHY)
                .advise("to build apps: rustup target add wasm32-wasip2")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_a_limit_below_what_one_app_may_have() {
        let least = u64::from(limits::FILES) * 4;
        assert_eq!(descriptors(Some(least)).level, Level::Ok);
        assert_eq!(descriptors(None).level, Level::Ok);
        assert_eq!(descriptors(Some(least - 1)).level, Level::Warning);
    }

    #[test]
    fn the_target_is_looked_for_beside_rustc_and_in_rustup() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let bin = at("bin");
        let look = || target(bin.as_os_str(), Some(at("rustup")));
        assert!(look().what.contains("no rustc"));
        std::fs::create_dir_all(&bin).expect("made");
        std::fs::write(bin.join("rustc"), "").expect("made");
        assert_eq!(look().level, Level::Note);
        let lib = "lib/rustlib/wasm32-wasip2/lib";
        std::fs::create_dir_all(at("rustup/toolchains/stable").join(lib)).expect("made");
        assert_eq!(look().level, Level::Ok);
        std::fs::remove_dir_all(at("rustup")).expect("gone");
        assert_eq!(look().level, Level::Note);
        std::fs::create_dir_all(at(lib)).expect("made");
        assert_eq!(look().level, Level::Ok);
    }
}
