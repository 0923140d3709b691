//! `--mode observe` and `learn`: what is missing is told and let pass, what is written is kept to.

mod common;

use common::{APP, Setup, addr, answer, connect, connect_by, identity, name};
use nexus_policy::{Act, Capability, Gate, Mode};
use nexus_types::Instant;

const CONNECT: &str = "network.tcp.connect";
const TO: &str = "93.184.216.34:443";

fn passes(gate: &mut Gate, act: &Act<'_>) -> Option<&'static str> {
    let allowed = gate.decide(Instant::ZERO, APP, act).is_ok();
    let told = gate.poll_observed().map(|denial| denial.reason.as_str());
    assert_eq!(
        told.is_some(),
        allowed,
        "what passes is told, what does not is refused"
    );
    told
}

/// Goal: each kind of missing grant passes, and is told with the reason it would be refused for.
#[test]
fn what_is_missing_passes_and_is_told() {
    let host = name("api.example.com");
    let resolve = Act::Resolve {
        name: &host,
        via: Capability::NetworkTcpConnect,
    };
    let listen = Act::Listen {
        local: addr("0.0.0.0:80"),
    };
    let mut nothing_asked = Setup::default().mode(Mode::Observe).gate();
    assert_eq!(
        passes(&mut nothing_asked, &connect(TO)),
        Some("not-granted")
    );
    assert_eq!(passes(&mut nothing_asked, &resolve), Some("not-granted"));
    assert_eq!(passes(&mut nothing_asked, &listen), Some("not-granted"));
    assert_eq!(
        passes(&mut nothing_asked, &Act::UdpOpen),
        Some("not-granted")
    );
    let mut other_asked = Setup::connect(&["10.0.0.0/8:80"])
        .mode(Mode::Observe)
        .gate();
    assert_eq!(
        passes(&mut other_asked, &connect(TO)),
        Some("not-permitted")
    );
    assert_eq!(
        passes(&mut other_asked, &connect("10.1.2.3:80")),
        Some("consent-required")
    );
    assert_eq!(
        passes(&mut other_asked, &connect("192.168.1.1:80")),
        Some("blocked-range")
    );
}

/// Goal: an import nobody granted is linked, and named in the report. Method: admission of one.
#[test]
fn an_import_that_is_missing_is_there_and_named() {
    let setup = Setup::default()
        .import("nexus:net/tcp-connect@0.1.0", &["connect"])
        .mode(Mode::Learn);
    let gate = setup.empty_gate();
    let report = gate.examine(
        Instant::ZERO,
        &identity(),
        &setup.manifest(),
        &setup.consent(),
        &setup.imports,
    );
    assert!(report.admitted);
    assert_eq!(report.observed.len(), 1);
    assert_eq!(report.observed[0].reason, "not-granted");
}

/// Goal: an optional import that nobody granted is the real thing, unless somebody said no: a run would else
/// show nothing of what the app would do with it. Method: the same manifest in each mode, and under a forbid.
#[test]
fn an_optional_import_is_there_and_no_stub() {
    use nexus_policy::admission::Provided;
    let mut asked = Setup::connect(&[TO]).import("nexus:net/tcp-connect@0.1.0", &["connect"]);
    asked.manifest += "optional = true\n";
    let examine = |setup: Setup| {
        let consent = setup.consent();
        let gate = setup.empty_gate();
        gate.examine(
            Instant::ZERO,
            &identity(),
            &setup.manifest(),
            &consent,
            &setup.imports,
        )
    };
    for (mode, provided) in [
        (Mode::Enforce, Provided::Stub),
        (Mode::Observe, Provided::Granted),
        (Mode::Learn, Provided::Granted),
    ] {
        let report = examine(asked.clone().mode(mode));
        assert_eq!(report.imports[0].provided, provided);
        assert_eq!(
            report.notes.iter().any(|note| note.contains("`denied`")),
            mode == Mode::Enforce
        );
        let forbidden = asked.clone().mode(mode).operator("forbid", CONNECT, &[]);
        assert_eq!(examine(forbidden).imports[0].provided, Provided::Stub);
    }
}

/// Goal: a mode never reaches past a forbid, a no, the host's own or a metadata service, and opens no folder.
#[test]
fn reject_past_what_is_written() {
    let observe = |setup: Setup| setup.mode(Mode::Observe).gate();
    let denied = |gate: &mut Gate, act: &Act<'_>| {
        let reason = gate.decide(Instant::ZERO, APP, act).unwrap_err().reason;
        assert!(gate.poll_observed().is_none());
        reason.as_str()
    };
    let mut forbids =
        observe(Setup::default().operator("forbid", CONNECT, &[TO, "bad.example:443"]));
    assert_eq!(denied(&mut forbids, &connect(TO)), "operator-denied");
    let bad = name("bad.example");
    assert_eq!(
        denied(&mut forbids, &connect_by(&bad, "93.184.216.35:443")),
        "operator-denied"
    );
    let via = Capability::NetworkTcpConnect;
    // At other ports the name is not forbidden, so it may be looked up.
    assert!(passes(&mut forbids, &Act::Resolve { name: &bad, via }).is_some());
    let mut all = observe(Setup::default().operator("forbid", CONNECT, &["bad.example:*"]));
    assert_eq!(
        denied(&mut all, &Act::Resolve { name: &bad, via }),
        "operator-denied"
    );
    let mut whole =
        observe(Setup::connect(&["bad.example:1-65535"]).operator("forbid", CONNECT, &[]));
    assert_eq!(
        denied(&mut whole, &Act::Resolve { name: &bad, via }),
        "operator-denied"
    );
    let mut declined = observe(Setup::connect(&[TO]).said(false, TO));
    assert_eq!(denied(&mut declined, &connect(TO)), "consent-denied");
    let mut gate = observe(Setup::default());
    assert_eq!(denied(&mut gate, &connect("10.0.2.3:53")), "blocked-range");
    assert_eq!(
        denied(&mut gate, &connect("10.0.2.2:7700")),
        "host-owned-port"
    );
    assert_eq!(
        denied(&mut gate, &connect("169.254.169.254:80")),
        "not-granted"
    );
    let mode = nexus_policy::wasi::DirectoryMode::Ro;
    let path = "/srv";
    assert_eq!(
        denied(&mut gate, &Act::OpenDirectory { path, mode }),
        "not-granted"
    );
    assert_eq!(
        denied(&mut gate, &Act::SetVariable { name: "LANG" }),
        "not-granted"
    );
}

