//! Every way to tamper with a chain that the writer wrote, each found, with its file and line.

use std::fs;
use std::path::Path;

use nexus_types::Instant;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::read::verify_segment;
use super::test_support::{SMALL, State, allow, lines, sensitive, write_lines};
use super::verify::{Check, verify_files};
use super::{PublicKey, hex};

/// A closed chain of several segments: about 75 records each.
pub(super) fn written(records: usize) -> State {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    for n in 0..records {
        allow(&mut writer, &format!("host-{n}.example:443")).expect("kept");
    }
    drop(writer);
    state
}

/// The same, as a host leaves it that was killed: its last records are written, and no head speaks for them.
pub(super) fn killed(records: usize) -> State {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    for n in 0..records {
        sensitive(&mut writer, &format!("any:{n}")).expect("kept");
    }
    std::mem::forget(writer);
    state
}

/// Changes one segment's lines; what is found then.
pub(super) fn tampered(
    state: &State,
    segment: usize,
    change: impl FnOnce(&mut Vec<String>),
) -> Vec<String> {
    let path = &state.segments()[segment];
    let mut all = lines(path);
    change(&mut all);
    write_lines(path, &all);
    short(state.findings())
}

/// Without the chain's name: `000001.jsonl:5: …`.
pub(super) fn short(findings: Vec<String>) -> Vec<String> {
    let short = |finding: &String| finding.split_once('.').map(|(_, rest)| rest.to_owned());
    findings.iter().filter_map(short).collect()
}

/// Every hash from this line on made anew, as whoever has no key can.
pub(super) fn rechain(all: &mut [String], from: usize) {
    for at in from.max(1)..all.len() {
        let hash = hex(&Sha256::digest(all[at - 1].trim_end().as_bytes()));
        let prev = all[at].find("\"prev\":\"").expect("a record") + 8;
        all[at].replace_range(prev..prev + 64, &hash);
    }
}

pub(super) fn one(findings: &[String], place: &str, says: &str) {
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].starts_with(place) && findings[0].contains(says),
        "{findings:?}"
    );
}

#[test]
fn an_honest_chain_is_good() {
    let state = written(300);
    assert!(state.segments().len() > 2);
    let chain = state.chain();
    assert_eq!(chain.findings, []);
    assert_eq!(chain.notes, [""; 0]);
    // Each segment has its first record, and the chain its last.
    assert_eq!(chain.records, 300 + chain.segments as u64 + 1);
    assert_eq!(chain.signed, chain.records);
    let segment = verify_segment(&fs::read(&state.segments()[0]).expect("read"));
    assert_eq!(segment.faults, []);
}

/// Goal: no byte can be changed unseen. Method: each byte of one line, one at a time, another one in its
/// place; something is found each time, and the first finding names the line or the one after it.
#[test]
fn reject_a_flipped_byte_anywhere() {
    let state = written(8);
    let path = &state.segments()[0];
    let bytes = fs::read(path).expect("read");
    let starts: Vec<_> = lines(path)
        .iter()
        .scan(0, |at, line| Some(std::mem::replace(at, *at + line.len())))
        .collect();
    for at in starts[4]..starts[5] - 1 {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(path, &changed).expect("written");
        let findings = short(state.findings());
        assert!(
            findings
                .first()
                .is_some_and(|finding| finding.starts_with("000001.jsonl:5: ")),
            "byte {at}: {findings:?}"
        );
    }
    fs::write(path, &bytes).expect("written");
    assert_eq!(state.findings(), [""; 0]);
}

#[test]
fn reject_an_edit() {
    let found = tampered(&written(8), 0, |all| {
        all[4] = all[4].replace("allow", "event")
    });
    one(&found, "000001.jsonl:5: ", "was changed");
}

#[test]
fn reject_an_edit_of_the_last_line_of_a_closed_chain() {
    let found = tampered(&written(8), 0, |all| {
        all[9] = all[9].replace("host", "hast")
    });
    one(&found, "000001.jsonl:10: ", "not the one that was signed");
}

#[test]
fn reject_an_edit_at_the_end_of_a_segment() {
    let state = written(300);
    let last = lines(&state.segments()[0]).len();
    let found = tampered(&state, 0, |all| {
        all[last - 1] = all[last - 1].replace("allow", "event")
    });
    assert!(
        found[0].starts_with(&format!("000001.jsonl:{last}: ")),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("000002.jsonl:1: ") && found[1].contains("does not follow"),
        "{found:?}"
    );
}

