//! What would happen: acts of an app that is not running, judged by the one `decide`.
//!
//! The gate is taken whole and given back to nobody, so that what is supposed here never lets
//! anything run: an app that may not start is behind it as well, to be asked about.

use core::net::IpAddr;

use nexus_types::{HostName, InstanceId, Instant};

use crate::address::{Topology, canonical};
use crate::admission::{Admission, Import};
use crate::capability::Capability;
use crate::consent::Consent;
use crate::decide::Act;
use crate::denial::{Denial, RefusedBy};
use crate::gate::{AppIdentity, Gate};
use crate::index::{RemoteTarget, RuleIndex, RuleTable, borders, site};
use crate::manifest::Manifest;
use crate::names::QueryName;
use crate::networks::Borders;
use crate::parameter::url::UrlRule;
use crate::policy::Verdict;
use crate::request::{Request, RequestUrl};
use crate::rule::Rule;
use crate::urls::UrlTarget;
use crate::wasi::DirectoryRule;

/// The only one behind the gate.
const INSTANCE: InstanceId = InstanceId(1);

/// A gate with one app behind it that will never run.
pub struct Supposed {
    gate: Gate,
    app: AppIdentity,
    admission: Admission,
    manifest: Manifest,
    consent: Consent,
}

impl Supposed {
    /// The app behind the gate, admitted or not; [`Supposed::admission`] says which.
    pub fn new(
        mut gate: Gate,
        now: Instant,
        app: AppIdentity,
        manifest: Manifest,
        consent: Consent,
        imports: &[Import],
    ) -> Self {
        gate.handle_timeout(now);
        let admission = gate.examine(now, &app, &manifest, &consent, imports);
        gate.enter(
            now,
            INSTANCE,
            app.clone(),
            manifest.clone(),
            consent.clone(),
        );
        Self {
            gate,
            app,
            admission,
            manifest,
            consent,
        }
    }

    /// Whether the app would start, and with what.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What the network is taken to look like.
    pub fn topology(&self) -> &Topology {
        self.gate.topology()
    }

    /// Supposes that a lookup of `name` by the app answered `address`, and answers it for ever.
    pub fn answer(&mut self, now: Instant, name: &HostName, address: IpAddr) {
        let until = Instant::FAR_FUTURE;
        self.gate
            .bind_answer(now, INSTANCE, name, &[address], until);
    }

    /// Judges an act. Allowed: whose words allow it, the first key's first.
    ///
    /// # Errors
    /// It would be refused, with what the refusal says.
    pub fn ask(&mut self, now: Instant, act: &Act<'_>) -> Result<Vec<String>, Box<Denial>> {
        // The permit is for nobody: what it would permit is only told.
        let _permit = self.gate.decide(now, INSTANCE, act)?;
        Ok(self.words(now, act))
    }

    /// A public address that no rule of anybody names by its network: what a name may lead to, where
    /// nobody said what it does.
    pub fn somewhere_public(&self) -> Option<IpAddr> {
        // Anycast resolvers' and root servers' neighbours: nothing is ever sent there.
        let candidates = [
            [192, 31, 196, 1],
            [192, 175, 48, 1],
            [9, 9, 9, 1],
            [45, 45, 45, 1],
        ];
        let named = |address: IpAddr| {
            let operator = self
                .gate
                .written
                .iter()
                .flat_map(|written| written.rule.to.iter().flatten());
            let asked = self
                .manifest
                .capabilities()
                .flat_map(|(_, asked)| &asked.rules);
            let given = self.consent.allow.iter().map(|(_, rule)| rule);
            operator.chain(asked).chain(given).any(|rule| match rule {
                Rule::Destination(rule) => match rule.host {
                    crate::rule::HostPattern::Network(network) => network.contains(address),
                    _ => false,
                },
                Rule::Url(rule) => match rule.origin.host {
                    crate::rule::HostPattern::Network(network) => network.contains(address),
                    _ => false,
                },
                _ => false,
            })
        };
        candidates
            .into_iter()
            .map(IpAddr::from)
            .find(|address| !named(*address))
    }

