//! What a new app is made of: the files of its template, and the SDK.

use clap::ValueEnum;

use super::name::Name;

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// A file of a template: its path in the app's folder, and its content, with `{{name}}` and `{{file}}` for the app's.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal $(from $source:literal)?),* $(,)?) => {
        &[$(files!(@one $folder, $path $(, $source)?)),*]
    };
    (@one $folder:literal, $path:literal) => {
        ($path, include_str!(concat!("../../../templates/", $folder, "/", $path)))
    };
    (@one $folder:literal, $path:literal, $source:literal) => {
        ($path, include_str!(concat!("../../../templates/", $source)))
    };
}

const TCP: &[File] = files!("tcp":
    ".gitignore" from "common/gitignore",
    "Cargo.toml" from "tcp/Cargo.toml.in",
    "README.md",
    "nexus.toml",
    "src/lib.rs",
    "tests/answer.toml",
    "tests/answer.txt",
    "tests/nobody-says-yes.toml",
    "tests/not-granted.toml",
);

const HTTP: &[File] = files!("http":
    ".gitignore" from "common/gitignore",
    "Cargo.toml" from "http/Cargo.toml.in",
    "README.md",
    "nexus.toml",
    "src/lib.rs",
    "tests/answer.toml",
    "tests/answer.txt",
    "tests/nobody-says-yes.toml",
    "tests/not-granted.toml",
    "tests/other-answers.toml",
);

const SERVICE: &[File] = files!("service":
    ".gitignore" from "common/gitignore",
    "Cargo.toml" from "service/Cargo.toml.in",
    "README.md",
    "nexus.toml",
    "src/api.rs",
    "src/handler.rs",
    "src/lib.rs",
    "tests/answers.toml",
    "tests/wrong-requests.toml",
);

/// The manifests of the SDK's crates here: what they have in the repository is inherited, or for native tests.
const SDK_MANIFESTS: &[File] = files!("sdk":
    "Cargo.toml" from "sdk/workspace.toml",
    "guest-sdk/nexus-sdk/Cargo.toml" from "sdk/nexus-sdk.toml",
    "netcore/nexus-types/Cargo.toml" from "sdk/nexus-types.toml",
);

/// Where the SDK is in an app's folder; below, each file has the path it has in the repository.
pub(super) const VENDOR: &str = "vendor";

/// What kind of app.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Template {
    /// A client over TCP: connects by name, with time limits and a bounded retry
    Tcp,
    /// A client of a web service, over HTTP(S) by the host: JSON in, text out
    Http,
    /// A web service, for `nexus-host serve`: a router, JSON in and out
    Service,
}

impl Template {
    fn files(self) -> &'static [File] {
        match self {
            Self::Tcp => TCP,
            Self::Http => HTTP,
            Self::Service => SERVICE,
        }
    }

    /// Path and content of each file of an app called so, without those of the SDK.
    pub(super) fn app(self, name: &Name) -> Vec<(String, String)> {
        let fill = |text: &str| {
            text.replace("{{name}}", name.as_str())
                .replace("{{file}}", &name.file())
        };
        self.files()
            .iter()
            .map(|(path, text)| ((*path).to_owned(), fill(text)))
            .collect()
    }
}

/// Path and content of each file of the SDK.
pub(super) fn sdk() -> Vec<(String, String)> {
    let fill = |text: &str| text.replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let manifests = SDK_MANIFESTS.iter().map(|(path, text)| (*path, fill(text)));
    let sources = SDK.iter().map(|(path, text)| (*path, (*text).to_owned()));
    manifests
        .chain(sources)
        .map(|(path, text)| (format!("{VENDOR}/{path}"), text))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    fn table(text: &str) -> toml::Table {
        text.parse().expect("TOML")
    }

    fn file(path: &str) -> toml::Table {
        table(&std::fs::read_to_string(root().join(path)).expect("it is there"))
    }

    /// Goal: the SDK in an app is compiled as ours is. Method: its manifests against the workspace's and the crates' own:
    /// edition, compiler, licence, and every dependency that is not for native tests, in name, version and options.
    #[test]
    fn the_sdks_manifests_say_what_ours_say() {
        let workspace = file("Cargo.toml");
        let ours = &workspace["workspace"];
        for (path, text) in SDK_MANIFESTS.iter().filter(|(path, _)| path.contains('/')) {
            let (copy, own) = (table(text), file(path));
            for key in ["edition", "rust-version", "license", "publish"] {
                assert_eq!(copy["package"][key], ours["package"][key], "{path}: {key}");
            }
            assert_eq!(copy["package"]["name"], own["package"]["name"]);
            let none = toml::Value::Table(toml::Table::new());
            let of = |table: &toml::Table| {
                let dependencies = table.get("dependencies").unwrap_or(&none);
                dependencies.as_table().expect("a table").clone()
            };
            let names = |table: &toml::Table| of(table).keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&copy), names(&own), "{path}");
            for (name, dependency) in of(&copy) {
                let version = |value: &toml::Value| {
                    let version = value.get("version").unwrap_or(value);
                    version.as_str().map(str::to_owned)
                };
                let optional = |value: &toml::Value| value.get("optional").cloned();
                assert_eq!(optional(&dependency), optional(&of(&own)[&name]), "{name}");
                if dependency.get("path").is_none() {
                    assert_eq!(
                        version(&dependency),
                        version(&ours["dependencies"][&name]),
                        "{name}"
                    );
                }
            }
            let features = |table: &toml::Table| {
                let mut features = table
                    .get("features")
                    .unwrap_or(&none)
                    .as_table()
                    .expect("a table")
                    .clone();
                features.remove("sim");
                features
            };
            assert_eq!(features(&copy), features(&own), "{path}");
        }
    }

    /// Goal: what an app needs is in it, and nothing else. Method: paths of the SDK by kind and order.
    #[test]
    fn the_sdk_is_sources_and_licences_in_order() {
        let paths: Vec<_> = SDK.iter().map(|(path, _)| *path).collect();
        assert!(paths.is_sorted_by_key(Path::new));
        for path in [
            "LICENSE-MIT",
            "guest-sdk/nexus-sdk/src/lib.rs",
            "netcore/nexus-types/src/backoff.rs",
            "wit/nexus-net/types.wit",
        ] {
            assert!(paths.contains(&path), "{path}");
        }
        for path in paths {
            let is_source = [".rs", ".wit"].iter().any(|ending| path.ends_with(ending));
            assert!(is_source || path.starts_with("LICENSE-"), "{path}");
            assert!(
                !path.contains("/sim/") && !path.contains("/tests/"),
                "{path}"
            );
        }
    }

    /// Goal: no app has a hole in it, and a path that leads elsewhere. Method: every file of every template.
    #[test]
    fn every_template_is_filled() {
        let name: Name = "my-app".parse().expect("a name");
        for template in Template::value_variants() {
            let mut paths = Vec::new();
            for (path, text) in template.app(&name).into_iter().chain(sdk()) {
                if !path.starts_with(VENDOR) || path.ends_with("Cargo.toml") {
                    assert!(
                        !text.contains("{{name")
                            && !text.contains("{{file")
                            && !text.contains("{{version"),
                        "{path}"
                    );
                }
                assert!(!path.starts_with('/') && !path.contains(".."), "{path}");
                paths.push(path);
            }
            for path in [
                "Cargo.toml",
                "nexus.toml",
                "README.md",
                ".gitignore",
                "src/lib.rs",
            ] {
                assert!(
                    paths.iter().any(|found| found == path),
                    "{template:?}: {path}"
                );
            }
        }
    }
}
