//! Without a granted directory there are no files: not to read, not to write, not to list.

use probes::{Outcome, ensure};

async fn run() -> Outcome {
    for path in ["/", ".", "..", "/etc", "/tmp"] {
        ensure(
            std::fs::read_dir(path).is_err(),
            format!("{path} can be listed"),
        )?;
    }
    for path in ["/etc/passwd", "Cargo.toml", "/proc/self/environ"] {
        ensure(std::fs::read(path).is_err(), format!("{path} can be read"))?;
    }
    ensure(
        std::fs::write("/tmp/probe", "x").is_err(),
        "a file can be written",
    )
}

nexus_sdk::main!(run);
