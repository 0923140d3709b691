//! What the kernel knows of an interface: the `SIOCGIF*` calls (netdevice(7)).

use std::os::fd::BorrowedFd;

use libc::{c_short, ifreq};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl};

const INDEX: Opcode = libc::SIOCGIFINDEX as Opcode;
const NAME: Opcode = libc::SIOCGIFNAME as Opcode;
const FLAGS: Opcode = libc::SIOCGIFFLAGS as Opcode;
const SET_FLAGS: Opcode = libc::SIOCSIFFLAGS as Opcode;
const MTU: Opcode = libc::SIOCGIFMTU as Opcode;
const HARDWARE: Opcode = libc::SIOCGIFHWADDR as Opcode;

/// A request about the interface of that name, with an empty argument.
pub(super) fn request(name: &str) -> ifreq {
    // SAFETY: `ifreq` is a C struct of integers, byte arrays and a union of those with one raw
    // pointer; all zeros is a valid value of each.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    // One byte less than the array: it stays terminated.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// Makes a call that takes and fills an `ifreq`.
pub(super) fn call<const OPCODE: Opcode>(
    fd: BorrowedFd<'_>,
    request: &mut ifreq,
) -> Result<(), Errno> {
    // SAFETY: every OPCODE of this folder that comes here reads and writes one `struct ifreq` and
    // nothing else (net/core/dev_ioctl.c, drivers/net/tun.c), which is what `Updater` points it to.
    unsafe { ioctl(fd, Updater::<OPCODE, ifreq>::new(request)) }
}

/// The number of the interface of this name, in the network namespace of the socket.
pub(crate) fn index(socket: BorrowedFd<'_>, name: &str) -> Result<i32, Errno> {
    let mut request = request(name);
    call::<INDEX>(socket, &mut request)?;
    // SAFETY: SIOCGIFINDEX has written this member.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// Its present name: it can be renamed.
fn name_of(socket: BorrowedFd<'_>, index: i32) -> Result<ifreq, Errno> {
    let mut request = request("");
    request.ifr_ifru.ifru_ifindex = index;
    call::<NAME>(socket, &mut request)?;
    Ok(request)
}

/// Whether it is up and has a carrier, and its MTU.
pub(crate) fn state(socket: BorrowedFd<'_>, index: i32) -> Result<(bool, usize), Errno> {
    let mut request = name_of(socket, index)?;
    call::<FLAGS>(socket, &mut request)?;
    let running = (libc::IFF_UP | libc::IFF_RUNNING) as c_short;
    // SAFETY: SIOCGIFFLAGS has written this member.
    let up = unsafe { request.ifr_ifru.ifru_flags } & running == running;
    call::<MTU>(socket, &mut request)?;
    // SAFETY: SIOCGIFMTU has written this member.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok((up, usize::try_from(mtu).unwrap_or(0)))
}

/// What link it is (`ARPHRD_*`).
pub(crate) fn hardware_type(socket: BorrowedFd<'_>, index: i32) -> Result<u16, Errno> {
    let mut request = name_of(socket, index)?;
    call::<HARDWARE>(socket, &mut request)?;
    // SAFETY: SIOCGIFHWADDR has written this member.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr }.sa_family)
}

/// Brings it up.
pub(crate) fn bring_up(socket: BorrowedFd<'_>, index: i32) -> Result<(), Errno> {
    let mut request = name_of(socket, index)?;
    call::<FLAGS>(socket, &mut request)?;
    // SAFETY: SIOCGIFFLAGS has written this member.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as c_short;
    call::<SET_FLAGS>(socket, &mut request)
}
