//! The texts of variables as numbers, pairs and headers.

use ureq::http::{HeaderName, HeaderValue};

use super::variables::{VariableError, error};

/// A whole number from 1 to `max`.
pub(super) fn number(name: &str, text: &str, max: u64) -> Result<u64, VariableError> {
    match text.parse::<u64>() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(error(
            name,
            "not a number it can be",
            format!("a whole number from 1 to {max}"),
        )),
    }
}

/// `key=value,key=value`, values percent-encoded (the W3C's baggage).
pub(super) fn pairs(name: &str, text: &str) -> Result<Vec<(String, String)>, VariableError> {
    let fix = "write it as key=value,key=value, with %2C for a comma in a value";
    let mut pairs = Vec::new();
    for (number, entry) in text.split(',').enumerate() {
        if entry.trim().is_empty() {
            continue;
        }
        let wrong = |what: &str| error(name, format!("entry {} {what}", number + 1), fix);
        let (key, value) = entry.split_once('=').ok_or_else(|| wrong("has no `=`"))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(wrong("has no name before its `=`"));
        }
        let value = decoded(value.trim()).ok_or_else(|| wrong("has a `%` that encodes nothing"))?;
        pairs.push((key.to_owned(), value));
    }
    Ok(pairs)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let hex = tail.get(..2)?;
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push(u8::try_from(digit(hex[0])? * 16 + digit(hex[1])?).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The headers of a request; those the exporter sets itself are refused.
pub(super) fn headers(
    name: &str,
    text: &str,
) -> Result<Vec<(HeaderName, HeaderValue)>, VariableError> {
    let ours = [
        "content-type",
        "content-length",
        "host",
        "transfer-encoding",
    ];
    pairs(name, text)?
        .into_iter()
        .enumerate()
        .map(|(number, (key, value))| {
            let wrong = |what: &str| {
                let fix = "leave it out, or write it as HTTP has it";
                error(name, format!("entry {} {what}", number + 1), fix)
            };
            let key = HeaderName::try_from(key).map_err(|_| wrong("is no name of a header"))?;
            if ours.contains(&key.as_str()) {
                return Err(wrong("is a header that the exporter itself sets"));
            }
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| wrong("has no value a header may have"))?;
            value.set_sensitive(true);
            Ok((key, value))
        })
        .collect()
}
