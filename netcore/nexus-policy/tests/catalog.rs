//! The catalog from outside: what is not built is known and never granted, and the guide says
//! the same as the code.

mod common;

use common::{APP, Setup, identity};
use nexus_policy::admission::{Provided, Standing};
use nexus_policy::capability::{Capability, Class, Status};
use nexus_types::Instant;

/// An app that asks for `capability` with every example of its rules, and has every yes there is:
/// the operator's, a person's, and the one for this run.
fn all_yes(capability: Capability, optional: bool) -> Setup {
    let rules = capability.parameter().examples();
    let mut app = Setup::asks("system", &[(capability.as_str(), rules)])
        .operator("allow", capability.as_str(), rules)
        .yes();
    if optional {
        app.manifest += "optional = true\n";
    }
    rules
        .iter()
        .fold(app, |app, rule| app.allow(&format!("{capability}={rule}")))
}

fn absent() -> impl Iterator<Item = Capability> {
    Capability::ALL
        .into_iter()
        .filter(|capability| capability.status() == Status::Absent)
}

/// Goal: no yes grants what this build does not have, and the report says that it is absent.
/// Method: for each such capability an app that asks for it and does not import it.
#[test]
fn absent_capabilities_are_said_to_be_absent_and_never_granted() {
    let mut seen = 0;
    for capability in absent() {
        let app = all_yes(capability, false);
        let report = app.empty_gate().examine(
            Instant::ZERO,
            &identity(),
            &app.manifest(),
            &app.consent(),
            &[],
        );
        assert!(report.admitted && !report.is_granted(capability));
        let [one] = &report.capabilities[..] else {
            panic!("{report:?}");
        };
        assert_eq!(
            (one.capability, one.standing),
            (capability, Standing::Absent)
        );
        assert_eq!(one.rules.len(), 2 * capability.parameter().examples().len());
        for rule in &one.rules {
            assert_eq!(
                (rule.standing, rule.by.as_str()),
                (Standing::Absent, "this build")
            );
        }
        let says = format!("{capability}: this build does not have it, and does not grant it");
        assert!(report.notes.contains(&says), "{:?}", report.notes);
        seen += 1;
    }
    assert_eq!(seen, 16, "when one is built, it leaves this list");
}

/// Goal: an app that imports what is absent does not start, also where it calls it optional: there
/// is nothing to put a stub behind. Method: each absent interface, asked for with every yes.
#[test]
fn reject_imports_of_absent_interfaces_with_every_yes() {
    for capability in absent() {
        let interface = capability.interface().expect("each has one");
        for optional in [false, true] {
            let app = all_yes(capability, optional).import(&format!("{interface}@0.1.0"), &["f"]);
            let report = app
                .empty_gate()
                .admit(
                    Instant::ZERO,
                    APP,
                    identity(),
                    app.manifest(),
                    app.consent(),
                    &app.imports,
                )
                .expect_err("it cannot start");
            assert_eq!(report.imports[0].provided, Provided::Missing);
            let [missing] = &report.missing[..] else {
                panic!("{report:?}");
            };
            assert_eq!(missing.reason, "not-in-this-build");
            assert_eq!(missing.needs, [capability]);
            assert!(missing.why.contains(capability.as_str()), "{}", missing.why);
        }
    }
}

const GUIDE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/guide/manifest-and-policy.md"
);
const BEGIN: &str = "<!-- the catalog; BLESS=1 cargo test -p nexus-policy --test catalog -->\n";
const END: &str = "<!-- end of the catalog -->\n";

fn table() -> String {
    let mut table = String::from(
        "| capability | lets an app | class | in this build | its rules name | for example |\n|---|---|---|---|---|---|\n",
    );
    for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
        let parameter = capability.parameter();
        table += &format!(
            "| `{capability}` | {} | {} | {} | {} | `{}` |\n",
            capability.about().trim_end_matches('.'),
            match capability.class() {
                Class::App => "app",
                Class::System => "system",
            },
            match capability.status() {
                Status::Built => "yes",
                Status::Absent => "no",
            },
            parameter.names(),
            parameter.examples()[0],
        );
    }
    table
}

/// Goal: the guide's table is the catalog. Method: it is written from it here, and compared.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a test reads the guide, and renews it if told to"
)]
fn the_table_of_the_guide_is_the_catalog() {
    let guide = std::fs::read_to_string(GUIDE).expect("the guide");
    let (before, rest) = guide.split_once(BEGIN).expect("where it begins");
    let (have, after) = rest.split_once(END).expect("where it ends");
    let want = table();
    if std::env::var_os("BLESS").is_some() {
        let guide = format!("{before}{BEGIN}{want}{END}{after}");
        std::fs::write(GUIDE, guide).expect("writes");
        return;
    }
    assert_eq!(
        have, want,
        "the catalog has changed; to renew the guide: BLESS=1 cargo test -p nexus-policy --test catalog"
    );
}
