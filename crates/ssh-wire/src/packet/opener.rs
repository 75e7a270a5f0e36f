//! Bytes become packets (RFC 4253 §6): length, integrity, padding, sequence numbers, decompression.
//!
//! ```text
//!               head complete, length allowed            whole packet there, intact
//!  ExpectHead ────────────────────────────▶ ExpectRest ────────────────────────────▶ ExpectHead, a Packet
//!      │ length not allowed                      │ not intact, badly padded, or not inflated
//!      ▼                                         ▼
//!    Failed: the same error for ever           Failed
//! ```
//!
//! Where the length is ciphered together with the rest, both arrows down lead through `ExpectLargest` instead: as many
//! bytes as a largest packet has are read, deciphered and authenticated, and then it is a wrong MAC whatever it was.
//! Somebody in between who puts in a block of their choice must not learn from the moment of the failure which length
//! it deciphers to (CVE-2008-5161).

use bytes::{Buf, Bytes, BytesMut};

use super::protection::{Open, Plain, Shape, clear_length};
use super::{
    HEADER_BYTES, LENGTH_BYTES, MAX_PACKET_BYTES, MAX_PACKETS_PER_KEY, MIN_PACKET_BYTES, MIN_PADDING_BYTES,
    Packet,
};
use crate::compression::{Compression, Inflate, Stage};
use crate::{IntegrityError, PacketError, u32_saturating, usize_from};

/// Payloads below this are copied out of the read buffer: a slice keeps the whole block that it stands in, and a
/// few small ones that nobody reads must not keep hundreds of blocks. Copying so little costs less than a slice does.
const SMALL_PAYLOAD_BYTES: usize = 4 * 1024;

/// Opens one direction's packets, one at a time.
pub struct Opener {
    /// What arrived and is not opened yet.
    unread: BytesMut,
    protection: Box<dyn Open>,
    shape: Shape,
    compression: Stage<dyn Inflate>,
    state: State,
    sequence: u32,
    bytes: u64,
    packets: u64,
    keyed: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A packet's first bytes, which tell its length.
    ExpectHead,
    /// The rest of a packet of that `packet_length`.
    ExpectRest { length: usize },
    /// As much as a largest packet has, behind a packet that is refused already. The first `done` bytes of it have been
    /// deciphered and authenticated.
    ExpectLargest { done: usize },
    /// Nothing: a packet was refused.
    Failed(PacketError),
}

impl Opener {
    /// An opener of unprotected packets, at sequence number 0.
    pub fn new() -> Self {
        Self {
            unread: BytesMut::new(),
            protection: Box::new(Plain),
            shape: Open::shape(&Plain),
            compression: Stage::new(|method| method.inflating()),
            state: State::ExpectHead,
            sequence: 0,
            bytes: 0,
            packets: 0,
            keyed: false,
        }
    }

    /// Where received bytes go: append them. Packets are opened where they stand and handed out as slices, so whoever
    /// reserves room here in large blocks decides how many packets come out of one block, and whoever keeps emptied
    /// blocks can use them again ([`BytesMut::try_reclaim`]) when the payloads are gone. The buffer may be taken out
    /// (`std::mem::take`), filled elsewhere and put back before the next packet is asked for. What has been appended stays
    /// as it is: the tag of a packet may have been computed before its turn comes. An opener by itself reserves no memory
    /// at all, whatever length a peer declares.
    pub const fn read_buffer(&mut self) -> &mut BytesMut {
        &mut self.unread
    }

    /// The bytes that are not opened yet: the identification line is read from here.
    pub const fn unread(&mut self) -> &mut BytesMut {
        &mut self.unread
    }

    /// Whether packets are opened in less time where the one behind each is there, too: who reads should read much at once.
    pub fn opens_in_pairs(&self) -> bool {
        self.protection.looks_ahead()
    }

