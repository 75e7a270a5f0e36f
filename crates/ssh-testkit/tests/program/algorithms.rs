//! Algorithms by their names: what there is, what is chosen, what is refused, and what is said about it.

use std::fs;
use std::process::Command;

use ssh_client::kex::method;
use ssh_client::keys::algorithm;
use ssh_client::wire::{cipher, compression, mac};
use ssh_testkit::openssh::{Keys, Server, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run};

use crate::bowline::{Peer, Sshd, bowline, wait_until};
use crate::sshd_settings::ssh;

/// `bowline ssh` with `options` on its way into OpenSSH's server.
pub fn into(server: &Server, options: &[&str]) -> Command {
    let mut line = bowline(&["ssh"]);
    line.args(options)
        .args(client_arguments(&server.keys, server.port));
    line.arg(format!("{}@127.0.0.1", peers::user()));
    line
}

/// OpenSSH's server with `more` lines before its usual ones.
pub fn openssh(more: &str) -> Option<Server> {
    peers::need("sshd").map(|sshd| Server::start(&sshd, more))
}

fn assert_said(finished: &Finished, words: &[&str]) {
    let told = finished.stderr_text();
    for word in words {
        assert!(told.contains(word), "{word:?} is not said: {finished}");
    }
}

fn query(word: &str) -> Vec<String> {
    let finished = run(&mut bowline(&["ssh", "-Q", word])).with_code(0);
    assert!(finished.stderr.is_empty(), "{finished}");
    finished.stdout_text().lines().map(str::to_owned).collect()
}

#[test]
fn every_question_of_openssh_about_algorithms_is_answered_from_the_registries() {
    let ciphers: Vec<_> = cipher::ALL.iter().map(|each| each.name).collect();
    let macs: Vec<_> = mac::ALL.iter().map(|each| each.name).collect();
    let kex: Vec<_> = method::ALL.iter().map(|each| each.name).collect();
    let signatures: Vec<_> = algorithm::ALL.iter().map(|each| each.name).collect();
    let compressions: Vec<_> = compression::ALL.iter().map(|each| each.name).collect();
    for (words, expected) in [
        (&["cipher", "Ciphers", "ciphers"][..], ciphers),
        (&["mac", "MACs", "macs"], macs),
        (&["kex", "KexAlgorithms"], kex),
        (
            &["key-sig", "HostKeyAlgorithms", "PubkeyAcceptedAlgorithms"],
            signatures,
        ),
        (&["compression"], compressions),
        (&["protocol-version"], vec!["2"]),
    ] {
        for word in words {
            assert_eq!(query(word), expected, "{word}");
        }
    }
    let authenticated = query("cipher-auth");
    assert!(
        authenticated
            .iter()
            .all(|name| !cipher::find(name).unwrap().needs_mac())
    );
    assert!(authenticated.contains(&"aes128-gcm@openssh.com".to_owned()));
    let (plain, with_authority) = (query("key-plain"), query("key-cert"));
    assert_eq!(query("key").len(), plain.len() + with_authority.len());
    assert!(plain.contains(&"ssh-rsa".to_owned()) && !plain.contains(&"rsa-sha2-256".to_owned()));
    assert!(query("sig").contains(&"rsa-sha2-256".to_owned()));
    assert_eq!(query("key-ca-sign"), query("sig"));
    // What there is to ask is told, and OpenSSH's own list is in it.
    let known = query("help");
    for word in [
        "cipher",
        "cipher-auth",
        "compression",
        "kex",
        "key",
        "key-cert",
        "key-plain",
        "key-sig",
        "mac",
        "protocol-version",
        "sig",
    ] {
        assert!(known.contains(&word.to_owned()), "{word}: {known:?}");
    }
    for word in &known {
        query(word);
    }
}

