//! The stage: keys and files in memory, servers started once, clients run and timed as whole processes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ssh_testkit::openssh::{Keys, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::{Running, free_port, wait_for_greeting};
use tempfile::TempDir;

use crate::roles::{Direction, Result, Work};
use crate::{Plan, application, memory};

/// The cipher for work that is not about ciphers.
pub(crate) const FAST_CIPHER: &str = "aes128-gcm@openssh.com";

/// Who a library's client logs in as: told by the parent through the environment where it matters.
pub(crate) struct Login {
    pub(crate) user: String,
    /// A key file; without one any key will do.
    pub(crate) key: Option<PathBuf>,
}

/// The file of the key that a library's server shows: the one this scene's clients know.
pub(crate) fn host_key_file() -> Result<PathBuf> {
    Ok(std::env::var_os(HOST_KEY).ok_or("no host key was named")?.into())
}

/// The file that a library's client moves over a long link, and what its copy is called: the same places on both sides.
pub(crate) struct Files {
    pub(crate) file: PathBuf,
    pub(crate) copy: PathBuf,
}

impl Files {
    fn of(folder: &Path) -> Self {
        Self {
            file: folder.join("long"),
            copy: folder.join("copy"),
        }
    }

    /// What the parent said.
    pub(crate) fn from_environment() -> Result<Self> {
        let folder = std::env::var_os(FOLDER).ok_or("no folder was named")?;
        Ok(Self::of(Path::new(&folder)))
    }
}

const FOLDER: &str = "PEERS_FOLDER";
const HOST_KEY: &str = "PEERS_HOST_KEY";
const LOGIN_USER: &str = "PEERS_LOGIN_USER";
const LOGIN_KEY: &str = "PEERS_LOGIN_KEY";

impl Login {
    /// What the parent said.
    pub(crate) fn from_environment() -> Self {
        Self {
            user: std::env::var(LOGIN_USER).unwrap_or_else(|_| "bench".to_owned()),
            key: std::env::var_os(LOGIN_KEY).map(PathBuf::from),
        }
    }
}

/// A child that says one line and goes on until its standard input closes.
struct Role {
    child: Child,
    said: String,
}

