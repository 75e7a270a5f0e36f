//! Connections through this server lead to one port of any host and nowhere else; the rest is refused as prohibited.

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Forward, Login, Target};

struct WebOnly {
    friends: common::Friends,
    port: u16,
}

impl Application for WebOnly {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
        if target.port == self.port {
            Forward::Connect
        } else {
            Forward::Refuse
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, [port]) = common::arguments(["port"])?;
    let application = WebOnly {
        friends: start.friends,
        port: port.parse()?,
    };
    common::serve(&start.address, start.host_key, application).await
}
