//! Agent forwarding (OpenSSH `PROTOCOL.agent`): a socket through which a session's programs reach the client's agent.
//!
//! One socket serves all sessions of a connection that ask for one. It stands in a directory of mode 0700 and has mode
//! 0600; besides, who connects is asked for by the system: programs of the same user, and root's, are let through. The
//! client is asked anew with each connection.

use std::io;
use std::path::{Path, PathBuf};

use crate::application::Application;
use crate::aside::OWN_PATHS;
use crate::channel::ChannelType;
use crate::listen::{Purpose, SocketPolicy, lead, unix};
use crate::private_directory::PrivateDirectory;
use crate::visit::Visit;

/// The socket of a connection; it goes with the connection.
#[derive(Debug)]
pub(crate) struct AgentSocket {
    path: PathBuf,
}

impl AgentSocket {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the socket, and leads what connects there to the client.
pub(crate) async fn listen<A: Application>(visit: &Visit<A>) -> io::Result<std::sync::Arc<AgentSocket>> {
    let (directory, gone_with) = PrivateDirectory::make_aside().await?;
    let path = directory.join(format!("agent.{}", std::process::id()));
    let listener = unix(path.clone(), SocketPolicy::default(), &OWN_PATHS).await?;
    let purpose = Purpose {
        channel: Box::new(|_arrival| ChannelType::AuthAgent),
        timeout: "agent-connection",
        single: false,
        own_user_only: true,
    };
    let client = visit.client();
    visit.spawn(async move {
        lead(listener, purpose, client, std::future::pending()).await;
        gone_with.end().await;
    });
    Ok(std::sync::Arc::new(AgentSocket { path }))
}
