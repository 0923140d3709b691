//! `nexus-host policy schema`: the JSON schemas (draft 2020-12) of the two files, made from the
//! tables the parsers read by ([`nexus_policy::keys`]).
//!
//! They refuse what the parsers refuse for its keys, types and counts. What they do not see: the
//! text of a rule, rules that say the same, an id used twice, a number too large for its unit, what
//! two keys say of each other (a system-class capability of a class `app` app), paths.

use clap::{Args, ValueEnum};
use nexus_policy::capability::{Capability, Class, Status};
use nexus_policy::keys::{self, Key, Required, Table};
use nexus_policy::limits::{TIMES, UNITS};
use nexus_policy::rule::RULE_BYTES_MAX;
use serde_json::{Map, Value, json};

use super::super::{CliError, Common, say};

const EXAMPLES: &str = "Examples:
  nexus-host policy schema                              of policy.toml
  nexus-host policy schema manifest > nexus.schema.json of nexus.toml
In the file itself, as its first line, for editors that know taplo: #:schema ./nexus.schema.json";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArgs {
    /// Of which file
    #[arg(value_enum, default_value = "policy")]
    of: File,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum File {
    /// nexus.toml: what an app asks for
    Manifest,
    /// policy.toml: what the operator forbids, leaves to a person, or allows
    Policy,
}

pub(super) fn schema(args: &SchemaArgs) -> Result<u8, CliError> {
    let (title, root) = match args.of {
        File::Manifest => ("nexus.toml", &keys::MANIFEST),
        File::Policy => ("policy.toml", &keys::POLICY),
    };
    let mut schema = table(root);
    schema.insert(
        "$schema".to_owned(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    schema.insert("title".to_owned(), title.into());
    let schema = Value::Object(schema);
    say::answer(args.common.output, &format!("{schema:#}\n"), schema)?;
    Ok(0)
}

type Object = Map<String, Value>;

fn table(table: &Table) -> Object {
    let mut properties = Object::new();
    for key in table.keys {
        if let Some(schema) = value(key) {
            properties.insert(key.name.to_owned(), Value::Object(schema));
        }
    }
    let required: Vec<_> = keys::required(table.keys).collect();
    let conditions: Vec<_> = table.keys.iter().filter_map(condition).collect();
    let mut schema = object(json!({
        "type": "object",
        "description": table.about,
        "properties": properties,
        "additionalProperties": false,
    }));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    if !conditions.is_empty() {
        schema.insert("allOf".to_owned(), conditions.into());
    }
    schema
}

fn condition(key: &Key) -> Option<Value> {
    let Required::When(other, word) = key.required else {
        return None;
    };
    Some(json!({
        "if": {"properties": {other: {"const": word}}, "required": [other]},
        "then": {"required": [key.name]},
    }))
}

/// What may stand after a key; nothing may after one that is only known to be refused.
fn value(key: &Key) -> Option<Object> {
    let mut schema = match &key.value {
        keys::Value::Refused => return None,
        keys::Value::Text(pattern) => text(&format!("^{pattern}$")),
        keys::Value::AnyText | keys::Value::Moment => object(json!({"type": "string"})),
        keys::Value::Word(words) => {
            one_of(words.iter().map(|(word, about)| (*word, about.to_string())))
        }
        keys::Value::Capability => {
            let all = Capability::ALL.into_iter().chain(Capability::WASI);
            one_of(all.map(|capability| (capability.as_str(), about(capability))))
        }
        keys::Value::Boolean => object(json!({"type": "boolean"})),
        keys::Value::Count => object(json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})),
        keys::Value::Size => text(&with_unit(&UNITS)),
        keys::Value::Duration => text(&with_unit(&TIMES)),
        keys::Value::Rules { most } => rules(*most),
        keys::Value::Table(inner) => table(inner),
        keys::Value::Tables { table: inner, most } => object(json!({
            "type": "array",
            "maxItems": most,
            "items": table(inner),
        })),
        keys::Value::PerCapability(inner) => {
            let properties: Object = Capability::ALL
                .into_iter()
                .map(|capability| {
                    let schema = asked(capability, inner);
                    (capability.as_str().to_owned(), Value::Object(schema))
                })
                .collect();
            object(json!({
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
            }))
        }
        keys::Value::Variables { most, bytes } => object(json!({
            "type": "object",
            "maxProperties": most,
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"},
            "additionalProperties": {"type": "string", "maxLength": bytes},
        })),
    };
    schema.insert("description".to_owned(), key.about.into());
    Some(schema)
}

/// The table of one capability in a manifest: what it is, and how its rules are written.
fn asked(capability: Capability, inner: &Table) -> Object {
    let mut schema = table(inner);
    schema.insert("description".to_owned(), about(capability).into());
    let parameter = capability.parameter();
    for key in inner.keys {
        if let keys::Value::Rules { most } = key.value {
            let mut list = rules(most);
            list.insert(
                "description".to_owned(),
                format!("{} Here: {}.", key.about, parameter.names()).into(),
            );
            if let Some(items) = list.get_mut("items") {
                items["examples"] = parameter.examples().into();
            }
            schema["properties"][key.name] = Value::Object(list);
        }
    }
    schema
}

fn about(capability: Capability) -> String {
    let class = match capability.class() {
        Class::App => "app-class",
        Class::System => "system-class",
    };
    let absent = match capability.status() {
        Status::Built => "",
        Status::Absent => " Not in this build: never granted.",
    };
    format!("{} ({class}){absent}", capability.about())
}

fn rules(most: u32) -> Object {
    object(json!({
        "type": "array",
        "minItems": 1,
        "maxItems": most,
        "uniqueItems": true,
        "items": {"type": "string", "minLength": 1, "maxLength": RULE_BYTES_MAX},
    }))
}

fn one_of<'a>(words: impl Iterator<Item = (&'a str, String)>) -> Object {
    let words: Vec<_> = words
        .map(|(word, about)| json!({"const": word, "description": about}))
        .collect();
    object(json!({"type": "string", "oneOf": words}))
}

fn text(pattern: &str) -> Object {
    object(json!({"type": "string", "pattern": pattern}))
}

/// A whole number above 0 and one of these units.
fn with_unit(units: &[(&str, u64)]) -> String {
    let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
    format!("^0*[1-9][0-9]*({})$", names.join("|"))
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
