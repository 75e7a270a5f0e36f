//! The doorbell of this room: SERVICE_REQUEST and SERVICE_ACCEPT (RFC 4253 §10).
//!
//! ```text
//!  client: Silent ──5──▶ ExpectAccept ──6──▶ Open        server: ExpectRequest ──5, answered 6──▶ Open
//! ```
//!
//! The client does not wait for the answer: its first request to log in follows the doorbell at once. Two services are
//! known, [`USERAUTH`] and what is started after it, [`CONNECTION`].

use crate::error::{Error, Misbehaviour, Place};
use crate::kex::Transport;
use crate::messages::{ServiceAccept, ServiceRequest};
use crate::text;
use crate::wire::{Message, Packet};

/// User authentication (RFC 4252).
pub const USERAUTH: &str = "ssh-userauth";
/// The connection protocol (RFC 4254), started by a login.
pub const CONNECTION: &str = "ssh-connection";

/// The most SERVICE_REQUESTs a server answers before login. One is needed; paramiko sends one with each attempt.
pub const MAX_SERVICE_REQUESTS: usize = 32;

/// The client's side of the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientDoor {
    /// Nothing was asked for yet.
    Silent,
    /// The service was asked for.
    ExpectAccept,
    /// The service was accepted.
    Open,
}

impl ClientDoor {
    /// Asks for the service, once.
    pub(crate) fn ring(&mut self, transport: &mut Transport) -> Result<(), Error> {
        if *self == Self::Silent {
            transport.send(&ServiceRequest {
                service_name: USERAUTH,
            })?;
            *self = Self::ExpectAccept;
        }
        Ok(())
    }

    /// SERVICE_ACCEPT arrived.
    pub(crate) fn accepted(&mut self, packet: &Packet) -> Result<(), Misbehaviour> {
        if *self != Self::ExpectAccept {
            return Err(Misbehaviour::Unexpected {
                number: packet.message_number(),
                place: Place::Login,
            });
        }
        let accept: ServiceAccept<'_> = packet
            .decode()
            .map_err(Misbehaviour::malformed(ServiceAccept::NAME))?;
        if accept.service_name != USERAUTH {
            return Err(Misbehaviour::WrongService(text::shown(
                accept.service_name.as_bytes(),
            )));
        }
        *self = Self::Open;
        Ok(())
    }
}

/// The server's side of the door: how often it was opened.
#[derive(Debug, Default)]
pub(crate) struct ServerDoor {
    requests: usize,
}

impl ServerDoor {
    /// SERVICE_REQUEST arrived: answers it.
    pub(crate) fn requested(&mut self, packet: &Packet, transport: &mut Transport) -> Result<(), Error> {
        let request: ServiceRequest<'_> = packet
            .decode()
            .map_err(Misbehaviour::malformed(ServiceRequest::NAME))?;
        if request.service_name != USERAUTH {
            return Err(Error::ServiceNotAvailable {
                service: text::shown(request.service_name.as_bytes()),
            });
        }
        self.requests = self.requests.saturating_add(1);
        if self.requests > MAX_SERVICE_REQUESTS {
            return Err(Misbehaviour::TooMany {
                what: "service requests",
                limit: MAX_SERVICE_REQUESTS,
            }
            .into());
        }
        transport.send(&ServiceAccept {
            service_name: USERAUTH,
        })?;
        Ok(())
    }
}
