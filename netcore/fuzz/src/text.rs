//! What the targets of texts have in common: what a refusal looks like, and that what was read can be
//! written down again.
//!
//! What is refused is refused with reasons a terminal can show: no control character gets there
//! (a manifest comes with the app, so its texts are the app's), and no file gives a page of them.

use std::fmt::Write as _;

use nexus_policy::limits::LimitsAsked;
use nexus_policy::{Capability, ConfigError, Rule};

/// A refusal of a file.
pub(crate) fn refused(error: &ConfigError) {
    assert!((1..=nexus_policy::config::PROBLEMS_MAX).contains(&error.problems.len()));
    for problem in &error.problems {
        assert!(problem.line >= 1 && problem.column >= 1);
    }
    shown(&error.to_string());
}

/// A text that goes to a terminal.
pub(crate) fn shown(text: &str) {
    let bad = text
        .chars()
        .find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}'));
    assert!(bad.is_none(), "{text:?}");
}

/// A rule's text means the rule.
pub(crate) fn reads_back(capability: Capability, rule: &Rule) {
    let text = rule.to_string();
    shown(&text);
    assert_eq!(Rule::parse(capability, &text).as_ref(), Ok(rule), "{text}");
}

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list of rules as TOML writes it.
pub(crate) fn list(rules: &[Rule]) -> String {
    let rules: Vec<_> = rules.iter().map(|rule| quoted(&rule.to_string())).collect();
    format!("[{}]", rules.join(", "))
}

/// The table of limits, if there are any.
pub(crate) fn limits(limits: &LimitsAsked) -> String {
    let mut out = String::new();
    if *limits == LimitsAsked::default() {
        return out;
    }
    out.push_str("[limits]\n");
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(out, "{key} = {value}");
        }
    };
    let bytes = |number: u64| format!("\"{number}B\"");
    line("memory", limits.memory.map(bytes));
    line("sockets", limits.sockets.map(|number| number.to_string()));
    line("handles", limits.handles.map(|number| number.to_string()));
    line("bytes-in-flight", limits.bytes_in_flight.map(bytes));
    let millis = |time: nexus_types::Duration| format!("\"{}ms\"", time.as_millis());
    line("timeout", limits.timeout.map(millis));
    line("request-body", limits.request_body.map(bytes));
    line("response-body", limits.response_body.map(bytes));
    line("request-timeout", limits.request_timeout.map(millis));
    out
}
