//! `bowline sshd`: serves programs, files and forwards as the user who started it: sshd(8).

mod application;
mod arguments;
mod background;
mod forwarding;
mod options;
mod password;
mod threads;
mod values;

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ssh_client::config_file::LogLevel;
use ssh_client::kex::{MAX_MODULI_BYTES, Moduli};
use ssh_server::keys::{Certificate, PrivateKey};
use ssh_server::{Account, Config, Limits, Peer, Server};
use tokio::signal::unix::SignalKind;

use self::application::LoginServer;
use self::arguments::Arguments;
use self::options::Options;
use self::threads::Threads;
use crate::log;
use crate::signals::Signals;
use crate::terminal::complain;
use crate::transport::{Settings, keepalive};

/// Tried when no host key is named; those that are not there are left out.
const DEFAULT_HOST_KEYS: [&str; 3] = [
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_rsa_key",
];
const DEFAULT_PORT: u16 = 22;
/// How long connections may go on after the server was asked to end.
const FAREWELL: Duration = Duration::from_secs(5);

pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let done = arguments::parse(words.clone()).and_then(|arguments| run(arguments, &words));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::from(255)
        }
    }
}

fn run(mut arguments: Arguments, words: &[OsString]) -> Result<(), String> {
    if let Some(path) = &arguments.config_file {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        arguments.options.apply(&text, &path.display().to_string())?;
    }
    let options = &arguments.options;
    let level = log::level(options.log_level, arguments.debug, arguments.quiet);
    // Whoever starts one connection may have put that connection in the place of standard error as well.
    if !arguments.inetd || arguments.log_to_stderr || arguments.log_file.is_some() {
        log::start(level, arguments.log_file.as_deref())?;
    }
    let account = Account::current().map_err(|error| format!("the user database: {error}"))?;
    let server = build(options, account)?;
    if arguments.test {
        return Ok(());
    }
    if !arguments.foreground && !arguments.inetd && arguments.debug == 0 {
        return background::go(words);
    }
    let runtime = crate::runtime()?;
    if arguments.inetd {
        let done = runtime.block_on(serve_standard_streams(&server));
        // A reader of standard input that still waits must not hold the program.
        runtime.shutdown_background();
        return done;
    }
    let addresses = addresses(options)?;
    let says_where = level > LogLevel::Quiet;
    // Before anybody is told that the server listens: whoever hears it may end it at once.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::watch_ignored_too()?
    };
    let log_file = arguments.log_file.as_deref();
    let listeners = runtime.block_on(listen(&addresses, says_where, log_file))?;
    // Outside of the event loop: where the system has nothing left for another thread, that thread's loop is given up
    // again, which may wait, and nothing may wait inside of one.
    let threads = Threads::start(&server, &listeners, FAREWELL)?;
    if background::is_copy() {
        background::let_go()?;
    }
    runtime.block_on(told_to_end(&mut signals));
    threads.end();
    Ok(())
}

/// Waits for a signal to end. HUP is none, as for OpenSSH's server, which reads its configuration again.
async fn told_to_end(signals: &mut Signals) {
    loop {
        let signal = signals.next().await;
        if signal != SignalKind::hangup() {
            tracing::info!("Received signal {}; terminating.", signal.as_raw_value());
            return;
        }
        tracing::warn!("Received SIGHUP; the configuration is read at the start only.");
    }
}

/// Binds the addresses, and says so.
async fn listen(
    addresses: &[SocketAddr],
    says_where: bool,
    log_file: Option<&Path>,
) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = ssh_server::bind(*address)
            .await
            .map_err(|error| error.to_string())?;
        let unbound = |error| format!("{address}: {error}");
        let bound = listener.local_addr().map_err(unbound)?;
        listeners.push(listener.into_std().map_err(unbound)?);
        let line = format!("Server listening on {} port {}.", bound.ip(), bound.port());
        if log_file.is_some() {
            tracing::warn!("{line}");
        } else if says_where {
            complain(&line);
        }
    }
    Ok(listeners)
}

async fn serve_standard_streams(server: &Server<LoginServer>) -> Result<(), String> {
    let stream = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    let mut signals = Signals::watch_ignored_too()?;
    let serving = server.serve_stream(stream, Peer::named("standard input and output"));
    tokio::select! {
        served = serving => served.map_err(|error| error.to_string()),
        signal = signals.next() => Err(format!("Received signal {}; terminating.", signal.as_raw_value())),
    }
}

