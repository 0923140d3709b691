//! Words for people: what a refusal says on the terminal, and how foreign text is made harmless.
//!
//! Every text is built from parsed parts, never from raw input, and is a contract: the golden
//! files under `tests/golden` hold each of them.

mod capabilities;
mod classes;
mod codes;
mod reasons;
mod topic;
mod words;

pub use capabilities::Facts;
pub use topic::{Text, Topic, TopicKind, find, list, topics};

use core::fmt::Write as _;

use nexus_types::Reason;

use crate::address::AddressClass;
use crate::capability::{Capability, Class, Parameter};
use crate::denial::{Denial, DeniedTarget, Fix, RefusedBy};
use crate::gate::AppIdentity;

/// The longest foreign text shown.
const SHOWN_CHARS_MAX: usize = 256;

/// `text` with everything that could change how a terminal or a reader sees the rest of the line
/// written out: control characters, bidirectional overrides, invisible and unassigned-looking
/// ones. Cut to 256 characters.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(SHOWN_CHARS_MAX));
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS_MAX {
            out.push('…');
            break;
        }
        if is_hidden(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character can change how a terminal or a reader sees the rest of the line, or is not seen there: what
/// Unicode calls default-ignorable (DerivedCoreProperties.txt), every blank but the space, and what is drawn as one.
pub(crate) fn is_hidden(c: char) -> bool {
    let ignorable = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    // An empty Braille cell, a note without a head, the fillers of Khitan and of hieroglyphs, and their joiners.
    let empty = matches!(c,
        '\u{2800}' | '\u{16fe4}' | '\u{1d159}' | '\u{13430}'..='\u{13440}' | '\u{13441}'..='\u{13442}');
    c.is_control() || ignorable || empty || (c.is_whitespace() && c != ' ')
}

/// `id (sha256:9c1f…)`
pub(crate) fn who(app: &AppIdentity) -> String {
    format!("{} (sha256:{}…)", escape(&app.id), app.digest.short())
}

/// What a refusal says on the terminal. No newline at the end.
pub fn render(denial: &Denial, app: &AppIdentity) -> String {
    let word = if denial.reason == Reason::Revoked {
        "revoked"
    } else {
        "denied "
    };
    render_as(word, denial, app)
}

/// What is said of an act that `--mode` let pass: as of its refusal.
pub fn render_observed(denial: &Denial, app: &AppIdentity) -> String {
    render_as("passed ", denial, app)
}

fn render_as(word: &str, denial: &Denial, app: &AppIdentity) -> String {
    let mut out = format!(
        "{word} {}  app={}  {}\n  why    {}  [{}]",
        denial.capability,
        who(app),
        denial.target.full(),
        reason(denial),
        denial.reason
    );
    out.push_str(&render_fixes(&denial.fixes, "  ", true));
    // Writing to a String cannot fail.
    let _ = write!(out, "\n  more   nexus-host explain {}", denial.reason);
    out
}

/// All fixes, each on lines of its own, said to be alternatives or needed together.
/// `with_app`: a manifest that is yet to be written is shown from its first line.
pub(crate) fn render_fixes(fixes: &[Fix], indent: &str, with_app: bool) -> String {
    let mut out = String::new();
    let mut asked = false;
    for (index, fix) in fixes.iter().enumerate() {
        // The operator's word is needed beside what the manifest asks; anything else is another way.
        let word = match fix {
            _ if index == 0 => "fix",
            Fix::Policy { .. } if asked => "and",
            _ => "or ",
        };
        asked |= matches!(fix, Fix::Manifest { .. });
        out.push('\n');
        out.push_str(&render_fix(fix, &format!("{indent}{word}    "), with_app));
    }
    out
}

/// One fix, its first line after `lead`, the others indented as far.
fn render_fix(fix: &Fix, lead: &str, with_app: bool) -> String {
    let indent = " ".repeat(lead.chars().count());
    let block = |lines: &[String]| {
        lines
            .iter()
            .map(|line| format!("\n{indent}  {line}"))
            .collect::<String>()
    };
    match fix {
        Fix::Manifest {
            file,
            section_exists,
            set_class,
            capability,
            rule,
        } => {
            let lines = manifest_lines(*capability, rule, file.is_none() && with_app);
            let mut text = match (file, section_exists) {
                (Some(file), true) => {
                    let (section, key, entry) = match capability.parameter() {
                        Parameter::Directory => ("[wasi]".to_owned(), "dirs", directory(rule)),
                        Parameter::Variable => ("[wasi]".to_owned(), "env", variable(rule)),
                        _ => {
                            let section = format!("[capabilities.\"{capability}\"]");
                            (section, "allow", quoted(rule))
                        }
                    };
                    format!(
                        "{lead}in {file}, under {section}, add to {key}:{}",
                        block(&[entry])
                    )
                }
                (Some(file), false) => format!("{lead}add to {file}:{}", block(&lines)),
                (None, _) => format!(
                    "{lead}write a nexus.toml (see --manifest) with{}",
                    block(&lines)
                ),
            };
            if *set_class {
                text += &format!("\n{indent}and set class = \"system\" under [app]");
            }
            text
        }
        Fix::RevokeConsent { answer } => format!(
            "{lead}to be asked again: nexus-host consent revoke {}",
            shell_word(answer)
        ),
        Fix::AllowManifest => format!(
            "{lead}run it again with --allow-manifest, which says yes to what the manifest asks"
        ),
        Fix::Allow { capability, rule } => {
            format!(
                "{lead}for one run: --allow {}",
                shell_word(&format!("{capability}={rule}"))
            )
        }
        Fix::ChangeRule { file, line, rule } => format!(
            "{lead}the operator can change the verdict of rule `{rule}` ({file}:{line}) from ask to allow"
        ),
        Fix::Signature => format!(
            "{lead}put the publisher's signature beside the component, as APP.wasm.minisig\n\
             {indent}(publishers make it with `nexus-host sign` or minisign)"
        ),
        Fix::Policy {
            file,
            id,
            capability,
            to,
        } => {
            let whereto = file.as_ref().map_or_else(
                || "the operator can write a policy.toml (see --policy) with".to_owned(),
                |file| format!("the operator can add to {file}:"),
            );
            let to: Vec<_> = to.iter().map(|rule| quoted(rule)).collect();
            let lines = [
                "[[rule]]".to_owned(),
                format!("id = \"{id}\""),
                format!("capability = \"{capability}\""),
                "verdict = \"allow\"".to_owned(),
                format!("to = [{}]", to.join(", ")),
            ];
            format!("{lead}{whereto}{}", block(&lines))
        }
    }
}

/// The section of a manifest that asks for `rule`.
fn manifest_lines(capability: Capability, rule: &str, whole_file: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if whole_file {
        let class = if capability.class() == Class::System {
            "system"
        } else {
            "app"
        };
        lines.extend([
            "[app]".to_owned(),
            "id = \"com.example.name\"".to_owned(),
            format!("class = \"{class}\""),
        ]);
    }
    match capability.parameter() {
        Parameter::Directory => {
            lines.extend([
                "[wasi]".to_owned(),
                format!(
                    "dirs = [{}]   # host: from the manifest's folder",
                    directory(rule)
                ),
            ]);
        }
        Parameter::Variable => lines.extend([
            "[wasi]".to_owned(),
            format!("env = {{ {} }}", variable(rule)),
        ]),
        _ => lines.extend([
            format!("[capabilities.\"{capability}\"]"),
            format!("allow = [{}]", quoted(rule)),
        ]),
    }
    lines
}

/// An entry of `[wasi] dirs` for a rule, `/srv/data:ro`. A manifest names folders from its own, and where that is
/// is not known here: the name of the folder is shown, as if it were beside the manifest.
fn directory(rule: &str) -> String {
    let (path, mode) = rule.rsplit_once(':').unwrap_or((rule, "ro"));
    let name = path.rsplit('/').next().unwrap_or_default();
    format!(
        "{{ host = {}, guest = {}, mode = {} }}",
        quoted(&format!("./{name}")),
        quoted(&format!("/{name}")),
        quoted(mode)
    )
}

/// An entry of `[wasi] env`.
fn variable(rule: &str) -> String {
    format!("{rule} = \"…\"")
}

/// A TOML string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word a shell passes on as it is.
fn shell_word(text: &str) -> String {
    let safe = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '.' | ':' | '=' | '-' | '_' | '/' | ',' | '+' | '@' | '%')
    };
    if text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// One sentence for the operator.
