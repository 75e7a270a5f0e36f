//! File attributes (draft §5): a set of flags, then the values those flags announce.

use crate::messages::{Body, Layout, layout};
use crate::wire::{DecodeError, Writer, u32_saturating};

/// The most extended pairs one set of attributes may carry; no server is known that sends one.
pub const MAX_EXTENDED_ATTRIBUTES: usize = 64;

const SIZE: u32 = 0x0000_0001;
const UID_GID: u32 = 0x0000_0002;
const PERMISSIONS: u32 = 0x0000_0004;
const ATIME_MTIME: u32 = 0x0000_0008;
const EXTENDED: u32 = 0x8000_0000;

/// What is known, or to be set, about a file: any subset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Bytes. The server's word: nothing may be allocated by it.
    pub size: Option<u64>,
    /// Numeric owner and group.
    pub uid_gid: Option<(u32, u32)>,
    /// The POSIX mode, file type included.
    pub permissions: Option<u32>,
    /// Times of last access and modification, seconds since 1970.
    pub atime_mtime: Option<(u32, u32)>,
    /// Vendor's pairs.
    pub extended: Vec<ExtendedAttribute>,
}

layout! {
    /// A vendor's attribute (draft §5).
    pub struct ExtendedAttribute {
        /// `name@domain`.
        pub name: Vec<u8>,
        /// Whatever the vendor says.
        pub data: Vec<u8>,
    }
}

/// What a file is, by the top bits of its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

impl Attributes {
    /// Attributes that only hold a mode.
    pub fn with_permissions(permissions: u32) -> Self {
        Self {
            permissions: Some(permissions),
            ..Self::default()
        }
    }

    /// Attributes that only hold a size.
    pub fn with_size(size: u64) -> Self {
        Self {
            size: Some(size),
            ..Self::default()
        }
    }

    /// What the file is; `None` where the peer did not say, or said something unknown.
    pub fn file_type(&self) -> Option<FileType> {
        match self.permissions? & 0o170_000 {
            0o100_000 => Some(FileType::Regular),
            0o040_000 => Some(FileType::Directory),
            0o120_000 => Some(FileType::Symlink),
            0o010_000 => Some(FileType::Fifo),
            0o140_000 => Some(FileType::Socket),
            0o020_000 => Some(FileType::CharacterDevice),
            0o060_000 => Some(FileType::BlockDevice),
            _ => None,
        }
    }

    /// Whether the file is known to be a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type() == Some(FileType::Directory)
    }

    /// The nine permission bits: what may be copied to a local file without asking. Set-user-id, set-group-id and
    /// sticky bits of a peer are left out (scp's CVE-2026-35385).
    pub fn plain_permissions(&self) -> Option<u32> {
        self.permissions.map(|mode| mode & 0o777)
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        for (present, flag) in [
            (self.size.is_some(), SIZE),
            (self.uid_gid.is_some(), UID_GID),
            (self.permissions.is_some(), PERMISSIONS),
            (self.atime_mtime.is_some(), ATIME_MTIME),
            (!self.extended.is_empty(), EXTENDED),
        ] {
            if present {
                flags |= flag;
            }
        }
        flags
    }
}

impl Layout for Attributes {
    fn put(&self, out: &mut Writer<'_>) {
        out.uint32(self.flags());
        if let Some(size) = self.size {
            out.uint64(size);
        }
        for (first, second) in [self.uid_gid].into_iter().flatten() {
            out.uint32(first);
            out.uint32(second);
        }
        if let Some(permissions) = self.permissions {
            out.uint32(permissions);
        }
        for (first, second) in [self.atime_mtime].into_iter().flatten() {
            out.uint32(first);
            out.uint32(second);
        }
        if !self.extended.is_empty() {
            out.uint32(u32_saturating(self.extended.len()));
            for pair in &self.extended {
                pair.put(out);
            }
        }
    }

