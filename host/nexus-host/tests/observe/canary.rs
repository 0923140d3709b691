//! What no sink may ever be told, and what only some may.

use super::*;

/// Found in no sink.
const CANARY: &str = "canary1f83d9";
/// Names a folder and a variable: found where a refusal has to name them, and in the audit log.
const NAME: &str = "name_5be0cd19";

/// What holds the canary: a folder with a file, and a manifest that asks for it and for a variable.
fn laid() -> tempfile::TempDir {
    let folder = folder();
    let secret = folder.path().join(NAME);
    fs::create_dir(&secret).expect("made");
    fs::write(secret.join(CANARY), CANARY).expect("written");
    fs::write(
        folder.path().join("nexus.toml"),
        format!(
            "[app]\nid = \"org.nexus.fetch\"\nclass = \"system\"\n[capabilities.\"network.tcp.connect\"]\n\
             allow = [\"host.internal:*\"]\n[wasi]\nenv = {{ {NAME} = \"{CANARY}\" }}\n\
             dirs = [{{ host = \"{NAME}\", guest = \"/{CANARY}\", mode = \"ro\" }}]\n"
        ),
    )
    .expect("written");
    folder
}

/// The flags that grant them.
fn grants(folder: &Path) -> [String; 2] {
    let real = folder.join(NAME).canonicalize().expect("there");
    [
        format!("--allow=wasi.dirs={}:ro", real.display()),
        format!("--allow=wasi.env={NAME}"),
    ]
}

/// All that was recorded.
fn audit(folder: &Path) -> String {
    let log = folder.join("state/nexus-host/audit");
    let files = fs::read_dir(log).expect("a log");
    files
        .map(|file| fs::read_to_string(file.expect("a file").path()).expect("reads"))
        .collect()
}

/// Goal: what an app sends and is sent, its arguments, the values of its environment, standard input and files are in
/// no sink, and the names of its folders and variables only in the audit log. Method: a word in each of them; every
/// sink there is, the log at its loudest, the page of Prometheus while the app waits for its answer.
#[test]
fn a_canary_is_found_in_no_sink() {
    let folder = laid();
    let (tell, heard) = std::sync::mpsc::channel::<String>();
    let (show, seen) = std::sync::mpsc::channel();
    let (address, server) = serve_once(CANARY, move || {
        let address = heard.recv().expect("the host says where");
        show.send(page(&address)).expect("somebody looks");
    });
    let collector = Collector::start(Manner::Takes);
    let endpoint = collector.endpoint();
    let fetch = component("fetch").display().to_string();
    let [dirs, env] = grants(folder.path());
    let url = format!(
        "http://host.internal:{}/{CANARY}?q={CANARY}",
        address.port()
    );
    let mut running = host(
        folder.path(),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("RUST_LOG", "trace"),
        ],
        &[
            "run",
            &fetch,
            "--manifest",
            "nexus.toml",
            "--allow-manifest",
            &dirs,
            &env,
            "--log",
            "trace",
            "--metrics",
            "127.0.0.1:0",
            "--report",
            "report.json",
            "--",
            &url,
        ],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("runs");
    let mut stdin = running.stdin.take().expect("a pipe");
    // Whether the app reads it is its business.
    let _ = stdin.write_all(CANARY.as_bytes());
    drop(stdin);
    let mut said = String::new();
    let mut reader = BufReader::new(running.stderr.take().expect("a pipe"));
    loop {
        let begin = said.len();
        if reader.read_line(&mut said).expect("reads") == 0 {
            break;
        }
        if let Some(rest) = said[begin..].strip_prefix("metrics: http://") {
            let address = rest.trim_end().trim_end_matches("/metrics");
            let _ = tell.send(address.to_owned());
        }
    }
    drop(tell);
    let ran = running.wait_with_output().expect("ends");
    assert_eq!(ran.status.code(), Some(0), "{said}");
    server.join().expect("served");
    let page = seen.recv().expect("a page");

    // The app had it, and the sinks had the app.
    assert!(String::from_utf8_lossy(&ran.stdout).contains(CANARY));
    let report = fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let everything = collector.everything();
    let audit = audit(folder.path());
    for (sink, text) in [
        ("the collector", &everything),
        ("Prometheus", &page),
        ("standard error", &said),
        ("the report", &report),
        ("the audit log", &audit),
    ] {
        assert!(
            text.contains("org.nexus.fetch"),
            "{sink} heard nothing: {text}"
        );
        assert!(!text.contains(CANARY), "{sink} has it: {text}");
        let names = text.contains(NAME);
        assert_eq!(names, sink == "the audit log", "{sink} names them: {text}");
    }
    assert!(said.contains("debug  nexus::policy: decided"), "{said}");
    assert!(
        page.contains("nexus_decisions_total{app=\"org.nexus.fetch\",capability=\"network.tcp.connect\",verdict=\"allow\""),
        "{page}"
    );
}

/// Goal: a refusal names the folder and the variable that were not granted, wherever it is told, and nothing of what
/// is in them. Method: the same app without the grants.
#[test]
fn a_refusal_has_names_and_no_canary() {
    let folder = laid();
    let fetch = component("fetch").display().to_string();
    let arguments = [
        "run",
        &fetch,
        "--manifest",
        "nexus.toml",
        "--log",
        "trace",
        "--report",
        "report.json",
        "--",
        CANARY,
    ];
    let ran = host(folder.path(), &[], &arguments).output().expect("runs");
    let said = stderr(&ran);
    assert_eq!(ran.status.code(), Some(77), "{said}");
    let report = fs::read_to_string(folder.path().join("report.json")).expect("a report");
    for (sink, text) in [
        ("standard error", &said),
        ("the report", &report),
        ("the audit log", &audit(folder.path())),
    ] {
        assert!(text.contains(NAME), "{sink} does not say what: {text}");
        assert!(!text.contains(CANARY), "{sink} has it: {text}");
    }
}

/// Goal: what is learnt has the values of variables, as no manifest can be without, and nobody else can read it; no
/// sink has them. Method: the same app in `learn`, refused by nobody and reaching nobody.
#[test]
fn what_is_learnt_has_the_canary_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = laid();
    let fetch = component("fetch").display().to_string();
    let [dirs, env] = grants(folder.path());
    let arguments = [
        "run",
        &fetch,
        "--manifest",
        "nexus.toml",
        "--mode",
        "learn",
        "out.toml",
        &dirs,
        &env,
        "--report",
        "report.json",
        "--",
        CANARY,
    ];
    let ran = host(folder.path(), &[], &arguments).output().expect("runs");
    let said = stderr(&ran);
    assert!(
        said.contains("no rule, as nothing was used; of [wasi], as it was, 1 folder and 1 variable with their values"),
        "{said}"
    );
    let out = folder.path().join("out.toml");
    let text = fs::read_to_string(&out).expect("learnt");
    let value = format!("{NAME} = \"{CANARY}\"");
    assert!(
        text.contains(&value) && text.contains("values of variables"),
        "{text}"
    );
    // Nor as an argument of the app's, nor as a file of its folder.
    assert_eq!(text.matches(CANARY).count(), 2, "{text}");
    let mode = fs::metadata(&out).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let report = fs::read_to_string(folder.path().join("report.json")).expect("a report");
    assert!(report.contains("\"variables\": 1"), "{report}");
    for text in [&report, &audit(folder.path())] {
        assert!(!text.contains(CANARY), "{text}");
    }
}
