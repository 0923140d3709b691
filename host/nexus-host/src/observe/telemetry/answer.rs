//! What a collector answers: how much of what it took it has thrown away (OTLP's partial success).
//!
//! Of an `Export...ServiceResponse` that is field 1, `partialSuccess`, and in it field 1, `rejectedSpans` or
//! `rejectedDataPoints`; the text beside it is the collector's, and not used.
//! <https://opentelemetry.io/docs/specs/otlp/#partial-success-1>

use serde_json::Value;

use super::variables::Protocol;

/// How many it rejected. What cannot be read says nothing: the status has said that it was taken.
pub(super) fn rejected(protocol: Protocol, body: &[u8]) -> u64 {
    let number = match protocol {
        Protocol::Protobuf => of_protobuf(body),
        Protocol::Json => of_json(body),
    };
    number.unwrap_or(0)
}

fn of_json(body: &[u8]) -> Option<u64> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let partial = answer.get("partialSuccess")?;
    let number = partial
        .get("rejectedSpans")
        .or_else(|| partial.get("rejectedDataPoints"))?;
    // 64 bits are a text in protobuf's JSON; a number is read as well.
    number
        .as_u64()
        .or_else(|| number.as_str().and_then(|text| text.parse().ok()))
}

fn of_protobuf(body: &[u8]) -> Option<u64> {
    let mut partial = None;
    each_field(body, |field, value| {
        if let (1, Field::Bytes(bytes)) = (field, value) {
            partial = Some(bytes);
        }
    })?;
    let mut number = None;
    each_field(partial?, |field, value| {
        if let (1, Field::Varint(value)) = (field, value) {
            // An `int64`: below zero is no number of anything.
            number = i64::try_from(value).ok().map(i64::unsigned_abs);
        }
    })?;
    number
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Goes through a message; none: it is not one.
fn each_field<'a>(mut rest: &'a [u8], mut take: impl FnMut(u64, Field<'a>)) -> Option<()> {
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let value = match tag & 7 {
            0 => Field::Varint(varint(&mut rest)?),
            1 => {
                rest = rest.get(8..)?;
                Field::Other
            }
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (bytes, after) = rest.split_at_checked(length)?;
                rest = after;
                Field::Bytes(bytes)
            }
            5 => {
                rest = rest.get(4..)?;
                Field::Other
            }
            _ => return None,
        };
        take(tag >> 3, value);
    }
    Some(())
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    // 64 bits are ten bytes at most.
    for shift in (0..70).step_by(7) {
        let (first, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the number is found in both forms, beside a text and fields nobody knows. Method: answers by hand, by the
    /// encodings' own guides.
    #[test]
    fn what_was_rejected_is_read() {
        for (body, number) in [
            (&b""[..], 0),
            (b"\x0a\x00", 0),
            (b"\x0a\x02\x08\x03", 3),
            (b"\x0a\x03\x08\x96\x01", 150),
            (b"\x0a\x05\x12\x01x\x08\x03", 3),
            (
                b"\x11\0\0\0\0\0\0\0\0\x1d\0\0\0\0\x18\x01\x0a\x02\x08\x03",
                3,
            ),
        ] {
            assert_eq!(rejected(Protocol::Protobuf, body), number, "{body:?}");
        }
        for (body, number) in [
            ("{}", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":{"errorMessage":"x"}}"#, 0),
            (r#"{"partialSuccess":{"rejectedSpans":"3"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedDataPoints":3}}"#, 3),
        ] {
            assert_eq!(rejected(Protocol::Json, body.as_bytes()), number, "{body}");
        }
    }

    /// Goal: an answer that is none is no number, and no panic. Method: cut short, lengths beyond the end, numbers
    /// that do not end or are below zero; every beginning of a good one.
    #[test]
    fn reject_answers_that_are_none() {
        for body in [
            &b"\x0a"[..],
            b"\x0a\x05\x08",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0b",
            b"{\"partialSuccess\":{\"rejectedSpans\":3}}",
        ] {
            assert_eq!(rejected(Protocol::Protobuf, body), 0, "{body:?}");
        }
        let good = b"\x11\0\0\0\0\0\0\0\0\x0a\x03\x08\x96\x01";
        for end in 0..good.len() {
            assert_eq!(rejected(Protocol::Protobuf, &good[..end]), 0, "{end}");
        }
        for body in [
            "",
            "3",
            "{",
            r#"{"partialSuccess":3}"#,
            r#"{"partialSuccess":{"rejectedSpans":-3}}"#,
            r#"{"partialSuccess":{"rejectedSpans":"x"}}"#,
        ] {
            assert_eq!(rejected(Protocol::Json, body.as_bytes()), 0, "{body}");
        }
    }
}
