//! Signatures and public keys as minisign and others wrote them.

use std::fs;

use super::*;

/// minisign's own release key and two signatures over `test`, by minisign itself: the test vectors
/// of minisign-verify 0.3.0 (`src/lib.rs`, the tests `verify` and `verify_prehashed`).
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const PREHASHED: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==
";
const LEGACY: &str = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==
";

fn key() -> PublisherKey {
    PublisherKey::parse(KEY).expect("a key")
}

fn read(bytes: &[u8]) -> Result<Detached, ReadError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.minisig");
    fs::write(&path, bytes).expect("writes");
    Detached::read(&path)
}

/// Goal: what minisign signed verifies. Method: its published vector.
#[test]
fn a_signature_by_minisign_verifies() {
    let detached = Detached::parse(PREHASHED).expect("a signature");
    assert_eq!(detached.key().to_string(), "E7620F1842B4E81F");
    assert_eq!(detached.comment(), "timestamp:1556193335\tfile:test");
    assert_eq!(detached.made_by([key()], b"test"), Ok(Some(key())));
    // As a Windows editor leaves it.
    let detached = Detached::parse(&PREHASHED.replace('\n', "\r\n")).expect("a signature");
    assert_eq!(detached.made_by([key()], b"test"), Ok(Some(key())));
}

/// Goal: what is behind the four lines is no part of a signature, so there is nothing. Method: lines, blanks and NULs
/// behind minisign's own; with and without the end of the last line.
#[test]
fn reject_more_than_the_four_lines() {
    assert!(Detached::parse(PREHASHED.trim_end()).is_some());
    for more in [
        "junk\n",
        "\n",
        "\0\0\0",
        "\0\n",
        " \n",
        "trusted comment: x\n",
    ] {
        assert!(
            Detached::parse(&format!("{PREHASHED}{more}")).is_none(),
            "{more:?}"
        );
    }
    assert!(Detached::parse(&PREHASHED.replacen('\n', "\0\n", 1)).is_none());
}

/// Goal: any other content, comment, signature or key does not. Method: the vector, changed.
#[test]
fn reject_what_that_key_did_not_sign() {
    let altered = Err(Bad::Altered(key()));
    let made_by = |text: &str, bytes: &[u8]| {
        let detached = Detached::parse(text).expect("a signature");
        detached.made_by([key()], bytes)
    };
    assert_eq!(made_by(PREHASHED, b"Test"), altered);
    assert_eq!(made_by(PREHASHED, b""), altered);
    assert_eq!(
        made_by(&PREHASHED.replace("file:test", "file:tesT"), b"test"),
        altered
    );
    assert_eq!(
        made_by(&PREHASHED.replace("y/rUw", "y/rUx"), b"test"),
        altered
    );
    assert_eq!(
        made_by(&PREHASHED.replace("9r3g7V", "9r3g7W"), b"test"),
        altered
    );
    assert_eq!(made_by(LEGACY, b"test"), Err(Bad::Legacy(key())));
    // A key that took the id of another, which anybody can.
    let mut namesake = key();
    namesake.0[20] ^= 1;
    let detached = Detached::parse(PREHASHED).expect("a signature");
    assert_eq!(
        detached.made_by([namesake], b"test"),
        Err(Bad::Altered(namesake))
    );
    assert_eq!(
        detached.made_by([namesake, key()], b"test"),
        Ok(Some(key()))
    );
    assert_eq!(
        detached.made_by([key(), namesake], b"test"),
        Ok(Some(key()))
    );
    // Nobody's key is no wrong key.
    let mut stranger = key();
    stranger.0[2] ^= 1;
    assert_eq!(detached.made_by([stranger], b"test"), Ok(None));
    assert_eq!(detached.made_by([], b"test"), Ok(None));
}

/// Goal: what is no signature is called so and stops nothing. Method: every cut of one, lines left
/// out, and other texts.
#[test]
fn reject_what_is_no_signature() {
    let lines: Vec<&str> = PREHASHED.lines().collect();
    // The last line cut short made the crate `minisign` panic.
    let whole = PREHASHED.trim_end().len();
    for length in 0..whole {
        assert!(Detached::parse(&PREHASHED[..length]).is_none(), "{length}");
    }
    for left_out in 0..4 {
        let mut some = lines.clone();
        some.remove(left_out);
        assert!(Detached::parse(&some.join("\n")).is_none(), "{left_out}");
    }
    for bytes in [&b""[..], b"\n\n\n\n", b"\xff\xfe", KEY.as_bytes(), b"\0asm"] {
        assert!(
            matches!(read(bytes), Err(ReadError::NoSignature)),
            "{bytes:?}"
        );
    }
}

/// Goal: the bound on a signature's file holds. Method: comments that fill it, and one byte more.
#[test]
fn a_signature_at_the_limit_and_reject_one_over() {
    let filled = |bytes: usize| {
        let comment = "x".repeat(bytes - PREHASHED.len());
        PREHASHED.replacen("secret key", &format!("secret key{comment}"), 1)
    };
    let at = read(filled(SIGNATURE_BYTES).as_bytes()).expect("a signature");
    assert_eq!(at.made_by([key()], b"test"), Ok(Some(key())));
    let over = read(filled(SIGNATURE_BYTES + 1).as_bytes());
    assert!(matches!(over, Err(ReadError::TooLarge)));
}

/// Goal: nothing but a file is waited for. Method: a folder, a pipe without a writer, a device.
#[test]
fn reject_what_is_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, Mode::RUSR, 0).expect("a pipe");
    for path in [folder.path(), &pipe, Path::new("/dev/null")] {
        assert!(
            matches!(Detached::read(path), Err(ReadError::NotAFile)),
            "{path:?}"
        );
    }
    let nothing = folder.path().join("nothing");
    assert!(matches!(Detached::read_if_there(&nothing), Ok(None)));
}

/// Goal: a key is found in its text or its file, and no secret is repeated. Method: both, and wrong
/// ones.
#[test]
fn a_public_key_is_read_from_its_text_or_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("minisign.pub");
    let path = path.to_str().expect("UTF-8");
    let file = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{KEY}\n");
    fs::write(path, file).expect("writes");
    assert_eq!(read_public(KEY), Ok(key()));
    assert_eq!(read_public(path), Ok(key()));
    let secret = format!("untrusted comment: \nRWRTY0Iy{}\n", "canary".repeat(34));
    fs::write(path, secret).expect("writes");
    let error = read_public(path).expect_err("a secret");
    assert!(error.contains("this is a secret key"), "{error}");
    assert!(!error.contains("canary"), "{error}");
    fs::write(path, KEY).expect("writes");
    assert!(read_public(path).is_err());
    assert!(read_public("acme").is_err());
}
