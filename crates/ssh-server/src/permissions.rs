//! What a login may do: the options of the key it was made with, as far as they concern what comes after it.
//!
//! The server enforces all of this itself, before the application is asked: an application cannot forget it.

use crate::forward::Destination;
use crate::keys::Demands;

/// What a user who logged in may do. The default allows everything that the application allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Run this instead of whatever program, shell or subsystem the client asks for. What it asked for is in
    /// `SSH_ORIGINAL_COMMAND`.
    pub forced_command: Option<Vec<u8>>,
    /// Variables for the user's programs.
    pub environment: Vec<(String, Vec<u8>)>,
    /// Whether connections through the server are allowed at all.
    pub port_forwarding: bool,
    /// Where connections through the server may lead; `None` leaves that to the application.
    pub permit_open: Option<Vec<Destination>>,
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

    /// Allows no connections through the server.
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
}
