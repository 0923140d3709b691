//! What the writer keeps, where, and what it does when the disk takes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use nexus_policy::{Auditor, Entry, Recorded, Unrecorded};
use nexus_types::Instant;

use super::options::{OpenError, Options};
use super::record::Record;
use super::test_support::{SMALL, State, allow, lines, sensitive};
use super::verify::Chain;
use super::writer::Writer;
use super::{AuditLog, Broken, RECORD_BYTES_MAX};

const NOW: Instant = Instant::from_secs(1);
const LATER: Instant = Instant::from_secs(5);

fn event(writer: &mut Writer, reason: &str) -> Result<(), Unrecorded> {
    let entry = Entry {
        app: None,
        instance: None,
        capability: None,
        target: None,
        verdict: Recorded::Event,
        reason,
        rule: None,
        source: &"host",
    };
    writer.record(NOW, &entry)
}

fn in_file(state: &State) -> usize {
    lines(&state.segments()[0]).len()
}

#[test]
fn folders_and_files_are_the_users_alone() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    allow(&mut writer, "a").expect("kept");
    writer.close(NOW);
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for folder in ["audit", "audit-heads", "keys"] {
        let folder = state.path().join(folder);
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for file in fs::read_dir(&folder).expect("listed") {
            let file = file.expect("listed").path();
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
}

/// What must be with the kernel is when `record` returns; the rest waits, and is written when it is due.
#[test]
fn sensitive_records_are_written_through_and_others_wait() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    assert_eq!(in_file(&state), 1);
    allow(&mut writer, "a").expect("kept");
    assert_eq!(in_file(&state), 1);
    sensitive(&mut writer, "b").expect("kept");
    assert_eq!(in_file(&state), 3);
    event(&mut writer, "policy-read").expect("kept");
    assert_eq!(in_file(&state), 4);
    allow(&mut writer, "c").expect("kept");
    let due = writer.deadline().expect("something waits");
    writer.poll(NOW);
    assert_eq!(in_file(&state), 4);
    writer.poll(due);
    assert_eq!(in_file(&state), 5);
    let head = writer.deadline().expect("a head");
    assert!(head > due);
    assert_eq!(state.chain().signed, 1);
    writer.poll(head);
    assert_eq!(state.chain().signed, 5);
    assert_eq!(writer.deadline(), None);
}

#[test]
fn a_buffer_that_is_full_is_written() {
    let state = State::new();
    let mut writer = state.writer(Options {
        head_records: u64::MAX,
        ..SMALL
    });
    for n in 0..45 {
        allow(&mut writer, &format!("{n}")).expect("kept");
        assert!(in_file(&state) + 60 > n);
    }
    assert!(in_file(&state) > 1);
}

/// A record a person can read back has what the decision had.
#[test]
fn records_read_back() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    sensitive(&mut writer, "any:8080").expect("kept");
    let line = lines(&state.segments()[0]).remove(1);
    let record = Record::parse(line.trim_end().as_bytes()).expect("a record");
    assert_eq!(record.seq, 2);
    assert_eq!(record.app.as_deref(), Some("com.example.weather"));
    assert_eq!(record.instance, Some(1));
    assert_eq!(record.cap.as_deref(), Some("network.tcp.listen"));
    assert_eq!(record.target.as_deref(), Some("any:8080"));
    assert_eq!(
        (record.verdict.as_str(), record.reason.as_str()),
        ("allow", "")
    );
    assert_eq!(record.rule.as_deref(), Some("lan-weather"));
    assert_eq!(record.source, "policy.toml:3");
    assert!(
        record.t.starts_with("2026-11-1") && record.t.ends_with('Z'),
        "{}",
        record.t
    );
}

/// No segment is over its bound, at any length of a record.
#[test]
fn segments_keep_their_bound() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    for n in 0..400 {
        allow(&mut writer, &"x".repeat(n * 7 % 2000)).expect("kept");
    }
    drop(writer);
    let segments = state.segments();
    assert!(segments.len() > 3);
    for segment in segments {
        let bytes = fs::metadata(segment).expect("there").len();
        assert!(bytes <= SMALL.segment_bytes, "{bytes}");
    }
    assert_eq!(state.findings(), [""; 0]);
}

