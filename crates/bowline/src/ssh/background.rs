//! `-f`: into the background once somebody is logged in. The program starts itself again with the same words, the copy
//! logs in, and the one that was started ends when the copy says that it has what it needs.
//!
//! ```text
//!  ssh -f ──starts──▶ ssh -f (marked), its standard input a socket ── logs in, asks on the terminal ── says so ──▶ works
//!   └──────── waits on the socket's other end: a byte → status 0, its end → the copy's status ◀──┘
//! ```
//!
//! A process cannot be doubled without unsafe code, and one that has threads should not be.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

/// In the environment of the copy: the process that started it. A program started by the copy finds another number.
const MARK: &str = "BOWLINE_SSH_BACKGROUND";

/// Whether this process is the copy.
pub(super) fn is_copy() -> bool {
    let parent = rustix::process::getppid().map(|id| id.as_raw_nonzero().to_string());
    parent.is_some() && std::env::var(MARK).ok() == parent
}

/// Starts the copy and waits until it works or has ended; the status to end with.
///
/// # Errors
/// The copy could not be started.
pub(super) fn go(words: &[OsString]) -> Result<u8, String> {
    let fail = |error: std::io::Error| format!("going into the background: {error}");
    let own = std::env::current_exe().map_err(fail)?;
    let (mut ours, theirs) = UnixStream::pair().map_err(fail)?;
    let mut copy = Command::new(own)
        .arg("ssh")
        .args(words)
        .env(MARK, std::process::id().to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(fail)?;
    let mut word = [0];
    match ours.read(&mut word) {
        Ok(1..) => Ok(0),
        _ => {
            let status = copy.wait().map_err(fail)?;
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            Ok(code.unwrap_or(super::FAILED))
        }
    }
}

/// The copy's part, once it works: its own session, and no hold on the standard streams, but on standard error if its
/// own messages are to be `loud`. What a remote program says goes where it did.
///
/// # Errors
/// `/dev/null` cannot be opened.
pub(super) fn let_go(loud: bool) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("/dev/null: {error}");
    let nothing = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(fail)?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(fail)?;
    // Refused to a process that leads a group already; then there is nothing to leave.
    let _ = rustix::process::setsid();
    let mut done = rustix::stdio::dup2_stdin(&nothing).and_then(|()| rustix::stdio::dup2_stdout(&nothing));
    if !loud {
        done = done.and_then(|()| rustix::stdio::dup2_stderr(&nothing));
    }
    done.map_err(|error| fail(error.into()))?;
    // The one that waits may have been ended: that is no reason to end as well.
    let _ = UnixStream::from(socket).write_all(&[1]);
    Ok(())
}
