//! Runs of the host where the test is.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use nexus_testbed::{Deadline, PATIENCE};

use crate::guests::{HOST, component};

/// A manifest or policy of the test's own.
pub(crate) fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// The host, or another program, where the calling thread is.
pub(crate) struct Run {
    child: Child,
    said: Receiver<(bool, String)>,
    /// What it said so far, and what the app printed.
    heard: String,
    printed: String,
}

impl Run {
    /// `nexus-host run` of a component.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let component = component(name).display().to_string();
        Self::of(&[&["run", &component], arguments].concat())
    }

    /// `nexus-host` with these arguments.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self::program(&[&[HOST], arguments].concat())
    }

    /// Any program.
    pub(crate) fn program(words: &[&str]) -> Self {
        // It ends with the thread that starts it, also when that is killed.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
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

    /// Waits until it says something that it has not said yet; what it says up to there.
    pub(crate) fn says(&mut self, text: &str) -> String {
        while !self.heard.contains(text) {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                panic!("never says `{text}`:\n{}{}", self.heard, self.printed);
            };
            self.hear(line);
        }
        std::mem::take(&mut self.heard)
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

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> &str {
        &self.printed
    }

    /// Its exit code, what it printed and what it said.
    pub(crate) fn wait(self) -> (i32, String, String) {
        self.wait_for(PATIENCE)
    }

    /// The same, of a program that may take longer.
    pub(crate) fn wait_for(mut self, patience: Duration) -> (i32, String, String) {
        let status = self.ended(patience);
        let (out, err) = (&mut self.printed, &mut self.heard);
        (
            status.code().unwrap_or(-1),
            std::mem::take(out),
            std::mem::take(err),
        )
    }

    /// Ends it as a supervisor would, so that it closes what it has open.
    pub(crate) fn end(self) {
        let (code, err) = self.terminate();
        assert_eq!(code, 143, "{err}");
    }

    /// The same; its exit code and what it said.
    pub(crate) fn terminate(mut self) -> (i32, String) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let status = self.ended(PATIENCE);
        (status.code().unwrap_or(-1), std::mem::take(&mut self.heard))
    }

    /// Waits until both its pipes have ended, then for itself.
    fn ended(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Deadline::after(patience);
        loop {
            match self.said.recv_timeout(deadline.left("the program to end")) {
                Ok(line) => self.hear(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
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
