//! Every choice of a client that has a good default: the small policies of the layers below, and the limits of time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::connect::{AddressFamily, LocalEnd};
use crate::route::Route;
use crate::tokio_driver::Keepalive;
use crate::{channel, kex};

/// How a client behaves. `Config::default()` is right for most; change what you need:
///
/// ```
/// use std::time::Duration;
/// let mut config = ssh_client::Config::default();
/// config.timeouts.connect = Duration::from_secs(3);
/// config.transport.preferences.edit_ciphers("aes256-gcm@openssh.com").unwrap();
/// ```
#[derive(Clone)]
pub struct Config {
    /// The way to the server.
    pub route: Route,
    /// The address of this machine that TCP connections to servers and proxies leave from (`BindAddress` of
    /// `ssh_config(5)`); the system chooses unless set.
    pub bind_address: Option<IpAddr>,
    /// Which addresses of servers and proxies are used.
    pub address_family: AddressFamily,
    /// Identification, algorithms, when to change keys, limits of the transport.
    pub transport: kex::Config,
    /// Whether the host key algorithms of the keys a host is known by are offered before the others, so that a host with
    /// several keys shows one that can be checked (the default). Otherwise `transport.preferences` stands as it is.
    pub known_host_keys_first: bool,
    /// Windows, packet sizes, limits of channels, and which channels a server may open (none).
    pub channels: channel::Config,
    /// When to ask a silent server for a sign of life, and when to give it up; `None`: never.
    pub keepalive: Option<Keepalive>,
    /// Whether the system watches over the TCP connection too (`TCPKeepAlive`; on unless set). Where `keepalive` is on it
    /// finds nothing that was not found before; where it is off, it ends a connection whose other side is gone after hours.
    pub tcp_keepalive: bool,
    /// How long each step of connecting may take.
    pub timeouts: Timeouts,
    /// Shows what the server says before the login (RFC 4252 §5.4).
    pub banner: Option<ShowBanner>,
    /// Told what the user may want to know about a connection: see [`Warning`].
    pub warning: Option<ShowWarning>,
    /// How many channel opens and global requests of the server may wait for
    /// [`Handle::incoming`](crate::tokio_driver::Handle::incoming); zero, the default, refuses all of them.
    pub incoming: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            route: Route::Direct,
            bind_address: None,
            address_family: AddressFamily::Any,
            transport: kex::Config::default(),
            known_host_keys_first: true,
            channels: channel::Config::default(),
            keepalive: Some(Keepalive::default()),
            tcp_keepalive: true,
            timeouts: Timeouts::default(),
            banner: None,
            warning: None,
            incoming: 0,
        }
    }
}

impl Config {
    pub(crate) fn local_end(&self) -> LocalEnd {
        LocalEnd {
            bind: self.bind_address,
            family: self.address_family,
            watched: self.tcp_keepalive,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("route", &self.route)
            .field("transport", &self.transport)
            .field("channels", &self.channels)
            .field("keepalive", &self.keepalive)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Shows a text of the server's to the user.
#[derive(Clone)]
pub struct ShowBanner(Arc<dyn Fn(&str) + Send + Sync>);

impl ShowBanner {
    /// Calls `show` with each text: escaped already, with `\n` between its lines. It should not block.
    pub fn new(show: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }

    pub(crate) fn show(&self, text: &str) {
        (self.0)(text);
    }
}

/// Something about a connection that works and could be better.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Somebody who records the connection today can read it once there are large quantum computers: the server and we
    /// have no post-quantum key exchange method in common. Told before the login begins.
    NotPostQuantum {
        /// Where to.
        address: Address,
        /// The method that was agreed on.
        kex: &'static str,
    },
}

/// Shows a warning to the user.
///
/// ```
/// use ssh_client::{Config, ShowWarning, Warning};
/// let mut config = Config::default();
/// config.warning = Some(ShowWarning::new(|warning| match warning {
///     Warning::NotPostQuantum { address, kex } => eprintln!("{address} uses {kex}"),
///     other => eprintln!("{other:?}"),
/// }));
/// ```
#[derive(Clone)]
pub struct ShowWarning(Arc<dyn Fn(&Warning) + Send + Sync>);

impl ShowWarning {
    /// Calls `show` with each warning. It should not block.
    pub fn new(show: impl Fn(&Warning) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }

    pub(crate) fn show(&self, warning: &Warning) {
        (self.0)(warning);
    }
}

/// How long the steps of connecting, and of what follows, may take, each by itself. They stand in place of the deadlines
/// in `transport.limits`. [`Duration::MAX`] is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up the name and connecting, all addresses together.
    pub connect: Duration,
    /// From there until the server's identification line has arrived.
    pub identification: Duration,
    /// From there until keys are in use; the time a person takes to decide on a host key does not count.
    pub key_exchange: Duration,
    /// From there until the login is done, all waits for the server together: one that says something now and then
    /// gains no time by it. What a person takes to type, and a key to sign, does not count.
    pub login: Duration,
    /// After the login, the answers until what was asked for can be used: to the opening of a channel, to the request
    /// that starts a program, to the first message of an SFTP session. Each of these three steps may take so long. What
    /// the program does then has no limit here. Longer than a server tries to connect for a forward, as a rule.
    pub open: Duration,
    /// How long an SFTP server may leave its oldest request unanswered before the session is over: from its sending, or from
    /// the answer to the one before it. No limit unless set: a server may rightly take minutes for one request, and one that
    /// is dead is found by [`Config::keepalive`].
    pub sftp: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            identification: Duration::from_secs(20),
            key_exchange: Duration::from_secs(30),
            login: Duration::from_secs(120),
            open: Duration::from_secs(150),
            sftp: Duration::MAX,
        }
    }
}
