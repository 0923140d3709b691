//! `nexus.toml`: what is accepted, and what is refused with which text.

use super::*;
use crate::capability::Status;

const GOOD: &str = r#"
[app]
id = "com.example.weather"
version = "0.3.1"
class = "app"
[capabilities."network.tcp.connect"]
allow = ["api.example.com:443", "10.0.0.0/8:8000-8010", "host.internal:8000"]
[capabilities."network.udp.send"]
optional = true
allow = ["ntp.example.com:123"]
[wasi]
dirs = [{ host = "./data", guest = "/data", mode = "ro" }]
env = { LANG = "en" }
[limits]
memory = "64MiB"
sockets = 64
"#;

fn errors(text: &str) -> String {
    match Manifest::parse(text, "nexus.toml") {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

fn with_app(text: &str) -> String {
    format!("[app]\nid = \"a\"\n{text}")
}

#[test]
fn the_manifest_of_the_design() {
    let manifest = Manifest::parse(GOOD, "nexus.toml")
        .unwrap()
        .with_base("/apps/weather");
    let app = manifest.app().unwrap();
    assert_eq!(
        (app.id.as_str(), app.version.as_deref(), app.class),
        ("com.example.weather", Some("0.3.1"), Class::App)
    );
    let asked: Vec<_> = manifest
        .capabilities()
        .map(|(capability, asked)| {
            (
                capability.as_str(),
                asked.rules.len(),
                asked.optional,
                asked.line,
            )
        })
        .collect();
    assert_eq!(
        asked,
        [
            ("network.tcp.connect", 3, false, 6),
            ("network.udp.send", 1, true, 8)
        ]
    );
    assert_eq!(
        manifest.directories()[0].path.as_deref(),
        Some("/apps/weather/data")
    );
    assert_eq!(manifest.variables()[0].0.as_str(), "LANG");
    assert_eq!(
        (manifest.limits().memory, manifest.limits().sockets),
        (Some(64 << 20), Some(64))
    );
    assert_eq!(manifest.source(), Some("nexus.toml"));
}

/// Goal: a manifest can ask for what this build does not have, and is held to its form. Method:
/// each capability of the catalog that is absent, with the examples of its rules; then without any.
#[test]
fn capabilities_that_are_absent_are_known() {
    let absent = Capability::ALL
        .into_iter()
        .filter(|c| c.status() == Status::Absent);
    for capability in absent {
        let examples: Vec<_> = capability
            .parameter()
            .examples()
            .iter()
            .map(|rule| format!("\"{rule}\""))
            .collect();
        let head =
            format!("[app]\nid = \"a\"\nclass = \"system\"\n[capabilities.\"{capability}\"]\n");
        let text = format!("{head}allow = [{}]\n", examples.join(", "));
        let manifest = Manifest::parse(&text, "m").unwrap_or_else(|e| panic!("{e}"));
        let asked = manifest.asked(capability).expect("asked");
        assert_eq!(asked.rules.len(), examples.len(), "{capability}");
        let error = Manifest::parse(&head, "m").unwrap_err().to_string();
        let advice = format!("add allow = [{}]", examples[0]);
        assert!(
            error.contains("it names nothing") && error.contains(&advice),
            "{error}"
        );
        let error = Manifest::parse(&format!("{head}allow = [\"\\u202e\"]\n"), "m");
        assert!(error.is_err(), "{capability} takes any text");
    }
}

#[test]
fn reject_unknown_keys_with_a_suggestion() {
    for (text, says) in [
        (
            "[ap]\nid = \"a\"\n",
            "nexus.toml:1:2: ap: unknown key\n  help: did you mean `app`?",
        ),
        (
            "[app]\nid = \"a\"\nverson = \"1\"\n",
            "nexus.toml:3:1: app.verson: unknown key\n  help: did you mean `version`?",
        ),
        (
            &with_app("[limits]\nmemroy = \"1MiB\"\n"),
            "limits.memroy: unknown key\n  help: did you mean `memory`?",
        ),
        (
            &with_app("[limits]\nfuel = 1\n"),
            "the keys here are `memory`, `sockets`, `handles`, `bytes-in-flight`, `timeout`, `request-body`, `response-body` and `request-timeout`",
        ),
        (
            &with_app(
                "[capabilities.\"network.tcp.connect\"]\nalow = [\"a.example:1\"]\nallow = [\"a.example:2\"]\n",
            ),
            "capabilities.\"network.tcp.connect\".alow: unknown key\n  help: did you mean `allow`?",
        ),
        (
            &with_app("[wasi]\ndir = []\n"),
            "wasi.dir: unknown key\n  help: did you mean `dirs`?",
        ),
        (
            &with_app("[wasi]\ndirs = [{ host = \"a\", guest = \"/a\", mode = \"ro\", x = 1 }]\n"),
            "wasi.dirs[0].x: unknown key",
        ),
    ] {
        let errors = errors(text);
        assert!(errors.contains(says), "{text}\n{errors}");
    }
}

#[test]
fn reject_typos_in_capabilities() {
    let errors = errors(&with_app(
        "[capabilities.\"network.tcp.conect\"]\nallow = [\"a.example:1\"]\n",
    ));
    assert_eq!(
        errors,
        "nexus.toml:3:15: capabilities.\"network.tcp.conect\": no capability has this name\n  \
         help: did you mean `network.tcp.connect`?"
    );
    let errors = self::errors(&with_app(
        "[capabilities.network.tcp.connect]\nallow = [\"a.example:1\"]\n",
    ));
    assert!(
        errors.contains("in quotes: [capabilities.\"network.tcp.connect\"]"),
        "{errors}"
    );
    let errors = self::errors(&with_app(
        "[capabilities.\"wasi.dirs\"]\nallow = [\"/a:ro\"]\n",
    ));
    assert!(
        errors.contains("ask for it in [wasi], with `dirs`"),
        "{errors}"
    );
    let errors = self::errors(&with_app("[capabilities.\"quantum.teleport\"]\n"));
    assert!(
        errors.contains("no capability has this name") && !errors.contains("help"),
        "{errors}"
    );
}

#[test]
fn reject_wrong_types() {
    for (text, says) in [
        ("app = 1\n", "app: this must be a table, not an integer"),
        (
            "[app]\nid = 1\n",
            "app.id: this must be a string, not an integer",
        ),
        (
            &with_app("capabilities = []\n"),
            "app.capabilities: unknown key",
        ),
        (
            &with_app("[capabilities]\n\"network.tcp.connect\" = true\n"),
            "this must be a table, not a boolean",
        ),
        (
            &with_app("[capabilities.\"network.tcp.connect\"]\nallow = \"a.example:1\"\n"),
            "write [\"a.example:1\"]",
        ),
        (
            &with_app("[capabilities.\"network.tcp.connect\"]\nallow = [1]\n"),
            ".allow[0]: this must be a string, not an integer",
        ),
        (
            &with_app(
                "[capabilities.\"network.tcp.connect\"]\nallow = [\"a.example:1\"]\noptional = \"yes\"\n",
            ),
            "this must be true or false",
        ),
        (&with_app("[limits]\nmemory = 64\n"), "a string with a unit"),
        (
            &with_app("[limits]\nmemory = \"64MB\"\n"),
            "write a whole number and B, KiB, MiB or GiB",
        ),
        (
            &with_app("[limits]\nmemory = \"99999999999999999999GiB\"\n"),
            "is no size",
        ),
        (&with_app("[limits]\nmemory = \"0B\"\n"), "0 bytes"),
        (
            &with_app("[limits]\nsockets = \"64\"\n"),
            "this must be a whole number",
        ),
        (&with_app("[limits]\nsockets = 0\n"), "0 is of no use"),
        (&with_app("[limits]\nsockets = -1\n"), "-1 is out of range"),
        (
            &with_app("[limits]\nsockets = 4294967296\n"),
            "out of range",
        ),
        (
            &with_app("[limits]\ntimeout = 30\n"),
            "a string with a unit",
        ),
        (
            &with_app("[limits]\ntimeout = \"30\"\n"),
            "write a whole number and ms, s, m or h",
        ),
        (
            &with_app("[wasi]\nenv = { \"A B\" = \"x\" }\n"),
            "no name of a variable",
        ),
        (
            &with_app("[wasi]\nenv = { A = 1 }\n"),
            "this must be a string",
        ),
        (&with_app("[wasi]\ndirs = [\"/data\"]\n"), "{ host = "),
        (
            &with_app("[wasi]\ndirs = [{ host = \"a\" }]\n"),
            "wasi.dirs[0].guest: the key is missing",
        ),
    ] {
        let errors = errors(text);
        assert!(errors.contains(says), "{text}\n{errors}");
    }
}

#[test]
fn reject_what_is_no_toml() {
    for text in [
        "[app",
        "\u{0}",
        "app = ",
        "[app]\nid = \"a\"\nid = \"b\"\n",
        "[app]\nid = \"a\"\n[app]\n",
    ] {
        assert!(errors(text).starts_with("nexus.toml:"), "{text}");
    }
    let duplicate = errors("[app]\nid = \"a\"\nid = \"b\"\n");
    assert!(
        duplicate.starts_with("nexus.toml:3:1: ") && duplicate.contains("duplicate key"),
        "{duplicate}"
    );
}

#[test]
fn reject_duplicate_rules_in_any_spelling() {
    let text = with_app(
        "[capabilities.\"network.tcp.connect\"]\nallow = [\"bücher.example:443\", \"XN--BCHER-KVA.example.:443\"]\n",
    );
    assert_eq!(
        errors(&text),
        "nexus.toml:4:32: capabilities.\"network.tcp.connect\".allow[1]: `xn--bcher-kva.example:443` is in the list already"
    );
}

#[test]
fn reject_a_capability_that_names_nothing() {
    for text in [
        "[capabilities.\"network.tcp.connect\"]\n",
        "[capabilities.\"network.tcp.connect\"]\nallow = []\n",
    ] {
        let errors = errors(&with_app(text));
        assert!(
            errors.contains("names nothing") || errors.contains("the list is empty"),
            "{errors}"
        );
    }
}

#[test]
fn reject_system_capabilities_of_an_app_class_app() {
    let text =
        with_app("class = \"app\"\n[capabilities.\"network.tcp.listen\"]\nallow = [\"any:80\"]\n");
    let errors = errors(&text);
    assert!(
        errors.contains("this capability is system-class") && errors.contains("class = \"system\""),
        "{errors}"
    );
    assert!(Manifest::parse(&text.replace("\"app\"", "\"system\""), "m").is_ok());
    assert!(self::errors(&with_app("class = \"root\"\n")).contains("`root` is no class"));
}

#[test]
fn reject_a_missing_app() {
    assert!(errors("").contains("app: the section is missing"));
    assert!(errors("[app]\n").contains("app.id: the key is missing"));
    assert!(errors("[app]\nid = \"a b\"\n").contains("an id is"));
    assert!(errors("[app]\nid = \"\"\n").contains("an id is"));
}

#[test]
fn reject_folders_outside_the_manifests_own() {
    for host in ["/etc", "../x", "a/../../x"] {
        let text = with_app(&format!(
            "[wasi]\ndirs = [{{ host = \"{host}\", guest = \"/a\", mode = \"ro\" }}]\n"
        ));
        assert!(
            errors(&text).contains("not a path below the manifest's own folder"),
            "{host}"
        );
    }
    let twice = with_app(
        "[wasi]\ndirs = [{ host = \"a\", guest = \"/a\", mode = \"ro\" }, { host = \"b\", guest = \"/a/\", mode = \"rw\" }]\n",
    );
    assert!(errors(&twice).contains("`/a` is in the list already"));
    let mode = with_app("[wasi]\ndirs = [{ host = \"a\", guest = \"/a\", mode = \"wr\" }]\n");
    assert!(errors(&mode).contains("it is `ro` or `rw`"));
}

#[test]
fn every_problem_is_listed_in_order_and_bounded() {
    let text = with_app(
        "[capabilities.\"network.tcp.connect\"]\nallow = [\"a.example\", \"b.example:0\", \"*:1\"]\n[limits]\nx = 1\n",
    );
    let errors = errors(&text);
    let lines: Vec<_> = errors
        .lines()
        .filter(|line| line.starts_with("nexus.toml:"))
        .collect();
    assert_eq!(lines.len(), 4, "{errors}");
    let many: Vec<_> = (0..500).map(|n| format!("\"x{n}\"")).collect();
    let text = with_app(&format!(
        "[capabilities.\"network.tcp.connect\"]\nallow = [{}]\n",
        many.join(", ")
    ));
    assert_eq!(
        Manifest::parse(&text, "m").unwrap_err().problems.len(),
        crate::config::PROBLEMS_MAX
    );
}

#[test]
fn rules_at_and_over_the_limit() {
    let rules = |count: u32| {
        let list: Vec<_> = (0..count).map(|n| format!("\"h{n}.example:1\"")).collect();
        with_app(&format!(
            "[capabilities.\"network.tcp.connect\"]\nallow = [{}]\n",
            list.join(", ")
        ))
    };
    assert!(Manifest::parse(&rules(RULES_PER_CAPABILITY), "m").is_ok());
    assert!(
        errors(&rules(RULES_PER_CAPABILITY + 1))
            .contains("the list has 1025 rules; the most is 1024")
    );
}

#[test]
fn port_ranges_at_and_over_the_limit() {
    // Sixteen rules, each with as many single ports as it takes.
    let ranges = |more: u32| {
        let rules = (0..16).map(|rule| {
            let count = PORT_RANGES_PER_CAPABILITY / 16 + if rule == 0 { more } else { 0 };
            let ports: Vec<_> = (0..count).map(|n| (2 * n + 1).to_string()).collect();
            format!("\"h{rule}.example:{}\"", ports.join(","))
        });
        let rules: Vec<_> = rules.collect();
        with_app(&format!(
            "[capabilities.\"network.tcp.connect\"]\nallow = [{}]\n",
            rules.join(", ")
        ))
    };
    assert!(Manifest::parse(&ranges(0), "m").is_ok());
    assert!(errors(&ranges(1)).contains("more than 2048 ports and ranges in one list"));
}

#[test]
fn bytes_at_and_over_the_limit() {
    let padded = |bytes: usize| format!("{GOOD}#{}", "x".repeat(bytes - GOOD.len() - 1));
    assert!(Manifest::parse(&padded(MANIFEST_BYTES as usize), "m").is_ok());
    assert!(errors(&padded(MANIFEST_BYTES as usize + 1)).contains("the most is 262144"));
}

#[test]
fn reject_text_that_would_repaint_the_terminal() {
    let text = "[app]\nid = \"a\"\n\"\\u001b[2J\" = 1\n[capabilities.\"network.tcp.connect\"]\nallow = [\"\\u001b[31mx\"]\n";
    let errors = errors(text);
    assert!(
        !errors.chars().any(|c| c.is_control() && c != '\n'),
        "{errors:?}"
    );
}

#[test]
fn nesting_without_end_is_an_error_and_not_a_crash() {
    assert!(Manifest::parse(&format!("a = {}", "[".repeat(100_000)), "m").is_err());
    assert!(Manifest::parse(&"[a.".repeat(50_000), "m").is_err());
}
