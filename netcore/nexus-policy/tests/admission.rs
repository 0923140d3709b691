//! The report before anything runs: what stands, how far, and by whose word.

mod common;

use common::{APP, Setup, connect, identity, import, rule};
use nexus_policy::admission::{IMPORTS_MAX, Provided, Standing};
use nexus_policy::{Admission, Capability, Class};
use nexus_types::Instant;

const CONNECT: &str = "network.tcp.connect";
const LISTEN: &str = "network.tcp.listen";

fn examine(setup: &Setup) -> Admission {
    setup.empty_gate().examine(
        Instant::ZERO,
        &identity(),
        &setup.manifest(),
        &setup.consent(),
        &setup.imports,
    )
}

fn needs_connect(setup: Setup) -> Setup {
    setup.import("nexus:net/tcp-connect@0.1.0", &["connect"])
}

/// Standing and word of each rule of the only capability.
fn rules(report: &Admission) -> Vec<(String, Standing, String)> {
    report.capabilities[0]
        .rules
        .iter()
        .map(|r| (r.rule.clone(), r.standing, r.by.clone()))
        .collect()
}

#[test]
fn an_app_that_asks_for_nothing_has_base_wasi() {
    let app = Setup::default()
        .import("wasi:cli/stdout@0.2.6", &["get-stdout"])
        .import("wasi:filesystem/preopens@0.3.0", &["get-directories"])
        .import("nexus:error/types@0.1.0", &[]);
    let report = examine(&app);
    assert!(
        report.admitted && report.capabilities.is_empty() && report.notes.is_empty(),
        "{report:?}"
    );
    assert!(
        report
            .imports
            .iter()
            .all(|import| import.provided == Provided::Base)
    );
    assert_eq!((report.manifest, report.digest), (None, common::digest()));
}

#[test]
fn each_rule_stands_by_somebodys_word() {
    let app = needs_connect(Setup::connect(&[
        "api.example.com:443",
        "10.0.0.0/8:80",
        "public:1-100",
    ]))
    .operator("allow", CONNECT, &["*.example.com:443", "public:53"])
    .operator("ask", CONNECT, &["10.1.0.0/16:*"]);
    let report = examine(&app);
    assert!(report.admitted);
    assert_eq!(report.capabilities[0].standing, Standing::Narrowed);
    assert_eq!(
        rules(&report),
        [
            (
                "api.example.com:443".to_owned(),
                Standing::Granted,
                "policy.toml:1 (rule-0)".to_owned()
            ),
            (
                "10.0.0.0/8:80".to_owned(),
                Standing::ConsentRequired,
                "policy.toml:7 (rule-1)".to_owned()
            ),
            (
                "public:1-100".to_owned(),
                Standing::Narrowed,
                "policy.toml:1 (rule-0)".to_owned()
            ),
        ]
    );
    assert_eq!(
        report.notes,
        [
            "network.tcp.connect: 10.0.0.0/8:80 is not granted (by policy.toml:7 (rule-1))",
            "network.tcp.connect: public:1-100 is granted in part (by policy.toml:1 (rule-0))",
        ]
    );
    let report = examine(&app.yes());
    assert_eq!(report.capabilities[0].standing, Standing::Granted);
    assert_eq!(rules(&report)[2].2, "--allow-manifest");
}

#[test]
fn what_allow_covers_is_granted_by_it_and_noted_nowhere() {
    let app = needs_connect(Setup::connect(&[
        "api.example.com:443",
        "api.example.com:80",
    ]));
    let report = examine(&app.clone().allow("network.tcp.connect=*.example.com:443"));
    assert_eq!(rules(&report)[0].1, Standing::Granted);
    assert_eq!(rules(&report)[0].2, "--allow");
    assert_eq!(
        report.notes,
        ["network.tcp.connect: api.example.com:80 is not granted (by default)"]
    );
    let report = examine(&app.allow("network.tcp.connect=api.example.com:*"));
    assert_eq!(report.capabilities[0].standing, Standing::Granted);
    assert_eq!(report.notes, [""; 0]);
}

