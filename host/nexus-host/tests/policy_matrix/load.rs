//! What does not start: told everything at once, exit 77, and not one instruction of it has run.
//!
//! The app's first instruction traps, so one that had begun would end with 134.

use std::fs;
use std::process::{Command, Output, Stdio};

use nexus_policy::Capability;
use nexus_policy::capability::{Class, Status};
use nexus_policy::switch::Site;

use crate::guests;
use crate::world::{DIGEST, digest};

/// Something that is missing beside what a row is about: a report that stops at the first does not name both.
const ALSO: &str = "acme:unknown/thing@1.0.0";

/// One app, and what is given to it.
pub(crate) struct Row {
    pub(crate) name: String,
    imports: Vec<String>,
    manifest: Option<String>,
    policy: Option<String>,
    flags: Vec<&'static str>,
    /// Of the report; none: it starts, and traps.
    says: Option<Vec<String>>,
    verb: Verb,
}

/// What is to start it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Run,
    Up,
    Sim,
}

/// An app with these imports whose start traps.
fn app(imports: &[String]) -> Vec<u8> {
    let imports: String = imports
        .iter()
        .map(|name| format!("(import \"{name}\" (instance))"))
        .collect();
    let text = format!(
        r#"(component {imports}
        (core module $m
            (func $first unreachable)
            (start $first)
            (func (export "run") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $out (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $out)))"#
    );
    wat::parse_str(text).expect("wat")
}

/// A target of the capability.
fn example(capability: Capability) -> &'static str {
    let examples = capability.parameter().examples();
    examples.first().copied().unwrap_or_default()
}

fn rule(verdict: &str, capability: Capability, app: Option<u8>) -> String {
    let app = app.map(|of| format!("app = {{ digest = \"{}\" }}\n", digest(of)));
    format!(
        "[[rule]]\nid = \"the-rule\"\ncapability = \"{capability}\"\nverdict = \"{verdict}\"\nto = [\"{}\"]\n{}",
        example(capability),
        app.unwrap_or_default()
    )
}

fn asks(capability: Capability) -> String {
    format!(
        "[app]\nid = \"org.nexus.load\"\nclass = \"system\"\n[capabilities.\"{capability}\"]\nallow = [\"{}\"]\n",
        example(capability)
    )
}

/// The interface of a capability, in the version of this build.
fn import(capability: Capability) -> String {
    let interface = capability.interface().expect("it has one");
    format!("{interface}@0.1.0")
}

/// Every capability under every condition that is one at load.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    // A capability may have no interface to import.
    for capability in Capability::ALL
        .into_iter()
        .filter(|c| c.interface().is_some())
    {
        let mut row = |condition: &str,
                       manifest: Option<String>,
                       policy: Option<String>,
                       flags: &[&'static str],
                       reason: Option<&str>| {
            let import = import(capability);
            let mut imports = vec![import.clone()];
            let says = reason.map(|reason| {
                imports.push(ALSO.to_owned());
                let also = [ALSO.to_owned(), "[unknown-import]".to_owned()];
                let this = [import, capability.to_string(), format!("[{reason}]")];
                this.into_iter().chain(also).collect()
            });
            rows.push(Row {
                name: format!("{capability} x {condition}"),
                imports,
                manifest,
                policy,
                flags: flags.to_vec(),
                says,
                verb: Verb::Run,
            });
        };
        if capability.status() == Status::Absent {
            let absent = Some("not-in-this-build");
            row("absent", None, None, &[], absent);
            row(
                "absent, asked",
                Some(asks(capability)),
                None,
                &["--allow-manifest"],
                absent,
            );
            let allowed = rule("allow", capability, None);
            row(
                "absent, allowed",
                Some(asks(capability)),
                Some(allowed),
                &[],
                absent,
            );
            continue;
        }
        let unsaid = match capability.class() {
            Class::App => "consent-required",
            Class::System => "operator-denied",
        };
        let asked = || Some(asks(capability));
        row(
            "granted",
            asked(),
            Some(rule("allow", capability, None)),
            &[],
            None,
        );
        row("not asked", None, None, &[], Some("not-granted"));
        row("not granted", asked(), None, &[], Some(unsaid));
        let another = rule("allow", capability, Some(DIGEST));
        row(
            "granted to another app",
            asked(),
            Some(another),
            &[],
            Some(unsaid),
        );
        let forbidden = rule("forbid", capability, None);
        let allow = ["--allow-manifest"];
        row(
            "forbidden",
            asked(),
            Some(forbidden),
            &allow,
            Some("operator-denied"),
        );
    }
    // Of WASI, what reaches further than the app itself.
    for import in [
        "wasi:sockets/tcp@0.2.6",
        "wasi:sockets/ip-name-lookup@0.2.0",
        "wasi:sockets/types@0.3.0",
        "wasi:http/outgoing-handler@0.2.6",
        "wasi:http/client@0.3.0",
    ] {
        let says = [import, "[not-granted]", ALSO, "[unknown-import]"];
        rows.push(Row {
            name: format!("{import} x not asked"),
            imports: vec![import.to_owned(), ALSO.to_owned()],
            manifest: None,
            policy: None,
            flags: Vec::new(),
            says: Some(says.map(str::to_owned).to_vec()),
            verb: Verb::Run,
        });
    }
    // By whatever starts apps.
    for (verb, name) in [(Verb::Up, "up"), (Verb::Sim, "sim")] {
        rows.push(Row {
            name: format!("by {name} x not asked"),
            imports: vec![import(Capability::NetworkTcpConnect)],
            manifest: None,
            policy: None,
            flags: Vec::new(),
            says: Some(vec!["[not-granted]".to_owned()]),
            verb,
        });
    }
    rows
}

