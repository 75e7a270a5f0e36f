//! SSH keys, what they sign, and the files that hold them: the room between the wire and the key exchange.
//!
//! ```text
//!   id_ed25519 ──format──▶ PrivateKey ──┐                    agents and hardware later
//!   (OPENSSH PRIVATE KEY)               ├──▶ Signer ──sign(algorithm, message)──▶ signature blob
//!                                       │
//!   known_hosts ──▶ KnownHosts ─┐       ▼
//!   authorized_keys ──▶ AuthorizedKeys ─┴─▶ PublicKey ──verify──▶ SignatureValid (a proof that can be had nowhere else)
//! ```
//!
//! | what | where | source |
//! |---|---|---|
//! | public key blobs and `.pub` lines | [`PublicKey`] | RFC 4253 §6.6, RFC 4716's base64 form as OpenSSH writes it |
//! | certificates of keys | [`Certificate`] | OpenSSH `PROTOCOL.certkeys` |
//! | signature algorithms | [`algorithm::ALL`] | RFC 8032, RFC 8709, RFC 5656, RFC 8332, OpenSSH `PROTOCOL.u2f` |
//! | `OPENSSH PRIVATE KEY` files | [`PrivateKey`] | OpenSSH `PROTOCOL.key` |
//! | host keys a user has seen | [`known_hosts`] | OpenSSH `sshd(8)`, "SSH_KNOWN_HOSTS FILE FORMAT" |
//! | keys a user may log in with | [`authorized_keys`] | OpenSSH `sshd(8)`, "AUTHORIZED_KEYS FILE FORMAT" |
//!
//! What is deliberately not here: reading or writing any file (text in, text out: whoever owns the file owns its
//! permissions), asking for a passphrase, deciding whom to trust, clocks, and randomness other than the generator that
//! is handed in. Each signature algorithm is a file under `algorithm/` and
//! a line in [`algorithm::ALL`]. Keys of other types are named in errors, and matched byte by byte in `known_hosts`, so
//! that a revoked DSA key stays revoked even though it could not be verified here.

#![forbid(unsafe_code)]

pub mod algorithm;
pub mod authorized_keys;
pub mod certificate;
mod error;
mod fingerprint;
mod format;
pub mod known_hosts;
mod lines;
pub mod pattern;
mod private_key;
mod public_key;
mod signature;

pub use certificate::{Certificate, CertificateError, CertifiedSigner};
pub use error::{BadLine, FileProblem, KeyError, KeyFileError, LineProblem, SignatureError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use format::{BCRYPT_ROUNDS, MAX_BCRYPT_ROUNDS, MAX_KEY_FILE_BYTES};
pub use lines::MAX_LINE_BYTES;
pub use private_key::{KeyKind, PrivateKey};
pub use public_key::{MAX_BLOB_BYTES, PublicKey};
pub use signature::{Demands, SecurityKeyUse, SignatureValid, Signer};
pub use ssh_wire as wire;

pub use algorithm::SignatureAlgorithm;
