//! Runs an app's `wasi:cli/run`, 0.2 or 0.3, to its end, whatever that is.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::{p2, p3};

use super::engine::Slices;
use super::imports;
use super::limits::{Ledger, Refused};
use super::shown;
use super::signals::Signal;
use super::state::AppState;
use super::stdio::Output;
use crate::driver::give_way;

/// Frames of a trap's backtrace that are shown.
const FRAMES_SHOWN: usize = 8;

/// How an app ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// By itself, with this code.
    Exit(u8),
    /// It broke a rule of WebAssembly, of an interface, or of its limits.
    Trap(String),
    /// Its time was over.
    Deadline(Duration),
    /// A person or a supervisor ended it.
    Interrupted(Signal),
    /// It was ended in order: its world ended, and it was in the background of it; or it served, and a person or
    /// a supervisor said that was enough.
    Stopped,
    /// The host could not start it.
    Failed(String),
}

impl Outcome {
    /// The process's exit code (DESIGN section 10).
    pub fn code(&self) -> u8 {
        match self {
            Self::Exit(code) => *code,
            Self::Trap(_) => 134,
            Self::Deadline(_) => 124,
            Self::Interrupted(signal) => signal.exit_code(),
            Self::Stopped => 0,
            Self::Failed(_) => 1,
        }
    }

    /// The stable word of reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Trap(_) => "trap",
            Self::Deadline(_) => "deadline",
            Self::Interrupted(_) => "interrupted",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }
}

/// What an app used.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// From its start to its end, on the shard's clock.
    pub wall: Duration,
    /// What of that the shard worked for it, host calls included.
    pub cpu: Duration,
    /// How often it was made to yield.
    pub slices: u64,
    /// The most memory it had at any time.
    pub memory_bytes_peak: u64,
    /// The most table elements it had at any time.
    pub table_elements_peak: u64,
    /// What it used of its node.
    pub net: nexus_node::Usage,
}

/// An app that ran.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// It asked for more than a limit of its own lets it have.
    pub over_limit: bool,
}

/// An app that is linked and can be started, any number of times.
pub struct Prepared(Entry);

enum Entry {
    P2(p2::bindings::CommandPre<AppState>),
    P3(p3::bindings::CommandPre<AppState>),
}

/// Why a linked component cannot be started.
#[derive(Debug)]
pub enum PrepareError {
    /// It exports no `wasi:cli/run`; what it does export.
    NothingToRun(Vec<String>),
    /// It exports nothing that answers HTTP requests; what it does export.
    NothingToServe(Vec<String>),
    /// Imports and linker do not fit; after admission that is a fault of ours, or an interface
    /// whose types differ from the released ones.
    Link(String),
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToRun(exports) => {
                write!(
                    f,
                    "nothing to run: the component exports no wasi:cli/run@0.2 or @0.3"
                )?;
                list(f, exports)
            }
            Self::NothingToServe(exports) => {
                write!(
                    f,
                    "nothing to serve: the component exports no wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3"
                )?;
                list(f, exports)
            }
            Self::Link(why) => write!(f, "the component does not fit this host: {why}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, exports: &[String]) -> fmt::Result {
    match exports {
        [] => write!(f, " (it exports nothing)"),
        exports => write!(f, " (it exports {})", exports.join(", ")),
    }
}

impl std::error::Error for PrepareError {}

impl Prepared {
    /// Checks every import against the linker. The linker is not needed afterwards.
    pub fn new(linker: &Linker<AppState>, component: &Component) -> Result<Self, PrepareError> {
        let engine = linker.engine();
        let exports = imports::exports(engine, component);
        let run = |track: &str| {
            exports
                .iter()
                .any(|name| name.starts_with(&format!("wasi:cli/run@{track}.")))
        };
        let link = |error: wasmtime::Error| PrepareError::Link(format!("{error:#}"));
        let entry = match (run("0.3"), run("0.2")) {
            (true, _) => {
                let pre = linker.instantiate_pre(component).map_err(link)?;
                Entry::P3(p3::bindings::CommandPre::new(pre).map_err(link)?)
            }
            (false, true) => {
                let pre = linker.instantiate_pre(component).map_err(link)?;
                Entry::P2(p2::bindings::CommandPre::new(pre).map_err(link)?)
            }
            (false, false) => return Err(PrepareError::NothingToRun(exports)),
        };
        Ok(Self(entry))
    }

