//! What goes to make room, what does not, and that nobody can have evidence removed that way.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::head::Kind;
use super::heads::read_dropped;
use super::options::{OpenError, Options};
use super::out::{Out, lock_within, locked};
use super::test_support::{Disk, SMALL, State, allow, lines, sensitive, write_lines};
use super::writer::Writer;
use super::{Place, PublicKey};

/// Runs of one record each.
fn runs(state: &State, count: usize, options: Options) {
    for n in 0..count {
        let mut writer = state.writer(options);
        sensitive(&mut writer, &format!("run {n}")).expect("kept");
    }
}

/// Another host of the state folder, wherever it stands.
fn open(state: &State, options: Options) -> Result<Writer, OpenError> {
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_100);
    Writer::open_with(&state.path(), clock, options)
}

fn heads(state: &State) -> Vec<PathBuf> {
    let heads = state.place().head_files().expect("listed");
    heads.into_values().collect()
}

fn statements(state: &State) -> usize {
    state.place().dropped_files().expect("listed").len()
}

/// A file in the folder of the log, made a year before.
fn plant(state: &State, name: &str) -> PathBuf {
    let path = state.path().join("audit").join(name);
    let file = File::create(&path).expect("made");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_000_000);
    file.set_modified(old).expect("set");
    path
}

/// Goal: who can write the folder of the log alone cannot have what it holds given up.
/// Method: three runs, a line of one changed, a sparse file longer than the whole bound beside them; the next
/// host gives nothing up, signs nothing, says that there is a file of somebody else, and the change still shows.
#[test]
fn reject_a_file_of_others_that_would_have_the_log_given_up() {
    let state = State::new();
    runs(&state, 3, SMALL);
    let changed = &state.segments()[1];
    let mut all = lines(changed);
    all[1] = all[1].replace("allow", "event");
    write_lines(changed, &all);
    let sparse = plant(&state, "zz-1-1.000001.jsonl");
    let file = File::options().write(true).open(&sparse).expect("opens");
    file.set_len(300 << 20).expect("sparse");
    let mut writer = state.writer(SMALL);
    let told = writer.warnings();
    assert!(
        told.len() == 1 && told[0].contains("zz-1-1.000001.jsonl: is no segment"),
        "{told:?}"
    );
    // Once, and not with each segment.
    for n in 0..200 {
        allow(&mut writer, &format!("{n}")).expect("kept");
    }
    assert_eq!(writer.warnings(), [""; 0]);
    drop(writer);
    assert_eq!(statements(&state), 0);
    assert!(sparse.exists());
    let findings = state.findings().concat();
    assert!(
        findings.contains(".000001.jsonl:2: was changed"),
        "{findings}"
    );
}

/// Empty files, links and folders with names of segments, more of them than the bound: none is counted, what is
/// empty and old goes, and hosts record as before.
#[test]
fn reject_empty_files_that_would_have_the_log_given_up() {
    let state = State::new();
    let options = Options {
        files_max: 20,
        ..SMALL
    };
    runs(&state, 3, options);
    for n in 0..30 {
        plant(&state, &format!("aa-{n}.000001.jsonl"));
        fs::create_dir(state.path().join(format!("audit/bb-{n}.000001.jsonl"))).expect("made");
        let link = state.path().join(format!("audit/cc-{n}.000001.jsonl"));
        symlink("/dev/zero", link).expect("linked");
    }
    let young = state.path().join("audit/dd-1.000001.jsonl");
    File::create(&young).expect("made");
    let mut writer = state.writer(options);
    assert_eq!(writer.warnings().len(), 1);
    sensitive(&mut writer, "kept").expect("kept");
    drop(writer);
    assert_eq!((statements(&state), heads(&state).len()), (0, 4));
    // The one that was just made is another host's, for all we know.
    assert!(young.exists());
    let names = state.place().segments().expect("listed");
    assert!(!names.keys().any(|name| name.chain.starts_with("aa")));
}

/// Files that are no segments and not empty, without heads of their own: never counted, never signed for.
#[test]
fn reject_counting_segments_without_heads_of_ours() {
    let (state, other) = (State::new(), State::new());
    let options = Options {
        files_max: 4,
        ..SMALL
    };
    // Of another host, with heads of another key: it is not ours to give up.
    runs(&state, 1, options);
    runs(&other, 1, options);
    let copy = |from: &PathBuf, to: &Path| {
        let to = to.join(from.file_name().expect("a name"));
        fs::copy(from, &to).expect("copied");
        let file = File::options().write(true).open(to).expect("opens");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
    };
    copy(&other.segments()[0], &state.place().log);
    copy(&heads(&other)[0], &state.place().heads);
    for n in 0..10 {
        let planted = plant(&state, &format!("aa-{n}.000001.jsonl"));
        fs::write(planted, "{}\n").expect("written");
    }
    runs(&state, 1, options);
    runs(&state, 2, options);
    assert_eq!(statements(&state), 0);
    assert_eq!(state.segments().len(), 10 + 1 + 4);
    runs(&state, 1, options);
    assert_eq!(statements(&state), 1);
}

