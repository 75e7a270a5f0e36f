//! The same names for programs without an async runtime: calls that return when they are done.
//!
//! ```no_run
//! use ssh_client::{Credentials, HostKeys, blocking::Client};
//!
//! # fn main() -> Result<(), ssh_client::Error> {
//! let (host_keys, keys) = (HostKeys::known_hosts_default()?, Credentials::default_keys()?);
//! let client = Client::connect("example.org", "alice", host_keys, keys)?;
//! print!("{}", client.run("uname -a")?.stdout_text());
//! client.disconnect()
//! # }
//! ```
//!
//! Each client has a thread of its own that keeps the connection alive between calls: keepalives are answered, forwards
//! carry data, output is received up to its window. Everything made from a client shares that thread; it ends when the
//! last of them is dropped. Streams are [`Read`](std::io::Read) and [`Write`](std::io::Write) and can be moved to threads
//! of the caller's: whoever reads standard output and error one after the other waits for ever once the other fills the
//! window they share, so [`Exec::output`] reads both.
//!
//! A call from inside of an async runtime would stop that runtime: it is an error, [`Error::InsideRuntime`]. What has no
//! blocking twin is reached by [`Client::block_on`] and [`Client::as_async`].

mod process;
mod sftp;
mod streams;
#[cfg(all(feature = "tunnel", target_os = "linux"))]
mod tunnel;

pub use process::{Exec, Job, Process, ProcessControl};
pub use sftp::{Directory, File, Sftp};
pub use streams::{ReadStream, Reader, WriteStream};
#[cfg(all(feature = "tunnel", target_os = "linux"))]
pub use tunnel::Tunnel;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::ToSocketAddrs;
use tokio::runtime::{Handle, Runtime};

use crate::address::{Address, ToAddress};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::forward::{Connections, Forwarding, Listening, SocketFile, Target};
use crate::host_keys::HostKeys;
use crate::output::Output;

/// The thread behind a client.
struct Engine {
    /// Taken when it is dropped, and only then.
    runtime: Option<Runtime>,
}

impl Engine {
    fn start() -> Result<Arc<Self>, Error> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(1)
            .thread_name("ssh-client")
            .enable_all()
            .build();
        Ok(Arc::new(Self {
            runtime: Some(runtime.map_err(Error::Runtime)?),
        }))
    }

    /// Does all of `work` before it returns.
    fn block_on<F: Future>(&self, work: F) -> Result<F::Output, Error> {
        match &self.runtime {
            Some(runtime) if Handle::try_current().is_err() => Ok(runtime.block_on(work)),
            _ => Err(Error::InsideRuntime),
        }
    }

    /// The same, and fails with the error of `work` as well.
    fn run<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.block_on(work)?
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A destructor must not wait, least of all inside of a runtime, where waiting is a panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection to a server, logged in: [`crate::Client`] for programs without an async runtime. Clones share it.
#[derive(Clone)]
pub struct Client {
    engine: Arc<Engine>,
    inner: crate::Client,
}

impl Client {
    /// Connects to `address` and logs in as `user`.
    ///
    /// # Errors
    /// Those of [`crate::Client::connect`].
    pub fn connect(
        address: impl ToAddress,
        user: &str,
        host_keys: HostKeys,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        Self::connect_with(&Config::default(), address, user, host_keys, credentials)
    }

    /// Like [`connect`](Self::connect), with choices of your own.
    ///
    /// # Errors
    /// Those of [`crate::Client::connect_with`].
    pub fn connect_with(
        config: &Config,
        address: impl ToAddress,
        user: &str,
        host_keys: HostKeys,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        let engine = Engine::start()?;
        let connecting = crate::Client::connect_with(config, address, user, host_keys, credentials);
        let inner = engine.run(connecting)?;
        Ok(Self { engine, inner })
    }

    /// Runs a command through the user's shell, without input, and collects what it says.
    ///
    /// # Errors
    /// Those of [`crate::Client::run`].
    pub fn run(&self, command: impl Into<Vec<u8>>) -> Result<Output, Error> {
        self.exec(command).output()
    }

    /// A command to be run through the user's shell. Quoting is the caller's business.
    pub fn exec(&self, command: impl Into<Vec<u8>>) -> Exec {
        Exec::new(&self.engine, self.inner.exec(command))
    }

    /// The user's login shell.
    pub fn shell(&self) -> Exec {
        Exec::new(&self.engine, self.inner.shell())
    }

    /// A subsystem of the server, by name.
    pub fn subsystem(&self, name: impl Into<String>) -> Exec {
        Exec::new(&self.engine, self.inner.subsystem(name))
    }

