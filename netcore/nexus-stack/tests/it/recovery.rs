//! Losses are mended without waiting for a timeout wherever the far end has said enough.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{Congestion, KeepAlive, Stack, TcpError, TcpId, TcpOptions};
use nexus_types::{Instant, Seed};

use crate::hostile_peer::Far;
use crate::pair::{A, APP, address, config, idle};
use crate::raw::{ACK, FIN, RST, SYN};

/// What a far end that names no size gets (RFC 9293 section 3.7.1).
const MSS: u32 = 536;

fn write(far: &mut Far, id: TcpId, data: &[u8]) {
    let written = far.stack.poll_write(far.now, id, data, idle());
    assert_eq!(written, Poll::Ready(Ok(data.len())));
    far.take();
}

/// A SACK option of one range, behind two bytes of nothing.
fn sack(left: u32, right: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 5, 10];
    option.extend(left.to_be_bytes());
    option.extend(right.to_be_bytes());
    option
}

/// Goal: what a segment with data says of a loss counts. Method: the first of what we send is missing;
/// the far end says so once, on data; and once more, which changes nothing.
#[test]
fn a_loss_told_of_on_data_is_mended_at_once() {
    let (mut far, id) = Far::established();
    let una = far.received;
    write(&mut far, id, &[7; 8 * MSS as usize]);
    let (sent, end) = (far.sent.len(), far.received);
    let missing = una.wrapping_sub(end);
    let range = sack(una.wrapping_add(MSS), end);
    far.send_ack(ACK, 0, missing, &range, b"data");
    let first = &far.sent[sent..].iter().find(|(s, _)| !s.data.is_empty());
    let (again, _) = first.expect("it is sent again at once");
    assert_eq!((again.seq, again.data.len()), (una, MSS as usize));
    let sent = far.sent.len();
    far.send_ack(ACK, 4, missing, &range, b"data");
    let more = far.sent[sent..]
        .iter()
        .find(|(s, _)| s.seq == una && !s.data.is_empty());
    assert!(more.is_none(), "once is enough");
}

/// Fills the window but for a hole at its beginning, and says where its right edge is.
fn fill_behind_a_hole(far: &mut Far) -> u32 {
    let edge = u32::from(far.sent.last().expect("an answer").1);
    for ahead in (1_000..edge).step_by(1_000) {
        let data = vec![1; 1_000.min(edge - ahead) as usize];
        far.send_ack(ACK, ahead, 0, &[], &data);
    }
    edge
}

/// Goal: an acknowledgement that stands at the right edge of the window counts. Method: the far end
/// fills the window behind a hole; what it acknowledges from there is done with.
#[test]
fn an_acknowledgement_at_the_right_edge_of_the_window_counts() {
    let (mut far, id) = Far::established();
    let una = far.received;
    far.say(ACK, b"x");
    // An acknowledgement waits for company a moment.
    far.run(Duration::from_millis(100));
    let edge = fill_behind_a_hole(&mut far);
    write(&mut far, id, b"hello");
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Pending);
    // What lies a byte further right is not the far end's to send, nor is it ours to acknowledge
    // what was not sent.
    far.send_ack(ACK, edge + 1, 0, &[], b"");
    far.send_ack(ACK, edge, 1, &[], b"");
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Pending);
    far.send_ack(ACK, edge, 0, &[], b"");
    assert_eq!(far.received, una.wrapping_add(5));
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Ready(Ok(())));
}

/// Goal: so does one on a probe of a closed window. Method: the far end fills the window, and asks from
/// one byte left of it.
#[test]
fn an_acknowledgement_on_a_probe_counts() {
    let (mut far, id) = Far::established();
    far.say(ACK, b"x");
    far.run(Duration::from_millis(100));
    while let window @ 1.. = far.sent.last().expect("an answer").1 {
        far.say(ACK, &vec![1; usize::from(window).min(1_000)]);
        far.run(Duration::from_millis(50));
    }
    write(&mut far, id, b"hello");
    far.send_ack(ACK, 2_u32.wrapping_neg(), 0, &[], b"");
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Pending);
    far.send_ack(ACK, 1_u32.wrapping_neg(), 0, &[], b"");
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Ready(Ok(())));
}

