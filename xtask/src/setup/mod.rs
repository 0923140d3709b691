//! `cargo xtask setup`: the standard library for the guest targets, from wherever it can be had.
//!
//! A private sysroot (`target/guest-sysroot`) is used for everything that rustup did not install,
//! never the toolchain's own folder: a second copy of `core` there would break a later
//! `rustup target add`. Cargo passes `--sysroot` only to what is compiled for the guest, because
//! guests are always built with `--target`.

mod archive;
mod packages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::step::{Step, run_quietly, run_quietly_ok};
use crate::workspace::Workspace;

/// The targets a component may be built for: the ordinary one, and the least-authority one.
pub(crate) const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-unknown-unknown"];

/// A way to get the library.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// `rustup target add`.
    Rustup,
    /// Built from the distribution's packages.
    Packages,
    /// Unpacked from the file that NEXUS_GUEST_STD names.
    Archive,
}

/// How to compile for the guest targets on this machine.
pub(crate) struct GuestStd {
    /// Target and its private sysroot, `None` where the toolchain itself has the library.
    targets: Vec<(&'static str, Option<PathBuf>)>,
}

impl GuestStd {
    /// The flags rustc needs for this target.
    pub(crate) fn rustflags(&self, target: &str) -> Vec<String> {
        self.targets
            .iter()
            .filter(|(name, _)| *name == target)
            .filter_map(|(_, sysroot)| sysroot.as_ref())
            .map(|sysroot| format!("--sysroot={}", sysroot.display()))
            .collect()
    }

    /// Lines for a shell to `eval`, after which ordinary cargo builds guests.
    pub(crate) fn shell_lines(&self) -> Result<String> {
        let mut lines = String::new();
        for (target, sysroot) in &self.targets {
            let Some(sysroot) = sysroot else {
                lines.push_str(&format!(
                    "# {target}: the toolchain has it, no flag needed\n"
                ));
                continue;
            };
            let sysroot = sysroot.display().to_string();
            if sysroot.contains([' ', '\'']) {
                bail!(
                    "cargo splits RUSTFLAGS at blanks, and {sysroot} holds one or a quote: use a target folder without"
                );
            }
            lines.push_str(&format!(
                "export CARGO_TARGET_{}_RUSTFLAGS='--sysroot={sysroot}'\n",
                target.to_uppercase().replace('-', "_")
            ));
        }
        lines.push_str("# then: cargo build --profile guest --target wasm32-wasip2 -p hello\n");
        Ok(lines)
    }
}

/// What rustc says of itself.
pub(crate) struct Compiler {
    /// `1.95.0`
    pub(crate) release: String,
    /// The triple of this machine.
    pub(crate) host: String,
    /// The full text of `rustc -vV`: a library fits exactly one compiler.
    pub(crate) full: String,
    /// `lib/rustlib` of the toolchain.
    pub(crate) rustlib: PathBuf,
    /// The compiler itself, not rustup's stand-in: that one would choose a toolchain by folder.
    pub(crate) rustc: PathBuf,
}

impl Compiler {
    fn ask(workspace: &Workspace) -> Result<Self> {
        let limit = Duration::from_secs(60);
        let full = run_quietly_ok(workspace.rustc().arg("-vV"), limit)?;
        let field = |name: &str| {
            full.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
                .with_context(|| format!("`rustc -vV` has no line `{name}:`"))
        };
        let sysroot = run_quietly_ok(workspace.rustc().args(["--print", "sysroot"]), limit)?;
        let sysroot = Path::new(sysroot.trim());
        Ok(Self {
            release: field("release")?,
            host: field("host")?,
            rustlib: sysroot.join("lib/rustlib"),
            rustc: sysroot
                .join("bin")
                .join(format!("rustc{}", std::env::consts::EXE_SUFFIX)),
            full,
        })
    }
}

/// The private sysroot.
pub(crate) struct Sysroot {
    pub(crate) folder: PathBuf,
}

impl Sysroot {
    /// `lib/rustlib/<target>/lib`
    pub(crate) fn lib(&self, target: &str) -> PathBuf {
        self.folder.join("lib/rustlib").join(target).join("lib")
    }

    fn stamp(&self, target: &str) -> PathBuf {
        self.lib(target).join("made-for.txt")
    }

    /// The library is there, and made for this very compiler.
    fn has(&self, target: &str, compiler: &Compiler) -> bool {
        holds_std(&self.lib(target))
            && fs::read_to_string(self.stamp(target)).is_ok_and(|made| made == compiler.full)
    }

    /// Links this machine's own library (and the linkers beside it) into the sysroot.
    fn link_host(&self, compiler: &Compiler) -> Result<()> {
        let own = compiler.rustlib.join(&compiler.host);
        let link = self.folder.join("lib/rustlib").join(&compiler.host);
        if fs::read_link(&link).is_ok_and(|to| to == own) {
            return Ok(());
        }
        fs::create_dir_all(self.folder.join("lib/rustlib"))?;
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(&own, &link)
    }

