//! What the host adds to a call and to an instance.
//!
//! - `data_call`: reading from an open connection that has nothing to read, through the node (which
//!   checks the epoch) and on a bare stack. The way into and out of the guest, the clock and the
//!   lock are the same for both and left out: with them the ratio would be smaller.
//! - `fresh_instance`: store, instance, one call of `run`, teardown; by the host with everything
//!   an app has (limits, its place on a node and at its gate, WASI for when it calls it), and by
//!   bare wasmtime on the same engine. Admission is once an app, and measured by itself.

use std::hint::black_box;
use std::task::{Poll, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use futures::executor::block_on;
use nexus_caps::{NetCtx, Shard};
use nexus_host::driver::OsClock;
use nexus_host::runtime::clocks::WallClock;
use nexus_host::runtime::engine::{EngineOptions, HostEngine, Slices};
use nexus_host::runtime::instance::{Outcome, Prepared};
use nexus_host::runtime::limits::AppLimits;
use nexus_host::runtime::state::{AppStart, AppState};
use nexus_node::{Mesh, Node, NodeConfig, Quota};
use nexus_policy::{Act, AppIdentity, Consent, Manifest, Policy, Topology, WallTime};
use nexus_stack::{Checksums, Config, Scope, Stack, TcpOptions};
use nexus_types::{AppDigest, InstanceId, Instant, NodeId, Seed, SocketAddr};
use wasmtime::Store;
use wasmtime::component::{Component, Linker, TypedFunc};

const APP: InstanceId = InstanceId(1);
const MANIFEST: &str = "[app]\nid = \"bench\"\nclass = \"system\"\n\
    [capabilities.\"network.tcp.connect\"]\nallow = [\"loopback:*\"]\n\
    [capabilities.\"network.tcp.listen\"]\nallow = [\"loopback:*\"]\n";
const POLICY: &str = "[[rule]]\nid = \"listen\"\ncapability = \"network.tcp.listen\"\n\
    verdict = \"allow\"\nto = [\"loopback:*\"]\n";

fn stack() -> Config {
    let mut config = Config::new(65_535, Vec::new());
    config.checksums = Checksums::None;
    config
}

/// What `run` does once an app: the policies are set once, manifest and policy parsed once.
fn admit(node: &mut Node, now: Instant, manifest: &Manifest) {
    let app = AppIdentity {
        id: "bench".to_owned(),
        digest: AppDigest([0; 32]),
        publisher: None,
    };
    let consent = Consent {
        allow_manifest: true,
        answers: Vec::new(),
        allow: Vec::new(),
    };
    let admitted = node
        .gate_mut()
        .admit(now, APP, app, manifest.clone(), consent, &[]);
    assert!(admitted.is_ok(), "the app is admitted");
    node.start(APP, Quota::default());
}

fn manifest() -> Manifest {
    Manifest::parse(MANIFEST, "nexus.toml").expect("the manifest is good")
}

/// One node with the policy at its gate.
fn mesh() -> (Mesh, NodeId) {
    let mut mesh = Mesh::new();
    let config = NodeConfig {
        stack: stack(),
        topology: Topology::default(),
        seed: Seed::from_number(1),
    };
    let node = mesh.add_node(config, Instant::ZERO).expect("a node");
    let policy = Policy::parse(POLICY, "policy.toml").expect("the policy is good");
    let gate = mesh.node_mut(node).gate_mut();
    gate.set_policies(Instant::ZERO, WallTime(0), Policy::none(), policy);
    (mesh, node)
}

fn data_call(c: &mut Criterion) {
    let mut group = c.benchmark_group("data_call");
    let here: SocketAddr = ([127, 0, 0, 1], 7).into();
    let (now, waker) = (Instant::ZERO, Waker::noop());
    let mut buf = [0; 64];

    let (mut mesh, node) = mesh();
    let node = mesh.node_mut(node);
    admit(node, now, &manifest());
    let permit = node
        .permit(now, APP, &Act::Listen { local: here })
        .expect("may listen");
    node.tcp_listen(now, permit, None).expect("listens");
    let dial = Act::Connect {
        remote: here,
        name: None,
    };
    let permit = node.permit(now, APP, &dial).expect("may connect");
    let socket = node.tcp_connect(now, permit).expect("connects");
    let id = node.id();
    mesh.step(now);
    let node = mesh.node_mut(id);
    assert_eq!(node.poll_connected(now, socket, waker), Poll::Ready(Ok(())));
    group.bench_function("checked", |b| {
        b.iter(|| {
            node.poll_read(black_box(now), socket, &mut buf, waker)
                .is_pending()
        });
    });

    let mut bare = Stack::new(stack(), now, Seed::from_number(2)).expect("a stack");
    let (scope, options) = (Scope(1), TcpOptions::default());
    bare.tcp_listen(now, scope, here, 1, &options)
        .expect("listens");
    let id = bare
        .tcp_connect(now, scope, None, here, &options)
        .expect("connects");
    assert!(
        bare.poll_transmit(now).is_none(),
        "the loopback stays inside"
    );
    assert_eq!(bare.poll_connected(id, waker), Poll::Ready(Ok(())));
    group.bench_function("unchecked", |b| {
        b.iter(|| {
            bare.poll_read(black_box(now), id, &mut buf, waker)
                .is_pending()
        });
    });
    group.finish();
}

const COMPONENT: &str = r#"(component
    (core module $m (memory (export "memory") 2) (func (export "run") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $run-interface (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $run-interface)))"#;

/// What an instance is started with when it gets nothing.
fn start() -> AppStart {
    AppStart {
        args: Vec::new(),
        env: Vec::new(),
        dirs: Vec::new(),
        stdin: None,
        stdout: None,
        stderr: None,
        seed: Seed::from_number(1),
        wall: WallClock::Os,
        slices: Slices::Ticks,
        limits: AppLimits::default(),
        roots: Vec::new(),
    }
}

fn fresh_instance(c: &mut Criterion) {
    let mut group = c.benchmark_group("fresh_instance");
    let host = HostEngine::new(EngineOptions::default()).expect("an engine");
    let engine = host.engine();
    let wasm = wat::parse_str(COMPONENT).expect("good wat");
    let component = Component::new(engine, &wasm).expect("a good component");

    let linker = Linker::<()>::new(engine);
    let pre = linker.instantiate_pre(&component).expect("links");
    let run = component
        .get_export_index(None, "wasi:cli/run@0.2.0")
        .and_then(|interface| component.get_export_index(Some(&interface), "run"))
        .expect("exported");
    group.bench_function("bare", |b| {
        b.iter(|| {
            block_on(async {
                let mut store = Store::new(engine, ());
                store.set_epoch_deadline(1_000_000);
                let instance = pre
                    .instantiate_async(&mut store)
                    .await
                    .expect("instantiates");
                let run: TypedFunc<(), (Result<(), ()>,)> =
                    instance.get_typed_func(&mut store, run).expect("typed");
                run.call_async(&mut store, ()).await.expect("runs").0
            })
        });
    });

    let (mesh, node) = mesh();
    let shard = Shard::new(mesh, Box::new(OsClock::start()));
    let linker = Linker::<AppState>::new(engine);
    let prepared = Prepared::new(&linker, &component).expect("links");
    let manifest = manifest();
    shard.enter(|mesh, now| admit(mesh.node_mut(node), now, &manifest));
    let mut next = APP;
    group.bench_function("host", |b| {
        b.iter(|| {
            next = InstanceId(next.0 + 1);
            shard.enter(|mesh, now| {
                let node = mesh.node_mut(node);
                node.gate_mut()
                    .admit_like(now, next, APP)
                    .expect("the policy is the same");
                node.start(next, Quota::default());
            });
            let net = NetCtx {
                shard: shard.clone(),
                node,
                instance: next,
            };
            let state = AppState::new(start(), net).expect("no folders to open");
            let ended = block_on(prepared.run(state, &[], std::future::pending(), || ()));
            assert_eq!(ended.outcome, Outcome::Exit(0));
        });
    });
    // Once an app, not once an instance.
    group.bench_function("admit", |b| {
        b.iter(|| shard.enter(|mesh, now| admit(mesh.node_mut(node), now, &manifest)))
    });
    group.finish();
}

criterion_group!(benches, data_call, fresh_instance);
criterion_main!(benches);