fn reason(denial: &Denial) -> String {
    let manifest = match &denial.refused_by {
        RefusedBy::Manifest { file: Some(file) } => file.clone(),
        _ => "the manifest".to_owned(),
    };
    let special = denial.class.filter(|class| *class != AddressClass::Public);
    let operator = match &denial.refused_by {
        RefusedBy::Operator { file, line, rule } => Some(format!(
            "rule `{rule}` of the operator's policy ({file}:{line})"
        )),
        _ => None,
    };
    match (denial.reason, operator) {
        (Reason::NotGranted, _) => match &denial.refused_by {
            RefusedBy::Manifest { file: None } => "the app has no manifest, so it asks for nothing".to_owned(),
            RefusedBy::Manifest { .. } => format!("{manifest} does not ask for this capability"),
            _ => "the app is not running".to_owned(),
        },
        (Reason::NotPermitted, _) => match special {
            Some(class) => format!("no rule in {manifest} covers this target, an address of class `{class}`"),
            None => format!("no rule in {manifest} covers this target"),
        },
        (Reason::NameNotPermitted, _) => format!("no rule in {manifest} names this name, so it is not looked up"),
        (Reason::BindNotPermitted, _) => format!("no rule in {manifest} covers this address and port of the app's own"),
        (Reason::BlockedRange, _) => blocked(denial, &manifest),
        (Reason::HostOwnedPort, _) => "the host keeps this port for itself; no rule can give it".to_owned(),
        (Reason::OperatorDenied, Some(rule)) => format!("{rule} forbids it"),
        (Reason::OperatorDenied, None) if denial.class == Some(AddressClass::Metadata) => {
            "a metadata service hands out the machine's credentials: the operator's policy must name it".to_owned()
        }
        (Reason::OperatorDenied, None) => {
            "this capability is system-class: no consent is enough, the operator's policy must allow it".to_owned()
        }
        (Reason::ConsentRequired, Some(rule)) => format!("{rule} leaves it to a person, and nobody was asked"),
        (Reason::ConsentRequired, None) => format!("{} asks for it, and nobody has said yes", "the manifest"),
        (Reason::ConsentDenied, _) => match &denial.refused_by {
            // What was said for this run alone is in no list, so its id would lead nowhere.
            RefusedBy::Person { answer } if denial.fixes.iter().any(|fix| matches!(fix, Fix::RevokeConsent { .. })) => {
                format!("a person said no (answer `{}`)", escape(answer))
            }
            RefusedBy::Person { .. } => "a person said no, for this run".to_owned(),
            _ => "a person said no".to_owned(),
        },
        (Reason::Expired, Some(rule)) => format!("{rule} allowed it until its time was over"),
        (Reason::Expired, None) => "the answer that bound this address to its name is over; look the name up again".to_owned(),
        (Reason::Revoked, Some(rule)) => format!("{rule} no longer lets it"),
        (Reason::Revoked, None) => "the policy has changed and no longer lets it".to_owned(),
        (Reason::RuleError, _) => "a rule could not be evaluated, which is a no".to_owned(),
        (Reason::MethodNotPermitted, _) if denial.refused_by == RefusedBy::Host => {
            "no rule can name this method; no app can send it".to_owned()
        }
        (Reason::MethodNotPermitted, _) => format!("no rule in {manifest} covers this method"),
        (Reason::RedirectNotPermitted, _) => format!("no rule in {manifest} covers where the redirect leads"),
        (Reason::NoCapacity, _) => "a quota is used up".to_owned(),
        (Reason::Deadline, _) => "the time given ran out".to_owned(),
        (Reason::Unrecorded, _) => "the audit log cannot be written, and what this capability does is not done unrecorded".to_owned(),
    }
}

