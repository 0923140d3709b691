//! Every probe of components/probes against the built host: what is expected of it from outside.
//!
//! A probe that is in `components/probes/Cargo.toml` and not in this table, or the other way round, does not
//! compile here.

mod guests;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Ends a probe that hangs; far longer than any takes.
const TIMEOUT: &str = "120s";

/// How one probe is run, and what must come of it.
struct Run {
    flags: Vec<String>,
    args: Vec<String>,
    stdin: Vec<u8>,
    code: i32,
    stdout: Option<Vec<u8>>,
    stderr: Vec<&'static str>,
    longest: Option<Duration>,
}

/// Granted what its manifest asks and the probes' policy allows, on a node without any network but the
/// loopback: exits 0.
fn run() -> Run {
    Run {
        flags: flags(&[
            "--policy",
            &folder_of_probes("policy.toml"),
            "--net",
            "none",
        ]),
        args: Vec::new(),
        stdin: Vec::new(),
        code: 0,
        stdout: None,
        stderr: Vec::new(),
        longest: None,
    }
}

impl Run {
    /// Instead of the usual flags.
    fn only(mut self, words: &[&str]) -> Self {
        self.flags = flags(words);
        self
    }

    /// Beside the usual flags.
    fn also(mut self, words: &[impl ToString]) -> Self {
        self.flags.extend(flags(words));
        self
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(ToString::to_string).collect();
        self
    }

    fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// All of it.
    fn stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdout = Some(bytes.into());
        self
    }

    /// Among what is said there, in this order.
    fn stderr(mut self, text: &'static str) -> Self {
        self.stderr.push(text);
        self
    }

    fn within(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    fn check(self, probe: &str) {
        self.check_file(probe, &guests::component(&format!("probes/{probe}")));
    }

    fn check_file(self, probe: &str, file: &Path) {
        let mut command = Command::new(guests::HOST);
        command.arg("run").arg(file).args(&self.flags);
        if !self.flags.iter().any(|flag| flag == "--timeout") {
            command.args(["--timeout", TIMEOUT]);
        }
        command.arg("--").args(&self.args);
        // What an app must not see, and a folder whose files it must not reach.
        command
            .env("PROBE_SECRET", "seen")
            .current_dir(guests::root());

        let begin = Instant::now();
        let output = spawn(command, self.stdin);
        let took = begin.elapsed();

        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let shown = format!(
            "{probe}\n--- stdout\n{}\n--- stderr\n{stderr}",
            head(&stdout)
        );
        assert_eq!(output.status.code(), Some(self.code), "{shown}");
        if let Some(expected) = self.stdout {
            assert!(output.stdout == expected, "stdout of {shown}");
        }
        let mut rest = &*stderr;
        for text in self.stderr {
            let Some((_, after)) = rest.split_once(text) else {
                panic!("no {text:?} in stderr of {shown}");
            };
            rest = after;
        }
        if let Some(longest) = self.longest {
            assert!(took <= longest, "took {took:?}: {shown}");
        }
    }
}

fn flags(words: &[impl ToString]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// A file of components/probes.
fn folder_of_probes(file: &str) -> String {
    guests::root()
        .join("components/probes")
        .join(file)
        .display()
        .to_string()
}

fn head(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(2_000)
        .map_or(text.len(), |(index, _)| index);
    &text[..end]
}

fn spawn(mut command: Command, stdin: Vec<u8>) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the host starts");
    let mut pipe = child.stdin.take().expect("piped");
    let feed = thread::spawn(move || {
        // An app may end before it has read everything.
        let _ = pipe.write_all(&stdin);
    });
    let output = child.wait_with_output().expect("the host ends");
    feed.join().expect("fed");
    output
}

/// A kernel server that echoes what each client sends until it finishes; its port. Ends with the process.
fn kernel_echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a kernel socket");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes);
                let _ = stream.write_all(&bytes);
            });
        }
    });
    port
}

