//! What a decision costs with 10 and with 10,000 rules of the operator (DESIGN section 12: at
//! most twice as much, and under a microsecond).
//!
//! The rules are of all kinds: names, wildcards, networks in one another, addresses, port lists.
//! Every act is allowed, by the manifest and by the operator, which is the way that looks longest:
//! forbids and asks are looked through in vain first.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nexus_policy::{
    Act, AppIdentity, Capability, Consent, Gate, Manifest, Policy, Topology, WallTime,
};
use nexus_types::{AppDigest, HostName, InstanceId, Instant};

const APP: InstanceId = InstanceId(1);
const NOW: Instant = Instant::from_secs(1);

/// A third each of forbids, asks and allows, that none of the acts below meets, and three that allow them.
fn policy(rules: usize) -> Policy {
    let mut text = String::new();
    for number in 0..rules - 3 {
        let verdict = ["forbid", "ask", "allow"][number % 3];
        let (a, b) = (number / 250 % 100, number % 250);
        let to = match number / 3 % 5 {
            0 => format!("host{number}.example.net:443"),
            1 => format!("*.zone{number}.example.net:443,8443"),
            2 => format!("93.{a}.{b}.0/24:80"),
            3 => format!("93.{a}.{b}.7:1000-2000"),
            _ => format!("[2a00:{a:x}:{b:x}::/48]:*"),
        };
        text += &rule(number, verdict, &to);
    }
    for (number, to) in [
        "api.example.com:443",
        "*.cdn.example.com:443",
        "198.41.0.0/16:853",
    ]
    .into_iter()
    .enumerate()
    {
        text += &rule(rules + number, "allow", to);
    }
    Policy::parse(&text, "policy.toml").expect("a policy")
}

fn rule(id: usize, verdict: &str, to: &str) -> String {
    format!(
        "[[rule]]\nid = \"r{id}\"\ncapability = \"network.tcp.connect\"\nverdict = \"{verdict}\"\nto = [\"{to}\"]\n"
    )
}

fn gate(rules: usize) -> Gate {
    let manifest = "[app]\nid = \"bench\"\n[capabilities.\"network.tcp.connect\"]\n\
                    allow = [\"api.example.com:443\", \"*.cdn.example.com:443\", \"198.41.0.0/16:853\"]\n";
    let manifest = Manifest::parse(manifest, "nexus.toml").expect("a manifest");
    let mut gate = Gate::new(Topology::default());
    gate.set_policies(Instant::ZERO, WallTime(0), Policy::none(), policy(rules));
    let app = AppIdentity {
        id: "bench".to_owned(),
        digest: AppDigest([7; 32]),
        publisher: None,
    };
    gate.admit(Instant::ZERO, APP, app, manifest, Consent::default(), &[])
        .expect("admitted");
    gate
}

fn bench(c: &mut Criterion) {
    let name = |text: &str| HostName::parse(text).expect("a name");
    let (api, cdn) = (name("api.example.com"), name("eu7.static.cdn.example.com"));
    let named: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34)), 443);
    let by_address: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)), 853);
    let acts = [
        (
            "by name",
            Act::Connect {
                remote: named,
                name: Some(&api),
            },
        ),
        (
            "by bound address",
            Act::Connect {
                remote: named,
                name: None,
            },
        ),
        (
            "by network",
            Act::Connect {
                remote: by_address,
                name: None,
            },
        ),
        (
            "lookup",
            Act::Resolve {
                name: &cdn,
                via: Capability::NetworkTcpConnect,
            },
        ),
    ];
    let mut group = c.benchmark_group("decide");
    for (label, act) in acts {
        for rules in [10, 10_000] {
            let mut gate = gate(rules);
            gate.bind_answer(
                Instant::ZERO,
                APP,
                &api,
                &[named.ip()],
                Instant::from_secs(300),
            );
            assert!(gate.decide(NOW, APP, &act).is_ok(), "{label}");
            group.bench_function(BenchmarkId::new(label, rules), |b| {
                b.iter(|| black_box(gate.decide(NOW, APP, black_box(&act)).is_ok()));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = bench
}
criterion_main!(benches);
