//! An application that lets everything be forwarded, and a client that asks for it.

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use super::memory::{Proof, connect};
use super::{PATIENCE, Place, USER};
use ssh_server::channel::{
    AUTH_AGENT, ChannelType, DirectTcpip, ForwardedStreamlocal, ForwardedTcpip, GlobalRequest,
    OpenFailureReason, StreamlocalForward, TcpipForward, Tun, X11, X11Req, bound_port,
};
use ssh_server::keys::PublicKey;
use ssh_server::tokio_driver::{Channel, Handle, Incoming, OpenError};
use ssh_server::{
    Application, Candidate, Decision, DisplayPolicy, Forward, GatewayPorts, Handler, Limits, Listen,
    ListenSocket, ListenTarget, Login, Permissions, Server, Services, Session, SocketPolicy, Target,
    TunnelEnd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Other programs of tests that run at the same time begin elsewhere, too. All are below the ports that the system gives.
static FIRST_DISPLAY: LazyLock<AtomicU16> = LazyLock::new(|| {
    let place = u16::try_from(std::process::id() % 100).unwrap_or_default();
    AtomicU16::new(500 + place * 200)
});

/// An application that lets everything happen, as far as `permissions` do.
pub struct Open {
    pub permissions: Permissions,
    services: Services,
}

impl Open {
    pub fn new(place: &Place, permissions: Permissions) -> Self {
        Self {
            permissions,
            services: place.site().services,
        }
    }
}

impl Application for Open {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(self.permissions.clone())
    }

    async fn session(&self, session: Session) {
        self.services.serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
        Forward::Connect
    }

    async fn direct_streamlocal(&self, _login: &Login, _path: &Path) -> Forward {
        Forward::Connect
    }

    async fn tcpip_forward(&self, _login: &Login, _wanted: &ListenTarget) -> Listen {
        Listen::Bind(GatewayPorts::No)
    }

    async fn streamlocal_forward(&self, _login: &Login, _path: &Path) -> ListenSocket {
        ListenSocket::Bind(SocketPolicy::default())
    }

    async fn agent_forwarding(&self, _login: &Login) -> bool {
        true
    }

    async fn x11(&self, _login: &Login, _wanted: &X11Req) -> Option<DisplayPolicy> {
        Some(DisplayPolicy {
            // Each test has displays of its own: whoever looks whether its own is gone must not draw on another's.
            first: FIRST_DISPLAY.fetch_add(10, Ordering::Relaxed),
            localhost: true,
        })
    }

    async fn tun(&self, _login: &Login, _wanted: &Tun) -> TunnelEnd {
        TunnelEnd::Serve(Handler::new(echo))
    }
}

pub async fn echo(mut channel: Channel) {
    let mut heard = Vec::new();
    channel.read_to_end(&mut heard).await.unwrap();
    channel.write_all(&heard).await.unwrap();
    let _gone = channel.shutdown().await;
}

/// An application that lets people in, and nothing else.
pub struct Closed;

impl Application for Closed {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }
}

pub async fn visit<A: Application>(place: &Place, application: A, limits: Limits) -> Handle {
    let server: Server<A> = place.builder().limits(limits).build(application).unwrap();
    let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
    for name in [
        AUTH_AGENT,
        X11::NAME,
        ForwardedTcpip::NAME,
        ForwardedStreamlocal::NAME,
    ] {
        handle.allow_opens(name);
    }
    handle
}

pub async fn open_visit(place: &Place) -> Handle {
    visit(place, Open::new(place, Permissions::default()), Limits::default()).await
}

pub async fn listen(handle: &Handle, address: &str, port: u16) -> Option<Vec<u8>> {
    let request = TcpipForward::new(address, port).into();
    handle.global_request(&request).await.unwrap()
}

/// A free port that the server listens at.
pub async fn free_port(handle: &Handle) -> u16 {
    bound_port(&listen(handle, "localhost", 0).await.unwrap()).unwrap()
}

pub async fn listen_at(handle: &Handle, path: &Path) -> bool {
    let path = path.to_str().unwrap().as_bytes().to_vec();
    let request = GlobalRequest::from(StreamlocalForward { path });
    handle.global_request(&request).await.unwrap().is_some()
}

/// The next channel the server opens.
pub async fn led_here(handle: &Handle) -> (ChannelType, Channel) {
    let incoming = tokio::time::timeout(PATIENCE, handle.incoming()).await;
    let Some(Incoming::Open(open)) = incoming.expect("nothing is opened") else {
        panic!("no channel");
    };
    (open.channel_type().clone(), open.accept().unwrap())
}

/// Sends through both ends, and expects what was sent at the other.
pub async fn is_joined(channel: &mut Channel, mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    let mut heard = [0; 4];
    stream.write_all(b"ping").await.unwrap();
    channel.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    channel.write_all(b"pong").await.unwrap();
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"pong");
    stream.shutdown().await.unwrap();
    assert_eq!(channel.read(&mut heard).await.unwrap(), 0);
    channel.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut heard).await.unwrap(), 0);
}

pub async fn refusal(handle: &Handle, kind: impl Into<ChannelType>) -> Option<OpenFailureReason> {
    match handle.open(kind.into()).await {
        Ok(_) => None,
        Err(OpenError::Refused(failure)) => Some(failure.reason),
        Err(other) => panic!("{other:?}"),
    }
}

pub fn direct(host: &str, port: u16) -> DirectTcpip {
    DirectTcpip {
        host: host.to_owned(),
        port,
        originator: "127.0.0.1".to_owned(),
        originator_port: 1,
    }
}

pub fn x11_request(single_connection: bool) -> X11Req {
    X11Req {
        single_connection,
        protocol: "MIT-MAGIC-COOKIE-1".to_owned(),
        cookie: "000102030405060708090a0b0c0d0e0f".into(),
        screen: 2,
    }
}
