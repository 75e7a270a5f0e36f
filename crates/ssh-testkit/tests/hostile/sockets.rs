//! C9, the files: Unix sockets that a client has made at the server are its user's alone, take the place of nothing but
//! an old socket of that user's, and only where the policy says so. And requests about forwards that do not decode.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use ssh_server::{Permissions, SocketPolicy};
use ssh_testkit::peers;

use super::policy::{Open, direct, direct_socket, is_joined, socket_name, x11_request};
use super::visit::{Visit, string_and_number, strings};

fn listen(visit: &mut Visit, path: &Path) -> bool {
    visit
        .global("streamlocal-forward@openssh.com", &socket_name(path))
        .is_some()
}

fn cancel(visit: &mut Visit, path: &Path) -> bool {
    visit
        .global("cancel-streamlocal-forward@openssh.com", &socket_name(path))
        .is_some()
}

/// Device and number of what is at a path itself.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// What may be in the way of a socket.
const IN_THE_WAY: [&str; 6] = [
    "own socket",
    "file",
    "folder",
    "link to a socket",
    "pipe",
    "another's socket",
];

/// Puts it there.
fn put(kind: &str, path: &Path, folder: &Path) {
    match kind {
        "own socket" => drop(UnixListener::bind(path).unwrap()),
        "file" => fs::write(path, "precious").unwrap(),
        "folder" => fs::create_dir(path).unwrap(),
        "link to a socket" => {
            let target = folder.join("target of the link");
            drop(UnixListener::bind(&target).unwrap());
            symlink(target, path).unwrap();
        }
        "pipe" => {
            let status = std::process::Command::new("mkfifo").arg(path).status().unwrap();
            assert!(status.success());
        }
        "another's socket" => {
            drop(UnixListener::bind(path).unwrap());
            lchown(path, Some(65_534), Some(65_534)).unwrap();
        }
        other => panic!("{other}"),
    }
}

#[test]
fn c09_only_an_old_socket_of_the_users_own_makes_way_and_only_by_the_policy() {
    for unlink in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let sockets = SocketPolicy {
            unlink,
            ..SocketPolicy::default()
        };
        let mut visit = Visit::to(Open {
            sockets,
            ..Open::with(Permissions::default())
        });
        for kind in IN_THE_WAY {
            // Only root can give a file to somebody else.
            if kind == "another's socket" && !peers::is_root() {
                continue;
            }
            let path = folder.path().join(kind);
            put(kind, &path, folder.path());
            let before = identity(&path);
            let granted = unlink && kind == "own socket";
            assert_eq!(listen(&mut visit, &path), granted, "{kind}, unlink {unlink}");
            if granted {
                let found = fs::symlink_metadata(&path).unwrap();
                assert!(found.file_type().is_socket() && found.mode() & 0o7777 == 0o600);
                assert!(UnixStream::connect(&path).is_ok(), "{kind}");
                assert!(cancel(&mut visit, &path) && identity(&path).is_none(), "{kind}");
            } else {
                assert_eq!(identity(&path), before, "{kind}, unlink {unlink}");
            }
        }
        assert!(folder.path().join("target of the link").exists());
    }
}

#[test]
fn c09_a_path_that_leads_nowhere_for_certain_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut visit = Visit::to(Open::with(Permissions::default()));
    let path = folder.path().join("socket");
    let text = path.to_str().unwrap();
    let wrong: [&[u8]; 9] = [
        b"",
        b"socket",
        b"./socket",
        b"../socket",
        b"~/socket",
        b"\0abstract",
        &[text.as_bytes(), b"\0"].concat(),
        &[text.as_bytes(), b"/beyond"].concat(),
        &[text.as_bytes(), &[b'x'; 200]].concat(),
    ];
    for name in wrong {
        for request in [
            "streamlocal-forward@openssh.com",
            "cancel-streamlocal-forward@openssh.com",
        ] {
            assert_eq!(
                visit.global(request, &strings(&[name])),
                None,
                "{request} {name:?}"
            );
        }
        let fields = [strings(&[name, b""]), vec![0; 4]].concat();
        let opened = visit.open(1, "direct-streamlocal@openssh.com", &fields);
        assert!(opened.is_err(), "{name:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(listen(&mut visit, &path), "it lives on");
}

#[test]
fn c09_a_socket_is_there_for_as_long_as_it_is_listened_at_and_goes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [kept, replaced] = ["kept", "replaced"].map(|name| folder.path().join(name));
    let mut visit = Visit::to(Open::with(Permissions::default()));
    for path in [&kept, &replaced] {
        assert!(listen(&mut visit, path));
        assert!(!listen(&mut visit, path), "twice");
    }
    let stream = UnixStream::connect(&kept).unwrap();
    let opened = visit.opened();
    let line = visit.accept(&opened, 1);
    // What has come stays when the socket goes, which takes its own file with it and no other.
    fs::remove_file(&replaced).unwrap();
    fs::write(&replaced, "precious").unwrap();
    assert!(cancel(&mut visit, &kept) && cancel(&mut visit, &replaced));
    assert!(!cancel(&mut visit, &kept), "twice");
    assert!(!kept.exists());
    assert_eq!(fs::read_to_string(&replaced).unwrap(), "precious");
    is_joined(&mut visit, line, stream);
}

