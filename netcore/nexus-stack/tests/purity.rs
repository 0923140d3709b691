//! `netcore/clippy.toml` bans clocks, threads, the OS's randomness and unordered maps for every crate below
//! `netcore/`: it is there, it names them, and no crate has a nearer file that would hide it.

use std::path::Path;

#[test]
fn the_bans_are_in_force_for_every_crate_of_netcore() {
    let netcore = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("netcore");
    let bans = include_str!("../../clippy.toml");
    for banned in [
        "std::collections::HashMap",
        "std::collections::HashSet",
        "std::hash::RandomState",
        "std::time::Instant",
        "std::time::SystemTime",
        "std::thread::spawn",
        "std::thread::sleep",
        "std::env::var",
        "std::net::TcpStream",
        "std::fs::File",
    ] {
        assert!(bans.contains(&format!("\"{banned}\"")), "{banned}");
    }
    for folder in netcore.read_dir().expect("netcore") {
        let folder = folder.expect("an entry").path();
        for name in ["clippy.toml", ".clippy.toml"] {
            assert!(
                !folder.join(name).exists(),
                "{}: clippy reads the nearest file only",
                folder.display()
            );
        }
    }
}
