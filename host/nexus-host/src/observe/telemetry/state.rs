//! What is under way: the apps that run and the calls they are in.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_caps::Call;
use nexus_node::Usage;
use nexus_policy::{AppIdentity, Capability, Entry, Recorded};
use nexus_types::{InstanceId, NodeId};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::board::Board;
use super::export::now_nanos;
use super::metrics::Metric;
use super::spans::{Attributes, Kind, Moment, Span, Value};

/// Decisions told of one call. A lookup and each of its addresses is the most there are; stops a call that is made to
/// decide without end (an acceptor that is refused each time) from growing.
const MOMENTS: usize = 32;

/// One run of an app.
pub(super) struct App {
    pub(super) id: Arc<str>,
    digest: String,
    node: NodeId,
    instance: InstanceId,
    trace: [u8; 16],
    span: [u8; 8],
    begin: u64,
    bytes_in: u64,
    bytes_out: u64,
    sockets: u32,
}

impl App {
    /// Counts what it has used since it was counted last.
    pub(super) fn account(&mut self, board: &Board, usage: &Usage) {
        for (direction, now, before) in [
            ("in", usage.bytes_in, &mut self.bytes_in),
            ("out", usage.bytes_out, &mut self.bytes_out),
        ] {
            let more = now.saturating_sub(*before);
            board.add(Metric::NetworkIo, &[&self.id, direction], more);
            *before = now;
        }
        self.sockets = usage.sockets;
    }

    fn attributes(&self) -> Attributes {
        vec![
            ("nexus.app", (&*self.id).into()),
            ("nexus.digest", self.digest.as_str().into()),
            ("nexus.instance", number(self.instance.0)),
        ]
    }

    /// The run as a whole.
    pub(super) fn span(&self, outcome: &'static str, usage: &Usage) -> Span {
        let mut attributes = self.attributes();
        attributes.extend([
            ("nexus.outcome", outcome.into()),
            ("nexus.bytes_in", number(usage.bytes_in)),
            ("nexus.bytes_out", number(usage.bytes_out)),
            ("nexus.sockets_peak", number(usage.sockets_peak.into())),
            ("nexus.denials", number(usage.denials)),
        ]);
        Span {
            trace: self.trace,
            id: self.span,
            parent: None,
            name: "run".to_owned(),
            kind: Kind::Internal,
            begin: self.begin,
            end: now_nanos(),
            attributes,
            moments: Vec::new(),
            error: (!matches!(outcome, "exit" | "stopped")).then_some(outcome),
        }
    }
}

