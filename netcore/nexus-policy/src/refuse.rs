//! From the cause of a refusal to the [`Denial`] a person reads. Only refusals come here, so it
//! may look at rules one by one and allocate.

use core::net::{IpAddr, SocketAddr};

use nexus_types::{HostName, InstanceId, Instant, Reason};

use crate::address::{AddressClass, Network, canonical, class_named_by, class_of};
use crate::capability::{Capability, Class};
use crate::consent::{Answer, Lifetime};
use crate::decide::Act;
use crate::denial::{Denial, Fix, RefusedBy};
use crate::explain::escape;
use crate::gate::Gate;
use crate::index::{RemoteTarget, RuleIndex, name_means, site};
use crate::judge::Cause;
use crate::manifest::Manifest;
use crate::names::QueryName;
use crate::parameter::url::{Method, Origin, UrlRule};
use crate::request::{Request, UrlHost};
use crate::rule::{HOST_INTERNAL, HostPattern, RULE_BYTES_MAX, Rule, host_internal};
use crate::urls::UrlTarget;
use crate::wasi::{DirectoryRule, VariableName};

impl Gate {
    pub(crate) fn denial(
        &self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
        cause: Cause,
    ) -> Box<Denial> {
        let capability = act.capability();
        let target = act.denied_target();
        let remote = act.far_end().map(|at| self.remote_target(at, false));
        let class = remote.map(|remote| remote.class);
        let (reason, refused_by) = match cause {
            Cause::NotRunning => (Reason::NotGranted, RefusedBy::Host),
            Cause::WrongAct => (Reason::RuleError, RefusedBy::Host),
            Cause::Never => (Reason::BlockedRange, RefusedBy::Host),
            Cause::NoMethod => (Reason::MethodNotPermitted, RefusedBy::Host),
            Cause::HostPort => (Reason::HostOwnedPort, RefusedBy::Host),
            Cause::Forbidden(index) => (Reason::OperatorDenied, self.written_by(index)),
            Cause::Ask(index) => (Reason::ConsentRequired, self.written_by(index)),
            Cause::Declined(index) => (
                Reason::ConsentDenied,
                RefusedBy::Person {
                    answer: self.answer_id(instance, index),
                },
            ),
            Cause::Unrecorded => (Reason::Unrecorded, RefusedBy::Host),
            Cause::Unmentioned => self.unmentioned(instance, act, remote.as_ref()),
            Cause::NotAsked => (Reason::NotGranted, self.manifest_of(instance)),
            Cause::NoRule => (
                self.no_rule(now, instance, act, remote.as_ref()),
                self.manifest_of(instance),
            ),
        };
        let fixes = suggestion(act, class)
            .or_else(|| matches!(act, Act::UdpOpen).then(|| self.first_asked(instance, capability)))
            .map(|rule| self.fixes(instance, act, (cause, reason), explicit(class), rule))
            .unwrap_or_default();
        Box::new(Denial {
            instance,
            capability,
            reason,
            target,
            class,
            refused_by,
            fixes,
        })
    }

    /// For an act that names no target: the first rule the manifest asks for.
    fn first_asked(&self, instance: InstanceId, capability: Capability) -> String {
        let asked = self
            .instance(instance)
            .and_then(|i| i.app.manifest.asked(capability)?.rules.first());
        asked.map_or_else(|| "HOST:PORT".to_owned(), Rule::to_string)
    }

    fn answer_id(&self, instance: InstanceId, index: u32) -> String {
        let answer = self.answered(instance, index);
        answer.map(|answer| answer.id.clone()).unwrap_or_default()
    }

    fn answered(&self, instance: InstanceId, index: u32) -> Option<&Answer> {
        self.consent(instance)?.answers.get(index as usize)
    }

    fn manifest_of(&self, instance: InstanceId) -> RefusedBy {
        let source = self
            .instance(instance)
            .and_then(|i| i.app.manifest.source());
        RefusedBy::Manifest {
            file: source.map(str::to_owned),
        }
    }

