//! Names whose asker has ended. (Names over a link are tested in nexus-sim, what an answer may be in the resolver
//! itself.)

use std::task::Poll;

use nexus_stack::ResolveError;
use nexus_types::HostName;

use crate::pair::{A, APP, Count, Link, Pair, address, idle};

#[test]
fn reject_lookups_of_an_ended_scope() {
    let mut pair = Pair::with(1, Link::CLEAN, |config| {
        config.resolver.servers = vec![address("10.0.0.2:53")];
    });
    let name = HostName::parse("app.example").expect("a name");
    let id = pair.stacks[A].resolve(pair.now, APP, &name).expect("room");
    let (woken, waker) = Count::new();
    assert!(pair.stacks[A].poll_lookup(id, &waker).is_pending());
    pair.stacks[A].end_scope(pair.now, APP);
    assert_eq!(woken.get(), 1);
    assert_eq!(
        pair.stacks[A].poll_lookup(id, idle()),
        Poll::Ready(Err(ResolveError::Closed))
    );
}
