//! The program `bowline`: OpenSSH's commands, with OpenSSH's flags, on Bowline's libraries.
//!
//! ```text
//! bowline ssh    run a command or a subsystem on a host        ssh(1)
//! bowline sftp   move files                                    sftp(1)
//! bowline sshd   serve as the user who started it              sshd(8)
//! bowline keygen make and look at keys                         ssh-keygen(1)
//! bowline demo   all of it in one process on loopback
//! ```
#![forbid(unsafe_code)]

mod arguments;
mod client;
mod demo;
mod keygen;
mod log;
mod route;
mod sftp;
mod signals;
mod ssh;
mod sshd;
mod stdio;
mod terminal;
mod transport;

use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "usage: bowline ssh|sftp|sshd|keygen|demo [arguments]

  ssh     run a command on a host           bowline ssh [user@]host [command]
  sftp    move files                        bowline sftp [user@]host
  sshd    serve as the user who starts it   bowline sshd -D -e -h hostkey -p port
  keygen  make and look at keys             bowline keygen -t ed25519 -f file
  demo    all of it in one process          bowline demo

Each takes the flags of OpenSSH's program of that name.";

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let command = words.next().unwrap_or_default();
    let rest: Vec<OsString> = words.collect();
    match command.to_str() {
        Some("ssh") => ssh::main(rest),
        Some("sftp") => sftp::main(rest),
        Some("sshd") => sshd::main(rest),
        Some("keygen") => keygen::main(rest),
        Some("demo") => demo::main(&rest),
        Some("-V" | "--version" | "version") => {
            terminal::say(&format!("Bowline {}", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Some("-h" | "--help" | "help") => {
            terminal::say(USAGE);
            ExitCode::SUCCESS
        }
        _ => {
            terminal::complain(USAGE);
            ExitCode::from(2)
        }
    }
}

/// An event loop on this thread: a connection and the user's streams take turns on it, and nothing waits for another
/// thread to be woken (docs/decisions/0007).
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("no runtime: {error}"))
}
