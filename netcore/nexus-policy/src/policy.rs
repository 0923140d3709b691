//! `policy.toml`: what the operator forbids, leaves to a person, or allows.
//!
//! ```toml
//! [[rule]]
//! id = "lan-weather"
//! app = { id = "com.example.weather", digest = "sha256:…" }   # no app = every app
//! capability = "network.tcp.connect"
//! verdict = "allow"                   # forbid | ask | allow
//! to = ["api.example.com:443"]        # forbid and ask: nothing named = everything
//! expires = "2027-01-01T00:00:00Z"
//!
//! [[publisher]]                       # see publisher.rs
//! name = "acme"
//! key = "RW…"
//!
//! [limits]                            # the most any app may ask
//! memory = "256MiB"
//! ```
//!
//! An app is known by its digest, or by the publisher whose signature over it was verified:
//! `app = { publisher = "…" }`, which holds for the next version as well. The id is written for
//! people, and a rule that has only an id is refused: any app could call itself that.

use std::collections::{BTreeMap, BTreeSet};

use nexus_types::AppDigest;
use nexus_types::limits::POLICY_BYTES;
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::capability::Capability;
use crate::config::{ConfigError, Reader, get, join};
use crate::explain::escape;
use crate::gate::AppIdentity;
use crate::keys;
use crate::limits::LimitsAsked;
use crate::manifest::read_rules;
use crate::publisher::{Publisher, PublisherKey, read_named, read_publishers};
use crate::rule::Rule;
use crate::wall::WallTime;

/// Rules in one policy. Stops a generated file from taking the host's memory.
pub const POLICY_RULES_MAX: usize = 65_536;

/// What an operator's rule says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No, whatever anybody else says.
    Forbid,
    /// Only if a person says yes.
    Ask,
    /// Yes, if the app's manifest asks.
    Allow,
}

impl Verdict {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbid => "forbid",
            Self::Ask => "ask",
            Self::Allow => "allow",
        }
    }
}

/// One operator's file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    source: Option<String>,
    rules: Vec<PolicyRule>,
    limits: LimitsAsked,
    require_signature: bool,
    publishers: Vec<Publisher>,
}

/// Whom a rule is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// Every app.
    Everyone,
    /// One version of one app.
    App(AppDigest),
    /// Every app that this key has signed.
    Publisher(PublisherKey),
}

impl Subject {
    /// Whether `app` is meant.
    pub fn concerns(&self, app: &AppIdentity) -> bool {
        match self {
            Self::Everyone => true,
            Self::App(digest) => *digest == app.digest,
            Self::Publisher(key) => app.publisher == Some(*key),
        }
    }
}

/// One `[[rule]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyRule {
    /// What reports call it.
    pub id: String,
    /// Its line, from 1.
    pub line: u32,
    /// Whom it is for.
    pub app: Subject,
    /// What it is about.
    pub capability: Capability,
    /// What it says.
    pub verdict: Verdict,
    /// To which targets; none: to all.
    pub to: Option<Vec<Rule>>,
    /// When it ends to hold.
    pub expires: Option<WallTime>,
}

impl Policy {
    /// Reads a policy. `source` is what to call it in texts: its path.
    pub fn parse(text: &str, source: &str) -> Result<Self, ConfigError> {
        let (mut reader, root) = Reader::open(text, source, POLICY_BYTES)?;
        reader.only(&root, "", &keys::POLICY);
        let publishers = read_publishers(&mut reader, &root);
        let require_signature = read_require(&mut reader, &root);
        let rules = read_all(&mut reader, &root, &publishers);
        let limits = LimitsAsked::read(&mut reader, &root);
        let source = Some(reader.source().to_owned());
        reader.finish(Some(Self {
            source,
            rules,
            limits,
            require_signature,
            publishers,
        }))
    }

    /// The policy of an operator who wrote none.
    pub fn none() -> Self {
        Self::default()
    }

    /// What it is called in texts; `None` for [`Policy::none`].
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Its rules, in the order of the file.
    pub fn rules(&self) -> &[PolicyRule] {
        &self.rules
    }

