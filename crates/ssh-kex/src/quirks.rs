//! What is known to be wrong with certain peers, told by the software version in their identification (RFC 4253 §4.2):
//! one table, asked by whoever has to behave differently.
//!
//! A peer may claim any version, so a quirk may cost itself something and nobody else: none of them weakens a check.
//! Only what changes what we do stands here. Other stacks have rows for more; those are not needed, because
//!
//! | known of | what it is | why there is no row |
//! |---|---|---|
//! | Cisco-1.*, ConfD, `libssh` before 0.6, Twisted | stumble over DEBUG, IGNORE or unknown global requests | we send none unless the application asks for it |
//! | servers that stumble over EXT_INFO | | it is sent to peers alone that put the marker into their KEXINIT |
//! | OpenSSH before 3.2, SecureCRT 3.0, `SSH_Version_Mapper` | old session identifiers, old forward addresses | they have no algorithm that we offer |
//! | OpenSSH before 7.8 | RSA certificates of users are signed under another name | we do not log in with certificates |
//! | OpenSSH 5.* | reports of ports for remote forwards | we ask for none |
//! | TeraTerm before 2.73, Cisco-1.* | stumble over `hostkeys-00@openssh.com` | we do not send it |
//! | old cryptlib | a NUL behind its line | RFC 4253 §4.2 forbids it, and the error says so |
//! | paramiko | cannot take a change of keys before login, nor IGNORE with strict key exchange | we begin none there, and send none |
//!
//! Each quirk has a test with a peer that has nothing but the name (`ssh-testkit/tests/house.rs` sees to it):
//!
//! | quirk | test |
//! |---|---|
//! | `PadsCurve25519` | `ssh-kex/tests/notices.rs` `quirk_curve25519_is_refused_with_software_that_pads_it` |
//! | `OldGroupExchange` | `ssh-kex/tests/notices.rs` `quirk_group_exchange_is_refused_with_software_that_asks_for_it_in_the_old_form` |
//! | `HidesRsaSha2` | `ssh-auth/tests/hostbound.rs` `quirk_rsa_is_tried_with_a_server_that_does_not_list_what_it_takes` |
//! | `CannotRekey` | `ssh-kex/tests/notices.rs` `quirk_keys_are_not_changed_with_software_that_cannot` |
//! | `PacketOneByteShort` | `ssh-channel/tests/quirks.rs` `quirk_dropbear_gets_a_byte_less_than_it_takes_where_data_is_compressed` |
//! | `DraftSymlink` | `ssh-testkit/tests/interop/mechanics.rs` `quirk_symbolic_links_are_made_the_right_way_round_with_those_who_follow_the_draft` |
//! | `CountsDatagramLengths` | `ssh-channel/tests/datagrams.rs` `quirk_openssh_counts_the_length_of_a_datagram_and_gets_no_more_than_its_window_by_that_count` |

use crate::keys::pattern::matches_exactly;
use crate::wire::Identification;

/// Something a peer does differently than its specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quirk {
    /// Its K of curve25519 is not encoded as RFC 8731 §3.1 says when it begins with zeros, so one exchange in 256 fails
    /// without a visible reason. We refuse the method with such a peer.
    PadsCurve25519,
    /// Its group exchange asks for a group with the one number of the drafts before RFC 4419 (message 30), not with the
    /// three of message 34. We refuse the methods with such a peer, and say so before it asks.
    OldGroupExchange,
    /// As a server it takes `rsa-sha2-256` and `rsa-sha2-512`, and does not list them in `server-sig-algs`. We use them
    /// all the same.
    HidesRsaSha2,
    /// It breaks when keys are changed. We ask for new ones only where the old ones must not be used any longer.
    CannotRekey,
    /// It takes one byte less in a message of data than it said, while data to it is compressed.
    PacketOneByteShort,
    /// The two paths of `SSH_FXP_SYMLINK` stand in the order of the draft, not in OpenSSH's.
    DraftSymlink,
    /// Of a window it counts four bytes for each message on a channel of datagrams besides the message's own, and gives
    /// as many back. We count them too when we send.
    CountsDatagramLengths,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Patterns of software versions (`*` any run of characters, `?` one); one of them has to match, in their case.
    pub software: &'static [&'static str],
    /// What is wrong with them.
    pub quirk: Quirk,
    /// How that is known, and what would happen without the row.
    pub reason: &'static str,
}

