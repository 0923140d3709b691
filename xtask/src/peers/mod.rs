//! `cargo xtask bench --peers` and `bench http`: whole programs beside what people would otherwise use, taken by turns
//! in one run. Every part leaves facts for the page ([`crate::bench::measured::fact`]), with the spread in the note.

mod http;
mod start;
mod statistics;
mod tap;
mod tcp;
mod wasmtime;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::build;
use crate::step::Step;
use crate::workspace::Workspace;

/// One comparison: its name, what it usually takes, its work.
pub(crate) struct Part {
    name: &'static str,
    usual: &'static str,
    work: fn(&Workspace) -> Result<()>,
}

/// The last needs root; without it, it fails and is not skipped.
pub(crate) const PARTS: &[Part] = &[
    Part {
        name: "tcp",
        usual: "90 s",
        work: |workspace| tcp::run(&Programs::find(workspace)?),
    },
    Part {
        name: "start",
        usual: "5 s",
        work: |workspace| start::run(&Programs::find(workspace)?),
    },
    Part {
        name: "tap",
        usual: "3 min",
        work: tap::run,
    },
];

/// Those of `bench http`. wrk and nginx are the distribution's; wrk is installed (as root) where it is missing.
pub(crate) const HTTP: &[Part] = &[
    Part {
        name: "serve",
        usual: "3 min",
        work: |workspace| http::serve::run(&Programs::find(workspace)?),
    },
    Part {
        name: "egress",
        usual: "6 min",
        work: |workspace| http::egress::run(workspace, &Programs::find(workspace)?),
    },
    Part {
        name: "tls",
        usual: "2 min",
        work: |workspace| http::tls::run(workspace, &Programs::find(workspace)?),
    },
    Part {
        name: "sockets",
        usual: "1 min",
        work: |workspace| tcp::run_std(&Programs::find(workspace)?),
    },
];

/// Measures what `filter` names, everything without one. A part that fails does not keep the others from
/// being measured, and is an error at the end.
pub(crate) fn run(workspace: &Workspace, parts: &[Part], filter: Option<&str>) -> Result<()> {
    let wanted: Vec<&Part> = parts
        .iter()
        .filter(|part| filter.is_none_or(|filter| part.name.contains(filter)))
        .collect();
    ensure!(
        !wanted.is_empty(),
        "no part is called so; there are: {}",
        parts
            .iter()
            .map(|part| part.name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    build::host(workspace)?;
    wasmtime::ensure(workspace)?;
    let mut failed = Vec::new();
    for part in wanted {
        let step = Step::begin(format!("beside peers: {}", part.name), part.usual);
        if let Err(error) = (part.work)(workspace) {
            eprintln!("    {}: {error:#}", part.name);
            failed.push(part.name);
        }
        step.end();
    }
    ensure!(
        failed.is_empty(),
        "not measured: {}; the page is as it was (with --collect the rest is written to it)",
        failed.join(", ")
    );
    Ok(())
}

/// What is run, and where it may write.
struct Programs {
    target: PathBuf,
    host: PathBuf,
    wasmtime: PathBuf,
    components: PathBuf,
    /// Worlds, and the host's state folder.
    scratch: PathBuf,
}

impl Programs {
    fn find(workspace: &Workspace) -> Result<Self> {
        let scratch = workspace.target.join("peers");
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(Self {
            target: workspace.target.clone(),
            host: workspace.host_binary(),
            wasmtime: wasmtime::program(workspace),
            components: workspace.components(),
            scratch,
        })
    }

    fn component(&self, name: &str) -> PathBuf {
        self.components.join(name)
    }

    fn state(&self) -> PathBuf {
        self.scratch.join("state")
    }
}
