//! A link that falls silent: what an app is told, and when.

use nexus_sim::{Fault, LinkFault, Span};
use nexus_types::ErrorCode;

use super::talk::{Script, Talk};
use super::*;

const SAID: &[u8] = b"still in order";

/// A link of a millisecond, and silence from `from` on, so long.
fn silent(script: Script, from: Instant, lasts: Duration) -> Talk {
    let mut talk = Talk::new(3, Conditions::PLAIN, script);
    let cut = Fault::Link(Span::ALL, LinkFault::Cut);
    let action = Action::Fault(cut, lasts);
    talk.pair.world.at(from, action).unwrap();
    talk
}

const TIMED_OUT: Result<(), ErrorCode> = Err(ErrorCode::Deadline);

/// Goal: who dials a host that says nothing is told after 75 s, and the dialling leaves nothing. Method: no frame passes.
#[test]
fn reject_a_silent_host_as_timed_out() {
    let mut talk = silent(Script::default(), Instant::ZERO, Duration::MAX);
    talk.run_until(100);
    let ended = talk.client.ended.get();
    assert_eq!(ended, Some((Instant::from_secs(75), TIMED_OUT)));
    assert_eq!(talk.flows(), 0);
}

/// Goal: who has written something to a host that has vanished is told after five minutes. Method: a connection that was
/// silent for long before.
#[test]
fn reject_a_vanished_host_as_timed_out() {
    let script = Script {
        says: Some((Instant::from_secs(1_000), SAID)),
        ..Script::default()
    };
    let mut talk = silent(script, Instant::from_secs(999), Duration::MAX);
    talk.run_until(1_299);
    assert_eq!(talk.client.ended.get(), None);
    talk.run_until(1_301);
    let ended = talk.client.ended.get();
    assert_eq!(ended, Some((Instant::from_secs(1_300), TIMED_OUT)));
    assert_eq!(talk.flows(), 0);
    assert_eq!(talk.server.ended.get(), None, "nobody told it");
}

/// Goal: a keep-alive finds a host that has vanished, and keeps one that is there and has nothing to say. Method: a
/// connection that is silent for long, then says something, and then has no link any more.
#[test]
fn keep_alive_finds_a_vanished_host_and_keeps_a_living_one() {
    let script = Script {
        keep_alive: Some(Duration::from_secs(10)),
        says: Some((Instant::from_secs(1_000), SAID)),
        ..Script::default()
    };
    let mut talk = silent(script, Instant::from_secs(1_001), Duration::MAX);
    talk.run_until(1_001);
    assert_eq!(talk.client.ended.get(), None);
    assert_eq!(*talk.server.read.borrow(), SAID);
    talk.run_until(1_062);
    let (at, how) = talk.client.ended.get().expect("it is found");
    assert_eq!(how, TIMED_OUT);
    assert!(at > Instant::from_secs(1_010), "{at}");
    assert_eq!(talk.flows(), 0);
}

/// Goal: what a closed handle has queued lingers for a minute and no longer, and the far end is then told that it will
/// not come. Method: it is written and closed while nothing passes; the link is back before the minute is over, and
/// after the last time it was sent again (the next would be 63 s after the first).
#[test]
fn lingering_ends_with_a_reset_when_nobody_acknowledges() {
    let script = Script {
        says: Some((Instant::from_secs(1), SAID)),
        closes: true,
        ..Script::default()
    };
    let from = Instant::from_millis(999);
    let mut talk = silent(script, from, Duration::from_secs(59));
    talk.run_until(60);
    assert_eq!(talk.flows(), 1, "within the linger time");
    assert_eq!(talk.server.ended.get(), None);
    talk.run_until(62);
    assert_eq!(talk.flows(), 0, "after it");
    let (_, how) = talk.server.ended.get().expect("it was told");
    assert_eq!(how, Err(ErrorCode::Reset));
    assert!(talk.server.read.borrow().is_empty());
}