#[test]
fn reject_a_deletion() {
    let found = tampered(&written(8), 0, |all| drop(all.remove(4)));
    one(&found, "000001.jsonl:5: ", "record 5 is missing");
    let found = tampered(&written(8), 0, |all| drop(all.drain(2..5)));
    one(&found, "000001.jsonl:3: ", "records 3 to 5 are missing");
    let found = tampered(&written(8), 0, |all| drop(all.remove(0)));
    assert!(
        found[0].starts_with("000001.jsonl:1: ") && found[0].contains("record 1 is missing"),
        "{found:?}"
    );
}

#[test]
fn reject_swapped_lines() {
    let found = tampered(&written(8), 0, |all| all.swap(4, 5));
    assert!(found[0].starts_with("000001.jsonl:5: "), "{found:?}");
    assert!(
        found[1].contains("is record 5 where record 7 belongs"),
        "{found:?}"
    );
}

#[test]
fn reject_a_line_put_in() {
    let copied = tampered(&written(8), 0, |all| all.insert(5, all[4].clone()));
    one(
        &copied,
        "000001.jsonl:6: ",
        "is record 5 where record 6 belongs",
    );
    let made = tampered(&written(8), 0, |all| {
        all.insert(5, all[5].replace("host", "evil"));
        rechain(all, 5);
    });
    assert!(
        made[0].starts_with("000001.jsonl:7: ") && made[0].contains("put in"),
        "{made:?}"
    );
}

/// Lines of another chain of the same host and key, with the right numbers.
#[test]
fn reject_a_splice() {
    let (state, other) = (written(8), written(8));
    let theirs = lines(&other.segments()[0]);
    let found = tampered(&state, 0, |all| all[4..].clone_from_slice(&theirs[4..]));
    assert!(found[0].starts_with("000001.jsonl:4: "), "{found:?}");
    assert!(
        found
            .iter()
            .any(|finding| finding.contains("not the one that was signed"))
    );
    // A whole segment in the place of another.
    let (state, other) = (written(300), written(300));
    fs::copy(&other.segments()[1], &state.segments()[1]).expect("copied");
    let found = short(state.findings());
    assert!(
        found
            .iter()
            .any(|finding| finding.starts_with("000002.jsonl:1: ")
                && finding.contains("does not say")),
        "{found:?}"
    );
}

/// Every hash after the edit made anew: only a head shows it, and says between which records.
#[test]
fn reject_a_chain_written_anew() {
    let found = tampered(&written(60), 0, |all| {
        all[20] = all[20].replace("allow", "event");
        rechain(all, 21);
    });
    one(
        &found,
        "000001.jsonl:33: ",
        "after record 17, was written anew",
    );
}

#[test]
fn reject_a_cut_tail() {
    let state = written(8);
    let found = tampered(&state, 0, |all| all.truncate(7));
    one(
        &found,
        "000001.jsonl:7: ",
        "a head was signed for record 10",
    );
    let found = tampered(&state, 0, |all| all.clear());
    one(&found, "000001.jsonl: ", "a head was signed for record 10");
    // In the middle of a line.
    let found = tampered(&written(8), 0, |all| all[9].truncate(40));
    one(
        &found,
        "000001.jsonl:9: ",
        "a head was signed for record 10",
    );
}

#[test]
fn reject_a_line_after_the_end() {
    let found = tampered(&written(8), 0, |all| {
        all.push(all[9].replace("\"seq\":10", "\"seq\":11"));
        rechain(all, 10);
    });
    one(&found, "000001.jsonl:11: ", "signed as the last");
}

#[test]
fn reject_a_missing_segment() {
    for (at, number) in [(0, 1), (1, 2)] {
        let state = written(300);
        fs::remove_file(&state.segments()[at]).expect("removed");
        one(
            &short(state.findings()),
            &format!("00000{number}.jsonl: "),
            "is missing",
        );
    }
    let state = written(300);
    let last = state.segments().len();
    fs::remove_file(&state.segments()[last - 1]).expect("removed");
    one(
        &short(state.findings()),
        &format!("{last:06}.jsonl: "),
        "is missing",
    );
    // With its heads: the segment before it is signed as followed by one.
    let place = state.place();
    let heads = place
        .head_files()
        .expect("listed")
        .into_values()
        .next_back();
    fs::remove_file(heads.expect("heads")).expect("removed");
    one(
        &short(state.findings()),
        &format!("{last:06}.jsonl: "),
        "is missing",
    );
}

