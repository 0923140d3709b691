//! `nexus-host pack`: puts a manifest into a component.

use std::path::PathBuf;

use clap::Args;
use nexus_policy::Manifest;
use serde_json::json;

use super::whole::{is_same, write_whole};
use super::{CliError, Common, Kind, say};
use crate::runtime::load::{self, AppFile};
use crate::runtime::shown;
use crate::runtime::stdio;
use crate::signature;

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
    #[arg(long, value_name = "FILE", env = "NEXUS_PACK_TO")]
    to: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn pack(args: &PackArgs) -> Result<u8, CliError> {
    let host = |error: &dyn std::fmt::Display| CliError::new(Kind::Host, error);
    let to = args.to.as_deref().unwrap_or(&args.app);
    if is_same(to, &args.manifest) {
        let message = format!("{} is the manifest: it would be lost", shown::path(to));
        return Err(CliError::new(Kind::Usage, message).hint("name another file with --to"));
    }
    let file = AppFile::read(&args.app).map_err(|error| host(&error))?;
    let manifest = load::read_text(&args.manifest, nexus_types::limits::MANIFEST_BYTES)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    // A typo is told to its author, not to everybody who runs the app.
    Manifest::parse(&manifest, &shown::path(&args.manifest))
        .map_err(|error| CliError::new(Kind::Config, error))?;
    let bytes = load::with_manifest(&file.bytes, &manifest).map_err(|kind| {
        host(&load::LoadError {
            path: args.app.clone(),
            kind,
        })
    })?;
    let (written, shown_to) = (write_whole(to, &bytes, Some(&args.app)), shown::path(to));
    written.map_err(|error| host(&format!("{shown_to}: {error}")))?;
    let packed = AppFile::read(to).map_err(|error| host(&error))?;
    let text = format!("{shown_to}\n  {}\n", packed.digest);
    let signature = Some(signature::beside(to)).filter(|path| path.symlink_metadata().is_ok());
    let stale = signature.filter(|_| packed.digest != file.digest);
    if let Some(path) = &stale {
        let path = shown::path(path);
        stdio::say(&format!(
            "note: {path} is of the component as it was, and does not verify any more: sign it again, or remove it\n"
        ));
    }
    let data = json!({"file": to, "digest": packed.digest.to_string(), "stale_signature": stale});
    say::answer(args.common.output, &text, data)?;
    Ok(0)
}
