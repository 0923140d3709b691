//! Who published an app: the key whose signature over it was verified.
//!
//! Signatures are verified by the host, when it reads the app; what comes here is the key that was
//! found to have signed. A policy names keys in its rules (`app = { publisher = "RW…" }`) and lists
//! under `[[publisher]]` those whose signature is enough where it says `require-signature`:
//!
//! ```toml
//! require-signature = true
//!
//! [[publisher]]
//! name = "acme"
//! key = "RW…"
//! ```
//!
//! The list is apart from the rules, because a rule that forbids names a key as well.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use toml::de::{DeTable, DeValue};

use crate::config::{Reader, get, join};
use crate::keys;

/// Publishers listed in one policy. Every rule that names one looks through them.
pub const PUBLISHERS_MAX: usize = nexus_types::limits::PUBLISHERS;

/// The characters of a key's text: 42 bytes, so base64 needs no padding and no bit is left over.
const TEXT_LEN: usize = 56;
/// Base64 as RFC 4648 section 4 has it.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A minisign public key: two bytes of algorithm (`Ed`), eight of key id, thirty-two of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublisherKey(pub [u8; 42]);

/// What a signature says of the key that made it. Anybody can choose one: it finds a key, and is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

/// Why a text is no publisher's key. The text itself is in none of these: it may be a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// It is the other half of a key pair.
    Secret,
    /// It is a signature.
    Signature,
    /// It is something else.
    NoKey,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "this is a secret key, which belongs to the publisher alone",
            Self::Signature => "this is a signature, not a key",
            Self::NoKey => "this is no publisher's key",
        })
    }
}

impl core::error::Error for KeyError {}

impl KeyError {
    /// What to write instead.
    pub const HELP: &str = "a key is the second line of the publisher's public key file (NAME.pub): \
         56 characters that begin with RW";
}

impl PublisherKey {
    /// Reads the text that minisign calls the public key: `RWQf6LRCGA9i53ml…`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.as_bytes();
        if text.len() != TEXT_LEN {
            // The algorithm, then how the secret is encrypted and its checksum: `Ed` `Sc` `B2`, or
            // `Ed`, two zeros, `B2`; a signature has 74 bytes.
            return Err(match text {
                [b'R', b'W', b'R', b'T', ..] | [b'R', b'W', b'Q', b'A', b'A', b'E', ..] => {
                    KeyError::Secret
                }
                [b'R', b'W' | b'U', ..] if text.len() == 100 => KeyError::Signature,
                _ => KeyError::NoKey,
            });
        }
        let mut bytes = [0; 42];
        for (four, three) in text.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
            let mut group = 0_u32;
            for c in four {
                let digit = ALPHABET.iter().position(|a| a == c);
                group = group << 6 | digit.ok_or(KeyError::NoKey)? as u32;
            }
            three.copy_from_slice(&group.to_be_bytes()[1..]);
        }
        if bytes[..2] == *b"Ed" {
            Ok(Self(bytes))
        } else {
            Err(KeyError::NoKey)
        }
    }

    /// What its signatures call it.
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[2..10]);
        KeyId(id)
    }
}

impl fmt::Display for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for three in self.0.chunks_exact(3) {
            let group = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for shift in [18, 12, 6, 0] {
                let digit = ALPHABET[(group >> shift & 63) as usize];
                fmt::Write::write_char(f, char::from(digit))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublisherKey({self})")
    }
}

impl Serialize for PublisherKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As minisign prints it: one number, least byte first in the file.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// One `[[publisher]]` of a policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Publisher {
    /// What the operator calls them.
    pub name: String,
    /// The key.
    pub key: PublisherKey,
}

/// The `[[publisher]]` tables, each name and each key once.
pub(crate) fn read_publishers(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Vec<Publisher> {
    let Some(value) = get(root, "publisher") else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        let message = "each publisher begins with [[publisher]], in two brackets";
        reader.problem(value.span(), "publisher", message, None);
        return Vec::new();
    };
    if items.len() > PUBLISHERS_MAX {
        let message = format!(
            "there are {} publishers; the most is {PUBLISHERS_MAX}",
            items.len()
        );
        reader.problem(value.span(), "publisher", message, None);
        return Vec::new();
    }
    let mut publishers = Vec::with_capacity(items.len());
    let mut names = BTreeMap::new();
    let mut known = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("publisher[{index}]");
        let DeValue::Table(table) = item.get_ref() else {
            reader.wrong_type(item, &path, "a table", item.get_ref());
            continue;
        };
        reader.only(table, &path, &keys::PUBLISHER);
        for key in keys::required(keys::PUBLISHER.keys) {
            if get(table, key).is_none() {
                reader.problem(item.span(), &join(&path, key), "the key is missing", None);
            }
        }
        let name = reader.string(table, &path, "name").and_then(|(name, at)| {
            let good = (1..=TEXT_LEN - 1).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
            if !good {
                // One that is shorter than a key is never taken for one.
                let message = "a name is 1 to 55 letters, digits, dots, hyphens and underscores";
                reader.problem(at, &join(&path, "name"), message, None);
            }
            good.then(|| name.to_owned())
        });
        let key = read_key(reader, table, &path, "key");
        let (line, _) = reader.position(item.span().start);
        let (Some(name), Some(key)) = (name, key) else {
            continue;
        };
        if let Some(line) = names.insert(name.clone(), line) {
            let message =
                format!("the name `{name}` is used by the publisher in line {line} already");
            reader.problem(item.span(), &join(&path, "name"), message, None);
        }
        if let Some(other) = known.insert(key, name.clone()) {
            let message = format!("it is the key of `{other}` already");
            reader.problem(item.span(), &join(&path, "key"), message, None);
        }
        publishers.push(Publisher { name, key });
    }
    publishers
}

fn read_key(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    path: &str,
    key: &str,
) -> Option<PublisherKey> {
    let (text, at) = reader.string(table, path, key)?;
    PublisherKey::parse(text)
        .map_err(|error| {
            let help = Some(KeyError::HELP.to_owned());
            reader.problem(at, &join(path, key), error.to_string(), help);
        })
        .ok()
}

/// The publisher a rule is for, by the name it has in this file or by its key.
pub(crate) fn read_named(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    path: &str,
    publishers: &[Publisher],
) -> Option<PublisherKey> {
    let (text, at) = reader.string(table, path, "publisher")?;
    if let Some(known) = publishers.iter().find(|publisher| publisher.name == text) {
        return Some(known.key);
    }
    let error = match PublisherKey::parse(text) {
        Ok(key) => return Some(key),
        Err(error) => error,
    };
    let names = publishers.iter().map(|publisher| publisher.name.as_str());
    let (message, help) = match crate::suggest::closest(text, names) {
        Some(meant) => (
            format!("{error}, nor a name of a [[publisher]] in this file"),
            format!("did you mean `{meant}`?"),
        ),
        None => (error.to_string(), KeyError::HELP.to_owned()),
    };
    reader.problem(at, &join(path, "publisher"), message, Some(help));
    None
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
