//! Time limits, on whatever clock the network has.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use nexus_types::Instant;

use super::error::Phase;
use super::network::Network;

/// What `future` gives, unless it is `at` first.
pub(super) async fn within<N: Network, F: Future>(
    network: &N,
    deadline: Deadline,
    future: F,
) -> Result<F::Output, Phase> {
    let mut future = pin!(future);
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        alarm.poll(network, deadline, cx).map(Err)
    })
    .await
}

/// When a phase is over, and which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) phase: Phase,
}

impl Deadline {
    /// The earlier; of two at once the first.
    pub(super) fn or(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }
}

/// A deadline somebody waits for, which may move between polls.
#[derive(Default)]
pub(super) struct Alarm(Option<(Instant, Sleep)>);

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Alarm {
    /// Ready with the phase at its deadline.
    pub(super) fn poll<N: Network>(
        &mut self,
        network: &N,
        deadline: Deadline,
        cx: &mut Context<'_>,
    ) -> Poll<Phase> {
        if network.now() >= deadline.at {
            return Poll::Ready(deadline.phase);
        }
        if self.0.as_ref().is_none_or(|(at, _)| *at != deadline.at) {
            self.0 = Some((deadline.at, Box::pin(network.sleep_until(deadline.at))));
        }
        match &mut self.0 {
            Some((_, sleep)) => sleep.as_mut().poll(cx).map(|()| deadline.phase),
            None => Poll::Pending,
        }
    }
}
