//! Places that listen: TCP addresses and Unix sockets of this side, and what the server listens on for us.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, UnixListener, UnixStream};

use crate::address::Address;
use crate::channel::GlobalRequest;
use crate::client::Client;
use crate::error::Error;
use crate::incoming::Guest;
use crate::tokio_driver::{Accepting, IncomingOpen, check_socket_path, system_rng};

/// The permissions a Unix socket is made without, unless [`SocketFile::mask`] says otherwise: what is left is for the
/// user only (`StreamLocalBindMask` of `ssh_config(5)`).
pub const DEFAULT_SOCKET_MASK: u32 = 0o177;

/// Where a forward is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenOn {
    /// On this side: see [`ListenOn::here`].
    Here(Address),
    /// On a Unix socket of this side.
    HereSocket(SocketFile),
    /// On the server's: see [`ListenOn::server`].
    Server(Address),
    /// On a Unix socket of the server's side.
    ServerSocket(PathBuf),
    /// Wherever the server has programs ask for the agent, once a session has asked for that
    /// ([`ChannelRequest::AuthAgentReq`](crate::channel::ChannelRequest)).
    Agent,
    /// Wherever the server has programs ask for a display: see [`Client::forward_x11`], which knows the cookies.
    X11,
}

impl ListenOn {
    /// A TCP port of this side, at a name or address: all that the name stands for. `*` and the empty name are every
    /// address. Port 0 takes a free one.
    pub fn here(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self::Here(Address { host, port })
    }

    /// A Unix socket of this side.
    pub fn here_socket(file: impl Into<SocketFile>) -> Self {
        Self::HereSocket(file.into())
    }

    /// A TCP port of the server's side. The address is for the server to understand (RFC 4254 §7.1): empty is every
    /// one, as far as it lets; `localhost` is its own. Port 0 takes a free one.
    pub fn server(address: impl Into<String>, port: u16) -> Self {
        let host = address.into();
        Self::Server(Address { host, port })
    }

    /// A Unix socket of the server's side.
    pub fn server_socket(path: impl AsRef<Path>) -> Self {
        Self::ServerSocket(path.as_ref().to_owned())
    }
}

/// Where a forward listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listening {
    /// On this side.
    Here(SocketAddr),
    /// On a Unix socket of this side.
    HereSocket(PathBuf),
    /// On the server's side, the address as it was asked for.
    Server(Address),
    /// On a Unix socket of the server's side.
    ServerSocket(PathBuf),
    /// Where programs at the server ask for the agent.
    Agent,
    /// Where programs at the server ask for a display.
    X11,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(address) => write!(f, "{address}"),
            Self::HereSocket(path) => write!(f, "{}", path.display()),
            Self::Server(address) => write!(f, "{address} at the server"),
            Self::ServerSocket(path) => write!(f, "{} at the server", path.display()),
            Self::Agent => f.write_str("the agent's socket at the server"),
            Self::X11 => f.write_str("the display at the server"),
        }
    }
}

/// A Unix socket to be made on this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    replace: bool,
    mask: u32,
}

impl SocketFile {
    /// A socket at `path`, for this user only, where there is nothing yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            replace: false,
            mask: DEFAULT_SOCKET_MASK,
        }
    }

    /// Takes the place of a socket that is there already, whether anybody listens on it or not (`StreamLocalBindUnlink`
    /// of `ssh_config(5)`). What is no socket is never replaced.
    #[must_use]
    pub const fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// The permissions it is made without, as in `umask(2)`; [`DEFAULT_SOCKET_MASK`] unless set.
    #[must_use]
    pub const fn mask(mut self, mask: u32) -> Self {
        self.mask = mask;
        self
    }

    /// Where it is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the socket. It comes into being in a folder nobody else may enter and is moved to its place with its
    /// permissions: at no time can anybody connect whom they keep out.
    ///
    /// The folder's own name may make the path too long that the place itself has room for: it is then reached by the
    /// folder's descriptor, where the system has a name for that.
    fn bind(&self) -> io::Result<(UnixListener, Placed)> {
        check_socket_path(&self.path)?;
        if self.replace
            && let Ok(there) = std::fs::symlink_metadata(&self.path)
            && there.file_type().is_socket()
        {
            std::fs::remove_file(&self.path)?;
        }
        let nursery = Nursery::beside(&self.path)?;
        let born = nursery.0.join("s");
        let listener = if check_socket_path(&born).is_ok() {
            UnixListener::bind(&born)?
        } else {
            let folder = std::fs::File::open(&nursery.0)?;
            UnixListener::bind(format!("/proc/self/fd/{}/s", folder.as_raw_fd()))?
        };
        let permissions = 0o777 & !self.mask;
        std::fs::set_permissions(&born, std::fs::Permissions::from_mode(permissions))?;
        // Unlike a rename, a link takes nobody's place.
        std::fs::hard_link(&born, &self.path)?;
        std::fs::remove_file(&born)?;
        let made = std::fs::symlink_metadata(&self.path)?;
        let placed = Placed {
            path: self.path.clone(),
            device: made.dev(),
            inode: made.ino(),
        };
        Ok((listener, placed))
    }
}

