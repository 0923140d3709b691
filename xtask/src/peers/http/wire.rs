//! Two network namespaces with a wire between them: what a server on another machine is for the kernel of this one. On
//! the loopback it gives a port away again at once that a connection has just left (tcp_tw_reuse, ip-sysctl), on
//! everything else after a minute.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::step::{run_quietly, run_quietly_ok};

/// Where the server is, as the client sees it.
pub(super) const SERVER: &str = "10.231.0.2";

const CLIENT_SIDE: &str = "nexus-bench-client";
const SERVER_SIDE: &str = "nexus-bench-server";

/// Both namespaces, until this goes out of scope.
pub(super) struct Wire(());

impl Wire {
    /// Makes them, as root.
    pub(super) fn new() -> Result<Self> {
        let id = run_quietly_ok(Command::new("id").arg("-u"), LIMIT)?;
        ensure!(
            id.trim() == "0",
            "a wire takes root: sudo, or a container with --cap-add NET_ADMIN"
        );
        // Of a run that was killed.
        remove();
        let wire = Self(());
        for line in [
            format!("netns add {CLIENT_SIDE}"),
            format!("netns add {SERVER_SIDE}"),
            format!("-n {CLIENT_SIDE} link add wire type veth peer name wire netns {SERVER_SIDE}"),
            format!("-n {CLIENT_SIDE} address add 10.231.0.1/30 dev wire"),
            format!("-n {SERVER_SIDE} address add {SERVER}/30 dev wire"),
            format!("-n {CLIENT_SIDE} link set wire up"),
            format!("-n {SERVER_SIDE} link set wire up"),
            format!("-n {CLIENT_SIDE} link set lo up"),
        ] {
            run_quietly_ok(Command::new("ip").args(line.split(' ')), LIMIT)?;
        }
        Ok(wire)
    }

    /// A program at the client's end.
    pub(super) fn client(&self, program: &Command) -> Command {
        within(CLIENT_SIDE, program)
    }

    /// A program at the server's end.
    pub(super) fn server(&self, program: &Command) -> Command {
        within(SERVER_SIDE, program)
    }
}

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(10);

fn within(namespace: &str, program: &Command) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", namespace])
        .arg(program.get_program())
        .args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn remove() {
    for namespace in [CLIENT_SIDE, SERVER_SIDE] {
        // It may not be there.
        let _ = run_quietly(
            Command::new("ip").args(["netns", "delete", namespace]),
            LIMIT,
        );
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        remove();
    }
}
