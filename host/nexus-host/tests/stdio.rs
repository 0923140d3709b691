//! Goal: nothing said is lost, and nobody waits for a reader, whatever kind of pipe or terminal the
//! host was given. Method: pipes made non-blocking, as a parent may make them, read once they are
//! full; terminals and pipes that nobody reads.

mod guests;

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::OpenptFlags;

/// Most of what a pipe holds (pipe(7): 16 pages). The host has then been told "not now", or is
/// about to be.
const NEARLY_FULL: u64 = 60_000;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the host with the test, however that ends.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    fn code(&mut self) -> Option<i32> {
        self.0.wait().expect("the host ends").code()
    }
}

fn host() -> Command {
    let mut command = Command::new(guests::HOST);
    command
        .env_remove("NEXUS_REPORT")
        .current_dir(guests::root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn probe(name: &str, timeout: &str) -> Command {
    let mut command = host();
    command
        .arg("run")
        .arg(guests::component(&format!("probes/{name}")))
        .args(["--net", "none", "--timeout", timeout])
        .args(["--policy", "components/probes/policy.toml"]);
    command
}

fn set_nonblocking(end: impl AsFd) {
    let flags = fcntl_getfl(&end).expect("asked");
    fcntl_setfl(end, flags | OFlags::NONBLOCK).expect("set");
}

fn nonblocking_output() -> (PipeReader, Stdio) {
    let (reader, writer) = pipe().expect("a pipe");
    set_nonblocking(&writer);
    (reader, writer.into())
}

/// How much waits in it now.
fn waiting(reader: &PipeReader) -> u64 {
    rustix::io::ioctl_fionread(reader).expect("asked")
}

fn fill(reader: &PipeReader) {
    let end = Instant::now() + PATIENCE;
    while waiting(reader) < NEARLY_FULL {
        assert!(Instant::now() < end, "the pipe does not fill");
        std::thread::yield_now();
    }
}

/// All of it, in pieces smaller than what is written at a time.
fn read_slowly(mut reader: PipeReader) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 1_000];
    loop {
        match reader.read(&mut piece).expect("reads") {
            0 => return all,
            length => all.extend_from_slice(&piece[..length]),
        }
    }
}

#[test]
fn what_an_app_prints_to_a_non_blocking_pipe_arrives_whole() {
    let (reader, writer) = nonblocking_output();
    let mut host = Host(
        probe("stdout_flood", "120s")
            .stdout(writer)
            .spawn()
            .expect("starts"),
    );
    fill(&reader);
    let line = [[b'x'; 1_023].as_slice(), b"\n"].concat();
    let expected = [line.repeat(8 << 10).as_slice(), b"end"].concat();
    let found = read_slowly(reader);
    assert!(found == expected, "{} bytes arrived", found.len());
    assert_eq!(host.code(), Some(0));
}

#[test]
fn a_non_blocking_pipe_nobody_reads_holds_up_no_deadline() {
    let (reader, writer) = nonblocking_output();
    let mut command = probe("stdout_flood", "500ms");
    let mut host = Host(command.stdout(writer).spawn().expect("starts"));
    assert_eq!(host.code(), Some(124));
    assert!(waiting(&reader) >= NEARLY_FULL);
}

/// So many refusals that no pipe holds what is said of them.
#[test]
fn refusals_nobody_reads_hold_up_nobody() {
    let (stderr, writer) = pipe().expect("a pipe");
    let (mut stdout, out) = pipe().expect("a pipe");
    let place = tempfile::tempdir().expect("a folder");
    let report = place.path().join("report.json");
    let mut command = probe("denials_without_end", "120s");
    command.arg("--report").arg(&report);
    let mut host = Host(command.stdout(out).stderr(writer).spawn().expect("starts"));
    drop(command);
    let mut told = String::new();
    // The app is done before anybody reads a word of standard error.
    let mut line = [0; 14];
    stdout.read_exact(&mut line).expect("the app is done");
    assert_eq!(&line, b"still running\n");
    std::io::BufReader::new(stderr)
        .read_to_string(&mut told)
        .expect("text");
    assert_eq!(host.code(), Some(0), "{told}");
    assert!(told.contains("192.0.2.1:"), "{told}");
    assert!(told.ends_with("4000 denied\n"), "{told}");
    let report = std::fs::read(report).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    // A node keeps so many refusals until its host hears them; how many of them the app makes in
    // one turn is the machine's affair. None is missing from the sum.
    let listed = report["denials"].as_array().expect("a list");
    assert!(listed.len() <= 1_024, "{}", listed.len());
    let counts = listed.iter().map(|denial| &denial["count"]);
    let all: u64 = counts
        .chain([&report["denials_others"], &report["events_dropped"]])
        .map(|count| count.as_u64().expect("a number"))
        .sum();
    assert_eq!(all, 4_000);
}

