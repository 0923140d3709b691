//! A capture on a disk that becomes full.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nexus_nic::{Capture, Direction, LinkType};
use nexus_testbed::alone;

/// A small disk, in a mount namespace of its own: gone with the child that holds that, and so with us.
struct Disk {
    holder: Child,
    folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = r#"mount -t tmpfs -o size=512k nexus-nic "$0" && exec cat"#;
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", mount])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is in util-linux");
        // What comes back has passed `cat`, which runs once the disk is there.
        let made = holder.stdin.as_mut().map(|pipe| pipe.write_all(b"\n"));
        made.expect("a pipe").expect("it takes it");
        let answer = holder.stdout.as_mut().map(|pipe| pipe.read_exact(&mut [0]));
        answer.expect("a pipe").expect("root may mount a disk");
        Self { holder, folder }
    }

    /// The folder as the holder sees it.
    fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let folder = self.folder.path();
        root.join(folder.strip_prefix("/").expect("it is absolute"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
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
