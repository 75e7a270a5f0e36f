//! The transport's settings, which a client's and a server's configuration name alike.

use ssh_client::config_file::RekeyLimit;
use ssh_client::kex::{self, Preferences, Preset};

/// What a configuration says about algorithms and keys; `None` leaves the default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings<'a> {
    /// `AlgorithmPreset`: what the edits begin with.
    pub(crate) preset: Option<Preset>,
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
        if let Some(preset) = self.preset {
            *preferences = Preferences::preset(preset);
        }
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
        let legacy = "diffie-hellman-group1-sha1";
        let has = |transport: &kex::Config| transport.preferences.kex.iter().any(|each| each.name == legacy);
        let edited = |preset, kex| {
            let mut transport = kex::Config::for_server();
            let settings = Settings {
                preset,
                kex,
                ..Settings::default()
            };
            settings.apply(&mut transport).map(|()| has(&transport))
        };
        assert_eq!(edited(None, None), Ok(false));
        assert_eq!(edited(Some(Preset::Wide), Some("+*")), Ok(false));
        assert_eq!(edited(Some(Preset::Legacy), None), Ok(true));
        assert_eq!(
            edited(Some(Preset::Legacy), Some("-*-sha1")),
            Ok(false),
            "an edit of the preset"
        );
        assert_eq!(edited(None, Some(legacy)), Ok(true), "named, so wanted");
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