/// Goal: the proof that a log was changed is not removed by making it grow. Method: a chain changed, then so many
/// runs that it goes; verify says so, also when more of the same chain and of others went.
#[test]
fn reject_a_changed_chain_also_when_it_was_given_up() {
    let state = State::new();
    let options = Options {
        files_max: 8,
        ..SMALL
    };
    let mut writer = state.writer(options);
    for n in 0..200 {
        allow(&mut writer, &format!("{n}")).expect("kept");
    }
    drop(writer);
    let changed = &state.segments()[0];
    let mut all = lines(changed);
    all[4] = all[4].replace("allow", "event");
    write_lines(changed, &all);
    let mut told = Vec::new();
    for n in 0..16 {
        let mut writer = state.writer(options);
        told.extend(writer.warnings());
        sensitive(&mut writer, &format!("{n}")).expect("kept");
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("is not as it was signed"), "{told:?}");
    assert_eq!(state.segments().len(), 8);
    let findings = state.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].contains("was not as it was signed when it was given up"),
        "{findings:?}"
    );
}

/// What cannot help is not given up.
#[test]
fn reject_giving_up_what_makes_no_room() {
    let state = State::new();
    runs(&state, 1, SMALL);
    let (one, two) = (state.writer(SMALL), state.writer(SMALL));
    let options = Options {
        files_max: 2,
        ..SMALL
    };
    let error = open(&state, options).err().expect("refused");
    assert!(matches!(error, OpenError::NoRoom(_)), "{error}");
    assert_eq!((statements(&state), state.segments().len()), (0, 3));
    drop((one, two));
    open(&state, options).expect("opens");
    assert_eq!(statements(&state), 2);
}

/// Hosts that start together each make room for themselves.
#[test]
fn hosts_that_start_together_all_find_room() {
    let state = State::new();
    let options = Options {
        files_max: 8,
        ..SMALL
    };
    runs(&state, 8, options);
    let writers: Vec<_> = thread::scope(|scope| {
        let start = |_| scope.spawn(|| open(&state, options));
        let hosts: Vec<_> = (0..6).map(start).collect();
        hosts
            .into_iter()
            .map(|host| host.join().expect("ended"))
            .collect()
    });
    for writer in &writers {
        assert!(writer.is_ok(), "{:?}", writer.as_ref().err());
    }
    drop(writers);
    assert_eq!(state.findings(), [""; 0]);
}

/// Goal: a host that ends while it gives a segment up leaves no chain that looks broken, and nobody can put one
/// back. Method: what was given up is put back as it was after each step.
#[test]
fn reject_what_is_put_back_after_it_was_given_up() {
    let state = State::new();
    let options = Options {
        disk_bytes: 200 << 10,
        ..SMALL
    };
    let mut writer = state.writer(options);
    let mut n = 0;
    let copies = state.folder.path().join("copies");
    fs::create_dir(&copies).expect("made");
    let copy = |from: &PathBuf, to: &PathBuf| {
        let name = from.file_name().expect("a name");
        fs::copy(from, to.join(name)).expect("copied");
        to.join(name)
    };
    while statements(&state) == 0 {
        allow(&mut writer, &format!("{n}")).expect("kept");
        n += 1;
        if state.segments().len() == 2 {
            copy(&state.segments()[0], &copies);
            copy(&heads(&state)[0], &copies);
        }
    }
    let place = Place::of(&state.path());
    let first = |end: &str| {
        let files = fs::read_dir(&copies).expect("listed");
        let mut files = files.map(|file| file.expect("listed").path());
        files.find(|path| path.to_string_lossy().ends_with(end))
    };
    // It ended when it had removed the records.
    let head = copy(&first(".heads").expect("a copy"), &place.heads);
    assert_eq!(state.findings(), [""; 0]);
    // And before that.
    let log = copy(&first(".jsonl").expect("a copy"), &place.log);
    assert_eq!(state.findings(), [""; 0]);
    fs::remove_file(&head).expect("removed");
    let found = state.findings().concat();
    assert!(found.contains("it was put back, or made"), "{found}");
    // The next one to make room takes what was left, and says no less than before.
    copy(&first(".heads").expect("a copy"), &place.heads);
    let chain = writer.chain().to_owned();
    let key = PublicKey::read(&place.public_key()).expect("a key");
    let said = |findings: &mut Vec<_>| read_dropped(&place, &key, &chain, findings);
    let before = said(&mut Vec::new()).expect("a statement").segment.number;
    for n in 0..100 {
        allow(&mut writer, &format!("{n}")).expect("kept");
    }
    drop(writer);
    let after = said(&mut Vec::new()).expect("a statement");
    assert!(after.segment.number > before && after.kind == Kind::Dropped);
    assert!(!log.exists() && !head.exists());
    assert_eq!(state.findings(), [""; 0]);
}

/// Who looks at a file that was just made is waited for; where that lasts nothing of it is left.
#[test]
fn reject_a_segment_that_stays_locked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    let out = Out::create(&path, &Disk::default()).expect("made");
    let looked = File::open(&path).expect("opens");
    looked.try_lock_shared().expect("free");
    locked(out, &path).map(|_| ()).expect_err("locked");
    assert!(!path.exists());
    let other = File::create(&path).expect("made");
    let looked = File::open(&path).expect("opens");
    looked.try_lock_shared().expect("free");
    lock_within(&other, Duration::ZERO).expect_err("locked");
    let look = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        drop(looked);
    });
    // Far longer than it takes: this machine may be busy.
    lock_within(&other, Duration::from_secs(30)).expect("waited for");
    look.join().expect("ended");
}
