//! `--mode learn`: what a run used, as the smallest manifest that would have allowed it. For review: nothing
//! applies it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use nexus_types::HostName;
use nexus_types::limits::RULES_PER_CAPABILITY;

use crate::address::AddressClass;
use crate::capability::{Capability, Class};
use crate::decide::Act;
use crate::parameter::url::UrlRule;
use crate::refuse::{self, suggestion};
use crate::rule::{Destination, HostPattern, Rule};

/// Names kept that were only looked up; see [`RULES_PER_CAPABILITY`] for rules. Stops an app that tries every name
/// there is from filling the host's memory.
const NAMES_MAX: usize = RULES_PER_CAPABILITY as usize;

/// What apps used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Learnt {
    rules: BTreeMap<Capability, BTreeSet<Rule>>,
    /// Looked up, whether or not anything was sent there.
    names: BTreeMap<Capability, BTreeSet<HostName>>,
    /// Acts that no rule was kept for, as there were too many, or no rule can name them.
    left_out: u64,
}

impl Learnt {
    /// Keeps what an act that was let happen needs. `class`: of its far end. `bound`: a name the far end is known by,
    /// where the act said none.
    pub(crate) fn add(
        &mut self,
        act: &Act<'_>,
        class: Option<AddressClass>,
        bound: Option<HostName>,
    ) {
        let capability = act.capability();
        let act = match (*act, &bound) {
            (Act::Connect { remote, name: None }, Some(name)) => Act::Connect {
                remote,
                name: Some(name),
            },
            (Act::UdpSend { remote, name: None }, Some(name)) => Act::UdpSend {
                remote,
                name: Some(name),
            },
            // An accepted connection needs what its listener needed, an answer what the binding did.
            // A lookup or a connection of a request needs what the request did.
            (
                Act::Accept { .. }
                | Act::UdpAnswer { .. }
                | Act::UdpOpen
                | Act::RequestConnect { .. },
                _,
            ) => return,
            (Act::Resolve { .. }, _) if capability == Capability::NetworkHttpRequest => return,
            (Act::Resolve { name, .. }, _) => {
                let names = self.names.entry(capability).or_default();
                if names.len() < NAMES_MAX || names.contains(name) {
                    names.insert(name.clone());
                } else {
                    self.left_out += 1;
                }
                return;
            }
            (act, _) => act,
        };
        let rule = suggestion(&act, class).and_then(|text| Rule::parse(capability, &text).ok());
        let rules = self.rules.entry(capability).or_default();
        let rule = rule.map(|rule| with_methods(rules, rule));
        match rule {
            Some(rule) if rules.contains(&rule) => {}
            Some(rule) if rules.len() < RULES_PER_CAPABILITY as usize => {
                rules.insert(rule);
            }
            _ => self.left_out += 1,
        }
    }

    /// Whether nothing was used.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.names.is_empty()
    }

    /// What no rule was kept for.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The rules of one capability, and a rule for each name that was looked up and nothing was sent to.
    pub fn rules(&self, capability: Capability) -> Vec<Rule> {
        let [used, looked_up] = self.used(capability);
        used.into_iter().chain(looked_up).collect()
    }

    /// The rules of what was reached or opened, and those of names that were looked up alone.
    fn used(&self, capability: Capability) -> [Vec<Rule>; 2] {
        let rules: Vec<_> = self
            .rules
            .get(&capability)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let named = |name: &HostName| {
            rules.iter().any(|rule| {
                matches!(rule, Rule::Destination(Destination { host: HostPattern::Name(n), .. }) if n == name)
            })
        };
        let looked_up = self
            .names
            .get(&capability)
            .into_iter()
            .flatten()
            .filter(|name| !named(name))
            .filter_map(|name| Some(format!("{}:443", refuse::named(name)?)))
            .filter_map(|text| Rule::parse(capability, &text).ok())
            .collect();
        [rules, looked_up]
    }

    /// A manifest that asks for what was used, and calls `imported` of which nothing was used optional.
    /// `id` and `version`: of the app; of an app without a manifest its file's name, which is made an id. `rest`: what its manifest says beside capabilities, kept as it is.
    pub fn manifest(
        &self,
        id: &str,
        version: Option<&str>,
        imported: &[Capability],
        rest: &str,
    ) -> String {
        let used: Vec<_> = Capability::ALL
            .into_iter()
            .filter(|capability| !self.rules(*capability).is_empty())
            .collect();
        let unused: Vec<_> = imported.iter().filter(|c| !used.contains(c)).collect();
        let system = |capability: &Capability| capability.class() == Class::System;
        let class = if used.iter().any(system) || unused.iter().any(|c| system(c)) {
            "system"
        } else {
            "app"
        };
        let mut out = format!("[app]\nid = \"{}\"\n", id_of(id));
        // Writing to a String cannot fail.
        if let Some(version) = version {
            let _ = writeln!(out, "version = \"{version}\"");
        }
        let _ = writeln!(out, "class = \"{class}\"");
        for capability in &used {
            let _ = writeln!(out, "\n[capabilities.\"{capability}\"]\nallow = [");
            let [used, looked_up] = self.used(*capability);
            for rule in used {
                let _ = writeln!(out, "  \"{rule}\",");
            }
            for rule in looked_up {
                let _ = writeln!(
                    out,
                    "  \"{rule}\", # looked up, and nothing was opened there by this name: the port is a guess"
                );
            }
            out.push_str("]\n");
        }
        for capability in unused {
            let _ = write!(
                out,
                "\n# Imported, and not used in this run.\n[capabilities.\"{capability}\"]\noptional = true\n"
            );
        }
        if !rest.is_empty() {
            let _ = write!(out, "\n{rest}");
        }
        out
    }
}

/// A rule for a request: of one that is there for the same URL the methods become its own, and it is taken out.
fn with_methods(rules: &mut BTreeSet<Rule>, rule: Rule) -> Rule {
    let Rule::Url(new) = &rule else {
        return rule;
    };
    let same = rules.iter().find_map(|old| match old {
        Rule::Url(old) if (&old.origin, &old.path) == (&new.origin, &new.path) => Some(old.clone()),
        _ => None,
    });
    let Some(old) = same else {
        return rule;
    };
    let methods = old.methods.union(new.methods);
    let joined = UrlRule {
        methods,
        ..old.clone()
    };
    if joined != old {
        rules.remove(&Rule::Url(old));
    }
    Rule::Url(joined)
}

/// The letters an id of a manifest can have; others are `-`.
fn id_of(text: &str) -> String {
    let id: String = text
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+') => c,
            _ => '-',
        })
        .take(128)
        .collect();
    if id.is_empty() { "app".to_owned() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    /// Goal: what nothing was used of is a manifest that asks for nothing, whatever the app's file is called.
    /// Method: names of files that are no ids; each manifest is read back.
    #[test]
    fn a_run_that_used_nothing_asks_for_nothing() {
        for (name, id) in [
            ("weather", "weather"),
            ("my app\u{202e} \"1\"", "my-app---1-"),
            ("", "app"),
            (&"x".repeat(129), &"x".repeat(128)),
        ] {
            let text = Learnt::default().manifest(name, None, &[Capability::NetworkTcpListen], "");
            let manifest = Manifest::parse(&text, "m").expect("parses");
            assert_eq!(manifest.app().map(|app| app.id.as_str()), Some(id));
            let asked: Vec<_> = manifest.capabilities().collect();
            assert!(asked.len() == 1 && asked[0].1.optional && asked[0].1.rules.is_empty());
        }
    }
}
