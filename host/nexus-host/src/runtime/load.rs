//! Reads an app's file and tells what it is, before anything else looks at it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nexus_types::{AppDigest, limits};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::shown;

/// The custom section that carries an app's manifest.
pub const MANIFEST_SECTION: &str = "nexus:manifest";

/// The first eight bytes of a component (component-model `Binary.md`: version 13, layer 1).
const COMPONENT_PREAMBLE: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
/// The first eight bytes of a core module (WebAssembly core, section 5.5.16).
const MODULE_PREAMBLE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// A component's bytes, whole and of one piece, not yet compiled.
pub struct AppFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What the app is.
    pub digest: AppDigest,
    /// The manifest it carries.
    pub manifest: Option<String>,
}

/// Why a file cannot be run, with what to do about it.
#[derive(Debug)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: LoadErrorKind,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum LoadErrorKind {
    /// The OS does not give it.
    Io(std::io::Error),
    /// It is larger than any component we load.
    TooLarge,
    /// Nothing is in it.
    Empty,
    /// Not WebAssembly at all.
    NotWasm,
    /// WebAssembly text, not binary.
    Text,
    /// A core module, not a component.
    CoreModule,
    /// Precompiled code: it would run as it is, unchecked.
    Precompiled,
    /// A version of WebAssembly that does not exist (yet).
    UnknownVersion,
    /// It ends in the middle; the offset of the section that is cut.
    Truncated(usize),
    /// The custom section with the manifest is there twice, too long, or no text.
    Manifest(&'static str),
    /// It begins with more than any app may have; what, and how much.
    Demanding(String),
    /// It has the shape of a component, but the compiler refuses it.
    Invalid(String),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = shown::path(&self.path);
        match &self.kind {
            LoadErrorKind::Io(error) => write!(f, "{path}: {error}"),
            LoadErrorKind::TooLarge => write!(
                f,
                "{path}: larger than {} MiB, the most a component may have",
                limits::COMPONENT_BYTES >> 20
            ),
            LoadErrorKind::Empty => write!(f, "{path}: the file is empty"),
            LoadErrorKind::NotWasm => {
                write!(f, "{path}: not WebAssembly (it does not begin with \\0asm)")
            }
            LoadErrorKind::Text => write!(
                f,
                "{path}: WebAssembly text; nexus-host runs the binary form: wasm-tools parse {path} -o app.wasm"
            ),
            LoadErrorKind::CoreModule => write!(
                f,
                "{path}: a core module, not a component; build for the target wasm32-wasip2, \
                 or wrap it: wasm-tools component new {path} -o app.wasm"
            ),
            LoadErrorKind::Precompiled => write!(
                f,
                "{path}: precompiled code (.cwasm), which nobody can check; give the .wasm it was made \
                 from (nexus-host keeps its own compiled copy)"
            ),
            LoadErrorKind::UnknownVersion => write!(
                f,
                "{path}: WebAssembly of a version this nexus-host does not know; rebuild it, or update nexus-host"
            ),
            LoadErrorKind::Truncated(offset) => write!(
                f,
                "{path}: cut off in the section at byte {offset}; copy or build it again"
            ),
            LoadErrorKind::Manifest(what) => {
                write!(f, "{path}: custom section {MANIFEST_SECTION}: {what}")
            }
            LoadErrorKind::Demanding(why) => write!(
                f,
                "{path}: begins with more than any app may have on this host: {why}"
            ),
            LoadErrorKind::Invalid(why) => write!(f, "{path}: not a valid component: {why}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl AppFile {
    /// Reads and tells apart. Nothing is compiled.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let fail = |kind| LoadError {
            path: path.to_owned(),
            kind,
        };
        let bytes = read_bounded(path).map_err(fail)?;
        let manifest = examine(&bytes).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            digest: AppDigest(Sha256::digest(&bytes).into()),
            bytes,
            manifest,
        })
    }
}

impl AppFile {
    /// The error for bytes that the compiler refuses. Its message can quote the app's own names.
    pub fn invalid(&self, error: &wasmtime::Error) -> LoadError {
        let line = |text: String| shown::line(&text, 400);
        let whole = line(format!("{error:#}"));
        // wasmtime has no type for it: the module is sound, and does not fit the reserved slots.
        let kind = if whole.contains("pooling allocator requirements") {
            LoadErrorKind::Demanding(line(error.root_cause().to_string()))
        } else {
            LoadErrorKind::Invalid(whole)
        };
        LoadError {
            path: self.path.clone(),
            kind,
        }
    }
}

