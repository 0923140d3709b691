//! An audit log that anybody may have changed, or written.
//!
//! The first byte of an input says which:
//! - any bytes as a segment, and each line of them as a head;
//! - a segment that the writer wrote, with edits: what is called whole is what was written, but for a
//!   last line that nothing after it names;
//! - a state folder that the writer wrote, with edits in its segments and heads: what no fault is found
//!   with is what was written, as far as heads speak for it.
//!
//! The writer is the real one and runs once a process. A chain's name has the process id and a random
//! number in it, so edits are by line and column, to mean the same in every process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use nexus_policy::{AppIdentity, Auditor, Capability, Entry, Recorded};
use nexus_types::{AppDigest, InstanceId, Instant};

use crate::audit::read::{Segment, read_head, verify_segment};
use crate::audit::verify::verify_state;
use crate::audit::{Fault, Options, Place, PublicKey, Writer};
use crate::input::Input;

/// Edits of one input.
const EDITS_MAX: usize = 16;
/// Faults that are listed of one segment, and heads tried of one input.
const LISTED_MAX: usize = 16;
/// Segments and their heads.
const FOLDERS: [&str; 2] = ["audit", "audit-heads"];

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 3 {
        0 => anything(data),
        1 => one_segment(&mut Input::new(data)),
        _ => whole_state(&mut Input::new(data)),
    }
}

fn anything(data: &[u8]) {
    let segment = verify_segment(data);
    bounded(data, &segment);
    for line in data.split(|b| *b == b'\n').take(LISTED_MAX) {
        match read_head(line, &written().key) {
            // Nobody here can sign.
            Ok(()) => panic!("a head that was not signed"),
            Err(fault) => shown(&fault),
        }
    }
}

fn bounded(data: &[u8], segment: &Segment) {
    let lines = data.iter().filter(|b| **b == b'\n').count() as u64;
    assert!(segment.records <= lines);
    assert!(segment.faults.len() <= LISTED_MAX);
    for (line, fault) in &segment.faults {
        assert!((1..=lines + 1).contains(line));
        shown(fault);
    }
    assert_eq!(segment.last.is_some(), segment.records > 0);
    assert!(segment.last.is_none_or(|last| last.line <= lines));
    let whole = data.is_empty() || data.ends_with(b"\n");
    assert!(whole || segment.cut_off || !segment.faults.is_empty());
}

/// What a person would be told.
fn shown(fault: &Fault) {
    let text = fault.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 4096);
}

fn is_whole(segment: &Segment) -> bool {
    segment.faults.is_empty() && segment.faults_more == 0 && !segment.cut_off
}

fn one_segment(input: &mut Input<'_>) {
    let written = &written().files[0].1;
    let mut lines = lines_of(written);
    edit(&mut lines, input);
    let edited = lines.concat();
    let segment = verify_segment(&edited);
    bounded(&edited, &segment);
    if !is_whole(&segment) {
        return;
    }
    // By itself a chain speaks for all but its last record, and nothing for how many there are.
    let original = lines_of(written);
    let edited = lines_of(&edited);
    let named = edited.len().saturating_sub(1);
    assert!(named <= original.len());
    assert_eq!(edited[..named], original[..named]);
    // The hash of the last one is what a head signs: nothing else has it.
    let last = verify_segment(written).last;
    if segment.last == last {
        assert_eq!(edited, original);
    }
}

fn whole_state(input: &mut Input<'_>) {
    let written = written();
    let mut files: Vec<_> = written
        .files
        .iter()
        .map(|(path, bytes)| (path, Some(lines_of(bytes))))
        .collect();
    while let Some(choice) = input.byte() {
        let which = usize::from(choice >> 1) % files.len();
        match &mut files[which].1 {
            file if choice & 1 != 0 => *file = None,
            Some(lines) => edit(lines, input),
            None => {}
        }
    }
    let folder = folder();
    for (path, lines) in &files {
        if let Some(lines) = lines {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
            fs::write(path, lines.concat()).expect("written");
        }
    }
    let chains = verify_state(&Place::of(folder.path()), &written.key, None).expect("readable");
    for finding in chains.iter().flat_map(|chain| &chain.findings) {
        assert!(!finding.to_string().contains(char::is_control));
    }
    for chain in &chains {
        assert!(
            !chain
                .notes
                .iter()
                .any(|note| note.contains(char::is_control))
        );
        // No other chain can be made of these files.
        assert_eq!(chain.name, written.chain);
        if !chain.findings.is_empty() {
            continue;
        }
        // An edit may leave two lines in one, or none.
        let records =
            |file: Option<&Vec<Vec<u8>>>| lines_of(&file.map_or(Vec::new(), |f| f.concat()));
        let is_log = |path: &Path| path.starts_with(FOLDERS[0]);
        let found: Vec<_> = files
            .iter()
            .filter(|(path, _)| is_log(path))
            .flat_map(|(_, file)| records(file.as_ref()))
            .collect();
        let original: Vec<_> = written
            .files
            .iter()
            .filter(|(path, _)| is_log(path))
            .flat_map(|(_, bytes)| lines_of(bytes))
            .collect();
        let signed = usize::try_from(chain.signed).expect("few");
        assert!(signed <= found.len() && signed <= original.len());
        assert_eq!(found[..signed], original[..signed]);
        assert!(signed > 0 || chain.records <= 1);
    }
}

