//! The way of one app into a host, whatever is done with it there: file, policies, consent, admission, node.

use std::path::Path;

use nexus_policy::{Admission, AppIdentity, Consent};
use nexus_types::{Instant, NodeId};
use serde_json::Value;

use super::admitting;
use super::app::{Candidate, GrantArgs};
use super::consent::{AskArgs, Asking};
use super::mode::ModeArgs;
use super::net::NetArgs;
use super::observing::ObserveArgs;
use super::policies::Policies;
use super::recording::Recording;
use super::start::{self, Host};
use super::{CliError, Kind, Output, StateArgs, run};
use crate::observe::report;
use crate::runtime::engine::{EngineOptions, HostEngine};
use crate::runtime::signals::Signals;
use crate::runtime::stdio::say;

/// What the command line says of the app and its host.
pub(super) struct Wanted<'a> {
    pub(super) app: &'a Path,
    pub(super) manifest: Option<&'a Path>,
    pub(super) grants: &'a GrantArgs,
    pub(super) mode: &'a ModeArgs,
    pub(super) ask: &'a AskArgs,
    pub(super) net: &'a NetArgs,
    pub(super) observe: &'a ObserveArgs,
    pub(super) state: &'a StateArgs,
    pub(super) report: Option<&'a Path>,
    pub(super) output: Output,
    pub(super) quiet: bool,
    /// How many instances of the app may live at once.
    pub(super) instances: u32,
    /// Its node is joined to a network though the app imports none.
    pub(super) needs_network: bool,
}

/// How far an app came before it failed, for its report.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) app: Option<AppIdentity>,
    refused: Option<Box<Admission>>,
}

impl Progress {
    /// It came no further.
    fn refused(&mut self, admission: Box<Admission>) -> CliError {
        let error = start::refusal(&admission);
        self.refused = Some(admission);
        error
    }

    /// The report of an app that was not started.
    pub(super) fn report(&self, error: &CliError) -> Value {
        report::of_refusal(
            error.kind.word(),
            error.kind.exit_code(),
            &error.message,
            self.app.as_ref(),
            self.refused.as_deref(),
        )
    }
}

/// A host with a node, and an app that may start there.
pub(super) struct Opened {
    pub(super) host: Host,
    pub(super) node: NodeId,
    pub(super) candidate: Candidate,
    pub(super) admission: Admission,
    pub(super) consent: Consent,
}

/// Looks at the app, asks who is to be asked, opens its network.
///
/// # Errors
/// It is refused, a file is wrong, or the host cannot.
pub(super) fn open(args: &Wanted<'_>, progress: &mut Progress) -> Result<Opened, CliError> {
    let signals = Signals::remember_hangups().map_err(|error| CliError::new(Kind::Host, error))?;
    let early = run::reported(args.report)?;
    args.net.check()?;
    args.mode.check(args.report)?;
    let wanted = args.observe.wanted(args.output, args.quiet)?;
    let policies = Policies::read(args.grants.policy.as_deref())?;
    policies.warn();
    let mut asking = Asking::open(args.state, args.ask, args.output)?;
    let engine = HostEngine::new(EngineOptions {
        instances: args.instances,
        memory_bytes_cap: policies.memory_bytes_cap(),
        ..EngineOptions::default()
    })
    .map_err(|error| CliError::new(Kind::Host, error))?;
    let mut cache = args.state.cache();
    let mut candidate = Candidate::read(
        args.app,
        args.manifest,
        Some(&policies.publishers()),
        &engine,
        &mut cache,
    )?;
    progress.app = Some(candidate.identity.clone());
    for warning in cache.take_warnings() {
        say(&format!("warning: {warning}\n"));
    }
    let recording = Recording::open(args.state);
    // Before any port is opened or any packet can be sent.
    let mut gate = policies.gate();
    gate.set_mode(args.mode.mode());
    gate.set_auditor(recording.auditor());
    let consent = asking.settle(&mut gate, &candidate, args.grants.consent());
    let consent = consent.inspect_err(|_| recording.close(Instant::ZERO))?;
    let looked = admitting::look(Instant::ZERO, &mut gate, &recording, &candidate, &consent);
    let admission = looked.map_err(|refused| {
        recording.close(Instant::ZERO);
        progress.refused(refused)
    })?;

    args.mode.banner(args.output);
    let needs = args.needs_network || start::needs_network(&admission);
    let network = args.net.network(needs);
    let mut host = Host::new(engine, policies, recording, signals, args.quiet)?;
    drop(early);
    host.set_mode(args.mode.mode());
    host.observe(wanted)?;
    if let Some(path) = &args.net.pcap {
        host.driver()
            .capture(path)
            .map_err(|error| CliError::new(Kind::Host, error))?;
    }
    let node = host.add_node(&network)?;
    for port in &node.published {
        if !args.quiet {
            let line = format!("published {} -> {}\n", port.host, port.port);
            host.outputs()[1].say(&line);
        }
    }
    host.await_addresses(&[(node.id, String::new())])?;
    let files = host.obey(
        args.grants.policy.as_deref(),
        args.state.dir().as_deref(),
        args.quiet,
    )?;
    candidate.verify_again(&files.policies.publishers())?;
    asking.renew(files.remembered);
    let consent = asking.known(&candidate, args.grants.consent());
    let mut gate = files.policies.gate();
    gate.set_mode(args.mode.mode());
    let admission = host
        .look(&mut gate, &candidate, &consent)
        .map_err(|refused| progress.refused(refused))?;
    progress.app = Some(candidate.identity.clone());
    Ok(Opened {
        host,
        node: node.id,
        candidate,
        admission,
        consent,
    })
}
