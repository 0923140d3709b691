//! Losses are mended without waiting for a timeout wherever the far end has said enough.

use core::num::NonZeroU64;
use std::cell::Cell;
use std::rc::Rc;

use nexus_sim::Ppm;
use nexus_sim::station::apps::{BulkClient, EchoServer};

use super::*;

/// When the client's first bytes were written, and when the last ones it has read so far came.
struct Span(Rc<Cell<(Option<Instant>, Instant)>>);

impl Checker for Span {
    fn name(&self) -> &'static str {
        "span"
    }

    fn looks_at_frames(&self) -> bool {
        false
    }

    fn see(&mut self, at: Instant, machine: MachineId, seen: &Seen<'_>, _: &mut Found<'_>) {
        let (first, last) = self.0.get();
        if machine == CLIENT {
            match seen {
                Seen::Noted(Note::Wrote { .. }) => self.0.set((first.or(Some(at)), last)),
                Seen::Noted(Note::Read { .. }) => self.0.set((first, at)),
                _ => {}
            }
        }
    }
}

/// Goal: a loss while bytes go both ways costs a round trip and not a second. Method: an echo of 1 MiB, one frame in a
/// hundred lost, twenty seeds; how long the bytes take in virtual time. Six tenths of a second it is; where what
/// segments with data say of a loss does not count it is 20 s, or the connection is given up before. (The link has a
/// rate, so that a window is acknowledged in parts: were it acknowledged all at once, the loss of that would cost a
/// timeout.)
#[test]
fn an_echo_over_a_lossy_link_does_not_wait_for_timeouts() {
    let conditions = Conditions {
        loss: Ppm::per_mille(10),
        rate: NonZeroU64::new(100_000_000),
        ..Conditions::PLAIN
    };
    let mut took = Duration::ZERO;
    for seed in 1..=20 {
        let client = || -> Box<dyn App> { Box::new(BulkClient::new("bulk", remote(), 1 << 20)) };
        let server = || -> Box<dyn App> { Box::new(EchoServer::new(local())) };
        let mut pair = Pair::new(seed, conditions, |_| {}, Box::new(client), Box::new(server));
        pair.world.add_checker(Box::new(OneConnection));
        let span = Rc::<Cell<_>>::default();
        pair.world.add_checker(Box::new(Span(span.clone())));
        // The client is there from the first step on.
        while pair.world.now() == Instant::ZERO || pair.unfinished() > 0 {
            assert!(pair.world.step(), "seed {seed}");
            assert_eq!(pair.wrong(), None, "seed {seed}");
        }
        let (first, last) = span.get();
        took += last - first.expect("it has written");
        pair.come_to_rest();
        assert_eq!(pair.wrong(), None, "seed {seed}");
    }
    let each = took / 20;
    assert!(each < Duration::from_secs(1), "{each:?}");
}
