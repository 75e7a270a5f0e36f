//! Where packets begin and end in one direction of a connection, without any key: lengths in the clear, as with AES-GCM
//! and the encrypt-then-MAC forms.

/// What follows an encrypted packet: the tag of AES-GCM.
pub(super) const TAG_BYTES: usize = 16;

const NEWKEYS: u8 = 21;
const LENGTH_BYTES: usize = 4;

/// Cuts a stream into its identification, the packets in the clear and the encrypted ones.
#[derive(Debug, Default)]
pub(super) struct PacketCutter {
    held: Vec<u8>,
    place: Place,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Identification,
    Clear,
    Encrypted,
}

/// One piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// What comes before the first encrypted packet.
    Clear(Vec<u8>),
    /// An encrypted packet with its tag.
    Encrypted(Vec<u8>),
}

impl PacketCutter {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next piece that is there as a whole.
    pub(super) fn next(&mut self) -> Option<Piece> {
        let length = match self.place {
            Place::Identification => self.held.iter().position(|byte| *byte == b'\n')? + 1,
            Place::Clear => self.packet_length(0)?,
            Place::Encrypted => self.packet_length(TAG_BYTES)?,
        };
        if self.held.len() < length {
            return None;
        }
        let rest = self.held.split_off(length);
        let piece = std::mem::replace(&mut self.held, rest);
        match self.place {
            Place::Identification if piece.starts_with(b"SSH-") => self.place = Place::Clear,
            // Behind the length and the length of the padding.
            Place::Clear if piece.get(LENGTH_BYTES + 1) == Some(&NEWKEYS) => self.place = Place::Encrypted,
            Place::Encrypted => return Some(Piece::Encrypted(piece)),
            Place::Identification | Place::Clear => {}
        }
        Some(Piece::Clear(piece))
    }

    fn packet_length(&self, tag: usize) -> Option<usize> {
        let length = u32::from_be_bytes(*self.held.first_chunk()?);
        Some(LENGTH_BYTES + length as usize + tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_however_the_stream_is_cut() {
        let newkeys = [0, 0, 0, 12, 10, NEWKEYS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let packet = [&[0, 0, 0, 3, 9, 9, 9][..], &[7; TAG_BYTES]].concat();
        let stream = [b"hello\nSSH-2.0-x\r\n", &newkeys[..], &packet, &packet].concat();
        for size in 1..stream.len() {
            let mut cutter = PacketCutter::default();
            let mut found = Vec::new();
            for part in stream.chunks(size) {
                cutter.push(part);
                while let Some(piece) = cutter.next() {
                    found.push(piece);
                }
            }
            let clear = |bytes: &[u8]| Piece::Clear(bytes.to_vec());
            assert_eq!(
                found[..3],
                [clear(b"hello\n"), clear(b"SSH-2.0-x\r\n"), clear(&newkeys)]
            );
            assert_eq!(
                found[3..],
                [Piece::Encrypted(packet.clone()), Piece::Encrypted(packet.clone())]
            );
        }
    }
}
