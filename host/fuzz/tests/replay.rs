//! Every committed input once more through its target, on stable and without libFuzzer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use host_fuzz::TARGETS;

#[test]
fn the_corpus_breaks_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let mut files: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
            .map(|entry| entry.expect("a folder that can be read").path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "corpus/{name} is empty");
        for file in files {
            let data = fs::read(&file).expect("a file that can be read");
            let result = catch_unwind(AssertUnwindSafe(|| run(&data)));
            assert!(result.is_ok(), "{} breaks {name}", file.display());
        }
    }
}

#[test]
fn no_folder_is_without_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("the corpus is there") {
        let folder = entry.expect("a folder that can be read").file_name();
        let folder = folder.to_string_lossy();
        assert!(TARGETS.iter().any(|(name, _)| *name == folder), "{folder}");
    }
}

/// What no corpus file may be needed for: nothing, and everything cut short.
#[test]
fn short_inputs_break_nothing() {
    for (_, run) in TARGETS {
        run(&[]);
        for byte in 0..=u8::MAX {
            run(&[byte]);
            for second in 0..=u8::MAX {
                run(&[byte, second]);
            }
        }
    }
}
