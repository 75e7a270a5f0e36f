//! Strict key exchange (OpenSSH `PROTOCOL` §1.9, draft-miller-sshm-strict-kex): the answer to prefix truncation.
//!
//! Both sides put a marker into their *first* KEXINIT (one in a later KEXINIT means nothing). When both did:
//! the peer's KEXINIT must have been its very first packet; until its NEWKEYS nothing may arrive but what the exchange
//! waits for (`route.rs`); and at every NEWKEYS, now and on each rekey, the sequence number of that
//! direction starts again at zero.

use crate::Role;
use crate::error::Misbehaviour;
use crate::wire::NameList;

/// In a client's first KEXINIT.
pub const CLIENT_MARKER: &str = "kex-strict-c-v00@openssh.com";
/// In a server's first KEXINIT.
pub const SERVER_MARKER: &str = "kex-strict-s-v00@openssh.com";

/// Whether a connection is strict. Decided once, by the first KEXINITs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strict(bool);

impl Strict {
    /// Decides by the peer's first KEXINIT, whose kex list and sequence number are given. We always offer it.
    pub(crate) fn decide(role: Role, their_kex: &NameList<'_>, sequence: u32) -> Result<Self, Misbehaviour> {
        let theirs = match role {
            Role::Client => SERVER_MARKER,
            Role::Server => CLIENT_MARKER,
        };
        match (their_kex.contains(theirs), sequence) {
            (true, 0) => Ok(Self(true)),
            (true, _) => Err(Misbehaviour::StrictKexInitNotFirst { sequence }),
            (false, _) => Ok(Self(false)),
        }
    }

    /// Whether it is: also the answer to "does NEWKEYS reset the sequence number?".
    pub(crate) const fn is_on(self) -> bool {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_other_roles_marker_counts_and_only_on_packet_zero() {
        let on = Ok(Strict(true));
        let off = Ok(Strict(false));
        let late = Err(Misbehaviour::StrictKexInitNotFirst { sequence: 1 });
        for (role, list, sequence, expected) in [
            (Role::Client, SERVER_MARKER, 0, &on),
            (Role::Client, CLIENT_MARKER, 0, &off),
            (Role::Client, CLIENT_MARKER, 1, &off),
            (Role::Client, SERVER_MARKER, 1, &late),
            (Role::Server, CLIENT_MARKER, 0, &on),
            (Role::Server, SERVER_MARKER, 0, &off),
            (Role::Server, CLIENT_MARKER, 1, &late),
            (Role::Server, "curve25519-sha256", 0, &off),
        ] {
            assert_eq!(
                &Strict::decide(role, &NameList::new(list).unwrap(), sequence),
                expected,
                "{role:?} {list}"
            );
        }
    }
}