fn number(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A call that has begun.
pub(super) struct Open {
    instance: InstanceId,
    pub(super) call: Call,
    begin: u64,
    moments: Vec<Moment>,
    /// What the last permission and the first refusal said.
    allowed: Option<Attributes>,
    refused: Option<Attributes>,
}

/// Everything that is under way.
pub(super) struct State {
    apps: BTreeMap<InstanceId, App>,
    /// Every app there was, so that its gauges fall to nothing.
    names: BTreeMap<Arc<str>, ()>,
    calls: BTreeMap<u64, Open>,
    begun: u64,
    /// The call that is at work.
    pub(super) current: Option<u64>,
    random: ChaCha20Rng,
}

impl State {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            apps: BTreeMap::new(),
            names: BTreeMap::new(),
            calls: BTreeMap::new(),
            begun: 0,
            current: None,
            random: ChaCha20Rng::from_seed(seed),
        }
    }

    fn id<const N: usize>(&mut self) -> [u8; N] {
        let mut id = [0; N];
        self.random.fill_bytes(&mut id);
        // All zeros is no id (the W3C's trace context).
        id[N - 1] |= 1;
        id
    }

    pub(super) fn start(&mut self, node: NodeId, instance: InstanceId, app: &AppIdentity) {
        let id: Arc<str> = app.id.as_str().into();
        if self.names.len() < super::metrics::SERIES {
            self.names.insert(Arc::clone(&id), ());
        }
        let app = App {
            id,
            digest: app.digest.short(),
            node,
            instance,
            trace: self.id(),
            span: self.id(),
            begin: now_nanos(),
            bytes_in: 0,
            bytes_out: 0,
            sockets: 0,
        };
        self.apps.insert(instance, app);
    }

    pub(super) fn end(&mut self, instance: InstanceId) -> Option<App> {
        self.apps.remove(&instance)
    }

    pub(super) fn app_mut(&mut self, instance: InstanceId) -> Option<&mut App> {
        self.apps.get_mut(&instance)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = (NodeId, InstanceId)> {
        self.apps
            .iter()
            .map(|(instance, app)| (app.node, *instance))
    }

    /// Instances and sockets of each app there was.
    pub(super) fn by_app(&self) -> BTreeMap<Arc<str>, (u64, u64)> {
        let names = self.names.keys();
        let mut sums: BTreeMap<_, _> = names.map(|name| (Arc::clone(name), (0, 0))).collect();
        for app in self.apps.values() {
            if let Some((instances, sockets)) = sums.get_mut(&app.id) {
                *instances += 1;
                *sockets += u64::from(app.sockets);
            }
        }
        sums
    }

    pub(super) fn begin(&mut self, instance: InstanceId, call: Call) -> u64 {
        self.begun += 1;
        let open = Open {
            instance,
            call,
            begin: now_nanos(),
            moments: Vec::new(),
            allowed: None,
            refused: None,
        };
        self.calls.insert(self.begun, open);
        self.begun
    }

    /// Ends a call: what it was, whose, and its span if the app still runs.
    pub(super) fn finish(
        &mut self,
        number: u64,
        denied: bool,
        error: Option<&'static str>,
    ) -> Option<(Call, Arc<str>, InstanceId, Option<Span>)> {
        let open = self.calls.remove(&number)?;
        let id = self.id();
        let Some(app) = self.apps.get(&open.instance) else {
            return Some((open.call, "".into(), open.instance, None));
        };
        let decided = if denied {
            open.refused.or(open.allowed)
        } else {
            open.allowed.or(open.refused)
        };
        let mut attributes = app.attributes();
        attributes.extend(decided.unwrap_or_default());
        if let Some(error) = error {
            attributes.push(("error.type", error.into()));
        }
        let span = Span {
            trace: app.trace,
            id,
            parent: Some(app.span),
            name: open.call.as_str().to_owned(),
            kind: match open.call {
                Call::TcpConnect | Call::TcpResolve | Call::UdpConnect | Call::UdpResolve => {
                    Kind::Client
                }
                Call::TcpAccept => Kind::Server,
                Call::TcpListen | Call::UdpOpen | Call::UdpBind => Kind::Internal,
            },
            begin: open.begin,
            end: now_nanos(),
            attributes,
            moments: open.moments,
            error,
        };
        Some((open.call, Arc::clone(&app.id), open.instance, Some(span)))
    }

    /// Takes a decision: into the call that is at work, or as a span of its own.
    pub(super) fn decided(&mut self, entry: &Entry<'_>) -> Option<Span> {
        let instance = entry.instance?;
        let attributes = of_entry(entry);
        let at = now_nanos();
        let current = self.current.and_then(|number| self.calls.get_mut(&number));
        if let Some(open) = current.filter(|open| open.instance == instance) {
            match entry.verdict {
                Recorded::Allow => open.allowed = Some(attributes.clone()),
                _ => {
                    open.refused.get_or_insert_with(|| attributes.clone());
                }
            }
            if open.moments.len() < MOMENTS {
                open.moments.push(Moment {
                    at,
                    name: "decision",
                    attributes,
                });
            }
            return None;
        }
        let id = self.id();
        let app = self.apps.get(&instance)?;
        let mut all = app.attributes();
        all.extend(attributes);
        let capability = entry.capability.map_or("host", Capability::as_str);
        Some(Span {
            trace: app.trace,
            id,
            parent: Some(app.span),
            name: format!("{capability} {}", entry.verdict.as_str()),
            kind: Kind::Internal,
            begin: at,
            end: at,
            attributes: all,
            moments: Vec::new(),
            error: match entry.verdict {
                Recorded::Deny => Some("denied"),
                Recorded::Revoke => Some("revoked"),
                Recorded::Allow | Recorded::Event => None,
            },
        })
    }
}

/// Where an app goes may be told; which folder and which variable it is shown is its owner's business.
pub(super) fn target(entry: &Entry<'_>) -> Option<String> {
    match entry.capability {
        Some(Capability::WasiDirs | Capability::WasiEnv) => None,
        _ => entry.target.map(ToString::to_string),
    }
}

fn of_entry(entry: &Entry<'_>) -> Attributes {
    let mut attributes: Attributes = Vec::with_capacity(6);
    if let Some(capability) = entry.capability {
        attributes.push(("nexus.capability", capability.as_str().into()));
    }
    attributes.push(("nexus.verdict", entry.verdict.as_str().into()));
    if !entry.reason.is_empty() {
        attributes.push(("nexus.reason", entry.reason.into()));
    }
    if let Some(rule) = entry.rule {
        attributes.push(("nexus.rule", rule.into()));
    }
    attributes.push(("nexus.source", entry.source.to_string().as_str().into()));
    if let Some(target) = target(entry) {
        attributes.push(("nexus.target", target.as_str().into()));
    }
    attributes
}
