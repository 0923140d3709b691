//! A far end that sends its end with bytes around the right edge of the window: the app reads all of them, then the
//! end, and never the end before them.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{KeepAlive, TcpId, TcpOptions};

use crate::hostile_peer::Far;
use crate::pair::{APP, idle};
use crate::raw::{ACK, FIN};

const SCALE: [u8; 4] = [1, 3, 3, 7];

/// What the far end sends: byte `n` of its stream.
fn stream(from: u32, len: u32) -> Vec<u8> {
    (from..from + len).map(|n| (n % 251) as u8).collect()
}

/// A far end, and how much of its stream was sent and read.
struct End {
    far: Far,
    id: TcpId,
    sent: u32,
    read: u32,
    shift: u32,
}

impl End {
    /// `filled` bytes were sent, none read, and what is next stands at `next`.
    fn new(options: &TcpOptions, scaled: bool, filled: u32, next: u32) -> Self {
        let mut far = Far::new("10.0.0.1:80", "10.0.0.2:5000");
        far.next = next.wrapping_sub(filled + 1);
        let listener = far
            .stack
            .tcp_listen(far.now, APP, far.us, 8, options)
            .expect("free");
        let id = far.dial(listener, if scaled { &SCALE } else { &[] });
        let rx = options.rx_bytes.expect("given") as u32;
        // What RFC 7323 section 2.2 needs to tell of all of it.
        let shift = if scaled {
            (u32::BITS - rx.leading_zeros()).saturating_sub(16)
        } else {
            0
        };
        let mut end = Self {
            far,
            id,
            sent: 0,
            read: 0,
            shift,
        };
        while end.sent < filled {
            end.say(ACK, 1_000.min(filled - end.sent));
        }
        end.far.run(Duration::from_secs(1));
        assert_eq!(end.far.next, next);
        end
    }

    /// How many bytes more the far end may send, as it was told last.
    fn left(&self) -> u32 {
        let (segment, window) = self.far.sent.last().expect("an acknowledgement");
        let edge = segment.ack.wrapping_add(u32::from(*window) << self.shift);
        edge.wrapping_sub(self.far.next)
    }

    fn say(&mut self, flags: u8, len: u32) {
        self.far.say(flags, &stream(self.sent, len));
        self.sent += len;
    }

    /// Goes back to what was last acknowledged, as after a timeout, and sends all up to the end.
    fn repeat(&mut self) {
        let behind = self.far.next.wrapping_sub(self.far.last().ack);
        if behind == 0 {
            return;
        }
        self.far.next = self.far.last().ack;
        let whole = self.sent;
        self.sent -= behind - 1;
        while whole - self.sent > 1_000 {
            self.say(ACK, 1_000);
        }
        self.say(ACK | FIN, whole - self.sent);
        self.far.run(Duration::from_secs(1));
    }

    /// Reads what there is; whether it was the end.
    fn read(&mut self) -> bool {
        let mut buf = [0; 4_096];
        loop {
            let read = self
                .far
                .stack
                .poll_read(self.far.now, self.id, &mut buf, idle());
            match read {
                Poll::Ready(Ok(0)) => return true,
                Poll::Ready(Ok(len)) => {
                    assert_eq!(buf[..len], stream(self.read, len as u32));
                    self.read += len as u32;
                }
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => return false,
            }
        }
    }
}

/// Goal: the end is read behind all bytes or not at all, and comes when it is sent again. Method: it is sent with as
/// many bytes as are left in the window, one fewer, and more; with scaled windows (even and odd fillings: those
/// lose a byte to the scale) and bare ones, small and large buffers, and all of it around the point where sequence
/// numbers begin anew.
#[test]
fn the_end_is_read_behind_all_bytes_or_not_at_all() {
    for (rx, scaled) in [
        (8_192, false),
        (65_536, true),
        (65_536, false),
        (1 << 20, true),
    ] {
        let options = TcpOptions {
            rx_bytes: Some(rx),
            ..TcpOptions::default()
        };
        for less in [300, 801] {
            let filled = rx as u32 - less;
            let left = End::new(&options, scaled, filled, 7).left();
            assert!(left <= less && left + 64 > less, "{rx} {scaled}: {left}");
            for over in [-1, 0, 1, 2, 500_i32] {
                let len = left.wrapping_add_signed(over);
                // The window's edge, and then the end, before, at and behind zero.
                for at in 0..3_u32 {
                    for edge in [left, len] {
                        let next = at.wrapping_sub(1).wrapping_sub(edge);
                        let mut end = End::new(&options, scaled, filled, next);
                        end.say(ACK | FIN, len);
                        let whole = len <= left;
                        let told = format!("{rx} {scaled} {less} {over} {at}");
                        assert_eq!(end.read(), whole, "{told}");
                        // What is beyond the window may be taken or not.
                        assert!(end.read >= filled + len.min(left), "{told}");
                        assert!(whole == (end.read == filled + len), "{told}");
                        end.far.run(Duration::from_secs(1));
                        end.repeat();
                        assert!(end.read(), "{told}");
                        assert_eq!(end.read, filled + len, "{told}");
                    }
                }
            }
        }
    }
}

/// Goal: an end comes alone, too, where no byte has room any more. Method: the buffer is filled to its last byte.
#[test]
fn an_end_alone_is_taken_at_a_closed_window() {
    let options = TcpOptions {
        rx_bytes: Some(8_192),
        ..TcpOptions::default()
    };
    let mut end = End::new(&options, false, 8_192, 1);
    assert_eq!(end.left(), 0);
    end.say(ACK | FIN, 0);
    assert!(end.read());
    assert_eq!(end.read, 8_192);
}

/// Goal: what we told counts, wherever it stood. Method: the app makes too little room for a segment of its own to
/// tell of it; a keep-alive does, of which smoltcp takes no note, and the far end sends all it may, in one packet, with its end.
#[test]
fn an_end_within_a_window_that_a_keep_alive_told_of_loses_nothing() {
    let options = TcpOptions {
        rx_bytes: Some(8_192),
        keep_alive: Some(KeepAlive::every(Duration::from_secs(10))),
        ..TcpOptions::default()
    };
    let mut end = End::new(&options, false, 5_000, 1);
    assert_eq!(end.left(), 3_192);
    let mut buf = [0; 2_000];
    let read = end
        .far
        .stack
        .poll_read(end.far.now, end.id, &mut buf, idle());
    assert!(matches!(read, Poll::Ready(Ok(2_000))));
    end.read = 2_000;
    end.far.run(Duration::from_secs(11));
    assert_eq!(end.far.last().data.len(), 1, "a keep-alive");
    let left = end.left();
    assert_eq!(left, 5_192);
    end.say(ACK | FIN, left);
    end.read();
    assert!(end.read >= 8_192);
    end.far.run(Duration::from_secs(1));
    end.repeat();
    assert!(end.read());
    assert_eq!(end.read, 5_000 + left);
}