    /// Whose words allowed an act that was allowed.
    fn words(&self, now: Instant, act: &Act<'_>) -> Vec<String> {
        let capability = act.capability();
        let asked = self.asked(capability);
        if let (Act::Resolve { name, .. }, Capability::NetworkHttpRequest) = (act, capability) {
            return self.words_of_requests(now, name);
        }
        let given: Vec<Rule> = self
            .consent
            .allow
            .iter()
            .filter(|(c, _)| *c == capability)
            .map(|(_, rule)| rule.clone())
            .collect();
        let remote = act.far_end().map(|at| self.gate.remote_target(at, false));
        let written = |verdict: Verdict| {
            let app = &self.app;
            let rules = (0..).zip(&self.gate.written).filter(move |(_, w)| {
                w.rule.capability == capability
                    && w.rule.verdict == verdict
                    && w.rule.app.concerns(app)
                    && Gate::holds(w, now)
            });
            Lookup::of(
                remote,
                rules.flat_map(|(index, w)| {
                    let texts: Vec<Option<&Rule>> = match &w.rule.to {
                        None => vec![None],
                        Some(to) => to.iter().map(Some).collect(),
                    };
                    texts.into_iter().map(move |rule| (index, rule))
                }),
            )
        };
        let first = Lookup::of(remote, (0..).zip(asked.iter().map(Some)));
        let gift = Lookup::of(remote, (0..).zip(given.iter().map(Some)));
        let (ask, allow, forbid) = (
            written(Verdict::Ask),
            written(Verdict::Allow),
            written(Verdict::Forbid),
        );
        // A lookup is allowed by the first port at which a connection by the name could be.
        let ports = match act {
            Act::Resolve { .. } => 1..=u16::MAX,
            _ => 0..=0,
        };
        let yes = self.consent.allow_manifest;
        let answers = (0..).zip(&self.consent.answers);
        let said = answers.filter(|(_, answer)| answer.yes && answer.capability == capability);
        let said = Lookup::of(remote, said.map(|(at, answer)| (at, Some(&answer.rule))));
        let consent = |act, port| {
            if yes {
                return Some("--allow-manifest".to_owned());
            }
            let answer = self.consent.answers.get(said.asks(act, port)? as usize)?;
            Some(format!("consent {}", answer.id))
        };
        for port in ports {
            if matches!(act, Act::Resolve { .. }) && forbid.catches(act, port).is_some() {
                continue;
            }
            if let Some(rule) = gift.asks(act, port).and_then(|i| given.get(i as usize)) {
                return vec![format!("--allow {capability}={rule}")];
            }
            let Some(rule) = first.asks(act, port).and_then(|i| asked.get(i as usize)) else {
                continue;
            };
            let manifest = self.manifest.source().unwrap_or("the manifest");
            let mut words = vec![format!("`{rule}` of {manifest}")];
            match (ask.catches(act, port), allow.allows(act, port)) {
                (None, Some(index)) => words.extend(self.operator(index)),
                (asked, _) => {
                    let Some(consent) = consent(act, port) else {
                        continue;
                    };
                    words.extend(asked.and_then(|index| self.operator(index)));
                    words.push(consent);
                }
            }
            return words;
        }
        Vec::new()
    }

    /// A lookup for requests is allowed by the first request that could be by the name.
    fn words_of_requests(&self, now: Instant, name: &HostName) -> Vec<String> {
        let asked = self.asked(Capability::NetworkHttpRequest);
        let given = self.consent.allow.iter().map(|(_, rule)| rule);
        for rule in asked.iter().chain(given) {
            let Rule::Url(UrlRule {
                methods,
                origin,
                path,
            }) = rule
            else {
                continue;
            };
            let (scheme, port) = (origin.scheme.as_str(), origin.port);
            let url = RequestUrl::new(scheme, name.as_str(), Some(port), path.as_str());
            for method in methods.each() {
                let Ok(url) = &url else { continue };
                let act = Act::Request(Request {
                    method: Some(method),
                    url,
                    redirected: false,
                });
                if self.gate.judge(now, INSTANCE, &act, false).is_ok() {
                    return self.words(now, &act);
                }
            }
        }
        Vec::new()
    }

    fn operator(&self, index: RuleIndex) -> Option<String> {
        match self.gate.written_by(index) {
            RefusedBy::Operator { file, line, rule } => Some(format!(
                "rule `{rule}` of the operator's policy ({file}:{line})"
            )),
            _ => None,
        }
    }

