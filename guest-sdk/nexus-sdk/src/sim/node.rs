//! A node of a world, and how an app is started on it.

use core::fmt;
use std::cell::RefCell;
use std::rc::Rc;

use nexus_policy::{Capability, Manifest, Rule};

use super::app::App;
use super::fate::Fate;
use super::limits::APPS_MAX;
use super::machine::{Place, Start, Whole};
use crate::Outcome;

/// A node: a machine with a stack and a gate of its own. [`World::node`](super::World::node) makes it.
///
/// Handles of it share it.
#[derive(Clone)]
pub struct Node(pub(super) Rc<Place>);

impl Node {
    /// An app with the manifest it ships, as text: `include_str!("../nexus.toml")`. Its capabilities and limits are
    /// what counts of it; the empty text asks for nothing.
    ///
    /// It runs once [`Starting::start`] has been given its code.
    ///
    /// # Panics
    /// It is no manifest.
    #[track_caller]
    #[must_use = "it is started by `start`"]
    pub fn app(&self, manifest: &str) -> Starting {
        let manifest = if manifest.is_empty() {
            Manifest::none()
        } else {
            Manifest::parse(manifest, "nexus.toml").unwrap_or_else(|error| panic!("{error}"))
        };
        Starting {
            node: self.clone(),
            manifest,
            allow_manifest: false,
            allow: Vec::new(),
            arguments: Vec::new(),
            background: false,
            peer: false,
        }
    }

    /// Starts a far end of the test's own, in the background: no app under test, so it needs no manifest and may
    /// reach everybody and listen anywhere.
    #[track_caller]
    pub fn peer<F>(&self, code: impl FnOnce() -> F + 'static) -> App
    where
        F: Future<Output: Outcome> + 'static,
    {
        let mut starting = self.app("");
        starting.peer = true;
        starting.background().start(code)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.0.name)
    }
}

/// An app that is about to be started: what the command line of `nexus-host run` says.
#[must_use = "it is started by `start`"]
#[derive(Debug)]
pub struct Starting {
    node: Node,
    manifest: Manifest,
    allow_manifest: bool,
    allow: Vec<(Capability, Rule)>,
    arguments: Vec<String>,
    background: bool,
    peer: bool,
}

impl Starting {
    /// Its arguments, without its own name.
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// `--allow-manifest`: yes to whatever its manifest asks and the operator leaves to a person.
    pub fn allow_manifest(mut self) -> Self {
        self.allow_manifest = true;
        self
    }

    /// `--allow`: `network.tcp.connect=api.example.com:443`.
    ///
    /// # Panics
    /// It is no rule.
    #[track_caller]
    pub fn allow(mut self, rule: &str) -> Self {
        let rule = Rule::parse_grant(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
        self.allow.push(rule);
        self
    }

    /// [`World::run`](super::World::run) does not wait for it: for what serves for ever.
    pub fn background(mut self) -> Self {
        self.background = true;
        self
    }

    /// Starts it, with the next [`World::run`](super::World::run): the function that `main!` is given, or a closure
    /// that makes a future.
    ///
    /// # Panics
    /// More than [`limits::APPS_MAX`](super::limits::APPS_MAX) were started on this node.
    #[track_caller]
    pub fn start<F>(self, code: impl FnOnce() -> F + 'static) -> App
    where
        F: Future<Output: Outcome> + 'static,
    {
        let place = &self.node.0;
        assert!(
            place.started.get() < APPS_MAX,
            "more than {APPS_MAX} apps on node {}",
            place.name
        );
        place.started.set(place.started.get() + 1);
        let id = match self.manifest.app() {
            Some(app) => app.id.clone(),
            None if self.peer => "peer".to_owned(),
            None => format!("app {}", place.started.get()),
        };
        let fate = Rc::new(RefCell::new(Fate {
            name: format!("{}, {id}", place.name),
            background: self.background,
            ..Fate::default()
        }));
        place.starts.borrow_mut().push(Start {
            manifest: self.manifest,
            allow_manifest: self.allow_manifest,
            allow: self.allow,
            peer: self.peer,
            arguments: self.arguments,
            fate: fate.clone(),
            app: Box::new(move || whole(code())),
        });
        place.fates.borrow_mut().push(fate.clone());
        App(fate)
    }
}

/// What `main!` makes of it.
fn whole<O: Outcome>(code: impl Future<Output = O> + 'static) -> Whole {
    Box::pin(async move {
        match crate::app::app(code).await {
            Ok(()) => 0,
            Err(()) => 1,
        }
    })
}
