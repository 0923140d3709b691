//! The rows: every function of every interface this build has, read from the WIT files; and the acts of WASI's that
//! ask the gate, whose WIT is not ours.
//!
//! So a function that is added there is a row here at once, and a row without its cells fails.

use wit_parser::{FunctionKind, Resolve};

use crate::{guests, wasi};

/// One function: `tcp-connect.connect`, `types.tcp-connection.read`, `wasi-sockets.tcp.bind`.
pub(crate) fn functions() -> Vec<String> {
    let mut resolve = Resolve::default();
    let wit = guests::root().join("wit");
    for package in ["nexus-error", "nexus-net"] {
        let read = resolve.push_dir(wit.join(package));
        read.unwrap_or_else(|error| panic!("wit/{package}: {error:#}"));
    }
    let mut rows = Vec::new();
    for (_, interface) in &resolve.interfaces {
        let name = interface.name.as_deref().unwrap_or_default();
        for (function, item) in &interface.functions {
            let row = match item.kind {
                FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => {
                    format!("{name}.{function}")
                }
                FunctionKind::Method(id)
                | FunctionKind::AsyncMethod(id)
                | FunctionKind::Static(id)
                | FunctionKind::AsyncStatic(id)
                | FunctionKind::Constructor(id) => {
                    let resource = resolve.types[id].name.as_deref().unwrap_or_default();
                    let last = function.rsplit_once('.').map_or("constructor", |(_, f)| f);
                    format!("{name}.{resource}.{last}")
                }
            };
            rows.push(row);
        }
    }
    rows.extend(wasi::ROWS.map(str::to_owned));
    rows
}

/// Packages that are in `wit/` and that [`functions`] does not read.
pub(crate) fn unread_packages() -> Vec<String> {
    let folder = std::fs::read_dir(guests::root().join("wit")).expect("a folder");
    let names = folder.map(|entry| entry.expect("an entry"));
    let folders = names.filter(|entry| entry.path().is_dir());
    folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        // A world is a list of interfaces; the interfaces are where the functions are.
        .filter(|name| !["nexus-error", "nexus-net", "worlds"].contains(&name.as_str()))
        .collect()
}
