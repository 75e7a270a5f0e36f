//! A person at a terminal: keys there, a screen here, and the words that are for this program.

use std::time::Duration;

use ssh_client::terminal::{LocalTerminal, Typed};
use ssh_client::{Client, ExitStatus, Process, ProcessControl};
use tokio::io::AsyncWriteExt;

use super::command_line::{self, Wish};
use super::escapes::{Command, Escapes};
use super::forwards::Forwards;
use crate::client::Plan;
use crate::terminal::{ask_line, harmless, print_error};
use crate::{log, stdio};

/// The length of a break that a person asks for, as in ssh(1).
const BREAK: Duration = Duration::from_secs(1);
/// How long the server may take to say whether it passed it on.
const BREAK_ANSWER: Duration = Duration::from_secs(3);

/// Why there is no `~&`, and what does the same: the connection cannot be handed to another process, and a process cannot
/// be doubled without unsafe code.
const NO_BACKGROUND: &str = " [not available: a connection cannot change its process. When the program has ended, ^Z and \
                             bg let its forwards go on in the background; ssh -f begins there]";

/// How it ended.
pub(super) enum Ending {
    /// The program did.
    Program(ExitStatus),
    /// The person did not want to wait for that.
    Disconnected,
}

/// A person's session.
pub(super) struct Interaction<'a> {
    pub(super) plan: &'a Plan,
    pub(super) client: &'a Client,
    pub(super) forwards: &'a mut Forwards,
}

impl Interaction<'_> {
    /// Until the program ends or the person ends the connection.
    pub(super) async fn run(
        &mut self,
        terminal: &LocalTerminal,
        mut process: Process,
    ) -> Result<Ending, String> {
        let mut escapes = Escapes::new(self.plan.options.escape_char.unwrap_or_default());
        // What was typed behind a command and has not been looked at.
        let mut typed = Vec::new();
        loop {
            let mut send = Vec::new();
            let mut command = escapes.take(&mut typed, &mut send);
            if !send.is_empty() && process.stdin.write_all(&send).await.is_err() {
                tracing::debug!("the program reads no more keys");
            }
            if command.is_none() {
                let ended = process.interact_with(terminal, |keys| {
                    typed.append(keys);
                    command = escapes.take(&mut typed, keys);
                    match command {
                        None => Typed::Send,
                        Some(Command::Disconnect) => Typed::Quit,
                        Some(_) => Typed::Leave,
                    }
                });
                if let Some(status) = ended.await.map_err(|error| harmless(&error.to_string()))? {
                    return Ok(Ending::Program(status));
                }
            }
            if let Some(command) = command
                && self.follow(command, &escapes, &process.control).await?
            {
                return Ok(Ending::Disconnected);
            }
        }
    }

    /// Does what was asked for; true if that was to end the connection.
    pub(super) async fn follow(
        &mut self,
        command: Command,
        escapes: &Escapes,
        process: &ProcessControl,
    ) -> Result<bool, String> {
        let told = |letter: u8, text: &str| print_error(&format!("{}{text}\r\n", escapes.shown(letter)));
        match command {
            Command::Disconnect => {
                told(b'.', "");
                return Ok(true);
            }
            Command::Suspend => {
                told(0x1a, " [suspended]");
                stdio::suspend().map_err(|error| format!("suspending: {error}"))?;
            }
            Command::Break => {
                told(b'B', "");
                // Nothing is shown while this waits.
                let passed_on = tokio::time::timeout(BREAK_ANSWER, process.send_break(BREAK)).await;
                if !matches!(passed_on, Ok(Ok(true))) {
                    print_error("The server did not pass the break on.\r\n");
                }
            }
            Command::Rekey => {
                told(b'R', "");
                self.client
                    .rekey()
                    .map_err(|error| harmless(&error.to_string()))?;
            }
            Command::Information => {
                told(b'I', "");
                print_error(&self.information());
            }
            Command::Louder => told(b'v', &format!(" [LogLevel {}]", log::turn(true))),
            Command::Quieter => told(b'V', &format!(" [LogLevel {}]", log::turn(false))),
            Command::Background => told(b'&', NO_BACKGROUND),
            Command::Help => {
                told(b'?', "");
                print_error(&escapes.help());
            }
            Command::List => {
                told(b'#', "");
                print_error(&self.forwards.list());
            }
            Command::Line if self.plan.options.enable_escape_commandline != Some(true) => {
                print_error("commandline disabled\r\n");
            }
            Command::Line => self.command_line().await,
        }
        Ok(false)
    }

    /// Asks for a line and does what it says.
    async fn command_line(&mut self) {
        let asked = tokio::task::spawn_blocking(|| ask_line("\r\nssh> ")).await;
        let line = asked.ok().flatten().unwrap_or_default();
        let told = match command_line::parse(&line) {
            Err(problem) => problem,
            Ok(Wish::Nothing) => return,
            Ok(Wish::Help) => return print_error(command_line::HELP),
            Ok(Wish::Add(side, spec)) => match self.forwards.add(self.plan, self.client, side, &spec).await {
                Ok(()) => "Forwarding port.",
                Err(problem) => {
                    print_error(&format!("{problem}\r\n"));
                    "Port forwarding failed."
                }
            },
            Ok(Wish::Cancel {
                side,
                is_dynamic,
                listen,
            }) => match self.forwards.cancel(self.plan, side, is_dynamic, &listen).await {
                Ok(true) => "Canceled forwarding.",
                Ok(false) | Err(_) => "Unknown port forwarding.",
            },
        };
        print_error(&format!("{told}\r\n"));
    }

    fn information(&self) -> String {
        let negotiated = self.client.negotiated();
        let end = |address: Option<std::net::SocketAddr>| {
            address.map_or_else(|| "a stream".to_owned(), |address| address.to_string())
        };
        let lines = [
            format!(
                "server: {} ({})",
                self.client.address(),
                self.client.server_identification()
            ),
            format!("user: {}", self.client.user()),
            format!(
                "from {} to {}",
                end(self.client.local_addr()),
                end(self.client.peer_addr())
            ),
            format!(
                "key exchange: {}, host key: {}",
                negotiated.kex.name, negotiated.host_key.name
            ),
            format!("sent with {}", negotiated.outgoing),
            format!("received with {}", negotiated.incoming),
        ];
        lines
            .iter()
            .map(|line| format!("{}\r\n", harmless(line)))
            .collect()
    }
}
