//! Signatures over components, in the form of minisign (<https://jedisct1.github.io/minisign/>), so
//! that its tools sign and verify for us and ours for them.
//!
//! A signature is a file of its own, `APP.wasm.minisig` beside `APP.wasm`: four lines, the second
//! and the last in base64. It is over the BLAKE2b hash of the whole component (algorithm `ED`); the
//! older form over the bytes themselves (`Ed`) is not accepted. The last line signs the signature
//! and the trusted comment.
//!
//! Verifying is `minisign-verify`'s; making is [`secret`]'s. What is made is verified by the other
//! before it is handed out.

pub mod secret;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ct_codecs::{Base64, Decoder};
use nexus_policy::{KeyError, KeyId, PublisherKey};
use rustix::fs::{Mode, OFlags};

use crate::runtime::shown;

/// What is added to a component's file name.
const SUFFIX: &str = ".minisig";

/// The longest file read as a signature. The longest minisign makes has two comments, of 1024 and
/// 8192 bytes (minisign.h, `COMMENTMAXBYTES` and `TRUSTEDCOMMENTMAXBYTES`), and 330 bytes more.
pub const SIGNATURE_BYTES: usize = nexus_types::limits::SIGNATURE_BYTES;
/// The longest trusted comment, minisign's `TRUSTEDCOMMENTMAXBYTES`.
pub const COMMENT_BYTES: usize = 8 << 10;
/// What a public key file may have: two lines, of at most 1024 and 56 characters.
const PUBLIC_BYTES: usize = 4 << 10;

/// Algorithm, key id, Ed25519 signature.
const DECODED_BYTES: usize = 74;

/// A signature that was read, not yet verified.
pub struct Detached {
    signature: minisign_verify::Signature,
    key: KeyId,
}

/// Why a file is no signature.
#[derive(Debug)]
pub enum ReadError {
    /// The OS does not give it.
    Io(io::Error),
    /// A folder, pipe or device.
    NotAFile,
    /// Longer than [`SIGNATURE_BYTES`].
    TooLarge,
    /// Not the four lines.
    NoSignature,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::TooLarge => write!(f, "larger than {} KiB", SIGNATURE_BYTES >> 10),
            Self::NoSignature => f.write_str("not the four lines of a minisign signature"),
        }
    }
}

impl std::error::Error for ReadError {}

/// The key whose id a signature bears did not make it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It is not over these bytes, or not by that key.
    Altered(PublisherKey),
    /// It is over the bytes themselves, not over their hash.
    Legacy(PublisherKey),
}

/// Where the signature of `app` is, if it has one.
pub fn beside(app: &Path) -> PathBuf {
    let mut name = OsString::from(app.as_os_str());
    name.push(SUFFIX);
    PathBuf::from(name)
}

impl Detached {
    /// Reads one. It says which file it opened by what it is: a pipe would keep the host waiting.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = read_regular(path, SIGNATURE_BYTES)?;
        Self::parse(&text).ok_or(ReadError::NoSignature)
    }

    /// [`Detached::read`]; none if there is no such file.
    pub fn read_if_there(path: &Path) -> Result<Option<Self>, ReadError> {
        match Self::read(path) {
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// The four lines, and nothing behind them: what nobody has signed is not to look like a part of it.
    pub fn parse(text: &str) -> Option<Self> {
        if text.lines().count() != 4 || text.contains('\0') {
            return None;
        }
        let signature = minisign_verify::Signature::decode(text).ok()?;
        let mut bytes = [0; DECODED_BYTES];
        let decoded = Base64::decode(&mut bytes, text.lines().nth(1)?, None).ok()?;
        let key = decoded.get(2..10)?.try_into().ok()?;
        Some(Self {
            signature,
            key: KeyId(key),
        })
    }

    /// Which key it says made it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// What its maker says of it. Signed, so worth as much as the key, once it was verified.
    pub fn comment(&self) -> &str {
        self.signature.trusted_comment()
    }

    /// The one of `keys` that made it over `bytes`; none if none of them has its key id. Several
    /// can have the same: a key id is chosen by whoever makes the key.
    pub fn made_by(
        &self,
        keys: impl IntoIterator<Item = PublisherKey>,
        bytes: &[u8],
    ) -> Result<Option<PublisherKey>, Bad> {
        use minisign_verify::{Error, PublicKey};
        let mut bad = None;
        for key in keys.into_iter().filter(|key| key.id() == self.key) {
            let verified = PublicKey::from_base64(&key.to_string())
                .and_then(|public| public.verify(bytes, &self.signature, false));
            match verified {
                Ok(()) => return Ok(Some(key)),
                Err(Error::UnexpectedAlgorithm) => bad = Some(Bad::Legacy(key)),
                Err(_) => bad = Some(Bad::Altered(key)),
            }
        }
        bad.map_or(Ok(None), Err)
    }
}

/// A publisher's key, as its text or in the file `NAME.pub`.
///
/// # Errors
/// One line that says what is wrong; nothing of the file is in it.
pub fn read_public(text_or_path: &str) -> Result<PublisherKey, String> {
    let path = Path::new(text_or_path);
    match PublisherKey::parse(text_or_path) {
        Ok(key) => return Ok(key),
        // What is neither a file nor a key is a misspelt key.
        Err(error) if !path.exists() => return Err(error.to_string()),
        Err(_) => {}
    }
    let fail = |why: &dyn fmt::Display| format!("{}: {why}", shown::path(path));
    let text = read_regular(path, PUBLIC_BYTES).map_err(|why| match why {
        ReadError::TooLarge | ReadError::NoSignature => fail(&KeyError::NoKey),
        why => fail(&why),
    })?;
    let line = text.lines().nth(1).unwrap_or_default().trim_end();
    PublisherKey::parse(line).map_err(|why| fail(&why))
}

fn read_regular(path: &Path, bytes_max: usize) -> Result<String, ReadError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| ReadError::Io(error.into()))?;
    let file = std::fs::File::from(file);
    if !file.metadata().map_err(ReadError::Io)?.is_file() {
        return Err(ReadError::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if bytes.len() > bytes_max {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NoSignature)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
