//! The calls that rustix has no safe form of, each behind a small safe one. All hand-written
//! `unsafe` of this project is in this folder; what is here holds no policy and few lines.
#![allow(
    unsafe_code,
    reason = "ioctls, socket options and the memory shared with the kernel; see the SAFETY comments"
)]

pub(crate) mod interface;
pub(crate) mod packet;
pub(crate) mod ring;
pub(crate) mod tun;
