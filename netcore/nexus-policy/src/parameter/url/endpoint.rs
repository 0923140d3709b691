//! GraphQL: an endpoint, and an operation the app brings for it.

use core::fmt;

use super::path::canonical;
use super::{Origin, Split, split};
use crate::explain::escape;
use crate::parameter::plain;
use crate::rule::{HostPattern, RuleError};

/// The longest name of an operation: as long as any name of the fabric.
pub const OPERATION_BYTES_MAX: usize = 64;

/// `https://api.example.com/graphql#ListOrders`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OperationRule {
    /// Of one host: a name or an address.
    pub origin: Origin,
    /// The whole path, at least `/`.
    pub path: String,
    /// The name of one operation; none: each that the app brings.
    pub operation: Option<String>,
}

impl OperationRule {
    /// Reads `URL#OPERATION`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        plain(
            text,
            "an endpoint and an operation, `https://api.example.com/graphql#ListOrders`",
            false,
        )?;
        let (url, operation) = match text.split_once('#') {
            Some((url, operation)) => (url, Some(operation)),
            None => (text, None),
        };
        let Split { origin, path } = split(url).map_err(|error| RuleError {
            // Its advice is a rule for requests.
            meant: None,
            ..error
        })?;
        let one = match &origin.host {
            HostPattern::Name(_) => true,
            HostPattern::Network(network) => network.is_host(),
            HostPattern::Below(_) | HostPattern::Class(_) => false,
        };
        if !one {
            return Err(RuleError::plain(format!(
                "an endpoint is one host, and `{}` is many",
                origin.host
            )));
        }
        let path = match path {
            "" => "/".to_owned(),
            path => canonical(path)?,
        };
        let operation = match operation {
            None => {
                return Err(RuleError::plain(format!(
                    "the rule names no operation; write `{origin}{path}#ListOrders` for one, `{origin}{path}#*` for each that the app brings"
                )));
            }
            Some("*") => None,
            Some(name) => {
                // Name, GraphQL October 2021 section 2.1.9.
                let good = name.len() <= OPERATION_BYTES_MAX
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
                if !good {
                    return Err(RuleError::plain(format!(
                        "`{}` is no name of an operation: letters, digits and `_`, at most {OPERATION_BYTES_MAX}",
                        escape(name)
                    )));
                }
                Some(name.to_owned())
            }
        };
        Ok(Self {
            origin,
            path,
            operation,
        })
    }
}

impl fmt::Display for OperationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.as_deref().unwrap_or("*");
        write!(f, "{}{}#{operation}", self.origin, self.path)
    }
}
