//! What each stable reason means, and what to do about it.

use nexus_types::Reason;

use super::topic::Text;
use crate::admission::LoadReason;

/// The text of a reason of an act.
pub(super) const fn text(reason: Reason) -> Text {
    match reason {
        Reason::NotGranted => Text {
            summary: "the app's manifest does not ask for the capability",
            more: "Two keys open a capability: the app's manifest (nexus.toml) asks, the operator's policy answers. \
                   The first key is missing. An app without a manifest asks for nothing. At load it means that the \
                   app imports the interface and does not ask for it; nothing of the app has run.",
            todo: "The app's author adds [capabilities.\"NAME\"] with allow = [...] to nexus.toml. Who runs the app \
                   can give both keys for one run with --allow NAME=RULE, unless the policy forbids it.",
            see: &["not-permitted", "consent-required"],
        },
        Reason::NotPermitted => Text {
            summary: "the manifest asks for the capability, but no rule of it covers this target",
            more: "A rule names hosts and ports (`api.example.com:443`), and nothing else is covered: another port, \
                   the bare domain of `*.example.com`, an address where only a name was granted.",
            todo: "Add the rule that the refusal shows to `allow` in nexus.toml, or find out why the app went there. \
                   `nexus-host policy check APP.wasm --tcp HOST:PORT` tries a target without running anything.",
            see: &["name-not-permitted", "blocked-range", "public"],
        },
        Reason::OperatorDenied => Text {
            summary: "the operator's policy forbids it, or does not allow it where only that is enough",
            more: "A written `forbid` beats everything: consent, --allow, any allow rule. A system-class capability, \
                   a folder, a variable or a metadata service needs the operator's own rule; no consent is enough.",
            todo: "If a rule is named, only who wrote that file can change it; an edit of the manifest changes \
                   nothing. If none is named, the operator can add the [[rule]] that the refusal shows.",
            see: &["forbid", "allow", "metadata"],
        },
        Reason::BlockedRange => Text {
            summary: "the address is of a class that the rule does not cover",
            more: "A rule for a name means addresses of class `public` alone, so that a name cannot be pointed at the \
                   local network (DNS rebinding). `public` never implies another class. Addresses are judged in one \
                   form, however they are written: ::ffff:10.0.0.1 and 64:ff9b::a00:1 are 10.0.0.1.",
            todo: "If the app is meant to reach it, name the address, its network or its class in a rule of its own: \
                   `10.0.0.7:443`, `10.0.0.0/8:443`, `lan:443`. If a public name led there, find out why.",
            see: &["public", "lan", "host", "reserved"],
        },
        Reason::HostOwnedPort => Text {
            summary: "the port belongs to the host itself",
            more: "The host keeps some ports of the node for its own services. No rule of anybody gives them to an \
                   app, so that no app can pose as the host.",
            todo: "Use another port.",
            see: &["bind-not-permitted"],
        },
        Reason::BindNotPermitted => Text {
            summary: "no rule of the manifest covers this address and port of the node's own",
            more: "Listening and binding are judged by `any:8080`, `loopback:*`, `10.0.2.15:80`: where on the node's \
                   addresses. A rule for `loopback` does not cover 0.0.0.0, which is every address. Port 0 asks for \
                   a free port of the host's choosing and needs all of 49152-65535.",
            todo: "Add the rule that the refusal shows to `allow` in nexus.toml. The capability is system-class: the \
                   operator's policy must allow it as well.",
            see: &["network.tcp.listen", "network.udp.bind"],
        },
        Reason::NameNotPermitted => Text {
            summary: "no granted rule names this name, so it is not looked up",
            more: "A lookup tells a name to somebody else's server, which is a way out for data. Only names that \
                   some granted rule names are looked up; a rule for addresses or a class names none.",
            todo: "Add a rule for the name and its port to `allow` in nexus.toml.",
            see: &["not-permitted", "network.tcp.connect"],
        },
        Reason::MethodNotPermitted => Text {
            summary: "no rule of the manifest covers this method",
            more: "A rule for requests can name the methods it is for; others are refused before anything is sent.",
            todo: "Add the method to the rule, if the app is meant to use it.",
            see: &["network.http.request"],
        },
        Reason::RedirectNotPermitted => Text {
            summary: "a redirect leads where no rule of the manifest does",
            more: "The host follows redirects itself and judges every hop as if the app had asked for it. A server \
                   that was granted cannot send the app to one that was not.",
            todo: "Add a rule for where it leads, if the app is meant to go there.",
            see: &["network.http.request", "not-permitted"],
        },
        Reason::ConsentRequired => Text {
            summary: "a person has to say yes, and nobody was asked",
            more: "The manifest asks, and the operator leaves it to a person: by an `ask` rule, or by writing nothing \
                   about an app-class capability. Where nobody can be asked (no terminal), that is a no.",
            todo: "--allow-manifest says yes, for this run, to all that the manifest asks and the policy leaves open. \
                   The operator can say it for good with an `allow` rule.",
            see: &["ask", "consent-denied"],
        },
        Reason::ConsentDenied => Text {
            summary: "a person was asked and said no",
            more: "A no is the default: a timeout, a closed terminal and anything but a clear yes are one.",
            todo: "Run it again and answer otherwise, if you meant to.",
            see: &["consent-required"],
        },
        Reason::Revoked => Text {
            summary: "the grant was taken back while the app was using it",
            more: "When a policy changes, everything that is open is judged again. What is no longer allowed ends \
                   with this reason; what still is goes on.",
            todo: "The rule that took it back is named where one did.",
            see: &["operator-denied", "expired"],
        },
        Reason::Expired => Text {
            summary: "the grant's time is over",
            more: "Either a rule of the operator had an `expires` that has passed, or the DNS answer that bound the \
                   address to a granted name has outlived its TTL. What is open goes on; what is new is refused.",
            todo: "For a rule: the operator sets a later `expires`. For an answer: the app looks the name up again, \
                   or connects by name and leaves that to the host.",
            see: &["name-not-permitted", "revoked"],
        },
        Reason::NoCapacity => Text {
            summary: "a quota is used up; never a permission",
            more: "The app has as many sockets, handles or bytes in flight as its limits give it. The app sees the \
                   error code `no-capacity`, never `denied`, and may try again once it has closed something.",
            todo: "Ask for more under [limits] in nexus.toml; the operator's policy says the most.",
            see: &["limit-over-cap"],
        },
        Reason::Deadline => Text {
            summary: "the time given ran out",
            more: "The app sees the error code `deadline`, never `denied`. It says nothing about a permission.",
            todo: "Give the call, or the run (--timeout, [limits] timeout), more time.",
            see: &["no-capacity"],
        },
        Reason::RuleError => Text {
            summary: "a rule could not be evaluated, and an error is a no",
            more: "The host could not tell whether the act is allowed. It is refused, and told apart from a rule \
                   that says no. It should not happen.",
            todo: "Report it, with the refusal's text.",
            see: &["operator-denied"],
        },
        Reason::Unrecorded => Text {
            summary: "it could not be recorded, and acts like it do not go unrecorded",
            more: "Every decision goes into the audit log. Acts by a system-class capability, of an account, a paired \
                   session or a share hand out what cannot be taken back: where the log cannot be written (a full \
                   disk, a state folder that is not ours), they are refused. The app sees `unavailable`, not \
                   `denied`: nobody has said no.",
            todo: "Make room, or mend the state folder (--state); `nexus-host doctor` looks at it. The log says how \
                   many records were dropped as soon as it can be written.",
            see: &["no-capacity"],
        },
    }
}

