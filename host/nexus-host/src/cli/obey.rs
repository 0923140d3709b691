//! What a running host does when the operator's files have changed: by SIGHUP, or by `policy reload`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedReceiver;
use nexus_caps::Shard;
use nexus_types::NodeId;

use super::consent;
use super::folders::Folders;
use super::policies::Policies;
use super::recording::Recording;
use crate::observe::denials::Denials;
use crate::runtime::control::{Answer, Asked};
use crate::runtime::signals::Signals;
use crate::runtime::stdio::Output;

/// Reads the operator's files anew, for as long as the shard is driven.
#[derive(Clone)]
pub(super) struct Obedience {
    /// `--policy`
    pub(super) named: Option<PathBuf>,
    /// Where what persons have answered is.
    pub(super) state: Option<PathBuf>,
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

    fn reload(&mut self) -> Answer {
        let answers = |state: &PathBuf| consent::read(state);
        let read = Policies::read(self.named.as_deref()).and_then(|policies| {
            let remembered = self.state.as_ref().map(answers).transpose()?;
            Ok((policies, remembered.unwrap_or_default()))
        });
        let (policies, remembered) = match read {
            Ok(read) => read,
            Err(error) => {
                let text = format!(
                    "the policy was not reloaded, the one before holds: {}",
                    error.message
                );
                self.stderr.say(&format!("error: {text}\n"));
                self.recording
                    .policy(self.shard.latest(), "policy-kept", "");
                return Answer {
                    ok: false,
                    text,
                    ended: 0,
                };
            }
        };
        let nodes = self.nodes.borrow().clone();
        let ended = |shard: &Shard| -> u64 {
            let of = |node: &NodeId| shard.look(|mesh| mesh.node(*node).revoked());
            nodes.iter().map(of).sum()
        };
        let before = ended(&self.shard);
        // Recorded first: what ends is recorded after why.
        self.recording
            .policy(self.shard.now(), "policy-reloaded", &policies.files());
        for node in &nodes {
            self.shard.enter(|mesh, now| {
                let gate = mesh.node_mut(*node).gate_mut();
                policies.set(gate, now);
                consent::renew(gate, now, &remembered);
            });
        }
        let ended = ended(&self.shard) - before + self.folders.judge(&self.shard, &self.denials);
        let things = if ended == 1 { "handle" } else { "handles" };
        let text = format!("the policy was reloaded; {ended} open {things} ended");
        if !self.quiet {
            self.stderr.say(&format!("{text}\n"));
        }
        Answer {
            ok: true,
            text,
            ended,
        }
    }
}
