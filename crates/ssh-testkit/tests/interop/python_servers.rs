//! Our client into asyncssh's server, which knows what this machine's OpenSSH may not: ML-KEM on its own curves, and every
//! group.

use std::path::Path;
use std::process::Command;

use ssh_client::kex::method;
use ssh_client::keys::{SignatureAlgorithm, algorithm};
use ssh_testkit::peers;
use ssh_testkit::running::{Running, free_port, wait_for_greeting};

use crate::table::{Offer, Theirs, every_name, host_key_files, keys_of_every_type};

#[test]
fn our_client_reaches_asyncssh_with_every_algorithm_it_knows() {
    let Some(python) = peers::need_python() else {
        return;
    };
    let keys = keys_of_every_type();
    let port = free_port();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/asyncssh_server.py"));
    command.arg(port.to_string()).arg(keys.path("authorized_keys"));
    command.arg(every_name());
    command.args(host_key_files().iter().map(|name| keys.path(name)));
    let mut server = Running::start(&mut command);
    wait_for_greeting(&mut server, port).unwrap();
    let offer = Offer::of_server(port);
    for method in method::ALL {
        // For NTRU Prime it needs a library of its own.
        let known = offer.kex.contains(method.name) || method.name.starts_with("sntrup761");
        assert!(known, "{method:?}: {offer:?}");
    }
    let theirs = Theirs {
        port,
        user: &peers::user(),
        keys: &keys,
        offer,
        ends_silently: false,
    };
    // Its connections share a key and the algorithm that one of them has chosen for it: with RSA, one at a time.
    let is_rsa = |algorithm: &SignatureAlgorithm| algorithm.plain().key_type == "ssh-rsa";
    theirs.try_rows(|row| !is_rsa(row.host_key));
    theirs.try_under_load();
    for algorithm in algorithm::ALL.iter().filter(|algorithm| is_rsa(algorithm)) {
        theirs.try_rows(|row| row.subject == algorithm.name);
    }
}
