//! Our server library, as an application would start it: keys from a file, one password, programs, files, forwards.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ssh_server::filesystem::Local;
use ssh_server::keys::{Certificate, PrivateKey, PublicKey, Signer};
use ssh_server::{
    Account, Application, AuthorizedKeysFiles, Builder, Candidate, Config, Decision, Forward, Limits,
    Listening, Login, Permissions, Programs, Server, Services, Session, Target, constant_time_eq,
};
use ssh_testkit::openssh::{Keys, client_arguments};
use ssh_testkit::proxy::{Proxy, in_front_of};
use tokio::runtime::Runtime;

/// How long each step up to the login may take, in either role.
pub const PATIENCE: Duration = Duration::from_secs(240);

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The one password.
pub const PASSWORD: &str = "correct horse";

/// A server of ours on a free port. Dropping it ends it.
pub struct Ours {
    /// The address at which it listens: loopback, if nothing else was asked for.
    pub address: IpAddr,
    /// Where it listens.
    pub port: u16,
    /// Its keys, and those it lets in.
    pub keys: Arc<Keys>,
    /// What cuts its bytes, where the whole suite is to run that way.
    _proxy: Option<Proxy>,
    attempts: Attempts,
    key_exchanges: KeyExchanges,
    listening: Option<Listening>,
    runtime: Option<Runtime>,
}

type Attempts = Arc<Mutex<Vec<String>>>;

/// Of the connection of each session, when it is over, how many key exchanges it had.
type KeyExchanges = Arc<Mutex<Vec<u64>>>;

/// The application behind it.
struct Door {
    account: Account,
    keys: AuthorizedKeysFiles,
    services: Services,
    attempts: Attempts,
    key_exchanges: KeyExchanges,
}

