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

use crate::Plan;
use crate::roles::{Direction, Result, Work};

/// The cipher for work that is not about ciphers.
pub(crate) const FAST_CIPHER: &str = "aes128-gcm@openssh.com";

/// A child that serves until its standard input closes.
struct LibraryServer {
    child: Child,
    port: u16,
}

impl Drop for LibraryServer {
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
    libraries: RefCell<HashMap<[String; 3], LibraryServer>>,
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
        let sshd = peers::find("sshd").filter(|_| peers::find("ssh").is_some());
        if sshd.is_none() {
            println!("OpenSSH is not on this machine: its rows are left out.");
        }
        Ok(Self {
            keys: Keys::make(),
            folder,
            stream_bytes: plan.stream_bytes,
            bowline: bowline_program()?,
            sshd,
            libraries: RefCell::default(),
            servers: RefCell::default(),
        })
    }

    pub(crate) fn has_openssh(&self) -> bool {
        self.sshd.is_some()
    }

    /// The seconds that `work` took a library's client against its own server.
    pub(crate) fn library(&self, library: &str, threads: u32, cipher: &str, work: &Work) -> Result<f64> {
        let own = std::env::current_exe()?;
        let mut servers = self.libraries.borrow_mut();
        let threads = threads.to_string();
        let at = [library, &threads, cipher].map(str::to_owned);
        if !servers.contains_key(&at) {
            let mut child = Command::new(&own)
                .args(["role", &threads, &format!("{library}-server"), cipher])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
            let port = line
                .trim()
                .parse()
                .map_err(|_| format!("the {library} server said {line:?}"))?;
            servers.insert(at.clone(), LibraryServer { child, port });
        }
        let port = servers[&at].port.to_string();
        let output = Command::new(&own)
            .args(["role", &threads, &format!("{library}-client"), &port, cipher])
            .args(work.words())
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim()
            .parse()
            .map_err(|_| format!("the {library} client said {text:?}").into())
    }

    /// The seconds a whole client program takes to move the stream through a whole server program.
    pub(crate) fn program_stream(
        &self,
        client: &str,
        server: &str,
        cipher: &str,
        direction: Direction,
    ) -> Result<f64> {
        let port = self.server(server)?;
        let mut command = self.client(client, "ssh", port);
        command.arg("-c").arg(cipher);
        // Without a named MAC the two programs would choose differently among theirs.
        command.args(["-o", "MACs=hmac-sha2-256-etm@openssh.com", "-T", "127.0.0.1"]);
        match direction {
            Direction::Up => {
                command
                    .arg("cat >/dev/null")
                    .stdin(File::open(self.folder.path().join("stream"))?);
            }
            Direction::Down => {
                command
                    .arg(format!("head -c {} /dev/zero", self.stream_bytes))
                    .stdin(Stdio::null());
            }
        }
        timed(command.stdout(File::create("/dev/null")?))
    }

    /// The seconds an `sftp` program takes for one file, connection included.
    pub(crate) fn sftp(&self, client: &str, server: &str, direction: Direction) -> Result<f64> {
        let port = self.server(server)?;
        let file = self.folder.path().join("file").display().to_string();
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
    fn server(&self, who: &str) -> Result<u16> {
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
