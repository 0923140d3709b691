//! The client: who asks, who waits, and what is idle.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use nexus_types::Seed;

use super::error::{Error, Phase, SendFault};
use super::network::{Caller, Hop, Network};
use super::pool::Pool;
use super::request::{Checked, Request};
use super::response::Response;
use super::run::Run;
use super::slots::Slots;
use super::time::{Alarm, Deadline, within};

/// A client over a network. Clones are the same client.
pub struct Client<N: Network> {
    pub(super) network: Arc<N>,
    pub(super) pool: Pool<N::Carrier>,
    slots: Slots,
    pub(super) seed: Seed,
}

impl<N: Network> Clone for Client<N> {
    fn clone(&self) -> Self {
        Self {
            network: self.network.clone(),
            pool: self.pool.clone(),
            slots: self.slots.clone(),
            seed: self.seed.clone(),
        }
    }
}

impl<N: Network> Client<N> {
    /// A client with nothing open. `seed` shapes the waits between retries.
    pub fn new(network: Arc<N>, seed: &Seed) -> Self {
        Self {
            network,
            pool: Pool::default(),
            slots: Slots::default(),
            seed: seed.split("http"),
        }
    }

    /// Asks for `request` in the name of `caller`. Dropped, the future or the response's body closes the
    /// connection.
    ///
    /// # Errors
    /// Every [`Error`]; once the response is there, those of its body come from reading it.
    pub fn request(
        &self,
        caller: Caller,
        request: Request,
    ) -> impl Future<Output = Result<Response<N>, Error>> + Send + use<N> {
        let client = self.clone();
        async move { client.run(caller, request.check()?).await }
    }

    /// Closes whatever `caller` has open; what it has under way ends with [`Error::Ended`].
    pub fn drop_all_of(&self, caller: Caller) {
        self.slots.end(caller);
        self.pool.end(caller);
    }

    /// Closes idle connections that are too old or of an earlier policy. [`Self::drive`] does so in time.
    pub fn sweep(&self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.pool
            .sweep(self.network.now(), self.network.epoch(), &mut cx);
    }

    /// Looks after idle connections while it is polled, without end.
    pub fn drive(&self) -> Drive<N> {
        Drive {
            network: self.network.clone(),
            pool: self.pool.clone(),
            alarm: Alarm::default(),
        }
    }

    /// How many connections are idle.
    pub fn idle(&self) -> usize {
        self.pool.len()
    }

    async fn run(self, caller: Caller, request: Checked) -> Result<Response<N>, Error> {
        let hop = Hop {
            index: 0,
            method: request.method,
            url: &request.url,
        };
        let grant = self.network.judge(caller, hop)?;
        // One that is refused in any case need not wait its turn: what waits is held.
        let length = request.body.length();
        if length.is_some_and(|length| length > grant.limits.request_body) {
            return Err(SendFault::BodyTooLarge.into());
        }
        let began = self.network.now();
        let timeouts = match request.options.timeouts {
            Some(asked) => asked.within(grant.limits.timeouts),
            None => grant.limits.timeouts,
        };
        let deadline = |wait, phase| Deadline {
            at: began + wait,
            phase,
        };
        let total = deadline(timeouts.total, Phase::Total);
        let turn_by = deadline(timeouts.connect, Phase::Connect).or(total);
        let slot = self.slots.enter(caller, grant.limits.concurrent)?;
        let response = slot
            .unless_ended(async {
                within(&*self.network, turn_by, slot.turn()).await?;
                let run = Run {
                    client: &self,
                    caller,
                    options: request.options,
                    timeouts,
                    total,
                    waited: self.network.now() - began,
                };
                run.follow(request, grant).await
            })
            .await?;
        Ok(Response {
            body: response.body.holding(slot),
            ..response
        })
    }
}

/// Looks after idle connections: notices those the far end closes, and closes those that are too old or of an
/// earlier policy. Never ready.
pub struct Drive<N: Network> {
    network: Arc<N>,
    pool: Pool<N::Carrier>,
    alarm: Alarm,
}

impl<N: Network> Future for Drive<N> {
    type Output = core::convert::Infallible;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some(at) = this
            .pool
            .sweep(this.network.now(), this.network.epoch(), cx)
        {
            let phase = Phase::Total;
            if this
                .alarm
                .poll(&*this.network, Deadline { at, phase }, cx)
                .is_pending()
            {
                break;
            }
        }
        Poll::Pending
    }
}
