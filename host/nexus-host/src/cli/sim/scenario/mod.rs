//! A scenario: a world file (see `world`) on simulated links, what goes wrong, and what is expected.
//!
//! ```toml
//! [scenario]
//! until = "60s"                      # virtual time; an app that runs then still has failed
//! runs = 20                          # seeds that `nexus-host test` tries; `seed` is the first
//! chaos = "10s"                      # for so long things go wrong that the seed draws
//!
//! [[link]]
//! name = "lan"
//! latency = "2ms"                    # also: see `link`
//! loss = "2%"
//!
//! [[node]]
//! name = "server"                    # its name on the link, too
//! link = "lan"
//! addresses = ["10.0.0.1/24"]
//! policy = "policy.toml"             # the operator's; without, only `consent` and `allow` grant
//!
//! [[node.app]]
//! component = "tcp-echo.wasm"        # relative to this file; so is manifest = "..."
//! background = true                  # ended when every other app has ended
//! serve = 80                         # answers HTTP at this port of its node; it is in the background, then
//! consent = "manifest"               # --allow-manifest; default "none". Or what a script answers where a person
//!                                    # would be asked: "yes", or [{ capability = "...", rule = "...", answer = "yes" }]
//! allow = ["network.tcp.listen=any:7777"]
//!
//! [node.app.expect]                  # of an app that is not in the background: by default, that it ends with 0
//! exit = 0                           # or "any"
//! within = "2s"                      # after its start
//! stdout = ["served"]                # each must be in what it wrote; so stderr
//! golden = "page.txt"                # what it wrote to stdout is this file, byte for byte
//! access = ["GET / 200"]             # each must be in the access log of one that serves
//! denied = ["network.tcp.connect"]   # what it was refused, all of it
//!
//! [node.expect]
//! counters = { resets-sent = 0, frames-out = { at-most = 100 } }
//!
//! [[node]]
//! name = "web"                       # a node of apps, or of peers: see `peer`
//! ...
//! [[node.peer]]
//! http = 80
//!
//! [[fault]]                          # see `fault`
//! at = "1s"
//! for = "500ms"
//! between = ["server", "client"]
//! cut = true
//! ```

mod call;
mod counter;
mod fault;
mod file;
mod link;
mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexus_policy::explain::escape;
use nexus_policy::{Capability, Rule};
use nexus_sim::{Conditions, Planned};
use nexus_types::{HostName, InterfaceAddress, limits};

use crate::cli::Kind::{self, Host, Refused};
use crate::cli::consent;
use crate::cli::listen::Listen;
use crate::cli::values::{parse_interface_address, parse_resolver};
use crate::cli::world::{Checker, WorldError};
pub(super) use counter::{Counter, Expected};
pub(super) use fault::write as write_faults;
pub(super) use peer::{Peer, Script};

/// Stops a scenario that is a mistake from being set up for hours. What a world of one guest a node takes is
/// about a megabyte a guest.
pub(super) const NODES_MAX: usize = 1_024;
const APPS_MAX: usize = 1_024;

/// How long a world lives that does not say.
const UNTIL: Duration = Duration::from_secs(60);

/// Most seeds of one command: more is a loop that somebody should see the end of.
pub(super) const RUNS_MAX: u64 = 1_000_000;

/// Faults of one scenario: as many as a world has in force at once.
const FAULTS_MAX: usize = nexus_sim::limits::FAULTS;

/// The file, checked.
#[derive(Debug)]
pub(in crate::cli) struct Scenario {
    pub(in crate::cli) until: Duration,
    /// What a command line said instead of the file.
    pub(in crate::cli) cut: Option<Duration>,
    /// The first seed, and how many a test tries.
    pub(in crate::cli) seed: u64,
    pub(in crate::cli) runs: u64,
    /// For how long things go wrong that the seed draws.
    pub(in crate::cli) chaos: Option<Duration>,
    pub(in crate::cli) links: Vec<Link>,
    /// Their numbers are those of the world's machines.
    pub(in crate::cli) nodes: Vec<Node>,
    pub(in crate::cli) faults: Vec<Planned>,
}

/// `[[link]]`
#[derive(Clone, Debug)]
pub(in crate::cli) struct Link {
    pub(super) name: String,
    pub(super) mtu: usize,
    pub(super) conditions: Conditions,
}

/// `[[node]]`
#[derive(Debug)]
pub(in crate::cli) struct Node {
    pub(super) name: HostName,
    /// Index into [`Scenario::links`].
    pub(super) link: usize,
    pub(super) addresses: Vec<InterfaceAddress>,
    /// The operator's, for its apps.
    pub(super) policy: Option<PathBuf>,
    /// Whom it asks for names.
    pub(super) servers: Vec<SocketAddr>,
    /// Either these or those.
    pub(in crate::cli) apps: Vec<App>,
    pub(super) peers: Vec<Peer>,
    /// `[node.expect]`
    pub(super) counters: Vec<(Counter, Expected)>,
}

