//! What `--net` can be here, and which ports of the machine `--publish` can take.

use std::fs;

use nexus_policy::explain::escape;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::finding::{Finding, Level};

const CAP_NET_ADMIN: u32 = 12;

/// Interfaces looked at. Stops a machine with a hundred thousand from making this slow.
const INTERFACES_MAX: usize = 4_096;

pub(super) fn look(findings: &mut Vec<Finding>) {
    findings.push(user(socket_of(AddressFamily::INET, SocketType::DGRAM)));
    findings.push(tap(device(), effective(CAP_NET_ADMIN), &own_taps()));
    // Of no protocol: a packet socket that hears nothing (packet(7)).
    findings.push(packet(socket_of(AddressFamily::PACKET, SocketType::RAW)));
    findings.push(ports(
        fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
    ));
}

fn socket_of(family: AddressFamily, kind: SocketType) -> Result<(), Errno> {
    socket_with(family, kind, SocketFlags::CLOEXEC, None).map(drop)
}

fn device() -> Result<(), Errno> {
    open(
        "/dev/net/tun",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map(drop)
}

fn effective(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    has(&status, capability)
}

fn has(status: &str, capability: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set & (1 << capability) != 0)
}

/// TAP interfaces that somebody made for this user.
fn own_taps() -> Vec<String> {
    let us = rustix::process::geteuid().as_raw().to_string();
    let Ok(entries) = fs::read_dir("/sys/class/net") else {
        return Vec::new();
    };
    let mut taps: Vec<_> = entries
        .flatten()
        .take(INTERFACES_MAX)
        .filter(|entry| {
            let owner = fs::read_to_string(entry.path().join("owner"));
            owner.is_ok_and(|owner| owner.trim() == us)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    taps.sort();
    taps
}

fn user(socket: Result<(), Errno>) -> Finding {
    const WHY: &str = "it is what apps use unless --net says otherwise";
    match socket {
        Ok(()) => Finding::new(
            "network",
            Level::Ok,
            "--net user works, and --net none",
            WHY,
        ),
        Err(error) => {
            let what = format!("--net user does not work: this process gets no socket: {error}");
            Finding::new("network", Level::Error, what, WHY)
                .advise("look at the sandbox this runs in (seccomp, a service's RestrictAddressFamilies), or use --net none")
        }
    }
}

fn tap(device: Result<(), Errno>, admin: bool, own: &[String]) -> Finding {
    const WHY: &str = "a TAP interface joins an app's node to the kernel's own network";
    let note = |what: String| Finding::new("network", Level::Note, what, WHY);
    match (device, admin, own) {
        (Ok(()), true, _) => Finding::new("network", Level::Ok, "--net tap:NAME works", WHY),
        (Ok(()), false, []) => note(
            "--net tap:NAME works with an interface that was made for this user, and there is none"
                .to_owned(),
        )
        .advise("sudo ip tuntap add dev nx0 mode tap user $USER, or run with CAP_NET_ADMIN"),
        (Ok(()), false, own) => {
            let names: Vec<_> = own
                .iter()
                .map(|name| format!("tap:{}", escape(name)))
                .collect();
            let what = format!("--net {} works: made for this user", names.join(", "));
            Finding::new("network", Level::Ok, what, WHY)
        }
        (Err(Errno::NOENT | Errno::NODEV | Errno::NXIO), ..) => {
            note("--net tap:NAME does not work: there is no /dev/net/tun".to_owned())
                .advise("if you need it: modprobe tun, or give the container that device")
        }
        (Err(error), ..) => note(format!(
            "--net tap:NAME does not work: /dev/net/tun: {error}"
        ))
        .advise("if you need it: let this user open that device for reading and writing"),
    }
}

fn packet(socket: Result<(), Errno>) -> Finding {
    const WHY: &str = "a packet socket makes an app's node a station on a real Ethernet";
    match socket {
        Ok(()) => Finding::new("network", Level::Ok, "--net packet:IFACE works", WHY),
        Err(Errno::PERM | Errno::ACCESS) => {
            let what = "--net packet:IFACE does not work: it takes CAP_NET_RAW";
            Finding::new("network", Level::Note, what, WHY).advise(
                "if you need it: sudo setcap cap_net_raw,cap_net_admin+ep on the nexus-host binary, or run it as root",
            )
        }
        Err(error) => {
            let what = format!("--net packet:IFACE does not work: {error}");
            Finding::new("network", Level::Note, what, WHY)
        }
    }
}

fn ports(first: Option<u32>) -> Finding {
    const WHY: &str = "--publish takes a port of this machine";
    let what = match first {
        Some(0) => "--publish can take every port".to_owned(),
        Some(first) => format!(
            "--publish can take ports from {first} on; lower ones take CAP_NET_BIND_SERVICE"
        ),
        None => {
            "--publish can take ports from 1024 on; lower ones take CAP_NET_BIND_SERVICE".to_owned()
        }
    };
    Finding::new("ports", Level::Note, what, WHY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what cannot be used is a note, for nobody needs all of it; only what apps use by
    /// default is an error. Method: each answer of the kernel.
    #[test]
    fn each_net_is_said_to_work_or_why_not() {
        let own = ["nx0".to_owned()];
        for (finding, level, says) in [
            (user(Ok(())), Level::Ok, "--net user works"),
            (user(Err(Errno::AFNOSUPPORT)), Level::Error, "no socket"),
            (tap(Ok(()), true, &[]), Level::Ok, "tap:NAME works"),
            (tap(Ok(()), false, &own), Level::Ok, "tap:nx0 works"),
            (tap(Ok(()), false, &[]), Level::Note, "there is none"),
            (
                tap(Err(Errno::NOENT), true, &[]),
                Level::Note,
                "no /dev/net/tun",
            ),
            (
                tap(Err(Errno::ACCESS), true, &own),
                Level::Note,
                "/dev/net/tun: ",
            ),
            (packet(Ok(())), Level::Ok, "packet:IFACE works"),
            (packet(Err(Errno::PERM)), Level::Note, "CAP_NET_RAW"),
            (ports(Some(80)), Level::Note, "from 80 on"),
            (ports(None), Level::Note, "from 1024 on"),
        ] {
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.what.contains(says), "{finding:?}");
            let told = finding.advice.is_some() || finding.check == "ports";
            assert_eq!(told, level != Level::Ok, "{finding:?}");
        }
    }

    #[test]
    fn capabilities_are_read_off_the_kernels_text() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000001000\n";
        assert!(has(status, CAP_NET_ADMIN));
        assert!(!has(status, 13));
        assert!(!has("CapEff:\tzz\n", CAP_NET_ADMIN));
        assert!(!has("", CAP_NET_ADMIN));
    }
}
