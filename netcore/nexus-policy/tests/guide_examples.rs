//! The files that the guide shows are accepted as they are.

use nexus_policy::{Manifest, Policy};

#[test]
fn the_manifest_of_the_guide_is_accepted() {
    let text = include_str!("../../../docs/examples/nexus.toml");
    if let Err(error) = Manifest::parse(text, "docs/examples/nexus.toml") {
        panic!("{error}");
    }
}

#[test]
fn the_policy_of_the_guide_is_accepted() {
    let text = include_str!("../../../docs/examples/policy.toml");
    if let Err(error) = Policy::parse(text, "docs/examples/policy.toml") {
        panic!("{error}");
    }
}
