//! The command line from outside: what each bad input says, and the exit codes.
//!
//! Components here are a few lines of text, so that nothing has to be built first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Does nothing and succeeds.
const QUIET: &str = r#"(component
    (core module $m (func (export "run") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $out (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $out)))"#;

/// Asks for what nobody provides and for what nobody grants.
const GREEDY: &str = r#"(component
    (import "acme:oven/heat@1.0.0" (instance (export "on" (func)) (export "off" (func))))
    (import "wasi:sockets/instance-network@0.2.0" (instance))
    (import "nexus:net/tcp-listen@0.1.0" (instance))
    (import "nexus:net/tcp-connect@0.1.0" (instance)))"#;

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("writes");
        path
    }

    fn component(&self, name: &str, text: &str) -> PathBuf {
        self.file(name, wat::parse_str(text).expect("wat"))
    }

    /// Nothing of the person who runs the tests takes part.
    fn host(&self, arguments: &[&str]) -> Output {
        self.host_with(&[], arguments)
    }

    fn host_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-host"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .stdin(Stdio::null())
            .output()
            .expect("the host runs")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[track_caller]
fn assert_says(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
    assert!(output.stdout.is_empty(), "standard output is the app's");
}

#[test]
fn an_app_that_asks_for_nothing_runs_with_the_verb_and_without() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    let ran = world.host(&["run", text(&app)]);
    assert_says(&ran, 0, &["nexus-host: quiet: exit 0"]);
    let ran = world.host(&[text(&app), "--quiet"]);
    assert_says(&ran, 0, &[]);
    assert_eq!(stderr(&ran), "");
}

#[test]
fn reject_files_that_are_no_component_each_with_what_to_do() {
    let world = World::new();
    let module = wat::parse_str("(module)").expect("wat");
    let whole = wat::parse_str(QUIET).expect("wat");
    let mut foreign = b"\x7fELF\x02\x01\x01".to_vec();
    foreign.resize(256, 0);
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty", Vec::new(), "the file is empty"),
        ("script", b"#!/bin/sh\n".to_vec(), "not WebAssembly"),
        ("text", QUIET.into(), "wasm-tools parse"),
        ("module", module, "wasm-tools component new"),
        ("precompiled", foreign, "give the .wasm it was made from"),
        (
            "cut",
            whole[..whole.len() - 3].to_vec(),
            "cut off in the section at byte",
        ),
        (
            "damaged",
            [&whole[..], &[0xff, 0x00]].concat(),
            "not a valid component",
        ),
    ];
    for (name, bytes, says) in cases {
        let file = world.file(&format!("{name}.wasm"), bytes);
        assert_says(&world.host(&["run", text(&file)]), 1, &[name, says]);
        assert_says(&world.host(&["inspect", text(&file)]), 1, &[name, says]);
    }
    assert_says(
        &world.host(&["run", "absent.wasm"]),
        1,
        &["absent.wasm: No such file"],
    );
}

#[test]
fn reject_an_app_that_begins_with_more_than_any_may_have() {
    let world = World::new();
    let greedy = QUIET.replace("(func (export", "(table 20001 funcref) (func (export");
    let app = world.component("greedy.wasm", &greedy);
    let said = world.host(&["run", text(&app)]);
    assert_says(
        &said,
        1,
        &["begins with more than any app may have", "20001"],
    );
}

#[test]
fn reject_a_component_without_anything_to_run() {
    let world = World::new();
    let app = world.component("library.wasm", "(component)");
    let said = world.host(&["run", text(&app)]);
    assert_says(&said, 1, &["exports no wasi:cli/run"]);
}

#[test]
fn reject_all_missing_imports_at_once() {
    let world = World::new();
    let app = world.component("greedy.wasm", GREEDY);
    let report = world.path("report.json");
    let said = world.host(&["run", text(&app), "--report", text(&report)]);
    assert_says(
        &said,
        77,
        &[
            "refused  greedy",
            "4 things are missing",
            "acme:oven/heat@1.0.0",
            "(off, on)",
            "wasi:sockets/instance-network@0.2.0",
            "nexus:net/tcp-listen@0.1.0",
            "network.tcp.listen",
            "nexus:net/tcp-connect@0.1.0",
            "network.tcp.connect",
        ],
    );
    let report = json(&fs::read(report).expect("a report"));
    assert_eq!(report["outcome"], "refused");
    assert_eq!(report["code"], 77);
    assert_eq!(report["missing"].as_array().map(Vec::len), Some(4));
}