    /// Whether an app without a signature by one of [`Policy::publishers`] may not start.
    pub fn requires_signature(&self) -> bool {
        self.require_signature
    }

    /// Those it lists under `[[publisher]]`.
    pub fn publishers(&self) -> &[Publisher] {
        &self.publishers
    }

    /// Every key it knows, listed or in a rule: an app's signature is verified by these.
    pub fn publisher_keys(&self) -> BTreeSet<PublisherKey> {
        let listed = self.publishers.iter().map(|publisher| publisher.key);
        let in_rules = self.rules.iter().filter_map(|rule| match rule.app {
            Subject::Publisher(key) => Some(key),
            _ => None,
        });
        listed.chain(in_rules).collect()
    }

    /// The most an app may ask.
    pub fn limits(&self) -> &LimitsAsked {
        &self.limits
    }
}

/// `require-signature`. Without a publisher no app could start, which nobody means.
fn read_require(reader: &mut Reader<'_>, root: &DeTable<'_>) -> bool {
    let required = reader.boolean(root, "", "require-signature") == Some(true);
    if required
        && let (Some(value), None) = (get(root, "require-signature"), get(root, "publisher"))
    {
        let message = "no publisher is listed, so no app could start";
        let help = "say whose signature is enough: [[publisher]], with a name and a key";
        reader.problem(
            value.span(),
            "require-signature",
            message,
            Some(help.to_owned()),
        );
    }
    required
}

fn read_all(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    publishers: &[Publisher],
) -> Vec<PolicyRule> {
    let Some(value) = get(root, "rule") else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        reader.problem(
            value.span(),
            "rule",
            "each rule begins with [[rule]], in two brackets",
            None,
        );
        return Vec::new();
    };
    if items.len() > POLICY_RULES_MAX {
        reader.problem(
            value.span(),
            "rule",
            format!(
                "there are {} rules; the most is {POLICY_RULES_MAX}",
                items.len()
            ),
            None,
        );
        return Vec::new();
    }
    let mut rules = Vec::with_capacity(items.len());
    let mut ids: BTreeMap<String, u32> = BTreeMap::new();
    let mut contents: BTreeMap<Content, String> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("rule[{index}]");
        let Some(rule) = read_rule(reader, item, &path, publishers) else {
            continue;
        };
        if let Some(line) = ids.insert(rule.id.clone(), rule.line) {
            let message = format!(
                "the id `{}` is used by the rule in line {line} already",
                rule.id
            );
            reader.problem(item.span(), &join(&path, "id"), message, None);
        }
        if let Some(other) = contents.insert(Content::of(&rule), rule.id.clone()) {
            reader.problem(
                item.span(),
                &path,
                format!("it says the same as the rule `{other}`"),
                None,
            );
        }
        rules.push(rule);
    }
    rules
}

/// All of a rule but its name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content(
    Subject,
    Capability,
    Verdict,
    Option<BTreeSet<Rule>>,
    Option<WallTime>,
);

impl Content {
    pub(crate) fn of(rule: &PolicyRule) -> Self {
        let to = rule.to.as_ref().map(|to| to.iter().cloned().collect());
        Self(rule.app, rule.capability, rule.verdict, to, rule.expires)
    }
}