/// Goal: what is open ends under observe only for what is written.
#[test]
fn what_is_open_is_judged_again_as_it_was_let_pass() {
    let mut gate = Setup::default().mode(Mode::Observe).gate();
    let stamp = gate
        .decide(Instant::ZERO, APP, &connect(TO))
        .unwrap()
        .stamp();
    let policy = |text: &str| nexus_policy::Policy::parse(text, "policy.toml").unwrap();
    let none = nexus_policy::Policy::none;
    gate.set_policies(Instant::ZERO, common::WALL, none(), policy(""));
    assert!(gate.judge_again(Instant::ZERO, stamp, &connect(TO)).is_ok());
    let forbid = common::rule("f", "forbid", CONNECT, &[TO]);
    gate.set_policies(Instant::ZERO, common::WALL, none(), policy(&forbid));
    assert!(
        gate.judge_again(Instant::ZERO, stamp, &connect(TO))
            .is_err()
    );
}

/// Goal: the manifest learnt is exactly what the run used: it allows all of it in `enforce`, and each of its rules
/// was used. Method: acts of each kind, then the manifest read back and the acts judged by it.
#[test]
fn a_manifest_is_learnt_that_allows_what_was_used() {
    let api = name("api.example.com");
    let only_looked_up = name("b.example");
    let via = Capability::NetworkTcpConnect;
    let acts = |gate: &mut Gate| {
        let acts = [
            Act::Resolve { name: &api, via },
            connect_by(&api, TO),
            Act::Resolve {
                name: &only_looked_up,
                via,
            },
            connect("10.1.2.3:80"),
            Act::Listen {
                local: addr("0.0.0.0:80"),
            },
            Act::Accept {
                local: addr("10.0.2.15:80"),
                remote: addr("10.1.2.3:9"),
            },
            Act::UdpSend {
                remote: addr("[2606:4700::1]:53"),
                name: None,
            },
        ];
        answer(gate, &api, "93.184.216.34", 60);
        acts.map(|act| {
            gate.decide(Instant::ZERO, APP, &act)
                .map(|_| ())
                .map_err(|d| d.reason)
        })
    };
    let mut gate = Setup::default().mode(Mode::Learn).gate();
    assert!(acts(&mut gate).iter().all(Result::is_ok));
    let text = gate.learnt().manifest(
        "com.example.weather",
        None,
        &[Capability::NetworkUdpBind],
        "",
    );
    for rule in [
        "api.example.com:443",
        "b.example:443",
        "10.1.2.3:80",
        "any:80",
        "[2606:4700::1]:53",
    ] {
        assert!(text.contains(&format!("\"{rule}\"")), "{text}");
    }
    assert_eq!(text.matches("  \"").count(), 5, "{text}");
    assert!(text.contains("class = \"system\""));
    assert!(
        text.contains("[capabilities.\"network.udp.bind\"]\noptional = true"),
        "{text}"
    );
    assert_eq!(gate.learnt().left_out(), 0);
    let enforced = Setup {
        manifest: text,
        ..Setup::default()
    }
    .yes()
    .operator("allow", "network.tcp.listen", &["any:80"]);
    assert!(acts(&mut enforced.gate()).iter().all(Result::is_ok));
}

