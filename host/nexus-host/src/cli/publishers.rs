//! Who published an app: the signature beside it, verified by the keys the policies name.
//!
//! Before anything of the app is compiled: what a publisher's key does not vouch for although it is
//! said to is refused as it is.

use nexus_policy::admission::LoadReason;
use nexus_policy::explain::escape;
use nexus_policy::{KeyId, Policy, PublisherKey};

use super::{CliError, Kind};
use crate::runtime::load::AppFile;
use crate::signature::{self, Bad, Detached};

/// The keys the operator's files name, and what the files call them.
pub(super) struct Publishers(Vec<Named>);

struct Named {
    key: PublisherKey,
    /// `acme` (policy.toml)
    whose: String,
}

/// What is known of an app's signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Signed {
    /// There is none.
    No,
    /// By a key that no policy names: as good as none.
    Unknown(KeyId),
    /// Verified.
    By(PublisherKey),
}

impl Signed {
    pub(super) fn publisher(self) -> Option<PublisherKey> {
        match self {
            Self::By(key) => Some(key),
            _ => None,
        }
    }
}

impl Publishers {
    /// Those that any of `policies` names.
    pub(super) fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let named = policies.into_iter().flat_map(|policy| {
            let file = policy.source().unwrap_or("policy.toml");
            policy.publisher_keys().into_iter().map(move |key| {
                let listed = policy.publishers().iter().find(|p| p.key == key);
                let whose = match listed {
                    Some(publisher) => format!("`{}` ({file})", publisher.name),
                    None => format!("a rule in {file}"),
                };
                Named { key, whose }
            })
        });
        Self(named.collect())
    }

    /// Whether any names this key.
    pub(super) fn has(&self, key: PublisherKey) -> bool {
        self.0.iter().any(|named| named.key == key)
    }

    /// Whether it names a key that these do not.
    pub(super) fn has_more_than(&self, others: &Self) -> bool {
        self.0.iter().any(|named| !others.has(named.key))
    }

    /// Looks for the signature beside an app, and verifies it.
    ///
    /// # Errors
    /// There is one that is unreadable, or not by the key it names: exit code 77.
    pub(super) fn of_app(&self, file: &AppFile) -> Result<Signed, CliError> {
        let path = signature::beside(&file.path);
        let app = escape(&file.path.display().to_string());
        let path_shown = escape(&path.display().to_string());
        let refuse = |what: &str, why: String, word, fix: String| {
            let digest = file.digest.short();
            let message = format!(
                "refused  {app} (sha256:{digest}…) cannot start: {what}\n  why    {why}  [{word}]\n  fix    {fix}"
            );
            CliError::new(Kind::Refused, message)
        };
        let detached = match Detached::read_if_there(&path) {
            Ok(None) => return Ok(Signed::No),
            Ok(Some(detached)) => detached,
            Err(error) => {
                return Err(refuse(
                    "its signature cannot be read",
                    format!("{path_shown}: {error}"),
                    LoadReason::SignatureUnreadable.as_str(),
                    "get the signature from the publisher again".to_owned(),
                ));
            }
        };
        match detached.made_by(self.0.iter().map(|named| named.key), &file.bytes) {
            Ok(Some(key)) => Ok(Signed::By(key)),
            Ok(None) => Ok(Signed::Unknown(detached.key())),
            Err(bad) => {
                let (Bad::Altered(key) | Bad::Legacy(key)) = bad;
                let named = self.0.iter().find(|named| named.key == key);
                let whose = named.map_or("", |named| &named.whose);
                let says = format!("{path_shown} names the key {} of {whose}", key.id());
                Err(match bad {
                    Bad::Altered(_) => refuse(
                        "its signature does not verify",
                        format!(
                            "{says}, and that key did not sign these bytes: the component or the signature was changed"
                        ),
                        LoadReason::SignatureInvalid.as_str(),
                        format!(
                            "get both from the publisher again; who changed the app on purpose signs it again:\n         nexus-host sign {app} --key FILE"
                        ),
                    ),
                    Bad::Legacy(_) => refuse(
                        "its signature is of a kind that is not accepted",
                        format!(
                            "{says}, and is over the bytes themselves, not over their hash (minisign before 0.10, or -l)"
                        ),
                        LoadReason::SignatureLegacy.as_str(),
                        format!(
                            "the publisher signs it again: nexus-host sign {app} --key FILE, or minisign -S -H"
                        ),
                    ),
                })
            }
        }
    }
}
