//! Time: virtual, and it passes for who does not wait, too.

use std::time::Duration;

use nexus_sdk::svc::time::{self, BackoffConfig, retry, retry_within, sleep, timeout};
use nexus_sdk::task::{join, spawn, yield_now};
use nexus_sdk::{Error, ErrorCode};

use crate::{LIMIT, Told, code, passes, two_nodes};

/// Goal: waiting takes virtual time alone, to the nanosecond. Method: ten years of sleep, and a timeout.
#[test]
fn sleeping_takes_virtual_time() {
    let (mut world, _, node) = two_nodes(1);
    let years = Duration::from_secs(10 * 365 * 86_400);
    let app = node.app("").start(async move || {
        let begin = time::now();
        sleep(years).await;
        assert_eq!(time::now() - begin, years);
        let never = core::future::pending::<Result<(), Error>>();
        assert_eq!(
            code(timeout(Duration::from_secs(3), never).await),
            ErrorCode::Deadline
        );
        assert_eq!(time::now() - begin, years + Duration::from_secs(3));
        // At once, and all the same after who is ready.
        sleep(Duration::ZERO).await;
    });
    world.run(years * 2).unwrap();
    assert_eq!(app.exit_code(), Some(0));
    assert_eq!(world.elapsed(), years + Duration::from_secs(3));
}

/// Goal: a schedule of retries runs in virtual time and is the seed's. Method: one that always fails.
#[test]
fn retries_wait_as_the_seed_says() {
    let run = |seed| {
        let (mut world, _, node) = two_nodes(seed);
        let told = Told::default();
        let tell = told.clone();
        let app = node.app("").start(async move || {
            let result: Result<(), _> = retry(BackoffConfig::default(), || {
                tell.borrow_mut().push(time::now());
                core::future::ready(Err(Error::new(ErrorCode::Refused, "refused", "")))
            })
            .await;
            assert_eq!(code(result), ErrorCode::Refused);
        });
        passes(&mut world, &app);
        told.take()
    };
    assert!(run(1).len() > 1);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Waits of exactly a second or a half: what the seed takes off them changes no outcome below.
const SECONDS: BackoffConfig = BackoffConfig {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(1),
    retries: 100,
};

/// Goal: a budget holds for attempts and waits together, and the error says why the last attempt failed. Method:
/// attempts that fail at once for ever; one that fails and one that hangs; one that hangs from the beginning; one that
/// is done at the budget's end, and one a nanosecond past it.
#[test]
fn retries_end_with_their_budget() {
    let (mut world, _, node) = two_nodes(1);
    let app = node.app("").start(async || {
        let budget = Duration::from_secs(10);
        let refused = || Err(Error::new(ErrorCode::Refused, "refused", ""));
        let took = async |attempt: &dyn Fn(u32) -> Attempt| {
            let (begin, mut count) = (time::now(), 0);
            let result = retry_within(budget, SECONDS, || {
                count += 1;
                attempt(count)
            })
            .await;
            (result, time::now() - begin, count)
        };

        let (result, time, count) = took(&|_| Box::pin(async move { refused() })).await;
        assert_eq!(code(result), ErrorCode::Refused);
        assert!(time <= budget && time > Duration::from_secs(8), "{time:?}");
        assert!((10..=20).contains(&count), "{count}");

        let (result, time, count) = took(&|count| {
            Box::pin(async move {
                if count > 1 {
                    sleep(Duration::MAX).await;
                }
                refused()
            })
        })
        .await;
        assert_eq!((code(result), time, count), (ErrorCode::Refused, budget, 2));

        for (over, outcome) in [(0, Ok(())), (1, Err(ErrorCode::Deadline))] {
            let takes = budget + Duration::from_nanos(over);
            let (result, time, count) = took(&|_| {
                Box::pin(async move {
                    sleep(takes).await;
                    Ok(())
                })
            })
            .await;
            assert_eq!(result.map_err(|error| error.code()), outcome);
            assert_eq!((time, count), (budget, 1));
        }
    });
    passes(&mut world, &app);
}

type Attempt = core::pin::Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// Goal: a budget changes nothing of what is final. Method: a denial, and a schedule that is over first.
#[test]
fn reject_what_is_final_within_any_budget() {
    let (mut world, _, node) = two_nodes(1);
    let app = node.app("").start(async || {
        for (failure, calls) in [(ErrorCode::Denied, 1), (ErrorCode::Refused, 3)] {
            let mut count = 0;
            let config = BackoffConfig {
                retries: 2,
                ..SECONDS
            };
            let result: Result<(), _> = retry_within(Duration::MAX, config, || {
                count += 1;
                core::future::ready(Err(Error::new(failure, "", "")))
            })
            .await;
            assert_eq!((code(result), count), (failure, calls));
        }
    });
    passes(&mut world, &app);
}

/// Goal: tasks of an app take turns. Method: two, each waiting for the other's time.
#[test]
fn tasks_take_turns() {
    let (mut world, _, node) = two_nodes(1);
    let told = Told::default();
    let tell = told.clone();
    let app = node.app("").start(async move || {
        for name in ['a', 'b'] {
            let tell = tell.clone();
            spawn(async move {
                for _ in 0..3 {
                    tell.borrow_mut().push(name);
                    sleep(Duration::from_secs(1)).await;
                }
            });
        }
        let pause = || sleep(Duration::from_millis(1_500));
        join(pause(), pause()).await;
        // What still runs ends with the app.
    });
    passes(&mut world, &app);
    assert_eq!(*told.borrow(), ['a', 'b', 'a', 'b']);
}

async fn spin() {
    loop {
        yield_now().await;
    }
}

/// Goal: who never waits does not stop the world. Method: one that yields until its clock has moved, beside one that
/// sleeps.
#[test]
fn time_passes_for_who_yields_for_ever() {
    let (mut world, _, node) = two_nodes(1);
    node.app("").background().start(spin);
    let app = node.app("").start(async || {
        let begin = time::now();
        while time::now() - begin < Duration::from_millis(50) {
            yield_now().await;
        }
        sleep(Duration::from_millis(50)).await;
    });
    passes(&mut world, &app);
    assert!(world.elapsed() < Duration::from_millis(110), "{world:?}");
}

/// Goal: the manifest's timeout ends an app, as in production. Method: one second; it sleeps two.
#[test]
fn an_app_ends_with_its_time() {
    let (mut world, _, node) = two_nodes(1);
    let manifest = "[app]\nid = \"slow\"\n[limits]\ntimeout = \"1s\"\n";
    let slow = node.app(manifest).start(|| sleep(Duration::from_secs(2)));
    let just = node.app(manifest).start(|| sleep(Duration::from_secs(1)));
    world.run(LIMIT).unwrap();
    assert_eq!((slow.exit_code(), just.exit_code()), (Some(124), Some(0)));
    assert_eq!(world.elapsed(), Duration::from_secs(1));
}
