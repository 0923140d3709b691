//! One linker per component, holding what it was granted and nothing else.
//!
//! Base WASI is always granted and empty of authority: arguments, clocks, randomness, streams,
//! and a filesystem without directories until some are granted. `wasi:sockets` as wasmtime-wasi
//! has it reaches the kernel and is never linked.

use std::collections::BTreeSet;

use wasmtime::component::Linker;
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p3::bindings as p3;
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi_io::IoView;
use wasmtime_wasi_io::bindings::wasi::io;

use super::clocks::Clocks;
use super::files;
use super::http;
use super::imports::{self, Import};
use super::outgoing;
use super::state::AppState;

type Link = fn(&mut Linker<AppState>) -> wasmtime::Result<()>;

/// The `HasData` of `wasi:io`, as wasmtime-wasi-io keeps its own to itself.
struct Io;

impl wasmtime::component::HasData for Io {
    type Data<'a> = &'a mut wasmtime::component::ResourceTable;
}

/// Every interface of base WASI: name, the versions it serves, and how it is linked.
const BASE: &[(&str, &str, Link)] = &[
    ("wasi:io/error", "0.2", |l| {
        io::error::add_to_linker::<AppState, Io>(l, AppState::table)
    }),
    ("wasi:io/poll", "0.2", |l| {
        io::poll::add_to_linker::<AppState, Io>(l, AppState::table)
    }),
    ("wasi:io/streams", "0.2", |l| {
        io::streams::add_to_linker::<AppState, Io>(l, AppState::table)
    }),
    ("wasi:cli/environment", "0.2", |l| {
        p2::cli::environment::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/exit", "0.2", |l| {
        p2::cli::exit::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/stdin", "0.2", |l| {
        p2::cli::stdin::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/stdout", "0.2", |l| {
        p2::cli::stdout::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/stderr", "0.2", |l| {
        p2::cli::stderr::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-input", "0.2", |l| {
        p2::cli::terminal_input::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-output", "0.2", |l| {
        p2::cli::terminal_output::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-stdin", "0.2", |l| {
        p2::cli::terminal_stdin::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-stdout", "0.2", |l| {
        p2::cli::terminal_stdout::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-stderr", "0.2", |l| {
        p2::cli::terminal_stderr::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:clocks/monotonic-clock", "0.2", |l| {
        p2::clocks::monotonic_clock::add_to_linker::<AppState, Clocks>(l, AppState::clocks)
    }),
    ("wasi:clocks/wall-clock", "0.2", |l| {
        p2::clocks::wall_clock::add_to_linker::<AppState, Clocks>(l, AppState::clocks)
    }),
    ("wasi:random/random", "0.2", |l| {
        p2::random::random::add_to_linker::<AppState, WasiRandom>(l, |t| t.ctx().ctx.random())
    }),
    ("wasi:random/insecure", "0.2", |l| {
        p2::random::insecure::add_to_linker::<AppState, WasiRandom>(l, |t| t.ctx().ctx.random())
    }),
    ("wasi:random/insecure-seed", "0.2", |l| {
        p2::random::insecure_seed::add_to_linker::<AppState, WasiRandom>(l, |t| {
            t.ctx().ctx.random()
        })
    }),
    ("wasi:filesystem/preopens", "0.2", files::link_preopens_p2),
    ("wasi:filesystem/types", "0.2", |l| {
        p2::filesystem::types::add_to_linker::<AppState, WasiFilesystem>(l, AppState::filesystem)?;
        files::link_p2(l)
    }),
    // `types` of the cli package is one enum: there is nothing to link.
    ("wasi:cli/types", "0.3", |_| Ok(())),
    ("wasi:cli/environment", "0.3", |l| {
        p3::cli::environment::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/exit", "0.3", |l| {
        p3::cli::exit::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/stdin", "0.3", |l| {
        p3::cli::stdin::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/stdout", "0.3", |l| {
        p3::cli::stdout::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/stderr", "0.3", |l| {
        p3::cli::stderr::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-input", "0.3", |l| {
        p3::cli::terminal_input::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-output", "0.3", |l| {
        p3::cli::terminal_output::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-stdin", "0.3", |l| {
        p3::cli::terminal_stdin::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-stdout", "0.3", |l| {
        p3::cli::terminal_stdout::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:cli/terminal-stderr", "0.3", |l| {
        p3::cli::terminal_stderr::add_to_linker::<AppState, WasiCli>(l, AppState::cli)
    }),
    ("wasi:clocks/types", "0.3", |l| {
        p3::clocks::types::add_to_linker::<AppState, Clocks>(l, AppState::clocks)
    }),
    ("wasi:clocks/monotonic-clock", "0.3", |l| {
        p3::clocks::monotonic_clock::add_to_linker::<AppState, Clocks>(l, AppState::clocks)
    }),
    ("wasi:clocks/system-clock", "0.3", |l| {
        p3::clocks::system_clock::add_to_linker::<AppState, Clocks>(l, AppState::clocks)
    }),
    ("wasi:random/random", "0.3", |l| {
        p3::random::random::add_to_linker::<AppState, WasiRandom>(l, |t| t.ctx().ctx.random())
    }),
    ("wasi:random/insecure", "0.3", |l| {
        p3::random::insecure::add_to_linker::<AppState, WasiRandom>(l, |t| t.ctx().ctx.random())
    }),
    ("wasi:random/insecure-seed", "0.3", |l| {
        p3::random::insecure_seed::add_to_linker::<AppState, WasiRandom>(l, |t| {
            t.ctx().ctx.random()
        })
    }),
    ("wasi:filesystem/preopens", "0.3", files::link_preopens_p3),
    ("wasi:filesystem/types", "0.3", |l| {
        p3::filesystem::types::add_to_linker::<AppState, WasiFilesystem>(l, AppState::filesystem)?;
        files::link_p3(l)
    }),
    ("wasi:http/types", "0.2", http::link_types_p2),
    ("wasi:http/types", "0.3", http::link_types_p3),
];

