//! `bowline ssh -W`: standard streams that lead to a place behind the server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use ssh_testkit::running::{free_port, run, run_with};

use crate::bowline::Peer;

/// Takes one connection on `listener`, reads it to its end and answers with how much that was.
fn count_once(accept: impl FnOnce() -> Box<dyn ReadWrite> + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = accept();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream
            .write_all(format!("{} bytes", all.len()).as_bytes())
            .unwrap();
    })
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn bytes_pass_both_ways_and_so_does_the_end() {
    for peer in Peer::all() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let counting = count_once(move || Box::new(listener.accept().unwrap().0));
        let mut line = peer.client("ssh", &["-W", &target]);
        let finished = run_with(&mut line, vec![7; 3_000_000]).with_code(0);
        counting.join().unwrap();
        assert_eq!(finished.stdout_text(), "3000000 bytes", "{}", peer.name);
        assert!(finished.stderr.is_empty(), "{}: {finished}", peer.name);
    }
}

#[test]
fn a_unix_socket_is_a_place_too() {
    // Our own server leads to no sockets of paths unless it is told to.
    for peer in Peer::all().into_iter().filter(|peer| peer.name != "bowline sshd") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let counting = count_once(move || Box::new(listener.accept().unwrap().0));
        let mut line = peer.client("ssh", &["-W", path.to_str().unwrap()]);
        let finished = run_with(&mut line, "twelve bytes").with_code(0);
        counting.join().unwrap();
        assert_eq!(finished.stdout_text(), "12 bytes", "{}", peer.name);
    }
}

#[test]
fn what_cannot_be_reached_is_told() {
    for peer in Peer::all() {
        let port = free_port().to_string();
        let finished = run(&mut peer.client("ssh", &["-W", &format!("127.0.0.1:{port}")])).with_code(255);
        let told = finished.stderr_text();
        assert!(
            told.contains(&port) && told.ends_with("stdio forwarding failed\n"),
            "{}: {finished}",
            peer.name
        );
    }
}
