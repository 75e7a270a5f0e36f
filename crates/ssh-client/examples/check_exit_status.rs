//! How a command ended: by itself, with which code, by a signal, or nobody knows.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use ssh_client::ExitStatus;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command]) = common::arguments(["command"])?;
    let client = server.connect().await?;
    let output = client.run(command).await?;
    match output.status {
        ExitStatus::Code(0) => print!("succeeded: {}", output.stdout_text()),
        ExitStatus::Code(code) => print!("failed with {code}: {}", output.stderr_text()),
        ExitStatus::Signal(signal) => println!("ended by signal {}", signal.name),
        ExitStatus::None => println!("ended, and the server does not say how"),
    }
    Ok(())
}
