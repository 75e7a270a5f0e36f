//! An example as a value.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long an example may take to say something. Nothing here takes a second on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// The file of an example, which cargo has put beside this test: target/<profile>/deps/<this test>.
pub fn file(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(|deps| deps.parent()).unwrap();
    let file = profile.join("examples").join(name);
    assert!(
        file.is_file(),
        "{}: there is none; `cargo build -p ssh-client -p ssh-server --examples` builds the gallery",
        file.display()
    );
    file
}

/// The command that runs an example, in a world of its own: no agent, no home.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(file(name));
    command.env("HOME", "/nonexistent").env_remove("SSH_AUTH_SOCK");
    command.env_remove("RUST_BACKTRACE");
    command
}

/// A program that runs, and its lines one by one. Dropping it ends it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// Waits for a line that begins with these words, and gives the rest of it.
    pub fn says(&mut self, beginning: &str) -> String {
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("{beginning:?} is not said: {:#?}", self.heard),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended without saying {beginning:?}: {:#?}", self.heard)
                }
            };
            self.heard.push(line.clone());
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// The port of the address in such a line.
    pub fn says_port(&mut self, beginning: &str) -> u16 {
        let rest = self.says(beginning);
        let address = rest.split_whitespace().next().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn types(&mut self, text: &str) {
        let keyboard = self.child.stdin.as_mut().unwrap();
        keyboard.write_all(text.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Nothing more will be typed.
    pub fn leaves(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the end, which has to be a good one.
    pub fn ends_well(&mut self) {
        self.leaves();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {:#?}", self.heard);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
