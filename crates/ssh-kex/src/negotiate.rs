//! From two KEXINITs to one set of algorithms (RFC 4253 §7.1).
//!
//! For every list the rule is the same: the first name of the client's that is on the server's, too. Both lists of
//! a failed search stand in the error. A cipher that authenticates needs no MAC, so none is sought beside it. The kex
//! list also carries markers (strict kex, `ext-info`), which are no methods and never match one.

use std::fmt;
use std::sync::Arc;

use crate::Role;
use crate::config::Config;
use crate::error::{Incompatible, Negotiable};
use crate::keys::{SignatureAlgorithm, Signer};
use crate::messages::KexInit;
use crate::method::{Context, MAX_STRENGTH_BITS, Method, TestedPrimes};
use crate::preferences::Registered;
use crate::wire::{Cipher, Compression, Encode, Mac, NameList};
use crate::{ext_info, strict};

/// What both sides use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The key exchange method.
    pub kex: &'static Method,
    /// The algorithm of the host key's signature.
    pub host_key: &'static SignatureAlgorithm,
    /// What we send with.
    pub outgoing: Direction,
    /// What we receive with.
    pub incoming: Direction,
    /// Whether key exchange is strict: sequence numbers start again with every set of keys.
    pub strict: bool,
}

impl Negotiated {
    /// Whether somebody who records the connection cannot read it with a large quantum computer either: the method of key
    /// exchange decides that.
    pub const fn is_post_quantum(&self) -> bool {
        self.kex.is_post_quantum
    }
}

/// What one direction uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The cipher.
    pub cipher: &'static Cipher,
    /// The MAC; `None` beside a cipher that authenticates.
    pub mac: Option<&'static Mac>,
    /// Compression.
    pub compression: &'static Compression,
}

impl Direction {
    /// The length of the longer one of its keys, as OpenSSH counts it.
    fn strength_bits(&self) -> u32 {
        let key_bytes = self.cipher.key_bytes.max(self.mac.map_or(0, |mac| mac.key_bytes));
        let bits = u32::try_from(key_bytes.saturating_mul(8)).unwrap_or(u32::MAX);
        bits.min(MAX_STRENGTH_BITS)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = self.mac.map_or("<implicit>", |mac| mac.name);
        let (cipher, compression) = (self.cipher.name, self.compression.name);
        write!(f, "cipher: {cipher} MAC: {mac} compression: {compression}")
    }
}

/// The outcome of a negotiation, by the RFC's directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) kex: &'static Method,
    pub(crate) host_key: &'static SignatureAlgorithm,
    pub(crate) client_to_server: Direction,
    pub(crate) server_to_client: Direction,
    /// The peer guessed, and wrongly: its next packet of a method is to be passed over.
    pub(crate) skip_guess: bool,
}

impl Choice {
    /// What the method's halves may depend on.
    pub(crate) fn context(&self, config: &Config, tested: &TestedPrimes) -> Context {
        let strength_bits = [self.client_to_server, self.server_to_client]
            .iter()
            .map(Direction::strength_bits)
            .max();
        Context {
            strength_bits: strength_bits.unwrap_or(MAX_STRENGTH_BITS),
            moduli: Arc::clone(&config.moduli),
            tested: tested.clone(),
        }
    }

    pub(crate) const fn for_role(&self, role: Role, strict: bool) -> Negotiated {
        let (outgoing, incoming) = match role {
            Role::Client => (self.client_to_server, self.server_to_client),
            Role::Server => (self.server_to_client, self.client_to_server),
        };
        Negotiated {
            kex: self.kex,
            host_key: self.host_key,
            outgoing,
            incoming,
            strict,
        }
    }
}

/// What we offer: [`Preferences`](crate::Preferences) as they stand for one role and one set of host keys.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    role: Role,
    config: &'a Config,
    host_keys: Vec<&'static SignatureAlgorithm>,
}

impl<'a> Offer<'a> {
    /// A client offers every host key algorithm it likes, a server those that its keys can make.
    pub(crate) fn new(role: Role, config: &'a Config, signers: &[Arc<dyn Signer>]) -> Self {
        let liked = config.preferences.host_keys.iter().copied();
        let host_keys = match role {
            Role::Client => liked.collect(),
            Role::Server => liked.filter(|each| signer_for(signers, each).is_some()).collect(),
        };
        Self {
            role,
            config,
            host_keys,
        }
    }

