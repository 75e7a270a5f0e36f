//! From options to a connection: what `ssh` and `sftp` do before they differ.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh_client::config_file::{self, LogLevel, Options, StrictHostKeyChecking, Tokens, expand};
use ssh_client::{
    Answer, Client, Config, Credentials, DEFAULT_KEY_FILES, HostKeys, PasswordQuestion, ShowBanner,
    ShowWarning, UnknownHostKey, Warning,
};

use crate::arguments::{Common, ConfigFile, Destination, check_host, check_user};
use crate::log;
use crate::route;
use crate::terminal::{ask_line, ask_secret, complain, harmless};
use crate::transport::{Settings, keepalive};

/// Where known hosts are looked for when no file is named; new ones are added to the first.
const DEFAULT_USER_KNOWN_HOSTS: [&str; 2] = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"];
const DEFAULT_GLOBAL_KNOWN_HOSTS: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// Everything known before the first byte is sent.
pub(crate) struct Plan {
    pub(crate) options: Options,
    host: String,
    port: u16,
    user: String,
    tokens: Tokens,
    /// So many of the identity files were named on the command line: those must be there.
    named_identities: usize,
    /// `-q`
    quiet: bool,
    /// Where the configuration came from; that of hosts on the way comes from there, too.
    config_file: ConfigFile,
}

/// Reads the configuration, settles who and where, and starts the log.
pub(crate) fn plan(common: Common, destination: &Destination) -> Result<Plan, String> {
    let Common {
        mut options,
        config_file,
        verbose,
        quiet,
        log_file,
    } = common;
    let named_identities = options.identity_files.len();
    if options.user.is_none() {
        options.user.clone_from(&destination.user);
    }
    options.port = options.port.or(destination.port);
    if let ConfigFile::File(path) = &config_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("Can't open user config file {}: {error}", path.display()))?;
        config_file::apply(
            &mut options,
            &text,
            &path.display().to_string(),
            &destination.host,
        )
        .map_err(|error| error.to_string())?;
    }
    log::start(log::level(options.log_level, verbose, quiet), log_file.as_deref())?;
    let local_user = local_user();
    let home = std::env::home_dir().unwrap_or_default();
    let port = options.port.unwrap_or(22);
    let mut tokens = Tokens {
        home,
        host: destination.host.clone(),
        original_host: destination.host.clone(),
        port,
        remote_user: options.user.clone().unwrap_or_else(|| local_user.clone()),
        local_user,
        host_key_alias: options
            .host_key_alias
            .clone()
            .unwrap_or_else(|| destination.host.clone()),
        local_host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        user_id: rustix::process::getuid().as_raw().to_string(),
    };
    if let Some(name) = &options.host_name {
        tokens.host = expand(name, &tokens)
            .map_err(|error| error.to_string())?
            .display()
            .to_string();
        check_host(&tokens.host)?;
    }
    check_user(&tokens.remote_user)?;
    let (host, user) = (tokens.host.clone(), tokens.remote_user.clone());
    Ok(Plan {
        options,
        host,
        port,
        user,
        tokens,
        named_identities,
        quiet,
        config_file,
    })
}

impl Plan {
    /// Connects and logs in.
    pub(crate) async fn connect(&self) -> Result<Client, String> {
        let mut config = self.config()?;
        route::settle(self, &mut config).await?;
        let (host_keys, credentials) = (self.host_keys()?, self.credentials()?);
        let client = Client::connect_with(&config, self.address(), &self.user, host_keys, credentials)
            .await
            .map_err(|error| harmless(&error.to_string()))?;
        tracing::debug!("authenticated to {} as {}", client.address(), client.user());
        Ok(client)
    }