/// A SACK option of these ranges behind what is acknowledged.
fn sacks(una: u32, ranges: &[(u32, u32)]) -> Vec<u8> {
    let mut option = vec![1, 1, 5, 2 + 8 * ranges.len() as u8];
    for (left, right) in ranges {
        option.extend(una.wrapping_add(*left).to_be_bytes());
        option.extend(una.wrapping_add(*right).to_be_bytes());
    }
    option
}

/// What was sent from `una` on since `sent` segments.
fn again(far: &Far, sent: usize, una: u32) -> usize {
    let same =
        |(segment, _): &&(crate::raw::Segment, u16)| segment.seq == una && !segment.data.is_empty();
    far.sent[sent..].iter().filter(same).count()
}

/// Goal: who guesses an acknowledgement and no sequence number takes nothing away (RFC 5961 section 5).
/// Method: ranges make a loss of it, a quarter of the circle outside the window; what lies behind the
/// guess would never be sent again.
#[test]
fn reject_a_loss_told_from_outside_the_window() {
    let (mut far, id) = Far::established();
    let una = far.received;
    write(&mut far, id, &[7; 3 * MSS as usize]);
    let end = far.received;
    let guess = una.wrapping_add(100);
    let ranges = sacks(guess, &[(2, 3), (4, 5), (6, 7)]);
    let sent = far.sent.len();
    far.send_ack(ACK, 1 << 30, guess.wrapping_sub(end), &ranges, b"");
    far.run(Duration::from_secs(5));
    assert!(again(&far, sent, una) > 0);
    assert_eq!(again(&far, sent, guess), 0);
}

/// Goal: a segment is as long as the far end takes them, not as our MTU. Method: of two short segments
/// behind the first one has arrived, which with an Ethernet's would be all but one.
#[test]
fn reject_a_loss_of_what_one_short_segment_has_passed() {
    let (mut far, id) = Far::established();
    let una = far.received;
    write(&mut far, id, &[7; 3 * MSS as usize]);
    let (sent, missing) = (far.sent.len(), una.wrapping_sub(far.received));
    far.send_ack(ACK, 0, missing, &sacks(una, &[(MSS, 2 * MSS)]), b"data");
    assert_eq!(again(&far, sent, una), 0);
    far.send_ack(ACK, 4, missing, &sacks(una, &[(MSS, 3 * MSS)]), b"data");
    assert_eq!(again(&far, sent, una), 1);
}

/// Goal: acknowledging byte by byte gets no segment for each. Method: a hundred bytes, each with a loss
/// behind it.
#[test]
fn reject_a_segment_for_each_byte_acknowledged() {
    let (mut far, id) = Far::established();
    let una = far.received;
    write(&mut far, id, &[7; 3 * MSS as usize]);
    let (sent, end) = (far.sent.len(), far.received);
    for n in 1..=100 {
        let at = una.wrapping_add(n);
        let ranges = sacks(at, &[(2, 3), (4, 5), (6, 7)]);
        far.send_ack(ACK, 0, at.wrapping_sub(end), &ranges, b"");
    }
    let old = |(segment, _): &&(crate::raw::Segment, u16)| {
        !segment.data.is_empty() && segment.seq.wrapping_sub(end) > u32::MAX / 2
    };
    assert_eq!(far.sent[sent..].iter().filter(old).count(), 1);
}