#[test]
fn what_was_said_at_load_is_what_decide_does() {
    let app = needs_connect(Setup::connect(&["public:443"])).operator(
        "allow",
        CONNECT,
        &["93.184.216.0/24:443"],
    );
    assert!(examine(&app).is_granted(Capability::NetworkTcpConnect));
    assert_eq!(app.reason(&connect("93.184.216.34:443")), "allowed");
    assert_eq!(app.reason(&connect("8.8.8.8:443")), "consent-required");
    let forbidden = app.machine("forbid", CONNECT, &["public:*"]);
    let report = examine(&forbidden);
    assert_eq!(
        (report.admitted, report.capabilities[0].standing),
        (false, Standing::OperatorDenied)
    );
    // A report is no admission.
    let mut gate = forbidden.empty_gate();
    gate.admit(
        Instant::ZERO,
        APP,
        identity(),
        forbidden.manifest(),
        forbidden.consent(),
        &forbidden.imports,
    )
    .unwrap_err();
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &connect("93.184.216.34:443"))
            .unwrap_err()
            .reason
            .as_str(),
        "not-granted"
    );
}

#[test]
fn system_class_wants_the_operator_or_the_command_line() {
    let app = Setup::asks("system", &[(LISTEN, &["any:7777"])])
        .import("nexus:net/tcp-listen@0.1.0", &["listen"]);
    let report = examine(&app.clone().yes());
    assert_eq!(
        (report.admitted, report.capabilities[0].standing),
        (false, Standing::OperatorDenied)
    );
    assert_eq!(report.capabilities[0].class, Class::System);
    assert!(examine(&app.clone().operator("allow", LISTEN, &["any:7777"])).admitted);
    let report = examine(&app.clone().allow("network.tcp.listen=any:7777"));
    assert!(report.admitted);
    assert_eq!(
        rules(&report)[1],
        (
            "any:7777".to_owned(),
            Standing::Granted,
            "--allow".to_owned()
        )
    );
    assert!(
        !examine(
            &app.clone()
                .operator("forbid", LISTEN, &[])
                .allow("network.tcp.listen=any:7777")
        )
        .admitted
    );
    // An operator who wrote ask has left it to a person.
    let asks = app.operator("ask", LISTEN, &[]);
    assert_eq!(
        examine(&asks).capabilities[0].standing,
        Standing::ConsentRequired
    );
    assert!(examine(&asks.yes()).admitted);
}

#[test]
fn without_a_manifest_the_command_line_is_enough() {
    let app = needs_connect(Setup::default()).allow("network.tcp.connect=host.internal:8000");
    let report = examine(&app);
    assert!(report.admitted && report.is_granted(Capability::NetworkTcpConnect));
}

/// What a program of `std::net` that only connects imports.
fn sockets(setup: Setup) -> Setup {
    setup
        .import(
            "wasi:sockets/tcp@0.2.6",
            &[
                "[method]tcp-socket.start-bind",
                "[method]tcp-socket.start-connect",
            ],
        )
        .import("wasi:sockets/network@0.2.6", &[])
}

#[test]
fn sockets_of_wasi_are_there_where_one_of_their_capabilities_is() {
    let report = examine(&sockets(Setup::connect(&["public:*"]).yes()));
    assert!(report.admitted);
    for import in &report.imports {
        assert_eq!(import.provided, Provided::Granted, "{}", import.import);
        assert_eq!(import.capabilities.len(), 4);
    }
}

/// Goal: what is asked for is missed as with any import, once, though several imports stand for it. Method: a manifest
/// that nobody has said yes to; one whose capability is optional.
#[test]
fn reject_sockets_of_wasi_until_somebody_says_yes() {
    let report = examine(&sockets(Setup::connect(&["public:*"])));
    assert!(!report.admitted);
    let [missing] = &report.missing[..] else {
        panic!("{:?}", report.missing)
    };
    assert_eq!(missing.reason, "consent-required");
    assert_eq!(missing.what, "wasi:sockets/{tcp,network}@0.2.6");
    assert_eq!(missing.needs, [Capability::NetworkTcpConnect]);
    assert!(
        report
            .imports
            .iter()
            .all(|i| i.provided == Provided::Missing)
    );
}

/// Goal: without a manifest the report says what the imports could mean, and no more. Method: a program that only
/// connects; one that names nothing it does.
#[test]
fn reject_sockets_of_wasi_that_nobody_asked_for() {
    let report = examine(&sockets(Setup::default()));
    let [missing] = &report.missing[..] else {
        panic!("{:?}", report.missing)
    };
    assert_eq!(missing.reason, "not-granted");
    assert_eq!(missing.needs, [Capability::NetworkTcpConnect]);
    let import = "wasi:sockets/types@0.3.0";
    let bare = Setup::default().import(import, &["[static]udp-socket.create"]);
    assert_eq!(examine(&bare).missing[0].needs.len(), 4);
}

