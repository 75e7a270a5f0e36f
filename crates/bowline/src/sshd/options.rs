//! The keywords of sshd_config(5) that `bowline sshd` knows. One table says what there is.

use std::time::Duration;

use ssh_client::config_file::{
    Line, LogLevel, RekeyLimit, ValueError, algorithms, log_level, rekey_limit, seconds, split_line,
    version_addendum, yes_no,
};
use ssh_client::kex::{Preferences, Preset, nearest};
use ssh_server::{ChannelTimeouts, GatewayPorts, MaxStartups, PermitTunnel};

use super::values::{
    Directions, bits, channel_timeouts, compression, count, directions, display, extend, files, first,
    gateway_ports, mask, max_startups, port, preset, set_env, subsystem, text, time_or_none, tunnel,
};

/// Settings of the server; `None` and empty lists are what nobody has set. The first value set stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) accept_env: Vec<String>,
    pub(crate) algorithm_preset: Option<Preset>,
    pub(crate) allow_agent_forwarding: Option<bool>,
    pub(crate) allow_stream_local_forwarding: Option<Directions>,
    pub(crate) allow_tcp_forwarding: Option<Directions>,
    pub(crate) authorized_keys_files: Option<Vec<String>>,
    pub(crate) channel_timeout: Option<ChannelTimeouts>,
    pub(crate) ciphers: Option<String>,
    pub(crate) client_alive_count_max: Option<u32>,
    pub(crate) client_alive_interval: Option<Duration>,
    pub(crate) compression: Option<bool>,
    pub(crate) disable_forwarding: Option<bool>,
    pub(crate) force_command: Option<String>,
    pub(crate) gateway_ports: Option<GatewayPorts>,
    pub(crate) host_key_algorithms: Option<String>,
    pub(crate) host_certificates: Vec<String>,
    pub(crate) host_keys: Vec<String>,
    pub(crate) kex_algorithms: Option<String>,
    pub(crate) listen_addresses: Vec<String>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) login_grace_time: Option<Duration>,
    pub(crate) macs: Option<String>,
    pub(crate) max_auth_tries: Option<u32>,
    pub(crate) max_sessions: Option<u32>,
    pub(crate) max_startups: Option<MaxStartups>,
    pub(crate) moduli_file: Option<String>,
    pub(crate) password_authentication: Option<bool>,
    pub(crate) permit_listen: Option<Vec<String>>,
    pub(crate) permit_open: Option<Vec<String>>,
    pub(crate) permit_tty: Option<bool>,
    pub(crate) permit_tunnel: Option<PermitTunnel>,
    pub(crate) ports: Vec<u16>,
    pub(crate) pubkey_authentication: Option<bool>,
    pub(crate) rekey_limit: Option<RekeyLimit>,
    pub(crate) required_rsa_size: Option<usize>,
    pub(crate) set_env: Option<Vec<(String, String)>>,
    pub(crate) stream_local_bind_mask: Option<u32>,
    pub(crate) stream_local_bind_unlink: Option<bool>,
    pub(crate) strict_modes: Option<bool>,
    pub(crate) tcp_keep_alive: Option<bool>,
    pub(crate) subsystems: Vec<(String, String)>,
    pub(crate) unused_connection_timeout: Option<Option<Duration>>,
    pub(crate) version_addendum: Option<String>,
    pub(crate) x11_display_offset: Option<u16>,
    pub(crate) x11_forwarding: Option<bool>,
    pub(crate) x11_use_localhost: Option<bool>,
}

type Setter = fn(&mut Options, &[String]) -> Result<(), ValueError>;

