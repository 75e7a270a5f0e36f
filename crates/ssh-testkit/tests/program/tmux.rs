//! `bowline ssh` as a person has it: in a terminal of tmux's, with an editor, another size, the escape characters and a
//! terminal that is as it was afterwards.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::proxy::{Fault, Faults, Proxy};
use ssh_testkit::running::free_port;

use crate::algorithms::{into, openssh};
use crate::bowline::{PATIENCE, Peer, bowline, wait_until};

/// A shell in a window of a tmux server of its own, which ends with this value.
struct Screen {
    tmux: PathBuf,
    socket: PathBuf,
    folder: tempfile::TempDir,
}

impl Screen {
    /// A window of 80 columns and 24 rows; `None` where there is no tmux.
    fn start() -> Option<Self> {
        let tmux = peers::need("tmux")?;
        let folder = tempfile::tempdir().unwrap();
        let screen = Self {
            tmux,
            socket: folder.path().join("tmux"),
            folder,
        };
        screen.tell(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "env PS1='here> ' HOME=/nonexistent bash --norc --noprofile",
        ]);
        screen.wait("here>");
        Some(screen)
    }

    fn tell(&self, words: &[&str]) -> String {
        let mut command = Command::new(&self.tmux);
        command.arg("-S").arg(&self.socket).args(words).env_remove("TMUX");
        command.env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types text as it stands.
    fn keys(&self, text: &str) {
        self.tell(&["send-keys", "-l", "--", text]);
    }

    /// Presses a key by its name.
    fn press(&self, name: &str) {
        self.tell(&["send-keys", name]);
    }

    /// Types a line.
    fn line(&self, text: &str) {
        self.keys(text);
        self.press("Enter");
    }

    fn shown(&self) -> String {
        self.tell(&["capture-pane", "-p"])
    }

    /// Waits until `text` is on the screen.
    fn wait(&self, text: &str) {
        self.wait_for(text, |shown| shown.contains(text));
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        loop {
            let shown = self.shown();
            if is_there(&shown) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{what:?} is not shown:\n{shown}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Waits until the client has the terminal: no program of a shell's own turns the keys for signals off.
    fn waits_until_raw(&self) {
        self.waits_for_modes("-isig");
    }

    fn waits_for_modes(&self, wanted: &str) {
        let tty = self.tell(&["display-message", "-p", "#{pane_tty}"]);
        wait_until("the terminal has other modes", || {
            let modes = Command::new("stty")
                .args(["-a", "-F", tty.trim()])
                .output()
                .unwrap();
            String::from_utf8_lossy(&modes.stdout).contains(wanted)
        });
    }

    fn resize(&self, columns: &str, rows: &str) {
        self.tell(&["resize-window", "-x", columns, "-y", rows]);
    }

    /// An empty screen with a new prompt at the beginning of a line, so that what is waited for is new.
    fn clear(&self) {
        self.tell(&["send-keys", "-R"]);
        self.press("Enter");
        self.wait_for("a prompt", |shown| shown.trim_end().ends_with('>'));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = Command::new(&self.tmux)
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
    }
}

/// The words of a command line, for a shell.
fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| format!("'{}'", word.to_str().unwrap()));
    words.collect::<Vec<_>>().join(" ")
}

/// Starts a script that logs in, so that the line that is typed is short.
fn log_in(screen: &Screen, peer: &Peer, options: &[&str]) {
    let script = screen.file("login");
    let line = format!("{}\n", quoted(&peer.client("ssh", options)));
    std::fs::write(&script, line).unwrap();
    screen.line(&format!(". {}", script.display()));
    // Whatever prompt the account's shell has, from now on it is this one.
    screen.wait_for("a shell", |shown| {
        let last = shown.trim_end().lines().last().unwrap_or_default();
        !last.starts_with("here>") && last.ends_with(['$', '#', '>'])
    });
    screen.line("PS1='there> '; export PS1");
    screen.wait_for("the new prompt", |shown| {
        shown
            .trim_end()
            .lines()
            .last()
            .unwrap_or_default()
            .starts_with("there>")
    });
}

