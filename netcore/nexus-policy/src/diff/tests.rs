//! Pairs of policies, and what their difference is said to be.

use super::*;

const NOW: WallTime = WallTime(1_795_305_600);
const TCP: &str = "network.tcp.connect";

/// Rules as `verdict capability to, to; …`, in the words of the file.
fn policy(rules: &[(&str, &str, &str)]) -> Policy {
    let mut text = String::new();
    for (index, (verdict, capability, to)) in rules.iter().enumerate() {
        text += &format!(
            "[[rule]]\nid = \"r{index}\"\ncapability = \"{capability}\"\nverdict = \"{verdict}\"\n"
        );
        if !to.is_empty() {
            let to: Vec<_> = to.split(' ').map(|to| format!("\"{to}\"")).collect();
            text += &format!("to = [{}]\n", to.join(", "));
        }
    }
    read(&text)
}

fn read(text: &str) -> Policy {
    Policy::parse(text, "p").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn said(old: &Policy, new: &Policy) -> Vec<String> {
    let diff = PolicyDiff::of(old, new, NOW);
    let changes = diff.changes.iter().map(|change| {
        format!(
            "{} {}: {} -> {}",
            change.effect.as_str(),
            change.to.join(" "),
            change.old,
            change.new
        )
    });
    changes.collect()
}

/// Rules that were put in another order, renamed, split or joined mean the same: no difference, in
/// neither direction.
#[test]
fn the_same_in_other_words_is_no_difference() {
    for (old, new) in [
        (
            vec![
                ("allow", TCP, "a.example:80"),
                ("forbid", TCP, "b.example:80"),
            ],
            vec![
                ("forbid", TCP, "b.example:80"),
                ("allow", TCP, "a.example:80"),
            ],
        ),
        (
            vec![("allow", TCP, "a.example:80 a.example:81")],
            vec![("allow", TCP, "a.example:80,81")],
        ),
        (
            vec![("allow", TCP, "10.0.0.0/9:80 10.128.0.0/9:80")],
            vec![("allow", TCP, "10.0.0.0/8:80")],
        ),
        (
            vec![("forbid", TCP, "10.0.0.0/8:1-100 10.0.0.0/8:101-65535")],
            vec![("forbid", TCP, "10.0.0.0/8:*")],
        ),
        (
            vec![("allow", TCP, "*.a.example:80 b.a.example:80")],
            vec![("allow", TCP, "*.a.example:80")],
        ),
        // Nothing said of an app-class capability is the same as asking.
        (vec![("ask", TCP, "a.example:80")], vec![]),
        // A forbid hides what is under it.
        (
            vec![("forbid", TCP, "a.example:*")],
            vec![
                ("forbid", TCP, "a.example:*"),
                ("allow", TCP, "a.example:80"),
            ],
        ),
        (
            vec![("forbid", TCP, "")],
            vec![("forbid", TCP, ""), ("ask", TCP, "lan:*")],
        ),
        (
            vec![("allow", "network.tcp.listen", "any:1-10 any:11-20")],
            vec![("allow", "network.tcp.listen", "any:1-20")],
        ),
    ] {
        let (old, new) = (policy(&old), policy(&new));
        assert_eq!(said(&old, &new), Vec::<String>::new());
        assert_eq!(said(&new, &old), Vec::<String>::new());
    }
}

/// Each change is said at the narrowest targets it is about, and its reverse the other way.
#[test]
fn a_change_is_said_where_it_is_and_its_reverse_the_other_way() {
    for (old, new, want) in [
        (
            vec![],
            vec![("allow", TCP, "a.example:80")],
            "wider a.example:80: asked about -> allowed",
        ),
        (
            vec![("allow", TCP, "a.example:80")],
            vec![("allow", TCP, "a.example:80-90")],
            "wider a.example:81-90: asked about -> allowed",
        ),
        (
            vec![("forbid", TCP, "10.0.0.0/8:*")],
            vec![("forbid", TCP, "10.0.0.0/9:*")],
            "wider 10.128.0.0/9:*: forbidden -> asked about",
        ),
        (
            vec![("forbid", TCP, "metadata:*")],
            vec![],
            "wider metadata:*: forbidden -> not allowed (only --allow lifts it)",
        ),
        (
            vec![],
            vec![("ask", "network.tcp.listen", "any:80")],
            "wider any:80: not allowed (only --allow lifts it) -> asked about",
        ),
        (
            vec![],
            vec![("allow", "wasi.env", "LANG")],
            "wider LANG: not allowed (only --allow lifts it) -> allowed",
        ),
        (
            vec![("forbid", TCP, "")],
            vec![("ask", TCP, "")],
            "wider everything: forbidden -> asked about",
        ),
        // A name may lead into the network: it cannot be told before it does.
        (
            vec![
                ("allow", TCP, "a.example:80"),
                ("forbid", TCP, "93.184.216.0/24:*"),
            ],
            vec![
                ("allow", TCP, "a.example:80"),
                ("forbid", TCP, "93.184.216.0/24:1-79,81-65535"),
            ],
            "wider 93.184.216.0/24:80: forbidden -> may be allowed or asked about",
        ),
    ] {
        let (old, new) = (policy(&old), policy(&new));
        assert_eq!(said(&old, &new), [want]);
        let back = PolicyDiff::of(&new, &old, NOW);
        assert_eq!((back.wider(), back.narrower()), (0, 1), "{want}");
    }
}

/// What depends on where a name leads is said as "may".
#[test]
fn what_only_the_target_tells_is_said_as_may() {
    let old = policy(&[("forbid", TCP, "93.184.216.0/24:*")]);
    let new = policy(&[
        ("forbid", TCP, "93.184.216.0/24:*"),
        ("allow", TCP, "a.example:80"),
    ]);
    assert_eq!(
        said(&old, &new),
        ["wider a.example:80: may be asked about or forbidden -> may be allowed or forbidden"]
    );
}

/// A rule with an end differs from one without from that moment on.
#[test]
fn an_expiry_is_a_difference_from_then_on() {
    let rule = "[[rule]]\nid = \"r\"\ncapability = \"network.tcp.connect\"\nverdict = \"allow\"\nto = [\"a.example:80\"]\n";
    let (old, new) = (
        read(&format!("{rule}expires = \"2027-01-01T00:00:00Z\"\n")),
        read(rule),
    );
    let diff = PolicyDiff::of(&old, &new, NOW);
    assert_eq!(diff.changes.len(), 1);
    let change = &diff.changes[0];
    assert_eq!(
        change.from.map(WallTime::utc).as_deref(),
        Some("2027-01-01T00:00:00Z")
    );
    assert_eq!((change.until, change.effect), (None, Effect::Wider));
    // What is over already is as if it were not there.
    let later = WallTime(1_900_000_000);
    assert_eq!(PolicyDiff::of(&old, &Policy::none(), later).changes, []);
}

/// A rule for one app is a difference for that app alone, and is judged among the rules for all.
#[test]
fn a_rule_for_one_app_differs_for_that_app() {
    let app = format!("app = {{ digest = \"sha256:{}\" }}\n", "7".repeat(64));
    let rule = |id: &str, verdict: &str, app: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\n{app}capability = \"{TCP}\"\nverdict = \"{verdict}\"\nto = [\"a.example:80\"]\n"
        )
    };
    let all = rule("all", "forbid", "");
    let (old, new) = (
        read(&all),
        read(&(all.clone() + &rule("one", "allow", &app))),
    );
    assert_eq!(said(&old, &new), Vec::<String>::new());
    let diff = PolicyDiff::of(&Policy::none(), &read(&rule("one", "allow", &app)), NOW);
    assert_eq!(diff.changes.len(), 1);
    assert_ne!(diff.changes[0].app, Subject::Everyone);
}

