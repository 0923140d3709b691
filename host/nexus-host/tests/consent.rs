//! Consent from outside: a person at a terminal of the kernel's, what they are shown, what their answers do, and
//! what is written down of them.
//!
//! The texts are golden files; to change one on purpose, run with `BLESS=1` and read the difference.

mod guests;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use regex::Regex;
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use serde_json::Value;

/// Wants to connect, does nothing and succeeds. With `mark` it is another one.
fn app(mark: &str) -> Vec<u8> {
    let text = format!(
        r#"(component (import "nexus:net/tcp-connect@0.1.0" (instance))
        (core module $m (func (export "run") (result i32) i32.const 0)
            (func (export "mark{mark}")))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $out (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $out)))"#
    );
    wat::parse_str(text).expect("wat")
}

/// Ends what an app may have done to the terminal (DECSTR, SGR 0).
const RESET: &str = "\u{1b}[!p\u{1b}[0m";

const RUN: [&str; 4] = ["run", "app.wasm", "--manifest", "nexus.toml"];

struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// With an app that asks for these.
    fn new(rules: &[&str]) -> Self {
        let world = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        world.file("app.wasm", app(""));
        world.asks(rules);
        world
    }

    fn asks(&self, rules: &[&str]) {
        let text = format!(
            "[app]\nid = \"com.example.weather\"\nversion = \"0.3.1\"\n[capabilities.\"network.tcp.connect\"]\nallow = {rules:?}\n"
        );
        self.file("nexus.toml", text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("writes");
    }

    fn answers(&self) -> PathBuf {
        self.path("state/nexus-host/consent.toml")
    }

    /// What is remembered; nothing if there is no file.
    fn remembered(&self) -> String {
        fs::read_to_string(self.answers()).unwrap_or_default()
    }

    fn prepare(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .stdin(Stdio::null());
    }

    fn host(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(guests::HOST);
        self.prepare(command.args(arguments));
        command.output().expect("the host runs")
    }

    /// Runs it with nobody there, and it ends with this code; what it said.
    #[track_caller]
    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.host(arguments);
        let said = String::from_utf8(output.stderr).expect("UTF-8")
            + &String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
        said
    }

    /// Runs it at a terminal of its own, where a person answers each prompt; what the terminal showed.
    #[track_caller]
    fn asked(&self, code: i32, arguments: &[&str], answers: &[&str]) -> String {
        let (ended, shown) = self.at_terminal(arguments, answers, |_| {});
        assert_eq!(ended, Some(code), "{arguments:?}\n{shown}");
        shown
    }

    fn at_terminal(
        &self,
        arguments: &[&str],
        answers: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> (Option<i32>, String) {
        self.at_prompt(arguments, answers, change, |_| {})
    }

    /// The same; `meanwhile` is done at each prompt before it is answered, with the process id of who asks.
    fn at_prompt(
        &self,
        arguments: &[&str],
        answers: &[&str],
        change: impl FnOnce(&mut Command),
        meanwhile: impl Fn(u32),
    ) -> (Option<i32>, String) {
        let (mut person, program) = terminal();
        // Makes its standard input the terminal of a session of its own.
        let mut command = Command::new("setsid");
        self.prepare(command.args(["--ctty", guests::HOST]).args(arguments));
        command
            .stdin(program.try_clone().expect("another"))
            .stderr(program)
            .stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("starts");
        drop(command);
        let mut shown = Vec::new();
        let mut answers = answers.iter();
        let mut byte = [0];
        // It ends when nobody has the terminal open any more.
        while let Ok(1) = person.read(&mut byte) {
            shown.push(byte[0]);
            if shown.ends_with(b"]\x20")
                && let Some(answer) = answers.next()
            {
                meanwhile(child.id());
                person.write_all(answer.as_bytes()).expect("types");
            }
        }
        let code = child.wait().expect("ends").code();
        let shown = String::from_utf8_lossy(&shown).replace("\r\n", "\n");
        // Each heading, and nothing else, sets the terminal to draw as it should.
        let headings = shown.matches("consent  an app asks").count();
        assert_eq!(
            shown
                .matches(&format!("{RESET}consent  an app asks"))
                .count(),
            headings
        );
        let shown = shown.replace(RESET, "");
        assert_eq!(answers.len(), 0, "not all was asked:\n{shown}");
        (code, shown)
    }
}