fn build(options: &Options, account: Account) -> Result<Server<LoginServer>, String> {
    let mut builder = Server::builder().config(config(options)?).limits(limits(options));
    for path in host_key_files(options) {
        builder = builder.host_key(host_key(&path)?);
    }
    for path in &options.host_certificates {
        builder = builder.host_certificate(host_certificate(Path::new(path))?);
    }
    let application = LoginServer::new(options, account)?;
    builder.build(application).map_err(|error| error.to_string())
}

/// The groups of a moduli file.
fn moduli(path: &str) -> Result<Moduli, String> {
    use std::io::Read;
    let most = u64::try_from(MAX_MODULI_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut text))
        .map_err(|error| format!("{path}: {error}"))?;
    Moduli::parse(&text).map_err(|error| format!("{path}: {error}"))
}

fn host_key_files(options: &Options) -> Vec<PathBuf> {
    if options.host_keys.is_empty() {
        let all = DEFAULT_HOST_KEYS.iter().map(PathBuf::from);
        let found: Vec<_> = all.clone().filter(|path| path.exists()).collect();
        // Where there is none, the first one's absence is what the user is told of.
        return if found.is_empty() {
            all.take(1).collect()
        } else {
            found
        };
    }
    options.host_keys.iter().map(PathBuf::from).collect()
}

