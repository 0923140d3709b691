//! `[[node.peer]]`: a far end that is not under test and does what a script says.
//!
//! ```toml
//! [[node.peer]]
//! tcp = 7000                         # its port; the same steps on every connection
//! script = [
//!   { expect-until = "\r\n" },       # also: expect, expect-hex, send-hex, wait
//!   { send = "hello\r\n" },
//!   "finish",                        # also: "expect-end", "reset", "stall"
//! ]
//!
//! [[node.peer]]
//! call = "server:80"                 # it makes one connection, and the world waits for it
//! start = "10ms"                     # so long after its machine has booted
//! script = [{ send = "hello\r\n" }, { expect-until = "\r\n" }]
//!
//! [[node.peer]]
//! udp = 123
//! answers = [{ to = "ping", with = ["pong"], after = "10ms" }]   # without `to`: to every datagram
//!
//! [[node.peer]]
//! http = 80
//! requests = ["GET /"]               # what it is to be asked, all of it
//! [[node.peer.route]]
//! path = "/"                         # also: method, headers, after, framing, body-size
//! status = 200
//! body = "a page"
//! cut-after = 3                      # breaks off; or never = true: does not answer
//!
//! [[node.peer]]
//! dns = 53
//! [node.peer.zone]
//! "example.com" = "10.0.0.80"
//! "www.example.com" = { alias = "example.com", fault = "silent" }   # also: servfail, spoof, truncate; after, ttl
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use nexus_policy::explain::escape;
use nexus_sim::limits::{DNS_CHAIN, HTTP_REQUESTS};
use nexus_sim::peers::{
    DnsData, DnsEntry, DnsFault, DnsZone, HttpFault, HttpFraming, HttpResponse, HttpRoute,
    HttpScript, ScriptError, Step, TcpScript, UdpAnswer, UdpScript,
};
use nexus_types::{HostName, IpAddr};
use toml::Spanned;

use super::call::Call;
use super::file;
use crate::cli::values::{parse_duration, parse_size};
use crate::cli::world::Checker;

/// A peer of a node.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Peer {
    pub(in crate::cli::sim) port: u16,
    pub(in crate::cli::sim) script: Script,
    /// What an HTTP peer is to be asked: method and target each.
    pub(in crate::cli::sim) requests: Option<Vec<String>>,
}

/// What it does.
#[derive(Clone, Debug)]
pub(in crate::cli::sim) enum Script {
    Tcp(TcpScript),
    Call(Call),
    Udp(UdpScript),
    Http(HttpScript),
    Dns(DnsZone),
}

impl Script {
    /// Whether it takes a port from TCP, and one from UDP.
    pub(in crate::cli::sim) const fn takes(&self) -> (bool, bool) {
        match self {
            Self::Tcp(_) | Self::Http(_) => (true, false),
            Self::Call(_) => (false, false),
            Self::Udp(_) => (false, true),
            Self::Dns(_) => (true, true),
        }
    }

    /// The key of the file.
    pub(in crate::cli::sim) const fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Call(_) => "call",
            Self::Udp(_) => "udp",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
        }
    }
}

