//! `tun@openssh.com` (OpenSSH `PROTOCOL` §2.3): packets or frames of a tunnel device as a channel. Each message of data
//! holds one packet, and its length is that of the packet; in point-to-point mode an address family stands before it.

use crate::payload::payload;

payload! {
    /// OpenSSH `PROTOCOL` §2.3: join this channel to a tunnel device of the other side.
    pub struct Tun = "tun@openssh.com" {
        /// [`TUN_POINT_TO_POINT`] or [`TUN_ETHERNET`].
        pub mode: u32,
        /// The number of the device, or [`TUN_ANY_UNIT`].
        pub unit: u32,
    }
}

/// Packets of the network layer (OpenSSH `PROTOCOL` §2.3).
pub const TUN_POINT_TO_POINT: u32 = 1;
/// Frames of the link layer (OpenSSH `PROTOCOL` §2.3).
pub const TUN_ETHERNET: u32 = 2;
/// Whichever device is free (OpenSSH `PROTOCOL` §2.3).
pub const TUN_ANY_UNIT: u32 = 0x7fff_ffff;
