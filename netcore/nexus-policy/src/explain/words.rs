//! What the verdicts of a policy mean, and the words of `check`, of reports and of the audit log.

use super::topic::{Text, Topic, TopicKind};
use crate::audit::Recorded;
use crate::policy::Verdict;

/// The verdicts.
pub(super) fn verdicts() -> impl Iterator<Item = Topic> {
    [Verdict::Forbid, Verdict::Ask, Verdict::Allow]
        .into_iter()
        .map(|verdict| Topic::new(verdict.as_str(), TopicKind::Verdict, verdict_text(verdict)))
}

const fn verdict_text(verdict: Verdict) -> Text {
    match verdict {
        Verdict::Forbid => Text {
            summary: "no, whatever anybody else says",
            more: "A written forbid beats consent, --allow and every allow rule, of whichever policy file. Without \
                   `to` it forbids everything of the capability. A network forbids every address in it, in each \
                   form an address can be written in.",
            todo: "",
            see: &["operator-denied", "ask"],
        },
        Verdict::Ask => Text {
            summary: "only if a person says yes",
            more: "It beats `allow` where both match, and consent answers it. What an operator writes nothing about \
                   is as `ask` for an app-class capability and as `forbid` for a system-class one.",
            todo: "",
            see: &["consent-required", "allow"],
        },
        Verdict::Allow => Text {
            summary: "yes, if the app's manifest asks",
            more: "It names its targets; there is no allow of everything. It gives nothing that the manifest does \
                   not ask for. In the audit log: the act was allowed.",
            todo: "",
            see: &["forbid", "not-granted"],
        },
    }
}

/// The words of `check`, reports and the audit log that are neither reasons nor verdicts.
pub(super) fn of_reports() -> impl Iterator<Item = Topic> {
    const STANDINGS: [(&str, Text); 5] = [
        (
            "granted",
            Text {
                summary: "both keys are turned: the manifest asks, and the operator or a person allows",
                more: "Each act is still judged when it happens: a written forbid inside the rule, the class of the \
                       address, the port.",
                todo: "",
                see: &["narrowed"],
            },
        ),
        (
            "narrowed",
            Text {
                summary: "granted in part: some of what the rule names is refused at the call",
                more: "A rule of the operator forbids, asks about or leaves out part of what the manifest's rule \
                       names; `check` names it. Before there is a target, what cannot be told is called narrowed.",
                todo: "`nexus-host policy check APP.wasm --tcp HOST:PORT` tells for one target.",
                see: &["granted", "operator-denied"],
            },
        ),
        (
            "stub",
            Text {
                summary: "not granted, and optional: linked to calls that answer `denied`",
                more: "The manifest says optional = true, so the app starts without the capability. Every call is \
                       refused with its reason, and recorded.",
                todo: "",
                see: &["not-granted", "denied"],
            },
        ),
        (
            "missing",
            Text {
                summary: "nothing is behind the import, so the app cannot start",
                more: "The report says for each why, and what would change it.",
                todo: "",
                see: &["stub", "unknown-import"],
            },
        ),
        (
            "absent",
            Text {
                summary: "known, and not in this build: never granted",
                more: "The capability is in the catalog so that manifests can be written and checked. Its interface \
                       is not built yet.",
                todo: "",
                see: &["not-in-this-build"],
            },
        ),
    ];
    let standings = STANDINGS
        .into_iter()
        .map(|(word, text)| Topic::new(word, TopicKind::Report, text));
    // `allow` is explained as a verdict.
    let recorded = [Recorded::Deny, Recorded::Revoke, Recorded::Event]
        .into_iter()
        .map(|word| Topic::new(word.as_str(), TopicKind::Report, recorded_text(word)));
    standings.chain(recorded)
}

const fn recorded_text(recorded: Recorded) -> Text {
    match recorded {
        Recorded::Allow => verdict_text(Verdict::Allow),
        Recorded::Deny => Text {
            summary: "in the audit log: an act was refused",
            more: "The record's `reason` says why, `rule` and `source` whose word it was. Nothing of the act has \
                   happened.",
            todo: "",
            see: &["denied", "revoke"],
        },
        Recorded::Revoke => Text {
            summary: "in the audit log: what was open has ended because it is no longer allowed",
            more: "A change of policy is followed by a judgement of everything that is open.",
            todo: "",
            see: &["revoked"],
        },
        Recorded::Event => Text {
            summary: "in the audit log: something that decisions depend on has changed",
            more: "An app was admitted or has ended, a policy was read, a person has answered.",
            todo: "",
            see: &["deny"],
        },
    }
}
