//! What the server lets people do: log in as the user who started it, run programs, move files, connect onwards.

use std::path::Path;

use ssh_server::channel::{Tun, X11Req};
use ssh_server::filesystem::Local;
use ssh_server::keys::PublicKey;
use ssh_server::{
    AcceptEnvironment, Account, Application, AuthorizedKeysFiles, Candidate, Decision, DisplayPolicy,
    Forward, Listen, ListenSocket, ListenTarget, Login, Permissions, Programs, Services, Session, Target,
    TunnelEnd,
};

use super::forwarding::Forwarding;
use super::options::Options;
use super::password;

/// The application behind `bowline sshd`.
pub(super) struct LoginServer {
    account: Account,
    keys: AuthorizedKeysFiles,
    services: Services,
    /// What the configuration lays on every login, whatever its key says.
    permissions: Permissions,
    forwarding: Forwarding,
}

impl LoginServer {
    pub(super) fn new(options: &Options, account: Account) -> Result<Self, String> {
        let defaults = [
            ".ssh/authorized_keys".to_owned(),
            ".ssh/authorized_keys2".to_owned(),
        ];
        let files = options
            .authorized_keys_files
            .clone()
            .unwrap_or_else(|| defaults.to_vec());
        let keys = AuthorizedKeysFiles::new(files).strict_modes(options.strict_modes.unwrap_or(true));
        let variables = options.set_env.iter().flatten();
        let programs = variables.fold(Programs::new(account.clone()), |programs, (name, value)| {
            programs.variable(name, value)
        });
        let mut services = Services::new()
            .sftp(Local::new(&account.home))
            .programs(programs)
            .accept_environment(AcceptEnvironment::new(options.accept_env.clone()));
        for (name, command) in &options.subsystems {
            services = services.subsystem(name, command.as_bytes());
        }
        let mut permissions = Permissions::default();
        if let Some(line) = options.force_command.as_deref().filter(|line| *line != "none") {
            permissions = permissions.with_forced_command(line);
        }
        permissions.terminal = options.permit_tty.unwrap_or(true);
        Ok(Self {
            account,
            keys,
            services,
            permissions,
            forwarding: Forwarding::new(options)?,
        })
    }

    /// A login's own permissions, with the configuration's on top.
    fn narrowed(&self, decision: Decision) -> Decision {
        let Decision::Accept(mut own) = decision else {
            return Decision::Refuse;
        };
        if let Some(command) = &self.permissions.forced_command {
            own.forced_command = Some(command.clone());
        }
        own.terminal &= self.permissions.terminal;
        Decision::Accept(own)
    }
}

impl Application for LoginServer {
    async fn knows_user(&self, candidate: &Candidate) -> bool {
        candidate.user == self.account.name
    }

    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        if candidate.user != self.account.name {
            return Decision::Refuse;
        }
        self.narrowed(self.keys.decide(&self.account, candidate, key).await)
    }

    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        // Checked even for another name, so that a wrong name takes as long as a wrong password.
        let right = password::is_right(&self.account.name, password).await;
        let named = candidate.user == self.account.name;
        self.narrowed(Decision::accept_if(right && named, Permissions::default()))
    }

    async fn session(&self, session: Session) {
        self.services.serve(session).await;
    }

    async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
        Forward::connect_if(self.forwarding.may_connect(target))
    }

    async fn direct_streamlocal(&self, _login: &Login, _path: &Path) -> Forward {
        Forward::connect_if(self.forwarding.may_connect_to_sockets())
    }

    async fn tcpip_forward(&self, _login: &Login, wanted: &ListenTarget) -> Listen {
        self.forwarding.listen(wanted)
    }

    async fn streamlocal_forward(&self, _login: &Login, _path: &Path) -> ListenSocket {
        self.forwarding.listen_socket()
    }

    async fn agent_forwarding(&self, _login: &Login) -> bool {
        self.forwarding.agent()
    }

    async fn tun(&self, _login: &Login, wanted: &Tun) -> TunnelEnd {
        self.forwarding.tunnel(wanted)
    }

    async fn x11(&self, _login: &Login, _wanted: &X11Req) -> Option<DisplayPolicy> {
        self.forwarding.display()
    }
}
