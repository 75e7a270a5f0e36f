//! What most programs need, in ten lines: a key file, a host that is remembered from the first visit on, a command, its
//! output and its exit code.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::{Client, Credentials, HostKeys};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command]) = common::arguments(["command"])?;
    let hosts = HostKeys::known_hosts(&server.known_hosts).accept_new();
    let key = Credentials::key_file(&server.key_file);
    let client = Client::connect(&server.address, &server.user, hosts, key).await?;
    let output = client.run(command).await?;
    print!("{}{}", output.stdout_text(), output.stderr_text());
    client.disconnect().await;
    std::process::exit(
        output
            .status
            .code()
            .and_then(|code| code.try_into().ok())
            .unwrap_or(255),
    );
}
