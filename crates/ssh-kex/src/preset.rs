//! Three lists of algorithms with a name each, derived from the registries' tiers.

use std::fmt;
use std::str::FromStr;

use crate::preferences::{PreferenceError, nearest};

/// A named choice of algorithms ([`Preferences::preset`](crate::Preferences::preset)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// What every current peer knows: post-quantum hybrids and curve25519, authenticated ciphers and AES-CTR,
    /// encrypt-then-MAC. A server's default.
    Narrow,
    /// What reaches every server that is maintained today. A client's default.
    Wide,
    /// Everything there is, broken hashes and ciphers too: for a peer that can no longer be changed. Nothing but this name
    /// leads here.
    Legacy,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::Narrow, Self::Wide, Self::Legacy];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Narrow => "narrow",
            Self::Wide => "wide",
            Self::Legacy => "legacy",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = PreferenceError;

    fn from_str(name: &str) -> Result<Self, PreferenceError> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| PreferenceError::Unknown {
            what: "preset",
            name: name.to_owned(),
            nearest: nearest(name, Self::ALL.into_iter().map(Self::name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preferences;
    use crate::keys::algorithm;
    use crate::method;
    use crate::preferences::Registered;
    use crate::wire::{Tier, cipher, mac};

    #[test]
    fn presets_are_found_by_their_names() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        let error = "legcay".parse::<Preset>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown preset `legcay`; did you mean `legacy`?"
        );
        assert!("".parse::<Preset>().is_err() && "Wide".parse::<Preset>().is_err());
    }

    fn check<T: Registered>(all: &[&'static T], lists: [&[&'static T]; 3]) {
        let [narrow, wide, legacy] = lists;
        assert!(
            narrow.iter().all(|each| each.tier() == Tier::Recommended),
            "{narrow:?}"
        );
        assert!(
            wide.starts_with(narrow) && legacy.starts_with(wide),
            "better ones first"
        );
        assert!(wide.iter().all(|each| each.tier() != Tier::Legacy), "{wide:?}");
        for each in all {
            assert!(legacy.contains(each), "{each:?}");
            assert_eq!(wide.contains(each), each.tier() != Tier::Legacy, "{each:?}");
        }
    }

    #[test]
    fn a_preset_is_a_tier_and_those_above_it() {
        let lists = Preset::ALL.map(Preferences::preset);
        let [narrow, wide, legacy] = &lists;
        check(method::ALL, [&narrow.kex, &wide.kex, &legacy.kex]);
        check(cipher::ALL, [&narrow.ciphers, &wide.ciphers, &legacy.ciphers]);
        check(mac::ALL, [&narrow.macs, &wide.macs, &legacy.macs]);
        assert_eq!(
            narrow.host_keys, wide.host_keys,
            "a server's host keys are its owner's choice"
        );
        assert_eq!(legacy.host_keys.len(), algorithm::ALL.len());
        assert_eq!(*wide, Preferences::for_client());
        assert_eq!(*narrow, Preferences::for_server());
    }

    #[test]
    fn only_the_preset_and_the_whole_name_lead_to_what_is_legacy() {
        let has_legacy = |list: &Preferences| list.kex.iter().any(|each| each.tier == Tier::Legacy);
        for preset in [Preset::Narrow, Preset::Wide] {
            for edit in ["*", "+*", "^*", "diffie-hellman-*", "+*-sha1,*", "+*sha?,*"] {
                let mut list = Preferences::preset(preset);
                let outcome = list.edit_kex(edit);
                assert!(!has_legacy(&list), "{edit} {outcome:?}");
            }
            for method in method::ALL.iter().filter(|method| method.tier == Tier::Legacy) {
                for operator in ["", "+", "^"] {
                    let mut list = Preferences::preset(preset);
                    list.edit_kex(&format!("{operator}{}", method.name)).unwrap();
                    assert!(list.kex.contains(method), "{method:?}");
                }
            }
        }
        let mut list = Preferences::preset(Preset::Legacy);
        list.edit_kex("-*-sha1").unwrap();
        assert!(!has_legacy(&list), "what is taken away may be legacy");
    }
}
