//! Goal: what is no file in a granted folder keeps nobody waiting. Method: a folder with one of
//! each, opened as an app opens it, from the outside in: by 0.2, by 0.3, and past the first look.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nexus_caps::NetCtx;
use nexus_types::{InstanceId, Seed, limits};
use rustix::fs::{CWD, mkfifoat};
use wasmtime::component::{Component, Linker};
use wasmtime_wasi::FsPerms;

use super::*;
use crate::driver::{Driver, Network, OsClock};
use crate::runtime::clocks::WallClock;
use crate::runtime::engine::{EngineOptions, HostEngine, Slices};
use crate::runtime::imports;
use crate::runtime::instance::{Outcome, Prepared};
use crate::runtime::limits::AppLimits;
use crate::runtime::linker::link_base;
use crate::runtime::state::{AppStart, AppState, GrantedDir};

pub(in crate::runtime) struct Folder {
    pub(in crate::runtime) place: tempfile::TempDir,
    _socket: UnixListener,
}

impl Folder {
    pub(in crate::runtime) fn new() -> Self {
        let place = tempfile::tempdir().expect("a folder");
        let path = |name: &str| place.path().join(name);
        std::fs::write(path("file"), "bytes").expect("written");
        std::fs::create_dir(path("folder")).expect("made");
        mkfifoat(CWD, path("fifo"), Mode::from_raw_mode(0o600)).expect("made");
        symlink("file", path("link")).expect("linked");
        symlink("fifo", path("link-to-fifo")).expect("linked");
        symlink("/dev/null", path("link-out")).expect("linked");
        Self {
            _socket: UnixListener::bind(path("socket")).expect("bound"),
            place,
        }
    }

    fn dir(&self, perms: FsPerms) -> Dir {
        let file = File::open(self.place.path()).expect("opens");
        Dir::new(file, perms, OpenMode::READ | OpenMode::WRITE, true)
    }
}

const READ: Ask = Ask {
    follow: true,
    create: false,
    directory: false,
    exclusive: false,
    truncate: false,
    read: true,
    write: false,
    synchronized: false,
};

#[track_caller]
fn assert_refused<T>(result: io::Result<T>, expected: Errno) {
    match result {
        Ok(_) => panic!("opened, not {expected:?}"),
        Err(error) => assert_eq!(Errno::from_io_error(&error), Some(expected)),
    }
}

#[test]
fn files_and_folders_open_as_they_are_asked_for() {
    let folder = Folder::new();
    let dir = folder.dir(FsPerms::ReadWrite);
    for name in ["file", "link", "./folder/../file"] {
        let Ok(Descriptor::File(file)) = open(&dir, name, READ) else {
            panic!("{name} is a file");
        };
        assert_eq!(file.open_mode, OpenMode::READ);
    }
    let directory = Ask {
        directory: true,
        ..READ
    };
    assert!(matches!(
        open(&dir, "folder", directory),
        Ok(Descriptor::Dir(_))
    ));
    assert!(matches!(open(&dir, ".", READ), Ok(Descriptor::Dir(_))));
    let new = Ask {
        create: true,
        exclusive: true,
        write: true,
        ..READ
    };
    let Ok(Descriptor::File(file)) = open(&dir, "folder/new", new) else {
        panic!("a new file");
    };
    assert_eq!(file.open_mode, OpenMode::READ | OpenMode::WRITE);
    assert_refused(open(&dir, "folder/new", new), Errno::EXIST);
    let emptied = Ask {
        truncate: true,
        read: false,
        write: true,
        ..READ
    };
    open(&dir, "file", emptied).expect("opens");
    let length = std::fs::metadata(folder.place.path().join("file")).expect("is there");
    assert_eq!(length.len(), 0);
}

#[test]
fn reject_what_is_neither_a_file_nor_a_folder() {
    let folder = Folder::new();
    let dir = folder.dir(FsPerms::ReadWrite);
    let write = Ask {
        read: false,
        write: true,
        ..READ
    };
    let asks = [
        READ,
        write,
        Ask {
            write: true,
            ..READ
        },
        Ask {
            create: true,
            ..write
        },
        Ask {
            truncate: true,
            ..write
        },
    ];
    for ask in asks {
        for name in ["fifo", "link-to-fifo", "socket", "folder/../fifo"] {
            assert_refused(open(&dir, name, ask), Errno::OPNOTSUPP);
        }
    }
}

