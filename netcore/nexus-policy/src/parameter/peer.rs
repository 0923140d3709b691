//! Who is at the other end of the fabric, and what is done with them.
//!
//! A peer is `paired` (any this host is paired with), or one device by its id: 64 lower-case
//! hexadecimal digits, the SHA-256 of its key. `dsoftbus.session.open` has `any` as well: also one
//! that is not paired yet, of which a person is asked at that act. Names of peers are for people and
//! are no identity, so no rule has one.
//!
//! - a purpose: `acme.chat`, `acme.chat@PEER`: open such a stream, and accept it;
//! - a function: `acme:thermo/sensor`, `acme:thermo/sensor#read`, either with `@PEER`.
//!
//! Without `@PEER` it is `@paired`, and is written so.
//!
//! Not supported, each refused: `any` but for `dsoftbus.session.open` (there is no stream, call or
//! share without pairing), versions of an interface (the two ends agree on one), wildcards in an
//! interface, functions of resources (none go over the fabric).

use core::fmt;

use super::label::{LabelPattern, PURPOSE};
use super::plain;
use crate::explain::escape;
use crate::rule::RuleError;
use crate::suggest;

/// The longest `namespace:package/interface`.
pub const INTERFACE_BYTES_MAX: usize = 128;
/// The longest name of a function: what a record of the fabric has room for.
pub const FUNCTION_BYTES_MAX: usize = 64;

/// Which peers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerPattern {
    /// `any`: paired or not.
    Any,
    /// `paired`
    Paired,
    /// One device.
    Device([u8; 32]),
}

impl PeerPattern {
    /// Reads `paired` or a device's id.
    pub fn parse_paired(text: &str) -> Result<Self, RuleError> {
        match Self::parse(text)? {
            Self::Any => Err(RuleError::new(
                "there is nothing to be had with a peer that is not paired",
                "paired",
            )),
            peer => Ok(peer),
        }
    }

    /// Reads `any`, `paired` or a device's id.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        plain(text, "a peer: `paired`, or the id of a device", false)?;
        match text {
            "any" => return Ok(Self::Any),
            "paired" => return Ok(Self::Paired),
            "*" => {
                return Err(RuleError::new("every peer is called `paired`", "paired"));
            }
            _ => {}
        }
        let shown = escape(text);
        if let Some(bytes) = device(text) {
            let peer = Self::Device(bytes);
            let canonical = peer.to_string();
            return if canonical == text {
                Ok(peer)
            } else {
                Err(RuleError::new(
                    "the id of a device is in lower case",
                    canonical,
                ))
            };
        }
        if let Some(word) = suggest::closest(text, ["paired", "any"]) {
            return Err(RuleError::new(format!("`{shown}` is no peer"), word));
        }
        Err(RuleError::plain(format!(
            "`{shown}` is no peer: write `paired`, or the id of a device, 64 hexadecimal digits"
        )))
    }
}

fn device(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for PeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Paired => f.write_str("paired"),
            Self::Device(id) => id.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// `acme.chat@paired`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PurposeRule {
    /// What the stream is for.
    pub purpose: LabelPattern,
    /// With whom.
    pub peer: PeerPattern,
}

impl PurposeRule {
    /// Reads `PURPOSE` or `PURPOSE@PEER`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        plain(text, "a purpose, `acme.chat`, or `acme.chat@PEER`", false)?;
        let (purpose, peer) = split_peer(text);
        Ok(Self {
            purpose: LabelPattern::parse(PURPOSE, purpose).map_err(|e| with_peer(e, peer))?,
            peer: peer.map_or(Ok(PeerPattern::Paired), |peer| {
                PeerPattern::parse_paired(peer).map_err(|error| of_peer(error, purpose))
            })?,
        })
    }
}

impl fmt::Display for PurposeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.purpose, self.peer)
    }
}

/// `acme:thermo/sensor#read@paired`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FunctionRule {
    /// `acme:thermo/sensor`
    pub interface: String,
    /// One function of it; none: all.
    pub function: Option<String>,
    /// Whose it is to call, or who may call it.
    pub peer: PeerPattern,
}

impl FunctionRule {
    /// Reads `INTERFACE`, `INTERFACE#FUNCTION`, either with `@PEER`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        const IS: &str =
            "an interface, `acme:thermo/sensor`, or one function of it, `acme:thermo/sensor#read`";
        plain(text, IS, false)?;
        let (what, peer) = split_peer(text);
        if let Some(peer) = peer
            && peer.len() < 64
            && peer.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(RuleError::new(
                "a rule names no version of an interface; what comes after `@` is a peer",
                escape(what),
            ));
        }
        let (interface, function) = match what.split_once('#') {
            Some((interface, function)) => (interface, Some(function)),
            None => (what, None),
        };
        let shown = escape(interface);
        if interface.len() > INTERFACE_BYTES_MAX {
            return Err(RuleError::plain(format!(
                "an interface has at most {INTERFACE_BYTES_MAX} bytes, and this has {}",
                interface.len()
            )));
        }
        let parts = interface
            .split_once(':')
            .and_then(|(namespace, rest)| Some((namespace, rest.split_once('/')?)));
        let good = parts.is_some_and(|(namespace, (package, name))| {
            [namespace, package, name].into_iter().all(is_kebab)
        });
        if !good {
            return Err(RuleError::plain(format!(
                "`{shown}` is no interface; a rule is {IS}"
            )));
        }
        match function {
            Some("*") => {
                return Err(RuleError::new(
                    "an interface without `#` means all of its functions",
                    shown,
                ));
            }
            Some(name) if name.len() > FUNCTION_BYTES_MAX || !is_kebab(name) => {
                return Err(RuleError::plain(format!(
                    "`{}` is no function: words of lower-case letters and digits joined by `-`, at most {FUNCTION_BYTES_MAX} bytes",
                    escape(name)
                )));
            }
            _ => {}
        }
        Ok(Self {
            interface: interface.to_owned(),
            function: function.map(str::to_owned),
            peer: peer.map_or(Ok(PeerPattern::Paired), |peer| {
                PeerPattern::parse_paired(peer).map_err(|error| of_peer(error, what))
            })?,
        })
    }
}

impl fmt::Display for FunctionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.interface)?;
        if let Some(function) = &self.function {
            write!(f, "#{function}")?;
        }
        write!(f, "@{}", self.peer)
    }
}

/// A word of WIT, in lower case: `get-value`.
fn is_kebab(text: &str) -> bool {
    text.split('-').all(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

fn split_peer(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((what, peer)) => (what, Some(peer)),
        None => (text, None),
    }
}

/// The advice on the first part, made a whole rule again.
fn with_peer(error: RuleError, peer: Option<&str>) -> RuleError {
    let meant = error.meant.map(|meant| match peer {
        Some(peer) => format!("{meant}@{}", escape(peer)),
        None => meant,
    });
    RuleError { meant, ..error }
}

/// The advice on the peer, made a whole rule again.
fn of_peer(error: RuleError, what: &str) -> RuleError {
    let meant = error.meant.map(|meant| format!("{}@{meant}", escape(what)));
    RuleError { meant, ..error }
}