impl Ours {
    /// A server with the usual settings.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// A server with settings of the test's own. Password logins are on.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_keys(Keys::make(), change)
    }

    /// The same at another address of this machine.
    pub fn at(address: IpAddr, change: impl FnOnce(&mut Config)) -> Self {
        Self::begin(address, Keys::make().into(), change, |builder, keys| {
            show(builder, keys, "host")
        })
    }

    /// The same with keys made before.
    pub fn with_keys(keys: impl Into<Arc<Keys>>, change: impl FnOnce(&mut Config)) -> Self {
        Self::with_host_keys(keys.into(), &["host"], change)
    }

    /// The same with the host keys of these names, each with its certificate if there is one.
    pub fn with_host_keys(keys: Arc<Keys>, names: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        Self::begin(LOOPBACK, keys, change, |builder, keys| {
            names
                .iter()
                .fold(builder, |builder, name| show(builder, keys, name))
        })
    }

    /// A server with settings of the test's own whose only host key is this one.
    pub fn with_host_key(keys: Keys, key: impl Signer + 'static, change: impl FnOnce(&mut Config)) -> Self {
        Self::begin(LOOPBACK, keys.into(), change, |builder, _| builder.host_key(key))
    }

    fn begin(
        address: IpAddr,
        keys: Arc<Keys>,
        change: impl FnOnce(&mut Config),
        show: impl FnOnce(Builder, &Keys) -> Builder,
    ) -> Self {
        let mut config = Config {
            password_login: true,
            ..Config::default()
        };
        change(&mut config);
        let mut account = Account::current().unwrap();
        account.home = keys.folder().to_owned();
        account.shell = "/bin/sh".into();
        let (attempts, key_exchanges) = (Attempts::default(), KeyExchanges::default());
        let door = Door {
            keys: AuthorizedKeysFiles::new([keys.path("authorized_keys").to_str().unwrap()])
                .strict_modes(false),
            services: Services::new()
                .sftp(Local::new(&account.home))
                .programs(Programs::new(account.clone())),
            account,
            attempts: Arc::clone(&attempts),
            key_exchanges: Arc::clone(&key_exchanges),
        };
        let runtime = Runtime::new().unwrap();
        // A busy machine decides nothing.
        let limits = Limits {
            identification_time: PATIENCE,
            key_exchange_time: PATIENCE,
            login_grace_time: PATIENCE,
            ..Limits::default()
        };
        let builder = show(Server::builder().config(config).limits(limits), &keys);
        let listening = runtime.block_on(builder.listen((address, 0), door)).unwrap();
        let port = listening.local_addr().port();
        let (port, proxy) = if address == LOOPBACK {
            in_front_of(port)
        } else {
            (port, None)
        };
        Self {
            address,
            port,
            _proxy: proxy,
            keys,
            attempts,
            key_exchanges,
            listening: Some(listening),
            runtime: Some(runtime),
        }
    }

    /// The user who may log in.
    pub fn user(&self) -> String {
        ssh_testkit::peers::user()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.listening.as_ref().map_or(0, Listening::connections)
    }

    /// The logins that were attempted, as `method user`.
    pub fn attempts(&self) -> Vec<String> {
        self.attempts.lock().unwrap().clone()
    }

    /// How many key exchanges the only connection with sessions had, which is over or about to be.
    pub fn key_exchanges(&self) -> u64 {
        let since = Instant::now();
        loop {
            // Counted when it is over: each of its sessions tells the same.
            if let Some(count) = self.key_exchanges.lock().unwrap().first() {
                return *count;
            }
            assert!(since.elapsed() < PATIENCE, "the connection does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// OpenSSH's `program` (`ssh` or `sftp`) on its way to this server, with `options` before the usual ones: what is
    /// set first counts.
    pub fn client(&self, program: &std::path::Path, options: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(options)
            .args(client_arguments(&self.keys, self.port));
        command.env_remove("SSH_AUTH_SOCK").env_remove("SSH_ASKPASS");
        command
    }

    /// `user@host`, as OpenSSH's clients take it.
    pub fn destination(&self) -> String {
        format!("{}@{}", self.user(), self.address)
    }
}

/// Adds a host key, and its certificate.
fn show(builder: Builder, keys: &Keys, name: &str) -> Builder {
    let file = std::fs::read(keys.path(name)).unwrap();
    let builder = builder.host_key(PrivateKey::from_openssh(&file, None).unwrap());
    let Ok(text) = std::fs::read_to_string(keys.path(&format!("{name}-cert.pub"))) else {
        return builder;
    };
    let (certificate, _) = Certificate::from_openssh(text.trim_end()).unwrap();
    builder.host_certificate(certificate)
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let (Some(runtime), Some(listening)) = (self.runtime.take(), self.listening.take()) {
            let patience = Duration::from_secs(5);
            let _ = runtime.block_on(async { tokio::time::timeout(patience, listening.shutdown()).await });
            runtime.shutdown_background();
        }
    }
}

impl Door {
    fn note(&self, method: &str, candidate: &Candidate) {
        self.attempts
            .lock()
            .unwrap()
            .push(format!("{method} {}", candidate.user));
    }
}

impl Application for Door {
    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        self.note("password", candidate);
        let right = constant_time_eq(password, PASSWORD.as_bytes()) & (candidate.user == self.account.name);
        Decision::accept_if(right, Permissions::default())
    }

    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        self.note("publickey", candidate);
        if candidate.user != self.account.name {
            return Decision::Refuse;
        }
        self.keys.decide(&self.account, candidate, key).await
    }

    async fn session(&self, session: Session) {
        let (connection, counts) = (session.connection(), Arc::clone(&self.key_exchanges));
        // The peer's half of the last exchange may still be under way when the session ends.
        tokio::spawn(async move {
            connection.closed().await;
            counts.lock().unwrap().push(connection.key_exchanges());
        });
        self.services.serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
        if target.host == "127.0.0.1" {
            Forward::Connect
        } else {
            Forward::Refuse
        }
    }
}