fn read_rule(
    reader: &mut Reader<'_>,
    item: &Spanned<DeValue<'_>>,
    path: &str,
    publishers: &[Publisher],
) -> Option<PolicyRule> {
    let DeValue::Table(table) = item.get_ref() else {
        reader.wrong_type(item, path, "a table", item.get_ref());
        return None;
    };
    reader.only(table, path, &keys::RULE);
    for key in keys::required(keys::RULE.keys) {
        if get(table, key).is_none() {
            reader.problem(item.span(), &join(path, key), "the key is missing", None);
        }
    }
    let id = reader.string(table, path, "id").and_then(|(id, at)| {
        let good = (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if !good {
            let message = "an id is 1 to 128 letters, digits, dots, hyphens and underscores";
            reader.problem(at, &join(path, "id"), message, None);
        }
        good.then(|| id.to_owned())
    });
    let app = read_app(reader, table, path, publishers);
    let capability = reader
        .string(table, path, "capability")
        .and_then(|(name, at)| {
            Capability::parse(name)
                .map_err(|unknown| {
                    let help = unknown
                        .suggestion
                        .map(|meant| format!("did you mean `{meant}`?"));
                    let message = format!("no capability is called `{}`", escape(name));
                    reader.problem(at, &join(path, "capability"), message, help);
                })
                .ok()
        });
    let verdict = reader
        .string(table, path, "verdict")
        .and_then(|(word, at)| {
            let verdict = [Verdict::Forbid, Verdict::Ask, Verdict::Allow]
                .into_iter()
                .find(|v| v.as_str() == word);
            if verdict.is_none() {
                let help = matches!(word, "deny" | "denied" | "block")
                    .then(|| "did you mean `forbid`?".to_owned());
                let message = format!(
                    "`{}` is no verdict; it is `forbid`, `ask` or `allow`",
                    escape(word)
                );
                reader.problem(at, &join(path, "verdict"), message, help);
            }
            verdict
        });
    let to = match (get(table, "to"), capability) {
        (Some(_), Some(capability)) => Some(read_rules(reader, table, path, "to", capability)),
        _ => None,
    };
    if get(table, "to").is_none() && verdict == Some(Verdict::Allow) {
        let example = capability.map_or("api.example.com:443", |capability| {
            capability.parameter().examples()[0]
        });
        reader.problem(
            item.span(),
            &join(path, "to"),
            "an `allow` names its targets",
            Some(format!("say what it allows: to = [\"{example}\"]")),
        );
    }
    let expires = read_expires(reader, table, path);
    let (line, _) = reader.position(item.span().start);
    Some(PolicyRule {
        id: id?,
        line,
        app: app?,
        capability: capability?,
        verdict: verdict?,
        to,
        expires,
    })
}

/// Whom a rule is for; `None`: that cannot be told.
fn read_app(
    reader: &mut Reader<'_>,
    rule: &DeTable<'_>,
    path: &str,
    publishers: &[Publisher],
) -> Option<Subject> {
    if get(rule, "app").is_none() {
        return Some(Subject::Everyone);
    }
    let table = reader.table(rule, path, "app")?;
    let path = join(path, "app");
    reader.only(table, &path, &keys::RULE_APP);
    if get(table, "publisher").is_some() {
        // Taken for narrower than it is, an allow would be too wide.
        for key in ["id", "digest"] {
            if let Some(value) = get(table, key) {
                let message = "a rule for a publisher is for all that they sign";
                let help = "name the publisher, or one version of one app by its digest";
                reader.problem(
                    value.span(),
                    &join(&path, key),
                    message,
                    Some(help.to_owned()),
                );
            }
        }
        return read_named(reader, table, &path, publishers).map(Subject::Publisher);
    }
    let _for_people = reader.string(table, &path, "id");
    let Some((text, at)) = reader.string(table, &path, "digest") else {
        if get(table, "digest").is_none()
            && let Some(app) = get(rule, "app")
        {
            let message = "an app is known by its digest; an id is only what it calls itself";
            let help = "add digest = \"sha256:…\" (`nexus-host inspect APP` shows it), or name the publisher who signs it";
            reader.problem(app.span(), &path, message, Some(help.to_owned()));
        }
        return None;
    };
    let digest = AppDigest::parse(text);
    if digest.is_none() {
        let message = format!(
            "`{}` is no digest; it is `sha256:` and 64 hexadecimal digits",
            escape(text)
        );
        reader.problem(at, &join(&path, "digest"), message, None);
    }
    digest.map(Subject::App)
}

/// A string or a TOML date-time, both RFC 3339 with an offset.
fn read_expires(reader: &mut Reader<'_>, table: &DeTable<'_>, path: &str) -> Option<WallTime> {
    let value = get(table, "expires")?;
    let moment = match value.get_ref() {
        DeValue::String(text) => WallTime::parse(text),
        DeValue::Datetime(moment) => WallTime::parse(&moment.to_string()),
        _ => None,
    };
    if moment.is_none() {
        let message = "this is no moment; write \"2027-01-01T00:00:00Z\"";
        reader.problem(value.span(), &join(path, "expires"), message, None);
    }
    moment
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