    /// Nobody wrote anything about it, or what was written is over.
    fn unmentioned(
        &self,
        instance: InstanceId,
        act: &Act<'_>,
        remote: Option<&RemoteTarget>,
    ) -> (Reason, RefusedBy) {
        if let Some(index) = self.expired_rule(instance, act, remote) {
            return (Reason::Expired, self.written_by(index));
        }
        let consent_is_enough =
            act.capability().class() == Class::App && !explicit(remote.map(|remote| remote.class));
        let reason = if consent_is_enough {
            Reason::ConsentRequired
        } else {
            Reason::OperatorDenied
        };
        (reason, RefusedBy::Default)
    }

    /// What would change the answer, the likeliest first. Nothing where the operator has said no,
    /// and nothing that would not help.
    fn fixes(
        &self,
        instance: InstanceId,
        act: &Act<'_>,
        (cause, reason): (Cause, Reason),
        explicit: bool,
        rule: String,
    ) -> Vec<Fix> {
        let capability = act.capability();
        let manifest = self.instance(instance).map(|i| &i.app.manifest);
        let app = self.app(instance).map_or("app", |app| app.id.as_str());
        let policy = policy_fix(self.operator_file(), app, capability, vec![rule.clone()]);
        let allow = Fix::Allow {
            capability,
            rule: rule.clone(),
        };
        let ask = Fix::Manifest {
            file: manifest.and_then(|m| m.source()).map(str::to_owned),
            section_exists: manifest.is_some_and(|m| has_section(m, capability)),
            set_class: manifest.is_some_and(|m| wants_class(m, capability)),
            capability,
            rule,
        };
        match (cause, reason) {
            (Cause::NotAsked | Cause::NoRule, Reason::Expired) => Vec::new(),
            (Cause::NotAsked | Cause::NoRule, _) if explicit => vec![ask, policy, allow],
            // Where the operator allows less as well, the manifest is not all that must change.
            (Cause::NotAsked | Cause::NoRule, _)
                if capability.class() == Class::System && !self.operator_opens(instance, act) =>
            {
                vec![ask, policy, allow]
            }
            (Cause::NotAsked | Cause::NoRule, _) => vec![ask, allow],
            (Cause::Ask(index), _) => {
                // An ask of everything is no rule about a metadata service: a yes does not help.
                let yes = (!explicit).then_some(Fix::AllowManifest);
                let run = explicit.then_some(allow);
                yes.into_iter()
                    .chain(self.change_rule(index))
                    .chain(run)
                    .collect()
            }
            (Cause::Unmentioned, Reason::ConsentRequired) if !explicit => {
                vec![Fix::AllowManifest, policy]
            }
            (Cause::Declined(index), _) => {
                // What was said for this run is written nowhere: the next one asks again.
                let written = self.answered(instance, index);
                let written = written.filter(|answer| answer.lifetime != Lifetime::Once);
                let revoke = written.map(|answer| Fix::RevokeConsent {
                    answer: answer.id.clone(),
                });
                revoke.into_iter().chain([Fix::AllowManifest]).collect()
            }
            (Cause::Unmentioned, Reason::OperatorDenied) => vec![policy, allow],
            (Cause::Unmentioned, _) if explicit => vec![policy, allow],
            (Cause::Unmentioned, _) => vec![policy],
            _ => Vec::new(),
        }
    }

    /// How the operator would allow what a rule of theirs asks about.
    pub(crate) fn change_rule(&self, index: RuleIndex) -> Option<Fix> {
        let written = self.written.get(index as usize)?;
        Some(Fix::ChangeRule {
            file: written.file.clone(),
            line: written.rule.line,
            rule: written.rule.id.clone(),
        })
    }