/// Goal: what is lost twice is found twice by acknowledgements alone, too. Method: the first segment is
/// missing, and missing still when what was sent after its second time has arrived.
#[test]
fn what_is_lost_twice_does_not_wait_for_the_timeout() {
    let (mut far, id) = Far::established();
    let una = far.received;
    write(&mut far, id, &[7; 3 * MSS as usize]);
    let sent = far.sent.len();
    for ranges in [2, 3, 3] {
        let missing = una.wrapping_sub(far.received);
        far.send_ack(ACK, 0, missing, &sacks(una, &[(MSS, ranges * MSS)]), b"");
    }
    assert_eq!(again(&far, sent, una), 1);
    let (sent, end) = (far.sent.len(), far.received);
    write(&mut far, id, &[7; 8 * MSS as usize]);
    let more = far.received.wrapping_sub(end) / MSS;
    assert!(more > 2, "{more}");
    for n in 1..=more {
        let missing = una.wrapping_sub(far.received);
        far.send_ack(ACK, 0, missing, &sacks(una, &[(MSS, (3 + n) * MSS)]), b"");
    }
    assert_eq!(again(&far, sent, una), 1);
}

/// Our end is sent and lost: the far end, and by how much what it acknowledges differs from what `Far`
/// believes.
fn finished() -> (Far, u32) {
    let (mut far, id) = Far::established();
    let una = far.received;
    far.stack.tcp_finish(far.now, id).expect("open");
    far.take();
    let missing = una.wrapping_sub(far.received);
    assert_eq!(missing, u32::MAX, "the end is one");
    (far, missing)
}

/// Goal: acknowledgements without our end do not stop it from being sent again, wherever in the window
/// they stand. Method: they stand behind bytes of the far end's that were lost.
#[test]
fn acknowledgements_behind_a_hole_do_not_stop_the_end() {
    let (mut far, missing) = finished();
    for _ in 0..4 {
        far.send_ack(ACK, 1_000, missing, &[], b"");
    }
    let sent = far.sent.len();
    far.run(Duration::from_secs(20));
    assert!(far.sent[sent..].iter().any(|(s, _)| s.flags & FIN != 0));
}

/// Goal: a far end that has no room may take our end as late as it likes (RFC 9293 section 3.8.6.1).
/// Method: for ten minutes it says so once a second.
#[test]
fn the_end_waits_at_a_closed_window() {
    let (mut far, missing) = finished();
    far.window = 0;
    for _ in 0..600 {
        far.run(Duration::from_secs(1));
        far.send_ack(ACK, 0, missing, &[], b"");
    }
    assert!(far.sent.iter().all(|(s, _)| s.flags & RST == 0));
}

/// Goal: what waits for company does not keep the stack awake where the far end takes longer segments than our
/// MTU has. Method: offload, Nagle's algorithm, an MSS of 8960, less than one of our segments beside one under way.
#[test]
fn a_far_end_of_long_segments_is_waited_for_asleep() {
    let mut far = Far::new("10.0.0.1:80", "10.0.0.2:5000");
    let mut config = config(A);
    config.offload = true;
    far.stack = Stack::new(config, Instant::ZERO, Seed::from_number(11)).expect("sound");
    let options = TcpOptions {
        nagle: Some(true),
        ..TcpOptions::default()
    };
    let listener = far.stack.tcp_listen(far.now, APP, far.us, 8, &options);
    let id = far.dial(listener.expect("free"), &[2, 4, 0x23, 0]);
    write(&mut far, id, &[7; 100]);
    write(&mut far, id, &[7; 1_400]);
    let until = far.now + Duration::from_millis(100);
    for _ in 0..10 {
        let Some(at) = far.stack.poll_timeout().filter(|at| *at <= until) else {
            return;
        };
        far.now = far.now.max(at);
        far.stack.handle_timeout(far.now);
        far.take();
    }
    panic!("awake at {:?}", far.now);
}

/// Goal: what was never sent is not acknowledged: neither an app is told that it arrived, nor is it left out.
/// Method: more is written than may be sent at first, and the far end acknowledges all of it.
#[test]
fn reject_an_acknowledgement_of_what_was_never_sent() {
    let (mut far, id) = Far::established();
    let una = far.received;
    write(&mut far, id, &[7; 20 * MSS as usize]);
    let unsent = 20 * MSS - far.received.wrapping_sub(una);
    assert!(unsent > 0);
    let (end, sent) = (far.received, far.sent.len());
    far.send_ack(ACK, 0, unsent, &[], b"");
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Pending);
    assert!(far.sent.len() > sent, "the far end is told where we are");
    far.send_ack(ACK, 0, 0, &[], b"");
    assert!(again(&far, sent, end) > 0);
}

