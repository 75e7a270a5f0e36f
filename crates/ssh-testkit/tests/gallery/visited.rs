//! The servers that the examples of the client visit: each test visits both.

use std::process::Command;
use std::sync::Arc;

use ssh_testkit::openssh::{Keys, Server};
use ssh_testkit::peers;

use crate::examples::{self, Running};

/// A server, and the keys to it. It ends with the value.
pub struct Visited {
    /// Whose it is, for the test to say.
    pub name: &'static str,
    pub port: u16,
    pub keys: Arc<Keys>,
    _program: Program,
}

/// What ends with the value.
#[expect(dead_code, reason = "they are held for their end")]
enum Program {
    Ours(Running),
    OpenSsh(Server),
}

impl Visited {
    /// Our own example of a server.
    pub fn ours(keys: &Arc<Keys>) -> Self {
        let mut program = Running::start(
            examples::command("login_server")
                .arg("127.0.0.1:0")
                .args([keys.path("host"), keys.path("authorized_keys")]),
        );
        Self {
            name: "ours",
            port: program.says_port("listening on "),
            keys: Arc::clone(keys),
            _program: Program::Ours(program),
        }
    }

    /// OpenSSH's, unless it is not here.
    pub fn openssh(keys: &Arc<Keys>) -> Option<Self> {
        let more = "AcceptEnv LANG LC_*\nAllowTcpForwarding yes\nPrintMotd no\nPrintLastLog no";
        let server = Server::start_with(&peers::need("sshd")?, Arc::clone(keys), more);
        Some(Self {
            name: "OpenSSH",
            port: server.port,
            keys: Arc::clone(keys),
            _program: Program::OpenSsh(server),
        })
    }

    /// Both of them, with the same keys.
    pub fn both() -> Vec<Self> {
        let keys = Arc::new(Keys::make());
        std::iter::once(Self::ours(&keys))
            .chain(Self::openssh(&keys))
            .collect()
    }

    /// The words with which every example of the client begins.
    pub fn words(&self) -> [String; 3] {
        let known_hosts = self.keys.known_hosts("known_hosts", self.port, "host");
        [
            format!("{}@127.0.0.1:{}", peers::user(), self.port),
            self.keys.path("user").display().to_string(),
            known_hosts.display().to_string(),
        ]
    }

    /// An example of the client on its way here.
    pub fn client(&self, name: &str, words: &[&str]) -> Command {
        let mut command = examples::command(name);
        command.args(self.words()).args(words);
        command
    }
}
