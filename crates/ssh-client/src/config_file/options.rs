//! The settings of a client, and what can be wrong with one.

use std::time::Duration;

use thiserror::Error;

use super::choices::{EscapeChar, ForwardAgent, RequestTty, SessionType, Tunnel, TunnelDevice};
use super::forwards::{ForwardSpec, PermitRemoteOpen};
use super::jump::JumpHost;
use super::keywords::{KEYWORDS, Setter};
use super::values::{LogLevel, RekeyLimit, ValueError};
use super::words::{Line, SyntaxError};
use crate::connect::AddressFamily;
use crate::kex::Preset;
use crate::terminal::KeystrokeTiming;

/// `StrictHostKeyChecking`: what happens with a host key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictHostKeyChecking {
    /// Refuse it.
    Yes,
    /// Ask the user (the default).
    Ask,
    /// Save it and go on; a changed key is refused.
    AcceptNew,
    /// Save it and go on, and go on with a changed key too, without passwords.
    No,
}

/// Settings of a connection; `None` and empty lists are what nobody has set. The first value set stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the ssh_config(5) keyword of the same name"
)]
pub struct Options {
    /// Not OpenSSH's: which of our lists of algorithms the edits below begin with.
    pub algorithm_preset: Option<Preset>,
    pub address_family: Option<AddressFamily>,
    pub batch_mode: Option<bool>,
    pub bind_address: Option<String>,
    pub ciphers: Option<String>,
    pub clear_all_forwardings: Option<bool>,
    pub compression: Option<bool>,
    pub connect_timeout: Option<Duration>,
    pub enable_escape_commandline: Option<bool>,
    pub escape_char: Option<EscapeChar>,
    pub exit_on_forward_failure: Option<bool>,
    pub fork_after_authentication: Option<bool>,
    pub forward_agent: Option<ForwardAgent>,
    pub forward_x11: Option<bool>,
    /// Zero: as long as the connection lives.
    pub forward_x11_timeout: Option<Duration>,
    pub forward_x11_trusted: Option<bool>,
    pub gateway_ports: Option<bool>,
    pub global_known_hosts_files: Option<Vec<String>>,
    pub host_key_algorithms: Option<String>,
    pub host_key_alias: Option<String>,
    pub host_name: Option<String>,
    pub identities_only: Option<bool>,
    pub identity_files: Vec<String>,
    pub kex_algorithms: Option<String>,
    /// `LocalForward` and `DynamicForward`, in their order.
    pub local_forwards: Vec<ForwardSpec>,
    pub log_level: Option<LogLevel>,
    pub macs: Option<String>,
    pub number_of_password_prompts: Option<u32>,
    pub obscure_keystroke_timing: Option<KeystrokeTiming>,
    pub password_authentication: Option<bool>,
    pub permit_remote_open: Option<PermitRemoteOpen>,
    pub port: Option<u16>,
    /// Everything behind the keyword, for the user's shell; `none` once jump hosts were named.
    pub proxy_command: Option<String>,
    /// In the order they are passed; empty for `none`.
    pub proxy_jump: Option<Vec<JumpHost>>,
    pub pubkey_authentication: Option<bool>,
    pub rekey_limit: Option<RekeyLimit>,
    pub remote_forwards: Vec<ForwardSpec>,
    pub request_tty: Option<RequestTty>,
    pub required_rsa_size: Option<usize>,
    /// Patterns of names.
    pub send_env: Vec<String>,
    pub server_alive_count_max: Option<u32>,
    pub server_alive_interval: Option<Duration>,
    pub session_type: Option<SessionType>,
    pub set_env: Vec<(String, String)>,
    pub stdin_null: Option<bool>,
    pub stream_local_bind_mask: Option<u32>,
    pub stream_local_bind_unlink: Option<bool>,
    pub strict_host_key_checking: Option<StrictHostKeyChecking>,
    pub tcp_keep_alive: Option<bool>,
    pub tunnel: Option<Tunnel>,
    pub tunnel_device: Option<TunnelDevice>,
    pub user: Option<String>,
    pub user_known_hosts_files: Option<Vec<String>>,
    pub version_addendum: Option<String>,
    pub warn_weak_crypto: Option<bool>,
    pub x_auth_location: Option<String>,
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No keyword of this name is known.
    #[error("Bad configuration option: {name}{}", .suggestion.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default())]
    Unknown {
        /// The name as written.
        name: String,
        /// The known keyword that is nearest to it, if one is near.
        suggestion: Option<&'static str>,
    },
    /// OpenSSH knows it; this program does not do it yet.
    #[error("the option {0} is not supported yet")]
    Unsupported(String),
    /// The keyword stands alone.
    #[error("{0} needs a value")]
    NoValue(String),
    /// More values than the keyword takes.
    #[error("{0} takes one value")]
    TooManyValues(String),
    /// A value is not of the keyword's form.
    #[error("{keyword}: {error}")]
    Value {
        /// The keyword.
        keyword: &'static str,
        /// What is wrong with its value.
        error: ValueError,
    },
    /// The line's form is broken.
    #[error(transparent)]
    Syntax(SyntaxError),
    /// The file is larger than a configuration can be.
    #[error("the file is larger than a configuration can be")]
    TooLarge,
}

