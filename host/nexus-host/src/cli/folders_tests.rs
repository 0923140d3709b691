//! Goal: every folder and variable is decided and recorded once, and a policy that no longer allows a folder ends that
//! one alone. Method: a gate with one app behind it, its policy replaced, its records kept.

use std::sync::Mutex;

use nexus_policy::{
    AppIdentity, Auditor, Consent, Entry, Manifest, Policy, Recorded, Topology, Unrecorded,
    WallTime,
};
use nexus_types::AppDigest;

use super::*;

const INSTANCE: InstanceId = InstanceId(1);
const NOW: Instant = Instant::ZERO;

const MANIFEST: &str = "[app]\nid = \"app\"\nversion = \"0.1.0\"\nclass = \"app\"\n[wasi]\n\
     dirs = [{ host = \"one\", guest = \"/one\", mode = \"rw\" }, { host = \"two\", guest = \"/two\", mode = \"ro\" }]\n\
     env = { LANG = \"en\" }\n";

#[derive(Clone, Default)]
struct Records {
    kept: Arc<Mutex<Vec<String>>>,
    full: bool,
}

impl Records {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.kept.lock().expect("kept"))
    }
}

impl Auditor for Records {
    fn record(&mut self, _: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        if self.full {
            return Err(Unrecorded);
        }
        if let (Some(_), Some(target)) = (entry.capability, entry.target) {
            let text = format!("{} {target}", entry.verdict.as_str());
            self.kept.lock().expect("kept").push(text);
        }
        assert!(entry.verdict != Recorded::Event || entry.capability.is_none());
        Ok(())
    }
}

fn set(gate: &mut Gate, folders: &str) {
    let text = format!(
        "[[rule]]\nid = \"dirs\"\ncapability = \"wasi.dirs\"\nverdict = \"allow\"\nto = [{folders}]\n\
         [[rule]]\nid = \"env\"\ncapability = \"wasi.env\"\nverdict = \"allow\"\nto = [\"LANG\"]\n"
    );
    let policy = Policy::parse(&text, "policy.toml").expect("a policy");
    gate.set_policies(NOW, WallTime(0), Policy::none(), policy);
}

fn gate(records: &Records) -> Gate {
    let mut gate = Gate::new(Topology::default());
    set(&mut gate, "\"/srv/one:rw\", \"/srv/two:ro\"");
    let manifest = Manifest::parse(MANIFEST, "nexus.toml")
        .expect("a manifest")
        .with_base("/srv");
    let app = AppIdentity {
        id: "app".into(),
        digest: AppDigest([7; 32]),
        publisher: None,
    };
    gate.admit(NOW, INSTANCE, app, manifest, Consent::default(), &[])
        .expect("admitted");
    gate.set_auditor(Box::new(records.clone()));
    gate
}

fn decide_all(gate: &mut Gate) -> Result<Held, Box<Denial>> {
    let dir = |name: &str, writable| GrantedDir {
        host: format!("/srv/{name}").into(),
        guest: format!("/{name}"),
        writable,
    };
    let variables = [("LANG".to_owned(), "en".to_owned())];
    let dirs = [dir("one", true), dir("two", false)];
    Ok(Held {
        node: NodeId(0),
        instance: INSTANCE,
        folders: decide(gate, NOW, INSTANCE, &variables, &dirs)?,
        revocations: Arc::default(),
    })
}

fn left(held: &Held) -> Vec<String> {
    let folders = held.folders.iter();
    folders.map(|folder| folder.act().to_string()).collect()
}

#[test]
fn each_folder_and_variable_is_recorded_once() {
    let records = Records::default();
    let mut gate = gate(&records);
    let held = decide_all(&mut gate).expect("allowed");
    assert_eq!(left(&held), ["/srv/one:rw", "/srv/two:ro"]);
    let expected = ["allow LANG", "allow /srv/one:rw", "allow /srv/two:ro"];
    assert_eq!(records.take(), expected);
}

#[test]
fn reject_folders_that_cannot_be_recorded() {
    let records = Records {
        full: true,
        ..Records::default()
    };
    let denial = decide_all(&mut gate(&records)).map(|held| left(&held));
    assert_eq!(denial.expect_err("refused").reason.as_str(), "unrecorded");
}

#[test]
fn what_is_still_allowed_stays_and_what_is_not_ends_once() {
    let records = Records::default();
    let mut gate = gate(&records);
    let mut held = decide_all(&mut gate).expect("allowed");
    assert!(held.judge(&mut gate, NOW).is_empty(), "the same policy");
    set(&mut gate, "\"/srv:rw\"");
    assert!(held.judge(&mut gate, NOW).is_empty(), "one that gives more");
    records.take();

    set(&mut gate, "\"/srv/one:rw\"");
    let refused = held.judge(&mut gate, NOW);
    let [denial] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!(denial.reason.as_str(), "revoked");
    assert_eq!(records.take(), ["revoke /srv/two:ro"]);
    assert_eq!(left(&held), ["/srv/one:rw"]);
    assert!(held.judge(&mut gate, NOW).is_empty(), "it has ended");
    // What has ended does not come back by itself.
    set(&mut gate, "\"/srv:rw\"");
    assert!(held.judge(&mut gate, NOW).is_empty());
    assert_eq!(left(&held), ["/srv/one:rw"]);
}

#[test]
fn a_folder_that_may_still_be_read_is_left_at_that() {
    let records = Records::default();
    let mut gate = gate(&records);
    let mut held = decide_all(&mut gate).expect("allowed");
    records.take();
    set(&mut gate, "\"/srv:ro\"");
    assert_eq!(held.judge(&mut gate, NOW).len(), 1);
    assert_eq!(records.take(), ["revoke /srv/one:rw"]);
    assert_eq!(left(&held), ["/srv/one:ro", "/srv/two:ro"]);
    set(&mut gate, "\"/elsewhere:ro\"");
    assert_eq!(held.judge(&mut gate, NOW).len(), 2);
    assert!(left(&held).is_empty());
}
