//! Calls of wasi:sockets 0.2 in any order, on the host's own functions over two nodes and a wire, in step with a model
//! that is written from the WIT alone.
//!
//! The model says what each call may answer ([`tcp_model`], [`udp`]), what options read back as, and which bytes and
//! datagrams come out where. What is on its way is allowed to be so until time has passed; then what must have come
//! must be there, and a pollable must say so. A difference is printed after the calls that led to it.

mod addresses;
mod tcp;
mod tcp_data;
mod tcp_model;
mod tcp_options;
mod udp;
mod udp_data;
mod world;

use std::cell::RefCell;
use std::fmt::Debug;
use std::panic;
use std::sync::Once;

use nexus_types::Duration;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

use crate::input::Input;
use tcp_model::{Allowed, Connection};
use world::{Told, Word, World};

/// Calls of one input.
const CALLS: usize = 160;
/// Sockets of a kind that are made in one input; connections that are accepted make more.
const SOCKETS: usize = 10;
/// Longer than anything that is on its way takes, and shorter than anybody waits.
const WHILE: Duration = Duration::from_secs(2);
/// How often that passes: a connection whose other end is gone is given up after a minute.
const WHILES: usize = 12;

/// A run.
struct Run {
    world: World,
    tcp: Vec<tcp::Socket>,
    connections: Vec<Connection>,
    udp: Vec<udp::Socket>,
    datagrams: Vec<udp_data::Sent>,
    /// Nothing is on its way.
    quiet: bool,
    whiles: usize,
    calls: Calls,
}

thread_local! {
    static NOTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What was called and answered in this run. A panic prints it: libFuzzer unwinds nothing, so that its owner could.
struct Calls;

impl Calls {
    fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                NOTED.with_borrow(|calls| calls.iter().for_each(|call| eprintln!("{call}")));
                before(panic);
            }));
        });
        NOTED.take();
        Self
    }

    fn note(&self, call: String) {
        NOTED.with_borrow_mut(|calls| calls.push(call));
    }

    fn len(&self) -> usize {
        NOTED.with_borrow(Vec::len)
    }

    fn at(&self, place: usize) -> String {
        NOTED.with_borrow(|calls| calls[place].clone())
    }

    fn last(&self) -> String {
        self.at(self.len() - 1)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        NOTED.take();
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    if data.len() < 3 {
        return;
    }
    let mut input = Input::new(data);
    let latency = [0, 1, 40][usize::from(input.byte().unwrap_or(0)) % 3];
    let mut run = Run {
        world: World::new(Duration::from_millis(latency)),
        tcp: Vec::new(),
        connections: Vec::new(),
        udp: Vec::new(),
        datagrams: Vec::new(),
        quiet: true,
        whiles: 0,
        calls: Calls::new(),
    };
    for _ in 0..CALLS {
        let Some(call) = input.byte() else {
            break;
        };
        match call % 40 {
            36.. => run.pass(call),
            call @ 0..26 => run.call_tcp(call, &mut input),
            call => run.call_udp(call, &mut input),
        }
    }
}

impl Run {
    fn pass(&mut self, call: u8) {
        if call & 1 == 1 {
            self.world.pass(Duration::from_millis(1));
        } else if self.whiles < WHILES {
            self.whiles += 1;
            self.world.pass(WHILE);
            self.quiet = true;
        }
        self.calls
            .note(format!("time passes; quiet: {}", self.quiet));
    }

    /// Notes what was called and answered, and holds the answer against what the model allows.
    fn check<T: Debug>(&mut self, call: &dyn Debug, told: &Told<T>, (may, codes): &Allowed) {
        self.calls.note(format!("{call:?}: {told:?}"));
        let allowed = match told {
            Ok(_) => *may,
            Err(Word::Code(code)) => codes.contains(code),
            Err(Word::Closed | Word::Trap) => false,
        };
        assert!(
            allowed,
            "{call:?} said {told:?}; may succeed: {may}, may say {:?}",
            codes.iter().map(|code| code.name()).collect::<Vec<_>>()
        );
    }

    /// As [`Run::check`], for what the model has its own words for.
    fn expect<T: Debug>(&mut self, call: &dyn Debug, told: &Told<T>, allowed: bool) {
        self.calls.note(format!("{call:?}: {told:?}"));
        assert!(allowed, "{call:?} may not say {told:?}");
    }
}

/// Whether it is one of these codes.
fn says<T>(told: &Told<T>, codes: &[ErrorCode]) -> bool {
    matches!(told, Err(Word::Code(code)) if codes.contains(code))
}
