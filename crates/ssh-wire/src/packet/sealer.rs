//! Messages become bytes (RFC 4253 §6): encoded behind a gap in the outbox, compressed if so agreed, padded, protected
//! where they stand.
//!
//! ```text
//!  outbox  │ sealed │ sealed │ gap 5 │ message … → padding → tag │
//! ```

use chacha20::ChaCha20Legacy;
use chacha20::cipher::{KeyIvInit, StreamCipher};

use super::protection::{Plain, Seal, Shape};
use super::{
    HEADER_BYTES, LENGTH_BYTES, MAX_COMPRESSED_BYTES, MAX_PACKETS_PER_KEY, MAX_PAYLOAD_BYTES,
    MIN_PADDING_BYTES,
};
use crate::compression::{Compression, Deflate, Stage};
use crate::identification::Identification;
use crate::{Message, SealError, Writer, u32_saturating};

/// A message sealed with its length hidden fills a multiple of this many bytes, which is a multiple of every block.
const HIDDEN_LENGTH_BYTES: usize = 240;

/// The most memory an empty outbox keeps when little was sent last, in bytes.
const IDLE_OUTBOX_BYTES: usize = 1024;

/// Sending fewer bytes than this at once is little: the outbox gives its memory back.
const QUIET_SEND_BYTES: usize = 4 * 1024;

/// The most memory an empty outbox keeps in any case, in bytes.
const MAX_OUTBOX_BYTES: usize = 1024 * 1024;

/// Seals one direction's packets into an outbox.
pub struct Sealer {
    outbox: Vec<u8>,
    protection: Box<dyn Seal>,
    shape: Shape,
    compression: Stage<dyn Deflate>,
    /// A key stream of 2^70 bytes: as random as a generator's, which would keep more of it ahead for each connection.
    padding: ChaCha20Legacy,
    sequence: u32,
    bytes: u64,
    packets: u64,
    keyed: bool,
    failure: Option<SealError>,
    /// The last packet of the outbox is enciphered and waits for its tag.
    untagged: Option<Untagged>,
}

/// A packet without its tag.
#[derive(Debug, Clone, Copy)]
struct Untagged {
    /// Where in the outbox it begins.
    start: usize,
    sequence: u32,
}

impl Sealer {
    /// A sealer of unprotected packets, at sequence number 0. Padding comes from a generator seeded with
    /// `padding_seed`: never from the system, packet by packet.
    pub fn new(padding_seed: [u8; 32]) -> Self {
        Self {
            outbox: Vec::new(),
            protection: Box::new(Plain),
            shape: Seal::shape(&Plain),
            compression: Stage::new(|method| method.deflating()),
            padding: ChaCha20Legacy::new(&padding_seed.into(), &[0; 8].into()),
            sequence: 0,
            bytes: 0,
            packets: 0,
            keyed: false,
            failure: None,
            untagged: None,
        }
    }

    /// Appends our identification line, which is no packet (RFC 4253 §4.2).
    pub fn send_identification(&mut self, ours: &Identification) {
        self.outbox.extend_from_slice(ours.as_str().as_bytes());
        self.outbox.extend_from_slice(b"\r\n");
    }

    /// Seals a message and returns its sequence number. For messages whose size does not depend on the application:
    /// one that could not be sealed is remembered in [`failure`](Sealer::failure), and nothing is sealed any more.
    pub fn seal<M: Message + ?Sized>(&mut self, message: &M) -> u32 {
        let sealed = self.try_seal(message);
        self.latch(sealed)
    }

    /// Seals a payload that is encoded already; like [`seal`](Sealer::seal).
    pub fn seal_payload(&mut self, payload: &[u8]) -> u32 {
        let sealed = self.try_seal_payload(payload);
        self.latch(sealed)
    }

    /// Seals a message padded so that its length tells nothing up to about 230 bytes, and little above; like
    /// [`seal`](Sealer::seal). For passwords.
    pub fn seal_hiding_length<M: Message + ?Sized>(&mut self, message: &M) -> u32 {
        let sealed = self.seal_with(HIDDEN_LENGTH_BYTES, |writer| message.encode(writer));
        self.latch(sealed)
    }

    /// Seals a message and returns its sequence number. On an error nothing of it is in the outbox, and after
    /// [`SealError::TooLong`] and [`SealError::EmptyPayload`] sealing goes on.
    pub fn try_seal<M: Message + ?Sized>(&mut self, message: &M) -> Result<u32, SealError> {
        self.seal_with(self.shape.block_bytes, |writer| message.encode(writer))
    }

