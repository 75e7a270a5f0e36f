//! Method `password` (RFC 4252 §8).
//!
//! ```text
//!  client                                     server
//!    50 password ─────────────────────────────▶ PasswordAttempt: accept, partial, reject,
//!    PasswordChange ◀── 60 PASSWD_CHANGEREQ ─── or require_change
//!    50 password, old and new ────────────────▶ PasswordChangeAttempt
//! ```
//!
//! Requests are padded so that their length does not tell the password's. Copies of passwords are wiped when dropped;
//! the packet a server received one in is not, it lives in the read buffer until that is used again.

use std::fmt;

use zeroize::Zeroizing;

use super::{Conversation, Dialogue, Event, Judgement, Method, Outbox, Request, Step, Weight};
use crate::client;
use crate::error::{Misbehaviour, Place};
use crate::kex::{SendError, Transport};
use crate::server::{Claim, Verdict};
use crate::session::Factor;
use crate::text;
use crate::ticket::Ticket;
use crate::wire::{Decode, DecodeError, Encode, Message, Packet, Reader, Secret, Writer, message};

/// Method `password`.
pub(super) static METHOD: Method = Method {
    name: "password",
    forms: &[],
    request: requested,
};

message! {
    /// RFC 4252 §8, server to client: the password is right, and expired.
    pub struct PasswdChangereq<'a> = 60, "SSH_MSG_USERAUTH_PASSWD_CHANGEREQ" {
        /// Text to show to the user.
        pub prompt: &'a [u8],
        /// The text's language.
        pub language_tag: &'a [u8],
    }
}

/// The method's own fields in USERAUTH_REQUEST: `boolean`, password, and after TRUE a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields<'a> {
    password: Secret<'a>,
    new_password: Option<Secret<'a>>,
}

impl Encode for Fields<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.boolean(self.new_password.is_some());
        self.password.encode(writer);
        if let Some(new) = &self.new_password {
            new.encode(writer);
        }
    }
}

impl<'a> Decode<'a> for Fields<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let changes = reader.boolean()?;
        let password = Secret::decode(reader)?;
        let new_password = if changes {
            Some(Secret::decode(reader)?)
        } else {
            None
        };
        Ok(Self {
            password,
            new_password,
        })
    }
}

fn requested(request: Request<'_>) -> Result<Judgement, DecodeError> {
    let fields = Fields::from_bytes(request.fields)?;
    let password = PasswordAttempt {
        claim: request.claim,
        password: Password::of(fields.password),
    };
    let attempt = match fields.new_password {
        None => password.into(),
        Some(new) => PasswordChangeAttempt {
            old: password,
            new: Password::of(new),
        }
        .into(),
    };
    Ok(Judgement::Ask(attempt, Weight::Attempt))
}

/// A password: never shown, wiped when dropped.
struct Password(Zeroizing<Vec<u8>>);

