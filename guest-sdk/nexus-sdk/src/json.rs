//! JSON in bodies: to bytes, and from bytes that somebody else wrote. With the feature `json`.
//!
//! ```
//! use nexus_sdk::json::{from_json, to_json};
//!
//! // #[derive(serde::Deserialize)] on a type of the app's own, in an app.
//! let numbers: Vec<u32> = from_json(b"[1, 2, 39]")?;
//! assert_eq!(to_json(&numbers)?, b"[1,2,39]");
//! # Ok::<(), nexus_sdk::Error>(())
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{Error, ErrorCode};

/// The value as JSON, without blanks. [`ErrorCode::InvalidArgument`] if it has none: a map whose keys are no text.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    // No text of serde's: it may quote the value.
    serde_json::to_vec(value).map_err(|_| {
        let why = "the value cannot be written as JSON";
        Error::new(ErrorCode::InvalidArgument, "json", why)
    })
}

/// The value that JSON stands for, nested 127 deep at most. Bound the bytes where they are read: a value takes some
/// times as much memory.
///
/// [`ErrorCode::Protocol`], reason `json`, if it is no JSON, or not of this shape. The error says where, and never what
/// is there: bodies hold secrets, errors are logged.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            Category::Data => "JSON of another shape",
            Category::Eof => "JSON that ends too early",
            Category::Syntax | Category::Io => "no JSON",
        };
        let why = format!("{what}, line {} column {}", error.line(), error.column());
        Error::new(ErrorCode::Protocol, "json", why)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let map = BTreeMap::from([("ä\"\n".to_owned(), vec![1_u8, 2])]);
        let bytes = to_json(&map).expect("JSON");
        assert_eq!(from_json::<BTreeMap<String, Vec<u8>>>(&bytes), Ok(map));
        assert_eq!(to_json("text"), Ok(b"\"text\"".to_vec()));
    }

    /// Goal: no text of a body in an error. Method: each kind of wrong body, with a canary where serde would quote it.
    #[test]
    fn reject_bodies_and_quote_nothing_of_them() {
        for (body, what) in [
            (r#""canary""#, "JSON of another shape, line 1 column 8"),
            (r#"{"canary": 1}"#, "JSON of another shape"),
            ("[1,\n canary]", "no JSON, line 2 column 2"),
            ("[1, 2", "JSON that ends too early"),
            ("", "JSON that ends too early"),
            ("[1] canary", "no JSON"),
            ("[300]", "JSON of another shape"),
        ] {
            let error = from_json::<Vec<u8>>(body.as_bytes()).expect_err("wrong");
            assert_eq!(error.code(), ErrorCode::Protocol, "{body}");
            assert!(error.why().starts_with(what), "{body}: {}", error.why());
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let error = from_json::<Vec<u8>>(b"[\"\xff\"]").expect_err("no UTF-8");
        assert_eq!(error.code(), ErrorCode::Protocol);
    }

    #[test]
    fn reject_values_without_json() {
        let error = to_json(&BTreeMap::from([((1, 2), "canary")])).expect_err("no text");
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(!error.to_string().contains("canary"));
    }

    /// Goal: depth ends in an error, not in a stack that overflows. Method: at the bound, past it, far past it.
    #[test]
    fn reject_json_that_is_too_deep() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let parsed = |depth| from_json::<serde_json::Value>(nested(depth).as_bytes()).is_ok();
        assert!(parsed(127));
        assert!(!parsed(128) && !parsed(1_000_000));
    }
}
