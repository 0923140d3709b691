//! Goal: a folder of any size costs the host the same. Method: listings of a large folder, read as
//! an app reads them: by themselves, by 0.2, and by 0.3.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nexus_types::limits;

use super::super::instance::Outcome;
use super::super::open::tests::{Folder, P2, P3, Words, run};
use super::*;

const MANY: u32 = 5_000;

fn fill(place: &Path, files: u32) {
    for number in 0..files {
        File::create(place.join(format!("file-{number}"))).expect("made");
    }
}

fn watch() -> Watch {
    Watch::new(&Arc::default(), What::Folder, DirectoryMode::Ro)
}

fn listing(place: &Path) -> Listing {
    let folder = File::open(place).expect("opens");
    Listing::new(&folder, &mut OpenFiles::default(), watch()).expect("lists")
}

#[test]
fn all_entries_of_a_large_folder_come_once() {
    let place = tempfile::tempdir().expect("a folder");
    fill(place.path(), MANY);
    let entries: Vec<_> = listing(place.path())
        .map(|entry| entry.expect("told").name)
        .collect();
    assert_eq!(entries.len(), MANY as usize);
    let names: BTreeSet<_> = (0..MANY).map(|number| format!("file-{number}")).collect();
    assert_eq!(entries.into_iter().collect::<BTreeSet<_>>(), names);
}

/// What is gone before it was read does not come, so it was not collected.
#[test]
fn no_more_of_a_folder_is_read_than_is_asked_for() {
    let place = tempfile::tempdir().expect("a folder");
    fill(place.path(), MANY);
    let mut listings: Vec<_> = (0..60).map(|_| listing(place.path())).collect();
    for listing in &mut listings {
        listing.next().expect("an entry").expect("told");
    }
    for number in 0..MANY {
        std::fs::remove_file(place.path().join(format!("file-{number}"))).expect("removed");
    }
    for listing in &mut listings {
        // 48 KiB of entries of 24 bytes.
        assert!(listing.count() <= 2_048);
        // Nor does what came after the end.
        File::create(place.path().join("late")).expect("made");
        assert!(listing.next().is_none());
    }
}

#[test]
fn types_are_told_without_opening_anything() {
    let folder = Folder::new();
    let mut entries: Vec<_> = listing(folder.place.path())
        .map(|entry| p2::DirectoryEntry::from(entry.expect("told")))
        .map(|entry| (entry.name, entry.type_))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    use p2::DescriptorType as Type;
    let expected = [
        ("fifo", Type::Unknown),
        ("file", Type::RegularFile),
        ("folder", Type::Directory),
        ("link", Type::SymbolicLink),
        ("link-out", Type::SymbolicLink),
        ("link-to-fifo", Type::SymbolicLink),
        ("socket", Type::Unknown),
    ];
    assert_eq!(entries.len(), expected.len());
    for ((name, kind), (expected_name, expected_kind)) in entries.iter().zip(expected) {
        assert_eq!(
            (name.as_str(), *kind as u8),
            (expected_name, expected_kind as u8)
        );
    }
}

#[test]
fn reject_a_name_that_is_not_utf8_and_tell_the_others() {
    let place = tempfile::tempdir().expect("a folder");
    fill(place.path(), 3);
    File::create(place.path().join(OsStr::from_bytes(b"not\xff"))).expect("made");
    let (told, refused): (Vec<_>, Vec<_>) = listing(place.path()).partition(Result::is_ok);
    assert_eq!(told.len(), 3);
    let [Err(error)] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!(Errno::from_io_error(error), Some(Errno::ILSEQ));
}

/// Permissions of the system do not hold for root, so the folder is one that is gone.
#[test]
fn reject_a_folder_that_cannot_be_listed() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("file");
    std::fs::write(&file, "bytes").expect("written");
    let file = File::open(file).expect("opens");
    let Err(error) = Listing::new(&file, &mut OpenFiles::default(), watch()) else {
        panic!("a file is no folder");
    };
    assert_eq!(Errno::from_io_error(&error), Some(Errno::NOTDIR));

    let folder = File::open(place.path()).expect("opens");
    place.close().expect("removed");
    match Listing::new(&folder, &mut OpenFiles::default(), watch()) {
        // Some file systems open what is gone; there is nothing in it.
        Ok(listing) => assert_eq!(listing.count(), 0),
        Err(error) => assert_eq!(Errno::from_io_error(&error), Some(Errno::NOENT)),
    }
}

