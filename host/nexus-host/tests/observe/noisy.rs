//! One app that is refused without end, beside another.

use super::*;

/// Goal: what an app is refused is told and reported, however often another is refused. Method: a world of both,
/// each on a node of its own and both on one, the noisy one first.
#[test]
fn a_noisy_app_silences_no_other() {
    let node = |name: &str| format!("[[node]]\nname = \"{name}\"\nnet = \"none\"\n");
    let app = |probe: &str| {
        let component = component(&format!("probes/{probe}"));
        format!("[[node.app]]\ncomponent = {component:?}\n")
    };
    let (noisy, victim) = (app("denials_without_end"), app("tcp_connect_denied"));
    hears_the_victim(&[node("a"), noisy.clone(), node("b"), victim.clone()].concat());
    hears_the_victim(&[node("a"), noisy, victim].concat());
}

fn hears_the_victim(world: &str) {
    let folder = folder();
    fs::write(folder.path().join("world.toml"), world).expect("written");
    let policy = guests::root().join("components/probes/policy.toml");
    let policy = policy.display().to_string();
    let arguments = [
        "up",
        "world.toml",
        "--policy",
        &policy,
        "--report",
        "r.json",
    ];
    let ran = host(folder.path(), &[], &arguments).output().expect("runs");
    let said = stderr(&ran);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    let name = "unlisted.example.com";
    assert!(said.contains(name), "{said}");
    let report = fs::read(folder.path().join("r.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let of_victim = report["apps"][1]["denials"].as_array().expect("a list");
    let mut targets = of_victim
        .iter()
        .filter_map(|denial| denial["target"].as_str());
    assert!(
        targets.any(|target| target.contains(name)),
        "{of_victim:?} {said}"
    );
    assert_eq!(report["apps"][1]["denials_others"], 0);
}