/// The table: a test for each probe, and the list of all.
macro_rules! probes {
    ($($name:ident: $run:expr;)*) => {
        $(#[test] fn $name() { $run.check(stringify!($name)); })*

        const TABLE: &[&str] = &[$(stringify!($name)),*];
    };
}

probes! {
    // nexus:net, TCP
    tcp_connect_by_name: run()
        .only(&["--allow-manifest"])
        .args(&[&kernel_echo().to_string()]);
    tcp_connect_refused: run();
    tcp_connect_denied: run();
    tcp_connect_bad_argument: run();
    tcp_resolve_denied: run();
    tcp_half_close: run();
    tcp_read_after_finish: run();
    tcp_write_after_finish: run();
    tcp_streams_both_ways: run();
    tcp_call_beside_stream: run();
    tcp_write_for_ever_never_read: run();
    tcp_listen_backlog: run();
    tcp_listen_address_in_use: run();
    tcp_listen_denied: run();
    tcp_listen_foreign_address: run();
    tcp_abort_resets: run();
    tcp_drop_delivers: run();
    tcp_many_connections: run();
    tcp_cancelled_calls: run();
    tcp_options: run();
    tcp_ipv6_loopback: run();

    // nexus:net, UDP
    udp_echo: run();
    udp_batch: run();
    udp_refused: run();
    udp_unsolicited: run();
    udp_send_denied: run();
    // tests/policy_matrix says what they are to do; here they do nothing.
    policy_matrix: run().stdout("alive\n");
    policy_matrix_wasi: run().stdout("alive\n");
    udp_too_long: run();
    udp_never_read: run();

    // bounds
    sockets_without_end: run();
    handles_without_end: run().code(134).stderr("trap").stderr("handle");
    denials_without_end: run().stdout("still running\n").stderr("4000 denied");
    memory_grow: run().stdout("still running\n");
    recursion: run().code(134).stderr("trap");
    trap: run().code(134).stdout("before the trap\n").stderr("on purpose").stderr("trap");
    spin: run()
        .only(&["--timeout", "500ms"])
        .code(124)
        .stdout("spinning\n")
        .stderr("deadline")
        .within(Duration::from_secs(30));
    // tests/fairness.rs writes to it; here it only has to start.
    tcp_accept_never_read: run()
        .only(&["--net", "none", "--timeout", "500ms", "--allow", "network.tcp.listen=any:7070"])
        .code(124)
        .stdout("listening\n")
        .stderr("deadline")
        .within(Duration::from_secs(30));
    waits_for_ever: run()
        .only(&["--timeout", "500ms"])
        .code(124)
        .stdout("waiting\n")
        .stderr("deadline")
        .within(Duration::from_secs(30));
    optional_denied: run().only(&["--net", "none"]).stdout("still running\n");

    // HTTP: tests/http_client.rs and tests/real tell them what to ask for, and tests/serve.rs asks those that serve.
    http_request: run().only(&["--allow-manifest"]).code(1).stderr("usage");
    http_request_p2: run().only(&["--allow-manifest"]).code(1).stderr("usage");
    http_request_p3: run().only(&["--allow-manifest"]).code(1).stderr("usage");
    http_serve_p2: run().code(1).stderr("nexus-host serve");
    http_serve_p3: run().code(1).stderr("nexus-host serve");

    // base WASI
    args_arrive: run().args(&["plain", "with space", "", "--allow", "ünïcödé", "-"]);
    env_is_empty: run();
    env_granted: run();
    no_directories: run();
    // Its folder is relative to the manifest's file, hence not the embedded one.
    preopen_read: run().also(&[
        "--manifest",
        &folder_of_probes("manifests/preopen_read.toml"),
        "--allow",
        &format!("wasi.dirs={}:ro", folder_of_probes("manifests/data")),
    ]);
    special_files: run().also(&special_files::flags(special_files::folder()));
    stdin_echo: run().stdin(vec![0xa5; 300_000]).stdout(vec![0xa5; 300_000]);
    stdout_flood: run().stdout({
        let line = [[b'x'; 1_023].as_slice(), b"\n"].concat();
        [line.repeat(8 << 10).as_slice(), b"end"].concat()
    });
    sdk_prints: run()
        .stdout("out 0\nout 1\nout 2\n")
        .stderr("err 0\n")
        .stderr("err 1\n")
        .stderr("err 2\n");
    sleeps: run();
    random_and_clocks: run();
    exit_code_7: run().code(7).stdout("before the end\n");
    error_is_exit_1: run().code(1).stderr("error: this is what went wrong\n");
}

/// A folder with what no archive of sources keeps.
mod special_files {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::sync::LazyLock;

    use rustix::fs::{CWD, Mode, mkfifoat};

    pub(crate) fn folder() -> &'static Path {
        // Kept for as long as the process lives, which is what a probe's folder is there for.
        static FOLDER: LazyLock<(tempfile::TempDir, UnixListener)> = LazyLock::new(|| {
            let place = tempfile::tempdir().expect("a folder");
            let data = place.path().join("data");
            std::fs::create_dir(&data).expect("made");
            mkfifoat(CWD, data.join("fifo"), Mode::from_raw_mode(0o600)).expect("made");
            symlink("fifo", data.join("link-to-fifo")).expect("linked");
            let socket = UnixListener::bind(data.join("socket")).expect("bound");
            let manifest = "[app]\nid = \"org.nexus.probe.special\"\nversion = \"0.1.0\"\n\
                            class = \"system\"\n\
                            [wasi]\ndirs = [{ host = \"./data\", guest = \"/data\", mode = \"rw\" }]\n";
            std::fs::write(place.path().join("nexus.toml"), manifest).expect("written");
            (place, socket)
        });
        FOLDER.0.path()
    }

    pub(crate) fn grant(folder: &Path) -> String {
        let data = folder.join("data").canonicalize().expect("is there");
        format!("wasi.dirs={}:rw", data.display())
    }

    pub(crate) fn flags(folder: &Path) -> [String; 4] {
        let manifest = folder.join("nexus.toml").display().to_string();
        [
            "--manifest".into(),
            manifest,
            "--allow".into(),
            grant(folder),
        ]
    }
}

