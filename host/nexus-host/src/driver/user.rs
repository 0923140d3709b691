//! The `user` NIC as the mesh and the driver see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexus_node::Nic;
use nexus_stack::{Offload, Received};
use nexus_types::Instant;
use nexus_usernet::UserNet;

/// The user NIC, reached both by the mesh (frames) and by the driver (kernel events). Both are on
/// the shard's thread; the lock is there because a mesh is `Send`.
#[derive(Clone)]
pub(super) struct UserNic(Arc<Mutex<UserNet>>);

impl UserNic {
    pub(super) fn new(net: UserNet) -> Self {
        Self(Arc::new(Mutex::new(net)))
    }

    /// What the kernel has to tell of a socket.
    pub(super) fn handle_event(&self, event: &mio::event::Event) {
        self.net().handle_event(event);
    }

    fn net(&self) -> MutexGuard<'_, UserNet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nic for UserNic {
    fn handle_frame(&mut self, now: Instant, frame: &[u8], _: Offload) {
        self.net().handle_frame(now, frame);
    }

    fn poll_transmit(
        &mut self,
        now: Instant,
        max: usize,
        deliver: &mut dyn FnMut(&[u8], Received),
    ) -> usize {
        let mut net = self.net();
        let mut count = 0;
        while count < max
            && let Some(frame) = net.poll_transmit(now)
        {
            deliver(&frame, Received::PLAIN);
            net.recycle(frame);
            count += 1;
        }
        count
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.net().poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.net().handle_timeout(now);
    }

    fn undelivered(&self) -> usize {
        self.net().undelivered()
    }
}
