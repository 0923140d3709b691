//! The host's key for heads: `STATE/keys/audit.key`, made on first use, and its public half.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::place::{Place, open_plain};
use super::{hex, unhex};
use crate::runtime::owned::read_or_make_key;

/// Names what a signature is for, so that the key never speaks for anything else.
const DOMAIN: &[u8] = b"nexus-host audit head v1\0";

/// The most read of a file with a public key.
const PUBLIC_BYTES_MAX: u64 = 1024;

/// Signs heads. The key itself is wiped when this goes.
pub(super) struct HostKey {
    key: SigningKey,
    public: PublicKey,
}

/// Checks heads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(VerifyingKey);

/// Names a key in a head and to people: the first eight bytes of the public key's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyId(pub [u8; 8]);

impl HostKey {
    /// Reads the key, or makes it; writes the public half anew where it is not that of the key.
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        let seed = Zeroizing::new(read_or_make_key(&place.keys.join("audit.key"))?);
        let key = SigningKey::from_bytes(&seed);
        let public = PublicKey(key.verifying_key());
        let path = place.public_key();
        if PublicKey::read(&path).ok().as_ref() != Some(&public) {
            replace(&path, format!("{public}\n").as_bytes())?;
        }
        Ok(Self { key, public })
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn id(&self) -> KeyId {
        self.public.id()
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; 64] {
        let signed = [DOMAIN, text].concat();
        self.key.sign(&signed).to_bytes()
    }
}

impl PublicKey {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = unhex::<32>(text.trim_end())?;
        VerifyingKey::from_bytes(&bytes).ok().map(Self)
    }

    /// Reads them from a file.
    ///
    /// # Errors
    /// There is no key in it.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        open_plain(path)?
            .take(PUBLIC_BYTES_MAX)
            .read_to_string(&mut text)?;
        Self::parse(&text).ok_or_else(|| {
            io::Error::other("holds no public key: 64 lower-case hexadecimal digits")
        })
    }

    /// Its short name.
    pub fn id(&self) -> KeyId {
        let hash: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        KeyId(id)
    }

    pub(super) fn verifies(&self, text: &[u8], signature: &[u8; 64]) -> bool {
        let signed = [DOMAIN, text].concat();
        // Strict: no key or signature of small order, of which one signature fits several texts.
        self.0
            .verify_strict(&signed, &Signature::from_bytes(signature))
            .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Writes a file anew, whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let _ = fs::remove_file(&new);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
