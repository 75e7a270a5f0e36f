//! One connection from its first byte to its last.
//!
//! ```text
//!  may it come in? ──▶ key exchange ──▶ login ──▶ channels: sessions and forwards, each a task of its own ──▶ over
//!  └──── within the grace time, ────────────┘   └── guests.rs
//!        counted by the doorkeeper
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::application::{Agreed, Application, Candidate, Decision, Login};
use crate::auth::server::{Attempt, Authenticator, Event, PublicKeyQuery, Verdict};
use crate::auth::{self, Authenticated, method};
use crate::channel::{self, Connection};
use crate::config::Config;
use crate::error::{Error, Phase};
use crate::guests::Guests;
use crate::journal::{self, Journal, Name};
use crate::kex::{self, DisconnectReason, Handshake, HandshakeEvent, Transport};
use crate::keys::{PublicKey, Signer};
use crate::limits::{Admission, Limits};
use crate::peer::{Peer, Printable};
use crate::permissions::Permissions;
use crate::tokio_driver::{self, HandshakeError, farewell, next_event, system_rng};

/// What all connections of a server share.
pub(crate) struct Shared<A> {
    pub(crate) application: Arc<A>,
    pub(crate) host_keys: Vec<Arc<dyn Signer>>,
    pub(crate) transport: Arc<kex::Config>,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
}

/// A connection whose end the application is still to hear of: it does, whatever becomes of the task that serves it.
struct Lost<'a, A: Application> {
    application: Option<Arc<A>>,
    peer: &'a Peer,
}

impl<A: Application> Lost<'_, A> {
    fn tell(&mut self, why: Option<&Error>) {
        if let Some(application) = self.application.take() {
            application.connection_lost(self.peer, why);
        }
    }
}

impl<A: Application> Drop for Lost<'_, A> {
    fn drop(&mut self) {
        self.tell(None);
    }
}

/// How far a server is in ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It serves.
    Open,
    /// It takes no new connections; those there are go on.
    Draining,
    /// Everybody is sent away.
    Closing,
}

