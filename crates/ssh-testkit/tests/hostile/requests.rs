//! What a session is asked for before its program: variables that change which code runs (C10), and a display whose
//! cookie is a command (C11). Raw packets over TCP; what comes of it is what the program sees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ssh_client::keys::PublicKey;
use ssh_server::{
    AcceptEnvironment, Application, Candidate, Decision, Permissions, Programs, Services, Session,
};
use ssh_testkit::hostile::channels::{Line, request};

use super::policy::x11_request;
use super::visit::{Visit, account, is_the_key, strings};

/// A login server that accepts variables of these patterns.
struct Accepting(Services);

impl Accepting {
    fn patterns(patterns: &[&str]) -> Self {
        let services = Services::new()
            .programs(Programs::new(account()))
            .accept_environment(AcceptEnvironment::new(patterns.to_vec()));
        Self(services)
    }
}

impl Application for Accepting {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        Decision::accept_if(is_the_key(key), Permissions::default())
    }

    async fn session(&self, session: Session) {
        self.0.serve(session).await;
    }
}

/// What the server says and what shells add: no client may.
const THE_SERVERS: [&str; 12] = [
    "HOME",
    "SHELL",
    "USER",
    "LOGNAME",
    "PATH",
    "TZ",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
];

fn set(visit: &mut Visit, line: Line, name: &[u8], value: &[u8]) -> bool {
    visit.ask(line, "env", &strings(&[name, value]))
}

/// The variables of a session's program, as the kernel has them.
fn variables(visit: &mut Visit, line: Line) -> BTreeMap<Vec<u8>, Vec<u8>> {
    visit.exec(line, "exec cat /proc/self/environ");
    let told = visit.hear_all(line);
    let entries = told.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=').unwrap();
            (entry[..at].to_vec(), entry[at + 1..].to_vec())
        })
        .collect()
}

/// Names that lead to code, or that the server itself sets, in every list.
const NEVER: [&str; 18] = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "LD_",
    "PATH",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "BASH_FUNC_ls",
    "SHELLOPTS",
    "HOME",
    "USER",
    "LOGNAME",
    "SSH_ORIGINAL_COMMAND",
    "SSH_AUTH_SOCK",
    "SSH_CONNECTION",
    "PYTHONPATH",
];

#[test]
fn c10_only_names_that_are_listed_and_harmless_reach_the_program() {
    let mut visit = Visit::to(Accepting::patterns(&["*", "LD_*", "PATH", "IFS"]));
    let line = visit.session(1);
    for name in NEVER {
        assert!(!set(&mut visit, line, name.as_bytes(), b"/tmp/hostile"), "{name}");
    }
    let no_names: [&[u8]; 12] = [
        b"",
        b"=",
        b"=A",
        b"A=B",
        b"A=",
        b"A\0B",
        b"A\nLD_PRELOAD",
        b"A B",
        b"1A",
        b"A()",
        b"\xc3\x84",
        b"\xff\xfe",
    ];
    for name in no_names {
        assert!(!set(&mut visit, line, name, b"x"), "{name:?}");
    }
    for value in [&b"\0"[..], b"x\0", b"x\0LD_PRELOAD=/tmp/hostile"] {
        assert!(!set(&mut visit, line, b"NUL", value), "{value:?}");
    }
    // Fields that do not decode.
    let whole = strings(&[b"CUT", b"value"]);
    for cut in 0..whole.len() {
        assert!(!visit.ask(line, "env", &whole[..cut]), "cut to {cut} bytes");
    }
    let honest: [(&[u8], &[u8]); 5] = [
        (b"PLAIN", b"value"),
        (b"EMPTY", b""),
        // A newline is part of many honest values, and no second variable.
        (b"LINES_OF", b"one\nLD_PRELOAD=/tmp/hostile\nPATH=/tmp"),
        (b"BYTES", b"\xff\xfe=\x01"),
        (b"_", b"/tmp/hostile"),
    ];
    for (name, value) in honest {
        assert!(set(&mut visit, line, name, value), "{name:?}");
    }
    let found = variables(&mut visit, line);
    for (name, value) in &honest[..4] {
        assert_eq!(found.get(*name).map(Vec::as_slice), Some(*value), "{name:?}");
    }
    for (name, value) in &found {
        let name = String::from_utf8(name.clone()).unwrap();
        let is_honest = honest.iter().any(|(known, _)| known == &name.as_bytes());
        assert!(is_honest || THE_SERVERS.contains(&name.as_str()), "{name}");
        assert!(is_honest || !value.starts_with(b"/tmp/hostile"), "{name}");
    }
}

