//! What a user logs in with: keys and passwords, tried in the order given.
//!
//! ```text
//!  key file ──plain──────────────────────▶ Key      signs at once, one round trip
//!           ├─passphrase given───────────▶ Key
//!           └─passphrase to be asked for─▶ Locked   offered first; asked for when the server takes the key
//!  password, given or to be asked for────▶ Password
//! ```
//!
//! Key files are read before a connection is made: one that is missing, or is no key, is its own error with its path.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::Error as ClientError;
use crate::keys::wire::Tier;
use crate::keys::{
    KeyFileError, MAX_KEY_FILE_BYTES, PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, Signer,
};

/// How often a person is asked for the same passphrase or password.
pub const MAX_QUESTIONS: u32 = 3;

/// The key files looked for by [`Credentials::default_keys`], beneath `~/.ssh`. OpenSSH begins with RSA; here the kind
/// made today comes first, because each key a server refuses counts as a failed attempt.
pub const DEFAULT_KEY_FILES: &[&str] = &["id_ed25519", "id_ecdsa", "id_rsa"];

/// What to log in with, in order.
#[derive(Clone, Default)]
pub struct Credentials {
    items: Vec<Item>,
}

#[derive(Clone)]
enum Item {
    KeyFile {
        path: PathBuf,
        passphrase: Passphrase,
        /// Left out where the file is missing, is of a kind not known here, or is locked and nobody can be asked.
        optional: bool,
    },
    Key(Arc<PrivateKey>),
    Signer(Arc<dyn Signer>),
    Password(Password),
}

#[derive(Clone)]
enum Passphrase {
    None,
    Given(Zeroizing<Vec<u8>>),
    Ask(Arc<dyn Ask<Path>>),
}

/// Somebody who can be asked for a secret.
pub(crate) trait Ask<Question: ?Sized>: Send + Sync {
    /// The secret, if it is given.
    fn ask(&self, question: &Question) -> Option<Zeroizing<Vec<u8>>>;
}

impl<Question: ?Sized, F> Ask<Question> for F
where
    F: Fn(&Question) -> Option<Vec<u8>> + Send + Sync,
{
    fn ask(&self, question: &Question) -> Option<Zeroizing<Vec<u8>>> {
        self(question).map(Zeroizing::new)
    }
}

/// A password, or where to ask for it.
#[derive(Clone)]
pub(crate) enum Password {
    Given(Zeroizing<Vec<u8>>),
    Ask(Arc<dyn Ask<PasswordQuestion>>),
}

/// Which password is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordQuestion {
    /// The user to log in as.
    pub user: String,
    /// The host, as it was named to [`Client::connect`](crate::Client::connect).
    pub host: String,
    /// How many passwords were refused before.
    pub refused: u32,
}

/// Why a credential cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The key file could not be read; it may not be there.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no key, or not one that can be used; or the passphrase is wrong.
    #[error("{}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
}

impl Credentials {
    /// No credential at all: only a server that asks for none lets such a user in.
    pub fn none() -> Self {
        Self::default()
    }

    /// A private key in a file of OpenSSH's form, without a passphrase.
    pub fn key_file(path: impl Into<PathBuf>) -> Self {
        Self::one(Item::KeyFile {
            path: path.into(),
            passphrase: Passphrase::None,
            optional: false,
        })
    }

    /// A private key in a file of OpenSSH's form that is locked with `passphrase`.
    pub fn key_file_with_passphrase(path: impl Into<PathBuf>, passphrase: impl AsRef<[u8]>) -> Self {
        Self::one(Item::KeyFile {
            path: path.into(),
            passphrase: Passphrase::Given(Zeroizing::new(passphrase.as_ref().to_vec())),
            optional: false,
        })
    }

    /// A private key in a file; if it is locked, `ask` is called for the passphrase once the server has agreed to the
    /// key, up to [`MAX_QUESTIONS`] times. `None` leaves the key out. The closure may block.
    pub fn key_file_asking(
        path: impl Into<PathBuf>,
        ask: impl Fn(&Path) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::one(Item::KeyFile {
            path: path.into(),
            passphrase: Passphrase::Ask(Arc::new(ask)),
            optional: false,
        })
    }

