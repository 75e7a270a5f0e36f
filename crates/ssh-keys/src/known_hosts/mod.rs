//! `known_hosts`: which key belongs to which host (OpenSSH `sshd(8)`, "SSH_KNOWN_HOSTS FILE FORMAT").
//!
//! ```text
//! [@revoked|@cert-authority]  hosts  type  base64  [comment]
//!
//! hosts   example.org,*.example.net,!bad.example.net,[example.org]:2222,192.0.2.7     patterns, `!` excludes
//!         |1|salt|HMAC-SHA1(salt, name)                                               one hashed name
//! ```
//!
//! The name of a host is the host itself on port 22 and `[host]:port` elsewhere. A host on another port is also known by
//! a plain line of its name if that line has the very key it shows, as with OpenSSH; such a line never makes its key a
//! changed one.
//!
//! Lines with keys of types that cannot be verified here are kept and compared byte by byte: such a key can be revoked,
//! and its type is reported by [`KnownHosts::key_types_for`]. `@cert-authority` lines are for certificates alone
//! ([`KnownHosts::check_authority`]): a plain key never matches them. Lines that are not understood have no effect and are
//! listed in [`KnownHosts::bad_lines`].

mod hosts;

use hosts::Hosts;

use crate::error::shown;
use crate::public_key::{Fields, decode_fields};
use crate::{BadLine, Certificate, KeyError, LineProblem, PublicKey, lines};

pub use hosts::{BadHostName, MAX_HOST_BYTES};

/// The port whose hosts stand without a port.
const SSH_PORT: u16 = 22;

/// The lines of one `known_hosts` file.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
    bad_lines: Vec<BadLine>,
}

/// What the file says of a host and the key it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyStatus {
    /// This is the host's key.
    Known {
        /// The line that says so.
        line: usize,
    },
    /// The host is known by another key of this type, and by none that matches.
    Changed {
        /// The line that holds the key that was expected.
        line: usize,
        /// The key that was expected.
        known: PublicKey,
    },
    /// Nothing is known of a key of this type for the host.
    ///
    /// The host may still be known by a key of another type: see [`KnownHosts::key_types_for`].
    Unknown,
    /// The key is revoked, whatever other lines say.
    Revoked {
        /// The line that revokes it.
        line: usize,
    },
}

impl HostKeyStatus {
    /// The status that follows from two files: revoked in either is revoked, known in either is known, and changed in
    /// either is otherwise changed.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if other.weight() > self.weight() {
            other
        } else {
            self
        }
    }

    const fn weight(&self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Changed { .. } => 1,
            Self::Known { .. } => 2,
            Self::Revoked { .. } => 3,
        }
    }
}

/// What the file says of the authority that a host's certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorityStatus {
    /// It is an authority for this host. Whether it really signed, and what, is for the certificate to show.
    Trusted {
        /// The line that says so.
        line: usize,
    },
    /// No line makes it an authority for this host.
    Unknown,
    /// The authority's key or the certified key is revoked, whatever other lines say.
    Revoked {
        /// The line that revokes it.
        line: usize,
        /// The key that is revoked.
        key: PublicKey,
    },
}

/// What a line says of its key, when it is more than "this host has this key".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// `@revoked`: the key is never to be accepted.
    Revoked,
    /// `@cert-authority`: the key signs certificates of these hosts.
    CertAuthority,
}

/// One line of a `known_hosts` file.
#[derive(Debug, Clone)]
pub struct Entry {
    line: usize,
    marker: Option<Marker>,
    hosts: Hosts,
    key: EntryKey,
    comment: String,
}

#[derive(Debug, Clone)]
enum EntryKey {
    Supported(PublicKey),
    /// A key that cannot be verified here: of a type without an algorithm, or RSA of a size that is not accepted.
    Foreign {
        key_type: String,
        blob: Vec<u8>,
    },
}

