//! What an app is as a process: arguments, output, exit code, its end.

use std::time::Duration;

use nexus_sdk::svc::time::{now, sleep};
use nexus_sdk::task::spawn;
use nexus_sdk::{Error, ErrorCode, args, eprint, exit, print, print_bytes};

use crate::{LIMIT, Told, two_nodes};

#[test]
fn output_is_kept_an_app_each() {
    let (mut world, server, node) = two_nodes(1);
    let hello = async || {
        print(&format!("hello {}\n", args().join(" "))).await;
        print_bytes(b"\xff\n").await.unwrap();
        eprint("aside\n").await;
    };
    let one = node.app("").args(["a", "b"]).start(hello);
    let other = server.app("").start(hello);
    world.run(LIMIT).unwrap();
    assert_eq!(one.stdout(), "hello a b\n\u{fffd}\n");
    assert_eq!(other.stdout(), "hello \n\u{fffd}\n");
    assert_eq!((one.stderr(), one.unkept()), ("aside\n".to_owned(), 0));
}

/// Goal: the end of an app is its own. Method: the ways it can end, beside one that goes on.
#[test]
fn an_app_ends_with_its_code_and_nobody_else_does() {
    let (mut world, _, node) = two_nodes(1);
    let exits = node.app("").start(async || {
        print("before").await;
        if now().as_nanos() < u64::MAX {
            exit(3);
        }
        print("after").await;
    });
    let from_a_task = node.app("").start(async || {
        spawn(async { exit(4) });
        sleep(Duration::from_secs(1)).await;
    });
    let fails = node
        .app("")
        .start(async || Err::<(), _>(Error::new(ErrorCode::Protocol, "no-page", "nothing there")));
    let goes_on = node.app("").start(|| sleep(Duration::from_secs(2)));
    world.run(LIMIT).unwrap();
    let codes = [&exits, &from_a_task, &fails, &goes_on].map(|app| app.exit_code().unwrap());
    assert_eq!(codes, [3, 4, 1, 0]);
    assert_eq!(exits.stdout(), "before");
    assert!(
        fails
            .stderr()
            .starts_with("error: protocol (no-page): nothing there")
    );
}

/// As `exit`, for a closure that returns something.
fn exit_with(code: u8) {
    exit(code);
}

/// Goal: what an app has spawned ends with it and is nobody else's. Method: tasks that were never polled, of an app
/// that has ended and of one that exits; the next one runs alone.
#[test]
fn what_is_spawned_ends_with_its_app() {
    struct Dropped(Told<&'static str>, &'static str);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let (mut world, _, node) = two_nodes(1);
    let told: Told<&'static str> = Told::default();
    let task = |told: &Told<&'static str>, name| {
        let dropped = Dropped(told.clone(), name);
        async move {
            dropped.0.borrow_mut().push("ran");
            sleep(Duration::from_secs(1000)).await;
        }
    };
    let (one, two, three) = (told.clone(), told.clone(), told.clone());
    node.app("").start(async move || spawn(task(&one, "ended")));
    node.app("").start(async move || {
        spawn(task(&two, "exited"));
        exit_with(0);
    });
    node.app("").start(async move || {
        spawn(task(&three, "waited"));
        sleep(Duration::from_secs(1)).await;
    });
    world.run(LIMIT).unwrap();
    assert_eq!(*told.borrow(), ["ended", "exited", "ran", "waited"]);
}

#[test]
#[should_panic(expected = "this app is wrong")]
fn an_app_that_panics_fails_the_test() {
    let (mut world, _, node) = two_nodes(1);
    node.app("")
        .start(async || assert!(args().len() > 1, "this app is wrong"));
    let _ = world.run(LIMIT);
}

#[test]
#[should_panic(expected = "`time::now` was called outside of a simulated app")]
fn reject_the_clock_outside_of_an_app() {
    now();
}

#[test]
#[should_panic(expected = "`exit` was called outside of a simulated app")]
fn reject_an_exit_outside_of_an_app() {
    exit(0);
}

#[test]
#[should_panic(expected = "`spawn` was called outside of a simulated app")]
fn reject_a_task_outside_of_an_app() {
    spawn(async {});
}