    /// Our KEXINIT as a payload; markers are for the first one only.
    pub(crate) fn kexinit(&self, cookie: [u8; 16], first: bool) -> Vec<u8> {
        let preferences = &self.config.preferences;
        let markers: &[&str] = match (first, self.role) {
            (false, _) => &[],
            (true, Role::Client) => &[ext_info::CLIENT_MARKER, strict::CLIENT_MARKER],
            (true, Role::Server) => &[ext_info::SERVER_MARKER, strict::SERVER_MARKER],
        };
        let kex = preferences
            .kex
            .iter()
            .map(|each| each.name)
            .chain(markers.iter().copied());
        let kex = kex.collect::<Vec<_>>().join(",");
        let host_keys = joined(&self.host_keys);
        let ciphers = joined(&preferences.ciphers);
        let macs = joined(&preferences.macs);
        let compression = joined(&preferences.compression);
        KexInit {
            cookie,
            kex_algorithms: checked(&kex),
            server_host_key_algorithms: checked(&host_keys),
            encryption_algorithms_client_to_server: checked(&ciphers),
            encryption_algorithms_server_to_client: checked(&ciphers),
            mac_algorithms_client_to_server: checked(&macs),
            mac_algorithms_server_to_client: checked(&macs),
            compression_algorithms_client_to_server: checked(&compression),
            compression_algorithms_server_to_client: checked(&compression),
            languages_client_to_server: NameList::default(),
            languages_server_to_client: NameList::default(),
            first_kex_packet_follows: false,
            reserved: 0,
        }
        .to_bytes()
    }

    /// What both sides use, given the peer's KEXINIT.
    pub(crate) fn negotiate(&self, theirs: &KexInit<'_>) -> Result<Choice, Incompatible> {
        let preferences = &self.config.preferences;
        let kex = self.choose(Negotiable::Kex, &preferences.kex, &theirs.kex_algorithms)?;
        let host_key = self.choose(
            Negotiable::HostKey,
            &self.host_keys,
            &theirs.server_host_key_algorithms,
        )?;
        let client_to_server = self.direction(&Lists {
            ciphers: (
                Negotiable::CipherClientToServer,
                &theirs.encryption_algorithms_client_to_server,
            ),
            macs: (
                Negotiable::MacClientToServer,
                &theirs.mac_algorithms_client_to_server,
            ),
            compression: (
                Negotiable::CompressionClientToServer,
                &theirs.compression_algorithms_client_to_server,
            ),
        })?;
        let server_to_client = self.direction(&Lists {
            ciphers: (
                Negotiable::CipherServerToClient,
                &theirs.encryption_algorithms_server_to_client,
            ),
            macs: (
                Negotiable::MacServerToClient,
                &theirs.mac_algorithms_server_to_client,
            ),
            compression: (
                Negotiable::CompressionServerToClient,
                &theirs.compression_algorithms_server_to_client,
            ),
        })?;
        Ok(Choice {
            kex,
            host_key,
            client_to_server,
            server_to_client,
            skip_guess: theirs.first_kex_packet_follows && !self.is_right_guess(theirs),
        })
    }

    fn direction(&self, lists: &Lists<'_>) -> Result<Direction, Incompatible> {
        let preferences = &self.config.preferences;
        let cipher = self.choose(lists.ciphers.0, &preferences.ciphers, lists.ciphers.1)?;
        let mac = if cipher.needs_mac() {
            Some(self.choose(lists.macs.0, &preferences.macs, lists.macs.1)?)
        } else {
            None
        };
        let compression = self.choose(lists.compression.0, &preferences.compression, lists.compression.1)?;
        Ok(Direction {
            cipher,
            mac,
            compression,
        })
    }

    /// RFC 4253 §7.1: the first name of the client's list that the server has, too.
    fn choose<T: Registered>(
        &self,
        what: Negotiable,
        ours: &[&'static T],
        theirs: &NameList<'_>,
    ) -> Result<&'static T, Incompatible> {
        let found = match self.role {
            Role::Client => ours.iter().copied().find(|each| theirs.contains(each.name())),
            Role::Server => theirs
                .iter()
                .find_map(|name| ours.iter().copied().find(|each| each.name() == name)),
        };
        found.ok_or_else(|| Incompatible {
            what,
            ours: ours.iter().map(|each| each.name().to_owned()).collect(),
            theirs: theirs.iter().map(str::to_owned).collect(),
        })
    }

