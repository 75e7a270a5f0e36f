//! Examples of the server, visited by OpenSSH's client and by asyncssh.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ssh_testkit::openssh::{Keys, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, free_port, run, run_with};

use crate::examples::{self, Running};

/// An example of the server, and the keys to it.
struct Visit {
    port: u16,
    keys: Keys,
    program: Running,
}

impl Visit {
    /// Starts it with these words after the usual ones.
    fn start(name: &str, words: &[&str]) -> Self {
        let keys = Keys::make();
        let mut program = Running::start(
            examples::command(name)
                .arg("127.0.0.1:0")
                .args([keys.path("host"), keys.path("authorized_keys")])
                .args(words),
        );
        let port = program.says_port("listening on ");
        Self { port, keys, program }
    }

    /// OpenSSH's client on its way there as `user`; `options` come before the host.
    fn ssh(&self, user: &str, options: &[&str], words: &[&str]) -> Option<Command> {
        let mut command = Command::new(peers::need("ssh")?);
        command
            .args(client_arguments(&self.keys, self.port))
            .arg("-T")
            .args(options)
            .arg(format!("{user}@127.0.0.1"))
            .args(words)
            .env_remove("SSH_AUTH_SOCK");
        Some(command)
    }

    /// A visit of asyncssh, by a script that finds a connection in `conn`: its lines.
    fn asyncssh(&self, body: &str) -> Option<Finished> {
        let script = format!(
            "import asyncio, asyncssh, sys\nasync def main():\n    async with asyncssh.connect('127.0.0.1', {}, \
             username='guest', client_keys=[{:?}], known_hosts={:?}) as conn:\n{body}\nasyncio.run(main())\n",
            self.port,
            self.keys.path("user"),
            self.keys.known_hosts("known_hosts", self.port, "host"),
        );
        let mut command = Command::new(peers::need_python()?);
        Some(run(command.args(["-c", &script])))
    }
}

#[test]
fn simple_keyed_server() {
    let Some(ssh) = peers::need("ssh") else { return };
    let keys = Keys::make();
    let folder = keys.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::copy(keys.path("user.pub"), folder.join("alice")).unwrap();
    fs::copy(keys.path("stranger.pub"), folder.join("bob")).unwrap();
    // A file of somebody who is not listed.
    fs::copy(keys.path("user.pub"), folder.join("carol")).unwrap();
    let mut server = Running::start(
        examples::command("simple_keyed_server")
            .arg("127.0.0.1:0")
            .args([keys.path("host"), folder])
            .arg("alice,bob"),
    );
    let port = server.says_port("listening on ");
    let visit = |user: &str| {
        let host = format!("{user}@127.0.0.1");
        run(Command::new(&ssh)
            .args(client_arguments(&keys, port))
            .arg(host)
            .env_remove("SSH_AUTH_SOCK"))
    };
    assert_eq!(visit("alice").with_code(0).stdout_text(), "Welcome, alice!\n");
    for user in ["bob", "carol", "../folder/alice"] {
        let refused = visit(user).with_code(255);
        assert!(refused.stderr_text().contains("Permission denied"), "{refused}");
    }
}

#[test]
fn math_server() {
    let visit = Visit::start("math_server", &[]);
    let Some(mut ssh) = visit.ssh("guest", &[], &[]) else {
        return;
    };
    let ran = run_with(&mut ssh, "1\n2.5\n-0.25\n").with_code(0);
    assert_eq!(ran.stdout_text(), "total = 3.25\n");
    let ran = run_with(&mut ssh, "1\nmany\n2\n").with_code(1);
    assert_eq!(
        (ran.stdout_text().as_str(), ran.stderr_text().as_str()),
        ("total = 3\n", "no number: many\n")
    );
}

#[test]
fn show_environment() {
    let visit = Visit::start("show_environment", &[]);
    let options = [
        "-o",
        "SetEnv=BOWLINE_ONE=1 BOWLINE_TWO=two",
        "-o",
        "SendEnv=BOWLINE_SENT",
    ];
    let Some(mut ssh) = visit.ssh("guest", &options, &[]) else {
        return;
    };
    let ran = run(ssh.env("BOWLINE_SENT", "as it is")).with_code(0);
    let told = ran.stdout_text();
    for line in ["BOWLINE_ONE=1", "BOWLINE_TWO=two", "BOWLINE_SENT=as it is"] {
        assert!(told.lines().any(|told| told == line), "{ran}");
    }
}

