//! How a file is opened: the `pflags` of `SSH_FXP_OPEN` (draft §6.3).

use std::ops::BitOr;

use crate::messages::{Body, Layout};
use crate::wire::{DecodeError, Writer};

/// A set of open flags. Bits without a name survive, so that a server can refuse them knowingly.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    /// `SSH_FXF_READ`.
    pub const READ: Self = Self(0x01);
    /// `SSH_FXF_WRITE`.
    pub const WRITE: Self = Self(0x02);
    /// `SSH_FXF_APPEND`: every write goes to the end. Servers differ on what the offset then means.
    pub const APPEND: Self = Self(0x04);
    /// `SSH_FXF_CREAT`: create the file where there is none.
    pub const CREATE: Self = Self(0x08);
    /// `SSH_FXF_TRUNC`: empty the file; only together with [`CREATE`](Self::CREATE).
    pub const TRUNCATE: Self = Self(0x10);
    /// `SSH_FXF_EXCL`: fail where there is a file; only together with [`CREATE`](Self::CREATE).
    pub const EXCLUSIVE: Self = Self(0x20);

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether opening a file with these flags can change anything: a read-only server refuses those, and that
    /// includes creating an empty file while "reading" (CVE-2017-15906).
    pub const fn writes(self) -> bool {
        self.0 & !Self::READ.0 != 0
    }

    /// Whether a bit is set that version 3 does not name.
    pub const fn has_unknown(self) -> bool {
        self.0 & !0x3f != 0
    }
}

impl BitOr for OpenFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for OpenFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (Self::READ, "READ"),
            (Self::WRITE, "WRITE"),
            (Self::APPEND, "APPEND"),
            (Self::CREATE, "CREATE"),
            (Self::TRUNCATE, "TRUNCATE"),
            (Self::EXCLUSIVE, "EXCLUSIVE"),
        ];
        let mut list = f.debug_set();
        for (flag, name) in names {
            if self.contains(flag) {
                list.entry(&format_args!("{name}"));
            }
        }
        if self.has_unknown() {
            list.entry(&format_args!("{:#x}", self.0 & !0x3f));
        }
        list.finish()
    }
}

impl Layout for OpenFlags {
    fn put(&self, out: &mut Writer<'_>) {
        out.uint32(self.0);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        Ok(Self(u32::take(body)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_plain_reading_writes() {
        assert!(!OpenFlags::READ.writes());
        assert!(!OpenFlags::default().writes());
        for flag in [
            OpenFlags::WRITE,
            OpenFlags::APPEND,
            OpenFlags::CREATE,
            OpenFlags::TRUNCATE,
            OpenFlags::EXCLUSIVE,
            OpenFlags(0x40),
        ] {
            assert!((OpenFlags::READ | flag).writes(), "{flag:?}");
        }
    }

    #[test]
    fn unknown_bits_survive_and_are_shown() {
        let flags = OpenFlags::READ | OpenFlags(0x100);
        assert!(flags.has_unknown());
        assert_eq!(format!("{flags:?}"), "{READ, 0x100}");
    }
}
