//! `nexus-host sim`: real components in a simulated world.

mod guests;

use std::path::Path;
use std::process::{Command, Output};

use guests::{HOST, component, root};
use serde_json::Value;

fn sim(scenario: &Path, arguments: &[&str], state: &Path) -> Output {
    Command::new(HOST)
        .arg("sim")
        .arg(scenario)
        .args(arguments)
        .arg("--state")
        // One of its own making: others must not be able to look into it.
        .arg(state.join("state"))
        .output()
        .expect("it runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Goal: a run is its seed's, byte for byte, and another seed's is another one. Method: 200 seeds of the committed
/// scenario (loss, reorder, duplication, corruption) in two processes.
#[test]
fn the_same_seed_is_the_same_run() {
    let state = tempfile::tempdir().expect("a folder");
    let _ = component("tcp-echo");
    let lossy = root().join("components/tcp-echo/tests/lossy.toml");
    let [one, other] = [0; 2].map(|_| {
        let output = sim(&lossy, &["--runs", "200", "--output", "json"], state.path());
        let report = json(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        report["data"]["runs"].as_array().expect("runs").clone()
    });
    assert_eq!(one, other);
    let mut hashes: Vec<_> = one.iter().map(|run| run["hash"].to_string()).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 200, "each seed has a run of its own");
}

/// Goal: what is not as expected is told with the seed and how to see it again. Method: expectations that do not
/// hold, of a guest that says nothing of the kind.
#[test]
fn reject_a_run_that_is_not_as_expected() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let text = format!(
        "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {:?}\n[node.app.expect]\nexit = 3\nstdout = [\"no such word\"]\n",
        component("hello")
    );
    std::fs::write(&scenario, text).expect("written");
    let output = sim(&scenario, &["--seed", "7"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for wanted in [
        "failed  seed 7",
        "ended with 0; expected is 3",
        "wrote no \"no such word\"",
        "--seed 7 --runs 1 --trace",
        "0 of 1 seeds ok",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

/// Goal: a guest that computes for ever, and one that waits for ever, end with the world's time, soon. Method: the
/// probes that do so.
#[test]
fn reject_guests_that_do_not_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    for (guest, says) in [
        ("probes/spin", "still running after 50ms"),
        (
            "probes/waits_for_ever",
            "waits for ever: nothing happened after ",
        ),
    ] {
        let text = format!(
            "[scenario]\nuntil = \"50ms\"\n[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\n\
             addresses = [\"10.0.0.1/24\"]\n[[node.app]]\ncomponent = {:?}\nconsent = \"manifest\"\n",
            component(guest)
        );
        std::fs::write(&scenario, text).expect("written");
        let output = sim(&scenario, &[], folder.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{guest}: {said}");
        assert!(said.contains(says), "{guest}: {said}");
    }
}

/// Goal: an app that was granted nothing is refused in a world as outside of one. Method: the client without a
/// grant, and an expectation that says so.
#[test]
fn reject_what_nobody_granted() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let text = format!(
        "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {:?}\n[node.app.expect]\nexit = 77\n",
        component("fetch")
    );
    std::fs::write(&scenario, text).expect("written");
    let output = sim(&scenario, &[], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Goal: the committed run of seed 1 is still the same run, as long as its components are. Method: that seed. What the
/// standard library for wasm was made from decides over the components' digests; with others it says so and is not
/// checked.
#[test]
fn the_committed_run_is_the_same() {
    let state = tempfile::tempdir().expect("a folder");
    let _ = component("tcp-echo");
    let lossy = root().join("components/tcp-echo/tests/lossy.toml");
    let output = sim(&lossy, &[], state.path());
    let said = stderr(&output);
    print!("{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// A scenario of tcp-echo and a client that gives up at the first thing that goes wrong, with more of it.
fn echo(head: &str, tail: &str) -> String {
    format!(
        "{head}\n[[link]]\nname = \"lan\"\nlatency = \"5ms\"\nloss = \"1%\"\n\
         [[node]]\nname = \"server\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nbackground = true\nallow = [\"network.tcp.listen=any:7777\"]\n\
         [[node]]\nname = \"client\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nargs = [\"client\", \"--to\", \"server:7777\", \"--mode\", \"rtt\", \
         \"--rounds\", \"50\", \"--write-size\", \"1K\"]\nstart = \"10ms\"\n\
         allow = [\"network.tcp.connect=server:7777\", \"network.tcp.connect=lan:7777\"]\n{tail}\n",
        component("tcp-echo"),
        component("burst")
    )
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Goal: a fault of the schedule happens, and a connection outlives what it can. Method: a cut of two seconds, and
/// the same without an end.
#[test]
fn a_cut_link_delays_and_an_endless_one_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let cut = "[[fault]]\nat = \"100ms\"\nbetween = [\"server\", \"client\"]\ncut = true\n";
    std::fs::write(&scenario, echo("", &format!("{cut}for = \"2s\"\n"))).expect("written");
    let output = sim(&scenario, &["--output", "json"], folder.path());
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert!(
        report["data"]["virtual_seconds"].as_f64() > Some(2.0),
        "{report:#}"
    );
    std::fs::write(&scenario, echo("", cut)).expect("written");
    let output = sim(&scenario, &["--until", "20s"], folder.path());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("still running after 20s; expected is 0"),
        "{said}"
    );
    assert!(
        said.contains("--seed 1 --runs 1 --until 20s --trace"),
        "{said}"
    );
}

/// Goal: a machine that crashes comes back with its apps, and an app that was done is not started again. Method:
/// the client's machine crashes in the middle of its work, and after it.
#[test]
fn a_crashed_machine_starts_its_apps_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let crash =
        |at| format!("[[fault]]\nat = \"{at}\"\nfor = \"1s\"\nnode = \"client\"\ncrash = true\n");
    // What keeps the world from being over when the client is done.
    let waits = format!(
        "[[node]]\nname = \"third\"\nlink = \"lan\"\naddresses = [\"10.0.0.3/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nstart = \"50s\"\n",
        component("hello")
    );
    for (at, least, most) in [("300ms", 1.3, 20.0), ("30s", 50.0, 50.5)] {
        let more = if at == "30s" { waits.as_str() } else { "" };
        std::fs::write(&scenario, echo("", &(crash(at) + more))).expect("written");
        let trace = folder.path().join("t");
        let arguments = [
            "--output",
            "json",
            "--trace",
            trace.to_str().expect("UTF-8"),
        ];
        let output = sim(&scenario, &arguments, folder.path());
        let report = json(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        let seconds = report["data"]["virtual_seconds"]
            .as_f64()
            .expect("a number");
        assert!((least..most).contains(&seconds), "{at}: {report:#}");
        let trace = std::fs::read_to_string(trace).expect("a trace");
        assert_eq!(trace.matches("client boots").count(), 2, "{at}");
        if at == "30s" {
            let (_, after) = trace.split_once("client is gone").expect("it crashed");
            assert!(!after.contains("client sends"), "it was started again");
        }
    }
}

/// Goal: what `--shrink` writes is the same failure, alone. Method: chaos of many seeds against a client that gives
/// up; the first failure, shrunk, put in place of the chaos.
#[test]
fn a_failure_is_shrunk_to_faults_that_bring_it_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    std::fs::write(
        &scenario,
        echo("[scenario]\nchaos = \"5s\"\nuntil = \"10m\"", ""),
    )
    .expect("written");
    let arguments = ["--runs", "200", "--shrink", "--output", "json"];
    let report = json(&sim(&scenario, &arguments, folder.path()));
    let shrunk = report["data"]["shrunk"].as_str().expect("some seed fails");
    let seed = shrunk
        .split("Under [scenario]: seed = ")
        .nth(1)
        .expect("a seed");
    let seed = seed.lines().next().expect("a number");
    let head = format!("[scenario]\nseed = {seed}\nuntil = \"10m\"");
    std::fs::write(&scenario, echo(&head, shrunk)).expect("written");
    let output = sim(&scenario, &[], folder.path());
    assert_eq!(
        output.status.code(),
        Some(1),
        "{shrunk}\n{}",
        stderr(&output)
    );
    std::fs::write(&scenario, echo(&head, "")).expect("written");
    let output = sim(&scenario, &[], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// Goal: some runs at a time are the same runs in the same order. Method: one thread and four.
#[test]
fn jobs_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    std::fs::write(
        &scenario,
        echo("[scenario]\nchaos = \"2s\"\nuntil = \"10m\"", ""),
    )
    .expect("written");
    let [one, four] = ["1", "4"].map(|jobs| {
        let arguments = ["--runs", "40", "--jobs", jobs, "--output", "json"];
        json(&sim(&scenario, &arguments, folder.path()))["data"]["runs"].clone()
    });
    assert_eq!(one.as_array().map(Vec::len), Some(40));
    assert_eq!(one, four);
}

/// Goal: a blessed run is checked, with its components only; one of another version is not guessed at.
#[test]
fn a_blessed_run_is_held_to_its_hash() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let blessed = folder.path().join("s.blessed");
    std::fs::write(&scenario, echo("", "")).expect("written");
    let output = sim(&scenario, &["--bless"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = sim(&scenario, &["--runs", "3"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    // The same components, and another run.
    std::fs::write(
        &scenario,
        echo("", "[[fault]]\nfor = \"1ms\"\ncut = true\n"),
    )
    .expect("written");
    let output = sim(&scenario, &["--runs", "3"], folder.path());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("2 of 3 seeds ok") && said.contains("--bless"),
        "{said}"
    );

    let text = std::fs::read_to_string(&blessed).expect("it was written");
    std::fs::write(&blessed, text.replacen("digest = \"", "digest = \"x", 1)).expect("written");
    let output = sim(&scenario, &[], folder.path());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("not checked, it is of other components"),
        "{said}"
    );

    std::fs::write(&blessed, text.replacen("version = 1", "version = 2", 1)).expect("written");
    let output = sim(&scenario, &[], folder.path());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("version 2; this nexus-host knows version 1"),
        "{said}"
    );
}

/// Goal: `--pcap` has every frame at both doors. Method: as many packet blocks as the trace has frames.
#[test]
fn a_capture_has_every_frame() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    std::fs::write(&scenario, echo("", "")).expect("written");
    let (pcap, trace) = (folder.path().join("p"), folder.path().join("t"));
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let output = sim(
        &scenario,
        &["--pcap", &text(&pcap), "--trace", &text(&trace)],
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let trace = std::fs::read_to_string(trace).expect("a trace");
    let frames = trace.matches(" sends ").count() + trace.matches(" gets ").count();
    let bytes = std::fs::read(pcap).expect("a capture");
    // pcapng: blocks with their type and length in front; 6 is a packet.
    let (mut at, mut packets) = (0, 0);
    while at < bytes.len() {
        let word =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        packets += usize::from(word(at) == 6);
        at += word(at + 4) as usize;
    }
    assert!(frames > 100, "{frames}");
    assert_eq!(packets, frames);
}

/// Goal: counters and time are held to. Method: bounds that hold and bounds that do not.
#[test]
fn reject_counters_and_times_out_of_bounds() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let expect = |within, resets| {
        format!(
            "[node.app.expect]\nwithin = \"{within}\"\n[node.expect]\n\
             counters = {{ resets-sent = 0, segments-in = {{ at-least = {resets} }} }}\n"
        )
    };
    std::fs::write(&scenario, echo("", &expect("10s", 50))).expect("written");
    let output = sim(&scenario, &[], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    std::fs::write(&scenario, echo("", &expect("5ms", 5_000))).expect("written");
    let output = sim(&scenario, &[], folder.path());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("; expected is 5ms at most"), "{said}");
    assert!(
        said.contains("client: segments-in is ") && said.contains("expected is at least 5000"),
        "{said}"
    );
}

/// A web server that answers a fetch, and more of the scenario.
fn web(peer: &str, client: &str) -> String {
    format!(
        "[[link]]\nname = \"lan\"\nlatency = \"20ms\"\n\
         [[node]]\nname = \"web\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n[[node.peer]]\n{peer}\n\
         [[node]]\nname = \"client\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nargs = [\"http://10.0.0.1/\"]\n\
         allow = [\"network.tcp.connect=10.0.0.1:80\"]\n{client}\n",
        component("fetch")
    )
}

/// Goal: what a peer expects last is held to, though the app has ended by then. Method: a script that wants more than
/// the client sends, one that waits for what never comes, and requests that were not made.
#[test]
fn reject_peers_whose_expectations_are_not_met() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let page = "{ send = \"HTTP/1.0 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nhi\" }";
    for (peer, says) in [
        (
            format!(
                "tcp = 80\nscript = [{{ expect-until = \"\\r\\n\\r\\n\" }}, {page}, {{ expect = \"MORE\" }}]"
            ),
            // The end of the connection, which comes after the app's, and not that the step is still waiting.
            "step 3 (expect): it ended after 0 of 4 bytes",
        ),
        (
            "http = 80\nroute = [{ path = \"/\" }]\nrequests = [\"GET /other\"]".to_owned(),
            "was asked [\"GET /\"], 1 in all; expected is [\"GET /other\"]",
        ),
    ] {
        std::fs::write(&scenario, web(&peer, "")).expect("written");
        let output = sim(&scenario, &[], folder.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("web, ") && said.contains(says), "{said}");
    }
    // The step that expects something is behind a wait that is longer than the world goes on.
    let late = format!(
        "tcp = 80\nscript = [{{ expect-until = \"\\r\\n\\r\\n\" }}, {page}, {{ wait = \"1h\" }}, \"expect-end\"]"
    );
    std::fs::write(&scenario, web(&late, "")).expect("written");
    let output = sim(&scenario, &[], folder.path());
    let said = stderr(&output);
    assert!(
        said.contains("step 4 (expect end) was not come to"),
        "{said}"
    );
    // Nobody gives up before the world ends: the connection is open, and the step waits.
    let peer = "tcp = 80\nscript = [{ expect-until = \"zzz\" }]";
    std::fs::write(&scenario, web(peer, "[node.app.expect]\nexit = \"any\"")).expect("written");
    let output = sim(&scenario, &["--until", "5s"], folder.path());
    let said = stderr(&output);
    assert!(
        said.contains("step 1 (expect until) is still waiting"),
        "{said}"
    );
}

/// Goal: a server in the background that is refused, or ends, is told of, and not only its client. Method: both, and
/// the same allowed.
#[test]
fn reject_apps_in_the_background_that_do_not_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let text = |guest: &str, expect: &str| {
        format!(
            "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
             [[node.app]]\ncomponent = {:?}\nbackground = true\n{expect}\n\
             [[node.app]]\ncomponent = {:?}\nstart = \"1s\"\n",
            component(guest),
            component("hello")
        )
    };
    let crashed = "[[fault]]\nat = \"100ms\"\nnode = \"b\"\ncrash = true\n\
                   [[node]]\nname = \"b\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n";
    let on_b = |start: &str| {
        let guest = text(
            "probes/waits_for_ever",
            &format!("consent = \"manifest\"\n{start}"),
        );
        guest.replacen("[[node.app]]", &format!("{crashed}[[node.app]]"), 1)
    };
    for (start, says) in [
        ("", "its machine is down"),
        ("start = \"30s\"", "its machine is down"),
    ] {
        // The one that is waited for stands on b, too, and would be down: let it end before.
        let text = on_b(start).replace("start = \"1s\"", "start = \"1ms\"");
        std::fs::write(&scenario, text).expect("written");
        let output = sim(&scenario, &[], folder.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(says) && said.contains("was to stay"),
            "{said}"
        );
    }
    for (guest, says) in [("tcp-echo", "refused with 77"), ("probes/trap", "trap: ")] {
        std::fs::write(&scenario, text(guest, "")).expect("written");
        let output = sim(&scenario, &[], folder.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(says) && said.contains("was to stay"),
            "{said}"
        );
        std::fs::write(&scenario, text(guest, "[node.app.expect]\nexit = \"any\""))
            .expect("written");
        let output = sim(&scenario, &[], folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

/// Goal: two apps that do other things have other hashes, though neither sends a packet. Method: one that prints, one
/// that traps.
#[test]
fn a_hash_is_of_what_apps_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let hash = |guest: &str| {
        let text = format!(
            "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
             [[node.app]]\ncomponent = {:?}\n[node.app.expect]\nexit = \"any\"\n",
            component(guest)
        );
        std::fs::write(&scenario, text).expect("written");
        let output = sim(&scenario, &["--output", "json"], folder.path());
        json(&output)["data"]["runs"][0]["hash"].to_string()
    };
    assert_ne!(hash("hello"), hash("probes/trap"));
}

/// Goal: addresses a node cannot have are an error and no panic. Method: IPv6 on a link too small for it (RFC 8200
/// section 5), given by a fault.
#[test]
fn reject_addresses_a_node_cannot_stand_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let fault = "[[fault]]\nnode = \"client\"\naddresses = [\"fd00::1/64\"]\n";
    let text = web("http = 80", fault).replace("latency = \"20ms\"", "mtu = 576");
    std::fs::write(&scenario, text).expect("written");
    let output = sim(&scenario, &[], folder.path());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("node client with fd00::1/64: "), "{said}");
}

/// Goal: files that are none are no trap, and no folder of this machine is in a world. Method: a folder as a golden
/// file, a device as a manifest, and a grant of a folder.
#[test]
fn reject_folders_and_devices() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    std::fs::create_dir(folder.path().join("golden")).expect("made");
    let text = |more: &str, component: &Path| {
        format!(
            "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
             [[node.app]]\ncomponent = {component:?}\n{more}\n"
        )
    };
    let hello = component("hello");
    let probes = root().join("components/probes/manifests");
    let (manifest, data) = (probes.join("preopen_read.toml"), probes.join("data"));
    let allow = format!(
        "manifest = {manifest:?}\nallow = [\"wasi.dirs={}:ro\"]",
        data.display()
    );
    for (more, says) in [
        (
            "[node.app.expect]\ngolden = \"golden\"",
            "golden is no file",
        ),
        ("manifest = \"/dev/zero\"", "/dev/zero is no file"),
        (allow.as_str(), "granted folders of this machine"),
    ] {
        std::fs::write(&scenario, text(more, &hello)).expect("written");
        let output = sim(&scenario, &[], folder.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{more}: {said}");
        assert!(said.contains(says), "{more}: {said}");
    }
}

/// Goal: an app does not get at its node's name server itself, as outside. Method: a grant of its address and port.
#[test]
fn reject_an_app_that_turns_to_the_name_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let text = web(
        "dns = 53",
        "[node.app.expect]\nexit = 1\ndenied = [\"network.tcp.connect\"]",
    )
    .replace("http://10.0.0.1/", "http://10.0.0.1:53/")
    .replace("10.0.0.1:80", "10.0.0.1:53");
    let asks = text.replace(
        "name = \"client\"\n",
        "name = \"client\"\ndns = [\"10.0.0.1\"]\n",
    );
    std::fs::write(&scenario, asks).expect("written");
    let output = sim(&scenario, &[], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // Where it is nobody's name server, it is a far end like others.
    std::fs::write(&scenario, text).expect("written");
    let output = sim(&scenario, &[], folder.path());
    assert!(
        stderr(&output).contains("was denied []"),
        "{}",
        stderr(&output)
    );
}

/// Goal: a node's policy decides as the operator's does outside. Method: one that allows what the manifest asks,
/// nobody being there to be asked; one that forbids what a person allows; and one that is none.
#[test]
fn a_nodes_policy_decides() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let (manifest, policy) = (
        folder.path().join("nexus.toml"),
        folder.path().join("policy.toml"),
    );
    let asks = "[app]\nid = \"a.b\"\nclass = \"app\"\n[capabilities.\"network.tcp.connect\"]\nallow = [\"10.0.0.1:80\"]\n";
    std::fs::write(&manifest, asks).expect("written");
    let rule = |verdict| {
        format!(
            "[[rule]]\nid = \"r\"\ncapability = \"network.tcp.connect\"\nverdict = \"{verdict}\"\nto = [\"10.0.0.1:80\"]\n"
        )
    };
    let peer = "http = 80\nroute = [{ path = \"/\", body = \"a page\" }]";
    let text = |more: &str| {
        web(peer, more)
            .replace(
                "name = \"client\"\n",
                "name = \"client\"\npolicy = \"policy.toml\"\n",
            )
            .replace(
                "allow = [\"network.tcp.connect=10.0.0.1:80\"]\n",
                "manifest = \"nexus.toml\"\n",
            )
    };
    for (policy_text, more, exit) in [
        (rule("allow"), "[node.app.expect]\nstdout = [\"a page\"]", 0),
        (
            rule("forbid"),
            "consent = \"manifest\"\n[node.app.expect]\nexit = 77",
            0,
        ),
        (String::new(), "[node.app.expect]\nexit = 77", 0),
        ("[[rules]]\n".to_owned(), "", 78),
    ] {
        std::fs::write(&policy, &policy_text).expect("written");
        std::fs::write(&scenario, text(more)).expect("written");
        let output = sim(&scenario, &[], folder.path());
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{policy_text}{more}: {}",
            stderr(&output)
        );
    }
}

/// Goal: a trace or a capture is written over nothing that the scenario is made of. Method: its component, and the
/// scenario itself.
#[test]
fn reject_a_trace_over_a_file_of_the_scenario() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.toml");
    let copy = folder.path().join("hello.wasm");
    std::fs::copy(component("hello"), &copy).expect("copied");
    let text = format!(
        "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {copy:?}\n"
    );
    std::fs::write(&scenario, &text).expect("written");
    for (flag, path) in [("--trace", &copy), ("--pcap", &scenario)] {
        let before = std::fs::read(path).expect("read");
        let output = sim(
            &scenario,
            &[flag, path.to_str().expect("UTF-8")],
            folder.path(),
        );
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert_eq!(std::fs::read(path).expect("read"), before, "{flag}");
    }
}