/// Whether a place is one that asks when an app is loaded.
pub(crate) fn is_of_load(site: Site) -> bool {
    matches!(site, Site::AdmitRun | Site::AdmitSim)
}

/// An app that imports an interface in a version that is not this build's.
pub(crate) fn older(interface: &str, version: &str, off: Option<Site>) -> Vec<String> {
    if off.is_some_and(|site| !is_of_load(site)) {
        return Vec::new();
    }
    let import = format!("nexus:net/{interface}@{version}");
    let row = Row {
        name: String::new(),
        imports: vec![import.clone(), ALSO.to_owned()],
        manifest: None,
        policy: None,
        flags: Vec::new(),
        says: Some(vec![
            import,
            "[other-version]".to_owned(),
            ALSO.to_owned(),
            "[unknown-import]".to_owned(),
        ]),
        verb: Verb::Run,
    };
    problems(&row, off)
}

/// What was not as it must be.
pub(crate) fn problems(row: &Row, off: Option<Site>) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let file = |name: &str, content: &[u8]| {
        fs::write(at(name), content).expect("written");
        at(name).display().to_string()
    };
    let component = file("app.wasm", &app(&row.imports));
    let mut arguments: Vec<String> = Vec::new();
    match row.verb {
        Verb::Run => {
            let first = ["run", "--net", "none", "--no-cache"];
            arguments.extend(first.map(str::to_owned));
            arguments.push(component);
        }
        Verb::Up => {
            let world = format!(
                "[[node]]\nname = \"a\"\nnet = \"none\"\n[[node.app]]\ncomponent = {component:?}\n"
            );
            arguments.extend(["up".to_owned(), file("world.toml", world.as_bytes())]);
        }
        Verb::Sim => {
            let scenario = format!(
                "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\n\
                 addresses = [\"10.0.0.1/24\"]\n[[node.app]]\ncomponent = {component:?}\n"
            );
            arguments.extend(["sim".to_owned(), file("scenario.toml", scenario.as_bytes())]);
        }
    }
    let state = at("state").display().to_string();
    arguments.extend(["--state".to_owned(), state]);
    for (flag, name, text) in [
        ("--manifest", "nexus.toml", &row.manifest),
        ("--policy", "policy.toml", &row.policy),
    ] {
        if let Some(text) = text {
            arguments.extend([flag.to_owned(), file(name, text.as_bytes())]);
        }
    }
    arguments.extend(row.flags.iter().map(ToString::to_string));
    let output = host(&arguments, off);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let said = format!("{stdout}{stderr}");
    let code = output.status.code();
    let mut problems = Vec::new();
    let mut wrong = |ok: bool, text: String| {
        if !ok {
            problems.push(text);
        }
    };
    match &row.says {
        None => wrong(
            code == Some(134) && said.contains("unreachable"),
            format!("it did not start: {code:?} {said}"),
        ),
        Some(says) => {
            if row.verb != Verb::Sim {
                wrong(code == Some(77), format!("exit {code:?}, not 77"));
            }
            for text in says {
                wrong(said.contains(text), format!("no {text} in: {said}"));
            }
            wrong(!said.contains("unreachable"), format!("it ran: {said}"));
        }
    }
    problems
}

const ARGUMENTS: &str = "POLICY_MATRIX_ARGUMENTS";
const OFF: &str = "POLICY_MATRIX_OFF";

/// Between two arguments.
const BETWEEN: char = '\u{1f}';

/// The host; where a place is turned off in it, the one that is linked with this test.
fn host(arguments: &[String], off: Option<Site>) -> Output {
    let mut command = match off {
        None => Command::new(guests::HOST),
        Some(_) => Command::new(std::env::current_exe().expect("this test")),
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NEXUS_") {
            command.env_remove(name);
        }
    }
    match off {
        None => command.args(arguments),
        Some(site) => command
            .args(["--exact", "load::child", "--ignored", "--nocapture"])
            .env(ARGUMENTS, arguments.join(&BETWEEN.to_string()))
            .env(OFF, site.as_str()),
    };
    command.stdin(Stdio::null()).output().expect("it runs")
}

#[test]
#[ignore = "a part of `each_gate_call`: nexus-host with a place turned off, as a process of its own"]
fn child() {
    let (Ok(arguments), Ok(off)) = (std::env::var(ARGUMENTS), std::env::var(OFF)) else {
        return;
    };
    #[cfg(feature = "gate-switches")]
    for site in Site::ALL.iter().filter(|site| site.as_str() == off) {
        site.turn_off_everywhere();
    }
    #[cfg(feature = "gate-switches")]
    {
        let arguments = std::iter::once("nexus-host").chain(arguments.split(BETWEEN));
        let code = nexus_host::cli::answer(arguments.map(Into::into).collect());
        std::process::exit(code.into());
    }
    #[cfg(not(feature = "gate-switches"))]
    panic!("{off}: {arguments} takes --features gate-switches");
}
