//! Sockets that listen: TCP on one or two addresses with one port, and files.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::oneshot;

use super::SocketPolicy;
use crate::aside::{EndsAside, Threads, aside};
use crate::forward::Stream;
use crate::tokio_driver::check_socket_path;

/// The sockets of one place where the server listens. Dropped, it listens no more, and a file is gone.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Vec<Socket>,
    /// The socket that is asked first: the one behind the last that had a connection, so that a crowd at one address holds
    /// up nobody at another.
    next: AtomicUsize,
    /// Dropped after the sockets: see [`Listener::gone`].
    listens: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, EndsAside<SocketFile>),
}

/// A connection that has come.
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    /// Where it came from; empty for a Unix socket.
    pub(crate) originator: String,
    pub(crate) port: u32,
}

impl Listener {
    fn new(sockets: Vec<Socket>) -> Self {
        Self {
            sockets,
            next: AtomicUsize::new(0),
            listens: None,
        }
    }

    /// Fails when nothing listens any more, and what was bound is free.
    pub(crate) fn gone(&mut self) -> oneshot::Receiver<()> {
        let (listens, gone) = oneshot::channel();
        self.listens = Some(listens);
        gone
    }

    /// Listens no more, and returns when what was bound is free.
    pub(crate) async fn end(self) {
        for socket in self.sockets {
            if let Socket::Unix(listener, file) = socket {
                drop(listener);
                file.end().await;
            }
        }
    }

    /// The next connection at any of the sockets.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        let first = self.next.load(Ordering::Relaxed);
        for turn in 0..self.sockets.len() {
            let place = first.saturating_add(turn) % self.sockets.len();
            let Some(socket) = self.sockets.get(place) else {
                continue;
            };
            if let Poll::Ready(arrival) = socket.poll_accept(cx) {
                self.next.store(place.saturating_add(1), Ordering::Relaxed);
                return Poll::Ready(arrival);
            }
        }
        Poll::Pending
    }
}

impl Socket {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, from)| Arrival {
                stream: Stream::Tcp(stream),
                originator: from.ip().to_canonical().to_string(),
                port: from.port().into(),
            }),
            Self::Unix(listener, _file) => listener.poll_accept(cx).map_ok(|(stream, _)| Arrival {
                stream: Stream::Unix(stream),
                originator: String::new(),
                port: 0,
            }),
        }
    }
}

/// Listens at `port` of as many of the addresses as can be had, at least one; says which port it is. Port 0 is one that
/// is free at all of them.
///
/// # Errors
/// The last address's. With `whole`, that one of them is in use by somebody else.
pub(crate) fn tcp(addresses: &[IpAddr], port: u16, whole: bool) -> io::Result<(Listener, u16)> {
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        tries = tries.saturating_sub(1);
        match tcp_once(addresses, port, whole || port == 0) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            result => return result,
        }
    }
}

fn tcp_once(addresses: &[IpAddr], mut port: u16, whole: bool) -> io::Result<(Listener, u16)> {
    let mut sockets = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tcp_socket(SocketAddr::new(*address, port)) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                sockets.push(Socket::Tcp(listener));
            }
            // Half of a port would lead some connections to a stranger.
            Err(error) if whole && error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // Not every machine has both families.
            Err(error) => last = error,
        }
    }
    if sockets.is_empty() {
        Err(last)
    } else {
        Ok((Listener::new(sockets), port))
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        let socket = TcpSocket::new_v6()?;
        // The addresses of IPv4 have a socket of their own.
        sockopt::set_ipv6_v6only(&socket, true)?;
        socket
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens at the Unix socket `path`, made as `policy` says by one of `threads`. Dropped, it leaves no file.
pub(crate) async fn unix(path: PathBuf, policy: SocketPolicy, threads: &Threads) -> io::Result<Listener> {
    check_socket_path(&path)?;
    let ending = threads.clone();
    let made = aside(threads, move || {
        make_unix(&path, policy).map(|(socket, file)| (socket, EndsAside::new(&ending, file)))
    });
    let (socket, file) = made.await?;
    let listener = UnixListener::from_std(socket)?;
    Ok(Listener::new(vec![Socket::Unix(listener, file)]))
}

/// Makes the socket and its file. It takes as long as the file system does.
fn make_unix(path: &Path, policy: SocketPolicy) -> io::Result<(net::UnixListener, SocketFile)> {
    if policy.unlink {
        remove_old(path)?;
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let mode = Mode::from_raw_mode(0o666 & !policy.mask);
    // The file gets the mode of the socket, less this process's own mask: at no time is it more open than it shall be.
    rustix::fs::fchmod(&socket, mode)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file = SocketFile::made(path)?;
    file.set_mode(mode)?;
    rustix::net::listen(&socket, BACKLOG.try_into().unwrap_or(i32::MAX))?;
    Ok((net::UnixListener::from(socket), file))
}

/// A socket of this user's makes way; anything else stays, and binding says so.
fn remove_old(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() && is_own(found.uid()) => fs::remove_file(path),
        _ => Ok(()),
    }
}

fn is_own(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw()
}

/// The file of a socket; dropping it removes the file, if it is still the same. That takes as long as the file system
/// does.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn made(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        // Whoever else may write to the directory may have put a file of ours in the place of what was just made.
        if !found.file_type().is_socket() || !is_own(found.uid()) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else took the place of the socket",
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Gives the file bits that this process's mask has taken. Whoever else may write to the directory may have put
    /// something else in the place: only what was made here is changed.
    fn set_mode(&self, mode: Mode) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::File::from(rustix::fs::open(&self.path, flags, Mode::empty())?);
        let found = file.metadata()?;
        let is_same = found.dev() == self.device && found.ino() == self.inode;
        if !is_same || found.mode() & 0o777 == mode.as_raw_mode() {
            return Ok(());
        }
        let own = PathBuf::from(format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&file)));
        fs::set_permissions(own, fs::Permissions::from_mode(mode.as_raw_mode()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_same = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if is_same && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a socket stays behind");
        }
    }
}

