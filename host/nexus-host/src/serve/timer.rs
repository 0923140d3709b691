//! The shard's clock as hyper asks for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;
use nexus_caps::Shard;

/// Tells the shard's time in the machine's: what hyper measures is only ever a difference.
pub(super) struct Timer {
    shard: Shard,
    /// The same moment on both clocks.
    began: (Instant, nexus_types::Instant),
}

impl Timer {
    pub(super) fn new(shard: &Shard) -> Self {
        Self {
            shard: shard.clone(),
            began: (Instant::now(), shard.now()),
        }
    }
}

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        let until = self.shard.latest() + duration;
        Box::pin(Sleep(self.shard.sleep_until(until)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let until = self.began.1 + deadline.saturating_duration_since(self.began.0);
        Box::pin(Sleep(self.shard.sleep_until(until)))
    }

    fn now(&self) -> Instant {
        self.began.0 + (self.shard.latest() - self.began.1)
    }
}

struct Sleep(nexus_caps::Sleep);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl rt::Sleep for Sleep {}
