//! Goal: an app's limits hold, at them and one over. Method: the smallest components that reach
//! them, run as the host runs apps.

use nexus_caps::NetCtx;
use nexus_types::{InstanceId, Seed};
use wasmtime::StoreContextMut;

use super::*;
use crate::driver::{Driver, Network, OsClock};
use crate::runtime::clocks::WallClock;
use crate::runtime::engine::{EngineOptions, HostEngine};
use crate::runtime::limits::AppLimits;
use crate::runtime::state::AppStart;

/// A component around a core module that has `run`, and the import `take: func(list<u8>)`.
fn component(core: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "take" (func $take (param "bytes" (list u8))))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $take' (canon lower (func $take) (memory (core memory $libc "memory"))))
            (core module $m
                (import "host" "take" (func $take (param i32 i32)))
                (import "libc" "memory" (memory 1))
                {core})
            (core instance $i (instantiate $m
                (with "host" (instance (export "take" (func $take'))))
                (with "libc" (instance $libc))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $out (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $out)))"#
    );
    wat::parse_str(text).expect("wat")
}

fn run(core: &str, limits: AppLimits) -> Ended {
    let host = HostEngine::new(EngineOptions::default()).expect("engine");
    host.start_ticking(None).expect("thread");
    let component = Component::from_binary(host.engine(), &component(core)).expect("compiles");
    let mut linker = Linker::new(host.engine());
    linker
        .root()
        .func_wrap(
            "take",
            |_: StoreContextMut<'_, AppState>, (_bytes,): (Vec<u8>,)| Ok(()),
        )
        .expect("links");
    let prepared = Prepared::new(&linker, &component).expect("fits");
    let mut driver = Driver::new(nexus_node::Mesh::new(), OsClock::start()).expect("driver");
    let seed = Seed::from_number(1);
    let node = driver.add_node(&Network::None, &seed).expect("node").id;
    let net = NetCtx {
        shard: driver.shard().clone(),
        node,
        instance: InstanceId(1),
    };
    let start = AppStart {
        args: vec!["app".into()],
        env: Vec::new(),
        dirs: Vec::new(),
        stdin: None,
        stdout: None,
        stderr: None,
        seed,
        wall: WallClock::Os,
        slices: Slices::Ticks,
        limits,
        roots: Vec::new(),
    };
    let state = AppState::new(start, net).expect("state");
    driver
        .block_on(async move {
            prepared
                .run(state, &[], std::future::pending(), || {})
                .await
        })
        .expect("driver")
}

fn trap(ended: &Ended) -> &str {
    match &ended.outcome {
        Outcome::Trap(text) => text,
        other => panic!("a trap, not {other:?}"),
    }
}

#[test]
fn an_app_ends_as_it_says() {
    let limits = AppLimits::default();
    let ended = run(r#"(func (export "run") (result i32) i32.const 0)"#, limits);
    assert_eq!(ended.outcome, Outcome::Exit(0));
    assert_eq!(ended.usage.memory_bytes_peak, 1 << 16);
    let ended = run(r#"(func (export "run") (result i32) i32.const 1)"#, limits);
    assert_eq!(ended.outcome, Outcome::Exit(1));
    let ended = run(r#"(func (export "run") (result i32) unreachable)"#, limits);
    assert!(trap(&ended).contains("unreachable"), "{ended:?}");
}

fn hands_over(bytes: u64) -> String {
    // The memory has as many bytes as are handed over.
    let pages = bytes.div_ceil(1 << 16) - 1;
    format!(
        r#"(func (export "run") (result i32)
            (drop (memory.grow (i32.const {pages})))
            (call $take (i32.const 0) (i32.const {bytes}))
            i32.const 0)"#
    )
}

#[test]
fn a_call_hands_over_as_many_bytes_as_it_may() {
    let limits = AppLimits::default();
    let ended = run(&hands_over(limits.hostcall_bytes), limits);
    assert_eq!(ended.outcome, Outcome::Exit(0));
}

#[test]
fn reject_a_call_that_hands_over_more() {
    let limits = AppLimits::default();
    let ended = run(&hands_over(limits.hostcall_bytes + 1), limits);
    assert!(trap(&ended).contains("fuel"), "{ended:?}");
}

#[test]
fn reject_a_call_that_hands_over_4_gib_of_nothing() {
    let core = r#"(func (export "run") (result i32)
        (call $take (i32.const 0) (i32.const -1))
        i32.const 0)"#;
    trap(&run(core, AppLimits::default()));
}

#[test]
fn memory_grows_to_the_limit_and_no_further() {
    let limits = AppLimits {
        memory_bytes: 4 << 16,
        ..AppLimits::default()
    };
    // 0 if it may grow from 1 page to 4 and then not by one more.
    let core = r#"(func (export "run") (result i32)
        (i32.or
            (i32.eq (memory.grow (i32.const 3)) (i32.const -1))
            (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"#;
    let ended = run(core, limits);
    assert_eq!(ended.outcome, Outcome::Exit(0));
    assert_eq!(ended.usage.memory_bytes_peak, limits.memory_bytes);
}

#[test]
fn reject_an_app_that_begins_with_more_memory_than_it_may_have() {
    let limits = AppLimits {
        memory_bytes: 1 << 15,
        ..AppLimits::default()
    };
    let ended = run(r#"(func (export "run") (result i32) i32.const 0)"#, limits);
    let Outcome::Failed(text) = &ended.outcome else {
        panic!("{ended:?}");
    };
    assert!(text.contains("its limit is 32 KiB"), "{text}");
}

#[test]
fn tables_grow_to_the_limit_and_no_further() {
    let limits = AppLimits::default();
    // 0 if the table may grow to the limit and then not by one more.
    let core = format!(
        r#"(table $t 0 funcref)
        (func (export "run") (result i32)
            (i32.or
                (i32.eq (table.grow $t (ref.null func) (i32.const {})) (i32.const -1))
                (i32.ne (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))))"#,
        limits.table_elements
    );
    assert_eq!(run(&core, limits).outcome, Outcome::Exit(0));
}

#[test]
fn reject_endless_recursion() {
    let core = r#"(func $f (result i32) (i32.add (call $f) (i32.const 1)))
        (func (export "run") (result i32) (call $f))"#;
    let ended = run(core, AppLimits::default());
    assert!(trap(&ended).contains("stack"), "{ended:?}");
}

#[test]
fn reject_spinning_past_the_deadline() {
    let limits = AppLimits {
        deadline: Some(Duration::from_millis(20)),
        ..AppLimits::default()
    };
    let ended = run(
        r#"(func (export "run") (result i32) (loop (br 0)) unreachable)"#,
        limits,
    );
    assert_eq!(ended.outcome, Outcome::Deadline(Duration::from_millis(20)));
    assert!(ended.usage.slices > 0);
}

/// Growing a table of 64-bit indexes by -1 fails before anybody is asked.
#[test]
fn reject_table_elements_over_the_limit_between_growths_that_fail() {
    let limits = AppLimits {
        table_elements: 10_000,
        ..AppLimits::default()
    };
    let ended = run(
        r#"(table $t i64 1 funcref)
           (func (export "run") (result i32)
               (if (i64.ne (table.grow $t (ref.null func) (i64.const 9000)) (i64.const 1))
                   (then unreachable))
               (if (i64.ne (table.grow $t (ref.null func) (i64.const -1)) (i64.const -1))
                   (then unreachable))
               (if (i64.ne (table.grow $t (ref.null func) (i64.const 9000)) (i64.const -1))
                   (then unreachable))
               i32.const 0)"#,
        limits,
    );
    assert_eq!(ended.outcome, Outcome::Exit(0));
    assert_eq!(ended.usage.table_elements_peak, 9_001);
}

/// The counts are those of `engine.rs`; the component around this one has a memory of its own.
#[test]
fn one_module_may_have_the_tables_and_memories_of_its_component() {
    let with = |tables: usize, memories: usize| {
        run(
            &format!(
                r#"{} {} (func (export "run") (result i32) i32.const 0)"#,
                "(table 1 funcref)".repeat(tables),
                "(memory 1)".repeat(memories)
            ),
            AppLimits::default(),
        )
    };
    assert_eq!(with(64, 7).outcome, Outcome::Exit(0));
}