/// Our end of a terminal, and the program's.
fn terminal() -> (File, OwnedFd) {
    let person = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    rustix::pty::unlockpt(&person).expect("unlocked");
    let name = rustix::pty::ptsname(&person, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(&name, flags, Mode::empty()).expect("opens");
    (person.into(), program)
}

/// Holds a text against its file, without what differs from run to run.
#[track_caller]
fn golden(world: &World, name: &str, text: &str) {
    let mut text = text.replace(&world.folder.path().display().to_string(), "FOLDER");
    for (what, word) in [
        ("sha256:[0-9a-f]{64}", "sha256:DIGEST"),
        ("sha256:[0-9a-f]{8}…", "sha256:SHORT…"),
        ("(?-u:\\b)[0-9a-f]{8}(?-u:\\b)", "ID"),
        ("boot = \"[^\"]*\"", "boot = \"BOOT\""),
        ("20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", "MOMENT"),
        ("exit 0.*", "exit 0 ..."),
    ] {
        let what = Regex::new(what).expect("a pattern");
        text = what.replace_all(&text, word).into_owned();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{}\n", text.trim_end())).expect("writes");
    }
    let want = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text.trim_end() == want.trim_end(),
        "{} would be\n<<<\n{text}\n>>>",
        path.display()
    );
}

/// Goal: what a person is shown, word for word, and that a no is kept to. Method: two questions, one of them the
/// operator's own; each kind of no.
#[test]
fn a_no_is_kept_to_and_written_nowhere() {
    let world = World::new(&["api.example.com:443", "host.internal:8000"]);
    world.file(
        "policy.toml",
        "[[rule]]\nid = \"the-rule\"\ncapability = \"network.tcp.connect\"\nverdict = \"ask\"\nto = [\"host.internal:8000\"]\n",
    );
    let run = [&RUN[..], &["--policy", "policy.toml"]].concat();
    let shown = world.asked(77, &run, &["n\r", "n\r"]);
    golden(&world, "consent-no", &shown);
    let shown = world.asked(77, &run, &["N\r"]);
    assert!(shown.contains("[consent-denied]"), "{shown}");
    let shown = world.asked(77, &run, &["\r", "what?\r"]);
    golden(&world, "consent-no-answer", &shown);
    let shown = world.asked(77, &run, &["\u{4}"]);
    assert!(shown.contains("no answer: taken as no"), "{shown}");
    assert!(!world.answers().exists());
    // A no to one thing is no no to another.
    let shown = world.asked(0, &run, &["n\r", "y\r"]);
    assert!(shown.contains("exit 0"), "{shown}");
    assert!(!world.answers().exists());
}

/// Goal: a yes holds for as long as it says. Method: once, for a session, always; then nobody there; then another
/// start of the machine; the file and its rights.
#[test]
fn a_yes_holds_for_as_long_as_it_says() {
    let world = World::new(&["api.example.com:443"]);
    world.asked(0, &RUN, &["y\r"]);
    assert!(!world.answers().exists());
    world.ends(77, &RUN);
    world.asked(0, &RUN, &["s\r"]);
    world.ends(0, &RUN);
    let session = world.remembered();
    golden(&world, "consent-file-session", &session);
    let boot = Regex::new("boot = \"[^\"]*\"").expect("a pattern");
    let old = boot
        .replace_all(&session, "boot = \"another\"")
        .into_owned();
    fs::write(world.answers(), &old).expect("writes");
    world.ends(77, &RUN);
    let shown = world.asked(0, &RUN, &["a\r"]);
    golden(&world, "consent-always", &shown);
    let file = world.remembered();
    golden(&world, "consent-file-always", &file);
    assert_eq!(file.matches("[[answer]]").count(), 1, "the session is over");
    world.ends(0, &RUN);
    let shown = world.asked(0, &RUN, &[]);
    assert!(!shown.contains("consent"), "{shown}");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&world.answers()), 0o600);
    assert_eq!(mode(&world.path("state/nexus-host")), 0o700);
    // Another rule, and other bytes, are another question.
    world.asks(&["api.example.com:443", "api.example.com:80"]);
    let shown = world.asked(0, &RUN, &["n\r"]);
    assert!(
        shown.contains(
            "1 of 1  network.tcp.connect api.example.com:80\n        for app.wasm (sha256:"
        ),
        "{shown}"
    );
    world.file("app.wasm", app("2"));
    world.ends(77, &RUN);
}

/// Goal: a no that is remembered holds until it is revoked. Method: never, then at a terminal without a question,
/// then revoked.
#[test]
fn a_no_can_be_remembered_and_taken_back() {
    let world = World::new(&["api.example.com:443"]);
    world.asked(77, &RUN, &["never\r"]);
    let shown = world.asked(77, &RUN, &[]);
    golden(&world, "consent-never", &shown);
    // Said for this run, `--allow-manifest` holds against it.
    world.ends(0, &[&RUN[..], &["--allow-manifest"]].concat());
    let list = world.ends(0, &["consent", "list"]);
    golden(&world, "consent-list", &list);
    let id = list.split(' ').next().expect("an id").to_owned();
    let said = world.ends(0, &["consent", "revoke", &id]);
    golden(&world, "consent-revoke", &said);
    world.asked(0, &RUN, &["y\r"]);
    let list = world.ends(0, &["consent", "list"]);
    assert!(list.starts_with("nothing is remembered in "), "{list}");
}

