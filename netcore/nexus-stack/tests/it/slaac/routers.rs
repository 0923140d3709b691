//! Which router is used, and how one is asked for.

use std::time::Duration;

use nexus_types::Ipv6Addr;

use super::{Advert, Desk, HIGH, LOW, advert, config, discovery, ip, mac, own};

fn solicitations(sent: &[(nexus_types::Instant, Vec<u8>)]) -> Vec<nexus_types::Instant> {
    let is = |frame: &[u8]| discovery(frame).is_some_and(|(kind, ..)| kind == 133);
    sent.iter()
        .filter(|(_, frame)| is(frame))
        .map(|(at, _)| *at)
        .collect()
}

fn with(number: u8, change: impl FnOnce(&mut Advert)) -> Advert {
    let mut advert = advert(number).prefix(|_| {});
    change(&mut advert);
    advert
}

/// Goal: a router that comes up late is found, and a link without one is not flooded (RFC 7559). Method: hours of
/// silence.
#[test]
fn routers_are_asked_for_ever_more_slowly_until_one_is_there() {
    let mut desk = Desk::with(config(), 1);
    let sent = desk.run(Duration::from_secs(24 * 3_600));
    let at = solicitations(&sent);
    assert!((20..=40).contains(&at.len()), "{}", at.len());
    assert!(at[0] - nexus_types::Instant::from_secs(1) < Duration::from_millis(250));
    let mut expected = 4.0_f64;
    for pair in at.windows(2) {
        let gap = (pair[1] - pair[0]).as_secs_f64();
        assert!(
            (expected * 0.9..=expected * 1.1).contains(&gap),
            "{gap} of {expected}"
        );
        expected = (expected * 2.0).min(3_600.0);
    }
    // The second is in our name, with where we are.
    let second = sent
        .iter()
        .find(|(when, frame)| *when == at[1] && frame[54] == 133);
    let frame = &second.expect("one").1;
    let (_, src, dst, _) = discovery(frame).expect("one");
    assert_eq!((src, dst), (own(&desk.stack)[0], ip("ff02::2")));
    assert_eq!(frame[62..], [1, 1, 2, 0, 0, 0, 0, 1]);
    // One that is none (its lifetime is zero) does not end it; one that is does.
    desk.hear(&with(2, |a| a.lifetime = 0));
    let sent = desk.run(Duration::from_secs(2 * 3_600));
    assert!(!solicitations(&sent).is_empty());
    desk.hear(&with(2, |a| a.lifetime = 9_000));
    let sent = desk.run(Duration::from_secs(8_999));
    assert!(solicitations(&sent).is_empty());
    // Gone: asked for at once, not an hour later.
    let sent = desk.run(Duration::from_secs(2));
    assert_eq!(solicitations(&sent).len(), 1);
}

/// Goal: a router that dies is not the end. Method: two, of which the one in use falls silent, comes back, resigns.
#[test]
fn a_silent_router_is_left_for_one_that_answers() {
    let mut desk = Desk::with(config(), 1);
    desk.alive = vec![ip("fe80::2"), ip("fe80::3")];
    desk.hear(&with(2, |_| {}));
    desk.hear(&with(3, |_| {}));
    desk.run(Duration::from_secs(2));
    let to = "2001:db8:9::1";
    let through = |desk: &mut Desk| desk.sends(to).map(|(mac, _)| mac);
    assert_eq!(through(&mut desk), Some(mac(2)));
    desk.alive.remove(0);
    // While packets go there it is checked; within half a minute the other one has them.
    let mut seconds = 0;
    while through(&mut desk) != Some(mac(3)) {
        desk.run(Duration::from_secs(1));
        seconds += 1;
        assert!(seconds < 30);
    }
    assert_eq!(desk.gateway(), Some(ip("fe80::3").into()));
    // It stays with the one that works, until that resigns.
    desk.alive.insert(0, ip("fe80::2"));
    desk.hear(&with(2, |_| {}));
    desk.run(Duration::from_secs(2));
    assert_eq!(through(&mut desk), Some(mac(3)));
    desk.hear(&with(3, |a| a.lifetime = 0));
    desk.run(Duration::from_secs(2));
    assert_eq!(through(&mut desk), Some(mac(2)));
    // The last one falls silent: it is all there is, so it stays, and others are asked for.
    desk.alive.clear();
    let mut asked = 0;
    for _ in 0..30 {
        through(&mut desk);
        asked += solicitations(&desk.run(Duration::from_secs(1))).len();
    }
    assert!((1..=4).contains(&asked), "{asked}");
    assert_eq!(desk.gateway(), Some(ip("fe80::2").into()));
}

/// Goal: of several the preferred one is used (RFC 4191). Method: each preference, and the reserved one.
#[test]
fn the_preferred_router_is_used() {
    let mut desk = Desk::with(config(), 1);
    for (number, flags, used) in [
        (2, LOW, 2),
        (3, 0, 3),
        // Reserved: as if nothing was said.
        (4, 0x10, 3),
        (5, HIGH, 5),
        (6, HIGH, 5),
        // Says otherwise now.
        (5, LOW, 6),
    ] {
        desk.hear(&with(number, |a| a.flags = flags));
        desk.run(Duration::from_secs(1));
        let gateway = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, used);
        assert_eq!(desk.gateway(), Some(gateway.into()), "{number}");
    }
}

/// Goal: whoever may become the gateway is known beside it, and changes no more often than it does. Method: two routers;
/// one resigns, and both do.
#[test]
fn routers_beside_the_gateway_are_told() {
    let mut desk = Desk::with(config(), 1);
    desk.hear(&with(2, |_| {}));
    desk.hear(&with(3, |_| {}));
    let others = |desk: &Desk| desk.stack.attendants().collect::<Vec<_>>();
    assert!(others(&desk).is_empty(), "not yet");
    desk.run(Duration::from_secs(2));
    assert_eq!(desk.gateway(), Some(ip("fe80::2").into()));
    assert_eq!(others(&desk), [ip("fe80::3")]);
    desk.hear(&with(2, |a| a.lifetime = 0));
    assert_eq!(desk.gateway(), Some(ip("fe80::3").into()));
    assert!(others(&desk).is_empty());
    desk.hear(&with(3, |a| a.lifetime = 0));
    desk.run(Duration::from_secs(2));
    assert_eq!((desk.gateway(), others(&desk)), (None, vec![]));
}
