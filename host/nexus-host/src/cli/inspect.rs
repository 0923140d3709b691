//! `nexus-host inspect`: what a component imports, read off it without running anything.

use std::path::PathBuf;

use clap::Args;
use nexus_policy::admission::{ImportReport, Provided};
use nexus_policy::explain::escape;
use nexus_policy::{Consent, Gate, PublisherKey, Topology};
use serde_json::json;

use super::app::{Candidate, engine_to_look};
use super::policies::Policies;
use super::publishers::Signed;
use super::{CliError, Common, StateArgs, say};
use crate::runtime::imports;
use crate::runtime::shown;

const EXAMPLES: &str = "Examples:
  nexus-host inspect app.wasm
  nexus-host inspect app.wasm --output json | jq '.data.imports[] | select(.base | not)'";

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
    let engine = engine_to_look()?;
    let candidate = Candidate::read(&args.app, None, None, &engine, &mut args.state.cache())?;
    // What an import needs is the same whatever anybody wrote, so no policy takes part.
    let admission = candidate.examine(&Gate::new(Topology::default()), &Consent::default());
    let exports = imports::exports(engine.engine(), &candidate.component);
    let (signature, publisher) = signature(&candidate);
    let text = text(&candidate, &signature, &admission.imports, &exports);
    let imports: Vec<_> = admission
        .imports
        .iter()
        .zip(&candidate.imports)
        .map(|(report, import)| {
            json!({
                "import": report.import,
                "functions": report.functions,
                "resources": import.resources,
                "base": report.provided == Provided::Base,
                "capabilities": report.capabilities,
            })
        })
        .collect();
    let data = json!({
        "file": candidate.file.path,
        "app": candidate.identity.id,
        "digest": candidate.file.digest.to_string(),
        "signature": signature,
        "publisher": publisher,
        "manifest": candidate.file.manifest,
        "imports": imports,
        "exports": exports,
    });
    say::answer(args.common.output, &text, data)?;
    Ok(0)
}

/// What the signature beside it is worth here. Nothing is refused: whoever inspects wants to know.
fn signature(candidate: &Candidate) -> (String, Option<PublisherKey>) {
    let Ok(policies) = Policies::read(None) else {
        let unread = "not verified: the policy cannot be read (nexus-host check says why)";
        return (unread.to_owned(), None);
    };
    match policies.publishers().of_app(&candidate.file) {
        Ok(Signed::No) => ("none".to_owned(), None),
        Ok(Signed::Unknown(key)) => (format!("by the key {key}, which no policy names"), None),
        Ok(Signed::By(key)) => (format!("by {key}"), Some(key)),
        Err(_) => ("refused (nexus-host check says why)".to_owned(), None),
    }
}

fn text(
    candidate: &Candidate,
    signature: &str,
    imports: &[ImportReport],
    exports: &[String],
) -> String {
    let file = &candidate.file;
    let manifest = match &file.manifest {
        Some(_) => "embedded",
        None => "none embedded",
    };
    let mut text = format!(
        "{}\n  app       {}\n  digest    {}\n  signature {signature}\n  manifest  {manifest}\nimports\n",
        shown::path(&file.path),
        escape(&candidate.identity.id),
        file.digest,
    );
    for import in imports {
        let needs: Vec<_> = import.capabilities.iter().map(|c| c.as_str()).collect();
        let needs = match (import.provided, needs.is_empty()) {
            (Provided::Base, _) => "always there".to_owned(),
            (_, true) => "nothing provides it".to_owned(),
            (_, false) => format!("needs {}", needs.join(" or ")),
        };
        text.push_str(&format!("  {:<40} {needs}\n", import.import));
        for function in &import.functions {
            text.push_str(&format!("    {function}\n"));
        }
    }
    text.push_str("exports\n");
    for export in exports {
        text.push_str(&format!("  {}\n", escape(export)));
    }
    text
}