    /// The next packet, or `None` while it is not complete. After an error, the same error for ever.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not be given new keys between two packets"
    )]
    pub fn next(&mut self) -> Result<Option<Packet>, PacketError> {
        self.open_next()
            .inspect_err(|error| self.state = State::Failed(*error))
    }

    /// Changes keys: what follows the packet that was returned last is opened with `protection`. Under strict kex
    /// (`reset_sequence`) sequence numbers begin at 0 again.
    pub fn set_protection(&mut self, protection: Box<dyn Open>, reset_sequence: bool) {
        self.shape = protection.shape();
        self.protection = protection;
        self.bytes = 0;
        self.packets = 0;
        self.keyed = true;
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// Changes compression, together with the keys: what follows the packet that was returned last is a new stream,
    /// or none yet if the method waits for [`log_in`](Self::log_in) and that was not called.
    pub fn set_compression(&mut self, method: &'static Compression) {
        self.compression.change(method);
    }

    /// Says that somebody is logged in: what follows the packet that was returned last is compressed if the method
    /// waited for that ([`Start::Login`](crate::compression::Start::Login)).
    pub fn log_in(&mut self) {
        self.compression.log_in();
    }

    /// The sequence number of the next packet.
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Sets the sequence number of the next packet: for tests of what happens when it comes round.
    pub const fn set_sequence(&mut self, sequence: u32) {
        self.sequence = sequence;
    }

    /// Bytes opened under these keys, with lengths, padding and tags.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets opened under these keys.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    fn open_next(&mut self) -> Result<Option<Packet>, PacketError> {
        let length = match self.state {
            State::Failed(error) => return Err(error),
            State::ExpectLargest { done } => return self.fail_at_largest(done),
            State::ExpectRest { length } => length,
            State::ExpectHead => {
                let Some(head) = self.unread.get_mut(..self.shape.head_bytes) else {
                    return Ok(None);
                };
                let declared = self.protection.packet_length(self.sequence, head);
                match self.shape.admit(declared) {
                    Ok(length) => length,
                    Err(_) if self.shape.length_is_ciphered => return self.refuse(IntegrityError.into(), 0),
                    Err(error) => return Err(error),
                }
            }
        };
        self.state = State::ExpectRest { length };
        let done = length.saturating_add(LENGTH_BYTES);
        let whole = self.shape.whole(length);
        let Some((packet, behind)) = self.unread.split_at_mut_checked(whole) else {
            return Ok(None);
        };
        let next = if self.protection.looks_ahead() {
            self.shape.whole_packet(behind)
        } else {
            None
        };
        let opened = match next {
            Some(next) => self.protection.open_before(self.sequence, packet, next),
            None => self.protection.open(self.sequence, packet),
        };
        let payload_bytes = match opened
            .map_err(PacketError::from)
            .and_then(|()| unpad(packet, length))
        {
            Ok(payload_bytes) => payload_bytes,
            Err(error) => return self.refuse(error, done),
        };
        let sequence = self.count(whole)?;
        self.state = State::ExpectHead;
        let payload = match self.compression.stream() {
            None => self.take(whole, payload_bytes),
            Some(stream) => {
                let payload_end = HEADER_BYTES.saturating_add(payload_bytes);
                let compressed = self.unread.get(HEADER_BYTES..payload_end).unwrap_or_default();
                let payload = stream.inflate(compressed)?;
                self.unread.advance(whole);
                payload
            }
        };
        Ok(Some(Packet { sequence, payload }))
    }

    /// Fails with that error, or, where it would tell something, later and without it.
    fn refuse(&mut self, error: PacketError, done: usize) -> Result<Option<Packet>, PacketError> {
        if !self.shape.hides_bad_length {
            return Err(error);
        }
        self.state = State::ExpectLargest { done };
        self.fail_at_largest(done)
    }

    fn fail_at_largest(&mut self, done: usize) -> Result<Option<Packet>, PacketError> {
        let largest = MAX_PACKET_BYTES.saturating_add(self.shape.tag_bytes);
        let Some(left) = self.unread.get_mut(..largest).and_then(|all| all.get_mut(done..)) else {
            return Ok(None);
        };
        // The work that a largest packet would have been; whether its MAC is right does not matter any more.
        let _ = self.protection.open(self.sequence, left);
        Err(IntegrityError.into())
    }

    /// Counts a packet and returns its sequence number.
    fn count(&mut self, whole: usize) -> Result<u32, PacketError> {
        let sequence = self.sequence;
        if !self.keyed && sequence == u32::MAX {
            return Err(PacketError::SequenceWrapped);
        }
        if self.packets >= MAX_PACKETS_PER_KEY {
            return Err(PacketError::KeyWornOut);
        }
        self.sequence = sequence.wrapping_add(1);
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::from(u32_saturating(whole)));
        Ok(sequence)
    }

    /// Takes a packet of `whole` bytes, tag included, from the front and returns its payload.
    fn take(&mut self, whole: usize, payload_bytes: usize) -> Bytes {
        let payload_end = HEADER_BYTES.saturating_add(payload_bytes);
        match self.unread.get(HEADER_BYTES..payload_end) {
            Some(payload) if payload_bytes < SMALL_PAYLOAD_BYTES => {
                let payload = Bytes::copy_from_slice(payload);
                self.unread.advance(whole);
                payload
            }
            _ => {
                let mut packet = self.unread.split_to(whole);
                packet.truncate(payload_end);
                packet.advance(HEADER_BYTES);
                packet.freeze()
            }
        }
    }
}

