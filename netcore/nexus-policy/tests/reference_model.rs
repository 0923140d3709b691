//! `decide` against a slow model of it, written apart: the model knows a few addresses by heart,
//! walks every rule of every list, and shares no code with the crate but the texts of the rules.

mod common;

use std::fmt::Write as _;

use common::{APP, TCP, WALL, addr, identity, ip, name, topology};
use nexus_policy::{Act, Capability, Consent, Gate, Manifest, Policy, RefusedBy, Rule};
use nexus_types::Instant;
use proptest::prelude::*;
use proptest::sample::select;

/// An address in a spelling, and what everybody knows about it.
#[derive(Clone, Copy, Debug)]
struct Address {
    text: &'static str,
    canonical: &'static str,
    class: &'static str,
    /// Whether packets go where `canonical` says.
    direct: bool,
}

const fn at(
    text: &'static str,
    canonical: &'static str,
    class: &'static str,
    direct: bool,
) -> Address {
    Address {
        text,
        canonical,
        class,
        direct,
    }
}

const ADDRESSES: [Address; 24] = [
    at("93.184.216.34", "93.184.216.34", "public", true),
    at("93.184.216.35", "93.184.216.35", "public", true),
    at("::ffff:93.184.216.34", "93.184.216.34", "public", true),
    at("64:ff9b::93.184.216.34", "93.184.216.34", "public", false),
    at("8.8.8.8", "8.8.8.8", "public", true),
    at("2606:4700::1111", "2606:4700::1111", "public", true),
    at("10.1.2.3", "10.1.2.3", "lan", true),
    at("::ffff:10.1.2.3", "10.1.2.3", "lan", true),
    at("2002:a01:203::1", "10.1.2.3", "lan", false),
    at("192.168.1.1", "192.168.1.1", "lan", true),
    at("fd12::1", "fd12::1", "lan", true),
    at("169.254.1.1", "169.254.1.1", "link-local", true),
    at("169.254.169.254", "169.254.169.254", "metadata", true),
    at(
        "64:ff9b::169.254.169.254",
        "169.254.169.254",
        "metadata",
        false,
    ),
    at("fd00:ec2::254", "fd00:ec2::254", "metadata", true),
    at("127.0.0.1", "127.0.0.1", "loopback", true),
    at("::127.0.0.1", "127.0.0.1", "loopback", false),
    at("10.0.2.15", "10.0.2.15", "loopback", true),
    at("10.0.2.2", "10.0.2.2", "host", true),
    at("::ffff:10.0.2.2", "10.0.2.2", "host", true),
    at("10.0.2.3", "10.0.2.3", "infrastructure", true),
    at("224.0.0.251", "224.0.0.251", "multicast", true),
    at("0.0.0.0", "0.0.0.0", "unspecified", true),
    at("198.18.0.1", "198.18.0.1", "reserved", true),
];
/// The same lists are written for both.
const CAPABILITIES: [Capability; 2] = [TCP, UDP];
const UDP: Capability = Capability::NetworkUdpSend;
const NAMES: [&str; 6] = [
    "example.com",
    "a.example.com",
    "b.example.com",
    "x.a.example.com",
    "evilexample.com",
    "host.internal",
];
const PORTS: [u16; 6] = [53, 80, 443, 8_000, 8_005, 7_700];

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Host {
    Name(&'static str),
    Below(&'static str),
    /// Text, first address, last address, the class it names, whether it is a single address.
    Net(&'static str, &'static str, &'static str, &'static str, bool),
    Class(&'static str),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Model {
    host: Host,
    ports: &'static str,
}

impl Model {
    fn text(&self) -> String {
        let host = match &self.host {
            Host::Name(name) => (*name).to_owned(),
            Host::Below(parent) => format!("*.{parent}"),
            Host::Net(text, ..) => (*text).to_owned(),
            Host::Class(class) => (*class).to_owned(),
        };
        format!("{host}:{}", self.ports)
    }

    fn has_port(&self, port: u16) -> bool {
        match self.ports {
            "*" => true,
            "8000-8010" => (8_000..=8_010).contains(&port),
            "80,443" => port == 80 || port == 443,
            one => one.parse() == Ok(port),
        }
    }

    fn has_name(&self, name: &str) -> bool {
        match &self.host {
            Host::Name(own) => *own == name,
            Host::Below(parent) => {
                name.len() > parent.len() && name.ends_with(&format!(".{parent}"))
            }
            _ => false,
        }
    }

    fn has_address(&self, text: &str) -> bool {
        let Host::Net(_, first, last, ..) = &self.host else {
            return false;
        };
        let (address, first, last) = (ip(text), ip(first), ip(last));
        address.is_ipv4() == first.is_ipv4() && first <= address && address <= last
    }

    /// As an allow.
    fn allows(&self, address: &Address, port: u16, reading: Option<&str>) -> bool {
        if !self.has_port(port) {
            return false;
        }
        match &self.host {
            Host::Class(class) => *class == address.class,
            Host::Net(.., class, single) => {
                self.has_address(address.canonical)
                    && (*class == address.class || (*single && address.class == "loopback"))
            }
            _ => reading.is_some_and(|name| {
                let means = if name == "host.internal" {
                    "host"
                } else {
                    "public"
                };
                self.has_name(name) && address.class == means
            }),
        }
    }

    /// As a forbid or an ask.
    fn catches(&self, address: &Address, port: u16, reading: Option<&str>) -> bool {
        self.has_port(port)
            && (self.has_address(address.canonical)
                || self.has_address(address.text)
                || self.host == Host::Class(address.class)
                || (self.host == Host::Name("host.internal") && address.class == "host")
                || reading.is_some_and(|name| self.has_name(name)))
    }
}

#[derive(Clone, Debug)]
struct World {
    asked: Vec<Model>,
    given: Vec<Model>,
    forbid: Vec<Model>,
    ask: Vec<Model>,
    allow: Vec<Model>,
    forbid_all: bool,
    /// Which of the operator's lists are in `/etc`, and for whom each is.
    spread: [(bool, Whom); 3],
    /// Whether the app's publisher is known. Rules for a publisher change nothing where not.
    signed: bool,
    /// Rules for other publishers: they change nothing.
    others: Vec<Model>,
    consent: bool,
    /// What a person said to each of the rules asked for.
    answers: [Option<bool>; 4],
    bindings: Vec<(usize, &'static str, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whom {
    Everyone,
    App,
    /// Of an app that is not signed: the app.
    Publisher,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Allowed,
    Forbidden,
    Refused,
}

impl World {
    /// Of the rules asked for, those a person has said yes (or no) to.
    fn answered(&self, yes: bool) -> Vec<Model> {
        self.asked
            .iter()
            .zip(self.answers)
            .filter(|(_, answer)| *answer == Some(yes))
            .map(|(rule, _)| rule.clone())
            .collect()
    }

    /// Step by step as the head of `judge.rs` has it.
    fn connect(
        &self,
        now: u64,
        address: &Address,
        port: u16,
        named: Option<&'static str>,
    ) -> Answer {
        let carried = !address.direct && address.class != "public";
        if carried
            || matches!(address.class, "infrastructure" | "unspecified" | "reserved")
            || (address.class == "host" && port == 7_700)
        {
            return Answer::Refused;
        }
        let live: Vec<&str> = self
            .bindings
            .iter()
            .filter(|(at, _, until)| ADDRESSES[*at].canonical == address.canonical && *until > now)
            .map(|(_, name, _)| *name)
            .collect();
        let suspects = named.map_or_else(|| live.clone(), |name| vec![name]);
        let forbidden = |reading| {
            self.forbid
                .iter()
                .any(|rule| rule.catches(address, port, reading))
        };
        if self.forbid_all || forbidden(None) || suspects.iter().any(|name| forbidden(Some(name))) {
            return Answer::Forbidden;
        }
        let readings: Vec<Option<&str>> = match named {
            Some(name) => vec![Some(name).filter(|name| live.contains(name))],
            None => core::iter::once(None)
                .chain(live.iter().copied().map(Some))
                .collect(),
        };
        let any = |rules: &[Model], reading: Option<&str>| {
            rules.iter().any(|rule| rule.allows(address, port, reading))
        };
        // As with a forbid: by its address, by the name it is said to have, or by any it is known by.
        let suspected = |rules: &dyn Fn(Option<&str>) -> bool| {
            rules(None) || suspects.iter().any(|name| rules(Some(name)))
        };
        let asks = suspected(&|reading| {
            let mut ask = self.ask.iter();
            ask.any(|rule| rule.catches(address, port, reading))
        });
        // A no about a target holds against a yes; what is said for this run holds against both.
        let declined = suspected(&|reading| any(&self.answered(false), reading));
        let consent = |reading| self.consent || (any(&self.answered(true), reading) && !declined);
        let allowed = readings.into_iter().any(|reading| {
            let metadata = address.class == "metadata";
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
            Answer::Allowed
        } else {
            Answer::Refused
        }
    }

    /// A name may be looked up if at some port some address it may have could be connected to.
    fn resolve(&self, name: &str) -> bool {
        let means = if name == "host.internal" {
            "host"
        } else {
            "public"
        };
        [1, 53, 80, 443, 444, 8_000, 8_005, 8_010, 9_999]
            .into_iter()
            .any(|port| {
                let at_port = |rule: &&Model| rule.has_port(port);
                let caught = |rules: &[Model]| {
                    rules
                        .iter()
                        .filter(at_port)
                        .any(|rule| rule.has_name(name) || rule.host == Host::Class(means))
                };
                let named =
                    |rules: &[Model]| rules.iter().filter(at_port).any(|rule| rule.has_name(name));
                let could = |rules: &[Model]| {
                    rules.iter().filter(at_port).any(|rule| {
                        rule.has_name(name)
                            || rule.host == Host::Class(means)
                            || (means == "public"
                                && matches!(rule.host, Host::Net(.., "public", _)))
                    })
                };
                let consent =
                    self.consent || (named(&self.answered(true)) && !named(&self.answered(false)));
                if self.forbid_all || caught(&self.forbid) {
                    return false;
                }
                named(&self.given)
                    || (named(&self.asked)
                        && if caught(&self.ask) {
                            consent
                        } else {
                            could(&self.allow) || consent
                        })
            })
    }

    fn answers(&self) -> Vec<nexus_policy::Answer> {
        let answer = |rule: &Model, via, yes| nexus_policy::Answer {
            id: format!("{}-{yes}", rule.text()),
            capability: via,
            rule: Rule::parse(via, &rule.text()).unwrap(),
            yes,
            lifetime: nexus_policy::Lifetime::Once,
            expires: None,
            by: nexus_policy::AnsweredBy::Script,
        };
        [true, false]
            .into_iter()
            .flat_map(|yes| self.answered(yes).into_iter().map(move |rule| (rule, yes)))
            .flat_map(|(rule, yes)| [TCP, UDP].map(|via| answer(&rule, via, yes)))
            .collect()
    }

    /// The gate with the app behind it, and whether the report at load called the capability granted.
    fn gate(&self) -> (Gate, bool) {
        let list = |rules: &[Model]| {
            rules
                .iter()
                .map(|r| format!("\"{}\"", r.text()))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut manifest = "[app]\nid = \"m\"\n".to_owned();
        if !self.asked.is_empty() {
            for capability in CAPABILITIES {
                let _ = write!(
                    manifest,
                    "[capabilities.\"{capability}\"]\nallow = [{}]\n",
                    list(&self.asked)
                );
            }
        }
        let mut files = [String::new(), String::new()];
        let lists = [
            ("forbid", &self.forbid),
            ("ask", &self.ask),
            ("allow", &self.allow),
        ];
        for ((verdict, rules), (machine, whom)) in lists.into_iter().zip(self.spread) {
            if rules.is_empty() {
                continue;
            }
            let app = match whom {
                Whom::Everyone => String::new(),
                Whom::Publisher if self.signed => {
                    format!("app = {{ publisher = \"{}\" }}\n", common::publisher(1))
                }
                _ => format!("app = {{ digest = \"{}\" }}\n", common::digest()),
            };
            for capability in CAPABILITIES {
                let _ = write!(
                    files[usize::from(!machine)],
                    "[[rule]]\nid = \"{verdict}-{capability}\"\n{app}capability = \"{capability}\"\nverdict = \"{verdict}\"\nto = [{}]\n",
                    list(rules)
                );
            }
        }
        if self.forbid_all {
            for capability in CAPABILITIES {
                files[0] += &format!(
                    "[[rule]]\nid = \"all-{capability}\"\ncapability = \"{capability}\"\nverdict = \"forbid\"\n"
                );
            }
        }
        // Rules for another app change nothing.
        files[1] += &format!(
            "[[rule]]\nid = \"other\"\napp = {{ digest = \"sha256:{}\" }}\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\n",
            "00".repeat(32)
        );
        // Nor do rules for another publisher; or for anyone, where the app is signed by none.
        let stranger = common::publisher(if self.signed { 2 } else { 1 });
        for verdict in ["forbid", "ask", "allow"] {
            if !self.others.is_empty() {
                files[1] += &format!(
                    "[[rule]]\nid = \"other-{verdict}\"\napp = {{ publisher = \"{stranger}\" }}\ncapability = \"network.tcp.connect\"\nverdict = \"{verdict}\"\nto = [{}]\n",
                    list(&self.others)
                );
            }
        }
        let [machine, operator] =
            files.map(|text| Policy::parse(&text, "p").unwrap_or_else(|e| panic!("{text}\n{e}")));
        let mut gate = Gate::new(topology());
        gate.set_policies(Instant::ZERO, WALL, machine, operator);
        let consent = Consent {
            allow_manifest: self.consent,
            answers: self.answers(),
            allow: self
                .given
                .iter()
                .flat_map(|rule| {
                    [TCP, UDP].map(|via| (via, Rule::parse(via, &rule.text()).unwrap()))
                })
                .collect(),
        };
        let manifest =
            Manifest::parse(&manifest, "m").unwrap_or_else(|e| panic!("{manifest}\n{e}"));
        let app = nexus_policy::AppIdentity {
            publisher: self.signed.then(|| common::publisher(1)),
            ..identity()
        };
        let report = gate
            .admit(Instant::ZERO, APP, app, manifest, consent, &[])
            .unwrap();
        for (at, name, until) in &self.bindings {
            gate.bind_answer(
                Instant::ZERO,
                APP,
                &common::name(name),
                &[ip(ADDRESSES[*at].text)],
                Instant::from_secs(*until),
            );
        }
        assert_eq!(report.is_granted(TCP), report.is_granted(UDP));
        (gate, report.is_granted(TCP))
    }
}

fn models(most: usize) -> impl Strategy<Value = Vec<Model>> {
    let host = prop_oneof![
        3 => select(&NAMES[..]).prop_map(Host::Name),
        2 => select(&["example.com", "a.example.com"][..]).prop_map(Host::Below),
        2 => select(&["public", "lan", "link-local", "loopback", "multicast", "metadata"][..]).prop_map(Host::Class),
        4 => select(&[
            Host::Net("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "public", false),
            Host::Net("[::/0]", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "public", false),
            Host::Net("93.184.216.0/24", "93.184.216.0", "93.184.216.255", "public", false),
            Host::Net("93.184.216.34", "93.184.216.34", "93.184.216.34", "public", true),
            Host::Net("[2606:4700::/32]", "2606:4700::", "2606:4700:ffff:ffff:ffff:ffff:ffff:ffff", "public", false),
            Host::Net("10.0.0.0/8", "10.0.0.0", "10.255.255.255", "lan", false),
            Host::Net("10.1.0.0/16", "10.1.0.0", "10.1.255.255", "lan", false),
            Host::Net("10.1.2.3", "10.1.2.3", "10.1.2.3", "lan", true),
            Host::Net("10.0.2.15", "10.0.2.15", "10.0.2.15", "lan", true),
            Host::Net("10.0.2.2", "10.0.2.2", "10.0.2.2", "lan", true),
            Host::Net("169.254.0.0/16", "169.254.0.0", "169.254.255.255", "link-local", false),
            Host::Net("169.254.169.254", "169.254.169.254", "169.254.169.254", "metadata", true),
            Host::Net("127.0.0.0/8", "127.0.0.0", "127.255.255.255", "loopback", false),
            Host::Net("[fd00::/8]", "fd00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "lan", false),
        ][..]),
    ];
    let ports = select(&["*", "443", "80,443", "8000-8010", "53"][..]);
    let model = (host, ports).prop_map(|(host, ports)| Model { host, ports });
    proptest::collection::btree_set(model, 0..most).prop_map(|set| set.into_iter().collect())
}

fn worlds() -> impl Strategy<Value = World> {
    let binding = (0..ADDRESSES.len(), select(&NAMES[..]), 1_u64..20);
    let whom = select(&[Whom::Everyone, Whom::App, Whom::Publisher][..]);
    (
        (models(5), models(2), models(3), models(3), models(4)),
        proptest::bool::weighted(0.03),
        proptest::array::uniform3((any::<bool>(), whom)),
        (
            (any::<bool>(), any::<[Option<bool>; 4]>()),
            any::<bool>(),
            models(3),
        ),
        proptest::collection::vec(binding, 0..5),
    )
        .prop_map(
            |(
                (asked, given, forbid, ask, allow),
                forbid_all,
                spread,
                ((consent, answers), signed, others),
                bindings,
            )| World {
                asked,
                given,
                forbid,
                ask,
                allow,
                forbid_all,
                spread,
                signed,
                others,
                consent,
                answers,
                bindings: longest(bindings),
            },
        )
}

/// Of several answers for one address and name, the one that ends last holds.
fn longest(mut bindings: Vec<(usize, &'static str, u64)>) -> Vec<(usize, &'static str, u64)> {
    bindings.sort_by_key(|(at, name, until)| {
        (ADDRESSES[*at].canonical, *name, core::cmp::Reverse(*until))
    });
    bindings.dedup_by_key(|(at, name, _)| (ADDRESSES[*at].canonical, *name));
    bindings
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decide_answers_as_the_model_does(world in worlds(), now in 0_u64..20) {
        let (mut gate, granted) = world.gate();
        let at = Instant::from_secs(now);
        let mut any_send = false;
        for address in &ADDRESSES {
            for port in PORTS {
                for named in core::iter::once(None).chain(NAMES.into_iter().map(Some)) {
                    let host_name = named.map(name);
                    let mut remote = addr("1.1.1.1:1");
                    remote.set_ip(ip(address.text));
                    remote.set_port(port);
                    let act = Act::Connect { remote, name: host_name.as_ref() };
                    let answer = match gate.decide(at, APP, &act) {
                        Ok(_) => Answer::Allowed,
                        Err(denial) if matches!(denial.refused_by, RefusedBy::Operator { .. })
                            && denial.reason == nexus_types::Reason::OperatorDenied => Answer::Forbidden,
                        Err(_) => Answer::Refused,
                    };
                    // What the report called not granted is granted nowhere.
                    prop_assert!(granted || answer != Answer::Allowed, "{:?} {:?}", act, world);
                    prop_assert_eq!(answer, world.connect(now, address, port, named), "{:?} {:?}", act, world);
                    let send = Act::UdpSend { remote, name: host_name.as_ref() };
                    any_send |= gate.decide(at, APP, &send).is_ok();
                }
            }
        }
        // A socket that may send opens, and what the report calls granted may be opened.
        let opens = gate.decide(at, APP, &Act::UdpOpen).is_ok();
        prop_assert_eq!(opens, granted, "{:?}", world);
        prop_assert!(opens || !any_send, "{:?}", world);
        for text in NAMES {
            let host = name(text);
            let allowed = gate.decide(at, APP, &Act::Resolve { name: &host, via: TCP }).is_ok();
            prop_assert!(granted || !allowed, "{} {:?}", text, world);
            prop_assert_eq!(allowed, world.resolve(text), "{} {:?}", text, world);
        }
    }
}
