//! A scenario made ready: its apps read, compiled and linked once, for any number of runs.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nexus_policy::explain::escape;
use nexus_policy::{Capability, Consent, Policy, WallTime};
use nexus_sim::checker::Isolation;
use nexus_sim::peers::Peer;
use nexus_sim::{
    Boot, Conditions, Fault, Grants, MachineFault, MachineId, Plan, Station, Store, Swarm, Victim,
};
use nexus_stack::Config;
use nexus_types::{HostName, Instant, InterfaceAddress, IpAddr, Seed};

use super::file::regular;
use super::heard::Heard;
use super::run::MIDNIGHT;
use super::scenario::{App, Scenario};
use super::shelf::{Linked, Shelf};
use crate::cli::app::Candidate;
use crate::cli::consent::{self, Script};
use crate::cli::{CliError, Kind, policies, start};
use crate::driver::GuestMachine;
use crate::runtime::cache::CodeCache;
use crate::runtime::engine::HostEngine;
use crate::runtime::stdio::KEPT_BYTES;

/// What time it is for rules that end, in a world that begins.
pub(super) const WALL: WallTime = WallTime(MIDNIGHT.as_secs() as i64);

/// A scenario, ready to be run with any seed, by any thread.
pub(in crate::cli) struct Prepared {
    pub(in crate::cli) scenario: Scenario,
    pub(super) engine: HostEngine,
    /// Of all nodes, in their order.
    pub(in crate::cli) apps: Vec<Planned>,
    /// Of each node, the operator's.
    policies: Vec<Policy>,
}

/// An app of it.
pub(in crate::cli) struct Planned {
    /// Index of its node, and its own among the apps of that.
    pub(super) node: usize,
    place: usize,
    /// For people.
    pub(super) name: String,
    pub(super) candidate: Arc<Candidate>,
    pub(super) arguments: Vec<String>,
    pub(super) consent: Consent,
    pub(super) prepared: Linked,
    pub(in crate::cli) golden: Option<Golden>,
    /// What a script answered for a person.
    notes: Vec<String>,
}

/// The file that is all of an app's stdout.
pub(in crate::cli) struct Golden {
    pub(in crate::cli) path: PathBuf,
    /// None: it is not there yet.
    pub(in crate::cli) bytes: Option<Vec<u8>>,
}

/// How the links are, and what else goes wrong.
#[derive(Clone)]
pub(super) struct Wrong {
    pub(super) links: Vec<Conditions>,
    pub(super) plan: Plan,
}

impl Prepared {
    /// Reads and compiles the apps, and sees whether its nodes can stand.
    pub(super) fn new(
        scenario: Scenario,
        engine: HostEngine,
        cache: &mut CodeCache,
    ) -> Result<Arc<Self>, CliError> {
        let mut apps = Vec::new();
        let mut shelf = Shelf::default();
        let mut policies = Vec::new();
        for (index, node) in scenario.nodes.iter().enumerate() {
            let policy = node.policy.as_deref().map(|path| {
                regular(path)?;
                policies::read(path)
            });
            let policy = policy.transpose()?.unwrap_or_else(Policy::none);
            shelf.policy = (node.policy.clone(), policy.clone());
            policies.push(policy);
            for (place, app) in node.apps.iter().enumerate() {
                let name = node.name.as_str();
                apps.push(planned(
                    (index, place),
                    name,
                    app,
                    &engine,
                    cache,
                    &mut shelf,
                )?);
            }
        }
        let scene = Self {
            scenario,
            engine,
            apps,
            policies,
        };
        for (index, node) in scene.scenario.nodes.iter().enumerate() {
            scene.stands(index, &node.addresses)?;
        }
        for planned in &scene.scenario.faults {
            if let Fault::Machine(machine, MachineFault::Addresses(addresses)) = &planned.fault {
                scene.stands(machine.0 as usize, addresses)?;
            }
        }
        Ok(Arc::new(scene))
    }

    /// Every file it was made of, beside the scenario: none is to be written over by a report.
    pub(in crate::cli) fn files(&self) -> Vec<&Path> {
        let mut files = Vec::new();
        for node in &self.scenario.nodes {
            files.extend(node.policy.as_deref());
            for app in &node.apps {
                files.push(app.component.as_path());
                files.extend(app.manifest.as_deref());
                files.extend(app.expect.golden.as_deref());
            }
        }
        files
    }