/// Goal: records cannot be taken away by leaving their file, and that of their heads, empty: found by
/// `host/fuzz`. Method: the first and the second segment, and the two of them, emptied; the files named,
/// and the first segment after them says what is missing.
#[test]
fn reject_an_emptied_segment() {
    for (emptied, last) in [(0..1, 1), (1..2, 2), (0..2, 2)] {
        let state = written(300);
        let segments = state.segments();
        let heads = state.place().head_files().expect("listed");
        let heads: Vec<_> = heads.into_values().collect();
        let missing = emptied.clone().map(|at| lines(&segments[at]).len());
        let missing: usize = missing.sum();
        for at in emptied.clone() {
            fs::write(&segments[at], "").expect("emptied");
            fs::write(&heads[at], "").expect("emptied");
        }
        let findings = short(state.findings());
        assert_eq!(findings.len(), emptied.len() + 1, "{findings:?}");
        for (at, finding) in emptied.zip(&findings) {
            let place = format!("{:06}.jsonl:1: does not say", at + 1);
            assert!(finding.starts_with(&place), "{finding}");
        }
        let place = format!("{:06}.jsonl:1: records ", last + 1);
        let follows = findings.last().expect("at least two");
        assert!(follows.starts_with(&place), "{follows}");
        let numbers: Vec<usize> = follows
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        assert_eq!(numbers[1] - numbers[0] + 1, missing, "{follows}");
    }
    // The last one: that the one before it was signed as followed says that it had a record.
    let state = written(300);
    let last = state.segments().len();
    fs::write(&state.segments()[last - 1], "").expect("emptied");
    let heads = state.place().head_files().expect("listed");
    fs::write(heads.into_values().next_back().expect("heads"), "").expect("emptied");
    let place = format!("{last:06}.jsonl:1: ");
    one(&short(state.findings()), &place, "does not say");
}

#[test]
fn reject_a_chain_taken_away_whole() {
    let state = written(8);
    fs::remove_file(&state.segments()[0]).expect("removed");
    one(&short(state.findings()), "000001.jsonl: ", "is missing");
}

#[test]
fn reject_a_chain_without_heads() {
    let state = written(8);
    let heads = state
        .place()
        .head_files()
        .expect("listed")
        .into_values()
        .next();
    fs::remove_file(heads.expect("heads")).expect("removed");
    one(
        &short(state.findings()),
        "000001.jsonl: ",
        "no signed head speaks for this chain",
    );
}

#[test]
fn reject_a_renamed_segment() {
    let state = written(300);
    let all = state.segments();
    fs::rename(&all[1], state.folder.path().join("x")).expect("moved");
    fs::rename(&all[2], &all[1]).expect("moved");
    let found = short(state.findings());
    assert!(found[0].starts_with("000002.jsonl:1: "), "{found:?}");
}

fn heads(state: &State) -> Vec<std::path::PathBuf> {
    state
        .place()
        .head_files()
        .expect("listed")
        .into_values()
        .collect()
}

#[test]
fn reject_a_changed_head() {
    let state = written(8);
    let path = &heads(&state)[0];
    let good = lines(path);
    for (from, to) in [
        ("\"seq\":10", "\"seq\":9"),
        ("closed", "reached"),
        ("\"sig\":\"", "\"sig\": \""),
    ] {
        let mut changed = good.clone();
        changed[1] = changed[1].replace(from, to);
        assert_ne!(changed, good);
        write_lines(path, &changed);
        let found = short(state.findings());
        assert!(
            found[0].starts_with("000001.heads:2: ") && found[0].contains("signature"),
            "{found:?}"
        );
    }
    write_lines(path, &[good[0].clone(), "{\"v\":1}\n".into()]);
    let found = short(state.findings());
    assert!(found[0].contains("000001.heads:2: is no head"), "{found:?}");
    write_lines(path, &[good[0].clone(), format!("{}\n", "x".repeat(1025))]);
    let found = short(state.findings());
    assert!(found[0].contains("000001.heads:2: is longer"), "{found:?}");
}

/// A head of another segment, good as it is, does not speak for this one.
#[test]
fn reject_a_head_moved_from_elsewhere() {
    let state = written(300);
    let heads = heads(&state);
    fs::copy(&heads[1], &heads[0]).expect("copied");
    let found = short(state.findings());
    assert!(
        found[0].starts_with("000001.heads:1: ") && found[0].contains("it was moved here"),
        "{found:?}"
    );
}

#[test]
fn reject_heads_of_another_key() {
    let (state, other) = (written(8), written(8));
    fs::copy(other.place().public_key(), state.place().public_key()).expect("copied");
    let found = short(state.findings());
    assert!(
        found[0].starts_with("000001.heads:1: ") && found[0].contains("was signed with key"),
        "{found:?}"
    );
}

