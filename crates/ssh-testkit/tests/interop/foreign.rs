//! What the tests with other people's command line clients share.

use std::path::Path;
use std::process::{Command, Stdio};

use ssh_testkit::openssh::Keys;
use ssh_testkit::running::run_with;

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
