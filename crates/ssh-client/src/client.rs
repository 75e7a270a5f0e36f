//! A connection to a server, from the first byte to the last.
//!
//! ```text
//!  TCP ──▶ Handshake ──HostKey? judged──▶ Transport ──▶ Authenticator ──credentials──▶ Session ──▶ Connection + driver
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::{Address, ToAddress};
use crate::auth::client::Authenticator;
use crate::auth::{Session, UserName};
use crate::channel::{ChannelType, Connection};
use crate::config::{Config, Timeouts, Warning};
use crate::credentials::{Credentials, Prepared};
use crate::error::{Error, Phase};
use crate::forward::Shares;
use crate::host_keys::{HostKeyError, HostKeys, Judge};
use crate::incoming::Registry;
use crate::kex::{self, Handshake, HandshakeEvent, HostKeyOffer, Negotiated, Transport};
use crate::keys::PublicKey;
use crate::login::Login;
use crate::route::{self, Ends};
use crate::tokio_driver::{
    self, Channel, ChannelError, Handle, HandshakeError, OpenError, PingError, next_event, now, start,
    system_rng,
};

/// A connection to a server, logged in. Clones share it; when the last one and the last thing made from it are gone,
/// the connection ends.
#[derive(Clone)]
pub struct Client {
    handle: Handle,
    about: Arc<About>,
}

/// What does not change during a connection.
struct About {
    address: Address,
    user: String,
    host_key: Option<PublicKey>,
    peer_addr: Option<SocketAddr>,
    local_addr: Option<SocketAddr>,
    /// How long each step may take.
    timeouts: Timeouts,
    /// Who expects the server to open what.
    registry: Arc<Registry>,
    /// What forwards have of the connection's places.
    shares: Shares,
    /// The application listens to [`Handle::incoming`] itself.
    application_hears_opens: bool,
}

impl Client {
    /// Connects to `address` and logs in as `user`.
    ///
    /// # Errors
    /// Every step has its own [`Error`].
    pub async fn connect(
        address: impl ToAddress,
        user: &str,
        host_keys: HostKeys,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        Self::connect_with(&Config::default(), address, user, host_keys, credentials).await
    }

    /// Like [`connect`](Self::connect), with choices of your own.
    ///
    /// # Errors
    /// Every step has its own [`Error`].
    pub async fn connect_with(
        config: &Config,
        address: impl ToAddress,
        user: &str,
        host_keys: HostKeys,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        let attempt = Attempt::prepare(config, address.to_address()?, user, &host_keys, &credentials).await?;
        let (stream, ends) = route::follow(config, &attempt.address).await?;
        attempt.establish(stream, ends).await
    }

