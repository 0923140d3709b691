//! Saying what is being done, how long it usually takes, and how long it took; running commands.

use std::io::Read as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// One announced piece of work. Progress goes to standard error; standard output stays for results.
pub(crate) struct Step {
    name: String,
    begun: Instant,
}

impl Step {
    /// Announces. `usual` is what it takes on two cores with nothing built yet.
    pub(crate) fn begin(name: impl Into<String>, usual: &str) -> Self {
        let name = name.into();
        eprintln!("==> {name} (usually {usual})");
        Self {
            name,
            begun: Instant::now(),
        }
    }

    /// Announces the end and returns how long it took.
    pub(crate) fn end(self) -> Duration {
        let took = self.begun.elapsed();
        eprintln!("    {}: done in {}", self.name, show_duration(took));
        took
    }
}

/// `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// The command line, for messages.
pub(crate) fn show_command(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let mut text = program;
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Runs with our output; an unsuccessful end is an error naming the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run `{}`", show_command(command)))?;
    if !status.success() {
        bail!(
            "`{}` failed ({status}); its message is above",
            show_command(command)
        );
    }
    Ok(())
}

/// What a quiet command said.
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// The last lines of both streams, for an error message.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<&str> = self
            .stdout
            .lines()
            .chain(self.stderr.lines())
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// Runs quietly, for at most `limit`; the child is killed when that is over.
pub(crate) fn run_quietly(command: &mut Command, limit: Duration) -> Result<Said> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", show_command(command)))?;
    // Readers of their own, so that neither pipe can fill up and stop the child.
    let mut out = child.stdout.take().context("no pipe")?;
    let mut err = child.stderr.take().context("no pipe")?;
    let read_out = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let read_err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).map(|_| bytes)
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!(
                "`{}` did not end within {}",
                show_command(command),
                show_duration(limit)
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let join = |reader: std::thread::JoinHandle<std::io::Result<Vec<u8>>>| {
        reader
            .join()
            .map_err(|_panic| anyhow::anyhow!("the reader of a child's output panicked"))
    };
    Ok(Said {
        status,
        stdout: text(join(read_out)??),
        stderr: text(join(read_err)??),
    })
}

/// Runs quietly and wants success; the output is shown only when it failed.
pub(crate) fn run_quietly_ok(command: &mut Command, limit: Duration) -> Result<String> {
    let said = run_quietly(command, limit)?;
    if !said.status.success() {
        bail!(
            "`{}` failed ({}):\n{}",
            show_command(command),
            said.status,
            said.tail()
        );
    }
    Ok(said.stdout)
}
