//! The one authority for allow and deny: manifest, operator policy, rules, `decide`, `Permit`, reasons.
//!
//! Two keys open a door: the app's manifest asks ([`Manifest`]) and the operator's policy allows
//! ([`Policy`]). [`Gate`] holds both for every running instance and answers every act with a
//! [`Permit`] that nothing else can make, or a [`Denial`] that says who refused and what to do.
//!
//! Pure: no IO, no clock. Monotonic time is an argument; wall time ([`WallTime`]) is needed once,
//! when a policy is set, to place the `expires` of its rules on the monotonic line.
//!
//! Invariants:
//! 1. deny is the default, and an error is a deny;
//! 2. a written forbid beats everything: consent, `--allow`, any allow rule;
//! 3. `ask` beats `allow` where both match, and consent answers `ask` and nothing else;
//! 4. a rule is judged on the canonical form of an address, and on its class in this topology;
//! 5. an allowed decision allocates nothing and does not slow down with the number of rules.

pub mod address;
pub mod admission;
pub mod audit;
pub mod capability;
pub mod config;
pub mod consent;
pub mod decide;
pub mod denial;
pub mod diff;
pub mod explain;
pub mod gate;
pub mod granted;
pub mod keys;
pub mod learn;
pub mod limits;
pub mod manifest;
pub mod mode;
pub mod parameter;
pub mod permit;
pub mod policy;
pub mod ports;
pub mod publisher;
pub mod remembered;
pub mod request;
pub mod rule;
pub mod spelling;
pub mod suppose;
pub mod switch;
pub mod wall;
pub mod wasi;

mod binding;
mod catalog;
mod examine;
mod family;
mod grounds;
mod index;
mod judge;
mod names;
mod narrowed;
mod networks;
mod port_map;
mod refuse;
mod requests;
mod standing;
mod suggest;
mod tables;
mod urls;
mod write;

pub use address::{AddressClass, Topology, canonical, classify};
pub use admission::{Admission, Import};
pub use audit::{Auditor, Entry, Recorded, Unrecorded};
pub use capability::{Capability, Class, Status, UnknownCapability};
pub use config::{ConfigError, Problem};
pub use consent::{Answer, AnsweredBy, Consent, Lifetime};
pub use decide::Act;
pub use denial::{Denial, Fix, RefusedBy};
pub use diff::{AppDiff, PolicyDiff};
pub use explain::{render, render_observed};
pub use gate::{AppIdentity, Gate, Stale};
pub use granted::Granted;
pub use learn::Learnt;
pub use limits::{Limits, LimitsAsked};
pub use manifest::Manifest;
pub use mode::Mode;
pub use permit::{Permit, Stamp, Target};
pub use policy::{Policy, Subject, Verdict};
pub use ports::PortSet;
pub use publisher::{KeyError, KeyId, Publisher, PublisherKey};
pub use remembered::Remembered;
pub use request::{KeptRequest, Request, RequestUrl, UrlError, UrlHost};
pub use rule::{Rule, RuleError, host_name};
pub use suppose::Supposed;
pub use wall::WallTime;