    /// Logs in over a stream that leads to an SSH server: a socket, a channel of another connection, a program's
    /// standard input and output. `address` is the name by which the server's key is looked up.
    ///
    /// # Errors
    /// Every step has its own [`Error`].
    pub async fn over<S>(
        config: &Config,
        stream: S,
        address: impl ToAddress,
        user: &str,
        host_keys: HostKeys,
        credentials: Credentials,
    ) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Attempt::prepare(config, address.to_address()?, user, &host_keys, &credentials)
            .await?
            .establish(stream, (None, None))
            .await
    }

    /// Where it leads.
    pub fn address(&self) -> &Address {
        &self.about.address
    }

    /// As whom.
    pub fn user(&self) -> &str {
        &self.about.user
    }

    /// The server's key, which it has proved to have and which was believed.
    pub fn host_key(&self) -> Option<&PublicKey> {
        self.about.host_key.as_ref()
    }

    /// The server's identification line.
    pub fn server_identification(&self) -> String {
        self.handle.peer_identification()
    }

    /// Our own identification line.
    pub fn own_identification(&self) -> String {
        self.handle.own_identification()
    }

    /// What the server told about itself (RFC 8308).
    pub fn extensions(&self) -> kex::Extensions {
        self.handle.extensions()
    }

    /// The server's address and port; `None` over a stream of your own, or another route than the direct one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.about.peer_addr
    }

    /// Our own address and port; `None` where [`peer_addr`](Self::peer_addr) is.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.about.local_addr
    }

    /// Asks the server for a sign of life and says how long it took to come: the time there and back, and what lay in
    /// the queues before it. It may wait as long as the connection lives; give it a timeout of your own.
    ///
    /// ```no_run
    /// # async fn example(client: ssh_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// let round_trip = tokio::time::timeout(Duration::from_secs(5), client.ping()).await??;
    /// println!("the server is {round_trip:?} away");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Ping`]: the server did not announce `ping@openssh.com`, or too many pings wait. And if the connection is
    /// over.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let address = || self.address().clone();
        self.handle.ping().await.map_err(|source| match source {
            PingError::Ended(source) => Error::ConnectionLost {
                address: address(),
                source,
            },
            source => Error::Ping {
                address: address(),
                source,
            },
        })
    }

    /// The algorithms in use.
    pub fn negotiated(&self) -> Negotiated {
        self.handle.negotiated()
    }

    /// The connection itself: channels of any type, global requests, what the server asks.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Changes the keys of the connection now.
    ///
    /// # Errors
    /// If the connection is over.
    pub fn rekey(&self) -> Result<(), Error> {
        self.handle
            .rekey()
            .map_err(|source| self.channel_error("rekey", source))
    }

    /// Says goodbye and waits until it has left. Everything made from this client ends.
    pub async fn disconnect(&self) {
        self.handle.disconnect().await;
    }

    /// Waits until the connection is over, and says why.
    pub async fn closed(&self) -> Arc<tokio_driver::Error> {
        self.handle.closed().await
    }

    /// Opens a channel; `purpose` is for the error. Waits for the server's answer no longer than
    /// [`Timeouts::open`](crate::Timeouts::open).
    pub(crate) async fn open(&self, kind: ChannelType, purpose: &str) -> Result<Channel, Error> {
        let opened = self.in_time(purpose, self.handle.open(kind)).await?;
        opened.map_err(|source| match source {
            OpenError::Ended(source) => Error::ConnectionLost {
                address: self.address().clone(),
                source,
            },
            source => Error::Open {
                address: self.address().clone(),
                purpose: purpose.to_owned(),
                source,
            },
        })
    }

    /// Waits for the server's answers, within [`Timeouts::open`](crate::Timeouts::open); `purpose` is for the error.
    pub(crate) async fn in_time<F: Future>(&self, purpose: &str, answers: F) -> Result<F::Output, Error> {
        let limit = self.about.timeouts.open;
        tokio::time::timeout(limit, answers)
            .await
            .map_err(|_elapsed| Error::OpenTimeout {
                address: self.address().clone(),
                purpose: purpose.to_owned(),
                limit,
            })
    }

    /// How long the server may take to open something.
    pub(crate) fn open_limit(&self) -> Duration {
        self.about.timeouts.open
    }

    /// How long an SFTP server may leave a request unanswered.
    pub(crate) fn sftp_limit(&self) -> Duration {
        self.about.timeouts.sftp
    }

    /// How long connecting to something may take.
    pub(crate) fn connect_limit(&self) -> Duration {
        self.about.timeouts.connect
    }

    /// Who expects the server to open what.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.about.registry
    }

    /// What forwards have of the connection's places.
    pub(crate) fn shares(&self) -> &Shares {
        &self.about.shares
    }

    /// Whether the application listens to [`Handle::incoming`] itself.
    pub(crate) fn application_hears_opens(&self) -> bool {
        self.about.application_hears_opens
    }

    pub(crate) fn channel_error(&self, step: &'static str, source: ChannelError) -> Error {
        let address = self.address().clone();
        match source {
            ChannelError::Ended(source) => Error::ConnectionLost { address, source },
            source => Error::Channel {
                address,
                step,
                source,
            },
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({}@{})", self.about.user, self.about.address)
    }
}

/// A connection to be made, with its files read.
struct Attempt<'a> {
    config: &'a Config,
    address: Address,
    user: UserName,
    judge: Judge,
    credentials: Vec<Prepared>,
}

impl<'a> Attempt<'a> {
    async fn prepare(
        config: &'a Config,
        address: Address,
        user: &str,
        host_keys: &HostKeys,
        credentials: &Credentials,
    ) -> Result<Self, Error> {
        let user = UserName::new(user).map_err(|source| Error::BadUser { source })?;
        let credentials = credentials.prepare().await?;
        let judge = match host_keys
            .prepare(&address, config.transport.required_rsa_bits)
            .await
        {
            Ok(judge) => judge,
            Err(source) => return Err(distrust(address, source)),
        };
        Ok(Self {
            config,
            address,
            user,
            judge,
            credentials,
        })
    }