    /// Whether a rule of the operator allows an act of a system-class capability, or leaves it to a
    /// person, once the manifest asks for it.
    fn operator_opens(&self, instance: InstanceId, act: &Act<'_>) -> bool {
        let Some(app) = self.app(instance) else {
            return false;
        };
        self.operator(app, act.capability())
            .any(|tables| match *act {
                Act::Listen { local } | Act::UdpBind { local } | Act::Accept { local, .. } => {
                    let (at, port) = (canonical(local.ip()).address, local.port());
                    let ask = tables.ask.catches_local(at, port);
                    ask.or(tables.allow.allows_local(at, port)).is_some()
                }
                Act::OpenDirectory { path, mode } => {
                    let ask = tables.ask.catches_directory(path, mode);
                    ask.or(tables.allow.allows_directory(path, mode)).is_some()
                }
                Act::SetVariable { name } => {
                    let ask = tables.ask.variable(name).or(tables.ask.every());
                    ask.or(tables.allow.variable(name)).is_some()
                }
                Act::Connect { .. }
                | Act::UdpSend { .. }
                | Act::UdpOpen
                | Act::UdpAnswer { .. }
                | Act::Request(_)
                | Act::RequestConnect { .. }
                | Act::Resolve { .. } => false,
            })
    }

    pub(crate) fn written_by(&self, index: RuleIndex) -> RefusedBy {
        match self.written.get(index as usize) {
            Some(written) => RefusedBy::Operator {
                file: written.file.clone(),
                line: written.rule.line,
                rule: written.rule.id.clone(),
            },
            None => RefusedBy::Default,
        }
    }

    /// Which word fits an act that no rule of the manifest covers.
    fn no_rule(
        &self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
        remote: Option<&RemoteTarget>,
    ) -> Reason {
        match act {
            Act::Resolve { .. } => return Reason::NameNotPermitted,
            Act::Listen { .. } | Act::Accept { .. } | Act::UdpBind { .. } => {
                return Reason::BindNotPermitted;
            }
            Act::UdpOpen
            | Act::UdpAnswer { .. }
            | Act::OpenDirectory { .. }
            | Act::SetVariable { .. } => {
                return Reason::NotPermitted;
            }
            Act::Request(request) => {
                return self.no_rule_for_request(instance, request, remote, false);
            }
            Act::RequestConnect { request, .. } => {
                return self.no_rule_for_request(instance, request, remote, true);
            }
            Act::Connect { .. } | Act::UdpSend { .. } => {}
        }
        let (Some(remote), Some(entered)) = (remote, self.instance(instance)) else {
            return Reason::NotPermitted;
        };
        let Some(grant) = entered.app.grants[act.capability() as usize].as_deref() else {
            return Reason::NotPermitted;
        };
        let bound = self.bound_names(now, instance, remote.canonical.address);
        let given = match act {
            Act::Connect { name, .. } | Act::UdpSend { name, .. } => *name,
            _ => None,
        };
        let considered = |name: &HostName| given.is_none_or(|given| given == name);
        let named = |name: &HostName| {
            grant
                .asked
                .name(&QueryName::new(name.as_str()), remote.port)
                .is_some()
        };
        // The name was this address's, and its time is over.
        if bound
            .iter()
            .any(|(name, live)| !live && considered(name) && named(name))
        {
            return Reason::Expired;
        }
        // The name is granted, and led where names do not lead.
        let names = bound
            .iter()
            .map(|(name, _)| name)
            .filter(|name| considered(name))
            .chain(given);
        for name in names {
            if named(name) && name_means(name.as_str()) != remote.class {
                return Reason::BlockedRange;
            }
        }
        // The name is granted and leads there, but no answer this app was given says so (any more).
        if given.is_some_and(named) {
            return Reason::Expired;
        }
        // Everything but the port is granted.
        let asked = entered.app.manifest.asked(act.capability());
        let any_port = grant.any_port(asked.map_or(&[], |asked| &asked.rules));
        if remote.class == AddressClass::Public
            || any_port
                .allows(
                    remote,
                    site(&grant.borders, remote),
                    given.map(|name| QueryName::new(name.as_str())).as_ref(),
                )
                .is_some()
        {
            Reason::NotPermitted
        } else {
            Reason::BlockedRange
        }
    }