/// Everything that is known.
pub static TABLE: &[Row] = &[
    Row {
        software: &["OpenSSH_6.5*", "OpenSSH_6.6", "OpenSSH_6.6p*"],
        quirk: Quirk::PadsCurve25519,
        reason: "6.6.1 repaired it (its compat.c, SSH_BUG_CURVE25519PAD): signatures fail now and then",
    },
    Row {
        software: &[
            "PuTTY_Local:*",
            "PuTTY-Release-0.5*",
            "PuTTY_Release_0.5*",
            "PuTTY_Release_0.60*",
            "PuTTY_Release_0.61*",
            "PuTTY_Release_0.62*",
            "PuTTY_Release_0.63*",
            "PuTTY_Release_0.64*",
            "FuTTY*",
            "WinSCP_release_4*",
            "WinSCP_release_5.0*",
            "WinSCP_release_5.1",
            "WinSCP_release_5.1.*",
            "WinSCP_release_5.5",
            "WinSCP_release_5.5.*",
            "WinSCP_release_5.6",
            "WinSCP_release_5.6.*",
            "WinSCP_release_5.7",
            "WinSCP_release_5.7.1",
            "WinSCP_release_5.7.2",
            "WinSCP_release_5.7.3",
            "WinSCP_release_5.7.4",
        ],
        quirk: Quirk::OldGroupExchange,
        reason: "OpenSSH's SSH_OLD_DHGEX: the exchange would end with a message that has no place in it",
    },
    Row {
        software: &["OpenSSH_7.4*"],
        quirk: Quirk::HidesRsaSha2,
        reason: "its compat.c calls it SSH_BUG_SIGTYPE74; CentOS 7 has it: an RSA key would not be tried at all",
    },
    Row {
        software: &["Sun_SSH_1.0*", "DigiSSH_2.0", "WeOnlyDo-*"],
        quirk: Quirk::CannotRekey,
        reason: "OpenSSH's SSH_BUG_NOREKEY and PuTTY's list of rekey bugs: the connection would end with the first rekey",
    },
    Row {
        software: &["dropbear*"],
        quirk: Quirk::PacketOneByteShort,
        reason: "asyncssh found it (its channel.py): the longest compressed message ends the connection",
    },
    Row {
        software: &["AsyncSSH_*", "libssh_*"],
        quirk: Quirk::DraftSymlink,
        reason: "both use OpenSSH's order only with a peer that calls itself OpenSSH: links would be made the wrong way round",
    },
    Row {
        software: &["OpenSSH_*"],
        quirk: Quirk::CountsDatagramLengths,
        reason: "its channel_input_data adds the length of the string: a tunnel under load would pass the window it sees",
    },
];

/// The quirks of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    bits: u8,
}

impl Quirks {
    /// Those of the peer with this identification.
    pub fn of(peer: &Identification) -> Self {
        let software = peer.software().as_bytes();
        let fits = |row: &&Row| {
            row.software
                .iter()
                .any(|pattern| matches_exactly(pattern.as_bytes(), software))
        };
        let bits = TABLE
            .iter()
            .filter(fits)
            .fold(0, |bits, row| bits | row.quirk.bit());
        Self { bits }
    }

    /// Whether the peer has this one.
    pub const fn has(self, quirk: Quirk) -> bool {
        self.bits & quirk.bit() != 0
    }
}

