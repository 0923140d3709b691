//! A program that runs beside us until it is stopped: the host, a peer, a server.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::step::show_command;

/// Nothing that is waited for takes longer, even on a machine busy with something else.
const LIMIT: Duration = Duration::from_secs(60);

/// A port of 127.0.0.1 that nobody listens on now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A program that runs until it is stopped, or until this goes out of scope.
pub(crate) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{}`", show_command(&command)))?;
        let (send, lines) = mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().context("no pipe")?),
            Box::new(child.stderr.take().context("no pipe")?),
        ];
        for stream in streams {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self {
            child,
            lines,
            heard: Vec::new(),
        })
    }

    /// Waits until it says a line with `text` in it.
    ///
    /// # Errors
    /// It did not; what it said instead.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> Result<()> {
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.heard.push(line);
                    if found {
                        return Ok(());
                    }
                }
                Err(_) => bail!("it did not say `{text}` but:\n{}", self.stop()),
            }
        }
    }

    /// What the kernel calls it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and gives what it said.
    pub(crate) fn stop(&mut self) -> String {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.heard.extend(self.lines.iter());
        self.heard.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
