//! Forwarding (RFC 4254 §7; OpenSSH `PROTOCOL` §2.4): a place that listens, on this side or on the server's, and where
//! its connections go.
//!
//! ```text
//!                  listens here (-L, -D)                     listens at the server (-R)
//!  ListenOn        Here, HereSocket                          Server, ServerSocket
//!                    │ TcpListener, UnixListener               │ tcpip-forward, then what `incoming` hands over
//!                    └──────────────▶ Forward: one task ◀──────┘
//!                                       │ accept_if, a place for each
//!  Target            Port, Socket: the server connects         Port, Socket: this side connects
//!                    Socks: whoever connects says where        the same
//!                    Serve: the application                    the same
//! ```
//!
//! What lives here: listening, deciding, joining. What does not: which forwards there should be (the application's
//! business) and what the server lets us have (the server's).

mod handle;
mod listen;
mod serve;
mod shares;
mod socks;
mod target;
#[cfg(all(feature = "tunnel", target_os = "linux"))]
mod tunnel;
mod x11;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::ToSocketAddrs;

use crate::address::Address;
use crate::channel::{
    CancelStreamlocalForward, CancelTcpipForward, ChannelType, DirectStreamlocal, DirectTcpip, GlobalRequest,
    StreamlocalForward, TcpipForward, bound_port,
};
use crate::client::Client;
use crate::error::Error;
use crate::incoming::{Expected, Guest};
use crate::tokio_driver::{Channel, check_socket_path};

pub use handle::{Connections, Forward};
pub use listen::{DEFAULT_SOCKET_MASK, ListenOn, Listening, SocketFile};
pub(crate) use shares::Shares;
pub use target::{Arrival, ForwardedStream, Target};
#[cfg(all(feature = "tunnel", target_os = "linux"))]
pub use tunnel::Tunnel;
pub use x11::{X11Display, X11Error, X11Forward, X11Request};

use listen::Source;
use target::Decision;

/// Most connections of one forward at a time, unless [`Forwarding::most_connections`] says otherwise. At a place on this
/// side more wait in the listener's queue; those of a place at the server are refused. It is half of what all forwards of
/// a connection may have together, which is what a server of this project passes on for one.
///
/// Forwards share these places, and those of [`MAX_OPENING_CONNECTIONS`], by one rule ([`may_take`]): a forward takes
/// another place only while it holds fewer than twice as many as are free beyond a quarter of all, or fewer than its part
/// of that quarter. So whoever fills some ports, be it a hundred, leaves room at the others.
///
/// [`may_take`]: crate::tokio_driver::may_take
pub const MAX_FORWARDED_CONNECTIONS: usize = 512;

/// How many connections of one forward may wait at a time for the other side to open them. Those to a place of this side
/// wait for their turn; those of a place at the server are refused. It is an eighth of what all forwards may have waiting,
/// which is what a server of this project lets wait ([`Limits::pending_opens`](crate::channel::Limits)): whoever comes in
/// crowds, for a target that does not answer, leaves turns to other ports, as [`MAX_FORWARDED_CONNECTIONS`] says.
pub const MAX_OPENING_CONNECTIONS: usize = 128;

/// How many times longer than its caller a request to listen waits for its answer.
const LATE_ANSWERS: u32 = 4;

/// A forward to be: where it listens, where its connections go, and which of them may.
///
/// ```no_run
/// # async fn example(client: ssh_client::Client) -> Result<(), ssh_client::Error> {
/// use ssh_client::{Forwarding, ListenOn, Target};
/// let forwarding = Forwarding::new(ListenOn::here("127.0.0.1", 5432), Target::port("db.internal", 5432))
///     .accept_if(|arrival| async move { arrival.originator.is_some() })
///     .most_connections(10);
/// let forward = client.forward(&forwarding).await?;
/// println!("{}: {:?}", forward.address(), forward.connections());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Forwarding {
    pub(crate) listen: ListenOn,
    pub(crate) plan: Plan,
}

/// What becomes of the connections of a forward.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) decision: Option<Decision>,
    pub(crate) most: usize,
}

impl Plan {
    fn to(target: Target) -> Self {
        Self {
            target,
            decision: None,
            most: MAX_FORWARDED_CONNECTIONS,
        }
    }

