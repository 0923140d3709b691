//! Rules of every kind and of everybody against addresses in every spelling: `decide`, and the slow
//! model of it next door, which shares no code with the crate but the texts of the rules.
//!
//! An input is lines of text, then a zero byte, then what is bound and what is tried. A line is
//! - `a RULE` the manifest asks, `g RULE` `--allow`, `y RULE` and `n RULE` a person's yes and no;
//! - `fN RULE`, `kN RULE`, `oN RULE`: the operator forbids, asks, allows; `fN` and `kN` alone: everything.
//!   `N` says for whom, and in which of the two files;
//! - `d NAME`: a name that acts may use.

mod addresses;
mod model;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nexus_policy::{
    Act, Answer, AnsweredBy, AppIdentity, Capability, Consent, Gate, Lifetime, Manifest, Policy,
    PublisherKey, RefusedBy, Rule, Topology, WallTime, host_name,
};
use nexus_types::{
    AppDigest, HostName, InstanceId, Instant, InterfaceAddress, Port, Reason, Transport,
};

use crate::input::Input;
use model::{Model, Outcome, World};

const APP: InstanceId = InstanceId(1);
/// Rules of one input: the model walks all of them for each act.
const RULES_MAX: usize = 32;
const ACTS_MAX: usize = 32;
/// Fewer than one address may have.
const BINDINGS_MAX: usize = 8;