/// Goal: only a person at a terminal is asked. Method: each stream something else, the flag, its variable, a program
/// that reads; a terminal that is not ours; `check` and `policy check`.
#[test]
fn reject_asking_where_nobody_is() {
    let world = World::new(&["api.example.com:443"]);
    let refused = |change: &dyn Fn(&mut Command), more: &[&str]| {
        let arguments = [&RUN[..], more].concat();
        let (code, shown) = world.at_terminal(&arguments, &[], change);
        assert_eq!(code, Some(77), "{more:?}\n{shown}");
        assert!(!shown.contains("[y "), "{shown}");
    };
    refused(&|_| {}, &["--non-interactive"]);
    refused(&|_| {}, &["--output", "json"]);
    refused(
        &|command| {
            command.env("NEXUS_NON_INTERACTIVE", "1");
        },
        &[],
    );
    refused(
        &|command| {
            command.stderr(Stdio::piped());
        },
        &[],
    );
    // Its terminal, and not the one it was started from.
    refused(
        &|command| {
            *command = {
                let mut other = Command::new(guests::HOST);
                world.prepare(other.args(RUN));
                let (_person, program) = terminal();
                other.stdin(program.try_clone().expect("another"));
                other.stderr(program).stdout(Stdio::piped());
                other
            };
        },
        &[],
    );
    let said = world.ends(77, &RUN);
    assert!(said.contains("[consent-required]"), "{said}");
    for check in [
        vec!["check", "app.wasm", "--manifest", "nexus.toml"],
        vec![
            "policy",
            "check",
            "app.wasm",
            "--manifest",
            "nexus.toml",
            "--tcp",
            "api.example.com:443",
        ],
    ] {
        world.asked(77, &check, &[]);
    }
    // With all that is asked allowed there is no question.
    world.asked(0, &[&RUN[..], &["--allow-manifest"]].concat(), &[]);
    world.asked(0, &RUN, &["a\r"]);
    let said = world.ends(0, &["check", "app.wasm", "--manifest", "nexus.toml"]);
    assert!(said.contains("granted by consent "), "{said}");
    let asks = [
        "policy",
        "check",
        "app.wasm",
        "--manifest",
        "nexus.toml",
        "--tcp",
        "api.example.com:443",
    ];
    world.ends(0, &asks);
}

/// Goal: a file that is not understood answers nothing and is not written over. Method: a key misspelt, then a file
/// and a folder others can write.
#[test]
fn reject_a_file_that_is_not_understood() {
    let world = World::new(&["api.example.com:443"]);
    world.asked(0, &RUN, &["a\r"]);
    let good = world.remembered();
    let bad = good.replace("lifetime", "lifetiem");
    fs::write(world.answers(), &bad).expect("writes");
    let (code, shown) = world.at_terminal(&RUN, &[], |_| {});
    assert_eq!(code, Some(78), "{shown}");
    golden(&world, "consent-file-typo", &shown);
    world.ends(78, &[&RUN[..], &["--allow-manifest"]].concat());
    world.ends(78, &["check", "app.wasm", "--manifest", "nexus.toml"]);
    world.ends(78, &["consent", "list"]);
    world.ends(78, &["consent", "revoke", "--all"]);
    assert_eq!(world.remembered(), bad);
    fs::write(world.answers(), &good).expect("writes");
    let rights = |path: PathBuf, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    rights(world.answers(), 0o666);
    let said = world.ends(78, &RUN);
    assert!(said.contains("other users can write it"), "{said}");
    rights(world.answers(), 0o600);
    rights(world.path("state/nexus-host"), 0o777);
    let said = world.ends(78, &RUN);
    assert!(said.contains("run: chmod 700"), "{said}");
    // What was unpacked from an archive is not as the host made it.
    rights(world.path("state/nexus-host"), 0o755);
    world.ends(78, &RUN);
    rights(world.path("state/nexus-host"), 0o700);
    rights(world.answers(), 0o644);
    let said = world.ends(78, &RUN);
    assert!(said.contains("run: chmod 600"), "{said}");
    rights(world.answers(), 0o600);
    world.ends(0, &RUN);
    rights(world.path("state/nexus-host"), 0o700);
    fs::rename(world.answers(), world.path("elsewhere")).expect("moves");
    std::os::unix::fs::symlink(world.path("elsewhere"), world.answers()).expect("links");
    world.ends(78, &RUN);
}

