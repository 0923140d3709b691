//! The ioctls of `/dev/net/tun` (Documentation/networking/tuntap.rst).

use std::os::fd::BorrowedFd;

use libc::c_int;
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, ioctl};

use super::interface::{call, request};

const SET_INTERFACE: Opcode = libc::TUNSETIFF as Opcode;
const SET_OFFLOAD: Opcode = libc::TUNSETOFFLOAD as Opcode;
const SET_HEADER_SIZE: Opcode = libc::TUNSETVNETHDRSZ as Opcode;
const SET_HEADER_LITTLE: Opcode = libc::TUNSETVNETLE as Opcode;

/// Makes the open device the TAP interface of this name: attaches to it, or creates it.
pub(crate) fn attach(device: BorrowedFd<'_>, name: &str, vnet_header: bool) -> Result<(), Errno> {
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI;
    if vnet_header {
        flags |= libc::IFF_VNET_HDR;
    }
    let mut request = request(name);
    // The bits fill the 16 of the member, the sign's included.
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    call::<SET_INTERFACE>(device, &mut request)
}

/// What of a frame the kernel may leave to us (`TUN_F_*`).
pub(crate) fn set_offload(device: BorrowedFd<'_>, offloads: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value and touches no memory of ours.
    unsafe {
        let setter = IntegerSetter::<SET_OFFLOAD>::new_usize(offloads as usize);
        ioctl(device, setter)
    }
}

/// How long the header before each frame is, and that its numbers are in the machine's order.
/// Both stay with a persistent interface, so another program may have left something else.
pub(crate) fn set_header(device: BorrowedFd<'_>, len: usize) -> Result<(), Errno> {
    let len = c_int::try_from(len).map_err(|_| Errno::INVAL)?;
    let little = c_int::from(cfg!(target_endian = "little"));
    // SAFETY: both read one `int` through their argument and nothing else.
    unsafe {
        ioctl(device, Setter::<SET_HEADER_SIZE, c_int>::new(len))?;
        ioctl(device, Setter::<SET_HEADER_LITTLE, c_int>::new(little))
    }
}
