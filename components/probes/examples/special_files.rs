//! What stands in a granted folder and is no file (a FIFO, a socket) is refused at once, however it is opened.
//!
//! With the argument `for-ever` it goes on opening the FIFO: for those who look at what that does to others.

use std::fs::{File, OpenOptions};

use probes::{Outcome, ensure, same, success};

/// `ENOTSUP` of wasi-libc.
const UNSUPPORTED: i32 = 58;

fn refused(opened: std::io::Result<File>, what: &str) -> Outcome {
    match opened {
        Ok(_) => Err(format!("{what} was opened")),
        Err(error) => same(error.raw_os_error(), Some(UNSUPPORTED), what),
    }
}

async fn run() -> Outcome {
    if std::env::args().any(|argument| argument == "for-ever") {
        loop {
            refused(File::open("/data/fifo"), "the FIFO")?;
        }
    }
    for name in ["fifo", "link-to-fifo", "socket"] {
        let path = format!("/data/{name}");
        refused(File::open(&path), name)?;
        refused(File::create(&path), name)?;
        refused(OpenOptions::new().append(true).open(&path), name)?;
        refused(OpenOptions::new().read(true).write(true).open(&path), name)?;
        ensure(
            std::fs::read_dir(&path).is_err(),
            format!("{name} was listed"),
        )?;
        success(std::fs::metadata(&path), "what it is")?;
    }
    // Files beside it are served as ever.
    success(std::fs::write("/data/file", "bytes"), "write")?;
    let text = success(std::fs::read_to_string("/data/file"), "read")?;
    same(text.as_str(), "bytes", "the file")
}

nexus_sdk::main!(run);