impl<A: Application> Shared<A> {
    /// Serves one connection until it is over and nothing of it is left. The application hears of its beginning and of
    /// its end, and everything that is traced in between stands in a span of its own.
    pub(crate) async fn serve<S>(
        self: Arc<Self>,
        stream: S,
        peer: &Peer,
        admission: Option<Admission>,
        stage: watch::Receiver<Stage>,
    ) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let span = tracing::info_span!("connection", %peer, user = tracing::field::Empty);
        let attended = async {
            let mut stage = stage;
            let begin = Instant::now();
            let deadline = begin.checked_add(self.grace()).unwrap_or(begin);
            let admitted = tokio::select! {
                admitted = timeout_at(deadline, self.application.connection_made(peer)) => admitted,
                () = closing(&mut stage) => return Ok(()),
            };
            match admitted {
                Ok(true) => {}
                Ok(false) => {
                    tracing::info!(%peer, "turned away by the application");
                    return Ok(());
                }
                Err(_elapsed) => return Err(self.grace_over(peer, Phase::Admission)),
            }
            let mut lost = Lost {
                application: Some(Arc::clone(&self.application)),
                peer,
            };
            let served = self.attend(stream, peer, admission, deadline, stage).await;
            lost.tell(served.as_ref().err());
            served
        };
        attended.instrument(span).await
    }

    async fn attend<S>(
        self: Arc<Self>,
        mut stream: S,
        peer: &Peer,
        admission: Option<Admission>,
        deadline: Instant,
        mut stage: watch::Receiver<Stage>,
    ) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let welcomed = tokio::select! {
            // In a place of its own, which is given back: what a login needs is much more than what an idle
            // connection should hold.
            welcomed = Box::pin(self.welcome(&mut stream, peer, deadline)) => welcomed,
            // Whoever has not logged in yet has nothing to lose.
            () = closing(&mut stage) => return Ok(()),
        };
        drop(admission);
        let (session, login) = welcomed?;
        let connection = Connection::new(session, self.config.channels());
        let (handle, guests) = {
            let (handle, mut driver) = tokio_driver::start(connection, stream, self.config.driver());
            let mut guests = Guests::new(self, login, handle.clone());
            // In a place of its own too: who has not logged in has no use for it, and strangers are many. The driver is
            // only lent: what a future is given it keeps a second time while it waits.
            Box::pin(async { tokio::join!(&mut driver, guests.attend(&mut stage)) }).await;
            (handle, guests)
        };
        let why = handle.closed().await;
        drop(handle);
        journal::left(peer, guests.user(), &why);
        guests.see_off(peer).await;
        match &*why {
            tokio_driver::Error::Closed | tokio_driver::Error::PeerClosed => Ok(()),
            tokio_driver::Error::Below(error) if is_goodbye(error) => Ok(()),
            _ => Err(Error::Connection(why)),
        }
    }

    /// Key exchange and login, with their journal.
    async fn welcome<S>(
        &self,
        stream: &mut S,
        peer: &Peer,
        deadline: Instant,
    ) -> Result<(auth::Session, Login), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut journal = Journal::begin(peer, self.limits.max_auth_tries);
        let welcomed = self.let_in(stream, peer, deadline, &mut journal).await;
        welcomed.inspect_err(|error| journal.turned_away(error))
    }

    async fn let_in<S>(
        &self,
        stream: &mut S,
        peer: &Peer,
        deadline: Instant,
        journal: &mut Journal<'_>,
    ) -> Result<(auth::Session, Login), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let begin = Instant::now();
        let rng = system_rng().map_err(Error::NoRandomness)?;
        let transport = Arc::clone(&self.transport);
        let handshake = Handshake::server(transport, self.host_keys.clone(), rng, begin.into_std());
        let transport = self.exchange_keys(handshake, stream, peer, deadline).await?;
        tell_what_was_agreed_on(peer, &transport);

        let now = Instant::now();
        let policy = self
            .config
            .login(&self.limits, deadline.saturating_duration_since(now));
        let mut authenticator = Authenticator::new(transport, policy, now.into_std());
        let login = timeout_at(deadline, self.log_in(&mut authenticator, stream, peer, journal)).await;
        let finished = match login {
            Ok(login) => login.map(|login| (authenticator.into_session(), login))?,
            Err(_elapsed) => {
                authenticator.disconnect(DisconnectReason::ByApplication, TOO_SLOW);
                farewell(&mut authenticator, stream).await;
                return Err(self.grace_over(peer, Phase::Login));
            }
        };
        match finished {
            (Ok(session), login) => Ok((session, login)),
            // Only a login that was reported leads here.
            (Err(_), _) => Err(self.grace_over(peer, Phase::Login)),
        }
    }

    /// Drives the first key exchange to its end.
    async fn exchange_keys<S>(
        &self,
        mut handshake: Handshake,
        stream: &mut S,
        peer: &Peer,
        deadline: Instant,
    ) -> Result<Transport, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let established = timeout_at(deadline, established(&mut handshake, stream)).await;
        match (established, handshake.failure()) {
            (Ok(Ok(())), _) => {}
            // In the second case the peer had not taken our farewell when the time was over.
            (Ok(Err(HandshakeError::Layer(error))), _) => return Err(exchange_failed(peer, error)),
            (Err(_elapsed), Some(error)) => return Err(exchange_failed(peer, error.clone())),
            (Ok(Err(error)), _) => return Err(Error::KeyExchange(error)),
            (Err(_elapsed), None) => {
                let phase = match handshake.peer_identification() {
                    None => Phase::Identification,
                    Some(_) => Phase::KeyExchange,
                };
                handshake.disconnect(DisconnectReason::ByApplication, TOO_SLOW);
                farewell(&mut handshake, stream).await;
                return Err(self.grace_over(peer, phase));
            }
        }
        // Only an exchange that was reported as done leads here.
        handshake
            .into_transport()
            .map_err(|_unfinished| self.grace_over(peer, Phase::KeyExchange))
    }

    /// How long a connection may take until somebody is logged in.
    fn grace(&self) -> Duration {
        self.limits.login_grace_time.min(LONGEST_GRACE)
    }

    fn grace_over(&self, peer: &Peer, phase: Phase) -> Error {
        Error::GraceTimeOver {
            peer: peer.clone(),
            phase,
            limit: self.grace(),
        }
    }

    /// Asks the application about every attempt until one succeeds.
    async fn log_in<S>(
        &self,
        authenticator: &mut Authenticator,
        stream: &mut S,
        peer: &Peer,
        journal: &mut Journal<'_>,
    ) -> Result<Login, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // What the last accepted attempt grants. Only the attempt that completed the login can have set it.
        let mut granted = Permissions::default();
        loop {
            let event = match next_event(authenticator, stream).await {
                Ok(event) => event,
                // The layer's own clock and the one around this function are set to the same moment.
                Err(HandshakeError::Layer(auth::Error::LoginTimeout(_))) => {
                    return Err(self.grace_over(peer, Phase::Login));
                }
                Err(error) => return Err(Error::Login(error)),
            };
            match event {
                Event::Attempt(attempt) => {
                    let verdict = self.judge(attempt, peer, journal, &mut granted).await;
                    authenticator.answer(verdict);
                }
                Event::Success(authenticated) => {
                    let transport = authenticator.transport();
                    let login = login(&authenticated, peer, granted, Agreed::of(transport));
                    journal.accepted(&login.method, &login.user, login.key.as_ref());
                    return Ok(login);
                }
                Event::Failed { user, method, key } => {
                    if journal.is_unasked() {
                        self.meet(Name::of_shown(&user), user, peer, journal).await;
                        journal.tries(key.as_ref());
                    }
                    journal.refused(&method);
                }
                Event::Debug(message) => {
                    tracing::debug!(%peer, "the client says: {}", message.text);
                }
                _ => {}
            }
        }
    }

    /// Has the journal know whether there is a user whose name is new to it.
    async fn meet(&self, name: Name, user: String, peer: &Peer, journal: &mut Journal<'_>) {
        if journal.is_news(&name) {
            let peer = peer.clone();
            let candidate = Candidate { user, peer };
            let exists = self.application.knows_user(&candidate).await;
            journal.meets(name, exists);
        }
    }

    /// Whether signing with a key would be worth while.
    async fn judge_query(
        &self,
        query: PublicKeyQuery,
        candidate: &Candidate,
        journal: &mut Journal<'_>,
    ) -> Verdict {
        let key = query.key_asked_about();
        journal.tries(Some(key));
        let decision = match self.is_too_small(key, &candidate.peer) {
            true => Decision::Refuse,
            false => self.application.public_key(candidate, key).await,
        };
        match decision {
            // What an unproved key would grant is nobody's.
            Decision::Accept(_) => {
                journal.goes_on();
                query.accept()
            }
            Decision::Refuse => {
                journal.refused(method::PUBLICKEY.name);
                query.reject()
            }
        }
    }

    async fn judge(
        &self,
        attempt: Attempt,
        peer: &Peer,
        journal: &mut Journal<'_>,
        granted: &mut Permissions,
    ) -> Verdict {
        let candidate = Candidate {
            user: attempt.user().to_owned(),
            peer: peer.clone(),
        };
        let name = Name::of(&candidate.user);
        self.meet(name, candidate.user.clone(), peer, journal).await;
        match attempt {
            // Asked for all the same: it is how most clients begin, and tells the journal who is there.
            Attempt::None(attempt) if !self.config.none_login => attempt.reject(),
            Attempt::None(attempt) => match self.application.none(&candidate).await {
                Decision::Accept(permissions) => {
                    *granted = permissions;
                    attempt.accept()
                }
                Decision::Refuse => attempt.reject(),
            },
            Attempt::Password(attempt) => {
                journal.tries(None);
                match self.application.password(&candidate, attempt.password()).await {
                    Decision::Accept(permissions) => {
                        *granted = permissions;
                        attempt.accept()
                    }
                    Decision::Refuse => attempt.reject(),
                }
            }
            Attempt::PublicKeyQuery(query) => self.judge_query(query, &candidate, journal).await,
            Attempt::PublicKey(attempt) => {
                journal.tries(Some(attempt.key()));
                if self.is_too_small(attempt.key(), peer) {
                    return attempt.reject();
                }
                match self.application.public_key(&candidate, attempt.key()).await {
                    Decision::Accept(permissions) => {
                        let demands = permissions.security_key;
                        if let Err(error) = attempt.meets(&demands) {
                            tracing::info!(%peer, %error, "key refused");
                        }
                        *granted = permissions;
                        attempt.accept_demanding(&demands)
                    }
                    Decision::Refuse => attempt.reject(),
                }
            }
            // Methods that are not offered.
            other => other.reject(),
        }
    }
}

