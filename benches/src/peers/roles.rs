//! What every measured library does, in processes of its own: serve, or drive such a server and print one figure.

use std::io::Write;

use tokio::io::AsyncReadExt;

use crate::work;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bytes an application moves with one call.
pub(crate) const BLOCK: usize = 256 * 1024;

/// Where the bulk goes, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// What a client is to do; each says what figure it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// So many bytes through one channel: seconds.
    Stream { direction: Direction, bytes: u64 },
    /// The same, without the first two seconds: MiB/s.
    Steady { direction: Direction, bytes: u64 },
    /// The scene's file there or back by SFTP, without the first two seconds: MiB/s.
    SteadyFile { direction: Direction, bytes: u64 },
    /// Whole connections, one after another (TCP, key exchange, login by key, farewell): seconds.
    Connections { count: u64 },
    /// So many connections at a time, each with one channel that waits: nothing but how many there are, and then waits
    /// until its input ends.
    Idle { count: u64 },
    /// Channels opened, used for one echo and closed, [`AT_ONCE`] at a time: seconds, after a tenth of it unmeasured.
    Channels { count: u64 },
    /// Echoes of one byte on a channel while another moves bulk: the 99th percentile in milliseconds.
    Keystrokes { count: u64 },
}

/// How many channels of [`Work::Channels`] are in use at once.
pub(crate) const AT_ONCE: u64 = 256;

impl Work {
    /// The words a child process gets.
    pub(crate) fn words(self) -> [String; 2] {
        let (name, number) = match self {
            Self::Stream { direction, bytes } => (["up", "down"][direction as usize], bytes),
            Self::Steady { direction, bytes } => (["steady-up", "steady-down"][direction as usize], bytes),
            Self::SteadyFile { direction, bytes } => {
                (["steady-put", "steady-get"][direction as usize], bytes)
            }
            Self::Connections { count } => ("connections", count),
            Self::Idle { count } => ("idle", count),
            Self::Channels { count } => ("channels", count),
            Self::Keystrokes { count } => ("keystrokes", count),
        };
        [name.to_owned(), number.to_string()]
    }

    pub(crate) fn parse(name: &str, number: &str) -> Result<Self> {
        let number = number.parse()?;
        let (up, down) = (Direction::Up, Direction::Down);
        Ok(match name {
            "up" => Self::Stream {
                direction: up,
                bytes: number,
            },
            "down" => Self::Stream {
                direction: down,
                bytes: number,
            },
            "steady-up" => Self::Steady {
                direction: up,
                bytes: number,
            },
            "steady-down" => Self::Steady {
                direction: down,
                bytes: number,
            },
            "steady-put" => Self::SteadyFile {
                direction: up,
                bytes: number,
            },
            "steady-get" => Self::SteadyFile {
                direction: down,
                bytes: number,
            },
            "connections" => Self::Connections { count: number },
            "idle" => Self::Idle { count: number },
            "channels" => Self::Channels { count: number },
            "keystrokes" => Self::Keystrokes { count: number },
            other => return Err(format!("no work is called {other:?}").into()),
        })
    }
}

/// Tells the parent something: where a server listens, what a client has measured.
pub(crate) fn announce(what: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()?;
    Ok(())
}

/// Ends when the parent closes standard input (or is gone).
pub(crate) async fn until_input_ends() {
    let mut byte = [0];
    let _ = tokio::io::stdin().read(&mut byte).await;
}

/// `NAME ARGUMENTS…`: what a child process of this program does.
pub(crate) async fn run(words: &[String]) -> Result<()> {
    let word = |index: usize| words.get(index).map(String::as_str).unwrap_or_default();
    match word(0) {
        "russh-server" => crate::russh_roles::serve_forever(word(1)).await,
        "bowline-server" => crate::bowline_roles::serve_forever(word(1)).await,
        role @ ("russh-client" | "bowline-client") => {
            let (port, cipher) = (word(1).parse()?, word(2));
            let task = Work::parse(word(3), word(4))?;
            let figure = if role == "russh-client" {
                work::run(&crate::russh_roles::library(port, cipher)?, task).await?
            } else {
                work::run(&crate::bowline_roles::library(port, cipher)?, task).await?
            };
            announce(figure)
        }
        other => Err(format!("no role is called {other:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_told_what_its_parent_means() {
        for direction in [Direction::Up, Direction::Down] {
            for work in [
                Work::Stream { direction, bytes: 1 },
                Work::Steady { direction, bytes: 2 },
                Work::SteadyFile { direction, bytes: 7 },
                Work::Connections { count: 3 },
                Work::Idle { count: 4 },
                Work::Channels { count: 5 },
                Work::Keystrokes { count: 6 },
            ] {
                let [name, number] = work.words();
                assert_eq!(Work::parse(&name, &number).unwrap(), work);
            }
        }
        assert!(Work::parse("sideways", "1").is_err());
    }
}
