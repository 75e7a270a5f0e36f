//! Both sides of a real connection in one process, over any stream: what the stories are told on.

use std::sync::Arc;

use ssh_tokio::auth::{self, UserName};
use ssh_tokio::channel::{self, ChannelType, Connection};
use ssh_tokio::kex::{self, Handshake, HandshakeEvent, Transport};
use ssh_tokio::keys::PrivateKey;
use ssh_tokio::{Channel, Config, Handle, Incoming, next_event, now, start, system_rng};
use tokio::io::{AsyncRead, AsyncWrite};

/// A client and a server that have logged in, their drivers spawned.
pub(crate) struct Pair {
    pub(crate) client: Handle,
    pub(crate) server: Handle,
}

/// What differs between stories.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) transport: kex::Config,
    pub(crate) client: channel::Config,
    pub(crate) server: channel::Config,
    pub(crate) client_driver: Config,
    /// Bytes that fit into the pipe between the two.
    pub(crate) pipe_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: kex::Config::default(),
            client: channel::Config::default(),
            server: channel::Config {
                accept_opens: vec!["session"],
                ..channel::Config::default()
            },
            client_driver: Config::default(),
            pipe_bytes: 256 * 1024,
        }
    }
}

pub(crate) async fn pair(options: Options) -> Pair {
    let (client, server) = tokio::io::duplex(options.pipe_bytes);
    let (pair, _, _) = pair_over(options, client, server).await;
    pair
}

/// The same over given streams; also the handles of the drivers' tasks.
pub(crate) async fn pair_over<C, S>(
    options: Options,
    client: C,
    server: S,
) -> (Pair, tokio::task::JoinHandle<()>, tokio::task::JoinHandle<()>)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Each side goes on at once: the server's SUCCESS leaves with its driver.
    let client = async {
        let (session, stream) = log_in(&options, client).await;
        let connection = Connection::new(session, options.client.clone());
        let (client, driver) = start(connection, stream, options.client_driver.clone());
        (client, tokio::spawn(driver))
    };
    let server = async {
        let (session, stream) = let_in(&options, server).await;
        let connection = Connection::new(session, options.server.clone());
        let config = Config {
            incoming: 64,
            ..Config::default()
        };
        let (server, driver) = start(connection, stream, config);
        (server, tokio::spawn(driver))
    };
    let ((client, client_driver), (server, server_driver)) = tokio::join!(client, server);
    (Pair { client, server }, client_driver, server_driver)
}

pub(crate) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    options: &Options,
    mut stream: S,
) -> (auth::Session, S) {
    let config = Arc::new(options.transport.clone());
    let handshake = Handshake::client(config, system_rng().unwrap(), now());
    let transport = exchange(handshake, &mut stream).await;
    let mut login = auth::client::Authenticator::new(transport, UserName::new("somebody").unwrap());
    loop {
        match next_event(&mut login, &mut stream).await.unwrap() {
            auth::client::Event::Turn(turn) => login.attempt(turn.password(b"open sesame")),
            auth::client::Event::Success => return (login.into_session().unwrap(), stream),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn let_in<S: AsyncRead + AsyncWrite + Unpin>(
    options: &Options,
    mut stream: S,
) -> (auth::Session, S) {
    let mut rng = system_rng().unwrap();
    let key = Arc::new(PrivateKey::generate_ed25519(&mut *rng, "test host"));
    let config = Arc::new(options.transport.clone());
    let handshake = Handshake::server(config, vec![key], rng, now());
    let transport = exchange(handshake, &mut stream).await;
    let mut login = auth::server::Authenticator::new(transport, auth::server::Policy::default(), now());
    loop {
        match next_event(&mut login, &mut stream).await.unwrap() {
            auth::server::Event::Attempt(auth::server::Attempt::Password(attempt)) => {
                assert_eq!(attempt.password(), b"open sesame");
                login.answer(attempt.accept());
            }
            auth::server::Event::Success(_) => return (login.into_session().unwrap(), stream),
            other => panic!("{other:?}"),
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut handshake: Handshake, stream: &mut S) -> Transport {
    loop {
        match next_event(&mut handshake, stream).await.unwrap() {
            HandshakeEvent::HostKey(offer) => handshake.answer(offer.accept()),
            HandshakeEvent::Established => return handshake.into_transport().unwrap(),
        }
    }
}

/// A channel that the client opened and the server accepted: the client's end, the server's end.
pub(crate) async fn channel(pair: &Pair) -> (Channel, Channel) {
    let (ours, theirs) = tokio::join!(pair.client.open(ChannelType::Session), accept(&pair.server));
    (ours.unwrap(), theirs)
}

pub(crate) async fn accept(server: &Handle) -> Channel {
    match server.incoming().await {
        Some(Incoming::Open(open)) => open.accept().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// `count` bytes that do not repeat themselves soon.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}