impl Role {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let said = line.trim().to_owned();
        Ok(Self { child, said })
    }

    fn port(&self) -> Result<u16> {
        let said = &self.said;
        said.parse().map_err(|_| format!("a server said {said:?}").into())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything the rows need.
pub(crate) struct Scene {
    keys: Keys,
    folder: TempDir,
    stream_bytes: u64,
    bowline: PathBuf,
    sshd: Option<PathBuf>,
    has_asyncssh: bool,
    libraries: RefCell<HashMap<[String; 3], Role>>,
    servers: RefCell<HashMap<String, (Running, u16)>>,
}

impl Scene {
    /// Makes keys and files (in memory where the system has a memory file system), and looks for the peers.
    pub(crate) fn set(plan: &Plan) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)?
        } else {
            tempfile::tempdir()?
        };
        fill(&folder.path().join("stream"), plan.stream_bytes)?;
        fill(&folder.path().join("file"), plan.file_bytes)?;
        fill(&folder.path().join("quarter"), plan.file_bytes / 4)?;
        fill(&folder.path().join("long"), plan.link_bytes)?;
        let sshd = peers::find("sshd").filter(|_| peers::find("ssh").is_some());
        if sshd.is_none() {
            println!("OpenSSH is not on this machine: its rows are left out.");
        }
        let has_asyncssh = peers::python().is_some();
        if !has_asyncssh {
            println!("asyncssh is not on this machine: it is left out.");
        }
        Ok(Self {
            has_asyncssh,
            keys: Keys::make(),
            folder,
            stream_bytes: plan.stream_bytes,
            bowline: bowline_program()?,
            sshd,
            libraries: RefCell::default(),
            servers: RefCell::default(),
        })
    }

    pub(crate) fn has_asyncssh(&self) -> bool {
        self.has_asyncssh
    }

    pub(crate) fn has_openssh(&self) -> bool {
        self.sshd.is_some()
    }

    /// The figure of `work` by a library's client against its own server.
    pub(crate) fn library(&self, library: &str, threads: u32, cipher: &str, work: Work) -> Result<f64> {
        let port = self.library_server(library, threads, cipher)?;
        figure(&mut Self::library_client(library, threads, cipher, port, work)?)
    }

    /// The same against a server program of whoever is named.
    pub(crate) fn library_against(
        &self,
        library: &str,
        server: &str,
        cipher: &str,
        work: Work,
    ) -> Result<f64> {
        let port = self.server(server)?;
        self.library_at(library, port, cipher, work)
    }

    /// The same against whatever lets this scene's user in at `port`.
    pub(crate) fn library_at(&self, library: &str, port: u16, cipher: &str, work: Work) -> Result<f64> {
        let mut command = Self::library_client(library, 1, cipher, port, work)?;
        command
            .env(LOGIN_USER, peers::user())
            .env(LOGIN_KEY, self.keys.path("user"))
            .env(FOLDER, self.folder.path());
        figure(&mut command)
    }

    /// How much memory a library's server, started for this, gains with each idle connection, in KiB.
    pub(crate) fn idle_memory(&self, library: &str, count: u64) -> Result<f64> {
        let server = Role::start(&mut self.server_command(library, 1, FAST_CIPHER)?)?;
        let port = server.port()?;
        let connections = |count| -> Result<Role> {
            let work = Work::Idle { count };
            let client = Role::start(&mut Self::library_client(library, 1, FAST_CIPHER, port, work)?)?;
            if client.said == "ready" {
                Ok(client)
            } else {
                Err(format!("the {library} client did not hold its connections").into())
            }
        };
        // The first connection brings the program's own pages in, which are nobody's but the program's.
        let _first = connections(1)?;
        let before = memory::proportional(server.child.id())?;
        let _others = connections(count)?;
        let after = memory::proportional(server.child.id())?;
        Ok(after.saturating_sub(before) as f64 / 1024.0 / count as f64)
    }

    /// The figure of `work`, and the most memory that client and server ever had, in MiB, both started for this.
    pub(crate) fn peak_memory(&self, library: &str, work: Work) -> Result<[f64; 3]> {
        let server = Role::start(&mut self.server_command(library, 1, FAST_CIPHER)?)?;
        let mut client = Self::library_client(library, 1, FAST_CIPHER, server.port()?, work)?;
        let (client, peak) = memory::run(&mut client)?;
        let figure = parse(&client)?;
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Ok([
            figure,
            mebibytes(peak),
            mebibytes(memory::peak(server.child.id())?),
        ])
    }

    /// How much memory a library's server has more, in KiB, after `work` done a second time.
    pub(crate) fn memory_left(&self, library: &str, work: Work) -> Result<f64> {
        let server = Role::start(&mut self.server_command(library, 1, FAST_CIPHER)?)?;
        let port = server.port()?;
        let run = || figure(&mut Self::library_client(library, 1, FAST_CIPHER, port, work)?);
        run()?;
        let before = memory::proportional(server.child.id())?;
        run()?;
        let after = memory::proportional(server.child.id())?;
        Ok((after as f64 - before as f64) / 1024.0)
    }

    /// The seconds that so many channels took asyncssh's client against its own server.
    pub(crate) fn asyncssh_channels(&self, count: u64) -> Result<f64> {
        let python = peers::python().ok_or("asyncssh is not here")?;
        let script = ["-c", include_str!("asyncssh_channels.py")];
        figure(Command::new(python).args(script).arg(count.to_string()))
    }

    pub(crate) fn library_server(&self, library: &str, threads: u32, cipher: &str) -> Result<u16> {
        let mut servers = self.libraries.borrow_mut();
        let at = [library, &threads.to_string(), cipher].map(str::to_owned);
        if let Some(server) = servers.get(&at) {
            return server.port();
        }
        let server = Role::start(&mut self.server_command(library, threads, cipher)?)?;
        servers.entry(at).or_insert(server).port()
    }

    fn server_command(&self, library: &str, threads: u32, cipher: &str) -> Result<Command> {
        let mut command = Self::library_command(library, "server", threads, cipher)?;
        command.env(HOST_KEY, self.keys.path("host"));
        Ok(command)
    }

    fn library_command(library: &str, seat: &str, threads: u32, last: &str) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["role", &threads.to_string(), &format!("{library}-{seat}"), last]);
        Ok(command)
    }

    fn library_client(library: &str, threads: u32, cipher: &str, port: u16, work: Work) -> Result<Command> {
        let mut command = Self::library_command(library, "client", threads, &port.to_string())?;
        command.arg(cipher).args(work.words());
        Ok(command)
    }

    /// The seconds a whole client program takes to move the stream through a whole server program.
    pub(crate) fn program_stream(
        &self,
        client: &str,
        server: &str,
        cipher: &str,
        direction: Direction,
    ) -> Result<f64> {
        let command = match direction {
            Direction::Up => "cat >/dev/null".to_owned(),
            Direction::Down => format!("head -c {} /dev/zero", self.stream_bytes),
        };
        self.program(client, self.server(server)?, cipher, direction, &command)
    }

    /// What whole programs send up.
    pub(crate) fn stream_file(&self) -> PathBuf {
        self.folder.path().join("stream")
    }

    /// The same with OpenSSH's client through a library's server.
    pub(crate) fn openssh_at_library(
        &self,
        library: &str,
        cipher: &str,
        direction: Direction,
    ) -> Result<f64> {
        let port = self.library_server(library, 1, cipher)?;
        let command = application::bulk(direction, self.stream_bytes);
        self.program("openssh", port, cipher, direction, &command)
    }

    fn program(
        &self,
        client: &str,
        port: u16,
        cipher: &str,
        direction: Direction,
        command: &str,
    ) -> Result<f64> {
        let mut program = self.client(client, "ssh", port);
        program.arg("-c").arg(cipher);
        // Without a named MAC the two programs would choose differently among theirs.
        program.args([
            "-o",
            "MACs=hmac-sha2-256-etm@openssh.com",
            "-T",
            "127.0.0.1",
            command,
        ]);
        program.stdin(match direction {
            Direction::Up => Stdio::from(File::open(self.stream_file())?),
            Direction::Down => Stdio::null(),
        });
        timed(program.stdout(File::create("/dev/null")?))
    }

    /// The seconds an `sftp` program takes for one file, connection included.
    pub(crate) fn sftp(&self, client: &str, server: &str, direction: Direction) -> Result<f64> {
        let port = self.server(server)?;
        self.sftp_at(client, port, direction, "file")
    }

    /// The same against whatever lets this scene's user in at `port`.
    pub(crate) fn sftp_at(&self, client: &str, port: u16, direction: Direction, file: &str) -> Result<f64> {
        let file = self.folder.path().join(file).display().to_string();
        let copy = self.folder.path().join("copy").display().to_string();
        let batch = self.folder.path().join("batch");
        let verb = if direction == Direction::Up { "put" } else { "get" };
        std::fs::write(&batch, format!("{verb} {file} {copy}\n"))?;
        let mut command = self.client(client, "sftp", port);
        command
            .args(["-c", FAST_CIPHER])
            .arg("-b")
            .arg(&batch)
            .arg("127.0.0.1")
            .stdout(Stdio::null());
        let seconds = timed(&mut command)?;
        std::fs::remove_file(&copy)?;
        Ok(seconds)
    }

    fn client(&self, who: &str, program: &str, port: u16) -> Command {
        let mut command = if who == "bowline" {
            let mut command = Command::new(&self.bowline);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(client_arguments(&self.keys, port))
            .stderr(Stdio::inherit());
        command
    }

    /// The port of a running server program.
    pub(crate) fn server(&self, who: &str) -> Result<u16> {
        let mut servers = self.servers.borrow_mut();
        if let Some((_, port)) = servers.get(who) {
            return Ok(*port);
        }
        let port = free_port();
        let _ = std::fs::create_dir_all("/run/sshd");
        let file = |name: &str| self.keys.path(name).display().to_string();
        let mut command = match (who, &self.sshd) {
            ("bowline", _) => {
                let mut command = Command::new(&self.bowline);
                command.args(["sshd", "-D"]);
                command
            }
            (_, Some(sshd)) => {
                let mut command = Command::new(sshd);
                command.args([
                    "-D",
                    "-o",
                    "PidFile=none",
                    "-o",
                    "UsePAM=no",
                    "-o",
                    "PermitRootLogin=yes",
                ]);
                command.args(["-o", "MaxStartups=200:30:400"]);
                command
            }
            _ => return Err("OpenSSH is not here".into()),
        };
        command.args([
            "-f",
            "/dev/null",
            "-o",
            &format!("ListenAddress=127.0.0.1:{port}"),
        ]);
        command.args([
            "-h",
            &file("host"),
            "-o",
            &format!("AuthorizedKeysFile={}", file("authorized_keys")),
        ]);
        command.args(["-o", "StrictModes=no", "-o", "Subsystem=sftp internal-sftp"]);
        let mut program = Running::start(&mut command);
        wait_for_greeting(&mut program, port)?;
        servers.insert(who.to_owned(), (program, port));
        Ok(port)
    }
}

/// Runs a client and reads the figure it says.
fn figure(command: &mut Command) -> Result<f64> {
    let output = command.stderr(Stdio::inherit()).output()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(said: &str) -> Result<f64> {
    said.trim()
        .parse()
        .map_err(|_| format!("a client said {said:?}").into())
}

fn timed(command: &mut Command) -> Result<f64> {
    let begin = Instant::now();
    let status = command.status()?;
    if status.success() {
        Ok(begin.elapsed().as_secs_f64())
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}

fn fill(path: &Path, bytes: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let block: Vec<u8> = (0..1 << 20)
        .map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for _ in 0..bytes >> 20 {
        file.write_all(&block)?;
    }
    Ok(())
}

/// The release build of the program, made if it is not there.
fn bowline_program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "-p", "bowline"])
        .status()?;
    if !built.success() {
        return Err("the program bowline does not build".into());
    }
    Ok(own.parent().ok_or("no folder")?.join("bowline"))
}
