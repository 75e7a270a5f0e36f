//! `zlib` (RFC 4253 §6.2) and `zlib@openssh.com` (draft-miller-secsh-compression-delayed): deflate (RFC 1951) in the
//! wrapping of RFC 1950, with a partial flush at the end of every packet. Both name the same streams and differ in when
//! the first one begins.
//!
//! A stream is never finished, so its checksum is never sent; packets have their MAC.

use bytes::Bytes;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Compression, CompressionError, Construction, Deflate, Inflate, MAX_INFLATED_BYTES, Start};
use crate::{SealError, Tier};

/// Compression that begins after login.
pub static ZLIB_OPENSSH: Compression = Compression {
    name: "zlib@openssh.com",
    tier: Tier::Recommended,
    start: Start::Login,
    construction: Some(&Zlib),
};

/// Compression that begins with the first keys: whoever can connect reaches the decompressor.
pub static ZLIB: Compression = Compression {
    name: "zlib",
    tier: Tier::Legacy,
    start: Start::NewKeys,
    construction: Some(&Zlib),
};

/// How hard deflate tries, from 1 to 9. zlib's own default, and what OpenSSH uses.
const LEVEL: u32 = 6;

/// The room compressed data begins with, in bytes, beyond the length of what is compressed.
const DEFLATE_ROOM_BYTES: usize = 64;

/// The least room inflated data begins with, in bytes.
const INFLATE_ROOM_BYTES: usize = 4 * 1024;

/// The most room a stream that inflates keeps between packets, in bytes: twice the 32 KiB of data that packets hold.
const IDLE_ROOM_BYTES: usize = 64 * 1024;

/// Where a zlib stream's second byte says that it needs a dictionary (RFC 1950 §2.2, FDICT).
const FDICT: u8 = 0x20;

/// The first two bytes of a zlib stream: CMF and FLG.
const HEADER_BYTES: u64 = 2;

struct Zlib;

impl Construction for Zlib {
    fn deflating(&self) -> Box<dyn Deflate> {
        Box::new(Deflating(Compress::new(flate2::Compression::new(LEVEL), true)))
    }

    fn inflating(&self) -> Box<dyn Inflate> {
        Box::new(Inflating {
            stream: Decompress::new(true),
            room: Vec::new(),
        })
    }
}

struct Deflating(Compress);

impl Deflate for Deflating {
    fn deflate(&mut self, payload: &[u8], compressed: &mut Vec<u8>) -> Result<(), SealError> {
        let mut left = payload;
        compressed.reserve(payload.len().saturating_add(DEFLATE_ROOM_BYTES));
        loop {
            let before = self.0.total_in();
            self.0
                .compress_vec(left, compressed, FlushCompress::Partial)
                .map_err(|_| SealError::Compression)?;
            left = rest_of(left, self.0.total_in().saturating_sub(before));
            // Room that is left means that nothing waits for room.
            if left.is_empty() && compressed.len() < compressed.capacity() {
                return Ok(());
            }
            compressed.reserve(DEFLATE_ROOM_BYTES);
        }
    }
}

struct Inflating {
    stream: Decompress,
    /// Where payloads come out: used again, so that its size need not be guessed for each of them.
    room: Vec<u8>,
}

impl Inflate for Inflating {
    fn inflate(&mut self, compressed: &[u8]) -> Result<Bytes, CompressionError> {
        self.refuse_dictionary(compressed)?;
        self.room.clear();
        let mut left = compressed;
        loop {
            self.make_room();
            let (taken, made) = (self.stream.total_in(), self.room.len());
            let status = self
                .stream
                .decompress_vec(left, &mut self.room, FlushDecompress::Sync)
                .map_err(|_| CompressionError::Damaged)?;
            let taken = self.stream.total_in().saturating_sub(taken);
            left = rest_of(left, taken);
            if self.room.len() > MAX_INFLATED_BYTES {
                return Err(CompressionError::TooLong);
            }
            if status == Status::StreamEnd {
                return Err(CompressionError::Ended);
            }
            if taken == 0 && self.room.len() == made {
                break;
            }
        }
        if !left.is_empty() {
            return Err(CompressionError::Damaged);
        }
        self.payload()
    }
}

impl Inflating {
    /// Says by name what the library would call damaged.
    fn refuse_dictionary(&self, compressed: &[u8]) -> Result<(), CompressionError> {
        // A header may come in two packets, the first of which then holds nothing and is refused for that.
        let at_header = self.stream.total_in() < HEADER_BYTES;
        match compressed.first_chunk() {
            Some([method, flags]) if at_header && flags & FDICT != 0 && is_header(*method, *flags) => {
                Err(CompressionError::Dictionary)
            }
            _ => Ok(()),
        }
    }

    /// Makes room for more, where there is none: twice as much as before, and never for more than one byte too many.
    fn make_room(&mut self) {
        let made = self.room.len();
        if made == self.room.capacity() {
            let wanted = made
                .saturating_mul(2)
                .clamp(INFLATE_ROOM_BYTES, MAX_INFLATED_BYTES.saturating_add(1));
            self.room.reserve_exact(wanted.saturating_sub(made));
        }
    }

    /// What was made, in memory of its own size.
    fn payload(&mut self) -> Result<Bytes, CompressionError> {
        if self.room.is_empty() {
            return Err(CompressionError::Empty);
        }
        let payload = Bytes::copy_from_slice(&self.room);
        if self.room.capacity() > IDLE_ROOM_BYTES {
            self.room = Vec::new();
        }
        Ok(payload)
    }
}

/// Whether a zlib stream begins with these two bytes, which check each other.
fn is_header(method: u8, flags: u8) -> bool {
    u16::from_be_bytes([method, flags]).is_multiple_of(31)
}

/// What is left of `input` when `taken` bytes of it were.
fn rest_of(input: &[u8], taken: u64) -> &[u8] {
    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
    input.get(taken..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(payload: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        Zlib.deflating().deflate(payload, &mut compressed).unwrap();
        compressed
    }

    fn inflating() -> Inflating {
        Inflating {
            stream: Decompress::new(true),
            room: Vec::new(),
        }
    }

    #[test]
    fn the_largest_payload_passes_and_one_byte_more_does_not() {
        let largest = vec![0; MAX_INFLATED_BYTES];
        assert_eq!(inflating().inflate(&deflated(&largest)).unwrap(), largest);
        let one_more = vec![0; MAX_INFLATED_BYTES + 1];
        assert_eq!(
            inflating().inflate(&deflated(&one_more)),
            Err(CompressionError::TooLong)
        );
    }

    #[test]
    fn a_bomb_gets_no_memory() {
        let bomb = deflated(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < MAX_INFLATED_BYTES, "it fits one packet");
        let mut stream = inflating();
        assert_eq!(stream.inflate(&bomb), Err(CompressionError::TooLong));
        assert!(stream.room.capacity() <= MAX_INFLATED_BYTES + 1);
        let made = usize::try_from(stream.stream.total_out()).unwrap();
        assert!(made <= 2 * MAX_INFLATED_BYTES);
    }

    #[test]
    fn a_stream_keeps_little_between_packets() {
        let mut deflating = Zlib.deflating();
        let mut inflating = inflating();
        for size in [1, 200 * 1024, 1, 32 * 1024] {
            let mut compressed = Vec::new();
            deflating.deflate(&vec![1; size], &mut compressed).unwrap();
            assert_eq!(inflating.inflate(&compressed).unwrap().len(), size);
            assert!(inflating.room.capacity() <= IDLE_ROOM_BYTES, "{size}");
        }
    }
}
