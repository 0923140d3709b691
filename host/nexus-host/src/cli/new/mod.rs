//! `nexus-host new`: an app to begin with, that builds without a network and passes its own tests.

mod name;
mod template;

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use clap::Args;
use serde_json::json;

use self::name::Name;
use self::template::{Template, VENDOR};
use super::{CliError, Common, Kind, say};

const EXAMPLES: &str = "Makes the folder NAME with a crate of its own, to be kept wherever you like:
  Cargo.toml, src/        the app, in Rust
  nexus.toml              its manifest: what it asks for
  tests/                  scenarios in simulated networks, for `nexus-host test`
  vendor/                 the SDK, as this nexus-host has it in itself; nothing is downloaded
  README.md, .gitignore

Examples:
  nexus-host new weather --template tcp
  cd weather
  cargo build --release --target wasm32-wasip2
  nexus-host test
  nexus-host check target/wasm32-wasip2/release/weather.wasm --manifest nexus.toml

The crates it depends on beside the SDK are cargo's to fetch, as always. Where the standard library for
wasm32-wasip2 is missing: rustup target add wasm32-wasip2; or, without rustup, what
`cargo xtask setup --print` prints in the repository of nexus-host.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewArgs {
    /// Of the app, its crate and its folder: small letters, digits, `-` and `_`; the folder must be empty or not there
    #[arg(value_name = "NAME")]
    name: Name,
    /// What kind of app to begin with
    #[arg(long, value_enum, env = "NEXUS_TEMPLATE")]
    template: Template,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn new(args: &NewArgs) -> Result<u8, CliError> {
    let folder = Path::new(args.name.as_str());
    make_folder(folder)?;
    let app = args.template.app(&args.name);
    let sdk = template::sdk();
    for (path, text) in app.iter().chain(&sdk) {
        let to = folder.join(path);
        write(&to, text).map_err(|error| {
            CliError::new(Kind::Host, format!("{}: {error}", to.display()))
                .hint(format!("remove {} and try again", folder.display()))
        })?;
    }
    let next = [
        format!(
            "cd {} && cargo build --release --target wasm32-wasip2",
            args.name.as_str()
        ),
        "nexus-host test".to_owned(),
    ];
    let files: Vec<_> = app.iter().map(|(path, _)| path).collect();
    let mut text = format!("made {}/\n", folder.display());
    for path in &files {
        text.push_str(&format!("  {path}\n"));
    }
    text.push_str(&format!(
        "  {VENDOR}/ (the SDK: {} files)\nnext:\n",
        sdk.len()
    ));
    for command in &next {
        text.push_str(&format!("  {command}\n"));
    }
    let data = json!({"folder": folder, "files": files, "next": next});
    say::answer(args.common.output, &text, data)?;
    Ok(0)
}

/// An empty folder, made or found. Nothing that is there is written over, and no link is followed.
fn make_folder(folder: &Path) -> Result<(), CliError> {
    let error = match fs::create_dir(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => error,
        Err(error) => {
            return Err(CliError::new(
                Kind::Host,
                format!("{}: {error}", folder.display()),
            ));
        }
    };
    let is_folder = folder.symlink_metadata().is_ok_and(|there| there.is_dir());
    let is_empty =
        is_folder && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty {
        return Ok(());
    }
    let what = if is_folder {
        "is there, and not empty".to_owned()
    } else {
        error.to_string()
    };
    Err(
        CliError::new(Kind::Usage, format!("{}: {what}", folder.display()))
            .hint("take another name, or go to another folder"),
    )
}

/// Writes a file that was not there.
fn write(to: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::create_new(to)?;
    file.write_all(text.as_bytes())
}
