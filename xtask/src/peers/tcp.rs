//! TCP between two apps: two of one `nexus-host up` on a link, and the same source with `std::net` as two
//! `wasmtime run` over the kernel's loopback. For `bench http`, the one with `std::net` on both sides.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Programs;
use super::statistics::{median, spread};
use crate::bench::measured::fact;
use crate::step::run_quietly;

/// How often each way is measured.
const ROUNDS: usize = 7;

/// What one measurement may take. A run that stands still is an error, not a wait.
const LIMIT: Duration = Duration::from_secs(60);

/// What a client measures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// Writes of so many KiB.
    Throughput(u32),
    /// 64 bytes there and back.
    Rtt,
}

/// How the two apps are run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// In one host.
    Link { io: &'static str, fidelity: bool },
    /// In one host, with `std::net`.
    Std,
    /// In two processes, over the kernel's loopback.
    Wasmtime { pinned: bool },
}

const LINK: [Way; 2] = [
    Way::Link {
        io: "calls",
        fidelity: false,
    },
    Way::Link {
        io: "streams",
        fidelity: false,
    },
];
const FIDELITY: [Way; 2] = [
    Way::Link {
        io: "calls",
        fidelity: true,
    },
    Way::Link {
        io: "streams",
        fidelity: true,
    },
];
const WASMTIME: [Way; 2] = [
    Way::Wasmtime { pinned: false },
    Way::Wasmtime { pinned: true },
];

impl Way {
    fn id(self) -> String {
        match self {
            Self::Link {
                io,
                fidelity: false,
            } => format!("link_{io}"),
            Self::Link { io, fidelity: true } => format!("fidelity_{io}"),
            Self::Std => "link_std".into(),
            Self::Wasmtime { pinned: false } => "wasmtime_free".into(),
            Self::Wasmtime { pinned: true } => "wasmtime_one_core".into(),
        }
    }
}

impl Task {
    fn id(self) -> String {
        match self {
            Self::Throughput(kibibytes) => format!("tcp_{kibibytes:02}k"),
            Self::Rtt => "rtt".into(),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Throughput(_) => "Gbit/s",
            Self::Rtt => "µs",
        }
    }

    /// Arguments of the client, about half a second's worth.
    fn arguments(self, way: Way) -> Vec<String> {
        let kernel = matches!(way, Way::Wasmtime { .. });
        let text = match self {
            Self::Throughput(kibibytes) => {
                let mebibytes = match (kibibytes, way) {
                    (
                        64,
                        Way::Std
                        | Way::Link {
                            fidelity: false, ..
                        },
                    ) => 3_072,
                    (64, _) => 1_024,
                    (16, Way::Link { .. } | Way::Std) => 1_024,
                    (16, Way::Wasmtime { .. }) => 512,
                    (_, Way::Link { .. } | Way::Std) => 128,
                    (_, Way::Wasmtime { .. }) => 64,
                };
                format!("--mode throughput --bytes {mebibytes}M --write-size {kibibytes}K")
            }
            Self::Rtt if kernel => "--mode rtt --rounds 5000".into(),
            Self::Rtt => "--mode rtt --rounds 20000".into(),
        };
        text.split(' ').map(str::to_owned).collect()
    }
}

/// Every measurement of a way, in the order taken.
type Taken = BTreeMap<(Task, Way), Vec<f64>>;

pub(super) fn run(programs: &Programs) -> Result<()> {
    let mut plan = Vec::new();
    for (task, ways) in [
        (Task::Throughput(64), vec![LINK, WASMTIME, FIDELITY]),
        (Task::Throughput(16), vec![LINK, WASMTIME]),
        (Task::Throughput(1), vec![LINK, WASMTIME]),
        (Task::Rtt, vec![LINK, WASMTIME]),
    ] {
        plan.extend(ways.concat().into_iter().map(|way| (task, way)));
    }
    let taken = take(programs, plan)?;
    report(programs, &taken)
}