#[test]
fn an_unknown_question_is_refused_with_the_nearest_that_is_known() {
    for (word, near) in [
        ("cyper", "cipher"),
        ("KexAlgoritms", "KexAlgorithms"),
        ("MACz", "MACs"),
    ] {
        let finished = run(&mut bowline(&["ssh", "-Q", word])).with_code(255);
        assert_said(&finished, &[&format!("\"{word}\""), near]);
        assert!(finished.stdout.is_empty(), "{finished}");
    }
    let finished = run(&mut bowline(&["ssh", "-Q", "nothing-like-it"])).with_code(255);
    assert_said(&finished, &["Unsupported query \"nothing-like-it\""]);
    let _ = run(&mut bowline(&["ssh", "-Q"])).with_code(255);
}

#[test]
fn every_name_that_is_told_can_be_asked_for() {
    let keys = Keys::make();
    let host = keys.path("host").display().to_string();
    for (option, question) in [
        ("Ciphers", "cipher"),
        ("MACs", "mac"),
        ("KexAlgorithms", "kex"),
        ("HostKeyAlgorithms", "key-sig"),
    ] {
        let setting = format!("{option}={}", query(question).join(","));
        let _ = run(&mut bowline(&["sshd", "-t", "-h", &host, "-o", &setting])).with_code(0);
    }
}

#[test]
fn lists_are_edited_as_openssh_edits_them() {
    let Some(server) = openssh("") else { return };
    for (options, expected) in [
        (
            &["-c", "aes256-gcm@openssh.com,aes128-ctr"][..],
            "cipher: aes256-gcm@openssh.com MAC",
        ),
        (&["-c", "aes192-*"], "cipher: aes192-ctr"),
        (&["-c", "^aes192-ctr"], "cipher: aes192-ctr"),
        (&["-c", "+3des-cbc"], "cipher: aes128-gcm@openssh.com"),
        (&["-c", "-aes*-gcm*,chacha20*"], "cipher: aes128-ctr"),
        (
            &["-o", "Ciphers=aes128-ctr", "-c", "aes256-ctr"],
            "cipher: aes128-ctr",
        ),
        (
            &["-c", "aes128-ctr", "-m", "^umac-64@openssh.com"],
            "MAC: umac-64@openssh.com",
        ),
        (
            &["-c", "aes128-ctr", "-o", "MACs=-hmac-sha2-*"],
            "MAC: umac-128-etm@openssh.com",
        ),
        (&["-c", "aes128-ctr", "-o", "MACs=*sha1"], "MAC: hmac-sha1 "),
        (
            &["-o", "KexAlgorithms=ecdh-sha2-nistp38?"],
            "kex: ecdh-sha2-nistp384,",
        ),
        (
            &["-o", "KexAlgorithms=^curve25519-sha256"],
            "kex: curve25519-sha256,",
        ),
        (&["-o", "HostKeyAlgorithms=^ssh-ed25519"], "host key: ssh-ed25519"),
        (
            &["-o", "HostKeyAlgorithms=-ecdsa-*,*rsa*"],
            "host key: ssh-ed25519",
        ),
    ] {
        let finished = run(into(&server, &[&["-v"], options].concat()).arg("true")).with_code(0);
        assert_said(&finished, &[expected]);
        // The same from a configuration file.
        if let [.., option, setting] = options
            && *option == "-o"
        {
            let file = server.keys.path("config");
            let (keyword, value) = setting.split_once('=').unwrap();
            let more = if options.len() > 2 {
                "Ciphers aes128-ctr\n"
            } else {
                ""
            };
            fs::write(&file, format!("{more}{keyword} {value}\n")).unwrap();
            let mut line = bowline(&["ssh", "-v", "-F", &file.display().to_string()]);
            line.args(client_arguments(&server.keys, server.port).into_iter().skip(2));
            let finished = run(line.args([&format!("{}@127.0.0.1", peers::user()), "true"])).with_code(0);
            assert_said(&finished, &[expected]);
        }
    }
}

