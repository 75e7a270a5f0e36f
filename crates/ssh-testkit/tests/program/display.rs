//! `-X` and `-Y` with a display that is one: an X server without a screen (Xvfb), and an X program on the other side.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use ssh_testkit::openssh::client_arguments;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, Running, run};

use crate::bowline::Peer;

/// The display's own cookie.
const COOKIE: &str = "6b1f0c4de25a99384775a0d3b1c2e3f4";

/// A display with an authority file for those who may see it. It listens on a Unix socket only.
struct Display {
    _server: Running,
    name: String,
    authority: PathBuf,
    _folder: tempfile::TempDir,
}

impl Display {
    fn start() -> Option<Self> {
        let (xvfb, xauth) = (peers::need("Xvfb")?, peers::need("xauth")?);
        peers::need("xdpyinfo")?;
        let folder = tempfile::tempdir().unwrap();
        let keep = |file: &Path, name: &str| {
            let mut line = Command::new(&xauth);
            line.arg("-f")
                .arg(file)
                .args(["add", name, "MIT-MAGIC-COOKIE-1", COOKIE]);
            let _ = run(&mut line).with_code(0);
        };
        // The server takes every cookie of its file, whatever display it stands under; it chooses a free number itself.
        let own = folder.path().join("server");
        keep(&own, ":0");
        let mut line = Command::new(xvfb);
        // Otherwise it forgets the cookies it has made whenever its last program leaves.
        line.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-auth"])
            .arg(&own);
        let (server, output) = Running::start_reading(&mut line);
        let mut number = String::new();
        BufReader::new(output).read_line(&mut number).unwrap();
        let name = format!(":{}", number.trim());
        let authority = folder.path().join("authority");
        keep(&authority, &name);
        Some(Self {
            _server: server,
            name,
            authority,
            _folder: folder,
        })
    }

    /// Runs `command` there with a client that has this display, or the same one without its cookie.
    fn run(&self, mut client: Command, command: &str, knows_cookie: bool) -> Finished {
        let none = Path::new("/nonexistent/authority");
        let authority = if knows_cookie { &self.authority } else { none };
        run(client
            .env("DISPLAY", &self.name)
            .env("XAUTHORITY", authority)
            .arg(command))
    }
}

/// What it says of a display that a program may use, and what of one that is closed to it.
const LOOK: &str = "PATH=$PATH:/usr/bin; xdpyinfo";
/// The same with a cookie that nobody made.
const GUESS: &str = "PATH=$PATH:/usr/bin; cookies=$(mktemp); xauth -f $cookies add $DISPLAY MIT-MAGIC-COOKIE-1 \
    00112233445566778899aabbccddeeff; XAUTHORITY=$cookies xdpyinfo; code=$?; rm $cookies; exit $code";

/// Both ways to forward, by `client`, which makes a command line with this flag.
fn both(display: &Display, who: &str, client: impl Fn(&str) -> Command) {
    for (flag, is_trusted) in [("-Y", true), ("-X", false)] {
        let finished = display.run(client(flag), LOOK, true).with_code(0);
        let shown = finished.stdout_text();
        assert!(
            shown.contains("number of screens:    1"),
            "{who} {flag}: {finished}"
        );
        // Whoever is not trusted may not even see the extensions that could harm others.
        assert_eq!(shown.contains("XTEST"), is_trusted, "{who} {flag}: {finished}");
        let finished = display.run(client(flag), GUESS, true).with_code(1);
        let told = finished.stderr_text();
        assert!(
            told.contains("unable to open display"),
            "{who} {flag}: {finished}"
        );
    }
}

#[test]
fn a_real_program_draws_there_as_far_as_it_is_trusted() {
    let Some(display) = Display::start() else { return };
    for peer in Peer::all_with("X11Forwarding yes", &["-o", "X11Forwarding=yes"]) {
        both(&display, peer.name, |flag| peer.client("ssh", &[flag]));
        // Without a cookie the display itself lets nobody in: a made up one opens nothing.
        let finished = display.run(peer.client("ssh", &["-Y"]), LOOK, false);
        let told = finished.with_code(1).stderr_text();
        assert!(
            told.contains("No xauth data; using fake"),
            "{}: {told}",
            peer.name
        );
        assert!(told.contains("unable to open display"), "{}: {told}", peer.name);
        // And it makes none for those it does not trust: then nothing is forwarded at all.
        let finished = display.run(peer.client("ssh", &["-X"]), "echo \"<$DISPLAY>\"", false);
        let told = finished.stderr_text();
        assert_eq!(finished.with_code(0).stdout_text(), "<>\n", "{}", peer.name);
        assert!(told.contains("untrusted X11 forwarding setup failed"), "{told}");
    }
}

#[test]
fn openssh_forwards_its_display_through_our_server() {
    let (Some(display), Some(ssh)) = (Display::start(), peers::need("ssh")) else {
        return;
    };
    let peer = Peer::own_with(&["-o", "X11Forwarding=yes"]);
    both(&display, "OpenSSH's ssh", |flag| {
        let mut line = Command::new(&ssh);
        // Debian's trusts every program unless told otherwise; -Y does so in any case.
        line.args([flag, "-o", "ForwardX11Trusted=no"])
            .args(client_arguments(peer.keys(), peer.port()))
            .arg(format!("{}@127.0.0.1", peers::user()));
        line
    });
}
