//! One text of an `allow` or `to` list, read once into what it means.
//!
//! A destination is `host:ports`. The host is
//! - a name, `api.example.com`: that name, at addresses of class `public`;
//! - `*.example.com`: every name below it, not itself, at addresses of class `public`;
//! - `host.internal` (or the class word `host`): the machine the host runs on, by that name alone;
//! - an address, `192.0.2.7` or `[2001:db8::7]`, or a network, `10.0.0.0/8` or `[fd00::/8]`;
//! - a class: `public lan link-local loopback multicast metadata`.
//!
//! The rules of what is not a socket are described in [`crate::parameter`] and [`crate::wasi`].
//!
//! What a network covers when it allows is in [`crate::address::class_named_by`]; when it forbids
//! or asks, it covers every address in it.
//!
//! Not supported, each refused with a text that says what to write: no port, a scheme, a path,
//! user information, `*` alone, a wildcard anywhere but as the whole first label, a wildcard over
//! a public suffix (the built-in idea of one: fewer than two labels after `*.`, or three where the
//! last is a country's and the one before a registry's, `co.uk`), numeric spellings of addresses,
//! addresses that wrap another, IPv6 zones.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nexus_types::{HostName, HostNameError};

use crate::address::{AddressClass, Network, canonical, class_named_by, class_of};
use crate::capability::{Capability, Parameter};
use crate::explain::{escape, is_hidden};
use crate::parameter::label::{self, LabelPattern};
use crate::parameter::peer::{FunctionRule, PeerPattern, PurposeRule};
use crate::parameter::scopes::ScopesRule;
use crate::parameter::url::{OperationRule, UrlRule};
use crate::ports::PortSet;
use crate::suggest;
pub use crate::wasi::{DirectoryMode, DirectoryRule, VariableName};

/// The longest rule text: the longest name, brackets, and a long port list.
pub const RULE_BYTES_MAX: usize = 2_048;

/// The one name of class `host`.
pub const HOST_INTERNAL: &str = "host.internal";

/// What a rule describes, by the capability it belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// Where an app may connect or send to.
    Destination(Destination),
    /// Where an app may listen or bind.
    Local(Local),
    /// Which folder it may have.
    Directory(DirectoryRule),
    /// Which variable it may have.
    Variable(VariableName),
    /// Which HTTP requests it may make.
    Url(UrlRule),
    /// Which GraphQL operation it may run.
    Operation(OperationRule),
    /// Which service, dataset or provider it may have to do with.
    Label(LabelPattern),
    /// With which peer of the fabric.
    Peer(PeerPattern),
    /// For what it may open streams.
    Purpose(PurposeRule),
    /// Which function it may call over the fabric, or serve.
    Function(FunctionRule),
    /// What it may ask of an account.
    Scopes(ScopesRule),
}

/// `host:ports`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Destination {
    /// Which far ends.
    pub host: HostPattern,
    /// Which of their ports.
    pub ports: PortSet,
}

/// The part of a destination before the ports.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HostPattern {
    /// This name.
    Name(HostName),
    /// Every name below this one.
    Below(HostName),
    /// Every address of it; a single address is a network of one.
    Network(Network),
    /// Every address of the class. Never `Host`: that is `Name(host.internal)`.
    Class(AddressClass),
}

/// `any:8080`, `loopback:*`, `10.0.2.15:80`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Local {
    /// Which of the node's addresses.
    pub at: LocalPattern,
    /// Which ports of it.
    pub ports: PortSet,
}

/// The part of a local rule before the ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LocalPattern {
    /// Any address of the node, and `0.0.0.0` and `::`, which stand for all of them.
    Any,
    /// 127.0.0.0/8 and `::1`: the app's own loopback.
    Loopback,
    /// This address.
    Address(IpAddr),
}

/// Why a text is no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleError {
    /// What is wrong.
    pub message: String,
    /// The text that was probably meant.
    pub meant: Option<String>,
}

