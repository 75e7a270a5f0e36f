//! What every measured library does, in processes of its own: serve as source and sink, or drive such a server.

use std::io::Write;

use tokio::io::AsyncReadExt;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bytes an application moves with one call.
pub(crate) const BLOCK: usize = 256 * 1024;

/// Where the bulk goes, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// What a client is to do; it prints the seconds it took.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// One channel, one direction.
    Stream { direction: Direction, bytes: u64 },
    /// Whole connections, one after another: TCP, key exchange, login by key, farewell.
    Connections { count: u32 },
}

impl Work {
    /// The words a child process gets.
    pub(crate) fn words(&self) -> [String; 2] {
        match self {
            Self::Stream {
                direction: Direction::Up,
                bytes,
            } => ["up".into(), bytes.to_string()],
            Self::Stream {
                direction: Direction::Down,
                bytes,
            } => ["down".into(), bytes.to_string()],
            Self::Connections { count } => ["connections".into(), count.to_string()],
        }
    }

    pub(crate) fn parse(name: &str, number: &str) -> Result<Self> {
        Ok(match name {
            "up" => Self::Stream {
                direction: Direction::Up,
                bytes: number.parse()?,
            },
            "down" => Self::Stream {
                direction: Direction::Down,
                bytes: number.parse()?,
            },
            _ => Self::Connections {
                count: number.parse()?,
            },
        })
    }
}

/// Tells the parent where a server listens.
pub(crate) fn announce(port: u16) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{port}")?;
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
            let work = Work::parse(word(3), word(4))?;
            let seconds = if role == "russh-client" {
                crate::russh_roles::work(port, cipher, &work).await?
            } else {
                crate::bowline_roles::work(port, cipher, &work).await?
            };
            println!("{seconds}");
            Ok(())
        }
        other => Err(format!("no role is called {other:?}").into()),
    }
}