/// Goal: hosts that write at once lose no answer. Method: eight terminals, each with an app of its own.
#[test]
fn two_at_once_lose_no_answer() {
    let world = World::new(&["api.example.com:443"]);
    thread::scope(|scope| {
        for number in 0..8 {
            let world = &world;
            scope.spawn(move || {
                let name = format!("app{number}.wasm");
                world.file(&name, app(&number.to_string()));
                let run = ["run", &name, "--manifest", "nexus.toml"];
                world.asked(0, &run, &["a\r"]);
            });
        }
    });
    let list = world.host(&["consent", "list", "--output", "json"]);
    let list: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    let answers = list["data"]["answers"].as_array().expect("a list");
    assert_eq!(answers.len(), 8, "{list:#}");
    for answer in answers {
        assert_eq!(answer["capability"], "network.tcp.connect");
        assert_eq!(answer["rule"], "api.example.com:443");
        assert_eq!(answer["answer"], "yes");
        assert_eq!(answer["lifetime"], "always");
        assert_eq!(answer["by"], "terminal");
        assert_eq!(answer["holds"], true);
    }
}

/// Goal: what is revoked goes, and nothing else. Method: three answers and a person's comments; one by its id, then
/// what is not there, then by app, then all.
#[test]
fn what_is_revoked_goes_and_nothing_else() {
    let world = World::new(&["a.example:1", "b.example:1", "c.example:1"]);
    world.asked(0, &RUN, &["a\r", "a\r", "a\r"]);
    let file = world.remembered() + "# mine\n";
    fs::write(world.answers(), &file).expect("writes");
    let ids: Vec<_> = file
        .lines()
        .filter_map(|line| line.strip_prefix("id = \""))
        .collect();
    let middle = ids[1].trim_end_matches('"');
    world.ends(0, &["consent", "revoke", middle]);
    let from = file
        .find(&format!("\n[[answer]]\nid = \"{middle}"))
        .expect("there");
    let to = file.rfind("\n[[answer]]").expect("there");
    assert_eq!(
        world.remembered(),
        format!("{}{}", &file[..from], &file[to..])
    );
    let before = world.remembered();
    let last = ids[2].trim_end_matches('"');
    let said = world.ends(2, &["consent", "revoke", last, middle]);
    assert!(said.contains("nothing was revoked"), "{said}");
    world.ends(2, &["consent", "revoke", "--app", "com.example.other"]);
    world.ends(2, &["consent", "revoke"]);
    assert_eq!(world.remembered(), before);
    let said = world.ends(0, &["consent", "revoke", "--app", "com.example.weather"]);
    assert_eq!(said.matches("revoked  ").count(), 2, "{said}");
    assert!(world.remembered().ends_with("# mine\n"));
    let said = world.ends(0, &["consent", "revoke", "--all"]);
    assert!(said.contains("nothing was remembered"), "{said}");
}

/// Goal: an update by the same publisher keeps the answers, one by nobody does not. Method: signed, answered, changed
/// and signed again, then not signed.
#[test]
fn an_answer_outlives_an_update_by_the_same_publisher() {
    let world = World::new(&["api.example.com:443"]);
    world.ends(0, &["sign", "--new-key", "acme", "--no-passphrase"]);
    let key = fs::read_to_string(world.path("acme.pub")).expect("reads");
    let key = key.lines().nth(1).expect("two lines").to_owned();
    world.file(
        "policy.toml",
        format!("[[publisher]]\nname = \"acme\"\nkey = \"{key}\"\n"),
    );
    let pack = ["pack", "app.wasm", "--manifest", "nexus.toml"];
    let sign = ["sign", "app.wasm", "--key", "acme.key"];
    let run = ["run", "app.wasm", "--policy", "policy.toml"];
    world.ends(0, &pack);
    world.ends(0, &sign);
    let shown = world.asked(0, &run, &["a\r"]);
    assert!(
        shown.contains(&format!("publisher  acme ({key})")),
        "{shown}"
    );
    assert!(
        world
            .remembered()
            .contains(&format!("publisher = \"{key}\""))
    );
    world.file("app.wasm", app("2"));
    world.ends(0, &pack);
    fs::remove_file(world.path("app.wasm.minisig")).expect("removes");
    world.ends(77, &run);
    world.ends(0, &sign);
    world.ends(0, &run);
    // Nobody signed that another app of theirs is this one.
    world.file("app.wasm", app("3"));
    world.ends(0, &sign);
    let unsigned = [&run[..], &["--manifest", "nexus.toml"]].concat();
    world.ends(77, &unsigned);
    let digest = |file: &str| file.matches("digest = \"sha256:").count();
    assert_eq!(digest(&world.remembered()), 0);
    world.asked(0, &unsigned, &["a\r"]);
    assert_eq!(digest(&world.remembered()), 1, "{}", world.remembered());
    world.ends(0, &unsigned);
}

