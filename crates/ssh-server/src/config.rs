//! Everything about a server that has a sensible default: each layer's own policy, and the few of this crate.

use std::time::Duration;

use crate::auth::{self, method};
use crate::channel::{self, DirectStreamlocal, DirectTcpip, SESSION, Tun};
use crate::kex;
use crate::keys::algorithm::rsa::MIN_MODULUS_BITS;
use crate::limits::Limits;
use crate::tokio_driver::{self, Keepalive};

/// The policies of all layers. Take the default and change what you must:
/// `Config { password_login: true, ..Config::default() }`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Identification line, algorithms, rekeying ([`kex::Config`]).
    pub transport: kex::Config,
    /// Windows, packet sizes, numbers of channels ([`channel::Config`]). Which channel types may be opened is set by
    /// the server, whatever stands here.
    pub connection: channel::Config,
    /// When to ask a silent client for a sign of life, and when to give it up; `None`: never. Every 15 seconds and
    /// after three silent ones unless set.
    pub keepalive: Option<Keepalive>,
    /// Whether the system watches over the TCP connections of a listener too (`TCPKeepAlive`; on unless set).
    pub tcp_keepalive: bool,
    /// Whether login by public key is offered. On by default.
    pub public_key_login: bool,
    /// Whether login by password is offered. Off by default: an offer invites the whole world to guess.
    pub password_login: bool,
    /// Whether users may log in without any proof, where [`Application::none`](crate::Application::none) agrees. Off by
    /// default.
    pub none_login: bool,
    /// A text to show before the login.
    pub banner: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transport: kex::Config::for_server(),
            connection: channel::Config::default(),
            keepalive: Some(Keepalive::default()),
            tcp_keepalive: true,
            public_key_login: true,
            password_login: false,
            none_login: false,
            banner: None,
        }
    }
}

impl Config {
    /// The transport's settings, with this crate's limits of time.
    pub(crate) fn transport_within(&self, limits: &Limits) -> kex::Config {
        let mut transport = self.transport.clone();
        transport.limits.identification_deadline = limits.identification_time;
        transport.limits.exchange_deadline = limits.key_exchange_time;
        transport
    }

    /// The login's policy, with `grace` left for it.
    pub(crate) fn login(&self, limits: &Limits, grace: Duration) -> auth::server::Policy {
        let offered = [
            (self.public_key_login, method::PUBLICKEY),
            (self.password_login, method::PASSWORD),
            // Whether it lets anybody in is asked later (`none_login`).
            (true, method::NONE),
        ];
        auth::server::Policy {
            methods: offered
                .into_iter()
                .filter_map(|(offered, method)| offered.then_some(method))
                .collect(),
            key_algorithms: self.transport.login_signatures.clone(),
            // This crate refuses small keys itself, with their names in the log.
            required_rsa_bits: MIN_MODULUS_BITS,
            max_attempts: limits.max_auth_tries,
            login_grace: grace,
            banner: self.banner.clone(),
            ..auth::server::Policy::default()
        }
    }

    /// The channels' policy: sessions, connections through the server and tunnels, and nothing else.
    pub(crate) fn channels(&self) -> channel::Config {
        channel::Config {
            accept_opens: vec![SESSION, DirectTcpip::NAME, DirectStreamlocal::NAME, Tun::NAME],
            ..self.connection.clone()
        }
    }

    pub(crate) fn driver(&self) -> tokio_driver::Config {
        tokio_driver::Config {
            keepalive: self.keepalive,
            incoming: WAITING_OPENS,
        }
    }
}

/// Opens and global requests of one client that may wait until they are looked at, which takes a moment at most.
const WAITING_OPENS: usize = 1024;
