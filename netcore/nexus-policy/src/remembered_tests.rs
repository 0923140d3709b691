//! `consent.toml`: read, written, added to, taken from, bounded.

use nexus_types::AppDigest;

use super::*;
use crate::capability::Capability;
use crate::consent::AnsweredBy;
use crate::rule::Rule;

const NOW: WallTime = WallTime(1_798_761_600);
const MOMENT: Moment<'static> = Moment {
    boot: Some("b1"),
    now: NOW,
};

fn app(digest: u8, publisher: Option<u8>) -> AppIdentity {
    AppIdentity {
        id: "com.example.weather".into(),
        digest: AppDigest([digest; 32]),
        publisher: publisher.map(|byte| {
            let mut key = [byte; 42];
            key[..2].copy_from_slice(b"Ed");
            PublisherKey(key)
        }),
    }
}

fn answer(id: &str, capability: Capability, rule: &str, lifetime: Lifetime) -> Answer {
    Answer {
        id: id.into(),
        capability,
        rule: Rule::parse(capability, rule).expect("a rule"),
        yes: true,
        lifetime,
        expires: None,
        by: AnsweredBy::Terminal,
    }
}

fn connect(id: &str, rule: &str) -> Answer {
    answer(id, Capability::NetworkTcpConnect, rule, Lifetime::Always)
}

fn add(file: &mut Remembered, app: &AppIdentity, answer: Answer) -> String {
    let entry = Entry::new(app, answer, &MOMENT);
    file.add(entry, &MOMENT).expect("remembered")
}

/// Goal: what was answered is read again, and is told of the app it was said of. Method: answers of each
/// lifetime and kind added, the text read.
#[test]
fn what_is_added_is_read_again() {
    let mut file = Remembered::default();
    let us = app(1, None);
    let mut no = connect("00000002", "example.com:80");
    (no.yes, no.expires) = (false, Some(WallTime(NOW.0 + 60)));
    let folder = answer(
        "00000003",
        Capability::WasiDirs,
        "/srv/\"odd\\ \u{540d}:ro",
        Lifetime::Session,
    );
    let all = vec![connect("00000001", "host.internal:*"), no, folder];
    for answer in &all {
        let lines = add(&mut file, &us, answer.clone());
        assert!(file.text().ends_with(&lines), "{}", file.text());
    }
    let again = Remembered::parse(file.text(), "consent.toml").expect("reads");
    assert_eq!(again, file);
    assert_eq!(again.of(&us, &MOMENT), all);
    assert!(file.text().starts_with("# What you have answered"));
}

/// Goal: what cannot be written as what it is, is not. Method: a folder that hides something, and one too long
/// to be shown; a name of the app's that hides something is written out.
#[test]
fn reject_rules_that_would_be_read_as_others() {
    let mut file = Remembered::default();
    let mut us = app(1, None);
    for path in [
        "/srv/\u{202e}odd".to_owned(),
        format!("/{}", "x".repeat(300)),
    ] {
        let folder = answer(
            "00000001",
            Capability::WasiDirs,
            &format!("{path}:ro"),
            Lifetime::Always,
        );
        let entry = Entry::new(&us, folder, &MOMENT);
        assert_eq!(
            file.add(entry, &MOMENT).err(),
            Some(NotRemembered::Unwritable)
        );
    }
    assert_eq!(file, Remembered::default());
    us.id = "odd\u{202e}\u{7}\"\n".into();
    add(&mut file, &us, connect("00000001", "a.example:1"));
    assert!(!file.text().contains(['\u{202e}', '\u{7}']));
    let again = Remembered::parse(file.text(), "consent.toml").expect("reads");
    assert_eq!(again.entries()[0].app, us.id);
}

/// Goal: an answer holds no longer than it says. Method: other starts of the machine, later times.
#[test]
fn reject_answers_whose_time_is_over() {
    let mut file = Remembered::default();
    let us = app(1, None);
    let mut session = connect("00000001", "a.example:1");
    session.lifetime = Lifetime::Session;
    add(&mut file, &us, session);
    let mut ends = connect("00000002", "b.example:1");
    ends.expires = Some(WallTime(NOW.0 + 60));
    add(&mut file, &us, ends);
    let ids = |boot, now| -> Vec<String> {
        let answers = file.of(&us, &Moment { boot, now });
        answers.into_iter().map(|answer| answer.id).collect()
    };
    assert_eq!(ids(Some("b1"), NOW), ["00000001", "00000002"]);
    assert_eq!(ids(Some("b2"), NOW), ["00000002"]);
    assert_eq!(ids(None, NOW), ["00000002"]);
    assert_eq!(ids(Some("b1"), WallTime(NOW.0 + 60)), ["00000001"]);
    // And is not kept once somebody writes.
    let later = Moment {
        boot: Some("b2"),
        now: WallTime(NOW.0 + 60),
    };
    let entry = Entry::new(&us, connect("00000003", "c.example:1"), &later);
    file.add(entry, &later).expect("remembered");
    assert_eq!(file.entries().len(), 1);
}

