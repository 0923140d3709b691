//! The places that ask the gate: each is in the table of docs/policy-matrix.md, and none can be turned off in a host.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nexus_policy::switch::{IN_THIS_BUILD, Site};

use crate::guests;

fn page() -> PathBuf {
    guests::root().join("docs/policy-matrix.md")
}

/// Before and after the table.
const BEGIN: &str = "<!-- begin: each_gate_call -->\n";
const END: &str = "<!-- end: each_gate_call -->\n";

/// Goal: the committed table is of the places there are. Method: its first column is the list in the code.
#[test]
fn the_table_names_every_place() {
    let page = fs::read_to_string(page()).expect("docs/policy-matrix.md");
    let (_, table) = page.split_once(BEGIN).expect("a table");
    let (table, _) = table.split_once(END).expect("its end");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut named = Vec::new();
    for row in rows {
        let (name, rest) = row.split_once("` |").expect("a name");
        named.push(name);
        let failed = rest.split('|').nth(1).map(str::trim);
        let failed: Option<usize> = failed.and_then(|count| count.parse().ok());
        assert!(
            failed.is_some_and(|count| count > 0),
            "{name}: nothing failed"
        );
    }
    let all: Vec<_> = Site::ALL.iter().map(|site| site.as_str()).collect();
    assert_eq!(
        named, all,
        "run each_gate_call: docs/policy-matrix.md says how"
    );
}

/// Goal: a place that is not in the list does not go unseen. Method: the sources outside nexus-policy are looked
/// through for calls that ask a gate; each is within `ask`, or asks on behalf of one that is.
#[test]
fn every_call_of_the_gate_has_a_switch() {
    // What stands behind a place, or puts none of the questions of an act.
    let behind = [
        "ctx.rs: self.node(|node, now| node.permit(now, self.instance, act))",
        "node.rs: let decided = self.gate.decide(now, instance, act);",
        "node.rs: let decided = self.gate.decide_some(now, instance, acts);",
        "node.rs: let decided = self.gate.decide_first(now, instance, acts);",
        "node.rs: let decided = self.gate.decide_all(now, instance, acts);",
        "node.rs: self.judge_again(now, stamp, act)",
        "node.rs: .judge_again(now, stamp, act)",
        "revoke.rs: self.judge_handle(now, handle, stamp, opened)",
        // Folders and variables are no function of an interface: tests/reload.rs and folders_tests.rs are about them.
        "folders.rs: let _permit = gate.decide(now, instance, &Act::SetVariable { name })?;",
        "folders.rs: let permit = gate.decide(now, instance, &Act::OpenDirectory { path: &path, mode })?;",
        "folders.rs: match gate.judge_again(now, folder.stamp, &folder.act()) {",
        "folders.rs: if folder.mode == less || !gate.goes_on(now, folder.stamp, &folder.act_in(less)) {",
        "folders.rs: match gate.judge_again(now, folder.stamp, &folder.act_in(less)) {",
    ];
    let calls = [
        ".permit(",
        ".permit_some(",
        ".permit_first(",
        ".permit_all(",
        ".still_permitted(",
        ".judge_again(",
        ".decide(",
        ".decide_some(",
        ".decide_first(",
        ".decide_all(",
        ".admit(",
        ".admit_like(",
        ".goes_on(",
    ];
    let mut open = Vec::new();
    let mut asked = 0;
    for folder in [
        "netcore/nexus-node/src",
        "host/nexus-caps/src",
        "host/nexus-host/src",
    ] {
        for file in sources(guests::root().join(folder)) {
            if file.to_string_lossy().ends_with("_tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).expect("UTF-8");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let lines: Vec<_> = text.lines().map(str::trim).collect();
            for (at, line) in lines.iter().enumerate() {
                if line.starts_with("//") || !calls.iter().any(|call| line.contains(call)) {
                    continue;
                }
                // The place is named on the line, or on one of the two before.
                let near = lines[at.saturating_sub(2)..=at].join(" ");
                if near.contains(".ask(") {
                    asked += 1;
                } else if !behind.contains(&format!("{name}: {line}").as_str()) {
                    open.push(format!("{}:{}: {line}", file.display(), at + 1));
                }
            }
        }
    }
    assert!(
        open.is_empty(),
        "these ask the gate without a `Site` (nexus-policy/src/switch.rs): {open:#?}"
    );
    assert!(
        asked >= 20,
        "only {asked} calls were found: this test looks for the wrong ones"
    );
}

fn sources(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.to_string_lossy().ends_with("_tests.rs")
        {
            found.push(path);
        }
    }
    found
}

/// Goal: no host that anybody builds has the switches. Method: cargo's own word for what `cargo build` of each
/// package of the workspace enables.
#[test]
fn no_build_of_the_host_has_the_switches() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--offline",
            "--locked",
            "--edges",
            "features,normal,build,dev",
        ])
        .args(["--prefix", "none", "--invert", "nexus-policy"])
        .current_dir(guests::root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(tree.contains("nexus-host"), "{tree}");
    assert!(!tree.contains("gate-switches"), "{tree}");
}

/// Goal: that the matrix passes says something of every place that asks. Method: each is turned off in turn, and
/// the matrix must fail. What it saw is written to docs/policy-matrix.md.
#[test]
#[ignore = "runs the matrix once a place: docs/policy-matrix.md says how"]
fn each_gate_call() {
    if !IN_THIS_BUILD {
        panic!("it takes --features gate-switches");
    }
    #[cfg(feature = "gate-switches")]
    turned_off::each();
}

#[cfg(feature = "gate-switches")]
mod turned_off {
    use super::*;
    use crate::load;

    /// Cells that failed because of it, the first few by name.
    fn failed(site: Site) -> Vec<String> {
        if load::is_of_load(site) {
            let rows = load::rows();
            let failing = rows
                .iter()
                .filter(|row| !load::problems(row, Some(site)).is_empty());
            return failing.map(|row| row.name.clone()).collect();
        }
        Site::turn_off(Some(site));
        let tally = crate::matrix(Some(site));
        Site::turn_off(None);
        tally.failed.into_iter().map(|(cell, _)| cell).collect()
    }

    pub(super) fn each() {
        let whole = crate::matrix(None);
        assert!(
            whole.failed.is_empty(),
            "it fails without: {:?}",
            whole.failed
        );
        let mut table = format!(
            "{BEGIN}{} functions, {} conditions, {} cells run in {} cases; and {} load rows.\n\n\
             | place | where | cells that fail without it | the first of them |\n|---|---|---|---|\n",
            whole.functions,
            whole.conditions,
            whole.run,
            whole.cases,
            load::rows().len()
        );
        let mut unmissed = Vec::new();
        for site in Site::ALL {
            let cells = failed(*site);
            println!("{}: {}", site.as_str(), cells.len());
            let first = cells.first().cloned().unwrap_or_default();
            let (name, place, count) = (site.as_str(), site.place(), cells.len());
            table.push_str(&format!("| `{name}` | {place} | {count} | {first} |\n"));
            if cells.is_empty() {
                unmissed.push(name);
            }
        }
        table.push_str(END);
        assert!(unmissed.is_empty(), "nothing fails without {unmissed:?}");
        let page = fs::read_to_string(page()).expect("docs/policy-matrix.md");
        let (head, rest) = page.split_once(BEGIN).expect("a table");
        let (_, tail) = rest.split_once(END).expect("its end");
        fs::write(super::page(), format!("{head}{table}{tail}")).expect("written");
    }
}