    /// Puts a finished library in place, after this compiler has accepted it.
    pub(crate) fn install(&self, target: &str, made: &Path, compiler: &Compiler) -> Result<()> {
        let lib = self.lib(target);
        if lib.exists() {
            fs::remove_dir_all(&lib)?;
        }
        fs::create_dir_all(lib.parent().context("the folder has a parent")?)?;
        fs::rename(made, &lib)
            .with_context(|| format!("cannot move {} to {}", made.display(), lib.display()))?;
        // A library of another compiler is refused by rustc (E0514): find out now, not in a build.
        let probe = self.folder.join("probe.rs");
        fs::write(&probe, "pub fn f() -> String { String::new() }\n")?;
        let said = run_quietly(
            Command::new(&compiler.rustc)
                .arg(format!("--sysroot={}", self.folder.display()))
                .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
                .args(["--target", target, "-o"])
                .arg(self.folder.join("probe.rmeta"))
                .arg(&probe),
            Duration::from_secs(60),
        )?;
        if !said.status.success() {
            fs::remove_dir_all(&lib)?;
            bail!(
                "rustc {} does not accept this library for {target}:\n{}",
                compiler.release,
                said.tail()
            );
        }
        fs::write(self.stamp(target), &compiler.full)?;
        Ok(())
    }
}

/// A symbolic link; on systems without them, say so.
pub(crate) fn symlink(to: &Path, link: &Path) -> Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(to, link)
        .with_context(|| format!("cannot link {} to {}", link.display(), to.display()));
    #[cfg(not(unix))]
    bail!("cannot link {} to {}", link.display(), to.display());
}

fn holds_std(lib: &Path) -> bool {
    fs::read_dir(lib).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

/// Makes sure guests can be compiled; `from` forces one way.
pub(crate) fn ensure(workspace: &Workspace, from: Option<Source>) -> Result<GuestStd> {
    let archive = std::env::var_os("NEXUS_GUEST_STD").map(PathBuf::from);
    let compiler = Compiler::ask(workspace)?;
    let sysroot = Sysroot {
        folder: workspace.target.join("guest-sysroot"),
    };
    fs::create_dir_all(&workspace.target)?;
    // Tests call us in parallel; one does the work.
    let lock = fs::File::create(workspace.target.join("guest-sysroot.lock"))?;
    lock.lock()?;

    let in_toolchain = |target: &str| holds_std(&compiler.rustlib.join(target).join("lib"));
    let missing: Vec<&'static str> = match from {
        Some(_) => TARGETS.to_vec(),
        None => TARGETS
            .into_iter()
            .filter(|target| !in_toolchain(target) && !sysroot.has(target, &compiler))
            .collect(),
    };
    if !missing.is_empty() {
        obtain(workspace, &compiler, &sysroot, &missing, from, archive)?;
    }
    let targets = TARGETS
        .into_iter()
        .map(|target| {
            // What was asked for by name wins over what the toolchain has.
            let private = sysroot.has(target, &compiler)
                && (!in_toolchain(target) || !matches!(from, None | Some(Source::Rustup)));
            (target, private.then(|| sysroot.folder.clone()))
        })
        .collect::<Vec<_>>();
    if targets.iter().any(|(_, sysroot)| sysroot.is_some()) {
        sysroot.link_host(&compiler)?;
    }
    Ok(GuestStd { targets })
}

/// Tries the ways in order until nothing is missing.
fn obtain(
    workspace: &Workspace,
    compiler: &Compiler,
    sysroot: &Sysroot,
    missing: &[&'static str],
    from: Option<Source>,
    archive: Option<PathBuf>,
) -> Result<()> {
    eprintln!(
        "guests need the Rust standard library for {}; looking for it",
        missing.join(" and ")
    );
    let ways = match (from, &archive) {
        (Some(way), _) => vec![way],
        (None, Some(_)) => vec![Source::Archive],
        (None, None) => vec![Source::Rustup, Source::Packages],
    };
    let mut failures = Vec::new();
    for way in ways {
        let (name, outcome) = match way {
            Source::Rustup => {
                let step = Step::begin("rustup target add", "5 s to 2 min");
                let outcome = rustup(workspace, missing);
                if outcome.is_ok() {
                    step.end();
                }
                ("rustup target add", outcome)
            }
            Source::Packages => {
                sysroot.link_host(compiler)?;
                let work = workspace.target.join("guest-sysroot.work");
                (
                    "building it from the distribution's packages",
                    packages::build(compiler, sysroot, &work, missing),
                )
            }
            Source::Archive => {
                sysroot.link_host(compiler)?;
                let file = archive
                    .as_deref()
                    .context("set NEXUS_GUEST_STD to the archive (it holds wasm32-*/lib/...)")?;
                (
                    "unpacking NEXUS_GUEST_STD",
                    archive::unpack(compiler, sysroot, file, missing),
                )
            }
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) => {
                eprintln!("    {name}: did not work: {error:#}");
                failures.push(format!("  {name}: {error:#}"));
            }
        }
    }
    bail!(
        "guests cannot be compiled here: the Rust standard library for {} is missing, and \n{}\n\
         One of these mends it:\n  \
         with internet access: rustup target add {}\n  \
         on Debian and relatives: a mirror that carries `rust-src` {} and `wasi-libc` (trixie-backports, sid)\n  \
         elsewhere: NEXUS_GUEST_STD=FILE, a tar archive with {}/lib/... made by rustc {}",
        missing.join(" and "),
        failures.join("\n"),
        missing.join(" "),
        compiler.release,
        missing[0],
        compiler.release,
    )
}

/// Works with internet access; without, rustup says so within seconds.
fn rustup(workspace: &Workspace, missing: &[&str]) -> Result<()> {
    let mut command = workspace.in_root("rustup");
    command.args(["target", "add"]).args(missing);
    run_quietly_ok(&mut command, Duration::from_secs(120)).map(|_| ())
}
