//! What a login may do: the options of the key it was made with, as far as they concern what comes after it.
//!
//! The server enforces all of this itself, before the application is asked: an application cannot forget it.

use crate::channel::TUN_ANY_UNIT;
use crate::forward::{Destination, ListenPlace};
use crate::keys::Demands;
use crate::keys::authorized_keys::TunnelDevice;

/// What a user who logged in may do. The default allows everything that the application allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Run this instead of whatever program, shell or subsystem the client asks for. What it asked for is in
    /// `SSH_ORIGINAL_COMMAND`.
    pub forced_command: Option<Vec<u8>>,
    /// Variables for the user's programs.
    pub environment: Vec<(String, Vec<u8>)>,
    /// Whether connections through the server are allowed at all, in either direction: TCP, Unix sockets, tunnels.
    pub port_forwarding: bool,
    /// Where connections through the server may lead; `None` leaves that to the application. A list is all there is:
    /// with it, no Unix socket can be reached.
    pub permit_open: Option<Vec<Destination>>,
    /// Where the server may listen for the client; `None` leaves that to the application. A list is all there is: with
    /// it, there is no listening at Unix sockets.
    pub permit_listen: Option<Vec<ListenPlace>>,
    /// Whether the user's programs may reach the client's agent.
    pub agent_forwarding: bool,
    /// Whether the user's programs may reach the client's display.
    pub x11_forwarding: bool,
    /// The only tunnel device that may be used; `None` leaves that to the application.
    pub tunnel: Option<TunnelDevice>,
    /// Whether a terminal may be had.
    pub terminal: bool,
    /// What the owner of a security key must have done for the signature that logs in (`no-touch-required` and
    /// `verify-required` of `authorized_keys`); a touch, unless set. Of other keys nothing is asked.
    pub security_key: Demands,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            forced_command: None,
            environment: Vec::new(),
            port_forwarding: true,
            permit_open: None,
            permit_listen: None,
            agent_forwarding: true,
            x11_forwarding: true,
            tunnel: None,
            terminal: true,
            security_key: Demands::default(),
        }
    }
}

impl Permissions {
    /// Replaces whatever the client asks for by `command`.
    #[must_use]
    pub fn with_forced_command(mut self, command: impl Into<Vec<u8>>) -> Self {
        self.forced_command = Some(command.into());
        self
    }

    /// Allows nothing that leads from one side to the other besides sessions: no connections through the server in
    /// either direction, no agent, no X11.
    #[must_use]
    pub fn without_forwarding(self) -> Self {
        Self {
            agent_forwarding: false,
            x11_forwarding: false,
            ..self.without_port_forwarding()
        }
    }

    /// Allows no connections through the server, in either direction.
    #[must_use]
    pub fn without_port_forwarding(mut self) -> Self {
        self.port_forwarding = false;
        self
    }

    /// Whether these permissions leave a connection to `host` and `port` to the application.
    pub fn may_open(&self, host: &str, port: u16) -> bool {
        self.port_forwarding
            && self
                .permit_open
                .as_ref()
                .is_none_or(|list| list.iter().any(|entry| entry.covers(host, port)))
    }

    /// Whether these permissions leave a connection to a Unix socket to the application.
    pub fn may_open_socket(&self) -> bool {
        self.port_forwarding && self.permit_open.is_none()
    }

    /// Whether these permissions leave listening at `host` and `port` to the application; port 0 is any.
    pub fn may_listen(&self, host: &str, port: u16) -> bool {
        self.port_forwarding
            && self
                .permit_listen
                .as_ref()
                .is_none_or(|list| list.iter().any(|entry| entry.covers(host, port)))
    }

    /// Whether these permissions leave listening at a Unix socket to the application.
    pub fn may_listen_socket(&self) -> bool {
        self.port_forwarding && self.permit_listen.is_none()
    }

    /// The tunnel device that these permissions leave to the application where the client asks for `unit`.
    pub fn tunnel_unit(&self, unit: u32) -> Option<u32> {
        if !self.port_forwarding {
            return None;
        }
        match self.tunnel {
            Some(TunnelDevice::Number(only)) => (unit == only || unit == TUN_ANY_UNIT).then_some(only),
            Some(TunnelDevice::Any) | None => Some(unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_needs_both_the_right_and_a_listed_target() {
        let open = Permissions::default();
        assert!(open.may_open("example.org", 22));
        assert!(!open.clone().without_port_forwarding().may_open("example.org", 22));
        let listed = Permissions {
            permit_open: Some(vec!["example.org:22".parse().unwrap()]),
            ..open
        };
        assert!(listed.may_open("example.org", 22));
        assert!(!listed.may_open("example.org", 23));
        let none = Permissions {
            permit_open: Some(Vec::new()),
            ..listed
        };
        assert!(!none.may_open("example.org", 22));
    }

    #[test]
    fn a_list_of_addresses_opens_no_socket() {
        let open = Permissions::default();
        assert!(open.may_open_socket() && open.may_listen_socket() && open.may_listen("", 0));
        let listed = Permissions {
            permit_open: Some(vec!["*:*".parse().unwrap()]),
            ..open.clone()
        };
        assert!(!listed.may_open_socket() && listed.may_listen_socket());
        let listed = Permissions {
            permit_listen: Some(vec!["localhost:8080".parse().unwrap()]),
            ..open.clone()
        };
        assert!(listed.may_open_socket() && !listed.may_listen_socket());
        assert!(listed.may_listen("localhost", 8080) && !listed.may_listen("localhost", 0));
        let none = open.without_forwarding();
        assert!(!none.may_open_socket() && !none.may_listen_socket() && !none.may_listen("localhost", 1));
        assert!(!none.agent_forwarding && !none.x11_forwarding);
    }

    #[test]
    fn a_tunnel_keeps_to_its_device() {
        let open = Permissions::default();
        assert_eq!(open.tunnel_unit(3), Some(3));
        assert_eq!(open.clone().without_port_forwarding().tunnel_unit(3), None);
        let forced = Permissions {
            tunnel: Some(TunnelDevice::Number(7)),
            ..open
        };
        assert_eq!(forced.tunnel_unit(7), Some(7));
        assert_eq!(forced.tunnel_unit(TUN_ANY_UNIT), Some(7));
        assert_eq!(forced.tunnel_unit(3), None);
    }
}
