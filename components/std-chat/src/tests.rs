//! The room: what each hears, and every bound at it and past it.

use super::*;

/// What a member would be sent now.
fn heard(room: &mut Room, id: Id) -> String {
    let bytes: Vec<u8> = room.unsent(id).expect("is here").drain(..).collect();
    String::from_utf8(bytes).expect("it is text")
}

fn enter(room: &mut Room, name: &str) -> Id {
    let id = room.enter().expect("there is room");
    room.hear(id, format!("{name}\n").as_bytes());
    id
}

/// Goal: everybody hears everybody else, in order, and nobody itself. Method: two who come, talk in parts of
/// lines, and leave.
#[test]
fn what_one_says_all_others_hear() {
    let mut room = Room::default();
    let ada = enter(&mut room, "ada");
    assert_eq!(heard(&mut room, ada), "* here: ada\n");
    let bob = enter(&mut room, "bob\r");
    assert_eq!(heard(&mut room, bob), "* here: ada, bob\n");
    room.hear(ada, b"one\ntw");
    room.hear(ada, b"o\r\nthr");
    assert_eq!(heard(&mut room, bob), "ada: one\nada: two\n");
    assert_eq!(heard(&mut room, ada), "* bob is here\n");
    room.leave(bob);
    assert_eq!(heard(&mut room, ada), "* bob left\n");
    assert!(room.unsent(bob).is_none());
    room.hear(bob, b"still here?\n");
    assert_eq!(heard(&mut room, ada), "");
}

/// Goal: who has no name is not known. Method: it hears nothing, and nobody hears it come or go.
#[test]
fn who_has_no_name_is_not_there_yet() {
    let mut room = Room::default();
    let ada = enter(&mut room, "ada");
    let nobody = room.enter().expect("there is room");
    room.hear(ada, b"hello\n");
    assert_eq!(heard(&mut room, nobody), "");
    room.leave(nobody);
    assert_eq!(heard(&mut room, ada), "* here: ada\n");
}

#[test]
fn what_is_no_text_is_shown_as_such() {
    let mut room = Room::default();
    let ada = enter(&mut room, "ada");
    let bob = enter(&mut room, "bob");
    heard(&mut room, bob);
    room.hear(ada, b"\x1b[2J\xff\n");
    assert_eq!(heard(&mut room, bob), "ada: \u{fffd}[2J\u{fffd}\n");
}

#[test]
fn reject_one_member_too_many() {
    let mut room = Room::default();
    let ids: Vec<Id> = (0..MEMBERS_MAX)
        .map(|number| enter(&mut room, &format!("m{number}")))
        .collect();
    assert_eq!(room.enter(), Err(Out::Full));
    room.leave(ids[0]);
    let next = room.enter().expect("there is room again");
    assert!(!ids.contains(&next), "a number is nobody else's");
}

#[test]
fn reject_a_line_that_is_too_long() {
    let mut room = Room::default();
    let ada = enter(&mut room, "ada");
    let bob = enter(&mut room, "bob");
    heard(&mut room, bob);
    let mut line = vec![b'x'; LINE_BYTES_MAX];
    room.hear(ada, &line);
    room.hear(ada, b"\n");
    assert_eq!(room.out(ada), None);
    assert_eq!(
        heard(&mut room, bob).len(),
        "ada: \n".len() + LINE_BYTES_MAX
    );
    line.push(b'x');
    room.hear(ada, &line);
    assert_eq!(room.out(ada), Some(Out::LongLine));
    room.hear(ada, b"\nmore\n");
    assert_eq!(heard(&mut room, bob), "");
}

#[test]
fn reject_names_that_are_none() {
    let longest = "n".repeat(NAME_BYTES_MAX);
    let mut room = Room::default();
    let first = enter(&mut room, &longest);
    assert_eq!(room.out(first), None);
    for name in ["", "\r", &longest, &"m".repeat(NAME_BYTES_MAX + 1)] {
        let id = enter(&mut room, name);
        assert_eq!(room.out(id), Some(Out::BadName), "{name:?}");
        room.leave(id);
    }
    assert_eq!(heard(&mut room, first), format!("* here: {longest}\n"));
}

#[test]
fn reject_a_member_that_does_not_read() {
    let mut room = Room::default();
    let ada = enter(&mut room, "ada");
    let bob = enter(&mut room, "bob");
    heard(&mut room, bob);
    // "ada: ...\n" of 1,024 bytes, so that they fill it exactly.
    let line = [vec![b'x'; 1024 - "ada: \n".len()], b"\n".to_vec()].concat();
    for _ in 0..UNSENT_BYTES_MAX / 1024 {
        room.hear(ada, &line);
    }
    assert_eq!(room.out(bob), None);
    assert_eq!(room.unsent(bob).expect("is here").len(), UNSENT_BYTES_MAX);
    room.hear(ada, b"\n");
    assert_eq!(room.out(bob), Some(Out::DoesNotRead));
    assert_eq!(room.unsent(bob).expect("is here").len(), UNSENT_BYTES_MAX);
    assert_eq!(room.out(ada), None);
}
