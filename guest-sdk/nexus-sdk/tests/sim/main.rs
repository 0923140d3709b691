//! The SDK on simulated nodes, natively: what an app's own tests stand on.

mod gate;
mod process;
mod tcp;
mod time;
mod udp;
mod world;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use nexus_sdk::sim::{App, Node, World};
use nexus_sdk::{Error, ErrorCode};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(600);

/// What an app tells its test.
type Told<T> = Rc<RefCell<Vec<T>>>;

/// A world with a server at 10.0.0.1 and a client at 10.0.0.2.
fn two_nodes(seed: u64) -> (World, Node, Node) {
    let mut world = World::new(seed);
    let server = world.node("server", "10.0.0.1/24");
    let client = world.node("client", "10.0.0.2/24");
    (world, server, client)
}

/// An app of `node` that may reach the other nodes by address and by name.
fn client<F>(node: &Node, code: impl FnOnce() -> F + 'static) -> App
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    node.app("")
        .allow("network.tcp.connect=lan:*")
        .allow("network.tcp.connect=server:*")
        .allow("network.udp.send=lan:*")
        .allow("network.udp.send=server:*")
        .start(code)
}

/// An app that checks something by itself, all of it.
#[track_caller]
fn passes(world: &mut World, app: &App) {
    world.run(LIMIT).unwrap();
    assert_eq!(app.exit_code(), Some(0), "{}", app.stderr());
}

fn code<T>(result: Result<T, Error>) -> ErrorCode {
    result.err().expect("an error").code()
}
