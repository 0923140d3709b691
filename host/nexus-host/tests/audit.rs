//! The audit log from outside: several hosts at once, a disk that is full, and what the verbs say.
//!
//! Hosts are this test binary, run again with a word of what to do: real processes, without a guest.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use nexus_host::observe::audit::{AuditLog, Options, Writer};
use nexus_policy::{AppIdentity, Auditor, Capability, Entry, Recorded};
use nexus_types::{AppDigest, InstanceId, Instant};
use serde_json::Value;

/// What a child process is to do, and where.
const PART: &str = "AUDIT_TEST_PART";
const STATE: &str = "AUDIT_TEST_STATE";
const NOW: Instant = Instant::from_secs(1);

fn clock() -> impl FnMut() -> SystemTime + Send {
    let mut time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    move || {
        time += Duration::from_secs(1);
        time
    }
}

fn record(
    log: &mut dyn Auditor,
    id: &str,
    capability: Capability,
    verdict: Recorded,
    target: &str,
) -> bool {
    let app = AppIdentity {
        id: id.into(),
        digest: AppDigest([0xab; 32]),
        publisher: None,
    };
    let entry = Entry {
        app: Some(&app),
        instance: Some(InstanceId(1)),
        capability: Some(capability),
        target: Some(&target),
        verdict,
        reason: if verdict == Recorded::Deny {
            "not-permitted"
        } else {
            ""
        },
        rule: None,
        source: &"manifest",
    };
    log.record(NOW, &entry).is_ok()
}

fn allow(log: &mut dyn Auditor, target: &str) -> bool {
    record(
        log,
        "com.example.a",
        Capability::NetworkTcpConnect,
        Recorded::Allow,
        target,
    )
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("folder"),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn writer(&self) -> Writer {
        Writer::open(&self.state(), clock()).expect("opens")
    }

    /// One closed chain of twelve records: opened, ten, closed.
    fn written() -> Self {
        let world = Self::new();
        let mut log = world.writer();
        for n in 0..9 {
            assert!(allow(&mut log, &format!("host-{n}.example:443")));
        }
        let (tcp, deny) = (Capability::NetworkTcpListen, Recorded::Deny);
        assert!(record(&mut log, "com.example.b", tcp, deny, "any:80"));
        world
    }

    fn segment(&self) -> PathBuf {
        let mut files = fs::read_dir(self.state().join("audit")).expect("listed");
        files.next().expect("a segment").expect("listed").path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-host"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        command
            .arg("audit")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("NEXUS_STATE", self.state())
            .stdin(Stdio::null());
        command
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the host runs")
    }

    /// A host of this test, at the part that the test plays when it is the child.
    fn host(&self, test: &str, part: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this file"));
        self.part(&mut command, test, part);
        command
    }

    fn part(&self, command: &mut Command, test: &str, part: &str) {
        command
            .args(["--exact", test, "--nocapture"])
            .env(PART, part)
            .env(STATE, self.state())
            .stdout(Stdio::null());
    }
}

/// The state folder, if this process is a host of a test's.
fn child() -> Option<(String, PathBuf)> {
    let part = std::env::var(PART).ok()?;
    Some((part, std::env::var_os(STATE)?.into()))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("read");
    let edited = text.replacen(from, to, 1);
    assert_ne!(edited, text);
    fs::write(path, edited).expect("written");
}

