//! Both ends of the sockets, and clients that are neither.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::*;

fn block_on<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(what)
}

fn hosted(state: &Path) -> Control {
    let (control, mut asked) = Control::listen(state).expect("listens");
    thread::spawn(move || {
        block_on(async move {
            while let Some(asked) = asked.next().await {
                let text = format!("{:?}", asked.request);
                asked.answer(Answer {
                    ok: true,
                    text,
                    ended: 3,
                });
            }
        });
    });
    control
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn socket(state: &Path, control: &Control) -> PathBuf {
    state.join("control").join(control.name())
}

/// What the hosts of a state folder say: each one's text, and none of one that does not answer.
fn ask(state: &Path) -> Vec<Option<String>> {
    let asker = Asker::of(state).expect("ours");
    let heard = asker.ask(None, Request::ReloadPolicy).expect("asked");
    let text = |heard: Heard| heard.answer.ok().map(|answer| answer.text);
    heard.into_iter().map(text).collect()
}

fn done() -> Option<String> {
    Some("ReloadPolicy".into())
}

/// A socket like a host's, of a process that is none of ours.
fn like_a_hosts(state: &Path, pid: u32) -> PathBuf {
    let name = format!("{pid}-0123456789abcdef.sock");
    state.join("control").join(name)
}

/// Goal: what is asked is answered, and rubbish does not end the service. Method: a host that answers what it heard.
#[test]
fn what_is_asked_is_answered() {
    let place = place();
    let control = hosted(place.path());
    let rubbish = UnixStream::connect(socket(place.path(), &control)).expect("connects");
    (&rubbish)
        .write_all(b"{\"do\":\"format-disk\"}\n")
        .expect("written");
    let mut line = String::new();
    BufReader::new(&rubbish).read_line(&mut line).expect("read");
    assert!(line.contains("\"ok\":false"), "{line}");
    let asker = Asker::of(place.path()).expect("ours");
    let ask = |pid| asker.ask(pid, Request::ReloadPolicy).expect("asked");
    let heard = ask(Some(std::process::id()));
    let answer = heard[0].answer.as_ref().expect("answered");
    assert_eq!((answer.text.as_str(), answer.ended), ("ReloadPolicy", 3));
    assert!(ask(Some(std::process::id() + 1)).is_empty());
}

/// Goal: two hosts whose process id is the same number, as in two pid namespaces, are both asked, and the end of one
/// leaves the other its socket. Method: two in this process.
#[test]
fn two_hosts_of_one_number_are_two() {
    let place = place();
    let (one, other) = (hosted(place.path()), hosted(place.path()));
    assert_eq!(ask(place.path()), [done(), done()]);
    drop(one);
    assert_eq!(ask(place.path()), [done()]);
    drop(other);
    let left = fs::read_dir(place.path().join("control")).expect("there");
    assert_eq!(left.count(), 0);
}

/// Goal: a host takes away its own socket alone. Method: another stands where its was.
#[test]
fn reject_taking_away_what_is_anothers() {
    let place = place();
    let control = hosted(place.path());
    let path = socket(place.path(), &control);
    // Moved and not removed: the number of its inode is not free for the other.
    fs::rename(&path, place.path().join("before")).expect("moved");
    let _other = UnixListener::bind(&path).expect("bound");
    drop(control);
    assert!(path.exists());
}

/// Goal: a host of a state folder whose path is longer than a socket's can be is reached. Method: one of 200 letters.
#[test]
fn a_long_path_is_no_hindrance() {
    let place = place();
    let state = place.path().join("x".repeat(200));
    let _control = hosted(&state);
    assert_eq!(ask(&state), [done()]);
}

/// Goal: nobody else may ask. Method: the modes; a client of another user cannot be made without root.
#[test]
fn reject_others_by_the_files_modes() {
    let place = place();
    let control = hosted(place.path());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let path = socket(place.path(), &control);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&place.path().join("control")), 0o700);
    drop(control);
    assert!(!path.exists(), "and it goes with the host");
}

/// Goal: a folder that is not ours alone is neither used nor asked, and nothing in it changes. Method: a link, and
/// folders that others can look into; by whom it is owned is looked at in the same place.
#[test]
fn reject_a_folder_that_others_can_reach() {
    let place = place();
    let state = place.path();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    let refused = |says: &str| {
        let listening = Control::listen(state).map(|_| ()).expect_err("refused");
        let asking = Asker::of(state).map(|_| ()).expect_err("refused");
        for error in [listening, asking] {
            assert!(error.to_string().contains(says), "{error}");
        }
    };
    let victim = place.path().join("victim");
    fs::create_dir(&victim).expect("made");
    mode(&victim, 0o755);
    symlink(&victim, state.join("control")).expect("linked");
    refused("a link is not followed");
    let left = fs::metadata(&victim).expect("there").permissions().mode() & 0o777;
    assert_eq!(left, 0o755);
    fs::remove_file(state.join("control")).expect("removed");
    fs::create_dir(state.join("control")).expect("made");
    mode(&state.join("control"), 0o755);
    refused("chmod 700");
    mode(&state.join("control"), 0o700);
    mode(state, 0o777);
    refused("chmod go-w");
    mode(state, 0o700);
    drop(hosted(state));
}