/// Goal: what an address that a name was looked up to needs is the name.
#[test]
fn a_connection_to_an_answer_is_learnt_by_its_name() {
    let mut gate = Setup::default().mode(Mode::Learn).gate();
    let host = name("host.internal");
    answer(&mut gate, &host, "10.0.2.2", 60);
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:8000"))
            .is_ok()
    );
    let rules = gate.learnt().rules(Capability::NetworkTcpConnect);
    assert_eq!(
        rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["host.internal:8000"]
    );
}

/// Goal: an app that tries everything fills nothing. Method: one more than the bound.
#[test]
fn rules_are_learnt_up_to_the_bound() {
    let mut gate = Setup::default().mode(Mode::Learn).gate();
    let most = nexus_types::limits::RULES_PER_CAPABILITY as usize;
    let mut remote = addr("93.184.216.34:1");
    for port in 1..=most + 1 {
        remote.set_port(u16::try_from(port).unwrap());
        let act = Act::Connect { remote, name: None };
        assert!(gate.decide(Instant::ZERO, APP, &act).is_ok());
        let kept = gate.learnt().rules(Capability::NetworkTcpConnect).len();
        assert_eq!(kept, port.min(most));
        assert_eq!(gate.learnt().left_out(), u64::from(port > most));
    }
}

/// Goal: an answer to who wrote first passes no forbid, though the binding it needs is missing and let pass; nor does
/// one to a metadata service. Method: the manifest asks for nothing; a forbid of all of it but one port.
#[test]
fn reject_answers_past_what_is_written() {
    let answer_to = |text: &str| Act::UdpAnswer { remote: addr(text) };
    let mut forbids = Setup::default()
        .operator("forbid", "network.udp.send", &["0.0.0.0/0:1-60000"])
        .mode(Mode::Observe)
        .gate();
    let mut reason = |remote: &str| {
        let decided = forbids.decide(Instant::ZERO, APP, &answer_to(remote));
        decided.map_err(|denial| denial.reason.as_str()).err()
    };
    assert_eq!(reason("93.184.216.34:443"), Some("operator-denied"));
    assert_eq!(reason("169.254.169.254:60001"), Some("not-granted"));
    assert_eq!(reason("93.184.216.34:60001"), None);
}

/// Goal: who answers for a name chooses neither where a run under a mode goes nor what is learnt of it. Method: a name
/// that leads to the internet and to private addresses, asked for and not.
#[test]
fn a_name_leads_under_a_mode_where_it_leads_without() {
    let host = name("app.example");
    let lead = ["10.66.0.1:80", "8.8.4.4:80", "192.168.77.1:80"];
    for (asked, observed) in [("app.example:80", 0), ("other.example:80", 1)] {
        let mut setup = Setup::connect(&[asked]).mode(Mode::Learn);
        setup.allow_manifest = true;
        let mut gate = setup.gate();
        for remote in lead {
            let (address, _) = remote.split_once(':').unwrap();
            answer(&mut gate, &host, address, 60);
        }
        let acts = lead.map(|remote| connect_by(&host, remote));
        let permits = gate.decide_some(Instant::ZERO, APP, acts).unwrap();
        assert_eq!(permits.len(), 1);
        let told: Vec<_> = std::iter::from_fn(|| gate.poll_observed()).collect();
        assert_eq!(told.len(), observed);
        let learnt = gate.learnt().rules(Capability::NetworkTcpConnect);
        let learnt: Vec<_> = learnt.iter().map(ToString::to_string).collect();
        assert_eq!(learnt, ["app.example:80"]);
    }
    // Where it leads to nothing else, that is what the run needs.
    let mut gate = Setup::default().mode(Mode::Learn).gate();
    answer(&mut gate, &host, "10.66.0.1", 60);
    let acts = [connect_by(&host, "10.66.0.1:80")];
    assert_eq!(gate.decide_some(Instant::ZERO, APP, acts).unwrap().len(), 1);
}
