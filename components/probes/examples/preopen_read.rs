//! A directory granted read-only can be read, and nothing in it changed, and nothing outside reached.

use probes::{Outcome, ensure, same, success};

async fn run() -> Outcome {
    let text = success(std::fs::read_to_string("/data/hello.txt"), "read")?;
    same(text.as_str(), "hello from a file\n", "the file")?;
    let names: Vec<_> = success(std::fs::read_dir("/data"), "list")?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ensure(
        names.iter().any(|name| name == "hello.txt"),
        format!("{names:?}"),
    )?;

    ensure(
        std::fs::write("/data/new.txt", "x").is_err(),
        "a file was made",
    )?;
    ensure(
        std::fs::write("/data/hello.txt", "x").is_err(),
        "the file was changed",
    )?;
    ensure(
        std::fs::remove_file("/data/hello.txt").is_err(),
        "the file was removed",
    )?;
    ensure(
        std::fs::create_dir("/data/dir").is_err(),
        "a directory was made",
    )?;
    for outside in [
        "/data/../nexus.toml",
        "/data/../../../etc/passwd",
        "/etc/passwd",
    ] {
        ensure(
            std::fs::read(outside).is_err(),
            format!("{outside} can be read"),
        )?;
    }
    Ok(())
}

nexus_sdk::main!(run);
