//! `nexus-host sim`: real components in a simulated world.

mod guests;

use std::path::Path;
use std::process::{Command, Output};

use guests::{HOST, component, root};
use serde_json::Value;

fn sim(scenario: &Path, arguments: &[&str], state: &Path) -> Output {
    Command::new(HOST)
        .arg("sim")
        .arg(scenario)
        .args(arguments)
        .arg("--state")
        .arg(state)
        .output()
        .expect("it runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Goal: a run is its seed's, byte for byte, and another seed's is another one. Method: 200 seeds of the committed
/// scenario (loss, reorder, duplication, corruption) in two processes.
#[test]
fn the_same_seed_is_the_same_run() {
    let state = tempfile::tempdir().expect("a folder");
    let _ = component("tcp-echo");
    let lossy = root().join("components/tcp-echo/tests/lossy.toml");
    let [one, other] = [0; 2].map(|_| {
        let output = sim(&lossy, &["--runs", "200", "--output", "json"], state.path());
        let report = json(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        report["data"]["runs"].as_array().expect("runs").clone()
    });
    assert_eq!(one, other);
    let mut hashes: Vec<_> = one.iter().map(|run| run["hash"].to_string()).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 200, "each seed has a run of its own");
}

/// Goal: what is not as expected is told with the seed and how to see it again. Method: expectations that do not
/// hold, of a guest that says nothing of the kind.
#[test]
fn reject_a_run_that_is_not_as_expected() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let text = format!(
        "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {:?}\n[node.app.expect]\nexit = 3\nstdout = [\"no such word\"]\n",
        component("hello")
    );
    std::fs::write(&scenario, text).expect("written");
    let output = sim(&scenario, &["--seed", "7"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for wanted in [
        "failed  seed 7",
        "ended with 0; expected is 3",
        "wrote no \"no such word\"",
        "--seed 7 --trace",
        "0 of 1 seeds ok",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

/// Goal: a guest that computes for ever, and one that waits for ever, end with the world's time, soon. Method: the
/// probes that do so.
#[test]
fn reject_guests_that_do_not_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    for (guest, says) in [
        ("probes/spin", "still running after 50ms"),
        (
            "probes/waits_for_ever",
            "waits for ever: nothing happened after 0.",
        ),
    ] {
        let text = format!(
            "[scenario]\nuntil = \"50ms\"\n[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\n\
             addresses = [\"10.0.0.1/24\"]\n[[node.app]]\ncomponent = {:?}\nconsent = \"manifest\"\n",
            component(guest)
        );
        std::fs::write(&scenario, text).expect("written");
        let output = sim(&scenario, &[], folder.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{guest}: {said}");
        assert!(said.contains(says), "{guest}: {said}");
    }
}

/// Goal: an app that was granted nothing is refused in a world as outside of one. Method: the client without a
/// grant, and an expectation that says so.
#[test]
fn reject_what_nobody_granted() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let text = format!(
        "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {:?}\n[node.app.expect]\nexit = 77\n",
        component("fetch")
    );
    std::fs::write(&scenario, text).expect("written");
    let output = sim(&scenario, &[], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}
