//! The operator changes the policy while apps run: what it no longer allows ends, nothing else does, and both are in the
//! audit log.

mod guests;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use guests::{HOST, component};

/// What `burst` says first of what it wants.
const HELLO_BYTES: usize = 9;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("written");
        self.path(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(HOST);
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
        self.command(arguments).output().expect("runs")
    }
}

/// A server of the machine's own that sends back what it gets, and says when a connection was made, that bytes
/// come, and when it is over.
struct Server {
    port: u16,
    /// A moment for each echo, and none for an end.
    heard: Receiver<Option<Instant>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = listener.local_addr().expect("bound").port();
        let (tell, heard) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || {
                    let _ = echo(stream, &tell);
                    let _ = tell.send(None);
                });
            }
        });
        Self { port, heard }
    }

    /// Waits for the next echo; none: the connection is over.
    fn next(&self) -> Option<Instant> {
        self.heard
            .recv_timeout(PATIENCE)
            .expect("something happens")
    }

    /// When the connection was over.
    fn end(&self) -> Instant {
        while self.next().is_some() {}
        Instant::now()
    }

    /// Echoes after this moment.
    fn goes_on(&self, after: Instant) {
        loop {
            let at = self.next().expect("the connection goes on");
            if at > after {
                return;
            }
        }
    }
}

fn echo(mut stream: TcpStream, tell: &mpsc::Sender<Option<Instant>>) -> std::io::Result<()> {
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello)?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count])?;
        let _ = tell.send(Some(Instant::now()));
    }
}

/// A world of two nodes, each with a `burst` that exchanges small messages with its own server for ever.
struct Running {
    child: Child,
    /// What it says, line by line.
    said: Receiver<String>,
}

