//! The matrix: every function of every interface x every condition under which it must not act.
//!
//! A cell is tried, or says why nothing can be (a closed list, counted and printed). docs/policy-matrix.md says how
//! to read it, and what happens when one of the places that ask the gate does not.

#[path = "../guests/mod.rs"]
mod guests;

mod case;
mod cells;
mod conditions;
mod http;
mod load;
mod native;
mod requests;
mod rows;
mod switches;
mod wasi;
mod web;
mod world;

use std::collections::BTreeMap;

use cells::{Cell, Why};
use nexus_policy::switch::Site;

/// What came of all cells.
#[derive(Default)]
struct Tally {
    functions: usize,
    conditions: usize,
    run: usize,
    cases: usize,
    not: BTreeMap<Why, usize>,
    /// Cells that were not as they must be.
    failed: Vec<(String, Vec<String>)>,
}

/// Tries all of them, with `off` turned off.
fn matrix(off: Option<Site>) -> Tally {
    let functions = rows::functions();
    let conditions = conditions::conditions();
    let mut tally = Tally {
        functions: functions.len(),
        conditions: conditions.len(),
        ..Tally::default()
    };
    for function in &functions {
        for condition in &conditions {
            let name = format!("{function} x {condition}");
            let Some(cell) = cells::cell(function, *condition) else {
                panic!(
                    "{function} is in wit/ and has no row: add it to tests/policy_matrix/cells.rs"
                );
            };
            let problems: Vec<String> = match cell {
                Cell::Not(why) => {
                    *tally.not.entry(why).or_default() += 1;
                    continue;
                }
                Cell::Guest(cases) => {
                    tally.cases += cases.len();
                    cases.iter().flat_map(case::Case::problems).collect()
                }
                Cell::Node(natives) => {
                    tally.cases += natives.len();
                    natives.into_iter().flat_map(native::problems).collect()
                }
                Cell::Load(interface, version) => {
                    tally.cases += 1;
                    load::older(&interface, version, off)
                }
            };
            tally.run += 1;
            if !problems.is_empty() {
                tally.failed.push((name, problems));
            }
        }
    }
    tally
}

/// Goal: no function acts where it must not, says so in the right word, once, to everybody who is to know and
/// nobody else; and the app goes on. Method: see the modules.
#[test]
fn every_function_under_every_condition() {
    let tally = matrix(None);
    let not: usize = tally.not.values().sum();
    println!(
        "{} functions x {} conditions = {} cells: {} run ({} cases), {not} not applicable",
        tally.functions,
        tally.conditions,
        tally.functions * tally.conditions,
        tally.run,
        tally.cases
    );
    for (why, count) in &tally.not {
        println!("  {count:>5}  {why}");
    }
    assert_eq!(tally.run + not, tally.functions * tally.conditions);
    for (cell, problems) in &tally.failed {
        println!("{cell}");
        for problem in problems {
            println!("  {problem}");
        }
    }
    assert!(
        tally.failed.is_empty(),
        "{} cells failed",
        tally.failed.len()
    );
}

/// Goal: an interface that is built and whose WIT nobody reads here does not go unseen.
#[test]
fn every_package_of_wit_is_read() {
    assert_eq!(rows::unread_packages(), Vec::<String>::new());
}

/// Goal: an app that is not let start is told everything that is missing, and has not begun. Method: an app whose
/// first instruction traps.
#[test]
fn every_capability_at_load() {
    let rows = load::rows();
    let mut failed = Vec::new();
    for row in &rows {
        let problems = load::problems(row, None);
        if !problems.is_empty() {
            failed.push(format!("{}\n  {}", row.name, problems.join("\n  ")));
        }
    }
    println!("{} load rows", rows.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