    /// For connections that come from the server: a socket of this side that no connection could ever reach is told now.
    fn check_target(&self) -> Result<(), Error> {
        match &self.target {
            Target::Socket(path) => check_socket_path(path).map_err(|source| Error::Local {
                path: path.clone(),
                step: "connect to",
                source,
            }),
            Target::Port(_) | Target::Socks | Target::Serve(_) => Ok(()),
        }
    }
}

impl Forwarding {
    /// Every connection to `listen` goes to `target`.
    pub fn new(listen: ListenOn, target: Target) -> Self {
        Self {
            listen,
            plan: Plan::to(target),
        }
    }

    /// Asks `decide` about each connection before anything is done for it but to read a SOCKS request. One that is
    /// refused is closed, or its channel refused as administratively prohibited.
    #[must_use]
    pub fn accept_if<F, D>(mut self, decide: F) -> Self
    where
        F: Fn(Arrival) -> D + Send + Sync + 'static,
        D: Future<Output = bool> + Send + 'static,
    {
        self.plan.decision = Some(Decision::new(decide));
        self
    }

    /// How many connections there may be at a time; [`MAX_FORWARDED_CONNECTIONS`] unless set, and at least one. Other
    /// forwards of the connection may leave it fewer. With more than that number, all of them may have twice as many
    /// together until this one and its connections have ended; the server has limits of its own.
    #[must_use]
    pub fn most_connections(mut self, most: usize) -> Self {
        self.plan.most = most.max(1);
        self
    }

    /// Where it is to listen.
    pub const fn listen(&self) -> &ListenOn {
        &self.listen
    }
}

impl Client {
    /// A TCP connection that the server makes to `host`:`port`, as a stream.
    ///
    /// # Errors
    /// [`Error::Open`] if the server will not or cannot connect, [`Error::OpenTimeout`] if it does not say within
    /// [`Timeouts::open`](crate::Timeouts::open).
    pub async fn direct_tcpip(&self, host: &str, port: u16) -> Result<Channel, Error> {
        self.direct_tcpip_from(host, port, ("127.0.0.1".to_owned(), 0))
            .await
    }

    async fn direct_tcpip_from(&self, host: &str, port: u16, from: (String, u32)) -> Result<Channel, Error> {
        let wanted = DirectTcpip {
            host: host.to_owned(),
            port,
            originator: from.0,
            originator_port: from.1,
        };
        self.open(
            ChannelType::from(wanted),
            &format!("a connection to {host} port {port}"),
        )
        .await
    }

    /// A connection that the server makes to the Unix socket at `path` on its side, as a stream (OpenSSH `PROTOCOL`
    /// §2.4).
    ///
    /// # Errors
    /// As [`direct_tcpip`](Self::direct_tcpip).
    pub async fn direct_streamlocal(&self, path: impl AsRef<Path>) -> Result<Channel, Error> {
        let path = path.as_ref();
        let wanted = DirectStreamlocal::new(listen::wire_path(path));
        self.open(
            ChannelType::from(wanted),
            &format!("a connection to the socket {}", path.display()),
        )
        .await
    }

    /// Begins a forward of any kind. Dropping the result ends it and its connections.
    ///
    /// # Errors
    /// [`Error::Listen`] if this side cannot listen, [`Error::RequestRefused`] if the server will not,
    /// [`Error::OpenTimeout`] if it does not say, [`Error::AlreadyForwarded`] if it already does for this client,
    /// [`Error::Local`] if what comes from the server is to go to a socket whose path is too long for one.
    pub async fn forward(&self, forwarding: &Forwarding) -> Result<Forward, Error> {
        let plan = forwarding.plan.clone();
        Ok(match &forwarding.listen {
            ListenOn::Here(address) => {
                let (source, bound) = Source::here(address).await?;
                self.begin(source, bound, plan).map(Listening::Here)
            }
            ListenOn::HereSocket(file) => self
                .begin(Source::socket(file)?, file.path().to_owned(), plan)
                .map(Listening::HereSocket),
            ListenOn::Server(address) => self
                .forward_from_server(address.clone(), plan)
                .await?
                .map(Listening::Server),
            ListenOn::ServerSocket(path) => self
                .forward_from_server_socket(path.clone(), plan)
                .await?
                .map(Listening::ServerSocket),
            ListenOn::Agent => {
                plan.check_target()?;
                self.begin(self.session_source(Expected::Agent)?, Listening::Agent, plan)
            }
            ListenOn::X11 => {
                plan.check_target()?;
                self.begin(self.session_source(Expected::X11)?, Listening::X11, plan)
            }
        })
    }

