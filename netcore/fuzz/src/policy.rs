//! Any text as an operator's policy, set into a gate with an app behind it that asks for all that the
//! policy is about.
//!
//! One that is accepted says the same when written down and read again, differs in nothing from itself,
//! and whatever is decided under it, a forbid of everything holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nexus_policy::policy::{POLICY_RULES_MAX, PolicyRule};
use nexus_policy::rule::{Destination, HostPattern, LocalPattern};
use nexus_policy::wasi::DirectoryMode;
use nexus_policy::{
    Act, AppIdentity, Capability, Consent, Denial, Gate, Manifest, Mode, Policy, PolicyDiff, Rule,
    Stamp, Subject, Supposed, Verdict, WallTime, render,
};
use nexus_types::{AppDigest, Duration, HostName, InstanceId, Instant, Why, limits};

use crate::input::Input;
use crate::rule_vs_address::topology;
use crate::text;

/// 2026-11-22T00:00:00Z, at the gate's origin.
const WALL: WallTime = WallTime(1_795_305_600);
const APP: InstanceId = InstanceId(1);
/// Rules the app asks for of one capability: a manifest has fewer than a policy.
const ASKED_MAX: usize = 32;
/// A policy of more is not compared with others: that is no work of a running host, and slow on purpose.
const COMPARED_MAX: usize = 16;
/// More acts find nothing that fewer do not.
const ACTS_MAX: usize = 64;
/// What is supposed is looked at port by port, for a person who waits.
const SUPPOSED_MAX: usize = 2;

/// Runs one input: the text; behind a zero byte, which no TOML has, what is done under it.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let (text, acts) = data.split_at(end);
    let text = String::from_utf8_lossy(text);
    match Policy::parse(&text, "policy.toml") {
        Ok(policy) => {
            bounded(&text, &policy);
            let written = write(&policy);
            let again = Policy::parse(&written, "policy.toml")
                .unwrap_or_else(|error| panic!("{written}\n{error}"));
            assert_eq!(write(&again), written);
            same(&policy, &again);
            if policy.rules().len() <= COMPARED_MAX {
                assert!(PolicyDiff::of(&policy, &again, WALL).is_empty());
                let none = Policy::none();
                let _ = PolicyDiff::of(&none, &policy, WALL);
                let _ = PolicyDiff::of(&policy, &none, WALL);
            }
            under(&policy, &mut Input::new(acts.get(1..).unwrap_or_default()));
        }
        Err(error) => text::refused(&error),
    }
}

fn bounded(text: &str, policy: &Policy) {
    assert!(text.len() as u64 <= limits::POLICY_BYTES);
    assert!(policy.rules().len() <= POLICY_RULES_MAX);
    for rule in policy.rules() {
        assert!(rule.verdict != Verdict::Allow || rule.to.is_some());
        if let Some(to) = &rule.to {
            assert!((1..=limits::RULES_PER_CAPABILITY as usize).contains(&to.len()));
            for target in to {
                text::reads_back(rule.capability, target);
            }
        }
        if let Some(expires) = rule.expires {
            assert_eq!(WallTime::parse(&expires.utc()), Some(expires));
        }
    }
    assert!(!policy.requires_signature() || !policy.publishers().is_empty());
}

/// The policy with every publisher by its key.
fn write(policy: &Policy) -> String {
    let mut out = String::new();
    if policy.requires_signature() {
        out.push_str("require-signature = true\n");
    }
    for publisher in policy.publishers() {
        let _ = writeln!(
            out,
            "[[publisher]]\nname = {}\nkey = \"{}\"",
            text::quoted(&publisher.name),
            publisher.key
        );
    }
    for rule in policy.rules() {
        let _ = writeln!(
            out,
            "[[rule]]\nid = \"{}\"\ncapability = \"{}\"\nverdict = \"{}\"",
            rule.id,
            rule.capability,
            rule.verdict.as_str()
        );
        let _ = match rule.app {
            Subject::Everyone => Ok(()),
            Subject::App(digest) => writeln!(out, "app = {{ digest = \"{digest}\" }}"),
            Subject::Publisher(key) => writeln!(out, "app = {{ publisher = \"{key}\" }}"),
        };
        if let Some(to) = &rule.to {
            let _ = writeln!(out, "to = {}", text::list(to));
        }
        if let Some(expires) = rule.expires {
            let _ = writeln!(out, "expires = \"{}\"", expires.utc());
        }
    }
    out + &text::limits(policy.limits())
}

