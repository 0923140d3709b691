//! Signatures from outside: keys made, components signed, and what a policy makes of it at load.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::LocalModes;
use serde_json::Value;

/// Does nothing and succeeds.
const QUIET: &str = r#"(component
    (core module $m (func (export "run") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $out (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $out)))"#;

/// Wants to connect.
const CONNECTS: &str = r#"(component (import "nexus:net/tcp-connect@0.1.0" (instance)))"#;

/// What no output may show.
const CANARY: &str = "canary-passphrase-5u7";

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("reads")
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("writes");
    }

    fn component(&self, name: &str, text: &str) {
        self.file(name, wat::parse_str(text).expect("wat"));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-host"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .stdin(Stdio::null());
        command
    }

    fn host(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the host runs")
    }

    /// Runs it, and it ends with this code.
    #[track_caller]
    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.host(arguments);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
        said
    }

    /// A key pair that is not encrypted, and its public half.
    fn key(&self, name: &str) -> String {
        self.ends(0, &["sign", "--new-key", name, "--no-passphrase"]);
        let public = self.read(&format!("{name}.pub"));
        public.lines().nth(1).expect("two lines").to_owned()
    }

    fn sign(&self, app: &str, key: &str) {
        self.ends(0, &["sign", app, "--key", &format!("{key}.key")]);
    }

    /// A policy that requires the signature of `key`.
    fn require(&self, key: &str) {
        let text =
            format!("require-signature = true\n[[publisher]]\nname = \"acme\"\nkey = \"{key}\"\n");
        self.file("policy.toml", text);
    }
}

/// What differs from run to run, in the words of the golden texts.
fn settled(text: &str, world: &World, keys: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (key, name) in keys {
        text = text.replace(key, &name.to_uppercase());
        let public = world.read(&format!("{name}.pub"));
        let id = public
            .lines()
            .next()
            .and_then(|line| line.rsplit(' ').next());
        text = text.replace(
            id.expect("an id"),
            &format!("ID-OF-{}", name.to_uppercase()),
        );
    }
    text
}

macro_rules! golden {
    ($name:literal, $text:expr) => {
        let text: String = $text;
        let text = text.trim_end();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name, ".txt");
        let want = fs::read_to_string(path).expect("a golden text");
        assert!(
            text == want.trim_end(),
            "golden/{}.txt would be\n<<<\n{text}\n>>>",
            $name
        );
    };
}

