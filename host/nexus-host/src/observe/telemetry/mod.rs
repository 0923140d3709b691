//! Spans and numbers of what apps do: to a collector by OTLP, to Prometheus by a page, both only if asked for.
//!
//! ```text
//! gate ----- decisions --> Recorder (and on to the audit log) --+
//! host calls - begin, end ---------------------> Watch ---------+--> state: who runs, which calls are under way
//! nodes ---- bytes, sockets, once a second ---------------------+      |                    |
//!                                                                      v                    v
//!                                                    Board (numbers)  Exporting (spans: queue, thread, collector)
//!                                                      |        |          |
//!                                                      v        +----------+
//!                                              /metrics (thread)
//! ```
//! On the shard's thread nothing is waited for: a decision is written down, a span is put into a queue with an end.
//! Data calls are not seen at all; what they moved is read off the node.
//!
//! In no span and in no number: what an app sends or is sent, its arguments, its environment, its folders and files.
//! Texts that an app chooses are where it goes (a host name) and what its manifest calls it.

mod answer;
mod board;
mod client;
mod export;
mod metrics;
mod otlp;
mod prometheus;
mod proxy;
mod recorder;
mod scrape;
mod spans;
mod state;
mod values;
pub mod variables;
mod wire;

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nexus_caps::{Observer, Shard};
use nexus_node::Usage;
use nexus_policy::{AppIdentity, Auditor};
use nexus_types::{InstanceId, NodeId};

use board::Board;
use export::Exporting;
use metrics::Metric;
pub use recorder::Recorder;
pub use scrape::parse_address;
use state::State;
use variables::Settings;

/// How long the end of a run waits for the collector.
pub const FLUSH: Duration = Duration::from_secs(2);

/// How often what nodes count is read: a page of Prometheus is not older.
pub const SAMPLE: Duration = Duration::from_secs(1);

/// What is asked for. Nothing: there is no [`Telemetry`].
#[derive(Default)]
pub struct Wanted {
    /// What the variables ask for.
    pub export: Option<Settings>,
    /// Where Prometheus may come.
    pub page: Option<TcpListener>,
    /// The log is to say what apps do.
    pub apps_logged: bool,
}

struct Inner {
    state: Mutex<State>,
    board: Arc<Board>,
    exporting: Option<Exporting>,
    /// Whether spans are wanted.
    traces: bool,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, span: spans::Span) {
        if let Some(exporting) = &self.exporting {
            exporting.push(span);
        }
    }
}

/// What sees the apps of a host.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

impl Telemetry {
    /// Starts what is asked for. None: nothing is.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn start(wanted: Wanted) -> Result<Option<Self>, String> {
        if wanted.export.is_none() && wanted.page.is_none() && !wanted.apps_logged {
            return Ok(None);
        }
        let board = Arc::new(Board::default());
        if let Some(listener) = wanted.page {
            scrape::serve(listener, Arc::clone(&board)).map_err(|error| error.to_string())?;
        }
        let traces = wanted.export.as_ref().is_some_and(|e| e.traces.is_some());
        let exporting = wanted
            .export
            .map(|settings| Exporting::start(settings, Arc::clone(&board)))
            .transpose()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
        board.add(Metric::AuditDropped, &[], 0);
        Ok(Some(Self(Arc::new(Inner {
            state: Mutex::new(State::new(seed)),
            board,
            exporting,
            traces,
        }))))
    }

    /// What a node's gate hands its decisions to; `inner` keeps them, and its word counts.
    pub fn auditor(&self, inner: Option<Box<dyn Auditor>>) -> Recorder {
        Recorder::new(self.clone(), inner)
    }

    /// What a shard tells its calls to.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(recorder::Watch(self.clone()))
    }

    /// An app begins on a node. To be called before its instance does anything.
    pub fn started(&self, node: NodeId, instance: InstanceId, app: &AppIdentity) {
        tracing::info!(target: "nexus::app", app = app.id, %instance, digest = %app.digest, "starts");
        self.0.board.add(Metric::Instances, &[&app.id], 1);
        self.0.state().start(node, instance, app);
    }

    /// An app has ended, in this word, and this is what it used.
    pub fn ended(&self, instance: InstanceId, outcome: &'static str, usage: &Usage) {
        let Some(mut app) = self.0.state().end(instance) else {
            return;
        };
        tracing::info!(target: "nexus::app", app = &*app.id, %instance, outcome, "has ended");
        let board = &self.0.board;
        app.account(board, usage);
        self.gauges();
        board.add(Metric::InstancesEnded, &[&app.id, outcome], 1);
        if self.0.traces {
            self.0.push(app.span(outcome, usage));
        }
    }

    /// Reads off the nodes what they count.
    pub fn sample(&self, shard: &Shard) {
        let running: Vec<_> = self.0.state().running().collect();
        let mut nodes: Vec<NodeId> = running.iter().map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let (usages, nodes) = shard.look(|mesh| {
            let usages: Vec<_> = running
                .iter()
                .map(|(node, instance)| (*instance, mesh.node(*node).usage(*instance)))
                .collect();
            let nodes: Vec<_> = nodes
                .into_iter()
                .map(|id| {
                    let node = mesh.node(id);
                    (id, node.gate().epoch().0, node.events_dropped())
                })
                .collect();
            (usages, nodes)
        });
        let board = &self.0.board;
        let mut state = self.0.state();
        for (instance, usage) in &usages {
            if let Some(app) = state.app_mut(*instance) {
                app.account(board, usage);
            }
        }
        drop(state);
        self.gauges();
        for (id, epoch, dropped) in nodes {
            let id = id.to_string();
            board.set(Metric::PolicyEpoch, &[&id], epoch);
            board.set(Metric::DenialsDropped, &[&id], dropped);
        }
    }

    /// What is open and running now, by app.
    fn gauges(&self) {
        let by_app = self.0.state().by_app();
        for (app, (instances, sockets)) in by_app {
            self.0.board.set(Metric::Instances, &[&app], instances);
            self.0.board.set(Metric::SocketsOpen, &[&app], sockets);
        }
    }

    /// Sends what is left; waits no longer than [`FLUSH`].
    pub fn finish(&self) {
        if let Some(exporting) = &self.0.exporting {
            exporting.finish(FLUSH);
        }
    }
}
