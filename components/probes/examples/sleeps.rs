//! Waiting takes as long as was asked, by every way to wait and every clock, and several waits overlap.

use core::time::Duration;
use std::time::Instant;

use nexus_sdk::svc::time::{now, sleep};
use nexus_sdk::task::join;
use probes::{Outcome, ensure};

const NAP: Duration = Duration::from_millis(60);

async fn run() -> Outcome {
    let (begin, std_begin) = (now(), Instant::now());
    sleep(NAP).await;
    let (took, std_took) = (now() - begin, std_begin.elapsed());
    ensure(took >= NAP, format!("waited {took:?}"))?;
    ensure(
        std_took >= NAP,
        format!("waited {std_took:?} by std's clock"),
    )?;

    let begin = now();
    std::thread::sleep(NAP);
    let took = now() - begin;
    ensure(took >= NAP, format!("std waited {took:?}"))?;

    let begin = now();
    join(sleep(NAP * 10), join(sleep(NAP * 10), sleep(NAP * 10))).await;
    let took = now() - begin;
    ensure(
        took >= NAP * 10 && took < NAP * 25,
        format!("three waits at once took {took:?}"),
    )?;

    sleep(Duration::ZERO).await;
    Ok(())
}

nexus_sdk::main!(run);