#[test]
fn check_and_inspect_tell_without_running() {
    let world = World::new();
    let app = world.component("greedy.wasm", GREEDY);
    let checked = world.host(&["check", text(&app), "--output", "json"]);
    assert_eq!(checked.status.code(), Some(77));
    let data = json(&checked.stdout);
    assert_eq!(data["ok"], false);
    assert_eq!(data["data"]["admitted"], false);
    assert_eq!(data["error"]["code"], "refused");

    let inspected = world.host(&["inspect", text(&app), "--output", "json"]);
    assert_eq!(inspected.status.code(), Some(0));
    let data = json(&inspected.stdout);
    assert_eq!(data["ok"], true);
    let imports = data["data"]["imports"].as_array().expect("a list");
    let connect = imports
        .iter()
        .find(|import| import["import"] == "nexus:net/tcp-connect@0.1.0")
        .expect("listed");
    assert_eq!(connect["capabilities"][0], "network.tcp.connect");

    let checked = world.host(&["check", text(&world.component("quiet.wasm", QUIET))]);
    assert_eq!(checked.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("it would start"));
}

#[test]
fn reject_bad_manifests_with_the_place_and_the_key() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    let manifest = world.file(
        "nexus.toml",
        "[app]\nid = \"a.b\"\nclas = \"app\"\n[capabilities.\"network.tcp.conect\"]\nallow = [\"a.example:65536\"]\n",
    );
    let says = [
        "nexus.toml:3:",
        "clas",
        "nexus.toml:4:",
        "network.tcp.connect",
    ];
    let verbs: [&[&str]; 3] = [&["run"], &["check"], &["pack"]];
    for verb in verbs {
        let mut arguments = verb.to_vec();
        arguments.extend([text(&app), "--manifest", text(&manifest)]);
        assert_says(&world.host(&arguments), 78, &says);
    }
    let policy = world.file("policy.toml", "[[rul]]\n");
    let said = world.host(&["run", text(&app), "--policy", text(&policy)]);
    assert_says(&said, 78, &["policy.toml:1:", "rul"]);
    let said = world.host(&["run", text(&app), "--policy", "absent.toml"]);
    assert_says(&said, 78, &["absent.toml"]);
}

#[test]
fn a_packed_manifest_is_the_apps_own() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    let manifest = world.file(
        "nexus.toml",
        "[app]\nid = \"com.example.quiet\"\nclass = \"app\"\n",
    );
    let packed = world.path("packed.wasm");
    let said = world.host(&[
        "pack",
        text(&app),
        "--manifest",
        text(&manifest),
        "--to",
        text(&packed),
        "--output",
        "json",
    ]);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    let digest = json(&said.stdout)["data"]["digest"].clone();
    let report = world.path("report.json");
    let ran = world.host(&["run", text(&packed), "--report", text(&report)]);
    assert_says(&ran, 0, &["com.example.quiet"]);
    let report = json(&fs::read(report).expect("a report"));
    assert_eq!(report["app"], "com.example.quiet");
    assert_eq!(report["digest"], digest);
    assert_eq!(report["outcome"], "exit");
    assert_eq!(report["usage"]["sockets_peak"], 0);
    let keys = |part: &str| -> Vec<String> {
        let part = report[part].as_object().expect("an object");
        part.keys().cloned().collect()
    };
    assert_eq!(
        keys("limits"),
        [
            "bytes_in_flight",
            "cpu_slice_us",
            "deadline_ms",
            "handles",
            "hostcall_bytes",
            "memory_bytes",
            "request_body_bytes",
            "request_timeout_ms",
            "response_body_bytes",
            "sockets",
            "stack_bytes",
            "table_elements",
        ]
    );
    assert_eq!(
        keys("usage"),
        [
            "bytes_in",
            "bytes_in_flight_peak",
            "bytes_out",
            "cpu_us",
            "denials",
            "memory_bytes_peak",
            "slices",
            "sockets_peak",
            "table_elements_peak",
            "wall_us",
        ]
    );
    assert_eq!(report["limits"]["sockets"], 256);
    assert_eq!(
        (&report["denials_others"], &report["events_dropped"]),
        (&0.into(), &0.into())
    );
    assert_eq!(report["audit_records_dropped"], 0);
}

