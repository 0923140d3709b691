//! One app on its way in: file, compiled component, imports, manifest. Nothing of it has run.

use std::path::{Path, PathBuf};

use clap::Args;
use nexus_policy::{Admission, AppIdentity, Capability, Consent, Gate, Manifest, Rule};
use nexus_types::{Instant, limits};
use wasmtime::component::Component;

use super::consent::Asking;
use super::policies::Policies;
use super::publishers::{Publishers, Signed};
use super::{CliError, Kind, StateArgs};
use crate::runtime::cache::CodeCache;
use crate::runtime::engine::{EngineOptions, HostEngine};
use crate::runtime::imports;
use crate::runtime::load::{AppFile, read_text};
use crate::runtime::shown;

/// The keys a person at the keyboard turns for one run.
#[derive(Args, Clone, Default)]
pub(super) struct GrantArgs {
    /// The operator's policy for this run [default: nexus-host/policy.toml in the user's
    /// configuration folder]. /etc/nexus-host/policy.toml holds in any case
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,
    /// Say yes, for this run, to what the manifest asks and the policy leaves to a person
    #[arg(long)]
    pub(super) allow_manifest: bool,
    /// Grant one thing for this run, asked for or not, unless the policy forbids it
    #[arg(long, value_name = "CAPABILITY=RULE", value_parser = parse_grant)]
    pub(super) allow: Vec<(Capability, Rule)>,
}

fn parse_grant(text: &str) -> Result<(Capability, Rule), String> {
    Rule::parse_grant(text).map_err(|error| error.to_string())
}

impl GrantArgs {
    pub(super) fn consent(&self) -> Consent {
        Consent {
            allow_manifest: self.allow_manifest,
            answers: Vec::new(),
            allow: self.allow.clone(),
        }
    }
}

/// An app that was read and compiled, not yet admitted.
pub(super) struct Candidate {
    pub(super) file: AppFile,
    pub(super) component: Component,
    /// In the words of the runtime, and of the policy.
    pub(super) imports: Vec<imports::Import>,
    pub(super) asked: Vec<nexus_policy::Import>,
    pub(super) identity: AppIdentity,
    signed: Signed,
    pub(super) manifest: Manifest,
    /// The manifest is the one the component carries: whoever signed the one signed the other.
    carried: bool,
}

impl Candidate {
    /// Reads, verifies the signature beside it by the keys of `publishers` (none: nobody looks),
    /// finds the manifest, and compiles (or takes from the cache).
    pub(super) fn read(
        app: &Path,
        manifest: Option<&Path>,
        publishers: Option<&Publishers>,
        engine: &HostEngine,
        cache: &mut CodeCache,
    ) -> Result<Self, CliError> {
        let file = AppFile::read(app).map_err(|error| CliError::new(Kind::Host, error))?;
        let signed = match publishers {
            Some(publishers) => publishers.of_app(&file)?,
            None => Signed::No,
        };
        // Before compiling, which takes longer: a typo is told at once.
        let carried = manifest.is_none();
        let manifest = find_manifest(&file, manifest)?;
        let (component, _) = cache
            .component(engine.engine(), file.digest, &file.bytes)
            .map_err(|error| CliError::new(Kind::Host, file.invalid(&error)))?;
        let imports = imports::of_component(engine.engine(), &component);
        let asked = imports
            .iter()
            .map(|import| nexus_policy::Import {
                name: import.name.clone(),
                functions: import.functions.clone(),
            })
            .collect();
        let id = match manifest.app() {
            Some(app) => app.id.clone(),
            None => name_of(app),
        };
        Ok(Self {
            identity: AppIdentity {
                id,
                digest: file.digest,
                publisher: signed.publisher(),
            },
            signed,
            file,
            component,
            imports,
            asked,
            manifest,
            carried,
        })
    }

    /// Looks at the signature again: the policies may name other keys now.
    pub(super) fn verify_again(&mut self, publishers: &Publishers) -> Result<(), CliError> {
        self.signed = publishers.of_app(&self.file)?;
        self.identity.publisher = self.signed.publisher();
        Ok(())
    }

