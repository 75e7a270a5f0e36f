//! Whom to believe to be the host: the one decision no caller of [`Client::connect`](crate::Client::connect) can skip.
//!
//! ```text
//!  offered key ──▶ pinned key or fingerprint ─── same? yes ▶ accepted   no ▶ refused
//!              └─▶ known_hosts files ── revoked anywhere ▶ refused
//!                                    ├─ in a certificate of a known authority for this host and time ▶ accepted
//!                                    ├─ known ▶ accepted
//!                                    ├─ another key is known ▶ refused, with both fingerprints and the line
//!                                    ├─ in a bad certificate of a known authority ▶ refused, with what is wrong
//!                                    └─ unknown ▶ refused | added (accept_new) | asked (ask)
//! ```
//!
//! Everything fails closed: a file that cannot be read or appended to refuses the host; one that does not exist knows
//! nobody. A certificate by an authority that no file names says no more than its key by itself, as with OpenSSH. The
//! question of RFC 4255 (DNS) is not asked yet.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::address::Address;
use crate::error::Error as ClientError;
use crate::keys::certificate::authority_algorithms;
use crate::keys::known_hosts::{AuthorityStatus, HostKeyStatus, KnownHosts};
use crate::keys::{Certificate, CertificateError, Fingerprint, PublicKey, SignatureAlgorithm};
use crate::tokio_driver::system_rng;

/// The largest `known_hosts` file read, in bytes.
pub const MAX_KNOWN_HOSTS_BYTES: u64 = 64 * 1024 * 1024;

/// How the host's key is judged.
#[derive(Clone)]
pub struct HostKeys {
    policy: Policy,
}

#[derive(Clone)]
enum Policy {
    Files(Files),
    Pinned(PublicKey),
    Fingerprint(Fingerprint),
    Any,
}

#[derive(Clone)]
struct Files {
    /// All are read; an unknown key is added to the first.
    paths: Vec<PathBuf>,
    unknown: Unknown,
    hash_names: bool,
    /// The name to look for instead of the address's.
    alias: Option<String>,
    /// What authorities may sign with.
    authority_algorithms: Vec<&'static SignatureAlgorithm>,
}

#[derive(Clone)]
enum Unknown {
    Refuse,
    Add,
    Ask(Arc<dyn Fn(&UnknownHostKey) -> Answer + Send + Sync>),
}

/// A host whose key is in no file: what a person is asked about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UnknownHostKey {
    /// Where we connected to.
    pub address: Address,
    /// The key it showed, and proved to have.
    pub key: PublicKey,
    /// The certificate it showed the key in, if it did. No file names its authority, so it is only a hint.
    pub certificate: Option<Certificate>,
    /// The types of other keys the host is known by. Empty for a host never seen; otherwise somebody should wonder why
    /// it shows a key of another type now.
    pub known_types: Vec<String>,
}

/// What to do about an unknown host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Do not connect.
    Refuse,
    /// Connect, and ask again the next time.
    AcceptOnce,
    /// Connect, and add the key to the first file.
    AcceptAndSave,
}

/// Why a host was not believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostKeyError {
    /// No file knows this key, nor another of its type, for the host.
    #[error("its key {key:?} is not known{}", others(known_types))]
    Unknown {
        /// The key it showed.
        key: PublicKey,
        /// The types of other keys the host is known by.
        known_types: Vec<String>,
    },
    /// A file knows another key for the host: it was set up anew, or somebody else answers in its place.
    #[error("its key is {offered:?}, but line {line} of {} says {known:?}", path.display())]
    Changed {
        /// The key it showed.
        offered: PublicKey,
        /// The key that is known.
        known: PublicKey,
        /// The file that knows it.
        path: PathBuf,
        /// The line in that file, counted from 1.
        line: usize,
    },
    /// A file says that the key must not be believed.
    #[error("its key {key:?} is revoked by line {line} of {}", path.display())]
    Revoked {
        /// The key it showed.
        key: PublicKey,
        /// The file that revokes it.
        path: PathBuf,
        /// The line in that file, counted from 1.
        line: usize,
    },
    /// A file says that the authority of its certificate must not be believed.
    #[error("the authority {authority:?} of its certificate is revoked by line {line} of {}", path.display())]
    RevokedAuthority {
        /// The authority's key.
        authority: PublicKey,
        /// The file that revokes it.
        path: PathBuf,
        /// The line in that file, counted from 1.
        line: usize,
    },
    /// A file names the authority of its certificate, but the certificate is not good for this host now; and no file knows
    /// the key by itself.
    #[error("{problem} (by {authority}, whom line {line} of {} names)", path.display())]
    Certificate {
        /// What is wrong with it.
        problem: Box<CertificateError>,
        /// The fingerprint of the authority's key.
        authority: Fingerprint,
        /// The file that names the authority.
        path: PathBuf,
        /// The line in that file, counted from 1.
        line: usize,
    },
    /// The key is not the pinned one.
    #[error("its key is {offered}, but {pinned} is pinned")]
    NotPinned {
        /// The fingerprint of the key it showed.
        offered: Fingerprint,
        /// The fingerprint that was expected.
        pinned: Fingerprint,
    },
    /// The question was answered with no.
    #[error("its key {key:?} was declined")]
    Declined {
        /// The key it showed.
        key: PublicKey,
    },
    /// A file could not be read or appended to.
    #[error("{}: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn others(known_types: &[String]) -> String {
    match known_types {
        [] => String::new(),
        types => format!(", only keys of type {}", types.join(", ")),
    }
}