#[test]
fn traps_and_deadlines_have_codes_and_reports_of_their_own() {
    let world = World::new();
    let app = |name: &str, body: &str| {
        let text = QUIET.replace("i32.const 0", body);
        world.component(name, &text)
    };
    let report = world.path("report.json");
    let trap = app("trap.wasm", "unreachable");
    let ran = world.host(&["run", text(&trap), "--report", text(&report)]);
    assert_says(&ran, 134, &["trap  trap: ", "unreachable"]);
    assert_eq!(
        json(&fs::read(&report).expect("a report"))["outcome"],
        "trap"
    );
    let spin = app("spin.wasm", "(loop (br 0)) unreachable");
    let ran = world.host(&[
        "run",
        text(&spin),
        "--timeout",
        "50ms",
        "--report",
        text(&report),
    ]);
    assert_says(&ran, 124, &["deadline  spin: not done after 50.0 ms"]);
    let report = json(&fs::read(&report).expect("a report"));
    assert_eq!(
        (&report["outcome"], &report["code"]),
        (&"deadline".into(), &124.into())
    );
}

#[test]
fn reject_arguments_nobody_can_mean() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    let app = text(&app);
    let tap = &["--net", "tap:tap0", "--address", "10.0.0.2/24"];
    let cases: [(&[&str], &str); 26] = [
        (&["--net", "tap:tap0"], "needs --address ADDR/PREFIX"),
        (&["--net", "tap:"], "cannot be the name of an interface"),
        (
            &["--address", "10.0.0.2/24"],
            "--address needs --net tap:NAME",
        ),
        (&["--mtu", "9000"], "--mtu needs --net tap:NAME"),
        (&[&tap[..], &["--mtu", "575"]].concat(), "from 576 to 65535"),
        (
            &[&tap[..], &["--mtu", "65536"]].concat(),
            "from 576 to 65535",
        ),
        (&["--offload", "off"], "--offload needs --net tap:NAME"),
        (
            &[&tap[..], &["--offload", "no"]].concat(),
            "possible values: on, off",
        ),
        (&["--dns", "dns.example.com"], "[fd00::1]:53"),
        (
            &["--net", "tap:tap0", "--address", "10.0.0.2"],
            "its prefix",
        ),
        (
            &[&tap[..], &["--gateway", "10.0.1.1"]].concat(),
            "on none of the networks",
        ),
        (
            &[&tap[..], &["--address", "dhcp"]].concat(),
            "has --address dhcp and the address 10.0.0.2/24",
        ),
        (
            &["--net", "tap:tap0", "--address", "dhcp,fd00::2/64,dhcp"],
            "--address dhcp twice",
        ),
        (
            &[&tap[..], &["--address", "slaac,fd00::2/64"]].concat(),
            "--address slaac and the address fd00::2/64",
        ),
        (
            &["--net", "tap:tap0", "--address", "slaac,slaac"],
            "--address slaac twice",
        ),
        (
            &[
                "--net",
                "tap:tap0",
                "--address",
                "dhcp",
                "--gateway",
                "10.0.0.1",
            ],
            "leave --gateway out",
        ),
        (&["--address", "dhcp"], "--address needs --net tap:NAME"),
        (
            &[&tap[..], &["--publish", "80:80"]].concat(),
            "--publish needs --net user",
        ),
        (&["--net", "sim"], "not built yet"),
        (&["--net", "usr"], "user"),
        (&["--publish", "80"], "HOSTPORT:PORT"),
        (&["--publish", "80:65536"], "65536"),
        (
            &["--net", "none", "--publish", "8080:80"],
            "--publish needs --net user",
        ),
        (&["--timeout", "5"], "a duration above 0"),
        (&["--max-memory", "64MB"], "a size"),
        (
            &["--allow", "network.tcp.conect=a.example:80"],
            "network.tcp.connect",
        ),
    ];
    for (flags, says) in cases {
        let mut arguments = vec!["run", app];
        arguments.extend(flags);
        assert_says(&world.host(&arguments), 2, &[says]);
    }
    let huge = "x".repeat(100_000);
    let mut arguments = vec!["run", app, "--"];
    arguments.extend([huge.as_str(); 11]);
    assert_says(&world.host(&arguments), 2, &["arguments take"]);
}

