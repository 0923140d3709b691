//! Records of files of the log, one at a time: of a hostile file no more is held than a line.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use crate::observe::audit::read::{Line, Lines};
use crate::observe::audit::{RECORD_BYTES_MAX, Record, SEGMENT_BYTES_MAX, open_segment};

/// Problems told one by one; the rest is counted.
const PROBLEMS_MAX: usize = 16;

/// Lines that are no records.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) told: Vec<String>,
    pub(super) more: u64,
}

impl Problems {
    pub(super) fn add(&mut self, path: &Path, line: Option<u64>, what: &str) {
        if self.told.len() == PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        let path = super::shown(path);
        self.told.push(match line {
            Some(line) => format!("{path}:{line}: {what}"),
            None => format!("{path}: {what}"),
        });
    }

    pub(super) fn count(&self) -> u64 {
        self.told.len() as u64 + self.more
    }
}

/// Hands on every record of a file. One that was given up meanwhile has none.
pub(super) fn file(
    path: &Path,
    problems: &mut Problems,
    each: impl FnMut(Record) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match open(path, problems) {
        Some(file) => records(path, file, problems, each).1,
        None => ControlFlow::Continue(()),
    }
}

/// Opens a segment. One that was given up meanwhile is none, and no problem.
pub(super) fn open(path: &Path, problems: &mut Problems) -> Option<File> {
    match open_segment(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            problems.add(path, None, &error.to_string());
            None
        }
    }
}

/// The same from where a file is read; also how many bytes of whole lines that was. A last line without an
/// end is one that is being written.
pub(super) fn records(
    path: &Path,
    from: impl Read,
    problems: &mut Problems,
    mut each: impl FnMut(Record) -> ControlFlow<()>,
) -> (u64, ControlFlow<()>) {
    // It may grow while it is read.
    let mut lines = Lines::records(from.take(SEGMENT_BYTES_MAX));
    loop {
        let record = match lines.next_line() {
            Ok(None | Some((_, Line::CutOff(_)))) => break,
            Err(error) => {
                problems.add(path, None, &error.to_string());
                break;
            }
            Ok(Some((number, Line::TooLong))) => {
                let what = format!("is longer than {RECORD_BYTES_MAX} bytes, which no record is");
                problems.add(path, Some(number), &what);
                continue;
            }
            Ok(Some((number, Line::Whole(line)))) => match Record::parse(line) {
                Ok(record) => record,
                Err(problem) => {
                    problems.add(path, Some(number), &problem.to_string());
                    continue;
                }
            },
        };
        if each(record).is_break() {
            return (lines.whole_bytes(), ControlFlow::Break(()));
        }
    }
    (lines.whole_bytes(), ControlFlow::Continue(()))
}