/// CVE-2014-2532: a pattern is the whole name, and what stands behind its star is part of it.
#[test]
fn c10_a_wildcard_lets_through_what_it_says() {
    let mut visit = Visit::to(Accepting::patterns(&["LC_*", "A?C*_X", "EXACT"]));
    let line = visit.session(1);
    for (name, granted) in [
        ("LC_ALL", true),
        ("LC_", true),
        ("ABC_X", true),
        ("ABC_D_X", true),
        ("EXACT", true),
        ("LC", false),
        ("XLC_ALL", false),
        ("lc_all", false),
        ("LC_*", false),
        ("AC_X", false),
        ("ABC_XY", false),
        ("EXACTLY", false),
        ("exact", false),
        ("LANG", false),
    ] {
        assert_eq!(set(&mut visit, line, name.as_bytes(), b"x"), granted, "{name}");
    }
    // The second wildcard of a pattern is no invitation to compute for ever.
    let long = [&b"A"[..], &b"BC_".repeat(20_000), b"Y"].concat();
    assert!(!set(&mut visit, line, &long, b"x"));
    let found = variables(&mut visit, line);
    let granted: Vec<&[u8]> = vec![b"ABC_D_X", b"ABC_X", b"EXACT", b"LC_", b"LC_ALL"];
    let own = found.keys().filter(|name| {
        let name = std::str::from_utf8(name).unwrap();
        !THE_SERVERS.contains(&name)
    });
    assert_eq!(own.map(Vec::as_slice).collect::<Vec<_>>(), granted);
}

#[test]
fn c10_a_session_holds_so_many_variables_and_so_many_bytes() {
    let mut visit = Visit::to(Accepting::patterns(&["V*"]));
    let line = visit.session(1);
    let mut taken = 0;
    for number in 0..300 {
        taken += usize::from(set(&mut visit, line, format!("V{number}").as_bytes(), b"x"));
    }
    assert_eq!(taken, 128);
    let found = variables(&mut visit, line);
    assert_eq!(found.keys().filter(|name| name.starts_with(b"V")).count(), 128);
    // 32 KiB of names and values, and not a byte more; the same one said again counts again.
    let line = visit.session(2);
    let value = vec![b'x'; 8 * 1024 - 2];
    for name in [b"V1", b"V1", b"V2", b"V3"] {
        assert!(set(&mut visit, line, name, &value), "{name:?}");
    }
    for name in [&b"V4"[..], b"V5", b"V1", b"V"] {
        assert!(!set(&mut visit, line, name, b""), "{name:?}");
    }
    assert!(!set(&mut visit, line, b"V6", &vec![b'x'; 200_000]));
    let found = variables(&mut visit, line);
    let held: usize = found
        .iter()
        .filter(|(name, _)| name.starts_with(b"V"))
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert_eq!(held, 3 * 8 * 1024);
    // Once there is a program there is no more to set.
    let line = visit.session(3);
    visit.exec(line, "cat");
    assert!(!set(&mut visit, line, b"V1", b"x"));
}

const REQUESTS: usize = 100_000;

/// 100,000 requests with 300 bytes each: 30 MB that would show if they were kept.
#[test]
fn c10_a_flood_of_variables_is_refused_and_nothing_of_it_is_kept() {
    let mut visit = Visit::to_program(&["AcceptEnv=*"], |_| {});
    let line = visit.session(1);
    // The program's own process tells its parent, which is the server.
    let other = visit.session(2);
    visit.exec(other, "echo $PPID; cat");
    let server: u32 = visit.hear_line(other).parse().unwrap();
    let before = resident_kib(server);
    let value = vec![b'x'; 300];
    let mut taken = 0;
    for batch in 0..REQUESTS / 1000 {
        for number in 0..1000 {
            let name = format!("V{batch}_{number}");
            let fields = strings(&[name.as_bytes(), &value]);
            visit
                .peer
                .wire
                .sealer
                .seal_payload(&request(line.theirs, "env", true, &fields));
        }
        let bytes = std::mem::take(visit.peer.wire.sealer.outbox());
        visit.peer.say_bytes(&bytes, &mut visit.target);
        taken += (0..1000).filter(|_| visit.answer(line)).count();
    }
    assert_eq!(taken, as_many_as_fit());
    let after = resident_kib(server);
    assert!(after < before + 8 * 1024, "{before} KiB became {after}");
    // It lives on, and so does the other session.
    visit.tell(other, b"still there\n");
    assert_eq!(visit.hear_line(other), "still there");
    let found = variables(&mut visit, line);
    assert_eq!(found.keys().filter(|name| name.starts_with(b"V")).count(), taken);
}