#[test]
fn optional_sockets_of_wasi_are_a_stub() {
    let manifest = "[app]\nid = \"t\"\n\
                    [capabilities.\"network.tcp.connect\"]\noptional = true\nallow = [\"public:443\"]\n";
    let report = examine(&sockets(Setup {
        manifest: manifest.to_owned(),
        ..Setup::default()
    }));
    assert!(report.admitted);
    assert!(report.imports.iter().all(|i| i.provided == Provided::Stub));
}

#[test]
fn what_is_asked_for_and_not_imported_is_noted() {
    let app = Setup::connect(&["public:443"])
        .yes()
        .import("wasi:cli/exit@0.2.6", &["exit"]);
    let report = examine(&app);
    assert!(report.admitted);
    assert_eq!(
        report.notes,
        ["network.tcp.connect: the manifest asks for it, and the app does not import it"]
    );
}

#[test]
fn imports_at_and_over_the_limit() {
    let imports = |count: usize| Setup {
        imports: (0..count)
            .map(|_| import("wasi:cli/exit@0.2.6", &["exit"]))
            .collect(),
        ..Setup::default()
    };
    assert!(examine(&imports(IMPORTS_MAX)).admitted);
    let report = examine(&imports(IMPORTS_MAX + 1));
    assert_eq!(
        (
            report.admitted,
            report.missing[0].reason,
            report.imports.len()
        ),
        (false, "too-many-imports", IMPORTS_MAX)
    );
}

/// Goal: what an app imports does not decide how long the refusal is. Method: as many functions as are named, one more,
/// and tens of thousands; then more imports than are named.
#[test]
fn reject_without_naming_more_than_anybody_reads() {
    let refused = |imports: usize, functions: usize| {
        let names: Vec<_> = (0..functions)
            .map(|n| format!("{}-{n}", "f".repeat(200)))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let app = Setup {
            imports: (0..imports)
                .map(|n| import(&format!("evil:a/b{n}@0.1.0"), &names))
                .collect(),
            ..Setup::default()
        };
        examine(&app).text()
    };
    let text = refused(1, 16);
    assert!(text.contains("-15)") && !text.contains("more)"), "{text}");
    let text = refused(1, 17);
    assert!(text.contains("-15 and 1 more)"), "{text}");
    let text = refused(1, 90_000);
    assert!(
        text.contains(" and 89984 more)") && text.len() < 8_000,
        "{}",
        text.len()
    );
    let text = refused(64, 1);
    assert!(
        text.contains("64 things are missing") && !text.contains("  and "),
        "{text}"
    );
    let text = refused(66, 1);
    assert!(
        text.contains("66 things are missing") && text.contains("\n\n  and 2 more\n"),
        "{text}"
    );
}

#[test]
fn an_expired_allow_is_none_at_load() {
    let mut app = needs_connect(Setup::connect(&["public:443"]));
    app.operator =
        rule("past", "allow", CONNECT, &["public:443"]) + "expires = \"2020-01-01T00:00:00Z\"\n";
    assert_eq!(
        examine(&app).capabilities[0].standing,
        Standing::ConsentRequired
    );
}

/// Each was found by the reference model: the report said less than `decide` did.
#[test]
fn the_report_knows_what_decide_knows() {
    let granted = |app: &Setup| {
        app.gate()
            .examine(
                Instant::ZERO,
                &identity(),
                &app.manifest(),
                &app.consent(),
                &[],
            )
            .is_granted(Capability::NetworkTcpConnect)
    };
    // An operator's ask that names the metadata service, answered.
    let app = Setup::connect(&["metadata:80"])
        .operator("ask", CONNECT, &["metadata:80"])
        .yes();
    assert!(granted(&app));
    assert_eq!(app.reason(&connect("169.254.169.254:80")), "allowed");
    // The node's own address is of class loopback, whatever the registries call it.
    let own = connect("10.0.2.15:80");
    let app = Setup::connect(&["loopback:80"]).operator("allow", CONNECT, &["10.0.2.15:80"]);
    assert!(granted(&app));
    assert_eq!(app.reason(&own), "allowed");
    let app = Setup::connect(&["10.0.2.15:80"])
        .operator("ask", CONNECT, &["lan:*"])
        .operator("allow", CONNECT, &["loopback:*"]);
    assert!(granted(&app));
    assert_eq!(app.reason(&own), "allowed");
}
