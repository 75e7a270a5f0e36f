//! What an `authorized_keys` file grants, line by line (`features.md` Z-01 to Z-03, B-06).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use ssh_keys::authorized_keys::{
    AuthorizedKeys, ExpiryTime, KeyOptions, MAX_ENVIRONMENT, MAX_FORWARD_TARGETS, TunnelDevice,
};
use ssh_keys::{KeyError, LineProblem, PublicKey};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

fn key(line: &str) -> PublicKey {
    PublicKey::from_openssh(line).unwrap().0
}

/// The options of a line with these before the key.
fn options(text: &str) -> KeyOptions {
    let file = AuthorizedKeys::parse(format!("{text} {KEY} comment here"));
    assert_eq!(file.bad_lines(), [], "{text}");
    let [entry] = file.entries() else {
        panic!("one entry")
    };
    assert_eq!(
        (&entry.key, entry.comment.as_str()),
        (&key(KEY), "comment here"),
        "{text}"
    );
    entry.options.clone()
}

/// Why a line with these options before the key grants nothing.
fn refusal(text: &str) -> LineProblem {
    let file = AuthorizedKeys::parse(format!("{text} {KEY}"));
    assert!(file.find(&key(KEY)).is_none(), "{text} grants something");
    let [bad] = file.bad_lines() else {
        panic!("{text}: one bad line")
    };
    bad.problem.clone()
}

#[test]
fn keys_with_and_without_options() {
    let file = AuthorizedKeys::parse(format!("# keys\n\n  {KEY}\r\n\tno-pty\t{OTHER}\tx\n"));
    assert_eq!(file.bad_lines(), []);
    assert_eq!(file.find(&key(KEY)).map(|entry| entry.line), Some(3));
    assert_eq!(file.find(&key(KEY)).unwrap().options, KeyOptions::default());
    assert!(file.find(&key(OTHER)).unwrap().options.no_pty);
    assert!(AuthorizedKeys::parse("").find(&key(KEY)).is_none());
}

#[test]
fn flags_add_up_in_their_order() {
    let nothing = KeyOptions {
        no_pty: true,
        no_port_forwarding: true,
        no_agent_forwarding: true,
        no_x11_forwarding: true,
        no_user_rc: true,
        ..KeyOptions::default()
    };
    let default = KeyOptions::default();
    for (text, expected) in [
        (
            "no-pty",
            KeyOptions {
                no_pty: true,
                ..default.clone()
            },
        ),
        (
            "NO-PTY,No-X11-Forwarding",
            KeyOptions {
                no_pty: true,
                no_x11_forwarding: true,
                ..default.clone()
            },
        ),
        ("no-pty,pty", default.clone()),
        ("restrict", nothing.clone()),
        (
            "Restrict,pty,Agent-Forwarding",
            KeyOptions {
                no_pty: false,
                no_agent_forwarding: false,
                ..nothing.clone()
            },
        ),
        (
            "restrict,port-forwarding",
            KeyOptions {
                no_port_forwarding: false,
                ..nothing.clone()
            },
        ),
        (
            "restrict,x11-forwarding,user-rc",
            KeyOptions {
                no_x11_forwarding: false,
                no_user_rc: false,
                ..nothing.clone()
            },
        ),
        // What comes before `restrict` is restricted by it.
        ("pty,restrict", nothing),
        (
            "no-touch-required",
            KeyOptions {
                no_touch_required: true,
                ..default.clone()
            },
        ),
        (
            "verify-required",
            KeyOptions {
                verify_required: true,
                ..default.clone()
            },
        ),
        (
            "cert-authority",
            KeyOptions {
                cert_authority: true,
                ..default
            },
        ),
    ] {
        assert_eq!(options(text), expected, "{text}");
    }
}

