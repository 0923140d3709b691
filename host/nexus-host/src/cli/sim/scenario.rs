//! A scenario: a world file (see `world`) on simulated links, and what is expected of it.
//!
//! ```toml
//! [scenario]
//! until = "60s"                      # virtual time; an app that runs then still has failed
//!
//! [[link]]
//! name = "lan"
//! latency = "2ms"                    # also: jitter, loss, duplication, reorder with reorder-by, corruption, mtu
//! loss = "2%"
//!
//! [[node]]
//! name = "server"                    # its name on the link, too
//! link = "lan"
//! addresses = ["10.0.0.1/24"]
//!
//! [[node.app]]
//! component = "tcp-echo.wasm"        # relative to this file; so is manifest = "..."
//! background = true                  # ended when every other app has ended
//! consent = "manifest"               # who is asked says yes to what the manifest asks; default "none"
//! allow = ["network.tcp.listen=any:7777"]
//!
//! [node.app.expect]                  # of an app that is not in the background: by default, that it ends with 0
//! exit = 0
//! stdout = ["served"]                # each must be in what it wrote
//! denied = ["network.tcp.connect"]   # what it was refused, all of it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexus_policy::explain::escape;
use nexus_policy::{Capability, Rule};
use nexus_sim::{Conditions, Ppm};
use nexus_types::{HostName, InterfaceAddress};
use serde::Deserialize;
use toml::Spanned;

use crate::cli::values::{parse_duration, parse_interface_address};
use crate::cli::world::{Checker, WorldError};

/// Stops a scenario that is a mistake from being set up for hours. What a world of one guest a node takes is
/// about a megabyte a guest.
pub(super) const NODES_MAX: usize = 1_024;
const APPS_MAX: usize = 1_024;

/// How long a world lives that does not say.
const UNTIL: Duration = Duration::from_secs(60);

/// What a wire carries (Ethernet), and the least and the most a link here may.
const MTU: usize = 1_500;
const MTU_RANGE: std::ops::RangeInclusive<usize> = 576..=65_535;

/// The file, checked.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) until: Duration,
    pub(super) links: Vec<Link>,
    pub(super) nodes: Vec<Node>,
}

/// `[[link]]`
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) mtu: usize,
    pub(super) conditions: Conditions,
}

/// `[[node]]`
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: HostName,
    /// Index into [`Scenario::links`].
    pub(super) link: usize,
    pub(super) addresses: Vec<InterfaceAddress>,
    pub(super) apps: Vec<App>,
}

/// `[[node.app]]`
#[derive(Debug)]
pub(super) struct App {
    pub(super) component: PathBuf,
    pub(super) manifest: Option<PathBuf>,
    pub(super) arguments: Vec<String>,
    pub(super) background: bool,
    pub(super) start: Duration,
    pub(super) allow_manifest: bool,
    pub(super) allow: Vec<(Capability, Rule)>,
    pub(super) expect: Expect,
}

/// `[node.app.expect]`
#[derive(Debug)]
pub(super) struct Expect {
    /// None: it may end how it likes.
    pub(super) exit: Option<u8>,
    pub(super) stdout: Vec<String>,
    /// None: nothing is said of refusals.
    pub(super) denied: Option<BTreeSet<Capability>>,
}