/// `[[node.app]]`
#[derive(Debug)]
pub(in crate::cli) struct App {
    pub(super) component: PathBuf,
    pub(super) manifest: Option<PathBuf>,
    pub(super) arguments: Vec<String>,
    pub(super) background: bool,
    /// Where it answers HTTP; nowhere: it is a program that runs to its end.
    pub(super) serve: Vec<SocketAddr>,
    pub(super) start: Duration,
    pub(super) allow_manifest: bool,
    /// Answers where a person would be asked.
    pub(super) consent: consent::Script,
    pub(super) allow: Vec<(Capability, Rule)>,
    pub(super) expect: Expect,
}

/// How an app is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::cli::sim) enum Exit {
    /// In whatever way.
    #[default]
    Any,
    /// With this code.
    Code(u8),
    /// It is in the background: with the world, or before that with 0.
    WithWorld,
}

/// `[node.app.expect]`
#[derive(Debug, Default)]
pub(in crate::cli) struct Expect {
    pub(super) exit: Exit,
    /// How long it may take.
    pub(super) within: Option<Duration>,
    pub(super) stdout: Vec<String>,
    pub(super) stderr: Vec<String>,
    /// The file that is all of its stdout.
    pub(super) golden: Option<PathBuf>,
    /// Of one that serves.
    pub(super) access: Vec<String>,
    /// None: nothing is said of refusals.
    pub(super) denied: Option<BTreeSet<Capability>>,
}

impl Scenario {
    /// How many guests run at the same time.
    pub(in crate::cli) fn guests(&self) -> usize {
        let apps = self.nodes.iter().flat_map(|node| &node.apps);
        // One that serves has an instance a request.
        let of = |app: &App| match app.serve.is_empty() {
            true => 1,
            false => limits::SERVE_REQUESTS,
        };
        apps.map(of).sum()
    }

    /// Reads the file's text. Paths in it are relative to `folder`; `until` goes before what it says.
    pub(super) fn parse(
        text: &str,
        source: &str,
        folder: &Path,
        until: Option<Duration>,
    ) -> Result<Self, WorldError> {
        let mut checker = Checker {
            text,
            problems: Vec::new(),
        };
        let scenario = match toml::from_str::<file::Scenario>(text) {
            Ok(file) => Some(checker.scenario(&file, folder, until)),
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
    fn scenario(
        &mut self,
        file: &file::Scenario,
        folder: &Path,
        until: Option<Duration>,
    ) -> Scenario {
        self.sizes(file);
        // What a command line cuts short is no mistake of the file.
        let cut = until;
        let until = self.duration(file.scenario.until.as_ref()).unwrap_or(UNTIL);
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
            if !names.insert(node.name.get_ref().to_ascii_lowercase()) {
                let message = format!("two nodes are called `{}`", escape(node.name.get_ref()));
                self.problem(node.name.span(), message);
            }
            self.node(node, &links, &mut taken, folder, until)
        });
        let mut nodes: Vec<_> = nodes.collect();
        let chaos = self.duration(file.scenario.chaos.as_ref());
        if let (Some(chaos), Some(place)) = (chaos, &file.scenario.chaos)
            && chaos >= until
        {
            let message = "chaos must be over before the world is, so that apps can get done";
            self.problem(place.span(), message.into());
        }
        // Names of nodes that are wrong would be told a second time.
        let faults = if nodes.len() == file.node.len() {
            self.callees(file, &mut nodes);
            let names = fault::Names(&nodes);
            let faults = file.fault.iter();
            let faults = faults.flat_map(|fault| self.fault(fault, &names, until));
            faults.collect()
        } else {
            Vec::new()
        };
        if faults.len() > FAULTS_MAX {
            let place = file.fault.last().map_or(0..0, toml::Spanned::span);
            let message = format!(
                "at most {FAULTS_MAX} faults; these are {}: one for each key and direction",
                faults.len()
            );
            self.problem(place, message);
        }
        self.goldens(file);
        if let Some(runs) = &file.scenario.runs
            && !(1..=RUNS_MAX).contains(runs.get_ref())
        {
            self.problem(runs.span(), format!("from 1 to {RUNS_MAX}"));
        }
        Scenario {
            until: cut.unwrap_or(until),
            cut,
            seed: file.scenario.seed.unwrap_or(1),
            runs: file
                .scenario
                .runs
                .as_ref()
                .map_or(1, |runs| *runs.get_ref()),
            chaos,
            links: file.link.iter().map(|link| self.link(link)).collect(),
            nodes,
            faults,
        }
    }

