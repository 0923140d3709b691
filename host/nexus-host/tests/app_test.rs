//! `nexus-host test`: an app's scenarios as tests.

mod guests;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use guests::{HOST, component, root};

fn test(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(HOST)
        .arg("test")
        .arg(dir)
        .args(arguments)
        .args(["--state", "state"])
        .current_dir(dir)
        .output()
        .expect("it runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An app's folder, with a scenario in which `hello` is to write what `golden.txt` says.
fn app() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("tests")).expect("made");
    fs::write(
        dir.path().join("nexus.toml"),
        "[app]\nid = \"org.example.hello\"\n",
    )
    .expect("written");
    let text = format!(
        "[scenario]\nruns = 3\n[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\n\
         addresses = [\"10.0.0.1/24\"]\n[[node.app]]\ncomponent = {:?}\n\
         [node.app.expect]\ngolden = \"golden.txt\"\n",
        component("hello")
    );
    fs::write(dir.path().join("tests/says.toml"), text).expect("written");
    dir
}

/// Goal: `--update` takes over what an app writes; then it passes; and an edited expectation fails with the lines
/// that differ.
#[test]
fn what_is_written_is_compared_with_a_golden_file() {
    let dir = app();
    let missing = test(dir.path(), &[]);
    assert_eq!(missing.status.code(), Some(1), "{}", stdout(&missing));
    assert!(stdout(&missing).contains("is not there yet; `nexus-host test --update`"));

    let updated = test(dir.path(), &["--update"]);
    assert_eq!(updated.status.code(), Some(0), "{}", stdout(&updated));
    let golden = dir.path().join("tests/golden.txt");
    let written = fs::read_to_string(&golden).expect("it was written");
    assert!(!written.is_empty());

    let passed = test(dir.path(), &[]);
    let text = stdout(&passed);
    assert_eq!(passed.status.code(), Some(0), "{text}");
    assert!(text.contains("test says ... ok (3 seeds,"), "{text}");
    assert!(
        text.contains("test result: ok. 1 passed; 0 failed"),
        "{text}"
    );

    fs::write(&golden, format!("{written}one line more\n")).expect("written");
    let failed = test(dir.path(), &["--junit", "out.xml"]);
    let text = stdout(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    for wanted in [
        "FAILED (3 of 3 seeds failed",
        "\n-one line more",
        "---- says ----",
        "--seed 1 --runs 1 --trace",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let junit = fs::read_to_string(dir.path().join("out.xml")).expect("it was written");
    assert!(
        junit.contains("tests=\"1\" failures=\"1\" errors=\"0\""),
        "{junit}"
    );
}

/// Goal: a program can read what came of it. Method: one that passes and one that cannot be read.
#[test]
fn results_are_one_json_object() {
    let dir = app();
    fs::write(dir.path().join("tests/broken.toml"), "[[nod]]\n").expect("written");
    test(dir.path(), &["--update"]);
    let output = test(dir.path(), &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        (&report["ok"], &report["data"]["failed"]),
        (&false.into(), &1.into())
    );
    let tests = &report["data"]["tests"];
    assert_eq!(
        (&tests[0]["name"], &tests[0]["ok"]),
        (&"broken".into(), &false.into())
    );
    let message = tests[0]["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("broken.toml:1:3: unknown field `nod`"),
        "{message}"
    );
    assert_eq!(
        (&tests[1]["name"], &tests[1]["ok"]),
        (&"says".into(), &true.into())
    );
}

#[test]
fn reject_folders_without_a_manifest_or_scenario() {
    let dir = app();
    let code = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (exit, said) = code(&test(dir.path(), &["nothing"]));
    assert_eq!(exit, Some(2), "{said}");
    assert!(
        said.contains("no scenario has `nothing` in its name; there are: says"),
        "{said}"
    );
    fs::remove_file(dir.path().join("tests/says.toml")).expect("removed");
    let (exit, said) = code(&test(dir.path(), &[]));
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("has no scenario (*.toml)"), "{said}");
    fs::remove_file(dir.path().join("nexus.toml")).expect("removed");
    let (exit, said) = code(&test(dir.path(), &[]));
    assert_eq!(exit, Some(2), "{said}");
    assert!(said.contains("no nexus.toml"), "{said}");
}

/// Goal: the apps we ship pass their own tests; and an expectation that is edited fails with the line that differs.
/// Method: fetch and tcp-echo as they are, and fetch's scenarios copied and changed.
#[test]
fn our_components_pass_their_own_tests() {
    let state = tempfile::tempdir().expect("a folder");
    let run = |dir: &Path| {
        Command::new(HOST)
            .arg("test")
            .arg(dir)
            .arg("--state")
            .arg(state.path().join("state"))
            .output()
            .expect("it runs")
    };
    let _ = component("fetch");
    for (name, count) in [("fetch", 5), ("tcp-echo", 2)] {
        let output = run(&root().join("components").join(name));
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        let wanted = format!("test result: ok. {count} passed; 0 failed");
        assert!(text.contains(&wanted), "{text}");
    }

    let copy = tempfile::tempdir().expect("a folder");
    let from = root().join("components/fetch");
    fs::create_dir(copy.path().join("tests")).expect("made");
    fs::copy(from.join("nexus.toml"), copy.path().join("nexus.toml")).expect("copied");
    let page = fs::read_to_string(from.join("tests/page.toml")).expect("read");
    let built = component("fetch");
    let page = page.replace(
        "../../../target/components/fetch.wasm",
        &built.to_string_lossy(),
    );
    fs::write(copy.path().join("tests/page.toml"), page).expect("written");
    let golden = fs::read_to_string(from.join("tests/page.txt")).expect("read");
    fs::write(
        copy.path().join("tests/page.txt"),
        golden.replace("second", "third"),
    )
    .expect("written");
    let output = run(copy.path());
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let wanted = "\n A page of two lines.\n-This is the third.\n+This is the second.\n";
    assert!(text.contains(wanted), "{text}");
}