/// Goal: an answer is one app's. Method: another version, unsigned and signed; another id; another publisher.
#[test]
fn reject_answers_of_another_app() {
    let mut file = Remembered::default();
    add(&mut file, &app(1, None), connect("00000001", "a.example:1"));
    add(
        &mut file,
        &app(1, Some(7)),
        connect("00000002", "a.example:1"),
    );
    let count = |app: &AppIdentity| file.of(app, &MOMENT).len();
    assert_eq!(count(&app(1, None)), 1);
    assert_eq!(count(&app(2, None)), 0);
    // The same bytes, and the next version by the same publisher.
    assert_eq!(count(&app(1, Some(7))), 2);
    assert_eq!(count(&app(2, Some(7))), 1);
    assert_eq!(count(&app(2, Some(8))), 0);
    let mut other = app(2, Some(7));
    other.id = "com.example.other".into();
    assert_eq!(count(&other), 0);
    // A digest is a digest, whatever it calls itself.
    let mut renamed = app(1, None);
    renamed.id = "com.example.other".into();
    assert_eq!(count(&renamed), 1);
}

/// Goal: an answer given again takes the place of the first; one that passes is not written. Method: yes then
/// no, then one for this run.
#[test]
fn an_answer_takes_the_place_of_the_one_before() {
    let mut file = Remembered::default();
    let us = app(1, None);
    add(&mut file, &us, connect("00000001", "a.example:1"));
    let mut no = connect("00000002", "a.example:1");
    no.yes = false;
    add(&mut file, &us, no.clone());
    assert_eq!(file.of(&us, &MOMENT), [no.clone()]);
    let before = file.clone();
    no.lifetime = Lifetime::Once;
    let entry = Entry::new(&us, no, &MOMENT);
    assert_eq!(file.add(entry, &MOMENT).err(), Some(NotRemembered::Passing));
    let mut session = connect("00000003", "a.example:1");
    session.lifetime = Lifetime::Session;
    let nowhen = Moment {
        boot: None,
        now: NOW,
    };
    let entry = Entry::new(&us, session, &nowhen);
    assert_eq!(file.add(entry, &nowhen).err(), Some(NotRemembered::Passing));
    assert_eq!(file, before);
}

/// Goal: what a person wrote into the file stays. Method: comments around three answers, the middle one taken
/// out, byte for byte; then the first and the last.
#[test]
fn taking_one_out_leaves_the_rest_as_it_is() {
    let mut file = Remembered::default();
    let us = app(1, None);
    let lines: Vec<_> = (1..=3)
        .map(|n| {
            add(
                &mut file,
                &us,
                connect(&format!("{n:08}"), &format!("{n}.example:1")),
            )
        })
        .collect();
    let text = format!(
        "# mine\n\n{}\n# of the second: keep?\n{}  # trailing\n\n\n{}# the end\n",
        lines[0].replace("id = \"00000001\"", "id   = '00000001' # one"),
        lines[1].trim_end(),
        lines[2],
    );
    let mut file = Remembered::parse(&text, "consent.toml").expect("reads");
    let gone = file.remove(|entry| entry.answer.id == "00000002");
    assert_eq!(gone.len(), 1);
    let want = format!(
        "# mine\n\n{}\n# of the second: keep?\n\n\n{}# the end\n",
        lines[0].replace("id = \"00000001\"", "id   = '00000001' # one"),
        lines[2],
    );
    assert_eq!(file.text(), want);
    file.remove(|entry| entry.answer.id == "00000001");
    file.remove(|entry| entry.answer.id == "00000003");
    assert!(file.entries().is_empty());
    assert_eq!(file.text(), "# mine\n\n# of the second: keep?\n# the end\n");
    add(&mut file, &us, connect("00000009", "9.example:1"));
    assert_eq!(file.entries().len(), 1);
    assert!(file.text().starts_with("# mine\n"), "{}", file.text());
}

/// Goal: answers in another form of TOML are changed in meaning alone. Method: an inline list.
#[test]
fn answers_in_one_line_are_written_anew() {
    let mut file = Remembered::default();
    let us = app(1, None);
    add(&mut file, &us, connect("00000001", "a.example:1"));
    add(&mut file, &us, connect("00000002", "b.example:1"));
    let inline: Vec<_> = file
        .entries()
        .iter()
        .map(|entry| {
            let lines = entry.lines();
            let keys: Vec<_> = lines.lines().skip(1).collect();
            format!("{{ {} }}", keys.join(", "))
        })
        .collect();
    let text = format!("answer = [{}]\n", inline.join(", "));
    let mut inline = Remembered::parse(&text, "consent.toml").expect("reads");
    add(&mut inline, &us, connect("00000003", "c.example:1"));
    assert_eq!(inline.entries().len(), 3);
    let mut inline = Remembered::parse(&text, "consent.toml").expect("reads");
    assert_eq!(
        inline.remove(|entry| entry.answer.id == "00000001").len(),
        1
    );
    let ids: Vec<_> = inline
        .entries()
        .iter()
        .map(|e| e.answer.id.clone())
        .collect();
    assert_eq!(ids, ["00000002"]);
    assert_eq!(
        Remembered::parse(inline.text(), "consent.toml").expect("reads"),
        inline
    );
}

