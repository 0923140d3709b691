//! Paths, in the one form that is compared.
//!
//! Percent-encoding is undone where it changes nothing (letters, digits, `-._~`: RFC 3986 section
//! 2.3) and its digits are upper case. Refused is what servers, and the proxies before them, read
//! in different ways, because a rule for one reading would allow the other: `.` and `..` as parts,
//! empty parts (`//`), `\`, an encoded `/`, `\` or control character, what some servers decode twice (`%252e`) or
//! take for dots (`%C0%AE`, never UTF-8: RFC 3629 section 3), and a dot part with a parameter (`..;x`, which servlet
//! containers cut off before they walk the path).
//!
//! A request may have such a path: an app sends what it sends. Then no rule for a part of the origin allows it,
//! and every rule that forbids or asks about a part of it may be meant (`RequestPath::is_plain`).

use core::fmt::{self, Write as _};

use super::Origin;
use crate::explain::escape;
use crate::rule::RuleError;

/// Which paths of an origin.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PathPattern {
    /// Every path that begins with this, which ends in `/`.
    Below(String),
    /// This path.
    One(String),
}

impl PathPattern {
    /// `path` is empty or begins with `/`.
    pub(super) fn parse(origin: &Origin, path: &str) -> Result<Self, RuleError> {
        if path.ends_with("/*")
            && let Some(folder) = path.strip_suffix('*')
            && !folder.contains('*')
        {
            return canonical(folder).map(Self::Below);
        }
        if path.is_empty() {
            return Ok(Self::Below("/".to_owned()));
        }
        let path = canonical(path)?;
        match path.strip_suffix('/') {
            None => Ok(Self::One(path)),
            Some(page) => {
                let page = match page {
                    "" => String::new(),
                    page => format!(", and `{origin}{page}` is that path alone"),
                };
                Err(RuleError::new(
                    format!("a path that ends in `/` could mean itself or all below it{page}"),
                    format!("{origin}{path}*"),
                ))
            }
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(folder) => write!(f, "{folder}*"),
            Self::One(path) => f.write_str(path),
        }
    }
}

impl PathPattern {
    /// What every path of it begins with, or the one path of it: no two patterns have the same.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Below(text) | Self::One(text) => text,
        }
    }

    /// Whether every path of `other` is one of this.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        encloses(self.as_str(), other.as_str())
    }

    /// Whether a path is one of both: of two folders one is in the other, or they have nothing in common.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

/// Whether `path` is `pattern` (one of [`PathPattern::as_str`]), or below it where it is a folder.
pub(crate) fn encloses(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('/') && path.starts_with(pattern))
}

/// The path of a request, in the form that rules are in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RequestPath {
    text: Box<str>,
    is_plain: bool,
}

impl RequestPath {
    /// `path` is as it is sent, without a query; empty is `/` (RFC 9110 section 4.2.3). None: it is no path.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        if path.is_empty() {
            return Self::parse("/");
        }
        let visible = |b: u8| (0x21..=0x7e).contains(&b) && !matches!(b, b'?' | b'#');
        if !path.starts_with('/') || !path.bytes().all(visible) {
            return None;
        }
        let mut is_plain = true;
        let mut text = String::with_capacity(path.len());
        let mut rest = path.as_bytes();
        while let [byte, after @ ..] = rest {
            rest = after;
            match (*byte, after) {
                (b'%', [high, low, after @ ..])
                    if let Some(value) = hex(Some(*high), Some(*low)) =>
                {
                    rest = after;
                    if is_unreserved(value) {
                        text.push(char::from(value));
                    } else {
                        is_plain &= !is_read_twice(value);
                        encode(value, &mut text);
                    }
                }
                (b'%' | b'\\', _) => {
                    is_plain = false;
                    encode(*byte, &mut text);
                }
                (byte, _) if is_plain_byte(byte) => text.push(char::from(byte)),
                // What a rule can only write so.
                (byte, _) => encode(byte, &mut text),
            }
        }
        is_plain &= !has_odd_part(&text);
        Some(Self {
            text: text.into(),
            is_plain,
        })
    }

    /// The path.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all servers read it alike.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }
}

fn encode(byte: u8, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

/// What is no text when it is encoded: a separator, a control character, a byte that UTF-8 does not have.
fn is_read_twice(value: u8) -> bool {
    matches!(value, b'/' | b'\\' | 0..=0x1f | 0x7f | 0xc0 | 0xc1)
}

/// Whether a path in its one form has a part that some take out of it: a dot part, also one with a parameter, an
/// empty one but the last; or one that decodes into what is encoded.
fn has_odd_part(path: &str) -> bool {
    let parts = path.strip_prefix('/').unwrap_or(path);
    // A slash at the end leaves one empty part, the last.
    let inner = parts.strip_suffix('/').unwrap_or(parts);
    let odd = |part: &str| {
        let end = part.find(';').into_iter().chain(part.find("%3B")).min();
        matches!(&part[..end.unwrap_or(part.len())], "." | ".." | "")
    };
    let twice = |(at, _): (usize, &str)| {
        let mut after = path[at..].bytes().skip(3);
        hex(after.next(), after.next()).is_some()
    };
    (!parts.is_empty() && inner.split('/').any(odd)) || path.match_indices("%25").any(twice)
}

/// The one form of a path that begins with `/`.
pub(super) fn canonical(path: &str) -> Result<String, RuleError> {
    let shown = escape(path);
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let Some(value) = hex(bytes.next(), bytes.next()) else {
                    return Err(RuleError::plain(format!(
                        "`{shown}`: after `%` come two hexadecimal digits"
                    )));
                };
                match value {
                    _ if is_read_twice(value) => {
                        return Err(RuleError::plain(format!(
                            "`{shown}`: an encoded slash, backslash or control character is read differently by different servers"
                        )));
                    }
                    _ if is_unreserved(value) => out.push(char::from(value)),
                    _ => encode(value, &mut out),
                }
            }
            b'*' => {
                return Err(RuleError::plain(format!(
                    "`{shown}`: a `*` is the whole last part of a path, `/v1/*`; the character itself is written %2A"
                )));
            }
            b'\\' => {
                return Err(RuleError::plain(format!(
                    "`{shown}`: a path has `/` in it, and no backslash"
                )));
            }
            _ if is_plain_byte(byte) => out.push(char::from(byte)),
            _ => {
                return Err(RuleError::plain(format!(
                    "`{shown}`: letters beyond ASCII, and characters a URL has other uses for, are written as %XX, byte by byte"
                )));
            }
        }
    }
    if has_odd_part(&out) {
        return Err(RuleError::plain(format!(
            "`{shown}`: a path in a rule has no `.`, `..` or empty part, and nothing that is encoded twice"
        )));
    }
    Ok(out)
}

/// What stands in a path as it is, its separator with it (pchar, RFC 3986 section 3.3); `*` has another use in rules.
fn is_plain_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"/!$&'()+,;=:@".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn hex(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
