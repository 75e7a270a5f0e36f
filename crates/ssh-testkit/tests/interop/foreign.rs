//! What the tests with other people's command line clients share.

use std::path::Path;
use std::process::{Command, Stdio};

use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use ssh_testkit::running::run_with;

use crate::openssh_server::public_key;

/// Bytes that go through a client: enough for many packets, little enough for a slow one.
const BYTES: usize = 20 << 20;

/// Feeds the client zeros and compares what the remote `sha256sum` says, and the exit status.
pub fn carries_bytes_and_status(mut client: Command, folder: &Path) {
    let expected = run_with(&mut Command::new("sha256sum"), vec![0; BYTES]).with_code(0);
    let found = run_with(
        client.arg("sha256sum; exit 7").env("HOME", folder),
        vec![0; BYTES],
    )
    .with_code(7);
    assert_eq!(found.stdout, expected.stdout);
}

/// Runs `tool`, which makes a key file from another, in the folder of the keys.
pub fn converted(tool: &Path, arguments: &[&str], keys: &Keys) {
    let status = Command::new(tool)
        .args(arguments)
        .current_dir(keys.folder())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{} {arguments:?}", tool.display());
}

/// Dropbear's client on its way to a server of ours with the user's key; it still wants user and command. `None`: it is not
/// here.
pub fn dbclient(keys: &Keys, port: u16) -> Option<Command> {
    let (dbclient, convert) = (peers::need("dbclient")?, peers::need("dropbearconvert")?);
    converted(&convert, &["openssh", "dropbear", "user", "user.db"], keys);
    let mut command = Command::new(dbclient);
    command.args(["-y", "-y", "-p", &port.to_string(), "-i"]);
    command.arg(keys.path("user.db")).env("HOME", keys.folder());
    Some(command)
}

/// The same of PuTTY's, which is to meet this host key.
pub fn plink(keys: &Keys, port: u16, host_key: &str) -> Option<Command> {
    let (plink, puttygen) = (peers::need("plink")?, peers::need("puttygen")?);
    converted(&puttygen, &["user", "-O", "private", "-o", "user.ppk"], keys);
    let mut command = Command::new(plink);
    command.args(["-batch", "-ssh", "-P", &port.to_string(), "-i"]);
    command.arg(keys.path("user.ppk")).env("HOME", keys.folder());
    command.args(["-hostkey", &public_key(keys, host_key).fingerprint().to_string()]);
    Some(command)
}