#[test]
fn reject_a_published_port_in_use() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("address").port();
    let said = world.host(&["run", text(&app), "--publish", &format!("{port}:80")]);
    assert_says(&said, 1, &[&port.to_string()]);
}

#[test]
fn compiled_code_that_was_changed_is_compiled_again() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    world.host(&["run", text(&app)]);
    let cache = world.path("state/nexus-host/code-cache");
    let entries: Vec<_> = fs::read_dir(cache).expect("a cache").collect();
    assert_eq!(entries.len(), 1);
    let entry = entries[0].as_ref().expect("an entry").path();
    let mut bytes = fs::read(&entry).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&entry, bytes).expect("writes");
    let ran = world.host(&["run", text(&app)]);
    assert_says(&ran, 0, &["not made by this host, or changed since"]);
    let ran = world.host(&["run", text(&app), "--quiet"]);
    assert_eq!(stderr(&ran), "");
}

#[test]
fn reject_worlds_with_the_place() {
    let world = World::new();
    let file = world.file("world.toml", "[[node]]\nname = \"a\"\nlnk = \"b\"\n");
    assert_says(
        &world.host(&["up", text(&file)]),
        78,
        &["world.toml:3:1: ", "lnk"],
    );
}

#[test]
fn a_world_ends_when_its_last_app_in_the_foreground_does() {
    let world = World::new();
    world.component("quiet.wasm", QUIET);
    world.component(
        "spin.wasm",
        &QUIET.replace("i32.const 0", "(loop (br 0)) unreachable"),
    );
    world.component("fails.wasm", &QUIET.replace("i32.const 0", "i32.const 1"));
    let file = world.file(
        "world.toml",
        "[[node]]\nname = \"one\"\nnet = \"none\"\n\
         [[node.app]]\ncomponent = \"spin.wasm\"\nbackground = true\n\
         [[node.app]]\ncomponent = \"quiet.wasm\"\n\
         [[node]]\nname = \"two\"\nnet = \"none\"\n\
         [[node.app]]\ncomponent = \"fails.wasm\"\n",
    );
    let ran = world.host(&["up", text(&file)]);
    assert_says(
        &ran,
        1,
        &["spin: stopped", "quiet: exit 0", "fails: exit 1"],
    );
}

#[test]
fn reject_a_world_with_a_report_on_each_app() {
    let world = World::new();
    world.component("quiet.wasm", QUIET);
    world.component("greedy.wasm", GREEDY);
    let file = world.file(
        "world.toml",
        "[[node]]\nname = \"one\"\nnet = \"none\"\n\
         [[node.app]]\ncomponent = \"quiet.wasm\"\n\
         [[node.app]]\ncomponent = \"greedy.wasm\"\n",
    );
    let path = world.path("report.json");
    let said = world.host(&["up", text(&file), "--report", text(&path)]);
    assert_says(&said, 77, &["refused  greedy"]);
    let report = json(&fs::read(&path).expect("a report"));
    assert_eq!(
        (&report["outcome"], &report["code"]),
        (&"refused".into(), &77.into())
    );
    let apps = report["apps"].as_array().expect("a list");
    assert_eq!(apps.len(), 1);
    assert_eq!(apps[0]["app"], "greedy");
    assert_eq!(apps[0]["missing"].as_array().map(Vec::len), Some(4));

    let said = world.host(&["up", "absent.toml", "--report", text(&path)]);
    assert_says(&said, 78, &["absent.toml"]);
    let report = json(&fs::read(&path).expect("a report"));
    assert_eq!(
        (&report["outcome"], &report["apps"]),
        (&"config".into(), &serde_json::json!([]))
    );
}