    /// Whose answers of persons are for it. Where nobody signed what it calls itself, another app of the same publisher
    /// could say it is this one: it is known by its digest alone, then.
    pub(super) fn answering(&self) -> AppIdentity {
        let mut identity = self.identity.clone();
        identity.publisher = identity.publisher.filter(|_| self.carried);
        identity
    }

    /// Who signed it, in the host's words.
    pub(super) fn signed_words(&self, gate: &Gate) -> String {
        match self.signed {
            Signed::No => "nobody: it is not signed".to_owned(),
            Signed::Unknown(key) => {
                format!("not known: signed by the key {key}, which no policy names")
            }
            Signed::By(key) => match gate.publisher_name(key) {
                Some(name) => format!("{name} ({key})"),
                None => key.to_string(),
            },
        }
    }

    /// What the gate would say.
    pub(super) fn examine(&self, gate: &Gate, consent: &Consent) -> Admission {
        let mut admission = gate.examine(
            Instant::ZERO,
            &self.identity,
            &self.manifest,
            consent,
            &self.asked,
        );
        if let Signed::Unknown(key) = self.signed {
            admission.notes.push(format!(
                "signed by the key {key}, which no policy names: nobody knows whose it is"
            ));
        }
        admission
    }
}

/// An engine for what is only looked at.
pub(super) fn engine_to_look() -> Result<HostEngine, CliError> {
    let options = EngineOptions {
        pooling: false,
        ..EngineOptions::default()
    };
    HostEngine::new(options).map_err(|error| CliError::new(Kind::Host, error))
}

/// An app that is looked at and not run, the policies it is looked at by, and what is said of it on the command line
/// and was answered before.
pub(super) struct Looked {
    pub(super) policies: Policies,
    pub(super) candidate: Candidate,
    pub(super) consent: Consent,
}

impl Looked {
    pub(super) fn at(
        app: &Path,
        manifest: Option<&Path>,
        grants: &GrantArgs,
        state: &StateArgs,
    ) -> Result<Self, CliError> {
        let policies = Policies::read(grants.policy.as_deref())?;
        let asking = Asking::nobody(state)?;
        let publishers = policies.publishers();
        let engine = engine_to_look()?;
        let mut cache = state.cache();
        let candidate = Candidate::read(app, manifest, Some(&publishers), &engine, &mut cache)?;
        let consent = asking.known(&candidate, grants.consent());
        Ok(Self {
            policies,
            candidate,
            consent,
        })
    }
}

/// What an app is called that does not say: its file's name.
pub(super) fn name_of(app: &Path) -> String {
    app.file_stem()
        .map_or_else(String::new, |stem| shown::path(Path::new(stem)))
}

/// `--manifest` first, then the one the component carries. None: it asks for nothing.
fn find_manifest(file: &AppFile, named: Option<&Path>) -> Result<Manifest, CliError> {
    let config = |error: &dyn std::fmt::Display| CliError::new(Kind::Config, error);
    if let Some(path) = named {
        let text = read_text(path, limits::MANIFEST_BYTES).map_err(|error| config(&error))?;
        let manifest =
            Manifest::parse(&text, &shown::path(path)).map_err(|error| config(&error))?;
        // Its folders are relative to it, wherever the host was started.
        return match path.canonicalize().ok().as_deref().and_then(Path::parent) {
            Some(folder) => Ok(with_base(manifest, folder)),
            None => Ok(manifest),
        };
    }
    let Some(text) = &file.manifest else {
        return Ok(Manifest::none());
    };
    let source = format!("the manifest in {}", shown::path(&file.path));
    let manifest = Manifest::parse(text, &source).map_err(|error| config(&error))?;
    match std::env::current_dir() {
        Ok(folder) => Ok(with_base(manifest, &folder)),
        Err(_) => Ok(manifest),
    }
}

/// A folder whose path is not UTF-8 cannot be the base of one that is.
fn with_base(manifest: Manifest, folder: &Path) -> Manifest {
    match folder.to_str() {
        Some(folder) => manifest.with_base(folder),
        None => manifest,
    }
}