/// The text of what keeps an app from starting and is no reason of an act.
pub(super) const fn at_load(reason: LoadReason) -> Text {
    match reason {
        LoadReason::UnknownImport => Text {
            summary: "the app imports an interface that nothing in this host provides",
            more: "No capability grants it, so no manifest can ask for it. The app was made for another host, or its \
                   import's name has a slip in it. A host that started it anyway would trap at the first call.",
            todo: "`nexus-host inspect APP.wasm` lists the imports. Build the app against the WIT of this host, or \
                   compose it with a component that provides the interface.",
            see: &["not-in-this-build", "other-version"],
        },
        LoadReason::NotInThisBuild => Text {
            summary: "the interface is known, and this build of the host does not have it",
            more: "The capability is in the catalog and cannot be granted yet, whoever allows it.",
            todo: "Build the app without it, or run it on a build that has it. `nexus-host explain CAPABILITY` says \
                   which are built.",
            see: &["absent", "unknown-import"],
        },
        LoadReason::OtherVersion => Text {
            summary: "the app imports a version of the interface that this build does not have",
            more: "A version with the same leading number that is not zero (0.1.x as one) is taken for the same \
                   interface; another one is another interface, and a call through it would be misread.",
            todo: "Build the app against the version that the report names.",
            see: &["unknown-import"],
        },
        LoadReason::LimitOverCap => Text {
            summary: "the manifest asks for more of a limit than it may have",
            more: "[limits] of the policy is the most any app may ask for; where it says nothing, the host's own \
                   bound is. What is asked is given whole or refused, never cut in silence.",
            todo: "Ask for less in nexus.toml, or have the operator raise the limit in policy.toml under [limits].",
            see: &["no-capacity"],
        },
        LoadReason::TooManyImports => Text {
            summary: "the component has more imports than any app needs",
            more: "A component has tens of imports; one with more than 1,024 was made to be slow to refuse.",
            todo: "None of its imports past the bound was looked at. Find out who made it.",
            see: &["unknown-import"],
        },
        LoadReason::SignatureRequired => Text {
            summary: "the policy wants a signature by a publisher it lists, and the app has none",
            more: "`require-signature = true` in either policy file. What counts is a signature beside the component \
                   (APP.wasm.minisig) by a key that the same file lists under [[publisher]]; a key that only a rule \
                   names does not count.",
            todo: "Get the publisher's signature file. Whether a key signed exactly these bytes: `nexus-host verify \
                   APP.wasm --publisher KEY`. Who trusts another publisher lists their key in the policy.",
            see: &["signature-invalid"],
        },
        LoadReason::SignatureInvalid => Text {
            summary: "there is a signature beside the app, and the key it names did not make it",
            more: "The component was changed after it was signed, or the file is another component's. An app whose \
                   signature is wrong does not start, whether or not one is required.",
            todo: "Get component and signature anew, from where the publisher puts them.",
            see: &["signature-required", "signature-legacy"],
        },
        LoadReason::SignatureLegacy => Text {
            summary: "the signature is of minisign's old form, over the file and not over its hash",
            more: "Signatures by the first versions of minisign, or with its option -l. They are not verified here.",
            todo: "Have the publisher sign anew, with `nexus-host sign` or a minisign without -l.",
            see: &["signature-invalid"],
        },
        LoadReason::SignatureUnreadable => Text {
            summary: "there is a signature beside the app, and it cannot be read",
            more: "It is too long, no regular file, not of minisign's form, or its rights are in the way. Going on \
                   without it would let whoever can spoil a file decide who published an app.",
            todo: "The refusal says what the matter is; mend it, or remove the file if no signature is meant.",
            see: &["signature-invalid"],
        },
    }
}