    /// Seals a payload that is encoded already; like [`try_seal`](Sealer::try_seal).
    pub fn try_seal_payload(&mut self, payload: &[u8]) -> Result<u32, SealError> {
        self.outbox
            .reserve(payload.len().saturating_add(super::MAX_PADDING_BYTES));
        self.seal_with(self.shape.block_bytes, |writer| writer.raw(payload))
    }

    /// Why nothing is sealed any more, if so: the connection must end.
    pub const fn failure(&self) -> Option<SealError> {
        self.failure
    }

    /// Changes keys: what is sealed from now on is protected with `protection`. Under strict kex (`reset_sequence`)
    /// sequence numbers begin at 0 again.
    pub fn set_protection(&mut self, protection: Box<dyn Seal>, reset_sequence: bool) {
        self.tag_last();
        self.shape = protection.shape();
        self.protection = protection;
        self.bytes = 0;
        self.packets = 0;
        self.keyed = true;
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// Changes compression, together with the keys: what is sealed from now on is a new stream, or none yet if the
    /// method waits for [`log_in`](Self::log_in) and that was not called.
    pub fn set_compression(&mut self, method: &'static Compression) {
        self.compression.change(method);
    }

    /// Says that somebody is logged in: what is sealed from now on is compressed if the method waited for that
    /// ([`Start::Login`](crate::compression::Start::Login)).
    pub fn log_in(&mut self) {
        self.compression.log_in();
    }

    /// The bytes to send. Take some from the front, or swap the whole vector for an empty one, and say how many were
    /// taken with [`transmitted`](Sealer::transmitted).
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        self.tag_last();
        &mut self.outbox
    }

    /// How many bytes wait to be sent.
    pub const fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// Says that `count` bytes were taken from the outbox. An outbox that is empty after little was sent keeps next
    /// to no memory, and no empty outbox keeps more than 1 MiB.
    pub fn transmitted(&mut self, count: usize) {
        let keep = if count < QUIET_SEND_BYTES {
            IDLE_OUTBOX_BYTES
        } else {
            MAX_OUTBOX_BYTES
        };
        if self.outbox.is_empty() && self.outbox.capacity() > keep {
            self.outbox = Vec::new();
        }
    }

    /// The sequence number of the next packet.
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Sets the sequence number of the next packet: for tests of what happens when it comes round.
    pub const fn set_sequence(&mut self, sequence: u32) {
        self.sequence = sequence;
    }

