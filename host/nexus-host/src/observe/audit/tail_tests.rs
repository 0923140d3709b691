//! What somebody adds to a chain after its end, or after its last head, or past what a segment can hold.

use std::fs;

use sha2::{Digest, Sha256};

use super::tamper_tests::{killed, one, rechain, short, tampered, written};
use super::test_support::{State, lines, write_lines};
use super::{HEAD_RECORDS, hex};

/// Records that go on after the end of what a host wrote that was killed: well chained, `count` of them, each
/// `step` milliseconds after the one before, the first of them at `from`.
fn forged(state: &State, count: usize, from: u64, step: u64) -> Vec<String> {
    tampered(state, 0, |all| {
        for n in 0..count {
            let last = all.last().expect("records");
            let mut record: serde_json::Value = serde_json::from_str(last).expect("a record");
            record["seq"] = (record["seq"].as_u64().expect("a number") + 1).into();
            record["prev"] = hex(&Sha256::digest(last.trim_end().as_bytes())).into();
            let mut t = String::new();
            super::time::push(&mut t, from + n as u64 * step);
            record["t"] = t.into();
            all.push(format!("{record}\n"));
        }
    })
}

/// The time of the tests' clock, about.
const NOW_MILLIS: u64 = 1_795_000_000_000;

/// Goal: what nobody signed for is bounded as the guide says. Method: a killed host's chain goes on with well
/// chained records: as many as a host leaves, one more than that, and few of another year.
#[test]
fn reject_more_records_without_a_head_than_a_host_leaves() {
    let state = killed(20);
    let unsigned = (state.chain().records - state.chain().signed) as usize;
    let last = 2 * HEAD_RECORDS as usize - unsigned;
    assert_eq!(forged(&state, last, NOW_MILLIS, 1), [""; 0]);
    let found = forged(&state, 1, NOW_MILLIS, 1);
    one(
        &found,
        "000001.jsonl:2066: ",
        "than a host writes without a head",
    );
}

#[test]
fn reject_records_without_a_head_that_are_late() {
    // One may be: the host had waited, and was killed before it signed.
    let state = killed(16);
    assert_eq!(state.chain().records, state.chain().signed);
    let year_2031 = 1_925_000_000_000;
    assert_eq!(forged(&state, 1, year_2031, 1), [""; 0]);
    let found = forged(&state, 1, year_2031, 1);
    one(
        &found,
        "000001.jsonl:19: ",
        "later ones, than a host writes",
    );
    let found = forged(&killed(20), 3, NOW_MILLIS + 21_000, 0);
    one(
        &found,
        "000001.jsonl:22: ",
        "later ones, than a host writes",
    );
    assert_eq!(forged(&killed(20), 3, NOW_MILLIS + 19_000, 0), [""; 0]);
}

/// A second segment that nobody signed for, well chained to a host's that was killed.
#[test]
fn reject_a_segment_that_no_head_begins() {
    let state = killed(20);
    let path = state.segments().remove(0);
    let all = lines(&path);
    let name = state.chain().name;
    let mut more = all[..3].to_vec();
    more[0] = more[0]
        .replace("chain-opened", "segment-opened")
        .replace(&format!("{name}.000001"), &format!("{name}.000002"));
    let mut joined = vec![all[20].clone()];
    joined.append(&mut more);
    for (at, line) in joined.iter_mut().enumerate() {
        let number = line.find(",\"prev").expect("a record");
        line.replace_range(..number, &format!("{{\"v\":1,\"seq\":{}", 21 + at));
    }
    rechain(&mut joined, 1);
    let second = path.with_file_name(format!("{name}.000002.jsonl"));
    write_lines(&second, &joined[1..]);
    let found = short(state.findings());
    one(
        &found,
        "000002.jsonl: ",
        "no signed head says that this segment was begun",
    );
    // One that a host leaves which is killed when it has made it.
    write_lines(&second, &joined[1..2]);
    assert_eq!(state.findings(), [""; 0]);
}

/// Bytes after the end that are not even a line.
#[test]
fn reject_half_a_line_after_the_end() {
    let state = written(8);
    let found = tampered(&state, 0, |all| all.push("{}".into()));
    one(&found, "000001.jsonl:11: ", "signed as the last");
}

/// A hole of any length is not read.
#[test]
fn reject_a_segment_without_an_end() {
    let state = written(8);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&state.segments()[0]);
    let file = file.expect("opens");
    file.set_len(100 << 30).expect("sparse");
    let found = short(state.findings());
    assert!(found[0].contains("more than any segment"), "{found:?}");
    assert!(super::open_segment(&state.segments()[0]).is_err());
    // At the bound it is read.
    file.set_len(super::SEGMENT_BYTES_MAX).expect("sparse");
    super::open_segment(&state.segments()[0]).expect("opens");
}
