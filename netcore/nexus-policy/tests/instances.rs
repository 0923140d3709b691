//! Several instances of one app: what they share, and what they do not.

mod common;

use common::{APP, Setup, addr, ip, name};
use nexus_policy::{Act, Policy, Stale};
use nexus_types::{InstanceId, Instant};

const LIKE: InstanceId = InstanceId(2);
const NOW: Instant = Instant::ZERO;

fn connect(to: &str) -> Act<'static> {
    Act::Connect {
        remote: addr(to),
        name: None,
    }
}

/// Goal: an instance that came in by another's admission is judged as that one is, and has none
/// of its answers. Method: both ask for the same, before and after the first has an answer.
#[test]
fn one_admission_serves_many_instances() {
    let setup = Setup::connect(&["public:443", "api.example.com:80"]).yes();
    let mut gate = setup.gate();
    gate.admit_like(NOW, LIKE, APP).unwrap();
    assert_eq!(gate.app(LIKE), gate.app(APP));
    for (to, allowed) in [
        ("93.184.216.34:443", true),
        ("93.184.216.34:22", false),
        ("127.0.0.1:443", false),
    ] {
        for instance in [APP, LIKE] {
            let judged = gate.decide(NOW, instance, &connect(to));
            assert_eq!(judged.is_ok(), allowed, "{instance:?} {to}");
        }
    }
    let answer = [ip("93.184.216.40")];
    gate.bind_answer(
        NOW,
        APP,
        &name("api.example.com"),
        &answer,
        Instant::from_secs(60),
    );
    let by_name = connect("93.184.216.40:80");
    assert!(gate.decide(NOW, APP, &by_name).is_ok());
    assert!(gate.decide(NOW, LIKE, &by_name).is_err());
    // The one ends without the other.
    gate.end(APP);
    let act = connect("93.184.216.34:443");
    assert!(gate.decide(NOW, LIKE, &act).is_ok());
    assert!(gate.decide(NOW, APP, &act).is_err());
}

/// Goal: an admission is good for the policy that it was made under, and for one that runs.
#[test]
fn reject_an_admission_that_is_no_more() {
    let setup = Setup::connect(&["public:443"]).yes();
    let mut gate = setup.gate();
    let nobody = InstanceId(9);
    assert_eq!(gate.admit_like(NOW, LIKE, nobody), Err(Stale));
    gate.set_policies(NOW, common::WALL, Policy::none(), Policy::none());
    assert_eq!(gate.admit_like(NOW, LIKE, APP), Err(Stale));
    gate.end(APP);
    assert_eq!(gate.admit_like(NOW, LIKE, APP), Err(Stale));
    assert!(gate.app(LIKE).is_none());
    assert!(
        gate.decide(NOW, LIKE, &connect("93.184.216.34:443"))
            .is_err()
    );
}