    /// The same of a request: `connects`, it is allowed as it was asked, and not where its name led.
    fn no_rule_for_request(
        &self,
        instance: InstanceId,
        request: &Request<'_>,
        remote: Option<&RemoteTarget>,
        connects: bool,
    ) -> Reason {
        let url = request.url;
        let entered = self.instance(instance);
        let grant =
            entered.and_then(|i| i.app.grants[Capability::NetworkHttpRequest as usize].as_deref());
        let name = url.name().map(|name| QueryName::new(name.as_str()));
        let asks = |method, far| {
            let target = UrlTarget::of(request, method, far);
            grant.is_some_and(|grant| grant.asked.urls.asks(&target, name.as_ref()).is_some())
        };
        if connects
            && let (Some(said), Some(remote), Some(method)) = (url.name(), remote, request.method)
            && asks(method, None)
        {
            // The name is granted, and led where names do not lead; or no answer this app was given says so (any more).
            return if remote.class == name_means(said.as_str()) {
                Reason::Expired
            } else {
                Reason::BlockedRange
            };
        }
        if request.redirected {
            return Reason::RedirectNotPermitted;
        }
        if Method::ALL.into_iter().any(|method| asks(method, remote)) {
            return Reason::MethodNotPermitted;
        }
        // Something at that host is granted, or it is on the internet.
        let hosted = |far: &RemoteTarget| {
            let rules = entered.and_then(|i| i.app.manifest.asked(Capability::NetworkHttpRequest));
            let mut rules = rules.into_iter().flat_map(|asked| &asked.rules);
            rules.any(|rule| match rule {
                Rule::Url(rule) => match &rule.origin.host {
                    HostPattern::Class(class) => *class == far.class,
                    HostPattern::Network(network) => {
                        let here = class_named_by(*network) == far.class
                            || far.class == AddressClass::Loopback;
                        here && network.contains(far.canonical.address)
                    }
                    HostPattern::Name(_) | HostPattern::Below(_) => false,
                },
                _ => false,
            })
        };
        match remote {
            Some(far) if far.class != AddressClass::Public && !hosted(far) => Reason::BlockedRange,
            _ => Reason::NotPermitted,
        }
    }

    /// An `allow` that would have covered the act, had its time not been over.
    fn expired_rule(
        &self,
        instance: InstanceId,
        act: &Act<'_>,
        remote: Option<&RemoteTarget>,
    ) -> Option<RuleIndex> {
        let entered = self.instance(instance)?;
        let mut over = self
            .over
            .concerning(&entered.app.identity, act.capability());
        over.find_map(|tables| {
            let table = &tables.allow;
            match *act {
                Act::Resolve { name, .. } => {
                    let name = QueryName::new(name.as_str());
                    let requests = || table.urls.allows_name(&name);
                    table.allows_name_somewhere(&name).or_else(requests)
                }
                Act::Request(request) | Act::RequestConnect { request, .. } => {
                    let target = UrlTarget::of(&request, request.method?, remote);
                    let name = request.url.name().map(|name| QueryName::new(name.as_str()));
                    table.urls.allows(&target, name.as_ref())
                }
                Act::Connect { name, .. } | Act::UdpSend { name, .. } => table.allows(
                    remote?,
                    site(&tables.borders, remote?),
                    name.map(|name| QueryName::new(name.as_str())).as_ref(),
                ),
                Act::Listen { local } | Act::UdpBind { local } | Act::Accept { local, .. } => {
                    table.allows_local(canonical(local.ip()).address, local.port())
                }
                Act::UdpOpen => entered.udp_over,
                // No allow is asked for.
                Act::UdpAnswer { .. } => None,
                Act::OpenDirectory { path, mode } => table.allows_directory(path, mode),
                Act::SetVariable { name } => table.variable(name),
            }
        })
    }
}

/// Whether nothing short of an operator's own rule opens this class.
fn explicit(class: Option<AddressClass>) -> bool {
    class == Some(AddressClass::Metadata)
}

pub(crate) fn policy_fix(
    file: Option<String>,
    app: &str,
    capability: Capability,
    to: Vec<String>,
) -> Fix {
    let id: String = format!("{app}-{capability}")
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(128)
        .collect();
    Fix::Policy {
        file,
        id,
        capability,
        to,
    }
}

/// Whether a manifest asks for something of `capability` already, so that a rule is added to what is there.
fn has_section(manifest: &Manifest, capability: Capability) -> bool {
    match capability {
        Capability::WasiDirs => !manifest.directories().is_empty(),
        Capability::WasiEnv => !manifest.variables().is_empty(),
        _ => manifest.asked(capability).is_some(),
    }
}

