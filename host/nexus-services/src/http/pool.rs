//! Idle connections, each for those alone who could have opened it.

use core::net::SocketAddr;
use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexus_types::{Duration, Instant, PolicyEpoch, limits};

use super::Scheme;
use super::connection::Connection;
use super::network::Caller;
use super::url::Host;

/// Everything that was true when a connection was opened and has to be when it is used again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Key {
    pub(super) caller: Caller,
    pub(super) grant: u64,
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) address: SocketAddr,
    pub(super) tls: u64,
    pub(super) epoch: PolicyEpoch,
}

struct Idle<C> {
    key: Key,
    connection: Connection<C>,
    until: Instant,
}

struct State<C> {
    /// The one idle longest first.
    idle: VecDeque<Idle<C>>,
    /// Who keeps an eye on them.
    keeper: Option<Waker>,
}

/// The pool. Clones are the same pool; `C` names a connection's stream to the network.
pub(super) struct Pool<C>(Arc<Mutex<State<C>>>);

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            idle: VecDeque::new(),
            keeper: None,
        })))
    }
}

impl<C> Pool<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        // A panic in hyper while it is held leaves a list of connections, each whole or gone.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last that fits and still lives; those found dead are dropped.
    pub(super) fn take(&self, key: &Key, now: Instant) -> Option<Connection<C>> {
        let mut state = self.state();
        loop {
            let at = state.idle.iter().rposition(|idle| idle.key == *key)?;
            let mut idle = state.idle.remove(at)?;
            if idle.until > now && idle.connection.is_idle() {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection if it can be asked again.
    pub(super) fn put(&self, key: Key, mut connection: Connection<C>, now: Instant) {
        if !connection.is_idle() {
            return;
        }
        let mut state = self.state();
        let of_key = state.idle.iter().filter(|idle| idle.key == key).count();
        let makes_room = if of_key >= limits::HTTP_POOL_HOST {
            state.idle.iter().position(|idle| idle.key == key)
        } else if state.idle.len() >= limits::HTTP_POOL {
            Some(0)
        } else {
            None
        };
        if let Some(at) = makes_room {
            state.idle.remove(at);
        }
        state.idle.push_back(Idle {
            key,
            connection,
            until: now + Duration::from_micros(limits::HTTP_POOL_IDLE_MICROS),
        });
        if let Some(keeper) = state.keeper.take() {
            keeper.wake();
        }
    }

    /// Closes the one that `caller` has had idle longest, if it has any.
    pub(super) fn make_room(&self, caller: Caller) -> bool {
        let mut state = self.state();
        let at = state.idle.iter().position(|idle| idle.key.caller == caller);
        at.and_then(|at| state.idle.remove(at)).is_some()
    }

    /// Closes what `caller` left.
    pub(super) fn end(&self, caller: Caller) {
        self.state().idle.retain(|idle| idle.key.caller != caller);
    }

    /// Closes what is over: idle for too long, of an earlier epoch, or closed by the far end. Gives when to look
    /// again; `cx` is woken when something happens before.
    pub(super) fn sweep(
        &self,
        now: Instant,
        epoch: PolicyEpoch,
        cx: &mut Context<'_>,
    ) -> Option<Instant> {
        let mut state = self.state();
        state.keeper = Some(cx.waker().clone());
        state.idle.retain_mut(|idle| {
            idle.until > now && idle.key.epoch == epoch && idle.connection.drive(cx).is_pending()
        });
        state.idle.iter().map(|idle| idle.until).min()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.state().idle.len()
    }
}
