//! Many seeds of one scenario, some at a time; what comes of them is told in their order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;

use super::plan::Prepared;
use super::run::{Ran, Watch, host_error};
use crate::cli::CliError;

/// Seeds one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Seeds {
    pub(in crate::cli) first: u64,
    pub(in crate::cli) runs: u64,
}

/// Runs at a time, at most: each is a thread, and worlds of many guests take much room.
pub(in crate::cli) const JOBS_MAX: usize = 256;

/// Guests at a time, at most: each reserves 4 GiB of the address space, which has 128 TiB.
const GUESTS_MAX: usize = 16 << 10;

/// Of the runs that are done before their turn to be told, for each thread.
const EARLY: u64 = 4;

/// How many runs at a time: as many as the machine has processors, unless said.
pub(in crate::cli) fn jobs(asked: Option<NonZeroUsize>, runs: u64, guests: usize) -> usize {
    let processors = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = asked.unwrap_or_else(processors).get().min(JOBS_MAX);
    let jobs = usize::try_from(runs).map_or(jobs, |runs| jobs.min(runs));
    jobs.min(GUESTS_MAX / guests.max(1)).max(1)
}

/// Which run is next to be begun, and next to be told.
struct Turns {
    begun: Mutex<u64>,
    told: Condvar,
    due: AtomicU64,
    ended: AtomicBool,
}

impl Turns {
    /// The next run to begin, once it is not too far ahead of what was told.
    fn next(&self, ahead: u64, runs: u64) -> Option<u64> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *begun >= runs || self.ended.load(Ordering::Relaxed) {
                return None;
            }
            if *begun < self.due.load(Ordering::Relaxed) + ahead {
                *begun += 1;
                return Some(*begun - 1);
            }
            begun = self
                .told
                .wait(begun)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// `due` runs were told.
    fn told(&self, due: u64) {
        let _begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        self.due.store(due, Ordering::Relaxed);
        self.told.notify_all();
    }

    fn end(&self) {
        let _begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        self.ended.store(true, Ordering::Relaxed);
        self.told.notify_all();
    }
}

/// Lets the threads go, however the telling ends.
struct Ending<'a>(&'a Turns);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Seeds {
    /// Runs each and hands what came of it to `done`, in the order of the seeds; ends at the first error.
    pub(in crate::cli) fn run(
        self,
        scene: &Arc<Prepared>,
        jobs: usize,
        output: bool,
        mut done: impl FnMut(Ran) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let run = |number: u64| {
            let seed = self.first.wrapping_add(number);
            let watch = Watch {
                output,
                ..Watch::default()
            };
            scene.run(seed, &scene.goes_wrong(seed), watch)
        };
        if jobs == 1 {
            return (0..self.runs).try_for_each(|number| done(run(number)?));
        }
        let turns = Turns {
            begun: Mutex::new(0),
            told: Condvar::new(),
            due: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        };
        let ahead = EARLY * jobs as u64;
        thread::scope(|scope| {
            let _ending = Ending(&turns);
            let (sender, receiver) = mpsc::channel();
            for job in 0..jobs {
                let (sender, turns, run) = (sender.clone(), &turns, &run);
                let work = move || {
                    while let Some(number) = turns.next(ahead, self.runs) {
                        if sender.send((number, run(number))).is_err() {
                            return;
                        }
                    }
                };
                let spawned = thread::Builder::new().spawn_scoped(scope, work);
                match spawned {
                    Err(error) if job == 0 => return Err(host_error(error)),
                    // As many as there are will do.
                    Err(_) => break,
                    Ok(_) => {}
                }
            }
            drop(sender);
            let (mut early, mut due) = (BTreeMap::new(), 0);
            for (number, ran) in &receiver {
                early.insert(number, ran);
                while let Some(ran) = early.remove(&due) {
                    due += 1;
                    done(ran?)?;
                }
                turns.told(due);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_at_and_over_their_limits() {
        let asked = |jobs| NonZeroUsize::new(jobs);
        assert_eq!(jobs(asked(JOBS_MAX), 1_000, 1), JOBS_MAX);
        assert_eq!(jobs(asked(JOBS_MAX + 1), 1_000, 1), JOBS_MAX);
        assert_eq!(jobs(asked(8), 3, 1), 3);
        assert_eq!(jobs(asked(32), 1_000, 1_024), 16);
        assert_eq!(jobs(asked(8), 1_000, 2 * GUESTS_MAX), 1);
    }

    /// Goal: nobody runs far ahead of what was told. Method: runs begun until none is allowed, then one is told.
    #[test]
    fn runs_ahead_at_and_over_the_limit() {
        let turns = Turns {
            begun: Mutex::new(0),
            told: Condvar::new(),
            due: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        };
        assert_eq!([0; 4].map(|_| turns.next(4, 9)), [0, 1, 2, 3].map(Some));
        thread::scope(|scope| {
            let waits = scope.spawn(|| turns.next(4, 9));
            turns.told(1);
            assert_eq!(waits.join().expect("no panic"), Some(4));
            let waits = scope.spawn(|| turns.next(4, 9));
            turns.end();
            assert_eq!(waits.join().expect("no panic"), None);
        });
    }
}
