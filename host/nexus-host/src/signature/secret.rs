//! Secret keys: made, kept in minisign's file, and used.
//!
//! The file's second line is 158 bytes in base64: three algorithms (`Ed`; `Sc` or two zeros; `B2`),
//! the salt and the two costs of scrypt, then, encrypted by XOR with what scrypt makes of the
//! passphrase, the key id, the secret and public halves, and a BLAKE2b checksum of them.
//!
//! What is secret is in types that clear their memory when they are dropped, and in no error.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Blake2b512, Digest};
use ct_codecs::{Base64, Decoder, Encoder};
use ed25519_dalek::{Signer, SigningKey};
use nexus_policy::{KeyId, PublisherKey};
use zeroize::Zeroizing;

use super::Detached;

/// Bytes of a secret key file.
const FILE_BYTES: usize = 158;
/// The part that is encrypted: key id, secret and public half, checksum.
const CLOSED: std::ops::Range<usize> = 54..FILE_BYTES;
const CLOSED_BYTES: usize = 104;
/// The text of a secret key file: a comment of at most 1024 bytes, and 212 characters.
const TEXT_BYTES: usize = 4 << 10;
/// The longest passphrase (minisign.h, `PASSWORDMAXBYTES`).
pub const PASSPHRASE_BYTES: usize = 1_024;

/// What a guess of the passphrase costs, in libsodium's two numbers: N = 2^17, r = 8, p = 1, which
/// is 128 MiB and what OWASP's "Password Storage Cheat Sheet" asks of scrypt.
const OPERATIONS: u64 = 1 << 22;
const MEMORY: u64 = 1 << 27;
/// The most a file may ask of us: what the C minisign writes, N = 2^20 (1 GiB), with room for p.
const LOG_N_MAX: u8 = 20;
const P_MAX: u32 = 16;

/// Why a file or a passphrase gives no secret key.
#[derive(Debug)]
pub enum SecretError {
    /// The OS does not give it.
    Io(io::Error),
    /// Not the two lines of a secret key file.
    NoKey,
    /// It is the other half.
    Public,
    /// Its algorithms are none we know.
    Unknown,
    /// It asks for more memory or time than any tool writes.
    Costly,
    /// The checksum is another: the passphrase is wrong.
    Passphrase,
    /// The checksum is another, and there was no passphrase to be wrong.
    Damaged,
    /// The operating system gives no randomness.
    Random,
    /// What was signed does not verify.
    Unverified,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io(error) => return write!(f, "{error}"),
            Self::NoKey => "not a minisign secret key",
            Self::Public => "a public key; signing takes the secret one",
            Self::Unknown => "a secret key of a kind this nexus-host does not know",
            Self::Costly => "asks for more memory or time than any minisign key does",
            Self::Passphrase => "the passphrase is wrong",
            Self::Damaged => "the key is damaged: its checksum is wrong",
            Self::Random => "the operating system gives no randomness",
            Self::Unverified => {
                "what it signed does not verify: the key's halves do not belong together"
            }
        })
    }
}

impl std::error::Error for SecretError {}

/// A secret key file that was read; its key may be encrypted.
pub struct SecretFile(Zeroizing<[u8; FILE_BYTES]>);

/// A secret key, ready to sign. It has no `Debug`, and clears itself.
pub struct SecretKey {
    id: KeyId,
    pair: SigningKey,
}

impl SecretFile {
    /// Reads one. A pipe will do: a secret store may hand it over so.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let mut file = std::fs::File::open(path).map_err(SecretError::Io)?;
        // Of one size, so that no copy is left behind where it grew.
        let mut bytes = Zeroizing::new([0; TEXT_BYTES]);
        let mut length = 0;
        while length < TEXT_BYTES {
            match file.read(&mut bytes[length..]).map_err(SecretError::Io)? {
                0 => break,
                read => length += read,
            }
        }
        Self::parse(std::str::from_utf8(&bytes[..length]).map_err(|_| SecretError::NoKey)?)
    }

    /// The two lines.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let line = text.lines().nth(1).unwrap_or_default().trim_end();
        let mut bytes = Zeroizing::new([0; FILE_BYTES]);
        let whole = Base64::decode(&mut bytes[..], line, None)
            .is_ok_and(|decoded| decoded.len() == FILE_BYTES);
        if !whole {
            return Err(if PublisherKey::parse(line).is_ok() {
                SecretError::Public
            } else {
                SecretError::NoKey
            });
        }
        match (&bytes[..2], &bytes[2..4], &bytes[4..6]) {
            (b"Ed", b"Sc" | [0, 0], b"B2") => Ok(Self(bytes)),
            _ => Err(SecretError::Unknown),
        }
    }

    /// Whether it takes a passphrase.
    pub fn is_encrypted(&self) -> bool {
        self.0[2..4] == *b"Sc"
    }

    /// The key. The passphrase counts only where there is one to give.
    pub fn open(mut self, passphrase: &[u8]) -> Result<SecretKey, SecretError> {
        let wrong = if self.is_encrypted() {
            encrypt(&mut self.0, passphrase)?;
            SecretError::Passphrase
        } else {
            SecretError::Damaged
        };
        let sum = checksum(&self.0);
        if self.0[126..] != sum[..] {
            return Err(wrong);
        }
        let mut pair = Zeroizing::new([0; 64]);
        pair.copy_from_slice(&self.0[62..126]);
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[CLOSED][..8]);
        Ok(SecretKey {
            id: KeyId(id),
            pair: SigningKey::from_keypair_bytes(&pair).map_err(|_| SecretError::Unverified)?,
        })
    }
}