/// Goal: what an operator forbids and what a person takes back while another question waits holds for the app that is
/// about to start, and its report says so. Method: each done at the prompt, then a yes; in a world, too.
#[test]
fn reject_what_was_forbidden_or_taken_back_at_the_prompt() {
    let world = World::new(&["a.example:1"]);
    let policy = world.path("config/nexus-host/policy.toml");
    fs::create_dir_all(policy.parent().expect("a folder")).expect("made");
    let forbid =
        "[[rule]]\nid = \"no\"\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\n";
    world.file(
        "world.toml",
        "[[node]]\nname = \"n\"\nnet = \"none\"\n[[node.app]]\ncomponent = \"app.wasm\"\nmanifest = \"nexus.toml\"\n",
    );
    for run in [&RUN[..], &["up", "world.toml"]] {
        let run = [run, &["--report", "r.json"]].concat();
        let (code, shown) = world.at_prompt(
            &run,
            &["y\r"],
            |_| {},
            |_| fs::write(&policy, forbid).expect("written"),
        );
        assert_eq!(code, Some(77), "{shown}");
        assert!(shown.contains("why    rule `no`"), "{shown}");
        let report = fs::read_to_string(world.path("r.json")).expect("a report");
        assert!(report.contains("operator-denied"), "{report}");
        fs::remove_file(&policy).expect("removed");
    }
    // A mistake in it is one as ever.
    let (code, shown) = world.at_prompt(
        &RUN,
        &["y\r"],
        |_| {},
        |_| {
            fs::write(&policy, "[[rule]]\n").expect("written");
        },
    );
    assert_eq!(code, Some(78), "{shown}");
    fs::remove_file(&policy).expect("removed");

    world.asked(0, &RUN, &["a\r"]);
    world.asks(&["a.example:1", "b.example:1"]);
    // One of the two would do.
    world.asked(0, &RUN, &["n\r"]);
    let (code, shown) = world.at_prompt(
        &RUN,
        &["n\r"],
        |_| {},
        |_| {
            world.ends(0, &["consent", "revoke", "--all"]);
        },
    );
    assert_eq!(code, Some(77), "{shown}");
    world.asked(0, &RUN, &["a\r", "y\r"]);
}

/// Goal: whoever is ended at the prompt ends as ever, and its report is written. Method: ctrl-c there, and SIGTERM.
#[test]
fn reject_and_report_what_is_ended_at_the_prompt() {
    let world = World::new(&["a.example:1"]);
    let run = [&RUN[..], &["--report", "r.json"]].concat();
    let report = |code: i32| {
        let text = fs::read_to_string(world.path("r.json")).expect("a report");
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(report["outcome"], "interrupted", "{text}");
        assert_eq!(report["code"], code, "{text}");
        fs::remove_file(world.path("r.json")).expect("removed");
    };
    // A signal's end has no code.
    let (code, shown) = world.at_terminal(&run, &["\u{3}"], |_| {});
    assert_eq!(code, None, "{shown}");
    report(130);
    let terminate = |pid: u32| {
        let kill = Command::new("kill").arg(pid.to_string()).status();
        assert!(kill.expect("kill runs").success());
    };
    let (code, shown) = world.at_prompt(&run, &[""], |_| {}, terminate);
    assert_eq!(code, None, "{shown}");
    report(143);
}

/// Goal: a host that is asked to read the policy anew while it asks a person does not die of it. Method: SIGHUP at the
/// prompt.
#[test]
fn a_hangup_at_the_prompt_ends_nothing() {
    let world = World::new(&["a.example:1"]);
    let (code, shown) = world.at_prompt(
        &RUN,
        &["y\r"],
        |_| {},
        |pid| {
            let kill = Command::new("kill")
                .args(["-HUP", &pid.to_string()])
                .status();
            assert!(kill.expect("kill runs").success());
        },
    );
    assert_eq!(code, Some(0), "{shown}");
}

/// Goal: the apps of a world are asked about before any starts, each once. Method: the same app twice.
#[test]
fn an_app_that_a_world_has_twice_is_asked_about_once() {
    let world = World::new(&["api.example.com:443"]);
    let app = "[[node.app]]\ncomponent = \"app.wasm\"\nmanifest = \"nexus.toml\"\n";
    world.file(
        "world.toml",
        format!("[[node]]\nname = \"n\"\nnet = \"none\"\n{app}{app}"),
    );
    let shown = world.asked(0, &["up", "world.toml"], &["y\r"]);
    assert_eq!(shown.matches("exit 0").count(), 2, "{shown}");
    let shown = world.asked(77, &["up", "world.toml"], &["n\r"]);
    assert_eq!(shown.matches("[consent-denied]").count(), 2, "{shown}");
    world.ends(77, &["up", "world.toml"]);
}

/// Goal: more questions than anybody reads are not asked. Method: as many as may be, one more.
#[test]
fn as_many_questions_as_may_be_and_reject_one_more() {
    let rules: Vec<_> = (1..=33).map(|n| format!("h{n}.example:80")).collect();
    let rules: Vec<_> = rules.iter().map(String::as_str).collect();
    let world = World::new(&rules[..32]);
    world.asked(77, &RUN, &["N\r"]);
    world.asks(&rules);
    let shown = world.asked(77, &RUN, &[]);
    assert!(
        shown.contains("nobody was asked: it asks for 33 things"),
        "{shown}"
    );
}

