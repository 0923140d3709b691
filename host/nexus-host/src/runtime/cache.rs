//! Compiled code, kept so that an app starts without being compiled again.
//!
//! Loading compiled code is running it unchecked, so only what this host compiled is ever
//! loaded: each entry carries a MAC under a key that only its owner can read, the folder and
//! its files must be the user's own, and a link is never followed. Whatever does not fit is
//! compiled again, and said.
//!
//! ```text
//! STATE/code-cache.key          32 random bytes, 0600
//! STATE/code-cache/HEX.cwasm    HMAC-SHA256 (32 bytes), then wasmtime's artifact
//! ```
//! HEX names the component's digest and the engine's compatibility hash, which covers
//! wasmtime's full version: an artifact of a compiler with a known fault is not loaded after
//! the update that fixes it.

use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use nexus_types::AppDigest;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::owned::{KEY_BYTES, open_own, own_dir, read_or_make_key};
use super::shown;

/// All entries together. Stops the cache from filling the disk; the entries longest unused go.
const CACHE_BYTES: u64 = 1 << 30;
/// One entry. Stops a planted file from filling memory before its MAC is looked at.
const ENTRY_BYTES: u64 = 512 << 20;

const MAC_BYTES: usize = 32;
/// Names what the MAC is for, so that the key never speaks for anything else.
const MAC_DOMAIN: &[u8] = b"nexus-host compiled code v1\0";

/// How a component came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Compiled now.
    Compiled,
    /// Compiled earlier, by this host.
    Cached,
}

/// A cache in a state folder, or none.
pub struct CodeCache {
    place: Option<Place>,
    warnings: Vec<String>,
}

struct Place {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    bytes_max: u64,
}

impl CodeCache {
    /// No cache: everything is compiled.
    pub fn off() -> Self {
        Self {
            place: None,
            warnings: Vec::new(),
        }
    }

    /// The cache of this state folder. A folder that cannot be trusted is not used, and said.
    pub fn open(state: &Path) -> Self {
        match Place::open(state) {
            Ok(place) => Self {
                place: Some(place),
                warnings: Vec::new(),
            },
            Err(error) => Self {
                place: None,
                warnings: vec![format!(
                    "compiled code is not cached: {}: {error}",
                    shown::path(state)
                )],
            },
        }
    }

    /// What happened that the operator should know, each once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The component, from the cache if an entry of ours is there.
    pub fn component(
        &mut self,
        engine: &Engine,
        digest: AppDigest,
        bytes: &[u8],
    ) -> wasmtime::Result<(Component, Origin)> {
        let Some(place) = &self.place else {
            return Ok((Component::from_binary(engine, bytes)?, Origin::Compiled));
        };
        let key = EntryKey::new(engine, digest);
        match place.load(engine, &key) {
            Ok(Some(component)) => return Ok((component, Origin::Cached)),
            Ok(None) => {}
            Err(why) => self.warnings.push(format!(
                "compiled code in the cache was not used, the app is compiled again: {}: {why}",
                shown::path(&place.path(&key))
            )),
        }
        let component = Component::from_binary(engine, bytes)?;
        if let Err(error) = place.store(&component, &key) {
            self.warnings.push(format!(
                "compiled code could not be cached: {}: {error:#}",
                shown::path(&place.path(&key))
            ));
        }
        Ok((component, Origin::Compiled))
    }
}

/// When it was used last, where it is, and its length.
type Entry = (SystemTime, PathBuf, u64);

/// What an entry is for.
struct EntryKey {
    digest: AppDigest,
    compatibility: [u8; 32],
}

impl EntryKey {
    fn new(engine: &Engine, digest: AppDigest) -> Self {
        Self {
            digest,
            compatibility: compatibility(engine),
        }
    }

    fn name(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.digest.0);
        hash.update(self.compatibility);
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        format!("{hex}.cwasm")
    }
}

