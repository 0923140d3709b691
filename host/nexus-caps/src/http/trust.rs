//! Whom TLS trusts: Mozilla's roots, and what a person at the keyboard adds for a run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use nexus_services::http::{RequestUrl, RootsError, TlsProfile, WallClock};

/// More roots, for one origin or for all.
#[derive(Clone)]
pub struct RootsFor {
    /// Of which URLs; none: of all.
    pub origin: Option<RequestUrl>,
    /// Certificates in PEM.
    pub pem: Arc<[u8]>,
}

/// Whom TLS trusts, and what day it is.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    clock: Arc<dyn WallClock>,
    roots: Vec<RootsFor>,
    /// What was made, by which of `roots` are in it: making one reads a hundred and fifty certificates.
    made: Mutex<BTreeMap<Vec<usize>, TlsProfile>>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} more)", self.0.roots.len())
    }
}

struct Clock(Arc<dyn WallClock>);

impl WallClock for Clock {
    fn unix_time(&self) -> Option<std::time::Duration> {
        self.0.unix_time()
    }
}

impl Trust {
    /// Mozilla's roots and these.
    pub fn new(clock: Arc<dyn WallClock>, roots: Vec<RootsFor>) -> Self {
        Self(Arc::new(Inner {
            clock,
            roots,
            made: Mutex::default(),
        }))
    }

    /// For a request of this URL.
    ///
    /// # Errors
    /// What was added is no list of certificates; whoever reads it at the start of a run has said so.
    pub(super) fn profile(&self, url: &RequestUrl) -> Result<TlsProfile, RootsError> {
        let fits = |roots: &RootsFor| match &roots.origin {
            Some(origin) => origin.same_origin(url),
            None => true,
        };
        let indices = (0..self.0.roots.len()).filter(|index| fits(&self.0.roots[*index]));
        let indices: Vec<_> = indices.collect();
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(profile) = made.get(&indices) {
            return Ok(profile.clone());
        }
        let clock = Clock(self.0.clock.clone());
        let profile = if indices.is_empty() {
            TlsProfile::public(clock)?
        } else {
            let mut pem = Vec::new();
            for index in &indices {
                pem.extend_from_slice(&self.0.roots[*index].pem);
                pem.push(b'\n');
            }
            TlsProfile::with_roots(clock, &pem)?
        };
        made.insert(indices, profile.clone());
        Ok(profile)
    }
}