    async fn establish<S>(mut self, mut stream: S, ends: Ends) -> Result<Client, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let transport = self.exchange_keys(&mut stream).await?;
        tell_what_was_agreed_on(&transport);
        self.warn_about(transport.negotiated());
        let host_key = transport.host_key().cloned();
        let credentials = std::mem::take(&mut self.credentials);
        let login = Login::new(self.config, &self.address, self.user.as_str(), credentials);
        let authenticator = Authenticator::new(transport, self.user.clone());
        let session: Session = login.run(authenticator, &mut stream).await?;
        let connection = Connection::new(session, self.config.channels.clone());
        let driver = tokio_driver::Config {
            keepalive: self.config.keepalive,
            incoming: self.config.incoming,
        };
        let (handle, driver) = start(connection, stream, driver);
        tokio::spawn(driver);
        Ok(Client {
            handle,
            about: Arc::new(About {
                address: self.address,
                user: self.user.as_str().to_owned(),
                host_key,
                peer_addr: ends.0,
                local_addr: ends.1,
                timeouts: self.config.timeouts,
                registry: Arc::default(),
                shares: Shares::default(),
                application_hears_opens: self.config.incoming > 0,
            }),
        })
    }

    /// Tells the application what it may want to know about what was agreed on, before anything secret is sent.
    fn warn_about(&self, negotiated: &Negotiated) {
        if let Some(warning) = self
            .config
            .warning
            .as_ref()
            .filter(|_| !negotiated.is_post_quantum())
        {
            warning.show(&Warning::NotPostQuantum {
                address: self.address.clone(),
                kex: negotiated.kex.name,
            });
        }
    }

    async fn exchange_keys<S>(&self, stream: &mut S) -> Result<Transport, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = self.config.transport.clone();
        config.limits.identification_deadline = self.config.timeouts.identification;
        config.limits.exchange_deadline = self.config.timeouts.key_exchange;
        if self.config.known_host_keys_first {
            self.judge.order(&mut config.preferences.host_keys);
        }
        let rng = system_rng().map_err(Error::Randomness)?;
        let mut handshake = Handshake::client(Arc::new(config), rng, now());
        loop {
            match next_event(&mut handshake, stream).await {
                Ok(HandshakeEvent::HostKey(offer)) => self.decide(&mut handshake, stream, offer).await?,
                Ok(HandshakeEvent::Established) => match handshake.into_transport() {
                    Ok(transport) => return Ok(transport),
                    Err(unfinished) => handshake = *unfinished,
                },
                Err(error) => return Err(self.failed(&mut handshake, error)),
            }
        }
    }

    /// The host has proved to have a key: whether that is the right one decides whether anything more is said to it.
    async fn decide<S>(
        &self,
        handshake: &mut Handshake,
        stream: &mut S,
        offer: HostKeyOffer,
    ) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Err(refusal) = self.judge.judge(offer.key(), offer.certificate()).await else {
            handshake.answer(offer.accept());
            return Ok(());
        };
        handshake.answer(offer.reject(refusal.to_string()));
        // Ends with the very rejection, after the farewell has left.
        if let Ok(event) = next_event(handshake, stream).await {
            tracing::debug!(?event, "after a host key was refused");
        }
        Err(distrust(self.address.clone(), refusal))
    }

    fn failed(&self, handshake: &mut Handshake, error: HandshakeError<kex::Error>) -> Error {
        let address = self.address.clone();
        let phase = match handshake.peer_identification() {
            None => Phase::Identification,
            Some(_) => Phase::KeyExchange,
        };
        let source = match error {
            HandshakeError::Io(source) => {
                return Error::Stream {
                    address,
                    phase,
                    source,
                };
            }
            HandshakeError::PeerClosed => handshake.closed(),
            HandshakeError::Layer(source) => source,
        };
        match source {
            kex::Error::Timeout { phase, limit } => Error::Timeout {
                address,
                phase: match phase {
                    kex::Phase::Identification => Phase::Identification,
                    kex::Phase::KeyExchange | kex::Phase::Rekey => Phase::KeyExchange,
                },
                limit,
            },
            source => Error::KeyExchange {
                address,
                source: Box::new(source),
            },
        }
    }
}

/// For whoever looks for the reason of a failure: who answered, and what stands before the login begins.
fn tell_what_was_agreed_on(transport: &Transport) {
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    let negotiated = transport.negotiated();
    // A stranger's text: as a literal, it steers no terminal.
    tracing::debug!("remote software: {:?}", transport.peer_identification().as_str());
    tracing::debug!(
        "kex: {}, host key: {}",
        negotiated.kex.name,
        negotiated.host_key.name
    );
    tracing::debug!("client->server {}", negotiated.outgoing);
    tracing::debug!("server->client {}", negotiated.incoming);
    tracing::debug!(
        "strict key exchange: {}, post-quantum: {}",
        yes_or_no(negotiated.strict),
        yes_or_no(negotiated.is_post_quantum())
    );
}

fn distrust(address: Address, source: HostKeyError) -> Error {
    Error::HostKey {
        address,
        source: Box::new(source),
    }
}
