//! DISCONNECT (RFC 4253 §11.1) at every step, in both roles: the peer's reason and words stand in the error, and showing
//! the error does no harm.

use std::sync::Arc;

use ssh_client::kex::messages::Disconnect;
use ssh_client::kex::{self, DisconnectReason, Handshake};
use ssh_client::tokio_driver::{self, HandshakeError, next_event, now, system_rng};
use ssh_client::wire::{Encode, Layer, Packetizer};
use ssh_client::{Config, Error, auth, channel};
use ssh_server::{Peer, auth::server as auth_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::{Notes, PIPE_BYTES, client, exchange_as_client, exchange_as_server, flush, host_key, server};

/// What a peer says, and what people are to see of it.
const WORDS: &str = "too many\r\nroot logged in \u{1b}[2J";
const SHOWN: &str =
    "the peer ended the connection: TOO_MANY_CONNECTIONS (12): too many\\r\\nroot logged in \\u{1b}[2J";

/// When it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Where the peer's KEXINIT is expected.
    BeforeExchange,
    /// Behind both KEXINITs.
    InExchange,
    /// Under keys, before anybody is logged in.
    InLogin,
    /// Behind the login.
    Afterwards,
}

/// The message in a packet without keys.
fn in_the_clear() -> Vec<u8> {
    let farewell = Disconnect {
        reason_code: DisconnectReason::TooManyConnections.code(),
        description: WORDS.as_bytes(),
        language_tag: b"",
    };
    let mut wire = Packetizer::new([7; 32]);
    wire.sealer.seal_payload(&farewell.to_bytes());
    std::mem::take(wire.sealer.outbox())
}

/// The beginning of a peer of that role, and the farewell. The rest of what comes is read, so that nothing is lost to
/// a closed pipe.
async fn say_in_the_clear(when: When, mut handshake: Handshake, mut stream: DuplexStream) {
    let mut bytes = match when {
        When::BeforeExchange => b"SSH-2.0-Rude\r\n".to_vec(),
        _ => std::mem::take(handshake.transmit()),
    };
    bytes.extend(in_the_clear());
    stream.write_all(&bytes).await.unwrap();
    let _unheard = stream.read_to_end(&mut Vec::new()).await;
}

/// Reads what comes, so that nothing is lost to a closed pipe.
async fn hear_the_rest(mut stream: DuplexStream) {
    let _unheard = stream.read_to_end(&mut Vec::new()).await;
}

/// A server that says farewell.
async fn server_leaves(when: When, mut stream: DuplexStream) {
    let reason = DisconnectReason::TooManyConnections;
    if matches!(when, When::BeforeExchange | When::InExchange) {
        let key = vec![Arc::new(host_key()) as Arc<dyn ssh_client::keys::Signer>];
        let config = Arc::new(kex::Config::default());
        let handshake = Handshake::server(config, key, system_rng().unwrap(), now());
        return say_in_the_clear(when, handshake, stream).await;
    }
    let mut transport = exchange_as_server(&mut stream).await;
    if when == When::InLogin {
        transport.disconnect(reason, WORDS);
        flush(&mut transport, &mut stream).await.unwrap();
        return hear_the_rest(stream).await;
    }
    let mut authenticator = auth_server::Authenticator::new(transport, auth_server::Policy::default(), now());
    loop {
        match next_event(&mut authenticator, &mut stream).await.unwrap() {
            auth_server::Event::Attempt(auth_server::Attempt::Password(attempt)) => {
                authenticator.answer(attempt.accept());
            }
            auth_server::Event::Attempt(other) => authenticator.answer(other.reject()),
            auth_server::Event::Success(_) => break,
            _ => {}
        }
    }
    let mut session = authenticator.into_session().unwrap();
    session.disconnect(reason, WORDS);
    flush(&mut session, &mut stream).await.unwrap();
    hear_the_rest(stream).await;
}

