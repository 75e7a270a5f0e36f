//! What a server asks the application that embeds it. Everything has a default, and every default refuses.

use std::future::{Future, ready};
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::forward::{Forward, Target};
use crate::kex::{Extensions, Negotiated, Quirks, Transport};
use crate::keys::PublicKey;
use crate::peer::Peer;
use crate::permissions::Permissions;
use crate::session::Session;

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
    /// overridden.
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

    /// Whether this user may connect to `target` through the server (`direct-tcpip`).
    ///
    /// It is only asked for what the login's own permissions leave open (a key's `restrict` or `permitopen`).
    fn direct_tcpip(&self, login: &Login, target: &Target) -> impl Future<Output = Forward> + Send {
        let _ = (login, target);
        ready(Forward::Refuse)
    }
}

/// An `Arc` of an application is one too, for those who want to keep a handle on it.
impl<A: Application> Application for Arc<A> {
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