/// Whether an import is base WASI, which needs no grant.
pub fn is_base(import: &Import) -> bool {
    base(import).is_some()
}

fn base(import: &Import) -> Option<Link> {
    let track = import.track()?;
    let name = import.unversioned();
    BASE.iter()
        .find(|(interface, version, _)| *interface == name && *version == track)
        .map(|(_, _, link)| *link)
}

/// Links base WASI, as far as the component imports it. One put together from several may import
/// an interface in two versions (`@0.2.0` and `@0.2.3`); the linker takes either for both.
pub fn link_base(linker: &mut Linker<AppState>, imports: &[Import]) -> wasmtime::Result<()> {
    let mut linked = BTreeSet::new();
    for import in imports {
        if let Some(link) = base(import)
            && linked.insert((import.unversioned(), import.track()))
        {
            link(linker)?;
        }
    }
    Ok(())
}

/// Links an interface of `wasi:sockets`, on our stack. `false`: it is none.
pub fn link_sockets(linker: &mut Linker<AppState>, name: &str) -> wasmtime::Result<bool> {
    let Some((interface, track)) = imports::wasi(name, "sockets") else {
        return Ok(false);
    };
    match track.as_str() {
        "0.2" => nexus_caps::link_p2(linker, interface),
        "0.3" => nexus_caps::link_p3(linker, interface),
        _ => Ok(false),
    }
}

/// Links what sends requests of `wasi:http`. `false`: it is none. `types` must be linked already.
pub fn link_http(linker: &mut Linker<AppState>, name: &str) -> wasmtime::Result<bool> {
    let Some((interface, track)) = imports::wasi(name, "http") else {
        return Ok(false);
    };
    match (interface, track.as_str()) {
        ("outgoing-handler", "0.2") => outgoing::link_p2(linker)?,
        ("client", "0.3") => outgoing::link_p3(linker)?,
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Engine;

    fn import(name: &str) -> Import {
        Import {
            name: name.into(),
            functions: Vec::new(),
            resources: Vec::new(),
            interface: true,
        }
    }

    #[test]
    fn all_of_base_wasi_links_once_each() {
        let mut linker = Linker::new(&Engine::default());
        for (interface, version, link) in BASE {
            link(&mut linker).unwrap_or_else(|error| panic!("{interface}@{version}: {error:#}"));
        }
    }

    /// Goal: what is shadowed of `types` is there under the name that it is shadowed by. Method: both are linked.
    #[test]
    fn both_ways_to_send_requests_link() {
        let mut linker = Linker::new(&Engine::default());
        for name in ["wasi:http/types@0.2.4", "wasi:http/types@0.3.0"] {
            base(&import(name)).expect(name)(&mut linker).unwrap();
        }
        for name in ["wasi:http/outgoing-handler@0.2.4", "wasi:http/client@0.3.0"] {
            assert!(link_http(&mut linker, name).unwrap(), "{name}");
        }
    }

    #[test]
    fn all_of_the_sockets_link_once_each() {
        let mut linker = Linker::new(&Engine::default());
        for name in [
            "wasi:sockets/network@0.2.0",
            "wasi:sockets/instance-network@0.2.3",
            "wasi:sockets/ip-name-lookup@0.2.6",
            "wasi:sockets/tcp@0.2.6",
            "wasi:sockets/tcp-create-socket@0.2.6",
            "wasi:sockets/udp@0.2.6",
            "wasi:sockets/udp-create-socket@0.2.6",
            "wasi:sockets/types@0.3.0",
            "wasi:sockets/ip-name-lookup@0.3.0",
        ] {
            assert!(link_sockets(&mut linker, name).unwrap(), "{name}");
        }
        for name in [
            "wasi:sockets/tcp@0.3.0",
            "wasi:cli/stdin@0.2.0",
            "nexus:net/types@0.1.0",
        ] {
            assert!(!link_sockets(&mut linker, name).unwrap(), "{name}");
        }
    }

    #[test]
    fn two_versions_of_an_interface_are_linked_once() {
        let mut linker = Linker::new(&Engine::default());
        let imports = [
            import("wasi:cli/stdin@0.2.0"),
            import("wasi:cli/stdin@0.2.3"),
        ];
        link_base(&mut linker, &imports).unwrap();
    }

    #[test]
    fn reject_what_reaches_the_kernel_or_is_no_release() {
        for name in [
            "wasi:sockets/tcp@0.2.6",
            "wasi:sockets/types@0.3.0",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:cli/stdin@0.3.0-rc-2025-09-16",
            "wasi:cli/stdin",
            "wasi:cli/stdin@0.4.0",
        ] {
            assert!(!is_base(&import(name)), "{name}");
        }
        assert!(is_base(&import("wasi:cli/stdin@0.2.3")));
    }
}