    /// RFC 4253 §7: a guess is right when both sides like the same method and the same host key algorithm best.
    fn is_right_guess(&self, theirs: &KexInit<'_>) -> bool {
        let their_kex = theirs.kex_algorithms.iter().find(|name| !is_marker(name));
        let our_kex = self.config.preferences.kex.first().map(|each| each.name);
        let our_host_key = self.host_keys.first().map(|each| each.name);
        their_kex == our_kex && theirs.server_host_key_algorithms.first() == our_host_key
    }
}

/// What the peer offers for one direction.
struct Lists<'a> {
    ciphers: (Negotiable, &'a NameList<'a>),
    macs: (Negotiable, &'a NameList<'a>),
    compression: (Negotiable, &'a NameList<'a>),
}

/// The host key that signs with this algorithm.
pub(crate) fn signer_for<'s>(
    signers: &'s [Arc<dyn Signer>],
    algorithm: &SignatureAlgorithm,
) -> Option<&'s Arc<dyn Signer>> {
    signers
        .iter()
        .find(|signer| signer.algorithms().iter().any(|each| **each == *algorithm))
}

/// Whether a name of a kex list is a message in disguise rather than a method.
fn is_marker(name: &str) -> bool {
    let markers = [
        ext_info::CLIENT_MARKER,
        ext_info::SERVER_MARKER,
        strict::CLIENT_MARKER,
        strict::SERVER_MARKER,
    ];
    markers.contains(&name)
}