/// Connections the system keeps until they are accepted.
const BACKLOG: u32 = 128;
/// How often a free port is looked for that is free at every address.
const PORT_TRIES: u32 = 16;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tokio_driver::MAX_SOCKET_PATH_BYTES;

    async fn unix(path: &Path, policy: SocketPolicy) -> io::Result<Listener> {
        super::unix(path.to_owned(), policy, &Threads::for_a_client()).await
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_socket_is_nobodys_but_the_users_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for (mask, expected) in [(0o177, 0o600), (0o117, 0o660), (0o111, 0o666), (0o777, 0o000)] {
            let policy = SocketPolicy { mask, unlink: false };
            let listener = unix(&path, policy).await.unwrap();
            assert_eq!(mode(&path), expected, "{mask:o}");
            assert!(is_own(fs::symlink_metadata(&path).unwrap().uid()));
            listener.end().await;
            assert!(!path.exists(), "{mask:o}");
        }
    }

    #[tokio::test]
    async fn what_nobody_asks_for_any_more_is_made_aside_and_gone_again() {
        static ONE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let one = Threads::all_of(&ONE);
        let mut asked = Box::pin(super::unix(path.clone(), SocketPolicy::default(), &one));
        tokio::select! {
            biased;
            _made = &mut asked => panic!("it was made on the thread of the event loop"),
            () = std::future::ready(()) => {}
        }
        drop(asked);
        // It is made by now.
        drop(ONE.acquire().await.unwrap());
        let begin = std::time::Instant::now();
        while path.exists() {
            assert!(begin.elapsed() < std::time::Duration::from_secs(120));
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_was_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = unix(&path, SocketPolicy::default()).await.unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, "precious").unwrap();
        listener.end().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn only_an_old_socket_makes_way_and_only_if_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unlink = SocketPolicy {
            unlink: true,
            ..SocketPolicy::default()
        };
        drop(net::UnixListener::bind(&path).unwrap());
        let refused = unix(&path, SocketPolicy::default()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        unix(&path, unlink).await.unwrap().end().await;

        let target = folder.path().join("target");
        drop(net::UnixListener::bind(&target).unwrap());
        symlink(&target, &path).unwrap();
        assert!(unix(&path, unlink).await.is_err());
        assert!(target.exists() && path.exists());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(unix(&path, unlink).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

        // What belongs to somebody else stays; only root can make such a file here.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&target, Some(65534), None).unwrap();
            assert!(unix(&target, unlink).await.is_err());
            assert!(target.exists());
        }
    }

    #[tokio::test]
    async fn a_crowd_at_one_address_holds_up_nobody_at_another() {
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(Socket::Tcp(tcp_socket("127.0.0.1:0".parse().unwrap()).unwrap()));
        }
        let places: Vec<_> = sockets
            .iter()
            .map(|socket| match socket {
                Socket::Tcp(listener) => listener.local_addr().unwrap(),
                Socket::Unix(..) => panic!(),
            })
            .collect();
        let mut crowd = Vec::new();
        for (place, comers) in places.iter().zip([6, 2, 1]) {
            for _ in 0..comers {
                crowd.push(tokio::net::TcpStream::connect(place).await.unwrap());
            }
        }
        // All of them stand in the queues of the system; here, the runtime hears of it.
        tokio::task::yield_now().await;
        let listener = Listener::new(sockets);
        let mut served = Vec::new();
        while served.len() < crowd.len() {
            let Stream::Tcp(stream) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap().stream else {
                panic!()
            };
            let at = stream.local_addr().unwrap();
            served.push(places.iter().position(|place| *place == at).unwrap());
        }
        assert_eq!(served, [0, 1, 2, 0, 1, 0, 0, 0, 0]);
    }

    #[tokio::test]
    async fn a_path_that_no_socket_can_have_is_refused_by_its_length_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let room = MAX_SOCKET_PATH_BYTES - folder.path().as_os_str().len() - 1;
        let unlink = SocketPolicy {
            unlink: true,
            ..SocketPolicy::default()
        };
        unix(&folder.path().join("x".repeat(room)), unlink)
            .await
            .unwrap()
            .end()
            .await;
        let (longer, other) = (folder.path().join("x".repeat(room + 1)), folder.path().join("o"));
        drop(net::UnixListener::bind(&other).unwrap());
        fs::rename(&other, &longer).unwrap();
        assert_eq!(
            unix(&longer, unlink).await.unwrap_err().to_string(),
            "the path of a Unix socket has 107 bytes at most, and this one has 108"
        );
        assert!(fs::symlink_metadata(&longer).is_ok(), "it made way for nothing");
    }

    #[tokio::test]
    async fn a_free_port_is_the_same_at_every_address() {
        let both: [IpAddr; 2] = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let (listener, port) = tcp(&both, 0, false).unwrap();
        assert_ne!(port, 0);
        for socket in &listener.sockets {
            let Socket::Tcp(socket) = socket else { panic!() };
            assert_eq!(socket.local_addr().unwrap().port(), port);
        }
        // A port in use is refused at every address, or had at one of them: as is asked for.
        let (listener, port) = tcp(&both[..1], 0, false).unwrap();
        assert_eq!(
            tcp(&both, port, true).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(
            tcp(&both[..1], port, false).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(listener);
    }

    #[test]
    fn a_file_in_the_place_of_a_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "somebody's").unwrap();
        let error = SocketFile::made(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
    }
}
