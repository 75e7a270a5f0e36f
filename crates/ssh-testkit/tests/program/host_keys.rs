//! Servers with a host key of every type at once, each by itself and in a certificate: the program and OpenSSH's, in all
//! four pairs. What a bad certificate and a small key are refused with.

use std::fs;
use std::process::Command;

use ssh_testkit::openssh::{Keys, Server, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run};

use crate::bowline::{Sshd, bowline, usual_words};

/// A type of host key: its name here, the words that `ssh-keygen` makes it by, and what it is used with.
struct Kind {
    name: &'static str,
    words: &'static [&'static str],
    algorithms: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "ed25519",
        words: &["-t", "ed25519"],
        algorithms: &["ssh-ed25519"],
    },
    Kind {
        name: "ecdsa256",
        words: &["-t", "ecdsa", "-b", "256"],
        algorithms: &["ecdsa-sha2-nistp256"],
    },
    Kind {
        name: "ecdsa384",
        words: &["-t", "ecdsa", "-b", "384"],
        algorithms: &["ecdsa-sha2-nistp384"],
    },
    Kind {
        name: "ecdsa521",
        words: &["-t", "ecdsa", "-b", "521"],
        algorithms: &["ecdsa-sha2-nistp521"],
    },
    Kind {
        name: "rsa",
        words: &["-t", "rsa", "-b", "2048"],
        algorithms: &["rsa-sha2-512", "rsa-sha2-256"],
    },
];

/// The name of an algorithm for the certificates of its keys.
fn certified(algorithm: &str) -> String {
    format!("{algorithm}-cert-v01@openssh.com")
}

fn file(keys: &Keys, name: &str) -> String {
    keys.path(name).display().to_string()
}

/// Certifies a key with the authority `ca`, which is made when it is not there yet.
fn certify(keys: &Keys, name: &str, options: &[&str]) {
    if !keys.path("ca").exists() {
        keys.add("ca", &["-t", "ed25519"]);
    }
    keys.certify(name, "ca", options);
}

/// Keys of every kind with their certificates, and the lines of a server's configuration that name them all.
fn all_kinds() -> (Keys, String) {
    let keys = Keys::make();
    let mut lines = String::new();
    for kind in KINDS {
        keys.add(kind.name, kind.words);
        certify(&keys, kind.name, &["-h", "-n", "127.0.0.1"]);
        let path = file(&keys, kind.name);
        lines += &format!("HostKey {path}\nHostCertificate {path}-cert.pub\n");
    }
    (keys, lines)
}

/// A server of either make.
enum Host {
    OpenSsh(Server),
    Bowline(Sshd),
}

impl Host {
    /// `bowline sshd` with these lines in its configuration.
    fn bowline(keys: Keys, lines: &str) -> Self {
        let config = keys.path("bowline_config");
        fs::write(&config, lines).unwrap();
        let mut command = bowline(&["sshd", "-D", "-e", "-p", "0", "-f"]);
        // The usual words but the host key.
        command.arg(config).args(&usual_words(&keys)[2..]);
        Self::Bowline(Sshd::run(&mut command, keys))
    }

    /// OpenSSH's, if it is here.
    fn openssh(keys: Keys, lines: &str) -> Option<Self> {
        let sshd = peers::need("sshd")?;
        Some(Self::OpenSsh(Server::start_with(&sshd, keys, lines)))
    }

    fn keys(&self) -> &Keys {
        match self {
            Self::OpenSsh(server) => &server.keys,
            Self::Bowline(server) => &server.keys,
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::OpenSsh(server) => server.port,
            Self::Bowline(server) => server.port,
        }
    }

    /// The option for a known_hosts file with a line about this host for each mark (possibly none) and key.
    fn known(&self, name: &str, lines: &[(&str, &str)]) -> String {
        let port = self.port();
        let text: String = lines
            .iter()
            .map(|(mark, key)| (mark, self.keys().public(key)))
            .map(|(mark, key)| {
                format!("{mark} [127.0.0.1]:{port} {key}\n")
                    .trim_start()
                    .to_owned()
            })
            .collect();
        fs::write(self.keys().path(name), text).unwrap();
        format!("UserKnownHostsFile={}", file(self.keys(), name))
    }

    /// A client's run of `exit 7` with `options`.
    fn visit(&self, mut client: Command, options: &[&str]) -> Finished {
        client
            .args(options)
            .args(client_arguments(self.keys(), self.port()));
        client.env_remove("SSH_AUTH_SOCK");
        run(client.arg(format!("{}@127.0.0.1", peers::user())).arg("exit 7"))
    }
}

/// The clients that are here, and what each says with `-v` of the host key algorithm in use before its name.
fn clients() -> Vec<(Command, &'static str)> {
    let own = (bowline(&["ssh"]), "host key: ");
    let openssh = peers::need("ssh").map(|ssh| (Command::new(ssh), "host key algorithm: "));
    [own].into_iter().chain(openssh).collect()
}

/// The same command once more.
fn again(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => copy.env(name, value),
            None => copy.env_remove(name),
        };
    }
    copy
}

