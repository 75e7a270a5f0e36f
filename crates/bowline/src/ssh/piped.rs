//! A remote terminal where this side has none (`-tt`): what a program writes to us counts as typed, escape characters too,
//! as in OpenSSH.

use std::io::{self, stdin};

use ssh_client::{ExitStatus, Process};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinError;

use super::escapes::{Command, Escapes};
use super::interactive::{Ending, Interaction};
use super::session::Outputs;
use crate::stdio::{Blocks, drain};
use crate::terminal::harmless;

impl Interaction<'_> {
    /// Until the program ends or a word on our standard input ends the connection. `null_input`: there is no input.
    pub(super) async fn run_piped(
        &mut self,
        process: Process,
        outputs: Outputs,
        null_input: bool,
    ) -> Result<Ending, String> {
        let Process {
            stdin: mut remote_in,
            stdout: remote_out,
            stderr: remote_err,
            mut control,
            ..
        } = process;
        let (out, err) = outputs.parts();
        let mut output = tokio::spawn(drain(remote_out, out));
        let errors = tokio::spawn(drain(remote_err, err));
        let mut escapes = Escapes::new(self.plan.options.escape_char.unwrap_or_default());
        let blocks = (!null_input).then(|| Blocks::read(stdin())).transpose();
        let mut blocks = blocks.map_err(|error| format!("stdin: {error}"))?;
        if null_input {
            let _gone = remote_in.shutdown().await;
        }
        // Read and not looked at; looked at and not taken yet; how writing what it said went, once that is over.
        let (mut typed, mut send, mut said) = (Vec::new(), Vec::new(), None);
        let status: ExitStatus = loop {
            if send.is_empty()
                && let Some(command) = escapes.take(&mut typed, &mut send)
            {
                // Whoever wants to quit need not wait for a program that takes nothing.
                if command != Command::Disconnect {
                    let _gone = remote_in.write_all(&send).await;
                }
                send.clear();
                if self.follow(command, &escapes, &control).await? {
                    return Ok(Ending::Disconnected);
                }
                continue;
            }
            tokio::select! {
                written = &mut output, if said.is_none() => {
                    let written = outcome(written);
                    if written.is_err() {
                        // As the end of a terminal here: nobody sees what it says any more.
                        control.close();
                    }
                    said = Some(written);
                }
                status = control.wait() => break status.map_err(|error| harmless(&error.to_string()))?,
                taken = remote_in.write(&send), if !send.is_empty() => match taken {
                    Ok(count @ 1..) => drop(send.drain(..count)),
                    // It takes no more, and its end will be told.
                    _ => (blocks, send) = (None, Vec::new()),
                },
                Some(block) = next(&mut blocks), if send.is_empty() => match block {
                    Some(block) => typed = block.map_err(|error| format!("stdin: {error}"))?,
                    None => {
                        blocks = None;
                        let _gone = remote_in.shutdown().await;
                    }
                },
            }
        };
        match said {
            Some(said) => said?,
            None => outcome(output.await)?,
        }
        outcome(errors.await)?;
        Ok(Ending::Program(status))
    }
}

/// How writing one of its streams here went.
fn outcome(written: Result<io::Result<()>, JoinError>) -> Result<(), String> {
    let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|error| format!("writing what the program said: {error}"))
}

/// The next block; `Some(None)` at the end of the input, and `None` once that was told.
async fn next(blocks: &mut Option<Blocks>) -> Option<Option<io::Result<Vec<u8>>>> {
    match blocks {
        Some(blocks) => Some(blocks.next().await),
        None => None,
    }
}