/// Goal: hosts that start at the same moment in a new state folder have a chain each and one key.
/// Method: four processes, some thousand records each over several segments; then verify.
#[test]
fn hosts_at_once_have_a_chain_each() {
    if let Some((part, state)) = child() {
        let options = Options {
            segment_bytes: 128 << 10,
            ..Options::default()
        };
        let mut log = Writer::open_with(&state, SystemTime::now, options).expect("opens");
        assert!((0..2000).all(|n| allow(&mut log, &format!("{part} {n}"))));
        return;
    }
    let world = World::new();
    let test = "hosts_at_once_have_a_chain_each";
    let start = |part: &&str| world.host(test, part).spawn().expect("runs");
    let hosts: Vec<Child> = ["a", "b", "c", "d"].iter().map(start).collect();
    for mut host in hosts {
        assert!(host.wait().expect("ends").success());
    }
    let output = world.audit(&["verify", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let chains = json(&output)["data"]["chains"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(chains.len(), 4);
    for chain in chains {
        let segments = chain["segments"].as_u64().expect("a number");
        assert!(segments > 3);
        assert_eq!(chain["records"], 2000 + segments + 1);
        assert_eq!(chain["signed_up_to"], chain["records"]);
    }
}

/// Goal: what the kernel does not take is not said to be recorded, and what it took in part is no fault.
/// Method: a real limit on the size of files (16 KiB), under which write(2) takes part of a line and
/// then fails; sensitive records until one is refused, then the host ends.
#[test]
fn reject_sensitive_records_that_the_kernel_does_not_take() {
    if let Some((_, state)) = child() {
        let mut log = Writer::open(&state, clock()).expect("opens");
        let listen = |log: &mut Writer, n| {
            let tcp = Capability::NetworkTcpListen;
            record(
                log,
                "com.example.a",
                tcp,
                Recorded::Allow,
                &format!("any:{n}"),
            )
        };
        let kept = (0..200).take_while(|n| listen(&mut log, *n)).count();
        assert!(!listen(&mut log, 1000));
        fs::write(state.join("kept"), kept.to_string()).expect("written");
        return;
    }
    let world = World::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().expect("this file"));
    let test = "reject_sensitive_records_that_the_kernel_does_not_take";
    world.part(&mut command, test, "full");
    assert!(command.status().expect("runs").success());
    let kept = fs::read_to_string(world.state().join("kept")).expect("read");
    let kept: u64 = kept.parse().expect("a number");
    assert!((20..100).contains(&kept), "{kept}");
    let output = world.audit(&["verify", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    // The first of the chain, and those that were said to be kept.
    assert_eq!(json(&output)["data"]["chains"][0]["records"], kept + 1);
}

/// Goal: an allowed act costs no allocation. Method: a counter, over records that fill the buffer and are
/// written out many times; only heads, which are rare, would allocate.
#[test]
fn recording_an_allowed_act_allocates_nothing() {
    let world = World::new();
    let options = Options {
        head_records: u64::MAX,
        ..Options::default()
    };
    let still = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let mut log = Writer::open_with(&world.state(), still, options).expect("opens");
    let app = AppIdentity {
        id: "com.example.a".into(),
        digest: AppDigest([1; 32]),
        publisher: None,
    };
    let entry = Entry {
        app: Some(&app),
        instance: Some(InstanceId(1)),
        capability: Some(Capability::NetworkTcpConnect),
        target: Some(&"api.example.com -> 93.184.216.34:443"),
        verdict: Recorded::Allow,
        reason: "",
        rule: Some("lan"),
        source: &"policy.toml:3",
    };
    log.record(NOW, &entry).expect("kept");
    let counted = allocation_counter::measure(|| {
        for _ in 0..2000 {
            log.record(NOW, &entry).expect("kept");
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn verify_says_that_a_log_is_good_and_with_which_key() {
    let world = World::written();
    let output = world.audit(&["verify"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.starts_with("good "), "{text}");
    assert!(
        text.contains("1 segment, 12 records, signed up to record 12\n"),
        "{text}"
    );
    let key = fs::read_to_string(world.state().join("keys/audit.pub")).expect("read");
    assert!(text.contains(key.trim_end()), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn reject_a_log_that_was_changed_with_file_and_line() {
    let world = World::written();
    edit(&world.segment(), "host-3", "host-4");
    let output = world.audit(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let place = format!("{}:5: was changed", world.segment().display());
    assert!(stdout(&output).contains(&place), "{}", stdout(&output));
    assert!(stderr(&output).contains("error: the audit log is not as it was left: 1 of 1 chain"));
    let output = world.audit(&["verify", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let answer = json(&output);
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["data"]["chains"][0]["findings"][0]["line"], 5);
}

#[test]
fn reject_a_log_whose_end_was_cut_off() {
    let world = World::written();
    let text = fs::read_to_string(world.segment()).expect("read");
    let kept: String = text.split_inclusive('\n').take(8).collect();
    fs::write(world.segment(), kept).expect("written");
    let output = world.audit(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let place = format!(
        "{}:8: is the last one, record 8; a head was signed for record 12",
        world.segment().display()
    );
    assert!(stdout(&output).contains(&place), "{}", stdout(&output));
}

/// A chain that says that it lacks records is whole, and no proof of what happened meanwhile.
#[test]
fn reject_a_log_that_lacks_records_as_complete() {
    let world = World::new();
    let options = Options {
        segment_bytes: 64 << 10,
        files_max: 1,
        ..Options::default()
    };
    let mut log = Writer::open_with(&world.state(), clock(), options).expect("opens");
    let kept = (0..1000)
        .filter(|n| allow(&mut log, &n.to_string()))
        .count();
    assert!(kept > 10 && kept < 1000, "{kept}");
    drop(log);
    let output = world.audit(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let (text, lost) = (stdout(&output), 1000 - kept);
    assert!(text.starts_with("INCOMPLETE  "), "{text}");
    assert!(
        text.contains(&format!("{lost} could not be kept")),
        "{text}"
    );
    assert!(
        stderr(&output).contains("lacks records"),
        "{}",
        stderr(&output)
    );
    let answer = json(&world.audit(&["verify", "--output", "json"]));
    let chain = &answer["data"]["chains"][0];
    assert_eq!(
        (&chain["ok"], &chain["complete"]),
        (&true.into(), &false.into())
    );
    assert_eq!(answer["ok"], false);
}

/// Copies, with the heads and the key from elsewhere.
#[test]
fn files_are_verified_apart_from_their_folder() {
    let world = World::written();
    let segment = world.segment();
    let file = segment.to_str().expect("UTF-8");
    let output = world.audit(&["verify", file]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("note: no heads were looked at"));
    let heads = world.state().join("audit-heads");
    let heads = heads.to_str().expect("UTF-8");
    let key = fs::read_to_string(world.state().join("keys/audit.pub")).expect("read");
    let with_heads = [
        "verify",
        file,
        "--heads",
        heads,
        "--public-key",
        key.trim_end(),
    ];
    let output = world.audit(&with_heads);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("signed up to record 12"));
    edit(&segment, "chain-closed", "chain-cl0sed");
    assert_eq!(
        world.audit(&["verify", file]).status.code(),
        Some(0),
        "no heads, no proof"
    );
    assert_eq!(world.audit(&with_heads).status.code(), Some(1));
}

#[test]
fn reject_what_cannot_be_verified() {
    let world = World::new();
    let output = world.audit(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no audit log in"),
        "{}",
        stderr(&output)
    );
    let world = World::written();
    for (arguments, code, says) in [
        (&["verify", "notes.txt"][..], 2, "is not named as a segment"),
        (&["verify", "a.000001.jsonl"], 1, ""),
        (
            &["verify", "--public-key", "nowhere"],
            1,
            "nowhere: No such file",
        ),
        (&["verify", "--heads", "x"], 2, "x: is no folder"),
        (
            &["query", "--cap", "network.tcp.conect"],
            2,
            "did you mean `network.tcp.connect`?",
        ),
        (&["query", "--since", "yesterday"], 2, "how long ago"),
        (&["query", "--verdict", "maybe"], 2, "revoke"),
        (&["tail", "-n", "10001"], 2, "10000"),
    ] {
        let output = world.audit(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?} {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(says),
            "{arguments:?} {}",
            stderr(&output)
        );
    }
    let other = World::written();
    let key = other.state().join("keys/audit.pub");
    let output = world.audit(&["verify", "--public-key", key.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains(".heads:1: this head was signed with key"));
}

/// Goal: a chain that was taken away with all its heads shows against a copy of them. Method: two chains, a copy of
/// the heads, a third chain after it; then the second chain and its heads are removed.
#[test]
fn reject_a_log_that_lacks_what_copies_of_its_heads_speak_for() {
    let world = World::written();
    drop(world.writer());
    let (state, copies) = (world.state(), world.folder.path().join("copies"));
    fs::create_dir(&copies).expect("made");
    let list = |dir: &Path| -> Vec<PathBuf> {
        let files = fs::read_dir(dir).expect("listed");
        files.map(|file| file.expect("listed").path()).collect()
    };
    for head in list(&state.join("audit-heads")) {
        fs::copy(&head, copies.join(head.file_name().expect("a name"))).expect("copied");
    }
    drop(world.writer());
    let verify = ["verify", "--heads", "copies"];
    let output = world.audit(&verify);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert_eq!(stdout(&output).matches("good ").count(), 3);
    let head = list(&copies).remove(0);
    let stem = head.file_stem().expect("a name").to_str().expect("UTF-8");
    let segment = state.join("audit").join(format!("{stem}.jsonl"));
    fs::remove_file(&segment).expect("removed");
    fs::remove_file(state.join("audit-heads").join(format!("{stem}.heads"))).expect("removed");
    assert_eq!(world.audit(&["verify"]).status.code(), Some(0), "no copies");
    let output = world.audit(&verify);
    assert_eq!(output.status.code(), Some(1));
    let missing = format!("{}: is missing", segment.display());
    assert!(stdout(&output).contains(&missing), "{}", stdout(&output));
}

/// All of it taken away: the heads say what is missing.
#[test]
fn reject_a_log_of_which_only_heads_are_left() {
    let world = World::written();
    fs::remove_dir_all(world.state().join("audit")).expect("removed");
    let output = world.audit(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("BROKEN") && text.contains("is missing"),
        "{text}"
    );
    for verb in ["tail", "query"] {
        let output = world.audit(&[verb]);
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(
            told.contains("signed heads say that there was one"),
            "{told}"
        );
    }
}

/// A hole of any length in a file of the log is not read.
#[test]
fn reject_a_segment_that_is_too_long_at_once() {
    let world = World::written();
    let file = fs::OpenOptions::new().write(true).open(world.segment());
    file.expect("opens").set_len(100 << 30).expect("sparse");
    for verb in ["tail", "query", "verify"] {
        let output = world.audit(&[verb]);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        let told = stdout(&output) + &stderr(&output);
        assert!(told.contains("more than any segment"), "{told}");
    }
}

#[test]
fn tail_shows_the_newest_of_all_chains() {
    let world = World::written();
    // A second chain, whose times are those of the first.
    let mut log = world.writer();
    assert!(allow(&mut log, "of-the-second.example:443"));
    drop(log);
    let output = world.audit(&["tail", "-n", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains(
        "deny    com.example.b#1  network.tcp.listen  any:80  [not-permitted]  source=manifest\n"
    ));
    assert!(
        text.ends_with("source=host\n") && text.contains("[chain-closed]"),
        "{text}"
    );
    let all = stdout(&world.audit(&["tail", "-n", "1000"]));
    assert_eq!(all.lines().count(), 12 + 3);
    let times: Vec<_> = all.lines().map(|line| line.split(' ').next()).collect();
    assert!(times.is_sorted(), "{all}");
    let answer = json(&world.audit(&["tail", "--output", "json"]));
    assert_eq!(answer["data"]["records"].as_array().map(Vec::len), Some(10));
    assert_eq!(stdout(&world.audit(&["tail", "-n", "0"])), "");
}

/// Goal: records come as they are written, also those of hosts that start later.
/// Method: reading its output waits for them; nothing else does.
#[test]
fn tail_follows() {
    let world = World::written();
    let mut tail = world
        .command(&["tail", "-n", "1", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert!(next().contains("[chain-closed]"));
    let mut log = world.writer();
    assert!(allow(&mut log, "new.example:1"));
    log.flush(NOW);
    assert!(next().contains("[chain-opened]"));
    assert!(next().contains("new.example:1"));
    assert!(allow(&mut log, "newer.example:1"));
    log.flush(NOW);
    assert!(next().contains("newer.example:1"));
    tail.kill().expect("ends");
    tail.wait().expect("ended");
}

#[test]
fn query_shows_what_fits() {
    let world = World::written();
    let count = |arguments: &[&str]| {
        let arguments = [&["query"], arguments].concat();
        let output = world.audit(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).lines().count()
    };
    assert_eq!(count(&[]), 12);
    assert_eq!(count(&["--app", "com.example.a"]), 9);
    assert_eq!(count(&["--app", "sha256:abab"]), 10);
    assert_eq!(count(&["--app", "com.example"]), 0);
    assert_eq!(count(&["--cap", "network.tcp.listen"]), 1);
    assert_eq!(
        count(&["--verdict", "deny", "--reason", "not-permitted"]),
        1
    );
    assert_eq!(count(&["--verdict", "event"]), 2);
    // The clock of the test gives each moment once, from 11:06:41 on: the name of the chain takes the first.
    assert_eq!(count(&["--until", "2026-11-18T11:06:42Z"]), 0);
    assert_eq!(
        count(&[
            "--since",
            "2026-11-18T11:06:43Z",
            "--until",
            "2026-11-18T11:06:47Z"
        ]),
        3
    );
    assert_eq!(count(&["--since", "1970-01-01T00:00:00Z"]), 12);
    let answer = json(&world.audit(&["query", "--verdict", "deny", "--output", "json"]));
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["data"]["records"][0]["target"], "any:80");
}

/// A log that somebody else wrote: what can be read is shown, the rest is named, and the exit code says so.
#[test]
fn reject_lines_that_are_no_records_and_show_the_others() {
    let world = World::written();
    let mut bytes = fs::read(world.segment()).expect("read");
    bytes.extend([b'x'; 100_000]);
    bytes.extend(b"\n{\"v\":1,\"\x1b[2J\":0}\n");
    fs::write(world.segment(), bytes).expect("written");
    let output = world.audit(&["query"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).lines().count(), 12);
    let told = stderr(&output);
    assert!(
        told.contains(".jsonl:13: is longer than 4096 bytes"),
        "{told}"
    );
    assert!(told.contains(".jsonl:14: is no record"), "{told}");
    assert!(!told.contains('\x1b'), "{told}");
    let answer = world.audit(&["tail", "--output", "json"]);
    assert_eq!(answer.status.code(), Some(1));
    assert_eq!(json(&answer)["ok"], false);
    assert_eq!(
        json(&answer)["data"]["problems"].as_array().map(Vec::len),
        Some(2)
    );
}

/// A handle where the folder cannot be used: nothing is kept, and the error says what to do.
#[test]
fn reject_a_state_folder_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::written();
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o755)).expect("set");
    let (mut log, error) = AuditLog::open(Some(&world.state()), SystemTime::now);
    assert!(error.expect("refused").to_string().contains("chmod 700"));
    assert!(!allow(&mut log, "a"));
}