impl<A> Shared<A> {
    /// Whether a key is one of less bits than are required; if so, the log names it.
    fn is_too_small(&self, key: &PublicKey, peer: &Peer) -> bool {
        let checked = key.check_rsa_bits(self.config.transport.required_rsa_bits);
        if let Err(error) = &checked {
            tracing::info!(%peer, %error, "key refused");
        }
        checked.is_err()
    }
}

/// A first key exchange that failed, with the peer where it was too slow.
fn exchange_failed(peer: &Peer, error: kex::Error) -> Error {
    match error {
        kex::Error::Timeout { phase, limit } => Error::Timeout {
            peer: peer.clone(),
            phase: phase.into(),
            limit,
        },
        error => Error::KeyExchange(HandshakeError::Layer(error)),
    }
}

/// Waits until keys are in use.
async fn established<S>(handshake: &mut Handshake, stream: &mut S) -> Result<(), HandshakeError<kex::Error>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // The only other event is a question to clients.
    while !matches!(next_event(handshake, stream).await?, HandshakeEvent::Established) {}
    Ok(())
}

fn login(authenticated: &Authenticated, peer: &Peer, permissions: Permissions, agreed: Agreed) -> Login {
    let login = Login {
        user: authenticated.user().to_owned(),
        peer: peer.clone(),
        method: authenticated.method().name.to_owned(),
        key: authenticated.key().cloned(),
        permissions,
        agreed,
    };
    tracing::Span::current().record("user", tracing::field::display(Printable(login.user.as_bytes())));
    login
}