#[test]
fn show_terminal() {
    let visit = Visit::start("show_terminal", &[]);
    let body = "        process = await conn.create_process(term_type='vt220', term_size=(100, 30))
        print(await process.stdout.readline(), end='')
        process.change_terminal_size(132, 43)
        print(await process.stdout.readline(), end='')
        process.change_terminal_size(80, 25)
        print(await process.stdout.readline(), end='')
        process.stdin.write('xq')
        print((await process.wait()).exit_status)
        process = await conn.create_process()
        print(await process.stdout.readline(), end='')";
    let Some(ran) = visit.asyncssh(body) else { return };
    let told = ran.with_code(0).stdout_text();
    let lines: Vec<&str> = told.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "vt220, 100 columns, 30 rows",
            "132 columns, 43 rows",
            "80 columns, 25 rows",
            "0",
            "no terminal"
        ]
    );
}

#[test]
fn local_forwarding_server() {
    let target = Visit::start("math_server", &[]);
    let (port, other) = (target.port.to_string(), (target.port ^ 1).to_string());
    let visit = Visit::start("local_forwarding_server", &[&port]);
    let through = |port: &str| visit.ssh("guest", &["-W", &format!("127.0.0.1:{port}")], &[]);
    let (Some(mut good), Some(mut bad)) = (through(&port), through(&other)) else {
        return;
    };
    // What listens there greets as SSH servers do.
    let mut greeted = Running::start(&mut good);
    greeted.says("SSH-2.0-");
    let refused = run(&mut bad).with_code(255);
    assert!(
        refused.stderr_text().contains("administratively prohibited"),
        "{refused}"
    );
}

#[test]
fn demo_server() {
    let mut visit = Visit::start("demo_server", &["secret"]);
    let Some(mut ssh) = visit.ssh("guest", &[], &[]) else {
        return;
    };
    let ran = run_with(&mut ssh, "Ann\n").with_code(0);
    let told = ran.stdout_text();
    assert!(
        told.starts_with("Welcome aboard!\r\nWhat is your name? "),
        "{ran}"
    );
    assert!(told.ends_with("A good journey, Ann.\r\n"), "{ran}");
    visit.program.says("the visitor has gone");
    visit.program.ends_well();
    // The other way in: OpenSSH's client asks a program for the password.
    let visit = Visit::start("demo_server", &["secret"]);
    let askpass = visit.keys.askpass("secret");
    fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).unwrap();
    let options = ["-o", "BatchMode=no", "-o", "PubkeyAuthentication=no"];
    let mut command = Command::new(peers::find("ssh").unwrap());
    command
        .args(options)
        .args(client_arguments(&visit.keys, visit.port));
    command.arg("guest@127.0.0.1").env("SSH_ASKPASS", askpass);
    command
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env_remove("SSH_AUTH_SOCK");
    let ran = run_with(&mut command, "Bob\n").with_code(0);
    assert!(ran.stdout_text().contains("journey, Bob."), "{ran}");
}

#[test]
fn api_server() {
    let mut visit = Visit::start("api_server", &[]);
    let (Some(mut upper), Some(mut lower)) = (
        visit.ssh("guest", &[], &["upper"]),
        visit.ssh("guest", &[], &["lower"]),
    ) else {
        return;
    };
    assert_eq!(
        run_with(&mut upper, "quiet words").with_code(0).stdout_text(),
        "QUIET WORDS"
    );
    visit.program.says("\"guest\" with SHA256:");
    let refused = run(lower.stdin(Stdio::null())).with_code(255);
    assert!(refused.stderr_text().contains("request failed"), "{refused}");
    visit.program.says("refused: Start");
}

#[test]
fn api_client() {
    // Its other side is `api_server`; OpenSSH's server serves it as well.
    let visit = Visit::start("api_server", &[]);
    let known_hosts = visit.keys.known_hosts("known_hosts", visit.port, "host");
    let mut command = examples::command("api_client");
    command.arg(format!("guest@127.0.0.1:{}", visit.port));
    command
        .args([visit.keys.path("user"), known_hosts])
        .args(["upper", "quiet words"]);
    check_api_client(&run(&mut command).with_code(0));
    for server in crate::visited::Visited::both() {
        let words = ["tr a-z A-Z", "quiet words"];
        check_api_client(&run(&mut server.client("api_client", &words)).with_code(0));
    }
}

fn check_api_client(ran: &Finished) {
    let told = ran.stdout_text();
    assert!(told.starts_with("kex: "), "{ran}");
    assert!(told.ends_with("output: QUIET WORDS\nexit status: 0\n"), "{ran}");
}