/// Goal: a slow client holds up neither another nor the host. Method: one says nothing, one dribbles and never ends its
/// line; both are cut off in time.
#[test]
fn reject_slow_clients_without_delay_for_others() {
    let place = place();
    let control = hosted(place.path());
    let path = socket(place.path(), &control);
    let begun = Instant::now();
    let silent = UnixStream::connect(&path).expect("connects");
    let mut dribbles = UnixStream::connect(&path).expect("connects");
    let mut reads = dribbles.try_clone().expect("another");
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let dribbler = thread::spawn(move || {
        while dribbles.write_all(b" ").is_ok() {
            let _ = end.recv_timeout(wire::CLIENT_TIME / 4);
        }
    });
    assert_eq!(ask(place.path()), [done()]);
    assert!(begun.elapsed() < wire::CLIENT_TIME, "{:?}", begun.elapsed());
    let mut nothing = Vec::new();
    assert_eq!((&silent).read_to_end(&mut nothing).expect("closed"), 0);
    let _ = reads.read_to_end(&mut nothing);
    assert!(begun.elapsed() < wire::CLIENT_TIME * 3);
    drop(ended);
    dribbler.join().expect("ends");
}

/// Goal: a request has a length. Method: one byte more than the most, and no end.
#[test]
fn reject_a_request_that_is_too_long() {
    let place = place();
    let control = hosted(place.path());
    let client = UnixStream::connect(socket(place.path(), &control)).expect("connects");
    let long = vec![b' '; wire::REQUEST_BYTES_MAX as usize];
    (&client).write_all(&long).expect("written");
    let mut line = String::new();
    BufReader::new(&client).read_line(&mut line).expect("read");
    assert!(line.contains("this is no request"), "{line}");
}

/// Goal: hosts that do not answer, whether they take clients or not, do not keep others from it. Method: a socket nobody
/// accepts at, and one whose queue is full, beside a host.
#[test]
fn reject_waiting_for_hosts_that_stand_still() {
    let place = place();
    let (control, mut asked) = Control::listen(place.path()).expect("listens");
    let still = UnixListener::bind(like_a_hosts(place.path(), 1)).expect("bound");
    let full = like_a_hosts(place.path(), 2);
    let listener = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .expect("a socket");
    let address = rustix::net::SocketAddrUnix::new(&full).expect("short");
    rustix::net::bind(&listener, &address).expect("bound");
    rustix::net::listen(&listener, 0).expect("listens");
    let _first = UnixStream::connect(&full).expect("one has room");
    let begun = Instant::now();
    let state = place.path().to_owned();
    let asking = thread::spawn(move || {
        let asker = Asker::of(&state).expect("ours");
        asker.ask(None, Request::ReloadPolicy).expect("asked")
    });
    let asked = block_on(asked.next()).expect("asked");
    assert!(begun.elapsed() < Duration::from_secs(1), "{begun:?}");
    asked.answer(Answer {
        ok: true,
        text: "done".into(),
        ended: 0,
    });
    let heard = asking.join().expect("ends");
    let of = |pid| heard.iter().find(|heard| heard.pid == pid).expect("heard");
    for pid in [1, 2] {
        let error = of(pid).answer.as_ref().expect_err("no answer");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
    assert!(of(std::process::id()).answer.is_ok());
    assert!(full.exists() && like_a_hosts(place.path(), 1).exists());
    drop((still, control));
}

/// Goal: what a host left that has ended is taken away, and nothing else. Method: a socket nobody listens at, a file
/// called like one, and a socket called otherwise.
#[test]
fn what_is_left_over_is_taken_away_and_reject_all_else() {
    let place = place();
    drop(hosted(place.path()));
    let control = place.path().join("control");
    let left = like_a_hosts(place.path(), 1);
    let file = like_a_hosts(place.path(), 2);
    let other = control.join("1.sock");
    drop(UnixListener::bind(&left).expect("bound"));
    drop(UnixListener::bind(&other).expect("bound"));
    fs::write(&file, "mine").expect("written");
    assert!(ask(place.path()).is_empty());
    assert!(!left.exists());
    assert!(file.exists() && other.exists());
}
