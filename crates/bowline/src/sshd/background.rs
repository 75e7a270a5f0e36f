//! Into the background, as sshd(8) goes without `-D`: the program starts itself again with `-D`, waits until the copy
//! listens or gives up, passes on what it says, and ends.
//!
//! ```text
//!  sshd ──starts──▶ sshd -D (marked) ── own session ── listens ── says where, on the pipe ── lets go of the pipe ──▶ serves
//!   └──────────── reads the pipe to its end: listening → status 0, anything else → status 255 ◀──┘
//! ```

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::terminal::complain;

/// In the environment of the copy, so that it knows what it is.
const MARK: &str = "BOWLINE_SSHD_BACKGROUND";
/// The copy's last line on the pipe: it listens.
const READY: &str = "listening, in the background";
/// The most the copy may say before it listens.
const MAX_WORDS_BYTES: u64 = 64 * 1024;

/// Whether this process is the copy.
pub(super) fn is_copy() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the copy with the same words and waits until it listens.
///
/// # Errors
/// The copy could not be started, or ended instead of listening: what it said.
pub(super) fn go(words: &[OsString]) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("this program's own file: {error}"))?;
    let copy = Command::new(own)
        .args(["sshd", "-D"])
        .args(words)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("going into the background: {error}"))?;
    let mut said = Vec::new();
    if let Some(pipe) = copy.stderr {
        let read = pipe.take(MAX_WORDS_BYTES).read_to_end(&mut said);
        read.map_err(|error| format!("going into the background: {error}"))?;
    }
    let said = String::from_utf8_lossy(&said).trim_end().to_owned();
    match said.strip_suffix(READY) {
        Some("") => Ok(()),
        Some(said) => {
            complain(said.trim_end());
            Ok(())
        }
        None => Err(said),
    }
}

/// The copy's part, once it listens: its own session, and no hold on the terminal's streams any more.
///
/// # Errors
/// `/dev/null` cannot be opened.
pub(super) fn let_go() -> Result<(), String> {
    complain(READY);
    // Refused to a process that leads a group already; then there is nothing to leave.
    let _ = rustix::process::setsid();
    let nothing = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .map_err(|error| format!("/dev/null: {error}"))?;
    rustix::stdio::dup2_stderr(&nothing).map_err(|error| format!("standard error: {error}"))
}
