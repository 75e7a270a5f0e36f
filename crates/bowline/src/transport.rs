//! The transport's settings, which a client's and a server's configuration name alike.

use ssh_client::config_file::RekeyLimit;
use ssh_client::kex;

/// What a configuration says about algorithms and keys; `None` leaves the default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings<'a> {
    /// `KexAlgorithms`
    pub(crate) kex: Option<&'a str>,
    /// `Ciphers`
    pub(crate) ciphers: Option<&'a str>,
    /// `MACs`
    pub(crate) macs: Option<&'a str>,
    /// What `Compression` makes of the list of methods.
    pub(crate) compression: Option<&'a str>,
    /// `HostKeyAlgorithms`
    pub(crate) host_keys: Option<&'a str>,
    /// `RekeyLimit`
    pub(crate) rekey: Option<RekeyLimit>,
}

impl Settings<'_> {
    /// Lays the settings over the defaults.
    ///
    /// # Errors
    /// An algorithm nobody knows, by its name.
    pub(crate) fn apply(self, transport: &mut kex::Config) -> Result<(), String> {
        let preferences = &mut transport.preferences;
        let edits = [
            self.kex.map(|list| preferences.edit_kex(list)),
            self.ciphers.map(|list| preferences.edit_ciphers(list)),
            self.macs.map(|list| preferences.edit_macs(list)),
            self.compression.map(|list| preferences.edit_compression(list)),
            self.host_keys.map(|list| preferences.edit_host_keys(list)),
        ];
        for edit in edits.into_iter().flatten() {
            edit.map_err(|error| error.to_string())?;
        }
        if let Some(limit) = self.rekey {
            transport.rekey.bytes = limit.bytes.unwrap_or(transport.rekey.bytes);
            transport.rekey.time = limit.time.or(transport.rekey.time);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_reach_the_transport_and_mistakes_are_named() {
        let mut transport = kex::Config::default();
        let rekey = RekeyLimit {
            bytes: Some(1 << 20),
            time: None,
        };
        let settings = Settings {
            ciphers: Some("aes256-gcm@openssh.com"),
            rekey: Some(rekey),
            ..Settings::default()
        };
        settings.apply(&mut transport).unwrap();
        assert_eq!(
            transport
                .preferences
                .ciphers
                .iter()
                .map(|each| each.name)
                .collect::<Vec<_>>(),
            ["aes256-gcm@openssh.com"]
        );
        assert_eq!(transport.rekey.bytes, 1 << 20);
        let error = Settings {
            kex: Some("curve25519-sha257"),
            ..Settings::default()
        }
        .apply(&mut transport)
        .unwrap_err();
        assert!(
            error.contains("curve25519-sha257") && error.contains("curve25519-sha256"),
            "{error}"
        );
    }
}