fn host_key(path: &Path) -> Result<PrivateKey, String> {
    use std::os::unix::fs::PermissionsExt;
    let fail =
        |error: &dyn std::fmt::Display| format!("Unable to load host key \"{}\": {error}", path.display());
    let mode = std::fs::metadata(path)
        .map_err(|error| fail(&error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(fail(&format!(
            "its mode {:04o} lets others read it; make it 0600",
            mode & 0o7777
        )));
    }
    let text = std::fs::read(path).map_err(|error| fail(&error))?;
    PrivateKey::from_openssh(&text, None).map_err(|error| fail(&error))
}

/// The certificate in a `-cert.pub` file.
fn host_certificate(path: &Path) -> Result<Certificate, String> {
    let fail = |error: &dyn std::fmt::Display| {
        format!("Unable to load host certificate \"{}\": {error}", path.display())
    };
    let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
    let line = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let (certificate, _comment) = Certificate::from_openssh(line).map_err(|error| fail(&error))?;
    Ok(certificate)
}

fn config(options: &Options) -> Result<Config, String> {
    let mut config = Config::default();
    let settings = Settings {
        preset: options.algorithm_preset,
        kex: options.kex_algorithms.as_deref(),
        ciphers: options.ciphers.as_deref(),
        macs: options.macs.as_deref(),
        compression: (options.compression == Some(false)).then_some("none"),
        host_keys: options.host_key_algorithms.as_deref(),
        required_rsa_size: options.required_rsa_size,
        rekey: options.rekey_limit,
        version_addendum: options.version_addendum.as_deref(),
    };
    settings.apply(&mut config.transport)?;
    if let Some(path) = &options.moduli_file {
        config.transport.moduli = Arc::new(moduli(path)?);
    }
    config.keepalive = keepalive(
        options.client_alive_interval,
        options.client_alive_count_max,
        config.keepalive,
    );
    config.tcp_keepalive = options.tcp_keep_alive.unwrap_or(config.tcp_keepalive);
    config.public_key_login = options.pubkey_authentication.unwrap_or(true);
    config.password_login = options.password_authentication.unwrap_or(false);
    Ok(config)
}

fn limits(options: &Options) -> Limits {
    let mut limits = Limits::default();
    limits.max_startups = options.max_startups.unwrap_or(limits.max_startups);
    if options.max_startups.is_some() {
        // Who sets the one number that OpenSSH has expects it to be the one that counts.
        limits.max_startups_per_source = u32::MAX;
    }
    if let Some(time) = options.login_grace_time {
        // Who sets the one time that OpenSSH has expects it to be the one that counts: a person at a client may think
        // about the host key while the key exchange waits. And 0 is no limit there.
        let grace = if time.is_zero() { Duration::MAX } else { time };
        limits.identification_time = grace;
        limits.key_exchange_time = grace;
        limits.login_grace_time = grace;
    }
    limits.max_auth_tries = options.max_auth_tries.unwrap_or(limits.max_auth_tries);
    if let Some(most) = options.max_sessions {
        limits.max_sessions = usize::try_from(most).unwrap_or(usize::MAX);
        // In OpenSSH a session more is a terminal and a display more.
        limits.max_terminals = limits.max_sessions;
        limits.max_displays = limits.max_sessions;
    }
    if let Some(timeouts) = &options.channel_timeout {
        limits.channel_timeouts = timeouts.clone();
    }
    limits.unused_connection_time = options.unused_connection_timeout.flatten();
    limits
}

/// Where to listen: every address with its own port, or with every configured port.
fn addresses(options: &Options) -> Result<Vec<SocketAddr>, String> {
    let ports = if options.ports.is_empty() {
        vec![DEFAULT_PORT]
    } else {
        options.ports.clone()
    };
    let everywhere = ["0.0.0.0".to_owned(), "[::]".to_owned()];
    let (hosts, is_chosen) = match options.listen_addresses.as_slice() {
        [] => (everywhere.as_slice(), false),
        chosen => (chosen, true),
    };
    let mut found = Vec::new();
    for host in hosts {
        for address in with_ports(host, &ports)? {
            // A machine without IPv6 still listens on IPv4, unless it was told otherwise.
            if is_chosen || TcpListener::bind(SocketAddr::new(address.ip(), 0)).is_ok() {
                found.push(address);
            }
        }
    }
    Ok(found)
}

fn with_ports(host: &str, ports: &[u16]) -> Result<Vec<SocketAddr>, String> {
    let fail = |error: &dyn std::fmt::Display| format!("bad ListenAddress {host}: {error}");
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host);
    let has_port = bare == host && host.matches(':').count() == 1;
    if has_port {
        return Ok(host.to_socket_addrs().map_err(|error| fail(&error))?.collect());
    }
    let mut found = Vec::new();
    for port in ports {
        found.extend((bare, *port).to_socket_addrs().map_err(|error| fail(&error))?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(text: &str) -> Vec<String> {
        let mut options = Options::default();
        options.apply(text, "x").unwrap();
        addresses(&options)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn addresses_and_ports_combine_as_in_openssh() {
        assert_eq!(listening("ListenAddress 127.0.0.1:2222"), ["127.0.0.1:2222"]);
        assert_eq!(
            listening("Port 1\nPort 2\nListenAddress 127.0.0.1"),
            ["127.0.0.1:1", "127.0.0.1:2"]
        );
        assert_eq!(
            listening("ListenAddress [::1]:9\nListenAddress ::1\nPort 7"),
            ["[::1]:9", "[::1]:7"]
        );
        assert_eq!(listening("ListenAddress localhost:5")[0], "127.0.0.1:5");
        assert!(listening("Port 7").contains(&"0.0.0.0:7".to_owned()));
        let mut options = Options::default();
        options.apply("ListenAddress 127.0.0.1:ssh2", "x").unwrap();
        assert!(addresses(&options).unwrap_err().contains("127.0.0.1:ssh2"));
    }

    #[test]
    fn the_one_time_of_openssh_counts_for_every_step_and_zero_is_no_limit() {
        let times = |text: &str| {
            let mut options = Options::default();
            options.apply(text, "x").unwrap();
            let limits = limits(&options);
            (
                limits.identification_time,
                limits.key_exchange_time,
                limits.login_grace_time,
            )
        };
        let usual = Limits::default();
        assert_eq!(
            times("MaxAuthTries 3"),
            (
                usual.identification_time,
                usual.key_exchange_time,
                usual.login_grace_time
            )
        );
        for (text, time) in [
            ("LoginGraceTime 2m", Duration::from_secs(120)),
            ("LoginGraceTime 0", Duration::MAX),
        ] {
            assert_eq!(times(text), (time, time, time), "{text}");
        }
    }

    #[test]
    fn a_host_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let problem = host_key(file.path()).unwrap_err();
        assert!(
            problem.contains("0644") && problem.contains(file.path().to_str().unwrap()),
            "{problem}"
        );
        assert!(
            host_key(Path::new("/nowhere/key"))
                .unwrap_err()
                .contains("/nowhere/key")
        );
    }
}