impl RuleError {
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            meant: None,
        }
    }

    /// `meant` may have in it what was written. With a character that cannot be shown it is no rule either, and is not
    /// proposed.
    pub(crate) fn new(message: impl Into<String>, meant: impl Into<String>) -> Self {
        let meant = meant.into();
        Self {
            message: message.into(),
            meant: Some(meant).filter(|meant| !meant.chars().any(is_hidden)),
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.meant {
            Some(meant) => write!(f, "; write `{meant}`"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for RuleError {}

impl Rule {
    /// How many ports and ranges of ports it names.
    pub(crate) fn port_ranges(&self) -> usize {
        match self {
            Self::Destination(rule) => rule.ports.ranges().len(),
            Self::Local(rule) => rule.ports.ranges().len(),
            _ => 0,
        }
    }

    /// Reads `text` as a rule of `capability`.
    pub fn parse(capability: Capability, text: &str) -> Result<Self, RuleError> {
        if text.len() > RULE_BYTES_MAX {
            return Err(RuleError::plain(format!(
                "the rule is longer than {RULE_BYTES_MAX} bytes"
            )));
        }
        match capability.parameter() {
            Parameter::Destination => Destination::parse(text).map(Self::Destination),
            Parameter::Local => Local::parse(text).map(Self::Local),
            Parameter::Directory => DirectoryRule::parse(text).map(Self::Directory),
            Parameter::Variable => VariableName::parse(text).map(Self::Variable),
            Parameter::Url => UrlRule::parse(text).map(Self::Url),
            Parameter::Operation => OperationRule::parse(text).map(Self::Operation),
            Parameter::Service => LabelPattern::parse(label::SERVICE, text).map(Self::Label),
            Parameter::Dataset => LabelPattern::parse(label::DATASET, text).map(Self::Label),
            Parameter::Provider => LabelPattern::parse(label::PROVIDER, text).map(Self::Label),
            Parameter::Peer => PeerPattern::parse(text).map(Self::Peer),
            Parameter::PairedPeer => PeerPattern::parse_paired(text).map(Self::Peer),
            Parameter::Purpose => PurposeRule::parse(text).map(Self::Purpose),
            Parameter::Function => FunctionRule::parse(text).map(Self::Function),
            Parameter::Scopes => ScopesRule::parse(text).map(Self::Scopes),
        }
    }

    /// Reads the argument of `--allow`: `network.tcp.connect=api.example.com:443`.
    pub fn parse_grant(text: &str) -> Result<(Capability, Self), RuleError> {
        let Some((capability, rule)) = text.split_once('=') else {
            return Err(RuleError::plain(format!(
                "`{}` is not CAPABILITY=RULE, as in `network.tcp.connect=api.example.com:443`",
                escape(text)
            )));
        };
        let capability = Capability::parse(capability).map_err(|unknown| RuleError {
            message: format!("`{}`: {unknown}", escape(capability)),
            meant: None,
        })?;
        Ok((capability, Self::parse(capability, rule)?))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(rule) => fmt::Display::fmt(rule, f),
            Self::Local(rule) => fmt::Display::fmt(rule, f),
            Self::Directory(rule) => fmt::Display::fmt(rule, f),
            Self::Variable(rule) => fmt::Display::fmt(rule, f),
            Self::Url(rule) => fmt::Display::fmt(rule, f),
            Self::Operation(rule) => fmt::Display::fmt(rule, f),
            Self::Label(rule) => fmt::Display::fmt(rule, f),
            Self::Peer(rule) => fmt::Display::fmt(rule, f),
            Self::Purpose(rule) => fmt::Display::fmt(rule, f),
            Self::Function(rule) => fmt::Display::fmt(rule, f),
            Self::Scopes(rule) => fmt::Display::fmt(rule, f),
        }
    }
}

impl Destination {
    /// Reads `host:ports`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (host, ports) = split(text, "api.example.com")?;
        let host = match host {
            Part::Bracketed(inside) => HostPattern::Network(network_v6(inside)?),
            Part::Plain(word) => HostPattern::parse_plain(word, ports)?,
        };
        Ok(Self {
            host,
            ports: PortSet::parse(ports)?,
        })
    }

    /// Whether every target of `other` is one of this rule when both allow. What it cannot tell
    /// without resolving a name, it denies.
    pub fn covers(&self, other: &Self) -> bool {
        self.ports.covers(&other.ports) && self.host.covers(&other.host)
    }
}

impl HostPattern {
    pub(crate) fn parse_plain(word: &str, ports: &str) -> Result<Self, RuleError> {
        let shown = escape(word);
        if let Some(class) = AddressClass::parse(&word.to_ascii_lowercase()) {
            return Ok(match class {
                AddressClass::Host => Self::Name(host_internal()),
                class => Self::Class(class),
            });
        }
        if word == "*" {
            return Err(RuleError::new(
                "no rule covers everything; name a class of addresses",
                format!("public:{ports}"),
            ));
        }
        if word == "private" {
            return Err(RuleError::new(
                "there is no class `private`",
                format!("lan:{ports}"),
            ));
        }
        if word.eq_ignore_ascii_case("localhost") {
            return Err(RuleError::new(
                "`localhost` could mean two things: the app's own loopback is the class `loopback`, \
                 the machine the host runs on is `host.internal`",
                format!("{HOST_INTERNAL}:{ports}"),
            ));
        }
        if let Some((address, prefix)) = word.split_once('/') {
            if let Ok(v4) = address.parse::<Ipv4Addr>() {
                return network(IpAddr::V4(v4), prefix).map(Self::Network);
            }
            if address.contains(':') {
                return Err(RuleError::new(
                    "an IPv6 network is written in brackets",
                    format!("[{shown}]:{ports}"),
                ));
            }
            return Err(RuleError::plain(format!(
                "`{shown}` is neither a network nor a host; a rule has no path, and a network is written 10.0.0.0/8"
            )));
        }
        if let Ok(v4) = word.parse::<Ipv4Addr>() {
            return address(IpAddr::V4(v4)).map(Self::Network);
        }
        if let Some(parent) = word.strip_prefix("*.") {
            let parent = name(parent)?;
            if is_public_suffix(&parent) {
                return Err(RuleError::plain(format!(
                    "`*.{parent}` is everybody's; a wildcard needs a name of its own below the public suffix, `*.example.{parent}`"
                )));
            }
            return Ok(Self::Below(parent));
        }
        if word.contains('*') {
            return Err(RuleError::plain(format!(
                "`{shown}`: a wildcard is the whole first label, `*.example.com`, and nowhere else"
            )));
        }
        let name = name(word)?;
        // A class word with a dot at its end, or in other letters, is what it is written back as.
        if name.as_str() != word {
            return Self::parse_plain(name.as_str(), ports);
        }
        if !name.as_str().contains('.') {
            // A slip in a class word must not become a rule for a name nobody has.
            let long = AddressClass::NAMEABLE
                .iter()
                .map(|class| class.as_str())
                .filter(|word| word.len() > 4);
            if let Some(class) = long
                .into_iter()
                .find(|class| suggest::distance(name.as_str(), class) == 1)
            {
                return Err(RuleError::new(
                    format!("`{name}` is no class of addresses"),
                    format!("{class}:{ports}"),
                ));
            }
        }
        Ok(Self::Name(name))
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a == b,
            (Self::Below(a), Self::Name(b)) => b.is_below(a) && b.as_str() != HOST_INTERNAL,
            (Self::Below(a), Self::Below(b)) => a == b || b.is_below(a),
            // A name rule means class `public` alone.
            (Self::Class(AddressClass::Public), Self::Name(b)) => b.as_str() != HOST_INTERNAL,
            (Self::Class(AddressClass::Public), Self::Below(_)) => true,
            (Self::Class(a), Self::Class(b)) => a == b,
            (Self::Class(a), Self::Network(b)) => *a == class_named_by(*b),
            (Self::Network(a), Self::Network(b)) => {
                a.covers(*b) && class_named_by(*a) == class_named_by(*b)
            }
            _ => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => fmt::Display::fmt(name, f),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Class(class) => fmt::Display::fmt(class, f),
            Self::Network(network) => match (network.address(), network.is_host()) {
                (IpAddr::V4(v4), true) => fmt::Display::fmt(&v4, f),
                (IpAddr::V4(_), false) => fmt::Display::fmt(network, f),
                (IpAddr::V6(v6), true) => write!(f, "[{v6}]"),
                (IpAddr::V6(_), false) => write!(f, "[{network}]"),
            },
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.ports)
    }
}

impl Local {
    /// Reads `any:8080`, `loopback:*`, `10.0.2.15:80`, `[fd00::1]:80`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (at, ports) = split(text, "any")?;
        let at = match at {
            Part::Plain("any") => LocalPattern::Any,
            Part::Plain("loopback") => LocalPattern::Loopback,
            Part::Plain("*" | "0.0.0.0") | Part::Bracketed("::") => {
                return Err(RuleError::new(
                    "every address of the node is called `any`",
                    format!("any:{ports}"),
                ));
            }
            Part::Plain(word) if word.eq_ignore_ascii_case("localhost") => {
                return Err(RuleError::new(
                    "the app's own loopback is called `loopback`",
                    format!("loopback:{ports}"),
                ));
            }
            Part::Plain(word) => match word.parse::<Ipv4Addr>() {
                Ok(v4) => local_address(IpAddr::V4(v4))?,
                Err(_) => return Err(no_local_address(word)),
            },
            Part::Bracketed(inside) => match inside.parse::<Ipv6Addr>() {
                Ok(v6) => local_address(IpAddr::V6(v6))?,
                Err(_) => return Err(no_local_address(inside)),
            },
        };
        Ok(Self {
            at,
            ports: PortSet::parse(ports)?,
        })
    }

    /// Whether every address and port of `other` is one of this rule.
    pub fn covers(&self, other: &Self) -> bool {
        let at = match (self.at, other.at) {
            (LocalPattern::Any, _) => true,
            (LocalPattern::Loopback, LocalPattern::Address(address)) => {
                class_of(address) == AddressClass::Loopback
            }
            (a, b) => a == b,
        };
        at && self.ports.covers(&other.ports)
    }
}

