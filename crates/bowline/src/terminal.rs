//! What reaches the user's terminal: lines of our own, and a peer's words made harmless.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::sync::{Mutex, PoisonError};

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// A line on standard output. A reader that went away is no error worth a word.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Text on standard output, as it stands.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Text on standard error, as it stands: a raw terminal wants its line ends written out.
pub(crate) fn print_error(text: &str) {
    let mut errors = std::io::stderr().lock();
    let _ = errors.write_all(text.as_bytes()).and_then(|()| errors.flush());
}

/// Whether a person sits at standard input and output.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// A peer's text with everything that could steer a terminal written out (`security.md` calls it E1): control
/// characters but newline and tab, and the marks that turn the direction of writing.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for each in text.chars() {
        let steers = each.is_control() && !matches!(each, '\n' | '\t')
            || matches!(each, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers {
            out.extend(each.escape_default())
        } else {
            out.push(each)
        }
    }
    out
}

/// A peer's bytes as harmless text: bytes that are not UTF-8 are shown as `\xNN`; newlines too are written out.
pub(crate) fn harmless_name(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&harmless(chunk.valid()).replace('\n', "\\n").replace('\t', "\\t"));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The terminal while a secret is asked for on it, with the modes it had before.
static ASKED_ON: Mutex<Option<(File, Termios)>> = Mutex::new(None);

fn asked_on(terminal: Option<(File, Termios)>) -> Option<(File, Termios)> {
    let mut place = ASKED_ON.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *place, terminal)
}

/// Asks for a secret on the terminal, without echo. `None` when there is no terminal or the user ended the input.
pub(crate) fn ask_secret(prompt: &str) -> Option<String> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").ok();
    asked_on(terminal.and_then(|terminal| {
        let modes = tcgetattr(&terminal).ok()?;
        // Before the question is shown: who answers at once must not see the secret either.
        let mut silent = modes.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &silent).ok()?;
        Some((terminal, modes))
    }));
    let answer = rpassword::prompt_password(prompt).ok();
    if let Some((terminal, modes)) = asked_on(None) {
        let _ = tcsetattr(&terminal, OptionalActions::Now, &modes);
    }
    answer
}

/// Gives the terminal its echo back if a secret is being asked for: the program ends, and nobody waits for the answer.
pub(crate) fn stop_asking() {
    let Some((mut terminal, modes)) = asked_on(None) else {
        return;
    };
    // In the background the terminal is somebody else's, and who touches it is stopped.
    if tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()) {
        let _ = tcsetattr(&terminal, OptionalActions::Now, &modes);
        let _ = terminal.write_all(b"\n");
    }
}

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Asks a question on the terminal and reads a line. Standard input may be something else: it is not touched. `None` when
/// there is no terminal or the user ended the input.
pub(crate) fn ask_line(prompt: &str) -> Option<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    terminal
        .write_all(prompt.as_bytes())
        .and_then(|()| terminal.flush())
        .ok()?;
    let mut answer = String::new();
    let mut lines = BufReader::new(terminal.take(MAX_ANSWER_BYTES));
    lines.read_line(&mut answer).ok().filter(|count| *count > 0)?;
    Some(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_peer_writes_steers_the_terminal() {
        for byte in (0u8..0x20).chain([0x7f]) {
            let shown = harmless_name(&[b'a', byte, b'b']);
            assert!(
                shown.bytes().all(|each| (0x20..0x7f).contains(&each)),
                "{byte:#x}: {shown:?}"
            );
        }
        assert_eq!(harmless("\u{1b}]52;c;x\u{7}"), "\\u{1b}]52;c;x\\u{7}");
        assert_eq!(harmless("a\u{9b}b\u{202e}c"), "a\\u{9b}b\\u{202e}c");
        assert_eq!(harmless_name(b"\xff\xfeok"), "\\xff\\xfeok");
        assert_eq!(harmless("two\nlines\tand a tab"), "two\nlines\tand a tab");
    }
}
