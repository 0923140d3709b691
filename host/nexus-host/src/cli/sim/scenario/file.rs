//! The file's own shape. Unknown keys are errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::cli::listen::Serve;

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    #[serde(default)]
    pub(super) scenario: Head,
    #[serde(default)]
    pub(super) link: Vec<Link>,
    #[serde(default)]
    pub(super) node: Vec<Node>,
    #[serde(default)]
    pub(super) fault: Vec<Spanned<Fault>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) until: Option<Text>,
    pub(super) seed: Option<u64>,
    pub(super) runs: Option<Spanned<u64>>,
    pub(super) chaos: Option<Text>,
}

/// A table that says how a link is, with keys of its own beside. (serde's `flatten` would let unknown keys pass.)
macro_rules! with_conditions {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct $name {
            $($(#[$field_meta])* pub(super) $field: $kind,)*
            latency: Option<Text>,
            jitter: Option<Text>,
            rate: Option<Text>,
            queue: Option<Text>,
            loss: Option<Text>,
            burst: Option<Burst>,
            duplication: Option<Text>,
            reorder: Option<Text>,
            reorder_by: Option<Text>,
            corruption: Option<Text>,
            truncation: Option<Text>,
            replay: Option<Text>,
        }

        impl $name {
            pub(super) fn conditions(&self) -> Conditions<'_> {
                Conditions {
                    latency: self.latency.as_ref(),
                    jitter: self.jitter.as_ref(),
                    rate: self.rate.as_ref(),
                    queue: self.queue.as_ref(),
                    loss: self.loss.as_ref(),
                    burst: self.burst.as_ref(),
                    duplication: self.duplication.as_ref(),
                    reorder: self.reorder.as_ref(),
                    reorder_by: self.reorder_by.as_ref(),
                    corruption: self.corruption.as_ref(),
                    truncation: self.truncation.as_ref(),
                    replay: self.replay.as_ref(),
                }
            }
        }
    };
}

/// What a link and a fault of it may both say.
pub(super) struct Conditions<'a> {
    pub(super) latency: Option<&'a Text>,
    pub(super) jitter: Option<&'a Text>,
    pub(super) rate: Option<&'a Text>,
    pub(super) queue: Option<&'a Text>,
    pub(super) loss: Option<&'a Text>,
    pub(super) burst: Option<&'a Burst>,
    pub(super) duplication: Option<&'a Text>,
    pub(super) reorder: Option<&'a Text>,
    pub(super) reorder_by: Option<&'a Text>,
    pub(super) corruption: Option<&'a Text>,
    pub(super) truncation: Option<&'a Text>,
    pub(super) replay: Option<&'a Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Burst {
    pub(super) begin: Text,
    pub(super) end: Text,
    pub(super) loss: Option<Text>,
}

with_conditions!(Link {
    name: Text,
    mtu: Option<Spanned<usize>>,
});

with_conditions!(Fault {
    at: Option<Text>,
    r#for: Option<Text>,
    from: Option<Text>,
    to: Option<Text>,
    between: Option<Spanned<Vec<Text>>>,
    mtu: Option<Spanned<usize>>,
    #[serde(default)]
    cut: bool,
    #[serde(default)]
    clog: bool,
    node: Option<Text>,
    #[serde(default)]
    crash: bool,
    #[serde(default)]
    pause: bool,
    #[serde(default)]
    nic_down: bool,
    clock_step: Option<Text>,
    clock_drift: Option<Spanned<i32>>,
    #[serde(default)]
    addresses: Vec<Text>,
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) name: Text,
    pub(super) link: Text,
    #[serde(default)]
    pub(super) addresses: Vec<Text>,
    pub(super) policy: Option<String>,
    #[serde(default)]
    pub(super) dns: Vec<Text>,
    #[serde(default)]
    pub(super) app: Vec<App>,
    #[serde(default)]
    pub(super) peer: Vec<Spanned<Peer>>,
    pub(super) expect: Option<NodeExpect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Peer {
    pub(super) tcp: Option<u16>,
    pub(super) call: Option<Text>,
    pub(super) start: Option<Text>,
    pub(super) script: Option<Spanned<Vec<Spanned<Step>>>>,
    pub(super) at_once: Option<Spanned<u32>>,
    pub(super) udp: Option<u16>,
    pub(super) answers: Option<Spanned<Vec<Answer>>>,
    pub(super) http: Option<u16>,
    pub(super) route: Option<Spanned<Vec<Spanned<Route>>>>,
    pub(super) dns: Option<u16>,
    pub(super) zone: Option<Spanned<BTreeMap<Text, Spanned<Record>>>>,
    pub(super) requests: Option<Vec<String>>,
}

/// `"finish"`, `{ send = "hello" }`
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a step, as in { send = \"hello\" } or \"finish\""
)]
pub(super) enum Step {
    Word(String),
    With(BTreeMap<String, String>),
}

