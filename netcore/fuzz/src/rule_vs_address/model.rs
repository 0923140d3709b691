//! `decide` as anybody would write it who has only read the head of `judge.rs`: every rule of every list
//! is walked for every act.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addresses::{Class, class, ends, inside, meant, number, registered};

/// What may be named by a class word.
const WORDS: [Class; 6] = [
    "public",
    "lan",
    "link-local",
    "loopback",
    "multicast",
    "metadata",
];

#[derive(Clone, Debug)]
enum Host {
    Name(String),
    Below(String),
    Net {
        is_v4: bool,
        first: u128,
        last: u128,
        means: Class,
    },
    Class(Class),
}

/// A rule, from the one text that means it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    text: String,
    host: Host,
    ports: Vec<(u16, u16)>,
}

impl Model {
    pub(super) fn read(text: &str) -> Self {
        let (host, ports) = text.rsplit_once(':').expect("a host and ports");
        let number = |text: &str| text.parse::<u16>().expect("a port");
        let ports = match ports {
            "*" => vec![(1, u16::MAX)],
            list => list
                .split(',')
                .map(|item| {
                    let (first, last) = item.split_once('-').unwrap_or((item, item));
                    (number(first), number(last))
                })
                .collect(),
        };
        Self {
            text: text.to_owned(),
            host: Self::host(host),
            ports,
        }
    }

    fn host(text: &str) -> Host {
        if let Some(class) = WORDS.into_iter().find(|word| *word == text) {
            return Host::Class(class);
        }
        if let Some(parent) = text.strip_prefix("*.") {
            return Host::Below(parent.to_owned());
        }
        let text = text.trim_start_matches('[').trim_end_matches(']');
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let Ok(ip) = address.parse::<IpAddr>() else {
            return Host::Name(text.to_owned());
        };
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().unwrap_or(bits);
        let (first, last) = ends(number(ip), prefix, bits);
        let means = if first == last {
            registered(ip)
        } else {
            meant(first, last, ip.is_ipv4())
        };
        Host::Net {
            is_v4: ip.is_ipv4(),
            first,
            last,
            means,
        }
    }

    /// Names that it is about.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.host {
            Host::Name(name) => vec![name.clone()],
            Host::Below(parent) => {
                vec![parent.clone(), format!("a.{parent}"), format!("a{parent}")]
            }
            _ => Vec::new(),
        }
    }

    /// Ports at which it begins to hold, or no longer does.
    pub(super) fn edges(&self) -> impl Iterator<Item = u16> {
        self.ports
            .iter()
            .take(8)
            .flat_map(|(first, last)| [*first, *last, last.wrapping_add(1)])
    }

    /// The addresses at its ends, and the two beside them.
    pub(super) fn ends(&self) -> Vec<IpAddr> {
        let Host::Net {
            is_v4, first, last, ..
        } = self.host
        else {
            return Vec::new();
        };
        [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            .into_iter()
            .map(|number| {
                if is_v4 {
                    IpAddr::V4(Ipv4Addr::from(number as u32))
                } else {
                    IpAddr::V6(Ipv6Addr::from(number))
                }
            })
            .collect()
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports
            .iter()
            .any(|(first, last)| *first <= port && port <= *last)
    }

    fn has_name(&self, name: &str) -> bool {
        match &self.host {
            Host::Name(own) => own == name,
            Host::Below(parent) => name
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            _ => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        match self.host {
            Host::Net {
                is_v4, first, last, ..
            } => {
                let number = number(address);
                is_v4 == address.is_ipv4() && first <= number && number <= last
            }
            _ => false,
        }
    }

    /// As an allow.
    fn allows(&self, address: IpAddr, port: u16, reading: Option<&str>) -> bool {
        let is = class(address);
        if !self.has_port(port) {
            return false;
        }
        match self.host {
            Host::Class(class) => class == is,
            Host::Net {
                first, last, means, ..
            } => {
                self.has_address(inside(address).0)
                    && (means == is || (first == last && is == "loopback"))
            }
            _ => reading.is_some_and(|name| self.has_name(name) && is == means(name)),
        }
    }

    /// As a forbid or an ask.
    fn catches(&self, address: IpAddr, port: u16, reading: Option<&str>) -> bool {
        let is = class(address);
        self.has_port(port)
            && (self.has_address(inside(address).0)
                || self.has_address(address)
                || self.is_class(is)
                || (is == "host" && self.has_name("host.internal"))
                || reading.is_some_and(|name| self.has_name(name)))
    }

    fn is_class(&self, is: Class) -> bool {
        matches!(self.host, Host::Class(class) if class == is)
    }

    fn is_public_network(&self) -> bool {
        matches!(
            self.host,
            Host::Net {
                means: "public",
                ..
            }
        )
    }
}

/// The class of addresses that a name stands for.
fn means(name: &str) -> Class {
    if name == "host.internal" {
        "host"
    } else {
        "public"
    }
}

/// What comes of an act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Allowed,
    /// By what the operator has written.
    Forbidden,
    Refused,
}

/// Everything that has been said.
#[derive(Clone, Debug)]
pub(super) struct World {
    is_tcp: bool,
    asked: Vec<Model>,
    given: Vec<Model>,
    yes: Vec<Model>,
    no: Vec<Model>,
    forbid: Vec<Model>,
    ask: Vec<Model>,
    allow: Vec<Model>,
    forbid_all: bool,
    ask_all: bool,
    /// `--allow-manifest`
    pub(super) consent: bool,
    bindings: Vec<(IpAddr, String, u64)>,
}