/// A far end whose window closes over two segments on their way; it is silent from then on.
fn closed_over_two(options: &TcpOptions) -> (Far, TcpId, u32) {
    let mut far = Far::new("10.0.0.1:80", "10.0.0.2:5000");
    let listener = far.stack.tcp_listen(far.now, APP, far.us, 8, options);
    let id = far.dial(listener.expect("free"), &[]);
    let una = far.received;
    write(&mut far, id, &[7; 2 * MSS as usize]);
    assert_eq!(far.received, una.wrapping_add(2 * MSS));
    far.received = una;
    far.window = 0;
    far.send_ack(ACK, 0, 0, &[], b"");
    (far, id, una)
}

/// Goal: a window that closes over bytes on their way is probed, so that a lost update costs no connection
/// (RFC 9293 section 3.8.6.1). Method: with and without a keep-alive, a far end that dropped them says so once;
/// for ten minutes all it says is that it has no room, and then it takes what comes.
#[test]
fn a_window_that_closes_over_bytes_on_their_way_is_probed() {
    for seconds in [None, Some(8), Some(7_200)] {
        let options = TcpOptions {
            keep_alive: seconds.map(Duration::from_secs).map(KeepAlive::every),
            ..TcpOptions::default()
        };
        let (mut far, id, una) = closed_over_two(&options);
        let sent = far.sent.len();
        far.run(Duration::from_secs(30));
        let probes = again(&far, sent, una);
        assert!((2..=6).contains(&probes), "{seconds:?}: {probes}");
        let long = far.sent[sent..].iter().find(|(s, _)| s.data.len() > 1);
        assert!(long.is_none(), "there is no room");
        for _ in 0..600 {
            far.received = una;
            far.send_ack(ACK, 0, 0, &[], b"");
            far.run(Duration::from_secs(1));
        }
        assert_eq!(far.stack.stats().flows, 1, "{seconds:?}");
        far.received = una;
        far.window = 0xffff;
        for _ in 0..4 {
            far.send_ack(ACK, 0, 0, &[], b"");
            far.run(Duration::from_secs(1));
        }
        assert_eq!(far.received, una.wrapping_add(2 * MSS), "{seconds:?}");
        assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Ready(Ok(())));
    }
}

/// Goal: so it is where the app has finished, and the answer to a probe opens it. Method: the end is written behind
/// the bytes; of all that comes the far end answers one probe.
#[test]
fn a_probe_opens_a_window_whose_update_was_lost() {
    let (mut far, id, una) = closed_over_two(&TcpOptions::default());
    far.stack.tcp_finish(far.now, id).expect("open");
    far.run(Duration::from_secs(10));
    assert_eq!(far.received, una.wrapping_add(1), "a probe came");
    far.window = 0xffff;
    for _ in 0..4 {
        far.send_ack(ACK, 0, 0, &[], b"");
        far.run(Duration::from_secs(1));
    }
    assert_eq!(far.received, una.wrapping_add(2 * MSS + 1));
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Ready(Ok(())));
}

/// Goal: who guesses an acknowledgement and no sequence number makes nothing of it of our own word. Method: it
/// says from outside the window that half of what is on its way arrived, and that there is no room.
#[test]
fn reject_a_probe_that_acknowledges_what_a_stranger_said() {
    let (mut far, id, una) = closed_over_two(&TcpOptions::default());
    far.send_ack(ACK, 1 << 30, MSS, &[], b"");
    let sent = far.sent.len();
    far.run(Duration::from_secs(20));
    assert!(again(&far, sent, una) > 0);
    assert_eq!(again(&far, sent, una.wrapping_add(MSS)), 0);
    assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Pending);
}

