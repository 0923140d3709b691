//! Keeps the log within its share of the disk: the oldest segments that nobody writes go first, and those of a
//! chain that has more than half of it before any other.
//!
//! Who can write the folder of the log alone must not be able to have what it holds given up: files that are
//! none of ours, and so have no heads, are not counted, and nothing is signed for them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::evict;
use super::key::HostKey;
use super::names::SegmentName;
use super::out::lock_within;
use super::place::{Place, open_plain, shown, too_long};
use super::time;

/// A file takes at least a block, so that many short chains count for what they take.
const BLOCK_BYTES: u64 = 4096;

/// How old a file without heads must be before it is none of a host's that is just making it.
const JUST_MADE_MILLIS: u64 = 60_000;

/// How long a check of the log can have a segment locked.
pub(super) const GLANCE: Duration = Duration::from_millis(10);

/// How often it is looked anew for what can go, where somebody else took a file away meanwhile.
const LOOKS_MAX: usize = 3;

/// What the log may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) disk_bytes: u64,
    pub(super) files_max: usize,
}

impl Bounds {
    fn hold(self, taken: Taken) -> bool {
        taken.bytes <= self.disk_bytes && taken.files <= self.files_max
    }

    /// Whether that is more than a chain's share.
    fn half_hold(self, taken: Taken) -> bool {
        taken.bytes.saturating_mul(2) <= self.disk_bytes
            && taken.files.saturating_mul(2) <= self.files_max
    }
}

/// What is to be made room for: one more segment.
pub(super) struct Wanted<'a> {
    pub(super) bounds: Bounds,
    pub(super) bytes: u64,
    /// The chain it will be of, which may be there already.
    pub(super) chain: &'a str,
    pub(super) millis: u64,
    /// How long hosts that make room at the same time may be waited for.
    pub(super) patience: Duration,
}

/// Bytes and files, of a chain or of all.
#[derive(Clone, Copy, Default)]
struct Taken {
    bytes: u64,
    files: usize,
}

impl Taken {
    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.files += 1;
    }

    fn take(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.files = self.files.saturating_sub(1);
    }
}

/// A segment that might go.
pub(super) struct Old {
    pub(super) name: SegmentName,
    pub(super) path: PathBuf,
    /// With its heads.
    bytes: u64,
    modified: SystemTime,
}

/// What there is of a log.
#[derive(Default)]
struct Found {
    chains: BTreeMap<String, (Taken, VecDeque<Old>)>,
    all: Taken,
    /// Files that are no segments of ours: how many, and one of them.
    foreign: Option<(usize, PathBuf)>,
}

/// What a person should know of the log.
#[derive(Default)]
pub(super) struct Warnings {
    /// Not told yet.
    pub(super) new: Vec<String>,
    /// That there are files of others is said once.
    foreign: bool,
}

/// Makes room. Whether there is.
pub(super) fn make(
    place: &Place,
    key: &HostKey,
    wanted: &Wanted<'_>,
    tell: &mut Warnings,
) -> io::Result<bool> {
    let mut found = look(place, wanted.millis)?;
    if let Some((count, path)) = &found.foreign
        && !std::mem::replace(&mut tell.foreign, true)
    {
        tell.new.push(format!(
            "{}: is no segment that a host of this state folder wrote ({count} such): it is not counted, and stays; \
             move away what is not of the log",
            shown(path)
        ));
    }
    found.count(wanted);
    if wanted.bounds.hold(found.all) {
        return Ok(true);
    }
    // One at a time: two would give up more than is needed, and each be in the way of the other.
    let Some(_lock) = one_at_a_time(place, wanted.patience)? else {
        return Ok(false);
    };
    for _ in 0..LOOKS_MAX {
        let mut found = look(place, wanted.millis)?;
        found.count(wanted);
        // Nothing goes unless enough can.
        let Some(plan) = plan(place, key, found, wanted)? else {
            return Ok(false);
        };
        let mut all = true;
        for old in plan {
            all = all && evict::give_up(place, key, &old, wanted.millis, tell)?;
        }
        if all {
            evict::forget(place, key)?;
            return Ok(true);
        }
    }
    Ok(false)
}