impl World {
    pub(super) fn new(is_tcp: bool) -> Self {
        Self {
            is_tcp,
            asked: Vec::new(),
            given: Vec::new(),
            yes: Vec::new(),
            no: Vec::new(),
            forbid: Vec::new(),
            ask: Vec::new(),
            allow: Vec::new(),
            forbid_all: false,
            ask_all: false,
            consent: false,
            bindings: Vec::new(),
        }
    }

    pub(super) fn app(&mut self, kind: char, rule: Model) {
        match kind {
            'a' => self.asked.push(rule),
            'g' => self.given.push(rule),
            'y' => self.yes.push(rule),
            _ => self.no.push(rule),
        }
    }

    pub(super) fn operator(&mut self, kind: char, rule: Option<Model>) {
        match (kind, rule) {
            ('f', Some(rule)) => self.forbid.push(rule),
            ('f', None) => self.forbid_all = true,
            ('k', Some(rule)) => self.ask.push(rule),
            ('k', None) => self.ask_all = true,
            (_, Some(rule)) => self.allow.push(rule),
            (_, None) => {}
        }
    }

    /// An answer is about a rule the app asks for; to what it asks now it may be none.
    pub(super) fn settle(&mut self) {
        let asked = &self.asked;
        for answers in [&mut self.yes, &mut self.no] {
            answers.retain(|answer| asked.iter().any(|rule| rule.text == answer.text));
        }
    }

    pub(super) fn bind(&mut self, address: IpAddr, name: &str, until: u64) {
        self.bindings
            .push((inside(address).0, name.to_owned(), until));
    }

    /// Whether what is forbidden or asked about has an address in just this form.
    pub(super) fn catches_form(&self, form: IpAddr) -> bool {
        self.forbid
            .iter()
            .chain(&self.ask)
            .any(|rule| rule.has_address(form))
    }

    pub(super) fn connect(
        &self,
        now: u64,
        address: IpAddr,
        port: u16,
        named: Option<&str>,
    ) -> Outcome {
        let is = class(address);
        let (inner, direct) = inside(address);
        if port == 0
            || matches!(is, "infrastructure" | "unspecified" | "reserved")
            || (!direct && is != "public")
            || (is == "host" && port == 7_700 && self.is_tcp)
        {
            return Outcome::Refused;
        }
        let live: Vec<&str> = self
            .bindings
            .iter()
            .filter(|(at, _, until)| *at == inner && *until > now)
            .map(|(_, name, _)| name.as_str())
            .collect();
        let suspects = named.map_or_else(|| live.clone(), |name| vec![name]);
        let caught = |rules: &[Model], reading| {
            rules
                .iter()
                .any(|rule| rule.catches(address, port, reading))
        };
        if self.forbid_all
            || caught(&self.forbid, None)
            || suspects
                .iter()
                .any(|name| caught(&self.forbid, Some(name)))
        {
            return Outcome::Forbidden;
        }
        let readings: Vec<Option<&str>> = match named {
            Some(name) => vec![Some(name).filter(|name| live.contains(name))],
            None => [None]
                .into_iter()
                .chain(live.into_iter().map(Some))
                .collect(),
        };
        let any =
            |rules: &[Model], reading| rules.iter().any(|rule| rule.allows(address, port, reading));
        // As with a forbid: by its address, by the name it is said to have, or by any it is known by.
        let asks = self.ask_all
            || caught(&self.ask, None)
            || suspects.iter().any(|name| caught(&self.ask, Some(name)));
        // A no about a target holds against a yes; what is said for this run holds against both.
        let declined =
            any(&self.no, None) || suspects.iter().any(|name| any(&self.no, Some(name)));
        let consent = |reading| self.consent || (any(&self.yes, reading) && !declined);
        let allowed = readings.into_iter().any(|reading| {
            let metadata = is == "metadata";
            any(&self.given, reading)
                || (any(&self.asked, reading)
                    && if asks {
                        consent(reading)
                            && (!metadata || any(&self.ask, reading) || any(&self.allow, reading))
                    } else {
                        any(&self.allow, reading) || (consent(reading) && !metadata)
                    })
        });
        if allowed {
            Outcome::Allowed
        } else {
            Outcome::Refused
        }
    }

    /// A name may be looked up if at some port some address it may have could be connected to.
    pub(super) fn resolve(&self, name: &str) -> bool {
        let all = [
            &self.asked,
            &self.given,
            &self.yes,
            &self.no,
            &self.forbid,
            &self.ask,
            &self.allow,
        ];
        let edges = all
            .into_iter()
            .flatten()
            .flat_map(|rule| &rule.ports)
            .flat_map(|(first, last)| [*first, last.saturating_add(1)]);
        [1].into_iter()
            .chain(edges)
            .any(|port| self.resolve_for(name, port))
    }

    fn resolve_for(&self, name: &str, port: u16) -> bool {
        let is = means(name);
        fn at(rules: &[Model], port: u16) -> impl Iterator<Item = &Model> {
            rules.iter().filter(move |rule| rule.has_port(port))
        }
        let named = |rules: &[Model]| at(rules, port).any(|rule| rule.has_name(name));
        let caught =
            |rules: &[Model]| at(rules, port).any(|rule| rule.has_name(name) || rule.is_class(is));
        let could = |rules: &[Model]| {
            at(rules, port).any(|rule| {
                rule.has_name(name)
                    || rule.is_class(is)
                    || (is == "public" && rule.is_public_network())
            })
        };
        if self.forbid_all || caught(&self.forbid) {
            return false;
        }
        let consent = self.consent || (named(&self.yes) && !named(&self.no));
        named(&self.given)
            || (named(&self.asked)
                && if self.ask_all || caught(&self.ask) {
                    consent
                } else {
                    could(&self.allow) || consent
                })
    }
}
