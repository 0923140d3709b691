//! What the apps of a scenario share: a thousand nodes with the same app have its code once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use nexus_policy::switch::Site;
use nexus_policy::{Consent, Gate, Policy, Topology};
use nexus_types::Instant;
use wasmtime::component::{Component, Linker};

use super::file::regular;
use super::plan::WALL;
use super::run::host_error;
use super::scenario::App;
use crate::cli::app::Candidate;
use crate::cli::publishers::Publishers;
use crate::cli::{CliError, Kind, start};
use crate::runtime::cache::CodeCache;
use crate::runtime::engine::HostEngine;
use crate::runtime::instance::{self, PrepareError};
use crate::runtime::state::AppState;
use crate::serve::{Handler, Servable};

/// Linked, for any number of machines.
#[derive(Clone)]
pub(super) enum Entry {
    /// Runs to its end.
    Run(Arc<instance::Prepared>),
    /// Answers HTTP.
    Serve(Servable),
}

impl Entry {
    fn new(
        linker: &Linker<AppState>,
        component: &Component,
        serves: bool,
    ) -> Result<Self, CliError> {
        let made = if serves {
            Servable::new(linker, component).map(Self::Serve)
        } else {
            instance::Prepared::new(linker, component).map(|made| Self::Run(Arc::new(made)))
        };
        made.map_err(|error| {
            let told = host_error(&error);
            match error {
                PrepareError::NothingToRun(exports) if Handler::of(&exports).is_some() => {
                    told.hint("it answers HTTP requests: serve = PORT of its [[node.app]]")
                }
                PrepareError::NothingToServe(_) => {
                    told.hint("leave `serve` out of its [[node.app]]")
                }
                _ => told,
            }
        })
    }
}

/// Linked; or why it was refused before it started.
pub(super) type Linked = Result<Entry, String>;

/// What was linked already, and what for.
struct Known {
    candidate: Arc<Candidate>,
    consent: Consent,
    policy: Option<PathBuf>,
    serves: bool,
    linked: Linked,
}

/// See the module.
#[derive(Default)]
pub(super) struct Shelf {
    /// By component, manifest, and the policy that says whose signature counts.
    candidates: BTreeMap<(PathBuf, Option<PathBuf>, Option<PathBuf>), Arc<Candidate>>,
    linked: Vec<Known>,
    /// Of the node at hand, and its file.
    pub(super) policy: (Option<PathBuf>, Policy),
}

impl Shelf {
    pub(super) fn candidate(
        &mut self,
        app: &App,
        engine: &HostEngine,
        cache: &mut CodeCache,
    ) -> Result<Arc<Candidate>, CliError> {
        let policy = self.policy.0.clone();
        let key = (app.component.clone(), app.manifest.clone(), policy);
        if let Some(known) = self.candidates.get(&key) {
            return Ok(known.clone());
        }
        for path in [Some(&app.component), app.manifest.as_ref()]
            .into_iter()
            .flatten()
        {
            regular(path)?;
        }
        let read = Candidate::read(
            &app.component,
            app.manifest.as_deref(),
            Some(&Publishers::of([&self.policy.1])),
            engine,
            cache,
        )?;
        let read = Arc::new(read);
        self.candidates.insert(key, read.clone());
        Ok(read)
    }

    /// Of the node at hand.
    pub(super) fn gate(&self) -> Gate {
        let mut gate = Gate::new(Topology::default());
        let policy = self.policy.1.clone();
        gate.set_policies(Instant::ZERO, WALL, Policy::none(), policy);
        gate
    }

    pub(super) fn link(
        &mut self,
        candidate: &Arc<Candidate>,
        consent: &Consent,
        serves: bool,
        engine: &HostEngine,
    ) -> Result<Linked, CliError> {
        let known = self.linked.iter().find(|known| {
            Arc::ptr_eq(&known.candidate, candidate)
                && known.consent == *consent
                && known.policy == self.policy.0
                && known.serves == serves
        });
        if let Some(known) = known {
            return Ok(known.linked.clone());
        }
        let gate = self.gate();
        let admission = candidate.examine(&gate, consent);
        if !start::directories(&admission, &candidate.manifest).is_empty() {
            // What is in it, and what runs at the same time leave in it, would decide over a run.
            let message = format!(
                "{} is granted folders of this machine, which a simulated world does not have",
                candidate.identity.id
            );
            let hint = "leave wasi.dirs out of `allow`, and [wasi] dirs out of the manifest it is tested with";
            return Err(CliError::new(Kind::Config, message).hint(hint));
        }
        let linked = if admission.admitted || Site::AdmitSim.is_off() {
            let linker = start::link(engine, candidate, &admission)
                .map_err(|error| host_error(format!("{error:#}")))?;
            Ok(Entry::new(&linker, &candidate.component, serves)?)
        } else {
            let text = admission.text();
            Err(format!(
                "{}\n  in a scenario: consent = \"manifest\" or \"yes\", or allow = [\"CAPABILITY=RULE\"] of its [[node.app]], policy = \"...\" of its [[node]]",
                text.trim_end()
            ))
        };
        self.linked.push(Known {
            candidate: candidate.clone(),
            consent: consent.clone(),
            policy: self.policy.0.clone(),
            serves,
            linked: linked.clone(),
        });
        Ok(linked)
    }
}
