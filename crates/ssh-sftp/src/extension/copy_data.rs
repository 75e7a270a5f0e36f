//! `copy-data` (draft-ietf-secsh-filexfer-extensions-00 §7, OpenSSH `PROTOCOL` §4.10): copy on the server.

use crate::Status;
use crate::extension::extension;
use crate::messages::{Body, Handle, Layout};
use crate::wire::{DecodeError, Writer};

/// Copies a range from one open file to another without moving it over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyData {
    /// Where to read.
    pub read_handle: Handle,
    /// Where to begin reading.
    pub read_offset: u64,
    /// How many bytes; 0 copies up to the end of the file.
    pub length: u64,
    /// Where to write.
    pub write_handle: Handle,
    /// Where to begin writing.
    pub write_offset: u64,
}

extension!(CopyData = "copy-data", "1", (), true);

impl CopyData {
    /// Whether one handle is both source and target and the ranges meet, so that the copy would read what it
    /// wrote. Two handles of one file are the application's to find out.
    pub fn overlaps(&self) -> bool {
        let distance = self.read_offset.abs_diff(self.write_offset);
        self.read_handle == self.write_handle && (self.length == 0 || distance < self.length)
    }
}

impl Layout for CopyData {
    fn put(&self, out: &mut Writer<'_>) {
        self.read_handle.put(out);
        out.uint64(self.read_offset);
        out.uint64(self.length);
        self.write_handle.put(out);
        out.uint64(self.write_offset);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            read_handle: Handle::take(body)?,
            read_offset: u64::take(body)?,
            length: u64::take(body)?,
            write_handle: Handle::take(body)?,
            write_offset: u64::take(body)?,
        })
    }
    fn objection(&self) -> Option<Status> {
        let overlap = || self.overlaps().then(|| Status::failure("the ranges overlap"));
        self.read_handle
            .objection()
            .or_else(|| self.write_handle.objection())
            .or_else(overlap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_onto_itself_is_found() {
        for (read_handle, read_offset, length, write_offset, overlaps) in [
            (&b"a"[..], 0, 10, 10, false),
            (b"a", 0, 10, 9, true),
            (b"a", 20, 10, 10, false),
            (b"a", 19, 10, 10, true),
            (b"a", 0, 0, 1 << 40, true),
            (b"b", 0, 10, 0, false),
        ] {
            let copy = CopyData {
                read_handle: Handle::new(read_handle),
                read_offset,
                length,
                write_handle: Handle::new(b"a"),
                write_offset,
            };
            assert_eq!(copy.overlaps(), overlaps, "{copy:?}");
            assert_eq!(copy.objection().is_some(), overlaps, "{copy:?}");
        }
    }
}
