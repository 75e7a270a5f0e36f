//! `bowline sftp` into OpenSSH's server and our own: batches, as scripts run them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run, run_with};

use crate::bowline::Peer;

/// Runs `bowline sftp` with a batch on standard input, both sides standing in the folder `work`.
fn batch(peer: &Peer, lines: &str) -> Finished {
    fs::create_dir_all(peer.keys().path("work")).unwrap();
    let mut line = peer.client("sftp", &["-b", "-"]);
    line.current_dir(peer.keys().path("work"));
    run_with(&mut line, format!("@cd {}\n{lines}", peer.file("work")))
}

/// A file in the folder `work`.
fn write(peer: &Peer, name: &str, content: impl AsRef<[u8]>) {
    fs::create_dir_all(peer.keys().path("work")).unwrap();
    fs::write(peer.keys().path("work").join(name), content).unwrap();
}

fn read(peer: &Peer, name: &str) -> Vec<u8> {
    fs::read(peer.keys().path("work").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn is_there(peer: &Peer, name: &str) -> bool {
    peer.keys().path("work").join(name).symlink_metadata().is_ok()
}

#[test]
fn files_are_put_and_got() {
    for peer in Peer::all() {
        let content: Vec<u8> = (0..20_000_003_u32).map(|number| (number % 251) as u8).collect();
        write(&peer, "local", &content);
        write(&peer, "with space", "spaced");
        write(&peer, "empty", "");
        let lines = "put local remote\nget remote back\nput \"with space\" 'spaced out'\nget spaced\\ out back2\n\
                     put empty empty2\nget empty2 empty3\n";
        let _ = batch(&peer, lines).with_code(0);
        assert!(
            read(&peer, "remote") == content && read(&peer, "back") == content,
            "{}",
            peer.name
        );
        assert_eq!(read(&peer, "back2"), b"spaced");
        assert_eq!(read(&peer, "empty3"), b"");
    }
}

#[test]
fn every_command_does_what_it_does_in_openssh_s() {
    for peer in Peer::all() {
        write(&peer, "one", "1");
        write(&peer, "other", "22");
        let lines = "mkdir folder\nrename one folder/one\nln -s one folder/soft\nln folder/one folder/hard\n\
                     symlink one folder/soft2\nchmod 640 folder/one\ncd folder\npwd\nlpwd\nls -1\nls -l one\nstat one\n\
                     rm soft2\nlmkdir local\nlcd local\nget hard\nlpwd\ncd ..\nmkdir gone\nrmdir gone\nls\nversion\nhelp\n\
                     !echo from the shell\nput hard fresh\nbye\nno such command\n";
        let finished = batch(&peer, lines).with_code(0);
        let said = finished.stdout_text();
        let work = peer.keys().path("work").canonicalize().unwrap();
        for expected in [
            &format!("Remote working directory: {}/folder\n", work.display()),
            &format!("Local working directory: {}\n", work.display()),
            &format!("Local working directory: {}/local\n", work.display()),
            "hard\none\nsoft\nsoft2\n",
            "-rw-r-----",
            "SFTP protocol version 3",
            "from the shell\n",
        ] {
            assert!(said.contains(expected), "{}: {expected:?}: {finished}", peer.name);
        }
        assert_eq!(read(&peer, "folder/one"), b"1");
        assert_eq!(read(&peer, "local/hard"), b"1");
        assert_eq!(read(&peer, "fresh"), b"1");
        let soft = fs::read_link(peer.keys().path("work").join("folder/soft")).unwrap();
        assert_eq!(soft, Path::new("one"), "{}", peer.name);
        let found = fs::metadata(peer.keys().path("work").join("folder/one")).unwrap();
        assert_eq!(
            (found.permissions().mode() & 0o777, found.nlink()),
            (0o640, 2),
            "{}",
            peer.name
        );
        assert!(!is_there(&peer, "one") && !is_there(&peer, "gone") && !is_there(&peer, "folder/soft2"));
    }
}

#[test]
fn a_failing_command_ends_a_batch_unless_it_is_marked() {
    for peer in Peer::all() {
        for failing in [
            "get missing",
            "put missing",
            "rm missing",
            "rmdir missing",
            "cd missing",
            "lcd missing",
            "mkdir missing/folder",
            "rename missing other",
            "chmod 600 missing",
            "ls missing",
            "ls missing*",
            "stat missing",
            "ln -s x missing/link",
            "no such command",
            "!exit 1",
        ] {
            let after = failing.replace(['/', ' '], "_");
            let finished = batch(&peer, &format!("{failing}\nmkdir \"{after}\"\n")).with_code(1);
            assert!(!finished.stderr.is_empty(), "{}: {finished}", peer.name);
            assert!(
                !is_there(&peer, &after),
                "{}: it went on after {failing}",
                peer.name
            );
            if failing != "no such command" {
                let _ = batch(&peer, &format!("-{failing}\n-@{failing}\nmkdir \"{after}\"\n")).with_code(0);
                assert!(is_there(&peer, &after), "{}: it stopped at -{failing}", peer.name);
            }
        }
    }
}

#[test]
fn commands_are_shown_unless_silenced() {
    for peer in Peer::all() {
        let said = batch(&peer, "pwd\n@version\n# a comment\n\n")
            .with_code(0)
            .stdout_text();
        assert!(
            said.contains("sftp> pwd\n") && !said.contains("sftp> @version"),
            "{}: {said}",
            peer.name
        );
        assert!(said.contains("SFTP protocol version 3"), "{}: {said}", peer.name);
    }
}

#[test]
fn patterns_match_files_on_both_sides() {
    for peer in Peer::all() {
        for name in ["a1.txt", "a2.txt", ".hidden.txt", "b.bin", "star*.txt"] {
            write(&peer, name, name);
        }
        let lines = "mkdir up\nmkdir down\nput a?.txt up\nput \"star*.txt\" up\nls -1 up\nget up/*.txt down\nrm up/a*\n";
        let finished = batch(&peer, lines).with_code(0);
        for name in ["down/a1.txt", "down/a2.txt", "down/star*.txt", "up/star*.txt"] {
            assert!(is_there(&peer, name), "{}: {name}: {finished}", peer.name);
        }
        assert!(
            !is_there(&peer, "up/a1.txt") && !is_there(&peer, "down/.hidden.txt"),
            "{}",
            peer.name
        );
    }
}

#[test]
fn whole_folders_keep_their_shape_times_and_modes() {
    for peer in Peer::all() {
        fs::create_dir_all(peer.keys().path("work/tree/deep/deeper")).unwrap();
        for (name, mode) in [
            ("tree/top", 0o600),
            ("tree/deep/middle", 0o755),
            ("tree/deep/deeper/bottom", 0o444),
        ] {
            write(&peer, name, name);
            let path = peer.keys().path("work").join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let file = fs::File::open(&path).unwrap();
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567_890);
            file.set_times(fs::FileTimes::new().set_accessed(then).set_modified(then))
                .unwrap();
        }
        let finished = batch(&peer, "put -rp tree there\nget -rp there back\n").with_code(0);
        for folder in ["there", "back"] {
            for (name, mode) in [
                ("top", 0o600),
                ("deep/middle", 0o755),
                ("deep/deeper/bottom", 0o444),
            ] {
                let path = peer.keys().path("work").join(folder).join(name);
                let found = fs::metadata(&path)
                    .unwrap_or_else(|_| panic!("{}: {folder}/{name}: {finished}", peer.name));
                let expected = (mode, 1_234_567_890);
                assert_eq!(
                    (found.mode() & 0o777, found.mtime()),
                    expected,
                    "{}: {folder}/{name}",
                    peer.name
                );
            }
        }
        let plain = batch(&peer, "get tree nothing\n").with_code(1);
        assert!(
            plain.stderr_text().contains("tree"),
            "a folder without -r: {plain}"
        );
    }
}

#[test]
fn a_thousand_names_are_listed() {
    for peer in Peer::all() {
        fs::create_dir_all(peer.keys().path("work/many")).unwrap();
        let names: Vec<String> = (0..1000).map(|number| format!("name {number:04}")).collect();
        for name in &names {
            write(&peer, &format!("many/{name}"), "");
        }
        let said = batch(&peer, "@ls -1 many\n").with_code(0).stdout_text();
        assert_eq!(said.lines().collect::<Vec<_>>(), names, "{}", peer.name);
        let long = batch(&peer, "@ls -ln many\n").with_code(0).stdout_text();
        assert_eq!(
            long.lines().filter(|line| line.starts_with("-rw")).count(),
            1000,
            "{}",
            peer.name
        );
    }
}

#[test]
fn a_batch_stands_in_a_file_or_comes_through_a_pipe() {
    let peer = Peer::own();
    let file = peer.file("batch");
    fs::write(
        &file,
        format!(
            "mkdir {0}/made\nrmdir {0}/missing\nmkdir {0}/never\n",
            peer.file("work")
        ),
    )
    .unwrap();
    fs::create_dir(peer.keys().path("work")).unwrap();
    let _ = run(&mut peer.client("sftp", &["-b", &file])).with_code(1);
    assert!(is_there(&peer, "made") && !is_there(&peer, "never"));
    // Without -b nobody checks: what fails is told, and the next line is read.
    let lines = format!("rmdir {0}/missing\nmkdir {0}/next\n", peer.file("work"));
    let finished = run_with(&mut peer.client("sftp", &[]), lines).with_code(0);
    assert!(
        is_there(&peer, "next") && finished.stderr_text().contains("missing"),
        "{finished}"
    );
    let missing = run(&mut peer.client("sftp", &["-b", "/nowhere/batch"]));
    assert!(
        missing.code != Some(0) && missing.stderr_text().contains("/nowhere/batch"),
        "{missing}"
    );
}

#[test]
fn the_destination_may_name_a_folder_or_a_file() {
    for peer in Peer::all() {
        write(&peer, "file", "content");
        let work = peer.keys().path("work").canonicalize().unwrap();
        let at = format!("{}@127.0.0.1:{}", peers::user(), work.display());
        let port = peer.port().to_string();
        let mut line = peer.bare("sftp");
        let finished = run_with(line.args(["-P", &port, "-b", "-", &at]), "pwd\n").with_code(0);
        assert!(
            finished
                .stdout_text()
                .contains(&format!("directory: {}\n", work.display())),
            "{finished}"
        );
        let target = tempfile::tempdir().unwrap();
        let mut line = peer.bare("sftp");
        let _ = run(line
            .args(["-P", &port, &format!("{at}/file")])
            .current_dir(target.path()))
        .with_code(0);
        assert_eq!(
            fs::read(target.path().join("file")).unwrap(),
            b"content",
            "{}",
            peer.name
        );
    }
}