    fn sizes(&mut self, file: &file::Scenario) {
        let apps: usize = file.node.iter().map(|node| node.app.len()).sum();
        if file.node.len() > NODES_MAX || apps > APPS_MAX {
            let message = format!("at most {NODES_MAX} nodes and {APPS_MAX} apps");
            self.problem(0..0, message);
        }
        let mut apps = file.node.iter().flat_map(|node| &node.app);
        let mut peers = file.node.iter().flat_map(|node| &node.peer);
        if apps.all(file::App::is_in_background) && !peers.any(|peer| peer.get_ref().call.is_some())
        {
            let message = "nothing to wait for: no [[node.app]] that is not in the background, and no [[node.peer]] that calls";
            self.problem(0..0, message.into());
        }
    }

    /// A golden file is written by `--update`: it is a file beside the scenario, and of one app.
    fn goldens(&mut self, file: &file::Scenario) {
        let mut taken = BTreeSet::new();
        let apps = file.node.iter().flat_map(|node| &node.app);
        let goldens = apps.filter_map(|app| app.expect.as_ref()?.get_ref().golden.as_ref());
        for golden in goldens {
            let path = Path::new(golden.get_ref());
            let mut parts = path.components();
            let plain = parts.all(|part| matches!(part, std::path::Component::Normal(_)));
            let ending = path.extension().and_then(|ending| ending.to_str());
            if !plain || golden.get_ref().is_empty() {
                let message = "a golden file is below the scenario's folder, as in \"page.txt\"";
                self.problem(golden.span(), message.into());
            } else if matches!(ending, Some("toml" | "blessed" | "wasm")) {
                let message = "that is a file of another kind; --update would write over it";
                self.problem(golden.span(), message.into());
            } else if !taken.insert(path.components().collect::<PathBuf>()) {
                let message = "another app has this golden file; each has its own";
                self.problem(golden.span(), message.into());
            }
        }
    }

    /// Two peers at one port would be told of in every run.
    fn ports(&mut self, node: &file::Node, peers: &[Peer]) {
        let mut taken = BTreeSet::new();
        for (place, peer) in node.peer.iter().zip(peers) {
            let (tcp, udp) = peer.script.takes();
            let free = (!tcp || taken.insert(("tcp", peer.port)))
                && (!udp || taken.insert(("udp", peer.port)));
            if !free {
                let message = format!("another peer of the node is at port {}", peer.port);
                self.problem(place.span(), message);
            }
        }
    }

    fn node(
        &mut self,
        node: &file::Node,
        links: &BTreeMap<&str, usize>,
        taken: &mut BTreeSet<(usize, IpAddr)>,
        folder: &Path,
        until: Duration,
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
            .map(|app| self.simulated(app, &addresses, folder, until))
            .collect();
        let counters = node
            .expect
            .as_ref()
            .map_or_else(Vec::new, |expect| self.counters(&expect.counters));
        if let Some(peer) = node.peer.first()
            && !node.app.is_empty()
        {
            let message = "a node has apps or peers, not both: peers are not under test";
            self.problem(peer.span(), message.into());
        }
        let peers = node.peer.iter();
        let peers: Vec<_> = peers.filter_map(|peer| self.peer(peer)).collect();
        if peers.len() == node.peer.len() {
            self.ports(node, &peers);
        }
        let servers = self.parsed(&node.dns, parse_resolver);
        Some(Node {
            policy: node.policy.as_ref().map(|policy| folder.join(policy)),
            servers,
            peers,
            name: name.ok()?,
            link: link?,
            addresses,
            apps,
            counters,
        })
    }

    fn simulated(
        &mut self,
        app: &file::App,
        addresses: &[InterfaceAddress],
        folder: &Path,
        until: Duration,
    ) -> App {
        if app.component.get_ref().is_empty() {
            self.problem(app.component.span(), "this must be a path".into());
        }
        let (allow_manifest, script) = match &app.consent {
            Some(consent) => self.consent(consent),
            None => (false, consent::Script::default()),
        };
        let allow = self.parsed(&app.allow, |text| {
            Rule::parse_grant(text).map_err(|error| format!("a grant: {error}"))
        });
        let start = self.moment(app.start.as_ref()).unwrap_or_default();
        if let Some(place) = &app.start
            && start >= until
        {
            self.problem(place.span(), "this is when the world is over".into());
        }
        App {
            component: folder.join(app.component.get_ref()),
            manifest: app.manifest.as_ref().map(|manifest| folder.join(manifest)),
            arguments: app.args.clone(),
            background: app.is_in_background(),
            serve: self.serves(app, addresses),
            start,
            allow_manifest,
            consent: script,
            allow,
            expect: self.expected(app, folder, until),
        }
    }