/// `std::net` on both sides.
pub(super) fn run_std(programs: &Programs) -> Result<()> {
    let mut plan = Vec::new();
    for task in [Task::Throughput(64), Task::Rtt] {
        let ways = [Way::Std].into_iter().chain(WASMTIME);
        plan.extend(ways.map(|way| (task, way)));
    }
    let taken = take(programs, plan)?;
    tell(programs, &taken, "http_std")?;
    for (id, task) in [
        ("http_std_tcp_ratio", Task::Throughput(64)),
        ("http_std_rtt_ratio", Task::Rtt),
    ] {
        ratio(programs, &taken, id, task, [Way::Std, Way::Std])?;
    }
    Ok(())
}

/// Takes every measurement of a plan, by turns.
fn take(programs: &Programs, mut plan: Vec<(Task, Way)>) -> Result<Taken> {
    let mut taken = Taken::new();
    // The first round compiles, warms caches, and is not counted.
    for round in 0..=ROUNDS {
        for &(task, way) in &plan {
            let value = measure(programs, task, way)
                .with_context(|| format!("{} {}", task.id(), way.id()))?;
            if round > 0 {
                taken.entry((task, way)).or_default().push(value);
            }
        }
        // There and back again: whoever comes after whom, it is the other way round next time.
        plan.reverse();
    }
    Ok(taken)
}

/// The medians, by themselves.
fn tell(programs: &Programs, taken: &Taken, prefix: &str) -> Result<()> {
    for ((task, way), values) in taken {
        let id = format!("{prefix}_{}_{}", task.id(), way.id());
        fact(
            &programs.target,
            &id,
            median(values),
            task.unit(),
            &spread(values),
        )?;
    }
    Ok(())
}

fn report(programs: &Programs, taken: &Taken) -> Result<()> {
    tell(programs, taken, "peer")?;
    for (id, task, ways) in [
        ("peer_tcp_ratio", Task::Throughput(64), LINK),
        ("peer_tcp_fidelity_ratio", Task::Throughput(64), FIDELITY),
        ("peer_tcp_16k_ratio", Task::Throughput(16), LINK),
        ("peer_tcp_01k_ratio", Task::Throughput(1), LINK),
        ("peer_rtt_ratio", Task::Rtt, LINK),
    ] {
        ratio(programs, taken, id, task, ways)?;
    }
    Ok(())
}

/// The better of our ways over the better of theirs.
fn ratio(programs: &Programs, taken: &Taken, id: &str, task: Task, ways: [Way; 2]) -> Result<()> {
    let (ours, theirs) = (best(taken, task, ways), best(taken, task, WASMTIME));
    let unit = task.unit();
    let note = format!(
        "{} {:.1} {unit} / {} {:.1} {unit}",
        ours.0.id(),
        ours.1,
        theirs.0.id(),
        theirs.1
    );
    fact(&programs.target, id, ours.1 / theirs.1, "x", &note)
}

/// The better of two ways, and its median.
fn best(taken: &Taken, task: Task, ways: [Way; 2]) -> (Way, f64) {
    let [one, other] = ways.map(|way| {
        let values = taken.get(&(task, way)).map_or(&[][..], Vec::as_slice);
        (way, median(values))
    });
    let one_is_better = match task {
        Task::Throughput(_) => one.1 >= other.1,
        Task::Rtt => one.1 <= other.1,
    };
    if one_is_better { one } else { other }
}

fn measure(programs: &Programs, task: Task, way: Way) -> Result<f64> {
    let line = match way {
        Way::Link { io, fidelity } => on_a_link(programs, task, way, Some(io), fidelity)?,
        Way::Std => on_a_link(programs, task, way, None, false)?,
        Way::Wasmtime { pinned } => over_the_kernel(programs, task, way, pinned)?,
    };
    value(&line, task)
}

/// What the client's line of JSON says.
fn value(line: &str, task: Task) -> Result<f64> {
    let report: Value =
        serde_json::from_str(line).with_context(|| format!("the client said {line:?}"))?;
    let key = match task {
        Task::Throughput(_) => "gbit_per_s",
        Task::Rtt => "p50_us",
    };
    report[key]
        .as_f64()
        .with_context(|| format!("the client said nothing of {key}: {line}"))
}