    /// Listens on `bind` (port 0 takes a free one) and sends every connection through the server to `host`:`port`
    /// (`ssh -L`). A name that stands for several addresses is listened on at all of them. Dropping the result closes
    /// the port and the connections made through it.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port cannot be listened on.
    pub async fn forward_local(
        &self,
        bind: impl ToSocketAddrs + std::fmt::Debug,
        host: &str,
        port: u16,
    ) -> Result<Forward<SocketAddr>, Error> {
        let (source, bound) = Source::resolved(&format!("{bind:?}"), &bind).await?;
        Ok(self.begin(source, bound, Plan::to(Target::port(host, port))))
    }

    /// Listens on the Unix socket `file` of this side and sends every connection through the server to `target`.
    ///
    /// # Errors
    /// [`Error::Listen`] if the socket cannot be made.
    pub async fn forward_local_socket(
        &self,
        file: impl Into<SocketFile>,
        target: Target,
    ) -> Result<Forward<PathBuf>, Error> {
        let file = file.into();
        Ok(self.begin(Source::socket(&file)?, file.path().to_owned(), Plan::to(target)))
    }

    /// Asks the server to listen on its `address`:`port` (port 0 takes a free one) and connects every connection that
    /// comes there to `target` from here (`ssh -R`). An empty address is all of them, as far as the server lets;
    /// `localhost` is the server's own.
    ///
    /// # Errors
    /// [`Error::RequestRefused`] if the server does not listen, [`Error::OpenTimeout`] if it does not say.
    pub async fn forward_remote(
        &self,
        address: &str,
        port: u16,
        target: Target,
    ) -> Result<Forward<Address>, Error> {
        let host = address.to_owned();
        self.forward_from_server(Address { host, port }, Plan::to(target))
            .await
    }

    /// Asks the server to listen on the Unix socket `path` of its side and connects every connection that comes there
    /// to `target` from here.
    ///
    /// # Errors
    /// As [`forward_remote`](Self::forward_remote).
    pub async fn forward_remote_socket(
        &self,
        path: impl AsRef<Path>,
        target: Target,
    ) -> Result<Forward<PathBuf>, Error> {
        self.forward_from_server_socket(path.as_ref().to_owned(), Plan::to(target))
            .await
    }

    /// Listens on `bind` (port 0 takes a free one) as a SOCKS server (4, 4a and 5, CONNECT without authentication):
    /// whoever connects says where the connection goes from the server on (`ssh -D`).
    ///
    /// # Errors
    /// [`Error::Listen`] if the port cannot be listened on.
    pub async fn forward_dynamic(
        &self,
        bind: impl ToSocketAddrs + std::fmt::Debug,
    ) -> Result<Forward<SocketAddr>, Error> {
        let (source, bound) = Source::resolved(&format!("{bind:?}"), &bind).await?;
        Ok(self.begin(source, bound, Plan::to(Target::Socks)))
    }

    /// Asks the server to listen on its `address`:`port` (port 0 takes a free one); whoever connects there says in the
    /// words of SOCKS where the connection goes from here on (`ssh -R` with a port only). Everything this side can reach
    /// can then be reached from there: see [`Forwarding::accept_if`], which is told the destination.
    ///
    /// # Errors
    /// As [`forward_remote`](Self::forward_remote).
    pub async fn forward_remote_dynamic(&self, address: &str, port: u16) -> Result<Forward<Address>, Error> {
        self.forward_remote(address, port, Target::Socks).await
    }

    /// Lets programs at the server use the agent that listens on `socket` here (`ssh -A`), once a session has asked for
    /// that with [`ChannelRequest::AuthAgentReq`](crate::channel::ChannelRequest). Whoever is root at the server can use
    /// the agent, too, as long as the forward lives: see [`ListenOn::Agent`] for one that is asked about each time.
    ///
    /// # Errors
    /// [`Error::AlreadyForwarded`]: there is one already; [`Error::IncomingTaken`].
    pub async fn forward_agent(&self, socket: impl AsRef<Path>) -> Result<Forward, Error> {
        self.forward(&Forwarding::new(ListenOn::Agent, Target::socket(socket)))
            .await
    }