/// As if it had come there after the look.
#[test]
fn reject_a_fifo_past_the_first_look() {
    let folder = Folder::new();
    let dir = folder.dir(FsPerms::ReadWrite).dir;
    let at_once = |name, flags| open_at_once(&dir, name, flags, Mode::empty());
    assert_refused(at_once("fifo", OFlags::RDONLY), Errno::OPNOTSUPP);
    assert_refused(at_once("fifo", OFlags::RDWR), Errno::OPNOTSUPP);
    // Nobody reads it: fifo(7).
    assert_refused(at_once("fifo", OFlags::WRONLY), Errno::NXIO);
}

#[test]
fn reject_what_leads_out_or_is_not_permitted() {
    let folder = Folder::new();
    let dir = folder.dir(FsPerms::ReadWrite);
    for name in ["link-out", "..", "/etc/passwd", "folder/../../x"] {
        assert_refused(open(&dir, name, READ), Errno::PERM);
    }
    let nofollow = Ask {
        follow: false,
        ..READ
    };
    assert_refused(open(&dir, "link", nofollow), Errno::LOOP);
    let directory = Ask {
        directory: true,
        ..READ
    };
    assert_refused(open(&dir, "file", directory), Errno::NOTDIR);
    let synchronized = Ask {
        synchronized: true,
        ..READ
    };
    assert_refused(open(&dir, "file", synchronized), Errno::OPNOTSUPP);
    assert_refused(open(&dir, "a\0b", READ), Errno::INVAL);

    let dir = folder.dir(FsPerms::ReadOnly);
    for ask in [
        Ask {
            write: true,
            ..READ
        },
        Ask {
            create: true,
            ..READ
        },
        Ask {
            truncate: true,
            ..READ
        },
    ] {
        assert_refused(open(&dir, "file", ask), Errno::PERM);
    }
    let set = set_times(&dir, "file", true, Time::Now, Time::Now);
    assert_refused(set, Errno::PERM);
}

#[test]
fn times_are_set_without_opening() {
    let folder = Folder::new();
    let dir = folder.dir(FsPerms::ReadWrite);
    let at = |seconds| Time::At {
        seconds,
        nanoseconds: 1_500_000_000,
    };
    for name in ["file", "link", "fifo", "link-to-fifo", "folder"] {
        set_times(&dir, name, true, Time::Keep, at(6)).expect("set");
        let metadata = std::fs::metadata(folder.place.path().join(name)).expect("is there");
        let since = metadata
            .modified()
            .expect("kept")
            .duration_since(std::time::UNIX_EPOCH)
            .expect("later");
        assert_eq!(since, std::time::Duration::from_millis(7_500), "{name}");
    }
    set_times(&dir, "link-out", false, Time::Now, Time::Now).expect("the link's own");
    let out = set_times(&dir, "link-out", true, Time::Now, Time::Now);
    assert_refused(out, Errno::PERM);
    let late = set_times(&dir, "file", true, at(i64::MAX), Time::Keep);
    assert_refused(late, Errno::OVERFLOW);
}

/// What one version calls things.
pub(in crate::runtime) struct Words {
    pub(in crate::runtime) version: &'static str,
    pub(in crate::runtime) func: &'static str,
    pub(in crate::runtime) error_code: &'static str,
    /// The places of these among them.
    pub(in crate::runtime) unsupported: u8,
    pub(in crate::runtime) insufficient_memory: u8,
}

pub(in crate::runtime) const P2: Words = Words {
    version: "0.2.0",
    func: "func",
    error_code: r#"(enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota"
        "exist" "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid"
        "io" "is-directory" "loop" "too-many-links" "message-size" "name-too-long" "no-device"
        "no-entry" "no-lock" "insufficient-memory" "insufficient-space" "not-directory"
        "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device" "overflow"
        "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device")"#,
    unsupported: 27,
    insufficient_memory: 22,
};

