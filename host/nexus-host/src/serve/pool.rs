//! Which instance takes which request.
//!
//! A request goes to an instance that is idle, the one used last first, so that those a burst needed fall idle and
//! end. Only where none can take it is another one started; where there may be no more, it waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use futures::channel::oneshot;
use nexus_types::{Duration, Instant};
use wasmtime_wasi_http::WasiBody;

use super::app::App;
use super::exchange::{Answer, Exchange, Failure};
use super::{Settings, worker};
use crate::driver::Spawner;
use crate::runtime::shown;
use crate::runtime::stdio::Stdout;

/// How often a fault of the app's is told in full. Stops clients that know how to make it trap from filling the
/// operator's terminal; each is in the access log.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Room for what is told: a trap and its backtrace.
const TOLD_BYTES: usize = 8 << 10;
const LINES: usize = 16;
const LINE_CHARS: usize = 400;

/// A request that waits for an instance.
pub(super) struct Job {
    pub(super) request: http::Request<WasiBody>,
    pub(super) answer: oneshot::Sender<Answer>,
    pub(super) exchange: Rc<Exchange>,
}

/// Which instance.
pub(super) type Number = u64;

/// See the module.
pub(super) struct Pool {
    app: App,
    settings: Settings,
    spawner: Spawner,
    /// What the app calls itself.
    name: String,
    stderr: Option<Stdout>,
    lack: RefCell<Option<oneshot::Sender<String>>>,
    told: Cell<Option<Instant>>,
    jobs: RefCell<VecDeque<Job>>,
    /// Instances that can take a request, the one used last at the end.
    waiting: RefCell<Vec<(Number, Waker)>>,
    /// Instances that were woken to take a request and had no turn yet.
    called: Cell<usize>,
    instances: Cell<usize>,
    numbers: Cell<Number>,
}

impl Pool {
    pub(super) fn new(
        app: App,
        settings: Settings,
        spawner: Spawner,
        (name, stderr): (String, Option<Stdout>),
    ) -> Self {
        Self {
            name,
            app,
            settings,
            spawner,
            stderr,
            lack: RefCell::new(None),
            told: Cell::new(None),
            jobs: RefCell::default(),
            waiting: RefCell::default(),
            called: Cell::new(0),
            instances: Cell::new(0),
            numbers: Cell::new(0),
        }
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many instances were started.
    pub(super) fn started(&self) -> u64 {
        self.app.started()
    }

    /// How many instances there are.
    #[cfg(test)]
    pub(super) fn living(&self) -> usize {
        self.instances.get()
    }

    /// Has a request answered.
    pub(super) fn submit(self: &Rc<Self>, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        // One that was called looks further when it had its turn.
        if self.called.get() == 0 {
            self.dispatch();
        }
    }

    /// Whether a request waits.
    pub(super) fn has_job(&self) -> bool {
        !self.jobs.borrow().is_empty()
    }

    /// The request that waited longest, of those that somebody still waits for.
    pub(super) fn take(&self) -> Option<Job> {
        let mut jobs = self.jobs.borrow_mut();
        loop {
            let job = jobs.pop_front()?;
            if !job.exchange.is_gone() {
                return Some(job);
            }
        }
    }

    /// Calls, or starts, an instance for the requests that wait.
    pub(super) fn dispatch(self: &Rc<Self>) {
        if !self.has_job() {
            return;
        }
        let waiting = self.waiting.borrow_mut().pop();
        if let Some((_, waker)) = waiting {
            self.called.set(self.called.get() + 1);
            waker.wake();
        } else if self.instances.get() < self.settings.requests {
            self.instances.set(self.instances.get() + 1);
            // It counts as called until it has had its first turn.
            self.called.set(self.called.get() + 1);
            let number = self.numbers.get();
            self.numbers.set(number + 1);
            let pool = self.clone();
            self.spawner.spawn(worker::run(pool, number));
        }
    }

    /// An instance can take a request: `waker` calls it.
    pub(super) fn wait(&self, number: Number, waker: &Waker) {
        self.waiting.borrow_mut().push((number, waker.clone()));
    }

    /// An instance that waited has its turn: it waits no longer.
    pub(super) fn begin_turn(&self, number: Number) {
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting.iter().rposition(|(other, _)| *other == number);
        match place {
            Some(place) => {
                waiting.remove(place);
            }
            // It stood there, and somebody took it off: it was called.
            None => self.called.set(self.called.get().saturating_sub(1)),
        }
    }

    /// An instance has ended.
    pub(super) fn ended(self: &Rc<Self>) {
        self.instances.set(self.instances.get().saturating_sub(1));
        self.dispatch();
    }

    /// Who is to know why an instance could not be started.
    pub(super) fn tell_lack(&self, to: oneshot::Sender<String>) {
        *self.lack.borrow_mut() = Some(to);
    }

    /// Tells the operator what an app did wrong; not each time.
    pub(super) fn tell(&self, failure: &Failure, text: &str) {
        if *failure == Failure::NoInstance
            && let Some(to) = self.lack.borrow_mut().take()
        {
            // Whoever asked may be gone.
            let _ = to.send(text.to_owned());
        }
        let now = self.app.shard().latest();
        let again = self.told.get().is_none_or(|told| now - told >= TOLD_EVERY);
        if let Some(stderr) = self.stderr.as_ref().filter(|_| again)
            && stderr.has_room(TOLD_BYTES)
        {
            self.told.set(Some(now));
            // What comes of the app begins no line.
            let lines = text
                .lines()
                .take(LINES)
                .map(|line| shown::line(line, LINE_CHARS));
            let text = lines.collect::<Vec<_>>().join("\n  ");
            let what = failure.word();
            stderr.say(&format!("{what}  {}: {text}\n", self.name));
        }
    }
}