/// Keywords that take more than one argument.
const LISTS: [&str; 9] = [
    "GlobalKnownHostsFile",
    "LocalForward",
    "PermitRemoteOpen",
    "RekeyLimit",
    "RemoteForward",
    "SendEnv",
    "SetEnv",
    "UserKnownHostsFile",
    "VersionAddendum",
];

/// Keywords whose one argument is the rest of the line, as it stands.
const RAW: [&str; 2] = ["ProxyCommand", "ProxyJump"];

impl Options {
    /// Takes one setting over; a value that is set already stays.
    ///
    /// # Errors
    /// A keyword that is not known, and a value that is not of its form.
    pub fn set(&mut self, line: &Line) -> Result<(), OptionError> {
        let (keyword, setter) = check_keyword(&line.keyword)?;
        let rest = [line.rest.clone()];
        let arguments = if RAW.contains(&keyword) && !line.rest.is_empty() {
            &rest
        } else {
            line.arguments.as_slice()
        };
        match arguments {
            [] => return Err(OptionError::NoValue(keyword.to_owned())),
            [_] => {}
            _ if LISTS.contains(&keyword) => {}
            _ => return Err(OptionError::TooManyValues(keyword.to_owned())),
        }
        setter(self, arguments).map_err(|error| OptionError::Value { keyword, error })
    }
}