#[test]
fn an_unknown_name_is_refused_by_name_with_a_suggestion() {
    let keys = Keys::make();
    let host = keys.path("host").display().to_string();
    let file = keys.path("config").display().to_string();
    for (keyword, wrong, near) in [
        ("Ciphers", "aes128-gmc@openssh.com", "aes128-gcm@openssh.com"),
        ("Ciphers", "+aes128-cbc,3des-cbd", "3des-cbc"),
        ("MACs", "^hmac-sha2-265", "hmac-sha2-256"),
        ("KexAlgorithms", "curve25519-sha257", "curve25519-sha256"),
        ("HostKeyAlgorithms", "ssh-ed2551", "ssh-ed25519"),
    ] {
        let name = wrong.rsplit(['+', '^', ',']).next().unwrap();
        let setting = format!("{keyword}={wrong}");
        fs::write(&file, format!("{keyword} {wrong}\n")).unwrap();
        for words in [
            &["ssh", "-o", &setting, "127.0.0.1", "true"][..],
            &["ssh", "-F", &file, "127.0.0.1", "true"],
            &["sftp", "-o", &setting, "127.0.0.1"],
            &["sshd", "-t", "-h", &host, "-o", &setting],
            &["sshd", "-t", "-h", &host, "-f", &file],
        ] {
            // sftp(1) ends with 1 where its command line is wrong.
            let code = if words.contains(&"sftp") { 1 } else { 255 };
            let finished = run(&mut bowline(words)).with_code(code);
            let place = if words.contains(&file.as_str()) {
                "config line 1"
            } else {
                "command-line"
            };
            assert_said(
                &finished,
                &[place, keyword, &format!("`{name}`"), &format!("`{near}`")],
            );
        }
    }
    for (flag, wrong, near) in [("-c", "3des-cb", "3des-cbc"), ("-m", "hmac-md6", "hmac-md5")] {
        let finished = run(&mut bowline(&["ssh", flag, wrong, "127.0.0.1", "true"])).with_code(255);
        assert_said(&finished, &[&format!("`{wrong}`"), &format!("`{near}`")]);
    }
}

#[test]
fn legacy_algorithms_are_used_with_openssh_s_server_where_they_are_named() {
    let Some(server) = openssh("Ciphers aes128-cbc,3des-cbc\nMACs hmac-md5-96,hmac-sha1-96") else {
        return;
    };
    let refused = run(into(&server, &[]).arg("true")).with_code(255);
    assert_said(
        &refused,
        &["no cipher (client to server) in common", "aes128-cbc,3des-cbc"],
    );
    let file = server.keys.path("config").display().to_string();
    fs::write(&file, "Ciphers +3des-cbc\nMACs ^hmac-sha1-96\n").unwrap();
    for (options, cipher, mac) in [
        (
            &["-c", "aes128-cbc", "-m", "hmac-md5-96"][..],
            "aes128-cbc",
            "hmac-md5-96",
        ),
        (
            &["-c", "+3des-cbc", "-m", "+hmac-sha1-96"],
            "3des-cbc",
            "hmac-sha1-96",
        ),
        (
            &["-o", "Ciphers=^3des-cbc", "-o", "MACs=hmac-md5-96"],
            "3des-cbc",
            "hmac-md5-96",
        ),
    ] {
        let finished = run(into(&server, &[&["-v"], options].concat()).arg("echo in")).with_code(0);
        assert_eq!(finished.stdout_text(), "in\n");
        assert_said(
            &finished,
            &[
                &format!("client->server cipher: {cipher} MAC: {mac} "),
                &format!("server->client cipher: {cipher} MAC: {mac} "),
            ],
        );
    }
    let mut line = bowline(&["ssh", "-v", "-F", &file]);
    line.args(client_arguments(&server.keys, server.port).into_iter().skip(2));
    let finished = run(line.args([&format!("{}@127.0.0.1", peers::user()), "true"])).with_code(0);
    assert_said(&finished, &["cipher: 3des-cbc MAC: hmac-sha1-96 "]);
}

