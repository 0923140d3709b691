//! `wasi:clocks` 0.2 and 0.3 on the shard's clock.
//!
//! wasmtime-wasi's own sleep on tokio's real time; an app must not be able to tell a
//! simulated second from a real one, so all of it is here.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use nexus_caps::Shard;
use nexus_types::Instant;
use wasmtime::component::{Accessor, HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks as p2;
use wasmtime_wasi::p3::bindings::clocks as p3;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

/// The finest step any of our clocks promises.
const RESOLUTION_NANOS: u64 = 1;

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug)]
pub enum WallClock {
    /// The OS, steps of its administrator included.
    Os,
    /// The shard's clock, whose origin is this long after 1970-01-01.
    Virtual(Duration),
}

impl WallClock {
    /// What time it is, since 1970-01-01 UTC.
    pub(crate) fn now(self, shard: &Shard) -> Duration {
        match self {
            // A machine set before 1970 gets 1970: WASI 0.2 cannot say anything earlier.
            Self::Os => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            Self::Virtual(origin) => {
                origin.saturating_add(Duration::from_nanos(shard.now().as_nanos()))
            }
        }
    }
}

/// The `HasData` of the clock interfaces.
pub struct Clocks;

impl HasData for Clocks {
    type Data<'a> = ClocksView<'a>;
}

/// What a clock function sees of the store.
pub struct ClocksView<'a> {
    /// The shard's clock and timers.
    pub shard: &'a Shard,
    /// The time of day.
    pub wall: WallClock,
    /// For pollables.
    pub table: &'a mut ResourceTable,
}

/// Ready at a point in time.
struct Deadline {
    shard: Shard,
    at: Instant,
    /// A guest that asks for no time at all wants the others to have a turn: wasi-libc's
    /// `poll` with timeout 0 does, in a loop.
    yielded: bool,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        if !self.yielded {
            self.yielded = true;
            if self.shard.now() >= self.at {
                yield_once().await;
                return;
            }
        }
        self.shard.sleep_until(self.at).await;
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

impl ClocksView<'_> {
    fn subscribe(&mut self, at: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline = self.table.push(Deadline {
            shard: self.shard.clone(),
            at,
            yielded: false,
        })?;
        subscribe(self.table, deadline)
    }
}

impl p2::monotonic_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.shard.now().as_nanos())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION_NANOS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(Instant::from_nanos(when))
    }

    fn subscribe_duration(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let at = self.shard.now() + Duration::from_nanos(nanos);
        self.subscribe(at)
    }
}

impl p2::wall_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<p2::wall_clock::Datetime> {
        let now = self.wall.now(self.shard);
        Ok(p2::wall_clock::Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<p2::wall_clock::Datetime> {
        Ok(p2::wall_clock::Datetime {
            seconds: 0,
            nanoseconds: RESOLUTION_NANOS as u32,
        })
    }
}

impl p3::types::Host for ClocksView<'_> {}

impl p3::system_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<p3::system_clock::Instant> {
        let now = self.wall.now(self.shard);
        Ok(p3::system_clock::Instant {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn get_resolution(&mut self) -> wasmtime::Result<p3::types::Duration> {
        Ok(RESOLUTION_NANOS)
    }
}

impl p3::monotonic_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<p3::monotonic_clock::Mark> {
        Ok(self.shard.now().as_nanos())
    }

    fn get_resolution(&mut self) -> wasmtime::Result<p3::types::Duration> {
        Ok(RESOLUTION_NANOS)
    }
}

impl<U> p3::monotonic_clock::HostWithStore<U> for Clocks {
    async fn wait_until(
        store: &Accessor<U, Self>,
        when: p3::monotonic_clock::Mark,
    ) -> wasmtime::Result<()> {
        let shard = store.with(|mut view| view.get().shard.clone());
        sleep(&shard, Instant::from_nanos(when)).await;
        Ok(())
    }

    async fn wait_for(
        store: &Accessor<U, Self>,
        nanos: p3::types::Duration,
    ) -> wasmtime::Result<()> {
        let shard = store.with(|mut view| view.get().shard.clone());
        let at = shard.now() + Duration::from_nanos(nanos);
        sleep(&shard, at).await;
        Ok(())
    }
}

async fn sleep(shard: &Shard, at: Instant) {
    if shard.now() >= at {
        yield_once().await;
    } else {
        shard.sleep_until(at).await;
    }
}
