//! The variables that are sent: `SendEnv` and `SetEnv`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use ssh_client::config_file::Options;
use ssh_client::keys::pattern::matches;

/// The most variables sent: each is a request of its own to the server.
const MAX_VARIABLES: usize = 1024;

/// The variables of this process that a pattern of `SendEnv` fits, then those of `SetEnv`, in the order they are sent:
/// a server keeps the last value of a name.
pub(super) fn to_send(
    options: &Options,
    own: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_wanted = |name: &[u8]| {
        let mut patterns = options.send_env.iter();
        patterns.any(|pattern| matches(pattern.as_bytes(), name))
    };
    let sent = own
        .into_iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .filter(|(name, _)| is_wanted(name));
    let set = options.set_env.iter();
    let set = set.map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()));
    sent.chain(set).take(MAX_VARIABLES).collect()
}

#[cfg(test)]
mod tests {
    use ssh_client::config_file::split_option;

    use super::*;

    fn names(lines: &[&str], own: &[&str]) -> String {
        let mut options = Options::default();
        for line in lines {
            options.set(&split_option(line).unwrap().unwrap()).unwrap();
        }
        let own = own.iter().map(|name| (name.into(), "v".into()));
        let names = to_send(&options, own)
            .into_iter()
            .map(|(name, _)| String::from_utf8(name).unwrap());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn patterns_choose_and_take_away() {
        let own = ["LANG", "LC_ALL", "LC_TIME", "PATH"];
        assert_eq!(names(&[], &own), "");
        assert_eq!(names(&["SendEnv LANG LC_*"], &own), "LANG LC_ALL LC_TIME");
        assert_eq!(names(&["SendEnv LC_A?L", "SendEnv=PATH"], &own), "LC_ALL PATH");
        assert_eq!(names(&["SendEnv LANG LC_*", "SendEnv -LC_*"], &own), "LANG");
        assert_eq!(names(&["SendEnv LANG LC_* -L*"], &own), "");
        assert_eq!(names(&["SendEnv -*", "SendEnv LANG"], &own), "LANG");
        assert_eq!(names(&["SendEnv LANG", "SetEnv A=1 LANG=x"], &own), "LANG A LANG");
        let many: Vec<String> = (0..MAX_VARIABLES + 1).map(|each| format!("V{each}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(names(&["SendEnv V*"], &many).split(' ').count(), MAX_VARIABLES);
    }
}
