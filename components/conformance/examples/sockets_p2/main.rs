//! wasi:sockets 0.2: every function, as its WIT says it is. Arguments and output: see the library of this package.

// Natively there is nothing to export to, and no linker takes such names.
#![cfg(target_family = "wasm")]

mod ends;
mod lookup;
mod options;
mod tcp;
mod udp;

use conformance::{Asked, Checked, told, wanted};
use ends::World;

/// A function, or what of it ends in a trap, and what must hold of it.
type Probe = (&'static str, fn(&World) -> Checked);

struct Run;

impl wasip2::exports::cli::run::Guest for Run {
    fn run() -> Result<(), ()> {
        let probes = || {
            [lookup::PROBES, options::PROBES, tcp::PROBES, udp::PROBES]
                .into_iter()
                .flatten()
        };
        match Asked::read() {
            Ok(Asked::List) => probes().for_each(|(name, _)| println!("{name}")),
            Ok(Asked::Run(far, what)) => {
                let world = World::new(far);
                let mut good = true;
                for (name, probe) in probes() {
                    if wanted(name, what.as_deref()) {
                        good &= told(name, probe(&world));
                    }
                }
                return if good { Ok(()) } else { Err(()) };
            }
            Err(usage) => {
                eprintln!("usage: {usage}");
                return Err(());
            }
        }
        Ok(())
    }
}

wasip2::cli::command::export!(Run);
