//! What a server asks the application that embeds it. Everything has a default, and every default refuses.

use std::future::{Future, ready};
use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::channel::{Tun, X11Req};
use crate::error::Error;
use crate::forward::{Forward, Target, TunnelEnd};
use crate::kex::{Extensions, Negotiated, Quirks, Transport};
use crate::keys::PublicKey;
use crate::listen::{Listen, ListenSocket, ListenTarget};
use crate::peer::Peer;
use crate::permissions::Permissions;
use crate::session::Session;
use crate::x11::DisplayPolicy;

/// The application behind a server: who may log in, and what then happens.
///
/// Methods are asynchronous functions (write `async fn`); they may take their time, and one connection that waits for
/// an answer holds up no other. One value serves all connections at once.
///
/// ```
/// use ssh_server::{Application, Candidate, Decision, Permissions, constant_time_eq};
///
/// struct Greeter;
///
/// impl Application for Greeter {
///     async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
///         let right = constant_time_eq(password, b"guest") & (candidate.user == "guest");
///         Decision::accept_if(right, Permissions::default())
///     }
/// }
/// ```
pub trait Application: Send + Sync + 'static {
    /// A client has connected and has proved nothing yet. `false` closes the connection without a word; `true` unless
    /// overridden. What it takes counts against [`Limits::login_grace_time`](crate::Limits::login_grace_time): when that
    /// is over the future is dropped and the connection closed, as it is when the server ends.
    fn connection_made(&self, peer: &Peer) -> impl Future<Output = bool> + Send {
        let _ = peer;
        ready(true)
    }

    /// A connection that had been let in by [`connection_made`](Self::connection_made) is over and nothing of it is left.
    /// `why` is `None` where the client had said goodbye or the server sent it away. It is called once for each, also
    /// when the server is dropped; it must not wait for anything.
    fn connection_lost(&self, peer: &Peer, why: Option<&Error>) {
        let _ = (peer, why);
    }

    /// Whether there is a user of this name. Only the log asks, which tells the names that strangers guess from others
    /// ([`JOURNAL`](crate::JOURNAL)): nothing that a client sees depends on the answer. `true` unless overridden.
    fn knows_user(&self, candidate: &Candidate) -> impl Future<Output = bool> + Send {
        let _ = candidate;
        ready(true)
    }

    /// Whether the user may log in without proving anything (`none`, RFC 4252 §5.2). Clients ask for it first, to learn
    /// what else there is. It is only asked where [`Config::none_login`](crate::Config::none_login) says so.
    fn none(&self, candidate: &Candidate) -> impl Future<Output = Decision> + Send {
        let _ = candidate;
        ready(Decision::Refuse)
    }

    /// Whether `password` is that of the user. Compare in constant time ([`constant_time_eq`]),
    /// and take as long for a user who does not exist as for one who does.
    fn password(&self, candidate: &Candidate, password: &[u8]) -> impl Future<Output = Decision> + Send {
        let _ = (candidate, password);
        ready(Decision::Refuse)
    }

    /// Whether the user may log in with `key`.
    ///
    /// It is asked up to twice for one login: when the client wants to know whether signing is worth while, and again
    /// when the signature is there and has been checked. What the second answer grants is what counts.
    fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> impl Future<Output = Decision> + Send {
        let _ = (candidate, key);
        ready(Decision::Refuse)
    }

    /// Serves one session: a program, a shell, a subsystem. The session ends when the future does, if not before.
    ///
    /// Take its requests one by one, or hand it to [`Services`](crate::Services). The default refuses every request.
    fn session(&self, session: Session) -> impl Future<Output = ()> + Send {
        session.refuse_all()
    }

    /// Whether this user may connect to `target` through the server (`direct-tcpip`, RFC 4254 §7.2).
    ///
    /// This and what follows is only asked for what the login's own permissions leave open (a key's `restrict`,
    /// `permitopen`, `permitlisten` …).
    fn direct_tcpip(&self, login: &Login, target: &Target) -> impl Future<Output = Forward> + Send {
        let _ = (login, target);
        ready(Forward::Refuse)
    }

    /// Whether this user may connect to the Unix socket at `path`, which is absolute, through the server
    /// (`direct-streamlocal@openssh.com`, OpenSSH `PROTOCOL` §2.4).
    fn direct_streamlocal(&self, login: &Login, path: &Path) -> impl Future<Output = Forward> + Send {
        let _ = (login, path);
        ready(Forward::Refuse)
    }

    /// Whether the server listens for this user (`tcpip-forward`, RFC 4254 §7.1): what connects there is led to the
    /// client.
    fn tcpip_forward(&self, login: &Login, wanted: &ListenTarget) -> impl Future<Output = Listen> + Send {
        let _ = (login, wanted);
        ready(Listen::Refuse)
    }

    /// Whether the server listens for this user at the Unix socket `path`, which is absolute
    /// (`streamlocal-forward@openssh.com`, OpenSSH `PROTOCOL` §2.4).
    fn streamlocal_forward(&self, login: &Login, path: &Path) -> impl Future<Output = ListenSocket> + Send {
        let _ = (login, path);
        ready(ListenSocket::Refuse)
    }

    /// Whether this user's programs may reach the client's agent (`auth-agent-req@openssh.com`): if so, the session gets a
    /// socket, and `SSH_AUTH_SOCK` names it.
    fn agent_forwarding(&self, login: &Login) -> impl Future<Output = bool> + Send {
        let _ = login;
        ready(false)
    }

    /// Whether this user's programs may reach the client's display (`x11-req`, RFC 4254 §6.3): if so, the session gets a
    /// display, and `DISPLAY` and `XAUTHORITY` lead there. `None` refuses.
    fn x11(&self, login: &Login, wanted: &X11Req) -> impl Future<Output = Option<DisplayPolicy>> + Send {
        let _ = (login, wanted);
        ready(None)
    }

    /// What a tunnel leads to (`tun@openssh.com`, OpenSSH `PROTOCOL` §2.3): nothing, a network device that the server
    /// makes for it, or the application itself.
    fn tun(&self, login: &Login, wanted: &Tun) -> impl Future<Output = TunnelEnd> + Send {
        let _ = (login, wanted);
        ready(TunnelEnd::Refuse)
    }
}