/// All that matters of two policies: not the lines.
fn same(one: &Policy, other: &Policy) {
    assert_eq!(one.limits(), other.limits());
    assert_eq!(one.publishers(), other.publishers());
    assert_eq!(one.publisher_keys(), other.publisher_keys());
    assert_eq!(one.requires_signature(), other.requires_signature());
    let unplaced = |policy: &Policy| -> Vec<PolicyRule> {
        let mut rules = policy.rules().to_vec();
        for rule in &mut rules {
            rule.line = 0;
        }
        rules
    };
    assert_eq!(unplaced(one), unplaced(other));
}

/// What the acts are aimed at: what the rules name, and what is next to it.
#[derive(Default)]
struct Targets {
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
    names: Vec<HostName>,
    paths: Vec<String>,
}

impl Targets {
    fn of(policy: &Policy) -> Self {
        let mut all = Self {
            addresses: vec![
                IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34)),
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15)),
                IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
            ],
            ports: vec![443, 0, 7_700],
            names: vec![HostName::parse("host.internal").expect("one")],
            paths: vec!["/".to_owned()],
        };
        for rule in policy
            .rules()
            .iter()
            .flat_map(|rule| rule.to.iter().flatten())
        {
            all.add(rule);
        }
        all
    }

    fn add(&mut self, rule: &Rule) {
        match rule {
            Rule::Destination(Destination { host, ports }) => {
                match host {
                    HostPattern::Name(name) => self.names.push(name.clone()),
                    HostPattern::Below(parent) => {
                        self.names.push(parent.clone());
                        self.names.extend(HostName::parse(&format!("x.{parent}")));
                    }
                    HostPattern::Network(network) => self.addresses.push(network.address()),
                    HostPattern::Class(_) => {}
                }
                self.ports
                    .extend(ports.ranges().iter().take(8).map(|(first, _)| *first));
            }
            Rule::Local(rule) => {
                if let LocalPattern::Address(address) = rule.at {
                    self.addresses.push(address);
                }
                self.ports
                    .extend(rule.ports.ranges().iter().take(8).map(|(_, last)| *last));
            }
            Rule::Directory(rule) => {
                self.paths.push(rule.path().to_owned());
                self.paths.push(format!("{}/below", rule.path()));
            }
            Rule::Variable(name) => self.paths.push(name.as_str().to_owned()),
            _ => {}
        }
    }

    fn address(&self, input: &mut Input<'_>) -> SocketAddr {
        let choice = input.byte().unwrap_or(0);
        let near = input.byte().unwrap_or(0);
        let ip = self.addresses[usize::from(choice & 0x3f) % self.addresses.len()];
        let ip = match (ip, choice >> 6) {
            (IpAddr::V4(v4), 1) => IpAddr::V6(v4.to_ipv6_mapped()),
            (IpAddr::V4(v4), 2) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) ^ u32::from(near))),
            (IpAddr::V6(v6), 2) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) ^ u128::from(near))),
            (ip, _) => ip,
        };
        let port = self.ports[usize::from(input.byte().unwrap_or(0)) % self.ports.len()];
        SocketAddr::new(ip, port)
    }

    fn name(&self, input: &mut Input<'_>) -> &HostName {
        &self.names[usize::from(input.byte().unwrap_or(0)) % self.names.len()]
    }

    fn path(&self, input: &mut Input<'_>) -> &str {
        &self.paths[usize::from(input.byte().unwrap_or(0)) % self.paths.len()]
    }
}

