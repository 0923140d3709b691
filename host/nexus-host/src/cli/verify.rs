//! `nexus-host verify`: whether a key signed a component.

use std::path::PathBuf;

use clap::Args;
use nexus_policy::PublisherKey;
use nexus_policy::explain::escape;
use serde_json::json;

use super::{CliError, Common, Kind, say};
use crate::runtime::load::AppFile;
use crate::signature::{self, Bad, Detached};

const EXAMPLES: &str = "Examples:
  nexus-host verify app.wasm --publisher acme.pub
  nexus-host verify app.wasm --publisher RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3

Exit codes: 0 that key signed exactly these bytes, 77 it did not, 1 a file cannot be read.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// The component
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    /// The signature [default: APP.wasm.minisig]
    #[arg(long, value_name = "FILE", env = "NEXUS_SIGNATURE")]
    signature: Option<PathBuf>,
    /// The publisher's public key, or the file it is in (NAME.pub)
    #[arg(long, visible_alias = "key", value_name = "KEY", env = "NEXUS_PUBLISHER", value_parser = publisher)]
    publisher: PublisherKey,
    #[command(flatten)]
    pub(super) common: Common,
}

fn publisher(text: &str) -> Result<PublisherKey, String> {
    signature::read_public(text)
        .map_err(|error| format!("{error}; {}", nexus_policy::KeyError::HELP))
}

pub(super) fn verify(args: &VerifyArgs) -> Result<u8, CliError> {
    let file = AppFile::read(&args.app).map_err(|error| CliError::new(Kind::Host, error))?;
    let path = match &args.signature {
        Some(path) => path.clone(),
        None => signature::beside(&args.app),
    };
    let shown = escape(&path.display().to_string());
    let app = escape(&args.app.display().to_string());
    let detached = Detached::read(&path).map_err(|error| {
        CliError::new(Kind::Host, format!("{shown}: {error}"))
            .hint("--signature FILE names another; `nexus-host sign` makes one")
    })?;
    let refuse = |why: &str| {
        let digest = file.digest.short();
        let message = format!("refused  {app} (sha256:{digest}…) is not verified: {why}");
        CliError::new(Kind::Refused, message)
    };
    match detached.made_by([args.publisher], &file.bytes) {
        Ok(Some(_)) => {}
        Ok(None) => {
            let why = format!(
                "{shown} is by the key {}, not by {}",
                detached.key(),
                args.publisher.id()
            );
            return Err(refuse(&why));
        }
        Err(Bad::Altered(key)) => {
            let why = format!(
                "{shown} names the key {}, and that key did not sign these bytes",
                key.id()
            );
            return Err(refuse(&why));
        }
        Err(Bad::Legacy(_)) => {
            let why =
                format!("{shown} is over the bytes themselves, not over their hash; sign it again");
            return Err(refuse(&why));
        }
    }
    let comment = escape(&detached.comment().replace('\t', "  "));
    let text = format!(
        "verified {app}\n  digest     {}\n  publisher  {}\n  key id     {}\n  comment    {comment}\n",
        file.digest,
        args.publisher,
        detached.key()
    );
    let data = json!({
        "file": args.app,
        "digest": file.digest.to_string(),
        "signature": path,
        "publisher": args.publisher,
        "key_id": detached.key().to_string(),
        "comment": detached.comment(),
    });
    say::answer(args.common.output, &text, data)?;
    Ok(0)
}