#[test]
fn opening_a_fifo_for_ever_does_not_hold_up_the_deadline() {
    let flags = special_files::flags(special_files::folder());
    run()
        .also(&flags)
        .also(&["--timeout", "500ms"])
        .args(&["for-ever"])
        .code(124)
        .stderr("deadline")
        .within(Duration::from_secs(30))
        .check("special_files");
}

#[test]
fn opening_a_fifo_for_ever_does_not_hold_up_another_app() {
    let folder = special_files::folder();
    let place = tempfile::tempdir().expect("a folder");
    let world = place.path().join("world.toml");
    let text = format!(
        "[[node]]\nname = \"shared\"\nnet = \"none\"\n\
         [[node.app]]\ncomponent = {:?}\nmanifest = {:?}\nargs = [\"for-ever\"]\nbackground = true\n\
         [[node.app]]\ncomponent = {:?}\n",
        guests::component("probes/special_files"),
        folder.join("nexus.toml"),
        guests::component("probes/sleeps"),
    );
    std::fs::write(&world, text).expect("written");
    let mut command = Command::new(guests::HOST);
    command
        .arg("up")
        .arg(&world)
        .args(["--policy", &folder_of_probes("policy.toml")])
        .args(["--allow", &special_files::grant(folder)])
        .args(["--timeout", TIMEOUT]);
    let output = spawn(command, Vec::new());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("probe.special: stopped"), "{stderr}");
}

/// Written by hand: no compiler for Rust makes it.
#[test]
fn reject_huge_length() {
    let text = folder_of_probes("wat/huge_length.wat");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("huge_length.wasm");
    std::fs::write(&file, wat::parse_file(text).expect("assembles")).expect("written");
    run()
        .only(&[
            "--allow",
            "network.tcp.connect=loopback:80",
            "--net",
            "none",
        ])
        .code(134)
        .stderr("out of bounds")
        .check_file("huge_length", &file);
}

const _: () = {
    let manifest = include_bytes!("../../../components/probes/Cargo.toml");
    assert!(
        count(manifest, b"[[example]]") == TABLE.len(),
        "a probe is in components/probes/Cargo.toml or in this table, and not in the other"
    );
    let mut index = 0;
    while index < TABLE.len() {
        assert!(
            names(manifest, TABLE[index].as_bytes()),
            "a name in this table is no probe's"
        );
        index += 1;
    }
};

/// How often `part` is in `text`.
const fn count(text: &[u8], part: &[u8]) -> usize {
    let (mut found, mut at) = (0, 0);
    while at + part.len() <= text.len() {
        if is_at(text, at, part) {
            found += 1;
        }
        at += 1;
    }
    found
}

/// Whether `"part"` is in `text`, quotes included.
const fn names(text: &[u8], part: &[u8]) -> bool {
    let mut at = 1;
    while at + part.len() < text.len() {
        if text[at - 1] == b'"' && text[at + part.len()] == b'"' && is_at(text, at, part) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_at(text: &[u8], at: usize, part: &[u8]) -> bool {
    let mut index = 0;
    while index < part.len() {
        if text[at + index] != part[index] {
            return false;
        }
        index += 1;
    }
    true
}