    fn engine(&self) -> &Engine {
        match &self.0 {
            Entry::P2(pre) => pre.engine(),
            Entry::P3(pre) => pre.engine(),
        }
    }

    /// Starts the app and stays with it to its end, or until `ended_by` completes. Runs on any
    /// executor, on one thread. `after_turn` is called whenever the app has had one.
    pub async fn run(
        &self,
        state: AppState,
        outputs: &[Output],
        ended_by: impl Future<Output = Outcome>,
        mut after_turn: impl FnMut(),
    ) -> Ended {
        let mut ended_by = pin!(ended_by);
        let caller = state.caller().clone();
        let http = state.client().clone();
        let shard = caller.shard.clone();
        let limits = *state.ledger.limits();
        let started = shard.now();
        let mut store = match new_store(self.engine(), state) {
            Ok(store) => store,
            Err(why) => {
                shard.enter(|mesh, now| mesh.node_mut(caller.node).end(now, caller.instance));
                return Ended {
                    outcome: Outcome::Failed(why),
                    usage: Usage::default(),
                    over_limit: false,
                };
            }
        };

        let mut cpu = Duration::ZERO;
        let outcome = {
            let mut guest = pin!(self.call(&mut store));
            let deadline = limits
                .deadline
                .map(|deadline| (deadline, shard.sleep_until(started + deadline)));
            let mut deadline = pin_option(deadline);
            std::future::poll_fn(|cx| {
                // The guest first: what ends by itself at its deadline has ended by itself.
                // Read by the driver between turns; the guest's calls see that time, too.
                let begun = shard.latest();
                let polled = guest.as_mut().poll(cx);
                cpu += shard.now().saturating_since(begun);
                // What is done beside its course goes on as long as it runs.
                http.poll(cx);
                after_turn();
                if let Poll::Ready(outcome) = polled {
                    return Poll::Ready(outcome);
                }
                if let Some((length, sleep)) = &mut deadline
                    && sleep.as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Outcome::Deadline(*length));
                }
                ended_by.as_mut().poll(cx)
            })
            .await
        };
        let mut usage = Usage {
            wall: Duration::ZERO,
            cpu,
            slices: store.data().ledger.slices(),
            memory_bytes_peak: store.data().ledger.memory_bytes_peak(),
            table_elements_peak: store.data().ledger.table_elements_peak(),
            net: nexus_node::Usage::default(),
        };
        let outcome = with_hint(outcome, &store);
        let over_limit = store.data().ledger.refused().is_some();
        // Its handles end here, each in its own way; what is still open then, with the instance.
        drop(store);
        http.end();
        let (net, ended) =
            shard.enter(|mesh, now| (mesh.node_mut(caller.node).end(now, caller.instance), now));
        usage.net = net;
        usage.wall = ended.saturating_since(started);
        if matches!(outcome, Outcome::Exit(_) | Outcome::Trap(_)) {
            let until = limits
                .deadline
                .map(|deadline| shard.sleep_until(started + deadline));
            flush(outputs, until, ended_by).await;
        }
        Ended {
            outcome,
            usage,
            over_limit,
        }
    }

    async fn call(&self, store: &mut Store<AppState>) -> Outcome {
        match &self.0 {
            Entry::P2(pre) => {
                let command = match pre.instantiate_async(&mut *store).await {
                    Ok(command) => command,
                    Err(error) => return of_start_error(&error),
                };
                of_result(command.wasi_cli_run().call_run(&mut *store).await)
            }
            Entry::P3(pre) => {
                let command = match pre.instantiate_async(&mut *store).await {
                    Ok(command) => command,
                    Err(error) => return of_start_error(&error),
                };
                let ran = store
                    .run_concurrent(async |accessor| {
                        command.wasi_cli_run().call_run(accessor).await
                    })
                    .await;
                of_result(ran.and_then(|result| result))
            }
        }
    }
}