/// Everything that decides whether an engine may run an artifact, hashed.
pub(super) fn compatibility(engine: &Engine) -> [u8; 32] {
    /// A `Hasher` whose whole output can be had: 64 bits are too few to keep artifacts apart.
    struct Wide(Sha256);
    impl Hasher for Wide {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let hash = self.0.clone().finalize();
            u64::from_le_bytes([
                hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
            ])
        }
    }
    let mut hasher = Wide(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

impl Place {
    fn open(state: &Path) -> io::Result<Self> {
        own_dir(state)?;
        let key = read_or_make_key(&state.join("code-cache.key"))?;
        let dir = state.join("code-cache");
        own_dir(&dir)?;
        Ok(Self {
            dir,
            key,
            bytes_max: CACHE_BYTES,
        })
    }

    fn path(&self, key: &EntryKey) -> PathBuf {
        self.dir.join(key.name())
    }

    fn mac(&self, key: &EntryKey, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key)
            .expect("HMAC takes a key of any length");
        mac.update(MAC_DOMAIN);
        mac.update(&key.digest.0);
        mac.update(&key.compatibility);
        mac.update(code);
        mac
    }

    /// `Err` says why an entry that is there is not to be trusted.
    fn load(&self, engine: &Engine, key: &EntryKey) -> Result<Option<Component>, String> {
        let path = self.path(key);
        let file = match open_own(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut bytes = Vec::new();
        (&file)
            .take(ENTRY_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        if bytes.len() as u64 > ENTRY_BYTES {
            return Err("larger than any entry".into());
        }
        if bytes.len() < MAC_BYTES {
            return Err("cut off".into());
        }
        let (mac, code) = bytes.split_at(MAC_BYTES);
        self.mac(key, code)
            .verify_slice(mac)
            .map_err(|_| "not made by this host, or changed since".to_owned())?;
        #[allow(
            unsafe_code,
            reason = "the one place that loads compiled code; see SAFETY"
        )]
        // SAFETY: `deserialize` needs bytes that `Component::serialize` of this engine's
        // configuration made. The MAC over them, the component's digest and the engine's
        // compatibility hash verified just now under a key that only this user can read, so
        // this host wrote them, for this engine; and they were read whole into memory of ours
        // before, so nobody changes them after the check.
        let component = unsafe { Component::deserialize(engine, code) };
        let component = component.map_err(|error| format!("{error:#}"))?;
        // For the order in which entries go; a read-only folder is no reason to fail.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(component))
    }

    fn store(&self, component: &Component, key: &EntryKey) -> Result<(), String> {
        let code = component
            .serialize()
            .map_err(|error| format!("{error:#}"))?;
        let mac = self.mac(key, &code).finalize().into_bytes();
        let write = || -> io::Result<()> {
            // Under another name first: nobody ever reads half an entry.
            let temporary = self
                .dir
                .join(format!("{}.{}.new", key.name(), std::process::id()));
            let _ = fs::remove_file(&temporary);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            let written = file
                .write_all(&mac)
                .and_then(|()| file.write_all(&code))
                .and_then(|()| fs::rename(&temporary, self.path(key)));
            if written.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            written
        };
        write().map_err(|error| error.to_string())?;
        self.evict().map_err(|error| error.to_string())
    }

    /// Removes the entries longest unused until the rest fits.
    fn evict(&self) -> io::Result<()> {
        self.remove_oldest(self.entries()?)
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Another host evicts, too, or has renamed what it was writing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.is_file() {
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push((modified, entry.path(), metadata.len()));
            }
        }
        Ok(entries)
    }

    fn remove_oldest(&self, mut entries: Vec<Entry>) -> io::Result<()> {
        entries.sort();
        let mut all: u64 = entries.iter().map(|(_, _, length)| length).sum();
        // The newest stays, however large: it is the one in use.
        entries.pop();
        for (_, path, length) in entries {
            if all <= self.bytes_max {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                // Gone either way.
                _ => all -= length,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
