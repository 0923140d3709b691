//! `cargo xtask test`.
use crate::workspace::Workspace;

/// Not there yet.
pub(crate) fn run(_: &Workspace, _: Option<&str>) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
