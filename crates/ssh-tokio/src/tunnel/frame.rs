//! Packets as messages of data (OpenSSH `PROTOCOL` §2.3).
//!
//! ```text
//!   point-to-point:   uint32 address family   IP packet
//!   ethernet:         Ethernet frame
//! ```
//!
//! The packet length that the section puts in front is the length of the message's own string: OpenSSH and asyncssh send
//! it once, not twice, and so do we.

use super::TunnelMode;

/// The address family of IPv4 packets: OpenBSD's number, whatever the system's is.
pub const AF_INET: u32 = 2;
/// The address family of IPv6 packets: OpenBSD's number.
pub const AF_INET6: u32 = 24;

/// Bytes of an address family.
const FAMILY_BYTES: usize = 4;
/// Bytes of an Ethernet header: two addresses and a type.
const ETHERNET_HEADER_BYTES: usize = 14;

/// The longest packet of a device, in bytes: the largest MTU there is, behind an Ethernet header with a VLAN tag.
pub const MAX_PACKET_BYTES: usize = 65_535 + ETHERNET_HEADER_BYTES + 4;

/// Room for one frame that is read from a device.
pub(super) struct Frame {
    mode: TunnelMode,
    bytes: Vec<u8>,
}

impl Frame {
    pub(super) fn new(mode: TunnelMode) -> Self {
        let room = header(mode).saturating_add(MAX_PACKET_BYTES);
        Self {
            mode,
            bytes: vec![0; room],
        }
    }

    /// Where the next packet belongs.
    pub(super) fn packet_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(header(self.mode)..).unwrap_or_default()
    }

    /// The frame of the packet of `length` bytes that lies there; `None` if it is none that can be sent.
    pub(super) fn of(&mut self, length: usize) -> Option<&[u8]> {
        if self.mode == TunnelMode::PointToPoint {
            let (family, packet) = self.bytes.split_first_chunk_mut::<FAMILY_BYTES>()?;
            *family = family_of(packet.get(..length)?)?.to_be_bytes();
        }
        self.bytes.get(..header(self.mode).checked_add(length)?)
    }
}

/// The packet of a frame that came from the peer; `None` if it is none.
pub(super) fn packet(mode: TunnelMode, frame: &[u8]) -> Option<&[u8]> {
    match mode {
        TunnelMode::PointToPoint => {
            let (family, packet) = frame.split_first_chunk::<FAMILY_BYTES>()?;
            let fits = family_of(packet)? == u32::from_be_bytes(*family);
            fits.then_some(packet)
        }
        TunnelMode::Ethernet => (frame.len() >= ETHERNET_HEADER_BYTES).then_some(frame),
    }
    .filter(|packet| packet.len() <= MAX_PACKET_BYTES)
}

const fn header(mode: TunnelMode) -> usize {
    match mode {
        TunnelMode::PointToPoint => FAMILY_BYTES,
        TunnelMode::Ethernet => 0,
    }
}

/// The address family of an IP packet, by its version.
fn family_of(packet: &[u8]) -> Option<u32> {
    match packet.first()? >> 4 {
        4 => Some(AF_INET),
        6 => Some(AF_INET6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(mode: TunnelMode, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut frame = Frame::new(mode);
        frame.packet_mut()[..bytes.len()].copy_from_slice(bytes);
        frame.of(bytes.len()).map(<[u8]>::to_vec)
    }

    #[test]
    fn packets_carry_the_family_of_their_version_and_frames_carry_nothing() {
        use TunnelMode::{Ethernet, PointToPoint};
        for (mode, bytes, expected) in [
            (PointToPoint, &b"\x45rest"[..], Some(&b"\0\0\0\x02\x45rest"[..])),
            (PointToPoint, b"\x60rest", Some(b"\0\0\0\x18\x60rest")),
            (PointToPoint, b"\x55rest", None),
            (PointToPoint, b"", None),
            (Ethernet, b"any fourteen bytes", Some(b"any fourteen bytes")),
        ] {
            assert_eq!(framed(mode, bytes).as_deref(), expected, "{mode} {bytes:?}");
            if let Some(frame) = expected {
                assert_eq!(packet(mode, frame), Some(bytes), "{mode} {bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_no_packet() {
        use TunnelMode::{Ethernet, PointToPoint};
        let long = [0x45; MAX_PACKET_BYTES + 5];
        for (mode, frame) in [
            (PointToPoint, &b""[..]),
            (PointToPoint, b"\0\0\0"),
            (PointToPoint, b"\0\0\0\x02"),
            (PointToPoint, b"\0\0\0\x02\x60rest"),
            (PointToPoint, b"\0\0\0\x18\x45rest"),
            (PointToPoint, b"\0\0\0\x0a\x60rest"),
            (PointToPoint, b"\xff\xff\xff\xff\x45rest"),
            (PointToPoint, b"\0\0\0\x06\0\0\0\x02\x45rest"),
            (Ethernet, b""),
            (Ethernet, b"thirteen byte"),
            (Ethernet, &long),
        ] {
            assert_eq!(packet(mode, frame), None, "{mode} {frame:?}");
        }
    }

    #[test]
    fn the_longest_packet_has_room() {
        let longest = vec![0x45; MAX_PACKET_BYTES];
        let frame = framed(TunnelMode::PointToPoint, &longest).unwrap();
        assert_eq!(packet(TunnelMode::PointToPoint, &frame), Some(&longest[..]));
        assert_eq!(Frame::new(TunnelMode::Ethernet).of(MAX_PACKET_BYTES + 1), None);
    }
}
