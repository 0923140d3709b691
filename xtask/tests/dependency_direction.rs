//! Dependencies between our crates point one way, and netcore stands on nothing that does IO.
//!
//! The table is the design; a new arrow needs a line here and a reason in docs/decisions/.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const TYPES: &str = "nexus-types";
const POLICY: &str = "nexus-policy";
const STACK: &str = "nexus-stack";
const NODE: &str = "nexus-node";
const SIM: &str = "nexus-sim";
const USERNET: &str = "nexus-usernet";
const NIC: &str = "nexus-nic";
/// What tests on real interfaces stand on: in nobody's dependencies but a test's.
const TESTBED: &str = "nexus-testbed";
const SERVICES: &str = "nexus-services";
const CAPS: &str = "nexus-caps";
const HOST: &str = "nexus-host";
const SDK: &str = "nexus-sdk";

/// Crate, and which of ours it may use (also in its tests and build script).
const MAY_USE: &[(&str, &[&str])] = &[
    (TYPES, &[]),
    // These two never see each other: a stack that knew policy could forget to ask, and a policy
    // that knew the stack could not be read alone.
    (POLICY, &[TYPES]),
    (STACK, &[TYPES]),
    (NODE, &[STACK, POLICY, TYPES]),
    (SIM, &[NODE, STACK, POLICY, TYPES]),
    (USERNET, &[STACK, TYPES]),
    (NIC, &[TESTBED, TYPES]),
    (SERVICES, &[NODE, POLICY, TYPES]),
    (CAPS, &[SERVICES, NODE, STACK, POLICY, TYPES]),
    (
        HOST,
        &[
            CAPS, SERVICES, NIC, SIM, TESTBED, USERNET, NODE, STACK, POLICY, TYPES,
        ],
    ),
    (TESTBED, &[]),
    (
        "nexus-bench",
        &[
            HOST, CAPS, SERVICES, NIC, SIM, USERNET, NODE, STACK, POLICY, TYPES,
        ],
    ),
    ("xtask", &[]),
    // docs/decisions/0003: the frozen error codes and the one backoff schedule. 0008: the rest is for native tests
    // alone, see `the_sdk_is_simulated_natively_and_if_asked`.
    (SDK, &[SIM, NODE, STACK, POLICY, TYPES]),
];

/// What a component may use: the guest side alone.
const COMPONENT_MAY_USE: &[&str] = &[SDK];

