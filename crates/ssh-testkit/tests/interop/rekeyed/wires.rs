//! What lies between the two sides.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use ssh_client::{Client, Config, Credentials, Error, HostKeys};
use ssh_testkit::lossy::LossyLink;
use ssh_testkit::openssh::Keys;
use ssh_testkit::proxy::{Fault, Faults, Proxy};

use crate::openssh_server::public_key;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// Nothing at all.
    Plain,
    /// A proxy that sends each byte for itself.
    Bytewise,
    /// A link that loses packets: the client stands at its far end.
    Lossy,
}

impl Wire {
    /// `None`, with a word why, where it cannot be had.
    pub(super) fn lay(self) -> Option<Laid> {
        let link = match self {
            Self::Plain | Self::Bytewise => None,
            Self::Lossy => Some(LossyLink::make()?),
        };
        Some(Laid { wire: self, link })
    }
}

/// A wire, ready for use.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) wire: Wire,
    link: Option<LossyLink>,
}

/// What carries the bytes of a connection, as long as it lives.
pub(super) type Carrier = Box<dyn Any + Send>;

impl Laid {
    /// Where a server has to listen.
    pub(super) fn near(&self) -> IpAddr {
        let near = self.link.as_ref().map_or(Ipv4Addr::LOCALHOST, |link| link.near);
        near.into()
    }

    /// Where a client has to connect to so that it reaches the server that listens on the port.
    pub(super) fn way(&self, port: u16) -> (SocketAddr, Carrier) {
        let proxy = (self.wire == Wire::Bytewise).then(|| Proxy::start(port, Faults::both(Fault::Chunks(1))));
        let port = proxy.as_ref().map_or(port, |proxy| proxy.port);
        (SocketAddr::new(self.near(), port), Box::new(proxy))
    }

    /// A program where the clients are.
    pub(super) fn command(&self, program: &Path) -> Command {
        let link = self.link.as_ref();
        link.map_or_else(|| Command::new(program), |link| link.command(program))
    }

    /// The same of a whole command line.
    pub(super) fn beyond(&self, line: Command) -> Command {
        let mut there = self.command(Path::new(line.get_program()));
        there.args(line.get_args());
        for (name, value) in line.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }

    /// Our client, on its way to the server that listens on the port.
    pub(super) async fn connect(
        &self,
        config: &Config,
        port: u16,
        user: &str,
        keys: &Keys,
    ) -> Result<(Client, Carrier), Error> {
        let pinned = HostKeys::pinned(public_key(keys, "host"));
        let key = Credentials::key_file(keys.path("user"));
        let (address, carrier) = self.way(port);
        let address = (address.ip().to_string(), address.port());
        let Some(link) = &self.link else {
            let client = Client::connect_with(config, address, user, pinned, key).await?;
            return Ok((client, carrier));
        };
        let (stream, pipe) = link.connect(port);
        let client = Client::over(config, stream, address, user, pinned, key).await?;
        Ok((client, Box::new(pipe)))
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        let Some(link) = &self.link else { return };
        let lost = link.lost();
        println!("{lost} packets were lost");
        assert!(lost > 0 || std::thread::panicking(), "the link loses nothing");
    }
}
