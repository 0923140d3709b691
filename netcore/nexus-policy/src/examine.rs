//! The examination of one app: each import, rule, folder, variable and limit by itself, before
//! anything runs.

use core::fmt;

use nexus_types::{Instant, Reason};

use crate::admission::{
    Admission, CapabilityReport, IMPORTS_MAX, Import, ImportReport, LoadReason, Missing, Provided,
    PublisherReport, Question, RuleReport, Standing, WasiReport,
};
use crate::capability::{Capability, Class, Parameter, Status};
use crate::catalog::{Known, known};
use crate::consent::{Answer, Consent, Lifetime};
use crate::denial::{Fix, RefusedBy};
use crate::explain::escape;
use crate::family::Families;
use crate::gate::{AppIdentity, Gate};
use crate::grounds::Grounds;
use crate::index::RuleIndex;
use crate::judge::Cause;
use crate::limits::{Limits, OverCap};
use crate::manifest::Manifest;
use crate::policy::Verdict;
use crate::publisher::Publisher;
use crate::refuse::{policy_fix, wants_class};
use crate::rule::Rule;
use crate::standing::{allows_all, catches_all, gives_all, may_catch, may_meet, wants_operator};
use crate::wall::until;
use crate::wasi::DirectoryRule;

/// One text of a rule the operator wrote, and the rule's place.
type Text<'a> = (RuleIndex, Verdict, Option<&'a Rule>);

/// Whose word a standing is.
#[derive(Clone, PartialEq, Eq)]
enum Word {
    /// A rule the operator wrote.
    Operator {
        index: RuleIndex,
        file: String,
        line: u32,
        rule: String,
    },
    /// `--allow`
    Allow,
    /// `--allow-manifest`
    AllowManifest,
    /// A person's answer.
    Answer { index: u32, id: String },
    /// Nobody's: nothing is written and nobody was asked.
    Nobody,
    /// This build's.
    Build,
}

/// A standing, and whose word it is.
type Judged = (Standing, Word);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator {
                file, line, rule, ..
            } => write!(f, "{file}:{line} ({rule})"),
            Self::Allow => f.write_str("--allow"),
            Self::AllowManifest => f.write_str("--allow-manifest"),
            Self::Answer { id, .. } => write!(f, "consent {id}"),
            Self::Nobody => f.write_str("default"),
            Self::Build => f.write_str("this build"),
        }
    }
}

/// Why an import is not there.
pub(crate) struct Lacking {
    pub(crate) reason: &'static str,
    pub(crate) why: String,
    pub(crate) fixes: Vec<Fix>,
    /// Somebody has said no to it, not only nobody yes.
    pub(crate) written: bool,
}

fn declined_fixes(by: &Word, consent: &Consent) -> Vec<Fix> {
    let revoke = match by {
        // What was said for this run is written nowhere: the next one asks again.
        Word::Answer { index, id } => consent
            .answers
            .get(*index as usize)
            .filter(|answer| answer.lifetime != Lifetime::Once)
            .map(|_| Fix::RevokeConsent { answer: id.clone() }),
        _ => None,
    };
    revoke.into_iter().chain([Fix::AllowManifest]).collect()
}

pub(crate) struct Examiner<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) now: Instant,
    pub(crate) app: &'a AppIdentity,
    pub(crate) manifest: &'a Manifest,
    pub(crate) consent: &'a Consent,
}

