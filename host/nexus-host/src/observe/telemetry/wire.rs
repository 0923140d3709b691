//! A message once, written as protobuf or as protobuf's JSON: so that the two cannot differ.
//!
//! OTLP's JSON has its own rules beside protobuf's: ids in hexadecimal, enums as numbers
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
//! The encodings themselves: <https://protobuf.dev/programming-guides/encoding/>.

use serde_json::{Map, Value, json};

/// What a field holds.
pub(super) enum Item {
    /// `string`
    Text(String),
    /// `bytes` that JSON has in hexadecimal.
    Id(Vec<u8>),
    /// `fixed64`
    Fixed(u64),
    /// `sfixed64`
    Signed(i64),
    /// `int64`
    Integer(i64),
    /// An `enum` or `uint32`.
    Small(u32),
    /// `bool`
    Flag(bool),
    /// A message.
    Message(Message),
    /// `repeated` messages.
    List(Vec<Message>),
}

/// Fields: number, name in JSON, what it holds. What has its default value is left out by who makes it.
pub(super) type Message = Vec<(u32, &'static str, Item)>;

const VARINT: u32 = 0;
const I64: u32 = 1;
const LEN: u32 = 2;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits, and the mark that more follow.
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(out: &mut Vec<u8>, field: u32, kind: u32) {
    varint(out, u64::from(field << 3 | kind));
}

fn delimited(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, LEN);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// As protobuf.
pub(super) fn protobuf(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, _, item) in message {
        let field = *field;
        match item {
            Item::Text(text) => delimited(&mut out, field, text.as_bytes()),
            Item::Id(bytes) => delimited(&mut out, field, bytes),
            Item::Fixed(value) => {
                tag(&mut out, field, I64);
                out.extend(value.to_le_bytes());
            }
            Item::Signed(value) => {
                tag(&mut out, field, I64);
                out.extend(value.to_le_bytes());
            }
            Item::Integer(value) => {
                tag(&mut out, field, VARINT);
                // Two's complement, ten bytes when negative: what `int64` is on the wire.
                varint(&mut out, value.cast_unsigned());
            }
            Item::Small(value) => {
                tag(&mut out, field, VARINT);
                varint(&mut out, u64::from(*value));
            }
            Item::Flag(value) => {
                tag(&mut out, field, VARINT);
                varint(&mut out, u64::from(*value));
            }
            Item::Message(inner) => delimited(&mut out, field, &protobuf(inner)),
            Item::List(list) => {
                for inner in list {
                    delimited(&mut out, field, &protobuf(inner));
                }
            }
        }
    }
    out
}

/// As protobuf's JSON: numbers of 64 bits are texts.
pub(super) fn json(message: &Message) -> Value {
    let fields = message.iter().map(|(_, name, item)| {
        let value = match item {
            Item::Text(text) => json!(text),
            Item::Id(bytes) => bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                .into(),
            Item::Fixed(value) => value.to_string().into(),
            Item::Signed(value) | Item::Integer(value) => value.to_string().into(),
            Item::Small(value) => json!(value),
            Item::Flag(value) => json!(value),
            Item::Message(inner) => json(inner),
            Item::List(list) => list.iter().map(json).collect(),
        };
        ((*name).to_owned(), value)
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: both forms are what their specifications say. Method: the examples of protobuf's own guide (150 in field
    /// 1, "testing" in field 2, a message around it in field 3, -2 as `int64`), and the JSON of the same.
    #[test]
    fn both_forms_are_as_specified() {
        let number = || vec![(1, "a", Item::Integer(150))];
        assert_eq!(protobuf(&number()), [0x08, 0x96, 0x01]);
        let text: Message = vec![(2, "b", Item::Text("testing".into()))];
        assert_eq!(protobuf(&text), b"\x12\x07testing");
        let nested: Message = vec![(3, "c", Item::Message(number()))];
        assert_eq!(protobuf(&nested), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let negative: Message = vec![(1, "a", Item::Integer(-2))];
        assert_eq!(
            protobuf(&negative),
            [
                0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01
            ]
        );
        let all: Message = vec![
            (1, "id", Item::Id(vec![0xab, 1])),
            (2, "at", Item::Fixed(u64::MAX)),
            (3, "kind", Item::Small(3)),
            (4, "list", Item::List(vec![number(), Vec::new()])),
            (5, "flag", Item::Flag(true)),
            (6, "value", Item::Signed(-1)),
        ];
        assert_eq!(
            json(&all),
            json!({"id": "ab01", "at": "18446744073709551615", "kind": 3, "list": [{"a": "150"}, {}],
                   "flag": true, "value": "-1"})
        );
    }
}