/// The user NIC's network, as the model knows it by heart.
pub(crate) fn topology() -> Topology {
    let ip = |text: &str| text.parse().expect("an address");
    let own = |text, prefix| InterfaceAddress::new(ip(text), prefix).expect("an interface");
    Topology {
        own: vec![own("10.0.2.15", 24), own("fd00:2::15", 64)],
        host: vec![ip("10.0.2.2"), ip("fd00:2::2")],
        infrastructure: vec![ip("10.0.2.3")],
        learnt: vec![ip("10.0.2.4")],
        host_owned_ports: vec![(Transport::Tcp, Port::new(7_700).expect("a port"))],
        machine_ports: Vec::new(),
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let (text, acts) = data.split_at(end);
    let mut input = Input::new(acts.get(1..).unwrap_or_default());
    let flags = input.byte().unwrap_or(1);
    let via = if flags & 4 == 0 {
        Capability::NetworkTcpConnect
    } else {
        Capability::NetworkUdpSend
    };
    let mut setup = Setup::read(&String::from_utf8_lossy(text), via, flags & 2 != 0);
    setup.world.consent = flags & 1 != 0;
    let now = u64::from(input.byte().unwrap_or(0));
    let mut gate = setup.gate();
    let pool = setup.pool();
    for _ in 0..input.byte().unwrap_or(0).min(BINDINGS_MAX as u8) {
        let Some(name) = setup.name(input.byte().unwrap_or(0)).cloned() else {
            continue;
        };
        let address = address(&mut input, &pool);
        let until = u64::from(input.byte().unwrap_or(0));
        let end = Instant::from_secs(until);
        gate.bind_answer(Instant::ZERO, APP, &name, &[address], end);
        setup.world.bind(address, name.as_str(), until);
    }
    let at = Instant::from_secs(now);
    for _ in 0..ACTS_MAX {
        let Some(which) = input.byte() else {
            break;
        };
        let name = setup.name(which);
        if let (true, Some(name)) = (which & 0x40 != 0, name) {
            let found = outcome(&mut gate, at, &Act::Resolve { name, via });
            let expected = setup.world.resolve(name.as_str());
            assert_eq!(found == Outcome::Allowed, expected, "{name} {setup:?}");
            continue;
        }
        let name = name.filter(|_| which & 0x80 != 0);
        let ip = address(&mut input, &pool);
        let port = setup.port(&mut input);
        let mut ask = |ip: IpAddr| {
            let remote = SocketAddr::new(ip, port);
            let act = if via == Capability::NetworkTcpConnect {
                Act::Connect { remote, name }
            } else {
                Act::UdpSend { remote, name }
            };
            outcome(&mut gate, at, &act)
        };
        let found = ask(ip);
        let expected = setup
            .world
            .connect(now, ip, port, name.map(HostName::as_str));
        assert_eq!(found, expected, "{ip} {port} {name:?} at {now} {setup:?}");
        // The same packet, written otherwise: the same answer, unless what the operator forbids or asks
        // about has the other form in it (`[::/0]:*` is about all that is written as IPv6).
        let IpAddr::V4(v4) = ip.to_canonical() else {
            continue;
        };
        let mapped = IpAddr::V6(v4.to_ipv6_mapped());
        if !setup.world.catches_form(mapped) {
            let other = if ip == mapped { IpAddr::V4(v4) } else { mapped };
            assert_eq!(found, ask(other), "{ip} {other} {setup:?}");
        }
    }
}

fn outcome(gate: &mut Gate, now: Instant, act: &Act<'_>) -> Outcome {
    match gate.decide(now, APP, act) {
        Ok(_) => Outcome::Allowed,
        Err(denial) => {
            let operator = matches!(denial.refused_by, RefusedBy::Operator { .. });
            if operator && denial.reason == Reason::OperatorDenied {
                Outcome::Forbidden
            } else {
                Outcome::Refused
            }
        }
    }
}

/// What the lines say: for the gate in texts, for the model in its own words.
#[derive(Debug)]
struct Setup {
    via: Capability,
    signed: bool,
    world: World,
    asked: Vec<String>,
    consent: Consent,
    /// The machine's policy, and the operator's.
    files: [String; 2],
    names: Vec<HostName>,
    ports: Vec<u16>,
    networks: Vec<IpAddr>,
}

impl Setup {
    fn read(text: &str, via: Capability, signed: bool) -> Self {
        let mut setup = Self {
            via,
            signed,
            world: World::new(via == Capability::NetworkTcpConnect),
            asked: Vec::new(),
            consent: Consent::default(),
            files: [String::new(), String::new()],
            names: ["host.internal", "example.com"]
                .into_iter()
                .map(|name| HostName::parse(name).expect("a name"))
                .collect(),
            ports: vec![443, 0, 7_700],
            networks: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for (number, line) in text.lines().take(RULES_MAX).enumerate() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if word == "d" {
                setup.names.extend(host_name(rest));
                continue;
            }
            let mut letters = word.chars();
            let Some(kind) = letters.next() else {
                continue;
            };
            let whom = letters.next().and_then(|c| c.to_digit(8)).unwrap_or(0);
            let rule = Rule::parse(via, rest).ok();
            let everything = rule.is_none() && rest.is_empty() && matches!(kind, 'f' | 'k');
            if rule.is_none() && !everything {
                continue;
            }
            // A rule that says what another says is refused by the file.
            let whom = if matches!(kind, 'f' | 'k' | 'o') {
                whom
            } else {
                0
            };
            if seen.insert((kind, whom, rule.as_ref().map(Rule::to_string))) {
                setup.add(number, kind, whom, rule.as_ref());
            }
        }
        setup.world.settle();
        setup
    }

    fn add(&mut self, number: usize, kind: char, whom: u32, rule: Option<&Rule>) {
        let text = rule.map(Rule::to_string);
        let model = text.as_deref().map(Model::read);
        if let Some(model) = &model {
            self.names
                .extend(model.names().iter().flat_map(|name| HostName::parse(name)));
            self.ports.extend(model.edges());
            self.networks.extend(model.ends());
        }
        if let Some(verdict) = match kind {
            'f' => Some("forbid"),
            'k' => Some("ask"),
            'o' => Some("allow"),
            _ => None,
        } {
            self.write(number, verdict, whom, text.as_deref());
            if whom & 3 != 3 && (whom & 3 != 2 || self.signed) {
                self.world.operator(kind, model);
            }
            return;
        }
        let (Some(rule), Some(model)) = (rule, model) else {
            return;
        };
        match kind {
            'a' => self.asked.push(rule.to_string()),
            'g' => self.consent.allow.push((self.via, rule.clone())),
            'y' | 'n' => self.consent.answers.push(Answer {
                id: number.to_string(),
                capability: self.via,
                rule: rule.clone(),
                yes: kind == 'y',
                lifetime: Lifetime::Once,
                expires: None,
                by: AnsweredBy::Script,
            }),
            _ => return,
        }
        self.world.app(kind, model);
    }

    /// A rule of the operator's, in one of the two files.
    fn write(&mut self, number: usize, verdict: &str, whom: u32, to: Option<&str>) {
        let file = &mut self.files[usize::from(whom & 4 == 0)];
        let _ = writeln!(
            file,
            "[[rule]]\nid = \"r{number}\"\ncapability = \"{}\"\nverdict = \"{verdict}\"",
            self.via
        );
        if let Some(to) = to {
            let _ = writeln!(file, "to = [\"{to}\"]");
        }
        let _ = match whom & 3 {
            0 => Ok(()),
            1 => writeln!(file, "app = {{ digest = \"{}\" }}", digest()),
            2 => writeln!(file, "app = {{ publisher = \"{}\" }}", publisher(1)),
            _ => writeln!(file, "app = {{ publisher = \"{}\" }}", publisher(2)),
        };
    }

    fn gate(&self) -> Gate {
        let [machine, operator] = self
            .files
            .each_ref()
            .map(|text| Policy::parse(text, "p").unwrap_or_else(|error| panic!("{text}\n{error}")));
        let mut gate = Gate::new(topology());
        gate.set_policies(Instant::ZERO, WallTime(0), machine, operator);
        let mut manifest = "[app]\nid = \"m\"\n".to_owned();
        if !self.asked.is_empty() {
            let _ = write!(
                manifest,
                "[capabilities.\"{}\"]\nallow = [\"{}\"]\n",
                self.via,
                self.asked.join("\", \"")
            );
        }
        let manifest =
            Manifest::parse(&manifest, "m").unwrap_or_else(|error| panic!("{manifest}\n{error}"));
        let app = AppIdentity {
            id: "m".to_owned(),
            digest: digest(),
            publisher: self.signed.then(|| publisher(1)),
        };
        let consent = Consent {
            allow_manifest: self.world.consent,
            ..self.consent.clone()
        };
        gate.admit(Instant::ZERO, APP, app, manifest, consent, &[])
            .unwrap_or_else(|report| panic!("{}", report.text()));
        gate
    }

    fn name(&self, which: u8) -> Option<&HostName> {
        self.names.get(usize::from(which & 0x3f) % self.names.len())
    }

    /// A port at the edge of a rule, or any.
    fn port(&self, input: &mut Input<'_>) -> u16 {
        let which = input.byte().unwrap_or(0);
        if which & 0x80 == 0 {
            self.ports[usize::from(which) % self.ports.len()]
        } else {
            input.word().unwrap_or(0)
        }
    }

    /// Addresses that mean something, and those at the ends of what rules name.
    fn pool(&self) -> Vec<IpAddr> {
        let mut pool = addresses::KNOWN.to_vec();
        pool.extend(&self.networks);
        pool
    }
}

fn digest() -> AppDigest {
    AppDigest([0xa7; 32])
}

fn publisher(number: u8) -> PublisherKey {
    let mut key = [number; 42];
    key[..2].copy_from_slice(b"Ed");
    PublisherKey(key)
}

/// Any address: raw, out of the pool, or inside another.
fn address(input: &mut Input<'_>, pool: &[IpAddr]) -> IpAddr {
    fn raw<const N: usize>(input: &mut Input<'_>) -> [u8; N] {
        let mut bytes = [0; N];
        let given = input.bytes(N);
        bytes[..given.len()].copy_from_slice(given);
        bytes
    }
    let kind = input.byte().unwrap_or(0);
    let from_pool =
        |input: &mut Input<'_>| pool[usize::from(input.byte().unwrap_or(0)) % pool.len()];
    let v4 = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => Ipv4Addr::from(u128::from(v6) as u32),
    };
    match kind & 7 {
        0 => IpAddr::V4(Ipv4Addr::from(raw::<4>(input))),
        1 => IpAddr::V6(Ipv6Addr::from(raw::<16>(input))),
        2 => addresses::wrap(kind >> 3, Ipv4Addr::from(raw::<4>(input))),
        3 | 4 => addresses::wrap(kind >> 3, v4(from_pool(input))),
        _ => from_pool(input),
    }
}