/// Goal: a pair is made, its secret for its owner alone, and never written over. Method: modes, then
/// each half in the way.
#[test]
fn a_key_pair_is_made_and_reject_writing_over_one() {
    let world = World::new();
    let key = world.key("acme");
    assert!(key.starts_with("RW") && key.len() == 56);
    let mode = fs::metadata(world.path("acme.key"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = world.read("acme.key");
    let said = world.ends(1, &["sign", "--new-key", "acme", "--no-passphrase"]);
    golden!("sign-key-there", said);
    fs::rename(world.path("acme.key"), world.path("moved")).expect("moves");
    world.ends(1, &["sign", "--new-key", "acme", "--no-passphrase"]);
    assert!(!world.path("acme.key").exists());
    // Not through a link either.
    fs::remove_file(world.path("acme.pub")).expect("removes");
    std::os::unix::fs::symlink(world.path("elsewhere"), world.path("acme.key")).expect("links");
    world.ends(1, &["sign", "--new-key", "acme", "--no-passphrase"]);
    assert!(!world.path("elsewhere").exists());
    assert_eq!(world.read("moved"), before);
    // Nobody to ask: nothing is made.
    let said = world.ends(2, &["sign", "--new-key", "other"]);
    golden!("sign-nobody-to-ask", said);
    assert!(!world.path("other.key").exists());
}

/// Goal: `verify` says whose the bytes are. Method: signed, changed, another key, no signature.
#[test]
fn what_was_signed_verifies_and_reject_the_rest() {
    let world = World::new();
    let (acme, other) = (world.key("acme"), world.key("other"));
    world.component("app.wasm", QUIET);
    let said = world.ends(1, &["verify", "app.wasm", "--publisher", &acme]);
    assert!(said.contains("app.wasm.minisig"), "{said}");
    let sign = [
        "sign",
        "app.wasm",
        "--key",
        "acme.key",
        "--comment",
        "of tests",
    ];
    world.ends(0, &sign);
    let verified = world.host(&[
        "verify", "app.wasm", "--key", "acme.pub", "--output", "json",
    ]);
    let answer: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(answer["data"]["publisher"], acme.as_str());
    assert_eq!(answer["data"]["comment"], "of tests");
    let said = world.ends(77, &["verify", "app.wasm", "--publisher", &other]);
    assert!(said.contains("is by the key"), "{said}");
    world.component("other.wasm", CONNECTS);
    let changed = [
        "verify",
        "other.wasm",
        "--signature",
        "app.wasm.minisig",
        "--publisher",
        &acme,
    ];
    let said = world.ends(77, &changed);
    golden!("verify-changed", settled(&said, &world, &[(&acme, "acme")]));
    world.ends(2, &["verify", "app.wasm", "--publisher", "acme.key"]);
    world.ends(2, &["verify", "app.wasm"]);
    world.ends(2, &["sign", "app.wasm"]);
    world.ends(1, &["sign", "app.wasm", "--key", "acme.pub"]);
    world.ends(
        2,
        &[
            "sign",
            "app.wasm",
            "--key",
            "acme.key",
            "--comment",
            "two\nlines",
        ],
    );
}

/// Goal: where a signature is required, an app runs with one by a listed publisher, and else does
/// not start. Method: unsigned, by another, by the right one, then changed.
#[test]
fn reject_at_load_what_no_listed_publisher_signed() {
    let world = World::new();
    let (acme, other) = (world.key("acme"), world.key("other"));
    world.component("app.wasm", QUIET);
    world.require(&acme);
    let run = ["run", "app.wasm", "--policy", "policy.toml"];
    golden!("load-unsigned", world.ends(77, &run));
    world.sign("app.wasm", "other");
    let said = world.ends(77, &run);
    let keys = [(acme.as_str(), "acme"), (&other, "other")];
    golden!("load-signed-by-a-stranger", settled(&said, &world, &keys));
    world.sign("app.wasm", "acme");
    let said = world.ends(0, &run);
    assert!(said.contains("exit 0"), "{said}");
    // One custom section more: as good a component, and not what was signed.
    let mut bytes = fs::read(world.path("app.wasm")).expect("reads");
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    world.file("app.wasm", bytes);
    let said = world.ends(77, &run);
    golden!("load-changed", settled(&said, &world, &keys));
    world.ends(77, &["check", "app.wasm", "--policy", "policy.toml"]);
    // Who only inspects is told, and not refused.
    world.ends(0, &["inspect", "app.wasm"]);
    world.file("app.wasm.minisig", "garbage");
    golden!("load-signature-unreadable", world.ends(77, &run));
}

/// Goal: a signature that nobody's policy knows changes nothing, and `check` mentions it. Method: no
/// policy at all.
#[test]
fn a_signature_by_a_key_nobody_named_is_as_good_as_none() {
    let world = World::new();
    let key = world.key("acme");
    world.component("app.wasm", QUIET);
    world.sign("app.wasm", "acme");
    world.ends(0, &["run", "app.wasm"]);
    let check = world.host(&["check", "app.wasm"]);
    let said = String::from_utf8(check.stdout).expect("UTF-8");
    assert!(said.contains("publisher not known"), "{said}");
    assert!(said.contains("note: signed by the key"), "{said}");
    assert!(said.contains("which no policy names"), "{said}");
    assert!(!said.contains(&key), "{said}");
}

/// Goal: a publisher's rule outlives an update. Method: a component allowed by it, changed (its
/// digest with it) and signed again; then an update nobody signed.
#[test]
fn a_publishers_rule_holds_for_the_next_version() {
    let world = World::new();
    let acme = world.key("acme");
    world.component("app.wasm", CONNECTS);
    let manifest = |version: u8| {
        format!(
            "[app]\nid = \"a\"\nversion = \"{version}\"\n[capabilities.\"network.tcp.connect\"]\nallow = [\"a.example:443\"]\n"
        )
    };
    world.file(
        "policy.toml",
        format!(
            "[[rule]]\nid = \"acme\"\napp = {{ publisher = \"acme\" }}\ncapability = \"network.tcp.connect\"\nverdict = \"allow\"\nto = [\"a.example:443\"]\n[[publisher]]\nname = \"acme\"\nkey = \"{acme}\"\n"
        ),
    );
    let check = [
        "check",
        "app.wasm",
        "--policy",
        "policy.toml",
        "--output",
        "json",
    ];
    let mut digests = Vec::new();
    for version in [1, 2] {
        world.file("nexus.toml", manifest(version));
        world.ends(0, &["pack", "app.wasm", "--manifest", "nexus.toml"]);
        world.sign("app.wasm", "acme");
        let answer = world.host(&check);
        let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
        let data = &answer["data"];
        assert_eq!(data["publisher"]["name"], "acme", "{answer:#}");
        assert_eq!(data["publisher"]["key"], acme.as_str());
        assert_eq!(data["capabilities"][0]["standing"], "granted");
        digests.push(data["digest"].clone());
    }
    assert_ne!(digests[0], digests[1]);
    fs::remove_file(world.path("app.wasm.minisig")).expect("removes");
    let answer = world.host(&check);
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert_eq!(
        answer["data"]["capabilities"][0]["standing"],
        "consent-required"
    );
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

/// A person who answers each prompt; all that the terminal and standard output showed.
fn typed(world: &World, arguments: &[&str], answers: &[&str]) -> (Option<i32>, String) {
    let (mut person, program) = terminal();
    let again = program.try_clone().expect("another");
    let kept = program.try_clone().expect("another");
    let mut command = world.command(arguments);
    command.stdin(program).stderr(again).stdout(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    drop(command);
    let mut shown = Vec::new();
    for answer in answers {
        let mut line = Vec::new();
        // The prompt comes when the terminal is mute.
        while !line.ends_with(b": ") {
            let mut byte = [0];
            person.read_exact(&mut byte).expect("a prompt");
            line.push(byte[0]);
        }
        shown.extend(line);
        person.write_all(answer.as_bytes()).expect("types");
        person.write_all(b"\r").expect("types");
    }
    let mut out = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_to_string(&mut out).expect("reads");
    let code = child.wait().expect("ends").code();
    let modes = rustix::termios::tcgetattr(&kept)
        .expect("modes")
        .local_modes;
    assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
    drop(kept);
    let mut piece = [0; 1_000];
    while let Ok(length @ 1..) = person.read(&mut piece) {
        shown.extend_from_slice(&piece[..length]);
    }
    (code, format!("{}\n{out}", String::from_utf8_lossy(&shown)))
}

/// Goal: neither passphrase nor secret key is shown, whatever happens, and the terminal is as it was.
/// Method: a canary typed at every prompt of every way, right and wrong, and all output searched.
#[test]
fn reject_secrets_in_any_output() {
    let world = World::new();
    world.component("app.wasm", QUIET);
    let mut shown = String::new();
    let mut step = |code: i32, arguments: &[&str], answers: &[&str]| {
        let (ended, said) = typed(&world, arguments, answers);
        assert_eq!(ended, Some(code), "{arguments:?}\n{said}");
        shown += &said;
    };
    let other = format!("{CANARY}-other");
    step(2, &["sign", "--new-key", "acme"], &[CANARY, &other]);
    step(2, &["sign", "--new-key", "acme"], &[""]);
    step(
        130,
        &["sign", "--new-key", "acme"],
        &["canary-passphrase\u{3}"],
    );
    assert!(!world.path("acme.key").exists());
    step(0, &["sign", "--new-key", "acme"], &[CANARY, CANARY]);
    let sign = ["sign", "app.wasm", "--key", "acme.key"];
    step(2, &sign, &[&other]);
    assert!(!world.path("app.wasm.minisig").exists());
    step(0, &sign, &[CANARY]);
    step(0, &[&sign[..], &["--output", "json"]].concat(), &[CANARY]);
    world.ends(0, &["verify", "app.wasm", "--publisher", "acme.pub"]);
    // Where a secret is put by mistake.
    let secret = world.read("acme.key");
    let secret = secret.lines().nth(1).expect("two lines");
    world.file(
        "policy.toml",
        format!("[[publisher]]\nname = \"a\"\nkey = \"{secret}\"\n"),
    );
    shown += &world.ends(78, &["check", "app.wasm", "--policy", "policy.toml"]);
    shown += &world.ends(2, &sign);
    world.key("plain");
    let plain = world.read("plain.key");
    let plain = plain.lines().nth(1).expect("two lines");
    // Another letter than the one there, whichever the random key has.
    let wrong = if plain.as_bytes()[100] == b'A' {
        'B'
    } else {
        'A'
    };
    world.file(
        "damaged.key",
        format!("\n{}{wrong}{}\n", &plain[..100], &plain[101..]),
    );
    shown += &world.ends(1, &["sign", "app.wasm", "--key", "damaged.key"]);
    shown += &world.ends(2, &["verify", "app.wasm", "--publisher", "plain.key"]);
    assert!(shown.contains("the passphrase is wrong"), "{shown}");
    assert!(shown.contains("the two passphrases differ"), "{shown}");
    for hidden in ["canary-passphrase", &secret[80..110], &plain[100..130]] {
        assert!(!shown.contains(hidden), "{hidden} in:\n{shown}");
    }
}

/// Goal: a signal at the prompt leaves the terminal as it was, and the process ends by it. Method: each signal that ends
/// one, at the first prompt and at the second.
#[test]
fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    use rustix::process::{Pid, Signal, kill_process};
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        for answers in [0, 1] {
            let world = World::new();
            let (mut person, program) = terminal();
            let kept = program.try_clone().expect("another");
            let mut command = world.command(&["sign", "--new-key", "acme"]);
            command.stdin(program.try_clone().expect("another"));
            command.stderr(program).stdout(Stdio::piped());
            let mut child = command.spawn().expect("starts");
            drop(command);
            for answer in 0..=answers {
                let mut line = Vec::new();
                while !line.ends_with(b": ") {
                    let mut byte = [0];
                    person.read_exact(&mut byte).expect("a prompt");
                    line.push(byte[0]);
                }
                if answer < answers {
                    person.write_all(b"secret\r").expect("types");
                }
            }
            let pid = Pid::from_child(&child);
            kill_process(pid, signal).expect("signalled");
            assert_eq!(child.wait().expect("ends").code(), Some(code), "{signal:?}");
            let modes = rustix::termios::tcgetattr(&kept)
                .expect("modes")
                .local_modes;
            let all = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
            assert!(modes.contains(all), "{signal:?} {modes:?}");
            assert!(!world.path("acme.key").exists());
        }
    }
}

/// Goal: what is signed is not lost to its signature, nor a key. Method: `--to` the component by two names, and the key;
/// the variable of `pack`, which `sign` once had as well.
#[test]
fn reject_a_signature_over_what_is_signed() {
    let world = World::new();
    world.component("app.wasm", QUIET);
    world.key("acme");
    std::os::unix::fs::symlink(world.path("app.wasm"), world.path("link")).expect("links");
    let (app, key) = (
        fs::read(world.path("app.wasm")).expect("reads"),
        world.read("acme.key"),
    );
    for to in ["app.wasm", "./app.wasm", "link", "acme.key"] {
        let said = world.ends(2, &["sign", "app.wasm", "--key", "acme.key", "--to", to]);
        assert!(said.contains("it would be lost"), "{said}");
    }
    let mut command = world.command(&["sign", "app.wasm", "--key", "acme.key"]);
    command
        .env("NEXUS_TO", "app.wasm")
        .env("NEXUS_PACK_TO", "app.wasm");
    assert!(command.output().expect("runs").status.success());
    assert_eq!(fs::read(world.path("app.wasm")).expect("reads"), app);
    assert_eq!(world.read("acme.key"), key);
    world.ends(0, &["verify", "app.wasm", "--publisher", "acme.pub"]);
}

/// Goal: `pack` keeps a file's rights, writes through no link, and says what it did to a signature. Method: a component
/// of its owner's alone, signed and packed; packed again to the same; a manifest as the target.
#[test]
fn pack_keeps_rights_and_tells_of_a_signature_it_ended() {
    let world = World::new();
    world.component("app.wasm", QUIET);
    world.file("nexus.toml", "[app]\nid = \"com.example.a\"\n");
    let path = world.path("app.wasm");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    world.key("acme");
    world.sign("app.wasm", "acme");
    let pack = ["pack", "app.wasm", "--manifest", "nexus.toml"];
    let said = world.ends(0, &pack);
    assert!(
        said.contains("note: app.wasm.minisig is of the component as it was"),
        "{said}"
    );
    let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    world.sign("app.wasm", "acme");
    // It was packed before, so nothing changes.
    assert_eq!(world.ends(0, &pack), "");
    world.ends(0, &["verify", "app.wasm", "--publisher", "acme.pub"]);
    let said = world.ends(2, &[&pack[..], &["--to", "nexus.toml"]].concat());
    assert!(said.contains("it would be lost"), "{said}");
}