    fn session_source(&self, expected: Expected) -> Result<Source, Error> {
        let guest = self.expect(expected.clone())?;
        if guest.is_alone() {
            return Ok(Source::session(guest));
        }
        Err(Error::AlreadyForwarded {
            address: self.address().clone(),
            listen: match expected {
                Expected::Agent => "the agent".to_owned(),
                _ => "a display".to_owned(),
            },
        })
    }

    /// Gives what was made to listen here a task of its own.
    fn begin<A>(&self, source: Source, address: A, plan: Plan) -> Forward<A> {
        Forward::begin(self.clone(), source, address, plan)
    }

    async fn forward_from_server(&self, wanted: Address, plan: Plan) -> Result<Forward<Address>, Error> {
        plan.check_target()?;
        let client = self.clone();
        let purpose = format!("to listen on {wanted}");
        let asking = async move {
            let request = TcpipForward::new(wanted.host.clone(), wanted.port).into();
            let purpose = format!("to listen on {wanted}");
            let (guest, reply) = client
                .ask_to_listen(&request, &purpose, Expected::SomeTcpip)
                .await?;
            let port = match wanted.port {
                0 => bound_port(&reply).filter(|port| *port != 0),
                port => Some(port),
            };
            let Some(port) = port else {
                return Err(Error::BadReply {
                    address: client.address().clone(),
                    request: purpose,
                    problem: "it names no port",
                });
            };
            let bound = Address { port, ..wanted };
            let expected = Expected::Tcpip(bound.clone());
            if !guest.expects(expected) {
                return Err(Error::AlreadyForwarded {
                    address: client.address().clone(),
                    listen: bound.to_string(),
                });
            }
            let cancel = CancelTcpipForward::new(bound.host.clone(), port).into();
            Ok(client.begin(Source::server(guest, cancel), bound, plan))
        };
        self.asked(&purpose, asking).await
    }

    async fn forward_from_server_socket(&self, path: PathBuf, plan: Plan) -> Result<Forward<PathBuf>, Error> {
        plan.check_target()?;
        let client = self.clone();
        let purpose = format!("to listen on the socket {}", path.display());
        let asking = async move {
            let wire = listen::wire_path(&path);
            let request = StreamlocalForward { path: wire.clone() }.into();
            let purpose = format!("to listen on the socket {}", path.display());
            let (guest, _reply) = client
                .ask_to_listen(&request, &purpose, Expected::SomeStreamlocal)
                .await?;
            if !guest.expects(Expected::Streamlocal(wire.clone())) {
                return Err(Error::AlreadyForwarded {
                    address: client.address().clone(),
                    listen: path.display().to_string(),
                });
            }
            let cancel = CancelStreamlocalForward { path: wire }.into();
            Ok(client.begin(Source::server(guest, cancel), path, plan))
        };
        self.asked(&purpose, asking).await
    }

    /// Lets `asking` go on to its end whatever happens to the caller: the server may have agreed to listen when the
    /// caller has long gone, and then it must hear that nobody wants it to.
    async fn asked<A: Send + 'static>(
        &self,
        purpose: &str,
        asking: impl Future<Output = Result<Forward<A>, Error>> + Send + 'static,
    ) -> Result<Forward<A>, Error> {
        match self.in_time(purpose, tokio::spawn(asking)).await? {
            Ok(forward) => forward,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that is shutting down cancels the task, and then nobody polls this any more.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }

    /// Sends a request to listen. What the server opens behind its answer waits until it is known what is expected.
    async fn ask_to_listen(
        &self,
        request: &GlobalRequest,
        purpose: &str,
        expected: Expected,
    ) -> Result<(Guest, Vec<u8>), Error> {
        let guest = self.expect(expected)?;
        // Longer than the caller waits, but not for ever: a server that says nothing would keep the connection alive that
        // nobody else uses any more. Should it agree even later, what it opens is refused.
        let limit = self.open_limit().saturating_mul(LATE_ANSWERS);
        let asked = tokio::time::timeout(limit, self.handle().global_request(request)).await;
        let reply = asked
            .map_err(|_elapsed| Error::OpenTimeout {
                address: self.address().clone(),
                purpose: purpose.to_owned(),
                limit,
            })?
            .map_err(|source| self.channel_error("ask the server to listen", source))?;
        match reply {
            Some(reply) => Ok((guest, reply)),
            None => Err(Error::RequestRefused {
                address: self.address().clone(),
                request: purpose.to_owned(),
            }),
        }
    }
}