    /// At which of its node's addresses an app serves.
    fn serves(&mut self, app: &file::App, addresses: &[InterfaceAddress]) -> Vec<SocketAddr> {
        let mut places = Vec::new();
        for place in self.serve(app.serve.as_ref()) {
            match place {
                Listen::Stack(at) if at.ip() == Ipv4Addr::UNSPECIFIED => {
                    let has = |v4| addresses.iter().any(|one| one.address().is_ipv4() == v4);
                    let unspecified = [
                        (has(true), IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                        (has(false), IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
                    ];
                    let of = unspecified.into_iter().filter(|(has, _)| *has);
                    places.extend(of.map(|(_, ip)| SocketAddr::new(ip, at.port())));
                }
                Listen::Stack(at) => places.push(at),
                Listen::Kernel(_) => {
                    let place = app.serve.as_ref().map_or(0..0, toml::Spanned::span);
                    let message = "a simulated world has no ports of this machine: serve = PORT, or \"stack:ADDR:PORT\"";
                    self.problem(place, message.into());
                }
            }
        }
        places
    }

    /// Whether all that is asked is allowed, and what a script answers.
    fn consent(&mut self, consent: &toml::Spanned<file::Consent>) -> (bool, consent::Script) {
        let mut script = consent::Script::default();
        let answers = match consent.get_ref() {
            file::Consent::Word(word) if word == "manifest" => return (true, script),
            file::Consent::Word(word) if word == "none" => return (false, script),
            file::Consent::Word(word) if word == "yes" => {
                script.rest = Some(true);
                return (false, script);
            }
            file::Consent::Word(word) => {
                let message = format!(
                    "`{}` is not \"manifest\" (yes to what the manifest asks), \"yes\" (a script says so to what a person is asked), \"none\", or a list of answers",
                    escape(word)
                );
                self.problem(consent.span(), message);
                return (false, script);
            }
            file::Consent::Answers(answers) => answers,
        };
        for answered in answers {
            let grant = format!("{}={}", answered.capability, answered.rule);
            let yes = match answered.answer.as_str() {
                "yes" => Some(true),
                "no" => Some(false),
                other => {
                    let message =
                        format!("the answer `{}` is not \"yes\" or \"no\"", escape(other));
                    self.problem(consent.span(), message);
                    None
                }
            };
            match (Rule::parse_grant(&grant), yes) {
                (Ok((capability, rule)), Some(yes)) => script.answers.push((capability, rule, yes)),
                (Ok(_), None) => {}
                (Err(error), _) => self.problem(consent.span(), format!("{error}")),
            }
        }
        (false, script)
    }

    fn expected(&mut self, app: &file::App, folder: &Path, until: Duration) -> Expect {
        let default = if app.is_in_background() {
            Exit::WithWorld
        } else {
            Exit::Code(0)
        };
        let Some(given) = &app.expect else {
            return Expect {
                exit: default,
                ..Expect::default()
            };
        };
        let expect = given.get_ref();
        if app.is_in_background() && expect.within.is_some() {
            let message = "an app in the background is ended with the world, whenever that is";
            self.problem(given.span(), message.into());
        }
        if app.serve.is_none() && !expect.access.is_empty() {
            let message = "only an app that serves has an access log: serve = PORT";
            self.problem(given.span(), message.into());
        }
        let exit = match expect
            .exit
            .as_ref()
            .map(|exit| (exit.span(), exit.get_ref()))
        {
            None => default,
            Some((place, file::Exit::Code(code)))
                if app.serve.is_some() && ![Host, Refused].map(Kind::exit_code).contains(code) =>
            {
                let message = "an app that serves ends with its world, unless it cannot listen (1), is refused (77) or that is left open (\"any\")";
                self.problem(place, message.into());
                Exit::Any
            }
            Some((_, file::Exit::Code(code))) => Exit::Code(*code),
            Some((_, file::Exit::Word(word))) if word == "any" => Exit::Any,
            Some((place, file::Exit::Word(_))) => {
                self.problem(place, "an exit code, or \"any\"".into());
                Exit::Any
            }
        };
        let within = self.duration(expect.within.as_ref());
        if let (Some(within), Some(place)) = (within, &expect.within)
            && within > until
        {
            let message = "the world is over before that: see [scenario] until";
            self.problem(place.span(), message.into());
        }
        let denied = expect.denied.as_ref().map(|names| {
            let parse = |text: &str| {
                Capability::parse(text).map_err(|error| format!("a capability: {error}"))
            };
            self.parsed(names, parse).into_iter().collect()
        });
        Expect {
            exit,
            within,
            stdout: expect.stdout.clone(),
            stderr: expect.stderr.clone(),
            golden: expect
                .golden
                .as_ref()
                .map(|name| folder.join(name.get_ref())),
            access: expect.access.clone(),
            denied,
        }
    }
}

#[cfg(test)]
mod tests;