/// Edits of lines; ends with the input, or with a byte that says so.
fn edit(lines: &mut Vec<Vec<u8>>, input: &mut Input<'_>) {
    for _ in 0..EDITS_MAX {
        let Some(kind) = input.byte() else {
            return;
        };
        let at = usize::from(input.byte().unwrap_or(0)) % lines.len().max(1);
        if lines.is_empty() {
            return;
        }
        let column = usize::from(input.word().unwrap_or(0)) % (lines[at].len() + 1);
        let length = usize::from(kind >> 4);
        match kind & 15 {
            // Other bytes there.
            0 | 1 => {
                let bytes = input.bytes(length);
                let end = (column + bytes.len()).min(lines[at].len());
                lines[at].splice(column..end, bytes.iter().copied());
            }
            2 => {
                let bytes = input.bytes(length);
                lines[at].splice(column..column, bytes.iter().copied());
            }
            3 => {
                let end = (column + length).min(lines[at].len());
                lines[at].drain(column..end);
            }
            4 => {
                if let Some(byte) = lines[at].get_mut(column) {
                    *byte ^= 1 << (length & 7);
                }
            }
            5 => {
                lines.remove(at);
            }
            6 => {
                let other = length % lines.len();
                lines.swap(at, other);
            }
            7 => {
                let line = lines[at].clone();
                let other = length % (lines.len() + 1);
                lines.insert(other, line);
            }
            8 => lines.truncate(at),
            9 => lines[at].truncate(column),
            10 => lines.insert(at, input.bytes(length).to_vec()),
            // Another record's bytes from there on.
            11 => {
                let other = &lines[length % lines.len()];
                let tail = other[column.min(other.len())..].to_vec();
                lines[at].truncate(column);
                lines[at].extend(tail);
            }
            _ => return,
        }
    }
}

/// Lines with their newlines.
fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

/// What the writer left.
struct Written {
    chain: String,
    key: PublicKey,
    /// Segments, then heads, by their paths below the state folder.
    files: Vec<(PathBuf, Vec<u8>)>,
}

fn folder() -> tempfile::TempDir {
    // In memory, where there is such a place: a folder an input.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).expect("a folder")
    } else {
        tempfile::tempdir().expect("a folder")
    }
}

fn written() -> &'static Written {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let folder = folder();
        // The writer makes it, for nobody else.
        let state = folder.path().join("state");
        let place = Place::of(&state);
        let chain = write(&state);
        let key = PublicKey::read(&place.public_key()).expect("a key");
        let mut files = Vec::new();
        for kind in FOLDERS {
            let mut paths: Vec<_> = fs::read_dir(state.join(kind))
                .expect("listed")
                .map(|entry| entry.expect("an entry").path())
                .collect();
            paths.sort();
            for path in paths {
                let bytes = fs::read(&path).expect("read");
                let below = path.strip_prefix(&state).expect("below it");
                files.push((below.to_owned(), bytes));
            }
        }
        assert!(files.len() == 4, "two segments and their heads");
        let whole = verify_state(&place, &key, None).expect("readable");
        assert!(
            whole.iter().all(|chain| chain.findings.is_empty()),
            "{whole:?}"
        );
        Written { chain, key, files }
    })
}

/// Two segments of records of every kind; the chain's name.
fn write(state: &Path) -> String {
    let mut time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let clock = move || {
        time += Duration::from_millis(1);
        time
    };
    let options = Options {
        segment_bytes: 24 << 10,
        head_records: 8,
        ..Options::default()
    };
    let mut writer = Writer::open_with(state, clock, options).expect("opens");
    let app = AppIdentity {
        id: "com.example.weather".into(),
        digest: AppDigest([9; 32]),
        publisher: None,
    };
    let verdicts = [
        Recorded::Allow,
        Recorded::Deny,
        Recorded::Revoke,
        Recorded::Event,
    ];
    for number in 0..32_usize {
        let verdict = verdicts[number % verdicts.len()];
        let target = format!("a.example:443 -> 93.184.216.{number}");
        let entry = Entry {
            app: Some(&app),
            instance: Some(InstanceId(1)),
            capability: Some(Capability::NetworkTcpConnect),
            target: Some(&target),
            verdict,
            reason: if verdict == Recorded::Deny {
                "not-permitted"
            } else {
                ""
            },
            rule: (number % 3 == 0).then_some("lan-weather"),
            source: &"policy.toml:3",
        };
        writer
            .record(Instant::from_secs(1), &entry)
            .expect("recorded");
    }
    writer.close(Instant::from_secs(2));
    writer.chain().to_owned()
}
