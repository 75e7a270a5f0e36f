//! A person's login: OpenSSH's client in tmux, at `bowline sshd`, with a shell, an editor, a resize and a clean end.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::is_running;

use crate::bowline::{PATIENCE, Sshd, wait_until};

/// A tmux of its own, with one window.
struct Tmux {
    program: PathBuf,
    socket: PathBuf,
}

impl Tmux {
    /// Runs `line` in a window of 80 by 24.
    fn start(program: PathBuf, server: &Sshd, line: &str) -> Self {
        let settings = server.keys.path("tmux.conf");
        fs::write(
            &settings,
            "set -g status off\nset -g remain-on-exit on\nset -g default-terminal screen\n",
        )
        .unwrap();
        let tmux = Self {
            program,
            socket: server.keys.path("tmux"),
        };
        let settings = settings.to_str().unwrap();
        tmux.run(&["-f", settings, "new-session", "-d", "-x", "80", "-y", "24", line]);
        tmux
    }

    fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command.arg("-S").arg(&self.socket).args(words);
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Types text as it is.
    fn types(&self, text: &str) {
        let _ = self.run(&["send-keys", "-l", text]);
    }

    /// Presses keys by their names.
    fn presses(&self, key: &str) {
        let _ = self.run(&["send-keys", key]);
    }

    fn enters(&self, line: &str) {
        self.types(line);
        self.presses("Enter");
    }

    /// Waits until a line of the screen is `line`, but for blanks behind it.
    fn shows(&self, line: &str) {
        self.shows_what(line, |screen| screen.lines().any(|each| each.trim_end() == line));
    }

    fn shows_what(&self, what: &str, condition: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let mut seen = || {
            last = self.screen();
            condition(&last)
        };
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if seen() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("no {what:?} on the screen:\n{last}");
    }

    fn resizes(&self, columns: u16, rows: u16) {
        let _ = self.run(&[
            "resize-window",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
        ]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new(&self.program)
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .status();
    }
}

/// The file with the client's process id.
fn client_file(server: &Sshd) -> PathBuf {
    server.keys.path("client.pid")
}

/// A server and, in tmux, the prompt of a shell on it.
fn logged_in() -> Option<(Sshd, Tmux)> {
    let (ssh, tmux) = (peers::need("ssh")?, peers::need("tmux")?);
    // A home without anybody's habits, and a prompt to wait for.
    let server = Sshd::start(&["-o", "SetEnv=HOME=/nonexistent ENV=/nonexistent"]);
    let mut client = format!(
        "echo $$ > '{}'; exec '{}' -tt",
        client_file(&server).display(),
        ssh.display()
    );
    for word in client_arguments(&server.keys, server.port) {
        client += &format!(" '{word}'");
    }
    client += &format!(" '{}@127.0.0.1'\n", peers::user());
    let script = server.keys.path("client.sh");
    fs::write(&script, client).unwrap();
    // A shell waits for the client: tmux 3.3 leaves one window in five a zombie, and knows of no status then.
    let line = format!("sh '{}'; echo ended with $?", script.display());
    let tmux = Tmux::start(tmux, &server, &line);
    tmux.shows_what("a prompt", |screen| !screen.trim().is_empty());
    tmux.enters("PS1='ready> '");
    tmux.shows("ready>");
    tmux.enters("clear");
    Some((server, tmux))
}

#[test]
fn a_person_logs_in_edits_a_file_resizes_and_leaves() {
    let Some((server, tmux)) = logged_in() else { return };
    tmux.enters(
        "echo $TERM; tty | cut -c1-9; test \"$(tty)\" = $SSH_TTY && stty size; shopt login_shell || echo $0",
    );
    for line in ["screen", "/dev/pts/", "24 80"] {
        tmux.shows(line);
    }
    tmux.enters("clear; sh -c 'echo begun; exec sleep 300'");
    tmux.shows("begun");
    tmux.presses("C-c");
    tmux.enters("echo status $?");
    tmux.shows("status 130");
    if peers::find("vi").is_some() {
        edit(&server, &tmux);
    }
    tmux.resizes(100, 30);
    // Nothing tells when the new size has arrived.
    tmux.enters("clear; until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; echo wi''der");
    tmux.shows("wider");
    if peers::find("less").is_some() {
        tmux.enters("seq 1 500 | less");
        tmux.shows("29");
        tmux.presses("G");
        tmux.shows("500");
        tmux.resizes(90, 40);
        // As many as fit above the line at the bottom. less drops a key that comes together with the new size.
        tmux.shows_what("39 lines", |screen| {
            tmux.presses("g");
            screen.lines().any(|line| line == "39")
        });
        tmux.presses("q");
        tmux.shows("ready>");
    }
    tmux.enters("clear; exit 7");
    tmux.shows("ended with 7");
}

/// A full screen, keys in a raw terminal, and a new size in the middle of it.
fn edit(server: &Sshd, tmux: &Tmux) {
    let file = server.keys.path("written");
    tmux.enters(&format!("clear; vi -u NONE -N {}", file.display()));
    tmux.shows_what("an empty file", |screen| screen.matches("\n~").count() > 15);
    tmux.presses("i");
    tmux.types("hällo from the other side");
    tmux.presses("Escape");
    tmux.resizes(72, 20);
    // Nothing tells when the new size has arrived.
    tmux.shows_what("20 by 72", |screen| {
        tmux.enters(":echo &lines . ' by ' . &columns");
        screen.lines().any(|line| line.trim_end() == "20 by 72")
    });
    tmux.enters(":wq");
    wait_until("the file is not written", || {
        fs::read_to_string(&file).is_ok_and(|text| text == "hällo from the other side\n")
    });
    tmux.shows_what("a prompt", |screen| screen.contains("ready>"));
}

#[test]
fn a_client_that_is_killed_takes_its_shell_and_its_job_along() {
    let Some((server, tmux)) = logged_in() else { return };
    let file = server.keys.path("pid");
    tmux.enters(&format!("sh -c 'echo $$ > {}; exec sleep 300'", file.display()));
    let mut pid = String::new();
    wait_until("the job does not begin", || {
        pid = fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
        !pid.is_empty()
    });
    let client = fs::read_to_string(client_file(&server)).unwrap();
    let killed = Command::new("kill")
        .args(["-KILL", client.trim()])
        .status()
        .unwrap();
    assert!(killed.success());
    let job = pid.parse().unwrap();
    wait_until("the job is still there", || !is_running(job));
}
