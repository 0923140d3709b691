//! The library built from the distribution's own packages: `rust-src` at exactly rustc's version,
//! and `wasi-libc`.
//!
//! Nothing is installed and nothing of the machine's apt is changed: a private apt state downloads
//! the two packages from the mirror this machine is configured with (its address is read from apt,
//! never written down), `dpkg -x` unpacks them, and `-Z build-std` compiles. That flag is the
//! nightly one; RUSTC_BOOTSTRAP opens it in stable, which is what the distribution does too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Compiler, Sysroot, symlink};
use crate::step::{Step, run_quietly_ok};
use crate::workspace::cargo_home;

/// Where newer Rust sources than the machine's own release are found.
const SUITES: [&str; 3] = ["trixie", "trixie-backports", "sid"];

const NETWORK_LIMIT: Duration = Duration::from_secs(300);
const COMPILE_LIMIT: Duration = Duration::from_secs(900);

/// Builds and installs the library for each missing target.
pub(super) fn build(
    compiler: &Compiler,
    sysroot: &Sysroot,
    work: &Path,
    missing: &[&str],
) -> Result<()> {
    ensure!(
        Path::new("/etc/debian_version").exists(),
        "this is not Debian or a relative of it"
    );
    if work.exists() {
        fs::remove_dir_all(work)?;
    }
    fs::create_dir_all(work)?;

    let step = Step::begin(
        "reading the package lists of Debian's newer releases",
        "5 to 30 s",
    );
    let apt = Apt::new(work)?;
    apt.update()?;
    step.end();

    let source = apt
        .versions("rust-src")?
        .into_iter()
        .find(|found| fits(&found.version, &compiler.release))
        .with_context(|| {
            format!(
                "the mirror carries no rust-src {} in {}",
                compiler.release,
                SUITES.join(", ")
            )
        })?;
    // The C library of the same suite as the compiler's sources was tested with them.
    let libc = apt.versions("wasi-libc")?;
    let libc = libc
        .iter()
        .find(|found| found.suite == source.suite)
        .or_else(|| libc.first())
        .context("the mirror carries no wasi-libc")?;

    let step = Step::begin(
        format!(
            "downloading rust-src {} and wasi-libc {}",
            source.version, libc.version
        ),
        "5 to 30 s",
    );
    let unpacked = work.join("unpacked");
    for (package, version) in [("rust-src", &source.version), ("wasi-libc", &libc.version)] {
        unpack(&apt.download(package, version)?, &unpacked)?;
    }
    step.end();

    let source = unpacked.join(format!("usr/src/rustc-{}", compiler.release));
    ensure!(
        source.join("library/std/Cargo.toml").is_file(),
        "rust-src holds no {}",
        source.display()
    );
    let link = library(sysroot);
    fs::create_dir_all(link.parent().context("the link has a parent")?)?;
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    symlink(&source, &link)?;

    for target in missing {
        let step = Step::begin(
            format!("compiling the standard library for {target}"),
            "40 s",
        );
        let made = compile(compiler, sysroot, work, &unpacked, target)?;
        sysroot.install(target, &made, compiler)?;
        step.end();
    }
    fs::remove_file(&link)?;
    fs::remove_dir_all(work)?;
    Ok(())
}

/// `1.95.0` and `1.95.0+dfsg1-2~bpo13+1`, but not `1.95.01` or `1.95.0.1`.
fn fits(version: &str, release: &str) -> bool {
    version
        .strip_prefix(release)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-', '~']))
}

/// Where `-Z build-std` looks for the sources.
fn library(sysroot: &Sysroot) -> PathBuf {
    sysroot.folder.join("lib/rustlib/src/rust")
}

/// A rustc that takes the private sysroot for its own. Cargo looks for the sources in the sysroot
/// of the host's compiler, which RUSTFLAGS do not reach once `--target` is given.
fn wrapper(compiler: &Compiler, sysroot: &Sysroot, work: &Path) -> Result<PathBuf> {
    let file = work.join("rustc.sh");
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    fs::write(
        &file,
        format!(
            "#!/bin/sh\nexec {} --sysroot={} \"$@\"\n",
            quoted(&compiler.rustc),
            quoted(&sysroot.folder)
        ),
    )?;
    run_quietly_ok(Command::new("chmod").arg("+x").arg(&file), NETWORK_LIMIT)?;
    Ok(file)
}