impl Checker<'_> {
    pub(super) fn peer(&mut self, peer: &Spanned<file::Peer>) -> Option<Peer> {
        let (place, said) = (peer.span(), peer.get_ref());
        // What a key belongs to; and whether it is there.
        let parts = [
            (
                "script",
                "tcp = PORT or call = \"NODE:PORT\"",
                said.tcp.is_some() || said.call.is_some(),
                said.script.as_ref().map(Spanned::span),
            ),
            (
                "start",
                "call = \"NODE:PORT\"",
                said.call.is_some(),
                said.start.as_ref().map(Spanned::span),
            ),
            (
                "at-once",
                "tcp = PORT",
                said.tcp.is_some(),
                said.at_once.as_ref().map(Spanned::span),
            ),
            (
                "answers",
                "udp = PORT",
                said.udp.is_some(),
                said.answers.as_ref().map(Spanned::span),
            ),
            (
                "route",
                "http = PORT",
                said.http.is_some(),
                said.route.as_ref().map(Spanned::span),
            ),
            (
                "zone",
                "dns = PORT",
                said.dns.is_some(),
                said.zone.as_ref().map(Spanned::span),
            ),
        ];
        for (key, kind, is_kind, span) in parts {
            if let Some(span) = span
                && !is_kind
            {
                let message = format!("`{key}` is of a peer with {kind}");
                self.problem(span, message);
            }
        }
        if said.requests.is_some() && said.http.is_none() {
            let message = "`requests` is of a peer with http = PORT";
            self.problem(place.clone(), message.into());
        }
        let kinds = (said.tcp, said.udp, said.http, said.dns, &said.call);
        let (port, script) = match kinds {
            (Some(port), None, None, None, None) => (port, self.tcp(said)),
            (None, Some(port), None, None, None) => (port, self.udp(said)),
            (None, None, Some(port), None, None) => (port, self.http(said)),
            (None, None, None, Some(port), None) => (port, self.dns(said)),
            (None, None, None, None, Some(to)) => self.call(said, to),
            _ => {
                let message = "a peer is one of tcp = PORT, udp = PORT, http = PORT, dns = PORT, call = \"NODE:PORT\"";
                self.problem(place, message.into());
                return None;
            }
        };
        if let Some(requests) = &said.requests
            && requests.len() > HTTP_REQUESTS
        {
            let message = format!("at most {HTTP_REQUESTS} requests are kept and can be compared");
            self.problem(place.clone(), message);
        }
        if port == 0 {
            self.problem(place, "port 0 is nowhere".into());
        }
        Some(Peer {
            port,
            script: script?,
            requests: said.requests.clone(),
        })
    }

    fn made<T>(
        &mut self,
        place: std::ops::Range<usize>,
        made: Result<T, ScriptError>,
    ) -> Option<T> {
        match made {
            Ok(script) => Some(script),
            Err(error) => {
                self.problem(place, error.to_string());
                None
            }
        }
    }

    /// What is done on a connection: nothing, unless said.
    pub(super) fn steps(&mut self, said: &file::Peer) -> Option<TcpScript> {
        let Some(script) = &said.script else {
            return Some(TcpScript::silent());
        };
        let mut steps = Vec::new();
        for step in script.get_ref() {
            match read_step(step.get_ref()) {
                Ok(step) => steps.push(step),
                Err(wanted) => self.problem(step.span(), wanted),
            }
        }
        self.made(script.span(), TcpScript::new(steps))
    }

    fn tcp(&mut self, said: &file::Peer) -> Option<Script> {
        let script = self.steps(said)?;
        match &said.at_once {
            None => Some(Script::Tcp(script)),
            Some(most) => {
                let script = self.made(most.span(), script.at_once(*most.get_ref()))?;
                Some(Script::Tcp(script))
            }
        }
    }

    fn udp(&mut self, said: &file::Peer) -> Option<Script> {
        let (place, answers) = said.answers.as_ref().map_or((0..0, &[][..]), |answers| {
            (answers.span(), answers.get_ref())
        });
        let answers = answers.iter().map(|answer| UdpAnswer {
            prefix: answer.to.as_ref().map(|to| to.clone().into_bytes()),
            replies: answer
                .with
                .iter()
                .map(|one| one.clone().into_bytes())
                .collect(),
            delay: self.duration(answer.after.as_ref()).unwrap_or_default(),
        });
        let answers = answers.collect();
        self.made(place, UdpScript::new(answers)).map(Script::Udp)
    }

    fn http(&mut self, said: &file::Peer) -> Option<Script> {
        let Some(routes) = &said.route else {
            return self
                .made(0..0, HttpScript::new(Vec::new()))
                .map(Script::Http);
        };
        let read = routes.get_ref().iter();
        let read: Vec<_> = read.filter_map(|route| self.route(route)).collect();
        self.made(routes.span(), HttpScript::new(read))
            .map(Script::Http)
    }

    fn route(&mut self, route: &Spanned<file::Route>) -> Option<HttpRoute> {
        let (place, said) = (route.span(), route.get_ref());
        let size = self.value(said.body_size.as_ref(), parse_size);
        if said.body.is_some() && size.is_some() {
            self.problem(place.clone(), "`body` or `body-size`, not both".into());
        }
        let body = match (&said.body, size) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(size)) => {
                let most = nexus_sim::limits::PEER_SCRIPT_BYTES;
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                if size > most {
                    self.problem(place, format!("a body has at most {most} bytes"));
                    return None;
                }
                (0..size).map(|at| b'a' + (at % 26) as u8).collect()
            }
            (None, None) => Vec::new(),
        };
        let mut response = HttpResponse::new(said.status.unwrap_or(200), body);
        response.headers = said
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let framing = self.value(said.framing.as_ref(), |text| match text {
            "length" => Ok(HttpFraming::Length),
            "chunked" => Ok(HttpFraming::Chunked),
            "close" => Ok(HttpFraming::Close),
            _ => Err("\"length\", \"chunked\" or \"close\"".to_owned()),
        });
        response.framing = framing.unwrap_or(HttpFraming::Length);
        response.delay = self.duration(said.after.as_ref()).unwrap_or_default();
        response.fault = match (said.cut_after, said.never) {
            (Some(_), true) => {
                self.problem(place, "`cut-after` or `never`, not both".into());
                None
            }
            (Some(bytes), false) => Some(HttpFault::CutAfter(bytes)),
            (None, never) => never.then_some(HttpFault::Never),
        };
        Some(HttpRoute {
            method: said.method.clone().unwrap_or_else(|| "GET".to_owned()),
            path: said.path.clone(),
            response,
        })
    }

    fn dns(&mut self, said: &file::Peer) -> Option<Script> {
        let Some(zone) = &said.zone else {
            return self.made(0..0, DnsZone::new(Vec::new())).map(Script::Dns);
        };
        let mut entries = Vec::new();
        for (name, record) in zone.get_ref() {
            let found = HostName::parse(name.get_ref());
            let Ok(found) = found else {
                let message = format!("`{}` is no name", escape(name.get_ref()));
                self.problem(name.span(), message);
                continue;
            };
            match read_record(record.get_ref()) {
                Ok(entry) => entries.push((found, entry)),
                Err(wanted) => self.problem(record.span(), wanted),
            }
        }
        let known: BTreeMap<_, _> = entries
            .iter()
            .map(|(name, entry)| (name, &entry.data))
            .collect();
        for (place, (name, _)) in zone.get_ref().keys().zip(&entries) {
            if !ends(name, &known) {
                let name = name.as_str();
                let message =
                    format!("the aliases of `{name}` go round, or are more than {DNS_CHAIN}");
                self.problem(place.span(), message);
                return None;
            }
        }
        self.made(zone.span(), DnsZone::new(entries))
            .map(Script::Dns)
    }
}