#[test]
fn what_the_host_says_to_a_non_blocking_pipe_arrives_whole() {
    const IMPORTS: usize = 100;
    let functions: String = (0..40)
        .map(|n| format!("(export \"a-function-with-a-name-of-quite-some-length-so-that-few-of-them-fill-the-pipe-{n}\" (func))"))
        .collect();
    let imports: String = (0..IMPORTS)
        .map(|n| format!("(import \"acme:oven{n}/heat@1.0.0\" (instance {functions}))"))
        .collect();
    let place = tempfile::tempdir().expect("a folder");
    let app = place.path().join("greedy.wasm");
    let bytes = wat::parse_str(format!("(component {imports})")).expect("wat");
    std::fs::write(&app, bytes).expect("written");

    let inspect = |output: Stdio| {
        let mut command = host();
        command.arg("inspect").arg(&app).args(["--output", "json"]);
        Host(command.stdout(output).spawn().expect("starts"))
    };
    let (reader, writer) = nonblocking_output();
    let mut inspected = inspect(writer);
    fill(&reader);
    let data: serde_json::Value = serde_json::from_slice(&read_slowly(reader)).expect("JSON");
    assert_eq!(
        data["data"]["imports"].as_array().map(Vec::len),
        Some(IMPORTS)
    );
    assert_eq!(inspected.code(), Some(0));

    let (reader, writer) = nonblocking_output();
    let mut refused = Host(
        host()
            .arg("run")
            .arg(&app)
            .stderr(writer)
            .spawn()
            .expect("starts"),
    );
    fill(&reader);
    let said = String::from_utf8(read_slowly(reader)).expect("text");
    // A refusal names so many, and counts the rest.
    assert_eq!(said.matches("acme:oven").count(), 64, "{}", said.len());
    assert!(said.contains("36 more"), "{said}");
    assert_eq!(refused.code(), Some(77));
}

#[test]
fn a_non_blocking_input_is_waited_for() {
    let (reader, mut writer) = pipe().expect("a pipe");
    set_nonblocking(&reader);
    let (mut output, out) = pipe().expect("a pipe");
    let mut command = probe("stdin_echo", "120s");
    let mut host = Host(command.stdin(reader).stdout(out).spawn().expect("starts"));
    drop(command);
    // Each time all of it is gone, the next read of the host finds nothing.
    for piece in [b"one ", b"two ", b"more"] {
        writer.write_all(piece).expect("written");
        let end = Instant::now() + PATIENCE;
        while rustix::io::ioctl_fionread(&writer).expect("asked") > 0 {
            assert!(Instant::now() < end, "nobody reads");
            std::thread::yield_now();
        }
    }
    drop(writer);
    let mut found = Vec::new();
    output.read_to_end(&mut found).expect("reads");
    assert_eq!(found, b"one two more");
    assert_eq!(host.code(), Some(0));
}

/// The person's end of a terminal, and the program's.
fn terminal() -> (File, OwnedFd) {
    let person = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    rustix::pty::unlockpt(&person).expect("unlocked");
    let name = rustix::pty::ptsname(&person, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(&name, flags, Mode::empty()).expect("opens");
    (person.into(), program)
}

/// Until nobody has the program's end any more, which a terminal calls an error.
fn read_terminal(mut person: File) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 1_000];
    while let Ok(length @ 1..) = person.read(&mut piece) {
        all.extend_from_slice(&piece[..length]);
    }
    all
}

/// As one whose screen is held with Ctrl-S: it takes what fits its buffer, and no more.
#[test]
fn a_terminal_nobody_reads_holds_up_no_deadline() {
    let (_person, program) = terminal();
    let mut command = probe("stdout_flood", "500ms");
    let mut host = Host(command.stdout(program).spawn().expect("starts"));
    assert_eq!(host.code(), Some(124));
}

#[test]
fn refusals_on_a_terminal_nobody_reads_hold_up_nobody() {
    let (_person, program) = terminal();
    let (mut stdout, out) = pipe().expect("a pipe");
    let place = tempfile::tempdir().expect("a folder");
    let report = place.path().join("report.json");
    let mut command = probe("denials_without_end", "120s");
    command.arg("--report").arg(&report);
    let mut host = Host(command.stdout(out).stderr(program).spawn().expect("starts"));
    drop(command);
    let mut line = [0; 14];
    stdout.read_exact(&mut line).expect("the app is done");
    assert_eq!(&line, b"still running\n");
    // Its own lines are all on the pipe, so that it ends; ours wait for a while, and are given up.
    assert_eq!(host.code(), Some(0));
    assert!(report.is_file());
}

#[test]
fn what_is_printed_on_a_terminal_arrives_whole_and_in_order() {
    let (person, program) = terminal();
    let mut command = probe("stdout_flood", "120s");
    command.stderr(program.try_clone().expect("cloned"));
    let mut host = Host(command.stdout(program).spawn().expect("starts"));
    drop(command);
    let found = read_terminal(person);
    // A terminal ends lines its own way.
    let line = [[b'x'; 1_023].as_slice(), b"\r\n"].concat();
    let expected = [line.repeat(8 << 10).as_slice(), b"end"].concat();
    assert!(
        found.starts_with(&expected),
        "{} bytes arrived",
        found.len()
    );
    let rest = String::from_utf8_lossy(&found[expected.len()..]);
    assert!(rest.starts_with("nexus-host: "), "{rest}");
    assert_eq!(host.code(), Some(0));
}

/// The pipe is full before the host starts, of what others wrote to it.
#[test]
fn a_report_waits_for_nobody_and_the_last_lines_not_for_ever() {
    let (_reader, mut writer) = pipe().expect("a pipe");
    set_nonblocking(&writer);
    while writer.write(&[b'x'; 4_096]).is_ok() {}
    let flags = fcntl_getfl(&writer).expect("asked");
    fcntl_setfl(&writer, flags - OFlags::NONBLOCK).expect("set");
    let place = tempfile::tempdir().expect("a folder");
    let report = place.path().join("report.json");
    let mut command = probe("spin", "200ms");
    command.arg("--report").arg(&report);
    let mut host = Host(command.stderr(writer).spawn().expect("starts"));
    let end = Instant::now() + PATIENCE;
    while !report.is_file() {
        assert!(Instant::now() < end, "no report");
        std::thread::yield_now();
    }
    assert_eq!(host.code(), Some(124));
    let report = std::fs::read(report).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["outcome"], "deadline");
}
