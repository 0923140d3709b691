//! What keeping a record adds to an allowed decision: the gate alone, with the log, and with telemetry
//! before the log, as a host has them.
//!
//! The log is the real one: a chain in segments in cargo's target folder, its buffer written out when it
//! is full, heads signed, old segments given up. A listen is a sensitive act: its record is with the
//! kernel before the decision is.

use std::hint::black_box;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use criterion::{BatchSize, Criterion};
use nexus_host::observe::audit::AuditLog;
use nexus_host::observe::telemetry::{Telemetry, Wanted};
use nexus_policy::{Auditor, Gate};

use crate::decide::{APP, NOW, Tables, connect_by, gate, listen, name};

/// Who keeps records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Nowhere,
    ByLog,
    ByTelemetryAndLog,
}

impl Kept {
    pub(crate) const ALL: [Self; 3] = [Self::Nowhere, Self::ByLog, Self::ByTelemetryAndLog];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Nowhere => "none",
            Self::ByLog => "log",
            Self::ByTelemetryAndLog => "telemetry and log",
        }
    }
}

/// A folder for a log, gone with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench-audit-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Has a gate record, and gives what must live as long.
pub(crate) fn record(gate: &mut Gate, kept: Kept) -> Option<(Folder, AuditLog, Option<Telemetry>)> {
    if kept == Kept::Nowhere {
        return None;
    }
    let folder = Folder::new();
    let (log, error) = AuditLog::open(Some(&folder.0), SystemTime::now);
    assert!(error.is_none(), "{error:?}");
    let mut telemetry = None;
    let mut auditor: Box<dyn Auditor> = Box::new(log.clone());
    if kept == Kept::ByTelemetryAndLog {
        let wanted = Wanted {
            page: Some(TcpListener::bind("127.0.0.1:0").expect("a port")),
            ..Wanted::default()
        };
        let started = Telemetry::start(wanted).expect("starts");
        let started = started.expect("something is wanted");
        auditor = Box::new(started.auditor(Some(auditor)));
        telemetry = Some(started);
    }
    gate.set_auditor(auditor);
    Some((folder, log, telemetry))
}

pub(crate) fn bench(c: &mut Criterion) {
    let api = name("api.example.com");
    let mut group = c.benchmark_group("audit");
    for (label, act) in [("connect", connect_by(&api)), ("listen", listen())] {
        for kept in Kept::ALL {
            let mut gate = gate(Tables::One, 10);
            let recording = record(&mut gate, kept);
            group.bench_function(format!("{label}/{}", kept.as_str()), |b| {
                b.iter_batched(
                    || (),
                    |()| black_box(gate.decide(NOW, APP, black_box(&act)).is_ok()),
                    BatchSize::NumIterations(1_000),
                );
            });
            if let Some((_folder, log, _telemetry)) = &recording {
                assert_eq!(log.dropped(), 0, "{label}");
            }
        }
    }
    group.finish();
}