/// Compiles std for one target in an empty crate and gathers what belongs into its `lib` folder.
fn compile(
    compiler: &Compiler,
    sysroot: &Sysroot,
    work: &Path,
    unpacked: &Path,
    target: &str,
) -> Result<PathBuf> {
    let made = work.join("made").join(target);
    fs::create_dir_all(&made)?;
    let libc = unpacked.join("usr/lib").join(target);
    if libc.is_dir() {
        // std itself links against these, so they must be in place before it is compiled.
        let into = made.join("self-contained");
        fs::create_dir_all(&into)?;
        copy_files(&libc, &into, |_| true)?;
        let early = sysroot.lib(target);
        if early.exists() {
            fs::remove_dir_all(&early)?;
        }
        let early = early.join("self-contained");
        fs::create_dir_all(&early)?;
        copy_files(&libc, &early, |_| true)?;
    }

    let empty = work.join("empty");
    fs::create_dir_all(empty.join("src"))?;
    fs::write(
        empty.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nedition = \"2024\"\n[workspace]\n",
    )?;
    fs::write(empty.join("src/lib.rs"), "")?;
    let flags = [
        // Bitcode lets guests be optimised together with std (LTO).
        "-Cembed-bitcode=yes".to_owned(),
        // No path of this machine in a guest: digests must not depend on where it was built.
        format!("--remap-path-prefix={}=/rust", library(sysroot).display()),
        format!("--remap-path-prefix={}=/cargo", cargo_home()?.display()),
    ];
    let rustc = wrapper(compiler, sysroot, work)?;
    run_quietly_ok(
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(&empty)
            .env("RUSTC", rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env("CARGO_TARGET_DIR", work.join("built"))
            .env("CARGO_INCREMENTAL", "0")
            .args(["build", "--release", "-Z", "build-std=std,panic_abort"])
            .args(["--target", target]),
        COMPILE_LIMIT,
    )?;
    let deps = work.join("built").join(target).join("release/deps");
    copy_files(&deps, &made, |name| {
        name.ends_with(".rlib") && !name.starts_with("libempty-")
    })?;
    Ok(made)
}

fn copy_files(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("no {}", from.display()))? {
        let entry = entry?;
        if entry.path().is_file() && wanted(&entry.file_name().to_string_lossy()) {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn unpack(package: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    run_quietly_ok(
        Command::new("dpkg").arg("-x").arg(package).arg(into),
        Duration::from_secs(120),
    )
    .map(|_| ())
}

/// One line of `apt-cache madison`.
struct Found {
    version: String,
    suite: String,
}

/// An apt with a state of its own; mirror, proxy and keys are the machine's.
struct Apt {
    work: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(work: &Path) -> Result<Self> {
        let repository = Repository::of_this_machine()?;
        let mut sources = String::new();
        for suite in SUITES {
            sources.push_str(&format!(
                "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\nTargets: Packages\n{}\n",
                repository.uri, repository.signed_by
            ));
        }
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(work.join("apt").join(folder))?;
        }
        let list = work.join("apt/debian.sources");
        fs::write(&list, sources)?;
        let options = [
            format!("Dir::Etc::sourcelist={}", list.display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Dir::Etc::preferencesparts=-".to_owned(),
            format!("Dir::State::lists={}", work.join("apt/lists").display()),
            format!("Dir::Cache={}", work.join("apt/cache").display()),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=1".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
            // The download's own user could not write into our folder.
            "APT::Sandbox::User=".to_owned(),
        ];
        Ok(Self {
            work: work.to_path_buf(),
            options: options.to_vec(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.work).env("LC_ALL", "C");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// A suite that a mirror does not carry is no failure as long as the packages are found.
    fn update(&self) -> Result<()> {
        match run_quietly_ok(
            self.command("apt-get").args(["-q", "update"]),
            NETWORK_LIMIT,
        ) {
            Err(error)
                if self
                    .versions("rust-src")
                    .is_ok_and(|found| found.is_empty()) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// The versions of a package on offer, as `apt-cache madison` lists them.
    fn versions(&self, package: &str) -> Result<Vec<Found>> {
        let text = run_quietly_ok(
            self.command("apt-cache").args(["madison", package]),
            NETWORK_LIMIT,
        )?;
        Ok(text.lines().filter_map(parse_madison).collect())
    }

    fn download(&self, package: &str, version: &str) -> Result<PathBuf> {
        run_quietly_ok(
            self.command("apt-get")
                .args(["-q", "download", &format!("{package}={version}")]),
            NETWORK_LIMIT,
        )?;
        for entry in fs::read_dir(&self.work)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&format!("{package}_")) && name.ends_with(".deb") {
                return Ok(path);
            }
        }
        bail!("apt-get download {package} left no file")
    }
}

/// `rust-src | 1.95.0+dfsg1-2~bpo13+1 | <mirror> trixie-backports/main amd64 Packages`
fn parse_madison(line: &str) -> Option<Found> {
    let mut columns = line.split('|').map(str::trim);
    let (_, version, place) = (columns.next()?, columns.next()?, columns.next()?);
    let suite = place.split_whitespace().nth(1)?.split('/').next()?;
    Some(Found {
        version: version.to_owned(),
        suite: suite.to_owned(),
    })
}

/// The archive this machine's own release comes from.
struct Repository {
    uri: String,
    signed_by: String,
}

impl Repository {
    fn of_this_machine() -> Result<Self> {
        let text = run_quietly_ok(
            Command::new("apt-get").env("LC_ALL", "C").args([
                "indextargets",
                "Created-By: Packages",
                "Component: main",
            ]),
            NETWORK_LIMIT,
        )?;
        let release = fs::read_to_string("/etc/os-release")
            .ok()
            .and_then(|text| os_codename(&text))
            .context("/etc/os-release names no VERSION_CODENAME")?;
        parse_index_targets(&text, &release).with_context(|| {
            format!("apt on this machine has no source for {release}/main to take a mirror from")
        })
    }
}

fn os_codename(os_release: &str) -> Option<String> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
}

/// The mirror of the stanza whose `Release` is this machine's (not its `-security` sister).
fn parse_index_targets(text: &str, release: &str) -> Option<Repository> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        if field("Release")? != release {
            return None;
        }
        let signed_by = match field("Signed-By") {
            Some(key) => format!("Signed-By: {key}\n"),
            None => DEBIAN_KEYRING
                .iter()
                .find(|path| Path::new(path).exists())
                .map(|path| format!("Signed-By: {path}\n"))
                .unwrap_or_default(),
        };
        Some(Repository {
            uri: field("Repo-URI")?.to_owned(),
            signed_by,
        })
    })
}

/// Of the package `debian-archive-keyring`, under its older and newer name.
const DEBIAN_KEYRING: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_release_fits() {
        assert!(fits("1.95.0+dfsg1-2~bpo13+1", "1.95.0"));
        assert!(fits("1.95.0-1", "1.95.0"));
        for other in ["1.95.01-1", "1.95.0.1-1", "1.96.1+dfsg1-2", "1.9"] {
            assert!(!fits(other, "1.95.0"), "{other}");
        }
    }

    #[test]
    fn a_madison_line_gives_version_and_suite() {
        let found = parse_madison(
            "  rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://mirror.example/debian trixie-backports/main amd64 Packages",
        )
        .expect("parses");
        assert_eq!(found.version, "1.95.0+dfsg1-2~bpo13+1");
        assert_eq!(found.suite, "trixie-backports");
        assert!(parse_madison("W: something else").is_none());
    }

    #[test]
    fn the_mirror_is_the_one_of_the_machines_own_release() {
        let text = "Release: bookworm-security\nRepo-URI: http://mirror.example/security/\n\n\
                    Release: bookworm\nRepo-URI: http://mirror.example/debian/\nSigned-By: /k.gpg\n";
        let found = parse_index_targets(text, "bookworm").expect("found");
        assert_eq!(found.uri, "http://mirror.example/debian/");
        assert_eq!(found.signed_by, "Signed-By: /k.gpg\n");
        assert!(parse_index_targets(text, "trixie").is_none());
    }

    #[test]
    fn the_codename_is_read_with_and_without_quotes() {
        assert_eq!(
            os_codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(
            os_codename("VERSION_CODENAME=\"noble\"\n").as_deref(),
            Some("noble")
        );
        assert_eq!(os_codename("ID=debian\n"), None);
    }
}
