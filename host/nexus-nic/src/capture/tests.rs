//! Captures read back by a reader of their own, which knows nothing of the writer.

use std::fs;
use std::time::Duration;

use super::*;

/// What a reader of pcapng sees.
#[derive(PartialEq, Eq, Debug)]
enum Block {
    Section,
    Interface {
        link: u16,
        resolution: u8,
        name: String,
    },
    Packet {
        interface: u32,
        nanos: u64,
        flags: u32,
        original: u32,
        data: Vec<u8>,
    },
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (code, len) = (u16_at(bytes, 0), u16_at(bytes, 2) as usize);
        if code == 0 {
            assert_eq!(bytes.len(), 4, "nothing after the end of options");
            break;
        }
        found.push((code, bytes[4..4 + len].to_vec()));
        bytes = &bytes[4 + len.div_ceil(4) * 4..];
    }
    found
}

fn option_of(options: &[(u16, Vec<u8>)], code: u16) -> &[u8] {
    &options
        .iter()
        .find(|(found, _)| *found == code)
        .expect("the option")
        .1
}

fn read(mut bytes: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let len = u32_at(bytes, 4) as usize;
        assert_eq!(len % 4, 0);
        assert_eq!(u32_at(bytes, len - 4) as usize, len, "both lengths");
        let body = &bytes[8..len - 4];
        blocks.push(match u32_at(bytes, 0) {
            0x0a0d_0d0a => {
                assert_eq!(u32_at(body, 0), 0x1a2b_3c4d);
                assert_eq!((u16_at(body, 4), u16_at(body, 6)), (1, 0));
                assert!(option_of(&options(&body[16..]), 4).starts_with(b"nexus-host "));
                Block::Section
            }
            1 => {
                let options = options(&body[8..]);
                Block::Interface {
                    link: u16_at(body, 0),
                    resolution: option_of(&options, 9)[0],
                    name: String::from_utf8(option_of(&options, 2).to_vec()).expect("UTF-8"),
                }
            }
            6 => {
                let held = u32_at(body, 12) as usize;
                let options = options(&body[20 + held.div_ceil(4) * 4..]);
                Block::Packet {
                    interface: u32_at(body, 0),
                    nanos: u64::from(u32_at(body, 4)) << 32 | u64::from(u32_at(body, 8)),
                    flags: u32_at(option_of(&options, 2), 0),
                    original: u32_at(body, 16),
                    data: body[20..20 + held].to_vec(),
                }
            }
            other => panic!("block type {other}"),
        });
        bytes = &bytes[len..];
    }
    blocks
}

fn packet(interface: u32, nanos: u64, flags: u32, data: &[u8]) -> Block {
    Block::Packet {
        interface,
        nanos,
        flags,
        original: data.len() as u32,
        data: data.to_vec(),
    }
}

#[test]
fn what_was_recorded_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcapng");
    let mut capture = Capture::create(&path).expect("a file");
    let tap = capture.add_interface(LinkType::Ethernet, "tap:nx0");
    let link = capture.add_interface(LinkType::Ip, "link");
    capture.record(tap, Duration::new(5, 7), Direction::In, &[1; 61]);
    capture.record(link, Duration::new(6, 0), Direction::Out, &[]);
    capture.record(tap, Duration::new(7, 9), Direction::Out, &[2; 64]);
    drop(capture);
    let blocks = read(&fs::read(&path).expect("the file"));
    let interface = |link, name: &str| Block::Interface {
        link,
        resolution: 9,
        name: name.to_owned(),
    };
    assert_eq!(
        blocks,
        [
            Block::Section,
            interface(1, "tap:nx0"),
            interface(101, "link"),
            packet(0, 5_000_000_007, 1, &[1; 61]),
            packet(1, 6_000_000_000, 2, &[]),
            packet(0, 7_000_000_009, 2, &[2; 64]),
        ]
    );
}

#[test]
fn the_buffer_is_bounded_and_many_large_frames_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcapng");
    let mut capture = Capture::create(&path).expect("a file");
    let id = capture.add_interface(LinkType::Ethernet, "nx0");
    for n in 0..40_u8 {
        let frame = vec![n; FRAME_MAX];
        capture.record(id, Duration::from_secs(1), Direction::In, &frame);
        assert!(capture.buffer.len() <= limits::CAPTURE_BYTES as usize);
        assert_eq!(capture.buffer.capacity(), limits::CAPTURE_BYTES as usize);
    }
    drop(capture);
    let blocks = read(&fs::read(&path).expect("the file"));
    assert_eq!(blocks.len(), 42);
    assert_eq!(
        blocks[41],
        packet(0, 1_000_000_000, 1, &vec![39; FRAME_MAX])
    );
}

#[test]
fn a_frame_past_the_longest_is_cut_and_its_length_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcapng");
    let mut capture = Capture::create(&path).expect("a file");
    let id = capture.add_interface(LinkType::Ethernet, "nx0");
    capture.record(id, Duration::ZERO, Direction::In, &vec![1; FRAME_MAX + 1]);
    drop(capture);
    let blocks = read(&fs::read(&path).expect("the file"));
    let Block::Packet { original, data, .. } = &blocks[2] else {
        panic!("a packet");
    };
    assert_eq!((*original as usize, data.len()), (FRAME_MAX + 1, FRAME_MAX));
}

#[test]
fn reject_a_file_that_cannot_be_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("no/such/folder.pcapng");
    let text = Capture::create(&path).expect_err("no folder").to_string();
    assert!(
        text.contains("no/such/folder.pcapng") && text.contains("No such file"),
        "{text}"
    );
}

/// A pipe without a reader would hold the thread that opens it.
#[test]
fn reject_a_pipe_that_nobody_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe");
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe");
    assert!(matches!(
        Capture::create(&path),
        Err(CaptureError::Create { .. })
    ));
}

#[test]
fn a_full_disk_ends_the_capture_with_a_note_and_nothing_else() {
    let mut capture = Capture::create(Path::new("/dev/full")).expect("it opens");
    let id = capture.add_interface(LinkType::Ip, "link");
    capture.record(id, Duration::ZERO, Direction::In, b"frame");
    assert!(capture.take_end().is_none(), "it is in the buffer");
    capture.flush();
    let text = capture.take_end().expect("a note").to_string();
    assert!(
        text.contains("/dev/full ended after 0 frames: No space left"),
        "{text}"
    );
    assert!(text.ends_with("traffic goes on"), "{text}");
    capture.record(id, Duration::ZERO, Direction::In, b"frame");
    capture.flush();
    assert!(capture.take_end().is_none(), "said once");
    assert_eq!(capture.buffer.capacity(), 0, "it holds nothing");
}
