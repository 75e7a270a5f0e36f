//! Tunnels: a network device of this system joined to a channel (`tun@openssh.com`, OpenSSH `PROTOCOL` §2.3).
//!
//! ```text
//!   tun0, tap0 ──packet──▶ frame ──▶ one message of data ──▶ channel        too long, no credit: lost
//!   device     ◀──packet── frame ◀── one message of data ◀── channel        no frame, device down: lost
//! ```
//!
//! The device comes without addresses and is down: giving it both is the business of whoever runs the system, as with
//! OpenSSH. It goes when its [`TunnelDevice`] is dropped, unless somebody has made it beforehand, and then it stays.

mod device;
mod frame;
mod relay;

pub use device::{DEVICE_FILE, MAX_UNIT, TunnelDevice, TunnelError, TunnelMode};
pub use frame::{AF_INET, AF_INET6, MAX_PACKET_BYTES};
pub use relay::{Traffic, TunnelCounters, relay};
