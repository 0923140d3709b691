//! The published JSON schemas against the parsers: what one refuses for keys, types and counts, the
//! other refuses, and where the schema is laxer is in a list.

mod walker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nexus_policy::{Manifest, Policy};
use serde_json::{Map, Value, json};
use walker::mismatch;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum File {
    Manifest,
    Policy,
}

impl File {
    fn word(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Policy => "policy",
        }
    }

    fn committed(self) -> PathBuf {
        root().join(match self {
            Self::Manifest => "docs/schema/nexus.schema.json",
            Self::Policy => "docs/schema/policy.schema.json",
        })
    }

    fn example(self) -> PathBuf {
        root().join(match self {
            Self::Manifest => "docs/examples/nexus.toml",
            Self::Policy => "docs/examples/policy.toml",
        })
    }

    /// What the command prints.
    fn printed(self, output: &str) -> String {
        let host = Command::new(env!("CARGO_BIN_EXE_nexus-host"))
            .args(["policy", "schema", self.word(), "--output", output])
            .output()
            .expect("the host runs");
        assert!(host.status.success(), "{host:?}");
        String::from_utf8(host.stdout).expect("UTF-8")
    }

    fn schema(self) -> Value {
        serde_json::from_str(&self.printed("text")).expect("JSON")
    }

    /// What the parser says.
    fn parse(self, text: &str) -> Result<(), String> {
        match self {
            Self::Manifest => Manifest::parse(text, "f").map(drop),
            Self::Policy => Policy::parse(text, "f").map(drop),
        }
        .map_err(|error| error.to_string())
    }
}

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("two folders down")
}

/// TOML as the tools that know schemas see it: a date is its text.
fn as_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::Datetime(moment) => Value::String(moment.to_string()),
        toml::Value::Array(items) => items.iter().map(as_json).collect(),
        toml::Value::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| (key.clone(), as_json(value)))
                .collect(),
        ),
        other => serde_json::to_value(other).expect("plain"),
    }
}

fn read(text: &str) -> toml::Table {
    text.parse().unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn verdicts(file: File, schema: &Value, text: &str) -> (Result<(), String>, Option<String>) {
    let json = as_json(&toml::Value::Table(read(text)));
    (file.parse(text), mismatch(schema, &json))
}

/// Goal: what is committed is what the host prints. Method: compared; `BLESS=1` writes it anew.
#[test]
fn the_committed_schemas_are_current() {
    for file in [File::Manifest, File::Policy] {
        let (path, printed) = (file.committed(), file.printed("text"));
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, &printed).expect("writes");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == printed,
            "{} is not what `nexus-host policy schema {}` prints; to renew it: BLESS=1 cargo test -p nexus-host --test schema",
            path.display(),
            file.word(),
        );
    }
}

#[test]
fn scripts_get_the_envelope() {
    let envelope: Value = serde_json::from_str(&File::Policy.printed("json")).expect("JSON");
    assert_eq!(
        envelope,
        json!({"ok": true, "data": File::Policy.schema(), "error": null})
    );
}

/// Goal: every file we ship fits. Method: the guide's examples and each component's manifest.
#[test]
fn our_own_files_fit_their_schemas() {
    let mut files = vec![
        (File::Manifest, File::Manifest.example()),
        (File::Policy, File::Policy.example()),
    ];
    for entry in fs::read_dir(root().join("components")).expect("components") {
        let path = entry.expect("an entry").path().join("nexus.toml");
        if path.is_file() {
            files.push((File::Manifest, path));
        }
    }
    assert!(files.len() > 8, "{files:?}");
    for (file, path) in files {
        let text = fs::read_to_string(&path).expect("readable");
        let said = verdicts(file, &file.schema(), &text);
        assert_eq!(said, (Ok(()), None), "{}", path.display());
    }
}

/// Where a value is: keys, and numbers in lists.
type Place = Vec<String>;