/// Whether the peer ended the connection as one does who has finished.
fn is_goodbye(error: &channel::Error) -> bool {
    match error {
        channel::Error::Below(auth::Error::Below(kex::Error::Disconnected { reason, .. })) => {
            *reason == DisconnectReason::ByApplication
        }
        _ => false,
    }
}

/// Waits until the server is ending and sends everybody away.
pub(crate) async fn closing(stage: &mut watch::Receiver<Stage>) {
    leaves(stage, Stage::Open).await;
    leaves(stage, Stage::Draining).await;
}

/// Waits until the server is not in `stage`.
pub(crate) async fn leaves(watched: &mut watch::Receiver<Stage>, stage: Stage) {
    let gone = watched.wait_for(|now| *now != stage).await.is_err();
    // Without a server there is nobody who could change its stage any more.
    if gone {
        std::future::pending().await
    }
}

/// For whoever looks for the reason of a failure: who came, and what stands before the login begins.
fn tell_what_was_agreed_on(peer: &Peer, transport: &Transport) {
    let negotiated = transport.negotiated();
    // A stranger's text: as a literal, it steers no terminal and breaks no line of a log.
    tracing::debug!(%peer, "remote software: {:?}", transport.peer_identification().as_str());
    tracing::debug!(%peer, "kex: {}, host key: {}", negotiated.kex.name, negotiated.host_key.name);
    tracing::debug!(%peer, "client->server {}", negotiated.incoming);
    tracing::debug!(%peer, "server->client {}", negotiated.outgoing);
    tracing::debug!(
        %peer,
        strict = negotiated.strict,
        post_quantum = negotiated.is_post_quantum(),
        "key exchange done"
    );
}

/// What a client is told whose grace time is over.
const TOO_SLOW: &str = "the time for the login is over";
/// A day: what is meant by "no limit" for a login.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
