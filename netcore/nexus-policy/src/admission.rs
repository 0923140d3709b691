//! May this app start: its imports, its manifest and the operator's policy held side by side, and
//! everything that is missing reported at once.
//!
//! The report is one value with two faces: [`Admission::text`] for people, `serde` for scripts.

use core::fmt::Write as _;

use nexus_types::{InstanceId, Instant};
use serde::{Serialize, Serializer};

use crate::audit::{Entry, Recorded, Unrecorded};
use crate::capability::{Capability, Class};
use crate::consent::Consent;
use crate::denial::Fix;
use crate::examine::Examiner;
use crate::explain::{render_fixes, who};
use crate::gate::{AppIdentity, Gate};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::policy::Policy;
use crate::publisher::PublisherKey;
use crate::rule::Rule;
use crate::switch;

/// Imports looked at. A component has tens; more are a component made to be slow to refuse.
pub const IMPORTS_MAX: usize = 1_024;
/// Things that are missing, and functions of each, that the text names; of more it says how many. An app that imports
/// 90,000 functions would fill a terminal, or a log, with the megabytes of their names.
const MISSING_SHOWN: usize = 64;
const FUNCTIONS_SHOWN: usize = 16;

/// One import of a component, as its type says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// `nexus:net/tcp-connect@0.1.0`
    pub name: String,
    /// The functions the component imports from it.
    pub functions: Vec<String>,
}

/// The answer to one app.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Admission {
    /// What people call it.
    pub app: String,
    /// What it is.
    #[serde(serialize_with = "as_text")]
    pub digest: nexus_types::AppDigest,
    /// Who signed it, verified; none: nobody is known to have.
    pub publisher: Option<PublisherReport>,
    /// The manifest's file; none if it has none.
    pub manifest: Option<String>,
    /// Whether it may start.
    pub admitted: bool,
    /// Every import, in the component's order.
    pub imports: Vec<ImportReport>,
    /// Every capability that the manifest asks for, `--allow` gives or an import needs.
    pub capabilities: Vec<CapabilityReport>,
    /// The folders of `[wasi] dirs`, in the manifest's order.
    pub directories: Vec<WasiReport>,
    /// The variables of `[wasi] env`, in the manifest's order.
    pub variables: Vec<WasiReport>,
    /// What it may use.
    pub limits: Limits,
    /// Whose word each of these is, and the most it could be.
    pub limits_by: Vec<LimitReport>,
    /// Everything that keeps it from starting.
    pub missing: Vec<Missing>,
    /// What would keep it from starting, were it not for `--mode`.
    pub observed: Vec<Missing>,
    /// What does not keep it from starting, but somebody should know.
    pub notes: Vec<String>,
}

/// Something only a person can say yes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// Of which capability.
    pub capability: Capability,
    /// The rule of the manifest.
    pub rule: Rule,
    /// The operator's rule that leaves it to a person, `policy.toml:3 (lan-weather)`; none: nothing is written.
    pub asked_by: Option<String>,
}

/// Who published an app.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PublisherReport {
    /// What the operator calls them; none: the policy names the key in rules alone.
    pub name: Option<String>,
    /// The key that signed.
    pub key: PublisherKey,
}

/// What is behind an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provided {
    /// Always there.
    Base,
    /// The real thing.
    Granted,
    /// A stub that answers `denied`: the manifest calls it optional.
    Stub,
    /// Nothing. The app cannot start.
    Missing,
}

/// One import.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ImportReport {
    /// Its name.
    pub import: String,
    /// The functions used.
    pub functions: Vec<String>,
    /// Any one of these provides it.
    pub capabilities: Vec<Capability>,
    /// What is behind it.
    pub provided: Provided,
}

/// How one capability or rule stands before the app runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Both keys are turned.
    Granted,
    /// Both keys are turned for part of it; the rest is refused at the call.
    Narrowed,
    /// A person must say yes, and nobody has.
    ConsentRequired,
    /// A person was asked and said no.
    ConsentDenied,
    /// The operator forbids it, or has not allowed it where only that is enough.
    OperatorDenied,
    /// The manifest does not ask.
    NotGranted,
    /// This build does not have it.
    Absent,
}

/// One capability.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CapabilityReport {
    /// Which.
    pub capability: Capability,
    /// Whether somebody must be asked, or the operator must write.
    pub class: Class,
    /// Whether the manifest calls it optional.
    pub optional: bool,
    /// How it stands: as well as the best of its rules.
    pub standing: Standing,
    /// Its rules.
    pub rules: Vec<RuleReport>,
}

