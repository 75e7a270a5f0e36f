//! Data in bulk: the same on every machine, never the same twice in a stream, made as it is needed.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// A stream that `seq` makes, and its checksum.
#[derive(Debug, Clone, Copy)]
pub struct Bulk {
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub digest: &'static str,
}

/// What a bulk transfer moves: 256 MiB.
pub const WHOLE: Bulk = Bulk {
    bytes: 256 << 20,
    digest: "fb06e0b6265289f9bda73bc32bf9bcdfb6497c352195439a85b509c81259ebd3",
};

/// What is moved while keys change every MiB: 64 MiB.
pub const PART: Bulk = Bulk {
    bytes: 64 << 20,
    digest: "d07e1bf9614185eac008cfa31cf516978d2fed62b7bf5880e35ee9a6f5f90459",
};

impl Bulk {
    /// The command that writes the stream to its standard output.
    pub fn command(self) -> String {
        format!("seq 40000000 | head -c {}", self.bytes)
    }
}

/// A checksum under way.
#[derive(Debug, Default)]
pub struct Checksum {
    hasher: Sha256,
    /// Bytes so far.
    pub bytes: u64,
}

impl Checksum {
    /// Takes the next piece in.
    pub fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// The checksum, in hexadecimal.
    pub fn finish(self) -> String {
        self.hasher
            .finalize()
            .iter()
            .fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            })
    }
}

/// The first word of what `sha256sum` says.
pub fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