/// Goal: a rule that moves the host's words off the screen is not asked about. Method: as long as may be, one longer.
#[test]
fn as_long_a_rule_as_may_be_and_reject_one_longer() {
    let name = "abcdefghi.".repeat(15);
    // `:80` is the rest.
    let rule = |length: usize| format!("{}{name}e:80", "x".repeat(length - name.len() - 4));
    let world = World::new(&[&rule(160)]);
    world.asked(77, &RUN, &["n\r"]);
    world.asks(&["a.example:1", &rule(161)]);
    let shown = world.asked(77, &RUN, &[]);
    let says = "nobody was asked: a rule of network.tcp.connect has 161 characters";
    assert!(shown.contains(says), "{shown}");
}

/// Goal: a folder's name is no place for a line of the host's own. Method: blanks that fill the line, others than the
/// space, characters nobody sees.
#[test]
fn reject_rules_that_are_not_seen_as_they_are() {
    for name in [
        "a      publisher  acme",
        "a\u{3000}b",
        "a\u{2800}b",
        "a\u{1d173}b",
    ] {
        let world = World::new(&[]);
        fs::create_dir(world.path(name)).expect("a folder");
        let dirs = format!(
            "[app]\nid = \"com.example.weather\"\n[capabilities.\"network.tcp.connect\"]\nallow = [\"a.example:1\"]\n[wasi]\ndirs = [{{ host = \"./{name}\", guest = \"/data\", mode = \"ro\" }}]\n"
        );
        world.file("nexus.toml", dirs);
        world.file(
            "policy.toml",
            "[[rule]]\nid = \"ask\"\ncapability = \"wasi.dirs\"\nverdict = \"ask\"\n",
        );
        let run = [&RUN[..], &["--policy", "policy.toml"]].concat();
        let shown = world.asked(77, &run, &[]);
        assert!(
            shown.contains("cannot be shown as what it is"),
            "{name:?}: {shown}"
        );
    }
}

/// Different apps of one world, each asking for `rules` things of its own.
fn world_of(world: &World, apps: usize, rules: usize) {
    let mut text = "[[node]]\nname = \"n\"\nnet = \"none\"\n".to_owned();
    for number in 0..apps {
        world.file(&format!("app{number}.wasm"), app(&number.to_string()));
        let rules: Vec<_> = (1..=rules)
            .map(|port| format!("h{number}.example:{port}"))
            .collect();
        world.asks(&rules.iter().map(String::as_str).collect::<Vec<_>>());
        fs::rename(
            world.path("nexus.toml"),
            world.path(&format!("m{number}.toml")),
        )
        .expect("moves");
        text += &format!(
            "[[node.app]]\ncomponent = \"app{number}.wasm\"\nmanifest = \"m{number}.toml\"\n"
        );
    }
    world.file("world.toml", text);
}

/// Goal: a no to all that follow is one for the apps that follow, too. Method: three apps, `N` at the first.
#[test]
fn a_no_to_all_is_for_the_apps_that_follow_as_well() {
    let world = World::new(&[]);
    world_of(&world, 3, 2);
    let shown = world.asked(77, &["up", "world.toml"], &["y\r", "N\r"]);
    assert_eq!(
        shown.matches("a person said no, for this run").count(),
        2,
        "{shown}"
    );
    assert_eq!(shown.matches("consent  an app asks").count(), 1, "{shown}");
}

/// Goal: apps of one world do not ask together what none may alone. Method: as many questions as may be, and an app more.
#[test]
fn as_many_questions_of_a_world_as_may_be_and_reject_the_next() {
    let world = World::new(&[]);
    world_of(&world, 3, 32);
    let answers = ["n\r"; 64];
    let shown = world.asked(77, &["up", "world.toml"], &answers);
    let says = "nobody was asked: it asks for 32 things, and 64 were asked about before it";
    assert_eq!(shown.matches(says).count(), 1, "{shown}");
}

/// Goal: what cannot be kept is not offered. Method: a state folder that others can look into.
#[test]
fn reject_always_where_nothing_can_be_kept() {
    let world = World::new(&["api.example.com:443"]);
    let state = world.path("state/nexus-host");
    fs::create_dir_all(&state).expect("made");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).expect("set");
    let shown = world.asked(77, &RUN, &["a\r"]);
    let told = shown.find("No answer can be kept for another run");
    assert!(told.is_some() && told < shown.find("[y n N]"), "{shown}");
    assert!(!shown.contains("yes, always"), "{shown}");
    assert!(!world.answers().exists());
}