impl SecretKey {
    /// A new one, of the operating system's randomness.
    pub fn generate() -> Result<Self, SecretError> {
        let mut seed = Zeroizing::new([0; 32]);
        let mut id = [0; 8];
        getrandom::fill(&mut seed[..])
            .and_then(|()| getrandom::fill(&mut id))
            .map_err(|_| SecretError::Random)?;
        Ok(Self {
            id: KeyId(id),
            pair: SigningKey::from_bytes(&seed),
        })
    }

    /// The half that is for everybody.
    pub fn public(&self) -> PublisherKey {
        let mut key = [0; 42];
        key[..2].copy_from_slice(b"Ed");
        key[2..10].copy_from_slice(&self.id.0);
        key[10..].copy_from_slice(self.pair.verifying_key().as_bytes());
        PublisherKey(key)
    }

    /// The text of its file, encrypted if there is a passphrase.
    pub fn to_file(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, SecretError> {
        let mut bytes = Zeroizing::new([0; FILE_BYTES]);
        bytes[..2].copy_from_slice(b"Ed");
        bytes[4..6].copy_from_slice(b"B2");
        bytes[54..62].copy_from_slice(&self.id.0);
        let pair = Zeroizing::new(self.pair.to_keypair_bytes());
        bytes[62..126].copy_from_slice(&pair[..]);
        let sum = checksum(&bytes);
        bytes[126..].copy_from_slice(&sum);
        if let Some(passphrase) = passphrase {
            bytes[2..4].copy_from_slice(b"Sc");
            getrandom::fill(&mut bytes[6..38]).map_err(|_| SecretError::Random)?;
            bytes[38..46].copy_from_slice(&OPERATIONS.to_le_bytes());
            bytes[46..54].copy_from_slice(&MEMORY.to_le_bytes());
            encrypt(&mut bytes, passphrase)?;
        }
        let mut line = Zeroizing::new([0; 216]);
        let line = Base64::encode_to_str(&mut line[..], &bytes[..])
            .map_err(|_| SecretError::NoKey)
            .map(|line| Zeroizing::new(line.to_owned()))?;
        let mut text = Zeroizing::new(String::with_capacity(line.len() + 64));
        text.push_str("untrusted comment: nexus-host secret key ");
        text.push_str(&self.id.to_string());
        text.push('\n');
        text.push_str(&line);
        text.push('\n');
        Ok(text)
    }

    /// The text of the signature over `bytes`. `comment` is one line without spaces at its ends,
    /// which tools drop.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, SecretError> {
        let signature = self.pair.sign(&Blake2b512::digest(bytes)).to_bytes();
        let all = [&signature, comment.as_bytes()].concat();
        let global = self.pair.sign(&all).to_bytes();
        let head = [&b"ED"[..], &self.id.0, &signature].concat();
        let base64 =
            |bytes: &[u8]| Base64::encode_to_string(bytes).map_err(|_| SecretError::Unverified);
        let text = format!(
            "untrusted comment: signature from nexus-host secret key\n{}\ntrusted comment: {comment}\n{}\n",
            base64(&head)?,
            base64(&global)?
        );
        // By another implementation: a fault while signing would give the secret away.
        let made = Detached::parse(&text).ok_or(SecretError::Unverified)?;
        match made.made_by([self.public()], bytes) {
            Ok(Some(_)) => Ok(text),
            _ => Err(SecretError::Unverified),
        }
    }
}

/// Encrypts what is open, opens what is encrypted.
fn encrypt(bytes: &mut [u8; FILE_BYTES], passphrase: &[u8]) -> Result<(), SecretError> {
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let cost = cost(number(38), number(46)).ok_or(SecretError::Costly)?;
    let mut stream = Zeroizing::new([0; CLOSED_BYTES]);
    scrypt::scrypt(passphrase, &bytes[6..38], &cost, &mut stream[..])
        .map_err(|_| SecretError::Costly)?;
    for (byte, with) in bytes[CLOSED].iter_mut().zip(&stream[..]) {
        *byte ^= with;
    }
    Ok(())
}

/// libsodium's two numbers as scrypt's three (`pickparams` in
/// `crypto_pwhash_scryptsalsa208sha256.c`).
fn cost(operations: u64, memory: u64) -> Option<scrypt::Params> {
    const R: u64 = 8;
    let operations = operations.max(32_768);
    let (n_max, by_operations) = if operations < memory / 32 {
        (operations / (R * 4), true)
    } else {
        (memory / (R * 128), false)
    };
    let log_n = (1..63).find(|log_n| 1_u64 << log_n > n_max / 2)?;
    let p = if by_operations {
        1
    } else {
        (operations / 4 / (1 << log_n)).min(0x3fff_ffff) / R
    };
    let (log_n, p) = (u8::try_from(log_n).ok()?, u32::try_from(p).ok()?);
    if log_n > LOG_N_MAX || p > P_MAX {
        return None;
    }
    scrypt::Params::new(log_n, R as u32, p, scrypt::Params::RECOMMENDED_LEN).ok()
}

/// Over the algorithm, the key id, and both halves.
fn checksum(bytes: &[u8; FILE_BYTES]) -> [u8; 32] {
    let mut hash = Blake2b::<U32>::new();
    hash.update(&bytes[..2]);
    hash.update(&bytes[54..126]);
    hash.finalize().into()
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