fn under(policy: &Policy, input: &mut Input<'_>) {
    let flags = input.byte().unwrap_or(1);
    let mode = [Mode::Enforce, Mode::Enforce, Mode::Observe, Mode::Learn];
    let mode = mode[usize::from(flags >> 1 & 3)];
    let mut gate = Gate::new(topology());
    gate.set_mode(mode);
    let machine = if flags & 8 == 0 {
        Policy::none()
    } else {
        policy.clone()
    };
    gate.set_policies(Instant::ZERO, WALL, machine, policy.clone());
    let app = identity(policy, input.byte().unwrap_or(0));
    let (manifest, given) = asks_for_all(policy);
    let consent = Consent {
        allow_manifest: flags & 1 != 0,
        allow: given,
        answers: Vec::new(),
    };
    let report = gate.examine(Instant::ZERO, &app, &manifest, &consent, &[]);
    text::shown(&report.text());
    let targets = Targets::of(policy);
    let mut now = Instant::ZERO;
    if flags & 16 != 0 || !report.admitted {
        let mut supposed = Supposed::new(gate, now, app.clone(), manifest, consent.clone(), &[]);
        let mut left = SUPPOSED_MAX;
        acts(input, &targets, &mut now, |now, act| match act {
            Some(_) if left == 0 => {}
            Some(act) => {
                left -= 1;
                let answer = supposed.ask(now, act);
                for word in answer.iter().flatten() {
                    text::shown(word);
                }
                judged(policy, &app, now, act, answer.as_ref().err());
            }
            None => supposed.answer(now, &targets.names[0], targets.addresses[0]),
        });
        return;
    }
    let entered = gate.admit(now, APP, app.clone(), manifest, consent.clone(), &[]);
    assert!(entered.is_ok());
    let mut stamp: Option<Stamp> = None;
    acts(input, &targets, &mut now, |now, act| {
        let Some(act) = act else {
            // The same again: what was open stays as it was judged, or is judged again.
            gate.set_policies(
                now,
                WallTime(WALL.0 + seconds(now)),
                Policy::none(),
                policy.clone(),
            );
            let name = &targets.names[0];
            gate.bind_answer(
                now,
                APP,
                name,
                &targets.addresses,
                now + Duration::from_secs(60),
            );
            return;
        };
        let before = gate.epoch();
        let answer = gate.decide(now, APP, act);
        judged(policy, &app, now, act, answer.as_ref().err());
        if let Ok(permit) = &answer {
            assert!(gate.is_current(permit.stamp()));
            assert_eq!(permit.capability(), act.capability());
            stamp = Some(permit.stamp());
        }
        // Asked twice, the answer is the same.
        let again = gate.decide(now, APP, act);
        assert_eq!(again.is_ok(), answer.is_ok());
        if let Some(stamp) = stamp {
            let _ = gate.judge_again(now, stamp, act);
        }
        assert!(gate.epoch() >= before);
        while let Some(denial) = gate.poll_observed() {
            told(&denial, &app);
        }
        assert!(gate.poll_timeout().is_none_or(|at| at > now));
    });
    let _ = gate.learnt().is_empty();
}