/// A text file of at most `bytes_max` bytes: a manifest, a policy, a world.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", shown::path(path)))?;
    text_of(file, path, bytes_max)
}

/// The same of what is read again while apps run, and what the OS says of it. Only a regular file: a pipe could keep
/// whoever reads it, and says what it says once.
pub fn read_text_again(path: &Path, bytes_max: u64) -> Result<(String, Metadata), String> {
    let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", shown::path(path));
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits() as i32)
        .open(path)
        .map_err(|error| fail(&error))?;
    let metadata = file.metadata().map_err(|error| fail(&error))?;
    if !metadata.is_file() {
        return Err(fail(
            &"is not a regular file, which alone can be read again",
        ));
    }
    Ok((text_of(file, path, bytes_max)?, metadata))
}

fn text_of(file: File, path: &Path, bytes_max: u64) -> Result<String, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", shown::path(path));
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(&error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(fail(&format!("larger than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| fail(&"not UTF-8"))
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, LoadErrorKind> {
    let file = File::open(path).map_err(LoadErrorKind::Io)?;
    let metadata = file.metadata().map_err(LoadErrorKind::Io)?;
    if metadata.is_dir() {
        return Err(LoadErrorKind::Io(std::io::Error::other("is a directory")));
    }
    let mut bytes = Vec::new();
    // One more than allowed: what fills it is too large. A pipe or device has no length to ask for.
    file.take(limits::COMPONENT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(LoadErrorKind::Io)?;
    if bytes.len() as u64 > limits::COMPONENT_BYTES {
        return Err(LoadErrorKind::TooLarge);
    }
    Ok(bytes)
}

/// Tells what the bytes are; of a component, the manifest it carries.
fn examine(bytes: &[u8]) -> Result<Option<String>, LoadErrorKind> {
    if bytes.is_empty() {
        return Err(LoadErrorKind::Empty);
    }
    // An ELF header is enough: whatever else it may be, it is machine code.
    if Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF") {
        return Err(LoadErrorKind::Precompiled);
    }
    let head = &bytes[..bytes.len().min(8)];
    if head.len() < 8 && COMPONENT_PREAMBLE.starts_with(head) {
        return Err(LoadErrorKind::Truncated(0));
    }
    if head == MODULE_PREAMBLE {
        return Err(LoadErrorKind::CoreModule);
    }
    if head != COMPONENT_PREAMBLE {
        return Err(match head {
            [0, b'a', b's', b'm', ..] => LoadErrorKind::UnknownVersion,
            _ if looks_like_text(bytes) => LoadErrorKind::Text,
            _ => LoadErrorKind::NotWasm,
        });
    }
    manifest_section(bytes)
}

fn looks_like_text(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    text.starts_with(b"(module") || text.starts_with(b"(component") || text.starts_with(b";;")
}

/// Walks the outermost sections: each is an id, a length and that many bytes.
fn manifest_section(bytes: &[u8]) -> Result<Option<String>, LoadErrorKind> {
    let mut manifest = None;
    let mut at = COMPONENT_PREAMBLE.len();
    while at < bytes.len() {
        let start = at;
        let cut = LoadErrorKind::Truncated(start);
        let id = bytes[at];
        at += 1;
        let Some(length) = leb128(bytes, &mut at) else {
            return Err(cut);
        };
        let Some(content) = bytes.get(at..).and_then(|rest| rest.get(..length)) else {
            return Err(cut);
        };
        at += length;
        if id != 0 {
            continue;
        }
        let mut within = 0;
        let name = leb128(content, &mut within).and_then(|length| {
            content
                .get(within..)?
                .get(..length)
                .map(|name| (name, length))
        });
        let Some((name, length)) = name else {
            return Err(LoadErrorKind::Invalid(format!(
                "the custom section at byte {start} has no name"
            )));
        };
        if name != MANIFEST_SECTION.as_bytes() {
            continue;
        }
        let text = &content[within + length..];
        if text.len() as u64 > limits::MANIFEST_BYTES {
            return Err(LoadErrorKind::Manifest("larger than 256 KiB"));
        }
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(LoadErrorKind::Manifest("not UTF-8"));
        };
        if manifest.replace(text.to_owned()).is_some() {
            return Err(LoadErrorKind::Manifest(
                "there twice, so which one holds is unclear; run nexus-host pack on it again",
            ));
        }
    }
    Ok(manifest)
}

/// An unsigned LEB128 number of at most 32 bits (WebAssembly core, section 5.2.2).
fn leb128(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value: u64 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(u32::try_from(value).ok()?).ok();
        }
    }
    None
}

/// The component with `manifest` as its manifest section, any earlier one taken out.
pub fn with_manifest(bytes: &[u8], manifest: &str) -> Result<Vec<u8>, LoadErrorKind> {
    let mut out = Vec::with_capacity(bytes.len() + manifest.len() + 32);
    out.extend_from_slice(&COMPONENT_PREAMBLE);
    let mut at = COMPONENT_PREAMBLE.len();
    while at < bytes.len() {
        let start = at;
        let id = bytes[at];
        at += 1;
        let length = leb128(bytes, &mut at).ok_or(LoadErrorKind::Truncated(start))?;
        let content = bytes
            .get(at..)
            .and_then(|rest| rest.get(..length))
            .ok_or(LoadErrorKind::Truncated(start))?;
        at += length;
        let mut within = 0;
        let ours = id == 0
            && leb128(content, &mut within)
                .and_then(|length| content.get(within..)?.get(..length))
                .is_some_and(|name| name == MANIFEST_SECTION.as_bytes());
        if !ours {
            out.extend_from_slice(&bytes[start..at]);
        }
    }
    let mut content = Vec::with_capacity(manifest.len() + 16);
    push_leb128(&mut content, MANIFEST_SECTION.len());
    content.extend_from_slice(MANIFEST_SECTION.as_bytes());
    content.extend_from_slice(manifest.as_bytes());
    out.push(0);
    push_leb128(&mut out, content.len());
    out.extend_from_slice(&content);
    Ok(out)
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component() -> Vec<u8> {
        wat::parse_str("(component (core module (func (export \"f\"))))").expect("wat")
    }

    #[test]
    fn a_component_is_told_from_everything_else() {
        assert!(matches!(examine(&component()), Ok(None)));
    }

    #[test]
    fn reject_what_is_no_component() {
        let module = wat::parse_str("(module)").expect("wat");
        assert!(matches!(examine(b""), Err(LoadErrorKind::Empty)));
        assert!(matches!(
            examine(b"#!/bin/sh\n"),
            Err(LoadErrorKind::NotWasm)
        ));
        assert!(matches!(
            examine(b"  (component)"),
            Err(LoadErrorKind::Text)
        ));
        assert!(matches!(examine(&module), Err(LoadErrorKind::CoreModule)));
        assert!(matches!(
            examine(b"\x7fELF\x02\x01"),
            Err(LoadErrorKind::Precompiled)
        ));
        assert!(matches!(
            examine(b"\0asm\x63\0\x01\0"),
            Err(LoadErrorKind::UnknownVersion)
        ));
    }

    #[test]
    fn reject_a_component_cut_anywhere_inside() {
        let bytes = with_manifest(&component(), "[app]\nid = \"a\"\n").expect("packs");
        let mut ends = vec![8];
        // Cut exactly between two outer sections, it is a shorter component; the compiler judges that.
        let mut at = 8;
        while at < bytes.len() {
            at += 1;
            let length = leb128(&bytes, &mut at).expect("whole");
            at += length;
            ends.push(at);
        }
        for length in 1..bytes.len() {
            let whole = examine(&bytes[..length]).is_ok();
            assert_eq!(whole, ends.contains(&length), "{length}");
        }
    }

    #[test]
    fn a_manifest_goes_in_and_comes_out_and_replaces_the_older() {
        let first = with_manifest(&component(), "first").expect("packs");
        let second = with_manifest(&first, "second").expect("packs");
        assert_eq!(examine(&first).expect("reads").as_deref(), Some("first"));
        assert_eq!(examine(&second).expect("reads").as_deref(), Some("second"));
        let engine = Engine::default();
        wasmtime::component::Component::new(&engine, &second).expect("still a component");
    }

    #[test]
    fn reject_two_manifests() {
        let one = with_manifest(&component(), "one").expect("packs");
        let two = with_manifest(&component(), "two").expect("packs");
        let mut both = one;
        both.extend_from_slice(&two[component().len()..]);
        assert!(matches!(examine(&both), Err(LoadErrorKind::Manifest(_))));
    }

    #[test]
    fn a_manifest_at_the_limit_is_read() {
        let text = "x".repeat(limits::MANIFEST_BYTES as usize);
        let bytes = with_manifest(&component(), &text).expect("packs");
        assert_eq!(examine(&bytes).expect("reads"), Some(text));
    }

    #[test]
    fn reject_a_manifest_over_the_limit() {
        let text = "x".repeat(limits::MANIFEST_BYTES as usize + 1);
        let bytes = with_manifest(&component(), &text).expect("packs");
        assert!(matches!(examine(&bytes), Err(LoadErrorKind::Manifest(_))));
    }
}
