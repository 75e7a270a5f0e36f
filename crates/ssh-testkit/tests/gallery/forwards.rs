//! Examples of the client: forwards of every kind.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use ssh_testkit::openssh::Keys;
use ssh_testkit::running::{free_port, run};

use crate::examples::{self, Running};
use crate::visited::Visited;

/// A place behind the server: answers every line with the line in brackets. It ends with the tests.
fn behind() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut heard = String::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|count| count == 1) {
                    if byte == *b"\n" {
                        let answer = format!("[{}]\n", heard.trim_end());
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                        // The end of an HTTP request is the end of the answer.
                        if heard.trim_end().is_empty() {
                            return;
                        }
                        heard.clear();
                    } else {
                        heard.push(char::from(byte[0]));
                    }
                }
            });
        }
    });
    port
}

/// Says `line` to what listens on `port` and hears the answer up to the end.
fn talk(port: u16, line: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = String::new();
    // A connection that is refused may be reset at each of these steps.
    let _reset = stream
        .write_all(line.as_bytes())
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.read_to_string(&mut answer));
    answer
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn local_forwarding_client() {
    let behind = behind().to_string();
    for server in Visited::both() {
        let (listen, host) = (free_port(), "127.0.0.1");
        let words = [&listen.to_string(), host, &behind];
        let mut client = Running::start(&mut server.client("local_forwarding_client", &words));
        assert_eq!(client.says_port(""), listen);
        assert_eq!(talk(listen, "hello\n"), "[hello]\n", "{}", server.name);
        assert_eq!(talk(listen, "again\n"), "[again]\n", "{}", server.name);
    }
}

#[test]
fn local_forwarding_client2() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _gone = stream.write_all(b"good day\n");
        }
    });
    for server in Visited::both() {
        let ran = run(&mut server.client("local_forwarding_client2", &["127.0.0.1", &port])).with_code(0);
        assert!(ran.stdout_text().starts_with("listening on 127.0.0.1:"), "{ran}");
        assert!(ran.stdout_text().ends_with("127.0.0.1 says: good day\n"), "{ran}");
    }
}

#[test]
fn direct_client() {
    heads("direct_client");
}

#[test]
fn stream_direct_client() {
    heads("stream_direct_client");
}

fn heads(name: &str) {
    let port = behind().to_string();
    for server in Visited::both() {
        let ran = run(&mut server.client(name, &["127.0.0.1", &port])).with_code(0);
        assert_eq!(
            ran.stdout_text(),
            "[HEAD / HTTP/1.0]\n[Host: 127.0.0.1]\n[]\n",
            "{}",
            server.name
        );
        // Where nobody listens, the error names the place.
        let nobody = free_port().to_string();
        let ran = run(&mut server.client(name, &["127.0.0.1", &nobody])).with_code(1);
        assert!(ran.stderr_text().contains(&nobody), "{ran}");
    }
}

#[test]
fn forward() {
    let behind = behind().to_string();
    for server in Visited::both() {
        let mut client = Running::start(&mut server.client("forward", &["0", "127.0.0.1", &behind]));
        let port = client.says_port("listening on ");
        assert_eq!(talk(port, "hello\n"), "[hello]\n", "{}", server.name);
        client.says("127.0.0.1:");
    }
}

#[test]
fn remote_forwarding_client() {
    let behind = behind().to_string();
    for server in Visited::both() {
        let words = ["0", "127.0.0.1", &behind];
        let mut client = Running::start(&mut server.client("remote_forwarding_client", &words));
        let told = client.says("port ");
        let port = told.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(talk(port, "hello\n"), "[hello]\n", "{}", server.name);
    }
}

#[test]
fn remote_forwarding_client2() {
    let behind = behind().to_string();
    for server in Visited::both() {
        for (welcome, answer) in [("127.0.0.1", "[hello]\n"), ("192.0.2.1", "")] {
            let words = ["0", "127.0.0.1", &behind, welcome];
            let mut client = Running::start(&mut server.client("remote_forwarding_client2", &words));
            let port = client.says_port("listening on ");
            assert_eq!(talk(port, "hello\n"), answer, "{}: {welcome}", server.name);
            let expected = if answer.is_empty() { "refused" } else { "welcome" };
            assert_eq!(client.says("\"127.0.0.1\": "), expected);
        }
    }
}

#[test]
fn listening_client() {
    for server in Visited::both() {
        let mut client = Running::start(&mut server.client("listening_client", &["0"]));
        let port = client.says_port("listening on ");
        assert_eq!(talk(port, "hello\n"), "hello\n", "{}", server.name);
        client.says("\"127.0.0.1\" port ");
    }
}

#[test]
fn stream_listening_client() {
    for server in Visited::both() {
        let mut client = Running::start(&mut server.client("stream_listening_client", &["0"]));
        let port = client.says_port("listening on ");
        let much = "much ".repeat(200_000);
        assert_eq!(talk(port, &much), much, "{}", server.name);
    }
}

#[test]
fn rforward() {
    let behind = behind().to_string();
    for server in Visited::both() {
        let mut client = Running::start(&mut server.client("rforward", &["0", "127.0.0.1", &behind]));
        let port = client.says("listening on port ").parse().unwrap();
        assert_eq!(talk(port, "hello\n"), "[hello]\n", "{}", server.name);
        client.types("enough\n");
        assert_eq!(client.says("1 came, "), "0 of them in vain");
        assert!(!is_open(port), "{}", server.name);
        client.ends_well();
    }
}

#[test]
fn reverse_client_and_reverse_server() {
    let keys = Keys::make();
    let listening = [
        "alice@127.0.0.1:0".to_owned(),
        keys.path("user").display().to_string(),
        keys.path("known_hosts").display().to_string(),
        "laptop".to_owned(),
    ];
    std::fs::write(
        keys.path("known_hosts"),
        format!("laptop {}\n", keys.public("host")),
    )
    .unwrap();
    let commands = ["echo one", "echo two; sleep 1", "echo three >&2; echo 3"];
    let mut client = Running::start(examples::command("reverse_server").args(listening).args(commands));
    let port = client.says_port("listening on ");
    for (host_key, answer) in [("host", true), ("stranger", false)] {
        let mut server = Running::start(
            examples::command("reverse_client")
                .arg(format!("127.0.0.1:{port}"))
                .args([keys.path(host_key), keys.path("authorized_keys")]),
        );
        server.says("connected to 127.0.0.1:");
        if answer {
            let mut told: Vec<String> = (0..3).map(|_| client.says("echo ")).collect();
            told.sort();
            assert_eq!(told, ["one: one", "three >&2; echo 3: 3", "two; sleep 1: two"]);
            server.says("served");
            server.ends_well();
        } else {
            // A server that is not known by its key is told nothing.
            while !client.says("127.0.0.1:").contains("host key verification failed") {}
        }
    }
}
