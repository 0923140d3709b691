//! The run of a scenario's seed as it was when somebody last said that it is right: `lossy.blessed` beside
//! `lossy.toml`. Its hash holds for the components it was made with and no others.

use std::path::{Path, PathBuf};

use nexus_policy::explain::escape;
use nexus_types::limits;
use serde::{Deserialize, Serialize};

use super::file::{regular, replace};
use super::plan::Prepared;
use super::run::Ran;
use super::seeds::Seeds;
use super::verdict::{Failure, Kind};
use crate::cli::{self, CliError};
use crate::runtime::load::read_text;
use crate::runtime::shown;

/// Of the file. A file of another one is not read: its hash may be of other things.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    seed: u64,
    hash: String,
    component: Vec<Component>,
}

#[derive(Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Component {
    name: String,
    digest: String,
}

/// Only this, to tell a file that is newer from one that is broken.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// See the module.
pub(in crate::cli) struct Blessed {
    path: PathBuf,
    file: File,
    /// Whether the components are those it was made with.
    same: bool,
}

/// Where it is for a scenario; only those that end in `.toml` have one.
fn path(scenario: &Path) -> Option<PathBuf> {
    let is_toml = scenario.extension().is_some_and(|ending| ending == "toml");
    is_toml.then(|| scenario.with_extension("blessed"))
}

impl Blessed {
    /// None: there is none.
    pub(in crate::cli) fn read(
        scenario: &Path,
        scene: &Prepared,
    ) -> Result<Option<Self>, CliError> {
        let Some(path) = path(scenario) else {
            return Ok(None);
        };
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            _ => regular(&path)?,
        }
        let config = |error: &dyn std::fmt::Display| {
            CliError::new(
                cli::Kind::Config,
                format!("{}: {error}", shown::path(&path)),
            )
            .hint("--bless writes it anew")
        };
        let text = read_text(&path, limits::POLICY_BYTES)
            .map_err(|error| CliError::new(cli::Kind::Config, error))?;
        let version: Version = toml::from_str(&text).map_err(|error| config(&error))?;
        if version.version != VERSION {
            return Err(config(&format!(
                "it is of version {}; this nexus-host knows version {VERSION}",
                version.version
            )));
        }
        let file: File = toml::from_str(&text).map_err(|error| config(&error))?;
        let is_hash = file.hash.len() == 64 && file.hash.bytes().all(|c| c.is_ascii_hexdigit());
        if !is_hash {
            return Err(config(&"its hash is none"));
        }
        Ok(Some(Self {
            same: file.component == components(scene),
            path,
            file,
        }))
    }

    /// What is wrong with a run, if it is the seed's and another one.
    pub(in crate::cli) fn check(&self, ran: &Ran) -> Option<Failure> {
        let differs = self.same && ran.seed == self.file.seed && ran.hash != self.file.hash;
        differs.then(|| Failure {
            who: "blessed".to_owned(),
            kind: Kind::Blessed,
            text: format!(
                "the run is another one than that of {}: its hash is {}, it was {}. If that is meant, `--bless` \
                 (`nexus-host test --update`) takes it over",
                shown::path(&self.path),
                ran.hash,
                self.file.hash
            ),
        })
    }

    /// What to say when these seeds did not check it; who `named` one wants to see that one.
    pub(in crate::cli) fn note(&self, seeds: Seeds, named: bool) -> Option<String> {
        let why = if !self.same {
            "it is of other components".to_owned()
        } else if !named && self.file.seed.wrapping_sub(seeds.first) >= seeds.runs {
            format!("it is of seed {}, which was not run", self.file.seed)
        } else {
            return None;
        };
        let path = escape(&self.path.display().to_string());
        Some(format!("{path}: not checked, {why}"))
    }
}

/// Says that a run is right.
pub(in crate::cli) fn bless(
    scenario: &Path,
    scene: &Prepared,
    ran: &Ran,
) -> Result<PathBuf, CliError> {
    let Some(path) = path(scenario) else {
        let message = "--bless writes NAME.blessed beside NAME.toml: give the scenario that ending";
        return Err(CliError::new(cli::Kind::Usage, message));
    };
    let file = File {
        version: VERSION,
        seed: ran.seed,
        hash: ran.hash.clone(),
        component: components(scene),
    };
    let host = |error: &dyn std::fmt::Display| {
        CliError::new(cli::Kind::Host, format!("{}: {error}", shown::path(&path)))
    };
    let text = toml::to_string(&file).map_err(|error| host(&error))?;
    let text = format!(
        "# A run that is right, by its hash. Written by `nexus-host sim --bless`; checked by every run of the seed\n\
         # with the same components.\n{text}"
    );
    replace(&path, text.as_bytes())?;
    Ok(path)
}

fn components(scene: &Prepared) -> Vec<Component> {
    let mut all: Vec<Component> = Vec::new();
    for app in &scene.apps {
        let file = app.candidate.file.path.file_name();
        let component = Component {
            name: file.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            digest: app.candidate.identity.digest.to_string(),
        };
        if !all.contains(&component) {
            all.push(component);
        }
    }
    all
}
