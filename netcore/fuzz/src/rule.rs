//! Any text as a rule of any capability, as on the command line (`--allow CAPABILITY=RULE`).

use nexus_policy::{Capability, Rule};

use crate::text::{reads_back, shown};

/// Runs one input: the first byte is the capability, or that the text names it; the rest is the text.
pub fn run(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let parsed = match Capability::ALL.get(usize::from(*choice)) {
        Some(capability) => Rule::parse(*capability, &text).map(|rule| (*capability, rule)),
        None => Rule::parse_grant(&text),
    };
    match parsed {
        Ok((capability, rule)) => {
            reads_back(capability, &rule);
            match &rule {
                Rule::Destination(rule) => assert!(rule.covers(rule), "{rule}"),
                Rule::Local(rule) => assert!(rule.covers(rule), "{rule}"),
                _ => {}
            }
        }
        Err(error) => {
            shown(&error.to_string());
            let _ = error.meant;
        }
    }
}
