//! Any text as a manifest.
//!
//! One that is accepted keeps the bounds, says the same when what was read of it is written down and
//! read again, and a report on it can be made and shown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nexus_policy::capability::Class;
use nexus_policy::manifest::{VARIABLE_BYTES_MAX, WASI_ITEMS_MAX};
use nexus_policy::wasi::absolute_path;
use nexus_policy::{AppIdentity, Capability, Consent, Gate, Manifest, Topology};
use nexus_types::{AppDigest, InstanceId, Instant, limits};

use crate::text;

/// Runs one input: the text.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Manifest::parse(&text, "nexus.toml") {
        Ok(manifest) => {
            assert!(text.len() as u64 <= limits::MANIFEST_BYTES);
            bounded(&manifest);
            let written = write(&manifest);
            let again = Manifest::parse(&written, "nexus.toml")
                .unwrap_or_else(|error| panic!("{written}\n{error}"));
            assert_eq!(write(&again), written);
            same(&manifest, &again);
            reported(manifest);
        }
        Err(error) => text::refused(&error),
    }
}

fn bounded(manifest: &Manifest) {
    let app = manifest.app().expect("none is accepted without");
    let words = [Some(&app.id), app.version.as_ref()];
    for word in words.into_iter().flatten() {
        assert!((1..=128).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic()));
    }
    for (capability, asked) in manifest.capabilities() {
        assert!(!Capability::WASI.contains(&capability));
        assert!(app.class == Class::System || capability.class() == Class::App);
        assert!(asked.rules.len() <= limits::RULES_PER_CAPABILITY as usize);
        assert!(!asked.rules.is_empty() || asked.optional);
        let different: BTreeSet<_> = asked.rules.iter().collect();
        assert_eq!(different.len(), asked.rules.len());
        for rule in &asked.rules {
            text::reads_back(capability, rule);
        }
    }
    assert!(manifest.directories().len() <= WASI_ITEMS_MAX);
    let placed = manifest.clone().with_base("/base");
    for directory in placed.directories() {
        assert_eq!(
            absolute_path(&directory.guest).as_ref(),
            Some(&directory.guest)
        );
        // Nothing leads out of the manifest's own folder.
        let path = directory.path.as_deref().expect("accepted");
        assert_eq!(absolute_path(path).as_deref(), Some(path));
        assert!(path == "/base" || path.starts_with("/base/"), "{path}");
    }
    assert!(manifest.variables().len() <= WASI_ITEMS_MAX);
    for (_, value) in manifest.variables() {
        assert!(value.len() <= VARIABLE_BYTES_MAX && !value.contains('\0'));
    }
    let asked = manifest.limits();
    assert!(asked.memory != Some(0) && asked.bytes_in_flight != Some(0));
    assert!(asked.sockets != Some(0) && asked.handles != Some(0));
    assert!(asked.request_body != Some(0) && asked.response_body != Some(0));
}

/// The manifest in the one order of everything.
pub(crate) fn write(manifest: &Manifest) -> String {
    let mut out = String::new();
    if let Some(app) = manifest.app() {
        let _ = writeln!(out, "[app]\nid = \"{}\"", app.id);
        if let Some(version) = &app.version {
            let _ = writeln!(out, "version = \"{version}\"");
        }
        if app.class == Class::System {
            out.push_str("class = \"system\"\n");
        }
    }
    for (capability, asked) in manifest.capabilities() {
        let _ = writeln!(out, "[capabilities.\"{capability}\"]");
        if !asked.rules.is_empty() {
            let _ = writeln!(out, "allow = {}", text::list(&asked.rules));
        }
        let _ = writeln!(out, "optional = {}", asked.optional);
    }
    out.push_str("[wasi]\ndirs = [");
    for directory in manifest.directories() {
        let _ = write!(
            out,
            "{{ host = {}, guest = {}, mode = \"{}\" }}, ",
            text::quoted(&directory.host),
            text::quoted(&directory.guest),
            directory.mode.as_str()
        );
    }
    out.push_str("]\n[wasi.env]\n");
    for (name, value) in manifest.variables() {
        let _ = writeln!(
            out,
            "{} = {}",
            text::quoted(name.as_str()),
            text::quoted(value)
        );
    }
    out + &text::limits(manifest.limits())
}

/// All that matters of two manifests: not the lines.
fn same(one: &Manifest, other: &Manifest) {
    assert_eq!(one.app(), other.app());
    assert_eq!(one.directories(), other.directories());
    let sorted = |manifest: &Manifest| {
        let mut all = manifest.variables().to_vec();
        all.sort();
        all
    };
    assert_eq!(sorted(one), sorted(other));
    assert_eq!(one.limits(), other.limits());
    let asked = |manifest: &Manifest| -> Vec<_> {
        manifest
            .capabilities()
            .map(|(capability, asked)| (capability, asked.rules.clone(), asked.optional))
            .collect()
    };
    assert_eq!(asked(one), asked(other));
}

fn reported(manifest: Manifest) {
    let mut gate = Gate::new(Topology::default());
    let app = AppIdentity {
        id: manifest
            .app()
            .map_or_else(String::new, |app| app.id.clone()),
        digest: AppDigest([1; 32]),
        publisher: None,
    };
    for allow_manifest in [false, true] {
        let consent = Consent {
            allow_manifest,
            ..Consent::default()
        };
        let report = gate.examine(Instant::ZERO, &app, &manifest, &consent, &[]);
        text::shown(&report.text());
        let entered = gate.admit(
            Instant::ZERO,
            InstanceId(u64::from(allow_manifest)),
            app.clone(),
            manifest.clone(),
            consent,
            &[],
        );
        assert_eq!(entered.is_ok(), report.admitted);
    }
}
