//! A conversation that goes on while something happens.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nexus_testbed::{Deadline, Namespace, PATIENCE};

use crate::peer::connect;

/// Without service for longer is too long.
const MOST: Duration = Duration::from_secs(1);

/// A client of an echo that asks again as soon as it is answered, until dropped.
pub(crate) struct Live {
    took: Receiver<Duration>,
}

impl Live {
    /// One that has been answered.
    pub(crate) fn begin(place: &Namespace, to: &'static str) -> Self {
        let (tell, took) = channel();
        place.spawn(move || {
            let mut stream = connect(to);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut number, mut answer) = (0_u8, [0; 1_000]);
            let mut begun = Instant::now();
            while stream.write_all(&[number; 1_000]).is_ok()
                && stream.read_exact(&mut answer).is_ok()
                && answer == [number; 1_000]
                && tell.send(begun.elapsed()).is_ok()
            {
                begun = Instant::now();
                number = number.wrapping_add(1);
            }
        });
        let live = Self { took };
        live.goes_on(100, "at the beginning");
        live
    }

    /// That it was answered in time so far, and is so many times more.
    #[track_caller]
    pub(crate) fn goes_on(&self, times: usize, after: &str) {
        let deadline = Deadline::after(PATIENCE);
        let so_far: Vec<Duration> = self.took.try_iter().collect();
        let more = (0..times).map(|number| {
            let took = self.took.recv_timeout(deadline.left("an answer"));
            took.unwrap_or_else(|error| panic!("{after}: answer {number}: {error}"))
        });
        let longest = so_far.into_iter().chain(more).max();
        assert!(longest < Some(MOST), "{after}: an answer took {longest:?}");
    }
}
