//! Gives a segment up: that it goes is signed before it does, so that a check can tell it from one that was
//! taken away.
//!
//! `CHAIN.dropped` says up to which segment, what its last record was, and whether all that went was as it was
//! signed: whoever changed the log cannot have the proof of it removed by making the log grow.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::Hash;
use super::follow::{Tail, Written, follow};
use super::head::{Head, Kind};
use super::heads::{read_dropped, read_heads_file};
use super::key::{HostKey, replace};
use super::names::SegmentName;
use super::out::lock_within;
use super::place::{Place, open_plain, shown};
use super::room::{GLANCE, Old, Warnings};

/// Statements kept of chains of which nothing is left. Bounds what remains of short runs for ever.
const STATEMENTS_MAX: usize = 1024;

/// Whether the heads of a segment begin with one that we signed for it.
pub(super) fn is_ours(place: &Place, key: &HostKey, name: &SegmentName) -> bool {
    let path = place.heads_file(name);
    let heads = read_heads_file(&path, key.public(), name, &mut Vec::new());
    !heads.is_empty()
}

/// Gives one segment up, unless somebody has it. Whether it is gone; `tell`: what was wrong with it.
pub(super) fn give_up(
    place: &Place,
    key: &HostKey,
    old: &Old,
    millis: u64,
    tell: &mut Warnings,
) -> io::Result<bool> {
    let name = &old.name;
    let file = match open_plain(&old.path) {
        Err(_) => return Ok(false),
        Ok(file) => file,
    };
    if lock_within(&file, GLANCE).is_err() {
        return Ok(false);
    }
    let mut findings = Vec::new();
    let said = read_dropped(place, key.public(), &name.chain, &mut findings);
    // Else a host ended after it had said so.
    if said
        .as_ref()
        .is_none_or(|said| said.segment.number < name.number)
    {
        let before = match &said {
            _ if name.number == 1 => Some((0, Hash::default())),
            Some(said) if said.segment.number == name.number - 1 && said.seq > 0 => {
                Some((said.seq, said.hash))
            }
            _ => None,
        };
        let heads = read_heads_file(&place.heads_file(name), key.public(), name, &mut findings);
        let written = Written {
            name,
            before,
            heads: &heads,
            known: u64::MAX,
        };
        let followed = follow(file, &written, &mut Tail::new(true));
        let good = findings.is_empty() && followed.faults.is_empty();
        if !good {
            tell.new.push(format!(
                "{}: is not as it was signed, and was given up to make room; `audit verify` says so from now on",
                shown(&old.path)
            ));
        }
        let so_far = said.is_none_or(|said| said.kind == Kind::Dropped);
        let last = followed.segment.last;
        let (seq, hash) = last.map(|last| (last.seq, last.hash)).unwrap_or_default();
        let statement = Head {
            kind: if good && so_far {
                Kind::Dropped
            } else {
                Kind::Broken
            },
            segment: name.clone(),
            seq,
            hash,
            millis,
        };
        replace(
            &place.dropped_file(&name.chain),
            statement.line(key).as_bytes(),
        )?;
    }
    // The heads last: a segment without them would look as if it had been put there.
    remove(&old.path)?;
    remove(&place.heads_file(name))?;
    Ok(true)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Forgets heads of segments that were given up by a host which ended then, and the oldest statements of chains
/// of which nothing else is left; those of what was not as it was signed last.
pub(super) fn forget(place: &Place, key: &HostKey) -> io::Result<()> {
    let segments = place.segments()?;
    for (name, path) in place.head_files()? {
        if !segments.contains_key(&name)
            && read_dropped(place, key.public(), &name.chain, &mut Vec::new())
                .is_some_and(|said| name.number <= said.segment.number)
        {
            remove(&path)?;
        }
    }
    let statements = place.dropped_files()?;
    if statements.len() <= STATEMENTS_MAX {
        return Ok(());
    }
    let chains: BTreeSet<&String> = segments.keys().map(|name| &name.chain).collect();
    let gone = statements
        .iter()
        .filter(|(chain, _)| !chains.contains(*chain));
    let (good, broken): (Vec<_>, Vec<_>) = gone.partition(|(chain, _)| {
        read_dropped(place, key.public(), chain, &mut Vec::new())
            .is_some_and(|said| said.kind == Kind::Dropped)
    });
    let over = statements.len() - STATEMENTS_MAX;
    for (_, path) in good.into_iter().chain(broken).take(over) {
        remove(path)?;
    }
    Ok(())
}
