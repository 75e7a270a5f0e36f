//! Compression (RFC 4253 §6.2): only `none`. Compressed streams (`zlib@openssh.com`) are not implemented.

/// A compression method as KEXINIT names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// Its name in KEXINIT.
    pub name: &'static str,
}

/// No compression.
pub static NONE: Compression = Compression { name: "none" };

/// Every compression method, the preferred one first.
pub static ALL: &[&Compression] = &[&NONE];

/// The compression method of that name.
pub fn find(name: &str) -> Option<&'static Compression> {
    ALL.iter().copied().find(|method| method.name == name)
}