fn local_address(address: IpAddr) -> Result<LocalPattern, RuleError> {
    let plain = canonical(address).address;
    if plain != address {
        return Err(RuleError::plain(format!(
            "{address} is {plain} in another form; write {plain}"
        )));
    }
    match class_of(address) {
        AddressClass::Multicast | AddressClass::Unspecified => Err(RuleError::plain(format!(
            "{address} is no address a node can have"
        ))),
        _ => Ok(LocalPattern::Address(address)),
    }
}

fn no_local_address(word: &str) -> RuleError {
    RuleError::plain(format!(
        "`{}` is no address of the app's own: write `any`, `loopback`, or one address of the node",
        escape(word)
    ))
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            LocalPattern::Any => f.write_str("any")?,
            LocalPattern::Loopback => f.write_str("loopback")?,
            LocalPattern::Address(IpAddr::V4(v4)) => fmt::Display::fmt(&v4, f)?,
            LocalPattern::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]")?,
        }
        write!(f, ":{}", self.ports)
    }
}

/// The name a person or a guest wrote, in the one form everything compares: Unicode names in
/// their ASCII form (IDNA 2008 by UTS 46), lower case, no trailing dot.
pub fn host_name(text: &str) -> Result<HostName, HostNameError> {
    // A longer text cannot become a shorter name, and the mapping is not free.
    if text.len() > 4 * HostName::BYTES_MAX {
        return Err(HostNameError::TooLong);
    }
    let is_plain = text.is_ascii()
        && !text.split('.').any(|label| {
            label
                .get(..4)
                .is_some_and(|x| x.eq_ignore_ascii_case("xn--"))
        });
    if is_plain {
        return HostName::parse(text);
    }
    match idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY) {
        Ok(ascii) => HostName::parse(&ascii),
        Err(_) => Err(text
            .chars()
            .find(|c| !c.is_ascii())
            .map_or(HostNameError::BadLabel, HostNameError::BadCharacter)),
    }
}