impl Quirk {
    const fn bit(self) -> u8 {
        match self {
            Self::PadsCurve25519 => 1,
            Self::HidesRsaSha2 => 2,
            Self::CannotRekey => 4,
            Self::PacketOneByteShort => 8,
            Self::DraftSymlink => 16,
            Self::OldGroupExchange => 32,
            Self::CountsDatagramLengths => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::BytesMut;
    use crate::wire::identification::{IdentificationReader, Side};

    fn quirks(software: &str) -> Quirks {
        let line = format!("SSH-2.0-{software} OpenSSH_7.4\r\n");
        let mut buffer = BytesMut::from(line.as_bytes());
        let read = IdentificationReader::new(Side::Client).next(&mut buffer);
        Quirks::of(&read.unwrap().unwrap())
    }

    #[test]
    fn versions_are_told_apart() {
        for (software, quirk, has) in [
            ("OpenSSH_6.5p1", Quirk::PadsCurve25519, true),
            ("OpenSSH_6.6", Quirk::PadsCurve25519, true),
            ("OpenSSH_6.6p1", Quirk::PadsCurve25519, true),
            ("OpenSSH_6.6.1p1", Quirk::PadsCurve25519, false),
            ("OpenSSH_6.7p1", Quirk::PadsCurve25519, false),
            ("PuTTY_Local:_Aug_20_2014", Quirk::OldGroupExchange, true),
            ("PuTTY-Release-0.53b", Quirk::OldGroupExchange, true),
            ("PuTTY_Release_0.58", Quirk::OldGroupExchange, true),
            ("PuTTY_Release_0.64", Quirk::OldGroupExchange, true),
            ("PuTTY_Release_0.65", Quirk::OldGroupExchange, false),
            ("PuTTY_Release_0.83", Quirk::OldGroupExchange, false),
            ("WinSCP_release_5.7.4", Quirk::OldGroupExchange, true),
            ("WinSCP_release_5.7.5", Quirk::OldGroupExchange, false),
            ("WinSCP_release_5.13", Quirk::OldGroupExchange, false),
            ("OpenSSH_7.4", Quirk::HidesRsaSha2, true),
            ("OpenSSH_7.4p1", Quirk::HidesRsaSha2, true),
            ("OpenSSH_7.5p1", Quirk::HidesRsaSha2, false),
            ("OpenSSH_9.2p1", Quirk::HidesRsaSha2, false),
            ("Sun_SSH_1.0.1", Quirk::CannotRekey, true),
            ("Sun_SSH_1.1", Quirk::CannotRekey, false),
            ("dropbear_2022.83", Quirk::PacketOneByteShort, true),
            ("AsyncSSH_2.24.0", Quirk::DraftSymlink, true),
            ("libssh_0.10.6", Quirk::DraftSymlink, true),
            ("libssh2_1.10.0", Quirk::DraftSymlink, false),
            ("OpenSSH_9.2p1", Quirk::CountsDatagramLengths, true),
            ("OpenSSH_10.2", Quirk::CountsDatagramLengths, true),
            ("AsyncSSH_2.24.0", Quirk::CountsDatagramLengths, false),
            ("OpenSSH_10.2", Quirk::DraftSymlink, false),
        ] {
            assert_eq!(quirks(software).has(quirk), has, "{software}");
        }
        assert_eq!(
            quirks("Bowline_0.1"),
            Quirks::default(),
            "comments are not looked at"
        );
    }

    #[test]
    fn every_row_can_match_and_says_why_it_stands() {
        for row in TABLE {
            assert!(!row.reason.is_empty() && !row.software.is_empty(), "{row:?}");
            let bits: Vec<u8> = TABLE.iter().map(|each| each.quirk.bit()).collect();
            assert_eq!(
                bits.iter().filter(|bit| **bit == row.quirk.bit()).count(),
                1,
                "{row:?} stands twice"
            );
        }
    }
}