#[test]
fn values_are_quoted() {
    for (text, command) in [
        (r#"command="ls -l""#, &b"ls -l"[..]),
        (r#"Command="echo \"a, b\" \n""#, br#"echo "a, b" \n"#),
        (r#"no-pty,command="a # b","#.trim_end_matches(','), b"a # b"),
        (r#"command="""#, b""),
        (r#"command="\\"","#.trim_end_matches(','), br#"\""#),
    ] {
        assert_eq!(options(text).command.as_deref(), Some(command), "{text}");
    }
    let both = options(r#"environment="A=1",environment="B_2=x=y",ENVIRONMENT="A=2",environment="C=""#);
    let expected: [(&str, &[u8]); 3] = [("A", b"1"), ("B_2", b"x=y"), ("C", b"")];
    assert_eq!(
        both.environment,
        expected.map(|(name, value)| (name.to_owned(), value.to_vec()))
    );
    assert_eq!(
        options(r#"cert-authority,principals="a,b""#).principals,
        ["a", "b"]
    );
    assert_eq!(options(r#"tunnel="3""#).tunnel, Some(TunnelDevice::Number(3)));
    assert_eq!(options(r#"tunnel="any""#).tunnel, Some(TunnelDevice::Any));
}

#[test]
fn what_is_not_understood_grants_nothing() {
    let unknown = |name: &str| LineProblem::UnknownOption(name.to_owned());
    let bad = |option: &str, problem| LineProblem::BadOption {
        option: option.to_owned(),
        problem,
    };
    for (text, expected) in [
        ("no-such-option", unknown("no-such-option")),
        ("restrict,no-such-option", unknown("no-such-option")),
        (r#"zos-key-ring-label="x""#, unknown("zos-key-ring-label")),
        ("command", unknown("command")),
        (r#"no-pty="yes""#, unknown("no-pty")),
        ("no-restrict", unknown("no-restrict")),
        ("no-cert-authority", unknown("no-cert-authority")),
        ("command=ls", bad("command", "has no quoted value")),
        (r#"command="ls"#, bad("command", "has no closing quote")),
        (r#"command="a",command="b""#, bad("command", "stands twice")),
        (r#"from="*",from="*""#, bad("from", "stands twice")),
        (
            r#"principals="a",principals="b""#,
            bad("principals", "stands twice"),
        ),
        (r#"principals="a,,b""#, bad("principals", "holds an empty name")),
        (r#"environment="A""#, bad("environment", "has no =")),
        (r#"environment="A B=1""#, bad("environment", "names no variable")),
        (r#"environment="=1""#, bad("environment", "names no variable")),
        (
            r#"from="192.0.2.1/24""#,
            bad("from", "holds a network with bits set behind its prefix"),
        ),
        (r#"expiry-time="tomorrow""#, bad("expiry-time", "is not a time")),
        (r#"permitopen="host""#, bad("permitopen", "has no port")),
        (r#"permitopen="host:0""#, bad("permitopen", "has no valid port")),
        (
            r#"permitopen="host:65536""#,
            bad("permitopen", "has no valid port"),
        ),
        (r#"permitopen=":22""#, bad("permitopen", "has no host")),
        (
            r#"permitopen="::1:22""#,
            bad("permitopen", "holds an IPv6 address without brackets"),
        ),
        (
            r#"permitopen="[::1:22""#,
            bad("permitopen", "has an open bracket"),
        ),
        (r#"tunnel="tun0""#, bad("tunnel", "is neither a number nor any")),
        ("no-pty,", LineProblem::BadOptions("ended by a comma")),
        (
            r#"command="ls"pty"#,
            LineProblem::BadOptions("not separated by commas"),
        ),
        ("no-pty, pty", LineProblem::BadOptions("ended by a comma")),
        (",no-pty", unknown("")),
        ("=", bad("", "has no quoted value")),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn too_many_of_an_option_refuse_the_line() {
    let repeated = |option: &str, times: usize| vec![option; times].join(",");
    let bad = |option: &str| LineProblem::BadOption {
        option: option.to_owned(),
        problem: "stands too often",
    };
    for (option, value, limit) in [
        ("permitopen", "h:1", MAX_FORWARD_TARGETS),
        ("permitlisten", "1", MAX_FORWARD_TARGETS),
    ] {
        let text = format!("{option}=\"{value}\"");
        options(&repeated(&text, limit));
        assert_eq!(refusal(&repeated(&text, limit + 1)), bad(option));
    }
    let environment = |count: usize| {
        let all: Vec<String> = (0..count)
            .map(|each| format!("environment=\"V{each}=1\""))
            .collect();
        all.join(",")
    };
    assert_eq!(
        options(&environment(MAX_ENVIRONMENT)).environment.len(),
        MAX_ENVIRONMENT
    );
    assert_eq!(refusal(&environment(MAX_ENVIRONMENT + 1)), bad("environment"));
}

#[test]
fn forwarding_goes_only_where_the_line_says() {
    let open = options(
        r#"permitopen="db.example.org:5432",permitopen="[::1]:80",permitopen="web:*",permitlisten="8080""#,
    );
    for (host, port, expected) in [
        ("db.example.org", 5432, true),
        ("db.example.org", 22, false),
        ("::1", 80, true),
        ("web", 1, true),
        ("evil", 5432, false),
    ] {
        assert_eq!(open.allows_open(host, port), expected, "{host}:{port}");
    }
    assert!(
        open.allows_listen("localhost", 8080)
            && open.allows_listen("", 8080)
            && !open.allows_listen("localhost", 80)
    );
    assert!(options(r#"permitopen="*:22""#).allows_open("anything", 22));
    assert!(
        KeyOptions::default().allows_open("anything", 1)
            && KeyOptions::default().allows_listen("anything", 1)
    );
    let restricted = options(r#"restrict,permitopen="a:1""#);
    assert!(!restricted.allows_open("a", 1));
    assert!(options(r#"restrict,permitopen="a:1",port-forwarding"#).allows_open("a", 1));
}

#[test]
fn addresses_and_expiry_are_asked_of_the_options() {
    let limited =
        options(r#"from="192.0.2.0/24,!192.0.2.7",expiry-time="20261120Z",expiry-time="20251120Z""#);
    assert!(limited.allows_address("192.0.2.1".parse().unwrap()));
    assert!(!limited.allows_address("192.0.2.7".parse().unwrap()));
    assert!(!limited.allows_address("2001:db8::1".parse().unwrap()));
    assert_eq!(
        limited.expiry_time,
        Some(ExpiryTime {
            unix_seconds: 1_763_596_800,
            utc: true
        })
    );
    assert!(limited.expired(1_763_596_801, 0) && !limited.expired(1_763_596_800, 0));
    assert!(KeyOptions::default().allows_address("192.0.2.7".parse().unwrap()));
    assert!(!KeyOptions::default().expired(i64::MAX, 0));
}

#[test]
fn a_later_line_with_the_key_can_be_found() {
    let file = AuthorizedKeys::parse(format!(
        "cert-authority {KEY}\nfrom=\"192.0.2.1\" {KEY}\n{OTHER}\n{KEY}"
    ));
    let lines: Vec<usize> = file.find_all(&key(KEY)).map(|entry| entry.line).collect();
    // The authority's own key does not log in.
    assert_eq!(lines, [2, 4]);
    assert_eq!(file.entries().len(), 4);
}

#[test]
fn bad_lines_are_kept_by_number_and_harm_nothing() {
    let text = format!(
        "ssh-dss AAAAB3NzaC1kc3M=\nssh-ed25519\nssh-ed25519 AAAA\nnonsense\n{KEY}\n\"\n=\"\n,\nno-pty\n{OTHER}\0"
    );
    let file = AuthorizedKeys::parse(text);
    let lines: Vec<usize> = file.bad_lines().iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 6, 7, 8, 9, 10]);
    assert_eq!(
        file.bad_lines()[0].problem,
        LineProblem::Key(KeyError::UnsupportedType("ssh-dss".to_owned()))
    );
    assert!(file.find(&key(KEY)).is_some() && file.find(&key(OTHER)).is_none());
}

#[test]
fn a_file_that_is_not_utf_8_is_read_where_text_does_not_matter() {
    let line = [b"command=\"\xff\" ", KEY.as_bytes(), b" caf\xe9"].concat();
    let file = AuthorizedKeys::parse(line);
    let [entry] = file.entries() else {
        panic!("one entry")
    };
    assert_eq!(
        (entry.options.command.as_deref(), entry.comment.as_str()),
        (Some(&b"\xff"[..]), "caf\u{fffd}")
    );
}

#[test]
fn truncated_and_changed_files_never_panic() {
    let text = format!(
        "restrict,command=\"a \\\"b\\\"\",from=\"192.0.2.0/24,!::1\",expiry-time=\"20261120Z\",permitopen=\"[::1]:80\" {KEY} c\n"
    );
    assert_eq!(AuthorizedKeys::parse(&text).entries().len(), 1);
    for at in 0..text.len() {
        assert_eq!(
            AuthorizedKeys::parse(&text[..at])
                .find(&key(OTHER))
                .map(|entry| entry.line),
            None
        );
        for change in [0x01, 0x15, 0x80] {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= change;
            let file = AuthorizedKeys::parse(&changed);
            // Whatever became of the line: if it still grants something, it grants it to nobody new.
            assert!(file.find(&key(OTHER)).is_none());
        }
    }
}
