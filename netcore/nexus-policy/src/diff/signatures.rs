//! Which apps may start by who signed them: `require-signature` and the publishers listed beside it.
//!
//! A list without the requirement keeps nobody out; what its keys may is said by rules, which are
//! compared as rules.

use serde::Serialize;

use super::Effect;
use crate::policy::Policy;
use crate::publisher::Publisher;

/// One difference in who must have signed an app.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SignatureChange {
    /// `require-signature`, or the publisher.
    pub what: String,
    /// What holds under the first policy.
    pub old: String,
    /// What holds under the second.
    pub new: String,
    /// Which way that goes.
    pub effect: Effect,
}

/// All of them.
pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<SignatureChange> {
    let required = |policy: &Policy| match policy.requires_signature() {
        true => format!("on: only what {} signed starts", names(policy)),
        false => "off: apps start unsigned".to_owned(),
    };
    match (old.requires_signature(), new.requires_signature()) {
        (false, false) => Vec::new(),
        (true, true) => {
            let only = |of: &Policy, other: &Policy, effect| -> Vec<_> {
                let mut keys = Vec::new();
                let missing = |publisher: &&Publisher| {
                    let known = other.publishers().iter().any(|p| p.key == publisher.key);
                    !known
                };
                for publisher in of.publishers().iter().filter(missing) {
                    if !keys.contains(&publisher.key) {
                        keys.push(publisher.key);
                    }
                }
                let word = |listed: bool| match listed {
                    true => "listed: its apps start".to_owned(),
                    false => "not listed: its apps do not start".to_owned(),
                };
                let change = |key| {
                    let publisher = of.publishers().iter().find(|p| p.key == key);
                    let name = publisher.map_or("", |publisher| publisher.name.as_str());
                    SignatureChange {
                        what: format!("publisher {name} ({key})"),
                        old: word(effect == Effect::Narrower),
                        new: word(effect == Effect::Wider),
                        effect,
                    }
                };
                keys.into_iter().map(change).collect()
            };
            let mut all = only(new, old, Effect::Wider);
            all.extend(only(old, new, Effect::Narrower));
            all
        }
        (before, _) => vec![SignatureChange {
            what: "require-signature".to_owned(),
            old: required(old),
            new: required(new),
            effect: if before {
                Effect::Wider
            } else {
                Effect::Narrower
            },
        }],
    }
}

/// What those a policy lists are called; a few, for a line has an end.
fn names(policy: &Policy) -> String {
    let listed = policy.publishers();
    let mut names: Vec<_> = listed.iter().map(|p| p.name.as_str()).take(3).collect();
    let more = format!("{} more", listed.len() - names.len());
    if listed.len() > names.len() {
        names.push(&more);
    }
    names.join(", ")
}