impl Entry {
    /// The line's number, counted from 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The line's marker, if it has one.
    pub const fn marker(&self) -> Option<Marker> {
        self.marker
    }

    /// The type of the line's key, supported or not.
    pub fn key_type(&self) -> &str {
        match &self.key {
            EntryKey::Supported(key) => key.key_type(),
            EntryKey::Foreign { key_type, .. } => key_type,
        }
    }

    /// The blob of the line's key.
    pub fn blob(&self) -> &[u8] {
        match &self.key {
            EntryKey::Supported(key) => key.blob(),
            EntryKey::Foreign { blob, .. } => blob,
        }
    }

    /// The line's key, where its type is supported.
    pub const fn key(&self) -> Option<&PublicKey> {
        match &self.key {
            EntryKey::Supported(key) => Some(key),
            EntryKey::Foreign { .. } => None,
        }
    }

    /// What stands behind the key.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether the line is about this host on this port.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.hosts.matches(&Names::new(host, port).exact)
    }

    fn parse(line: usize, text: &[u8]) -> Result<Self, LineProblem> {
        let mut fields = Fields(text);
        let mut first = fields.next_field().unwrap_or_default();
        let marker = match first.split_first() {
            Some((b'@', _)) => {
                let marker = Marker::parse(first)?;
                first = fields.next_field().ok_or(LineProblem::BadHosts("missing"))?;
                Some(marker)
            }
            _ => None,
        };
        let hosts = Hosts::parse(first)?;
        let key_type = fields.next_field().ok_or(KeyError::MissingField("key type"))?;
        let blob = decode_fields(key_type, &mut fields)?;
        let key = match PublicKey::from_blob(&blob) {
            Ok(key) => EntryKey::Supported(key),
            Err(KeyError::UnsupportedType(_) | KeyError::RsaSize(_)) => EntryKey::Foreign {
                key_type: shown(key_type),
                blob,
            },
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            line,
            marker,
            hosts,
            key,
            comment: fields.comment(),
        })
    }
}

impl Marker {
    fn parse(word: &[u8]) -> Result<Self, LineProblem> {
        match word {
            b"@revoked" => Ok(Self::Revoked),
            b"@cert-authority" => Ok(Self::CertAuthority),
            other => Err(LineProblem::UnknownMarker(shown(other))),
        }
    }
}

/// The names a host is looked up by.
struct Names {
    /// The host on its port.
    exact: String,
    /// The bare host, where that is another name.
    bare: Option<String>,
}

impl Names {
    fn new(host: &str, port: u16) -> Self {
        let exact = hosts::name(host, port);
        let bare = (port != SSH_PORT).then(|| hosts::name(host, SSH_PORT));
        Self { exact, bare }
    }

    fn match_any(&self, hosts: &Hosts) -> bool {
        hosts.matches(&self.exact) || self.bare_matches(hosts)
    }

    fn bare_matches(&self, hosts: &Hosts) -> bool {
        self.bare.as_ref().is_some_and(|name| hosts.matches(name))
    }
}

impl KnownHosts {
    /// Reads a file. This never fails: what is not understood is in [`bad_lines`](Self::bad_lines).
    pub fn parse(text: impl AsRef<[u8]>) -> Self {
        let (entries, bad_lines) = lines::parse(text.as_ref(), Entry::parse);
        Self { entries, bad_lines }
    }

    /// The lines that were understood, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The lines that were not understood, and why.
    pub fn bad_lines(&self) -> &[BadLine] {
        &self.bad_lines
    }