/// One rule of a capability.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RuleReport {
    /// As the manifest or `--allow` has it, in canonical form.
    pub rule: String,
    /// How it stands.
    pub standing: Standing,
    /// Whose word that is: `policy.toml:3 (lan-weather)`, `consent 3f1c…`, `--allow`, `--allow-manifest`,
    /// `default`.
    pub by: String,
    /// Of a rule that is granted in part: the operator's rules that take or leave out some of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub narrowed_by: Vec<String>,
}

/// One limit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LimitReport {
    /// The key of `[limits]`.
    pub key: &'static str,
    /// What the app gets.
    pub value: String,
    /// Whose word that is: a file, or the host's default.
    pub by: String,
    /// The most a manifest could ask for; none: there is no bound.
    pub cap: Option<String>,
    /// Whose bound that is.
    pub cap_by: String,
}

/// One folder or variable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WasiReport {
    /// `/app/data:ro`, `LANG`
    pub item: String,
    /// How it stands.
    pub standing: Standing,
    /// Whose word that is.
    pub by: String,
}

/// One thing that keeps an app from starting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Missing {
    /// The import, folder, variable or limit.
    pub what: String,
    /// The functions used, for an import.
    pub functions: Vec<String>,
    /// The capabilities that would provide it.
    pub needs: Vec<Capability>,
    /// A stable word: a [`Reason`](nexus_types::Reason) or a [`LoadReason`].
    pub reason: &'static str,
    /// One sentence.
    pub why: String,
    /// What would change it.
    pub fixes: Vec<Fix>,
}

/// What keeps an app from starting and is no reason of an act. Stable words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadReason {
    /// Nothing in this host provides the import.
    UnknownImport,
    /// The import is known, and this build does not have it.
    NotInThisBuild,
    /// Ours or WASI's, in a version this build does not have.
    OtherVersion,
    /// The manifest asks for more of a limit than it may have.
    LimitOverCap,
    /// More imports than [`IMPORTS_MAX`].
    TooManyImports,
    /// The policy wants a signature by a publisher it lists.
    SignatureRequired,
    /// A signature is there that its key did not make.
    SignatureInvalid,
    /// A signature of minisign's old form, which reads the whole file into memory to be checked.
    SignatureLegacy,
    /// A signature is there and cannot be read.
    SignatureUnreadable,
}

impl LoadReason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UnknownImport,
        Self::NotInThisBuild,
        Self::OtherVersion,
        Self::LimitOverCap,
        Self::TooManyImports,
        Self::SignatureRequired,
        Self::SignatureInvalid,
        Self::SignatureLegacy,
        Self::SignatureUnreadable,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownImport => "unknown-import",
            Self::NotInThisBuild => "not-in-this-build",
            Self::OtherVersion => "other-version",
            Self::LimitOverCap => "limit-over-cap",
            Self::TooManyImports => "too-many-imports",
            Self::SignatureRequired => "signature-required",
            Self::SignatureInvalid => "signature-invalid",
            Self::SignatureLegacy => "signature-legacy",
            Self::SignatureUnreadable => "signature-unreadable",
        }
    }
}