impl Examiner<'_> {
    pub(crate) fn report(&self, imports: &[Import]) -> Admission {
        let mut missing = Vec::new();
        let mut observed = Vec::new();
        let mut notes = Vec::new();
        self.signature(&mut missing);
        let mut reports = Vec::with_capacity(imports.len().min(IMPORTS_MAX));
        let mut capabilities: Vec<CapabilityReport> = Capability::ALL
            .into_iter()
            .filter_map(|capability| self.capability(capability))
            .collect();
        if imports.len() > IMPORTS_MAX {
            missing.push(Missing::plain(
                format!("{} imports", imports.len()),
                LoadReason::TooManyImports.as_str(),
                format!("the most is {IMPORTS_MAX}"),
            ));
        }
        let imports = &imports[..imports.len().min(IMPORTS_MAX)];
        let mut families = Families::default();
        for import in imports {
            let lists = (&mut missing, &mut observed);
            reports.push(match known(&import.name) {
                Known::Family(family) => {
                    let member = (family, import);
                    self.member(member, imports, &capabilities, &mut families, lists)
                }
                other => self.import(import, other, &mut capabilities, lists),
            });
        }
        let directories = self.directories(&mut missing);
        let variables = self.variables(&mut missing);
        let limits = self.limits(&mut missing);
        for report in &capabilities {
            self.note(report, &reports, &mut notes);
        }
        Admission {
            app: self.app.id.clone(),
            digest: self.app.digest,
            publisher: self.app.publisher.map(|key| PublisherReport {
                name: self.gate.publisher_name(key),
                key,
            }),
            manifest: self.manifest.source().map(str::to_owned),
            admitted: missing.is_empty(),
            imports: reports,
            capabilities,
            directories,
            variables,
            limits,
            limits_by: self.limits_by(),
            missing,
            observed,
            notes,
        }
    }

    /// `require-signature`: each file that says it is content with those it lists itself. A user's
    /// file adds nobody to what the machine's requires.
    fn signature(&self, missing: &mut Vec<Missing>) {
        for policy in self.gate.policies() {
            let listed = policy.publishers();
            let good = |publisher: &Publisher| self.app.publisher == Some(publisher.key);
            if !policy.requires_signature() || listed.iter().any(good) {
                continue;
            }
            let file = policy.source().unwrap_or("policy.toml");
            let has = match self.app.publisher {
                Some(key) => format!("the app is signed by {key}, whom it does not list"),
                None => "the app has no signature that one of their keys verifies".to_owned(),
            };
            let mut names: Vec<_> = listed.iter().map(|p| p.name.as_str()).take(3).collect();
            let more = format!("{} more", listed.len() - names.len());
            if listed.len() > names.len() {
                names.push(&more);
            }
            missing.push(Missing {
                fixes: vec![Fix::Signature],
                ..Missing::plain(
                    "signature".to_owned(),
                    LoadReason::SignatureRequired.as_str(),
                    format!(
                        "{file} requires a signature by a publisher it lists ({}); {has}",
                        names.join(", ")
                    ),
                )
            });
        }
    }

    /// The report on a capability the manifest asks for or `--allow` gives.
    fn capability(&self, capability: Capability) -> Option<CapabilityReport> {
        let asked = self.manifest.asked(capability);
        let given = self
            .consent
            .allow
            .iter()
            .filter(|(c, _)| *c == capability)
            .map(|(_, rule)| rule);
        if asked.is_none() && given.clone().next().is_none() {
            return None;
        }
        let rules = asked.map_or(&[][..], |asked| asked.rules.as_slice());
        let written = self.written(capability);
        let report = |rule, given| {
            let judged = self.judge_by(&written, capability, rule, given);
            self.rule_report(capability, rule, judged)
        };
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| report(rule, given.clone().any(|given| gives_all(given, rule))))
            .chain(given.clone().map(|rule| report(rule, true)))
            .collect();
        let standing = match capability.status() {
            Status::Absent => Standing::Absent,
            Status::Built => rules
                .iter()
                .map(|rule| rule.standing)
                .min_by_key(|s| *s as u8)
                .unwrap_or(Standing::NotGranted),
        };
        // Some rules in full and some not is a narrowed whole.
        let all = rules.iter().all(|rule| rule.standing == Standing::Granted);
        let standing = if standing == Standing::Granted && !all {
            Standing::Narrowed
        } else {
            standing
        };
        let optional = asked.is_some_and(|asked| asked.optional);
        Some(CapabilityReport {
            capability,
            class: capability.class(),
            optional,
            standing,
            rules,
        })
    }

    /// Whether some target of `capability` may be allowed: what the report at load calls granted,
    /// in full or narrowed.
    pub(crate) fn any_target(&self, capability: Capability) -> Result<Grounds, Cause> {
        let asked = self.manifest.asked(capability);
        let given = self.consent.allow.iter().filter(|(c, _)| *c == capability);
        if asked.is_none() && given.clone().next().is_none() {
            return Err(Cause::NotAsked);
        }
        let asked = asked.map_or(&[][..], |asked| asked.rules.as_slice());
        let written = self.written(capability);
        let asked = asked.iter().map(|rule| (rule, false));
        let mut best: Option<Judged> = None;
        // A policy may have thousands of rules, and the manifest a thousand: not one more than needed.
        for (rule, given) in asked.chain(given.map(|(_, rule)| (rule, true))) {
            let judged = self.judge_by(&written, capability, rule, given);
            let better = |best: &Judged| (judged.0 as u8) < (best.0 as u8);
            if best.as_ref().is_none_or(better) {
                best = Some(judged);
            }
            if matches!(best, Some((Standing::Granted, _))) {
                break;
            }
        }
        match best {
            None => Err(Cause::NoRule),
            Some((Standing::Granted | Standing::Narrowed, by)) => Ok(match by {
                Word::Operator { index, .. } => Grounds::Operator(index),
                Word::Answer { index, .. } => Grounds::Answer(index),
                Word::Allow => Grounds::Allow,
                Word::AllowManifest | Word::Nobody | Word::Build => Grounds::AllowManifest,
            }),
            Some((Standing::ConsentDenied, Word::Answer { index, .. })) => {
                Err(Cause::Declined(index))
            }
            Some((Standing::ConsentRequired, Word::Operator { index, .. })) => {
                Err(Cause::Ask(index))
            }
            Some((_, Word::Operator { index, .. })) => Err(Cause::Forbidden(index)),
            Some(_) => Err(Cause::Unmentioned),
        }
    }

    fn rule_report(
        &self,
        capability: Capability,
        rule: &Rule,
        (standing, by): Judged,
    ) -> RuleReport {
        let narrowed_by = match standing {
            Standing::Narrowed => self.narrowed_by(capability, rule),
            _ => Vec::new(),
        };
        RuleReport {
            rule: rule.to_string(),
            standing,
            by: by.to_string(),
            narrowed_by,
        }
    }

    fn operators(&self, index: RuleIndex) -> Word {
        match self.gate.written_by(index) {
            RefusedBy::Operator { file, line, rule } => Word::Operator {
                index,
                file,
                line,
                rule,
            },
            _ => Word::Nobody,
        }
    }

    /// What the operator has written of a capability that concerns the app: each text of a rule by itself; a rule
    /// without texts is `None`, everything.
    fn written(&self, capability: Capability) -> Vec<Text<'_>> {
        let mut texts = Vec::new();
        for (index, written) in (0..).zip(&self.gate.written) {
            let rule = &written.rule;
            let concerns = rule.capability == capability
                && rule.app.concerns(self.app)
                && Gate::holds(written, self.now);
            match &rule.to {
                _ if !concerns => {}
                None => texts.push((index, rule.verdict, None)),
                Some(to) => texts.extend(to.iter().map(|to| (index, rule.verdict, Some(to)))),
            }
        }
        texts
    }

    /// How one rule stands, before there is a target.
    fn judge(&self, capability: Capability, asked: &Rule, given: bool) -> Judged {
        self.judge_by(&self.written(capability), capability, asked, given)
    }

    fn judge_by(
        &self,
        written: &[Text<'_>],
        capability: Capability,
        asked: &Rule,
        given: bool,
    ) -> Judged {
        if capability.status() == Status::Absent {
            return (Standing::Absent, Word::Build);
        }
        let of = |wanted: Verdict| {
            let texts = written.iter().filter(move |text| text.1 == wanted);
            texts.map(|(index, _, rule)| (*index, *rule))
        };
        if let Some((index, _)) =
            of(Verdict::Forbid).find(|(_, rule)| catches_all(self.gate.topology(), *rule, asked))
        {
            return (Standing::OperatorDenied, self.operators(index));
        }
        let narrowed =
            of(Verdict::Forbid).any(|(_, rule)| may_catch(self.gate.topology(), rule, asked));
        let granted = if narrowed {
            Standing::Narrowed
        } else {
            Standing::Granted
        };
        if given {
            return (granted, Word::Allow);
        }
        let asks = of(Verdict::Ask).find(|(_, rule)| may_catch(self.gate.topology(), *rule, asked));
        let yes = self.consent.allow_manifest;
        if asks.is_none()
            && let Some((index, _)) = of(Verdict::Allow)
                .find(|(_, rule)| rule.is_some_and(|rule| allows_all(rule, asked)))
        {
            return (granted, self.operators(index));
        }
        // A metadata service must be named by the operator's own rule, if only to be asked about.
        let named = || {
            let names =
                |rule: &Rule| wants_operator(rule) && may_meet(self.gate.topology(), rule, asked);
            of(Verdict::Ask)
                .chain(of(Verdict::Allow))
                .any(|(_, rule)| rule.is_some_and(names))
        };
        let consent_is_enough = if wants_operator(asked) {
            asks.is_some() && named()
        } else {
            capability.class() == Class::App || asks.is_some()
        };
        if yes && consent_is_enough {
            return (granted, Word::AllowManifest);
        }
        let declined = self.answer(capability, asked, false);
        if consent_is_enough
            && declined.is_none()
            && let Some(consented) = self.answer(capability, asked, true)
        {
            return (granted, consented);
        }
        if let Some((index, _)) = of(Verdict::Allow)
            .find(|(_, rule)| rule.is_some_and(|rule| may_meet(self.gate.topology(), rule, asked)))
        {
            let all_asked =
                of(Verdict::Ask).any(|(_, rule)| catches_all(self.gate.topology(), rule, asked));
            if !all_asked {
                return (Standing::Narrowed, self.operators(index));
            }
        }
        if consent_is_enough && let Some(declined) = declined {
            return (Standing::ConsentDenied, declined);
        }
        match asks {
            Some((index, _)) => (Standing::ConsentRequired, self.operators(index)),
            None if consent_is_enough => (Standing::ConsentRequired, Word::Nobody),
            None => (Standing::OperatorDenied, Word::Nobody),
        }
    }

    /// What a person has said about exactly this rule, if it still holds.
    fn answer(&self, capability: Capability, asked: &Rule, yes: bool) -> Option<Word> {
        let is_it = |answer: &Answer| {
            answer.capability == capability
                && answer.yes == yes
                && answer.rule == *asked
                && answer
                    .expires
                    .is_none_or(|at| until(self.gate.wall(), at) > self.now)
        };
        let (index, answer) = (0..)
            .zip(&self.consent.answers)
            .find(|(_, answer)| is_it(answer))?;
        Some(Word::Answer {
            index,
            id: answer.id.clone(),
        })
    }

    /// What of `needed` waits for a person's yes.
    pub(crate) fn questions(&self, needed: &[Capability]) -> Vec<Question> {
        let question = |capability: Capability, rule: &Rule, (standing, by): Judged| {
            (standing == Standing::ConsentRequired).then(|| Question {
                capability,
                rule: rule.clone(),
                asked_by: matches!(by, Word::Operator { .. }).then(|| by.to_string()),
            })
        };
        let mut questions = Vec::new();
        for (capability, asked) in self.manifest.capabilities() {
            if !needed.contains(&capability) {
                continue;
            }
            questions.extend(asked.rules.iter().filter_map(|rule| {
                let given = self
                    .consent
                    .allow
                    .iter()
                    .any(|(c, given)| *c == capability && gives_all(given, rule));
                question(capability, rule, self.judge(capability, rule, given))
            }));
        }
        for asked in self.manifest.directories() {
            let rule = asked
                .path
                .as_deref()
                .and_then(|path| DirectoryRule::new(path, asked.mode))
                .map(Rule::Directory);
            questions.extend(rule.and_then(|rule| {
                let judged = self.wasi_item(Capability::WasiDirs, &rule);
                question(Capability::WasiDirs, &rule, judged)
            }));
        }
        for (name, _) in self.manifest.variables() {
            let rule = Rule::Variable(name.clone());
            let judged = self.wasi_item(Capability::WasiEnv, &rule);
            questions.extend(question(Capability::WasiEnv, &rule, judged));
        }
        questions
    }

    fn import(
        &self,
        import: &Import,
        known: Known,
        capabilities: &mut Vec<CapabilityReport>,
        (missing, observed): (&mut Vec<Missing>, &mut Vec<Missing>),
    ) -> ImportReport {
        let shown = escape(&import.name);
        let functions: Vec<_> = import.functions.iter().map(|name| escape(name)).collect();
        let mut lack = |needs: &[Capability], reason, why, fixes| {
            missing.push(Missing {
                what: shown.clone(),
                functions: functions.clone(),
                needs: needs.to_vec(),
                reason,
                why,
                fixes,
            });
            Provided::Missing
        };
        let (needs, provided) = match known {
            Known::Base => (Vec::new(), Provided::Base),
            // See `member`.
            Known::Family(family) => (family.capabilities.to_vec(), Provided::Missing),
            Known::Unknown => {
                let why =
                    "nothing in this host provides it, and no capability grants it".to_owned();
                (
                    Vec::new(),
                    lack(&[], LoadReason::UnknownImport.as_str(), why, Vec::new()),
                )
            }
            Known::OtherVersion { have } => {
                let why = format!("this build provides {have} of it");
                (
                    Vec::new(),
                    lack(&[], LoadReason::OtherVersion.as_str(), why, Vec::new()),
                )
            }
            Known::Absent(needs) => {
                let why = match needs {
                    [] => "this build does not provide it".to_owned(),
                    [one] => format!("this build does not provide it; it would need `{one}`"),
                    [_, ..] => "this build does not provide it; it would need one of these, and nexus:net provides them all".to_owned(),
                };
                (
                    needs.to_vec(),
                    lack(needs, LoadReason::NotInThisBuild.as_str(), why, Vec::new()),
                )
            }
            Known::Needs(capability) => {
                if !capabilities
                    .iter()
                    .any(|report| report.capability == capability)
                {
                    capabilities.push(CapabilityReport {
                        capability,
                        class: capability.class(),
                        optional: false,
                        standing: Standing::NotGranted,
                        rules: Vec::new(),
                    });
                }
                let report = capabilities
                    .iter()
                    .find(|report| report.capability == capability);
                let provided = match report {
                    Some(report)
                        if matches!(report.standing, Standing::Granted | Standing::Narrowed) =>
                    {
                        Provided::Granted
                    }
                    _ if report.is_some_and(|report| report.optional) => {
                        // What `--mode` lets pass is the real thing, not a stub.
                        if self.gate.mode().lets_pass() && !self.lacking(capability).written {
                            Provided::Granted
                        } else {
                            Provided::Stub
                        }
                    }
                    _ => {
                        let lacking = self.lacking(capability);
                        if self.gate.mode().lets_pass() && !lacking.written {
                            observed.push(Missing {
                                what: shown.clone(),
                                functions: functions.clone(),
                                needs: vec![capability],
                                reason: lacking.reason,
                                why: lacking.why,
                                fixes: lacking.fixes,
                            });
                            Provided::Granted
                        } else {
                            lack(&[capability], lacking.reason, lacking.why, lacking.fixes)
                        }
                    }
                };
                (vec![capability], provided)
            }
        };
        ImportReport {
            import: shown,
            functions,
            capabilities: needs,
            provided,
        }
    }

    /// Why a capability is not there, and what would change it.
    pub(crate) fn lacking(&self, capability: Capability) -> Lacking {
        let file = self.manifest.source().map(str::to_owned);
        let example = match capability.parameter() {
            Parameter::Local => "any:8080",
            Parameter::Url => "https://HOST/*",
            _ => "HOST:PORT",
        };
        let fix_manifest = Fix::Manifest {
            file: file.clone(),
            section_exists: false,
            set_class: wants_class(self.manifest, capability),
            capability,
            rule: example.to_owned(),
        };
        let Some(asked) = self.manifest.asked(capability) else {
            // A forbid of the whole capability makes an edit of the manifest useless.
            let whole = self
                .gate
                .operator(self.app, capability)
                .find_map(|tables| tables.forbid.every());
            if let Some(index) = whole {
                let why = self.sentence(Standing::OperatorDenied, &self.operators(index));
                return Lacking {
                    reason: Reason::OperatorDenied.as_str(),
                    why,
                    fixes: Vec::new(),
                    written: true,
                };
            }
            let why = match &file {
                Some(file) => format!("{file} does not ask for it"),
                None => "the app has no manifest, so it asks for nothing".to_owned(),
            };
            let mut fixes = vec![fix_manifest];
            if capability.class() == Class::System {
                fixes.push(policy_fix(
                    self.gate.operator_file(),
                    &self.app.id,
                    capability,
                    vec![example.to_owned()],
                ));
            }
            return Lacking {
                reason: Reason::NotGranted.as_str(),
                why,
                fixes,
                written: false,
            };
        };
        let judged: Vec<_> = asked
            .rules
            .iter()
            .map(|rule| (rule, self.judge(capability, rule, false)))
            .collect();
        let best = judged
            .iter()
            .map(|(_, (standing, by))| (*standing, by))
            .min_by_key(|(standing, _)| *standing as u8);
        let (standing, by) = best.map_or((Standing::NotGranted, Word::Nobody), |(standing, by)| {
            (standing, by.clone())
        });
        let open = judged
            .iter()
            .filter(|(_, (s, _))| *s == standing)
            .map(|(rule, _)| rule.to_string())
            .collect();
        let policy = policy_fix(self.gate.operator_file(), &self.app.id, capability, open);
        let fixes = match (standing, &by) {
            (Standing::ConsentRequired, by) => self.consent_fixes(by, policy),
            (Standing::ConsentDenied, by) => declined_fixes(by, self.consent),
            (Standing::OperatorDenied, Word::Nobody) => {
                let allow = asked.rules.iter().map(|rule| Fix::Allow {
                    capability,
                    rule: rule.to_string(),
                });
                core::iter::once(policy).chain(allow.take(1)).collect()
            }
            _ => Vec::new(),
        };
        let reason = match standing {
            Standing::ConsentRequired => Reason::ConsentRequired,
            Standing::ConsentDenied => Reason::ConsentDenied,
            _ => Reason::OperatorDenied,
        };
        Lacking {
            reason: reason.as_str(),
            why: self.sentence(standing, &by),
            fixes,
            written: matches!(by, Word::Operator { .. } | Word::Answer { .. })
                && standing != Standing::ConsentRequired,
        }
    }

    /// How what waits for a person may come to be: by their yes, or the operator's.
    fn consent_fixes(&self, by: &Word, policy: Fix) -> Vec<Fix> {
        let changed = match by {
            Word::Operator { index, .. } => self.gate.change_rule(*index),
            _ => None,
        };
        vec![Fix::AllowManifest, changed.unwrap_or(policy)]
    }

    fn sentence(&self, standing: Standing, by: &Word) -> String {
        let manifest = self.manifest.source().unwrap_or("the manifest");
        match (standing, by) {
            (
                Standing::ConsentRequired,
                Word::Operator {
                    file, line, rule, ..
                },
            ) => {
                format!(
                    "rule `{rule}` of the operator's policy ({file}:{line}) leaves it to a person, and nobody was asked"
                )
            }
            (Standing::ConsentRequired, _) => {
                format!("{manifest} asks for it, and nobody has said yes")
            }
            (
                _,
                Word::Operator {
                    file, line, rule, ..
                },
            ) => {
                format!("rule `{rule}` of the operator's policy ({file}:{line}) forbids it")
            }
            (Standing::ConsentDenied, Word::Answer { index, id }) => {
                let answer = self.consent.answers.get(*index as usize);
                match answer.map(|answer| answer.lifetime) {
                    // It is in no list, so its id would lead nowhere.
                    Some(Lifetime::Once) => {
                        format!("{manifest} asks for it, and a person said no, for this run")
                    }
                    _ => format!("{manifest} asks for it, and a person said no (answer `{id}`)"),
                }
            }
            _ => format!("{manifest} asks for it, and only the operator's policy can allow it"),
        }
    }

    fn directories(&self, missing: &mut Vec<Missing>) -> Vec<WasiReport> {
        let capability = Capability::WasiDirs;
        let reports = self.manifest.directories().iter().map(|asked| {
            let rule = asked
                .path
                .as_deref()
                .and_then(|path| DirectoryRule::new(path, asked.mode))
                .map(Rule::Directory);
            let item = rule.as_ref().map_or_else(
                || format!("{}:{}", escape(&asked.host), asked.mode.as_str()),
                Rule::to_string,
            );
            let judged = match &rule {
                Some(rule) => self.wasi_item(capability, rule),
                None => (Standing::OperatorDenied, Word::Build),
            };
            self.wasi_report(capability, item, judged, missing)
        });
        reports.collect()
    }

    fn variables(&self, missing: &mut Vec<Missing>) -> Vec<WasiReport> {
        let capability = Capability::WasiEnv;
        let reports = self.manifest.variables().iter().map(|(name, _)| {
            let rule = Rule::Variable(name.clone());
            let judged = self.wasi_item(capability, &rule);
            self.wasi_report(capability, rule.to_string(), judged, missing)
        });
        reports.collect()
    }

    /// `--allow` gives what it covers; else as any other rule.
    fn wasi_item(&self, capability: Capability, rule: &Rule) -> Judged {
        let given = self
            .consent
            .allow
            .iter()
            .any(|(c, given)| *c == capability && allows_all(given, rule));
        match self.judge(capability, rule, given) {
            // A folder is opened or it is not: what is forbidden inside it forbids it.
            (Standing::Narrowed, by) => (Standing::OperatorDenied, by),
            judged => judged,
        }
    }

    fn wasi_report(
        &self,
        capability: Capability,
        item: String,
        (standing, by): Judged,
        missing: &mut Vec<Missing>,
    ) -> WasiReport {
        if standing != Standing::Granted {
            let policy = policy_fix(
                self.gate.operator_file(),
                &self.app.id,
                capability,
                vec![item.clone()],
            );
            let (reason, fixes) = match (standing, &by) {
                (Standing::ConsentRequired, _) => {
                    (Reason::ConsentRequired, self.consent_fixes(&by, policy))
                }
                (Standing::ConsentDenied, by) => {
                    (Reason::ConsentDenied, declined_fixes(by, self.consent))
                }
                (_, Word::Nobody) => (
                    Reason::OperatorDenied,
                    vec![
                        policy,
                        Fix::Allow {
                            capability,
                            rule: item.clone(),
                        },
                    ],
                ),
                _ => (Reason::OperatorDenied, Vec::new()),
            };
            let why = match &by {
                Word::Build => "the folder the manifest is in is not known".to_owned(),
                _ => self.sentence(standing, &by),
            };
            let what = if capability == Capability::WasiDirs {
                format!("[wasi] dirs {item}")
            } else {
                format!("[wasi] env {item}")
            };
            missing.push(Missing {
                what,
                functions: Vec::new(),
                needs: vec![capability],
                reason: reason.as_str(),
                why,
                fixes,
            });
        }
        WasiReport {
            item,
            standing,
            by: by.to_string(),
        }
    }

    fn limits(&self, missing: &mut Vec<Missing>) -> Limits {
        let caps: Vec<_> = self
            .gate
            .policies()
            .iter()
            .map(|policy| (policy.source().unwrap_or("policy.toml"), *policy.limits()))
            .collect();
        Limits::settle(self.manifest.limits(), &caps).unwrap_or_else(|over| {
            for over in over {
                let OverCap { key, asked, cap, file } = over;
                let whose = match file {
                    Some(file) => format!("{file} allows {cap} at most ([limits] {key})"),
                    None => format!("{cap} is the most, unless the operator's policy says otherwise ([limits] {key})"),
                };
                let why = format!("the manifest asks for {asked}; {whose}");
                missing.push(Missing::plain(format!("[limits] {key}"), LoadReason::LimitOverCap.as_str(), why));
            }
            Limits::default()
        })
    }

    /// What does not stop the app, but is not what its manifest says.
    fn note(&self, report: &CapabilityReport, imports: &[ImportReport], notes: &mut Vec<String>) {
        let capability = report.capability;
        let used = imports
            .iter()
            .any(|import| import.capabilities.contains(&capability));
        if report.standing == Standing::Absent {
            notes.push(format!(
                "{capability}: this build does not have it, and does not grant it"
            ));
        } else if !imports.is_empty() && !used {
            notes.push(format!(
                "{capability}: the manifest asks for it, and the app does not import it"
            ));
        }
        let stub = imports
            .iter()
            .any(|i| i.provided == Provided::Stub && i.capabilities.contains(&capability));
        if stub {
            notes.push(format!(
                "{capability}: optional and not granted; its calls answer `denied`"
            ));
        }
        let partly = matches!(report.standing, Standing::Narrowed);
        for rule in report
            .rules
            .iter()
            .filter(|rule| partly && rule.standing != Standing::Granted)
        {
            let what = match rule.standing {
                Standing::Narrowed => "granted in part",
                _ => "not granted",
            };
            notes.push(format!(
                "{capability}: {} is {what} (by {})",
                rule.rule, rule.by
            ));
        }
    }
}
