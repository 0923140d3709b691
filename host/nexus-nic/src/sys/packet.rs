//! What a packet socket is told (packet(7)): options, filter, and the interface it is bound to.

use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_uint, c_void, socklen_t};
use rustix::io::Errno;

use crate::mac::Mac;

fn check(result: c_int) -> Result<(), Errno> {
    if result < 0 {
        // The call just made has set it; an unknown number cannot come from the kernel.
        let number = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw_os_error(number.unwrap_or(libc::EINVAL)));
    }
    Ok(())
}

/// Sets an option. `value` must be what the kernel takes for it; it only reads that many bytes.
fn set<T: Copy>(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &T,
) -> Result<(), Errno> {
    // SAFETY: setsockopt reads `size_of::<T>()` bytes at `value`, which lives through the call.
    // The kernel only reads, also through a pointer in it (`sock_fprog`), and checks what it reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as socklen_t,
        )
    };
    check(result)
}

/// Makes the socket one with a ring of `TPACKET_V2`, `virtio_net_hdr` before each frame both ways,
/// whole copies beside the ring of what does not fit a slot, and without what this machine sends.
pub(crate) fn set_up(socket: BorrowedFd<'_>, slots: &Slots) -> Result<(), Errno> {
    let packet = libc::SOL_PACKET;
    let version = libc::tpacket_versions::TPACKET_V2 as c_int;
    set(socket, packet, libc::PACKET_VERSION, &version)?;
    // Before the ring: the kernel refuses it afterwards.
    set(socket, packet, libc::PACKET_VNET_HDR, &1_i32)?;
    set(socket, packet, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
    set(socket, packet, libc::PACKET_COPY_THRESH, &1_i32)?;
    let ring = libc::tpacket_req {
        tp_block_size: slots.block as c_uint,
        tp_block_nr: (slots.count * slots.size / slots.block) as c_uint,
        tp_frame_size: slots.size as c_uint,
        tp_frame_nr: slots.count as c_uint,
    };
    set(socket, packet, libc::PACKET_RX_RING, &ring)
}

/// The measures of a ring: `count` slots of `size` bytes, in blocks of `block` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slots {
    pub(crate) size: usize,
    pub(crate) count: usize,
    pub(crate) block: usize,
}

/// Has the interface take frames for `mac` besides its own, and those for groups, as long as the
/// socket lives. A device that cannot filter a second address becomes promiscuous by itself.
pub(crate) fn join(socket: BorrowedFd<'_>, index: i32, mac: Mac) -> Result<(), Errno> {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&mac.bytes());
    for kind in [libc::PACKET_MR_UNICAST, libc::PACKET_MR_ALLMULTI] {
        let request = libc::packet_mreq {
            mr_ifindex: index,
            mr_type: kind as libc::c_ushort,
            mr_alen: 6,
            mr_address: address,
        };
        set(
            socket,
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            &request,
        )?;
    }
    Ok(())
}

/// Lets only frames for `mac` and for groups into the socket: what the kernel's own stack gets on
/// the same interface neither fills the ring nor is seen by us.
pub(crate) fn filter(socket: BorrowedFd<'_>, mac: Mac) -> Result<(), Errno> {
    let mut program = program(mac);
    let attached = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    // The kernel copies the program that the struct points to (bpf_check_classic) and does not
    // write to it; both live through the call.
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &attached)
}

/// Classic BPF (Documentation/networking/filter.rst).
fn program(mac: Mac) -> [libc::sock_filter; 8] {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let [a, b, c, d, e, f] = mac.bytes();
    [
        op(LOAD_BYTE, 0, 0, 0),
        // The group bit: to "take it".
        op(JUMP_SET, 4, 0, 1),
        op(LOAD_WORD, 0, 0, 0),
        op(JUMP_EQUAL, 0, 3, u32::from_be_bytes([a, b, c, d])),
        op(LOAD_HALF, 0, 0, 4),
        op(JUMP_EQUAL, 0, 1, u32::from(u16::from_be_bytes([e, f]))),
        // All of it, whatever its length.
        op(RETURN, 0, 0, u32::MAX),
        op(RETURN, 0, 0, 0),
    ]
}

/// Binds to all protocols of an interface: frames come from now on.
pub(crate) fn bind(socket: BorrowedFd<'_>, index: i32) -> Result<(), Errno> {
    // SAFETY: `sockaddr_ll` is a C struct of integers; all zeros is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    // SAFETY: bind reads `size_of::<sockaddr_ll>()` bytes at `address`, which lives through the call.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            ptr::from_ref(&address).cast::<libc::sockaddr>(),
            size_of::<libc::sockaddr_ll>() as socklen_t,
        )
    };
    check(result)
}

/// Frames that found the ring full since this was last asked.
pub(crate) fn missed(socket: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut len = size_of::<libc::tpacket_stats>() as socklen_t;
    // SAFETY: getsockopt writes at most `len` bytes, the size of `statistics`, to it, and `len`;
    // both are integers, of which any bytes are a valid value, and live through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            ptr::from_mut(&mut statistics).cast::<c_void>(),
            &mut len,
        )
    };
    check(result).map(|()| statistics.tp_drops)
}