/// Goal: the number of answers is bounded. Method: as many as there may be, then one more, then one fewer.
#[test]
fn as_many_answers_as_there_may_be_and_reject_one_more() {
    let us = app(1, None);
    let mut text = String::new();
    for n in 0..ANSWERS_MAX {
        let answer = connect(&format!("{n:08x}"), &format!("h{n}.example:1"));
        text.push_str(&Entry::new(&us, answer, &MOMENT).lines());
    }
    let mut file = Remembered::parse(&text, "consent.toml").expect("at the limit");
    let more = Entry::new(&us, connect("ffffffff", "more.example:1"), &MOMENT);
    assert_eq!(
        file.add(more.clone(), &MOMENT).err(),
        Some(NotRemembered::Full)
    );
    let over = format!("{text}{}", more.lines());
    let error = Remembered::parse(&over, "consent.toml").expect_err("over");
    assert!(error.to_string().contains("the most is 1024"), "{error}");
    file.remove(|entry| entry.answer.id == "00000000");
    file.add(more, &MOMENT).expect("room again");
    let long = format!("{text}#{}", " ".repeat(REMEMBERED_BYTES as usize));
    assert!(Remembered::parse(&long, "consent.toml").is_err());
}

/// Goal: an id is taken once. Method: numbers that are taken, at the end of their range.
#[test]
fn a_free_id_is_free() {
    let mut file = Remembered::default();
    add(&mut file, &app(1, None), connect("ffffffff", "a.example:1"));
    add(&mut file, &app(1, None), connect("00000000", "b.example:1"));
    assert_eq!(file.free_id(7), "00000007");
    assert_eq!(file.free_id(u32::MAX), "00000001");
}

/// Goal: a file that is not understood answers nothing, and says where. Method: each key wrong or gone.
#[test]
fn reject_files_that_say_something_else() {
    let good = Entry::new(&app(1, None), connect("00000001", "a.example:1"), &MOMENT).lines();
    Remembered::parse(&good, "consent.toml").expect("good");
    let digest = app(1, None).digest.to_string();
    let key = app(1, Some(7)).publisher.expect("a key").to_string();
    for (from, to, says) in [
        (
            "[[answer]]",
            "[answer]",
            "1:1: answer: each answer begins with [[answer]]",
        ),
        ("[[answer]]", "[[answers]]", "did you mean `answer`"),
        ("00000001", "", "2:6: answer[0].id: an id is 1 to 64"),
        ("00000001", "\\n", "an id is"),
        (digest.as_str(), "sha256:1", "3:46: answer[0].app.digest"),
        ("digest", "publisher", "answer[0].app.publisher"),
        ("digest", "digset", "did you mean `digest`"),
        (
            "{ id = \"com.example.weather\", ",
            "{ ",
            "app.id: the key is missing",
        ),
        (
            "network.tcp.connect",
            "network.tcp.conect",
            "did you mean `network.tcp.connect`",
        ),
        ("a.example:1", "a.example", "5:8: answer[0].rule"),
        (
            "answer = \"yes\"",
            "answer = \"Yes\"",
            "6:10: answer[0].answer",
        ),
        (
            "answer = \"yes\"",
            "",
            "answer[0].answer: the key is missing",
        ),
        ("always", "once", "`once` is none of `always` and `session`"),
        (
            "lifetime = \"always\"",
            "lifetime = \"session\"",
            "boot is missing",
        ),
        (
            "2027-01-01T",
            "2027-13-01T",
            "8:9: answer[0].given: this is no moment",
        ),
        ("terminal", "me", "answer[0].by"),
        (
            "by = ",
            "expires = 7\nby = ",
            "answer[0].expires: this is no moment",
        ),
        ("rule = ", "ruel = ", "did you mean `rule`"),
        ("by = \"terminal\"", "by = \"terminal", "9:15: invalid"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let error = Remembered::parse(&text, "consent.toml").expect_err(&text);
        assert!(
            error.to_string().contains(says),
            "{says} in: {error}\n{text}"
        );
    }
    let both = good.replace("digest =", &format!("publisher = \"{key}\", digest ="));
    let error = Remembered::parse(&both, "consent.toml").expect_err("both");
    assert!(error.to_string().contains("one of the two"), "{error}");
    let twice = format!("{good}{good}");
    let error = Remembered::parse(&twice, "consent.toml").expect_err("twice");
    assert!(error.to_string().contains("in line 1 already"), "{error}");
}