    /// What scripts answered for persons, each once.
    pub(in crate::cli) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self.apps.iter().flat_map(|app| app.notes.clone()).collect();
        notes.dedup();
        notes
    }

    /// Whether a node can stand with these addresses.
    fn stands(&self, index: usize, addresses: &[InterfaceAddress]) -> Result<(), CliError> {
        let node = &self.scenario.nodes[index];
        let boot = Boot {
            number: 0,
            now: Instant::ZERO,
            addresses,
            store: Store::new(),
            seed: Seed::from_number(0),
        };
        let stack = self.stack(index);
        let stands = if node.peers.is_empty() {
            let machine = GuestMachine::new(&boot, stack, self.policy(index), |_| {});
            machine.map(|_| ()).map_err(|error| error.to_string())
        } else {
            Station::of_peers(&boot, stack, &self.heard(index).peers()).map(|_| ())
        };
        stands.map_err(|error| {
            let texts: Vec<_> = addresses
                .iter()
                .map(|one| format!("{}/{}", one.address(), one.prefix()))
                .collect();
            let (name, texts) = (node.name.as_str(), texts.join(", "));
            CliError::new(Kind::Config, format!("node {name} with {texts}: {error}"))
        })
    }

    /// What the file says of an app.
    pub(super) fn given(&self, app: &Planned) -> &App {
        &self.scenario.nodes[app.node].apps[app.place]
    }

    /// The apps of a node, with their indexes among all.
    pub(super) fn apps_of(&self, node: usize) -> impl Iterator<Item = (usize, &Planned)> {
        let apps = self.apps.iter().enumerate();
        apps.filter(move |(_, app)| app.node == node)
    }

    /// A node's, and what time of day it is when it is read.
    pub(super) fn policy(&self, node: usize) -> (Policy, WallTime) {
        (self.policies[node].clone(), WALL)
    }

    pub(super) fn stack(&self, node: usize) -> Config {
        let link = self.scenario.nodes[node].link;
        let mut config = Config::new(self.scenario.links[link].mtu, Vec::new());
        config.resolver.hosts = self.names(link);
        config.resolver.servers = self.scenario.nodes[node].servers.clone();
        config
    }

    /// Every node of a link by its name.
    fn names(&self, link: usize) -> Vec<(HostName, Vec<IpAddr>)> {
        let nodes = self.scenario.nodes.iter().filter(|node| node.link == link);
        let names = nodes.map(|node| {
            let addresses = node.addresses.iter().map(|address| address.address());
            (node.name.clone(), addresses.collect())
        });
        names.collect()
    }

    /// What goes wrong with a seed: what the file says, and what is drawn.
    pub(super) fn goes_wrong(&self, seed: u64) -> Wrong {
        let mut plan = Plan {
            faults: self.scenario.faults.clone(),
        };
        if let Some(chaos) = self.scenario.chaos {
            let victims: Vec<_> = (0..)
                .zip(&self.scenario.nodes)
                .map(|(number, _)| Victim {
                    machine: MachineId(number),
                    others: Vec::new(),
                })
                .collect();
            let drawn = Swarm::draw(&Seed::from_number(seed), &victims, chaos);
            plan.faults.extend(drawn.faults);
        }
        let links = self.scenario.links.iter().map(|link| link.conditions);
        Wrong {
            links: links.collect(),
            plan,
        }
    }

    /// Ears for the peers of a node.
    pub(super) fn heard(&self, node: usize) -> Heard {
        Heard::new(&self.scenario.nodes[node])
    }

    /// Which far ends the apps' grants name, read without the gate that holds them to it.
    pub(super) fn isolation(&self) -> Isolation {
        let mut isolation = Isolation::default();
        for (number, node) in (0..).zip(&self.scenario.nodes) {
            let mut grants = Grants::default();
            let apps = self.apps_of(number as usize).map(|(_, app)| app);
            // A policy grants what the manifest asks for, at most.
            let by_policy = node.policy.is_some();
            for app in apps.filter(|app| app.prepared.is_ok()) {
                grants.extend(&app.grants(by_policy));
            }
            grants.extend(&Peer::all_grants(&self.heard(number as usize).peers()));
            // A rule whose words the checker does not know ("metadata") leaves the machine unchecked.
            let granted = isolation.grant(MachineId(number), &grants, &node.servers);
            if granted.is_err() {
                isolation.forget(MachineId(number));
                continue;
            }
            for (name, addresses) in self.names(node.link) {
                for address in addresses {
                    isolation.knows(MachineId(number), address, name.as_str());
                }
            }
        }
        isolation
    }
}

