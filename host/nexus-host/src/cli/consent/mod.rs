//! Consent: who is asked what an operator leaves to a person, what they said, and `nexus-host consent`.

mod agent;
mod asking;
mod prompt;
pub(super) mod store;
mod terminal;
mod turn;

use clap::{Args, Subcommand};
use nexus_policy::explain::escape;
use nexus_policy::remembered::{Entry, Moment, Whose};
use nexus_types::AppDigest;
use serde_json::{Value, json};

pub(super) use agent::Script;
pub(super) use asking::{AskArgs, Asking, renew, scripted};
pub(super) use store::read;

use super::policies::wall_time;
use super::{CliError, Common, Kind, Output, StateArgs, say};

const EXAMPLES: &str = "Examples:
  nexus-host consent list                        what was answered, and what still holds
  nexus-host consent revoke 3f1c09aa             take one back: it is asked again
  nexus-host consent revoke --app com.example.weather
  nexus-host consent revoke --all

The answers are in consent.toml of the state folder: docs/guide/consent.md.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConsentArgs {
    #[command(subcommand)]
    verb: ConsentVerb,
}

#[derive(Subcommand)]
enum ConsentVerb {
    /// Show what was answered
    List(ListArgs),
    /// Take answers back
    Revoke(RevokeArgs),
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct RevokeArgs {
    /// Answers, by their ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All of one app, by what it calls itself or its digest; the digits that `list` shows are enough
    #[arg(long, value_name = "APP", env = "NEXUS_APP")]
    app: Option<String>,
    /// All of every app
    #[arg(long, env = "NEXUS_ALL", value_parser = clap::builder::BoolishValueParser::new())]
    all: bool,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    common: Common,
}

impl ConsentArgs {
    pub(super) fn output(&self) -> Output {
        match &self.verb {
            ConsentVerb::List(args) => args.common.output,
            ConsentVerb::Revoke(args) => args.common.output,
        }
    }
}

pub(super) fn consent(args: &ConsentArgs) -> Result<u8, CliError> {
    match &args.verb {
        ConsentVerb::List(args) => list(args),
        ConsentVerb::Revoke(args) => revoke(args),
    }
}

fn folder(state: &StateArgs) -> Result<std::path::PathBuf, CliError> {
    state.dir().ok_or_else(|| {
        CliError::new(Kind::Usage, "there is no state folder: HOME is not set")
            .hint("name it: --state DIR")
    })
}

fn list(args: &ListArgs) -> Result<u8, CliError> {
    let state = folder(&args.state)?;
    let remembered = read(&state)?;
    let path = store::path(&state).display().to_string();
    let boot = store::boot();
    let moment = Moment {
        boot: boot.as_deref(),
        now: wall_time(),
    };
    let entries = remembered.entries();
    let mut text = String::new();
    for entry in entries {
        let over = if entry.holds(&moment) { "" } else { "  (over)" };
        text.push_str(&format!("{}{over}\n", one(entry)));
    }
    if entries.is_empty() {
        text = format!("nothing is remembered in {}\n", escape(&path));
    }
    let answers: Vec<_> = entries.iter().map(|entry| data(entry, &moment)).collect();
    say::answer(
        args.common.output,
        &text,
        json!({"file": path, "answers": answers}),
    )?;
    Ok(0)
}

/// One answer, in a line.
fn one(entry: &Entry) -> String {
    let answer = &entry.answer;
    let whose = match entry.whose {
        Whose::Version(digest) => format!("sha256:{}…", digest.short()),
        Whose::Publisher(key) => format!("publisher {}", key.id()),
    };
    format!(
        "{}  {:<3}  {:<7}  {} ({whose})  {} {}  {} by {}",
        answer.id,
        if answer.yes { "yes" } else { "no" },
        answer.lifetime,
        escape(&entry.app),
        answer.capability,
        answer.rule,
        entry.given.utc(),
        answer.by,
    )
}

fn data(entry: &Entry, moment: &Moment<'_>) -> Value {
    let answer = &entry.answer;
    let (digest, publisher) = match entry.whose {
        Whose::Version(digest) => (Some(digest.to_string()), None),
        Whose::Publisher(key) => (None, Some(key.to_string())),
    };
    json!({
        "id": answer.id,
        "app": {"id": entry.app, "digest": digest, "publisher": publisher},
        "capability": answer.capability,
        "rule": answer.rule.to_string(),
        "answer": if answer.yes { "yes" } else { "no" },
        "lifetime": answer.lifetime,
        "holds": entry.holds(moment),
        "given": entry.given.utc(),
        "by": answer.by,
        "expires": answer.expires.map(|at| at.utc()),
    })
}

/// The fewest digits of a digest that are taken for one: as many as `list` shows.
const DIGITS_MIN: usize = 8;

/// The one digest that begins so, as `list` shows it: `sha256:9c1f22ab…`, with or without what is around the digits.
/// None: none does, or it is none.
///
/// # Errors
/// Several do.
fn by_short(entries: &[Entry], text: &str) -> Result<Option<AppDigest>, CliError> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let digits = digits.strip_suffix('…').unwrap_or(digits);
    if digits.len() < DIGITS_MIN || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let begin = format!("sha256:{}", digits.to_ascii_lowercase());
    let mut found: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry.whose {
            Whose::Version(digest) => Some(digest),
            Whose::Publisher(_) => None,
        })
        .filter(|digest| digest.to_string().starts_with(&begin))
        .collect();
    found.sort_by_key(|digest| digest.0);
    found.dedup();
    match found[..] {
        [] => Ok(None),
        [digest] => Ok(Some(digest)),
        _ => {
            let message = format!(
                "{} versions begin with `{digits}`; nothing was revoked",
                found.len()
            );
            Err(CliError::new(Kind::Usage, message).hint(
                "give more of the digest: nexus-host consent list --output json has it whole",
            ))
        }
    }
}

