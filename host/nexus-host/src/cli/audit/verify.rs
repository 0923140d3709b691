//! `nexus-host audit verify`: is the log as its hosts left it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{LogArgs, shown, unreadable};
use crate::cli::{CliError, Common, Kind, Output, say};
use crate::observe::audit::verify::{Chain, Check, verify_files, verify_state};
use crate::observe::audit::{Place, PublicKey, SegmentName};

const EXAMPLES: &str = "Examples:
  nexus-host audit verify                            the log of the user's state folder
  nexus-host audit verify --public-key 3f0c...       with the key you wrote down, not the one that lies beside it
  nexus-host audit verify --heads copies/heads --public-key audit.pub
                                                     against copies of its heads that were kept elsewhere, too
  nexus-host audit verify copies/*.jsonl --heads copies/heads --public-key audit.pub
                                                     copies of some segments alone

Exits with 0 if nothing is wrong, with 1 if anything is: each finding names its file and line. A chain that says
itself that records could not be kept is INCOMPLETE, which is 1, too.
Notes are no faults. What this can and cannot show: docs/guide/audit.md.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// Segments to check instead of a whole state folder; their names say where in a chain they belong
    #[arg(value_name = "FILES")]
    files: Vec<PathBuf>,
    /// A folder with copies of heads. Of a whole state folder: everything they speak for must be there. Of FILES: their
    /// heads, without which a cut tail does not show
    #[arg(long, value_name = "DIR", env = "NEXUS_HEADS")]
    heads: Option<PathBuf>,
    /// The key the heads are signed with: a file, or 64 hexadecimal digits [default: keys/audit.pub of the state folder]
    #[arg(long, value_name = "KEY", env = "NEXUS_PUBLIC_KEY")]
    public_key: Option<String>,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn verify(args: &VerifyArgs) -> Result<u8, CliError> {
    let (chains, key) = if args.files.is_empty() {
        of_state(args)?
    } else {
        of_files(args)?
    };
    let broken = chains
        .iter()
        .filter(|chain| !chain.findings.is_empty())
        .count();
    let incomplete = chains.iter().filter(|chain| chain.dropped > 0).count();
    let lacks = (incomplete > 0).then(|| {
        let of = count(chains.len(), "chain");
        let message = format!(
            "the audit log lacks records that its hosts could not keep: {incomplete} of {of}"
        );
        CliError::new(Kind::Host, message)
            .hint("see what the disk was short of then; what was allowed meanwhile is not known")
    });
    let error = (broken > 0).then(|| {
        let message = format!("the audit log is not as it was left: {broken} of {}", count(chains.len(), "chain"));
        CliError::new(Kind::Host, message)
            .hint("keep a copy of the state folder as it is; compare with copies of the log and of its heads kept elsewhere")
    });
    let error = error.or(lacks);
    let data = json!({
        "key": key.as_ref().map(|key| key.id().to_string()),
        "chains": chains.iter().map(of_chain).collect::<Vec<_>>(),
    });
    match (args.common.output, error) {
        (Output::Text, error) => {
            say::answer(Output::Text, &text(&chains, key.as_ref()), json!(null))?;
            error.map_or(Ok(0), Err)
        }
        (Output::Json, error) => {
            say::envelope(data, error.as_ref())?;
            Ok(u8::from(error.is_some()))
        }
    }
}

impl VerifyArgs {
    /// The folder of `--heads`.
    fn heads_dir(&self) -> Result<Option<&Path>, CliError> {
        match self.heads.as_deref() {
            Some(heads) if !heads.is_dir() => {
                let message = format!("{}: is no folder", shown(heads));
                Err(CliError::new(Kind::Usage, message))
            }
            heads => Ok(heads),
        }
    }

    /// The key to check with: the one given, or that of the state folder.
    fn key(&self, place: Option<&Place>) -> Result<PublicKey, CliError> {
        let path = match (&self.public_key, place) {
            (Some(text), _) => match PublicKey::parse(text) {
                Some(key) => return Ok(key),
                None => PathBuf::from(text),
            },
            (None, Some(place)) => place.public_key(),
            (None, None) => {
                let message = "heads are checked with the key they were signed with";
                return Err(CliError::new(Kind::Usage, message)
                    .hint("give --public-key, the audit.pub of the host's state folder"));
            }
        };
        PublicKey::read(&path).map_err(|error| {
            unreadable(&path, &error)
                .hint("give --public-key: the host's audit.pub, or the 64 hexadecimal digits in it")
        })
    }
}

fn of_state(args: &VerifyArgs) -> Result<(Vec<Chain>, Option<PublicKey>), CliError> {
    let copies = args.heads_dir()?;
    let place = args.log.place_named()?;
    if copies.is_none() && !place.has_heads() {
        args.log.place()?;
    }
    let key = args.key(Some(&place))?;
    let chains = verify_state(&place, &key, copies);
    let chains = chains.map_err(|error| unreadable(&place.log, &error))?;
    Ok((chains, Some(key)))
}

fn of_files(args: &VerifyArgs) -> Result<(Vec<Chain>, Option<PublicKey>), CliError> {
    let mut segments = BTreeMap::new();
    for path in &args.files {
        let usage =
            |message: &str| CliError::new(Kind::Usage, format!("{}: {message}", shown(path)));
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(SegmentName::of_log);
        let name = name.ok_or_else(|| {
            usage("is not named as a segment of a log is")
                .hint("give files as the host named them: CHAIN.000001.jsonl, CHAIN.000002.jsonl")
        })?;
        if segments.insert(name, path.clone()).is_some() {
            return Err(usage("another file of that name was given, too"));
        }
    }
    let heads = match args.heads_dir()? {
        Some(heads) => Some((Place::of_heads(heads), args.key(None)?)),
        None => None,
    };
    let check = Check {
        segments: &segments,
        heads: heads.as_ref().map(|(place, key)| (place, key)),
        all: false,
    };
    let chains = verify_files(check).map_err(|error| CliError::new(Kind::Host, error))?;
    Ok((chains, heads.map(|(_, key)| key)))
}

fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn text(chains: &[Chain], key: Option<&PublicKey>) -> String {
    let mut text = String::new();
    for chain in chains {
        let verdict = if !chain.findings.is_empty() {
            "BROKEN"
        } else if chain.dropped > 0 {
            "INCOMPLETE"
        } else {
            "good"
        };
        text.push_str(&format!(
            "{verdict:<6}  {}  {}, {} records",
            chain.name,
            count(chain.segments, "segment"),
            chain.records
        ));
        if chain.signed > 0 {
            text.push_str(&format!(", signed up to record {}", chain.signed));
        }
        if chain.dropped > 0 {
            text.push_str(&format!(
                "; {} could not be kept, as it says itself",
                chain.dropped
            ));
        }
        text.push('\n');
        for finding in &chain.findings {
            text.push_str(&format!("  {finding}\n"));
        }
        for note in &chain.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
    }
    if chains.is_empty() {
        text.push_str("nothing was recorded yet\n");
    }
    if let Some(key) = key {
        text.push_str(&format!("heads checked with key {} ({key})\n", key.id()));
    }
    text
}

fn of_chain(chain: &Chain) -> serde_json::Value {
    let findings: Vec<_> = chain
        .findings
        .iter()
        .map(|finding| {
            json!({
                "file": finding.file.display().to_string(),
                "line": finding.line,
                "message": finding.fault.to_string(),
            })
        })
        .collect();
    json!({
        "chain": chain.name,
        "ok": chain.findings.is_empty(),
        "complete": chain.dropped == 0,
        "segments": chain.segments,
        "records": chain.records,
        "records_dropped": chain.dropped,
        "signed_up_to": chain.signed,
        "findings": findings,
        "notes": chain.notes,
    })
}
