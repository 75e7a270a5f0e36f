//! A connection that the server makes for us, without a local port: its two halves live in tasks of their own, one that
//! asks and one that hears the answer piece by piece.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

use tokio::io::AsyncWriteExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [host, port]) = common::arguments(["host", "port"])?;
    let client = server.connect().await?;
    let parts = client.direct_tcpip(&host, port.parse()?).await?.split();
    let mut writer = parts.writer;
    let asking = tokio::spawn(async move {
        let request = format!("HEAD / HTTP/1.0\r\nHost: {host}\r\n\r\n");
        writer.write_all(request.as_bytes()).await
    });
    let mut reader = parts.reader;
    while let Some(chunk) = reader.next_chunk().await? {
        print!("{}", String::from_utf8_lossy(&chunk));
    }
    asking.await??;
    Ok(())
}