impl Running {
    fn start(place: &Place, ports: [u16; 2]) -> Self {
        let app = component("burst");
        let node = |name: &str, port: u16| {
            format!(
                "[[node]]\nname = \"{name}\"\nnet = \"user\"\n[[node.app]]\ncomponent = \"{}\"\n\
                 args = [\"client\", \"--to\", \"host.internal:{port}\", \"--mode\", \"rtt\", \"--rounds\", \"100000\", \"--every\", \"2\", \"--write-size\", \"64\"]\n\n",
                app.display()
            )
        };
        place.write(
            "world.toml",
            &format!("{}{}", node("one", ports[0]), node("two", ports[1])),
        );
        let mut child = place
            .command(&["up", "world.toml", "--policy", "policy.toml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (tell, said) = mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Self { child, said }
    }

    /// Waits for a line that has this in it.
    fn says(&self, text: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("never said {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    fn end(mut self) {
        self.signal("-INT");
        self.child.wait().expect("ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn policy(ports: &[u16]) -> String {
    let to: Vec<_> = ports
        .iter()
        .map(|port| format!("\"host.internal:{port}\""))
        .collect();
    format!(
        "[[rule]]\nid = \"servers\"\ncapability = \"network.tcp.connect\"\nverdict = \"allow\"\nto = [{}]\n\n\
         [[rule]]\nid = \"no-listening\"\ncapability = \"network.tcp.listen\"\nverdict = \"forbid\"\n",
        to.join(", ")
    )
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Goal: one connection ends within 100 ms of the reload with `revoked`, the other goes on, both are in the log, and the
/// log is whole; edits of it are not. Method: two apps against servers of the kernel, the policy's rule for one taken out.
#[test]
fn what_the_new_policy_does_not_allow_ends_at_once() {
    let place = Place::new();
    let (one, two) = (Server::start(), Server::start());
    place.write("policy.toml", &policy(&[one.port, two.port]));
    let running = Running::start(&place, [one.port, two.port]);
    one.next().expect("echoes");
    two.next().expect("echoes");

    // The rule is edited where it is written.
    place.write("policy.toml", &policy(&[two.port]));
    let asked = Instant::now();
    let reloaded = place.host(&["policy", "reload"]);
    let answered = Instant::now();
    assert_eq!(reloaded.status.code(), Some(0), "{reloaded:?}");
    assert!(
        stdout(&reloaded).contains("1 open handle ended"),
        "{reloaded:?}"
    );
    let ended = one.end();
    assert!(
        ended - asked < Duration::from_millis(100) + (answered - asked),
        "{:?}",
        ended - asked
    );
    running.says("revoked network.tcp.connect");
    two.goes_on(answered);
    running.end();

    let query = |verdict: &str| {
        let output = place.host(&["audit", "query", "--verdict", verdict]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        stdout(&output)
    };
    let revoked = query("revoke");
    assert!(revoked.contains(&format!(":{}", one.port)), "{revoked}");
    assert!(!revoked.contains(&format!(":{}", two.port)), "{revoked}");
    let allowed = query("allow");
    for port in [one.port, two.port] {
        assert!(allowed.contains(&format!(":{port}")), "{allowed}");
    }
    assert!(query("event").contains("policy-reloaded"));
    let verified = place.host(&["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
}

/// Goal: SIGHUP does what `policy reload` does. Method: as above, by signal.
#[test]
fn a_hangup_reads_the_policy_anew() {
    let place = Place::new();
    let (one, two) = (Server::start(), Server::start());
    place.write("policy.toml", &policy(&[one.port, two.port]));
    let running = Running::start(&place, [one.port, two.port]);
    one.next().expect("echoes");
    two.next().expect("echoes");
    place.write("policy.toml", &policy(&[one.port]));
    running.signal("-HUP");
    two.end();
    running.says("the policy was reloaded; 1 open handle ended");
    one.goes_on(Instant::now());
    running.end();
}

/// What an app has of two folders, by a policy that allows these.
fn folders(place: &Place, allowed: &[&str]) -> String {
    let at = place.folder.path().canonicalize().expect("is there");
    let to: Vec<_> = allowed
        .iter()
        .map(|folder| format!("\"{}/{folder}\"", at.display()))
        .collect();
    format!(
        "[[rule]]\nid = \"folders\"\ncapability = \"wasi.dirs\"\nverdict = \"allow\"\nto = [{}]\n",
        to.join(", ")
    )
}

/// Goal: what the app has open in a folder that is no longer allowed ends, what it opens there too, the other folder is
/// as it was, and it goes on running; it is in the log. Method: a probe that reads until it is refused, then tries
/// everything in both folders; here the rule for one is taken out.
#[test]
fn a_folder_that_the_new_policy_does_not_allow_ends_and_no_other() {
    /// More than one byte a round ever reads.
    const ZEROS: u64 = 1 << 30;

    let place = Place::new();
    for folder in ["gone", "kept"] {
        fs::create_dir(place.path(folder)).expect("made");
        let file = fs::File::create(place.path(&format!("{folder}/zeros"))).expect("made");
        file.set_len(ZEROS).expect("set");
    }
    place.write(
        "nexus.toml",
        "[app]\nid = \"org.nexus.probe.folders\"\nversion = \"0.1.0\"\nclass = \"app\"\n[wasi]\n\
         dirs = [{ host = \"gone\", guest = \"/gone\", mode = \"rw\" }, { host = \"kept\", guest = \"/kept\", mode = \"rw\" }]\n",
    );
    place.write("policy.toml", &folders(&place, &["gone:rw", "kept:rw"]));
    let app = component("probes/preopen_read");
    let mut child = place
        .command(&["run", &app.display().to_string()])
        .args(["--manifest", "nexus.toml", "--policy", "policy.toml"])
        .args(["--timeout", "60s", "--", "until-revoked"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = said.next().and_then(Result::ok);
    if first.as_deref() != Some("reading") {
        panic!("{first:?}: {:?}", child.wait_with_output());
    }
    place.write("policy.toml", &folders(&place, &["kept:rw"]));
    let reloaded = place.host(&["policy", "reload"]);
    assert_eq!(reloaded.status.code(), Some(0), "{reloaded:?}");
    assert!(
        stdout(&reloaded).contains("1 open handle ended"),
        "{reloaded:?}"
    );
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("revoked wasi.dirs"), "{told}");

    let query = |verdict: &str| {
        let output = place.host(&["audit", "query", "--verdict", verdict]);
        stdout(&output)
    };
    let (allowed, revoked) = (query("allow"), query("revoke"));
    for folder in ["/gone:rw", "/kept:rw"] {
        assert_eq!(allowed.matches(folder).count(), 1, "{allowed}");
    }
    assert_eq!(revoked.matches("/gone:rw").count(), 1, "{revoked}");
    assert!(!revoked.contains("/kept"), "{revoked}");
}

/// Goal: a file that does not parse changes nothing. Method: a policy that would allow nothing, with a slip in it.
#[test]
fn reject_a_reload_that_does_not_parse() {
    let place = Place::new();
    let (one, two) = (Server::start(), Server::start());
    place.write("policy.toml", &policy(&[one.port, two.port]));
    let running = Running::start(&place, [one.port, two.port]);
    one.next().expect("echoes");
    two.next().expect("echoes");
    place.write(
        "policy.toml",
        "[[rule]]\nid = \"x\"\nverdict = \"forbidden\"\n",
    );
    let reloaded = place.host(&["policy", "reload"]);
    let answered = Instant::now();
    assert_eq!(reloaded.status.code(), Some(78), "{reloaded:?}");
    let text = stdout(&reloaded);
    assert!(text.contains("the one before holds"), "{text}");
    assert!(text.contains("policy.toml:"), "{text}");
    running.says("error: the policy was not reloaded");
    one.goes_on(answered);
    two.goes_on(answered);
    running.end();
}

/// Goal: a mistake in the answers of persons keeps no operator from forbidding, and is told; one in the policy no person
/// from taking back. Method: the rule for one server taken out, and a file of answers that says nothing; the answer names
/// both.
#[test]
fn reject_answers_with_a_mistake_and_forbid_all_the_same() {
    let place = Place::new();
    let (one, two) = (Server::start(), Server::start());
    place.write("policy.toml", &policy(&[one.port, two.port]));
    let running = Running::start(&place, [one.port, two.port]);
    one.next().expect("echoes");
    two.next().expect("echoes");
    place.write("policy.toml", &policy(&[two.port]));
    let answers = place.write("state/nexus-host/consent.toml", "nonsense");
    fs::set_permissions(&answers, fs::Permissions::from_mode(0o600)).expect("set");
    let reloaded = place.host(&["policy", "reload"]);
    let answered = Instant::now();
    assert_eq!(reloaded.status.code(), Some(78), "{reloaded:?}");
    let text = stdout(&reloaded);
    assert!(text.contains("the policy was reloaded; "), "{text}");
    assert!(text.contains("1 open handle ended"), "{text}");
    assert!(text.contains("consent.toml:1:"), "{text}");
    one.end();
    two.goes_on(answered);
    running.end();
}

/// Goal: whoever changes what running apps do not heed is told so. Method: a key named anew, and signatures required.
#[test]
fn what_holds_from_the_next_start_is_said() {
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    let place = Place::new();
    let (one, two) = (Server::start(), Server::start());
    let rules = policy(&[one.port, two.port]);
    place.write("policy.toml", &rules);
    let running = Running::start(&place, [one.port, two.port]);
    one.next().expect("echoes");
    place.write(
        "policy.toml",
        &format!(
            "require-signature = true\n[[publisher]]\nname = \"acme\"\nkey = \"{KEY}\"\n{rules}"
        ),
    );
    let say = || stdout(&place.host(&["policy", "reload"]));
    let said = say();
    let later = [
        "a key named anew counts from the next start",
        "`require-signature` holds from the next start",
    ];
    for later in later {
        assert!(said.contains(later), "{said}");
    }
    one.goes_on(Instant::now());
    let said = say();
    assert!(!later.iter().any(|later| said.contains(later)), "{said}");
    running.end();
}

/// Goal: no policy can hold up a host. Method: a pipe nobody writes to, at the start and at a reload.
#[test]
fn reject_a_policy_that_is_a_pipe() {
    let place = Place::new();
    let (one, two) = (Server::start(), Server::start());
    place.write("policy.toml", &policy(&[one.port, two.port]));
    let running = Running::start(&place, [one.port, two.port]);
    one.next().expect("echoes");
    two.next().expect("echoes");
    fs::remove_file(place.path("policy.toml")).expect("removed");
    let made = Command::new("mkfifo")
        .arg(place.path("policy.toml"))
        .status();
    assert!(made.expect("mkfifo runs").success());
    let reloaded = place.host(&["policy", "reload"]);
    let answered = Instant::now();
    assert_eq!(reloaded.status.code(), Some(78), "{reloaded:?}");
    let text = stdout(&reloaded);
    assert!(text.contains("is not a regular file"), "{text}");
    one.goes_on(answered);
    two.goes_on(answered);
    running.end();
    let started = place.host(&["up", "world.toml", "--policy", "policy.toml"]);
    assert_eq!(started.status.code(), Some(78), "{started:?}");
}

/// Goal: whoever can write the policy is named at the start. Method: modes; owners are looked at in the same place.
#[test]
fn a_policy_that_others_can_write_is_told() {
    let place = Place::new();
    let path = place.write("policy.toml", &policy(&[1]));
    let app = component("hello").display().to_string();
    let told = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let output = place.host(&["run", &app, "--policy", "policy.toml"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.contains("warning: other users can write policy.toml")
    };
    assert!(told(0o666));
    assert!(!told(0o644));
}

/// Goal: who asks where nobody runs is told. Method: an empty state folder, and one with a socket nobody listens at.
#[test]
fn reject_a_reload_of_no_host() {
    let place = Place::new();
    let none = |place: &Place| {
        let output = place.host(&["policy", "reload"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("no host runs"), "{text}");
    };
    none(&place);
    let control = place.path("state/nexus-host/control");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&control)
        .expect("made");
    let socket = control.join("1-0123456789abcdef.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
    none(&place);
    assert!(!socket.exists(), "what is left over is taken away");
}
