//! The server listens for its clients on one port and on no other, for programs of this machine alone.

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, GatewayPorts, Listen, ListenTarget, Login};

struct OnePort {
    friends: common::Friends,
    port: u16,
}

impl Application for OnePort {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn tcpip_forward(&self, _login: &Login, wanted: &ListenTarget) -> Listen {
        if wanted.port == self.port {
            Listen::Bind(GatewayPorts::No)
        } else {
            Listen::Refuse
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, [port]) = common::arguments(["port"])?;
    let application = OnePort {
        friends: start.friends,
        port: port.parse()?,
    };
    common::serve(&start.address, start.host_key, application).await
}
