//! `nexus-host sign`: makes a publisher's key pair, and signs components with it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use clap::builder::BoolishValueParser;
use nexus_policy::explain::escape;
use serde_json::json;

use super::whole::{is_same, write_whole};
use super::{CliError, Common, Kind, passphrase, say};
use crate::runtime::load::AppFile;
use crate::runtime::{shown, stdio};
use crate::signature::secret::{SecretError, SecretFile, SecretKey};
use crate::signature::{self, COMMENT_BYTES};

const EXAMPLES: &str = "Examples:
  nexus-host sign --new-key acme             make acme.key (secret) and acme.pub (for everybody)
  nexus-host sign app.wasm --key acme.key    write app.wasm.minisig
  nexus-host verify app.wasm --publisher acme.pub

Keys and signatures are those of minisign and rsign: each signs and verifies for the others.
Pack the manifest first: whatever changes the component ends its signature.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SignArgs {
    /// The component
    #[arg(value_name = "APP.wasm", required_unless_present = "new_key")]
    app: Option<PathBuf>,
    /// The secret key to sign with
    #[arg(
        long,
        value_name = "FILE",
        env = "NEXUS_KEY",
        required_unless_present = "new_key"
    )]
    key: Option<PathBuf>,
    /// One line that the signature covers and `verify` shows [default: the time and the file's name]
    #[arg(long, value_name = "TEXT", env = "NEXUS_COMMENT", value_parser = comment)]
    comment: Option<String>,
    /// Where to write the signature [default: APP.wasm.minisig]
    #[arg(long, short = 'o', value_name = "SIG", env = "NEXUS_SIGN_TO")]
    to: Option<PathBuf>,
    /// Make a key pair instead: NAME.key, readable by you alone, and NAME.pub
    #[arg(
        long,
        value_name = "NAME",
        env = "NEXUS_NEW_KEY",
        conflicts_with = "app"
    )]
    new_key: Option<PathBuf>,
    /// Do not encrypt the new secret key: whoever reads the file can sign
    #[arg(long, env = "NEXUS_NO_PASSPHRASE", value_parser = BoolishValueParser::new())]
    no_passphrase: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// One line, as every tool reads it back: some drop spaces at its ends, and none knows escapes.