impl<P: AsRef<Path>> From<P> for SocketFile {
    fn from(path: P) -> Self {
        Self::new(path)
    }
}

/// A folder of one's own for the time a socket takes to come into being.
struct Nursery(PathBuf);

impl Nursery {
    fn beside(path: &Path) -> io::Result<Self> {
        let mut name = [0; 4];
        system_rng()?.fill_bytes(&mut name);
        let name = format!(".{:08x}", u32::from_be_bytes(name));
        let folder = path.with_file_name(name);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let removed = std::fs::remove_file(self.0.join("s"));
        if removed.is_ok() || !self.0.join("s").exists() {
            let _left_behind = std::fs::remove_dir(&self.0);
        }
    }
}

/// A socket of ours in its place, which goes with the value unless something else stands there by then.
#[derive(Debug)]
pub(super) struct Placed {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for Placed {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (self.device, self.inode))
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "a socket stays behind");
        }
    }
}

/// A path as it goes over the wire: its bytes.
pub(super) fn wire_path(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// What connections come from.
pub(super) enum Source {
    Tcp(Listeners),
    /// With the file that goes with it.
    Unix(
        UnixListener,
        #[allow(dead_code, reason = "it acts when it is dropped")] Placed,
    ),
    /// The server listens, and the request, if there is one, tells it to stop.
    Server(Guest, Option<GlobalRequest>),
}

/// A connection that came.
pub(super) enum Arrived {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
    Channel(IncomingOpen),
}

impl Source {
    /// Listens on all that a name of this side stands for.
    pub(super) async fn here(address: &Address) -> Result<(Self, SocketAddr), Error> {
        let name = address.to_string();
        let port = address.port;
        if !matches!(address.host.as_str(), "" | "*") {
            return Self::resolved(&name, (address.host.as_str(), port)).await;
        }
        // On the systems we know, this takes IPv4's connections too; where there is no IPv6, it fails.
        match Self::resolved(&name, ("::", port)).await {
            Ok(everywhere) => Ok(everywhere),
            Err(_no_ipv6) => Self::resolved(&name, ("0.0.0.0", port)).await,
        }
    }

    /// The same for addresses in any form; `name` is for the error.
    pub(super) async fn resolved(name: &str, bind: impl ToSocketAddrs) -> Result<(Self, SocketAddr), Error> {
        let failed = |source| Error::Listen {
            bind: name.to_owned(),
            source,
        };
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut first: Option<SocketAddr> = None;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for mut address in tokio::net::lookup_host(bind).await.map_err(failed)? {
            if let Some(first) = first {
                address.set_port(first.port());
            }
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    if first.is_none() {
                        first = Some(listener.local_addr().map_err(failed)?);
                    }
                    listeners.push(listener);
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "an address is not listened on");
                    last = error;
                }
            }
        }
        match first {
            Some(first) => Ok((
                Self::Tcp(Listeners {
                    all: listeners,
                    next: 0,
                }),
                first,
            )),
            None => Err(failed(last)),
        }
    }

    /// Listens on a Unix socket of this side.
    pub(super) fn socket(file: &SocketFile) -> Result<Self, Error> {
        match file.bind() {
            Ok((listener, placed)) => Ok(Self::Unix(listener, placed)),
            Err(source) => Err(Error::Listen {
                bind: file.path.display().to_string(),
                source,
            }),
        }
    }

    /// The server listens, and what it opens comes to `guest`.
    pub(super) const fn server(guest: Guest, cancel: GlobalRequest) -> Self {
        Self::Server(guest, Some(cancel))
    }

    /// The server opens channels for a session's programs, and stops with the session.
    pub(super) const fn session(guest: Guest) -> Self {
        Self::Server(guest, None)
    }

    /// Whether a connection for which there is no place waits until there is one; otherwise it is to be refused.
    pub(super) const fn can_wait(&self) -> bool {
        !matches!(self, Self::Server(..))
    }

    /// The next connection; `None` if nothing will come any more. May be dropped at any point.
    pub(super) async fn next(&mut self, accepting: &mut Accepting) -> Option<Arrived> {
        match self {
            Self::Tcp(listeners) => {
                let (stream, from) = accepting.next(|cx| listeners.poll_accept(cx)).await;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "small packets may be late");
                }
                Some(Arrived::Tcp(stream, from))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = accepting.next(|cx| listener.poll_accept(cx)).await;
                Some(Arrived::Unix(stream))
            }
            Self::Server(guest, _) => guest.next().await.map(Arrived::Channel),
        }
    }

    /// Stops listening; says whether the server, if it is the one, agreed.
    pub(super) async fn close(self, client: &Client) -> bool {
        let Self::Server(guest, cancel) = self else {
            return true;
        };
        // From here on, nothing of it is let in.
        drop(guest);
        let Some(cancel) = cancel else {
            return true;
        };
        let purpose = "to stop listening";
        match client
            .in_time(purpose, client.handle().global_request(&cancel))
            .await
        {
            Ok(Ok(agreed)) => agreed.is_some(),
            Ok(Err(_ended)) => true,
            Err(_silent) => false,
        }
    }
}