/// A client that says farewell.
async fn client_leaves(when: When, mut stream: DuplexStream) {
    let reason = DisconnectReason::TooManyConnections;
    match when {
        When::BeforeExchange | When::InExchange => {
            let config = Arc::new(kex::Config::default());
            let handshake = Handshake::client(config, system_rng().unwrap(), now());
            say_in_the_clear(when, handshake, stream).await;
        }
        When::InLogin => {
            let mut transport = exchange_as_client(&mut stream).await;
            transport.disconnect(reason, WORDS);
            flush(&mut transport, &mut stream).await.unwrap();
            hear_the_rest(stream).await;
        }
        When::Afterwards => {
            let client = client(&Config::default(), stream).await.unwrap();
            client.handle().disconnect_with(reason, WORDS).await;
        }
    }
}

const ALL: [When; 4] = [
    When::BeforeExchange,
    When::InExchange,
    When::InLogin,
    When::Afterwards,
];

/// That the peer's reason and words are kept as they came.
fn is_kept(found: &kex::Error, context: &str) {
    match found {
        kex::Error::Disconnected { reason, description } => {
            assert_eq!(*reason, DisconnectReason::TooManyConnections, "{context}");
            assert_eq!(description, WORDS, "{context}");
        }
        other => panic!("{context}: {other:?}"),
    }
}

/// The same of a connection that was in use.
fn is_kept_behind(found: &tokio_driver::Error, context: &str) {
    match found {
        tokio_driver::Error::Below(channel::Error::Below(auth::Error::Below(error))) => {
            is_kept(error, context);
        }
        other => panic!("{context}: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_farewell_is_kept_in_the_clients_error() {
    for when in ALL {
        let context = format!("{when:?}");
        let (near, far) = duplex(PIPE_BYTES);
        let leaving = tokio::spawn(server_leaves(when, far));
        let connected = client(&Config::default(), near).await;
        let told = match (when, connected) {
            (When::BeforeExchange | When::InExchange, Err(error)) => {
                let Error::KeyExchange { source, .. } = &error else {
                    panic!("{context}: {error:?}")
                };
                is_kept(source, &context);
                error.to_string()
            }
            (When::InLogin, Err(error)) => {
                let Error::Login { source, .. } = &error else {
                    panic!("{context}: {error:?}")
                };
                match &**source {
                    auth::Error::Below(source) => is_kept(source, &context),
                    other => panic!("{context}: {other:?}"),
                }
                error.to_string()
            }
            (When::Afterwards, Ok(client)) => {
                is_kept_behind(&*client.closed().await, &context);
                client.run("true").await.unwrap_err().to_string()
            }
            (_, other) => panic!("{context}: {other:?}"),
        };
        assert!(
            told.ends_with(SHOWN) && told.contains("host.example"),
            "{context}: {told}"
        );
        assert!(!told.contains(char::is_control), "{context}: {told:?}");
        leaving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_farewell_is_kept_in_the_servers_error() {
    for when in ALL {
        let context = format!("{when:?}");
        let (near, far) = duplex(PIPE_BYTES);
        let leaving = tokio::spawn(client_leaves(when, far));
        let server = server(
            &Arc::new(Notes::default()),
            ssh_server::Config::default(),
            ssh_server::Limits::default(),
        );
        let ended = server.serve_stream(near, Peer::named("a pipe")).await;
        let error = ended.unwrap_err();
        match (when, &error) {
            (
                When::BeforeExchange | When::InExchange,
                ssh_server::Error::KeyExchange(HandshakeError::Layer(source)),
            ) => is_kept(source, &context),
            (When::InLogin, ssh_server::Error::Login(HandshakeError::Layer(auth::Error::Below(source)))) => {
                is_kept(source, &context)
            }
            (When::Afterwards, ssh_server::Error::Connection(why)) => is_kept_behind(why, &context),
            (_, other) => panic!("{context}: {other:?}"),
        }
        let told = error.to_string();
        assert!(told.ends_with(SHOWN), "{context}: {told}");
        assert!(!told.contains(char::is_control), "{context}: {told:?}");
        leaving.await.unwrap();
    }
}
