//! A validator for the part of JSON schema (draft 2020-12) that our schemas are written in. A keyword
//! it does not know is a panic, so that nothing in a schema goes unchecked.

use regex::Regex;
use serde_json::Value;

/// The first thing that does not fit, with its place; none if all does.
pub(crate) fn mismatch(schema: &Value, value: &Value) -> Option<String> {
    walk(schema, value, "")
}

fn walk(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let schema = schema.as_object().expect("a schema is an object");
    let wrong = |what: &str| Some(format!("{path}: {what}"));
    let number = |value: &Value| value.as_u64().expect("a bound is a number");
    for (keyword, rule) in schema {
        let found = match (keyword.as_str(), value) {
            // Say nothing of the value; those below are read beside another.
            ("$schema" | "title" | "description" | "examples" | "then", _) => None,
            ("type", _) => match (rule.as_str().expect("one type"), value) {
                ("object", Value::Object(_))
                | ("array", Value::Array(_))
                | ("string", Value::String(_))
                | ("boolean", Value::Bool(_)) => None,
                ("integer", Value::Number(n)) if n.is_i64() || n.is_u64() => None,
                (want, _) => wrong(&format!("not of type {want}")),
            },
            ("const", _) => (value != rule).then(|| format!("{path}: not {rule}")),
            ("oneOf", _) => {
                let fit = list(rule)
                    .iter()
                    .filter(|one| walk(one, value, path).is_none())
                    .count();
                (fit != 1).then(|| format!("{path}: fits {fit} of its choices"))
            }
            ("allOf", _) => list(rule).iter().find_map(|one| walk(one, value, path)),
            ("if", _) => match walk(rule, value, path) {
                None => walk(&schema["then"], value, path),
                Some(_) => None,
            },
            ("properties", Value::Object(object)) => object
                .iter()
                .find_map(|(key, value)| walk(rule.get(key)?, value, &format!("{path}/{key}"))),
            ("required", Value::Object(object)) => list(rule)
                .iter()
                .find(|key| !object.contains_key(key.as_str().expect("a key")))
                .map(|key| format!("{path}: {key} is missing")),
            ("additionalProperties", Value::Object(object)) => {
                let known = schema.get("properties").and_then(Value::as_object);
                object
                    .iter()
                    .filter(|(key, _)| !known.is_some_and(|known| known.contains_key(*key)))
                    .find_map(|(key, value)| match rule {
                        Value::Bool(false) => wrong(&format!("{key} is unknown")),
                        rule => walk(rule, value, &format!("{path}/{key}")),
                    })
            }
            ("propertyNames", Value::Object(object)) => object
                .keys()
                .find_map(|key| walk(rule, &Value::String(key.clone()), path)),
            ("maxProperties", Value::Object(object)) => {
                (object.len() as u64 > number(rule)).then(|| format!("{path}: too many keys"))
            }
            ("items", Value::Array(items)) => (0..)
                .zip(items)
                .find_map(|(index, item): (usize, _)| walk(rule, item, &format!("{path}/{index}"))),
            ("minItems", Value::Array(items)) => {
                ((items.len() as u64) < number(rule)).then(|| format!("{path}: too few items"))
            }
            ("maxItems", Value::Array(items)) => {
                (items.len() as u64 > number(rule)).then(|| format!("{path}: too many items"))
            }
            ("uniqueItems", Value::Array(items)) => {
                let twice = (1..items.len()).any(|at| items[..at].contains(&items[at]));
                twice.then(|| format!("{path}: an item twice"))
            }
            ("minLength", Value::String(text)) => {
                ((text.chars().count() as u64) < number(rule)).then(|| format!("{path}: too short"))
            }
            ("maxLength", Value::String(text)) => {
                (text.chars().count() as u64 > number(rule)).then(|| format!("{path}: too long"))
            }
            ("pattern", Value::String(text)) => {
                let pattern = rule.as_str().expect("a pattern");
                let pattern = Regex::new(pattern).expect("a regular expression");
                (!pattern.is_match(text)).then(|| format!("{path}: not of its form"))
            }
            ("minimum", Value::Number(n)) => (n
                .as_i64()
                .is_some_and(|n| n < rule.as_i64().expect("a bound")))
            .then(|| format!("{path}: too small")),
            ("maximum", Value::Number(n)) => (n
                .as_i64()
                .is_some_and(|n| n > rule.as_i64().expect("a bound")))
            .then(|| format!("{path}: too large")),
            (
                "properties"
                | "required"
                | "additionalProperties"
                | "propertyNames"
                | "maxProperties"
                | "items"
                | "minItems"
                | "maxItems"
                | "uniqueItems"
                | "minLength"
                | "maxLength"
                | "pattern"
                | "minimum"
                | "maximum",
                _,
            ) => None,
            (unknown, _) => panic!("{path}: the walker does not know `{unknown}`"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}
