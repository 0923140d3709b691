//! A world of guests: a thousand apps, each on a node of its own, each with one echo a second.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant as Clock;

use nexus_bench::fact;

const GUESTS: usize = 1_000;

/// Servers beside them; each serves 200 connections.
const SERVERS: usize = 5;

/// One a second; a tenth more go before, to warm up.
const ROUNDS: usize = 54;

/// Virtual time over the time it takes, all of it: reading, starting, running, ending.
pub(crate) fn thousand() {
    // target/release/deps/<this bench>
    let exe = std::env::current_exe().unwrap_or_default();
    let Some(target) = exe.ancestors().nth(3) else {
        return;
    };
    let host = target.join("release/nexus-host");
    let components = target.join("components");
    if !host.is_file() || !components.join("burst.wasm").is_file() {
        println!("sim_thousand_guests: skipped; `cargo xtask build` makes what it needs");
        return;
    }
    let file = target.join("bench-thousand-guests.toml");
    fs::write(&file, scenario(&components)).expect("the scenario is written");
    let mut rates: Vec<_> = (0..3).map(|_| run(&host, &file)).collect();
    rates.sort_by(f64::total_cmp);
    fact(
        "sim_thousand_guests",
        rates[1],
        "x",
        "virtual over real time of `nexus-host sim`, starting included; one thread, 1,000 clients and 5 tcp-echo",
    );
}

fn run(host: &Path, scenario: &PathBuf) -> f64 {
    let begun = Clock::now();
    let output = Command::new(host)
        .arg("sim")
        .arg(scenario)
        .args(["--jobs", "1", "--output", "json"])
        .output()
        .expect("nexus-host runs");
    let real = begun.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let time = text
        .split("\"virtual_seconds\":")
        .last()
        .and_then(|rest| rest.split([',', '}']).next()?.parse::<f64>().ok())
        .expect("the report says how far the world's time went");
    time / real
}

fn scenario(components: &Path) -> String {
    let mut text =
        String::from("[scenario]\nuntil = \"70s\"\n[[link]]\nname = \"lan\"\nlatency = \"2ms\"\n");
    let app = |name: &str| components.join(name);
    // Writing to a string does not fail.
    for server in 0..SERVERS {
        let _ = write!(
            text,
            "[[node]]\nname = \"server-{server}\"\nlink = \"lan\"\naddresses = [\"10.1.0.{}/8\"]\n[[node.app]]\n\
             component = {:?}\nbackground = true\nallow = [\"network.tcp.listen=any:7777\"]\n",
            server + 1,
            app("tcp-echo.wasm")
        );
    }
    for guest in 0..GUESTS {
        let server = format!("server-{}", guest % SERVERS);
        let _ = write!(
            text,
            "[[node]]\nname = \"client-{guest}\"\nlink = \"lan\"\naddresses = [\"10.2.{}.{}/8\"]\n[[node.app]]\n\
             component = {:?}\nargs = [\"client\", \"--to\", \"{server}:7777\", \"--mode\", \"rtt\", \"--rounds\", \
             \"{ROUNDS}\", \"--every\", \"1000\", \"--tries\", \"100\"]\nstart = \"{}ms\"\n\
             allow = [\"network.tcp.connect={server}:7777\", \"network.tcp.connect=lan:7777\"]\n",
            guest / 250,
            guest % 250 + 1,
            app("burst.wasm"),
            guest + 1
        );
    }
    text
}
