//! `nexus-host explain`: what a word of ours means, and what to do about it.
//!
//! The texts are `nexus_policy::explain`'s, next to what they explain; exit codes and interfaces are
//! the host's to add.

mod exit_codes;
mod interfaces;

use std::net::IpAddr;

use clap::Args;
use nexus_policy::explain::{Topic, escape, find, list, topics};
use nexus_policy::{canonical, classify, spelling};
use serde_json::json;

use super::{CliError, Common, Kind, say};
use crate::driver::user_topology;

const EXAMPLES: &str = "Examples:
  nexus-host explain                        every word there is
  nexus-host explain not-permitted          a reason of a refusal
  nexus-host explain network.tcp.connect    a capability: its functions, its rules, examples
  nexus-host explain lan 169.254.169.254    a class of addresses; the class of an address
  nexus-host explain 77                     an exit code

Exit codes: 0, 2 a word that is none of ours.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArgs {
    /// Reasons, error codes, exit codes, capabilities, classes of addresses, verdicts, addresses
    #[arg(value_name = "CODE|CAPABILITY")]
    words: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Everything there is to explain.
fn all() -> Vec<Topic> {
    let mut all = topics();
    all.extend(exit_codes::topics());
    all
}

pub(super) fn explain(args: &ExplainArgs) -> Result<u8, CliError> {
    let all = all();
    if args.words.is_empty() {
        let text = format!("{}nexus-host explain WORD says more.\n", list(&all));
        let data = json!(
            all.iter()
                .map(|t| json!({"word": t.word, "kind": t.kind, "summary": t.summary}))
                .collect::<Vec<_>>()
        );
        say::answer(args.common.output, &text, data)?;
        return Ok(0);
    }
    let mut texts = Vec::new();
    let mut data = Vec::new();
    for word in &args.words {
        if let Some(address) = address(word) {
            let (text, value) = of_address(word, address);
            texts.push(text);
            data.push(value);
            continue;
        }
        for topic in find(&all, word).map_err(|meant| unknown(word, meant))? {
            let interface = topic
                .capability
                .as_ref()
                .and_then(|facts| interfaces::of(facts.interface?));
            let mut value =
                serde_json::to_value(topic).map_err(|error| CliError::new(Kind::Host, error))?;
            let mut text = topic.text();
            if let Some(interface) = interface {
                value["functions"] = json!(interface.functions);
                text.push_str("\n\n  functions\n");
                text.push_str(&interface.text("    "));
            }
            texts.push(text);
            data.push(value);
        }
    }
    say::answer(
        args.common.output,
        &format!("{}\n", texts.join("\n\n")),
        json!(data),
    )?;
    Ok(0)
}

fn unknown(word: &str, meant: Option<&str>) -> CliError {
    let error = CliError::new(
        Kind::Usage,
        format!("there is no word `{}` to explain", escape(word)),
    );
    match meant {
        Some(meant) => error.hint(format!(
            "did you mean `{meant}`? nexus-host explain {meant}"
        )),
        None => error.hint("nexus-host explain lists every word there is"),
    }
}

/// An address in any spelling; a plain number is an exit code.
fn address(word: &str) -> Option<IpAddr> {
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Some(address);
    }
    let number = word.bytes().all(|b| b.is_ascii_digit());
    let short = number && word.len() <= 3;
    spelling::numeric(word).filter(|_| !short).map(IpAddr::V4)
}

fn of_address(word: &str, address: IpAddr) -> (String, serde_json::Value) {
    let plain = canonical(address);
    let class = classify(&user_topology(), address);
    let shown = escape(word);
    let mut text = format!("{shown}  (address)\n  ");
    if plain.address.to_string() != word {
        text.push_str(&format!("Judged as {}, ", plain.address));
    } else {
        text.push_str("It is ");
    }
    text.push_str(&format!("of class `{class}` on the network of --net user."));
    if spelling::numeric(word).is_some() {
        text.push_str("\n  No rule and no app can spell it so: write it in its usual form.");
    } else if !plain.is_direct() {
        text.push_str(
            "\n  A translator or tunnel makes of it what it likes: reached only where that is the internet.",
        );
    }
    text.push_str(&format!("\n\n  see    nexus-host explain {class}"));
    let value = json!({
        "word": word,
        "kind": "address",
        "address": plain.address.to_string(),
        "class": class,
        "direct": plain.is_direct(),
    });
    (text, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_policy::Capability;
    use nexus_policy::capability::Status;

    /// Every exit code leads on to words there are, and none is explained twice.
    #[test]
    fn every_exit_code_is_explained_once_and_leads_on() {
        let all = all();
        for topic in exit_codes::topics() {
            assert_eq!(
                find(&all, topic.word).expect("there").len(),
                1,
                "{}",
                topic.word
            );
            for see in topic.see {
                assert!(find(&all, see).is_ok(), "{see}");
            }
        }
    }

    /// The interface of every capability of this build is found, with functions, each with a text.
    #[test]
    fn every_interface_of_this_build_has_functions_with_texts() {
        for capability in Capability::ALL {
            if capability.status() != Status::Built {
                continue;
            }
            let name = capability.interface().expect("has one");
            let interface = interfaces::of(name).unwrap_or_else(|| panic!("no WIT of {name}"));
            assert!(!interface.functions.is_empty(), "{name}");
            for function in &interface.functions {
                assert!(!function.says.is_empty(), "{name} {}", function.signature);
            }
        }
    }

    #[test]
    fn an_address_is_one_in_any_spelling_and_a_code_is_none() {
        for (word, is) in [
            ("[::ffff:10.0.0.1]", Some("::ffff:10.0.0.1")),
            ("0x7f.1", Some("127.0.0.1")),
            ("2130706433", Some("127.0.0.1")),
            ("77", None),
            ("lan", None),
        ] {
            assert_eq!(
                address(word),
                is.map(|is| is.parse().expect("an address")),
                "{word}"
            );
        }
    }
}
