//! A server: listening, letting connections in, ending.
//!
//! ```text
//!  Server::builder() ──listen──▶ Listening ──shutdown / drain──▶ over
//!        │                         └─ accept ─▶ doorkeeper ─▶ one task for each connection
//!        └──build──▶ Server ──serve_stream──▶ one connection over any stream
//! ```

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rustix::net::sockopt::{set_ipv6_v6only, set_socket_keepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::application::Application;
use crate::config::Config;
use crate::connection::{Shared, Stage, leaves};
use crate::error::Error;
use crate::keys::certificate::CertificateKind;
use crate::keys::{Certificate, CertificateError, CertifiedSigner, Signer};
use crate::limits::{Doorkeeper, Limits};
use crate::peer::Peer;
use crate::tokio_driver::Accepting;

/// A server with its keys, its policies and its application. Clones are the same server: they count together what
/// [`Limits`] limits.
pub struct Server<A = ()> {
    application: Arc<A>,
    current: Arc<RwLock<Current<A>>>,
}

/// What the next connection is served by; those there are keep what they began with.
struct Current<A> {
    shared: Arc<Shared<A>>,
    doorkeeper: Doorkeeper,
}

impl Server<()> {
    /// Begins to describe a server.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// A server being described.
#[derive(Clone, Default)]
pub struct Builder {
    host_keys: Vec<Arc<dyn Signer>>,
    certificates: Vec<Certificate>,
    config: Config,
    limits: Limits,
}

impl Builder {
    /// Adds a key by which the server proves who it is. At least one is needed.
    #[must_use]
    pub fn host_key(mut self, key: impl Signer + 'static) -> Self {
        self.host_keys.push(Arc::new(key));
        self
    }

    /// Adds a certificate for one of the host keys, which may be added before or after it: clients that know its authority
    /// believe the server by it, others by its key as before.
    #[must_use]
    pub fn host_certificate(mut self, certificate: Certificate) -> Self {
        self.certificates.push(certificate);
        self
    }

    /// Sets the policies of the layers.
    #[must_use]
    pub fn config(self, config: Config) -> Self {
        Self { config, ..self }
    }

    /// Sets how much strangers and users may ask for.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The host keys with their certificates before them, if they are good for a server.
    fn signers(&self) -> Result<Vec<Arc<dyn Signer>>, Error> {
        if self.host_keys.is_empty() {
            return Err(Error::NoHostKey);
        }
        let required = self.config.transport.required_rsa_bits;
        for key in &self.host_keys {
            key.public_key()
                .check_rsa_bits(required)
                .map_err(Error::HostKey)?;
        }
        let mut host_keys = certified(&self.host_keys, &self.certificates)?;
        host_keys.extend(self.host_keys.iter().cloned());
        Ok(host_keys)
    }

    fn shared<A>(self, application: Arc<A>, host_keys: Vec<Arc<dyn Signer>>) -> Arc<Shared<A>> {
        Arc::new(Shared {
            application,
            host_keys,
            transport: Arc::new(self.config.transport_within(&self.limits)),
            config: self.config,
            limits: self.limits,
        })
    }

    /// The server, for [`Server::listen`] and [`Server::serve_stream`].
    pub fn build<A: Application>(self, application: A) -> Result<Server<A>, Error> {
        let host_keys = self.signers()?;
        let application = Arc::new(application);
        let doorkeeper = Doorkeeper::new(&self.limits);
        let shared = self.shared(Arc::clone(&application), host_keys);
        Ok(Server {
            application,
            current: Arc::new(RwLock::new(Current { shared, doorkeeper })),
        })
    }

    /// Builds the server and listens on `address`, which may be a port alone by `("::", port)`; port 0 lets the system
    /// choose.
    pub async fn listen<A: Application>(
        self,
        address: impl ToSocketAddrs + fmt::Debug,
        application: A,
    ) -> Result<Listening, Error> {
        self.build(application)?.listen(address).await
    }
}

/// The host keys that have certificates, each with its own.
fn certified(
    host_keys: &[Arc<dyn Signer>],
    certificates: &[Certificate],
) -> Result<Vec<Arc<dyn Signer>>, Error> {
    let mut signers: Vec<Arc<dyn Signer>> = Vec::new();
    for certificate in certificates {
        let id = certificate.body().key_id.clone();
        if certificate.body().kind != CertificateKind::Host {
            let source = CertificateError::NotForHosts;
            return Err(Error::HostCertificate { id, source });
        }
        let Some(key) = host_keys.iter().find(|key| key.public_key() == certificate.key()) else {
            let key = certificate.key().fingerprint();
            return Err(Error::CertificateWithoutKey { id, key });
        };
        let signer = CertifiedSigner::new(Arc::clone(key), certificate.clone())
            .map_err(|source| Error::HostCertificate { id, source })?;
        signers.push(Arc::new(signer));
    }
    Ok(signers)
}

impl<A: Application> Server<A> {
    /// Listens on `address`. A server may listen on several.
    pub async fn listen(&self, address: impl ToSocketAddrs + fmt::Debug) -> Result<Listening, Error> {
        self.listen_on(bind(address).await?)
    }

    /// Takes connections from a listener that is bound already.
    pub fn listen_on(&self, listener: TcpListener) -> Result<Listening, Error> {
        let failed = |source| Error::Listen {
            address: "the listener".to_owned(),
            source,
        };
        let address = listener.local_addr().map_err(failed)?;
        let (stage, watched) = watch::channel(Stage::Open);
        let connections = Arc::new(AtomicUsize::new(0));
        let reception = Reception {
            server: self.clone(),
            stage: watched,
            connections: Arc::clone(&connections),
            tasks: JoinSet::new(),
        };
        let task = tokio::spawn(reception.run(listener));
        Ok(Listening {
            address,
            stage,
            connections,
            task: Task(task),
        })
    }

    /// Serves one connection over any stream, until it is over and nothing of it is left.
    ///
    /// The stream is let in without asking how many others there are. `Ok` means that the client said goodbye or closed
    /// the stream after its login.
    pub async fn serve_stream<S>(&self, stream: S, peer: Peer) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (_open, stage) = watch::channel(Stage::Open);
        let shared = Arc::clone(&self.current().shared);
        shared.serve(stream, &peer, None, stage).await
    }

    /// The application.
    pub fn application(&self) -> &A {
        &self.application
    }

    /// Gives the server other keys, policies and limits, as [`Builder::build`] would: for all its clones and listeners,
    /// and for the connections that come from now on. Those there are keep what they began with; how many of them have
    /// not logged in counts on against the new limits.
    ///
    /// # Errors
    /// As [`Builder::build`]; then everything stays as it was.
    pub fn update(&self, builder: Builder) -> Result<(), Error> {
        let host_keys = builder.signers()?;
        let limits = builder.limits.clone();
        let shared = builder.shared(Arc::clone(&self.application), host_keys);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let doorkeeper = current.doorkeeper.with(&limits);
        *current = Current { shared, doorkeeper };
        Ok(())
    }

    fn current(&self) -> RwLockReadGuard<'_, Current<A>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that listens. Dropping it stops everything at once; [`shutdown`](Self::shutdown) and
/// [`drain`](Self::drain) do it in good order.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    connections: Arc<AtomicUsize>,
    task: Task,
}

/// The task that accepts, and with it the tasks of all connections: they end when this is dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Task {
    async fn ended(&mut self) {
        // A task that was awaited to its end may not be awaited again.
        if self.0.is_finished() {
            return;
        }
        if let Err(error) = (&mut self.0).await {
            tracing::error!(%error, "the server stopped listening");
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listening {
    /// Where it listens, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there are, those included that have not logged in.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Serves until something else is done with this value: it does not return by itself. Cancel safe, so that a
    /// program can wait for a signal at the same time.
    pub async fn wait(&mut self) {
        self.task.ended().await;
    }

    /// Stops listening, says goodbye to everybody and waits until all connections are over.
    pub async fn shutdown(mut self) {
        self.stage.send_replace(Stage::Closing);
        self.task.ended().await;
    }

    /// Stops listening, lets the connections there are go on until they end by themselves, and says goodbye to those
    /// that are still there after `patience`.
    pub async fn drain(mut self, patience: Duration) {
        self.stage.send_replace(Stage::Draining);
        if tokio::time::timeout(patience, self.task.ended()).await.is_err() {
            self.shutdown().await;
        }
    }
}

/// Who opens the door.
struct Reception<A> {
    server: Server<A>,
    stage: watch::Receiver<Stage>,
    connections: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl<A: Application> Reception<A> {
    async fn run(mut self, listener: TcpListener) {
        let mut stage = self.stage.clone();
        let mut accepting = Accepting::new("the server's");
        loop {
            tokio::select! {
                (stream, remote) = accepting.next(|cx| listener.poll_accept(cx)) => self.receive(stream, remote),
                Some(_ended) = self.tasks.join_next() => {}
                () = leaves(&mut stage, Stage::Open) => break,
            }
        }
        drop(listener);
        while self.tasks.join_next().await.is_some() {}
    }

    fn receive(&mut self, stream: TcpStream, remote: SocketAddr) {
        // A peer that is gone already has no address any more.
        let Ok(local) = stream.local_addr() else { return };
        let peer = Peer::tcp(remote, local);
        let (shared, admitted) = {
            let current = self.server.current();
            (
                Arc::clone(&current.shared),
                current.doorkeeper.admit(peer.ip(), dice()),
            )
        };
        let admission = match admitted {
            Ok(admission) => admission,
            Err(refused) => {
                tracing::info!(%peer, %refused, "turned away");
                // As much as the socket takes at once: nobody waits for a stranger.
                let _unsent = stream.try_write(b"Exceeded MaxStartups\r\n");
                return;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "the connection stays as slow as the system makes it");
        }
        if shared.config.tcp_keepalive
            && let Err(error) = set_socket_keepalive(&stream, true)
        {
            tracing::debug!(%peer, %error, "the system will not watch over the connection");
        }
        let stage = self.stage.clone();
        let counted = Counted::new(&self.connections);
        self.tasks.spawn(async move {
            let _counted = counted;
            tracing::debug!(%peer, "connected");
            match shared.serve(stream, &peer, Some(admission), stage).await {
                Ok(()) => tracing::info!(%peer, "disconnected"),
                Err(error) => tracing::info!(%peer, %error, "connection over"),
            }
        });
    }
}

/// A listener on the first of the addresses that can be had, for [`Server::listen_on`]. Copies of it may be given to
/// several runtimes, so that each serves a share of the connections.
///
/// # Errors
/// [`Error::Listen`]: none of the addresses can be had.
pub async fn bind(address: impl ToSocketAddrs + fmt::Debug) -> Result<TcpListener, Error> {
    let name = format!("{address:?}");
    let failed = |source| Error::Listen {
        address: name.replace('"', ""),
        source,
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in lookup_host(address).await.map_err(failed)? {
        match listener(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if address.is_ipv6() {
        // As OpenSSH does it: else this socket takes the addresses of IPv4 too, and nobody can listen on those besides.
        set_ipv6_v6only(&socket, true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// One connection in the count, until it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number that a stranger cannot foresee; not good enough for keys, and used for none.
fn dice() -> u32 {
    let number = RandomState::new().build_hasher().finish();
    u32::try_from(number >> 32).unwrap_or_default()
}

impl<A> Clone for Server<A> {
    fn clone(&self) -> Self {
        Self {
            application: Arc::clone(&self.application),
            current: Arc::clone(&self.current),
        }
    }
}

impl<A> fmt::Debug for Server<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Server")
            .field("limits", &current.shared.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("host_keys", &self.host_keys.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Connections the system keeps until they are accepted. With the usual 128, a storm of a few hundred makes honest
/// clients wait for seconds until their SYN is sent again.
const BACKLOG: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_families_are_listened_on_at_one_port() {
        let four = bind("0.0.0.0:0").await.unwrap();
        let port = four.local_addr().unwrap().port();
        // A machine without IPv6 has nothing to show here.
        if bind("[::1]:0").await.is_ok() {
            let six = bind(format!("[::]:{port}")).await.unwrap();
            assert_eq!(six.local_addr().unwrap().port(), port);
        }
    }
}
