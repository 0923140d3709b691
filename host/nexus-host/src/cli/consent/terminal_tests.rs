//! The prompt on a terminal, as a pty sees it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;

use nexus_policy::admission::Question;
use nexus_policy::{Capability, Lifetime, Rule};
use nexus_types::AppDigest;
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;

use super::*;
use crate::cli::consent::agent::Offers;

const ALL: Offers = Offers {
    session: true,
    always: true,
};

fn questions(count: usize) -> Vec<Question> {
    let question = |number: usize| Question {
        capability: Capability::NetworkTcpConnect,
        rule: Rule::parse(
            Capability::NetworkTcpConnect,
            &format!("h{number}.example:80"),
        )
        .expect("a rule"),
        asked_by: None,
    };
    (1..=count).map(question).collect()
}

/// Our end of a terminal, and the program's.
fn pair() -> (File, OwnedFd) {
    let person = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    rustix::pty::unlockpt(&person).expect("unlocked");
    let name = rustix::pty::ptsname(&person, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(&name, flags, Mode::empty()).expect("opens");
    (person.into(), program)
}

/// What was said by a person who types `before` before there is a prompt, and then one of `keys` at each; and
/// what the terminal showed.
fn asked(
    before: &str,
    keys: &[&str],
    count: usize,
    offers: Offers,
    timeout: u64,
) -> (Vec<Said>, String) {
    let (mut person, program) = pair();
    person.write_all(before.as_bytes()).expect("types");
    let input = program.try_clone().expect("another");
    let asker = thread::spawn(move || {
        let questions = questions(count);
        let mut terminal = Terminal {
            input,
            output: program,
            timeout: Duration::from_millis(timeout),
        };
        terminal.ask(&Ask {
            file: Path::new("odd\u{1b}[2J\u{202e}.wasm"),
            digest: AppDigest([7; 32]),
            signed: "nobody: it is not signed",
            claims: Some(("com.example.weather", Some("1"))),
            questions: &questions,
            offers,
            unkept: (!offers.always).then_some("the disk is full"),
        })
    });
    let mut shown = Vec::new();
    for answer in keys {
        let mut line = Vec::new();
        while !line.ends_with(b"]\x20") {
            let mut byte = [0];
            person.read_exact(&mut byte).expect("a prompt");
            line.push(byte[0]);
        }
        shown.extend(line);
        person.write_all(answer.as_bytes()).expect("types");
    }
    let said = asker.join().expect("no panic").expect("asked");
    let mut piece = [0; 1_000];
    while let Ok(length @ 1..) = person.read(&mut piece) {
        shown.extend_from_slice(&piece[..length]);
    }
    (said, String::from_utf8_lossy(&shown).into_owned())
}

const LONG: u64 = 30_000;
const YES: Said = Said::Yes(Lifetime::Once);

/// Goal: each answer means what it says, and nothing else is one. Method: what a person types, what was said.
#[test]
fn an_answer_is_what_was_typed_and_reject_all_else() {
    use Lifetime::{Always, Once, Session};
    let cases = [
        ("y\r", YES),
        ("yes\n", YES),
        ("s\r", Said::Yes(Session)),
        ("a\r", Said::Yes(Always)),
        ("n\r", Said::No(Once)),
        ("never\r", Said::No(Always)),
        // Edited as at any prompt.
        ("a\u{7f}y\r", YES),
        ("\r", Said::Nothing),
        ("yy\r", Said::Nothing),
        ("A\r", Said::Nothing),
        ("allow\r", Said::Nothing),
        ("y y y y y y y y y y y y y y\r", Said::Nothing),
        ("y\u{1b}[D\r", Said::Nothing),
        ("\u{435}\r", Said::Nothing),
    ];
    let keys: Vec<_> = cases.iter().map(|(keys, _)| *keys).collect();
    let want: Vec<_> = cases.iter().map(|(_, said)| *said).collect();
    let (said, shown) = asked("", &keys, cases.len(), ALL, LONG);
    assert_eq!(said, want, "{shown}");
    assert_eq!(shown.matches("not an answer: taken as no").count(), 7);
}

/// Goal: what was not offered is no answer. Method: no file to remember in.
#[test]
fn reject_lifetimes_that_were_not_offered() {
    let once = Offers {
        session: false,
        always: false,
    };
    let (said, shown) = asked("", &["s\r", "a\r", "never\r", "y\r"], 4, once, LONG);
    assert_eq!(said[..3], [Said::Nothing; 3]);
    assert_eq!(said[3], YES);
    assert!(
        shown.contains("[y n N]") && !shown.contains("always"),
        "{shown}"
    );
    let told = shown.find("No answer can be kept for another run: the disk is full");
    assert!(told.is_some() && told < shown.find("[y n N]"), "{shown}");
}

/// Goal: one no for all that follow. Method: `N` at the second of four.
#[test]
fn a_no_to_all_is_for_what_follows() {
    let (said, _) = asked("", &["y\r", "N\r"], 4, ALL, LONG);
    assert_eq!(said, [YES, Said::NoToAll, Said::NoToAll, Said::NoToAll]);
}

/// Goal: what was typed before a question was seen is no answer to it. Method: a yes and half a yes typed ahead;
/// more than one line at once.
#[test]
fn reject_what_was_typed_ahead() {
    for before in ["y\ny\ny\n", "y"] {
        let (said, shown) = asked(before, &["n\r", "\r"], 2, ALL, LONG);
        assert_eq!(said, [Said::No(Lifetime::Once), Said::Nothing], "{shown}");
    }
}

/// Goal: no answer is a no, for all that follow. Method: nothing within the time, half a line, the end of input.
#[test]
fn reject_no_answer_at_all() {
    for (keys, says) in [
        (vec![], "no answer within 0.05 s: taken as no"),
        (vec!["y"], "no answer within 0.05 s: taken as no"),
    ] {
        let (said, shown) = asked("", &keys, 2, ALL, 50);
        assert_eq!(said, [Said::Nothing; 2]);
        assert!(shown.contains(says), "{shown}");
    }
    for end in ["\u{4}", "y\u{4}\u{4}"] {
        let (said, shown) = asked("", &["y\r", end], 3, ALL, LONG);
        assert_eq!(said, [YES, Said::Nothing, Said::Nothing], "{shown}");
        assert!(shown.contains("no answer: taken as no"), "{shown}");
    }
}

/// Goal: nothing of the app's moves the cursor or turns the text round. Method: a file's name full of that.
#[test]
fn what_an_app_chose_is_written_out() {
    let (_, shown) = asked("", &["n\r"], 1, ALL, LONG);
    assert!(shown.contains("odd\\u{1b}[2J\\u{202e}.wasm"), "{shown}");
    let (before, shown) = shown.split_once("consent ").expect("a heading");
    assert_eq!(before, prompt::RESET);
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
}

/// Goal: which app a question is about is seen where it is answered. Method: a heading far above, a long name.
#[test]
fn each_question_names_the_app() {
    let (_, shown) = asked("", &["n\r", "n\r"], 2, ALL, LONG);
    let digest = AppDigest([7; 32]).short().to_string();
    let named = format!("for odd\\u{{1b}}[2J\\u{{202e}}.wasm (sha256:{digest}…)  [y ");
    assert_eq!(shown.matches(&named).count(), 2, "{shown}");
}
