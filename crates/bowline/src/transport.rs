//! The transport's settings, which a client's and a server's configuration name alike.

use std::time::Duration;

use ssh_client::Keepalive;
use ssh_client::config_file::{RekeyLimit, RekeyTime};
use ssh_client::kex::{self, Preferences, Preset};
use ssh_client::keys::algorithm::rsa::MIN_MODULUS_BITS;
use ssh_client::wire::Identification;

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
    /// `RequiredRSASize`
    pub(crate) required_rsa_size: Option<usize>,
    /// `RekeyLimit`
    pub(crate) rekey: Option<RekeyLimit>,
    /// `VersionAddendum`; empty for `none`
    pub(crate) version_addendum: Option<&'a str>,
}

impl Settings<'_> {
    /// Lays the settings over the defaults.
    ///
    /// # Errors
    /// An algorithm nobody knows, by its name; an addendum that cannot be sent.
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
        // OpenSSH, too, takes a smaller number for its smallest.
        if let Some(bits) = self.required_rsa_size {
            transport.required_rsa_bits = bits.max(MIN_MODULUS_BITS);
        }
        if let Some(limit) = self.rekey {
            transport.rekey.bytes = limit.bytes.unwrap_or(transport.rekey.bytes);
            transport.rekey.time = match limit.time {
                RekeyTime::Default => transport.rekey.time,
                RekeyTime::Unlimited => None,
                RekeyTime::After(time) => Some(time),
            };
        }
        if let Some(text) = self.version_addendum.filter(|text| !text.is_empty()) {
            let line = Identification::ours(transport.identification.software(), Some(text));
            transport.identification = line.map_err(|error| format!("VersionAddendum: {error}"))?;
        }
        Ok(())
    }
}

/// `ServerAliveCountMax` and `ClientAliveCountMax` where only the interval is named.
const OPENSSH_COUNT_MAX: u32 = 3;

/// When to ask a silent peer for a sign of life, by OpenSSH's two numbers: after how much silence, and how many questions
/// may stay without an answer, 0 being any number. `None` for both leaves them to the default; whoever names an interval
/// alone gets OpenSSH's count; an interval of 0 asks never.
pub(crate) fn keepalive(
    interval: Option<Duration>,
    count_max: Option<u32>,
    usual: Option<Keepalive>,
) -> Option<Keepalive> {
    if interval.is_none() && count_max.is_none() {
        return usual;
    }
    let interval = interval.unwrap_or(Keepalive::default().interval);
    let count_max = count_max.unwrap_or(OPENSSH_COUNT_MAX);
    (!interval.is_zero()).then_some(Keepalive { interval, count_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_reach_the_transport_and_mistakes_are_named() {
        let mut transport = kex::Config::default();
        let rekey = RekeyLimit {
            bytes: Some(1 << 20),
            time: RekeyTime::Unlimited,
        };
        let settings = Settings {
            ciphers: Some("aes256-gcm@openssh.com"),
            rekey: Some(rekey),
            version_addendum: Some("of the house"),
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
        assert_eq!((transport.rekey.bytes, transport.rekey.time), (1 << 20, None));
        let line = transport.identification.as_str().to_owned();
        assert!(
            line.starts_with("SSH-2.0-Bowline_") && line.ends_with(" of the house"),
            "{line}"
        );
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
        for (bits, expected) in [(3072, 3072), (768, 1024)] {
            let settings = Settings {
                required_rsa_size: Some(bits),
                ..Settings::default()
            };
            settings.apply(&mut transport).unwrap();
            assert_eq!(transport.required_rsa_bits, expected);
        }
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
    #[test]
    fn what_is_named_default_or_none_is_left() {
        let usual = kex::Config::default();
        let mut transport = usual.clone();
        let settings = Settings {
            rekey: Some(RekeyLimit::default()),
            version_addendum: Some(""),
            ..Settings::default()
        };
        settings.apply(&mut transport).unwrap();
        assert_eq!(transport.rekey, usual.rekey);
        assert_eq!(transport.identification.as_str(), usual.identification.as_str());
    }

    #[test]
    fn the_longest_addendum_fits_the_line() {
        let text = "x".repeat(ssh_client::config_file::MAX_ADDENDUM_BYTES);
        let mut transport = kex::Config::default();
        let settings = Settings {
            version_addendum: Some(&text),
            ..Settings::default()
        };
        settings.apply(&mut transport).unwrap();
        assert!(transport.identification.as_str().ends_with(&text));
    }

    #[test]
    fn signs_of_life_are_asked_for_as_openssh_counts() {
        let seconds = Duration::from_secs;
        let usual = Some(Keepalive::default());
        let asked =
            |interval, count_max| keepalive(interval, count_max, usual).map(|it| (it.interval, it.count_max));
        assert_eq!(asked(None, None), Some((seconds(15), 2)));
        assert_eq!(keepalive(None, None, None), None);
        assert_eq!(asked(Some(seconds(0)), Some(3)), None);
        assert_eq!(asked(Some(seconds(7)), None), Some((seconds(7), 3)));
        assert_eq!(asked(Some(seconds(7)), Some(1)), Some((seconds(7), 1)));
        assert_eq!(asked(None, Some(0)), Some((seconds(15), 0)));
    }
}
