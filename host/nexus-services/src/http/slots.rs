//! How many requests of an app run at once, first come first served, and the end of them all.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use nexus_types::limits;

use super::error::Error;
use super::network::Caller;

const WAITS: u8 = 0;
const RUNS: u8 = 1;
const ENDED: u8 = 2;

/// One request, waiting or running.
struct Line {
    state: AtomicU8,
    at_most: usize,
    waker: AtomicWaker,
}

impl Line {
    fn become_(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.waker.wake();
    }
}

#[derive(Default)]
struct App {
    running: Vec<Arc<Line>>,
    waiting: VecDeque<Arc<Line>>,
}

impl App {
    /// Lets those in front run, as many as may.
    fn promote(&mut self) {
        while let Some(line) = self
            .waiting
            .pop_front_if(|line| self.running.len() < line.at_most)
        {
            line.become_(RUNS);
            self.running.push(line);
        }
    }
}

/// All apps' requests.
#[derive(Clone, Default)]
pub(super) struct Slots(Arc<Mutex<BTreeMap<Caller, App>>>);

impl Slots {
    fn apps(&self) -> MutexGuard<'_, BTreeMap<Caller, App>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the line of `caller`, of whose requests `at_most` run at once.
    pub(super) fn enter(&self, caller: Caller, at_most: u32) -> Result<Slot, Error> {
        let mut apps = self.apps();
        let app = apps.entry(caller).or_default();
        if app.waiting.len() >= limits::HTTP_WAITING as usize {
            return Err(Error::TooMany);
        }
        let line = Arc::new(Line {
            state: AtomicU8::new(WAITS),
            at_most: usize::try_from(at_most.max(1)).unwrap_or(usize::MAX),
            waker: AtomicWaker::new(),
        });
        app.waiting.push_back(line.clone());
        app.promote();
        drop(apps);
        Ok(Slot {
            slots: self.clone(),
            caller,
            line,
        })
    }

    /// Ends whatever `caller` has under way.
    pub(super) fn end(&self, caller: Caller) {
        if let Some(app) = self.apps().remove(&caller) {
            for line in app.running.iter().chain(&app.waiting) {
                line.become_(ENDED);
            }
        }
    }
}

/// A place in the line; dropped, it makes room.
pub(super) struct Slot {
    slots: Slots,
    caller: Caller,
    line: Arc<Line>,
}

impl Slot {
    /// Ready when it is this request's turn.
    pub(super) async fn turn(&self) {
        poll_fn(|cx| {
            self.line.waker.register(cx.waker());
            match self.line.state.load(Ordering::Acquire) {
                WAITS => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Whether the app ended. Wakes the task when it does.
    pub(super) fn is_ended(&self, cx: &mut Context<'_>) -> bool {
        self.line.waker.register(cx.waker());
        self.line.state.load(Ordering::Acquire) == ENDED
    }

    /// `future`, unless the app ends first.
    pub(super) async fn unless_ended<T>(
        &self,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.is_ended(cx) {
                return Poll::Ready(Err(Error::Ended));
            }
            future.as_mut().poll(cx)
        })
        .await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut apps = self.slots.apps();
        if let Some(app) = apps.get_mut(&self.caller) {
            app.running.retain(|line| !Arc::ptr_eq(line, &self.line));
            app.waiting.retain(|line| !Arc::ptr_eq(line, &self.line));
            app.promote();
            if app.running.is_empty() && app.waiting.is_empty() {
                apps.remove(&self.caller);
            }
        }
    }
}
