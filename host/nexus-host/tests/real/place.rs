//! Network namespaces of a test's own, and runs of the host in them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::guests::{HOST, component};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The namespaces of a test: the thread is in the first; both are gone when it is dropped.
pub(crate) struct Namespace {
    names: Vec<String>,
    /// One test at a time: two cores are few, and figures of time are asserted.
    _alone: MutexGuard<'static, ()>,
}

impl Namespace {
    fn new(count: usize) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = (0..count)
            .map(|number| format!("nexus-host-{}-{number}", std::process::id()))
            .collect();
        for name in &names {
            output(&["ip", "netns", "add", name]);
        }
        let place = Self {
            names,
            _alone: alone,
        };
        enter(&place.names[0]);
        for name in &place.names {
            output(&["ip", "-n", name, "link", "set", "lo", "up"]);
            let quiet = "net.ipv6.conf.default.accept_dad=0";
            output(&["ip", "netns", "exec", name, "sysctl", "-qw", quiet]);
        }
        place
    }

    /// A TAP interface nx0 with the kernel at 10.77.0.1 and fd77::1.
    pub(crate) fn with_tap(mtu: usize) -> Self {
        let place = Self::new(1);
        place.run("ip tuntap add dev nx0 mode tap");
        place.run(&format!("ip link set nx0 mtu {mtu}"));
        place.run("ip addr add 10.77.0.1/24 dev nx0");
        place.run("ip addr add fd77::1/64 dev nx0 nodad");
        place.run("ip link set nx0 up");
        place
    }

    /// A veth nx0 here without an address, its other end there at 10.77.0.1 and fd77::1.
    pub(crate) fn with_veth() -> Self {
        let place = Self::new(2);
        let far = place.names[1].clone();
        place.run(&format!(
            "ip link add nx0 type veth peer name nx1 netns {far}"
        ));
        place.run("ip link set nx0 up");
        for command in [
            "addr add 10.77.0.1/24 dev nx1",
            "addr add fd77::1/64 dev nx1 nodad",
            "link set nx1 up",
        ] {
            place.run(&format!("ip -n {far} {command}"));
        }
        place
    }

    /// Runs a command where the test is.
    pub(crate) fn run(&self, command: &str) {
        output(&command.split_whitespace().collect::<Vec<_>>());
    }

    /// Does something at the far end.
    pub(crate) fn far<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let far = self.names[1].clone();
        thread::spawn(move || {
            enter(&far);
            act()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Moves the calling thread, and what it starts, into a namespace.
fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).expect("the namespace");
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(file.as_fd(), kind).expect("root may enter it");
}

/// What a command prints; it must succeed.
pub(crate) fn output(words: &[&str]) -> String {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Connects, again and again while nobody listens yet.
pub(crate) fn connect(to: &str) -> TcpStream {
    let end = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&to.parse().unwrap(), PATIENCE) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < end, "{to}: {error}"),
        }
        thread::yield_now();
    }
}

/// A manifest or policy of the test's own.
pub(crate) fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// `nexus-host run` of a component, where the test is.
pub(crate) struct Run {
    child: Child,
    said: Receiver<(bool, String)>,
    /// What it said so far, and what the app printed.
    heard: String,
    printed: String,
}

impl Run {
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(HOST)
            .arg("run")
            .arg(component(name))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host starts");
        let (tell, said) = channel();
        listen(child.stderr.take().expect("a pipe"), false, tell.clone());
        listen(child.stdout.take().expect("a pipe"), true, tell);
        Self {
            child,
            said,
            heard: String::new(),
            printed: String::new(),
        }
    }

    /// Waits until it says something that it has not said yet.
    pub(crate) fn says(&mut self, text: &str) {
        while !self.heard.contains(text) {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                panic!("never says `{text}`:\n{}{}", self.heard, self.printed);
            };
            self.hear(line);
        }
        self.heard.clear();
    }

    /// Waits until the app prints something.
    pub(crate) fn prints(mut self, text: &str) -> Self {
        while !self.printed.contains(text) {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                panic!("never prints `{text}`:\n{}{}", self.heard, self.printed);
            };
            self.hear(line);
        }
        self
    }

    fn hear(&mut self, (printed, line): (bool, String)) {
        let to = if printed {
            &mut self.printed
        } else {
            &mut self.heard
        };
        *to += &(line + "\n");
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its exit code, what it printed and what it said.
    pub(crate) fn wait(mut self) -> (i32, String, String) {
        let status = self.child.wait().unwrap();
        while let Ok(line) = self.said.recv() {
            self.hear(line);
        }
        let (out, err) = (&mut self.printed, &mut self.heard);
        (
            status.code().unwrap_or(-1),
            std::mem::take(out),
            std::mem::take(err),
        )
    }

    /// Ends it as a supervisor would, so that it closes what it has open.
    pub(crate) fn end(mut self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(143));
    }
}

/// Passes on what comes out of a pipe, a line at a time.
fn listen(pipe: impl Read + Send + 'static, printed: bool, tell: Sender<(bool, String)>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = tell.send((printed, line));
        }
    });
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
