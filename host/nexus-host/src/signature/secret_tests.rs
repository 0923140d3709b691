//! Secret keys: there and back, and against the library that rsign is made of.

use std::io::Cursor;

use minisign::{KeyPair, PublicKey, SecretKeyBox, SignatureBox};

use super::*;

const PHRASE: &str = "correct horse";

fn theirs(text: &str) -> SecretKeyBox {
    SecretKeyBox::from_string(text).expect("a key")
}

/// Goal: a key file of ours is a key to them, and what it signs verifies there. Method: encrypted and
/// not, opened by the crate `minisign`.
#[test]
fn our_keys_and_signatures_are_minisigns() {
    let key = SecretKey::generate().expect("a key");
    let public = PublicKey::from_base64(&key.public().to_string()).expect("a key");
    let encrypted = key.to_file(Some(PHRASE.as_bytes())).expect("writes");
    let plain = key.to_file(None).expect("writes");
    let opened = theirs(&encrypted).into_secret_key(Some(PHRASE.to_owned()));
    let same = theirs(&plain).into_unencrypted_secret_key().expect("opens");
    assert!(opened.expect("opens") == same);
    assert_eq!(
        PublicKey::from_secret_key(&same).expect("a key").to_bytes(),
        public.to_bytes()
    );

    let text = key.sign(b"component", "of\tnow").expect("signs");
    let signature = SignatureBox::from_string(&text).expect("a signature");
    assert_eq!(signature.trusted_comment().expect("a comment"), "of\tnow");
    let verify = |bytes: &'static [u8]| {
        minisign::verify(&public, &signature, Cursor::new(bytes), true, false, false)
    };
    assert!(verify(b"component").is_ok());
    assert!(verify(b"Component").is_err());
}

/// Goal: their keys and signatures are ours. Method: made by the crate `minisign`, encrypted and not.
#[test]
fn their_keys_and_signatures_are_ours() {
    let pair = KeyPair::generate_encrypted_keypair(Some(PHRASE.to_owned())).expect("a pair");
    let text = pair.sk.to_box(None).expect("writes").into_string();
    let file = SecretFile::parse(&text).expect("a key");
    assert!(file.is_encrypted());
    let key = file.open(PHRASE.as_bytes()).expect("opens");
    assert_eq!(key.public().to_string(), pair.pk.to_base64());

    let pair = KeyPair::generate_unencrypted_keypair().expect("a pair");
    let text = pair.sk.to_box(None).expect("writes").into_string();
    let file = SecretFile::parse(&text).expect("a key");
    assert!(!file.is_encrypted());
    let key = file.open(&[]).expect("opens");
    let signed = minisign::sign(None, &pair.sk, Cursor::new(b"component"), Some("c"), None);
    let signature = Detached::parse(&signed.expect("signs").into_string()).expect("a signature");
    let made = signature.made_by([key.public()], b"component");
    assert_eq!(made, Ok(Some(key.public())));
}

/// Goal: a wrong passphrase, a damaged key and a wrong file are told apart. Method: one of each.
#[test]
fn reject_what_opens_no_key() {
    let key = SecretKey::generate().expect("a key");
    let encrypted = key.to_file(Some(PHRASE.as_bytes())).expect("writes");
    let open = |text: &str| SecretFile::parse(text).and_then(|file| file.open(b"wrong"));
    assert!(matches!(open(&encrypted), Err(SecretError::Passphrase)));
    let plain = key.to_file(None).expect("writes");
    let damaged = |at: usize| {
        let file = SecretFile::parse(&plain).expect("a key");
        let mut bytes = file.0.clone();
        bytes[at] ^= 1;
        bytes
    };
    for at in [54, 62, 94, 125, 126, 157] {
        let error = SecretFile(damaged(at)).open(&[]).err().expect("damaged");
        assert!(matches!(error, SecretError::Damaged), "{at} {error}");
    }
    // A public half that is not the secret's, checksum and all: what it signs would give it away.
    let mut halves = damaged(94);
    let sum = checksum(&halves);
    halves[126..].copy_from_slice(&sum);
    assert!(matches!(
        SecretFile(halves).open(&[]),
        Err(SecretError::Unverified)
    ));

    let public = format!("untrusted comment: \n{}\n", key.public());
    assert!(matches!(
        SecretFile::parse(&public),
        Err(SecretError::Public)
    ));
    for text in ["", "one line", "\n\n", "\nRWRTY0Iy\n"] {
        assert!(
            matches!(SecretFile::parse(text), Err(SecretError::NoKey)),
            "{text}"
        );
    }
    let line = Base64::encode_to_string([b'E'; FILE_BYTES]).expect("encodes");
    let unknown = SecretFile::parse(&format!("\n{line}\n"));
    assert!(matches!(unknown, Err(SecretError::Unknown)));
}

/// Goal: the costs are libsodium's, and a file cannot ask for more than minisign does. Method: the
/// numbers of the C minisign, of the crate, ours; at the bounds and over.
#[test]
fn reject_a_key_file_that_costs_more_than_any_tool_writes() {
    // crypto_pwhash_scryptsalsa208sha256_{OPS,MEM}LIMIT_SENSITIVE, which the C minisign uses.
    assert!(cost(33_554_432, 1 << 30).is_some());
    assert!(cost(1 << 20, 1 << 25).is_some());
    assert!(cost(OPERATIONS, MEMORY).is_some());
    assert!(cost(1 << 25, 1 << 31).is_some(), "operations bind: N 2^19");
    assert!(cost(u64::MAX, 1 << 31).is_none(), "N 2^21");
    assert!(cost(1 << 26, 1 << 30).is_some(), "p 2");
    assert!(cost(1 << 29, 1 << 30).is_some(), "p 16");
    assert!(cost(1 << 30, 1 << 30).is_none(), "p 32");
    for numbers in [0, 1, 1_023, 1_024, u64::MAX] {
        for memory in [0, 1, 2_047, 2_048, u64::MAX] {
            let _ = cost(numbers, memory);
        }
    }
}

/// Goal: no error says what is secret. Method: every text an error can have.
#[test]
fn reject_secrets_in_errors() {
    let key = SecretKey::generate().expect("a key");
    let text = key.to_file(None).expect("writes");
    let line = text.lines().nth(1).expect("two lines").to_owned();
    let cut = &line[..line.len() - 4];
    let error = SecretFile::parse(&format!("\n{cut}\n")).err().expect("cut");
    for shown in [format!("{error}"), format!("{error:?}")] {
        assert!(!shown.contains(&line[80..100]), "{shown}");
    }
}
