//! `user`: the built host, and echoes of ours on this machine's loopback.

use std::process::Command;

use crate::{far, guests};

/// What stands for this machine on the `user` network, by name and by address.
const MACHINE: (&str, &str) = ("host.internal", "192.0.0.1");

/// Ends a probe that hangs; all of them take a second.
const TIMEOUT: &str = "120s";

/// Runs all probes of this guest. What it said; the error: it failed.
pub(crate) fn run(guest: &str) -> Result<String, String> {
    let (tcp, udp) = far::echo("127.0.0.1");
    let (name, address) = MACHINE;
    let policy = tempfile::NamedTempFile::new().expect("a file");
    let text = far::policy(&format!(r#""loopback:*", "{name}:*""#));
    std::fs::write(policy.path(), text).expect("it can be written");
    let output = Command::new(guests::HOST)
        .arg("run")
        .arg(guests::component(guest))
        .args([
            "--net",
            "user",
            "--allow-manifest",
            "--timeout",
            TIMEOUT,
            "--policy",
        ])
        .arg(policy.path())
        .args([
            "--",
            address,
            &tcp.to_string(),
            &udp.to_string(),
            name,
            "all",
        ])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok(said),
        _ => Err(said + &String::from_utf8_lossy(&output.stderr)),
    }
}
