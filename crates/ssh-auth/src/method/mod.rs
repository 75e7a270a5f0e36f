//! Authentication methods: one file and one entry in the list below each.
//!
//! ```text
//!             client                                          server
//!  Turn ─▶ Attempt ─▶ Conversation::start ── 50 ──▶ Method::request ─▶ Attempt ─▶ Verdict
//!                     Conversation::message ◀─ 60…79 ─ Dialogue::send ◀───────────── reply
//!                     Conversation::message ── 60…79 ─▶ Dialogue::message
//! ```
//!
//! 60 to 79 have no meaning of their own: they go to the conversation in progress, and end the connection where there
//! is none.

mod none;
mod password;
mod publickey;

use std::fmt;

pub use none::NoneAttempt;
pub use password::{PasswordAttempt, PasswordChange, PasswordChangeAttempt};
pub use publickey::{PublicKeyAttempt, PublicKeyQuery, SigningRequest, choose_algorithm};

use crate::error::Misbehaviour;
use crate::kex::{DebugMessage, HostKeyOffer, SendError, Transport};
use crate::keys::{PublicKey, SignatureAlgorithm};
use crate::messages::UserauthRequest;
use crate::server::{Claim, Verdict};
use crate::service::CONNECTION;
use crate::session::{Authenticated, Factor};
use crate::ticket::Ticket;
use crate::user::UserName;
use crate::wire::{DecodeError, Packet, Rest};

/// An authentication method.
pub struct Method {
    /// Its name in requests and lists (RFC 4250 §4.8).
    pub name: &'static str,
    /// Names of other forms of its request, which stand in no list: whoever may use the method may use them.
    forms: &'static [&'static str],
    /// The server's side of its USERAUTH_REQUEST.
    request: fn(Request<'_>) -> Result<Judgement, DecodeError>,
}