/// The program is started by somebody whose files are everybody's: the sockets are not.
#[test]
fn c09_sockets_of_the_program_are_private_whatever_the_mask_it_is_started_with() {
    let folder = tempfile::tempdir().unwrap();
    for (mask, setting, mode) in [
        ("000", "StreamLocalBindMask=0177", 0o600),
        ("000", "StreamLocalBindUnlink=no", 0o600),
        ("777", "StreamLocalBindMask=0177", 0o600),
        ("000", "StreamLocalBindMask=0117", 0o660),
    ] {
        let mut visit = Visit::to_program(
            &[setting, "X11Forwarding=yes", "X11DisplayOffset=1900"],
            |command| {
                let mut shell = std::process::Command::new("/bin/sh");
                shell.args(["-c", &format!("umask {mask}; exec \"$0\" \"$@\"")]);
                shell.arg(command.get_program()).args(command.get_args());
                for (name, value) in command.get_envs() {
                    match value {
                        Some(value) => shell.env(name, value),
                        None => shell.env_remove(name),
                    };
                }
                *command = shell;
            },
        );
        let path: PathBuf = folder.path().join(format!("{mask} {setting}"));
        assert!(listen(&mut visit, &path), "{mask} {setting}");
        let found = fs::symlink_metadata(&path).unwrap();
        let own = fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(
            (found.mode() & 0o7777, found.uid()),
            (mode, own),
            "{mask} {setting}"
        );
        // And so is the way to the agent, and the cookie of a display.
        let line = visit.session(1);
        assert!(visit.ask(line, "auth-agent-req@openssh.com", b""));
        assert!(visit.ask(line, "x11-req", &x11_request()));
        visit.exec(line, "echo $SSH_AUTH_SOCK $XAUTHORITY; cat");
        let told = visit.hear_line(line);
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        for file in told.split(' ').map(Path::new) {
            let modes = (mode(file), mode(file.parent().unwrap()));
            assert_eq!(modes, (0o600, 0o700), "{mask} {told}");
        }
    }
}

#[test]
fn c09_requests_that_do_not_decode_are_refused_and_the_connection_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut visit = Visit::to(Open::with(Permissions::default()));
    let line = visit.session(1);
    // Each cut short at every byte, and with a byte too much.
    let spoilt = |whole: &[u8]| {
        let cuts: Vec<Vec<u8>> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
        [cuts, vec![[whole, &[0]].concat()]].concat()
    };
    for (kind, whole) in [
        ("direct-tcpip", direct(b"127.0.0.1", 1)),
        ("direct-streamlocal@openssh.com", direct_socket(&path)),
        ("tun@openssh.com", vec![0, 0, 0, 1, 0, 0, 0, 3]),
    ] {
        for fields in spoilt(&whole) {
            assert!(visit.open(9, kind, &fields).is_err(), "{kind} {fields:?}");
        }
    }
    for (name, whole) in [
        ("tcpip-forward", string_and_number(b"localhost", 0)),
        ("cancel-tcpip-forward", string_and_number(b"localhost", 1)),
        ("streamlocal-forward@openssh.com", socket_name(&path)),
        ("cancel-streamlocal-forward@openssh.com", socket_name(&path)),
    ] {
        for fields in spoilt(&whole) {
            assert_eq!(visit.global(name, &fields), None, "{name} {fields:?}");
        }
    }
    for (name, whole) in [("x11-req", x11_request()), ("auth-agent-req@openssh.com", vec![])] {
        for fields in spoilt(&whole) {
            assert!(!visit.ask(line, name, &fields), "{name} {fields:?}");
        }
    }
    assert!(!path.exists());
    assert!(listen(&mut visit, &path) && visit.ask(line, "x11-req", &x11_request()));
}