/// An `Arc` of an application is one too, for those who want to keep a handle on it.
impl<A: Application> Application for Arc<A> {
    fn knows_user(&self, candidate: &Candidate) -> impl Future<Output = bool> + Send {
        A::knows_user(self, candidate)
    }

    fn none(&self, candidate: &Candidate) -> impl Future<Output = Decision> + Send {
        A::none(self, candidate)
    }

    fn connection_made(&self, peer: &Peer) -> impl Future<Output = bool> + Send {
        A::connection_made(self, peer)
    }

    fn connection_lost(&self, peer: &Peer, why: Option<&Error>) {
        A::connection_lost(self, peer, why);
    }

    fn password(&self, candidate: &Candidate, password: &[u8]) -> impl Future<Output = Decision> + Send {
        A::password(self, candidate, password)
    }

    fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> impl Future<Output = Decision> + Send {
        A::public_key(self, candidate, key)
    }

    fn session(&self, session: Session) -> impl Future<Output = ()> + Send {
        A::session(self, session)
    }

    fn direct_tcpip(&self, login: &Login, target: &Target) -> impl Future<Output = Forward> + Send {
        A::direct_tcpip(self, login, target)
    }

    fn direct_streamlocal(&self, login: &Login, path: &Path) -> impl Future<Output = Forward> + Send {
        A::direct_streamlocal(self, login, path)
    }

    fn tcpip_forward(&self, login: &Login, wanted: &ListenTarget) -> impl Future<Output = Listen> + Send {
        A::tcpip_forward(self, login, wanted)
    }

    fn streamlocal_forward(&self, login: &Login, path: &Path) -> impl Future<Output = ListenSocket> + Send {
        A::streamlocal_forward(self, login, path)
    }

    fn agent_forwarding(&self, login: &Login) -> impl Future<Output = bool> + Send {
        A::agent_forwarding(self, login)
    }

    fn x11(&self, login: &Login, wanted: &X11Req) -> impl Future<Output = Option<DisplayPolicy>> + Send {
        A::x11(self, login, wanted)
    }

    fn tun(&self, login: &Login, wanted: &Tun) -> impl Future<Output = TunnelEnd> + Send {
        A::tun(self, login, wanted)
    }
}

/// Somebody who wants to log in and has not proved anything yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// The name they gave: any text a stranger likes. Escape it before it reaches a terminal, a log or a path.
    pub user: String,
    /// Where they come from.
    pub peer: Peer,
}

/// The answer to a login attempt.
#[derive(Clone, Debug)]
pub enum Decision {
    /// In, with these permissions.
    Accept(Permissions),
    /// Not in. The client is told no reason.
    Refuse,
}

impl Decision {
    /// Accepts with `permissions` if `yes`.
    pub fn accept_if(yes: bool, permissions: Permissions) -> Self {
        if yes {
            Self::Accept(permissions)
        } else {
            Self::Refuse
        }
    }
}

/// Somebody who has logged in. Clones share one value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// The user name that was proved.
    pub user: String,
    /// Where they come from.
    pub peer: Peer,
    /// The method of the proof: `publickey`, `password`.
    pub method: String,
    /// The key of the proof, when it was a key.
    pub key: Option<PublicKey>,
    /// What they may do.
    pub permissions: Permissions,
    /// What their side and ours agreed on.
    pub agreed: Agreed,
}

/// What the two sides of a connection agreed on and told about themselves, as it stood at the login. A later change of
/// keys may choose other algorithms.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Agreed {
    /// The algorithms, in both directions, and whether key exchange is strict.
    pub negotiated: Negotiated,
    /// The client's identification line. A stranger's text: printable US-ASCII or UTF-8 of any kind.
    pub client_identification: String,
    /// Ours.
    pub server_identification: String,
    /// What the client told about itself (RFC 8308).
    pub extensions: Extensions,
    /// What is known to be wrong with the client's software.
    pub quirks: Quirks,
}

impl Agreed {
    pub(crate) fn of(transport: &Transport) -> Self {
        Self {
            negotiated: *transport.negotiated(),
            client_identification: transport.peer_identification().as_str().to_owned(),
            server_identification: transport.own_identification().as_str().to_owned(),
            extensions: transport.extensions().clone(),
            quirks: transport.quirks(),
        }
    }
}

/// Whether two secrets are the same, in a time that tells nothing about where they differ. Their lengths are no secret.
pub fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}