fn saved(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn an_editor_a_resize_and_a_terminal_as_it_was() {
    for peer in Peer::all() {
        let (Some(screen), Some(_)) = (Screen::start(), peers::need("vi")) else {
            return;
        };
        let text = screen.file("text");
        screen.line(&format!("stty -g > {}", screen.file("before").display()));
        log_in(&screen, &peer, &[]);
        screen.line("stty size; echo $TERM");
        screen.wait("24 80\n");
        screen.clear();
        screen.line(&format!("vi -u NONE -n {}", text.display()));
        // An editor marks the rows that are not in the file.
        screen.wait_for("an editor's empty rows", |shown| {
            shown.matches("\n~").count() > 18
        });
        screen.keys("iBetween two terminals");
        screen.wait("Between two terminals");
        screen.resize("100", "40");
        screen.wait_for("a taller editor", |shown| shown.matches("\n~").count() > 34);
        screen.press("Escape");
        screen.line(":!stty size");
        screen.wait("40 100");
        screen.press("Enter");
        screen.wait_for("the editor again", |shown| shown.matches("\n~").count() > 34);
        screen.line(":wq");
        screen.wait("there>");
        screen.clear();
        assert_eq!(saved(&text), "Between two terminals\n");
        // A key with a meaning reaches the program there, not this one.
        screen.line("cat");
        screen.keys("some words");
        screen.press("C-c");
        screen.wait("^C");
        screen.line("exit 3");
        screen.wait("Connection to 127.0.0.1 closed.");
        screen.line("echo status=$?");
        screen.wait("status=3");
        screen.line(&format!("stty -g > {}", screen.file("after").display()));
        screen.line("echo done=$?");
        screen.wait("done=0");
        let before = saved(&screen.file("before"));
        assert!(
            !before.is_empty() && before == saved(&screen.file("after")),
            "{}",
            peer.name
        );
    }
}

#[test]
fn escape_characters_are_for_this_program() {
    for peer in Peer::all() {
        let Some(screen) = Screen::start() else { return };
        screen.line(&format!("stty -g > {}", screen.file("before").display()));
        let log = screen.file("log").display().to_string();
        log_in(&screen, &peer, &["-v", "-E", &log]);
        screen.keys("~?");
        screen.wait("At the beginning of a line:");
        screen.wait("~^Z");
        screen.clear();
        screen.keys("~v");
        screen.wait("~v [LogLevel DEBUG2]");
        screen.keys("~V");
        screen.wait("~V [LogLevel DEBUG1]");
        screen.clear();
        screen.keys("~I");
        screen.wait("server: 127.0.0.1");
        screen.wait("received with");
        screen.clear();
        screen.keys("~R");
        screen.line("");
        screen.line("echo still=$((1+1))");
        screen.wait("still=2");
        screen.clear();
        // Elsewhere than at the beginning, and twice, it is what it is.
        screen.line("echo a~.b");
        screen.wait("\na~.b");
        screen.line("~~.; echo $?");
        screen.wait("127");
        screen.clear();
        screen.keys("~C");
        screen.wait("commandline disabled");
        screen.press("Enter");
        screen.keys("~");
        screen.press("C-z");
        screen.wait("[suspended]");
        screen.wait("Stopped");
        screen.line("echo outside=$((2+2))");
        screen.wait("outside=4");
        screen.line("fg");
        screen.waits_until_raw();
        screen.press("Enter");
        screen.line("echo inside=$((3+3))");
        screen.wait("inside=6");
        screen.keys("~.");
        screen.wait("Connection to 127.0.0.1 closed.");
        screen.line("echo status=$?");
        screen.wait("status=255");
        screen.line(&format!(
            "stty -g > {}; echo done=$?",
            screen.file("after").display()
        ));
        screen.wait("done=0");
        assert_eq!(saved(&screen.file("before")), saved(&screen.file("after")));
    }
}

#[test]
fn keys_leave_at_regular_times_unless_told_otherwise() {
    // OpenSSH's server answers pings from 9.5 on, ours does in any case.
    let peer = Peer::own();
    for (timing, expected) in [("yes", "every 20ms"), ("interval:30", "every 30ms"), ("no", "")] {
        let Some(screen) = Screen::start() else { return };
        let log = screen.file("log");
        let told = format!("ObscureKeystrokeTiming={timing}");
        log_in(
            &screen,
            &peer,
            &["-vvv", "-E", log.to_str().unwrap(), "-o", &told],
        );
        screen.line("echo sum=$((20+3))");
        screen.wait("sum=23");
        screen.line("exit");
        screen.wait("Connection to 127.0.0.1 closed.");
        let said = saved(&log);
        assert_eq!(
            said.contains("keys leave"),
            !expected.is_empty(),
            "{timing}: {said}"
        );
        assert!(said.contains(expected), "{timing}: {said}");
    }
}

#[test]
fn another_escape_character_or_none() {
    for peer in Peer::all() {
        let Some(screen) = Screen::start() else { return };
        log_in(&screen, &peer, &["-e", "none"]);
        screen.line("~.; echo $?");
        screen.wait("127");
        screen.line("exit");
        screen.wait("here>");
        screen.clear();
        log_in(&screen, &peer, &["-o", "EscapeChar=%"]);
        screen.keys("%.");
        screen.wait("Connection to 127.0.0.1 closed.");
    }
}

#[test]
fn forwards_are_listed_added_and_taken_away_by_a_line() {
    for peer in Peer::all() {
        let Some(screen) = Screen::start() else { return };
        let (target, first, second) = (crate::echo::start(), free_port(), free_port());
        let local = format!("{first}:127.0.0.1:{target}");
        log_in(
            &screen,
            &peer,
            &["-L", &local, "-o", "EnableEscapeCommandline=yes"],
        );
        let takes = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(takes(first));
        screen.keys("~#");
        screen.wait(&format!("127.0.0.1 port {target}: "));
        screen.clear();
        for (line, answer) in [
            (format!("-L{second}:127.0.0.1:{target}"), "Forwarding port."),
            (format!("-KD{second}"), "Unknown port forwarding."),
            (
                format!("-L{second}:127.0.0.1:{target}"),
                "Port forwarding failed.",
            ),
            ("-L1".to_owned(), "Bad local forwarding specification."),
            // What our own server lets through is for its own tests.
            if peer.name == "bowline sshd" {
                ("-KR1".to_owned(), "Unknown port forwarding.")
            } else {
                ("-R0:127.0.0.1:1".to_owned(), "Forwarding port.")
            },
            (format!("-KL{first}"), "Canceled forwarding."),
            ("help".to_owned(), "-KL[bind_address:]port"),
        ] {
            screen.keys("~C");
            screen.wait("ssh>");
            screen.line(&line);
            screen.wait(answer);
            screen.clear();
        }
        assert!(takes(second) && !takes(first));
        screen.line("exit");
        screen.wait("Connection to 127.0.0.1 closed.");
        wait_until("the forward goes with the client", || !takes(second));
    }
}

#[test]
fn a_question_gives_way_to_a_signal() {
    let Some(server) = openssh("PasswordAuthentication yes") else {
        return;
    };
    let unknown = "UserKnownHostsFile=/dev/null";
    for (options, question) in [
        (
            &[
                "-o",
                "BatchMode=no",
                "-o",
                "StrictHostKeyChecking=ask",
                "-o",
                unknown,
            ][..],
            "(yes/no/[fingerprint])?",
        ),
        (
            &["-o", "BatchMode=no", "-o", "PubkeyAuthentication=no"],
            "password:",
        ),
    ] {
        let Some(screen) = Screen::start() else { return };
        screen.line(&format!("stty -g > {}", screen.file("before").display()));
        let script = screen.file("login");
        std::fs::write(&script, format!("{}\n", quoted(&into(&server, options)))).unwrap();
        screen.line(&format!(". {}", script.display()));
        screen.wait(question);
        screen.press("C-c");
        screen.wait_for("the shell after the question", |shown| {
            shown.trim_end().ends_with("here>")
        });
        screen.line("echo status=$?");
        screen.wait("status=255");
        let after = screen.file("after");
        screen.line(&format!("stty -g > {}; echo done=$?", after.display()));
        screen.wait("done=0");
        assert_eq!(saved(&screen.file("before")), saved(&after), "{question}");
    }
}

#[test]
fn sftp_at_its_prompt_hears_a_signal_and_the_end_of_the_connection() {
    for signal in [Some("C-\\"), None] {
        let Some(screen) = Screen::start() else { return };
        let peer = Peer::own();
        let script = screen.file("login");
        std::fs::write(&script, format!("{}\n", quoted(&peer.client("sftp", &[])))).unwrap();
        screen.line(&format!(". {}", script.display()));
        screen.wait("sftp>");
        screen.line("pwd");
        screen.wait("Remote working directory:");
        screen.wait_for("a new prompt", |shown| shown.trim_end().ends_with("sftp>"));
        match signal {
            Some(key) => screen.press(key),
            // Its process ends, and nobody presses a key here.
            None => drop(peer),
        }
        screen.wait_for("the shell after the prompt", |shown| {
            shown.trim_end().ends_with("here>")
        });
        screen.line("echo status=$?");
        screen.wait("status=1");
        if signal.is_none() {
            // In the place of the prompt stands what happened.
            let shown = screen.shown();
            let said = shown.lines().filter(|line| line.starts_with("127.0.0.1"));
            assert_eq!(said.count(), 1, "{shown}");
        }
    }
}

#[test]
fn forwarded_connections_outlive_the_program_in_the_background_of_the_shell() {
    let Some(screen) = Screen::start() else { return };
    let peer = Peer::own();
    let target = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (port, place) = (free_port(), target.local_addr().unwrap());
    let script = screen.file("login");
    let mut line = peer.client("ssh", &["-t", "-L", &format!("{port}:{place}")]);
    line.arg("echo begun; read line");
    std::fs::write(&script, format!("{}\n", quoted(&line))).unwrap();
    screen.line(&format!(". {}", script.display()));
    screen.wait("begun");
    screen.waits_until_raw();
    let mut near = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut far = target.accept().unwrap().0;
    passes(&mut near, &mut far, "in the foreground");
    screen.keys("~&~?");
    screen.wait("ssh -f");
    screen.press("Enter");
    // The program is over; who waits for the connection has given the terminal back.
    screen.waits_for_modes("\nisig");
    screen.press("C-z");
    screen.wait("Stopped");
    screen.line("bg; echo in the back''ground");
    screen.wait("in the background");
    passes(&mut near, &mut far, "in the background");
    drop((near, far));
    screen.line("wait; echo o''ver");
    screen.wait("over");
}

/// What is said at one end is heard at the other, and the other way round.
fn passes(near: &mut TcpStream, far: &mut TcpStream, text: &str) {
    let mut pair = [near, far];
    for _ in 0..2 {
        let [from, to] = &mut pair;
        to.set_read_timeout(Some(PATIENCE)).unwrap();
        from.write_all(text.as_bytes()).unwrap();
        let mut heard = vec![0; text.len()];
        to.read_exact(&mut heard).unwrap();
        assert_eq!(heard, text.as_bytes());
        pair.reverse();
    }
}

#[test]
fn an_interrupt_ends_a_line_or_a_transfer_of_sftp_and_not_the_program() {
    let Some(screen) = Screen::start() else { return };
    let peer = Peer::own();
    // More than arrives before somebody can press a key.
    let remote = peer.keys().path("remote");
    std::fs::File::create(&remote).unwrap().set_len(1 << 30).unwrap();
    let proxy = Proxy::start(peer.port(), Faults::down(Fault::Throttled(1 << 20)));
    let mut line = bowline(&["sftp"]);
    line.args(client_arguments(peer.keys(), proxy.port))
        .arg(format!("{}@127.0.0.1", peers::user()));
    let script = screen.file("login");
    std::fs::write(&script, format!("{}\n", quoted(&line))).unwrap();
    screen.line(&format!(". {}", script.display()));
    screen.wait("sftp>");
    let prompts = |count: usize| {
        screen.wait_for("another prompt", |shown| {
            shown.matches("sftp>").count() == count && shown.trim_end().ends_with("sftp>")
        });
    };
    // What was typed is gone with its line.
    screen.keys("no such comm");
    screen.wait("no such comm");
    screen.press("C-c");
    prompts(2);
    screen.line(&format!("lcd {}", screen.folder.path().display()));
    prompts(3);
    screen.line(&format!("get {} fetched", remote.display()));
    screen.wait("Fetching");
    screen.press("C-c");
    screen.wait("Interrupt");
    prompts(4);
    assert!(std::fs::metadata(screen.file("fetched")).unwrap().len() < 1 << 30);
    // The same connection goes on, when what was under way has come.
    screen.line(&format!("ls -1 {}", peer.file("remote")));
    screen.wait_for("the answer", |shown| {
        shown.lines().any(|line| line.trim() == peer.file("remote"))
    });
    // A program on this side hears of it itself.
    screen.line("!trap 'echo he''ard' INT; echo be''gun; sleep 60; echo over''slept");
    screen.wait("begun");
    screen.press("C-c");
    screen.wait("overslept");
    let shown = screen.shown();
    assert!(shown.contains("heard"), "{shown}");
    screen.line("bye");
    screen.wait_for("the shell", |shown| shown.trim_end().ends_with("here>"));
    screen.line("echo status=$?");
    screen.wait("status=0");
}

#[test]
fn sftp_gives_a_terminal_its_echo_back_when_a_signal_ends_it() {
    let Some(server) = openssh("PasswordAuthentication yes") else {
        return;
    };
    let Some(screen) = Screen::start() else { return };
    screen.line(&format!("stty -g > {}", screen.file("before").display()));
    let script = screen.file("login");
    let mut line = bowline(&["sftp", "-o", "BatchMode=no", "-o", "PubkeyAuthentication=no"]);
    line.args(client_arguments(&server.keys, server.port))
        .arg(format!("{}@127.0.0.1", peers::user()));
    std::fs::write(&script, format!("{}\n", quoted(&line))).unwrap();
    screen.line(&format!(". {}", script.display()));
    screen.wait("password:");
    screen.press("C-c");
    screen.wait_for("the shell after the question", |shown| {
        shown.trim_end().ends_with("here>")
    });
    let after = screen.file("after");
    screen.line(&format!("stty -g > {}; echo done=$?", after.display()));
    screen.wait("done=0");
    assert_eq!(saved(&screen.file("before")), saved(&after));
}
