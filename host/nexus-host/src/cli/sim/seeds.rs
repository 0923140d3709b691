//! Many seeds of one scenario, some at a time; what comes of them is told in their order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use super::plan::Prepared;
use super::run::{Ran, Watch};
use crate::cli::CliError;

/// Seeds one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Seeds {
    pub(in crate::cli) first: u64,
    pub(in crate::cli) runs: u64,
}

/// As many runs at a time as the machine has processors.
pub(in crate::cli) fn jobs(asked: Option<NonZeroUsize>, runs: u64) -> usize {
    let processors = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = asked.unwrap_or_else(processors).get();
    usize::try_from(runs).map_or(jobs, |runs| jobs.min(runs.max(1)))
}

impl Seeds {
    /// Runs each and hands what came of it to `done`, in the order of the seeds; ends at the first error.
    pub(in crate::cli) fn run(
        self,
        scene: &Arc<Prepared>,
        jobs: usize,
        mut done: impl FnMut(Ran) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let run = |number: u64| {
            let seed = self.first.wrapping_add(number);
            scene.run(seed, &scene.goes_wrong(seed), Watch::default())
        };
        if jobs == 1 {
            return (0..self.runs).try_for_each(|number| done(run(number)?));
        }
        let next = AtomicU64::new(0);
        thread::scope(|scope| {
            // What is early waits for its turn in `early`; a thread that is far ahead waits here.
            let (sender, receiver) = mpsc::sync_channel(jobs);
            for _ in 0..jobs {
                let (sender, next, run) = (sender.clone(), &next, &run);
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.runs || sender.send((number, run(number))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let (mut early, mut due) = (BTreeMap::new(), 0);
            for (number, ran) in &receiver {
                early.insert(number, ran);
                while let Some(ran) = early.remove(&due) {
                    due += 1;
                    done(ran?)?;
                }
            }
            Ok(())
        })
    }
}