/// Every keyword, in OpenSSH's spelling, with the most arguments it takes.
const KEYWORDS: &[(&str, usize, Setter)] = &[
    ("AcceptEnv", usize::MAX, |to, from| {
        extend(&mut to.accept_env, from)
    }),
    // Not OpenSSH's: which of our lists of algorithms the edits begin with.
    ("AlgorithmPreset", 1, |to, from| {
        first(&mut to.algorithm_preset, from, preset)
    }),
    ("AllowAgentForwarding", 1, |to, from| {
        first(&mut to.allow_agent_forwarding, from, yes_no)
    }),
    ("AllowStreamLocalForwarding", 1, |to, from| {
        first(&mut to.allow_stream_local_forwarding, from, directions)
    }),
    ("AllowTcpForwarding", 1, |to, from| {
        first(&mut to.allow_tcp_forwarding, from, directions)
    }),
    ("AuthorizedKeysFile", usize::MAX, |to, from| {
        files(&mut to.authorized_keys_files, from)
    }),
    ("ChannelTimeout", usize::MAX, |to, from| {
        let timeouts = channel_timeouts(from)?;
        to.channel_timeout.get_or_insert(timeouts);
        Ok(())
    }),
    ("Ciphers", 1, |to, from| {
        first(&mut to.ciphers, from, |list| {
            algorithms(list, Preferences::edit_ciphers)
        })
    }),
    ("ClientAliveCountMax", 1, |to, from| {
        first(&mut to.client_alive_count_max, from, count)
    }),
    ("ClientAliveInterval", 1, |to, from| {
        first(&mut to.client_alive_interval, from, seconds)
    }),
    ("Compression", 1, |to, from| {
        first(&mut to.compression, from, compression)
    }),
    ("DisableForwarding", 1, |to, from| {
        first(&mut to.disable_forwarding, from, yes_no)
    }),
    ("ForceCommand", usize::MAX, |to, from| {
        to.force_command.get_or_insert_with(|| from.join(" "));
        Ok(())
    }),
    ("GatewayPorts", 1, |to, from| {
        first(&mut to.gateway_ports, from, gateway_ports)
    }),
    ("HostCertificate", 1, |to, from| {
        extend(&mut to.host_certificates, from)
    }),
    ("HostKey", 1, |to, from| extend(&mut to.host_keys, from)),
    ("HostKeyAlgorithms", 1, |to, from| {
        first(&mut to.host_key_algorithms, from, |list| {
            algorithms(list, Preferences::edit_host_keys)
        })
    }),
    ("KexAlgorithms", 1, |to, from| {
        first(&mut to.kex_algorithms, from, |list| {
            algorithms(list, Preferences::edit_kex)
        })
    }),
    ("ListenAddress", 1, |to, from| {
        extend(&mut to.listen_addresses, from)
    }),
    ("LogLevel", 1, |to, from| {
        first(&mut to.log_level, from, log_level)
    }),
    ("LoginGraceTime", 1, |to, from| {
        first(&mut to.login_grace_time, from, seconds)
    }),
    ("MACs", 1, |to, from| {
        first(&mut to.macs, from, |list| {
            algorithms(list, Preferences::edit_macs)
        })
    }),
    ("MaxAuthTries", 1, |to, from| {
        first(&mut to.max_auth_tries, from, count)
    }),
    ("MaxSessions", 1, |to, from| {
        first(&mut to.max_sessions, from, count)
    }),
    ("MaxStartups", 1, |to, from| {
        first(&mut to.max_startups, from, max_startups)
    }),
    ("ModuliFile", 1, |to, from| first(&mut to.moduli_file, from, text)),
    ("PasswordAuthentication", 1, |to, from| {
        first(&mut to.password_authentication, from, yes_no)
    }),
    ("PermitListen", usize::MAX, |to, from| {
        to.permit_listen.get_or_insert_with(|| from.to_vec());
        Ok(())
    }),
    ("PermitOpen", usize::MAX, |to, from| {
        to.permit_open.get_or_insert_with(|| from.to_vec());
        Ok(())
    }),
    ("PermitTTY", 1, |to, from| first(&mut to.permit_tty, from, yes_no)),
    ("PermitTunnel", 1, |to, from| {
        first(&mut to.permit_tunnel, from, tunnel)
    }),
    ("Port", 1, |to, from| {
        to.ports
            .push(port(from.first().map(String::as_str).unwrap_or_default())?);
        Ok(())
    }),
    ("PubkeyAuthentication", 1, |to, from| {
        first(&mut to.pubkey_authentication, from, yes_no)
    }),
    ("RekeyLimit", 2, |to, from| {
        let limit = rekey_limit(from)?;
        to.rekey_limit = Some(to.rekey_limit.map_or(limit, |first| first.or_later(limit)));
        Ok(())
    }),
    ("RequiredRSASize", 1, |to, from| {
        first(&mut to.required_rsa_size, from, bits)
    }),
    ("SetEnv", usize::MAX, |to, from| set_env(&mut to.set_env, from)),
    ("StreamLocalBindMask", 1, |to, from| {
        first(&mut to.stream_local_bind_mask, from, mask)
    }),
    ("StreamLocalBindUnlink", 1, |to, from| {
        first(&mut to.stream_local_bind_unlink, from, yes_no)
    }),
    ("StrictModes", 1, |to, from| {
        first(&mut to.strict_modes, from, yes_no)
    }),
    ("Subsystem", usize::MAX, |to, from| {
        subsystem(&mut to.subsystems, from)
    }),
    ("TCPKeepAlive", 1, |to, from| {
        first(&mut to.tcp_keep_alive, from, yes_no)
    }),
    ("UnusedConnectionTimeout", 1, |to, from| {
        first(&mut to.unused_connection_timeout, from, time_or_none)
    }),
    ("VersionAddendum", usize::MAX, |to, from| {
        let text = version_addendum(from)?;
        to.version_addendum.get_or_insert(text);
        Ok(())
    }),
    ("X11DisplayOffset", 1, |to, from| {
        first(&mut to.x11_display_offset, from, display)
    }),
    ("X11Forwarding", 1, |to, from| {
        first(&mut to.x11_forwarding, from, yes_no)
    }),
    ("X11UseLocalhost", 1, |to, from| {
        first(&mut to.x11_use_localhost, from, yes_no)
    }),
];