    /// An SFTP session.
    ///
    /// # Errors
    /// Those of [`crate::Client::sftp`].
    pub fn sftp(&self) -> Result<Sftp, Error> {
        let inner = self.engine.run(self.inner.sftp())?;
        Ok(Sftp::new(&self.engine, inner))
    }

    /// Begins a forward of any kind.
    ///
    /// # Errors
    /// Those of [`crate::Client::forward`].
    pub fn forward(&self, forwarding: &Forwarding) -> Result<Forward, Error> {
        self.forwarded(self.inner.forward(forwarding))
    }

    /// Listens on `bind` and sends every connection through the server to `host`:`port`.
    ///
    /// # Errors
    /// Those of [`crate::Client::forward_local`].
    pub fn forward_local(
        &self,
        bind: impl ToSocketAddrs + std::fmt::Debug,
        host: &str,
        port: u16,
    ) -> Result<Forward<SocketAddr>, Error> {
        self.forwarded(self.inner.forward_local(bind, host, port))
    }

    /// Listens on the Unix socket `file` of this side and sends every connection through the server to `target`.
    ///
    /// # Errors
    /// Those of [`crate::Client::forward_local_socket`].
    pub fn forward_local_socket(
        &self,
        file: impl Into<SocketFile>,
        target: Target,
    ) -> Result<Forward<PathBuf>, Error> {
        self.forwarded(self.inner.forward_local_socket(file, target))
    }

    /// Asks the server to listen on its `address`:`port` and connects what comes there to `target` from here.
    ///
    /// # Errors
    /// Those of [`crate::Client::forward_remote`].
    pub fn forward_remote(
        &self,
        address: &str,
        port: u16,
        target: Target,
    ) -> Result<Forward<Address>, Error> {
        self.forwarded(self.inner.forward_remote(address, port, target))
    }

    /// Asks the server to listen on the Unix socket `path` of its side and connects what comes there to `target` from
    /// here.
    ///
    /// # Errors
    /// Those of [`crate::Client::forward_remote_socket`].
    pub fn forward_remote_socket(
        &self,
        path: impl AsRef<Path>,
        target: Target,
    ) -> Result<Forward<PathBuf>, Error> {
        self.forwarded(self.inner.forward_remote_socket(path, target))
    }

    fn forwarded<A>(
        &self,
        beginning: impl Future<Output = Result<crate::Forward<A>, Error>>,
    ) -> Result<Forward<A>, Error> {
        Ok(Forward {
            inner: self.engine.run(beginning)?,
            engine: Arc::clone(&self.engine),
        })
    }

    /// Asks the server for a sign of life and says how long it took to come.
    ///
    /// # Errors
    /// Those of [`crate::Client::ping`].
    pub fn ping(&self) -> Result<Duration, Error> {
        self.engine.run(self.inner.ping())
    }

    /// Says goodbye and waits until it has left. Everything made from this client ends. A client that is dropped without
    /// it leaves without a word.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn disconnect(&self) -> Result<(), Error> {
        self.engine.block_on(self.inner.disconnect())
    }

    /// Where it leads.
    pub fn address(&self) -> &Address {
        self.inner.address()
    }

    /// As whom.
    pub fn user(&self) -> &str {
        self.inner.user()
    }

    /// The client itself, for what has no blocking twin; see [`block_on`](Self::block_on).
    pub const fn as_async(&self) -> &crate::Client {
        &self.inner
    }

    /// Does all of `work` on this thread before it returns, with the client's runtime around it.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`].
    pub fn block_on<F: Future>(&self, work: F) -> Result<F::Output, Error> {
        self.engine.block_on(work)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

/// A forward that listens: [`crate::Forward`]. Dropping it ends it and the connections made through it.
#[must_use = "dropping it ends the forward"]
pub struct Forward<A = Listening> {
    inner: crate::Forward<A>,
    engine: Arc<Engine>,
}

impl<A> Forward<A> {
    /// Where it listens, with the port that was bound.
    pub const fn address(&self) -> &A {
        self.inner.address()
    }

    /// What came to it so far.
    pub fn connections(&self) -> Connections {
        self.inner.connections()
    }

    /// Stops listening and waits until that is done. The connections that are open go on.
    ///
    /// # Errors
    /// Those of [`crate::Forward::close`].
    pub fn close(&self) -> Result<(), Error> {
        self.engine.run(self.inner.close())
    }

    /// Stops listening and ends the connections made through it.
    ///
    /// # Errors
    /// Those of [`crate::Forward::close_all`].
    pub fn close_all(self) -> Result<(), Error> {
        let Self { inner, engine } = self;
        engine.run(inner.close_all())
    }
}