/// From one list: the registry, what a server asks its application, and what a client asks its own.
macro_rules! methods {
    ($(
        $module:ident:
            server { $( $(#[$attempt_meta:meta])* $attempt:ident($attempt_type:ty), )* }
            client { $( $(#[$event_meta:meta])* $event:ident($event_type:ty), )* }
    )*) => {
        /// Every method that stands.
        pub static ALL: &[&Method] = &[$(&$module::METHOD),*];

        /// Somebody tries to log in to our server: a question to its application. Every answer is a [`Verdict`], to be
        /// handed to [`server::Authenticator::answer`](crate::server::Authenticator::answer).
        #[derive(Debug)]
        #[must_use = "the peer waits until a verdict is handed to `answer`"]
        #[non_exhaustive]
        pub enum Attempt {
            $($( $(#[$attempt_meta])* $attempt($attempt_type), )*)*
        }

        impl Attempt {
            /// Who wants to log in. Nothing is proved about this name.
            pub fn user(&self) -> &str {
                match self { $($( Self::$attempt(attempt) => attempt.user(), )*)* }
            }

            /// The method that is tried.
            pub fn method(&self) -> &'static Method {
                match self { $($( Self::$attempt(_) => &$module::METHOD, )*)* }
            }

            /// No.
            pub fn reject(self) -> Verdict {
                match self { $($( Self::$attempt(attempt) => attempt.reject(), )*)* }
            }
        }

        $($(
            impl From<$attempt_type> for Attempt {
                fn from(attempt: $attempt_type) -> Self {
                    Self::$attempt(attempt)
                }
            }
        )*)*

        /// What a client reports, or asks its application.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum Event {
            /// Text of the server's to show to the user, fit to be shown: escaped, with `\n` between its lines.
            Banner(String),
            /// It is our turn to try something.
            Turn(crate::client::Turn),
            /// We are logged in: [`into_session`](crate::client::Authenticator::into_session).
            Success,
            /// In a change of keys the server proved another host key than before. Answer with
            /// [`answer`](crate::client::Authenticator::answer).
            HostKey(HostKeyOffer),
            /// The server says something to our people (RFC 4253 §11.3).
            Debug(DebugMessage),
            $($( $(#[$event_meta])* $event($event_type), )*)*
        }
    };
}

methods! {
    none:
        server {
            /// Without proving anything. Asked only where the policy lists the method.
            None(NoneAttempt),
        }
        client {}
    password:
        server {
            /// By password.
            Password(PasswordAttempt),
            /// By password, setting a new one at the same time.
            PasswordChange(PasswordChangeAttempt),
        }
        client {
            /// The password is right but has to be changed first.
            PasswordChange(PasswordChange),
        }
    publickey:
        server {
            /// Whether a signature by this key would help. Nothing is proved: the answer cannot log anybody in.
            PublicKeyQuery(PublicKeyQuery),
            /// By public key. The signature has been checked.
            PublicKey(PublicKeyAttempt),
        }
        client {
            /// A signature is needed to go on.
            SignatureWanted(SigningRequest),
        }
}

/// Method `none` (RFC 4252 §5.2).
pub static NONE: &Method = &none::METHOD;
/// Method `password` (RFC 4252 §8).
pub static PASSWORD: &Method = &password::METHOD;
/// Method `publickey` (RFC 4252 §7).
pub static PUBLICKEY: &Method = &publickey::METHOD;

/// The method of this name.
pub fn find(name: &str) -> Option<&'static Method> {
    ALL.iter().copied().find(|method| method.name == name)
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Method {}

impl Method {
    /// Whether a request of this name is one by this method.
    pub(crate) fn is_meant_by(&self, name: &str) -> bool {
        self.name == name || self.forms.contains(&name)
    }

    /// The server's side of a request by this method.
    pub(crate) fn requested(&self, request: Request<'_>) -> Result<Judgement, DecodeError> {
        (self.request)(request)
    }
}

/// A USERAUTH_REQUEST as a method sees it on the server.
pub(crate) struct Request<'a> {
    /// Who asks, and the ticket of the question that may follow.
    pub(crate) claim: Claim,
    /// The name of the method, or of one of its other forms.
    pub(crate) method_name: &'a str,
    /// The method's own fields.
    pub(crate) fields: &'a [u8],
    /// What signatures are made over first.
    pub(crate) session_id: &'a [u8],
    /// Our host key in the first exchange, as a blob.
    pub(crate) host_key: &'a [u8],
    /// What this user has proved already.
    pub(crate) proved: &'a [Factor],
    /// The signature algorithms that are taken.
    pub(crate) key_algorithms: &'a [&'static SignatureAlgorithm],
    /// The smallest RSA key that is taken, in bits.
    pub(crate) required_rsa_bits: usize,
}

/// What a method makes of a request.
pub(crate) enum Judgement {
    /// The application decides.
    Ask(Attempt, Weight),
    /// It cannot succeed, whoever is asked. The key is one that this server takes and that did not sign it.
    Refuse(Weight, Option<PublicKey>),
}

/// What a request weighs against the limits of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// An attempt to log in: if it fails, it counts.
    Attempt,
    /// A query, which cannot log anybody in: counted apart.
    Query,
    /// A peer's first question which methods there are: free.
    Courtesy,
}

impl Judgement {
    pub(crate) const fn weight(&self) -> Weight {
        match self {
            Self::Ask(_, weight) | Self::Refuse(weight, _) => *weight,
        }
    }
}

/// What a server's method says in the middle of a request, and what may follow it.
pub(crate) trait Dialogue: Send + fmt::Debug {
    /// The method.
    fn method(&self) -> &'static Method;

    /// Sends it: a message 60 to 79.
    fn send(&self, transport: &mut Transport) -> Result<(), SendError>;

    /// A message 60 to 79 of the client's follows. `None`: the method has none.
    fn message(&self, _packet: &Packet, _claim: Claim) -> Option<Result<Judgement, DecodeError>> {
        None
    }
}

/// One method at work on the client, from the request to the server's word on it.
pub(crate) trait Conversation: Send + fmt::Debug {
    /// What is proved if the server takes it.
    fn factor(&self) -> Factor;

    /// Sends the request, or asks for what it lacks.
    fn start(self: Box<Self>, outbox: &mut Outbox<'_>) -> Result<Step, SendError>;

    /// A message 60 to 79 of the server's arrived.
    fn message(self: Box<Self>, packet: &Packet, outbox: &mut Outbox<'_>) -> Result<Step, Misbehaviour>;
}

/// Whose turn it is after a step of a [`Conversation`].
pub(crate) enum Step {
    /// The server's: the request is on its way.
    ExpectReply(Box<dyn Conversation>),
    /// The application's: this asks it, under the outbox's ticket.
    Ask(Event),
}

/// What a [`Conversation`] sees of its client.
pub(crate) struct Outbox<'a> {
    pub(crate) transport: &'a mut Transport,
    pub(crate) user: &'a UserName,
    /// The ticket of the question that may follow.
    pub(crate) ticket: Ticket,
}

impl Outbox<'_> {
    /// Sends a USERAUTH_REQUEST.
    pub(crate) fn request(&mut self, method_name: &str, fields: &[u8]) -> Result<(), SendError> {
        self.transport
            .send(&request(self.user.as_str(), method_name, fields))
    }

    /// Sends a USERAUTH_REQUEST so that its length does not tell that of the secret inside.
    pub(crate) fn secret_request(&mut self, method_name: &str, fields: &[u8]) -> Result<(), SendError> {
        self.transport
            .send_hiding_length(&request(self.user.as_str(), method_name, fields))
    }
}

/// USERAUTH_REQUEST for the one service there is.
fn request<'a>(user: &'a str, method_name: &'a str, fields: &'a [u8]) -> UserauthRequest<'a> {
    UserauthRequest {
        user_name: user.as_bytes(),
        service_name: CONNECTION,
        method_name,
        method_fields: Rest(fields),
    }
}

/// What a server reports, or asks its application.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Somebody tries to log in.
    Attempt(Attempt),
    /// An attempt failed, whoever refused it. For logs: both names are escaped and shortened.
    Failed {
        /// The name that was given.
        user: String,
        /// The method that was named, by its usual name if it is one that is offered.
        method: String,
        /// The key that was tried, if it is one that this server takes: refused by the application, or without a question
        /// because the signature is not by it.
        key: Option<PublicKey>,
    },
    /// The client says something to our people (RFC 4253 §11.3).
    Debug(DebugMessage),
    /// Somebody is logged in: [`into_session`](crate::server::Authenticator::into_session).
    Success(Authenticated),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (index, method) in ALL.iter().enumerate() {
            assert_eq!(find(method.name), Some(*method));
            assert!(method.is_meant_by(method.name));
            assert!(method.forms.iter().all(|form| find(form).is_none()), "{method}");
            assert!(!ALL[..index].contains(method), "{method} stands twice");
        }
        assert_eq!(find("Password"), None);
    }
}