#[test]
fn legacy_key_exchange_is_used_in_both_seats_where_it_is_named() {
    let oldest = "diffie-hellman-group1-sha1";
    for name in [
        oldest,
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group-exchange-sha1",
    ] {
        let (only, also) = (format!("KexAlgorithms={name}"), format!("KexAlgorithms=+{name}"));
        let Some(server) = openssh(&format!("KexAlgorithms {name}")) else {
            return;
        };
        let refused = run(into(&server, &[]).arg("true")).with_code(255);
        assert_said(&refused, &["no key exchange method in common", name]);
        for option in [&only, &also] {
            let finished = run(into(&server, &["-v", "-o", option]).arg("true")).with_code(0);
            assert_said(&finished, &[&format!("kex: {name},"), "post-quantum: no"]);
        }
        let server = Sshd::start(&["-o", &also]);
        let Some(finished) = ssh(&server, &["-v", "-o", &only], "true") else {
            return;
        };
        assert_said(&finished.with_code(0), &[&format!("kex: algorithm: {name}")]);
    }
    let server = Sshd::start(&[]);
    let refused = ssh(&server, &["-o", &format!("KexAlgorithms={oldest}")], "true").unwrap();
    assert_said(
        &refused.with_code(255),
        &["no matching key exchange method found"],
    );
}

#[test]
fn a_legacy_host_key_algorithm_is_used_where_it_is_named() {
    let Some(sshd) = peers::need("sshd") else { return };
    let keys = Keys::of(&["-t", "rsa", "-b", "2048"]);
    let lines = "HostKeyAlgorithms ssh-rsa\nPubkeyAcceptedAlgorithms +ssh-rsa";
    let server = Server::start_with(&sshd, keys, lines);
    let refused = run(into(&server, &[]).arg("true")).with_code(255);
    assert_said(
        &refused,
        &["no host key algorithm in common", "the peer offers ssh-rsa"],
    );
    let finished = run(into(&server, &["-v", "-o", "HostKeyAlgorithms=+ssh-rsa"]).arg("true")).with_code(0);
    assert_said(&finished, &["host key: ssh-rsa"]);
}

#[test]
fn legacy_algorithms_are_used_with_openssh_s_client_where_the_server_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sshd_config").display().to_string();
    fs::write(&config, "Ciphers 3des-cbc\nMACs +hmac-md5-96\n").unwrap();
    for words in [
        &["-o", "Ciphers=3des-cbc", "-o", "MACs=hmac-md5-96"][..],
        &["-f", &config],
    ] {
        let server = Sshd::start(words);
        let Some(finished) = ssh(&server, &["-v", "-c", "3des-cbc", "-m", "hmac-md5-96"], "echo in") else {
            return;
        };
        let finished = finished.with_code(0);
        assert_eq!(finished.stdout_text(), "in\n");
        assert_said(
            &finished,
            &[
                "client->server cipher: 3des-cbc MAC: hmac-md5-96",
                "server->client cipher: 3des-cbc MAC: hmac-md5-96",
            ],
        );
        let refused = ssh(&server, &[], "true").unwrap().with_code(255);
        assert_said(&refused, &["no matching cipher found"]);
    }
    // Nobody gets them who did not ask: not from a server that names nothing.
    let server = Sshd::start(&[]);
    let refused = ssh(&server, &["-c", "3des-cbc"], "true").unwrap().with_code(255);
    assert_said(&refused, &["no matching cipher found"]);
}