/// The listeners of one name.
pub(super) struct Listeners {
    all: Vec<TcpListener>,
    /// The first to be asked: the one behind the last that had a connection, so that a crowd at one address holds up
    /// nobody at another.
    next: usize,
}

impl Listeners {
    /// The next connection to any of them.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        for turn in 0..self.all.len() {
            let place = self.next.saturating_add(turn) % self.all.len();
            let Some(listener) = self.all.get(place) else {
                continue;
            };
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                self.next = place.saturating_add(1);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::tokio_driver::MAX_SOCKET_PATH_BYTES;

    #[tokio::test]
    async fn a_crowd_at_one_address_holds_up_nobody_at_another() {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let places: Vec<_> = all.iter().map(|each| each.local_addr().unwrap()).collect();
        let mut crowd = Vec::new();
        for (place, comers) in places.iter().zip([6, 2, 1]) {
            for _ in 0..comers {
                crowd.push(TcpStream::connect(place).await.unwrap());
            }
        }
        // All of them stand in the queues of the system; here, the runtime hears of it.
        tokio::task::yield_now().await;
        let mut listeners = Listeners { all, next: 0 };
        let mut served = Vec::new();
        while served.len() < crowd.len() {
            let (stream, _from) = poll_fn(|cx| listeners.poll_accept(cx)).await.unwrap();
            let at = stream.local_addr().unwrap();
            served.push(places.iter().position(|place| *place == at).unwrap());
        }
        assert_eq!(served, [0, 1, 2, 0, 1, 0, 0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_the_system_gives_nothing_says_so_once() {
        let (mut source, _) = Source::resolved("test", "127.0.0.1:0").await.unwrap();
        let Source::Tcp(listeners) = &source else {
            panic!("not of this side")
        };
        // From here on, every accept fails.
        rustix::net::shutdown(&listeners.all[0], rustix::net::Shutdown::Both).unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let _here = tracing::subscriber::set_default(subscriber.finish());
        let mut accepting = Accepting::new("a forward's");
        // In pieces, as a forward asks whose connections come to their end meanwhile.
        for _ in 0..100 {
            let next = source.next(&mut accepting);
            let none = tokio::time::timeout(std::time::Duration::from_secs(1), next).await;
            assert!(none.is_err());
        }
        let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(told.matches("cannot accept").count(), 1, "{told}");
    }

    /// What is traced.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_socket_may_have_the_longest_path_there_is_and_none_longer() {
        let folder = tempfile::tempdir().unwrap();
        // A directory so deep that the folder a socket comes into being in has no path a socket could have.
        let depth = MAX_SOCKET_PATH_BYTES - folder.path().as_os_str().len() - 4;
        let deep = folder.path().join("d".repeat(depth));
        std::fs::create_dir(&deep).unwrap();
        let (longest, longer) = (deep.join("ss"), deep.join("sss"));
        let (listener, placed) = SocketFile::new(&longest).bind().unwrap();
        let (there, came) = tokio::join!(UnixStream::connect(&longest), listener.accept());
        assert!(there.is_ok() && came.is_ok());
        drop(placed);
        assert_eq!(
            std::fs::read_dir(&deep).unwrap().count(),
            0,
            "nothing is left behind"
        );

        // What stands at a path that no socket can have is not touched.
        let other = deep.join("o");
        drop(UnixListener::bind(&other).unwrap());
        std::fs::rename(&other, &longer).unwrap();
        let Err(error) = Source::socket(&SocketFile::new(&longer).replace(true)) else {
            panic!("it listens")
        };
        let told = format!(
            "listen on {}: the path of a Unix socket has 107 bytes at most, and this one has {}",
            longer.display(),
            longer.as_os_str().len()
        );
        assert_eq!(error.to_string(), told);
        assert!(std::fs::symlink_metadata(&longer).is_ok());
    }
}
