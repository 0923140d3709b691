//! `cargo xtask bench`.
use crate::workspace::Workspace;

/// Not there yet.
pub(crate) fn run(_: &Workspace, _: bool, _: Option<&str>) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
