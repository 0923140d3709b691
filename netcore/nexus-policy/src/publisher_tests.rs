//! Publishers' keys: their text, and what a policy says of them.

use super::*;
use crate::policy::{Policy, Subject};

/// The key of minisign's own documentation (the last line of minisign(1)'s README, "Verifying").
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
/// The same key file's first line calls it so.
const ID: &str = "E7620F1842B4E81F";
const OTHER: &str = "RWRzq51bKcS8oJvZ4xEm+nRvGYPdsNRD3ciFPu1YJEL8Bl/3daWaj72r";

fn errors(text: &str) -> String {
    match Policy::parse(text, "policy.toml") {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

fn listed(name: &str, key: &str) -> String {
    format!("[[publisher]]\nname = \"{name}\"\nkey = \"{key}\"\n")
}

fn rule_for(app: &str) -> String {
    format!(
        "[[rule]]\nid = \"r\"\napp = {{ {app} }}\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\n"
    )
}

/// Goal: a key has one text. Method: keys that minisign and rsign made, there and back.
#[test]
fn a_key_is_read_and_written_as_minisign_does() {
    for text in [KEY, OTHER] {
        assert_eq!(PublisherKey::parse(text).unwrap().to_string(), text);
    }
    let key = PublisherKey::parse(KEY).unwrap();
    assert_eq!(key.id().to_string(), ID);
    assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{KEY}\""));
}

/// Goal: what is no key is refused, a secret is told apart, and is not repeated. Method: one of each.
#[test]
fn reject_what_is_no_key() {
    let secret = format!("RWRTY0Iy{}", "x".repeat(204));
    let unencrypted = format!("RWQAAEIy{}", "x".repeat(204));
    let signature = format!("RUQf6LRC{}", "x".repeat(92));
    for (text, error) in [
        ("", KeyError::NoKey),
        (&KEY[..55], KeyError::NoKey),
        (&format!("{KEY}="), KeyError::NoKey),
        (&KEY.replace('Q', "-"), KeyError::NoKey),
        (&KEY.replace("RW", "RU"), KeyError::NoKey),
        (&format!("{} ", &KEY[..55]), KeyError::NoKey),
        (ID, KeyError::NoKey),
        (&secret, KeyError::Secret),
        (&unencrypted, KeyError::Secret),
        (&signature, KeyError::Signature),
    ] {
        assert_eq!(PublisherKey::parse(text), Err(error), "{text}");
    }
    for secret in [secret, unencrypted] {
        for text in [
            listed("acme", &secret),
            rule_for(&format!("publisher = \"{secret}\"")),
        ] {
            let errors = errors(&text);
            assert!(errors.contains("a secret key"), "{errors}");
            assert!(!errors.contains("xxxx"), "{errors}");
        }
    }
}

/// Goal: a rule names its publisher by name or by key, in any order of the file. Method: both.
#[test]
fn a_rule_names_a_publisher_by_name_or_by_key() {
    let key = PublisherKey::parse(KEY).unwrap();
    let text = rule_for("publisher = \"acme\"") + &listed("acme", KEY);
    let policy = Policy::parse(&text, "p").unwrap();
    assert_eq!(policy.rules()[0].app, Subject::Publisher(key));
    assert!(!policy.requires_signature());
    let text = rule_for(&format!("publisher = \"{KEY}\""));
    let policy = Policy::parse(&text, "p").unwrap();
    assert_eq!(policy.rules()[0].app, Subject::Publisher(key));
    assert!(policy.publishers().is_empty());
    assert_eq!(
        policy.publisher_keys().into_iter().collect::<Vec<_>>(),
        [key]
    );
    let text = format!("require-signature = true\n{}", listed("acme", KEY));
    assert!(Policy::parse(&text, "p").unwrap().requires_signature());
}

#[test]
fn reject_what_is_wrong_with_publishers() {
    for (text, says) in [
        (
            "require-signature = true\n",
            "policy.toml:1:21: require-signature: no publisher is listed, so no app could start",
        ),
        (
            "require-signature = \"yes\"\n",
            "require-signature: this must be true or false",
        ),
        (
            "require-signatures = true\n",
            "did you mean `require-signature`?",
        ),
        (
            "[publisher]\nname = \"a\"\n",
            "each publisher begins with [[publisher]]",
        ),
        ("[[publisher]]\n", "publisher[0].name: the key is missing"),
        (
            "[[publisher]]\nname = \"a\"\nkey = \"sha256:00\"\n",
            "publisher[0].key: this is no publisher's key\n  help: a key is the second line",
        ),
        (&listed("a b", KEY), "publisher[0].name: a name is 1 to 55"),
        (
            &(listed("a", KEY) + &listed("a", OTHER)),
            "the name `a` is used by the publisher in line 1 already",
        ),
        (
            &(listed("a", KEY) + &listed("b", KEY)),
            "publisher[1].key: it is the key of `a` already",
        ),
        (
            &(rule_for("publisher = \"acmee\"") + &listed("acme", KEY)),
            "did you mean `acme`?",
        ),
        (
            &rule_for("publisher = \"acme\""),
            "rule[0].app.publisher: this is no publisher's key\n  help: a key is",
        ),
        (
            &rule_for(&format!("publisher = \"{KEY}\", id = \"com.example\"")),
            "rule[0].app.id: a rule for a publisher is for all that they sign",
        ),
        (
            &rule_for(&format!(
                "publisher = \"{KEY}\", digest = \"sha256:{}\"",
                "00".repeat(32)
            )),
            "rule[0].app.digest: a rule for a publisher",
        ),
    ] {
        let errors = errors(text);
        assert!(errors.contains(says), "{text}\n{errors}");
    }
}

/// Goal: a name is never taken for a key. Method: the longest name, and one as long as a key.
#[test]
fn names_at_the_limit_and_reject_one_over() {
    let name = "n".repeat(55);
    assert!(Policy::parse(&listed(&name, KEY), "p").is_ok());
    assert!(errors(&listed(&(name + "n"), KEY)).contains("1 to 55"));
}

/// Goal: the bound on publishers holds. Method: as many as there may be, and one more.
#[test]
fn publishers_at_the_limit_and_reject_one_over() {
    let key = |n: usize| {
        let mut key = PublisherKey::parse(KEY).unwrap();
        key.0[40..].copy_from_slice(&(n as u16).to_be_bytes());
        key.to_string()
    };
    let file = |count: usize| -> String {
        (0..count)
            .map(|n| listed(&format!("p{n}"), &key(n)))
            .collect()
    };
    let policy = Policy::parse(&file(PUBLISHERS_MAX), "p").unwrap();
    assert_eq!(policy.publishers().len(), PUBLISHERS_MAX);
    assert!(errors(&file(PUBLISHERS_MAX + 1)).contains("the most is 1024"));
}
