//! What may be asked of an account: `PROVIDER:SCOPES`, as in `com.example.mail:mail.read profile`.
//!
//! Scopes are the provider's own words, joined by one blank as in the protocol (RFC 6749 section
//! 3.3), or `*` for any. Their order means nothing and they are written sorted. Which account of
//! the provider it is, is a person's choice and in no rule.
//!
//! Not supported, each refused: no scope at all (`:*` says any), a scope named twice, patterns.

use core::fmt;

use super::label::{Label, PROVIDER};
use super::plain;
use crate::explain::escape;
use crate::rule::RuleError;

/// Scopes in one rule. Stops a rule from being a table of its own.
pub const SCOPES_MAX: usize = 64;

/// `PROVIDER:SCOPES`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ScopesRule {
    /// Whose accounts.
    pub provider: Label,
    /// Sorted; none: any.
    pub scopes: Option<Vec<String>>,
}

impl ScopesRule {
    /// Reads `PROVIDER:SCOPE`, `PROVIDER:SCOPE SCOPE` or `PROVIDER:*`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        plain(
            text,
            "a provider and scopes, `com.example.mail:mail.read profile`",
            true,
        )?;
        let shown = escape(text);
        let Some((provider, list)) = text.split_once(':') else {
            return Err(RuleError::plain(format!(
                "`{shown}` names no scope; write `{shown}:SCOPE` for one, `{shown}:*` for any"
            )));
        };
        let provider = Label::parse(PROVIDER, provider).map_err(|error| RuleError {
            meant: error.meant.map(|meant| format!("{meant}:{}", escape(list))),
            ..error
        })?;
        if list == "*" {
            return Ok(Self {
                provider,
                scopes: None,
            });
        }
        let mut scopes: Vec<String> = Vec::new();
        for scope in list.split(' ') {
            if scope.is_empty() {
                return Err(RuleError::plain(format!(
                    "a scope is missing in `{shown}`; scopes are joined by one blank, and `{provider}:*` is any"
                )));
            }
            if scope == "*" {
                return Err(RuleError::new(
                    "`*` is any scope, and stands alone",
                    format!("{provider}:*"),
                ));
            }
            // scope-token, RFC 6749 appendix A.4.
            let good = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if !scope.bytes().all(good) {
                return Err(RuleError::plain(format!(
                    "`{}` is no scope: visible ASCII characters without `\"` and `\\`",
                    escape(scope)
                )));
            }
            scopes.push(scope.to_owned());
        }
        if scopes.len() > SCOPES_MAX {
            return Err(RuleError::plain(format!(
                "a rule has at most {SCOPES_MAX} scopes, and this has {}",
                scopes.len()
            )));
        }
        scopes.sort_unstable();
        if let Some(twice) = scopes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RuleError::plain(format!(
                "the scope `{}` is named twice",
                escape(&twice[0])
            )));
        }
        Ok(Self {
            provider,
            scopes: Some(scopes),
        })
    }
}

impl fmt::Display for ScopesRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.provider)?;
        match &self.scopes {
            None => f.write_str("*"),
            Some(scopes) => f.write_str(&scopes.join(" ")),
        }
    }
}
