//! A directory granted read-only can be read, and nothing in it changed, and nothing outside reached.
//!
//! With the argument `until-revoked` it reads in `/gone` until that is taken from it, for those who do so, and then
//! checks that it is: by what was open and by what would be opened, and that `/kept` is as it was.

use core::time::Duration;
use std::fs::{File, ReadDir};
use std::io::{Read, Write};

use nexus_sdk::svc::time::sleep;
use probes::{Outcome, ensure, same, success};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks after it was taken.
const ROUNDS: usize = 20;

/// A folder, with what is open in it.
struct Open {
    path: &'static str,
    stream: File,
    listing: ReadDir,
    writer: File,
}

impl Open {
    fn new(path: &'static str) -> Result<Self, String> {
        Ok(Self {
            path,
            stream: success(File::open(format!("{path}/zeros")), "open")?,
            listing: success(std::fs::read_dir(path), "list")?,
            writer: success(File::create(format!("{path}/written")), "create")?,
        })
    }

    /// One byte more.
    fn read(&mut self) -> std::io::Result<()> {
        self.stream.read_exact(&mut [1])
    }

    /// Whether everything can be done, or nothing.
    fn all(&mut self, expected: bool) -> Outcome {
        let path = self.path;
        let done: [(&str, std::io::Result<()>); 8] = [
            ("go on reading", self.read()),
            ("go on writing", self.writer.write_all(b"x")),
            ("look at what is open", self.writer.set_len(0)),
            ("open", File::open(format!("{path}/zeros")).map(drop)),
            ("create", std::fs::write(format!("{path}/new"), "x")),
            ("list", std::fs::read_dir(path).map(drop)),
            ("see", std::fs::metadata(format!("{path}/zeros")).map(drop)),
            ("remove", std::fs::remove_file(format!("{path}/new"))),
        ];
        for (what, done) in done {
            let found = format!("{what} in {path}: {done:?}");
            ensure(done.is_ok() == expected, found)?;
        }
        Ok(())
    }
}

async fn until_revoked() -> Outcome {
    let mut gone = Open::new("/gone")?;
    let mut kept = Open::new("/kept")?;
    gone.all(true)?;
    kept.all(true)?;
    println!("reading");
    // What it says depends on which function notices, and on the C library's word for it.
    while gone.read().is_ok() {
        sleep(PAUSE).await;
    }
    for _ in 0..ROUNDS {
        gone.all(false)?;
        kept.all(true)?;
        sleep(PAUSE).await;
    }
    let listed = gone.listing.filter_map(Result::ok).count();
    same(listed, 0, "entries of a listing that was open")?;
    let listed = kept.listing.filter_map(Result::ok).count();
    ensure(listed > 0, "a listing that was open has nothing in it")
}

async fn run() -> Outcome {
    if std::env::args().any(|argument| argument == "until-revoked") {
        return until_revoked().await;
    }
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