#[test]
fn many_heads_begin_a_new_segment() {
    let state = State::new();
    let mut writer = state.writer(Options {
        heads_max: 4,
        ..SMALL
    });
    for n in 0..12 {
        sensitive(&mut writer, &format!("{n}")).expect("kept");
        writer.flush(NOW);
    }
    drop(writer);
    assert!(state.segments().len() >= 4);
    for heads in state.place().head_files().expect("listed").into_values() {
        // One that ends it may come on top.
        assert!(lines(&heads).len() <= 5);
    }
    assert_eq!(state.findings(), [""; 0]);
}

/// Where no segment can begin because of heads, records and heads go on in the one there is.
#[test]
fn many_heads_without_room_for_a_segment_lose_no_record() {
    let state = State::new();
    let mut writer = state.writer(Options {
        heads_max: 4,
        files_max: 1,
        ..SMALL
    });
    for n in 0..12 {
        sensitive(&mut writer, &format!("{n}")).expect("kept");
        writer.flush(NOW);
    }
    drop(writer);
    let chain = state.chain();
    assert_eq!(chain.findings, []);
    assert_eq!((chain.records, chain.signed), (14, 14));
    let heads = state.place().head_files().expect("listed");
    assert_eq!(
        heads.values().map(|heads| lines(heads).len()).max(),
        Some(14)
    );
}

/// The oldest segments of what has most go first, what is left fits, and a check knows that they were given up.
#[test]
fn the_folder_keeps_its_bound() {
    let state = State::new();
    let options = Options {
        disk_bytes: 200 << 10,
        ..SMALL
    };
    let mut first = state.writer(options);
    sensitive(&mut first, "first").expect("kept");
    drop(first);
    let mut writer = state.writer(options);
    for n in 0..1500 {
        allow(&mut writer, &format!("{n}")).expect("kept");
    }
    assert_eq!(writer.dropped(), 0);
    let size = |folder: &str| -> u64 {
        let files = fs::read_dir(state.path().join(folder)).expect("listed");
        files
            .map(|file| file.expect("listed").metadata().expect("there").len())
            .sum()
    };
    assert!(size("audit") + size("audit-heads") <= options.disk_bytes);
    drop(writer);
    let mut chains = state.verify();
    chains.sort_by_key(|chain| chain.segments);
    assert_eq!(chains.len(), 2);
    assert!(chains.iter().all(|chain| chain.findings.is_empty()));
    let notes = |chain: &Chain| chain.notes.concat();
    assert!(
        notes(&chains[1]).contains("were given up to make room"),
        "{chains:?}"
    );
    // A chain with more than half of the bytes took nothing from the other.
    assert_eq!((notes(&chains[0]).as_str(), chains[0].records), ("", 3));
    // One more that is missing was taken away.
    let last = chains[1].segments - 1;
    let of_both = state.place().segments().expect("listed");
    let mut own = of_both
        .iter()
        .filter(|(name, _)| name.chain == chains[1].name);
    fs::remove_file(own.nth(last / 2).expect("segments").1).expect("removed");
    assert!(state.findings()[0].contains("is missing"));
}

/// What is not given up at the end of what was given up must follow it.
#[test]
fn reject_an_edit_of_the_first_line_after_what_was_given_up() {
    let state = State::new();
    let options = Options {
        disk_bytes: 200 << 10,
        ..SMALL
    };
    let mut writer = state.writer(options);
    for n in 0..1500 {
        allow(&mut writer, &format!("{n}")).expect("kept");
    }
    drop(writer);
    let path = &state.segments()[0];
    let mut all = lines(path);
    let prev = all[0].find("\"prev\":\"").expect("a record") + 8;
    all[0].replace_range(prev..prev + 64, &"00".repeat(32));
    super::test_support::write_lines(path, &all);
    assert!(
        state.findings()[0].contains(".jsonl:1: "),
        "{:?}",
        state.findings()
    );
}

#[test]
fn many_short_chains_keep_the_bound_of_files() {
    let state = State::new();
    let options = Options {
        files_max: 5,
        ..SMALL
    };
    for n in 0..12 {
        let mut writer = state.writer(options);
        event(&mut writer, &format!("{n}")).expect("kept");
        assert!(state.segments().len() <= 5);
    }
    assert_eq!(state.findings(), [""; 0]);
}

