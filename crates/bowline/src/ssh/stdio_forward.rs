//! `-W`: standard input and output lead to a host and port, or a Unix socket, behind the server.

use std::io::{stdin, stdout};

use ssh_client::channel::DirectStreamlocal;
use ssh_client::config_file::ForwardListen;
use ssh_client::{Channel, Client};

use crate::stdio::{Out, drain, end, pump_in};
use crate::terminal::harmless;

/// Opens the way.
pub(super) async fn open(client: &Client, target: &ForwardListen) -> Result<Channel, String> {
    let opened = match target {
        ForwardListen::Tcp { host, port } => {
            let host = host.as_deref().unwrap_or_default();
            client
                .direct_tcpip(host, *port)
                .await
                .map_err(|error| error.to_string())
        }
        ForwardListen::Path(path) => {
            let wanted = DirectStreamlocal::new(path.as_bytes());
            let opened = client.handle().open(wanted.into()).await;
            opened.map_err(|error| format!("{}: {path}: {error}", client.address()))
        }
    };
    opened.map_err(|problem| format!("{}\nstdio forwarding failed", harmless(&problem)))
}

/// Standard output, taken before anything may put another file in its place.
pub(super) fn output() -> Result<Out, String> {
    Out::start(stdout()).map_err(|error| format!("stdout: {error}"))
}

/// Moves bytes both ways until the other side has ended. That ours has is passed on.
pub(super) async fn relay(channel: Channel, out: Out, null_input: bool) -> Result<(), String> {
    let parts = channel.split();
    let writer = parts.writer;
    let input = tokio::spawn(async move {
        if null_input {
            return end(writer).await;
        }
        pump_in(stdin(), writer).await
    });
    let written = drain(parts.reader, out).await;
    input.abort();
    written.map_err(|error| format!("writing to standard output: {error}"))
}