fn revoke(args: &RevokeArgs) -> Result<u8, CliError> {
    let state = folder(&args.state)?;
    if args.ids.is_empty() && args.app.is_none() && !args.all {
        let hint = "name answers by their ids (nexus-host consent list shows them), or --app APP, or --all";
        return Err(CliError::new(Kind::Usage, "nothing is to be revoked").hint(hint));
    }
    // Before a folder is made for a file that is not there.
    let known = read(&state)?;
    let there = |id: &&String| known.entries().iter().any(|entry| entry.answer.id == **id);
    if let Some(id) = args.ids.iter().find(|id| !there(id)) {
        let message = format!("no answer is called `{}`; nothing was revoked", escape(id));
        return Err(CliError::new(Kind::Usage, message).hint("nexus-host consent list shows them"));
    }
    let digest = match &args.app {
        Some(app) => by_short(known.entries(), app)?,
        None => None,
    };
    let of_app = |entry: &Entry, app: &str| {
        let version = match entry.whose {
            Whose::Version(digest) => Some(digest),
            Whose::Publisher(_) => None,
        };
        entry.app == app || (digest.is_some() && version == digest)
    };
    if let Some(app) = &args.app
        && !args.all
        && args.ids.is_empty()
        && !known.entries().iter().any(|entry| of_app(entry, app))
    {
        let message = format!("nothing is remembered of an app `{}`", escape(app));
        return Err(CliError::new(Kind::Usage, message).hint("nexus-host consent list shows them"));
    }
    let gone = if known.entries().is_empty() {
        Vec::new()
    } else {
        let goes = |entry: &Entry| {
            args.all
                || args.ids.contains(&entry.answer.id)
                || args.app.as_deref().is_some_and(|app| of_app(entry, app))
        };
        store::change(&state, |remembered| remembered.remove(goes))?.1
    };
    let mut text: String = gone
        .iter()
        .map(|entry| format!("revoked  {}\n", one(entry)))
        .collect();
    if gone.is_empty() {
        text.push_str("nothing was remembered\n");
    } else {
        text.push_str("hosts that run take it back at: nexus-host policy reload\n");
    }
    let ids: Vec<_> = gone.iter().map(|entry| &entry.answer.id).collect();
    say::answer(args.common.output, &text, json!({"revoked": ids}))?;
    Ok(0)
}