/// Two hosts in one state folder: two chains, one key, and neither takes the other's segments away.
#[test]
fn two_writers_have_a_chain_each() {
    let state = State::new();
    let options = Options {
        disk_bytes: 200 << 10,
        ..SMALL
    };
    let mut one = state.writer(options);
    let mut two = state.writer(options);
    assert_ne!(one.chain(), two.chain());
    for n in 0..800 {
        allow(&mut one, &format!("one {n}")).expect("kept");
        if n % 100 == 0 {
            allow(&mut two, &format!("two {n}")).expect("kept");
        }
    }
    assert_eq!(state.findings(), [""; 0]);
    drop((one, two));
    let chains = state.verify();
    assert!(chains.iter().all(|chain| chain.findings.is_empty()));
    assert_eq!(chains.iter().map(|chain| chain.records).min(), Some(10));
}

/// Folders that hosts which run hold whole: one more is refused, and an open one goes on in what it has.
#[test]
fn reject_another_host_where_those_that_run_hold_all() {
    let state = State::new();
    let options = Options {
        files_max: 1,
        ..SMALL
    };
    let mut one = state.writer(options);
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let error = Writer::open_with(&state.path(), clock, options)
        .err()
        .expect("refused");
    assert!(matches!(error, OpenError::NoRoom(_)), "{error}");
    allow(&mut one, "a").expect("kept");
    // It cannot begin a second segment either: what it cannot keep it counts.
    let kept = (0..200)
        .filter(|n| allow(&mut one, &format!("{n}")).is_ok())
        .count();
    assert_eq!(one.dropped() as usize, 200 - kept);
    assert!(one.dropped() > 0);
    drop(one);
    assert_eq!(state.findings(), [""; 0]);
}

/// Goal: a full disk loses no chain, keeps no sensitive act unrecorded, and is told of.
/// Method: the disk takes `room` more bytes, for every kind of place in a line it can end at; then it
/// takes everything again.
#[test]
fn reject_sensitive_records_on_a_full_disk() {
    for room in [0, 1, 100, 380, 500] {
        let state = State::new();
        let mut writer = state.writer(SMALL);
        allow(&mut writer, "before").expect("kept");
        state.disk.set(room);
        // With 500 bytes, what waits is written and half of the next line.
        sensitive(&mut writer, "lost").expect_err("not recorded");
        sensitive(&mut writer, "lost").expect_err("not recorded");
        allow(&mut writer, "waits").expect("kept in memory");
        assert_eq!(writer.dropped(), 2);
        state.disk.set(u64::MAX);
        sensitive(&mut writer, "after").expect("kept");
        drop(writer);
        let all = lines(&state.segments()[0]).concat();
        assert!(
            !all.contains("lost") && all.contains("waits") && all.contains("after"),
            "{all}"
        );
        let chain = state.chain();
        assert_eq!(chain.findings, [], "{room}");
        assert_eq!(chain.dropped, 2);
        assert!(all.contains(
            "\"target\":\"2 records\",\"verdict\":\"event\",\"reason\":\"records-dropped\""
        ));
    }
}

/// A disk that stays full: memory is bounded, and what did not fit is counted.
#[test]
fn reject_records_past_the_buffer_on_a_full_disk() {
    let state = State::new();
    let mut writer = state.writer(Options {
        segment_bytes: 1 << 20,
        ..SMALL
    });
    state.disk.set(0);
    let kept = (0..500)
        .filter(|n| allow(&mut writer, &format!("{n}")).is_ok())
        .count() as u64;
    assert!(kept > 10 && kept < 60, "{kept}");
    assert_eq!(writer.dropped(), 500 - kept);
    // What the host leaves when it ends then: what it had written, and no head for more.
    drop(writer);
    let chain = state.chain();
    assert_eq!(chain.findings, []);
    assert_eq!(chain.records, 1);
}

/// A disk that ends within a line, and a host that ends then: a line cut off, said and no fault.
#[test]
fn a_host_that_ends_on_a_full_disk_leaves_a_line_cut_off() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    allow(&mut writer, "half").expect("kept in memory");
    state.disk.set(100);
    writer.flush(NOW);
    drop(writer);
    let chain = state.chain();
    assert_eq!(chain.findings, []);
    assert!(
        chain
            .notes
            .iter()
            .any(|note| note.contains("line 2 is cut off")),
        "{:?}",
        chain.notes
    );
}

