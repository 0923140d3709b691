//! The folders of running apps: decided before they are opened, and judged again when the policy has changed.
//!
//! What is left of them is said to the app's state (`runtime/revoked.rs`), which ends the rest before the app's next
//! call. Variables are decided here too; one that an app has read cannot be taken back.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use nexus_caps::Shard;
use nexus_node::Event;
use nexus_policy::wasi::DirectoryMode;
use nexus_policy::{Act, Denial, Gate, Stamp};
use nexus_types::{InstanceId, Instant, NodeId};

use crate::observe::denials::Denials;
use crate::runtime::revoked::Revocations;
use crate::runtime::state::GrantedDir;

/// A folder an app has.
#[derive(Debug)]
pub(super) struct Folder {
    path: String,
    mode: DirectoryMode,
    stamp: Stamp,
}

impl Folder {
    fn act(&self) -> Act<'_> {
        self.act_in(self.mode)
    }

    fn act_in(&self, mode: DirectoryMode) -> Act<'_> {
        let path = &self.path;
        Act::OpenDirectory { path, mode }
    }
}

/// Has each variable and each folder decided by itself, as they are in the admission's report: an act each, and a record.
///
/// # Errors
/// The first that is refused, as where it cannot be recorded. Nothing may be opened then.
pub(super) fn decide(
    gate: &mut Gate,
    now: Instant,
    instance: InstanceId,
    variables: &[(String, String)],
    dirs: &[GrantedDir],
) -> Result<Vec<Folder>, Box<Denial>> {
    for (name, _) in variables {
        // Nothing of it stays: it cannot be taken back.
        let _permit = gate.decide(now, instance, &Act::SetVariable { name })?;
    }
    let folders = dirs.iter().map(|dir| {
        let mode = if dir.writable {
            DirectoryMode::Rw
        } else {
            DirectoryMode::Ro
        };
        // It was made of a text, see `start::directories`.
        let path = dir.host.to_string_lossy().into_owned();
        let permit = gate.decide(now, instance, &Act::OpenDirectory { path: &path, mode })?;
        let stamp = permit.stamp();
        Ok(Folder { path, mode, stamp })
    });
    folders.collect()
}

struct Held {
    node: NodeId,
    instance: InstanceId,
    folders: Vec<Folder>,
    revocations: Arc<Revocations>,
}

impl Held {
    /// Judges again what was judged under another policy; what is refused is told to the app's state, and here.
    fn judge(&mut self, gate: &mut Gate, now: Instant) -> Vec<Denial> {
        let mut refused = Vec::new();
        self.folders.retain_mut(|folder| {
            if gate.is_current(folder.stamp) {
                return true;
            }
            match gate.judge_again(now, folder.stamp, &folder.act()) {
                Ok(stamp) => folder.stamp = stamp,
                Err(denial) => {
                    refused.push(*denial);
                    return narrow(gate, now, folder);
                }
            }
            true
        });
        if !refused.is_empty() {
            let left = self.folders.iter();
            self.revocations
                .leave(left.map(|folder| (folder.path.clone().into(), folder.mode)));
        }
        refused
    }
}

/// Whether a folder that may no longer be written may still be read: then it is left at that.
fn narrow(gate: &mut Gate, now: Instant, folder: &mut Folder) -> bool {
    let less = DirectoryMode::Ro;
    if folder.mode == less || !gate.goes_on(now, folder.stamp, &folder.act_in(less)) {
        return false;
    }
    match gate.judge_again(now, folder.stamp, &folder.act_in(less)) {
        Ok(stamp) => {
            (folder.mode, folder.stamp) = (less, stamp);
            true
        }
        Err(_) => false,
    }
}

/// The folders of all that run.
#[derive(Clone, Default)]
pub(super) struct Folders(Rc<RefCell<Vec<Held>>>);

impl Folders {
    /// An app was given these.
    pub(super) fn hold(
        &self,
        node: NodeId,
        instance: InstanceId,
        folders: Vec<Folder>,
        revocations: &Arc<Revocations>,
    ) {
        if !folders.is_empty() {
            self.0.borrow_mut().push(Held {
                node,
                instance,
                folders,
                revocations: Arc::clone(revocations),
            });
        }
    }

    /// Ends what the policy of now does not allow, and tells it; how many folders that were. To be called after
    /// whatever may have changed the policy; where nothing has, it does nothing.
    pub(super) fn judge(&self, shard: &Shard, denials: &RefCell<Denials>) -> u64 {
        let mut ended = 0;
        self.0.borrow_mut().retain_mut(|held| {
            let (refused, now) = shard.enter(|mesh, now| {
                let gate = mesh.node_mut(held.node).gate_mut();
                // What has ended has nothing that could be taken.
                let refused = gate
                    .app(held.instance)
                    .is_some()
                    .then(|| held.judge(gate, now));
                (refused, now)
            });
            let Some(refused) = refused else {
                return false;
            };
            for denial in refused {
                ended += 1;
                let instance = held.instance;
                denials
                    .borrow_mut()
                    .take(now, Event::Denied { instance, denial });
            }
            true
        });
        ended
    }
}

#[cfg(test)]
#[path = "folders_tests.rs"]
mod tests;