fn blocked(denial: &Denial, manifest: &str) -> String {
    let class = denial.class.unwrap_or(AddressClass::Reserved);
    let by_name = match &denial.target {
        DeniedTarget::Remote { name, .. } => name.is_some(),
        DeniedTarget::Request { request, .. } => request.request().url.name().is_some(),
        _ => false,
    };
    match (&denial.refused_by, class) {
        (RefusedBy::Host, AddressClass::Unspecified) => "this stands for no far end; no rule can name it".to_owned(),
        (RefusedBy::Host, class) if !class.is_nameable() => format!("the address is of class `{class}`, which no rule can name"),
        (RefusedBy::Host, _) if matches!(denial.target, DeniedTarget::Remote { remote, .. } if remote.port() == 0) => {
            "port 0 is no port a packet can go to".to_owned()
        }
        (RefusedBy::Host, class) => {
            format!("the address carries one of class `{class}` through a translator or tunnel, which no rule can name")
        }
        (_, AddressClass::Host) => {
            "the address is the machine the host runs on (class `host`), reachable only by the name host.internal".to_owned()
        }
        (_, class) if by_name => {
            format!("the name leads to an address of class `{class}`; a rule for a name means class `public` alone")
        }
        (_, class) => format!("the address is of class `{class}`, and no rule in {manifest} names it"),
    }
}

