//! The conformance run: every function of `wasi:sockets` 0.2 and 0.3, probed from inside as its WIT says it is, on
//! every network; and each function replaced by a stub, which its probe must tell apart.
//!
//! The probes are components/conformance. What came of them is docs/conformance.md (`BLESS=1` writes it anew);
//! on real interfaces they run under `cargo xtask test --real` (tests/real/conformance.rs).

#[path = "../guests/mod.rs"]
mod guests;

mod far;
mod lies;
mod names;
mod table;
mod user;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;

use nexus_host::runtime::instance::Outcome;
use table::{Row, VERSIONS, Version};
use world::Guest;

/// What a run of all probes said of each: none, that it is as it must be; else why not.
type Said = BTreeMap<String, Option<String>>;

/// Reads `ok FUNCTION` and `FAIL FUNCTION: why`.
fn said(text: &str) -> Said {
    let line = |line: &str| match line.split_once(' ')? {
        ("ok", name) => Some((name.to_owned(), None)),
        ("FAIL", rest) => {
            let (name, why) = rest.split_once(": ")?;
            Some((name.to_owned(), Some(why.to_owned())))
        }
        _ => None,
    };
    text.lines().filter_map(line).collect()
}

/// Runs the probe of each function with that function replaced. Those whose probe did not notice.
fn not_caught(guest: &Guest, functions: &[(String, String)]) -> Vec<String> {
    let mut not = Vec::new();
    for (interface, function) in functions {
        let name = table::name(interface, function);
        let linker = lies::linker(guest, interface, function);
        let ran = world::run(guest, &linker, &name);
        let caught = match &ran.outcome {
            // It waits for what never comes, or asks for ever.
            None => true,
            Some(Outcome::Exit(1)) => said(&ran.said).get(&name).is_some_and(Option::is_some),
            // Of what the stub made, something of the host's that is not a stub could make nothing.
            Some(Outcome::Trap(why)) => !why.contains(lies::BROKEN),
            Some(_) => false,
        };
        if !caught {
            not.push(name);
        }
    }
    not
}

/// The rows of one version, and what is wrong with them.
fn rows(version: &Version, problems: &mut Vec<String>) -> Vec<Row> {
    let guest = Guest::new(version.guest);
    let functions = guest.functions();
    let count = functions.len() + version.holes.len();
    if count != version.functions {
        problems.push(format!(
            "{}: {count} functions have a probe or are a hole, not {}",
            version.name, version.functions
        ));
    }
    let ran = world::run(&guest, &guest.linker(), "all");
    let sim = said(&ran.said);
    if ran.outcome != Some(Outcome::Exit(0)) {
        problems.push(format!(
            "{} on sim: {:?}\n{}",
            version.name, ran.outcome, ran.said
        ));
    }
    let user = user::run(version.guest);
    if let Err(text) = &user {
        problems.push(format!("{} on user:\n{text}", version.name));
    }
    let user = said(&user.unwrap_or_else(|text| text));
    let missed = not_caught(&guest, &functions);
    for name in &missed {
        problems.push(format!("{}: a stub of {name} passes", version.name));
    }
    let cell = |said: &Said, name: &String| match said.get(name) {
        Some(None) => "ok",
        Some(Some(_)) => "FAIL",
        None => "not run",
    };
    functions
        .iter()
        .map(|(interface, function)| {
            let name = table::name(interface, function);
            let caught = !missed.contains(&name);
            Row {
                sim: cell(&sim, &name),
                user: cell(&user, &name),
                stub: if caught { "caught" } else { "PASSES" },
                name,
            }
        })
        .collect()
}

/// Goal: each function of each version does what its WIT says, on `sim` and on `user`; and no probe passes that does not
/// look. Method: the probes, in a simulated world, and by the built host against echoes on this machine; then, a function
/// at a time, with a stub in its place. The table goes to where a passing test's output is seen, too.
#[test]
fn every_function_on_every_network() {
    let mut problems = Vec::new();
    let mut text = table::head();
    for version in &VERSIONS {
        let rows = rows(version, &mut problems);
        text.push_str(&version.table(&rows));
        for row in &rows {
            if (row.sim, row.user) != ("ok", "ok") {
                problems.push(format!(
                    "{}: {} sim: {}, user: {}",
                    version.name, row.name, row.sim, row.user
                ));
            }
        }
    }
    // The harness keeps what `print!` of a passing test prints, and not this.
    let printed = writeln!(std::io::stdout(), "\n{text}");
    printed.expect("it can be printed");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    table::check(&text);
}

/// Goal: what must end in a trap does. Method: each such probe alone.
#[test]
fn reject_what_must_trap() {
    let guest = Guest::new(VERSIONS[0].guest);
    let linker = guest.linker();
    let named = |what: &str| format!("udp/outgoing-datagram-stream.send!{what}");
    for name in ["unasked", "more", "again"].map(named) {
        let ran = world::run(&guest, &linker, &name);
        let trapped = matches!(&ran.outcome, Some(Outcome::Trap(why)) if why.contains("permitted"));
        assert!(trapped, "{name}: {:?}\n{}", ran.outcome, ran.said);
    }
}