impl HostKeys {
    /// Only hosts in this file, in OpenSSH's form, are believed. A file that does not exist knows nobody.
    pub fn known_hosts(path: impl Into<PathBuf>) -> Self {
        Self {
            policy: Policy::Files(Files {
                paths: vec![path.into()],
                unknown: Unknown::Refuse,
                hash_names: false,
                alias: None,
                authority_algorithms: authority_algorithms().collect(),
            }),
        }
    }

    /// The user's own file (`~/.ssh/known_hosts`) and the machine's (`/etc/ssh/ssh_known_hosts`).
    ///
    /// # Errors
    /// [`Error::NoHome`](ClientError::NoHome) where there is no home directory.
    pub fn known_hosts_default() -> Result<Self, ClientError> {
        let own = crate::home()?.join(".ssh").join("known_hosts");
        Ok(Self::known_hosts(own).and_file("/etc/ssh/ssh_known_hosts"))
    }

    /// Reads this file too. Keys are never added to it.
    #[must_use]
    pub fn and_file(self, path: impl Into<PathBuf>) -> Self {
        self.change(|files| files.paths.push(path.into()))
    }

    /// A host that no file knows is believed, and its key appended to the first file. A changed key is still refused,
    /// and so is a key of a new type where others are known: whoever wants to stand in for a host could choose it.
    #[must_use]
    pub fn accept_new(self) -> Self {
        self.change(|files| files.unknown = Unknown::Add)
    }

    /// An unknown host is asked about. The closure may block: it runs where blocking is allowed.
    #[must_use]
    pub fn ask(self, question: impl Fn(&UnknownHostKey) -> Answer + Send + Sync + 'static) -> Self {
        self.change(|files| files.unknown = Unknown::Ask(Arc::new(question)))
    }

    /// Host names are hashed when they are added, so that the file does not say where its owner connects to.
    #[must_use]
    pub fn hash_names(self) -> Self {
        self.change(|files| files.hash_names = true)
    }

    /// Looks for this name instead of the one connected to.
    #[must_use]
    pub fn alias(self, name: impl Into<String>) -> Self {
        self.change(|files| files.alias = Some(name.into()))
    }

    /// What authorities may sign certificates of hosts with (`CASignatureAlgorithms`); unless set, everything but SHA-1.
    #[must_use]
    pub fn authority_algorithms(
        self,
        algorithms: impl IntoIterator<Item = &'static SignatureAlgorithm>,
    ) -> Self {
        self.change(|files| files.authority_algorithms = algorithms.into_iter().collect())
    }

    /// Only this key is believed, in a certificate or by itself.
    pub const fn pinned(key: PublicKey) -> Self {
        Self {
            policy: Policy::Pinned(key),
        }
    }

    /// Only the key with this fingerprint is believed, in a certificate or by itself.
    pub const fn pinned_fingerprint(fingerprint: Fingerprint) -> Self {
        Self {
            policy: Policy::Fingerprint(fingerprint),
        }
    }

    /// Any key is believed: whoever can answer in the host's place can read and change everything, passwords included.
    pub const fn dangerous_accept_any() -> Self {
        Self { policy: Policy::Any }
    }

    fn change(mut self, change: impl FnOnce(&mut Files)) -> Self {
        if let Policy::Files(files) = &mut self.policy {
            change(files);
        }
        self
    }

    /// Reads the files: after this, judging needs no more than memory, unless a key has to be added.
    pub(crate) async fn prepare(
        &self,
        address: &Address,
        required_rsa_bits: usize,
    ) -> Result<Judge, HostKeyError> {
        let known = match &self.policy {
            Policy::Files(files) => {
                let paths = files.paths.clone();
                crate::blocking(move || paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()).await?
            }
            _ => Vec::new(),
        };
        Ok(Judge {
            policy: self.policy.clone(),
            address: address.clone(),
            known,
            required_rsa_bits,
        })
    }
}

