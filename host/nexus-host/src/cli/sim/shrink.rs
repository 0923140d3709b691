//! `--shrink`: what of all that goes wrong a failure needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nexus_sim::{Conditions, Ppm};

use super::plan::{Prepared, Wrong};
use super::run::{Ran, Watch};
use super::scenario::write_faults;
use super::verdict::Kind;
use crate::cli::CliError;
use crate::cli::values::format_duration;

/// What a link may do to frames, by the file's key, and how it does it no more.
type Key = (&'static str, fn(&mut Conditions));
const KEYS: [Key; 9] = [
    ("jitter", |link| link.jitter = Duration::ZERO),
    ("rate", |link| link.rate = None),
    ("loss", |link| link.loss = Ppm::NEVER),
    ("burst", |link| link.burst = None),
    ("duplication", |link| link.duplication = Ppm::NEVER),
    ("reorder", |link| link.reorder = Ppm::NEVER),
    ("corruption", |link| link.bit_flip = Ppm::NEVER),
    ("truncation", |link| link.truncation = Ppm::NEVER),
    ("replay", |link| link.replay = Ppm::NEVER),
];

/// A failure with what it needs, and no more.
pub(super) struct Shrunk {
    pub(super) seed: u64,
    /// Runs it took.
    pub(super) tries: u32,
    wrong: Wrong,
    /// Link and key.
    needless: Vec<(usize, &'static str)>,
}

/// Tries what a run that failed still fails without, and how short and early the rest can be. Another failure than
/// one of its own does not count.
pub(super) fn shrink(
    scene: &Arc<Prepared>,
    ran: &Ran,
    mut tried: impl FnMut(u32),
) -> Result<Shrunk, CliError> {
    let of = |ran: &Ran| -> BTreeSet<(String, Kind)> {
        let failures = ran.failures.iter();
        failures.map(|one| (one.who.clone(), one.kind)).collect()
    };
    let (seed, failed) = (ran.seed, of(ran));
    let mut wrong = scene.goes_wrong(seed);
    let (mut tries, mut error) = (0, None);
    let mut fails = |wrong: &Wrong| {
        tries += 1;
        tried(tries);
        match scene.run(seed, wrong, Watch::default()) {
            Ok(ran) => !of(&ran).is_disjoint(&failed),
            Err(one) => {
                error.get_or_insert(one);
                false
            }
        }
    };
    let links = wrong.links.clone();
    let plan = nexus_sim::shrink(&wrong.plan, &mut |plan| {
        fails(&Wrong {
            links: links.clone(),
            plan: plan.clone(),
        })
    });
    wrong.plan = plan;
    let mut needless = Vec::new();
    for index in 0..wrong.links.len() {
        for (key, without) in KEYS {
            let mut smaller = wrong.clone();
            without(&mut smaller.links[index]);
            if smaller.links[index] != wrong.links[index] && fails(&smaller) {
                wrong = smaller;
                needless.push((index, key));
            }
        }
    }
    match error {
        Some(error) => Err(error),
        None => Ok(Shrunk {
            seed,
            tries,
            wrong,
            needless,
        }),
    }
}

impl Shrunk {
    /// What to write into the scenario so that it is this failure, in the words of the file.
    pub(super) fn text(&self, scene: &Prepared) -> String {
        let scenario = &scene.scenario;
        let mut text = format!(
            "# What the failure of seed {} needs, in place of `chaos` and every [[fault]].\n\
             # Under [scenario]: seed = {}\n",
            self.seed, self.seed
        );
        if let Some(until) = scenario.cut {
            let until = format_duration(until);
            text.push_str(&format!(
                "# Under [scenario]: until = \"{until}\", as --until had it\n"
            ));
        }
        for (index, link) in scenario.links.iter().enumerate() {
            let keys: Vec<_> = self
                .needless
                .iter()
                .filter(|(of, _)| *of == index)
                .map(|(_, key)| *key)
                .collect();
            if !keys.is_empty() {
                let (name, keys) = (&link.name, keys.join(", "));
                text.push_str(&format!("# Under [[link]] `{name}` it needs no {keys}\n"));
            }
        }
        if self.wrong.plan.faults.is_empty() {
            text.push_str("# No fault: it fails without.\n");
        } else {
            text.push('\n');
        }
        text + &write_faults(&self.wrong.plan.faults, &scenario.nodes)
    }
}