#[test]
fn every_server_says_how_it_is_started() {
    for name in ["math_server", "show_terminal", "demo_server"] {
        let ran = run(&mut examples::command(name)).with_code(1);
        assert!(
            ran.stderr_text().contains(&format!("usage: {name} address:port")),
            "{ran}"
        );
    }
}

#[test]
fn callback_math_server() {
    let visit = Visit::start("callback_math_server", &[]);
    let body = "        async def talk(*words, **options):
            process = await conn.create_process(**options)
            print(repr(await process.stdout.readline()))
            for word in words:
                word(process)
            print(repr(await process.stdout.read()), process.exit_status)
        say = lambda text: lambda process: process.stdin.write(text)
        end = lambda process: process.stdin.write_eof()
        await talk(say('1\\n2.5\\n'), end)
        process = await conn.create_process(term_type='vt100')
        print(repr(await process.stdout.readline()))
        # A break comes beside the input and may overtake it: the answer says that the input is there.
        process.stdin.write('1\\n2\\nmany\\n')
        await process.stderr.readline()
        process.send_break(300)
        print(repr(await process.stdout.read()), process.exit_status)
        await talk(say('7\\r8\\r\\x04'), term_type='vt100')
        process = await conn.create_process()
        await process.stdout.readline()
        process.stdin.write('100\\nmany\\n')
        print(repr(await process.stderr.readline()))
        process.send_signal('INT')
        print(repr(await process.stdout.readline()))
        process.stdin.write('5\\n')
        process.stdin.write_eof()
        print(repr(await process.stdout.read()))";
    let Some(ran) = visit.asyncssh(body) else { return };
    let told = ran.with_code(0).stdout_text();
    let greeting = "'numbers, one a line:\\r\\n'";
    let expected = [
        greeting,
        "'total = 3.5\\r\\n' 0",
        greeting,
        "'total = 3\\r\\n' 0",
        greeting,
        "'total = 15\\r\\n' 0",
        "'no number: many\\r\\n'",
        "'anew:\\r\\n'",
        "'total = 5\\r\\n'",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn redirect_server() {
    let visit = Visit::start("redirect_server", &[]);
    let Some(mut ssh) = visit.ssh("guest", &[], &[]) else {
        return;
    };
    let ran = run_with(&mut ssh, "6*7\n2^65\n").with_code(0);
    assert_eq!(ran.stdout_text(), "42\n36893488147419103232\n");
    // At a terminal, which shows what is typed.
    let mut ssh = visit.ssh("guest", &["-tt"], &[]).unwrap();
    let ran = run_with(&mut ssh, "6*7\nquit\n").with_code(0);
    assert!(ran.stdout_text().contains("6*7\r\n"), "{ran}");
    assert!(ran.stdout_text().contains("42\r\n"), "{ran}");
}

#[test]
fn chat_server() {
    let visit = Visit::start("chat_server", &[]);
    let come = |name: &str| Some(Running::start(&mut visit.ssh(name, &[], &[])?));
    let Some(mut ann) = come("ann") else { return };
    ann.says("* ann is here");
    let mut bob = come("bob").unwrap();
    bob.says("* bob is here");
    ann.says("* bob is here");
    ann.types("good day\n");
    bob.says("ann: good day");
    bob.types("\x1b[2Jand to you\n");
    assert_eq!(ann.says("bob: "), "[2Jand to you");
    bob.leaves();
    ann.says("* bob has left");
    // One that never reads: the talk goes on all the same.
    let Some(python) = peers::need_python() else {
        return;
    };
    let script = format!(
        "import asyncio, asyncssh\nasync def main():\n    conn = await asyncssh.connect('127.0.0.1', {}, \
         username='deaf', client_keys=[{:?}], known_hosts=None)\n    process = await conn.create_process(window=1000)\n    \
         process.channel.pause_reading()\n    print('here', flush=True)\n    await asyncio.sleep(1000)\nasyncio.run(main())\n",
        visit.port,
        visit.keys.path("user"),
    );
    let mut deaf = Running::start(Command::new(python).args(["-c", &script]));
    deaf.says("here");
    ann.says("* deaf is here");
    let line = "word ".repeat(150);
    for _ in 0..300 {
        ann.types(&format!("{line}\n"));
        ann.says("ann: word word");
    }
}

#[test]
fn simple_server() {
    let (Some(ssh), Some(python)) = (peers::need("ssh"), peers::need_python()) else {
        return;
    };
    let keys = Keys::make();
    // Another's hash: bcrypt of Python.
    let script = "import bcrypt; print('alice:' + bcrypt.hashpw(b'secret', bcrypt.gensalt(5)).decode())";
    let users = run(Command::new(python).args(["-c", script])).with_code(0).stdout;
    fs::write(keys.path("users"), users).unwrap();
    let mut server = Running::start(
        examples::command("simple_server")
            .arg("127.0.0.1:0")
            .args([keys.path("host"), keys.path("users")]),
    );
    let port = server.says_port("listening on ");
    let visit = |user: &str, password: &str| {
        let mut command = Command::new(&ssh);
        command.args(["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1"]);
        command.args(client_arguments(&keys, port)).arg("-T");
        command
            .arg(format!("{user}@127.0.0.1"))
            .env_remove("SSH_AUTH_SOCK");
        command.env("SSH_ASKPASS", keys.askpass(password));
        run(command.env("SSH_ASKPASS_REQUIRE", "force"))
    };
    assert_eq!(visit("guest", "").with_code(0).stdout_text(), "Welcome, guest!\n");
    assert_eq!(
        visit("alice", "secret").with_code(0).stdout_text(),
        "Welcome, alice!\n"
    );
    for (user, password) in [("alice", "Secret"), ("alice", ""), ("bob", "secret")] {
        let refused = visit(user, password).with_code(255);
        assert!(
            refused.stderr_text().contains("Permission denied"),
            "{user} {password}: {refused}"
        );
    }
}

#[test]
fn remote_forwarding_server() {
    let port = free_port();
    let visit = Visit::start("remote_forwarding_server", &[&port.to_string()]);
    let ask = |port: u16| {
        let forward = format!("{port}:127.0.0.1:{}", visit.port);
        visit.ssh(
            "guest",
            &["-N", "-v", "-o", "ExitOnForwardFailure=yes", "-R", &forward],
            &[],
        )
    };
    let (Some(mut good), Some(mut bad)) = (ask(port), ask(free_port())) else {
        return;
    };
    let refused = run(&mut bad).with_code(255);
    assert!(
        refused.stderr_text().contains("remote port forwarding failed"),
        "{refused}"
    );
    let _client = Running::start(good.stderr(Stdio::null()));
    // What comes to the port goes to the client, and from there to the server itself, which greets.
    let begin = Instant::now();
    let greeting = loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut greeting = [0; 8];
            stream.read_exact(&mut greeting).unwrap();
            break greeting;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "nobody listens on {port}"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(greeting, *b"SSH-2.0-");
}

#[test]
fn direct_server() {
    echoes("direct_server");
}

#[test]
fn stream_direct_server() {
    echoes("stream_direct_server");
}

fn echoes(name: &str) {
    let visit = Visit::start(name, &[]);
    let through = |place: &str| visit.ssh("guest", &["-W", place], &[]);
    // No such host is looked for: the application is the host.
    let (Some(mut good), Some(mut bad)) = (through("nowhere.invalid:7"), through("nowhere.invalid:8")) else {
        return;
    };
    let much = "much ".repeat(500_000);
    assert_eq!(
        run_with(&mut good, much.as_str()).with_code(0).stdout_text(),
        much
    );
    let refused = run(&mut bad).with_code(255);
    assert!(
        refused.stderr_text().contains("administratively prohibited"),
        "{refused}"
    );
}

#[test]
fn editor() {
    let visit = Visit::start("editor", &[]);
    // The name is typed with a mistake, which the arrow and Backspace mend; the key has no Return behind it.
    let body = "        process = await conn.create_process(term_type='xterm', term_size=(80, 24))
        async def sees(text):
            global seen
            while text not in seen:
                more = await process.stdout.read(1000)
                assert more, (text, seen)
                seen += more
            seen = seen[seen.index(text) + len(text):]
        for prompt, keys in [('name: ', 'alixe\\x1b[D\\x7fc\\r'), ('secret: ', 'hunter2\\r'), ('(y or n) ', 'y')]:
            await sees(prompt)
            process.stdin.write(keys)
            await sees({'name: ': 'hello alice', 'secret: ': '7 characters', '(y or n) ': 'another time'}[prompt])
        print((await process.wait()).exit_status)
        told = await conn.run('', input='bob\\nsecret\\n')
        print(told.exit_status, told.stdout.split('\\n'))
seen = ''";
    let Some(ran) = visit.asyncssh(body) else { return };
    let told = ran.with_code(0).stdout_text();
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("0"), "{told}");
    let plain = lines.next().unwrap_or_default();
    assert!(
        plain.starts_with("0 ") && plain.contains("hello bob") && plain.contains("6 characters"),
        "{told}"
    );
}