fn as_text<S: Serializer>(
    digest: &nexus_types::AppDigest,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

impl Gate {
    /// Whether an app may start, and puts it behind the gate if so. The error is the same report,
    /// of an app that may not: none of its instructions may run.
    pub fn admit(
        &mut self,
        now: Instant,
        instance: InstanceId,
        app: AppIdentity,
        manifest: Manifest,
        consent: Consent,
        imports: &[Import],
    ) -> Result<Admission, Box<Admission>> {
        self.handle_timeout(now);
        let report = self.examine(now, &app, &manifest, &consent, imports);
        if !report.admitted && !switch::is_within() {
            let _ = self.record_admission(now, Some(instance), &app, &report);
            return Err(Box::new(report));
        }
        // That it could not be kept is counted, and acts that must be recorded are refused one by one.
        let _ = self.record_admission(now, Some(instance), &app, &report);
        self.enter(now, instance, app, manifest, consent);
        Ok(report)
    }

    /// The report alone: what `check` and `inspect` show.
    pub fn examine(
        &self,
        now: Instant,
        app: &AppIdentity,
        manifest: &Manifest,
        consent: &Consent,
        imports: &[Import],
    ) -> Admission {
        Examiner {
            gate: self,
            now,
            app,
            manifest,
            consent,
        }
        .report(imports)
    }

    /// What a person could say yes to, and nobody has answered, of what the app imports. Nothing if no answer
    /// would let it start.
    pub fn questions(
        &self,
        now: Instant,
        app: &AppIdentity,
        manifest: &Manifest,
        consent: &Consent,
        imports: &[Import],
    ) -> Vec<Question> {
        let examiner = |consent| Examiner {
            gate: self,
            now,
            app,
            manifest,
            consent,
        };
        let all = Consent {
            allow_manifest: true,
            ..consent.clone()
        };
        let with_all = examiner(&all).report(imports);
        if !with_all.admitted {
            return Vec::new();
        }
        let needed: Vec<_> = with_all
            .imports
            .iter()
            .flat_map(|import| import.capabilities.iter().copied())
            .chain(Capability::WASI)
            .collect();
        examiner(consent).questions(&needed)
    }

    /// What the operator calls a publisher.
    pub fn publisher_name(&self, key: PublisherKey) -> Option<String> {
        let listed = self.policies().iter().flat_map(Policy::publishers);
        listed
            .into_iter()
            .find(|publisher| publisher.key == key)
            .map(|publisher| publisher.name.clone())
    }

    /// Has it recorded that an app may start, or, one record for each thing, why it may not.
    ///
    /// # Errors
    /// It could not be kept.
    pub fn record_admission(
        &mut self,
        now: Instant,
        instance: Option<InstanceId>,
        app: &AppIdentity,
        report: &Admission,
    ) -> Result<(), Unrecorded> {
        let entry = Entry {
            app: Some(app),
            instance,
            capability: None,
            target: None,
            verdict: Recorded::Event,
            reason: "admitted",
            rule: None,
            source: &"host",
        };
        if report.admitted {
            return self.record(now, &entry);
        }
        let mut kept = Ok(());
        for missing in &report.missing {
            kept = kept.and(self.record(
                now,
                &Entry {
                    capability: missing.needs.first().copied(),
                    target: Some(&missing.what),
                    verdict: Recorded::Deny,
                    reason: missing.reason,
                    source: &"admission",
                    ..entry
                },
            ));
        }
        kept
    }
}

impl Missing {
    pub(crate) fn plain(what: String, reason: &'static str, why: String) -> Self {
        Self {
            what,
            functions: Vec::new(),
            needs: Vec::new(),
            reason,
            why,
            fixes: Vec::new(),
        }
    }
}

impl Admission {
    /// Whether base WASI aside anything is granted.
    pub fn is_granted(&self, capability: Capability) -> bool {
        self.capabilities.iter().any(|report| {
            report.capability == capability
                && matches!(report.standing, Standing::Granted | Standing::Narrowed)
        })
    }

    /// Whether `capability` is to be linked to a stub that answers `denied`.
    pub fn is_stubbed(&self, capability: Capability) -> bool {
        !self.is_granted(capability)
            && self
                .capabilities
                .iter()
                .any(|report| report.capability == capability && report.optional)
    }

    /// What keeps the app from starting, for a terminal; empty if nothing does. No newline at the end.
    pub fn text(&self) -> String {
        let app = AppIdentity {
            id: self.app.clone(),
            digest: self.digest,
            publisher: self.publisher.as_ref().map(|publisher| publisher.key),
        };
        let mut out = String::new();
        if self.admitted {
            return out;
        }
        let count = match self.missing.len() {
            1 => "1 thing is missing".to_owned(),
            many => format!("{many} things are missing"),
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "refused  {} cannot start: {count}", who(&app));
        // A manifest that is yet to be written begins with [app], once.
        let mut whole_file_shown = false;
        for missing in self.missing.iter().take(MISSING_SHOWN) {
            let _ = write!(out, "\n\n  {}", missing.what);
            if !missing.functions.is_empty() {
                let shown = missing.functions.len().min(FUNCTIONS_SHOWN);
                let _ = write!(out, "  ({}", missing.functions[..shown].join(", "));
                if let more @ 1.. = missing.functions.len() - shown {
                    let _ = write!(out, " and {more} more");
                }
                out.push(')');
            }
            if !missing.needs.is_empty() {
                let needs: Vec<_> = missing.needs.iter().map(|c| c.as_str()).collect();
                let _ = write!(out, "\n    needs  {}", needs.join(", "));
            }
            let _ = write!(out, "\n    why    {}  [{}]", missing.why, missing.reason);
            out.push_str(&render_fixes(&missing.fixes, "    ", !whole_file_shown));
            whole_file_shown |= missing
                .fixes
                .iter()
                .any(|fix| matches!(fix, Fix::Manifest { file: None, .. }));
        }
        if let more @ 1.. = self.missing.len().saturating_sub(MISSING_SHOWN) {
            let _ = write!(out, "\n\n  and {more} more");
        }
        for note in &self.notes {
            let _ = write!(out, "\n\nnote: {note}");
        }
        let mut reasons: Vec<_> = Vec::new();
        for missing in &self.missing {
            if !reasons.contains(&missing.reason) {
                reasons.push(missing.reason);
            }
        }
        let _ = write!(out, "\n\nmore: nexus-host explain {}", reasons.join(" "));
        out
    }
}
