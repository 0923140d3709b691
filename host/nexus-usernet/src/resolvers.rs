//! The system's resolvers: `/etc/resolv.conf`, read again when it changes.
//!
//! Only `nameserver` lines count (resolv.conf(5)). Search domains and options are for names that
//! people type; the node's resolver asks for whole names and has its own times. `/etc/hosts` and
//! other sources of nsswitch.conf(5) are not consulted.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nexus_types::{Duration, Instant, IpAddr, SocketAddr};

use crate::address::DNS_PORT;

/// As many as the C library uses (MAXNS in resolv.h).
const SERVERS_MAX: usize = 3;
/// A file larger than this is read up to here; a real one has some hundred bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// The file is looked at no more often, so that a storm of lookups is no storm of system calls.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Where the node's DNS queries go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolvers {
    /// To the name servers this file names, in the form of resolv.conf(5).
    File(PathBuf),
    /// To these.
    Fixed(Vec<SocketAddr>),
}

impl Default for Resolvers {
    /// ```
    /// # use nexus_usernet::Resolvers;
    /// assert_eq!(Resolvers::default(), Resolvers::File("/etc/resolv.conf".into()));
    /// ```
    fn default() -> Self {
        Self::File("/etc/resolv.conf".into())
    }
}

/// What shows that the file is another: it is usually replaced, not rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// The resolvers as of the last look.
pub(crate) struct Current {
    source: Resolvers,
    servers: Vec<SocketAddr>,
    stamp: Option<Stamp>,
    looked: Option<Instant>,
}

impl Current {
    pub(crate) fn new(source: Resolvers) -> Self {
        let servers = match &source {
            Resolvers::Fixed(servers) => servers.clone(),
            Resolvers::File(_) => Vec::new(),
        };
        Self {
            source,
            servers,
            stamp: None,
            looked: None,
        }
    }

    /// The servers to ask, best first. Empty when none is configured or the file cannot be read.
    pub(crate) fn servers(&mut self, now: Instant) -> &[SocketAddr] {
        if let Resolvers::File(path) = &self.source {
            let due = self.looked.is_none_or(|then| now - then >= LOOK_EVERY);
            if due {
                self.looked = Some(now);
                // A pipe or device in its place would block the shard; a link to a file is usual.
                let about = fs::metadata(path).ok().filter(fs::Metadata::is_file);
                let stamp = about.map(|about| Stamp {
                    modified: about.modified().ok(),
                    bytes: about.len(),
                });
                if stamp != self.stamp {
                    self.servers = stamp.map(|_| read(path)).unwrap_or_default();
                    self.stamp = stamp;
                }
            }
        }
        &self.servers
    }
}

fn read(path: &Path) -> Vec<SocketAddr> {
    let mut bytes = Vec::new();
    // No file, no servers: the queries are answered with SERVFAIL until there is one.
    let _ = fs::File::open(path).map(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    parse(&String::from_utf8_lossy(&bytes), interface_index)
}

fn parse(text: &str, index_of: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())?
        })
        .filter_map(|word| parse_server(word, &index_of))
        .take(SERVERS_MAX)
        .collect()
}

fn parse_server(word: &str, index_of: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let Some((address, zone)) = word.split_once('%') else {
        let address: IpAddr = word.parse().ok()?;
        // 0.0.0.0 is this host to the C library, and so it is to the kernel.
        return Some(SocketAddr::new(address, DNS_PORT));
    };
    let scope = match zone.parse() {
        Ok(number) => number,
        Err(_) => index_of(zone)?,
    };
    Some(std::net::SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, scope).into())
}

/// `if_nametoindex(3)` without C: Linux says it in sysfs.
fn interface_index(name: &str) -> Option<u32> {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'));
    if !plain || name.starts_with('.') {
        return None;
    }
    let index = fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
    index.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        parse(text, |name| (name == "eth0").then_some(2))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn name_servers_are_read_in_their_order() {
        let text = "# written by hand\nsearch example.com\n\
                    nameserver 10.0.0.1\n nameserver\t2001:db8::1 # second\n\
                    options edns0\nnameserver fe80::1%eth0\n";
        assert_eq!(
            servers(text),
            ["10.0.0.1:53", "[2001:db8::1]:53", "[fe80::1%2]:53"]
        );
    }

    #[test]
    fn a_fourth_server_is_left_out() {
        let text =
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        assert_eq!(servers(text).len(), SERVERS_MAX);
    }

    #[test]
    fn reject_what_is_no_server() {
        assert!(servers("").is_empty());
        assert!(servers("nameserver\nnameserver example.com\n;nameserver 10.0.0.1\n").is_empty());
        assert!(
            servers("nameservers 10.0.0.1\nnameserver fe80::1%nic\nnameserver 10.0.0.1%eth0\n")
                .is_empty()
        );
        assert!(servers("nameserver 10.0.0\u{0}\nnameserver 10.0.0.1:53").is_empty());
    }

    #[test]
    fn reject_a_zone_that_is_a_path() {
        assert_eq!(interface_index("../../etc"), None);
        assert_eq!(interface_index(".."), None);
        assert_eq!(interface_index("lo"), Some(1));
    }

    #[test]
    fn a_changed_file_is_read_again_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let mut current = Current::new(Resolvers::File(path.clone()));
        let at = Instant::from_secs;
        assert!(current.servers(at(0)).is_empty());
        fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
        assert!(current.servers(at(2)).is_empty(), "not looked at yet");
        assert_eq!(current.servers(at(3)), ["10.0.0.1:53".parse().unwrap()]);
        fs::write(&path, "nameserver 10.0.0.1\nnameserver 10.0.0.2\n").unwrap();
        assert_eq!(current.servers(at(6)).len(), 2);
        fs::remove_file(&path).unwrap();
        assert!(current.servers(at(9)).is_empty());
    }
}