/// A store with all limits of its app on.
///
/// # Errors
/// Why the host cannot start another instance.
pub(crate) fn new_store(engine: &Engine, state: AppState) -> Result<Store<AppState>, String> {
    let limits = *state.ledger.limits();
    let mut store = Store::try_new(engine, state)
        .map_err(|error| format!("no room for another app: {error:#}"))?;
    store.limiter(|state| &mut state.ledger);
    store.set_hostcall_fuel(usize::try_from(limits.hostcall_bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(limits.handles as usize);
    slice(&mut store).map_err(|error| format!("it cannot be made to give way: {error:#}"))?;
    Ok(store)
}

/// Sees to it that a guest that computes gives way.
fn slice(store: &mut Store<AppState>) -> wasmtime::Result<()> {
    match store.data().slices {
        Slices::Ticks => {
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|mut store| {
                store.data_mut().ledger.count_slice();
                give_way();
                Ok(UpdateDeadline::Yield(1))
            });
            Ok(())
        }
        Slices::Fuel(fuel) => {
            store.set_fuel(u64::MAX)?;
            store.fuel_async_yield_interval(Some(fuel))
        }
    }
}

type PinnedSleep = Pin<Box<nexus_caps::Sleep>>;

fn pin_option(deadline: Option<(Duration, nexus_caps::Sleep)>) -> Option<(Duration, PinnedSleep)> {
    deadline.map(|(length, sleep)| (length, Box::pin(sleep)))
}

/// Waits until what the app wrote has left the process; a reader that never reads is not
/// waited for past the app's deadline or whatever else ends it.
async fn flush(
    outputs: &[Output],
    until: Option<nexus_caps::Sleep>,
    mut ended_by: Pin<&mut impl Future<Output = Outcome>>,
) {
    let mut drained = pin!(async {
        for output in outputs {
            output.drained().await;
        }
    });
    let mut until = until.map(Box::pin);
    std::future::poll_fn(|cx| {
        let over = drained.as_mut().poll(cx).is_ready()
            || until
                .as_mut()
                .is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
            || ended_by.as_mut().poll(cx).is_ready();
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn of_result(result: wasmtime::Result<Result<(), ()>>) -> Outcome {
    match result {
        Ok(Ok(())) => Outcome::Exit(0),
        Ok(Err(())) => Outcome::Exit(1),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => Outcome::Exit((*code & 0xff) as u8),
            None => Outcome::Trap(describe(&error)),
        },
    }
}

/// Starting runs guest code, too (initialisers), which can trap or exit.
fn of_start_error(error: &wasmtime::Error) -> Outcome {
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Outcome::Exit((*code & 0xff) as u8);
    }
    if error.downcast_ref::<Trap>().is_some() {
        return Outcome::Trap(describe(error));
    }
    let why = shown::line(&format!("{error:#}"), 400);
    Outcome::Failed(format!("the app does not start: {why}"))
}

/// The cause in one line, then the innermost frames.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    let mut text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => shown::line(&error.root_cause().to_string(), 400),
    };
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let frames = backtrace.frames();
        for (index, frame) in frames.iter().take(FRAMES_SHOWN).enumerate() {
            let name = frame
                .func_name()
                .map_or_else(|| format!("function {}", frame.func_index()), shown_name);
            text.push_str(&format!("\n  {index:>2}  {name}"));
        }
        if frames.len() > FRAMES_SHOWN {
            text.push_str(&format!("\n      and {} more", frames.len() - FRAMES_SHOWN));
        }
    }
    text
}

/// A name out of the app's file, fit for a terminal.
fn shown_name(name: &str) -> String {
    shown::line(&format!("{:#}", rustc_demangle::demangle(name)), 160)
}

/// Says which limit an app ran into, if it did: the trap itself only says `unreachable`.
fn with_hint(outcome: Outcome, store: &Store<AppState>) -> Outcome {
    let Some(hint) = hint(&store.data().ledger) else {
        return outcome;
    };
    match outcome {
        Outcome::Trap(text) => Outcome::Trap(format!("{text}\n  {hint}")),
        Outcome::Failed(_) => Outcome::Failed(format!("the app does not start: {hint}")),
        outcome => outcome,
    }
}

/// The limit an app ran into, if it did.
pub(crate) fn hint(ledger: &Ledger) -> Option<String> {
    ledger.refused().map(|refused| match refused {
        Refused::Memory(bytes) => format!(
            "the app asked for {} KiB of memory; its limit is {} KiB (nexus.toml: [limits] memory)",
            bytes.div_ceil(1024),
            ledger.limits().memory_bytes / 1024
        ),
        Refused::Table(elements) => format!(
            "the app asked for {elements} table elements; its limit is {}",
            ledger.limits().table_elements
        ),
    })
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