/// Both apps in one world; without an `io`, those with `std::net`.
fn on_a_link(
    programs: &Programs,
    task: Task,
    way: Way,
    io: Option<&str>,
    fidelity: bool,
) -> Result<String> {
    // Both start at once: the server may listen a moment later.
    let mut arguments: Vec<String> = ["client", "--to=10.0.0.1:5201", "--tries=500"]
        .map(str::to_owned)
        .into();
    let mut serving: Vec<String> = ["server", "--listen", "10.0.0.1:5201"]
        .map(str::to_owned)
        .into();
    let component = match io {
        Some(io) => {
            let io = format!("--io={io}");
            arguments.push(io.clone());
            serving.push(io);
            "burst.wasm"
        }
        None => "burst-std.wasm",
    };
    arguments.extend(task.arguments(way));
    let component = programs.component(component).display().to_string();
    let world = format!(
        "[[link]]\nname = \"lan\"\nfidelity = {fidelity}\n\
         [[node]]\nname = \"server\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {component:?}\nbackground = true\n\
         args = {serving:?}\n\
         [[node]]\nname = \"client\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n\
         [[node.app]]\ncomponent = {component:?}\nargs = {arguments:?}\n"
    );
    let file = programs.scratch.join("world.toml");
    fs::write(&file, world)?;
    let mut command = Command::new(&programs.host);
    command
        .arg("up")
        .arg(&file)
        .args(["--quiet", "--allow-manifest"])
        .args(["--allow", "network.tcp.listen=any:5201", "--state"])
        .arg(programs.state());
    let said = run_quietly(&mut command, LIMIT)?;
    ensure!(said.status.success(), "{}", said.tail());
    last_line(&said.stdout)
}

/// Each app in a process of its own.
fn over_the_kernel(programs: &Programs, task: Task, way: Way, pinned: bool) -> Result<String> {
    let wasmtime = || {
        let mut command = if pinned {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", "0"]).arg(&programs.wasmtime);
            command
        } else {
            Command::new(&programs.wasmtime)
        };
        command
            .args(["run", "-C", "cache=y", "-S", "inherit-network=y"])
            .arg(programs.component("burst-std.wasm"));
        command
    };
    let mut server = Ended(
        wasmtime()
            .args(["server", "--listen", "127.0.0.1:0", "--count", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run wasmtime")?,
    );
    let mut listening = String::new();
    let output = server.0.stdout.take().context("no pipe")?;
    BufReader::new(output).read_line(&mut listening)?;
    let address = listening
        .trim()
        .strip_prefix("listening on ")
        .with_context(|| format!("the server said {listening:?}"))?;
    let mut client = wasmtime();
    client
        .args(["client", "--to", address])
        .args(task.arguments(way));
    let said = run_quietly(&mut client, LIMIT)?;
    ensure!(said.status.success(), "{}", said.tail());
    last_line(&said.stdout)
}

fn last_line(text: &str) -> Result<String> {
    let line = text.lines().last().context("the client said nothing")?;
    Ok(line.to_owned())
}

/// A child that does not outlive its measurement.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_way_counts_on_both_sides() {
        let task = Task::Throughput(64);
        let mut taken = Taken::new();
        taken.insert((task, WASMTIME[0]), vec![15.0, 16.0, 1.0]);
        taken.insert((task, WASMTIME[1]), vec![10.0, 11.0, 99.0]);
        assert!(best(&taken, task, WASMTIME).0 == WASMTIME[0]);
        taken.insert((Task::Rtt, WASMTIME[0]), vec![130.0]);
        taken.insert((Task::Rtt, WASMTIME[1]), vec![30.0]);
        assert!(best(&taken, Task::Rtt, WASMTIME).0 == WASMTIME[1]);
    }

    #[test]
    fn reject_a_client_that_did_not_measure() {
        let line = r#"{"mode":"rtt","p50_us":8.5}"#;
        assert!((value(line, Task::Rtt).expect("there") - 8.5).abs() < 1e-9);
        assert!(value(line, Task::Throughput(64)).is_err());
        assert!(value("listening on 10.0.0.1:5201", Task::Rtt).is_err());
    }
}