/// Checks that a client gets in by each algorithm, and that a choice of its own falls on what it can check.
fn every_key_is_chosen(host: &Host) {
    let plain: Vec<_> = KINDS.iter().map(|kind| ("", kind.name)).collect();
    let plain = host.known("known_keys", &plain);
    let authority = host.known("known_authority", &[("@cert-authority", "ca")]);
    for (client, before) in clients() {
        let chosen = |known: &str, options: &[&str]| {
            let options = [&["-v", "-o", known], options].concat();
            let told = host.visit(again(&client), &options).with_code(7).stderr_text();
            let line = told
                .lines()
                .find_map(|line| line.split_once(before))
                .expect(before);
            line.1.trim().to_owned()
        };
        for algorithm in KINDS.iter().flat_map(|kind| kind.algorithms) {
            let option = format!("HostKeyAlgorithms={algorithm}");
            assert_eq!(chosen(&plain, &["-o", &option]), *algorithm);
            let name = certified(algorithm);
            let option = format!("HostKeyAlgorithms={name}");
            assert_eq!(chosen(&authority, &["-o", &option]), name);
            // Nobody has to know the authority: the key in the certificate is known, too.
            assert_eq!(chosen(&plain, &["-o", &option]), name);
        }
        assert!(chosen(&authority, &[]).ends_with("-cert-v01@openssh.com"));
        for kind in KINDS {
            let known = host.known("known_one", &[("", kind.name)]);
            let found = chosen(&known, &[]);
            let plain = found.trim_end_matches("-cert-v01@openssh.com");
            assert!(kind.algorithms.contains(&plain), "{found}: {}", kind.name);
        }
    }
}

#[test]
fn clients_choose_among_the_host_keys_and_certificates_of_our_server() {
    let (keys, lines) = all_kinds();
    every_key_is_chosen(&Host::bowline(keys, &lines));
}

#[test]
fn clients_choose_among_the_host_keys_and_certificates_of_openssh() {
    let (keys, lines) = all_kinds();
    if let Some(host) = Host::openssh(keys, &lines) {
        every_key_is_chosen(&host);
    }
}

/// A certificate that is not good, and what is said of it.
struct Bad {
    options: &'static [&'static str],
    said: &'static str,
}

const BAD: &[Bad] = &[
    Bad {
        options: &["-h", "-n", "127.0.0.1", "-V", "20200101:20200102"],
        said: "was valid until",
    },
    Bad {
        options: &["-h", "-n", "127.0.0.1", "-V", "20990101:20990102"],
        said: "is valid only from",
    },
    Bad {
        options: &["-h", "-n", "other.example.org,127.0.0.2"],
        said: "is for other.example.org, 127.0.0.2, not for 127.0.0.1",
    },
    Bad {
        options: &["-h"],
        said: "names no host at all",
    },
    Bad {
        options: &["-n", "127.0.0.1"],
        said: "is for a user, not for a host",
    },
    Bad {
        options: &["-h", "-n", "127.0.0.1", "-O", "critical:house@example.org=1"],
        said: "the critical option house@example.org",
    },
];

/// OpenSSH's server with one host key and its certificate.
fn with_certificate(options: &[&str]) -> Option<Host> {
    let keys = Keys::make();
    certify(&keys, "host", options);
    let lines = format!("HostCertificate {}", file(&keys, "host-cert.pub"));
    Host::openssh(keys, &lines)
}

/// Checks that our client refused the host, by its address, in this step, for this reason.
fn assert_refused(host: &Host, options: &[&str], words: &[&str]) {
    let finished = host.visit(bowline(&["ssh"]), options).with_code(255);
    let told = finished.stderr_text();
    let place = format!("127.0.0.1:{}: host key verification failed: ", host.port());
    for word in [&[place.as_str()], words].concat() {
        assert!(told.contains(word), "{word:?} is not said: {finished}");
    }
}

#[test]
fn a_bad_certificate_of_a_known_authority_is_refused_with_what_is_wrong() {
    for bad in BAD {
        let Some(host) = with_certificate(bad.options) else {
            return;
        };
        let authority = host.known("known_authority", &[("@cert-authority", "ca")]);
        let asked = ["-o", &authority, "-o", "StrictHostKeyChecking=accept-new"];
        for options in [&asked[..2], &asked] {
            assert_refused(&host, options, &[bad.said, "line 1 of", "known_authority"]);
        }
        // As with OpenSSH, the key by itself is then looked for: who knows it gets in.
        let both = host.known("known_both", &[("@cert-authority", "ca"), ("", "host")]);
        for (client, _) in clients() {
            let _in = host.visit(client, &["-o", &both]).with_code(7);
        }
    }
}