/// One act after another; none: something else happens.
fn acts(
    input: &mut Input<'_>,
    targets: &Targets,
    now: &mut Instant,
    mut act: impl FnMut(Instant, Option<&Act<'_>>),
) {
    for _ in 0..ACTS_MAX {
        let Some(kind) = input.byte() else {
            return;
        };
        let modes = [DirectoryMode::Ro, DirectoryMode::Rw];
        let mode = modes[usize::from(kind >> 4 & 1)];
        let via = [Capability::NetworkTcpConnect, Capability::NetworkUdpSend];
        let via = via[usize::from(kind >> 4 & 1)];
        let named = kind & 0x20 != 0;
        let (remote, name) = match kind & 15 {
            1..=7 => (targets.address(input), named.then(|| targets.name(input))),
            _ => (SocketAddr::from(([0, 0, 0, 0], 0)), None),
        };
        let one = match kind & 15 {
            0 => Act::Resolve {
                name: targets.name(input),
                via,
            },
            1 | 2 => Act::Connect { remote, name },
            3 => Act::UdpSend { remote, name },
            4 => Act::Listen { local: remote },
            5 => Act::UdpBind { local: remote },
            6 => Act::UdpAnswer { remote },
            7 => Act::Accept {
                local: remote,
                remote: targets.address(input),
            },
            8 => Act::UdpOpen,
            9 => Act::OpenDirectory {
                path: targets.path(input),
                mode,
            },
            10 => Act::SetVariable {
                name: targets.path(input),
            },
            11 => {
                *now += Duration::from_secs(1_u64 << (input.byte().unwrap_or(0) % 25));
                continue;
            }
            _ => {
                act(*now, None);
                continue;
            }
        };
        act(*now, Some(&one));
    }
}

/// Which app asks: one a rule is for, signed by one a rule is for, or neither.
fn identity(policy: &Policy, choice: u8) -> AppIdentity {
    let digests: Vec<_> = policy
        .rules()
        .iter()
        .filter_map(|rule| match rule.app {
            Subject::App(digest) => Some(digest),
            _ => None,
        })
        .collect();
    let keys: Vec<_> = policy.publisher_keys().into_iter().collect();
    AppIdentity {
        id: "a".to_owned(),
        digest: digests
            .get(usize::from(choice & 15))
            .copied()
            .unwrap_or(AppDigest([1; 32])),
        publisher: keys.get(usize::from(choice >> 4)).copied(),
    }
}

/// A manifest that asks for what the rules name, and `--allow` for what a manifest has no rule for.
fn asks_for_all(policy: &Policy) -> (Manifest, Vec<(Capability, Rule)>) {
    let mut asked: BTreeMap<Capability, Vec<Rule>> = BTreeMap::new();
    for rule in policy.rules() {
        let list = asked.entry(rule.capability).or_default();
        for target in rule.to.iter().flatten() {
            if list.len() < ASKED_MAX && !list.contains(target) {
                list.push(target.clone());
            }
        }
    }
    let mut out = String::from("[app]\nid = \"a\"\nclass = \"system\"\n");
    let mut given = Vec::new();
    for (capability, rules) in asked {
        if Capability::WASI.contains(&capability) {
            given.extend(rules.into_iter().map(|rule| (capability, rule)));
            continue;
        }
        let _ = writeln!(out, "[capabilities.\"{capability}\"]\noptional = true");
        if !rules.is_empty() {
            let _ = writeln!(out, "allow = {}", text::list(&rules));
        }
    }
    let manifest =
        Manifest::parse(&out, "nexus.toml").unwrap_or_else(|error| panic!("{out}\n{error}"));
    (manifest, given)
}

/// A forbid of everything, of whomever and in whatever mode, lets nothing pass; and a refusal can be told.
fn judged(
    policy: &Policy,
    app: &AppIdentity,
    now: Instant,
    act: &Act<'_>,
    denial: Option<&Box<Denial>>,
) {
    let forbidden = policy.rules().iter().any(|rule| {
        rule.capability == act.capability()
            && rule.verdict == Verdict::Forbid
            && rule.to.is_none()
            && rule.app.concerns(app)
            && rule
                .expires
                .is_none_or(|at| at.0 > WALL.0.saturating_add(seconds(now)))
    });
    assert!(!forbidden || denial.is_some(), "{act:?}");
    if let Some(denial) = denial {
        told(denial, app);
    }
}

fn told(denial: &Denial, app: &AppIdentity) {
    text::shown(&render(denial, app));
    let why = denial.why();
    assert!(why.as_str().len() <= Why::BYTES_MAX);
    text::shown(why.as_str());
}

fn seconds(now: Instant) -> i64 {
    i64::try_from(now.as_micros() / 1_000_000).unwrap_or(i64::MAX)
}
