//! `nexus.toml`: what an app asks for. A request, never a grant.
//!
//! ```toml
//! [app]
//! id = "com.example.weather"          # for people; identity is the digest
//! version = "0.3.1"                   # optional
//! class = "app"                       # app (default) | system
//!
//! [capabilities."network.tcp.connect"]
//! allow = ["api.example.com:443", "10.0.0.0/8:8000-8010", "host.internal:8000"]
//! optional = true                     # start without it: its calls answer `denied`
//!
//! [wasi]
//! dirs = [{ host = "./data", guest = "/data", mode = "ro" }]
//! env = { LANG = "en" }
//!
//! [limits]
//! memory = "64MiB"                    # also: sockets handles bytes-in-flight timeout
//!                                     # request-body response-body request-timeout
//! ```
//!
//! `class = "app"` is a promise to ask for no system-class capability, and the manifest is held
//! to it. `class = "system"` promises nothing and gives nothing: it is a word in a file.

use std::collections::{BTreeMap, BTreeSet};

use nexus_types::limits::{MANIFEST_BYTES, PORT_RANGES_PER_CAPABILITY, RULES_PER_CAPABILITY};
use serde::Serialize;
use toml::de::{DeTable, DeValue};

use crate::capability::{Capability, Class};
use crate::config::{ConfigError, Reader, get, join};
use crate::explain::escape;
use crate::keys;
use crate::limits::LimitsAsked;
use crate::rule::{Rule, RuleError};
use crate::wasi::{DirectoryMode, VariableName, absolute_path, join_path};

/// Folders, and variables, that one manifest may ask for.
pub const WASI_ITEMS_MAX: usize = 64;
/// The longest value of a variable.
pub const VARIABLE_BYTES_MAX: usize = 4_096;

/// What an app asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    source: Option<String>,
    app: Option<AppAsked>,
    capabilities: BTreeMap<Capability, Asked>,
    directories: Vec<DirectoryAsked>,
    variables: Vec<(VariableName, String)>,
    limits: LimitsAsked,
}

/// `[app]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppAsked {
    /// What people call it.
    pub id: String,
    /// Its version, for people.
    pub version: Option<String>,
    /// Whether it promises to ask for no system-class capability.
    pub class: Class,
}

/// One `[capabilities."…"]`
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// `allow`
    pub rules: Vec<Rule>,
    /// `optional`
    pub optional: bool,
    /// The line of the section, from 1.
    pub line: u32,
}

/// One entry of `[wasi] dirs`
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DirectoryAsked {
    /// As written: relative to the manifest's folder.
    pub host: String,
    /// The path the app sees.
    pub guest: String,
    /// Read only, or read and write.
    pub mode: DirectoryMode,
    /// The absolute path, once [`Manifest::with_base`] has said where the manifest is.
    pub path: Option<String>,
}

impl Manifest {
    /// Reads a manifest. `source` is what to call it in texts: its path.
    pub fn parse(text: &str, source: &str) -> Result<Self, ConfigError> {
        let (mut reader, root) = Reader::open(text, source, MANIFEST_BYTES)?;
        reader.only(&root, "", &keys::MANIFEST);
        let app = read_app(&mut reader, &root);
        let capabilities = read_capabilities(&mut reader, &root, app.as_ref());
        let (directories, variables) = read_wasi(&mut reader, &root);
        let limits = LimitsAsked::read(&mut reader, &root);
        let source = Some(reader.source().to_owned());
        let manifest = app.map(|app| Self {
            source,
            app: Some(app),
            capabilities,
            directories,
            variables,
            limits,
        });
        reader.finish(manifest)
    }

    /// The manifest of an app that has none: it asks for nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Resolves the folders of `[wasi] dirs` against `base`, the absolute path of the folder the
    /// manifest is in (for an embedded one: the folder the app is started in). Without it no
    /// folder can be given.
    #[must_use]
    pub fn with_base(mut self, base: &str) -> Self {
        for directory in &mut self.directories {
            directory.path = join_path(base, &directory.host);
        }
        self
    }

