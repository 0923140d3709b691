//! The default routers of a link, and which one is used (RFC 4861 section 6.3.6, RFC 4191 section 3.2).
//!
//! Who is known stays, whatever a flood of others says; only one that did not answer makes room.

use nexus_types::{Instant, Ipv6Addr, limits};

use super::advert::Preference;

#[derive(Clone, Copy, Debug)]
struct Router {
    ip: Ipv6Addr,
    preference: Preference,
    until: Instant,
    /// When it did not answer.
    failed: Option<Instant>,
}

/// See the module.
#[derive(Default, Debug)]
pub(crate) struct Routers {
    known: Vec<Router>,
    used: Option<Ipv6Addr>,
}

impl Routers {
    /// A router says that it is one until then; false if there is no room for it.
    pub(crate) fn heard(&mut self, ip: Ipv6Addr, preference: Preference, until: Instant) -> bool {
        let router = Router {
            ip,
            preference,
            until,
            // Whether it answers is to be seen anew.
            failed: None,
        };
        let at = self.known.iter().position(|known| known.ip == ip);
        match at.or_else(|| self.place()) {
            Some(at) => self.known[at] = router,
            None if self.known.len() < limits::ROUTERS as usize => self.known.push(router),
            None => return false,
        }
        self.choose();
        true
    }

    /// Where there is one that may go, if one has to.
    fn place(&self) -> Option<usize> {
        if self.known.len() < limits::ROUTERS as usize {
            return None;
        }
        let failed = self.known.iter().enumerate();
        failed
            .filter_map(|(at, router)| Some((router.failed?, at)))
            .min()
            .map(|(_, at)| at)
    }

    /// It is none any more.
    pub(crate) fn forget(&mut self, ip: Ipv6Addr) {
        self.known.retain(|router| router.ip != ip);
        self.choose();
    }

    /// It does not answer: another one's turn, and when all have failed, the one's that failed first.
    pub(crate) fn failed(&mut self, now: Instant, ip: Ipv6Addr) {
        if let Some(router) = self.known.iter_mut().find(|router| router.ip == ip) {
            router.failed = Some(now);
            self.choose();
        }
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.known.retain(|router| router.until > now);
        self.choose();
    }

    fn choose(&mut self) {
        // One that works is not left for another as good; of others the one known longest.
        let rank = |router: &&Router| {
            let longest_ago = core::cmp::Reverse(router.failed);
            let in_use = self.used == Some(router.ip);
            (longest_ago, router.preference, in_use)
        };
        self.used = self
            .known
            .iter()
            .rev()
            .max_by_key(rank)
            .map(|router| router.ip);
    }

    /// The one that is used.
    pub(crate) fn used(&self) -> Option<Ipv6Addr> {
        self.used
    }

    /// Whether there is one that has not failed.
    pub(crate) fn is_any_well(&self) -> bool {
        self.known.iter().any(|router| router.failed.is_none())
    }

    pub(crate) fn knows(&self, ip: Ipv6Addr) -> bool {
        self.known.iter().any(|router| router.ip == ip)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.known.iter().map(|router| router.ip)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.known.iter().map(|router| router.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Instant = Instant::from_secs(1_800);

    fn ip(number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number)
    }

    #[test]
    fn the_preferred_one_that_answers_is_used() {
        let mut routers = Routers::default();
        assert_eq!(routers.used(), None);
        for (number, preference, used) in [
            (1, Preference::Low, 1),
            (2, Preference::Medium, 2),
            (3, Preference::Medium, 2),
            (4, Preference::High, 4),
        ] {
            assert!(routers.heard(ip(number), preference, LATER));
            assert_eq!(routers.used(), Some(ip(used)));
        }
        // One after the other falls silent; in the end the one that did first is tried again.
        for (second, used) in [(1, 2), (2, 3), (3, 1), (4, 4), (5, 2)] {
            let now = Instant::from_secs(second);
            routers.failed(now, routers.used().expect("one"));
            assert_eq!(routers.used(), Some(ip(used)), "{second}");
        }
        assert!(!routers.is_any_well());
        // Heard of again.
        assert!(routers.heard(ip(3), Preference::Medium, LATER));
        assert_eq!(routers.used(), Some(ip(3)));
        routers.forget(ip(3));
        assert_eq!(routers.used(), Some(ip(2)));
        assert_eq!(routers.next(), Some(LATER));
        routers.expire(LATER);
        assert_eq!((routers.used(), routers.next()), (None, None));
    }

    #[test]
    fn the_table_at_and_over_its_limit() {
        let mut routers = Routers::default();
        assert!(routers.heard(ip(1), Preference::Medium, LATER));
        for number in 2..10_000 {
            let room = routers.heard(ip(number), Preference::Medium, LATER);
            assert_eq!(room, u32::from(number) <= limits::ROUTERS, "{number}");
        }
        assert_eq!(routers.known.len(), limits::ROUTERS as usize);
        assert_eq!(routers.used(), Some(ip(1)), "the first stays");
        // One that did not answer makes room.
        routers.failed(Instant::from_secs(1), ip(3));
        assert!(routers.heard(ip(20_000), Preference::High, LATER));
        assert!(!routers.knows(ip(3)));
        assert_eq!(routers.used(), Some(ip(20_000)));
        assert!(!routers.heard(ip(20_001), Preference::High, LATER));
    }
}
