//! The state of an interface: up, down, gone, and its MTU; and a file descriptor that says when to look.
//!
//! The kernel tells of changes over netlink (rtnetlink(7)). What it tells is not read: any message
//! means "look again", and looking again is right however many were lost.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::sys::interface;

/// Messages thrown away in one look: bounds what a machine whose links come and go all the time
/// costs. What is left over wakes us again.
const MESSAGES: usize = 256;

/// What is known of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkState {
    /// Whether frames can pass.
    pub status: LinkStatus,
    /// Most bytes of an IP packet. The last one known where the interface is gone.
    pub mtu: usize,
}

/// Whether frames can pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkStatus {
    /// They can.
    Up,
    /// The interface is down or has no carrier. It may come back.
    Down,
    /// The interface is no more. One of the same name would be another.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Link {
    /// Both what tells of changes and what questions about interfaces are asked on.
    socket: OwnedFd,
    index: i32,
    state: LinkState,
}

/// A socket to ask about interfaces on, told of their changes from now on.
pub(crate) fn socket() -> Result<OwnedFd, Errno> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        // NETLINK_ROUTE, which is 0.
        None,
    )?;
    // Port 0: the kernel chooses.
    bind(
        &socket,
        &SocketAddrNetlink::new(0, libc::RTMGRP_LINK as u32),
    )?;
    Ok(socket)
}

impl Link {
    /// Watches the interface of this number on a [`socket`] opened before anything was read.
    pub(crate) fn new(socket: OwnedFd, index: i32) -> Result<Self, Errno> {
        let mut link = Self {
            socket,
            index,
            state: LinkState {
                status: LinkStatus::Down,
                mtu: 0,
            },
        };
        link.look()?;
        Ok(link)
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    /// Takes what the kernel told and looks again. `Some`: the state is another one.
    pub(crate) fn poll(&mut self) -> Result<Option<LinkState>, Errno> {
        for _ in 0..MESSAGES {
            match recv(&self.socket, &mut [0_u8; 16], RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) => break,
                // Lost messages (ENOBUFS) are as good as any.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        let before = self.state;
        self.look()?;
        Ok((self.state != before).then_some(self.state))
    }

    fn look(&mut self) -> Result<(), Errno> {
        match interface::state(self.socket.as_fd(), self.index) {
            Ok((up, mtu)) => {
                let status = if up { LinkStatus::Up } else { LinkStatus::Down };
                self.state = LinkState {
                    status,
                    mtu: mtu.min(65_535),
                };
            }
            Err(Errno::NODEV | Errno::NXIO) => self.state.status = LinkStatus::Gone,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
