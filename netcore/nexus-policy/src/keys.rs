//! The keys of `nexus.toml` and `policy.toml`, table by table: what the parsers accept, and what
//! the published schemas say (`nexus-host policy schema`). A key is added here, and read in
//! [`crate::manifest`] or [`crate::policy`].

use nexus_types::limits::RULES_PER_CAPABILITY;

use crate::capability::Class;
use crate::manifest::{VARIABLE_BYTES_MAX, WASI_ITEMS_MAX};
use crate::policy::{POLICY_RULES_MAX, Verdict};
use crate::publisher::PUBLISHERS_MAX;
use crate::wasi::DirectoryMode;

/// The keys of one table.
#[derive(Debug)]
pub struct Table {
    /// What the table is for.
    pub about: &'static str,
    /// Its keys; others are refused.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Whether its table is refused without it.
    pub required: Required,
    /// What can stand there.
    pub value: Value,
    /// What it is for.
    pub about: &'static str,
}

/// Whether a table is refused without a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Required {
    /// It may be left out.
    No,
    /// It must be there.
    Always,
    /// It must be there if this key is this word.
    When(&'static str, &'static str),
}

/// What can stand after a key.
#[derive(Debug)]
pub enum Value {
    /// A string of this form (a regular expression over the whole of it; ASCII alone).
    Text(&'static str),
    /// Any string.
    AnyText,
    /// One of these words, each with what it means.
    Word(&'static [(&'static str, &'static str)]),
    /// `true` or `false`.
    Boolean,
    /// A whole number from 1 to `u32::MAX`.
    Count,
    /// `"64MiB"`
    Size,
    /// `"30s"`
    Duration,
    /// `"2027-01-01T00:00:00Z"`, in quotes or without.
    Moment,
    /// The name of a capability, those of base WASI included.
    Capability,
    /// 1 to this many rules, none twice.
    Rules {
        /// The most.
        most: u32,
    },
    /// A table.
    Table(&'static Table),
    /// At most this many tables.
    Tables {
        /// Each.
        table: &'static Table,
        /// The most.
        most: usize,
    },
    /// A table whose keys are capabilities, each a table like this one.
    PerCapability(&'static Table),
    /// A table of variables: names, and strings.
    Variables {
        /// The most variables.
        most: usize,
        /// The longest value, in bytes.
        bytes: usize,
    },
    /// Known, so that it is refused with a reason, and never accepted.
    Refused,
}

/// The name of an app and its version.
const APP_WORD: &str = "[A-Za-z0-9._+-]{1,128}";
/// The name of a publisher: shorter than a key, so that it is never taken for one.
const PUBLISHER_NAME: &str = "[A-Za-z0-9._-]{1,55}";
/// The name of a rule.
const RULE_ID: &str = "[A-Za-z0-9._-]{1,128}";
/// `RW` and the rest of 42 bytes in base64.
const PUBLISHER_KEY: &str = "RW[A-Za-z0-9+/]{54}";
/// `sha256:` and 64 hexadecimal digits.
const DIGEST: &str = "sha256:[0-9A-Fa-f]{64}";

/// The names of `keys`, for texts.
pub fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// The names of those that must always be there.
pub fn required(keys: &[Key]) -> impl Iterator<Item = &'static str> {
    keys.iter()
        .filter(|key| key.required == Required::Always)
        .map(|key| key.name)
}

pub(crate) const fn must(name: &'static str, value: Value, about: &'static str) -> Key {
    Key {
        name,
        required: Required::Always,
        value,
        about,
    }
}

pub(crate) const fn may(name: &'static str, value: Value, about: &'static str) -> Key {
    Key {
        name,
        required: Required::No,
        value,
        about,
    }
}

/// `nexus.toml`
pub static MANIFEST: Table = Table {
    about: "nexus.toml: what an app asks of nexus-host. A request: nothing in it grants anything.",
    keys: &[
        must("app", Value::Table(&APP), "What the app calls itself."),
        may(
            "capabilities",
            Value::PerCapability(&CAPABILITY),
            "What the app asks to do, one table a capability: [capabilities.\"network.tcp.connect\"].",
        ),
        may(
            "wasi",
            Value::Table(&WASI),
            "Folders and variables of the host.",
        ),
        may(
            "limits",
            Value::Table(&LIMITS),
            "What the app may use; at most what the operator's policy says.",
        ),
    ],
};

/// `[app]`
pub static APP: Table = Table {
    about: "What the app calls itself.",
    keys: &[
        must(
            "id",
            Value::Text(APP_WORD),
            "What people call the app, as in com.example.weather. Its identity is its digest.",
        ),
        may("version", Value::Text(APP_WORD), "Its version, for people."),
        may(
            "class",
            Value::Word(&[
                (
                    Class::App.as_str(),
                    "The default: it asks for no system-class capability, and is held to that.",
                ),
                (
                    Class::System.as_str(),
                    "It may ask for them; the operator must allow each in writing.",
                ),
            ]),
            "Which class of capabilities it asks for.",
        ),
    ],
};

/// One `[capabilities."…"]`
pub static CAPABILITY: Table = Table {
    about: "What is asked of one capability.",
    keys: &[
        may(
            "allow",
            Value::Rules {
                most: RULES_PER_CAPABILITY,
            },
            "What exactly is asked, each text one rule. Left out only where optional = true.",
        ),
        may(
            "optional",
            Value::Boolean,
            "true: start without it where it is not granted; its calls then answer `denied`.",
        ),
    ],
};

/// `[wasi]`
pub static WASI: Table = Table {
    about: "Folders and variables of the host, judged like a system-class capability.",
    keys: &[
        may(
            "dirs",
            Value::Tables {
                table: &DIRECTORY,
                most: WASI_ITEMS_MAX,
            },
            "Folders the app asks for.",
        ),
        may(
            "env",
            Value::Variables {
                most: WASI_ITEMS_MAX,
                bytes: VARIABLE_BYTES_MAX,
            },
            "Variables the app asks to see, and what is in them.",
        ),
    ],
};

/// One entry of `[wasi] dirs`
pub static DIRECTORY: Table = Table {
    about: "One folder.",
    keys: &[
        must(
            "host",
            Value::AnyText,
            "The folder, relative to the manifest's own, without `..`.",
        ),
        must(
            "guest",
            Value::Text("/.*"),
            "What the app calls it: an absolute path.",
        ),
        must(
            "mode",
            Value::Word(&[
                (DirectoryMode::Ro.as_str(), "Read only."),
                (DirectoryMode::Rw.as_str(), "Read and write."),
            ]),
            "How it is given.",
        ),
    ],
};

/// `[limits]`, in a manifest (asked) and in a policy (the most an app may ask).
pub static LIMITS: Table = Table {
    about: "What an app may use.",
    keys: &[
        may("memory", Value::Size, "Linear memory, as in \"64MiB\"."),
        may("sockets", Value::Count, "Sockets at once."),
        may("handles", Value::Count, "Resource handles at once."),
        may(
            "bytes-in-flight",
            Value::Size,
            "Bytes in socket buffers at once, as in \"16MiB\".",
        ),
        may(
            "timeout",
            Value::Duration,
            "Wall time of a run, host calls included, as in \"30s\".",
        ),
        may(
            "request-body",
            Value::Size,
            "Bytes of the body of a request over HTTP, as in \"64MiB\".",
        ),
        may(
            "response-body",
            Value::Size,
            "Bytes of the body of a response to it, as sent and as decoded.",
        ),
        may(
            "request-timeout",
            Value::Duration,
            "From a request to its response's last byte, redirects and retries included, as in \"5m\".",
        ),
    ],
};

/// `policy.toml`
pub static POLICY: Table = Table {
    about: "policy.toml: what the operator of nexus-host forbids, leaves to a person, or allows.",
    keys: &[
        may(
            "rule",
            Value::Tables {
                table: &RULE,
                most: POLICY_RULES_MAX,
            },
            "The rules; each begins with [[rule]].",
        ),
        may(
            "limits",
            Value::Table(&LIMITS),
            "The most any app may ask for.",
        ),
        may(
            "publisher",
            Value::Tables {
                table: &PUBLISHER,
                most: PUBLISHERS_MAX,
            },
            "Those whose signature is enough for require-signature; each begins with [[publisher]].",
        ),
        may(
            "require-signature",
            Value::Boolean,
            "Whether an app starts only if one of the publishers listed here has signed it.",
        ),
    ],
};

/// One `[[publisher]]`
pub static PUBLISHER: Table = Table {
    about: "Somebody whose signature is known.",
    keys: &[
        must(
            "name",
            Value::Text(PUBLISHER_NAME),
            "What reports and rules call them; none twice in a file.",
        ),
        must(
            "key",
            Value::Text(PUBLISHER_KEY),
            "Their minisign public key: the second line of NAME.pub.",
        ),
    ],
};

/// One `[[rule]]`
pub static RULE: Table = Table {
    about: "One rule. A forbid beats ask, and ask beats allow.",
    keys: &[
        must(
            "id",
            Value::Text(RULE_ID),
            "What reports call the rule; none twice in a file.",
        ),
        may(
            "app",
            Value::Table(&RULE_APP),
            "The one app it is for; without it, every app.",
        ),
        must("capability", Value::Capability, "What it is about."),
        must(
            "verdict",
            Value::Word(&[
                (Verdict::Forbid.as_str(), "No, whatever anybody else says."),
                (Verdict::Ask.as_str(), "Only if a person says yes."),
                (Verdict::Allow.as_str(), "Yes, if the app's manifest asks."),
            ]),
            "What it says.",
        ),
        Key {
            name: "to",
            required: Required::When("verdict", Verdict::Allow.as_str()),
            value: Value::Rules {
                most: RULES_PER_CAPABILITY,
            },
            about: "To which targets. forbid and ask: without it, to all.",
        },
        may(
            "expires",
            Value::Moment,
            "When it ends to hold, as in \"2027-01-01T00:00:00Z\".",
        ),
    ],
};

/// `app` of a `[[rule]]`
pub static RULE_APP: Table = Table {
    about: "The app a rule is for.",
    keys: &[
        may("id", Value::AnyText, "For people: it decides nothing."),
        may(
            "digest",
            Value::Text(DIGEST),
            "Which app it is; `nexus-host inspect APP` shows it.",
        ),
        may(
            "publisher",
            Value::AnyText,
            "Every app that this publisher has signed: a [[publisher]]'s name, or a key. Without digest and id.",
        ),
    ],
};
