//! Paths, in the one form that is compared.
//!
//! Percent-encoding is undone where it changes nothing (letters, digits, `-._~`: RFC 3986 section
//! 2.3) and its digits are upper case. Refused is what servers, and the proxies before them, read
//! in different ways, because a rule for one reading would allow the other: `.` and `..` as parts,
//! empty parts (`//`), `\`, an encoded `/`, `\` or control character.

use core::fmt;

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
                    b'/' | b'\\' | 0..=0x1f | 0x7f => {
                        return Err(RuleError::plain(format!(
                            "`{shown}`: an encoded slash, backslash or control character is read differently by different servers"
                        )));
                    }
                    _ if is_unreserved(value) => out.push(char::from(value)),
                    _ => out.push_str(&format!("%{value:02X}")),
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
            _ if is_unreserved(byte) || b"/!$&'()+,;=:@".contains(&byte) => {
                out.push(char::from(byte));
            }
            _ => {
                return Err(RuleError::plain(format!(
                    "`{shown}`: letters beyond ASCII, and characters a URL has other uses for, are written as %XX, byte by byte"
                )));
            }
        }
    }
    let parts = out.strip_prefix('/').unwrap_or(&out);
    // A slash at the end leaves one empty part, the last.
    let inner = parts.strip_suffix('/').unwrap_or(parts);
    let doubled = !parts.is_empty() && inner.split('/').any(str::is_empty);
    if doubled || inner.split('/').any(|part| part == "." || part == "..") {
        return Err(RuleError::plain(format!(
            "`{shown}`: a path in a rule has no `.`, `..` or empty part"
        )));
    }
    Ok(out)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn hex(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