#[test]
fn a_failed_negotiation_tells_what_it_was_about_and_both_lists() {
    for (line, options, words) in [
        (
            "KexAlgorithms ecdh-sha2-nistp521",
            &["-o", "KexAlgorithms=curve25519-sha256,ecdh-sha2-nistp256"][..],
            [
                "key exchange method",
                "curve25519-sha256,ecdh-sha2-nistp256",
                "ecdh-sha2-nistp521",
            ],
        ),
        (
            "Ciphers aes256-ctr,aes192-ctr",
            &["-c", "aes128-ctr,aes128-gcm@openssh.com"],
            [
                "cipher (client to server)",
                "aes128-ctr,aes128-gcm@openssh.com",
                "aes256-ctr,aes192-ctr",
            ],
        ),
        (
            "MACs umac-64@openssh.com,hmac-sha1",
            &["-c", "aes128-ctr", "-m", "hmac-sha2-256,hmac-sha2-512"],
            [
                "MAC (client to server)",
                "hmac-sha2-256,hmac-sha2-512",
                "umac-64@openssh.com,hmac-sha1",
            ],
        ),
        (
            "",
            &["-o", "HostKeyAlgorithms=ecdsa-sha2-nistp256,rsa-sha2-512"],
            [
                "host key algorithm",
                "ecdsa-sha2-nistp256,rsa-sha2-512",
                "ssh-ed25519",
            ],
        ),
    ] {
        let Some(server) = openssh(line) else { return };
        let finished = run(into(&server, options).arg("true")).with_code(255);
        let [what, ours, theirs] = words;
        let expected = format!("no {what} in common: we offer {ours}, the peer offers {theirs}");
        assert_said(&finished, &[&expected, &format!("127.0.0.1:{}", server.port)]);
    }
}

#[test]
fn loudly_asked_it_tells_who_answered_and_what_was_agreed_on() {
    for peer in Peer::all() {
        let options = [
            "-v",
            "-c",
            "aes256-ctr",
            "-m",
            "hmac-sha2-512-etm@openssh.com",
            "-C",
            "-o",
            "KexAlgorithms=sntrup761x25519-sha512@openssh.com",
        ];
        let finished = run(peer.client("ssh", &options).arg("true")).with_code(0);
        let software = if peer.name == "bowline sshd" {
            "SSH-2.0-Bowline_"
        } else {
            "SSH-2.0-OpenSSH_"
        };
        let direction = "cipher: aes256-ctr MAC: hmac-sha2-512-etm@openssh.com compression: zlib@openssh.com";
        assert_said(
            &finished,
            &[
                &format!("remote software: \"{software}"),
                "kex: sntrup761x25519-sha512@openssh.com, host key: ssh-ed25519",
                &format!("client->server {direction}"),
                &format!("server->client {direction}"),
                "post-quantum: yes",
            ],
        );
        // A cipher that authenticates has no MAC of its own; a stranger's key is told all of it, too.
        let refused = run(peer
            .client(
                "ssh",
                &[
                    "-v",
                    "-c",
                    "aes256-gcm@openssh.com",
                    "-o",
                    "PubkeyAuthentication=no",
                ],
            )
            .arg("true"))
        .with_code(255);
        assert_said(
            &refused,
            &[
                "cipher: aes256-gcm@openssh.com MAC: <implicit>",
                "ermission denied",
            ],
        );
    }
    let own = Peer::own();
    let finished = run(own.client("ssh", &["-v"]).arg("true")).with_code(0);
    assert_said(&finished, &["strict key exchange: yes"]);
}