/// Goal: an app is named as `list` names it. Method: two versions of one app; by the digits shown, with what is around
/// them, by too few.
#[test]
fn the_digits_that_are_listed_are_enough_to_revoke() {
    let world = World::new(&["api.example.com:443"]);
    for mark in ["", "2", "3"] {
        world.file("app.wasm", app(mark));
        world.asked(0, &RUN, &["a\r"]);
    }
    let list = world.ends(0, &["consent", "list"]);
    let shown: Vec<_> = list
        .lines()
        .filter_map(|line| line.split(['(', ')']).nth(1))
        .collect();
    assert_eq!(shown.len(), 3, "{list}");
    let digits = &shown[0]["sha256:".len()..][..8];
    let said = world.ends(2, &["consent", "revoke", "--app", &digits[..7]]);
    assert!(said.contains("nothing is remembered of an app"), "{said}");
    for app in [digits, shown[1], shown[2].trim_end_matches('…')] {
        let said = world.ends(0, &["consent", "revoke", "--app", app]);
        assert_eq!(said.matches("revoked  ").count(), 1, "{said}");
    }
}

/// Goal: nothing an app chose changes what a person sees. Method: escape sequences in the file's name; the id and the
/// version cannot have any.
#[test]
fn what_an_app_chose_is_written_out() {
    let world = World::new(&["api.example.com:443"]);
    let name = "odd\u{1b}[2J\u{202e}.wasm";
    world.file(name, app(""));
    let shown = world.asked(77, &["run", name, "--manifest", "nexus.toml"], &["n\r"]);
    assert!(shown.contains("odd\\u{1b}[2J\\u{202e}.wasm"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
}

/// Goal: every answer is in the audit log. Method: a yes and a no at a terminal, the log asked.
#[test]
fn every_answer_is_recorded() {
    let world = World::new(&["a.example:1", "b.example:1"]);
    world.asked(0, &RUN, &["a\r", "n\r"]);
    let file = world.remembered();
    for (reason, target) in [
        ("consent-yes", "a.example:1"),
        ("consent-no", "b.example:1"),
    ] {
        let said = world.ends(
            0,
            &["audit", "query", "--reason", reason, "--output", "json"],
        );
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let records = said["data"]["records"].as_array().expect("records");
        assert_eq!(records.len(), 1, "{said}");
        let record = &records[0];
        assert_eq!(record["target"], target, "{said}");
        assert_eq!(record["verdict"], "event");
        assert_eq!(record["source"], "terminal");
        let id = record["rule"].as_str().expect("an id");
        assert_eq!(file.contains(id), reason == "consent-yes", "{said}");
    }
    world.ends(0, &["audit", "verify"]);
}

/// Goal: what the issue shows: with No nothing reaches the server, with always the answer is written down and not asked
/// again, piped there is nobody to ask. Method: `fetch` and a server of the kernel's.
#[test]
fn fetch_asks_before_anything_is_sent() {
    let world = World::new(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("bound").port();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            counter.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 1_000];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            );
        }
    });
    fs::copy(guests::component("fetch"), world.path("fetch.wasm")).expect("copies");
    let manifest = guests::root().join("components/fetch/nexus.toml");
    let manifest = manifest.to_str().expect("UTF-8");
    world.ends(0, &["pack", "fetch.wasm", "--manifest", manifest]);
    let url = format!("http://host.internal:{port}/");
    let run = ["run", "fetch.wasm", "--", &url];
    world.ends(77, &run);
    world.asked(77, &run, &["\r", "\r"]);
    world.asked(77, &run, &["N\r"]);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    let shown = world.asked(0, &run, &["a\r", "n\r"]);
    assert!(shown.contains("  + rule = \"host.internal:*\""), "{shown}");
    assert!(world.remembered().contains("rule = \"host.internal:*\""));
    // The other was said no to for that run alone.
    world.asked(0, &run, &["never\r"]);
    world.asked(0, &run, &[]);
    let said = world.ends(0, &run);
    assert!(said.contains("hello"), "{said}");
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}

/// A server of the kernel's for `burst`: where it is, and whether each thing heard was an exchange or the end.
fn exchanges() -> (String, std::sync::mpsc::Receiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("bound").port();
    let (tell, heard) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // What it says first of what it wants.
            let mut buffer = [0; 4_096];
            let _ = stream.read_exact(&mut buffer[..9]);
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(&buffer[..count]);
                let _ = tell.send(true);
            }
            let _ = tell.send(false);
        }
    });
    (format!("host.internal:{port}"), heard)
}

