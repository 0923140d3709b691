//! A network namespace that ends with the test, however the test ends.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::output;

/// A network namespace, gone when dropped, and when this process ends in whatever way.
///
/// A child holds it that waits for the end of its standard input, which is this process's to close: it
/// has no name below /run/netns that somebody would have to take away.
#[derive(Debug)]
pub struct Namespace(Child);

impl Namespace {
    /// An empty one, with its loopback up. Nothing passes in it but what a test sends: no detection of
    /// duplicate addresses, no router solicitations.
    ///
    /// # Panics
    /// When it cannot be made.
    #[allow(
        clippy::new_without_default,
        reason = "it does something: no default value"
    )]
    pub fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("unshare: {error}; it is in util-linux"));
        // What comes back has passed `cat`, which runs once the namespace is made.
        let made = child.stdin.as_mut().map(|pipe| pipe.write_all(b"\n"));
        made.expect("a pipe").expect("unshare takes it");
        let answer = child.stdout.as_mut().map(|pipe| pipe.read_exact(&mut [0]));
        answer
            .expect("a pipe")
            .expect("root may make a namespace; unshare says above what is wrong");
        let namespace = Self(child);
        namespace.run("sysctl -qw net.ipv6.conf.default.accept_dad=0");
        namespace.run("sysctl -qw net.ipv6.conf.default.router_solicitations=0");
        namespace.run("ip link set lo up");
        namespace
    }

    /// What iproute2 may call it (`netns ID`): the number of a process in it.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.id())
    }

    /// Moves the calling thread there, and what it starts from now on. A test has a thread of its own.
    ///
    /// # Panics
    /// When that is not allowed.
    pub fn enter(&self) {
        enter(&self.path());
    }

    /// What a command run there prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, command: &str) -> String {
        let net = format!("--net={}", self.path());
        let mut words = vec!["nsenter", &net];
        words.extend(command.split_whitespace());
        output(&words)
    }

    /// Does something there on a thread of its own.
    pub fn spawn<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let path = self.path();
        thread::spawn(move || {
            enter(&path);
            act()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn enter(path: &str) {
    let file = File::open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(file.as_fd(), kind).expect("root may enter it");
}
