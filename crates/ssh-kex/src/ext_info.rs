//! EXT_INFO (RFC 8308): what a side tells about itself as soon as keys are there.
//!
//! Either side sends one right behind its first NEWKEYS when the other's first KEXINIT held the marker. A server may send
//! another: to any client right before it accepts a login, to one that announced `ext-info-in-auth@openssh.com` at any
//! time from its first request to log in (OpenSSH `PROTOCOL` §1.10), which is when ours does.
//!
//! | we send | as | it says | source |
//! |---|---|---|---|
//! | `server-sig-algs` | server | what signatures are taken for public key login | RFC 8308 §3.1 |
//! | `publickey-hostbound@openssh.com` | server | a login may name the host key it is meant for | OpenSSH `PROTOCOL` §3.1 |
//! | `ext-info-in-auth@openssh.com` | client | EXT_INFO may come during the login | OpenSSH `PROTOCOL` §1.10 |
//! | `ping@openssh.com` | both | PING is answered, after login | OpenSSH `PROTOCOL` §1.8 |
//!
//! `no-flow-control`, `delay-compression` and `elevation` are read over.

use std::collections::BTreeMap;

use crate::wire::{DecodeError, Reader, Writer, expect_number, number, usize_from};

/// In a client's first KEXINIT: "EXT_INFO may be sent to me" (RFC 8308 §2.1).
pub const CLIENT_MARKER: &str = "ext-info-c";
/// In a server's first KEXINIT: "EXT_INFO may be sent to me".
pub const SERVER_MARKER: &str = "ext-info-s";

/// The most extensions in one message: OpenSSH's limit.
pub const MAX_EXTENSIONS: usize = 1024;
/// The longest EXT_INFO, in bytes: a hundred times what peers send.
pub const MAX_EXT_INFO_BYTES: usize = 64 * 1024;
/// The most EXT_INFO messages a client takes from its server: one after NEWKEYS, one before the login is accepted.
pub const MAX_MESSAGES_FROM_SERVER: u32 = 2;
/// The most EXT_INFO messages a server takes from its client.
pub const MAX_MESSAGES_FROM_CLIENT: u32 = 1;
/// The most names taken from `server-sig-algs`.
pub const MAX_SIGNATURE_ALGORITHMS: usize = 256;

const SERVER_SIG_ALGS: &str = "server-sig-algs";
const PING: &str = "ping@openssh.com";
const HOSTBOUND: &str = "publickey-hostbound@openssh.com";
const IN_AUTH: &str = "ext-info-in-auth@openssh.com";
/// The value of extensions that are there or not.
const VERSION_0: &[u8] = b"0";

/// What the peer told in EXT_INFO. What is said later replaces what was said before (RFC 8308 §2.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// The signature algorithms a server takes for public key login (RFC 8308 §3.1); `None`: it did not say.
    pub server_sig_algs: Option<Vec<String>>,
    /// Whether the peer answers PING (`ping@openssh.com`).
    pub ping: bool,
    /// Whether a server takes logins that name its host key (`publickey-hostbound@openssh.com`).
    pub publickey_hostbound: bool,
    /// Whether a client takes EXT_INFO during the login (`ext-info-in-auth@openssh.com`).
    pub ext_info_in_auth: bool,
    /// The names of all other extensions, with their values.
    pub others: BTreeMap<String, Vec<u8>>,
}