#[test]
fn an_exchange_that_is_not_post_quantum_is_warned_about_unless_that_is_turned_off() {
    let Some(classical) = openssh("KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org") else {
        return;
    };
    let file = classical.keys.path("config").display().to_string();
    for (setting, is_warned) in [
        (None, true),
        (Some("yes"), true),
        (Some("no"), false),
        (Some("no-pq-kex"), false),
    ] {
        let option = setting.map(|value| format!("WarnWeakCrypto={value}"));
        let words = option
            .iter()
            .flat_map(|option| ["-o", option])
            .collect::<Vec<_>>();
        let by_option = run(into(&classical, &words).arg("echo in"));
        fs::write(&file, option.clone().unwrap_or_default()).unwrap();
        let mut line = bowline(&["ssh", "-F", &file]);
        line.args(
            client_arguments(&classical.keys, classical.port)
                .into_iter()
                .skip(2),
        );
        let by_file = run(line.args([&format!("{}@127.0.0.1", peers::user()), "echo in"]));
        for finished in [by_option, by_file] {
            let finished = finished.with_code(0);
            assert_eq!(finished.stdout_text(), "in\n");
            if is_warned {
                let place = format!("127.0.0.1:{}", classical.port);
                assert_said(
                    &finished,
                    &["WARNING", "curve25519-sha256", &place, "WarnWeakCrypto"],
                );
            } else {
                assert!(finished.stderr.is_empty(), "{setting:?}: {finished}");
            }
        }
    }
    for options in [&["-q"][..], &["-o", "LogLevel=ERROR"]] {
        let finished = run(into(&classical, options).arg("true")).with_code(0);
        assert!(finished.stderr.is_empty(), "{options:?}: {finished}");
    }
    let Some(hybrid) = openssh("KexAlgorithms sntrup761x25519-sha512@openssh.com") else {
        return;
    };
    let finished = run(into(&hybrid, &["-o", "WarnWeakCrypto=yes"]).arg("true")).with_code(0);
    assert!(finished.stderr.is_empty(), "{finished}");
    let wrong = run(&mut bowline(&["ssh", "-o", "WarnWeakCrypto=maybe", "127.0.0.1"])).with_code(255);
    assert_said(&wrong, &["WarnWeakCrypto", "maybe", "no-pq-kex"]);
}

#[test]
fn known_host_keys_come_first_unless_the_order_is_given() {
    let Some(sshd) = peers::need("sshd") else { return };
    let keys = Keys::make();
    let second = keys.path("second").display().to_string();
    let words = ["-q", "-t", "ecdsa", "-b", "256", "-N", "", "-f", &second];
    let made = Command::new(peers::need("ssh-keygen").unwrap())
        .args(words)
        .status();
    assert!(made.unwrap().success());
    let server = Server::start_with(&sshd, keys, &format!("HostKey {second}"));
    // Only the Ed25519 key is known.
    for (setting, is_known) in [
        ("+ssh-rsa", true),
        ("-ssh-rsa", true),
        ("^ecdsa-sha2-nistp256", false),
        ("ecdsa-sha2-nistp256,ssh-ed25519", false),
    ] {
        let option = format!("HostKeyAlgorithms={setting}");
        let finished = run(into(&server, &["-v", "-o", &option]).arg("true"));
        if is_known {
            assert_said(&finished.with_code(0), &["host key: ssh-ed25519"]);
        } else {
            let words = ["ecdsa-sha2-nistp256 SHA256:", "only keys of type ssh-ed25519"];
            assert_said(&finished.with_code(255), &words);
        }
    }
}

#[test]
fn our_server_tells_what_was_agreed_on_and_why_nothing_was() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let options = ["-o", "LogLevel=DEBUG", "-o", "Ciphers=aes256-ctr,aes128-ctr"];
    let server = Sshd::start_logging(&options, &log);
    let direction = "cipher: aes128-ctr MAC: umac-128-etm@openssh.com compression: zlib@openssh.com";
    let chosen = ["-C", "-c", "aes128-ctr", "-m", "umac-128-etm@openssh.com"];
    let Some(finished) = ssh(&server, &chosen, "true") else {
        return;
    };
    let _ = finished.with_code(0);
    let _ = ssh(&server, &["-c", "aes192-ctr"], "true")
        .unwrap()
        .with_code(255);
    let failure =
        "no cipher (client to server) in common: we offer aes256-ctr,aes128-ctr, the peer offers aes192-ctr";
    let told = || fs::read_to_string(&log).unwrap();
    wait_until("the failure is not told", || told().contains(failure));
    for words in [
        "remote software: \"SSH-2.0-OpenSSH_",
        "host key: ssh-ed25519",
        &format!("client->server {direction}"),
        &format!("server->client {direction}"),
        "strict=true",
    ] {
        assert!(told().contains(words), "{words}: {}", told());
    }
}