    /// What the file says of `host` (a name or an address, without brackets) on `port` showing `key`.
    pub fn check(&self, host: &str, port: u16, key: &PublicKey) -> HostKeyStatus {
        let names = Names::new(host, port);
        let mut status = HostKeyStatus::Unknown;
        // A plain line of the bare host counts only if no line names the host on its port.
        let mut elsewhere = None;
        for entry in &self.entries {
            let line = entry.line;
            let same = entry.blob() == key.blob();
            let exact = entry.hosts.matches(&names.exact);
            match entry.marker {
                Some(Marker::Revoked) if same && (exact || names.bare_matches(&entry.hosts)) => {
                    return HostKeyStatus::Revoked { line };
                }
                None if same && exact => status = status.and(HostKeyStatus::Known { line }),
                None if exact => {
                    if let Some(known) = entry.key().filter(|known| known.key_type() == key.key_type()) {
                        status = status.and(HostKeyStatus::Changed {
                            line,
                            known: known.clone(),
                        });
                    }
                }
                None if same && names.bare_matches(&entry.hosts) => {
                    elsewhere.get_or_insert(HostKeyStatus::Known { line });
                }
                _ => {}
            }
        }
        match (status, elsewhere) {
            (HostKeyStatus::Unknown, Some(known)) => known,
            (status, _) => status,
        }
    }

    /// What the file says of `host` (without brackets) on `port` showing this certificate. As with keys, a line of the bare
    /// host counts on every port.
    pub fn check_authority(&self, host: &str, port: u16, certificate: &Certificate) -> AuthorityStatus {
        let names = Names::new(host, port);
        let authority = certificate.signature_key();
        let mut status = AuthorityStatus::Unknown;
        for entry in self.entries.iter().filter(|entry| names.match_any(&entry.hosts)) {
            let line = entry.line;
            match entry.marker {
                Some(Marker::Revoked) => {
                    let mut shown = [authority, certificate.key()].into_iter();
                    if let Some(key) = shown.find(|key| key.blob() == entry.blob()).cloned() {
                        return AuthorityStatus::Revoked { line, key };
                    }
                }
                Some(Marker::CertAuthority)
                    if entry.blob() == authority.blob() && status == AuthorityStatus::Unknown =>
                {
                    status = AuthorityStatus::Trusted { line };
                }
                _ => {}
            }
        }
        status
    }

    /// Whether the file names an authority for this host: then certificates are to be asked for first.
    pub fn has_authority_for(&self, host: &str, port: u16) -> bool {
        let names = Names::new(host, port);
        self.entries
            .iter()
            .any(|entry| entry.marker == Some(Marker::CertAuthority) && names.match_any(&entry.hosts))
    }

    /// The types of the keys the host is known by, in the order of the lines and each once: to be asked for first, and
    /// to tell a host never seen (an empty list) from one that shows a key of a new type. Types that are not supported
    /// are among them.
    pub fn key_types_for(&self, host: &str, port: u16) -> Vec<&str> {
        let names = Names::new(host, port);
        let types = |matches: &dyn Fn(&Hosts) -> bool| {
            let mut types: Vec<&str> = Vec::new();
            for entry in &self.entries {
                if entry.marker.is_none() && !types.contains(&entry.key_type()) && matches(&entry.hosts) {
                    types.push(entry.key_type());
                }
            }
            types
        };
        let exact = types(&|hosts| hosts.matches(&names.exact));
        if exact.is_empty() {
            types(&|hosts| names.bare_matches(hosts))
        } else {
            exact
        }
    }

    /// The line that makes `key` known for `host` on `port`, without a line ending. Names that would mean something
    /// else in the file (patterns, lists, markers) are refused.
    pub fn line_for(host: &str, port: u16, key: &PublicKey) -> Result<String, BadHostName> {
        hosts::check_name(host)?;
        Ok(format!("{} {}", hosts::name(host, port), key.to_openssh("")))
    }

    /// Like [`line_for`](Self::line_for), with the name hashed under 20 random bytes, so that the file does not tell
    /// where its owner goes.
    pub fn hashed_line_for(host: &str, port: u16, key: &PublicKey, salt: [u8; 20]) -> String {
        format!(
            "{} {}",
            hosts::hashed(&hosts::name(host, port), &salt),
            key.to_openssh("")
        )
    }
}