fn comment(text: &str) -> Result<String, String> {
    if text.len() > COMMENT_BYTES {
        return Err(format!("longer than {COMMENT_BYTES} bytes"));
    }
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err("it is one line without control characters".to_owned());
    }
    if text.trim() != text {
        return Err("it neither begins nor ends with a space".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn sign(args: &SignArgs) -> Result<u8, CliError> {
    match (&args.new_key, &args.app, &args.key) {
        (Some(name), ..) => new_key(args, name),
        (None, Some(app), Some(key)) => sign_app(args, app, key),
        // clap asks for both.
        _ => Err(CliError::new(Kind::Usage, "APP.wasm and --key are needed")),
    }
}

fn sign_app(args: &SignArgs, app: &Path, key: &Path) -> Result<u8, CliError> {
    let host = |error: &dyn std::fmt::Display| CliError::new(Kind::Host, error);
    let to = match &args.to {
        Some(to) => to.clone(),
        None => signature::beside(app),
    };
    for (path, what) in [(app, "the component"), (key, "the secret key")] {
        if is_same(&to, path) {
            let message = format!("{} is {what}: it would be lost", shown::path(&to));
            let hint = "name another file with --to, or leave it away";
            return Err(CliError::new(Kind::Usage, message).hint(hint));
        }
    }
    let file = AppFile::read(app).map_err(|error| host(&error))?;
    let key = open(key)?;
    let comment = match &args.comment {
        Some(comment) => comment.clone(),
        None => default_comment(app),
    };
    let text = key
        .sign(&file.bytes, &comment)
        .map_err(|error| host(&error))?;
    write_whole(&to, text.as_bytes(), None)
        .map_err(|error| host(&format!("{}: {error}", shown::path(&to))))?;
    let publisher = key.public();
    let said = format!(
        "{}\n  digest     {}\n  publisher  {publisher}\n",
        escape(&to.display().to_string()),
        file.digest
    );
    let data = json!({
        "file": to,
        "digest": file.digest.to_string(),
        "publisher": publisher,
        "key_id": publisher.id().to_string(),
        "comment": comment,
    });
    say::answer(args.common.output, &said, data)?;
    Ok(0)
}

/// As minisign has it: the time, and what was signed.
fn default_comment(app: &Path) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let name = app.file_name().unwrap_or_default().to_string_lossy();
    format!("timestamp:{now}\tfile:{}\thashed", escape(&name))
}

/// The secret key in a file, opened with its passphrase.
fn open(path: &Path) -> Result<SecretKey, CliError> {
    let shown = escape(&path.display().to_string());
    let fail = |error: SecretError| {
        let kind = match error {
            SecretError::Passphrase => Kind::Usage,
            _ => Kind::Host,
        };
        CliError::new(kind, format!("{shown}: {error}"))
    };
    let file = SecretFile::read(path).map_err(fail)?;
    // A pipe has a mode as well, and nobody else's.
    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if mode & 0o077 != 0 {
        stdio::say(&format!(
            "warning: {shown} is open to others (mode {:03o}): chmod 600 it\n",
            mode & 0o777
        ));
    }
    if !file.is_encrypted() {
        return file.open(&[]).map_err(fail);
    }
    if !passphrase::can_ask() {
        let message =
            format!("{shown} is encrypted, and there is no terminal to ask for its passphrase");
        let hint =
            "run it on a terminal; where nobody is, as in CI, use a key made with --no-passphrase";
        return Err(CliError::new(Kind::Usage, message).hint(hint));
    }
    let passphrase = passphrase::ask(&format!("Passphrase for {shown}: "))?;
    file.open(&passphrase).map_err(fail)
}

fn new_key(args: &SignArgs, name: &Path) -> Result<u8, CliError> {
    let with = |suffix: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let (secret, public) = (with(".key"), with(".pub"));
    // Before anybody thinks of a passphrase; what is written below looks again.
    for path in [&secret, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(there_already(path));
        }
    }
    let host = |error: SecretError| CliError::new(Kind::Host, error);
    let phrase = if args.no_passphrase {
        None
    } else if passphrase::can_ask() {
        Some(passphrase::ask_new(&escape(&secret.display().to_string()))?)
    } else {
        let message = "there is no terminal to ask for a passphrase";
        let hint = "run it on a terminal, or make a key that is not encrypted: --no-passphrase";
        return Err(CliError::new(Kind::Usage, message).hint(hint));
    };
    let key = SecretKey::generate().map_err(host)?;
    let text = key
        .to_file(phrase.as_ref().map(|phrase| phrase.as_slice()))
        .map_err(host)?;
    let publisher = key.public();
    write_new(&secret, 0o600, text.as_bytes())?;
    let line = format!(
        "untrusted comment: minisign public key {}\n{publisher}\n",
        publisher.id()
    );
    if let Err(error) = write_new(&public, 0o644, line.as_bytes()) {
        // Half a pair is none.
        let _ = fs::remove_file(&secret);
        return Err(error);
    }
    let encrypted = if phrase.is_some() {
        "encrypted"
    } else {
        "not encrypted: whoever reads it can sign"
    };
    let said = format!(
        "{}  secret, {encrypted}\n{}  for everybody\n  publisher  {publisher}\n",
        escape(&secret.display().to_string()),
        escape(&public.display().to_string())
    );
    let data = json!({
        "secret": secret,
        "public": public,
        "encrypted": phrase.is_some(),
        "publisher": publisher,
        "key_id": publisher.id().to_string(),
    });
    say::answer(args.common.output, &said, data)?;
    Ok(0)
}

fn there_already(path: &Path) -> CliError {
    let shown = escape(&path.display().to_string());
    CliError::new(Kind::Host, format!("{shown} is there already"))
        .hint("give the new key another name: a key that is written over is lost")
}

/// Writes a file that was not there.
fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), CliError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => there_already(path),
        _ => CliError::new(Kind::Host, format!("{}: {error}", shown::path(path))),
    })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| {
            let _ = fs::remove_file(path);
            CliError::new(Kind::Host, format!("{}: {error}", shown::path(path)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_at_the_limit_and_reject_one_over() {
        let text = "x".repeat(COMMENT_BYTES);
        assert!(comment(&text).is_ok());
        assert!(comment(&(text + "x")).is_err());
    }

    #[test]
    fn reject_comments_that_tools_read_otherwise() {
        assert_eq!(
            comment("version 1\tof it").as_deref(),
            Ok("version 1\tof it")
        );
        for text in ["two\nlines", "cr\r", " begins", "ends ", "esc\u{1b}[2J"] {
            assert!(comment(text).is_err(), "{text:?}");
        }
    }
}
