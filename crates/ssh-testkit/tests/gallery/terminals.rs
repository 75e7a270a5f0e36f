//! Examples of the client at a terminal, which `script` makes.

use std::process::Command;

use ssh_testkit::peers;
use ssh_testkit::running::run;

use crate::examples::{self, Running};
use crate::visited::Visited;

#[test]
fn set_terminal() {
    for server in Visited::both() {
        let told = run(&mut server.client("set_terminal", &[]))
            .with_code(0)
            .stdout_text();
        let expected = "kind: xterm-color\nrows and columns: 24 80\nand now: 43 132\n";
        assert_eq!(told, expected, "{}", server.name);
    }
}

/// An example at a terminal of its own.
fn at_a_terminal(name: &str, words: &[String]) -> Option<Running> {
    let program = examples::file(name).display().to_string();
    let line: Vec<String> = std::iter::once(&program)
        .chain(words)
        .map(|word| format!("'{word}'"))
        .collect();
    let mut script = Command::new(peers::need("script")?);
    script.args(["-q", "-e", "-c", &line.join(" "), "/dev/null"]);
    // Shells send no sequences to a dumb terminal.
    Some(Running::start(
        script.env("TERM", "dumb").env("HOME", "/nonexistent"),
    ))
}

#[test]
fn demo_simple() {
    for server in Visited::both() {
        let mut words = server.words();
        words[2] = server.keys.path("nobody_known").display().to_string();
        let Some(mut terminal) = at_a_terminal("demo_simple", &words) else {
            return;
        };
        let host = format!("127.0.0.1:{} is unknown: ", server.port);
        assert!(terminal.says(&host).starts_with("SHA256:"), "{}", server.name);
        terminal.says("here we are");
        terminal.types("stty -echo; PS1=; tty\n");
        terminal.says("/dev/");
        terminal.types("echo $((6 * 7)); exit 3\n");
        terminal.says("42");
        assert_eq!(terminal.says("the shell has ended: "), "exit status 3");
        terminal.ends_well();
    }
}

#[test]
fn interactive() {
    for server in Visited::both() {
        let words = [&server.words()[..], &["stty -echo; cat".to_owned()]].concat();
        let Some(mut terminal) = at_a_terminal("interactive", &words) else {
            return;
        };
        terminal.types("heard once\n");
        terminal.says("heard once");
        // Ctrl-] is not for the program there, and what comes after it is for nobody.
        terminal.types("\x1dnever heard\n");
        terminal.says("left");
        terminal.ends_well();
    }
}