/// Whether the aliases of a name lead to an end, no further than a name server here follows them.
fn ends(name: &HostName, known: &BTreeMap<&HostName, &DnsData>) -> bool {
    let mut at = name;
    for _ in 0..=DNS_CHAIN {
        match known.get(at) {
            Some(DnsData::Alias(alias)) => at = alias,
            _ => return true,
        }
    }
    false
}

const STEPS: &str = "a step is { send = \"...\" }, { expect = \"...\" }, { expect-until = \"...\" }, \
                     { wait = \"1s\" }, \"finish\", \"expect-end\", \"reset\" or \"stall\"; send-hex and expect-hex \
                     take bytes";

fn read_step(step: &file::Step) -> Result<Step, String> {
    match step {
        file::Step::Word(word) => match word.as_str() {
            "finish" => Ok(Step::Finish),
            "expect-end" => Ok(Step::ExpectEnd),
            "reset" => Ok(Step::Reset),
            "stall" => Ok(Step::Stall),
            _ => Err(STEPS.to_owned()),
        },
        file::Step::With(keys) => {
            let mut keys = keys.iter();
            let (Some((key, value)), None) = (keys.next(), keys.next()) else {
                return Err(STEPS.to_owned());
            };
            let bytes = || value.clone().into_bytes();
            match key.as_str() {
                "send" => Ok(Step::Send(bytes())),
                "send-hex" => read_hex(value).map(Step::Send),
                "expect" => Ok(Step::Expect(bytes())),
                "expect-hex" => read_hex(value).map(Step::Expect),
                "expect-until" => Ok(Step::ExpectUntil(bytes())),
                "wait" => parse_duration(value)
                    .map(Step::Wait)
                    .map_err(|wanted| format!("`{}` is not {wanted}", escape(value))),
                _ => Err(STEPS.to_owned()),
            }
        }
    }
}

/// `00ff`, with spaces wherever they help.
fn read_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u32>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect();
    let pairs = digits.as_deref().map(<[u32]>::as_chunks::<2>);
    match pairs {
        Some((pairs, [])) => Ok(pairs
            .iter()
            .map(|[high, low]| (high * 16 + low) as u8)
            .collect()),
        _ => Err(format!("`{}` is not pairs of hex digits", escape(text))),
    }
}

fn read_record(record: &file::Record) -> Result<DnsEntry, String> {
    let addresses = |texts: &[String]| -> Result<DnsData, String> {
        let parse = |text: &String| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("`{}` is no address", escape(text)))
        };
        texts
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(DnsData::Addresses)
    };
    let plain = |data| DnsEntry {
        data,
        ..DnsEntry::addresses(Vec::new())
    };
    let table = match record {
        file::Record::One(text) => return addresses(std::slice::from_ref(text)).map(plain),
        file::Record::Some(texts) => return addresses(texts).map(plain),
        file::Record::With(table) => table,
    };
    let data = match &table.alias {
        None => addresses(&table.addresses)?,
        Some(_) if !table.addresses.is_empty() => {
            return Err("`alias` or `addresses`, not both".to_owned());
        }
        Some(alias) => DnsData::Alias(
            HostName::parse(alias).map_err(|_| format!("`{}` is no name", escape(alias)))?,
        ),
    };
    let mut entry = plain(data);
    entry.ttl = table.ttl.unwrap_or(entry.ttl);
    entry.delay = match &table.after {
        None => Duration::ZERO,
        Some(text) => {
            parse_duration(text).map_err(|wanted| format!("`{}` is not {wanted}", escape(text)))?
        }
    };
    entry.fault = match table.fault.as_deref() {
        None => None,
        Some("servfail") => Some(DnsFault::ServFail),
        Some("silent") => Some(DnsFault::Silent),
        Some("spoof") => Some(DnsFault::Spoof),
        Some("truncate") => Some(DnsFault::Truncate),
        Some(_) => return Err("a fault is servfail, silent, spoof or truncate".to_owned()),
    };
    Ok(entry)
}