impl Password {
    fn of(secret: Secret<'_>) -> Self {
        Self(Zeroizing::new(secret.0.to_vec()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Somebody wants to log in by password.
#[derive(Debug)]
#[must_use = "the peer waits until a verdict is handed to `answer`"]
pub struct PasswordAttempt {
    claim: Claim,
    password: Password,
}

impl PasswordAttempt {
    /// Who, as they say.
    pub fn user(&self) -> &str {
        self.claim.user()
    }

    /// The password. Compare its hash, or in constant time; do as much work for users that do not exist.
    pub fn password(&self) -> &[u8] {
        &self.password.0
    }

    /// The password is right: logged in.
    pub fn accept(self) -> Verdict {
        self.claim.accept(Factor::new(&METHOD, None))
    }

    /// The password is right, and one of these methods must succeed too.
    pub fn partial(self, methods: &[&'static Method]) -> Verdict {
        self.claim.partial(Factor::new(&METHOD, None), methods)
    }

    /// The password is right, but must be changed; `prompt` is shown to the user.
    pub fn require_change(self, prompt: &str) -> Verdict {
        self.claim.reply(Box::new(ChangeRequired {
            prompt: prompt.to_owned(),
        }))
    }

    /// No.
    pub fn reject(self) -> Verdict {
        self.claim.reject()
    }
}

/// Somebody wants to log in by password and change it.
#[derive(Debug)]
#[must_use = "the peer waits until a verdict is handed to `answer`"]
pub struct PasswordChangeAttempt {
    old: PasswordAttempt,
    new: Password,
}

impl PasswordChangeAttempt {
    /// Who, as they say.
    pub fn user(&self) -> &str {
        self.old.user()
    }

    /// The password until now.
    pub fn password(&self) -> &[u8] {
        self.old.password()
    }

    /// The password it is to be.
    pub fn new_password(&self) -> &[u8] {
        &self.new.0
    }

    /// The password is changed: logged in.
    pub fn accept(self) -> Verdict {
        self.old.accept()
    }

    /// The password is changed, and one of these methods must succeed too.
    pub fn partial(self, methods: &[&'static Method]) -> Verdict {
        self.old.partial(methods)
    }

    /// The old password is right, the new one will not do; `prompt` is shown to the user.
    pub fn require_change(self, prompt: &str) -> Verdict {
        self.old.require_change(prompt)
    }

    /// The password is not changed.
    pub fn reject(self) -> Verdict {
        self.old.reject()
    }
}

#[derive(Debug)]
struct ChangeRequired {
    prompt: String,
}

impl Dialogue for ChangeRequired {
    fn method(&self) -> &'static Method {
        &METHOD
    }

    fn send(&self, transport: &mut Transport) -> Result<(), SendError> {
        transport.send(&PasswdChangereq {
            prompt: self.prompt.as_bytes(),
            language_tag: b"",
        })
    }
}

impl client::Turn {
    /// Tries a password.
    pub fn password(self, password: &[u8]) -> client::Attempt {
        self.start(Box::new(PasswordRequest {
            password: Password::of(Secret(password)),
            new: None,
        }))
    }
}

#[derive(Debug)]
struct PasswordRequest {
    password: Password,
    new: Option<Password>,
}

impl Conversation for PasswordRequest {
    fn factor(&self) -> Factor {
        Factor::new(&METHOD, None)
    }

    fn start(self: Box<Self>, outbox: &mut Outbox<'_>) -> Result<Step, SendError> {
        let new_password = self.new.as_ref().map(|new| Secret(&new.0));
        let fields = Fields {
            password: Secret(&self.password.0),
            new_password,
        };
        outbox.secret_request(METHOD.name, &Zeroizing::new(fields.to_bytes()))?;
        Ok(Step::ExpectReply(self))
    }

    fn message(self: Box<Self>, packet: &Packet, outbox: &mut Outbox<'_>) -> Result<Step, Misbehaviour> {
        if packet.number() != PasswdChangereq::NUMBER {
            return Err(Misbehaviour::Unexpected {
                number: packet.message_number(),
                place: Place::Login,
            });
        }
        let asked: PasswdChangereq<'_> = packet
            .decode()
            .map_err(Misbehaviour::malformed(PasswdChangereq::NAME))?;
        let prompt = text::lines(asked.prompt);
        Ok(Step::Ask(Event::PasswordChange(PasswordChange {
            ticket: outbox.ticket.clone(),
            prompt,
        })))
    }
}

/// The server took the password and wants it changed.
#[derive(Debug)]
#[must_use = "the login waits until an attempt is handed to `attempt`"]
pub struct PasswordChange {
    ticket: Ticket,
    prompt: String,
}

impl PasswordChange {
    /// The server's words, fit to be shown.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Changes the password.
    pub fn change(self, old: &[u8], new: &[u8]) -> client::Attempt {
        let request = PasswordRequest {
            password: Password::of(Secret(old)),
            new: Some(Password::of(Secret(new))),
        };
        client::Attempt::start(self.ticket, Box::new(request))
    }

    /// Does not change it: the next turn follows.
    pub fn skip(self) -> client::Attempt {
        client::Attempt::skip(self.ticket, &METHOD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_as_in_the_rfc() {
        let plain = Fields {
            password: Secret(b"pw"),
            new_password: None,
        };
        assert_eq!(plain.to_bytes(), b"\0\0\0\0\x02pw");
        let changing = Fields {
            password: Secret(b"pw"),
            new_password: Some(Secret(b"new")),
        };
        assert_eq!(changing.to_bytes(), b"\x01\0\0\0\x02pw\0\0\0\x03new");
        for fields in [plain, changing] {
            let bytes = fields.to_bytes();
            for cut in 0..bytes.len() {
                assert!(Fields::from_bytes(&bytes[..cut]).is_err(), "{cut}");
            }
            assert!(Fields::from_bytes(&[&bytes[..], b"x"].concat()).is_err());
            assert_eq!(Fields::from_bytes(&bytes), Ok(fields));
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        let request = PasswordRequest {
            password: Password::of(Secret(b"secret")),
            new: None,
        };
        assert!(!format!("{request:?}").contains("secret"));
    }
}