mod file {
    //! The file's own shape; unknown keys are errors.
    use super::{Deserialize, Spanned};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Scenario {
        #[serde(default)]
        pub(super) scenario: Head,
        #[serde(default)]
        pub(super) link: Vec<Link>,
        #[serde(default)]
        pub(super) node: Vec<Node>,
    }

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Head {
        pub(super) until: Option<Spanned<String>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub(super) struct Link {
        pub(super) name: Spanned<String>,
        pub(super) mtu: Option<Spanned<usize>>,
        pub(super) latency: Option<Spanned<String>>,
        pub(super) jitter: Option<Spanned<String>>,
        pub(super) loss: Option<Spanned<String>>,
        pub(super) duplication: Option<Spanned<String>>,
        pub(super) reorder: Option<Spanned<String>>,
        pub(super) reorder_by: Option<Spanned<String>>,
        pub(super) corruption: Option<Spanned<String>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Node {
        pub(super) name: Spanned<String>,
        pub(super) link: Spanned<String>,
        #[serde(default)]
        pub(super) addresses: Vec<Spanned<String>>,
        #[serde(default)]
        pub(super) app: Vec<App>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct App {
        pub(super) component: Spanned<String>,
        pub(super) manifest: Option<String>,
        #[serde(default)]
        pub(super) args: Vec<String>,
        #[serde(default)]
        pub(super) background: bool,
        pub(super) start: Option<Spanned<String>>,
        pub(super) consent: Option<Spanned<String>>,
        #[serde(default)]
        pub(super) allow: Vec<Spanned<String>>,
        pub(super) expect: Option<Spanned<Expect>>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Expect {
        pub(super) exit: Option<u8>,
        #[serde(default)]
        pub(super) stdout: Vec<String>,
        pub(super) denied: Option<Vec<Spanned<String>>>,
    }
}

impl Scenario {
    /// Reads the file's text. Paths in it are relative to `folder`.
    pub(super) fn parse(text: &str, source: &str, folder: &Path) -> Result<Self, WorldError> {
        let mut checker = Checker {
            text,
            problems: Vec::new(),
        };
        let scenario = match toml::from_str::<file::Scenario>(text) {
            Ok(file) => Some(checker.scenario(&file, folder)),
            Err(error) => {
                checker.problem(error.span().unwrap_or(0..0), escape(error.message()));
                None
            }
        };
        match scenario {
            Some(scenario) if checker.problems.is_empty() => Ok(scenario),
            _ => {
                checker.problems.sort();
                Err(WorldError {
                    source: source.to_owned(),
                    problems: checker.problems,
                })
            }
        }
    }
}

impl Checker<'_> {
    fn scenario(&mut self, file: &file::Scenario, folder: &Path) -> Scenario {
        let apps: usize = file.node.iter().map(|node| node.app.len()).sum();
        if file.node.len() > NODES_MAX || apps > APPS_MAX {
            let message = format!("at most {NODES_MAX} nodes and {APPS_MAX} apps");
            self.problem(0..0, message);
        }
        if file
            .node
            .iter()
            .all(|node| node.app.iter().all(|app| app.background))
        {
            let message = "no app to wait for: at least one [[node.app]] is not in the background";
            self.problem(0..0, message.into());
        }
        let mut links = BTreeMap::new();
        for (index, link) in file.link.iter().enumerate() {
            if links.insert(link.name.get_ref().as_str(), index).is_some() {
                let message = format!("two links are called `{}`", escape(link.name.get_ref()));
                self.problem(link.name.span(), message);
            }
        }
        let mut names = BTreeSet::new();
        let mut taken = BTreeSet::new();
        let nodes = file.node.iter();
        let nodes = nodes.filter_map(|node| {
            if !names.insert(node.name.get_ref()) {
                let message = format!("two nodes are called `{}`", escape(node.name.get_ref()));
                self.problem(node.name.span(), message);
            }
            self.node(node, &links, &mut taken, folder)
        });
        let nodes = nodes.collect();
        Scenario {
            until: self.duration(file.scenario.until.as_ref()).unwrap_or(UNTIL),
            links: file.link.iter().map(|link| self.link(link)).collect(),
            nodes,
        }
    }

    fn duration(&mut self, text: Option<&Spanned<String>>) -> Option<Duration> {
        self.value(text, parse_duration)
    }

    fn value<T>(
        &mut self,
        text: Option<&Spanned<String>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        match parse(text.get_ref()) {
            Ok(value) => Some(value),
            Err(wanted) => {
                let message = format!("`{}` is not {wanted}", escape(text.get_ref()));
                self.problem(text.span(), message);
                None
            }
        }
    }

    fn link(&mut self, link: &file::Link) -> Link {
        let plain = Conditions::PLAIN;
        let mtu = link.mtu.as_ref().map_or(MTU, |mtu| *mtu.get_ref());
        if let Some(given) = &link.mtu
            && !MTU_RANGE.contains(&mtu)
        {
            let message = format!(
                "an MTU is from {} to {}",
                MTU_RANGE.start(),
                MTU_RANGE.end()
            );
            self.problem(given.span(), message);
        }
        if let (Some(by), None) = (&link.reorder_by, &link.reorder) {
            let message = "without reorder = \"...%\" nothing is reordered";
            self.problem(by.span(), message.into());
        }
        let conditions = Conditions {
            latency: self
                .duration(link.latency.as_ref())
                .unwrap_or(plain.latency),
            jitter: self.duration(link.jitter.as_ref()).unwrap_or(plain.jitter),
            loss: self
                .value(link.loss.as_ref(), parse_chance)
                .unwrap_or(plain.loss),
            duplication: self
                .value(link.duplication.as_ref(), parse_chance)
                .unwrap_or(plain.duplication),
            reorder: self
                .value(link.reorder.as_ref(), parse_chance)
                .unwrap_or(plain.reorder),
            reorder_by: self
                .duration(link.reorder_by.as_ref())
                .unwrap_or(Duration::from_millis(10)),
            bit_flip: self
                .value(link.corruption.as_ref(), parse_chance)
                .unwrap_or(plain.bit_flip),
            ..plain
        };
        Link { mtu, conditions }
    }

    fn node(
        &mut self,
        node: &file::Node,
        links: &BTreeMap<&str, usize>,
        taken: &mut BTreeSet<(usize, IpAddr)>,
        folder: &Path,
    ) -> Option<Node> {
        let link = links.get(node.link.get_ref().as_str()).copied();
        if link.is_none() {
            let message = format!(
                "there is no [[link]] called `{}`",
                escape(node.link.get_ref())
            );
            self.problem(node.link.span(), message);
        }
        if node.addresses.is_empty() {
            let message = "a node on a link needs addresses, as in [\"10.0.0.1/24\"]";
            self.problem(node.name.span(), message.into());
        }
        let addresses = self.parsed(&node.addresses, parse_interface_address);
        for address in &addresses {
            if let Some(link) = link
                && !taken.insert((link, address.address()))
            {
                let message = format!("another node of the link has {}", address.address());
                self.problem(node.name.span(), message);
            }
        }
        let name = HostName::parse(node.name.get_ref());
        if let Err(error) = &name {
            let name = escape(node.name.get_ref());
            let message = format!("`{name}` cannot be the node's name on its link: {error}");
            self.problem(node.name.span(), message);
        }
        let apps = node
            .app
            .iter()
            .map(|app| self.simulated(app, folder))
            .collect();
        Some(Node {
            name: name.ok()?,
            link: link?,
            addresses,
            apps,
        })
    }

    fn simulated(&mut self, app: &file::App, folder: &Path) -> App {
        if app.component.get_ref().is_empty() {
            self.problem(app.component.span(), "this must be a path".into());
        }
        let consent = self.value(app.consent.as_ref(), |text| match text {
            "manifest" => Ok(true),
            "none" => Ok(false),
            _ => Err("\"manifest\" (yes to what the manifest asks) or \"none\"".into()),
        });
        let allow = self.parsed(&app.allow, |text| {
            Rule::parse_grant(text).map_err(|error| format!("a grant: {error}"))
        });
        App {
            component: folder.join(app.component.get_ref()),
            manifest: app.manifest.as_ref().map(|manifest| folder.join(manifest)),
            arguments: app.args.clone(),
            background: app.background,
            start: self.duration(app.start.as_ref()).unwrap_or_default(),
            allow_manifest: consent.unwrap_or_default(),
            allow,
            expect: self.expected(app),
        }
    }

    fn expected(&mut self, app: &file::App) -> Expect {
        let default = (!app.background).then_some(0);
        let Some(given) = &app.expect else {
            return Expect {
                exit: default,
                stdout: Vec::new(),
                denied: None,
            };
        };
        let expect = given.get_ref();
        if app.background && expect.exit.is_some() {
            let message =
                "an app in the background is ended with the world: it has no exit code of its own";
            self.problem(given.span(), message.into());
        }
        let denied = expect.denied.as_ref().map(|names| {
            let parse = |text: &str| {
                Capability::parse(text).map_err(|error| format!("a capability: {error}"))
            };
            self.parsed(names, parse).into_iter().collect()
        });
        Expect {
            exit: expect.exit.or(default),
            stdout: expect.stdout.clone(),
            denied,
        }
    }
}

/// `2%`, `0.05%`: parts of a million, so at most four places.
fn parse_chance(text: &str) -> Result<Ppm, String> {
    let wanted =
        || "a share from 0% to 100%, with four places at most, as in 2% or 0.05%".to_owned();
    let number = text.strip_suffix('%').ok_or_else(wanted)?;
    let (whole, places) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || places.len() > 4 || !digits(whole) || !digits(places)
    {
        return Err(wanted());
    }
    let whole: u32 = whole.parse().map_err(|_| wanted())?;
    let places: u32 = format!("{places:0<4}").parse().map_err(|_| wanted())?;
    let parts = whole * 10_000 + places;
    if parts > 1_000_000 {
        return Err(wanted());
    }
    Ok(Ppm::new(parts))
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
