//! What programs at the server may use on this side: `bowline ssh -A`, `-X` and `-Y`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use ssh_testkit::openssh::Server;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, Running, run};

use crate::algorithms::{into, openssh};
use crate::bowline::wait_until;

#[test]
fn programs_there_use_the_agent_here_where_they_may() {
    let (Some(server), Some(agent)) = (openssh(""), peers::need("ssh-agent")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent").display().to_string();
    let _agent = Running::start(Command::new(agent).args(["-D", "-a", &socket]));
    wait_until("the agent does not answer", || {
        UnixStream::connect(&socket).is_ok()
    });
    let named = format!("ForwardAgent={socket}");
    let (missing, none) = ("ForwardAgent=/nowhere/agent", "The agent has no identities.\n");
    for (options, own, expected) in [
        (&["-A"][..], "SSH_AUTH_SOCK", none),
        (&["-o", "ForwardAgent=yes"], "SSH_AUTH_SOCK", none),
        (&["-o", &named], "OTHER", none),
        (&["-o", "ForwardAgent=$OTHER"], "OTHER", none),
        (&["-A", "-a"], "SSH_AUTH_SOCK", ""),
        (&[], "SSH_AUTH_SOCK", ""),
        (&["-A"], "OTHER", ""),
    ] {
        let mut line = into(&server, options);
        line.env(own, &socket);
        let finished = run(line.arg("ssh-add -l"));
        assert_eq!(finished.stdout_text(), expected, "{options:?}: {finished}");
    }
    let finished = run(into(&server, &["-o", missing]).arg("echo in")).with_code(0);
    let told = "Cannot forward agent socket path \"/nowhere/agent\": ";
    assert!(finished.stderr_text().starts_with(told), "{finished}");
    let strict = ["-o", missing, "-o", "ExitOnForwardFailure=yes"];
    let finished = run(into(&server, &strict).arg("echo in")).with_code(255);
    assert!(finished.stderr_text().starts_with(told), "{finished}");
}

/// The cookie of the display here, which nobody there hears.
const COOKIE: &str = "00112233445566778899aabbccddeeff";

/// An `xauth` that knows one cookie: for everybody, or for programs that are not trusted once it was asked for one.
fn xauth(folder: &Path) -> String {
    let path = folder.join("xauth");
    let log = folder.join("asked").display().to_string();
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {log}\ncase \"$*\" in *list*) echo \"display MIT-MAGIC-COOKIE-1 {COOKIE}\";; esac\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// A program there that draws: it shows the cookie it was given and prints what the display says.
const DRAW: &str = "n=${DISPLAY#*:}; n=${n%.*}; cookie=$(xauth list $DISPLAY | sed 's/.* //'); \
    bash -c 'exec 3<>/dev/tcp/localhost/$((6000 + $1)); \
    printf \"l\\0\\013\\0\\0\\0\\022\\0\\020\\0\\0\\0MIT-MAGIC-COOKIE-1\\0\\0$(echo $2 | sed \"s/../\\\\\\\\x&/g\")\" >&3; \
    cat <&3' - $n $cookie; [ $cookie != 00112233445566778899aabbccddeeff ] && echo other";

/// Runs `command` against a display that takes the right cookie only.
fn draw(server: &Server, options: &[&str], folder: &Path, command: &str) -> Finished {
    let socket = folder.join("X:0");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut setup = [0; 48];
            // A program that was ended half-way says nothing.
            if stream.read_exact(&mut setup).is_err() {
                continue;
            }
            let cookie: String = setup[32..].iter().map(|byte| format!("{byte:02x}")).collect();
            let _gone = stream.write_all(if cookie == COOKIE { b"drawn\n" } else { b"wrong\n" });
        }
    });
    let mut line = into(server, options);
    line.env("DISPLAY", format!("{}:0", folder.join("X:0").display()));
    line.stdin(Stdio::null());
    run(line.arg(command))
}

