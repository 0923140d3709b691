//! By which rules a request was permitted: for whoever carries it out, who needs more of a rule than its yes.

use crate::capability::Capability;
use crate::gate::Gate;
use crate::index::RuleIndex;
use crate::names::QueryName;
use crate::parameter::url::UrlRule;
use crate::permit::{Permit, Target};
use crate::policy::PolicyRule;
use crate::rule::Rule;
use crate::urls::{UrlTable, UrlTarget};

/// The rules that a permitted request is covered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted<'a> {
    /// What the manifest asks for, or `--allow` gives: its methods are those that the app may use there.
    pub asked: &'a UrlRule,
    /// The operator's rule that allows it, where one does. None: a person's word does, or `--allow`.
    pub allowed: Option<&'a PolicyRule>,
}

impl Gate {
    /// The rules that a request is covered by. None: the permit is for something else, the policy has changed since it
    /// was given, or `--mode` let the request pass without a rule.
    pub fn granted(&self, permit: &Permit) -> Option<Granted<'_>> {
        let (request, remote) = match permit.target() {
            Target::Request(request) => {
                let url = request.request().url;
                (request, url.address().map(|at| (at, url.port()).into()))
            }
            Target::RequestRemote { at, request } => (request, Some(*at)),
            _ => return None,
        };
        if !self.is_current(permit.stamp()) {
            return None;
        }
        let request = request.request();
        let far = remote.map(|remote| self.remote_target(remote, false));
        let target = UrlTarget::of(&request, request.method?, far.as_ref());
        let name = request.url.name().map(|name| QueryName::new(name.as_str()));
        let asks = |table: &UrlTable| table.asks(&target, name.as_ref());
        let capability = Capability::NetworkHttpRequest;
        let app = &self.instance(permit.instance())?.app;
        let grant = app.grants[capability as usize].as_deref()?;
        let given = || app.consent.allow.iter().filter(|(of, _)| *of == capability);
        let at = |index: RuleIndex| index as usize;
        let (rule, needs_more) = match asks(&grant.given.urls) {
            Some(index) => (given().nth(at(index)).map(|(_, rule)| rule), false),
            None => {
                let index = asks(&grant.asked.urls)?;
                (app.manifest.asked(capability)?.rules.get(at(index)), true)
            }
        };
        let Some(Rule::Url(asked)) = rule else {
            return None;
        };
        // An ask holds against an allow: then it was a person who allowed it.
        let mut tables = self.operator(&app.identity, capability);
        let asked_about = tables
            .clone()
            .any(|tables| tables.ask.catches_request(&target, name.as_ref()).is_some());
        let allow = tables.find_map(|tables| tables.allow.urls.allows(&target, name.as_ref()));
        let allow = allow.filter(|_| needs_more && !asked_about);
        let allowed = allow.and_then(|index| self.written.get(at(index)));
        Some(Granted {
            asked,
            allowed: allowed.map(|written| &written.rule),
        })
    }
}
