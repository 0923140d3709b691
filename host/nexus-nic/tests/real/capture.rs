//! A capture on a disk that becomes full.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nexus_nic::{Capture, Direction, LinkType};

use nexus_testbed::alone;

/// A small disk, unmounted when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "nexus-nic"])
            .arg(folder.path())
            .status();
        assert!(mount.is_ok_and(|status| status.success()), "needs root");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// Goal: what a full disk leaves can be read. Method: walk its blocks to the very end.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_full_disk_leaves_whole_blocks() {
    let _alone = alone();
    let disk = Disk::new();
    let path = disk.path().join("a.pcapng");
    let mut capture = Capture::create(&path).expect("a file");
    let id = capture.add_interface(LinkType::Ethernet, "nx0");
    for _ in 0..2_000 {
        capture.record(id, Duration::ZERO, Direction::In, &[7; 1_001]);
    }
    let note = capture.take_end().expect("it is full").to_string();
    drop(capture);
    let file = std::fs::read(&path).expect("the file");
    let (mut at, mut packets) = (0, 0);
    while at < file.len() {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four"));
        packets += u32::from(word(at) == 6);
        at += word(at + 4) as usize;
    }
    assert_eq!(at, file.len());
    assert!(packets > 200, "{packets}");
    assert!(
        note.contains(&format!("ended after {packets} frames")),
        "{note}"
    );
}