/// One sentence for the app's author: nothing of the operator's files, and nothing of what a name
/// resolved to.
pub(crate) fn guest_reason(denial: &Denial) -> &'static str {
    match denial.reason {
        Reason::NotGranted => "the manifest does not ask for this capability",
        Reason::NotPermitted => "no rule of the manifest covers this target",
        Reason::NameNotPermitted => "no rule of the manifest names this name",
        Reason::BindNotPermitted => "no rule of the manifest covers this address and port",
        Reason::BlockedRange => "the address is of a class that no rule covers",
        Reason::HostOwnedPort => "the port belongs to the host",
        Reason::OperatorDenied => "the operator does not allow it",
        Reason::ConsentRequired => "nobody has said yes to it",
        Reason::ConsentDenied => "a person said no",
        Reason::Expired => "the grant's time is over",
        Reason::Revoked => "the grant was taken back",
        Reason::RuleError => "a rule could not be evaluated",
        Reason::MethodNotPermitted => "no rule covers this method",
        Reason::RedirectNotPermitted => "no rule covers where the redirect leads",
        Reason::NoCapacity => "a quota is used up",
        Reason::Deadline => "the time given ran out",
        Reason::Unrecorded => "the host cannot record it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_text_that_would_repaint_the_line() {
        assert_eq!(escape("a\x1b[2Jb\r\nc"), "a\\u{1b}[2Jb\\u{d}\\u{a}c");
        assert_eq!(
            escape("a\u{202e}b\u{200b}c\u{feff}"),
            "a\\u{202e}b\\u{200b}c\\u{feff}"
        );
        assert_eq!(escape("büro 東京"), "büro 東京");
        assert_eq!(escape(&"x".repeat(300)).chars().count(), 257);
    }

    /// Goal: what nobody sees is written out, to the last. Method: both ends of each range, and the letters beside them.
    #[test]
    fn reject_characters_that_nobody_sees() {
        for (first, last) in [
            (0x7f, 0xa0),
            (0xad, 0xad),
            (0x34f, 0x34f),
            (0x61c, 0x61c),
            (0x115f, 0x1160),
            (0x1680, 0x1680),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x2000, 0x200f),
            (0x2028, 0x202f),
            (0x205f, 0x206f),
            (0x2800, 0x2800),
            (0x3000, 0x3000),
            (0x3164, 0x3164),
            (0xfe00, 0xfe0f),
            (0xfeff, 0xfeff),
            (0xffa0, 0xffa0),
            (0xfff0, 0xfffb),
            (0x13430, 0x13442),
            (0x16fe4, 0x16fe4),
            (0x1bca0, 0x1bca3),
            (0x1d159, 0x1d159),
            (0x1d173, 0x1d17a),
            (0xe0000, 0xe0fff),
        ] {
            let hidden = |code: u32| is_hidden(char::from_u32(code).expect("a character"));
            assert!(hidden(first) && hidden(last), "{first:x}");
            assert!(!hidden(last + 1), "{last:x}");
            assert!(!hidden(first - 1), "{first:x}");
        }
        assert!(!is_hidden(' ') && is_hidden('\u{85}'));
    }

    #[test]
    fn a_suggested_argument_survives_a_shell() {
        assert_eq!(
            shell_word("network.tcp.connect=[::1]:80"),
            "'network.tcp.connect=[::1]:80'"
        );
        assert_eq!(shell_word("wasi.dirs=/a'b:ro"), r"'wasi.dirs=/a'\''b:ro'");
        assert_eq!(
            shell_word("network.tcp.connect=a.example:80"),
            "network.tcp.connect=a.example:80"
        );
    }
}