/// How many of them a session has room for.
fn as_many_as_fit() -> usize {
    let names = (0..REQUESTS).map(|number| format!("V{}_{}", number / 1000, number % 1000));
    let (mut count, mut bytes) = (0, 0);
    for name in names {
        if count < 128 && bytes + name.len() + 300 <= 32 * 1024 {
            count += 1;
            bytes += name.len() + 300;
        }
    }
    count
}

/// The memory that a process has in use.
fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// ---- C11 -------------------------------------------------------------------------------------------------------------

fn display(protocol: &[u8], cookie: &[u8]) -> Vec<u8> {
    [&[0][..], &strings(&[protocol, cookie]), &[0; 4]].concat()
}

/// What is in a folder and in the folders in it.
fn contents(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        }
        found.push(path);
    }
    found
}

const PROTOCOL: &[u8] = b"MIT-MAGIC-COOKIE-1";
const COOKIE: &[u8] = b"000102030405060708090a0b0c0d0e0f";

/// CVE-2016-3115: neither the name of the protocol nor the cookie says anything to a program, or to a file.
#[test]
fn c11_a_cookie_is_digits_and_no_command() {
    let temporary = tempfile::tempdir().unwrap();
    let mut visit = Visit::to_program(&["X11Forwarding=yes", "X11DisplayOffset=1800"], |command| {
        command.env("TMPDIR", temporary.path());
    });
    let line = visit.session(1);
    let protocols: [&[u8]; 16] = [
        b"",
        b"MIT-MAGIC-COOKIE-1\nadd :0 . 00",
        b"\nadd :0 . 00",
        b"MIT-MAGIC-COOKIE-1\r",
        b"MIT-MAGIC-COOKIE-1\0",
        b"MIT MAGIC",
        b"a;id",
        b"a/../b",
        b"$(id)",
        b"`id`",
        b"a_b",
        b"a.b",
        b"caf\xc3\xa9",
        b"\xff",
        &[b'x'; 65],
        &[b'x'; 200_000],
    ];
    let cookies: [&[u8]; 16] = [
        b"",
        b"00\nadd :0 . 00",
        b"\nadd :0 . 00",
        b"00\n",
        b"00\0",
        b"0",
        b"000",
        b"0g",
        b"0x00",
        b"-1",
        b"00 11",
        b" 00",
        b"$(id)",
        "\u{661}\u{661}".as_bytes(),
        &[b'0'; 258],
        &[b'0'; 200_000],
    ];
    let hostile = protocols.map(|protocol| display(protocol, COOKIE));
    for fields in hostile
        .into_iter()
        .chain(cookies.map(|cookie| display(PROTOCOL, cookie)))
    {
        assert!(
            !visit.ask(line, "x11-req", &fields),
            "{:?}",
            fields.escape_ascii().to_string()
        );
        assert_eq!(contents(temporary.path()), Vec::<std::path::PathBuf>::new());
    }
    // None of it has left a display behind; what is honest is granted on the same channel, once.
    assert!(visit.ask(line, "x11-req", &x11_request()));
    assert!(!visit.ask(line, "x11-req", &x11_request()));
    visit.exec(line, "echo $DISPLAY; echo $XAUTHORITY; cat");
    let mut told = visit.hear_line(line);
    if !told.contains('\n') {
        told = format!("{told}\n{}", visit.hear_line(line));
    }
    let (name, authority) = told.split_once('\n').unwrap();
    let number = name
        .strip_prefix("localhost:")
        .unwrap()
        .strip_suffix(".0")
        .unwrap();
    let authority = Path::new(authority);
    let folder = authority.parent().unwrap();
    assert_eq!(contents(temporary.path()), [authority, folder]);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(authority), mode(folder)), (0o600, 0o700));
    // One entry, as Xau has them: the family of this machine, its name, the display, the protocol, the bytes of the cookie.
    let host = fs::read("/proc/sys/kernel/hostname").unwrap();
    let mut expected = vec![1, 0];
    let cookie: Vec<u8> = (0..16).collect();
    for part in [host.trim_ascii_end(), number.as_bytes(), PROTOCOL, &cookie] {
        expected.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        expected.extend_from_slice(part);
    }
    assert_eq!(fs::read(authority).unwrap(), expected);
}