pub(crate) fn host_internal() -> HostName {
    // A constant of ours, in the form the check wants.
    HostName::parse(HOST_INTERNAL).expect("host.internal is a host name")
}

fn name(word: &str) -> Result<HostName, RuleError> {
    host_name(word)
        .map_err(|error| RuleError::plain(format!("`{}` is no host name: {error}", escape(word))))
}

/// Country registries sell names below these second-level labels.
const REGISTRY_LABELS: [&str; 10] = [
    "co", "com", "org", "net", "gov", "edu", "ac", "or", "ne", "go",
];

fn is_public_suffix(parent: &HostName) -> bool {
    let mut labels = parent.as_str().rsplit('.');
    match (labels.next(), labels.next(), labels.next()) {
        (_, None, _) => true,
        (Some(last), Some(second), None) => last.len() == 2 && REGISTRY_LABELS.contains(&second),
        _ => false,
    }
}

enum Part<'a> {
    Plain(&'a str),
    Bracketed(&'a str),
}

/// Splits host and ports, and names what a person may have written instead.
fn split<'a>(text: &'a str, example: &str) -> Result<(Part<'a>, &'a str), RuleError> {
    let shown = escape(text);
    if text.is_empty() {
        return Err(RuleError::plain(format!(
            "the rule is empty; a rule is host:ports, `{example}:443`"
        )));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(RuleError::plain(format!(
            "`{shown}`: a rule has no blanks in it"
        )));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        return Err(RuleError {
            message: format!(
                "a rule is host:ports, without a scheme; for the host of this URL: `{}`",
                escape(authority)
            ),
            meant: None,
        });
    }
    // What precedes an @ may be a password: it is not shown again.
    if text.contains('@') {
        return Err(RuleError::plain("a rule is host:ports, without a user"));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else {
            return Err(RuleError::plain(format!(
                "`{shown}`: the bracket is not closed"
            )));
        };
        return match after.strip_prefix(':') {
            Some(ports) => Ok((Part::Bracketed(inside), ports)),
            None if after.is_empty() => Err(no_port(text)),
            None => Err(RuleError::plain(format!(
                "`{shown}`: after the bracket comes a colon and the ports"
            ))),
        };
    }
    match text.rsplit_once(':') {
        None => Err(no_port(text)),
        Some((host, _)) if host.contains(':') => Err(RuleError::new(
            format!("`{shown}`: an IPv6 address is written in brackets, with its port after them"),
            "[2001:db8::1]:443",
        )),
        Some(("", _)) => Err(RuleError::plain(format!(
            "`{shown}` has no host; a rule is host:ports, `{example}:443`"
        ))),
        Some((host, ports)) => Ok((Part::Plain(host), ports)),
    }
}