    fn asked(&self, capability: Capability) -> Vec<Rule> {
        match capability {
            Capability::WasiDirs => self
                .manifest
                .directories()
                .iter()
                .filter_map(|d| DirectoryRule::new(d.path.as_deref()?, d.mode))
                .map(Rule::Directory)
                .collect(),
            Capability::WasiEnv => self
                .manifest
                .variables()
                .iter()
                .map(|(name, _)| Rule::Variable(name.clone()))
                .collect(),
            _ => self
                .manifest
                .asked(capability)
                .map(|asked| asked.rules.clone())
                .unwrap_or_default(),
        }
    }
}

/// One list of rules, asked about one far end.
struct Lookup {
    table: RuleTable,
    borders: Borders,
    remote: Option<RemoteTarget>,
}

impl Lookup {
    fn of<'a>(
        remote: Option<RemoteTarget>,
        rules: impl Iterator<Item = (RuleIndex, Option<&'a Rule>)>,
    ) -> Self {
        let rules: Vec<_> = rules.collect();
        let borders = borders(rules.iter().filter_map(|(_, rule)| *rule));
        Self {
            table: RuleTable::build(&borders, rules),
            borders,
            remote,
        }
    }

    /// Of a request: what it is to tables, and its name.
    fn request<T>(
        &self,
        request: &Request<'_>,
        ask: impl FnOnce(&UrlTarget<'_>, Option<&QueryName<'_>>) -> Option<T>,
    ) -> Option<T> {
        let target = UrlTarget::of(request, request.method?, self.remote.as_ref());
        let name = request.url.name().map(|name| QueryName::new(name.as_str()));
        ask(&target, name.as_ref())
    }

    /// As the first key: a name is looked up by what names it, not by what its addresses may be in.
    fn asks(&self, act: &Act<'_>, port: u16) -> Option<RuleIndex> {
        match act {
            Act::Request(request) | Act::RequestConnect { request, .. } => {
                self.request(request, |target, name| self.table.urls.asks(target, name))
            }
            Act::Resolve { name, .. } => self.table.name(&QueryName::new(name.as_str()), port),
            _ => self.allows(act, port),
        }
    }

    fn allows(&self, act: &Act<'_>, port: u16) -> Option<RuleIndex> {
        let table = &self.table;
        match *act {
            Act::Resolve { name, .. } => table.allows_name(&QueryName::new(name.as_str()), port),
            Act::Connect { name, .. } | Act::UdpSend { name, .. } => {
                let remote = self.remote.as_ref()?;
                let name = name.map(|name| QueryName::new(name.as_str()));
                table.allows(remote, site(&self.borders, remote), name.as_ref())
            }
            Act::Listen { local } | Act::UdpBind { local } | Act::Accept { local, .. } => {
                table.allows_local(canonical(local.ip()).address, local.port())
            }
            Act::Request(ref request) | Act::RequestConnect { ref request, .. } => {
                self.request(request, |target, name| table.urls.allows(target, name))
            }
            Act::OpenDirectory { path, mode } => table.allows_directory(path, mode),
            Act::SetVariable { name } => table.variable(name),
            Act::UdpOpen | Act::UdpAnswer { .. } => None,
        }
    }

    fn catches(&self, act: &Act<'_>, port: u16) -> Option<RuleIndex> {
        let table = &self.table;
        match *act {
            Act::Resolve { name, .. } => table.catches_name(&QueryName::new(name.as_str()), port),
            Act::Connect { name, .. } | Act::UdpSend { name, .. } => {
                let remote = self.remote.as_ref()?;
                let name = name.map(|name| QueryName::new(name.as_str()));
                table.catches(remote, site(&self.borders, remote), name.as_ref())
            }
            Act::Listen { local } | Act::UdpBind { local } | Act::Accept { local, .. } => {
                table.catches_local(canonical(local.ip()).address, local.port())
            }
            Act::Request(ref request) | Act::RequestConnect { ref request, .. } => {
                self.request(request, |target, name| table.catches_request(target, name))
            }
            Act::OpenDirectory { path, mode } => table.catches_directory(path, mode),
            Act::SetVariable { name } => table.variable(name).or(table.every()),
            Act::UdpOpen | Act::UdpAnswer { .. } => None,
        }
    }
}