    /// Bytes sealed under these keys, with lengths, padding and tags.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets sealed under these keys.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    fn latch(&mut self, sealed: Result<u32, SealError>) -> u32 {
        sealed.unwrap_or_else(|error| {
            self.failure = Some(error);
            self.sequence
        })
    }

    fn seal_with(&mut self, multiple: usize, encode: impl FnOnce(&mut Writer<'_>)) -> Result<u32, SealError> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let start = self.outbox.len();
        self.outbox.extend_from_slice(&[0; HEADER_BYTES]);
        encode(&mut Writer::new(&mut self.outbox));
        let sealed = self.protect(start, multiple);
        if let Err(error) = sealed {
            self.outbox.truncate(start);
            if !matches!(error, SealError::TooLong(_) | SealError::EmptyPayload) {
                self.failure = Some(error);
            }
        }
        sealed
    }

    /// Completes and protects the packet that begins at `start` with a gap and a payload.
    fn protect(&mut self, start: usize, multiple: usize) -> Result<u32, SealError> {
        let header_end = start.saturating_add(HEADER_BYTES);
        let mut payload_bytes = self.outbox.len().saturating_sub(header_end);
        match payload_bytes {
            0 => return Err(SealError::EmptyPayload),
            1..=MAX_PAYLOAD_BYTES => {}
            _ => return Err(SealError::TooLong(payload_bytes)),
        }
        let sequence = self.sequence;
        if !self.keyed && sequence == u32::MAX {
            return Err(SealError::SequenceWrapped);
        }
        if self.packets >= MAX_PACKETS_PER_KEY {
            return Err(SealError::KeyWornOut);
        }
        if let Some(stream) = self.compression.stream() {
            payload_bytes = compress(stream, &mut self.outbox, header_end)?;
        }
        let padding = self.pad(payload_bytes, multiple);
        let length = payload_bytes.saturating_add(1).saturating_add(padding);
        self.outbox
            .resize(self.outbox.len().saturating_add(self.shape.tag_bytes), 0);
        let packet = self.outbox.get_mut(start..).ok_or(SealError::Refused)?;
        let whole = packet.len();
        if let Some((head, rest)) = packet.split_first_chunk_mut::<LENGTH_BYTES>() {
            *head = u32_saturating(length).to_be_bytes();
            if let Some(padding_length) = rest.first_mut() {
                *padding_length = u8::try_from(padding).map_err(|_| SealError::Refused)?;
            }
        }
        self.encipher_and_tag(Untagged { start, sequence })?;
        self.sequence = sequence.wrapping_add(1);
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::from(u32_saturating(whole)));
        Ok(sequence)
    }

    /// Protects the last packet of the outbox. Where tags take less time two at a time, it gets its tag with the next one, or
    /// before anybody sees the outbox.
    fn encipher_and_tag(&mut self, last: Untagged) -> Result<(), SealError> {
        let (sent, packet) = self
            .outbox
            .split_at_mut_checked(last.start)
            .ok_or(SealError::Refused)?;
        let Some(steps) = self.protection.in_steps() else {
            return self.protection.seal(last.sequence, packet);
        };
        steps.encipher(packet)?;
        let Some(first) = self.untagged.take() else {
            self.untagged = Some(last);
            return Ok(());
        };
        let before = sent.get_mut(first.start..).ok_or(SealError::Refused)?;
        let tagged = steps.tag_two((first.sequence, before), (last.sequence, packet));
        if tagged.is_err() {
            self.untagged = Some(first);
        }
        tagged
    }

    /// Gives the packet that waits for its tag one.
    fn tag_last(&mut self) {
        let Some(last) = self.untagged.take() else {
            return;
        };
        let tagged = match (self.outbox.get_mut(last.start..), self.protection.in_steps()) {
            (Some(packet), Some(steps)) => steps.tag((last.sequence, packet)),
            _ => Err(SealError::Refused),
        };
        if let Err(error) = tagged {
            self.outbox.truncate(last.start);
            self.failure = Some(error);
        }
    }

    /// Appends padding that fills a `multiple` of bytes and returns how much.
    fn pad(&mut self, payload_bytes: usize, multiple: usize) -> usize {
        let aligned = if self.shape.length_is_aligned {
            LENGTH_BYTES.saturating_add(1)
        } else {
            1
        };
        let least = payload_bytes
            .saturating_add(aligned)
            .saturating_add(MIN_PADDING_BYTES);
        let padding = least
            .next_multiple_of(multiple)
            .saturating_sub(least)
            .saturating_add(MIN_PADDING_BYTES);
        let at = self.outbox.len();
        self.outbox.resize(at.saturating_add(padding), 0);
        if let Some(room) = self.outbox.get_mut(at..) {
            self.padding.apply_keystream(room);
        }
        padding
    }
}

/// Replaces the payload that begins at `start` with its compressed form and returns the length of that.
fn compress(stream: &mut dyn Deflate, outbox: &mut Vec<u8>, start: usize) -> Result<usize, SealError> {
    let mut compressed = Vec::new();
    stream.deflate(outbox.get(start..).unwrap_or_default(), &mut compressed)?;
    if compressed.len() > MAX_COMPRESSED_BYTES {
        return Err(SealError::Compression);
    }
    outbox.truncate(start);
    outbox.extend_from_slice(&compressed);
    Ok(compressed.len())
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("sequence", &self.sequence)
            .field("packets", &self.packets)
            .field("outbox", &self.outbox.len())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_wear_out_after_two_to_the_32nd_packet() {
        let mut sealer = Sealer::new([1; 32]);
        sealer.set_protection(Box::new(Plain), true);
        sealer.packets = MAX_PACKETS_PER_KEY - 1;
        sealer.try_seal_payload(b"x").unwrap();
        let sent = sealer.outbox_len();
        assert_eq!(sealer.try_seal_payload(b"x"), Err(SealError::KeyWornOut));
        assert_eq!(
            (sealer.failure(), sealer.outbox_len()),
            (Some(SealError::KeyWornOut), sent)
        );
        // New keys do not help: the peer has not heard what was not sealed.
        sealer.set_protection(Box::new(Plain), true);
        assert_eq!(sealer.try_seal_payload(b"x"), Err(SealError::KeyWornOut));
    }
}