/// Every place in `value` but its root, tables before what is in them.
fn places(value: &toml::Value) -> Vec<Place> {
    let below: Vec<(String, &toml::Value)> = match value {
        toml::Value::Table(table) => table.iter().map(|(k, v)| (k.clone(), v)).collect(),
        toml::Value::Array(items) => (0..)
            .zip(items)
            .map(|(n, v): (usize, _)| (n.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    below
        .into_iter()
        .flat_map(|(key, value)| {
            let deeper = places(value).into_iter().map({
                let key = key.clone();
                move |place| [vec![key.clone()], place].concat()
            });
            [vec![vec![key]], deeper.collect()].concat()
        })
        .collect()
}

fn at<'a>(value: &'a mut toml::Value, place: &[String]) -> &'a mut toml::Value {
    place.iter().fold(value, |value, key| match value {
        toml::Value::Table(table) => table.get_mut(key).expect("there"),
        toml::Value::Array(items) => &mut items[key.parse::<usize>().expect("a number")],
        other => panic!("nothing is in {other}"),
    })
}

/// A file with every key there is, so that each can be spoilt.
fn full(file: File) -> toml::Value {
    let text = fs::read_to_string(file.example()).expect("readable");
    let mut table = read(&text);
    if file == File::Policy {
        let more = "sockets = 1\nhandles = 1\nbytes-in-flight = \"1B\"\nrequest-body = \"1B\"\n\
                    response-body = \"1B\"\nrequest-timeout = \"1s\"\n";
        let limits = table["limits"].as_table_mut().expect("a table");
        limits.extend(read(more));
    }
    toml::Value::Table(table)
}

/// Goal: parser and schema agree on every key: missing, unknown, of the wrong type. Method: a file with every
/// key there is; each value replaced by one of each other type, each key left out, an unknown key
/// added to each table. Both refuse, or both accept.
#[test]
fn reject_what_the_parser_rejects_for_its_keys_and_types() {
    let wrong = || {
        [
            toml::Value::Float(1.5),
            toml::Value::Boolean(true),
            toml::Value::Integer(-1),
            toml::Value::Integer(0),
            toml::Value::Integer(1 << 40),
            toml::Value::String(String::new()),
            toml::Value::String("\u{202e}".to_owned()),
            toml::Value::Array(Vec::new()),
            toml::Value::Array(vec![toml::Value::Boolean(true)]),
            toml::Value::Table(toml::Table::new()),
        ]
    };
    let mut refused = 0;
    for file in [File::Manifest, File::Policy] {
        let schema = file.schema();
        let mut agree = |changed: &toml::Value, what: &str| {
            let text = toml::to_string(changed).expect("TOML");
            let (parser, walker) = verdicts(file, &schema, &text);
            let laxer = LAXER_BY_KEY.iter().any(|key| what.contains(key));
            if !laxer || walker.is_some() {
                assert_eq!(
                    parser.is_err(),
                    walker.is_some(),
                    "{what}\n{parser:?}\n{walker:?}\n{text}"
                );
            }
            refused += usize::from(walker.is_some());
        };
        let whole = full(file);
        agree(&whole, "the whole file");
        for place in [vec![Place::new()], places(&whole)].concat() {
            let name = place.join("/");
            if at(&mut whole.clone(), &place).is_table() {
                let mut changed = whole.clone();
                let table = at(&mut changed, &place).as_table_mut().expect("a table");
                table.insert("zzz".to_owned(), toml::Value::Float(1.5));
                agree(&changed, &format!("{name}/zzz = 1.5"));
            }
            let Some((key, parent)) = place.split_last() else {
                continue;
            };
            for value in wrong() {
                let mut changed = whole.clone();
                *at(&mut changed, &place) = value.clone();
                agree(&changed, &format!("{name} = {value}"));
            }
            let mut changed = whole.clone();
            if let toml::Value::Table(table) = at(&mut changed, parent) {
                table.remove(key);
                agree(&changed, &format!("without {name}"));
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

/// Keys whose texts the schema leaves to the parser.
const LAXER_BY_KEY: [&str; 11] = [
    // Texts of rules.
    "/allow/",
    "/to/",
    // A moment: any text.
    "/expires",
    // A path below the manifest's folder: any text.
    "wasi/dirs/0/host",
    // An optional capability may name no rule, another may not.
    "without capabilities/network.tcp.connect/allow",
    "capabilities/network.tcp.connect = {}",
    "capabilities/network.udp.send = {}",
    // Who a rule is for: the name of a [[publisher]], which must be there, or a key.
    "publisher",
    // A digest or a publisher, one of them.
    "/app = {}",
    "without rule/2/app/digest",
    // A variable's value: any text.
    "wasi/env",
];

/// Goal: what the schema does not see is known. Method: each file is refused by the parser alone, and
/// the guide says so.
#[test]
fn where_the_schema_is_laxer() {
    let app = "[app]\nid = \"a\"\n";
    let rule = "[[rule]]\nid = \"a\"\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\n";
    for (file, text, says) in [
        (
            File::Manifest,
            format!("{app}[capabilities.\"network.tcp.connect\"]\nallow = [\"a.example\"]\n"),
            "has no port",
        ),
        (
            File::Manifest,
            format!(
                "{app}[capabilities.\"network.tcp.connect\"]\nallow = [\"a.example:1\", \"A.example:1\"]\n"
            ),
            "in the list already",
        ),
        (
            File::Manifest,
            format!("{app}[capabilities.\"network.tcp.listen\"]\nallow = [\"any:1\"]\n"),
            "system-class",
        ),
        (
            File::Manifest,
            format!("{app}[limits]\nmemory = \"99999999999999999999GiB\"\n"),
            "no size",
        ),
        (
            File::Manifest,
            format!("{app}[wasi]\ndirs = [{{ host = \"../x\", guest = \"/x\", mode = \"ro\" }}]\n"),
            "not a path below",
        ),
        (
            File::Manifest,
            format!("{app}[wasi]\ndirs = [{{ host = \"x\", guest = \"/x/..\", mode = \"ro\" }}]\n"),
            "no absolute path",
        ),
        (File::Policy, format!("{rule}{rule}"), "is used by the rule"),
        (
            File::Policy,
            format!("{rule}expires = \"soon\"\n"),
            "no moment",
        ),
    ] {
        let (parser, walker) = verdicts(file, &file.schema(), &text);
        let error = parser.expect_err("refused");
        assert!(error.contains(says), "{error}");
        assert_eq!(walker, None, "the schema sees it now: {text}");
    }
}

/// Goal: counts hold at their bound and not past it. Method: lists of the most, and one more.
#[test]
fn reject_lists_past_their_bound() {
    let list =
        |count: u32, of: &dyn Fn(u32) -> String| (0..count).map(of).collect::<Vec<_>>().join(", ");
    let rules = |count| {
        let rules = list(count, &|n| format!("\"h{n}.example:1\""));
        format!("[app]\nid = \"a\"\n[capabilities.\"network.tcp.connect\"]\nallow = [{rules}]\n")
    };
    let folders = |count| {
        let one = |n| format!("{{ host = \"x\", guest = \"/{n}\", mode = \"ro\" }}");
        format!(
            "[app]\nid = \"a\"\n[wasi]\ndirs = [{}]\n",
            list(count, &one)
        )
    };
    let variables = |count| {
        let one = |n| format!("A{n} = \"\"");
        format!(
            "[app]\nid = \"a\"\n[wasi]\nenv = {{ {} }}\n",
            list(count, &one)
        )
    };
    let id = |count| format!("[app]\nid = \"{}\"\n", "a".repeat(count as usize));
    let schema = File::Manifest.schema();
    let cases: [(&dyn Fn(u32) -> String, u32); 4] = [
        (&rules, 1_024),
        (&folders, 64),
        (&variables, 64),
        (&id, 128),
    ];
    for (text, most) in cases {
        assert_eq!(
            verdicts(File::Manifest, &schema, &text(most)),
            (Ok(()), None)
        );
        let (parser, walker) = verdicts(File::Manifest, &schema, &text(most + 1));
        assert!(
            parser.is_err() && walker.is_some(),
            "{most}: {parser:?} {walker:?}"
        );
    }
}

/// Goal: the walker sees. Method: a schema of each keyword, and a value that fits and one that does not.
#[test]
fn the_walker_knows_what_does_not_fit() {
    let object = |key: &str, value: Value| Value::Object(Map::from_iter([(key.to_owned(), value)]));
    for (keyword, rule, fits, not) in [
        ("type", json!("integer"), json!(1), json!(1.5)),
        ("const", json!("a"), json!("a"), json!("b")),
        (
            "oneOf",
            json!([{"const": 1}, {"const": 2}]),
            json!(1),
            json!(3),
        ),
        (
            "allOf",
            json!([{"minimum": 1}, {"maximum": 2}]),
            json!(1),
            json!(3),
        ),
        (
            "properties",
            json!({"a": {"type": "string"}}),
            json!({"a": ""}),
            json!({"a": 1}),
        ),
        ("required", json!(["a"]), json!({"a": 1}), json!({})),
        (
            "additionalProperties",
            json!(false),
            json!({}),
            json!({"a": 1}),
        ),
        (
            "propertyNames",
            json!({"pattern": "^a$"}),
            json!({"a": 1}),
            json!({"b": 1}),
        ),
        (
            "maxProperties",
            json!(1),
            json!({"a": 1}),
            json!({"a": 1, "b": 1}),
        ),
        (
            "items",
            json!({"type": "string"}),
            json!(["a"]),
            json!(["a", 1]),
        ),
        ("minItems", json!(1), json!([1]), json!([])),
        ("maxItems", json!(1), json!([1]), json!([1, 2])),
        ("uniqueItems", json!(true), json!([1, 2]), json!([1, 1])),
        ("minLength", json!(1), json!("a"), json!("")),
        ("maxLength", json!(1), json!("ü"), json!("ab")),
        ("pattern", json!("^a+$"), json!("aa"), json!("ab")),
    ] {
        let schema = object(keyword, rule);
        assert_eq!(mismatch(&schema, &fits), None, "{keyword}");
        assert!(mismatch(&schema, &not).is_some(), "{keyword}");
    }
    let when = json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}});
    assert_eq!(mismatch(&when, &json!({})), None);
    assert!(mismatch(&when, &json!({"a": 1})).is_some());
}
