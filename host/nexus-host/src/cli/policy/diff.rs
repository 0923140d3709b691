//! `nexus-host policy diff`: what a second policy allows that the first does not, and the reverse.

use std::path::PathBuf;

use clap::Args;
use nexus_policy::diff::{AppLine, Change, Effect};
use nexus_policy::policy::Subject;
use nexus_policy::{AppDiff, Consent, Gate, Policy, PolicyDiff, Topology};
use nexus_types::Instant;
use serde_json::json;

use super::super::app::{Candidate, engine_to_look};
use super::super::policies::{read, wall_time};
use super::super::publishers::Publishers;
use super::super::{CliError, Common, Kind, StateArgs, say};

const EXAMPLES: &str = "Examples:
  nexus-host policy diff /etc/nexus-host/policy.toml new.toml
  nexus-host policy diff old.toml new.toml --app weather.wasm --app mail.wasm
  nexus-host policy diff old.toml new.toml --app weather.wasm --manifest nexus.toml
  nexus-host policy diff old.toml new.toml --output json | jq '.data.wider'

The two files are compared alone, by what they mean: rules put in another order, renamed, split or
joined make no difference. What is said of every app holds for those without rules of their own, by
digest or publisher: --app says what an app with such rules gains and loses. + lets more happen, - less, ~ more or less as the target turns out.

Exit codes, as diff(1): 0 no difference in effect, 1 differences; 78 a file is wrong.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PolicyDiffArgs {
    /// The first policy
    #[arg(value_name = "OLD.toml")]
    old: PathBuf,
    /// The second policy
    #[arg(value_name = "NEW.toml")]
    new: PathBuf,
    /// Say also what this app would gain and lose
    #[arg(long, value_name = "APP.wasm")]
    app: Vec<PathBuf>,
    /// The manifest of the one --app [default: the one it carries]
    #[arg(long, value_name = "FILE", requires = "app")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn diff(args: &PolicyDiffArgs) -> Result<u8, CliError> {
    if args.manifest.is_some() && args.app.len() > 1 {
        let message = "--manifest is the manifest of one app, and --app names several";
        return Err(CliError::new(Kind::Usage, message)
            .hint("compare for one app at a time, or leave --manifest away"));
    }
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let diff = PolicyDiff::of(&old, &new, wall_time());
    let apps = apps(args, [&old, &new])?;
    let mut text = text(&diff);
    for app in &apps {
        text.push_str(&app_text(app));
    }
    let data = json!({
        "old": old.source(),
        "new": new.source(),
        "differs": !diff.is_empty(),
        "wider": diff.wider(),
        "narrower": diff.narrower(),
        "diff": diff,
        "apps": apps,
    });
    say::answer(args.common.output, &text, data)?;
    Ok(u8::from(!diff.is_empty()))
}

fn apps(args: &PolicyDiffArgs, policies: [&Policy; 2]) -> Result<Vec<AppDiff>, CliError> {
    if args.app.is_empty() {
        return Ok(Vec::new());
    }
    let engine = engine_to_look()?;
    let mut cache = args.state.cache();
    let publishers = Publishers::of(policies);
    let mut apps = Vec::with_capacity(args.app.len());
    for app in &args.app {
        let candidate = Candidate::read(
            app,
            args.manifest.as_deref(),
            Some(&publishers),
            &engine,
            &mut cache,
        )?;
        // Each file is the only one: either may be the machine's.
        let [old, new] = policies.map(|policy| {
            let mut gate = Gate::new(Topology::default());
            gate.set_policies(Instant::ZERO, wall_time(), Policy::none(), policy.clone());
            candidate.examine(&gate, &Consent::default())
        });
        apps.push(AppDiff::of(&old, &new));
    }
    Ok(apps)
}

const fn mark(effect: Effect) -> char {
    match effect {
        Effect::Wider => '+',
        Effect::Narrower => '-',
        Effect::Mixed => '~',
    }
}

fn text(diff: &PolicyDiff) -> String {
    let mut out = String::new();
    for change in &diff.changes {
        out.push_str(&change_text(change));
    }
    for limit in &diff.limits {
        let mark = mark(limit.effect);
        out.push_str(&format!(
            "{mark} [limits] {}: at most {} -> {}\n",
            limit.key, limit.old, limit.new
        ));
    }
    for change in &diff.signatures {
        out.push_str(&format!(
            "{} {}\n    was  {}\n    is   {}\n",
            mark(change.effect),
            change.what,
            change.old,
            change.new
        ));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for (old, new) in &diff.renamed {
        out.push_str(&format!("renamed: {old} -> {new}\n"));
    }
    if diff.is_empty() {
        out.push_str(if diff.same_rules {
            "no difference in effect\n"
        } else {
            "no difference in effect: rules were put in another order, split, joined or written otherwise\n"
        });
        return out;
    }
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    };
    out.push_str(&format!(
        "{}: {} wider, {} narrower\n",
        count(diff.wider() + diff.narrower(), "difference"),
        diff.wider(),
        diff.narrower()
    ));
    out
}

fn change_text(change: &Change) -> String {
    let whom = match &change.app {
        Subject::Everyone => "every app that has no rules of its own".to_owned(),
        Subject::App(app) => format!("app {app}"),
        Subject::Publisher(key) => format!("publisher {key}"),
    };
    let mut out = format!(
        "{} {}  {}  {}\n",
        mark(change.effect),
        change.effect.as_str(),
        change.capability,
        change.to.join(", ")
    );
    out.push_str(&format!("    for  {whom}\n"));
    let time = match (&change.from, &change.until) {
        (None, None) => None,
        (Some(from), None) => Some(format!("from {} on", from.utc())),
        (None, Some(until)) => Some(format!("until {}", until.utc())),
        (Some(from), Some(until)) => Some(format!("from {} until {}", from.utc(), until.utc())),
    };
    if let Some(time) = time {
        out.push_str(&format!("    when {time}\n"));
    }
    for (word, outcome, rules) in [
        ("was ", &change.old, &change.old_rules),
        ("is  ", &change.new, &change.new_rules),
    ] {
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        let by = if rules.is_empty() {
            "no rule speaks of it".to_owned()
        } else {
            rules.join(", ")
        };
        out.push_str(&format!("    {word} {outcome}: {by}\n"));
    }
    out
}

fn app_text(app: &AppDiff) -> String {
    let starts = match (app.started, app.starts) {
        (true, true) => "starts under both",
        (false, false) => "starts under neither without a person's yes",
        (false, true) => "would start under the second alone",
        (true, false) => "would start under the first alone",
    };
    let mut out = format!("\n{} ({})\n  {starts}\n", app.app, app.digest);
    let mut lines = |mark: char, verb: &str, lines: &[AppLine]| {
        for line in lines {
            out.push_str(&format!(
                "  {mark} {verb}  {}: {} -> {} by {}\n",
                line.what, line.old, line.new, line.by
            ));
        }
    };
    lines('+', "gains", &app.gains);
    lines('-', "loses", &app.loses);
    lines('?', "is asked about", &app.asked);
    if app.is_empty() {
        out.push_str("  nothing changes for it\n");
    }
    out
}