/// Goal: who guesses where one of both ends stands takes nothing away (RFC 9293 section 3.10.7.4, fifth; RFC 5961
/// section 5): a window that opens again over lost bytes makes us send them at once. Method: before that a stranger
/// says that it is open, from outside the window, and with an old acknowledgement.
#[test]
fn reject_a_window_that_a_stranger_opens() {
    for (ahead, ack) in [
        (1 << 30, 0),
        (u32::MAX - 1, 0),
        (0, 1_000_u32.wrapping_neg()),
    ] {
        let (mut far, id, una) = closed_over_two(&TcpOptions::default());
        far.window = 0xffff;
        far.send_ack(ACK, ahead, ack, &[], b"");
        let sent = far.sent.len();
        assert_eq!(again(&far, sent, una), 0);
        far.send_ack(ACK, 0, 0, &[], b"");
        assert_eq!(again(&far, sent, una), 1, "{ahead} {ack}");
        for _ in 0..4 {
            far.send_ack(ACK, 0, 0, &[], b"");
            far.run(Duration::from_secs(1));
        }
        assert_eq!(far.stack.poll_flushed(id, idle()), Poll::Ready(Ok(())));
    }
}

/// Goal: a far end that is gone is given up, whatever a stranger says in its name. Method: each minute one says that
/// there is no room, which would be a reason to wait (RFC 9293 section 3.8.6.1), from outside the window
/// and with an old acknowledgement; from the far end itself it is one.
#[test]
fn reject_a_closed_window_that_a_stranger_tells_of() {
    let old = 1_000_u32.wrapping_neg();
    for (ahead, ack, waits) in [(1 << 30, 0, false), (0, old, false), (0, 0, true)] {
        let (mut far, id) = Far::established();
        let una = far.received;
        write(&mut far, id, &[7; 2 * MSS as usize]);
        far.window = 0;
        for _ in 0..10 {
            far.received = una;
            far.send_ack(ACK, ahead, ack, &[], b"");
            far.run(Duration::from_secs(60));
        }
        let flushed = far.stack.poll_flushed(id, idle());
        let given_up = flushed == Poll::Ready(Err(TcpError::TimedOut));
        assert_eq!(given_up, !waits, "{ahead} {ack}: {flushed:?}");
    }
}

/// Goal: after a timeout one segment of ours is sent, not one of what the far end takes (RFC 5681 section 3.1: the loss
/// window). Method: the far end names an MSS of 65495, and is silent after a window's worth; as who dials and
/// as who is dialed.
#[test]
fn a_timeout_sends_one_segment_of_ours() {
    const OURS: u32 = 1_460;
    let mss = [2, 4, 0xff, 0xd7];
    for congestion in [Congestion::Reno, Congestion::Cubic] {
        let options = TcpOptions {
            congestion: Some(congestion),
            ..TcpOptions::default()
        };
        for dialed in [true, false] {
            let mut far = Far::new("10.0.0.1:80", "10.0.0.2:5000");
            let id = if dialed {
                let listener = far.stack.tcp_listen(far.now, APP, far.us, 8, &options);
                far.dial(listener.expect("free"), &mss)
            } else {
                let (us, to) = (far.us, address("10.0.0.2:5000"));
                let id = far.stack.tcp_connect(far.now, APP, Some(us), to, &options);
                far.take();
                far.received = far.last().seq.wrapping_add(1);
                far.send_ack(SYN | ACK, 0, 0, &mss, b"");
                far.next = far.next.wrapping_add(1);
                id.expect("it can be tried")
            };
            // The window grows as all of what it allows arrives.
            for _ in 0..6 {
                write(&mut far, id, &[7; 10 * OURS as usize]);
                for _ in 0..20 {
                    far.send_ack(ACK, 0, 0, &[], b"");
                }
            }
            let una = far.received;
            write(&mut far, id, &[7; 10 * OURS as usize]);
            assert!(far.received.wrapping_sub(una) >= 4 * OURS, "{congestion:?}");
            let sent = far.sent.len();
            let mut rounds = 0..10;
            while far.sent.len() == sent && rounds.next().is_some() {
                far.run(Duration::from_millis(100));
            }
            let lens: Vec<_> = far.sent[sent..].iter().map(|(s, _)| s.data.len()).collect();
            assert_eq!(lens, [OURS as usize], "{congestion:?} {dialed}");
            assert_eq!(again(&far, sent, una), 1);
        }
    }
}

