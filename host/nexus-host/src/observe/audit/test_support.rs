//! What the tests of the log share: a disk that fills, a clock that steps, records, a log of some segments.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nexus_policy::{AppIdentity, Auditor, Capability, Entry, Recorded, Unrecorded};
use nexus_types::{AppDigest, InstanceId, Instant};
use rustix::io::Errno;

use super::options::Options;
use super::verify::{Chain, verify_state};
use super::writer::Writer;
use super::{Place, PublicKey};

/// Bytes a disk still takes; any number unless set.
#[derive(Clone)]
pub(super) struct Disk(Arc<AtomicU64>);

impl Default for Disk {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Disk {
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::SeqCst);
    }

    /// All of them, or none.
    pub(super) fn keep(&self, bytes: u64) -> Result<(), Errno> {
        let room = self.0.load(Ordering::SeqCst);
        if room == u64::MAX {
            return Ok(());
        }
        let left = room.checked_sub(bytes).ok_or(Errno::NOSPC)?;
        self.0.store(left, Ordering::SeqCst);
        Ok(())
    }

    /// As many of them as there is room for, as write(2) does.
    pub(super) fn take(&self, bytes: usize) -> io::Result<usize> {
        let room = self.0.load(Ordering::SeqCst);
        if room == u64::MAX {
            return Ok(bytes);
        }
        let taken = room.min(bytes as u64);
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.store(room - taken, Ordering::SeqCst);
        Ok(taken as usize)
    }
}

/// A state folder of its own.
pub(super) struct State {
    pub(super) folder: tempfile::TempDir,
    pub(super) disk: Disk,
}

/// Segments of a few records.
pub(super) const SMALL: Options = Options {
    segment_bytes: 40 << 10,
    disk_bytes: 256 << 20,
    files_max: 4096,
    buffer_bytes: 17 << 10,
    ahead_bytes: None,
    head_records: 16,
    head_after: Duration::from_secs(10),
    heads_max: 512,
};

impl State {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            disk: Disk::default(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn place(&self) -> Place {
        Place::of(&self.path())
    }

    pub(super) fn writer(&self, options: Options) -> Writer {
        let mut time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let clock = move || {
            time += Duration::from_millis(1);
            time
        };
        Writer::begin(&self.path(), Box::new(clock), options, self.disk.clone()).expect("opens")
    }

    pub(super) fn verify(&self) -> Vec<Chain> {
        let key = PublicKey::read(&self.place().public_key()).expect("a key");
        verify_state(&self.place(), &key, None).expect("readable")
    }

    /// The one chain there is.
    pub(super) fn chain(&self) -> Chain {
        let mut chains = self.verify();
        assert_eq!(chains.len(), 1, "{chains:?}");
        chains.remove(0)
    }

    /// Every finding, as a person reads it, the folder left out.
    pub(super) fn findings(&self) -> Vec<String> {
        let chains = self.verify();
        let all = chains.iter().flat_map(|chain| &chain.findings);
        all.map(|finding| {
            let text = finding.to_string();
            text.rsplit_once('/')
                .map_or(text.clone(), |(_, rest)| rest.to_owned())
        })
        .collect()
    }

    /// The segments, in their order.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        self.place()
            .segments()
            .expect("listed")
            .into_values()
            .collect()
    }
}

pub(super) fn app() -> AppIdentity {
    AppIdentity {
        id: "com.example.weather".into(),
        digest: AppDigest([9; 32]),
        publisher: None,
    }
}

/// An allowed connect: it is buffered.
pub(super) fn allow(writer: &mut Writer, target: &str) -> Result<(), Unrecorded> {
    decided(writer, Capability::NetworkTcpConnect, target)
}

/// An allowed listen: it is written through.
pub(super) fn sensitive(writer: &mut Writer, target: &str) -> Result<(), Unrecorded> {
    decided(writer, Capability::NetworkTcpListen, target)
}

fn decided(writer: &mut Writer, capability: Capability, target: &str) -> Result<(), Unrecorded> {
    let app = app();
    let entry = Entry {
        app: Some(&app),
        instance: Some(InstanceId(1)),
        capability: Some(capability),
        target: Some(&target),
        verdict: Recorded::Allow,
        reason: "",
        rule: Some("lan-weather"),
        source: &"policy.toml:3",
    };
    writer.record(Instant::from_secs(1), &entry)
}

/// The lines of a file, each with its newline.
pub(super) fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("read");
    text.split_inclusive('\n').map(str::to_owned).collect()
}

pub(super) fn write_lines(path: &Path, lines: &[String]) {
    fs::write(path, lines.concat()).expect("written");
}
