//! What the recorder hands on, counts and says.

use nexus_node::Usage;
use nexus_policy::AppIdentity;
use nexus_types::{AppDigest, NodeId};

use super::super::Wanted;
use super::super::spans::Value;
use super::*;

const INSTANCE: InstanceId = InstanceId(1);

fn telemetry() -> Telemetry {
    let wanted = Wanted {
        apps_logged: true,
        ..Wanted::default()
    };
    let telemetry = Telemetry::start(wanted).expect("starts").expect("wanted");
    telemetry.started(NodeId(0), INSTANCE, &app());
    telemetry
}

fn app() -> AppIdentity {
    AppIdentity {
        id: "app".to_owned(),
        digest: AppDigest([1; 32]),
        publisher: None,
    }
}

fn entry<'a>(app: &'a AppIdentity, verdict: Recorded, capability: Capability) -> Entry<'a> {
    Entry {
        app: Some(app),
        instance: Some(INSTANCE),
        capability: Some(capability),
        target: Some(&"a.example:443"),
        verdict,
        reason: if verdict == Recorded::Allow {
            ""
        } else {
            "not-permitted"
        },
        rule: Some("lan"),
        source: &"policy.toml:3",
    }
}

/// Remembers what it was given, and can keep nothing.
struct Full;

impl Auditor for Full {
    fn record(&mut self, _: Instant, _: &Entry<'_>) -> Result<(), Unrecorded> {
        Err(Unrecorded)
    }
}

/// Goal: the word of who keeps the records is the answer, and what was not kept is counted. Method: one that keeps
/// nothing, and none at all.
#[test]
fn reject_what_could_not_be_kept() {
    let telemetry = telemetry();
    let app = app();
    let allowed = entry(&app, Recorded::Allow, Capability::NetworkTcpConnect);
    let mut none = telemetry.auditor(None);
    assert_eq!(none.record(Instant::ZERO, &allowed), Ok(()));
    let mut full = telemetry.auditor(Some(Box::new(Full)));
    assert_eq!(full.record(Instant::ZERO, &allowed), Err(Unrecorded));
    let board = &telemetry.0.board;
    assert_eq!(board.get(Metric::AuditDropped, &[]), 1);
    let labels = ["app", "network.tcp.connect", "allow", ""];
    assert_eq!(board.get(Metric::Decisions, &labels), 2);
}

/// Goal: a decision made while a call is at work is that call's; one made otherwise is a span of its own; and no
/// folder or variable is told. Method: the state behind it, by hand.
#[test]
fn decisions_belong_to_the_call_at_work() {
    let telemetry = telemetry();
    let app = app();
    let refused = entry(&app, Recorded::Deny, Capability::NetworkTcpConnect);
    let mut state = telemetry.0.state();

    let alone = state.decided(&refused).expect("a span of its own");
    assert_eq!(alone.name, "network.tcp.connect deny");
    assert_eq!(alone.error, Some("denied"));

    let call = state.begin(INSTANCE, Call::TcpConnect);
    state.current = Some(call);
    assert_eq!(state.decided(&refused), None);
    let allowed = entry(&app, Recorded::Allow, Capability::NetworkTcpConnect);
    assert_eq!(state.decided(&allowed), None);
    let (_, _, _, span) = state.finish(call, true, Some("denied")).expect("open");
    let span = span.expect("the app runs");
    assert_eq!(span.moments.len(), 2);
    let has = |key: &'static str, value: &str| {
        let pair = (key, Value::Text(value.to_owned()));
        assert!(span.attributes.contains(&pair), "{pair:?}: {span:?}");
    };
    has("nexus.app", "app");
    has("nexus.verdict", "deny");
    has("nexus.reason", "not-permitted");
    has("nexus.rule", "lan");
    has("nexus.source", "policy.toml:3");
    has("nexus.target", "a.example:443");
    has("error.type", "denied");
    assert_eq!(span.parent, alone.parent);

    state.current = None;
    let folder = entry(&app, Recorded::Allow, Capability::WasiDirs);
    let span = state.decided(&folder).expect("a span of its own");
    assert!(
        span.attributes
            .iter()
            .all(|(key, _)| *key != "nexus.target")
    );
}

/// Goal: bytes of all runs of an app add up, and its gauges fall when it ends. Method: two readings of one run, then
/// its end, then another run.
#[test]
fn bytes_add_up_and_gauges_fall() {
    let telemetry = telemetry();
    let used = |bytes_in, sockets| Usage {
        bytes_in,
        sockets,
        ..Usage::default()
    };
    let board = &telemetry.0.board;
    telemetry
        .0
        .state()
        .app_mut(INSTANCE)
        .expect("runs")
        .account(board, &used(10, 2));
    telemetry.gauges();
    assert_eq!(board.get(Metric::SocketsOpen, &["app"]), 2);
    telemetry.ended(INSTANCE, "exit", &used(15, 0));
    telemetry.started(NodeId(0), InstanceId(2), &app());
    telemetry.ended(InstanceId(2), "trap", &used(1, 0));
    assert_eq!(board.get(Metric::NetworkIo, &["app", "in"]), 16);
    assert_eq!(board.get(Metric::SocketsOpen, &["app"]), 0);
    assert_eq!(board.get(Metric::Instances, &["app"]), 0);
    assert_eq!(board.get(Metric::InstancesEnded, &["app", "trap"]), 1);
}