pub(in crate::runtime) const P3: Words = Words {
    version: "0.3.0",
    func: "func async",
    error_code: r#"(variant (case "access") (case "already") (case "bad-descriptor") (case "busy")
        (case "deadlock") (case "quota") (case "exist") (case "file-too-large")
        (case "illegal-byte-sequence") (case "in-progress") (case "interrupted") (case "invalid")
        (case "io") (case "is-directory") (case "loop") (case "too-many-links")
        (case "message-size") (case "name-too-long") (case "no-device") (case "no-entry")
        (case "no-lock") (case "insufficient-memory") (case "insufficient-space")
        (case "not-directory") (case "not-empty") (case "not-recoverable") (case "unsupported")
        (case "no-tty") (case "no-such-device") (case "overflow") (case "not-permitted")
        (case "pipe") (case "read-only") (case "invalid-seek") (case "text-file-busy")
        (case "cross-device") (case "other" (option string)))"#,
    unsupported: 26,
    insufficient_memory: 21,
};

/// An app that opens `path` in its first folder for reading, so many times, and exits with 0 if
/// the last answer begins with these bytes: 0, or 1 and, at 4, the error.
fn opener(words: &Words, path: &str, times: u32, answer: [u8; 2]) -> Vec<u8> {
    let Words {
        version,
        func,
        error_code,
        ..
    } = words;
    let [outcome, error] = answer;
    let length = path.len();
    let text = format!(
        r#"(component
            (import "wasi:filesystem/types@{version}" (instance $types
                (export "descriptor" (type $d (sub resource)))
                (type $pf' (flags "symlink-follow"))
                (export "path-flags" (type $pf (eq $pf')))
                (type $of' (flags "create" "directory" "exclusive" "truncate"))
                (export "open-flags" (type $of (eq $of')))
                (type $df' (flags "read" "write" "file-integrity-sync" "data-integrity-sync"
                    "requested-write-sync" "mutate-directory"))
                (export "descriptor-flags" (type $df (eq $df')))
                (type $ec' {error_code})
                (export "error-code" (type $ec (eq $ec')))
                (type $f ({func} (param "self" (borrow $d)) (param "path-flags" $pf)
                    (param "path" string) (param "open-flags" $of) (param "flags" $df)
                    (result (result (own $d) (error $ec)))))
                (export "[method]descriptor.open-at" (func (type $f)))))
            (alias export $types "descriptor" (type $descriptor))
            (import "wasi:filesystem/preopens@{version}" (instance $preopens
                (export "descriptor" (type $d (eq $descriptor)))
                (export "get-directories" (func (result (list (tuple (own $d) string)))))))
            (core module $libc
                (memory (export "memory") 1)
                (global $top (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    global.get $top
                    (global.set $top (i32.and (i32.const -8)
                        (i32.add (i32.const 7) (i32.add (global.get $top) (local.get 3)))))))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $dirs (canon lower (func $preopens "get-directories")
                (memory $memory) (realloc $realloc)))
            (core func $open (canon lower (func $types "[method]descriptor.open-at")
                (memory $memory) (realloc $realloc)))
            (core module $m
                (import "host" "dirs" (func $dirs (param i32)))
                (import "host" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
                (import "libc" "memory" (memory 1))
                (data (i32.const 64) "{path}")
                (func (export "run") (result i32) (local $times i32)
                    (call $dirs (i32.const 16))
                    (local.set $times (i32.const {times}))
                    loop $again
                    (call $open (i32.load (i32.load (i32.const 16))) (i32.const 1)
                        (i32.const 64) (i32.const {length}) (i32.const 0) (i32.const 1)
                        (i32.const 32))
                    (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                    (if (local.get $times)
                        (then (br_if $again (i32.eqz (i32.load8_u (i32.const 32))))
                            unreachable))
                    end
                    (if (i32.ne (i32.load8_u (i32.const 32)) (i32.const {outcome}))
                        (then unreachable))
                    (if (i32.and (i32.const {outcome})
                            (i32.ne (i32.load8_u (i32.const 36)) (i32.const {error})))
                        (then unreachable))
                    i32.const 0))
            (core instance $i (instantiate $m
                (with "host" (instance (export "dirs" (func $dirs)) (export "open" (func $open))))
                (with "libc" (instance $libc))))
            (type $run ({func} (result (result))))
            (func $run (type $run) (canon lift (core func $i "run")))
            (instance $out (export "run" (func $run)))
            (export "wasi:cli/run@{version}" (instance $out)))"#
    );
    wat::parse_str(text).expect("wat")
}

pub(in crate::runtime) fn run(bytes: &[u8], folder: &Folder) -> Outcome {
    let host = HostEngine::new(EngineOptions::default()).expect("engine");
    let component = Component::from_binary(host.engine(), bytes).expect("compiles");
    let mut linker = Linker::new(host.engine());
    let imports = imports::of_component(host.engine(), &component);
    link_base(&mut linker, &imports).expect("links");
    let prepared = Prepared::new(&linker, &component).expect("fits");
    let mut driver = Driver::new(nexus_node::Mesh::new(), OsClock::start()).expect("driver");
    let seed = Seed::from_number(1);
    let node = driver.add_node(&Network::None, &seed).expect("node").id;
    let net = NetCtx {
        shard: driver.shard().clone(),
        node,
        instance: InstanceId(1),
    };
    let start = AppStart {
        args: vec!["app".into()],
        env: Vec::new(),
        dirs: vec![GrantedDir {
            host: folder.place.path().canonicalize().expect("is there"),
            guest: "/".into(),
            writable: true,
        }],
        stdin: None,
        stdout: None,
        stderr: None,
        seed,
        wall: WallClock::Os,
        slices: Slices::Ticks,
        limits: AppLimits::default(),
        roots: Vec::new(),
    };
    let state = AppState::new(start, net).expect("state");
    let running = async move {
        let ended_by = std::future::pending();
        prepared.run(state, &[], ended_by, || {}).await
    };
    driver.block_on(running).expect("driver").outcome
}

#[test]
fn both_versions_open_files_and_reject_fifos() {
    let folder = Folder::new();
    for words in [P2, P3] {
        let opened = run(&opener(&words, "file", 1, [0, 0]), &folder);
        assert_eq!(opened, Outcome::Exit(0), "{}", words.version);
        let refused = [1, words.unsupported];
        for path in ["fifo", "link-to-fifo", "socket"] {
            let opened = run(&opener(&words, path, 1, refused), &folder);
            assert_eq!(opened, Outcome::Exit(0), "{path} by {}", words.version);
        }
    }
}

#[test]
fn both_versions_open_files_up_to_the_limit() {
    let folder = Folder::new();
    for words in [P2, P3] {
        let app = opener(&words, "file", limits::FILES, [0, 0]);
        assert_eq!(run(&app, &folder), Outcome::Exit(0), "{}", words.version);
    }
}

#[test]
fn both_versions_reject_files_over_the_limit() {
    let folder = Folder::new();
    for words in [P2, P3] {
        let refused = [1, words.insufficient_memory];
        for path in ["file", "folder"] {
            let app = opener(&words, path, limits::FILES + 1, refused);
            assert_eq!(
                run(&app, &folder),
                Outcome::Exit(0),
                "{path} by {}",
                words.version
            );
        }
    }
}

/// Goal: what stands where a judged folder stood is not opened through a link, the last part of its path or one before.
/// Method: the folder, a link to it, and one to the folder above it.
#[test]
fn reject_a_folder_behind_a_link() {
    use std::os::unix::fs::symlink;
    let place = tempfile::tempdir().expect("a folder");
    let place = place.path().canonicalize().expect("a path");
    std::fs::create_dir_all(place.join("above/data")).expect("made");
    symlink(place.join("above/data"), place.join("last")).expect("a link");
    symlink(place.join("above"), place.join("middle")).expect("a link");
    assert!(folder(&place.join("above/data")).is_ok());
    for link in ["last", "middle/data"] {
        let error = folder(&place.join(link)).expect_err(link);
        assert_eq!(error.to_string(), "there is a link on the way");
    }
}