/// Goal: what is revoked ends in a host that runs, once it reloads. Method: `burst` against a server of the kernel's,
/// its answer revoked.
#[test]
fn what_is_revoked_ends_at_a_reload() {
    let world = World::new(&["host.internal:*"]);
    fs::copy(guests::component("burst"), world.path("app.wasm")).expect("copies");
    let (to, heard) = exchanges();
    // It could listen as well, by the same component.
    let listen = ["--allow", "network.tcp.listen=any:1"];
    let client = ["--", "client", "--to", &to, "--mode", "rtt", "--every", "2"];
    let rounds = |number| {
        let rest = ["--write-size", "64", "--rounds", number];
        [&RUN[..], &listen, &client, &rest].concat()
    };
    world.asked(0, &rounds("1"), &["a\r"]);
    while heard.recv().expect("it exchanges") {}
    let mut command = Command::new(guests::HOST);
    world.prepare(command.args(rounds("100000")));
    let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
    assert!(heard.recv().expect("it exchanges"));
    world.ends(0, &["consent", "revoke", "--all"]);
    let said = world.ends(0, &["policy", "reload"]);
    assert!(said.contains("1 open handle ended"), "{said}");
    while heard.recv().expect("it ends") {}
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut said).expect("reads");
    child.wait().expect("ends");
    assert!(said.contains("revoked network.tcp.connect"), "{said}");
    world.ends(77, &rounds("1"));
}

/// Goal: what was answered for a publisher ends with its place in the policy, and what that leaves for the next start is
/// said. Method: `burst`, signed, against a server of the kernel's; the key is taken out, the policy loaded anew.
#[test]
fn what_was_answered_for_a_publisher_ends_with_its_key() {
    let world = World::new(&["host.internal:*"]);
    fs::copy(guests::component("burst"), world.path("app.wasm")).expect("copies");
    world.ends(0, &["sign", "--new-key", "acme", "--no-passphrase"]);
    let key = fs::read_to_string(world.path("acme.pub")).expect("reads");
    let key = key.lines().nth(1).expect("two lines");
    world.file(
        "policy.toml",
        format!("[[publisher]]\nname = \"acme\"\nkey = \"{key}\"\n"),
    );
    world.ends(0, &["pack", "app.wasm", "--manifest", "nexus.toml"]);
    world.ends(0, &["sign", "app.wasm", "--key", "acme.key"]);
    let (to, heard) = exchanges();
    let run = ["run", "app.wasm", "--policy", "policy.toml"];
    let listen = ["--allow", "network.tcp.listen=any:1"];
    let client = ["--", "client", "--to", &to, "--mode", "rtt", "--every", "2"];
    let rounds = |number| {
        let rest = ["--write-size", "64", "--rounds", number];
        [&run[..], &listen, &client, &rest].concat()
    };
    world.asked(0, &rounds("1"), &["a\r"]);
    while heard.recv().expect("it exchanges") {}
    let mut command = Command::new(guests::HOST);
    world.prepare(command.args(rounds("100000")));
    let mut child = command.stderr(Stdio::null()).spawn().expect("starts");
    assert!(heard.recv().expect("it exchanges"));
    world.file("policy.toml", "");
    let said = world.ends(0, &["policy", "reload"]);
    assert!(said.contains("1 open handle ended"), "{said}");
    assert!(said.contains("1 app signed by a key"), "{said}");
    while heard.recv().expect("it ends") {}
    child.wait().expect("ends");
}

/// Goal: a scenario says what a person would answer, and that it does. Method: yes to all; a list with a no; nothing.
#[test]
fn a_script_answers_for_a_person_and_says_so() {
    let world = World::new(&["a.example:1", "b.example:1"]);
    let scenario = |consent: &str| {
        world.file(
            "s.toml",
            format!(
                "[[link]]\nname = \"lan\"\n[[node]]\nname = \"n\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
                 [[node.app]]\ncomponent = \"app.wasm\"\nmanifest = \"nexus.toml\"\n{consent}"
            ),
        );
    };
    scenario("consent = \"yes\"\n");
    let said = world.ends(0, &["sim", "s.toml"]);
    for rule in ["a.example:1", "b.example:1"] {
        let note = format!("script says yes to network.tcp.connect {rule}");
        assert!(said.contains(&note), "{said}");
    }
    let one = |rule: &str, answer: &str| {
        format!(
            "{{ capability = \"network.tcp.connect\", rule = \"{rule}\", answer = \"{answer}\" }}"
        )
    };
    let (yes, no) = (one("a.example:1", "yes"), one("b.example:1", "no"));
    scenario(&format!("consent = [{yes}, {no}]\n"));
    let said = world.ends(0, &["sim", "s.toml"]);
    assert!(
        said.contains("script says no to network.tcp.connect b.example:1"),
        "{said}"
    );
    scenario(&format!("consent = [{no}]\n[node.app.expect]\nexit = 77\n"));
    world.ends(0, &["sim", "s.toml"]);
    scenario(&format!("consent = [{}]\n", one("a.example:1", "maybe")));
    let said = world.ends(78, &["sim", "s.toml"]);
    assert!(said.contains("the answer `maybe` is not"), "{said}");
    scenario(&format!("consent = [{}]\n", one("a.example", "yes")));
    world.ends(78, &["sim", "s.toml"]);
    assert!(!world.answers().exists());
}