/// A full disk at the moment a segment ends: the chain goes on in a new one later.
#[test]
fn a_segment_that_cannot_begin_is_tried_again() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    let mut n = 0;
    while state.segments().len() < 2 {
        // A line fits, a new segment's first line does not.
        allow(&mut writer, &format!("{n}")).expect("kept");
        writer.flush(NOW);
        n += 1;
    }
    for _ in 0..60 {
        allow(&mut writer, "fill").expect("kept");
        writer.flush(NOW);
    }
    state.disk.set(0);
    while allow(&mut writer, "more").is_ok() {}
    assert_eq!(state.segments().len(), 2);
    state.disk.set(u64::MAX);
    allow(&mut writer, "too soon").ok();
    let app = super::test_support::app();
    let entry = Entry {
        app: Some(&app),
        instance: None,
        capability: None,
        target: None,
        verdict: Recorded::Event,
        reason: "app-ended",
        rule: None,
        source: &"host",
    };
    for _ in 0..30 {
        writer.record(LATER, &entry).expect("kept");
    }
    drop(writer);
    assert_eq!(state.findings(), [""; 0]);
    assert!(state.chain().dropped > 0);
}

#[test]
fn reject_a_disk_that_takes_no_first_record() {
    let state = State::new();
    state.disk.set(10);
    let clock = Box::new(|| SystemTime::UNIX_EPOCH);
    let error = Writer::begin(&state.path(), clock, SMALL, state.disk.clone())
        .err()
        .expect("refused");
    assert!(matches!(error, OpenError::File(..)), "{error}");
    assert!(state.segments().is_empty());
}

#[test]
fn reject_a_folder_or_key_others_can_read() {
    let state = State::new();
    drop(state.writer(SMALL));
    let chmod = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set")
    };
    let key = state.path().join("keys/audit.key");
    chmod(&key, 0o640);
    let open = || {
        Writer::open(&state.path(), || SystemTime::UNIX_EPOCH)
            .err()
            .map(|error| error.to_string())
    };
    assert!(open().expect("refused").contains("open to other users"));
    chmod(&key, 0o600);
    for folder in ["audit", "audit-heads", "keys", ""] {
        let folder = state.path().join(folder);
        chmod(&folder, 0o755);
        assert!(open().expect("refused").contains("chmod 700"));
        chmod(&folder, 0o700);
    }
    assert_eq!(open(), None);
    fs::write(&key, b"short").expect("written");
    assert!(open().expect("refused").contains("cut off"));
}

#[test]
fn reject_everything_without_a_log() {
    let (mut log, error) = AuditLog::open(None, || SystemTime::UNIX_EPOCH);
    assert!(matches!(error, Some(OpenError::NoStateFolder)));
    let entry = Entry {
        app: None,
        instance: None,
        capability: None,
        target: None,
        verdict: Recorded::Event,
        reason: "x",
        rule: None,
        source: &"host",
    };
    assert_eq!(log.record(NOW, &entry), Err(Unrecorded));
    assert_eq!(Broken.record(NOW, &entry), Err(Unrecorded));
    assert_eq!(log.dropped(), 1);
    assert_eq!(log.deadline(), None);
}

/// After the end nothing is kept, and the chain stays as it was signed.
#[test]
fn reject_records_after_the_end() {
    let state = State::new();
    let writer = state.writer(SMALL);
    let mut log = AuditLog::new(writer);
    let mut other = log.clone();
    log.close(NOW);
    let entry = Entry {
        app: None,
        instance: None,
        capability: None,
        target: None,
        verdict: Recorded::Event,
        reason: "x",
        rule: None,
        source: &"host",
    };
    assert_eq!(other.record(NOW, &entry), Err(Unrecorded));
    log.record(NOW, &entry).expect_err("over");
    log.flush(NOW);
    drop((log, other));
    let chain = state.chain();
    assert_eq!((chain.findings, chain.records), (vec![], 2));
}

/// A guest cannot make a line longer than a reader takes.
#[test]
fn records_longer_than_their_bound_are_cut() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    sensitive(&mut writer, &"\u{202e}".repeat(100_000)).expect("kept");
    assert!(lines(&state.segments()[0])[1].len() <= RECORD_BYTES_MAX);
    drop(writer);
    assert_eq!(state.findings(), [""; 0]);
}
