//! What a running host does when the operator's files have changed: by SIGHUP, or by `policy reload`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedReceiver;
use nexus_caps::Shard;
use nexus_policy::Remembered;
use nexus_types::{InstanceId, NodeId};

use super::folders::Folders;
use super::policies::Policies;
use super::recording::Recording;
use super::{CliError, consent};
use crate::observe::denials::Denials;
use crate::runtime::control::{Answer, Asked};
use crate::runtime::signals::Signals;
use crate::runtime::stdio::Output;

/// What the operator's files and the answers of persons said when last they could be read.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) policies: Policies,
    pub(super) remembered: Remembered,
}

impl Files {
    /// Reads what is remembered in a state folder; none: nothing is.
    fn remembered(state: Option<&Path>) -> Result<Remembered, CliError> {
        Ok(state.map(consent::read).transpose()?.unwrap_or_default())
    }
}

/// Reads the operator's files anew, for as long as the shard is driven.
#[derive(Clone)]
pub(super) struct Obedience {
    /// `--policy`
    pub(super) named: Option<PathBuf>,
    /// Where what persons have answered is.
    pub(super) state: Option<PathBuf>,
    pub(super) files: Rc<RefCell<Files>>,
    /// The apps whose answers are by their digest alone: nobody signed what they call themselves.
    pub(super) by_digest: Rc<RefCell<BTreeSet<InstanceId>>>,
    pub(super) shard: Shard,
    pub(super) nodes: Rc<RefCell<Vec<NodeId>>>,
    pub(super) folders: Folders,
    /// Who tells what has ended.
    pub(super) denials: Rc<RefCell<Denials>>,
    pub(super) recording: Recording,
    /// Where it is told; a policy that was kept is told in any case.
    pub(super) stderr: Output,
    pub(super) quiet: bool,
}

impl Obedience {
    /// Does so whenever a SIGHUP comes.
    pub(super) async fn on_hangup(mut self, signals: Signals) {
        let mut seen = 0;
        loop {
            seen = signals.hangup(seen).await;
            self.reload();
        }
    }

    /// Does so whenever it is asked.
    pub(super) async fn on_request(mut self, mut asked: UnboundedReceiver<Asked>) {
        while let Some(asked) = asked.next().await {
            let answer = self.reload();
            asked.answer(answer);
        }
    }

    /// Reads them before the first app is admitted: they may have changed since they were read first, while a person
    /// was asked or the network was waited for, and nobody could say so.
    ///
    /// # Errors
    /// One cannot be read: nothing may start.
    pub(super) fn begin(&self) -> Result<Files, CliError> {
        let files = Files {
            policies: Policies::read(self.named.as_deref())?,
            remembered: Files::remembered(self.state.as_deref())?,
        };
        for node in self.nodes.borrow().iter() {
            self.shard
                .enter(|mesh, now| files.policies.set(mesh.node_mut(*node).gate_mut(), now));
        }
        *self.files.borrow_mut() = files.clone();
        Ok(files)
    }

    fn reload(&mut self) -> Answer {
        // Each by itself: a mistake in one keeps nobody from forbidding by the other.
        let policies = Policies::read(self.named.as_deref());
        let remembered = Files::remembered(self.state.as_deref());
        let (mut ok, mut told, mut later) = (true, Vec::new(), Vec::new());
        let now = self.shard.now();
        // Recorded first: what ends is recorded after why.
        match policies {
            Ok(policies) => {
                self.recording
                    .policy(now, "policy-reloaded", &policies.files());
                told.push("the policy was reloaded".to_owned());
                let before = self.files.borrow().policies.clone();
                later = from_the_next_start(&before, &policies);
                self.files.borrow_mut().policies = policies;
            }
            Err(error) => {
                self.recording.policy(now, "policy-kept", "");
                ok = false;
                told.push(format!(
                    "the policy was not reloaded, the one before holds: {}",
                    error.message
                ));
            }
        }
        match remembered {
            Ok(remembered) => self.files.borrow_mut().remembered = remembered,
            Err(error) => {
                self.recording.policy(now, "consent-kept", "");
                ok = false;
                told.push(format!(
                    "what persons answered was not read anew, what they said before holds: {}",
                    error.message
                ));
            }
        }
        let before = self.revoked();
        let unnamed = self.apply();
        let ended = self.revoked() - before + self.folders.judge(&self.shard, &self.denials);
        let things = if ended == 1 { "handle" } else { "handles" };
        told.push(format!("{ended} open {things} ended"));
        if unnamed > 0 {
            let apps = if unnamed == 1 { "app" } else { "apps" };
            told.push(format!(
                "{unnamed} {apps} signed by a key that no policy names any more: what was answered for that \
                 publisher holds no longer, and the next start is one of an app that nobody signed"
            ));
        }
        told.extend(later.into_iter().map(str::to_owned));
        let text = told.join("; ");
        if !ok {
            self.stderr.say(&format!("error: {text}\n"));
        } else if !self.quiet {
            self.stderr.say(&format!("{text}\n"));
        }
        Answer { ok, text, ended }
    }

    /// How many handles have ended so far.
    fn revoked(&self) -> u64 {
        let of = |node: &NodeId| self.shard.look(|mesh| mesh.node(*node).revoked());
        self.nodes.borrow().iter().map(of).sum()
    }

    /// Has all gates go by the files; how many running apps are signed by a key that none of them names.
    fn apply(&self) -> usize {
        let files = self.files.borrow();
        let publishers = files.policies.publishers();
        let by_digest = self.by_digest.borrow();
        let mut unnamed = 0;
        for node in self.nodes.borrow().iter() {
            self.shard.enter(|mesh, now| {
                let gate = mesh.node_mut(*node).gate_mut();
                files.policies.set(gate, now);
                let gone = |key| !publishers.has(key);
                unnamed += (gate.apps())
                    .filter(|(_, app)| app.publisher.is_some_and(gone))
                    .count();
                consent::renew(gate, now, &files.remembered, |instance, key| {
                    publishers.has(key) && !by_digest.contains(&instance)
                });
            });
        }
        unnamed
    }
}

/// What of a new policy does nothing to apps that run: they were looked at when they were loaded.
fn from_the_next_start(before: &Policies, after: &Policies) -> Vec<&'static str> {
    let mut later = Vec::new();
    if after.publishers().has_more_than(&before.publishers()) {
        later.push("a key named anew counts from the next start of what it signed");
    }
    if after.require_signature() && !before.require_signature() {
        later.push("`require-signature` holds from the next start");
    }
    later
}