#[test]
fn an_authority_counts_as_the_files_say() {
    let Some(host) = with_certificate(&["-h", "-n", "127.0.0.1"]) else {
        return;
    };
    // Unknown: what is known of the key by itself counts.
    let stranger = host.known("known_stranger", &[("@cert-authority", "stranger")]);
    assert_refused(&host, &["-o", &stranger], &["is not known"]);
    let other = host.known("known_other", &[("@cert-authority", "stranger"), ("", "user")]);
    assert_refused(&host, &["-o", &other], &["line 2 of", "known_other"]);
    let plain = host.known("known_plain", &[("@cert-authority", "stranger"), ("", "host")]);
    for (client, _) in clients() {
        let _in = host.visit(client, &["-o", &plain]).with_code(7);
    }
    // Revoked: neither the authority's word nor the key's own line helps.
    for (name, lines, said) in [
        (
            "ca_revoked",
            &[("@cert-authority", "ca"), ("@revoked", "ca")],
            "the authority",
        ),
        (
            "ca_revoked_key_known",
            &[("", "host"), ("@revoked", "ca")],
            "the authority",
        ),
        (
            "key_revoked",
            &[("@cert-authority", "ca"), ("@revoked", "host")],
            "its key",
        ),
    ] {
        let known = host.known(name, lines);
        assert_refused(&host, &["-o", &known], &["is revoked by line 2 of", name, said]);
    }
}

#[test]
fn host_certificates_that_cannot_be_shown_stop_our_server() {
    let keys = Keys::make();
    certify(&keys, "user", &["-h", "-n", "127.0.0.1"]);
    certify(&keys, "host", &["-n", "127.0.0.1"]);
    for (name, said) in [
        (
            "user-cert.pub",
            "no host key is the one of the host certificate \"user\"",
        ),
        ("host-cert.pub", "is for a user, not for a host"),
        ("host.pub", "is not a type of certificate"),
        ("missing-cert.pub", "No such file"),
    ] {
        let option = format!("HostCertificate={}", file(&keys, name));
        let finished = run(bowline(&["sshd", "-t", "-o", &option]).args(usual_words(&keys))).with_code(255);
        assert!(
            finished.stderr_text().contains(said),
            "{said:?} is not said: {finished}"
        );
    }
    certify(&keys, "host", &["-h", "-n", "127.0.0.1"]);
    let option = format!("HostCertificate={}", file(&keys, "host-cert.pub"));
    let fine = run(bowline(&["sshd", "-t", "-o", &option]).args(usual_words(&keys))).with_code(0);
    assert!(fine.stderr.is_empty(), "{fine}");
}

/// Keys of which the one called `name` is an RSA key of 1024 bits.
fn with_small(name: &str) -> Keys {
    let keys = Keys::make();
    fs::remove_file(keys.path(name)).unwrap();
    keys.add(name, &["-t", "rsa", "-b", "1024"]);
    fs::copy(keys.path("user.pub"), keys.path("authorized_keys")).unwrap();
    keys
}

const SMALL: &str = "RequiredRSASize=1024";

#[test]
fn small_host_keys_are_refused_unless_requiredrsasize_says_otherwise() {
    // Our server does not start with one.
    let keys = with_small("host");
    for (options, code) in [
        (&[][..], 255),
        (&["-o", SMALL], 0),
        (&["-o", "RequiredRSASize=1025"], 255),
        (&["-o", "RequiredRSASize=many"], 255),
    ] {
        let line = [&["sshd", "-t"], options].concat();
        let finished = run(bowline(&line).args(usual_words(&keys))).with_code(code);
        let told = finished.stderr_text();
        let is_clear = told.contains("1024 bits") || told.contains("RequiredRSASize: \"many\"");
        assert_eq!(is_clear, code != 0, "{finished}");
    }
    // Our client does not believe one.
    let lines = format!("HostKey {}\nRequiredRSASize 1024\n", file(&keys, "host"));
    let own = Host::bowline(keys, &lines);
    let openssh = Host::openssh(with_small("host"), "RequiredRSASize 1024");
    for host in [Some(own), openssh].into_iter().flatten() {
        let _in = host.visit(bowline(&["ssh"]), &["-o", SMALL]).with_code(7);
        for options in [&[][..], &["-o", "RequiredRSASize=1025"]] {
            let refused = host.visit(bowline(&["ssh"]), options).with_code(255);
            let told = refused.stderr_text();
            let place = format!("127.0.0.1:{}: ", host.port());
            assert!(told.contains("1024 bits") && told.contains(&place), "{refused}");
        }
    }
}

#[test]
fn small_keys_of_users_are_refused_unless_requiredrsasize_says_otherwise() {
    let lines = |keys: &Keys, more: &str| format!("HostKey {}\n{more}", file(keys, "host"));
    let keys = with_small("user");
    let config = lines(&keys, "");
    let strict = Host::bowline(keys, &config);
    let keys = with_small("user");
    let config = lines(&keys, "RequiredRSASize 1024\n");
    let lax = Host::bowline(keys, &config);
    for (client, _) in clients() {
        let refused = strict.visit(again(&client), &["-o", SMALL]).with_code(255);
        assert!(refused.stderr_text().contains("ermission denied"), "{refused}");
        let _in = lax.visit(again(&client), &["-o", SMALL]).with_code(7);
    }
    // Our client does not even try one.
    let refused = lax.visit(bowline(&["ssh"]), &[]).with_code(255);
    assert!(refused.stderr_text().contains("1024 bits"), "{refused}");
}
