//! Records that cannot be kept: what is said of them, and what keeps them few.

use std::fs;
use std::time::{Duration, SystemTime};

use super::options::Options;
use super::test_support::{SMALL, State, allow};
use super::writer::Writer;

/// Goal: a log that lacks records says so, also on a disk that stays full.
/// Method: the disk has room for some; what is lost is counted, told once, and stands in the chain, which ends
/// with its last line and a head.
#[test]
fn reject_records_on_a_full_disk_with_room_kept_to_say_so() {
    for room in [40_000, 50_000, 70_001] {
        let state = State::new();
        state.disk.set(room);
        let mut writer = state.writer(Options {
            segment_bytes: 1 << 20,
            ahead_bytes: Some(8 << 10),
            ..SMALL
        });
        let all = 1000;
        let kept = (0..all)
            .filter(|n| allow(&mut writer, &format!("{n}")).is_ok())
            .count() as u64;
        assert!(kept > 10 && kept < all, "{kept}");
        assert_eq!(writer.dropped(), all - kept);
        let told = writer.warnings();
        assert!(
            told.len() == 1 && told[0].contains("cannot be kept"),
            "{told:?}"
        );
        drop(writer);
        let chain = state.chain();
        assert_eq!(chain.findings, [], "{room}");
        assert_eq!(chain.dropped, all - kept, "{room}");
        // The first and the last line, and what is missing.
        assert_eq!((chain.records, chain.signed), (kept + 3, kept + 3));
        assert_eq!(chain.notes, [""; 0]);
    }
}

/// What is kept ahead on the disk is given back.
#[test]
fn room_that_was_kept_is_given_back() {
    use std::os::unix::fs::MetadataExt;
    let state = State::new();
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    drop(Writer::open(&state.path(), clock).expect("opens"));
    let metadata = fs::metadata(&state.segments()[0]).expect("there");
    assert!(metadata.blocks() * 512 <= 8192, "{}", metadata.blocks());
}

/// Goal: who makes the file that a host would go on in does not end its log. Method: the second segment, and then
/// the heads of one, are there before the host gets to them; it goes on in another chain and says so, each chain is
/// good but for the file that was put there, and no record is lost.
#[test]
fn reject_a_segment_that_somebody_else_made_first() {
    for folder in ["audit", "audit-heads"] {
        let state = State::new();
        let mut writer = state.writer(SMALL);
        let before = writer.chain().to_owned();
        let end = if folder == "audit" { "jsonl" } else { "heads" };
        let made = state
            .path()
            .join(folder)
            .join(format!("{before}.000002.{end}"));
        fs::write(&made, "").expect("made");
        for n in 0..400 {
            allow(&mut writer, &format!("{n}")).expect("kept");
        }
        assert_ne!(writer.chain(), before);
        let told = writer.warnings();
        assert!(
            told.len() == 1 && told[0].contains("somebody else made it"),
            "{told:?}"
        );
        drop(writer);
        let chains = state.verify();
        assert_eq!(chains.len(), 2);
        let records: u64 = chains.iter().map(|chain| chain.records).sum();
        let segments: usize = chains.iter().map(|chain| chain.segments).sum();
        // One of each segment of ours, and the ends of two chains.
        let ours = segments - usize::from(folder == "audit");
        assert_eq!(records, 400 + ours as u64 + 2);
        assert!(chains.iter().all(|chain| chain.signed == chain.records));
        fs::remove_file(made).expect("removed");
        assert_eq!(state.findings(), [""; 0]);
    }
}