impl std::fmt::Debug for HostKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.policy {
            Policy::Files(files) => f.debug_tuple("HostKeys").field(&files.paths).finish(),
            Policy::Pinned(key) => f.debug_tuple("HostKeys").field(key).finish(),
            Policy::Fingerprint(fingerprint) => f.debug_tuple("HostKeys").field(fingerprint).finish(),
            Policy::Any => f.write_str("HostKeys(any)"),
        }
    }
}

/// The policy with its files read, for one address.
pub(crate) struct Judge {
    policy: Policy,
    address: Address,
    known: Vec<(PathBuf, KnownHosts)>,
    required_rsa_bits: usize,
}

impl Judge {
    fn name(&self) -> &str {
        match &self.policy {
            Policy::Files(Files {
                alias: Some(alias), ..
            }) => alias,
            _ => &self.address.host,
        }
    }

    /// Puts the algorithms whose keys are known for this host first, so that a host with several keys shows the one
    /// that can be checked (RFC 4253 §7.1 takes the client's order): certificates where an authority is known for it.
    pub(crate) fn order(&self, algorithms: &mut [&'static SignatureAlgorithm]) {
        let known: Vec<&str> = match &self.policy {
            Policy::Pinned(key) => vec![key.key_type()],
            Policy::Files(_) => self.known_types().collect(),
            Policy::Fingerprint(_) | Policy::Any => return,
        };
        let (name, port) = (self.name(), self.address.port);
        let has_authority = self
            .known
            .iter()
            .any(|(_, hosts)| hosts.has_authority_for(name, port));
        algorithms.sort_by_key(|algorithm| {
            let certified = has_authority && algorithm.is_certificate();
            !(certified || known.contains(&algorithm.plain().key_type))
        });
    }

    /// The types of the keys the host is known by.
    fn known_types(&self) -> impl Iterator<Item = &str> {
        let (name, port) = (self.name(), self.address.port);
        self.known
            .iter()
            .flat_map(move |(_, hosts)| hosts.key_types_for(name, port))
    }

    /// Whether `key`, which the host has proved to have, is believed; in its certificate, if it was shown in one.
    pub(crate) async fn judge(
        &self,
        key: &PublicKey,
        certificate: Option<&Certificate>,
    ) -> Result<(), HostKeyError> {
        let pinned = match &self.policy {
            Policy::Any => return Ok(()),
            Policy::Files(files) => return self.judge_by_files(files, key, certificate).await,
            Policy::Pinned(pinned) if pinned == key => return Ok(()),
            Policy::Pinned(pinned) => pinned.fingerprint(),
            Policy::Fingerprint(pinned) if *pinned == key.fingerprint() => return Ok(()),
            Policy::Fingerprint(pinned) => *pinned,
        };
        Err(HostKeyError::NotPinned {
            offered: key.fingerprint(),
            pinned,
        })
    }

    async fn judge_by_files(
        &self,
        files: &Files,
        key: &PublicKey,
        certificate: Option<&Certificate>,
    ) -> Result<(), HostKeyError> {
        let vouched = match certificate.map(|certificate| self.look_up_authority(files, certificate)) {
            Some(Vouched::Yes) => return Ok(()),
            Some(Vouched::Revoked(error)) => return Err(error),
            Some(Vouched::Badly(error)) => Some(error),
            Some(Vouched::No) | None => None,
        };
        match (self.look_up(key), vouched) {
            (Verdict::Known, _) => return Ok(()),
            (Verdict::Refused(error), _) | (Verdict::Unknown, Some(error)) => return Err(error),
            (Verdict::Unknown, None) => {}
        }
        let known_types: Vec<String> = self.known_types().map(str::to_owned).collect();
        let answer = match &files.unknown {
            Unknown::Add if known_types.is_empty() => Answer::AcceptAndSave,
            Unknown::Refuse | Unknown::Add => {
                return Err(HostKeyError::Unknown {
                    key: key.clone(),
                    known_types,
                });
            }
            Unknown::Ask(ask) => {
                let ask = Arc::clone(ask);
                let question = UnknownHostKey {
                    address: self.address.clone(),
                    key: key.clone(),
                    certificate: certificate.cloned(),
                    known_types,
                };
                crate::blocking(move || ask(&question)).await
            }
        };
        match answer {
            Answer::Refuse => Err(HostKeyError::Declined { key: key.clone() }),
            Answer::AcceptOnce => Ok(()),
            Answer::AcceptAndSave => self.save(files, key).await,
        }
    }

    /// What all files say of the authority of a certificate, and the certificate of this host. A revocation beats
    /// everything; the first file that names the authority is the one that errors tell of.
    fn look_up_authority(&self, files: &Files, certificate: &Certificate) -> Vouched {
        let mut named = None;
        for (path, hosts) in &self.known {
            match hosts.check_authority(self.name(), self.address.port, certificate) {
                AuthorityStatus::Revoked { line, key } => {
                    let path = path.clone();
                    return Vouched::Revoked(if key == *certificate.signature_key() {
                        HostKeyError::RevokedAuthority {
                            authority: key,
                            path,
                            line,
                        }
                    } else {
                        HostKeyError::Revoked { key, path, line }
                    });
                }
                AuthorityStatus::Trusted { line } if named.is_none() => named = Some((path, line)),
                AuthorityStatus::Trusted { .. } | AuthorityStatus::Unknown => {}
            }
        }
        let Some((path, line)) = named else {
            return Vouched::No;
        };
        match self.check_certificate(files, certificate) {
            Ok(()) => Vouched::Yes,
            Err(problem) => Vouched::Badly(HostKeyError::Certificate {
                problem: Box::new(problem),
                authority: certificate.signature_key().fingerprint(),
                path: path.clone(),
                line,
            }),
        }
    }

    /// Whether its authority, which is trusted, vouches for this host now.
    fn check_certificate(&self, files: &Files, certificate: &Certificate) -> Result<(), CertificateError> {
        let authority = certificate.signature_key();
        authority
            .check_rsa_bits(self.required_rsa_bits)
            .map_err(CertificateError::AuthorityKey)?;
        // A clock before 1970 is wrong, and then so is every certificate.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(u64::MAX, |since| since.as_secs());
        let host = self.name().to_ascii_lowercase();
        let proof = certificate.verify_host(&host, now, authority, &files.authority_algorithms)?;
        tracing::debug!(%host, ?certificate, ?proof, "the host's certificate is good");
        Ok(())
    }

    /// What all files say together: a revocation beats everything, a match beats a mismatch.
    fn look_up(&self, key: &PublicKey) -> Verdict {
        let mut verdict = Verdict::Unknown;
        for (path, hosts) in &self.known {
            match hosts.check(self.name(), self.address.port, key) {
                HostKeyStatus::Revoked { line } => {
                    return Verdict::Refused(HostKeyError::Revoked {
                        key: key.clone(),
                        path: path.clone(),
                        line,
                    });
                }
                HostKeyStatus::Known { .. } => verdict = Verdict::Known,
                HostKeyStatus::Changed { line, known } if matches!(verdict, Verdict::Unknown) => {
                    verdict = Verdict::Refused(HostKeyError::Changed {
                        offered: key.clone(),
                        known,
                        path: path.clone(),
                        line,
                    });
                }
                HostKeyStatus::Changed { .. } | HostKeyStatus::Unknown => {}
            }
        }
        verdict
    }

    async fn save(&self, files: &Files, key: &PublicKey) -> Result<(), HostKeyError> {
        let Some(path) = files.paths.first().cloned() else {
            return Ok(());
        };
        let line = match files.hash_names {
            false => KnownHosts::line_for(self.name(), self.address.port, key).map_err(|problem| {
                HostKeyError::Store {
                    path: path.clone(),
                    source: io::Error::new(io::ErrorKind::InvalidInput, problem),
                }
            })?,
            true => {
                let mut salt = [0; 20];
                let mut rng = system_rng().map_err(|source| HostKeyError::Store {
                    path: path.clone(),
                    source,
                })?;
                rng.fill_bytes(&mut salt);
                KnownHosts::hashed_line_for(self.name(), self.address.port, key, salt)
            }
        };
        crate::blocking(move || append(&path, &line).map_err(|source| HostKeyError::Store { path, source }))
            .await
    }
}

/// What a certificate is worth.
enum Vouched {
    /// An authority that is trusted for this host vouches for it.
    Yes,
    /// No file names its authority.
    No,
    /// A file names its authority, and the certificate is not good.
    Badly(HostKeyError),
    Revoked(HostKeyError),
}

enum Verdict {
    Known,
    Unknown,
    Refused(HostKeyError),
}

fn read(path: PathBuf) -> Result<(PathBuf, KnownHosts), HostKeyError> {
    let text = || -> io::Result<Vec<u8>> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        let length = file
            .take(MAX_KNOWN_HOSTS_BYTES.saturating_add(1))
            .read_to_end(&mut text)?;
        match u64::try_from(length) {
            Ok(length) if length <= MAX_KNOWN_HOSTS_BYTES => Ok(text),
            _ => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the file is too large",
            )),
        }
    };
    match text() {
        Ok(text) => Ok((path, KnownHosts::parse(&text))),
        Err(source) => Err(HostKeyError::Store { path, source }),
    }
}

/// Appends one line by one write to a file opened for appending: several clients may do so at the same time, and
/// nothing that stands in the file is ever written again.
fn append(path: &Path, line: &str) -> io::Result<()> {
    if let Some(directory) = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut text = String::new();
    if !ends_with_newline(&mut file)? {
        text.push('\n');
    }
    text.push_str(line.trim_end_matches('\n'));
    text.push('\n');
    let written = file.write(text.as_bytes())?;
    if written == text.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}