/// Whether a manifest would have to call its app `system` to ask for `capability`.
pub(crate) fn wants_class(manifest: &Manifest, capability: Capability) -> bool {
    capability.class() == Class::System
        && Capability::ALL.contains(&capability)
        && manifest.app().is_some_and(|app| app.class == Class::App)
}

/// What names a host in a rule; none for a name that is another thing there: `lan` is a class of addresses, and a rule
/// proposed for the name would give all of them.
pub(crate) fn named(name: &HostName) -> Option<HostPattern> {
    let pattern = HostPattern::parse_plain(name.as_str(), "443").ok();
    pattern.filter(|pattern| *pattern == HostPattern::Name(name.clone()))
}

/// The narrowest rule for a request: its method, origin and path. Where no rule can be for the path alone, for the
/// whole origin.
fn url_rule(request: &Request<'_>, class: Option<AddressClass>) -> Option<String> {
    let url = request.url;
    let host = match (url.host(), class) {
        (_, Some(class)) if !class.is_nameable() => return None,
        // A rule for a name covers no address of another class, and none for an address covers a name.
        (UrlHost::Name(name), Some(class)) if class != name_means(name.as_str()) => return None,
        (UrlHost::Address(_), Some(AddressClass::Host)) => HostPattern::Name(host_internal()),
        (UrlHost::Name(name), _) => named(name)?,
        (UrlHost::Address(address), _) => {
            HostPattern::Network(Network::host(canonical(*address).address))
        }
    };
    let origin = Origin {
        scheme: url.scheme(),
        host,
        port: url.port(),
    };
    let method = request.method?;
    let path = match url.path() {
        path if path.ends_with('/') => format!("{path}*"),
        path => path.to_owned(),
    };
    let exact = format!("{method} {origin}{path}");
    if url.is_plain() && UrlRule::parse(&exact).is_ok() && exact.len() <= RULE_BYTES_MAX {
        return Some(exact);
    }
    Some(format!("{method} {origin}/*"))
}

/// The narrowest rule that covers an act; `None` if no rule can, or none that could be shown as
/// it is to be written.
pub(crate) fn suggestion(act: &Act<'_>, class: Option<AddressClass>) -> Option<String> {
    let host = |address: IpAddr| match canonical(address).address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let local = |local: SocketAddr| {
        let address = canonical(local.ip()).address;
        let at = if address.is_unspecified() {
            "any".to_owned()
        } else if class_of(address) == AddressClass::Loopback {
            "loopback".to_owned()
        } else {
            host(address)
        };
        if local.port() == 0 {
            format!("{at}:49152-65535")
        } else {
            format!("{at}:{}", local.port())
        }
    };
    Some(match *act {
        Act::UdpOpen | Act::UdpAnswer { .. } => return None,
        Act::Resolve {
            name,
            via: Capability::NetworkHttpRequest,
        } => format!("https://{}/*", named(name)?),
        Act::Resolve { name, .. } => format!("{}:443", named(name)?),
        Act::Request(request) | Act::RequestConnect { request, .. } => {
            return url_rule(&request, class);
        }
        Act::Connect { remote, name } | Act::UdpSend { remote, name } => {
            let port = remote.port();
            match (class, name) {
                (Some(class), _) if !class.is_nameable() || port == 0 => return None,
                (Some(AddressClass::Host), _) => format!("{HOST_INTERNAL}:{port}"),
                (Some(AddressClass::Public), Some(name)) => format!("{}:{port}", named(name)?),
                _ => format!("{}:{port}", host(remote.ip())),
            }
        }
        Act::Listen { local: at } | Act::UdpBind { local: at } | Act::Accept { local: at, .. } => {
            local(at)
        }
        Act::OpenDirectory { path, mode } => {
            let plain = !path.contains(['"', '\\']) && escape(path) == path;
            DirectoryRule::new(path, mode)
                .filter(|_| plain)?
                .to_string()
        }
        Act::SetVariable { name } => VariableName::parse(name).ok()?.to_string(),
    })
}
