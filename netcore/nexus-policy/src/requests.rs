//! The judgement of a request, of the connection it goes over, and of the lookup before.
//!
//! The steps are those of `judge.rs`. What is judged is the URL as it was asked for: a rule of the app's for an
//! address or a class is about URLs that name an address, whatever a name leads to. A connection is judged as the
//! request it is for, once more, at the address that the name led to: it must be of the class that the name means,
//! and nothing that is written may catch the request there.

use core::iter;
use core::net::SocketAddr;

use crate::address::AddressClass;
use crate::decide::Act;
use crate::grounds::Grounds;
use crate::index::RuleTable;
use crate::judge::{Cause, Judge, plain, worse};
use crate::names::QueryName;
use crate::parameter::url::Method;
use crate::request::Request;
use crate::urls::UrlTarget;

impl Judge<'_> {
    /// `remote`: where the connection leads that the request is for, if there is one already.
    pub(crate) fn request(
        &self,
        act: &Act<'_>,
        request: &Request<'_>,
        remote: Option<SocketAddr>,
    ) -> Result<Grounds, Cause> {
        let url = request.url;
        let literal = url
            .address()
            .map(|address| SocketAddr::new(address, url.port()));
        let elsewhere = match (remote, literal) {
            (Some(remote), Some(literal)) => plain(remote) != plain(literal),
            (Some(remote), None) => remote.port() != url.port(),
            (None, _) => false,
        };
        if elsewhere {
            return Err(Cause::WrongAct);
        }
        let far = remote
            .or(literal)
            .map(|remote| self.gate.remote_target(remote, self.open));
        if let Some(far) = &far {
            self.reachable(act, far)?;
        }
        let name = url.name().map(|name| QueryName::new(name.as_str()));
        let Some(method) = request.method else {
            self.grant()?;
            return Err(Cause::NoMethod);
        };
        let target = UrlTarget::of(request, method, far.as_ref());
        // Of a URL with an address: what the address is known to be, as for a connection without a name.
        let bound = match &far {
            Some(far) if name.is_none() => self.instance.bindings.of(far.canonical.address),
            _ => &[],
        };
        let others = || self.names(bound);
        let grounds = self.keys_of_request(&target, name.as_ref(), &others)?;
        // After the two keys: a name that is not granted is not called expired.
        if let (Some(_), Some(said), Some(far)) = (remote, url.name(), &far) {
            let mut of = self.instance.bindings.of(far.canonical.address).iter();
            if !self.open && !of.any(|b| b.name == *said && b.until > self.now) {
                return Err(Cause::NoRule);
            }
        }
        Ok(grounds)
    }

    /// Steps 3 to 5. `others`: names that what is written may be about, beside the URL's own.
    fn keys_of_request<'b, Others: Iterator<Item = QueryName<'b>>>(
        &self,
        target: &UrlTarget<'_>,
        name: Option<&QueryName<'_>>,
        others: &impl Fn() -> Others,
    ) -> Result<Grounds, Cause> {
        let caught = |verdict: for<'t> fn(&'t crate::tables::OperatorTables) -> &'t RuleTable| {
            let by = |name: Option<&QueryName<'_>>| {
                self.operator()
                    .find_map(|tables| verdict(tables).catches_request(target, name))
            };
            by(name).or_else(|| others().find_map(|other| by(Some(&other))))
        };
        if let Some(rule) = caught(|tables| &tables.forbid) {
            return Err(Cause::Forbidden(rule));
        }
        let grant = self.grant()?;
        if grant.given.urls.asks(target, name).is_some() {
            return Ok(Grounds::Allow);
        }
        if grant.asked.urls.asks(target, name).is_none() {
            return Err(Cause::NoRule);
        }
        let declined = &grant.declined.urls;
        self.second_key(
            caught(|tables| &tables.ask),
            |verdict| {
                self.operator()
                    .find_map(|tables| verdict(tables).urls.allows(target, name))
            },
            declined
                .asks(target, name)
                .or_else(|| others().find_map(|other| declined.asks(target, Some(&other)))),
            || grant.consented.urls.asks(target, name),
            target
                .far
                .is_some_and(|far| far.class == AddressClass::Metadata),
        )
    }

    /// A lookup is allowed if some request by that name could be: as [`Judge::name`], at each place where an answer
    /// may be another.
    pub(crate) fn name_of_requests(&self, name: &QueryName<'_>) -> Result<Grounds, Cause> {
        let whole = self.operator().find_map(|tables| tables.forbid.every());
        let grant = match (whole, self.grant()) {
            (Some(rule), _) => return Err(Cause::Forbidden(rule)),
            (None, grant) => grant?,
        };
        let asked = [
            &grant.asked,
            &grant.given,
            &grant.consented,
            &grant.declined,
        ];
        let written = || {
            self.operator()
                .flat_map(|tables| [&tables.forbid, &tables.ask, &tables.allow])
        };
        let nobody = || iter::empty();
        let mut worst = Cause::NoRule;
        for door in asked
            .iter()
            .take(2)
            .flat_map(|table| table.urls.doors(name))
        {
            // What the app asks for first: nearly always the first is the one that answers.
            let tables = asked.into_iter().chain(written());
            for path in tables.flat_map(|table| table.urls.edges(name, door)) {
                for method in Method::ALL {
                    let target = UrlTarget {
                        method,
                        door,
                        path,
                        is_plain: true,
                        far: None,
                    };
                    match self.keys_of_request(&target, Some(name), &nobody) {
                        Ok(grounds) => return Ok(grounds),
                        Err(cause) => worst = worse(worst, cause),
                    }
                }
            }
        }
        Err(worst)
    }
}
