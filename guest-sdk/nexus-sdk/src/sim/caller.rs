//! Which app it is that calls: the one whose turn it is on this thread.

use std::cell::RefCell;
use std::rc::Rc;

use nexus_node::{NetError, Node};
use nexus_policy::{Act, Permit};
use nexus_types::{InstanceId, Instant};

use super::fate::Fate;
use super::shell::{Shell, Sleep};
use crate::host::Output;

thread_local! {
    /// Whose turn it is.
    static CURRENT: RefCell<Option<Rc<Caller>>> = const { RefCell::new(None) };
}

/// A running app, as the host knows it. No function takes "who am I": this is who.
pub(super) struct Caller {
    pub(super) shell: Rc<Shell>,
    pub(super) instance: InstanceId,
    pub(super) arguments: Vec<String>,
    /// `wasi:random/insecure-seed`: the same for the whole run of an app.
    pub(super) insecure_seed: (u64, u64),
    pub(super) fate: Rc<RefCell<Fate>>,
    /// What it wrote since its last turn, for the trace.
    pub(super) written: RefCell<Vec<u8>>,
}

impl Caller {
    /// The app whose turn it is.
    ///
    /// # Panics
    /// It is nobody's: `call` was made outside of an app.
    #[track_caller]
    pub(super) fn current(call: &str) -> Rc<Self> {
        Self::current_if_any().unwrap_or_else(|| {
            panic!(
                "`{call}` was called outside of a simulated app: there is no node it could act on. Give the code that \
                 calls it to `nexus_sdk::sim::World`: `world.node(...).app(...).start(...)`, then `world.run(...)`"
            )
        })
    }

    pub(super) fn current_if_any() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Makes it the one whose turn it is, until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Entered {
        Entered(CURRENT.replace(Some(self.clone())))
    }

    /// That a socket is used by the app that has it: handles are an app's own.
    ///
    /// # Panics
    /// It is used by another one, or outside of any.
    #[track_caller]
    pub(super) fn check(self: &Rc<Self>, call: &str) {
        assert!(
            Rc::ptr_eq(&Self::current(call), self),
            "`{call}` on a socket of another app: apps share none; let each open its own"
        );
    }

    /// Acts on the node, then moves what the act set in motion.
    pub(super) fn node<R>(&self, act: impl FnOnce(&mut Node, Instant) -> R) -> R {
        self.shell.node(act)
    }

    /// Asks the gate.
    pub(super) fn permit(&self, act: &Act<'_>) -> Result<Permit, NetError> {
        self.node(|node, now| node.permit(now, self.instance, act))
    }

    pub(super) fn write(&self, output: Output, bytes: &[u8]) {
        self.fate.borrow_mut().put(output, bytes);
        self.written.borrow_mut().extend_from_slice(bytes);
    }

    pub(super) fn sleep_until(&self, deadline: Instant) -> Sleep {
        self.shell.sleep_until(deadline)
    }
}

/// See [`Caller::enter`]. Whose turn it was before.
pub(super) struct Entered(Option<Rc<Caller>>);

impl Drop for Entered {
    fn drop(&mut self) {
        // Out of the cell first: a caller that is dropped closes what it holds.
        let _left = CURRENT.replace(self.0.take());
    }
}