#[test]
fn programs_that_are_not_trusted_may_come_for_so_long() {
    let (Some(server), Some(_)) = (openssh("X11Forwarding yes"), peers::need("xauth")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let location = format!("XAuthLocation={}", xauth(folder.path()));
    let asked = || fs::read_to_string(folder.path().join("asked")).unwrap_or_default();
    for (limit, expected) in [
        ("2h", "untrusted timeout 7260\n"),
        ("4294967295", "untrusted timeout 4294967295\n"),
        // As long as the session lives.
        ("0", "untrusted\n"),
    ] {
        let _ = fs::remove_file(folder.path().join("asked"));
        let limit = format!("ForwardX11Timeout={limit}");
        let finished = draw(
            &server,
            &["-X", "-o", &limit, "-o", &location],
            folder.path(),
            DRAW,
        );
        assert_eq!(finished.stdout_text(), "drawn\nother\n", "{limit}: {finished}");
        assert!(asked().contains(expected), "{limit}: {}", asked());
    }
    // One after the other comes, until none is let in any more.
    let again = format!("while ({DRAW}) | grep -q drawn; do :; done; echo over");
    let options = ["-X", "-o", "ForwardX11Timeout=1", "-o", &location];
    let finished = draw(&server, &options, folder.path(), &again);
    assert_eq!(finished.stdout_text(), "over\n", "{finished}");
}

#[test]
fn programs_there_draw_on_the_display_here() {
    let (Some(server), Some(_)) = (openssh("X11Forwarding yes"), peers::need("xauth")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let location = format!("XAuthLocation={}", xauth(folder.path()));
    let asked = || fs::read_to_string(folder.path().join("asked")).unwrap_or_default();
    for (options, is_trusted) in [
        (&["-Y"][..], true),
        (&["-X", "-o", "ForwardX11Trusted=yes"], true),
        (&["-X"], false),
        (&["-o", "ForwardX11=yes"], false),
    ] {
        let _ = fs::remove_file(folder.path().join("asked"));
        let options = [options, &["-o", &location]].concat();
        let finished = draw(&server, &options, folder.path(), DRAW);
        // There, the cookie is another one.
        assert_eq!(
            finished.stdout_text(),
            "drawn\nother\n",
            "{options:?}: {finished}"
        );
        assert_eq!(
            asked().contains("untrusted timeout 1260"),
            !is_trusted,
            "{options:?}: {}",
            asked()
        );
    }
    for options in [&["-X", "-x"][..], &["-oForwardX11Trusted=yes"]] {
        let mut line = into(&server, options);
        let finished = run(line.env("DISPLAY", ":0").arg("echo \"<$DISPLAY>\"")).with_code(0);
        assert_eq!(finished.stdout_text(), "<>\n", "{options:?}");
    }
}

#[test]
fn a_display_that_cannot_be_forwarded_is_told() {
    let (Some(server), Some(closed)) = (openssh("X11Forwarding yes"), openssh("")) else {
        return;
    };
    let untrusted = "Warning: untrusted X11 forwarding setup failed: xauth key data not generated\n";
    let fake = "Warning: No xauth data; using fake authentication data for X11 forwarding.\n";
    let refused = format!("{fake}X11 forwarding request failed on channel 0\n");
    for (server, options, display, expected) in [
        (&server, &["-X"][..], ":0", untrusted),
        (
            &server,
            &["-Y"],
            "no display",
            "DISPLAY \"no display\" invalid; disabling X11 forwarding\n",
        ),
        (&server, &["-Y"], ":0", fake),
        (&server, &["-Y"], "", ""),
        (&closed, &["-Y"], ":0", &refused),
    ] {
        let location = ["-o", "XAuthLocation=/nowhere/xauth"];
        let mut line = into(server, &[options, &location].concat());
        let finished = run(line.env("DISPLAY", display).arg("echo in")).with_code(0);
        assert_eq!(finished.stdout_text(), "in\n", "{finished}");
        assert_eq!(finished.stderr_text(), expected, "{options:?} {display:?}");
    }
}
