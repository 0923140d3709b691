//! `nexus-host check`: manifest, imports and policy held side by side, without running anything.

use std::path::PathBuf;

use clap::Args;
use nexus_policy::Admission;
use nexus_policy::admission::{Provided, Standing};

use super::app::{GrantArgs, Looked};
use super::{CliError, Common, Kind, Output, StateArgs, say};

const EXAMPLES: &str = "Examples:
  nexus-host check app.wasm                              would it start, and with what?
  nexus-host check app.wasm --manifest nexus.toml --allow-manifest
  nexus-host check app.wasm --output json | jq '.data.missing'

Exit codes: 0 it would start, 77 it would not, 78 bad manifest or policy.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// The component
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    /// The manifest [default: the one the component carries]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn check(args: &CheckArgs) -> Result<u8, CliError> {
    let Looked {
        policies,
        candidate,
        consent,
    } = Looked::at(
        &args.app,
        args.manifest.as_deref(),
        &args.grants,
        &args.state,
    )?;
    let admission = candidate.examine(&policies.gate(), &consent);
    let refused =
        (!admission.admitted).then(|| CliError::new(Kind::Refused, admission.text().trim_end()));
    match args.common.output {
        Output::Text => {
            say::answer(Output::Text, &text(&admission), serde_json::Value::Null)?;
            if let Some(error) = &refused {
                error.say(Output::Text);
            }
        }
        Output::Json => {
            let data = serde_json::to_value(&admission)
                .map_err(|error| CliError::new(Kind::Host, error))?;
            say::envelope(data, refused.as_ref())?;
        }
    }
    Ok(refused.map_or(0, |error| error.kind.exit_code()))
}

pub(super) const fn provided(provided: Provided) -> &'static str {
    match provided {
        Provided::Base => "always there",
        Provided::Granted => "granted",
        Provided::Stub => "not granted (optional): answers denied",
        Provided::Missing => "missing",
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Granted => "granted",
        Standing::Narrowed => "granted in part",
        Standing::ConsentRequired => "consent required",
        Standing::ConsentDenied => "a person said no",
        Standing::OperatorDenied => "operator denied",
        Standing::NotGranted => "not asked for",
        Standing::Absent => "not in this build",
    }
}

/// The table for people. Why something is missing, and the fixes, are the refusal's own text.
fn text(admission: &Admission) -> String {
    let mut out = format!(
        "{} ({})\n  publisher {}\n  manifest  {}\n",
        admission.app,
        admission.digest,
        admission.publisher.as_ref().map_or_else(
            || "not known".to_owned(),
            |publisher| match &publisher.name {
                Some(name) => format!("{name} ({})", publisher.key),
                None => publisher.key.to_string(),
            }
        ),
        admission.manifest.as_deref().unwrap_or("none"),
    );
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line("imports".into());
    for import in &admission.imports {
        line(format!(
            "  {:<40} {}",
            import.import,
            provided(import.provided)
        ));
    }
    if !admission.capabilities.is_empty() {
        line("capabilities".into());
    }
    for capability in &admission.capabilities {
        let optional = if capability.optional {
            ", optional"
        } else {
            ""
        };
        line(format!(
            "  {:<40} {}{optional}",
            capability.capability.as_str(),
            standing(capability.standing)
        ));
        for rule in &capability.rules {
            line(format!(
                "    {:<38} {} by {}",
                rule.rule,
                standing(rule.standing),
                rule.by
            ));
            for narrowing in &rule.narrowed_by {
                line(format!("      but {narrowing}"));
            }
        }
    }
    for (title, items) in [
        ("folders", &admission.directories),
        ("variables", &admission.variables),
    ] {
        if !items.is_empty() {
            line(title.into());
        }
        for item in items {
            line(format!(
                "  {:<40} {} by {}",
                item.item,
                standing(item.standing),
                item.by
            ));
        }
    }
    line("limits".into());
    for limit in &admission.limits_by {
        let most = match &limit.cap {
            Some(cap) => format!("; {cap} at most, by {}", limit.cap_by),
            None => String::new(),
        };
        let by = match (limit.by.as_str(), limit.value.as_str()) {
            ("nobody", none) => none.to_owned(),
            (by, value) => format!("{value:<8} by {by}{most}"),
        };
        line(format!("  {:<16} {by}", limit.key));
    }
    for note in &admission.notes {
        line(format!("note: {note}"));
    }
    if admission.admitted {
        line("it would start".into());
    }
    out
}
