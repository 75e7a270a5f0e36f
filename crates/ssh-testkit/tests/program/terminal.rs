//! What `bowline ssh` asks a person, at a terminal that `script` makes.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ssh_testkit::peers;

use crate::bowline::{PATIENCE, Peer, program};

/// A program at a terminal of its own: what it shows, and a keyboard.
struct Terminal {
    child: Child,
    shown: Receiver<Vec<u8>>,
    so_far: String,
}

impl Terminal {
    /// Starts `bowline ssh` with `words`; `None` where there is no `script`.
    fn start(peer: &Peer, words: &[&str]) -> Option<Self> {
        let script = peers::need("script")?;
        let program = program();
        let line = [&[program.to_str().unwrap(), "ssh"], words].concat();
        let quoted: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        let mut command = Command::new(script);
        command
            .args(["-q", "-e", "-c", &quoted.join(" "), "/dev/null"])
            .env("HOME", peer.keys().folder());
        command
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut screen = child.stdout.take().unwrap();
        let (sender, shown) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut block) {
                if sender.send(block[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self {
            child,
            shown,
            so_far: String::new(),
        })
    }

    /// Waits until `text` stands on the screen, then types `answer`.
    fn answer(&mut self, text: &str, answer: &str) {
        let begin = Instant::now();
        while !self.so_far.contains(text) {
            assert!(
                begin.elapsed() < PATIENCE,
                "{text:?} is not shown: {}",
                self.so_far
            );
            if let Ok(block) = self.shown.recv_timeout(Duration::from_millis(100)) {
                self.so_far += &String::from_utf8_lossy(&block);
            }
        }
        self.so_far.clear();
        // By the time a question for a secret is shown the terminal does not echo any more.
        let keyboard = self.child.stdin.as_mut().unwrap();
        keyboard.write_all(answer.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// The status, and what was shown since the last answer.
    fn end(mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        // The screen ends with the program.
        while begin.elapsed() < PATIENCE {
            match self.shown.recv_timeout(Duration::from_millis(100)) {
                Ok(block) => self.so_far += &String::from_utf8_lossy(&block),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return (
                        self.child.wait().unwrap().code(),
                        std::mem::take(&mut self.so_far),
                    );
                }
            }
        }
        panic!("it waits for something: {}", self.so_far);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With its input gone `script` hangs up, and what runs in it ends.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_person_is_asked_about_the_host_and_for_the_passphrase() {
    let peer = Peer::own();
    let (port, locked, fresh) = (
        peer.port().to_string(),
        peer.file("locked"),
        peer.file("fresh_hosts"),
    );
    let known = format!("UserKnownHostsFile={fresh}");
    let words = [
        "-o",
        &known,
        "-i",
        &locked,
        "-l",
        &peers::user(),
        "-p",
        &port,
        "127.0.0.1",
        "echo in; exit 7",
    ];
    let Some(mut terminal) = Terminal::start(&peer, &words) else {
        return;
    };
    terminal.answer("continue connecting (yes/no/[fingerprint])? ", "what\n");
    terminal.answer("Please type 'yes', 'no' or the fingerprint: ", "yes\n");
    terminal.answer("Enter passphrase for key", "wrong\n");
    terminal.answer("Enter passphrase for key", "secret\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(7), "{shown}");
    assert!(shown.contains("in\r\n") && !shown.contains("secret"), "{shown}");
    // The host is known now; no is an answer, too.
    let Some(mut terminal) = Terminal::start(&peer, &words) else {
        return;
    };
    terminal.answer("Enter passphrase for key", "secret\n");
    assert_eq!(terminal.end().0, Some(7));
    std::fs::remove_file(&fresh).unwrap();
    let Some(mut terminal) = Terminal::start(&peer, &words) else {
        return;
    };
    terminal.answer("continue connecting", "no\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(255), "{shown}");
    assert!(shown.contains("127.0.0.1"), "{shown}");
}

#[test]
fn a_wrong_passphrase_is_told_and_no_password_asked_for_in_vain() {
    let peer = Peer::own();
    let (port, locked) = (peer.port().to_string(), peer.file("locked"));
    let known = format!(
        "UserKnownHostsFile={}",
        peer.keys()
            .known_hosts("known_hosts", peer.port(), "host")
            .display()
    );
    let user = peers::user();
    let words = [
        "-o",
        &known,
        "-i",
        &locked,
        "-l",
        &user,
        "-p",
        &port,
        "127.0.0.1",
        "true",
    ];
    let Some(mut terminal) = Terminal::start(&peer, &words) else {
        return;
    };
    for _ in 0..3 {
        terminal.answer("Enter passphrase for key", "wrong\n");
    }
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(255), "{shown}");
    assert!(shown.contains(&locked) && !shown.contains("panicked"), "{shown}");
}