    /// The user's own keys ([`DEFAULT_KEY_FILES`] in `~/.ssh`), as far as they are there and not locked.
    ///
    /// # Errors
    /// [`Error::NoHome`](ClientError::NoHome) where there is no home directory.
    pub fn default_keys() -> Result<Self, ClientError> {
        let directory = crate::home()?.join(".ssh");
        let each = DEFAULT_KEY_FILES
            .iter()
            .map(|name| Self::key_file(directory.join(name)));
        Ok(each.fold(Self::none(), Self::then).optional())
    }

    /// A private key in memory; one that many connections use may be shared ([`Arc`]). It signs at once, which saves the
    /// round trip of asking the server about it.
    pub fn key(key: impl Into<Arc<PrivateKey>>) -> Self {
        Self::one(Item::Key(key.into()))
    }

    /// Anything that signs: an agent, a piece of hardware. It may block or ask somebody, so the server is asked first
    /// whether it would take the key.
    pub fn signer(signer: Arc<dyn Signer>) -> Self {
        Self::one(Item::Signer(signer))
    }

    /// A password (RFC 4252 §8).
    pub fn password(password: impl AsRef<[u8]>) -> Self {
        Self::one(Item::Password(Password::Given(Zeroizing::new(
            password.as_ref().to_vec(),
        ))))
    }

    /// A password that `ask` is called for when the server takes passwords, up to [`MAX_QUESTIONS`] times. `None` gives
    /// up. The closure may block.
    pub fn password_asking(
        ask: impl Fn(&PasswordQuestion) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::one(Item::Password(Password::Ask(Arc::new(ask))))
    }

    /// These first, then `other`.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.items.extend(other.items);
        self
    }

    /// Key files named so far that are missing, of a kind not known here, or locked while nobody can be asked are left
    /// out instead of being errors.
    #[must_use]
    pub fn optional(mut self) -> Self {
        for item in &mut self.items {
            if let Item::KeyFile { optional, .. } = item {
                *optional = true;
            }
        }
        self
    }

    const fn is_file(item: &Item) -> bool {
        matches!(item, Item::KeyFile { .. })
    }

    fn one(item: Item) -> Self {
        Self { items: vec![item] }
    }

    /// Reads the key files.
    pub(crate) async fn prepare(&self) -> Result<Vec<Prepared>, CredentialError> {
        let items = self.items.clone();
        if items.iter().any(Self::is_file) {
            crate::blocking(move || prepare_all(items)).await
        } else {
            prepare_all(items)
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KeyFile { path, .. } => f.debug_tuple("KeyFile").field(path).finish(),
            Self::Key(key) => f.debug_tuple("Key").field(key.public()).finish(),
            Self::Signer(signer) => f.debug_tuple("Signer").field(signer.public_key()).finish(),
            Self::Password(_) => f.write_str("Password(…)"),
        }
    }
}

/// A credential that is ready to be tried.
pub(crate) enum Prepared {
    /// A key in memory: signing takes no time.
    Key(Arc<PrivateKey>),
    /// Something that signs and may take its time, or a person's.
    Signer(Arc<dyn Signer>),
    Locked(Arc<LockedKey>),
    Password(Password),
}

impl Prepared {
    /// The method it is for (RFC 4252).
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Key(_) | Self::Signer(_) | Self::Locked(_) => "publickey",
            Self::Password(_) => "password",
        }
    }

    /// What signs, if it is a key.
    pub(crate) fn signer(&self) -> Option<&dyn Signer> {
        match self {
            Self::Key(key) => Some(key),
            Self::Signer(signer) => Some(signer),
            Self::Locked(key) => Some(key),
            Self::Password(_) => None,
        }
    }

    /// What it is called where attempts are listed.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Key(key) => format!("publickey {}", key.public().fingerprint()),
            Self::Signer(signer) => format!("publickey {}", signer.public_key().fingerprint()),
            Self::Locked(key) => format!("publickey {}", key.public.fingerprint()),
            Self::Password(_) => "password".to_owned(),
        }
    }
}