impl Shape {
    /// Whether a packet may have that length.
    fn admit(self, declared: u32) -> Result<usize, PacketError> {
        let length = usize_from(declared);
        let aligned = if self.length_is_aligned {
            length.saturating_add(LENGTH_BYTES)
        } else {
            length
        };
        if length > MAX_PACKET_BYTES {
            Err(PacketError::TooLong { length: declared })
        } else if length < MIN_PACKET_BYTES {
            Err(PacketError::TooShort { length: declared })
        } else if !aligned.is_multiple_of(self.block_bytes) {
            Err(PacketError::NotAligned {
                length: declared,
                block_bytes: self.block_bytes,
            })
        } else {
            Ok(length)
        }
    }

    /// The packet that `bytes` begin with, length and tag included, if it is there whole and its length, which is clear,
    /// is allowed.
    fn whole_packet(self, bytes: &[u8]) -> Option<&[u8]> {
        let length = self.admit(clear_length(bytes)).ok()?;
        bytes.get(..self.whole(length))
    }

    /// The bytes of a packet of that `packet_length`, with the length itself and the tag.
    const fn whole(self, length: usize) -> usize {
        length.saturating_add(LENGTH_BYTES).saturating_add(self.tag_bytes)
    }
}

/// The payload's length in a packet that is plaintext now.
fn unpad(packet: &[u8], length: usize) -> Result<usize, PacketError> {
    let padding = packet.get(LENGTH_BYTES).copied().unwrap_or_default();
    if usize::from(padding) < MIN_PADDING_BYTES {
        return Err(PacketError::PaddingTooShort { padding });
    }
    match length
        .checked_sub(1)
        .and_then(|rest| rest.checked_sub(usize::from(padding)))
    {
        None => Err(PacketError::PaddingTooLong {
            padding,
            length: u32_saturating(length),
        }),
        Some(0) => Err(PacketError::EmptyPayload),
        Some(payload) => Ok(payload),
    }
}

impl Default for Opener {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("state", &self.state)
            .field("sequence", &self.sequence)
            .field("packets", &self.packets)
            .field("unread", &self.unread.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Sealer;

    #[test]
    fn keys_wear_out_after_two_to_the_32nd_packet() {
        let (mut sealer, mut opener) = (Sealer::new([1; 32]), Opener::new());
        opener.set_protection(Box::new(Plain), true);
        opener.packets = MAX_PACKETS_PER_KEY - 1;
        sealer.seal_payload(b"x");
        sealer.seal_payload(b"y");
        opener.read_buffer().extend_from_slice(sealer.outbox());
        assert!(opener.next().unwrap().is_some());
        assert_eq!(opener.next(), Err(PacketError::KeyWornOut));
    }

    /// A protection whose lengths, padding and MACs are what its maker says, and which counts the bytes it handles.
    struct Counting {
        length: u32,
        right: bool,
        handled: Arc<AtomicUsize>,
    }

    impl Open for Counting {
        fn shape(&self) -> Shape {
            Shape {
                block_bytes: 16,
                tag_bytes: 20,
                head_bytes: 16,
                length_is_aligned: true,
                length_is_ciphered: true,
                hides_bad_length: true,
            }
        }

        fn packet_length(&mut self, _sequence: u32, _head: &mut [u8]) -> u32 {
            self.length
        }

        fn open(&mut self, _sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError> {
            self.handled.fetch_add(packet.len() - 20, Ordering::Relaxed);
            if self.right { Ok(()) } else { Err(IntegrityError) }
        }
    }

    #[test]
    fn as_much_is_deciphered_and_authenticated_whatever_was_wrong() {
        // All zeros: the padding is too short where the MAC is right.
        for (length, right) in [
            (5, false),
            (0xffff_ffff, false),
            (60, false),
            (60, true),
            (260_012, true),
        ] {
            let handled = Arc::new(AtomicUsize::new(0));
            let mut opener = Opener::new();
            let counting = Counting {
                length,
                right,
                handled: Arc::clone(&handled),
            };
            opener.set_protection(Box::new(counting), true);
            for _ in 0..(MAX_PACKET_BYTES + 20) / 4 {
                assert_eq!(opener.next(), Ok(None), "{length}");
                opener.read_buffer().extend_from_slice(&[0; 4]);
            }
            assert_eq!(opener.next(), Err(IntegrityError.into()), "{length}");
            assert_eq!(handled.load(Ordering::Relaxed), MAX_PACKET_BYTES, "{length}");
        }
    }
}