/// The keyword that `name` means.
pub(super) fn check_keyword(name: &str) -> Result<(&'static str, Setter), OptionError> {
    let found = KEYWORDS
        .iter()
        .find(|(keyword, _)| keyword.eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| OptionError::Unknown {
        name: name.to_owned(),
        suggestion: crate::kex::nearest(name, KEYWORDS.iter().map(|(keyword, _)| *keyword)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::split_option;

    fn set(options: &mut Options, text: &str) -> Result<(), OptionError> {
        options.set(&split_option(text).unwrap().unwrap())
    }

    #[test]
    fn every_keyword_takes_a_value_and_keeps_the_first() {
        let mut options = Options::default();
        for (text, second) in [
            ("AddressFamily inet", "AddressFamily inet6"),
            ("BindAddress 127.0.0.1", "BindAddress ::1"),
            ("ClearAllForwardings yes", "ClearAllForwardings no"),
            ("EnableEscapeCommandline yes", "EnableEscapeCommandline no"),
            ("EscapeChar ^B", "EscapeChar none"),
            ("ExitOnForwardFailure yes", "ExitOnForwardFailure no"),
            ("ForkAfterAuthentication yes", "ForkAfterAuthentication no"),
            ("ForwardAgent /run/agent", "ForwardAgent no"),
            ("ForwardX11 yes", "ForwardX11 no"),
            ("ForwardX11Timeout 1h", "ForwardX11Timeout 0"),
            ("ForwardX11Trusted yes", "ForwardX11Trusted no"),
            ("GatewayPorts yes", "GatewayPorts no"),
            ("PermitRemoteOpen a:1 b:*", "PermitRemoteOpen any"),
            ("ProxyCommand nc \"%h\" %p # all", "ProxyCommand none"),
            ("RequestTTY force", "RequestTTY no"),
            ("SessionType none", "SessionType default"),
            ("StdinNull yes", "StdinNull no"),
            ("StreamLocalBindMask 0117", "StreamLocalBindMask 0177"),
            ("StreamLocalBindUnlink yes", "StreamLocalBindUnlink no"),
            ("Tunnel ethernet", "Tunnel no"),
            ("TunnelDevice 0:any", "TunnelDevice 1"),
            ("XAuthLocation /x", "XAuthLocation /y"),
            // The same forward twice is one.
            ("LocalForward 8080 host:80", "LocalForward 8080 host:80"),
            ("DynamicForward 1080", "DynamicForward 1080"),
            ("RemoteForward 0 host:80", "RemoteForward 0 host:80"),
            ("AlgorithmPreset narrow", "AlgorithmPreset legacy"),
            ("BatchMode yes", "BatchMode no"),
            ("Ciphers aes128-ctr", "Ciphers aes*"),
            ("Compression yes", "Compression no"),
            ("ConnectTimeout 3", "ConnectTimeout 4"),
            ("GlobalKnownHostsFile a b", "GlobalKnownHostsFile none"),
            ("HostKeyAlgorithms ssh-rsa", "HostKeyAlgorithms -ssh-rsa"),
            ("HostKeyAlias a", "HostKeyAlias b"),
            ("HostName a", "HostName b"),
            ("IdentitiesOnly yes", "IdentitiesOnly no"),
            ("KexAlgorithms curve25519-sha256", "KexAlgorithms ^ecdh*"),
            ("LogLevel DEBUG3", "LogLevel QUIET"),
            ("MACs +hmac-md5", "MACs hmac-md5"),
            ("NumberOfPasswordPrompts 1", "NumberOfPasswordPrompts 2"),
            ("PasswordAuthentication no", "PasswordAuthentication yes"),
            ("Port 22", "Port 23"),
            ("PubkeyAuthentication no", "PubkeyAuthentication yes"),
            ("RekeyLimit 1M 1h", "RekeyLimit default none"),
            ("RequiredRSASize 3072", "RequiredRSASize 1024"),
            ("ServerAliveCountMax 3", "ServerAliveCountMax 4"),
            ("ServerAliveInterval 15", "ServerAliveInterval 16"),
            ("SetEnv A=1 B=2", "SetEnv C=3"),
            ("StrictHostKeyChecking accept-new", "StrictHostKeyChecking no"),
            ("TCPKeepAlive no", "TCPKeepAlive yes"),
            ("User a", "User b"),
            ("UserKnownHostsFile none", "UserKnownHostsFile a"),
            ("VersionAddendum none", "VersionAddendum a b"),
            ("WarnWeakCrypto no-pq-kex", "WarnWeakCrypto yes"),
        ] {
            let before = options.clone();
            set(&mut options, text).unwrap();
            assert_ne!(options, before, "{text} sets nothing");
            let first = options.clone();
            set(&mut options, second).unwrap();
            assert_eq!(options, first, "{second} replaced the first value");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        for (text, expected) in [
            ("Port 0", "Port: \"0\" is not a port from 1 to 65535"),
            (
                "AlgorithmPreset broad",
                "AlgorithmPreset: \"broad\" is not narrow, wide or legacy",
            ),
            ("BatchMode maybe", "BatchMode: \"maybe\" is not yes or no"),
            ("User", "User needs a value"),
            ("User a b", "User takes one value"),
            (
                "Cipers x",
                "Bad configuration option: Cipers (did you mean Ciphers?)",
            ),
            ("Zebra x", "Bad configuration option: Zebra"),
            (
                "Ciphers ^aes128-ctr,3des-cbd",
                "Ciphers: \"^aes128-ctr,3des-cbd\" is not a list of algorithms: unknown cipher `3des-cbd`; \
                 did you mean `3des-cbc`?",
            ),
            (
                "MACs \"\"",
                "MACs: \"\" is not a list of algorithms: no MAC would be left",
            ),
        ] {
            assert_eq!(
                set(&mut Options::default(), text).unwrap_err().to_string(),
                expected
            );
        }
    }
}