/// A key whose passphrase is asked for when it is needed.
pub(crate) struct LockedKey {
    path: PathBuf,
    /// The half of the file that is not locked, and what it can be used with.
    public: PublicKey,
    algorithms: Vec<&'static SignatureAlgorithm>,
    text: Zeroizing<Vec<u8>>,
    ask: Arc<dyn Ask<Path>>,
}

/// As long as the key is locked, it can be offered but not used.
impl Signer for LockedKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        &self.algorithms
    }

    fn sign(&self, _algorithm: &SignatureAlgorithm, _message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Err(SignatureError::SignerFailed("the key is locked".to_owned()))
    }
}

impl LockedKey {
    /// Asks for the passphrase until it fits; `None` if it was not given.
    pub(crate) fn unlock(&self) -> Result<Option<PrivateKey>, CredentialError> {
        for _ in 0..MAX_QUESTIONS {
            let Some(passphrase) = self.ask.ask(&self.path) else {
                return Ok(None);
            };
            match PrivateKey::from_openssh(&self.text, Some(&passphrase)) {
                Ok(key) => return Ok(Some(key)),
                Err(KeyFileError::WrongPassphrase) => {}
                Err(source) => return Err(self.error(source)),
            }
        }
        Err(self.error(KeyFileError::WrongPassphrase))
    }

    fn error(&self, source: KeyFileError) -> CredentialError {
        CredentialError::KeyFile {
            path: self.path.clone(),
            source,
        }
    }
}

fn prepare_all(items: Vec<Item>) -> Result<Vec<Prepared>, CredentialError> {
    let mut prepared = Vec::new();
    for item in items {
        match item {
            Item::Key(key) => prepared.push(Prepared::Key(key)),
            Item::Signer(signer) => prepared.push(Prepared::Signer(signer)),
            Item::Password(password) => prepared.push(Prepared::Password(password)),
            Item::KeyFile {
                path,
                passphrase,
                optional,
            } => match open(path, passphrase) {
                Ok(key) => prepared.push(key),
                Err(error) if optional && may_be_left_out(&error) => {
                    tracing::debug!(%error, "a key file is left out");
                }
                Err(error) => return Err(error),
            },
        }
    }
    Ok(prepared)
}

fn may_be_left_out(error: &CredentialError) -> bool {
    match error {
        CredentialError::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
        CredentialError::KeyFile { source, .. } => matches!(
            source,
            KeyFileError::PassphraseNeeded
                | KeyFileError::UnsupportedFormat(_)
                | KeyFileError::UnsupportedKeyType(_)
                | KeyFileError::RefusedSize(_)
                | KeyFileError::UnsupportedCipher(_)
        ),
    }
}

fn open(path: PathBuf, passphrase: Passphrase) -> Result<Prepared, CredentialError> {
    let text = match read(&path) {
        Ok(text) => text,
        Err(source) => return Err(CredentialError::Unreadable { path, source }),
    };
    let key = |key| Ok(Prepared::Key(Arc::new(key)));
    let source = match (PrivateKey::from_openssh(&text, None), passphrase) {
        (Ok(plain), _) => return key(plain),
        (Err(KeyFileError::PassphraseNeeded), Passphrase::Given(passphrase)) => {
            match PrivateKey::from_openssh(&text, Some(&passphrase)) {
                Ok(unlocked) => return key(unlocked),
                Err(source) => source,
            }
        }
        (Err(KeyFileError::PassphraseNeeded), Passphrase::Ask(ask)) => {
            match PrivateKey::public_from_openssh(&text) {
                Ok(public) => {
                    return Ok(Prepared::Locked(Arc::new(LockedKey {
                        path,
                        algorithms: public
                            .algorithms()
                            .filter(|each| each.tier != Tier::Legacy)
                            .collect(),
                        public,
                        text,
                        ask,
                    })));
                }
                Err(source) => source,
            }
        }
        (Err(source), _) => source,
    };
    Err(CredentialError::KeyFile { path, source })
}

/// Reads a key file, at most one byte more than the longest that is looked at.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let limit = u64::try_from(MAX_KEY_FILE_BYTES).unwrap_or(u64::MAX);
    // Reserved at once: a vector that grows leaves copies of the key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_BYTES.saturating_add(2)));
    let file = std::fs::File::open(path)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut text)?;
    Ok(text)
}
