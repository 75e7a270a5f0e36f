//! Only the events of the session: whichever of output, error output and news about the program comes first.

#![allow(clippy::print_stdout, reason = "it is a program")]

mod common;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, [command]) = common::arguments(["command"])?;
    let client = server.connect().await?;
    let mut process = client.exec(command).spawn().await?;
    let (mut output_over, mut session_over) = (false, false);
    while !(output_over && session_over) {
        // Each of these may be dropped without harm: what was not taken now comes the next time.
        tokio::select! {
            chunk = process.stdout.next_chunk(), if !output_over => match chunk? {
                Some(chunk) => println!("data: {}", chunk.escape_ascii()),
                None => output_over = true,
            },
            event = process.control.next_event(), if !session_over => match event {
                Some(event) => println!("event: {event:?}"),
                None => session_over = true,
            },
        }
    }
    println!("ended: {}", process.wait().await?);
    Ok(())
}