/// An app of 0.2 that lists its folder so many times without dropping, exits with failure unless
/// the last answer is this one, drops them all, and counts the entries of one more.
fn lister_p2(times: u32, answer: [u8; 2], entries: u32) -> Vec<u8> {
    let Words {
        version,
        error_code,
        ..
    } = P2;
    let [outcome, error] = answer;
    let text = format!(
        r#"(component
            (import "wasi:filesystem/types@{version}" (instance $types
                (export "descriptor" (type $d (sub resource)))
                (export "directory-entry-stream" (type $s (sub resource)))
                (type $dt' (enum "unknown" "block-device" "character-device" "directory" "fifo"
                    "symbolic-link" "regular-file" "socket"))
                (export "descriptor-type" (type $dt (eq $dt')))
                (type $de' (record (field "type" $dt) (field "name" string)))
                (export "directory-entry" (type $de (eq $de')))
                (type $ec' {error_code})
                (export "error-code" (type $ec (eq $ec')))
                (type $list (func (param "self" (borrow $d))
                    (result (result (own $s) (error $ec)))))
                (export "[method]descriptor.read-directory" (func (type $list)))
                (type $next (func (param "self" (borrow $s))
                    (result (result (option $de) (error $ec)))))
                (export "[method]directory-entry-stream.read-directory-entry"
                    (func (type $next)))))
            (alias export $types "descriptor" (type $descriptor))
            (alias export $types "directory-entry-stream" (type $stream))
            (import "wasi:filesystem/preopens@{version}" (instance $preopens
                (export "descriptor" (type $d (eq $descriptor)))
                (export "get-directories" (func (result (list (tuple (own $d) string)))))))
            (core module $libc
                (memory (export "memory") 16)
                (global $top (mut i32) (i32.const 8192))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    global.get $top
                    (global.set $top (i32.and (i32.const -8)
                        (i32.add (i32.const 7) (i32.add (global.get $top) (local.get 3)))))))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $dirs (canon lower (func $preopens "get-directories")
                (memory $memory) (realloc $realloc)))
            (core func $list (canon lower (func $types "[method]descriptor.read-directory")
                (memory $memory) (realloc $realloc)))
            (core func $next (canon lower
                (func $types "[method]directory-entry-stream.read-directory-entry")
                (memory $memory) (realloc $realloc)))
            (core func $drop (canon resource.drop $stream))
            (core module $m
                (import "host" "dirs" (func $dirs (param i32)))
                (import "host" "list" (func $list (param i32 i32)))
                (import "host" "next" (func $next (param i32 i32)))
                (import "host" "drop" (func $drop (param i32)))
                (import "libc" "memory" (memory 1))
                (func (export "run") (result i32) (local $n i32) (local $folder i32)
                    (call $dirs (i32.const 16))
                    (local.set $folder (i32.load (i32.load (i32.const 16))))
                    loop $again
                        (call $list (local.get $folder) (i32.const 32))
                        (local.set $n (i32.add (local.get $n) (i32.const 1)))
                        (if (i32.lt_u (local.get $n) (i32.const {times}))
                            (then
                                (if (i32.load8_u (i32.const 32)) (then unreachable))
                                (i32.store
                                    (i32.add (i32.const 128) (i32.mul (local.get $n) (i32.const 4)))
                                    (i32.load (i32.const 36)))
                                br $again))
                    end
                    (if (i32.ne (i32.load8_u (i32.const 32)) (i32.const {outcome}))
                        (then unreachable))
                    (if (i32.const {outcome})
                        (then (if (i32.ne (i32.load8_u (i32.const 36)) (i32.const {error}))
                            (then unreachable)))
                        (else (call $drop (i32.load (i32.const 36)))))
                    loop $give
                        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                        (if (local.get $n) (then
                            (call $drop (i32.load
                                (i32.add (i32.const 128) (i32.mul (local.get $n) (i32.const 4)))))
                            br $give))
                    end
                    (call $list (local.get $folder) (i32.const 32))
                    (if (i32.load8_u (i32.const 32)) (then unreachable))
                    loop $read
                        (call $next (i32.load (i32.const 36)) (i32.const 64))
                        (if (i32.load8_u (i32.const 64)) (then unreachable))
                        (if (i32.load8_u (i32.const 68)) (then
                            (local.set $n (i32.add (local.get $n) (i32.const 1)))
                            br $read))
                    end
                    (i32.ne (local.get $n) (i32.const {entries}))))
            (core instance $i (instantiate $m
                (with "host" (instance (export "dirs" (func $dirs)) (export "list" (func $list))
                    (export "next" (func $next)) (export "drop" (func $drop))))
                (with "libc" (instance $libc))))
            (type $run (func (result (result))))
            (func $run (type $run) (canon lift (core func $i "run")))
            (instance $out (export "run" (func $run)))
            (export "wasi:cli/run@{version}" (instance $out)))"#
    );
    wat::parse_str(text).expect("wat")
}

/// The same of 0.3; it asks for more entries than one read is answered with.
fn lister_p3(times: u32, answer: [u8; 2], entries: u32) -> Vec<u8> {
    let Words {
        version,
        error_code,
        ..
    } = P3;
    let [outcome, error] = answer;
    let text = format!(
        r#"(component
            (import "wasi:filesystem/types@{version}" (instance $types
                (export "descriptor" (type $d (sub resource)))
                (type $dt' (variant (case "block-device") (case "character-device")
                    (case "directory") (case "fifo") (case "symbolic-link") (case "regular-file")
                    (case "socket") (case "other" (option string))))
                (export "descriptor-type" (type $dt (eq $dt')))
                (type $de' (record (field "type" $dt) (field "name" string)))
                (export "directory-entry" (type $de (eq $de')))
                (type $ec' {error_code})
                (export "error-code" (type $ec (eq $ec')))
                (type $list (func (param "self" (borrow $d))
                    (result (tuple (stream $de) (future (result (error $ec)))))))
                (export "[method]descriptor.read-directory" (func (type $list)))))
            (alias export $types "descriptor" (type $descriptor))
            (alias export $types "directory-entry" (type $entry))
            (alias export $types "error-code" (type $code))
            (type $entries (stream $entry))
            (type $done (future (result (error $code))))
            (import "wasi:filesystem/preopens@{version}" (instance $preopens
                (export "descriptor" (type $d (eq $descriptor)))
                (export "get-directories" (func (result (list (tuple (own $d) string)))))))
            (core module $libc
                (memory (export "memory") 16)
                (global $top (mut i32) (i32.const 65536))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    global.get $top
                    (global.set $top (i32.and (i32.const -8)
                        (i32.add (i32.const 7) (i32.add (global.get $top) (local.get 3)))))))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $dirs (canon lower (func $preopens "get-directories")
                (memory $memory) (realloc $realloc)))
            (core func $list (canon lower (func $types "[method]descriptor.read-directory")
                (memory $memory) (realloc $realloc)))
            (core func $next (canon stream.read $entries async
                (memory $memory) (realloc $realloc)))
            (core func $outcome (canon future.read $done async
                (memory $memory) (realloc $realloc)))
            (core func $drop (canon stream.drop-readable $entries))
            (core func $set (canon waitable-set.new))
            (core func $join (canon waitable.join))
            (core func $wait (canon waitable-set.wait (memory $memory)))
            (core module $m
                (import "host" "dirs" (func $dirs (param i32)))
                (import "host" "list" (func $list (param i32 i32)))
                (import "host" "next" (func $next (param i32 i32 i32) (result i32)))
                (import "host" "outcome" (func $outcome (param i32 i32) (result i32)))
                (import "host" "drop" (func $drop (param i32)))
                (import "host" "set" (func $set (result i32)))
                (import "host" "join" (func $join (param i32 i32)))
                (import "host" "wait" (func $wait (param i32 i32) (result i32)))
                (import "libc" "memory" (memory 1))
                ;; What a read was answered with, at once or (-1) after others had their turn:
                ;; wasmtime calls realloc for the strings from elsewhere.
                (func $answer (param $of i32) (param $code i32) (result i32) (local $set i32)
                    (if (i32.ne (local.get $code) (i32.const -1))
                        (then (return (local.get $code))))
                    (local.set $set (call $set))
                    (call $join (local.get $of) (local.get $set))
                    (drop (call $wait (local.get $set) (i32.const 48)))
                    (call $join (local.get $of) (i32.const 0))
                    (i32.load (i32.const 52)))
                (func $end (param $outcome i32) (param $error i32)
                    (if (call $answer (i32.load (i32.const 36))
                            (call $outcome (i32.load (i32.const 36)) (i32.const 64)))
                        (then unreachable))
                    (if (i32.ne (i32.load8_u (i32.const 64)) (local.get $outcome))
                        (then unreachable))
                    (if (local.get $outcome) (then
                        (if (i32.ne (i32.load8_u (i32.const 68)) (local.get $error))
                            (then unreachable)))))
                (func (export "run") (result i32) (local $n i32) (local $folder i32) (local $r i32)
                    (call $dirs (i32.const 16))
                    (local.set $folder (i32.load (i32.load (i32.const 16))))
                    loop $again
                        (call $list (local.get $folder) (i32.const 32))
                        (local.set $n (i32.add (local.get $n) (i32.const 1)))
                        (i32.store (i32.add (i32.const 128) (i32.mul (local.get $n) (i32.const 4)))
                            (i32.load (i32.const 32)))
                        (br_if $again (i32.lt_u (local.get $n) (i32.const {times})))
                    end
                    (if (i32.const {outcome})
                        (then (call $end (i32.const {outcome}) (i32.const {error}))))
                    loop $give
                        (call $drop (i32.load
                            (i32.add (i32.const 128) (i32.mul (local.get $n) (i32.const 4)))))
                        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                        (br_if $give (local.get $n))
                    end
                    (call $list (local.get $folder) (i32.const 32))
                    loop $read
                        (local.set $r (call $answer (i32.load (i32.const 32)) (call $next
                            (i32.load (i32.const 32)) (i32.const 8192) (i32.const 2000))))
                        (if (i32.gt_u (i32.shr_u (local.get $r) (i32.const 4)) (i32.const {most}))
                            (then unreachable))
                        (local.set $n (i32.add (local.get $n)
                            (i32.shr_u (local.get $r) (i32.const 4))))
                        (br_if $read (i32.eqz (i32.and (local.get $r) (i32.const 15))))
                    end
                    (call $end (i32.const 0) (i32.const 0))
                    (i32.ne (local.get $n) (i32.const {entries}))))
            (core instance $i (instantiate $m
                (with "host" (instance (export "dirs" (func $dirs)) (export "list" (func $list))
                    (export "next" (func $next)) (export "drop" (func $drop))
                    (export "outcome" (func $outcome)) (export "set" (func $set))
                    (export "join" (func $join)) (export "wait" (func $wait))))
                (with "libc" (instance $libc))))
            (type $run (func async (result (result))))
            (func $run (type $run) (canon lift (core func $i "run")))
            (instance $out (export "run" (func $run)))
            (export "wasi:cli/run@{version}" (instance $out)))"#,
        most = ENTRIES_PER_READ,
    );
    wat::parse_str(text).expect("wat")
}

#[test]
fn both_versions_list_large_folders_up_to_the_limit_of_listings() {
    let folder = Folder::new();
    fill(folder.place.path(), MANY);
    for lister in [lister_p2, lister_p3] {
        // Beside what the folder has.
        let app = lister(limits::FILES, [0, 0], MANY + 7);
        assert_eq!(run(&app, &folder), Outcome::Exit(0));
    }
}

#[test]
fn both_versions_reject_listings_over_the_limit() {
    let folder = Folder::new();
    let refused = [1, P2.insufficient_memory];
    let app = lister_p2(limits::FILES + 1, refused, 7);
    assert_eq!(run(&app, &folder), Outcome::Exit(0));
    let refused = [1, P3.insufficient_memory];
    let app = lister_p3(limits::FILES + 1, refused, 7);
    assert_eq!(run(&app, &folder), Outcome::Exit(0));
}