/// Goal: no more is sent than was offered, whatever is lost (RFC 9293 section 3.8.6). Method: the far end has offered
/// one segment and a little; the little is lost, or sent when the window has closed, and the far end says so in each
/// way that makes smoltcp send a full segment. What was offered comes again, when the timer has fired or there is room.
#[test]
fn reject_to_send_again_more_than_was_offered() {
    const LITTLE: u32 = 100;
    for (window, ranges) in [
        (LITTLE, &[][..]),
        (LITTLE, &[(1, LITTLE)]),
        (LITTLE, &[(1, 10), (20, 30), (40, 50)]),
        (0, &[]),
    ] {
        let mut far = Far::new("10.0.0.1:80", "10.0.0.2:5000");
        far.window = (MSS + LITTLE) as u16;
        let id = far.accept();
        let una = far.received;
        write(&mut far, id, &[7; 4 * MSS as usize]);
        let offered = una.wrapping_add(MSS + LITTLE);
        assert_eq!(far.received, offered, "the window is full");
        let missing_at = una.wrapping_add(MSS);
        let missing = LITTLE.wrapping_neg();
        let options = match ranges {
            [] => Vec::new(),
            ranges => sacks(missing_at, ranges),
        };
        let sent = far.sent.len();
        far.window = window as u16;
        for _ in 0..8 {
            far.send_ack(ACK, 0, missing, &options, b"");
        }
        far.run(Duration::from_millis(900));
        let beyond = |far: &Far| {
            let ends = far.sent[sent..].iter().map(|(segment, _)| {
                let end = segment.seq.wrapping_add(segment.data.len() as u32);
                end.wrapping_sub(offered) as i32
            });
            ends.max()
        };
        assert!(beyond(&far) <= Some(0), "{window} {ranges:?}");
        far.run(Duration::from_secs(10));
        // A closed window is probed, with a byte.
        assert!(beyond(&far) <= Some(1), "{window} {ranges:?}");
        if window == 0 {
            far.window = (2 * MSS) as u16;
            // It took the probe for what comes next.
            let missing = missing_at.wrapping_sub(far.received);
            far.send_ack(ACK, 0, missing, &[], b"");
        }
        assert!(again(&far, sent, missing_at) > 0, "{window} {ranges:?}");
    }
}

/// Goal: a probe does not count as sent where the window took back what is on its way (RFC 7323 section 2.4: it counts
/// in steps). Method: the last byte of a window is missing when that closes; after a probe, which stands behind
/// that byte, we say where we are.
#[test]
fn a_probe_behind_what_was_taken_back_does_not_count_as_sent() {
    let mut far = Far::new("10.0.0.1:80", "10.0.0.2:5000");
    far.window = MSS as u16;
    let id = far.accept();
    let una = far.received;
    write(&mut far, id, &[7; 2 * MSS as usize]);
    let offered = una.wrapping_add(MSS);
    assert_eq!(far.received, offered, "the window is full");
    far.window = 0;
    far.send_ack(ACK, 0, 1_u32.wrapping_neg(), &[], b"");
    far.run(Duration::from_secs(2));
    assert_eq!((far.last().seq, far.last().data.len()), (offered, 1));
    // It takes no probe.
    far.received = offered;
    far.send_ack(ACK, 0, 1_u32.wrapping_neg(), &[], b"x");
    far.run(Duration::from_millis(100));
    assert_eq!((far.last().seq, far.last().data.len()), (offered, 0));
}