impl Found {
    /// Counts what is to come.
    fn count(&mut self, wanted: &Wanted<'_>) {
        self.all.add(wanted.bytes);
        if let Some((taken, _)) = self.chains.get_mut(wanted.chain) {
            taken.add(wanted.bytes);
        }
    }

    /// The chain that gives up its oldest segment next.
    fn next(&self, bounds: Bounds) -> Option<String> {
        let all = self.chains.iter();
        let all = all.filter_map(|(name, (taken, segments))| {
            Some((name, *taken, segments.front()?.modified))
        });
        let greedy = all
            .clone()
            .filter(|(_, taken, _)| !bounds.half_hold(*taken))
            .max_by_key(|(_, taken, _)| taken.bytes);
        let next = greedy.or_else(|| all.min_by_key(|(name, _, modified)| (*modified, *name)));
        next.map(|(name, _, _)| name.clone())
    }
}

/// Segments whose end makes the room that is wanted; none: there are not enough.
fn plan(
    place: &Place,
    key: &HostKey,
    mut found: Found,
    wanted: &Wanted<'_>,
) -> io::Result<Option<Vec<Old>>> {
    let mut plan = Vec::new();
    while !wanted.bounds.hold(found.all) {
        let Some(name) = found.next(wanted.bounds) else {
            return Ok(None);
        };
        // A chain goes from its beginning: one with a hole in it could not be followed.
        let Some((taken, segments)) = found.chains.get_mut(&name) else {
            return Ok(None);
        };
        let Some(old) = segments.pop_front() else {
            return Ok(None);
        };
        // A host has the last one of its chain open.
        if segments.is_empty() && !is_free(&old.path) {
            continue;
        }
        taken.take(old.bytes);
        found.all.take(old.bytes);
        // With heads that we did not sign it is not ours to give up.
        if evict::is_ours(place, key, &old.name) {
            plan.push(old);
        }
    }
    Ok(Some(plan))
}

/// Whether nobody writes a segment.
fn is_free(path: &Path) -> bool {
    match open_plain(path) {
        Ok(file) => lock_within(&file, GLANCE).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Every segment of ours, by chain in its order. Takes away empty files that nobody is making.
fn look(place: &Place, millis: u64) -> io::Result<Found> {
    let heads = place.head_files()?;
    let mut found = Found::default();
    for (name, path) in place.segments()? {
        let Some(metadata) = metadata(&path)? else {
            continue;
        };
        let heads = match heads.get(&name) {
            Some(heads) => metadata_len(heads)?,
            None => 0,
        };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if !metadata.is_file() || too_long(metadata.len()) {
            found.strange(path);
        } else if heads == 0 {
            if millis.saturating_sub(time::millis(modified)) > JUST_MADE_MILLIS {
                let removed =
                    metadata.len() == 0 && is_free(&path) && fs::remove_file(&path).is_ok();
                if !removed {
                    found.strange(path);
                }
            }
        } else {
            let bytes = metadata.len().max(BLOCK_BYTES) + heads.max(BLOCK_BYTES);
            let (taken, segments) = found.chains.entry(name.chain.clone()).or_default();
            taken.add(bytes);
            found.all.add(bytes);
            segments.push_back(Old {
                name,
                path,
                bytes,
                modified,
            });
        }
    }
    Ok(found)
}

impl Found {
    fn strange(&mut self, path: PathBuf) {
        self.foreign.get_or_insert((0, path)).0 += 1;
    }
}

fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(Some),
    }
}

fn metadata_len(path: &Path) -> io::Result<u64> {
    Ok(metadata(path)?.map_or(0, |metadata| metadata.len()))
}

/// Waits for other hosts that make room, for a bounded time; none: they still do.
fn one_at_a_time(place: &Place, patience: Duration) -> io::Result<Option<File>> {
    // Beside the heads: who can write the log alone must not be able to stop it.
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(place.heads.join("room.lock"))?;
    match lock_within(&file, patience) {
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(Some(file)),
    }
}
