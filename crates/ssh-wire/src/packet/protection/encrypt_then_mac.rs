//! OpenSSH `PROTOCOL` §1.5: the length stays clear, the rest is ciphered, the MAC is over what is sent.
//!
//! Some MACs take less time for two packets at once than for one after the other (docs/decisions/0017). So where the packet
//! behind the one that is opened is there already, its tag is computed with it and kept until its turn comes, and a packet
//! that is sealed may wait for its tag until there is another.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{MAX_TAG_BYTES, Numbered, Open, Pair, Seal, SealInSteps, Shape, clear_length};
use crate::packet::LENGTH_BYTES;
use crate::{IntegrityError, SealError};

/// A tag that was computed; whoever learns that of a packet they forged could send it.
type Tag = Zeroizing<[u8; MAX_TAG_BYTES]>;

/// The half that opens.
pub(super) struct Opening {
    pair: Pair,
    /// The tag that the packet of that number must have.
    ahead: Option<(u32, Tag)>,
}

/// The half that seals.
pub(super) struct Sealing(pub(super) Pair);

const fn shape(pair: &Pair) -> Shape {
    Shape {
        block_bytes: pair.block_bytes,
        tag_bytes: pair.tag_bytes,
        head_bytes: LENGTH_BYTES,
        length_is_aligned: false,
        length_is_ciphered: false,
        hides_bad_length: false,
    }
}

/// What of a packet is ciphered.
fn ciphered(body: &mut [u8]) -> Option<&mut [u8]> {
    body.get_mut(LENGTH_BYTES..)
}

impl Opening {
    pub(super) const fn new(pair: Pair) -> Self {
        Self { pair, ahead: None }
    }

    /// The tag that the packet must have, if it was computed with that of the one before.
    fn known(&mut self, sequence: u32) -> Option<Tag> {
        self.ahead
            .take()
            .and_then(|(of, tag)| (of == sequence).then_some(tag))
    }

    /// Deciphers a packet if its tag is the one it must have.
    fn open_with(&mut self, packet: &mut [u8], expected: &Tag) -> Result<(), IntegrityError> {
        let (body, tag) = self.pair.split(packet).ok_or(IntegrityError)?;
        let expected = expected.get(..tag.len()).ok_or(IntegrityError)?;
        if !bool::from(expected.ct_eq(tag)) {
            return Err(IntegrityError);
        }
        self.pair.crypt.apply(ciphered(body).ok_or(IntegrityError)?);
        Ok(())
    }
}

impl Open for Opening {
    fn shape(&self) -> Shape {
        shape(&self.pair)
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        clear_length(head)
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), IntegrityError> {
        let expected = match self.known(sequence) {
            Some(tag) => tag,
            None => {
                let mut tag = Tag::new([0; MAX_TAG_BYTES]);
                let (body, room) = self.pair.room(packet, &mut tag).ok_or(IntegrityError)?;
                self.pair.mac.tag(sequence, body, room);
                tag
            }
        };
        self.open_with(packet, &expected)
    }

    fn looks_ahead(&self) -> bool {
        self.pair.mac.gains_by_pairs()
    }

    fn open_before(&mut self, sequence: u32, packet: &mut [u8], next: &[u8]) -> Result<(), IntegrityError> {
        if let Some(expected) = self.known(sequence) {
            return self.open_with(packet, &expected);
        }
        let following = sequence.wrapping_add(1);
        let mut tags = [Tag::new([0; MAX_TAG_BYTES]), Tag::new([0; MAX_TAG_BYTES])];
        let [tag, next_tag] = &mut tags;
        let (body, room) = self.pair.room(packet, tag).ok_or(IntegrityError)?;
        let (next_body, next_room) = self.pair.room(next, next_tag).ok_or(IntegrityError)?;
        let packets = [(sequence, body), (following, next_body)];
        self.pair.mac.tag_two(packets, [room, next_room]);
        let [tag, next_tag] = tags;
        self.ahead = Some((following, next_tag));
        self.open_with(packet, &tag)
    }
}

impl Seal for Sealing {
    fn shape(&self) -> Shape {
        shape(&self.0)
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), SealError> {
        self.encipher(packet)?;
        self.tag((sequence, packet))
    }

    fn in_steps(&mut self) -> Option<&mut dyn SealInSteps> {
        if self.0.mac.gains_by_pairs() {
            Some(self)
        } else {
            None
        }
    }
}

impl SealInSteps for Sealing {
    fn encipher(&mut self, packet: &mut [u8]) -> Result<(), SealError> {
        let (body, _tag) = self.0.split(packet).ok_or(SealError::Refused)?;
        self.0.crypt.apply(ciphered(body).ok_or(SealError::Refused)?);
        Ok(())
    }

    fn tag(&mut self, (sequence, packet): Numbered<'_>) -> Result<(), SealError> {
        let (body, tag) = self.0.split(packet).ok_or(SealError::Refused)?;
        self.0.mac.tag(sequence, body, tag);
        Ok(())
    }

    fn tag_two(
        &mut self,
        (first, packet): Numbered<'_>,
        (second, other): Numbered<'_>,
    ) -> Result<(), SealError> {
        let (body, tag) = self.0.split(packet).ok_or(SealError::Refused)?;
        let (other_body, other_tag) = self.0.split(other).ok_or(SealError::Refused)?;
        let packets = [(first, &*body), (second, &*other_body)];
        self.0.mac.tag_two(packets, [tag, other_tag]);
        Ok(())
    }
}
