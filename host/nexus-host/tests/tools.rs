//! What surrounds running apps: `doctor`, `completions`, `man`, from outside.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use serde_json::Value;

/// A home of nobody's.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn folder(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("made");
        set_mode(&path, mode);
        path
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        set_mode(&path, mode);
        path
    }

    /// A state folder and a policy as they should be.
    fn healthy() -> Self {
        let home = Self::new();
        home.folder("state/nexus-host", 0o700);
        home.folder("config/nexus-host", 0o755);
        home.file(
            "config/nexus-host/policy.toml",
            "[limits]\nsockets = 8\n",
            0o644,
        );
        home
    }

    fn host(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the host runs")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-host"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"));
        command
    }

    /// What `doctor` finds, as JSON, and its exit code.
    fn doctor(&self, more: &[&str]) -> (Value, Option<i32>) {
        let output = self.host(&[&["doctor", "--output", "json"], more].concat());
        let json = serde_json::from_slice(&output.stdout).expect("JSON");
        (json, output.status.code())
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

/// The findings that are not as they should be: check, level, what.
fn wrong(json: &Value) -> Vec<(&str, &str, &str)> {
    let findings = json["data"]["findings"].as_array().expect("a list");
    findings
        .iter()
        .map(|finding| {
            let word = |key: &str| finding[key].as_str().expect("a word");
            (word("check"), word("level"), word("what"))
        })
        .filter(|(_, level, _)| ["warning", "error"].contains(level))
        .collect()
}

/// Goal: a machine where all is well gives 0, and so does one where nothing is there yet. Method: a
/// home as it should be, and an empty one.
#[test]
fn a_healthy_home_and_an_empty_one_are_well() {
    for home in [Home::healthy(), Home::new()] {
        let (json, code) = home.doctor(&[]);
        assert_eq!((wrong(&json), code), (Vec::new(), Some(0)), "{json:#}");
        assert_eq!((&json["ok"], &json["error"]), (&true.into(), &Value::Null));
        let checks: Vec<_> = json["data"]["findings"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|finding| finding["check"].as_str().expect("a word"))
            .collect();
        for check in [
            "network", "ports", "clock", "state", "cache", "policy", "files", "target",
        ] {
            let empty = !home.path("state").exists();
            assert!(
                checks.contains(&check) || (empty && check == "cache"),
                "{check}: {checks:?}"
            );
        }
        let state = home.path("state/nexus-host/code-cache");
        assert!(!state.exists(), "looking makes nothing");
    }
}

/// Goal: every part of a finding is there for people. Method: the text of a home with faults.
#[test]
fn a_finding_says_what_and_why_and_what_to_do() {
    let home = Home::healthy();
    set_mode(&home.path("state/nexus-host"), 0o755);
    let output = home.host(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    for says in [
        "error    state",
        "mode 755",
        "why: it holds keys",
        "do:  chmod go= ",
    ] {
        assert!(text.contains(says), "{says}:\n{text}");
    }
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("1 thing is wrong") && stderr.contains("doctor --fix"),
        "{stderr}"
    );
}

/// Goal: permissions that let others in are found, and mended when asked. Method: each of our files with a mode
/// that is too wide; `--fix` without a terminal; a second look.
#[test]
fn reject_permissions_that_let_others_in_and_mend_them() {
    let home = Home::healthy();
    let folder = home.path("state/nexus-host");
    let policy = home.path("config/nexus-host/policy.toml");
    let key = home.file("state/nexus-host/code-cache.key", &"k".repeat(32), 0o644);
    let kept = home.file("state/nexus-host/consent.toml", "", 0o640);
    set_mode(&folder, 0o750);
    set_mode(&policy, 0o666);
    let (json, code) = home.doctor(&[]);
    let found = wrong(&json);
    let levels: Vec<_> = found
        .iter()
        .map(|(check, level, _)| (*check, *level))
        .collect();
    assert_eq!(
        levels,
        [
            ("state", "error"),
            ("keys", "error"),
            ("state", "warning"),
            ("policy", "warning"),
        ],
        "{json:#}"
    );
    assert_eq!(
        (code, &json["error"]["message"]),
        (Some(1), &"4 things are wrong".into())
    );
    assert_eq!(
        [mode(&folder), mode(&key), mode(&kept), mode(&policy)],
        [0o750, 0o644, 0o640, 0o666]
    );

    let (json, code) = home.doctor(&["--fix"]);
    assert_eq!((wrong(&json), code), (Vec::new(), Some(0)), "{json:#}");
    assert_eq!(json["data"]["fixed"].as_array().map(Vec::len), Some(4));
    assert_eq!(
        [mode(&folder), mode(&key), mode(&kept), mode(&policy)],
        [0o700, 0o600, 0o600, 0o644]
    );
}

/// Goal: what is in the folders of the state folder is looked at as well. Method: a key, a file of the log, compiled
/// code and a folder with modes that are too wide; a link for a folder; then mended.
#[test]
fn reject_rights_below_the_first_level_and_mend_them() {
    let home = Home::healthy();
    for folder in ["keys", "audit", "audit/old", "code-cache"] {
        home.folder(&format!("state/nexus-host/{folder}"), 0o700);
    }
    let open = [
        home.file("state/nexus-host/keys/audit.key", &"k".repeat(32), 0o666),
        home.file("state/nexus-host/audit/1.log", "", 0o666),
        home.file("state/nexus-host/audit/old/1.log", "", 0o644),
        home.file("state/nexus-host/code-cache/x", "", 0o666),
        home.folder("state/nexus-host/audit", 0o755),
    ];
    let elsewhere = home.folder("elsewhere", 0o777);
    std::os::unix::fs::symlink(&elsewhere, home.path("state/nexus-host/control")).expect("linked");
    let (json, code) = home.doctor(&[]);
    assert_eq!(code, Some(1));
    let found = wrong(&json);
    for path in &open {
        let of = |what: &str| what.contains(&format!("{} is open", path.display()));
        let one: Vec<_> = found.iter().filter(|(.., what)| of(what)).collect();
        assert_eq!(one.len(), 1, "{}: {json:#}", path.display());
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        assert_eq!(
            (one[0].0, one[0].1),
            if is_key {
                ("keys", "error")
            } else {
                ("state", "warning")
            }
        );
    }
    assert!(
        found
            .iter()
            .any(|(.., what)| what.contains("control is not a folder")),
        "{json:#}"
    );
    fs::remove_file(home.path("state/nexus-host/control")).expect("gone");
    let (json, code) = home.doctor(&["--fix"]);
    assert_eq!((wrong(&json), code), (Vec::new(), Some(0)), "{json:#}");
    assert!(open.iter().all(|path| mode(path) & 0o077 == 0));
    assert_eq!(mode(&elsewhere), 0o777);
}

/// Goal: answers that no app would start with are told before one is tried. Method: a file with a slip.
#[test]
fn reject_answers_that_do_not_read() {
    let home = Home::healthy();
    home.file("state/nexus-host/consent.toml", "[[answr]]\n", 0o600);
    let (json, code) = home.doctor(&[]);
    let found = wrong(&json);
    assert_eq!(
        (found.len(), found[0].0, code),
        (1, "consent", Some(1)),
        "{json:#}"
    );
    assert!(found[0].2.contains("consent.toml:1:"), "{json:#}");
}

/// Goal: a policy that is a link is mended where it lies. Method: one that others can write, in a folder of its own
/// that they can write, too.
#[test]
fn reject_a_linked_policy_that_others_can_write_and_mend_it() {
    let home = Home::healthy();
    let link = home.path("config/nexus-host/policy.toml");
    fs::remove_file(&link).expect("gone");
    let folder = home.folder("dotfiles", 0o777);
    let real = home.file("dotfiles/policy.toml", "", 0o666);
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    let (json, code) = home.doctor(&[]);
    assert_eq!((wrong(&json).len(), code), (2, Some(1)), "{json:#}");
    let (json, code) = home.doctor(&["--fix"]);
    assert_eq!((wrong(&json), code), (Vec::new(), Some(0)), "{json:#}");
    assert_eq!((mode(&real), mode(&folder)), (0o644, 0o755));
    assert!(link.is_symlink());
}

/// Goal: on a terminal nothing is changed without a yes. Method: a person who types each answer before
/// they are asked, and one who has gone.
#[test]
fn reject_a_fix_nobody_has_agreed_to() {
    for (answer, agreed) in [
        ("\n", false),
        ("n\n", false),
        ("yess\n", false),
        ("\x04", false),
        ("y\n", true),
    ] {
        let home = Home::healthy();
        let folder = home.path("state/nexus-host");
        set_mode(&folder, 0o755);
        let (person, program) = terminal();
        let mut person = fs::File::from(person);
        person.write_all(answer.as_bytes()).expect("typed");
        let output = home
            .command(&["doctor", "--fix"])
            .stdin(program.try_clone().expect("a second end"))
            .stderr(program)
            .stdout(Stdio::piped())
            .output()
            .expect("the host runs");
        let code = if agreed { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{answer:?}");
        assert_eq!(
            mode(&folder),
            if agreed { 0o700 } else { 0o755 },
            "{answer:?}"
        );
        // Until nobody has the other end any more, which a terminal calls an error.
        let (mut asked, mut piece) = (Vec::new(), [0; 1_000]);
        while let Ok(length @ 1..) = person.read(&mut piece) {
            asked.extend_from_slice(&piece[..length]);
        }
        let asked = String::from_utf8_lossy(&asked);
        assert!(
            asked.contains("Do it? [y/N]") && asked.contains("chmod go="),
            "{asked}"
        );
    }
}

/// The person's end of a terminal, and the program's.
fn terminal() -> (OwnedFd, OwnedFd) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    unlockpt(&person).expect("unlocked");
    let name = ptsname(&person, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(&name, flags, Mode::empty()).expect("opens");
    (person, program)
}

/// Goal: what others can put in the way is told and not followed. Method: a link and a file where folders
/// should be, a link for a key; `--fix` leaves what they lead to as it is.
#[test]
fn reject_links_and_files_in_the_place_of_folders() {
    let home = Home::new();
    let elsewhere = home.folder("elsewhere", 0o755);
    home.folder("state", 0o700);
    std::os::unix::fs::symlink(&elsewhere, home.path("state/nexus-host")).expect("linked");
    let (json, code) = home.doctor(&["--fix"]);
    assert!(wrong(&json)[0].2.contains("is not a folder"), "{json:#}");
    assert_eq!((code, mode(&elsewhere)), (Some(1), 0o755));

    let home = Home::healthy();
    let target = home.file("target", "", 0o644);
    std::os::unix::fs::symlink(&target, home.path("state/nexus-host/code-cache.key"))
        .expect("linked");
    let (json, code) = home.doctor(&["--fix"]);
    assert!(wrong(&json)[0].2.contains("is not a file"), "{json:#}");
    assert_eq!((code, mode(&target)), (Some(1), 0o644));
}

/// Goal: a policy no app would start under is told before one is tried. Method: one with a typo, one
/// that is a folder.
#[test]
fn reject_policies_that_do_not_read() {
    let home = Home::healthy();
    home.file("config/nexus-host/policy.toml", "[[rul]]\n", 0o644);
    let (json, code) = home.doctor(&[]);
    let found = wrong(&json);
    assert_eq!((found.len(), code), (1, Some(1)), "{json:#}");
    assert!(found[0].2.contains("policy.toml:1:") && found[0].2.contains("did you mean `rule`?"));

    fs::remove_file(home.path("config/nexus-host/policy.toml")).expect("gone");
    home.folder("config/nexus-host/policy.toml", 0o755);
    let (json, code) = home.doctor(&[]);
    assert_eq!((wrong(&json)[0].1, code), ("error", Some(1)), "{json:#}");
}

/// Goal: no state folder at all is told with what to do. Method: neither HOME nor XDG names one.
#[test]
fn reject_a_machine_without_a_home() {
    let output = Command::new(env!("CARGO_BIN_EXE_nexus-host"))
        .args(["doctor", "--output", "json"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("the host runs");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = wrong(&json);
    assert!(found[0].2.contains("no state folder"), "{json:#}");
    assert_eq!(output.status.code(), Some(1));
}

/// The verbs of `--help`.
fn verbs(home: &Home) -> Vec<String> {
    let output = home.host(&["--help"]);
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let (_, rest) = help.split_once("Commands:\n").expect("commands");
    rest.lines()
        .take_while(|line| !line.is_empty())
        // What a verb does may go on below it, further in.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Goal: each script is one, and has each verb. Method: every shell's; bash itself reads its own.
#[test]
fn completions_have_every_verb_and_bash_reads_its_own() {
    let home = Home::new();
    let verbs = verbs(&home);
    assert!(verbs.len() > 8, "{verbs:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = home.host(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        for word in verbs
            .iter()
            .map(String::as_str)
            .chain(["schema", "allow-manifest"])
        {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let path = home.file("completion.bash", &script, 0o644);
            let read = Command::new("bash")
                .arg("-n")
                .arg(&path)
                .output()
                .expect("bash");
            assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
        }
    }
    assert_eq!(home.host(&["completions", "tcsh"]).status.code(), Some(2));
}

/// Goal: what is completed is what can be typed there, at every depth. Method: bash reads its script and calls the
/// function as it does for a line with the cursor at its end.
#[test]
fn bash_completes_verbs_and_flags_at_every_depth() {
    let home = Home::new();
    let script = home.host(&["completions", "bash"]).stdout;
    let script = String::from_utf8(script).expect("UTF-8");
    let path = home.file("completion.bash", &script, 0o644);
    let completed = |words: &[&str]| -> Vec<String> {
        let call = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _nexus__host "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"; printf '%s\n' "${COMPREPLY[@]}""#;
        let output = Command::new("bash")
            .args(["-c", call, "bash"])
            .arg(&path)
            .arg("nexus-host")
            .args(words)
            .output()
            .expect("bash");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    };
    assert_eq!(completed(&["pol"]), ["policy"]);
    assert_eq!(completed(&["policy", "re"]), ["reload"]);
    assert_eq!(completed(&["policy", "check", "--manif"]), ["--manifest"]);
    assert_eq!(completed(&["consent", "revoke", "--ap"]), ["--app"]);
    assert_eq!(completed(&["run", "--output", "j"]), ["json"]);
    assert_eq!(completed(&["completions", "z"]), ["zsh"]);
    for verb in verbs(&home) {
        assert_eq!(completed(&[&verb, "--hel"]), ["--help"], "{verb}");
    }
}

/// The sections of a page, each with its text.
fn sections(page: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix(".SH ") {
            sections.push((title.trim_matches('"').to_owned(), String::new()));
        } else if let Some((_, text)) = sections.last_mut() {
            let macros = [
                ".SH", ".TP", ".RS", ".RE", ".PP", ".sp", ".br", ".ie", ".el",
            ];
            if !macros.contains(&line.split(' ').next().unwrap_or(line)) {
                text.push_str(line);
            }
        }
    }
    sections
}

/// Goal: the pages are whole, and one is there for each verb. Method: each page's sections are looked into; the
/// first names every verb.
#[test]
fn manual_pages_have_every_verb_and_no_empty_section() {
    let home = Home::new();
    let folder = home.path("man/man1");
    let output = home.host(&["man", "--out", folder.to_str().expect("UTF-8")]);
    assert_eq!((output.status.code(), output.stdout), (Some(0), Vec::new()));
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    let first = read("nexus-host.1");
    let printed = home.host(&["man"]).stdout;
    assert_eq!(String::from_utf8(printed).expect("UTF-8"), first);
    for verb in verbs(&home) {
        assert!(
            first.contains(&format!("nexus\\-host\\-{}(1)", verb.replace('-', "\\-"))),
            "{verb}:\n{first}"
        );
        read(&format!("nexus-host-{verb}.1"));
    }
    read("nexus-host-policy-schema.1");
    let (_, name) = &sections(&first)[0];
    assert!(name.len() < 120, "the NAME of a page is one line: {name}");
    for entry in fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let page = fs::read_to_string(&path).expect("readable");
        assert!(page.contains(".TH "), "{}", path.display());
        let sections = sections(&page);
        assert!(sections.len() > 2, "{}", path.display());
        for (title, text) in sections {
            assert!(
                !text.trim().is_empty(),
                "{}: {title} is empty",
                path.display()
            );
        }
    }
    let run = read("nexus-host-run.1");
    assert!(
        run.contains("allow\\-manifest") && run.contains("NEXUS_NET"),
        "{run}"
    );
}
