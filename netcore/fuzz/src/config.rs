//! Any text as a manifest or a policy.
//!
//! What is refused is refused with reasons a terminal can show: no control character gets there
//! (a manifest comes with the app, so its texts are the app's), and no file gives a page of them.

use nexus_policy::{ConfigError, Manifest, Policy, Rule};

/// Runs one input: the first byte chooses, the rest is the text.
pub fn run(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    if choice % 2 == 0 {
        match Manifest::parse(&text, "nexus.toml") {
            Ok(manifest) => {
                for (capability, asked) in manifest.capabilities() {
                    let _ = (capability.to_string(), format!("{asked:?}"));
                }
                let again = Manifest::parse(&text, "nexus.toml");
                assert_eq!(again.as_ref(), Ok(&manifest));
            }
            Err(error) => check(&error),
        }
    } else {
        match Policy::parse(&text, "policy.toml") {
            Ok(policy) => {
                for rule in policy.rules() {
                    for target in rule.to.iter().flatten() {
                        reads_back(rule.capability, target);
                    }
                }
            }
            Err(error) => check(&error),
        }
    }
}

fn check(error: &ConfigError) {
    assert!((1..=nexus_policy::config::PROBLEMS_MAX).contains(&error.problems.len()));
    for problem in &error.problems {
        assert!(problem.line >= 1 && problem.column >= 1);
    }
    shown(&error.to_string());
}

/// A text that goes to a terminal.
pub(crate) fn shown(text: &str) {
    let bad = text.chars().find(|c| c.is_control() && *c != '\n');
    assert!(bad.is_none(), "{text:?}");
}

/// A rule's text means the rule.
pub(crate) fn reads_back(capability: nexus_policy::Capability, rule: &Rule) {
    let text = rule.to_string();
    shown(&text);
    if matches!(rule, Rule::Opaque(_)) {
        return;
    }
    assert_eq!(Rule::parse(capability, &text).as_ref(), Ok(rule), "{text}");
}