impl Planned {
    /// What it may have been granted of the network, in words.
    fn grants(&self, by_policy: bool) -> Grants {
        let of = |capability: Capability| -> Vec<String> {
            let asked = self.candidate.manifest.asked(capability);
            let asked = asked.filter(|_| self.consent.allow_manifest || by_policy);
            let asked = asked.into_iter().flat_map(|asked| &asked.rules);
            let answered = self.consent.answers.iter();
            let answered = answered.filter(|answer| answer.yes && answer.capability == capability);
            let allowed = self.consent.allow.iter();
            let allowed = allowed.filter(|(one, _)| *one == capability);
            asked
                .chain(allowed.map(|(_, rule)| rule))
                .chain(answered.map(|answer| &answer.rule))
                .map(ToString::to_string)
                .collect()
        };
        let requests = of(Capability::NetworkHttpRequest);
        let requests = requests.iter().filter_map(|rule| destination(rule));
        Grants {
            connect: (of(Capability::NetworkTcpConnect).into_iter())
                .chain(requests)
                .collect(),
            listen: of(Capability::NetworkTcpListen),
            send: of(Capability::NetworkUdpSend),
            bind: of(Capability::NetworkUdpBind),
        }
    }
}

/// Where the connections of a rule for requests go, as a rule for connections says it: `example.com:443` of
/// `GET https://example.com/*`.
fn destination(rule: &str) -> Option<String> {
    let url = rule.rsplit(' ').next()?;
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let after_host = authority.rsplit(']').next()?;
    let port = match scheme {
        _ if after_host.contains(':') => return Some(authority.to_owned()),
        "https" => 443,
        _ => 80,
    };
    Some(format!("{authority}:{port}"))
}

fn planned(
    (node, place): (usize, usize),
    name: &str,
    app: &App,
    engine: &HostEngine,
    cache: &mut CodeCache,
    shelf: &mut Shelf,
) -> Result<Planned, CliError> {
    let candidate = shelf.candidate(app, engine, cache)?;
    let arguments = start::arguments(&candidate, app.arguments.clone())?;
    let mut consent = Consent {
        allow_manifest: app.allow_manifest,
        answers: Vec::new(),
        allow: app.allow.clone(),
    };
    let mut script = app.consent.clone();
    if script != Script::default() {
        let gate = shelf.gate();
        consent.answers = consent::scripted(&mut script, &gate, &candidate, &consent)?;
    }
    let serves = !app.serve.is_empty();
    let prepared = shelf.link(&candidate, &consent, serves, engine)?;
    let golden = app.expect.golden.as_ref().map(|path| golden(path));
    let app = format!("{name}, {}", candidate.identity.id);
    let notes = script.notes.into_iter();
    Ok(Planned {
        notes: notes
            .map(|note| format!("{}: {note}", escape(&app)))
            .collect(),
        golden: golden.transpose()?,
        node,
        place,
        name: app,
        candidate,
        arguments,
        consent,
        prepared,
    })
}

fn golden(path: &Path) -> Result<Golden, CliError> {
    regular(path)?;
    let fail = |error: &dyn std::fmt::Display| {
        let path = escape(&path.display().to_string());
        CliError::new(Kind::Host, format!("{path}: {error}"))
    };
    let bytes = match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            let most = KEPT_BYTES as u64 + 1;
            let read = file.take(most).read_to_end(&mut bytes);
            read.map_err(|error| fail(&error))?;
            if bytes.len() > KEPT_BYTES {
                let message =
                    format!("larger than the {KEPT_BYTES} bytes of an app's output that are kept");
                return Err(fail(&message));
            }
            Some(bytes)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(fail(&error)),
    };
    Ok(Golden {
        path: path.to_owned(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_requests_leads_somewhere() {
        for (rule, there) in [
            ("GET https://example.com/*", "example.com:443"),
            ("http://example.com/a/b", "example.com:80"),
            ("GET,HEAD http://host.internal:8000/*", "host.internal:8000"),
            ("https://[2001:db8::1]/*", "[2001:db8::1]:443"),
            ("https://[2001:db8::1]:8443/*", "[2001:db8::1]:8443"),
        ] {
            assert_eq!(destination(rule).as_deref(), Some(there), "{rule}");
        }
    }
}