fn joined<T: Registered>(list: &[&'static T]) -> String {
    list.iter().map(|each| each.name()).collect::<Vec<_>>().join(",")
}

/// A list of ours. Should a program bring an algorithm whose name cannot stand in a list, nothing is offered, and the
/// negotiation says so.
fn checked(text: &str) -> NameList<'_> {
    NameList::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::KexInit;
    use crate::wire::Decode;

    const CURVE: &str = "curve25519-sha256";
    const MLKEM: &str = "mlkem768x25519-sha256";
    const LIBSSH: &str = "curve25519-sha256@libssh.org";
    const GCM: &str = "aes128-gcm@openssh.com";

    /// A peer's KEXINIT: kex, host keys, then cipher, MAC and compression lists client to server and back.
    fn kexinit<'a>(lists: [&'a str; 8], follows: bool) -> KexInit<'a> {
        let [
            kex,
            host_keys,
            cipher_c,
            cipher_s,
            mac_c,
            mac_s,
            compression_c,
            compression_s,
        ] = lists.map(|text| NameList::new(text).unwrap());
        KexInit {
            cookie: [0; 16],
            kex_algorithms: kex,
            server_host_key_algorithms: host_keys,
            encryption_algorithms_client_to_server: cipher_c,
            encryption_algorithms_server_to_client: cipher_s,
            mac_algorithms_client_to_server: mac_c,
            mac_algorithms_server_to_client: mac_s,
            compression_algorithms_client_to_server: compression_c,
            compression_algorithms_server_to_client: compression_s,
            languages_client_to_server: NameList::default(),
            languages_server_to_client: NameList::default(),
            first_kex_packet_follows: follows,
            reserved: 0,
        }
    }

    fn client_sees(lists: [&str; 8], follows: bool) -> Result<Choice, Incompatible> {
        Offer::new(Role::Client, &Config::default(), &[]).negotiate(&kexinit(lists, follows))
    }

    #[test]
    fn the_clients_order_decides_in_both_roles() {
        let mut config = Config::default();
        config.preferences.edit_kex(&format!("{CURVE},{LIBSSH}")).unwrap();
        let lists = [
            &format!("{LIBSSH},{MLKEM},{CURVE}"),
            "ssh-ed25519",
            GCM,
            GCM,
            "",
            "",
            "none",
            "none",
        ];
        let theirs = kexinit(lists, false);
        let as_client = Offer::new(Role::Client, &config, &[]).negotiate(&theirs).unwrap();
        assert_eq!(as_client.kex.name, CURVE);
        let host_keys = config.preferences.host_keys.clone();
        let as_server = Offer {
            role: Role::Server,
            config: &config,
            host_keys,
        }
        .negotiate(&theirs)
        .unwrap();
        assert_eq!(as_server.kex.name, LIBSSH);
    }

    #[test]
    fn a_cipher_that_authenticates_needs_no_mac() {
        let lists = [
            CURVE,
            "ssh-ed25519",
            GCM,
            "aes128-ctr",
            "md5",
            "hmac-sha2-256",
            "none",
            "none",
        ];
        let choice = client_sees(lists, false).unwrap();
        assert_eq!(
            (choice.client_to_server.cipher.name, choice.client_to_server.mac),
            (GCM, None)
        );
        assert_eq!(
            choice.server_to_client.mac.map(|mac| mac.name),
            Some("hmac-sha2-256")
        );
        let as_client = choice.for_role(Role::Client, true);
        assert_eq!(
            (as_client.outgoing.cipher.name, as_client.incoming.cipher.name),
            (GCM, "aes128-ctr")
        );
        let as_server = choice.for_role(Role::Server, true);
        assert_eq!(
            (as_server.outgoing.cipher.name, as_server.incoming.cipher.name),
            ("aes128-ctr", GCM)
        );
    }

    #[test]
    fn a_failed_search_tells_both_lists() {
        let good = [
            CURVE,
            "ssh-ed25519",
            "aes128-ctr",
            "aes128-ctr",
            "hmac-sha2-256",
            "hmac-sha2-256",
            "none",
            "none",
        ];
        assert!(client_sees(good, false).is_ok());
        for (index, what) in [
            Negotiable::Kex,
            Negotiable::HostKey,
            Negotiable::CipherClientToServer,
            Negotiable::CipherServerToClient,
            Negotiable::MacClientToServer,
            Negotiable::MacServerToClient,
            Negotiable::CompressionClientToServer,
            Negotiable::CompressionServerToClient,
        ]
        .into_iter()
        .enumerate()
        {
            for theirs in ["", "foo,bar"] {
                let mut lists = good;
                lists[index] = theirs;
                let error = client_sees(lists, false).unwrap_err();
                assert_eq!(error.what, what);
                assert_eq!(
                    error.theirs,
                    theirs
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .collect::<Vec<_>>()
                );
                assert!(!error.ours.is_empty());
            }
        }
    }

    #[test]
    fn markers_are_no_methods() {
        let marked = "ext-info-s,kex-strict-s-v00@openssh.com";
        let lists = [marked, "ssh-ed25519", GCM, GCM, "", "", "none", "none"];
        assert_eq!(client_sees(lists, false).unwrap_err().what, Negotiable::Kex);
    }

    #[test]
    fn guesses_are_judged_by_both_first_names() {
        let mut config = Config::default();
        config.preferences.edit_host_keys("^ssh-ed25519").unwrap();
        let marked = format!("kex-strict-s-v00@openssh.com,{MLKEM}");
        let second = format!("{CURVE},{MLKEM}");
        for (kex, host_keys, follows, skip) in [
            (MLKEM, "ssh-ed25519", true, false),
            (&marked, "ssh-ed25519", true, false),
            (&second, "ssh-ed25519", true, true),
            (MLKEM, "ssh-rsa,ssh-ed25519", true, true),
            (&second, "ssh-rsa,ssh-ed25519", false, false),
        ] {
            let lists = [kex, host_keys, GCM, GCM, "", "", "none", "none"];
            assert_eq!(
                Offer::new(Role::Client, &config, &[])
                    .negotiate(&kexinit(lists, follows))
                    .unwrap()
                    .skip_guess,
                skip,
                "{kex} {host_keys} {follows}"
            );
        }
    }

    #[test]
    fn markers_stand_in_the_first_kexinit_only() {
        let config = Config::default();
        for (role, marked) in [
            (Role::Client, "ext-info-c,kex-strict-c-v00@openssh.com"),
            (Role::Server, "ext-info-s,kex-strict-s-v00@openssh.com"),
        ] {
            let offer = Offer::new(role, &config, &[]);
            let first = offer.kexinit([0; 16], true);
            let first = KexInit::from_bytes(&first).unwrap();
            assert!(first.kex_algorithms.as_str().ends_with(marked));
            assert!(!first.first_kex_packet_follows);
            let later = offer.kexinit([0; 16], false);
            let later = KexInit::from_bytes(&later).unwrap();
            assert_eq!(later.kex_algorithms.as_str(), joined(&config.preferences.kex));
        }
    }
}