impl Extensions {
    /// Takes the extensions of one message into account.
    pub(crate) fn update(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        for (name, value) in read(payload)? {
            match name {
                SERVER_SIG_ALGS => self.server_sig_algs = Some(read_signature_algorithms(value)),
                PING => self.ping = value == VERSION_0,
                HOSTBOUND => self.publickey_hostbound = value == VERSION_0,
                IN_AUTH => self.ext_info_in_auth = value == VERSION_0,
                other => {
                    self.others.insert(other.to_owned(), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

/// The extensions of a message, in its order. Counts are believed only as far as bytes are there.
fn read(payload: &[u8]) -> Result<Vec<(&str, &[u8])>, DecodeError> {
    if payload.len() > MAX_EXT_INFO_BYTES {
        return Err(DecodeError::BadField {
            field: "EXT_INFO",
            problem: "longer than 65536 bytes",
        });
    }
    let mut reader = Reader::new(payload);
    expect_number(&mut reader, number::EXT_INFO)?;
    let count = usize_from(reader.uint32()?);
    if count > MAX_EXTENSIONS {
        return Err(DecodeError::BadField {
            field: "nr-extensions",
            problem: "more than 1024",
        });
    }
    let mut extensions = Vec::new();
    for _ in 0..count {
        extensions.push((reader.utf8()?, reader.string()?));
    }
    reader.finish()?;
    Ok(extensions)
}

/// The names of `server-sig-algs`. It is advice about what to try, so names that make no sense are left out rather
/// than held against the peer.
fn read_signature_algorithms(value: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.split(',')
        .filter(|name| !name.is_empty() && name.len() <= crate::wire::MAX_NAME_BYTES)
        .take(MAX_SIGNATURE_ALGORITHMS)
        .map(str::to_owned)
        .collect()
}

/// The EXT_INFO a server sends behind its first NEWKEYS, as a payload.
pub(crate) fn of_server<'n>(signature_algorithms: impl IntoIterator<Item = &'n str>) -> Vec<u8> {
    told(Some(&listed(signature_algorithms)), &[HOSTBOUND, PING])
}

/// The EXT_INFO a server sends during the login, as a payload: only `server-sig-algs` may be told again.
pub(crate) fn of_server_in_auth<'n>(signature_algorithms: impl IntoIterator<Item = &'n str>) -> Vec<u8> {
    told(Some(&listed(signature_algorithms)), &[])
}

/// The EXT_INFO a client sends behind its first NEWKEYS, as a payload.
pub(crate) fn of_client() -> Vec<u8> {
    told(None, &[IN_AUTH, PING])
}

fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(",")
}

fn told(signature_algorithms: Option<&str>, flags: &[&str]) -> Vec<u8> {
    let listed = signature_algorithms.map(|list| (SERVER_SIG_ALGS, list.as_bytes()));
    let flags = flags.iter().map(|name| (*name, VERSION_0));
    let extensions: Vec<(&str, &[u8])> = listed.into_iter().chain(flags).collect();
    let mut payload = Vec::new();
    let mut writer = Writer::new(&mut payload);
    writer.byte(number::EXT_INFO);
    // Four at most.
    writer.uint32(u32::try_from(extensions.len()).unwrap_or_default());
    for (name, value) in extensions {
        writer.string(name.as_bytes());
        writer.string(value);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(extensions: &[(&str, &[u8])]) -> Vec<u8> {
        let mut payload = vec![number::EXT_INFO];
        let mut writer = Writer::new(&mut payload);
        writer.uint32(u32::try_from(extensions.len()).unwrap());
        for (name, value) in extensions {
            writer.string(name.as_bytes());
            writer.string(value);
        }
        payload
    }

    #[test]
    fn what_each_side_sends_is_understood() {
        let mut extensions = Extensions::default();
        extensions
            .update(&of_server(["ssh-ed25519", "rsa-sha2-256"]))
            .unwrap();
        let names = vec!["ssh-ed25519".to_owned(), "rsa-sha2-256".to_owned()];
        assert_eq!(
            extensions,
            Extensions {
                server_sig_algs: Some(names),
                ping: true,
                publickey_hostbound: true,
                ext_info_in_auth: false,
                others: BTreeMap::new()
            }
        );
        extensions.update(&of_server_in_auth(["ssh-ed25519"])).unwrap();
        assert_eq!(extensions.server_sig_algs, Some(vec!["ssh-ed25519".to_owned()]));
        assert!(
            extensions.ping && extensions.publickey_hostbound,
            "what is not told again stands"
        );
        let mut extensions = Extensions::default();
        extensions.update(&of_client()).unwrap();
        let expected = Extensions {
            ping: true,
            ext_info_in_auth: true,
            ..Extensions::default()
        };
        assert_eq!(extensions, expected);
    }

    #[test]
    fn versions_that_are_not_known_mean_nothing() {
        for version in [&b"1"[..], b"", b"00", b"0\0", b"\xff"] {
            let mut extensions = Extensions::default();
            extensions
                .update(&message(&[
                    (PING, version),
                    (HOSTBOUND, version),
                    (IN_AUTH, version),
                ]))
                .unwrap();
            assert_eq!(extensions, Extensions::default(), "{version:?}");
        }
    }

    #[test]
    fn what_is_said_later_replaces_what_was_said_before() {
        let mut extensions = Extensions::default();
        extensions
            .update(&message(&[("a", b"1"), (SERVER_SIG_ALGS, b"x")]))
            .unwrap();
        extensions
            .update(&message(&[
                (SERVER_SIG_ALGS, b"y,,z"),
                ("a", b"2"),
                ("b", b"\xff"),
            ]))
            .unwrap();
        assert_eq!(
            extensions.server_sig_algs,
            Some(vec!["y".to_owned(), "z".to_owned()])
        );
        let others = BTreeMap::from([
            ("a".to_owned(), b"2".to_vec()),
            ("b".to_owned(), b"\xff".to_vec()),
        ]);
        assert_eq!(extensions.others, others);
    }

    #[test]
    fn floods_and_malformed_messages_are_refused() {
        let many: Vec<(String, &[u8])> = (0..=MAX_EXTENSIONS)
            .map(|index| (index.to_string(), &b""[..]))
            .collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        for payload in [
            b"\x07\xff\xff\xff\xff".to_vec(),
            b"\x07\0\0\0\x01".to_vec(),
            message(&many),
            message(&[("a", &[0; MAX_EXT_INFO_BYTES])]),
            [message(&[("a", b"")]), vec![0]].concat(),
        ] {
            assert!(Extensions::default().update(&payload).is_err());
        }
        assert!(
            Extensions::default().update(&message(&many[1..])).is_ok(),
            "as many as are allowed"
        );
    }

    #[test]
    fn server_sig_algs_is_cut_to_its_limit() {
        let mut extensions = Extensions::default();
        let list = vec!["x"; MAX_SIGNATURE_ALGORITHMS + 1].join(",");
        extensions
            .update(&message(&[(SERVER_SIG_ALGS, list.as_bytes())]))
            .unwrap();
        assert_eq!(
            extensions.server_sig_algs.unwrap().len(),
            MAX_SIGNATURE_ALGORITHMS
        );
    }
}
