//! `nexus-host audit tail`: the newest records of all chains, and those to come.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Args;
use clap::builder::BoolishValueParser;

use super::scan::{self, Problems};
use super::show::{self, Shown};
use super::{LogArgs, unreadable};
use crate::cli::{CliError, Common};
use crate::observe::audit::{Place, Record, SegmentName, time};

/// How often it is looked for more.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Args)]
pub(super) struct TailArgs {
    /// How many, at most 10000
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10, env = "NEXUS_LINES",
          value_parser = clap::value_parser!(u16).range(0..=10_000))]
    lines: u16,
    /// Go on with records as they are written, until interrupted; as JSON, one a line
    #[arg(short, long, env = "NEXUS_FOLLOW", value_parser = BoolishValueParser::new())]
    follow: bool,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

/// How far each segment was read.
type Read = BTreeMap<SegmentName, u64>;

pub(super) fn tail(args: &TailArgs) -> Result<u8, CliError> {
    let place = args.log.place()?;
    let mut problems = Problems::default();
    let (newest, mut read) = newest(&place, usize::from(args.lines), &mut problems)?;
    let mut shown = Shown::new(args.common.output, args.follow);
    for record in &newest {
        shown.record(record);
    }
    if !args.follow {
        return shown.finish(&problems);
    }
    while shown.flush() {
        show::tell(&std::mem::take(&mut problems));
        thread::sleep(LOOK_EVERY);
        more(&place, &mut read, &mut shown, &mut problems)?;
    }
    shown.finish(&problems)
}

/// The newest records in the order of their time.
fn newest(
    place: &Place,
    count: usize,
    problems: &mut Problems,
) -> Result<(Vec<Record>, Read), CliError> {
    let segments = place
        .segments()
        .map_err(|error| unreadable(&place.log, &error))?;
    let mut files: Vec<(SystemTime, u64, SegmentName, PathBuf)> = segments
        .into_iter()
        .filter_map(|(name, path)| {
            let metadata = std::fs::symlink_metadata(&path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), name, path))
        })
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    let mut read: Read = files
        .iter()
        .map(|(_, length, name, _)| (name.clone(), *length))
        .collect();
    let mut kept: Vec<(u64, Record)> = Vec::new();
    for (modified, _, name, path) in files {
        // Nothing in a file is newer than its last change; a second, as the clocks of both may differ.
        let newest = time::millis(modified) + 1_000;
        if kept.len() >= count && kept.first().is_none_or(|(oldest, _)| newest < *oldest) {
            break;
        }
        let Some(file) = scan::open(&path, problems) else {
            continue;
        };
        let mut last: VecDeque<Record> = VecDeque::new();
        let (bytes, _) = scan::records(&path, file, problems, |record| {
            if last.len() == count {
                last.pop_front();
            }
            if count > 0 {
                last.push_back(record);
            }
            ControlFlow::Continue(())
        });
        read.insert(name, bytes);
        kept.extend(
            last.into_iter()
                .map(|record| (record.millis().unwrap_or(0), record)),
        );
        // Stable: records of one chain keep their order whatever the clock did within a millisecond.
        kept.sort_by_key(|(millis, _)| *millis);
        kept.drain(..kept.len().saturating_sub(count));
    }
    Ok((kept.into_iter().map(|(_, record)| record).collect(), read))
}

/// What was written since.
fn more(
    place: &Place,
    read: &mut Read,
    shown: &mut Shown,
    problems: &mut Problems,
) -> Result<(), CliError> {
    let segments = place
        .segments()
        .map_err(|error| unreadable(&place.log, &error))?;
    read.retain(|name, _| segments.contains_key(name));
    for (name, path) in segments {
        let from = read.entry(name).or_insert(0);
        // Most are as they were: they are not opened.
        let length = std::fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
        if length <= *from {
            continue;
        }
        let Some(mut file) = scan::open(&path, problems) else {
            // Told once, not each time it is looked.
            *from = length;
            continue;
        };
        if file.seek(SeekFrom::Start(*from)).is_err() {
            continue;
        }
        let (bytes, flow) = scan::records(&path, file, problems, |record| {
            if shown.record(&record) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        *from += bytes;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}