impl Options {
    /// Takes one setting over; `place` names the file and line, or the command line.
    ///
    /// # Errors
    /// A sentence that names the place, the keyword and what is wrong.
    pub(crate) fn set(&mut self, line: &Line, place: &str) -> Result<(), String> {
        let found = KEYWORDS
            .iter()
            .find(|(keyword, ..)| keyword.eq_ignore_ascii_case(&line.keyword));
        let Some((keyword, most, setter)) = found else {
            let near = nearest(&line.keyword, KEYWORDS.iter().map(|(keyword, ..)| *keyword));
            let hint = near
                .map(|near| format!(" (did you mean {near}?)"))
                .unwrap_or_default();
            return Err(format!(
                "{place}: Bad configuration option: {}{hint}",
                line.keyword
            ));
        };
        if line.arguments.is_empty() {
            return Err(format!("{place}: {keyword} needs a value"));
        }
        if line.arguments.len() > *most {
            return Err(format!("{place}: {keyword} takes no more than {most} value(s)"));
        }
        setter(self, &line.arguments).map_err(|error| format!("{place}: {keyword}: {error}"))
    }

    /// Takes over the settings of a file.
    ///
    /// # Errors
    /// As [`Options::set`], and a line that breaks the form.
    pub(crate) fn apply(&mut self, text: &str, path: &str) -> Result<(), String> {
        for (index, line) in text.lines().enumerate() {
            let place = format!("{path} line {}", index.saturating_add(1));
            match split_line(line) {
                Ok(None) => {}
                Ok(Some(line)) => self.set(&line, &place)?,
                Err(error) => return Err(format!("{place}: {error}")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> Result<Options, String> {
        let mut options = Options::default();
        options.apply(text, "sshd_config").map(|()| options)
    }

    #[test]
    fn a_configuration_is_read() {
        let options = applied(
            "# comment\nPort 2222\nPort 0\nListenAddress 127.0.0.1\nHostKey /k1\nHostKey /k2\nHostCertificate /c1\nHostCertificate /c2\nRequiredRSASize 3072\nMaxStartups 10:30:100\n\
             LoginGraceTime 30s\nAcceptEnv LANG LC_*\nSubsystem sftp internal-sftp\nPasswordAuthentication no\nPasswordAuthentication yes\n",
        )
        .unwrap();
        assert_eq!(options.ports, [2222, 0]);
        assert_eq!(options.host_keys, ["/k1", "/k2"]);
        assert_eq!(options.host_certificates, ["/c1", "/c2"]);
        assert_eq!(options.required_rsa_size, Some(3072));
        assert_eq!(options.max_startups, Some(MaxStartups::new(10, 30, 100)));
        assert_eq!(options.login_grace_time, Some(Duration::from_secs(30)));
        assert_eq!(options.accept_env, ["LANG", "LC_*"]);
        assert_eq!(options.password_authentication, Some(false));
    }

    #[test]
    fn what_may_be_forwarded_is_read() {
        let options = applied(
            "AllowTcpForwarding local\nAllowStreamLocalForwarding remote\nGatewayPorts clientspecified\nDisableForwarding no\n\
             StreamLocalBindMask 0117\nStreamLocalBindUnlink yes\nX11DisplayOffset 20\nX11UseLocalhost no\n\
             ChannelTimeout session:*=5m direct-tcpip=30\nUnusedConnectionTimeout 1h\nPermitTunnel no\nPermitListen 8080 localhost:*\n",
        )
        .unwrap();
        let local = Directions {
            local: true,
            remote: false,
        };
        let remote = Directions {
            local: false,
            remote: true,
        };
        assert_eq!(options.allow_tcp_forwarding, Some(local));
        assert_eq!(options.allow_stream_local_forwarding, Some(remote));
        assert_eq!(options.gateway_ports, Some(GatewayPorts::ClientSpecified));
        assert_eq!(options.disable_forwarding, Some(false));
        assert_eq!(options.stream_local_bind_mask, Some(0o117));
        assert_eq!(options.stream_local_bind_unlink, Some(true));
        assert_eq!(
            (options.x11_display_offset, options.x11_use_localhost),
            (Some(20), Some(false))
        );
        let timeouts = options.channel_timeout.unwrap();
        assert_eq!(timeouts.of("session:shell"), Some(Duration::from_secs(300)));
        assert_eq!(timeouts.of("direct-tcpip"), Some(Duration::from_secs(30)));
        assert_eq!(
            options.unused_connection_timeout,
            Some(Some(Duration::from_secs(3600)))
        );
        assert_eq!(options.permit_listen.unwrap(), ["8080", "localhost:*"]);
        let none = applied("UnusedConnectionTimeout none\nChannelTimeout none\n").unwrap();
        assert_eq!(none.unused_connection_timeout, Some(None));
        assert!(none.channel_timeout.unwrap().is_empty());
    }

    #[test]
    fn compression_is_yes_delayed_or_no() {
        for (text, expected) in [("yes", true), ("delayed", true), ("no", false)] {
            let options = applied(&format!("Compression {text}\n")).unwrap();
            assert_eq!(options.compression, Some(expected));
        }
        assert_eq!(
            applied("Compression zlib").unwrap_err(),
            "sshd_config line 1: Compression: \"zlib\" is not yes, delayed or no"
        );
    }

    #[test]
    fn mistakes_name_the_place_and_the_word() {
        for (text, expected) in [
            (
                "Prot 22",
                "sshd_config line 1: Bad configuration option: Prot (did you mean Port?)",
            ),
            (
                "\nPort x",
                "sshd_config line 2: Port: \"x\" is not a port from 0 to 65535",
            ),
            ("HostKey", "sshd_config line 1: HostKey needs a value"),
            (
                "\nKexAlgorithms curve25519-sha257",
                "sshd_config line 2: KexAlgorithms: \"curve25519-sha257\" is not a list of algorithms: \
                 unknown key exchange method `curve25519-sha257`; did you mean `curve25519-sha256`?",
            ),
            (
                "HostKey a b",
                "sshd_config line 1: HostKey takes no more than 1 value(s)",
            ),
            (
                "AlgorithmPreset everything",
                "sshd_config line 1: AlgorithmPreset: \"everything\" is not narrow, wide or legacy",
            ),
            (
                "AllowTcpForwarding both",
                "sshd_config line 1: AllowTcpForwarding: \"both\" is not yes, no, all, local or remote",
            ),
            (
                "GatewayPorts maybe",
                "sshd_config line 1: GatewayPorts: \"maybe\" is not yes, no or clientspecified",
            ),
            (
                "PermitTunnel both",
                "sshd_config line 1: PermitTunnel: \"both\" is not yes, point-to-point, ethernet or no",
            ),
            (
                "StreamLocalBindMask 1000",
                "sshd_config line 1: StreamLocalBindMask: \"1000\" is not an octal mask from 0 to 0777",
            ),
            (
                "ChannelTimeout session:shell",
                "sshd_config line 1: ChannelTimeout: \"session:shell\" is not a type of channels, = and a time",
            ),
            (
                "MaxStartups 10:0:5",
                "sshd_config line 1: MaxStartups: \"10:0:5\" is not a number, or start:rate:full",
            ),
        ] {
            assert_eq!(applied(text).unwrap_err(), expected);
        }
    }
}