    /// What it is called in texts; `None` for [`Manifest::none`].
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// `[app]`
    pub fn app(&self) -> Option<&AppAsked> {
        self.app.as_ref()
    }

    /// What is asked of one capability.
    pub fn asked(&self, capability: Capability) -> Option<&Asked> {
        self.capabilities.get(&capability)
    }

    /// All capabilities asked for, in the order of the catalog.
    pub fn capabilities(&self) -> impl Iterator<Item = (Capability, &Asked)> {
        self.capabilities
            .iter()
            .map(|(capability, asked)| (*capability, asked))
    }

    /// `[wasi] dirs`
    pub fn directories(&self) -> &[DirectoryAsked] {
        &self.directories
    }

    /// `[wasi] env`
    pub fn variables(&self) -> &[(VariableName, String)] {
        &self.variables
    }

    /// `[limits]`
    pub fn limits(&self) -> &LimitsAsked {
        &self.limits
    }
}

fn read_app(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<AppAsked> {
    const PATH: &str = "app";
    if get(root, PATH).is_none() {
        reader.problem(
            0..0,
            PATH,
            "the section is missing",
            Some("add [app] with id = \"com.example.name\"".to_owned()),
        );
        return None;
    }
    let table = reader.table(root, "", PATH)?;
    reader.only(table, PATH, &keys::APP);
    let word = |text: &str| {
        (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+'))
    };
    let id = match (get(table, "id"), reader.string(table, PATH, "id")) {
        (_, Some((id, _))) if word(id) => Some(id.to_owned()),
        (_, Some((_, at))) => {
            reader.problem(
                at,
                "app.id",
                "an id is 1 to 128 letters, digits, dots, hyphens and underscores",
                None,
            );
            None
        }
        (None, None) => {
            reader.problem(
                0..0,
                "app.id",
                "the key is missing",
                Some("write id = \"com.example.name\"".to_owned()),
            );
            None
        }
        (Some(_), None) => None,
    };
    let version = reader.string(table, PATH, "version");
    if let Some((text, at)) = &version
        && !word(text)
    {
        reader.problem(
            at.clone(),
            "app.version",
            "a version is 1 to 128 letters, digits, dots, hyphens and pluses",
            None,
        );
    }
    let class = match reader.string(table, PATH, "class") {
        None | Some(("app", _)) => Class::App,
        Some(("system", _)) => Class::System,
        Some((other, at)) => {
            reader.problem(
                at,
                "app.class",
                format!("`{}` is no class; it is `app` or `system`", escape(other)),
                None,
            );
            Class::App
        }
    };
    Some(AppAsked {
        id: id?,
        version: version.map(|(text, _)| text.to_owned()),
        class,
    })
}

fn read_capabilities(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    app: Option<&AppAsked>,
) -> BTreeMap<Capability, Asked> {
    const PATH: &str = "capabilities";
    let mut all = BTreeMap::new();
    let Some(table) = reader.table(root, "", PATH) else {
        return all;
    };
    for (key, value) in table.iter() {
        let name: &str = key.get_ref();
        let path = join(PATH, name);
        let capability = match Capability::parse(name) {
            Ok(Capability::WasiDirs | Capability::WasiEnv) => {
                let help = format!(
                    "ask for it in [wasi], with `{}`",
                    name.trim_start_matches("wasi.")
                );
                reader.problem(
                    key.span(),
                    &path,
                    "this is a parameter of base WASI",
                    Some(help),
                );
                continue;
            }
            Ok(capability) => capability,
            Err(unknown) => {
                reader.problem(
                    key.span(),
                    &path,
                    "no capability has this name",
                    unknown_help(name, value.get_ref(), unknown.suggestion),
                );
                continue;
            }
        };
        let DeValue::Table(inner) = value.get_ref() else {
            reader.wrong_type(value, &path, "a table", value.get_ref());
            continue;
        };
        reader.only(inner, &path, &keys::CAPABILITY);
        if capability.class() == Class::System && app.is_some_and(|app| app.class == Class::App) {
            reader.problem(
                key.span(),
                &path,
                "this capability is system-class, and the app says it is class `app`",
                Some(
                    "write class = \"system\" in [app]; the operator must allow it as well"
                        .to_owned(),
                ),
            );
        }
        let optional = reader.boolean(inner, &path, "optional").unwrap_or(false);
        let rules = read_rules(reader, inner, &path, "allow", capability);
        if get(inner, "allow").is_none() && !optional {
            let example = capability.parameter().examples()[0];
            reader.problem(
                key.span(),
                &path,
                "it names nothing, so it would allow nothing",
                Some(format!(
                    "add allow = [\"{example}\"], or optional = true to start without it"
                )),
            );
        }
        let (line, _) = reader.position(key.span().start);
        all.insert(
            capability,
            Asked {
                rules,
                optional,
                line,
            },
        );
    }
    all
}

fn unknown_help(name: &str, value: &DeValue<'_>, suggestion: Option<&str>) -> Option<String> {
    // [capabilities.network.tcp.connect] is three tables to TOML.
    let begins = Capability::ALL
        .iter()
        .find(|capability| capability.as_str().split('.').next() == Some(name));
    match (begins, value) {
        (Some(_), DeValue::Table(_)) => Some(
            "a capability is one key, in quotes: [capabilities.\"network.tcp.connect\"]".to_owned(),
        ),
        _ => suggestion.map(|meant| format!("did you mean `{meant}`?")),
    }
}

/// A list of rules under `key`: bounded, each of its own, none twice.
pub(crate) fn read_rules(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    path: &str,
    key: &str,
    capability: Capability,
) -> Vec<Rule> {
    let path_of_list = join(path, key);
    let Some(texts) = reader.strings(table, path, key) else {
        return Vec::new();
    };
    if texts.is_empty()
        && let Some(empty) = get(table, key)
    {
        reader.problem(empty.span(), &path_of_list, "the list is empty", None);
    }
    if let Some((_, at)) = texts.get(RULES_PER_CAPABILITY as usize) {
        let message = format!(
            "the list has {} rules; the most is {RULES_PER_CAPABILITY}",
            texts.len()
        );
        reader.problem(at.clone(), &path_of_list, message, None);
        return Vec::new();
    }
    let mut seen: BTreeSet<Rule> = BTreeSet::new();
    let mut rules = Vec::with_capacity(texts.len());
    let mut ranges = 0;
    for (index, (text, at)) in texts.into_iter().enumerate() {
        let path = format!("{path_of_list}[{index}]");
        match Rule::parse(capability, text) {
            Ok(rule) if !seen.insert(rule.clone()) => {
                reader.rule_problem(
                    at,
                    &path,
                    RuleError::plain(format!("`{rule}` is in the list already")),
                );
            }
            Ok(rule) => {
                ranges += rule.port_ranges();
                if ranges > PORT_RANGES_PER_CAPABILITY as usize {
                    let message = format!(
                        "more than {PORT_RANGES_PER_CAPABILITY} ports and ranges in one list"
                    );
                    reader.problem(at, &path_of_list, message, None);
                    return Vec::new();
                }
                rules.push(rule);
            }
            Err(error) => reader.rule_problem(at, &path, error),
        }
    }
    rules
}

type WasiAsked = (Vec<DirectoryAsked>, Vec<(VariableName, String)>);

fn read_wasi(reader: &mut Reader<'_>, root: &DeTable<'_>) -> WasiAsked {
    const PATH: &str = "wasi";
    let Some(table) = reader.table(root, "", PATH) else {
        return WasiAsked::default();
    };
    reader.only(table, PATH, &keys::WASI);
    (
        read_directories(reader, table),
        read_variables(reader, table),
    )
}

fn read_directories(reader: &mut Reader<'_>, wasi: &DeTable<'_>) -> Vec<DirectoryAsked> {
    const PATH: &str = "wasi.dirs";
    let mut all: Vec<DirectoryAsked> = Vec::new();
    let Some(value) = get(wasi, "dirs") else {
        return all;
    };
    let DeValue::Array(items) = value.get_ref() else {
        reader.wrong_type(
            value,
            PATH,
            "a list of { host, guest, mode }",
            value.get_ref(),
        );
        return all;
    };
    if items.len() > WASI_ITEMS_MAX {
        reader.problem(
            value.span(),
            PATH,
            format!(
                "the list has {} folders; the most is {WASI_ITEMS_MAX}",
                items.len()
            ),
            None,
        );
        return all;
    }
    for (index, item) in items.iter().enumerate() {
        let path = format!("{PATH}[{index}]");
        let DeValue::Table(table) = item.get_ref() else {
            reader.wrong_type(
                item,
                &path,
                "{ host = \"./data\", guest = \"/data\", mode = \"ro\" }",
                item.get_ref(),
            );
            continue;
        };
        reader.only(table, &path, &keys::DIRECTORY);
        for key in keys::required(keys::DIRECTORY.keys) {
            if get(table, key).is_none() {
                reader.problem(item.span(), &join(&path, key), "the key is missing", None);
            }
        }
        let host = reader.string(table, &path, "host").and_then(|(host, at)| {
            if join_path("/", host).is_none() {
                let message = format!(
                    "`{}` is not a path below the manifest's own folder",
                    escape(host)
                );
                reader.problem(
                    at,
                    &join(&path, "host"),
                    message,
                    Some("write a relative path without `..`, as in \"./data\"".to_owned()),
                );
                return None;
            }
            Some(host.to_owned())
        });
        let guest = reader
            .string(table, &path, "guest")
            .and_then(|(guest, at)| {
                let Some(clean) = absolute_path(guest) else {
                    let message = format!(
                        "`{}` is no absolute path without `.` and `..`",
                        escape(guest)
                    );
                    reader.problem(at, &join(&path, "guest"), message, None);
                    return None;
                };
                if all.iter().any(|other| other.guest == clean) {
                    reader.problem(
                        at,
                        &join(&path, "guest"),
                        format!("`{clean}` is in the list already"),
                        None,
                    );
                    return None;
                }
                Some(clean)
            });
        let mode = reader.string(table, &path, "mode").and_then(|(mode, at)| {
            let parsed = DirectoryMode::parse(mode);
            if parsed.is_none() {
                reader.problem(
                    at,
                    &join(&path, "mode"),
                    format!("`{}` is no mode; it is `ro` or `rw`", escape(mode)),
                    None,
                );
            }
            parsed
        });
        if let (Some(host), Some(guest), Some(mode)) = (host, guest, mode) {
            all.push(DirectoryAsked {
                host,
                guest,
                mode,
                path: None,
            });
        }
    }
    all
}

fn read_variables(reader: &mut Reader<'_>, wasi: &DeTable<'_>) -> Vec<(VariableName, String)> {
    const PATH: &str = "wasi.env";
    let mut all = Vec::new();
    let Some(table) = reader.table(wasi, "wasi", "env") else {
        return all;
    };
    if table.len() > WASI_ITEMS_MAX
        && let Some(value) = get(wasi, "env")
    {
        reader.problem(
            value.span(),
            PATH,
            format!(
                "it has {} variables; the most is {WASI_ITEMS_MAX}",
                table.len()
            ),
            None,
        );
        return all;
    }
    for (key, value) in table.iter() {
        let path = join(PATH, key.get_ref());
        let name = match VariableName::parse(key.get_ref()) {
            Ok(name) => name,
            Err(error) => {
                reader.rule_problem(key.span(), &path, error);
                continue;
            }
        };
        match value.get_ref() {
            DeValue::String(text) if text.len() > VARIABLE_BYTES_MAX || text.contains('\0') => {
                let message =
                    format!("a value has at most {VARIABLE_BYTES_MAX} bytes, none of them zero");
                reader.problem(value.span(), &path, message, None);
            }
            DeValue::String(text) => all.push((name, text.to_string())),
            other => reader.wrong_type(value, &path, "a string", other),
        }
    }
    all
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