/// Limits are compared by what they come to; a written one that is the host's own is none.
#[test]
fn limits_are_compared_by_what_they_come_to() {
    let limits = |text: &str| read(&format!("[limits]\n{text}\n"));
    let diff = PolicyDiff::of(
        &limits("memory = \"1GiB\""),
        &limits("timeout = \"10m\"\nsockets = 256"),
        NOW,
    );
    let said: Vec<_> = diff
        .limits
        .iter()
        .map(|l| (l.key, l.old.as_str(), l.new.as_str(), l.effect))
        .collect();
    assert_eq!(said, [("timeout", "no deadline", "10m", Effect::Narrower)]);
    let diff = PolicyDiff::of(&limits("sockets = 10"), &Policy::none(), NOW);
    assert_eq!((diff.wider(), diff.narrower()), (1, 0));
}

#[test]
fn renamed_rules_are_told() {
    let old = policy(&[("allow", TCP, "a.example:80")]);
    let new = read(
        "[[rule]]\nid = \"better\"\ncapability = \"network.tcp.connect\"\nverdict = \"allow\"\nto = [\"a.example:80\"]\n",
    );
    let diff = PolicyDiff::of(&old, &new, NOW);
    assert!(diff.is_empty());
    assert_eq!(diff.renamed, [("r0".to_owned(), "better".to_owned())]);
}

/// Goal: who must have signed an app is a difference, each way. Method: pairs of files with and without the
/// requirement and with other publishers; the reverse of each goes the other way.
#[test]
fn who_must_have_signed_is_a_difference() {
    let key = |n: u8| {
        let mut key = [n; 42];
        key[..2].copy_from_slice(b"Ed");
        crate::PublisherKey(key)
    };
    let publisher = |n: u8| format!("[[publisher]]\nname = \"p{n}\"\nkey = \"{}\"\n", key(n));
    let policy = |required: bool, listed: &[u8]| {
        let listed: String = listed.iter().map(|n| publisher(*n)).collect();
        read(&format!("require-signature = {required}\n{listed}"))
    };
    for (old, new, wider, narrower) in [
        (policy(false, &[]), policy(true, &[1]), 0, 1),
        (policy(true, &[1]), policy(true, &[1, 2]), 1, 0),
        (policy(true, &[1, 3]), policy(true, &[2, 1]), 1, 1),
        // Nothing is required: the list keeps nobody out.
        (policy(false, &[1]), policy(false, &[2]), 0, 0),
        (policy(true, &[1, 2]), policy(true, &[2, 1]), 0, 0),
    ] {
        let diff = PolicyDiff::of(&old, &new, NOW);
        assert_eq!((diff.wider(), diff.narrower()), (wider, narrower));
        assert_eq!(diff.is_empty(), wider + narrower == 0);
        let back = PolicyDiff::of(&new, &old, NOW);
        assert_eq!((back.wider(), back.narrower()), (narrower, wider));
    }
}