#[test]
fn reject_lines_too_long_without_reading_them_whole() {
    let found = tampered(&written(8), 0, |all| {
        all.insert(3, format!("{}\n", "x".repeat(1 << 20)))
    });
    one(&found, "000001.jsonl:4: ", "is longer than any line");
}

/// A statement of what was given up that was made for another chain, or is nowhere signed.
#[test]
fn reject_a_statement_that_is_not_of_this_chain() {
    let state = written(300);
    let all = state.segments();
    let chain = state.chain().name;
    let statement = state.place().dropped_file(&chain);
    fs::remove_file(&all[0]).expect("removed");
    fs::copy(&heads(&state)[0], statement).expect("copied");
    let found = state.findings();
    assert!(
        found
            .iter()
            .any(|finding| finding.contains(".dropped:1: ") && finding.contains("moved here")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|finding| finding.contains("is missing")),
        "{found:?}"
    );
}

#[test]
fn a_killed_host_leaves_a_good_chain_with_a_note() {
    let state = killed(20);
    let chain = state.chain();
    assert_eq!(chain.findings, []);
    assert!(chain.signed < chain.records);
    assert!(
        chain.notes[0].contains("no head speaks for"),
        "{:?}",
        chain.notes
    );
    // It was killed while it wrote.
    let path = &state.segments()[0];
    let mut bytes = fs::read(path).expect("read");
    bytes.extend_from_slice(b"{\"v\":1,\"seq\":");
    fs::write(path, bytes).expect("written");
    let chain = state.chain();
    assert_eq!(chain.findings, []);
    assert!(
        chain
            .notes
            .iter()
            .any(|note| note.contains("line 22 is cut off")),
        "{:?}",
        chain.notes
    );
}

/// What verify says where two lines contradict and no third shows which was changed.
#[test]
fn reject_an_edit_before_the_last_unsigned_line() {
    let state = killed(20);
    let found = tampered(&state, 0, |all| all[19] = all[19].replace("allow", "event"));
    one(&found, "000001.jsonl:20: ", "or the line after it was");
}

/// Copied files are checked without heads, and that is said.
#[test]
fn files_alone_are_followed() {
    let state = written(300);
    let segments = state.place().segments().expect("listed");
    let some: std::collections::BTreeMap<_, _> = segments.into_iter().skip(1).take(2).collect();
    let check = Check {
        segments: &some,
        heads: None,
        all: false,
    };
    let chains = verify_files(check).expect("read");
    assert_eq!(chains[0].findings, []);
    assert!(
        chains[0].notes[0].contains("no heads were looked at"),
        "{:?}",
        chains[0].notes
    );
    let place = state.place();
    let key = PublicKey::read(&place.public_key()).expect("a key");
    let check = Check {
        segments: &some,
        heads: Some((&place, &key)),
        all: false,
    };
    assert_eq!(verify_files(check).expect("read")[0].findings, []);
}

/// The same chain seen while it is written: never broken.
#[test]
fn a_chain_being_written_is_good_at_every_step() {
    let state = State::new();
    let mut writer = state.writer(SMALL);
    for n in 0..200 {
        allow(&mut writer, &format!("{n}")).expect("kept");
        if n % 7 == 0 {
            writer.flush(Instant::from_secs(1));
        }
        assert_eq!(state.chain().findings, [], "{n}");
    }
    assert!(
        state
            .chain()
            .notes
            .iter()
            .any(|note| note == "it is being written")
    );
}

/// No bytes whatever panic the reader: every prefix and many splices of a real segment.
#[test]
fn the_reader_takes_anything() {
    let state = written(8);
    let bytes = fs::read(&state.segments()[0]).expect("read");
    for at in 0..bytes.len() {
        verify_segment(&bytes[..at]);
        verify_segment(&bytes[at..]);
    }
    let key = PublicKey::read(&state.place().public_key()).expect("a key");
    let head = fs::read(&heads(&state)[0]).expect("read");
    for at in 0..head.len() {
        super::read::read_head(&head[..at], &key).expect_err("cut");
    }
    assert!(Path::new(&heads(&state)[0]).exists());
    assert!(matches!(
        super::read::read_head(b"", &key),
        Err(Fault::NoHead(_))
    ));
}

/// A name is all it takes to make many segments missing: few are told, and it takes no time.
#[test]
fn reject_a_segment_of_a_far_number() {
    let state = written(8);
    let name = state.segments().remove(0);
    let far = name.to_str().expect("UTF-8").replace("000001", "999999");
    fs::copy(&name, far).expect("copied");
    let found = short(state.findings());
    assert!(
        found[0].starts_with("000002.jsonl: ") && found.len() < 40,
        "{found:?}"
    );
}
