//! `nexus-host inspect`: what a component imports, read off it without running anything.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{CliError, Common, Kind, StateArgs, say};
use crate::runtime::engine::{EngineOptions, HostEngine};
use crate::runtime::imports::{self, Import};
use crate::runtime::linker;
use crate::runtime::load::AppFile;

const EXAMPLES: &str = "Examples:
  nexus-host inspect app.wasm
  nexus-host inspect app.wasm --output json | jq '.data.imports[].capability'";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// The component
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn inspect(args: &InspectArgs) -> Result<u8, CliError> {
    let file = AppFile::read(&args.app).map_err(|error| CliError::new(Kind::Host, error))?;
    let engine = HostEngine::new(EngineOptions {
        pooling: false,
        ..EngineOptions::default()
    })
    .map_err(|error| CliError::new(Kind::Host, error))?;
    let (component, _) = args
        .state
        .cache()
        .component(engine.engine(), file.digest, &file.bytes)
        .map_err(|error| CliError::new(Kind::Host, file.invalid(&error)))?;
    let imports = imports::of_component(engine.engine(), &component);
    let exports = imports::exports(engine.engine(), &component);
    let text = text(&file, &imports, &exports);
    let data = json!({
        "file": file.path,
        "digest": file.digest.to_string(),
        "manifest": file.manifest.is_some(),
        "imports": imports.iter().map(|import| json!({
            "name": import.name,
            "functions": import.functions,
            "resources": import.resources,
            "base": linker::is_base(import),
        })).collect::<Vec<_>>(),
        "exports": exports,
    });
    say::answer(args.common.output, &text, data)?;
    Ok(0)
}

fn text(file: &AppFile, imports: &[Import], exports: &[String]) -> String {
    let mut text = format!(
        "{}\n  {}\n  manifest: {}\n",
        file.path.display(),
        file.digest,
        if file.manifest.is_some() {
            "embedded"
        } else {
            "none embedded"
        }
    );
    text.push_str("imports\n");
    for import in imports {
        let needs = if linker::is_base(import) {
            "always there"
        } else {
            "?"
        };
        text.push_str(&format!("  {:<44} {needs}\n", import.name));
        for function in &import.functions {
            text.push_str(&format!("    {function}\n"));
        }
    }
    text.push_str("exports\n");
    for export in exports {
        text.push_str(&format!("  {export}\n"));
    }
    text
}