    /// The small policies and limits; the way there is not settled yet.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let mut config = Config::default();
        let options = &self.options;
        let settings = Settings {
            preset: options.algorithm_preset,
            kex: options.kex_algorithms.as_deref(),
            ciphers: options.ciphers.as_deref(),
            macs: options.macs.as_deref(),
            // As OpenSSH does: a server that compresses only may still have it when nobody asked.
            compression: (options.compression == Some(true)).then_some("^zlib@openssh.com"),
            host_keys: options.host_key_algorithms.as_deref(),
            required_rsa_size: options.required_rsa_size,
            rekey: options.rekey_limit,
            version_addendum: options.version_addendum.as_deref(),
        };
        settings.apply(&mut config.transport)?;
        // As in OpenSSH: who adds to the list or takes from it has said nothing about its order.
        let edits = options.host_key_algorithms.as_deref();
        config.known_host_keys_first = edits.is_none_or(|list| list.starts_with(['+', '-']));
        if !self.is_quiet() {
            config.banner = Some(ShowBanner::new(|text| {
                complain(text.strip_suffix('\n').unwrap_or(text))
            }));
            config.warning = options
                .warn_weak_crypto
                .unwrap_or(true)
                .then(|| ShowWarning::new(warn));
        }
        if let Some(timeout) = options.connect_timeout {
            // As in OpenSSH, `none` and 0 leave it to the system.
            let timeout = if timeout.is_zero() { Duration::MAX } else { timeout };
            config.timeouts.connect = timeout;
            config.timeouts.identification = timeout;
            config.timeouts.key_exchange = timeout;
        }
        config.tcp_keepalive = options.tcp_keep_alive.unwrap_or(config.tcp_keepalive);
        config.keepalive = keepalive(
            options.server_alive_interval,
            options.server_alive_count_max,
            config.keepalive,
        );
        Ok(config)
    }

    pub(crate) fn host_keys(&self) -> Result<HostKeys, String> {
        let defaults = |files: &[&str]| files.iter().map(|&file| file.to_owned()).collect::<Vec<_>>();
        let user = self.options.user_known_hosts_files.clone();
        let mut user = user.unwrap_or_else(|| defaults(&DEFAULT_USER_KNOWN_HOSTS));
        if user.is_empty() {
            // `none`: new keys must go nowhere, and least of all into the machine's file.
            user.push("/dev/null".to_owned());
        }
        let global = self.options.global_known_hosts_files.clone();
        let global = global.unwrap_or_else(|| defaults(&DEFAULT_GLOBAL_KNOWN_HOSTS));
        let mut files = user.iter().chain(&global).map(|file| self.path(file));
        let first = files.next().transpose()?.unwrap_or_default();
        let mut host_keys = HostKeys::known_hosts(first);
        for file in files {
            host_keys = host_keys.and_file(file?);
        }
        if let Some(alias) = &self.options.host_key_alias {
            host_keys = host_keys.alias(alias);
        }
        Ok(
            match self
                .options
                .strict_host_key_checking
                .unwrap_or(StrictHostKeyChecking::Ask)
            {
                StrictHostKeyChecking::Ask if !self.is_batch() => host_keys.ask(ask_about_host),
                StrictHostKeyChecking::Yes | StrictHostKeyChecking::Ask => host_keys,
                // OpenSSH's `no` goes on even with a changed key; ours refuses that, as `accept-new` does.
                StrictHostKeyChecking::AcceptNew | StrictHostKeyChecking::No => host_keys.accept_new(),
            },
        )
    }

    pub(crate) fn credentials(&self) -> Result<Credentials, String> {
        let options = &self.options;
        let mut credentials = Credentials::none();
        if options.pubkey_authentication.unwrap_or(true) {
            let named = &options.identity_files;
            let (required, others) = named
                .split_at_checked(self.named_identities)
                .unwrap_or((named, &[]));
            for file in required.iter().filter(|file| !file.eq_ignore_ascii_case("none")) {
                credentials = credentials.then(self.key_file(&self.path(file)?));
            }
            let defaults: Vec<String> = DEFAULT_KEY_FILES
                .iter()
                .map(|name| format!("~/.ssh/{name}"))
                .collect();
            let others = if named.is_empty() { &defaults[..] } else { others };
            for file in others.iter().filter(|file| !file.eq_ignore_ascii_case("none")) {
                credentials = credentials.then(self.key_file(&self.path(file)?).optional());
            }
        }
        if options.password_authentication.unwrap_or(true) && !self.is_batch() {
            let most = options.number_of_password_prompts.unwrap_or(3);
            credentials = credentials.then(Credentials::password_asking(move |question| {
                ask_password(question, most)
            }));
        }
        Ok(credentials)
    }

    fn key_file(&self, path: &Path) -> Credentials {
        if self.is_batch() {
            return Credentials::key_file(path);
        }
        Credentials::key_file_asking(path, |path| {
            ask_secret(&format!("Enter passphrase for key '{}': ", path.display())).map(String::into_bytes)
        })
    }

    fn path(&self, text: &str) -> Result<PathBuf, String> {
        expand(text, &self.tokens).map_err(|error| error.to_string())
    }

    fn is_batch(&self) -> bool {
        self.options.batch_mode.unwrap_or(false)
    }

    /// The user and host, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// The host and the port.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// As whom.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Where the configuration came from.
    pub(crate) const fn config_file(&self) -> &ConfigFile {
        &self.config_file
    }

    /// What `%` and a letter stand for.
    pub(crate) const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The host's name, after `HostName`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether anything but errors is to be said.
    pub(crate) fn is_quiet(&self) -> bool {
        let level = self.options.log_level;
        self.quiet || level.is_some_and(|level| level <= LogLevel::Error)
    }
}

/// What `WarnWeakCrypto` is about, in words.
fn warn(warning: &Warning) {
    match warning {
        Warning::NotPostQuantum { address, kex } => {
            complain(&format!(
                "WARNING: the keys for {} were agreed on with {kex}, which a large quantum computer could undo.",
                harmless(&address.to_string())
            ));
            complain(
                "Whoever records this session today may be able to read it in some years. A newer server would help;",
            );
            complain("the option WarnWeakCrypto=no-pq-kex silences this warning.");
        }
        other => tracing::warn!(?other, "a warning without words"),
    }
}

fn local_user() -> String {
    std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| "root".to_owned())
}

fn ask_password(question: &PasswordQuestion, most: u32) -> Option<Vec<u8>> {
    if question.refused >= most {
        return None;
    }
    if question.refused > 0 {
        complain("Permission denied, please try again.");
    }
    ask_secret(&format!("{}@{}'s password: ", question.user, question.host)).map(String::into_bytes)
}

fn ask_about_host(unknown: &UnknownHostKey) -> Answer {
    let fingerprint = unknown.key.fingerprint().to_string();
    complain(&format!(
        "The authenticity of host '{}' can't be established.",
        unknown.address
    ));
    complain(&format!(
        "{} key fingerprint is {fingerprint}.",
        unknown.key.type_word()
    ));
    match unknown.known_types.as_slice() {
        [] => complain("No other key of this host is known."),
        // Whoever wants to stand in for a host can show a key of a type that is not known yet.
        types => complain(&format!(
            "WARNING: this host is known by other keys ({}): somebody else may answer in its place.",
            harmless(&types.join(", "))
        )),
    }
    let mut question = "Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
    loop {
        match ask_line(question).as_deref() {
            Some("yes") => return Answer::AcceptAndSave,
            Some(answer) if answer == fingerprint => return Answer::AcceptAndSave,
            Some("no") | None => return Answer::Refuse,
            Some(_) => question = "Please type 'yes', 'no' or the fingerprint: ",
        }
    }
}
