//! Imports that come and go together: `wasi:sockets`, whose interfaces are coarser than a capability.
//!
//! What the manifest asks for of them must be granted, or is optional, as with any import. They are linked where one of
//! their capabilities is granted; what was not asked for is refused at the call.

use std::collections::BTreeMap;

use nexus_types::Reason;

use crate::admission::{CapabilityReport, Import, ImportReport, Missing, Provided, Standing};
use crate::catalog::{Family, Known, known};
use crate::denial::Fix;
use crate::examine::Examiner;
use crate::explain::escape;

/// How the families that an app imports stand, by name.
#[derive(Default)]
pub(crate) struct Families(BTreeMap<&'static str, Provided>);

impl Examiner<'_> {
    /// One interface of a family. The family is judged once, whatever number of its interfaces is imported.
    pub(crate) fn member(
        &self,
        (family, import): (&'static Family, &Import),
        imports: &[Import],
        capabilities: &[CapabilityReport],
        families: &mut Families,
        (missing, observed): (&mut Vec<Missing>, &mut Vec<Missing>),
    ) -> ImportReport {
        let judge = || self.family(family, imports, capabilities, missing, observed);
        ImportReport {
            import: escape(&import.name),
            functions: import.functions.iter().map(|name| escape(name)).collect(),
            capabilities: family.capabilities.to_vec(),
            provided: *families.0.entry(family.name).or_insert_with(judge),
        }
    }

    fn family(
        &self,
        family: &Family,
        imports: &[Import],
        capabilities: &[CapabilityReport],
        missing: &mut Vec<Missing>,
        observed: &mut Vec<Missing>,
    ) -> Provided {
        let is_its =
            |import: &&Import| matches!(known(&import.name), Known::Family(its) if its == family);
        let its: Vec<_> = imports.iter().filter(is_its).collect();
        let functions: Vec<_> = its.iter().flat_map(|import| &import.functions).collect();
        let lack = |needs, reason, why, fixes| Missing {
            what: names(&its),
            functions: functions.iter().map(|name| escape(name)).collect(),
            needs,
            reason,
            why,
            fixes,
        };
        let asked: Vec<_> = capabilities
            .iter()
            // One without rules was asked for by an import alone.
            .filter(|report| !report.rules.is_empty())
            .filter(|report| family.capabilities.contains(&report.capability))
            .collect();
        let lets_pass = self.gate.mode().lets_pass();
        if asked.is_empty() {
            return self.family_not_asked_for(family, &functions, lack, missing, observed);
        }
        let (mut granted, mut refused) = (false, false);
        for report in asked {
            let capability = report.capability;
            if matches!(report.standing, Standing::Granted | Standing::Narrowed) {
                granted = true;
                continue;
            }
            let lacking = self.lacking(capability);
            match (lets_pass && !lacking.written, report.optional) {
                (true, true) => granted = true,
                (false, true) => {}
                (passes, false) => {
                    let list = if passes {
                        &mut *observed
                    } else {
                        &mut *missing
                    };
                    list.push(lack(
                        vec![capability],
                        lacking.reason,
                        lacking.why,
                        lacking.fixes,
                    ));
                    granted |= passes;
                    refused |= !passes;
                }
            }
        }
        match (refused, granted) {
            (true, _) => Provided::Missing,
            (false, true) => Provided::Granted,
            (false, false) => Provided::Stub,
        }
    }

    /// Nobody asks for any of it: says what the imports could mean.
    fn family_not_asked_for(
        &self,
        family: &Family,
        functions: &[&String],
        lack: impl Fn(Vec<crate::Capability>, &'static str, String, Vec<Fix>) -> Missing,
        missing: &mut Vec<Missing>,
        observed: &mut Vec<Missing>,
    ) -> Provided {
        let meant = family.could_mean(functions.iter().map(|name| name.as_str()));
        let lacking: Vec<_> = meant.iter().map(|meant| self.lacking(*meant)).collect();
        // What the operator has forbidden as a whole no edit of a manifest brings.
        let open: Vec<_> = meant
            .iter()
            .zip(&lacking)
            .filter(|(_, lacking)| !lacking.written)
            .map(|(meant, _)| *meant)
            .collect();
        if open.is_empty() {
            let mut lacking = lacking;
            if !lacking.is_empty() {
                let first = lacking.swap_remove(0);
                missing.push(lack(meant, first.reason, first.why, first.fixes));
            }
            return Provided::Missing;
        }
        let mut lacking: Vec<_> = lacking.into_iter().filter(|it| !it.written).collect();
        // A manifest that is yet to be written begins with the class that the most of it needs.
        lacking.sort_by_key(|lacking| !lacking.fixes.iter().any(Fix::sets_class));
        let asks = lacking.first().map_or("", |lacking| &lacking.why);
        let why = match open.len() {
            1 => asks.to_owned(),
            _ => format!("one of these, as its functions can be used for each: {asks}"),
        };
        let fixes = lacking
            .iter()
            .flat_map(|lacking| lacking.fixes.clone())
            .collect();
        let lacks = lack(open, Reason::NotGranted.as_str(), why, fixes);
        if self.gate.mode().lets_pass() {
            observed.push(lacks);
            return Provided::Granted;
        }
        missing.push(lacks);
        Provided::Missing
    }
}

/// `wasi:sockets/{tcp,udp}@0.2.6`
fn names(imports: &[&Import]) -> String {
    let mut by_version: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for import in imports {
        let (path, version) = import.name.split_once('@').unwrap_or((&import.name, ""));
        let (package, interface) = path.split_once('/').unwrap_or((path, ""));
        by_version
            .entry((package, version))
            .or_default()
            .push(interface);
    }
    let names = by_version
        .into_iter()
        .map(|((package, version), interfaces)| match &interfaces[..] {
            [one] => format!("{package}/{one}@{version}"),
            many => format!("{package}/{{{}}}@{version}", many.join(",")),
        });
    escape(&names.collect::<Vec<_>>().join(" "))
}