/// `{ to = "ping", with = ["pong"], after = "1s" }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) to: Option<String>,
    pub(super) with: Vec<String>,
    pub(super) after: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Route {
    pub(super) method: Option<String>,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    pub(super) body_size: Option<Text>,
    pub(super) framing: Option<Text>,
    pub(super) after: Option<Text>,
    pub(super) cut_after: Option<usize>,
    #[serde(default)]
    pub(super) never: bool,
}

/// `"10.0.0.1"`, `["10.0.0.1", "fd00::1"]`, `{ alias = "other.example", ttl = 60 }`
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an address, a list of them, or { addresses = [], alias = \"\", ttl = 300, after = \"1s\", fault = \"\" }"
)]
pub(super) enum Record {
    One(String),
    Some(Vec<String>),
    With(RecordTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordTable {
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    pub(super) alias: Option<String>,
    pub(super) ttl: Option<u32>,
    pub(super) after: Option<String>,
    pub(super) fault: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeExpect {
    #[serde(default)]
    pub(super) counters: BTreeMap<Text, Spanned<Bounds>>,
}

/// `3`, `{ at-least = 1, at-most = 5 }`
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or { at-least = 1, at-most = 5 }")]
pub(super) enum Bounds {
    Exactly(u64),
    Between(Between),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Between {
    pub(super) at_least: Option<u64>,
    pub(super) at_most: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub(super) component: Text,
    pub(super) manifest: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) background: bool,
    pub(super) serve: Option<Spanned<Serve>>,
    pub(super) start: Option<Text>,
    pub(super) consent: Option<Spanned<Consent>>,
    #[serde(default)]
    pub(super) allow: Vec<Text>,
    pub(super) expect: Option<Spanned<Expect>>,
}

/// `"manifest"`, `[{ capability = "network.tcp.connect", rule = "a.example:443", answer = "yes" }]`
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "\"manifest\", \"yes\", \"none\", or a list of { capability = \"\", rule = \"\", answer = \"yes\" }"
)]
pub(super) enum Consent {
    Word(String),
    Answers(Vec<Answered>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    pub(super) capability: String,
    pub(super) rule: String,
    pub(super) answer: String,
}

impl App {
    /// It is not waited for: it says so, or it serves.
    pub(super) fn is_in_background(&self) -> bool {
        self.background || self.serve.is_some()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) exit: Option<Spanned<Exit>>,
    pub(super) within: Option<Text>,
    #[serde(default)]
    pub(super) stdout: Vec<String>,
    #[serde(default)]
    pub(super) stderr: Vec<String>,
    pub(super) golden: Option<Text>,
    #[serde(default)]
    pub(super) access: Vec<String>,
    pub(super) denied: Option<Vec<Text>>,
}

/// `0`, `"any"`
#[derive(Deserialize)]
#[serde(untagged, expecting = "an exit code from 0 to 255, or \"any\"")]
pub(super) enum Exit {
    Code(u8),
    Word(String),
}
