//! What the scripts' constructors check alike.

use nexus_types::Duration;

use super::error::ScriptError;
use crate::limits;

/// Not more of something than `most`.
pub(super) fn count(what: &str, count: usize, most: usize) -> Result<(), ScriptError> {
    if count > most {
        let why = format!("{count} {what}: at most {most}");
        return Err(ScriptError::new(why));
    }
    Ok(())
}

/// Not longer than [`limits::PEER_WAIT_SECONDS`].
pub(super) fn wait(time: Duration) -> Result<(), ScriptError> {
    let most = Duration::from_secs(limits::PEER_WAIT_SECONDS);
    if time > most {
        let why = format!("a wait of {time:?}: at most {most:?}");
        return Err(ScriptError::new(why));
    }
    Ok(())
}
