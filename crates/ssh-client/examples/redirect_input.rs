//! A string becomes the remote program's standard input, and a local file takes its standard output.

mod common;

use ssh_client::Sink;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command, input, file]) = common::arguments(["command", "input", "output_file"])?;
    let client = server.connect().await?;
    let run = client.exec(command).stdin(input).stdout(Sink::file(file));
    run.check().output().await?;
    Ok(())
}
