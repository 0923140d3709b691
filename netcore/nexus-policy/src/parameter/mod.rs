//! What the rules of the capabilities beyond sockets describe, each in one line of text that fits
//! an `allow` or a `to`.
//!
//! | capability | a rule is |
//! |---|---|
//! | `network.http.request` | `[METHODS ]URL`, see [`url`] |
//! | `cloud.graphql.query`, `.mutate` | `URL#OPERATION`, see [`url`] |
//! | `dsoftbus.discover`, `cloud.sync`, `account.manage`, ... | a name, see [`label`] |
//! | `dsoftbus.session.open`, `.share.send`, `.share.receive` | a peer, see [`peer`] |
//! | `dsoftbus.stream.open`, `.rpc.call`, `.rpc.serve` | what, and with which peer, see [`peer`] |
//! | `cloud.oauth2.start`, `account.use` | `PROVIDER:SCOPES`, see [`scopes`] |
//!
//! They are read and written here. But for `network.http.request` nothing is decided by them yet: their interfaces
//! are not in this build. A manifest for a later host can be checked by this one, and a text that is accepted
//! now keeps its meaning. Quotas and directions (bytes of a share, pull without push) are not in
//! them: they come with the interfaces.

pub mod label;
pub mod peer;
pub mod scopes;
pub mod url;

use crate::explain::escape;
use crate::rule::RuleError;

/// What every rule of these is refused for.
fn plain(text: &str, is: &str, blanks: bool) -> Result<(), RuleError> {
    if text.is_empty() {
        return Err(RuleError::plain(format!(
            "the rule is empty; a rule is {is}"
        )));
    }
    let bad = |c: char| c.is_control() || (c.is_whitespace() && !(blanks && c == ' '));
    if text.chars().any(bad) {
        // What is around an @ may be a password: it is not shown.
        return Err(RuleError::plain(if blanks {
            "a rule has no line breaks, tabs or control characters in it".to_owned()
        } else if text.contains('@') {
            "a rule has no blanks in it".to_owned()
        } else {
            format!("`{}`: a rule has no blanks in it", escape(text))
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
