//! `nexus-host pack`: puts a manifest into a component.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use nexus_policy::Manifest;
use serde_json::json;

use super::{CliError, Common, Kind, say};
use crate::runtime::load::{self, AppFile};

const EXAMPLES: &str = "Examples:
  nexus-host pack app.wasm --manifest nexus.toml
  nexus-host pack target/wasm32-wasip2/release/app.wasm --manifest nexus.toml --to app.wasm";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PackArgs {
    /// The component
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    /// The manifest to embed; one embedded earlier is replaced
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Where to write the result [default: back to APP.wasm]
    #[arg(long, value_name = "FILE", env = "NEXUS_TO")]
    to: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn pack(args: &PackArgs) -> Result<u8, CliError> {
    let host = |error: &dyn std::fmt::Display| CliError::new(Kind::Host, error);
    let file = AppFile::read(&args.app).map_err(|error| host(&error))?;
    let manifest = load::read_text(&args.manifest, nexus_types::limits::MANIFEST_BYTES)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    // A typo is told to its author, not to everybody who runs the app.
    Manifest::parse(&manifest, &args.manifest.display().to_string())
        .map_err(|error| CliError::new(Kind::Config, error))?;
    let bytes = load::with_manifest(&file.bytes, &manifest).map_err(|kind| {
        host(&load::LoadError {
            path: args.app.clone(),
            kind,
        })
    })?;
    let to = args.to.as_deref().unwrap_or(&args.app);
    write_whole(to, &bytes).map_err(|error| host(&format!("{}: {error}", to.display())))?;
    let packed = AppFile::read(to).map_err(|error| host(&error))?;
    let text = format!("{}\n  {}\n", to.display(), packed.digest);
    let data = json!({"file": to, "digest": packed.digest.to_string()});
    say::answer(args.common.output, &text, data)?;
    Ok(0)
}

/// Another file first, then renamed: a reader never sees half of it.
pub(super) fn write_whole(to: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = to.with_file_name(name);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, to));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