/// What netcore must not reach, however indirectly: time, randomness, sockets, the wasm engine.
const NOT_IN_NETCORE: &[&str] = &[
    "wasmtime",
    "wasmtime-wasi",
    "tokio",
    "mio",
    "socket2",
    "getrandom",
    "async-std",
    "libc",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is in the workspace")
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(arguments)
        .args(["--offline", "--locked"])
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

/// What cargo says of our packages.
fn metadata() -> Vec<Value> {
    let text = cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&text).expect("cargo speaks JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// Our packages: name, folder below the root, names of the dependencies.
fn packages() -> Vec<(String, String, BTreeSet<String>)> {
    metadata()
        .iter()
        .map(|package| {
            let text = |value: &Value| value.as_str().expect("a string").to_owned();
            let manifest = text(&package["manifest_path"]);
            let folder = Path::new(&manifest)
                .parent()
                .and_then(|folder| folder.strip_prefix(root()).ok())
                .expect("a member is below the root")
                .display()
                .to_string();
            let dependencies = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .map(|dependency| text(&dependency["name"]))
                .collect();
            (text(&package["name"]), folder, dependencies)
        })
        .collect()
}

/// The arrows that the table does not have.
fn wrong_arrows(packages: &[(String, String, BTreeSet<String>)]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let ours: BTreeSet<&str> = packages.iter().map(|(name, ..)| name.as_str()).collect();
    let mut wrong = Vec::new();
    for (name, folder, dependencies) in packages {
        let allowed = if folder.starts_with("components/") {
            COMPONENT_MAY_USE
        } else if let Some(allowed) = table.get(name.as_str()) {
            allowed
        } else {
            wrong.push(format!("{name} is not in the table: say what it may use"));
            continue;
        };
        for dependency in dependencies {
            // Itself, with a feature, for its own tests.
            let is_ours = ours.contains(dependency.as_str()) && dependency != name;
            if is_ours && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    wrong
}

#[test]
fn every_arrow_is_in_the_table() {
    let wrong = wrong_arrows(&packages());
    assert!(
        wrong.is_empty(),
        "not in the table of this file: {wrong:#?}"
    );
}

#[test]
fn reject_an_arrow_that_is_not_in_the_table() {
    let package = |name: &str, folder: &str, uses: &[&str]| {
        let uses = uses.iter().map(|&name| name.to_owned()).collect();
        (name.to_owned(), folder.to_owned(), uses)
    };
    let packages = [
        package(TYPES, "netcore/nexus-types", &["serde"]),
        package(POLICY, "netcore/nexus-policy", &[TYPES, STACK]),
        package(STACK, "netcore/nexus-stack", &[TYPES]),
        package("hello", "components/hello", &[TYPES]),
        package("stranger", "host/stranger", &[]),
    ];
    assert_eq!(
        wrong_arrows(&packages),
        [
            "nexus-policy -> nexus-stack",
            "hello -> nexus-types",
            "stranger is not in the table: say what it may use",
        ]
    );
}

/// What the SDK uses of netcore, beside the types, in a build that is not a native one with the feature `sim`.
fn unasked_for_in_the_sdk(packages: &[Value]) -> Vec<&str> {
    let sdk = packages.iter().filter(|package| package["name"] == SDK);
    let dependencies = sdk.filter_map(|package| package["dependencies"].as_array());
    dependencies
        .flatten()
        .filter(|dependency| {
            let is_simulation = [SIM, NODE, STACK, POLICY]
                .iter()
                .any(|name| dependency["name"] == *name);
            let is_native = dependency["target"] == "cfg(not(target_family = \"wasm\"))";
            is_simulation && !(is_native && dependency["optional"] == true)
        })
        .filter_map(|dependency| dependency["name"].as_str())
        .collect()
}

#[test]
fn the_sdk_is_simulated_natively_and_if_asked() {
    assert_eq!(unasked_for_in_the_sdk(&metadata()), [""; 0]);
}

#[test]
fn reject_a_simulation_in_every_app() {
    let native = "cfg(not(target_family = \"wasm\"))";
    let dependencies = json!([
        { "name": TYPES, "optional": false, "target": null },
        { "name": SIM, "optional": true, "target": native },
        { "name": NODE, "optional": false, "target": native },
        { "name": STACK, "optional": true, "target": null },
    ]);
    let packages = [json!({ "name": SDK, "dependencies": dependencies })];
    assert_eq!(unasked_for_in_the_sdk(&packages), [NODE, STACK]);
}

/// Which packages use the testbed for more than their tests.
fn products_on_the_testbed(packages: &[Value]) -> Vec<&str> {
    let uses = |package: &&Value| {
        let mut dependencies = package["dependencies"].as_array().into_iter().flatten();
        dependencies.any(|dependency| dependency["name"] == TESTBED && dependency["kind"] != "dev")
    };
    let wrong = packages.iter().filter(uses);
    wrong
        .filter_map(|package| package["name"].as_str())
        .collect()
}

#[test]
fn nothing_but_tests_stands_on_the_testbed() {
    assert_eq!(products_on_the_testbed(&metadata()), [""; 0]);
}

#[test]
fn reject_a_product_on_the_testbed() {
    let package = |kind: Value| {
        let dependency = json!({ "name": TESTBED, "kind": kind });
        json!({ "name": HOST, "dependencies": [dependency] })
    };
    let packages = [package("dev".into()), package(Value::Null)];
    assert_eq!(products_on_the_testbed(&packages), [HOST]);
}

#[test]
fn netcore_stands_on_nothing_that_does_io() {
    let mut wrong = Vec::new();
    for (name, folder, _) in packages() {
        if !folder.starts_with("netcore/") {
            continue;
        }
        let tree = cargo(&[
            "tree",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            &name,
            // Nothing of the machine this runs on: a wasm build shows what the code itself wants.
            "--target",
            "wasm32-unknown-unknown",
        ]);
        for line in tree.lines() {
            let found = line.split_whitespace().next().unwrap_or_default();
            if NOT_IN_NETCORE.contains(&found) {
                wrong.push(format!("{name} ... -> {found}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong:#?}; `cargo tree -p CRATE -i THAT` shows the way"
    );
}