#[test]
fn help_has_examples_and_the_exit_codes() {
    let world = World::new();
    let help = world.host(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for word in [
        "run",
        "up",
        "check",
        "inspect",
        "pack",
        "Examples:",
        "77",
        "124",
        "134",
        "143",
    ] {
        assert!(help.contains(word), "`{word}` is not in:\n{help}");
    }
    for verb in ["run", "up", "check", "inspect", "pack"] {
        let help = world.host(&[verb, "--help"]);
        assert!(
            String::from_utf8_lossy(&help.stdout).contains("Examples:"),
            "{verb}"
        );
    }
}

#[test]
fn reject_what_cannot_be_written_before_the_app_runs() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    let world_file = world.file(
        "world.toml",
        "[[node]]\nname = \"n\"\n[[node.app]]\ncomponent = \"quiet.wasm\"\n",
    );
    for verb in [["run", text(&app)], ["up", text(&world_file)]] {
        for (flag, file) in [
            ("--report", "absent/report.json"),
            ("--report", "."),
            ("--pcap", "absent/f.pcapng"),
        ] {
            let said = world.host(&[verb[0], verb[1], flag, file]);
            assert_says(&said, 1, &["error: ", file]);
            assert!(!stderr(&said).contains("exit 0"), "the app ran");
        }
        let said = world.host(&[verb[0], verb[1], "--report", "report.json"]);
        assert_says(&said, 0, &["exit 0"]);
    }
}

#[test]
fn variables_of_flags_are_yes_or_no_in_any_way_and_nothing_when_empty() {
    let world = World::new();
    let app = world.component("quiet.wasm", QUIET);
    let run = ["run", text(&app)];
    for yes in ["1", "yes", "true", "on"] {
        let variables = [("NEXUS_QUIET", yes), ("NEXUS_NO_CACHE", yes)];
        let ran = world.host_with(&variables, &run);
        assert_says(&ran, 0, &[]);
        assert_eq!(stderr(&ran), "", "{yes}");
        let kept = world.path("state/nexus-host/code-cache");
        assert!(!kept.exists(), "{yes}");
    }
    for no in ["0", "no", "false", "off", ""] {
        let ran = world.host_with(&[("NEXUS_QUIET", no)], &run);
        assert_says(&ran, 0, &["exit 0"]);
    }
    let empty = [
        ("NEXUS_REPORT", ""),
        ("NEXUS_STATE", ""),
        ("NEXUS_TIMEOUT", ""),
    ];
    assert_says(&world.host_with(&empty, &run), 0, &["exit 0"]);
    assert!(world.path("state").exists());
    let said = world.host_with(&[("NEXUS_QUIET", "perhaps")], &run);
    assert_says(&said, 2, &["perhaps"]);
    assert_says(
        &world.host(&["run", text(&app), "--report", ""]),
        2,
        &["--report"],
    );
}

/// Goal: nobody who chose a name, of a file or in one, draws on the terminal. Method: an escape sequence and a turn of the
/// writing in every argument that is a file, in a value that is none, and in what an app imports.
#[test]
fn reject_names_that_would_repaint_the_terminal() {
    const ODD: &str = "g\u{1b}[31mil\u{202e}";
    let world = World::new();
    let text = world.file(ODD, "neither wasm nor toml");
    let none = world.path(&format!("none{ODD}"));
    let app = world.component("app.wasm", QUIET);
    let bidi = r#"(component (import "g\u{1b}[31mil\u{202e}" (func)))"#;
    let bidi = world.component("bidi.wasm", bidi);
    let [text, none, app, bidi] =
        [&text, &none, &app, &bidi].map(|path| path.to_str().expect("UTF-8"));
    let rule = format!("network.tcp.connect={ODD}:1");
    for arguments in [
        &["run", text][..],
        &["run", none],
        &["inspect", text],
        &["check", none],
        &["check", bidi],
        &["check", app, "--manifest", text],
        &["check", app, "--policy", none],
        &["check", app, "--allow", &rule],
        &["pack", app, "--manifest", none],
        &["pack", text, "--manifest", text],
        &["up", none],
        &["up", text],
        &["sim", none],
        &["test", none],
        &["policy", "diff", text, none],
        &["policy", text],
        &[ODD, ODD],
    ] {
        let output = world.host(arguments);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(
            !said.contains(['\u{1b}', '\u{202e}']),
            "{arguments:?}: {said:?}"
        );
    }
}
