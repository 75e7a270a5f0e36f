//! The login: credentials tried in order, as far as the server takes their method.
//!
//! ```text
//!  Turn ──the first credential left whose method helps──▶ attempt ──▶ Success
//!    ▲                                                       │
//!    └──refused, or more is wanted (partial success)─────────┘      nothing left ──▶ LoginRefused
//! ```
//!
//! A key in memory signs at once, beside the request for the service: no round trip is spent on asking. A locked key
//! is offered first, and its passphrase asked for only if the server takes the key. Nor is anybody asked for a password
//! before the server has named the methods it takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::auth::client::{Attempt, Authenticator, Event, Signed, SigningRequest, Turn};
use crate::auth::{self, Session};
use crate::config::Config;
use crate::credentials::{MAX_QUESTIONS, Password, PasswordQuestion, Prepared};
use crate::error::{Error, Phase};
use crate::kex::DisconnectReason;
use crate::keys::{KeyError, PublicKey, SignatureAlgorithm, SignatureError, Signer};
use crate::tokio_driver::{HandshakeError, farewell, next_event};

/// One login.
pub(crate) struct Login<'a> {
    pub(crate) config: &'a Config,
    pub(crate) address: &'a Address,
    pub(crate) user: &'a str,
    /// What has not been tried, in order.
    pub(crate) left: VecDeque<Prepared>,
    /// What is being tried.
    current: Option<Prepared>,
    /// The algorithm it is being tried with, if it is a key.
    algorithm: Option<&'static SignatureAlgorithm>,
    tried: Vec<String>,
    passwords_refused: u32,
    /// How long the server may still be waited for, all waits together.
    patience: Duration,
    /// Set when nothing is left: how the login ends.
    methods: Option<Vec<String>>,
}

impl<'a> Login<'a> {
    pub(crate) fn new(config: &'a Config, address: &'a Address, user: &'a str, left: Vec<Prepared>) -> Self {
        Self {
            config,
            address,
            user,
            left: left.into(),
            current: None,
            algorithm: None,
            tried: Vec::new(),
            passwords_refused: 0,
            patience: config.timeouts.login,
            methods: None,
        }
    }

