//! What keeping records adds to a whole `connect` of a guest, from the node's side of the call: the
//! decision, a socket out of the quota, its SYN, the answer, the socket's end.
//!
//! The far end is a port of the app's own loopback where nobody listens: nothing waits for anything. The
//! way into and out of the guest is left out, which would only make the share of the record smaller.
//! With and without records by turns, so that a busy machine is busy for both.

use std::task::{Poll, Waker};
use std::time::Instant as Clock;

use nexus_bench::fact;
use nexus_node::{Mesh, Node, NodeConfig, Quota};
use nexus_policy::{Act, AppIdentity, Consent, Manifest, Topology};
use nexus_stack::{Checksums, Config};
use nexus_types::{AppDigest, Instant, NodeId, Seed, SocketAddr};

use crate::audit::{Kept, record};
use crate::decide::{APP, NOW};

const ROUNDS: usize = 41;
const CALLS: u32 = 2_000;

const MANIFEST: &str = "[app]\nid = \"com.example.bench\"\n\
    [capabilities.\"network.tcp.connect\"]\nallow = [\"loopback:*\"]\n";

fn node() -> (Mesh, NodeId) {
    let mut stack = Config::new(65_535, Vec::new());
    stack.checksums = Checksums::None;
    let config = NodeConfig {
        stack,
        topology: Topology::default(),
        seed: Seed::from_number(1),
    };
    let mut mesh = Mesh::new();
    let id = mesh.add_node(config, Instant::ZERO).expect("a node");
    let node = mesh.node_mut(id);
    let app = AppIdentity {
        id: "com.example.bench".to_owned(),
        digest: AppDigest([7; 32]),
        publisher: None,
    };
    let consent = Consent {
        allow_manifest: true,
        ..Consent::default()
    };
    let manifest = Manifest::parse(MANIFEST, "nexus.toml").expect("a manifest");
    node.gate_mut()
        .admit(Instant::ZERO, APP, app, manifest, consent, &[])
        .expect("admitted");
    node.start(APP, Quota::default());
    (mesh, id)
}

fn connect(mesh: &mut Mesh, id: NodeId, remote: SocketAddr) {
    let node: &mut Node = mesh.node_mut(id);
    let permit = node.permit(NOW, APP, &Act::Connect { remote, name: None });
    let permit = permit.expect("may connect");
    let socket = node.tcp_connect(NOW, permit).expect("a socket");
    mesh.step(NOW);
    let node = mesh.node_mut(id);
    let answer = node.poll_connected(NOW, socket, Waker::noop());
    assert!(matches!(answer, Poll::Ready(Err(_))), "nobody listens");
    node.tcp_close(NOW, socket);
}

/// Leaves the medians, in nanoseconds.
pub(crate) fn bench() {
    let remote = SocketAddr::from(([127, 0, 0, 1], 7));
    let mut worlds: Vec<_> = Kept::ALL
        .into_iter()
        .map(|kept| (kept, node(), Vec::new()))
        .collect();
    let mut recordings = Vec::new();
    for (kept, (mesh, id), _) in &mut worlds {
        recordings.push(record(mesh.node_mut(*id).gate_mut(), *kept));
    }
    for round in 0..ROUNDS {
        for (_, (mesh, id), took) in &mut worlds {
            let begun = Clock::now();
            for _ in 0..CALLS {
                connect(mesh, *id, remote);
            }
            // The first rounds warm caches and pools.
            if round > 0 {
                took.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
            }
        }
    }
    for (kept, _, mut took) in worlds {
        took.sort_by(f64::total_cmp);
        let (id, what) = match kept {
            Kept::Nowhere => ("connect_call_without_records", "nothing recorded"),
            Kept::ByLog => ("connect_call_with_log", "audit log"),
            Kept::ByTelemetryAndLog => (
                "connect_call_with_telemetry_and_log",
                "telemetry, audit log",
            ),
        };
        fact(id, took[took.len() / 2], "ns", what);
    }
    drop(recordings);
}
