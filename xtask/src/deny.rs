//! `cargo xtask deny`.
use crate::workspace::Workspace;

/// Not there yet.
pub(crate) fn run(_: &Workspace) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