fn no_port(text: &str) -> RuleError {
    let shown = escape(text);
    RuleError::plain(format!(
        "`{shown}` has no port; write `{shown}:443` for one, `{shown}:*` for any"
    ))
}

pub(crate) fn network_v6(inside: &str) -> Result<Network, RuleError> {
    let (text, prefix) = inside
        .split_once('/')
        .map_or((inside, None), |(text, prefix)| (text, Some(prefix)));
    let Ok(v6) = text.parse::<Ipv6Addr>() else {
        return Err(RuleError::plain(if text.contains('%') {
            "an address with a zone (`%`) means another link on every machine; rules have none"
                .to_owned()
        } else {
            format!("`{}` is no IPv6 address", escape(text))
        }));
    };
    match prefix {
        Some(prefix) => network(IpAddr::V6(v6), prefix),
        None => address(IpAddr::V6(v6)),
    }
}

fn address(address: IpAddr) -> Result<Network, RuleError> {
    let plain = canonical(address).address;
    if plain != address {
        return Err(RuleError::plain(format!(
            "{address} is judged as {plain}, the address inside it; write {plain}"
        )));
    }
    let class = class_of(address);
    if !class.is_nameable() {
        return Err(RuleError::plain(format!(
            "{address} is {class}; no rule can name it"
        )));
    }
    Ok(Network::host(address))
}

fn network(base: IpAddr, prefix: &str) -> Result<Network, RuleError> {
    let digits = prefix.bytes().all(|b| b.is_ascii_digit())
        && !(prefix.len() > 1 && prefix.starts_with('0'));
    let bits = prefix.parse::<u8>().ok().filter(|_| digits);
    let Some((bits, fitting)) =
        bits.and_then(|bits| Some((bits, Network::containing(base, bits)?)))
    else {
        let most = if base.is_ipv4() { 32 } else { 128 };
        return Err(RuleError::plain(format!(
            "`/{}` is no prefix length; it goes from 0 to {most}",
            escape(prefix)
        )));
    };
    let Some(network) = Network::new(base, bits) else {
        return Err(RuleError::new(
            format!("{base}/{bits} has host bits set; the network is {fitting}"),
            HostPattern::Network(fitting).to_string(),
        ));
    };
    if network.is_host() {
        return address(base);
    }
    let class = class_named_by(network);
    if !class.is_nameable() {
        return Err(RuleError::plain(format!(
            "{network} is {class}; no rule can name it"
        )));
    }
    // Inside a wrapping block every address is judged as the one inside it: the rule would match nothing.
    if wraps_whole(network) {
        return Err(RuleError::plain(format!(
            "addresses of {network} are judged as the IPv4 addresses inside them; write the IPv4 network"
        )));
    }
    Ok(network)
}

/// Whether a network lies within one of the blocks that wrap IPv4.
fn wraps_whole(network: Network) -> bool {
    const BLOCKS: [(Ipv6Addr, u8); 5] = [
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96),
        (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    ];
    BLOCKS
        .into_iter()
        .filter_map(|(address, prefix)| Network::new(IpAddr::V6(address), prefix))
        .any(|block| block.covers(network))
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