    /// Logs in.
    pub(crate) async fn run<S>(
        mut self,
        mut authenticator: Authenticator,
        stream: &mut S,
    ) -> Result<Session, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            match self.next_event(&mut authenticator, stream).await? {
                Event::Banner(text) => {
                    if let Some(banner) = &self.config.banner {
                        banner.show(&text);
                    }
                }
                Event::Turn(turn) => {
                    let attempt = self.attempt(turn, &mut authenticator).await;
                    authenticator.attempt(attempt);
                }
                Event::SignatureWanted(request) => {
                    let signed = self.sign(request).await;
                    authenticator.signed(signed);
                }
                Event::PasswordChange(change) => {
                    tracing::warn!("the server wants the password to be changed, which is not done here");
                    authenticator.attempt(change.skip());
                }
                Event::HostKey(offer) => {
                    let why = offer.change("login");
                    authenticator.answer(offer.reject(why));
                }
                Event::Debug(message) if message.always_display => {
                    tracing::warn!("the server says: {}", message.text);
                }
                Event::Debug(message) => tracing::debug!("the server says: {}", message.text),
                Event::Success => match authenticator.into_session() {
                    Ok(session) => return Ok(session),
                    Err(unfinished) => authenticator = *unfinished,
                },
                other => tracing::debug!(?other, "an event of the login that is not known here"),
            }
        }
    }

    async fn next_event<S>(
        &mut self,
        authenticator: &mut Authenticator,
        stream: &mut S,
    ) -> Result<Event, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let begin = Instant::now();
        let waited = tokio::time::timeout(self.patience, next_event(authenticator, stream)).await;
        self.patience = self.patience.saturating_sub(begin.elapsed());
        match waited {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_elapsed) => {
                authenticator.disconnect(DisconnectReason::ByApplication, "the login took too long");
                farewell(authenticator, stream).await;
                Err(Error::Timeout {
                    address: self.address.clone(),
                    phase: Phase::Login,
                    limit: self.config.timeouts.login,
                })
            }
        }
    }

    fn failed(&mut self, error: HandshakeError<auth::Error>) -> Error {
        let address = self.address.clone();
        match error {
            HandshakeError::Layer(source) => match self.methods.take() {
                Some(methods) => Error::LoginRefused {
                    address,
                    user: self.user.to_owned(),
                    tried: std::mem::take(&mut self.tried),
                    methods,
                },
                None => Error::Login {
                    address,
                    user: self.user.to_owned(),
                    source: Box::new(source),
                },
            },
            HandshakeError::Io(source) => Error::Stream {
                address,
                phase: Phase::Login,
                source,
            },
            HandshakeError::PeerClosed => Error::Stream {
                address,
                phase: Phase::Login,
                source: std::io::ErrorKind::UnexpectedEof.into(),
            },
        }
    }

    /// The next thing to try.
    async fn attempt(&mut self, turn: Turn, authenticator: &mut Authenticator) -> Attempt {
        self.take_back(&turn, authenticator);
        if self.has_to_ask_in_the_dark(&turn) {
            self.tried.push("none".to_owned());
            return turn.none();
        }
        while let Some(credential) = self.next_usable(turn.methods()) {
            if let Some(refused) = self.too_small(&credential) {
                tracing::warn!(%refused, "a key is not tried");
                self.tried.push(refused.to_string());
                continue;
            }
            self.tried.push(credential.name());
            let chosen = match &credential {
                Prepared::Key(key) => authenticator
                    .algorithm_for(key)
                    .map(|algorithm| Choice::Sign(key.public().clone(), algorithm)),
                Prepared::Signer(signer) => ask_first(authenticator, signer),
                Prepared::Locked(key) => ask_first(authenticator, key),
                Prepared::Password(password) => self.ask_password(password).await.map(Choice::Password),
            };
            let attempt = match chosen {
                Some(Choice::Sign(key, algorithm)) => {
                    self.algorithm = Some(algorithm);
                    turn.publickey(key, algorithm)
                }
                Some(Choice::Query(key, algorithm)) => {
                    self.algorithm = Some(algorithm);
                    turn.publickey_query(key, algorithm)
                }
                Some(Choice::Password(password)) => turn.password(&password),
                None => continue,
            };
            self.current = Some(credential);
            return attempt;
        }
        if turn.methods().is_empty() && self.tried.is_empty() {
            self.tried.push("none".to_owned());
            return turn.none();
        }
        self.methods = Some(turn.methods().to_vec());
        turn.give_up()
    }

    /// Why a key is not tried, if it is one of less bits than are required.
    fn too_small(&self, credential: &Prepared) -> Option<KeyError> {
        let required = self.config.transport.required_rsa_bits;
        credential.signer()?.public_key().check_rsa_bits(required).err()
    }

    /// Whether a person would now be asked for a password that the server may not even take: it has not said yet what
    /// it takes, and says so when it is asked for nothing (RFC 4252 §5.2).
    fn has_to_ask_in_the_dark(&self, turn: &Turn) -> bool {
        let asks = matches!(self.left.front(), Some(Prepared::Password(Password::Ask(_))));
        asks && turn.methods().is_empty() && !self.tried.iter().any(|tried| tried == "none")
    }

    /// A password that was refused may be asked for again, and a key that was tried before the server had told which
    /// algorithms it takes (RFC 8308 §3.1) may be tried with one of those. What else was tried has had its turn.
    fn take_back(&mut self, turn: &Turn, authenticator: &Authenticator) {
        let Some(credential) = self.current.take() else {
            return;
        };
        if let Some(before) = self.algorithm.take()
            && turn.failed() == Some("publickey")
            && let Some(signer) = credential.signer()
            && authenticator
                .algorithm_for(signer)
                .is_some_and(|now| now != before)
        {
            self.left.push_front(credential);
            return;
        }
        if turn.failed() == Some("password") {
            self.passwords_refused = self.passwords_refused.saturating_add(1);
            if matches!(credential, Prepared::Password(Password::Ask(_)))
                && self.passwords_refused < MAX_QUESTIONS
            {
                self.left.push_front(credential);
            }
        }
    }

    /// The first credential the server may take. Before it has named its methods, that is the first of all.
    fn next_usable(&mut self, methods: &[String]) -> Option<Prepared> {
        let usable = |credential: &Prepared| {
            methods.is_empty() || methods.iter().any(|method| method == credential.method())
        };
        let place = self.left.iter().position(usable)?;
        self.left.remove(place)
    }

    async fn ask_password(&self, password: &Password) -> Option<Zeroizing<Vec<u8>>> {
        match password {
            Password::Given(given) => Some(given.clone()),
            Password::Ask(ask) => {
                let ask = ask.clone();
                let question = PasswordQuestion {
                    user: self.user.to_owned(),
                    host: self.address.host.clone(),
                    refused: self.passwords_refused,
                };
                crate::blocking(move || ask.ask(&question)).await
            }
        }
    }

    /// Signs with the credential that is being tried.
    async fn sign(&self, request: SigningRequest) -> Signed {
        let result = match &self.current {
            Some(Prepared::Key(key)) => request.sign_with(key),
            Some(Prepared::Signer(signer)) => {
                let signer = Arc::clone(signer);
                crate::blocking(move || request.sign_with(&signer)).await
            }
            Some(Prepared::Locked(key)) => {
                let key = Arc::clone(key);
                crate::blocking(move || match key.unlock() {
                    Ok(Some(unlocked)) => request.sign_with(&unlocked),
                    Ok(None) => Ok(request.failed()),
                    Err(error) => Err((SignatureError::SignerFailed(error.to_string()), request.failed())),
                })
                .await
            }
            _ => Ok(request.failed()),
        };
        result.unwrap_or_else(|(error, failed)| {
            tracing::warn!(%error, "a key could not sign");
            failed
        })
    }
}

/// What is tried with a credential.
enum Choice {
    /// The key signs at once.
    Sign(PublicKey, &'static SignatureAlgorithm),
    /// The server is asked about the key first.
    Query(PublicKey, &'static SignatureAlgorithm),
    Password(Zeroizing<Vec<u8>>),
}

fn ask_first(authenticator: &Authenticator, signer: &dyn Signer) -> Option<Choice> {
    let algorithm = authenticator.algorithm_for(signer)?;
    Some(Choice::Query(signer.public_key().clone(), algorithm))
}