    /// A flag without a name is passed over, as OpenSSH does: a server in the field sets version 4's 0x20 and sends
    /// nothing for it. Where something did come for it, the check for leftovers finds it.
    fn take(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        let flags = u32::take(body)?;
        let set = |flag: u32| flags & flag != 0;
        let mut attributes = Self::default();
        if set(SIZE) {
            attributes.size = Some(u64::take(body)?);
        }
        if set(UID_GID) {
            attributes.uid_gid = Some((u32::take(body)?, u32::take(body)?));
        }
        if set(PERMISSIONS) {
            attributes.permissions = Some(u32::take(body)?);
        }
        if set(ATIME_MTIME) {
            attributes.atime_mtime = Some((u32::take(body)?, u32::take(body)?));
        }
        if set(EXTENDED) {
            let count = crate::wire::usize_from(u32::take(body)?);
            if count > MAX_EXTENDED_ATTRIBUTES {
                return Err(DecodeError::BadField {
                    field: "extended_count",
                    problem: "more than 64",
                });
            }
            for _ in 0..count {
                attributes.extended.push(ExtendedAttribute::take(body)?);
            }
        }
        Ok(attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::Bytes;

    fn decoded(bytes: &[u8]) -> Result<Attributes, DecodeError> {
        Body::decode(&Bytes::copy_from_slice(bytes))
    }

    fn encoded(attributes: &Attributes) -> Vec<u8> {
        let mut out = Vec::new();
        attributes.put(&mut Writer::new(&mut out));
        out
    }

    #[test]
    fn every_subset_round_trips() {
        for set in 0..32 {
            let has = |bit: u32| set & (1u32 << bit) != 0;
            let attributes = Attributes {
                size: has(0).then_some(u64::MAX),
                uid_gid: has(1).then_some((0, u32::MAX)),
                permissions: has(2).then_some(0o100_644),
                atime_mtime: has(3).then_some((1, 2)),
                extended: vec![
                    ExtendedAttribute {
                        name: b"a@b".to_vec(),
                        data: vec![0xff, 0],
                    };
                    usize::from(has(4)) * 3
                ],
            };
            assert_eq!(decoded(&encoded(&attributes)), Ok(attributes));
        }
    }

    #[test]
    fn the_layout_of_the_draft() {
        let attributes = Attributes {
            size: Some(5),
            uid_gid: Some((1000, 100)),
            permissions: Some(0o100_600),
            atime_mtime: Some((3, 4)),
            extended: Vec::new(),
        };
        assert_eq!(
            encoded(&attributes),
            *b"\0\0\0\x0f\0\0\0\0\0\0\0\x05\0\0\x03\xe8\0\0\0\x64\0\0\x81\x80\0\0\0\x03\0\0\0\x04"
        );
    }

    #[test]
    fn a_flag_of_version_4_without_a_value_is_passed_over() {
        let huawei = b"\0\0\0\x28\0\0\0\x01\0\0\0\x02";
        assert_eq!(decoded(huawei).unwrap().atime_mtime, Some((1, 2)));
        assert_eq!(
            decoded(b"\0\0\0\x10\0\0\0\x01"),
            Err(DecodeError::TrailingBytes(4))
        );
    }

    #[test]
    fn a_declared_count_is_never_believed() {
        for count in [65u32, u32::MAX] {
            let mut bytes = EXTENDED.to_be_bytes().to_vec();
            bytes.extend_from_slice(&count.to_be_bytes());
            assert!(matches!(decoded(&bytes), Err(DecodeError::BadField { .. })));
        }
        let mut bytes = EXTENDED.to_be_bytes().to_vec();
        bytes.extend_from_slice(&64u32.to_be_bytes());
        assert!(matches!(decoded(&bytes), Err(DecodeError::TooShort { .. })));
    }

    #[test]
    fn types_by_mode() {
        for (mode, file_type) in [
            (0o100_644, Some(FileType::Regular)),
            (0o040_755, Some(FileType::Directory)),
            (0o120_777, Some(FileType::Symlink)),
            (0o010_644, Some(FileType::Fifo)),
            (0o140_755, Some(FileType::Socket)),
            (0o020_620, Some(FileType::CharacterDevice)),
            (0o060_660, Some(FileType::BlockDevice)),
            (0o644, None),
            (u32::MAX, None),
        ] {
            assert_eq!(Attributes::with_permissions(mode).file_type(), file_type);
        }
        assert_eq!(
            Attributes::with_permissions(0o106_755).plain_permissions(),
            Some(0o755)
        );
    }
}
