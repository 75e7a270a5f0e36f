//! Login by the keys of `authorized_keys` files (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").
//!
//! The files are read anew for every question, so a key that is taken out does not log in again. A file counts only if
//! nobody but its owner and root could have written it ("strict modes"): otherwise whoever can write to the directory
//! above chooses who logs in.
//!
//! What a key's options forbid is enforced, or the key is refused. Two of them need a word: without `Z` an
//! `expiry-time` is meant in local time, which this process does not know, so such a key expires up to 14 hours early;
//! `environment` counts only where the server allows it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};

use crate::account::Account;
use crate::application::{Candidate, Decision};
use crate::aside::{KEY_FILES, aside};
use crate::forward::{Destination, ListenPlace};
use crate::keys::authorized_keys::{AuthorizedKeys, KeyOptions};
use crate::keys::{Demands, PublicKey};
use crate::peer::{Peer, Printable};
use crate::permissions::Permissions;

/// Where the keys of an account are listed.
#[derive(Clone, Debug)]
pub struct AuthorizedKeysFiles {
    patterns: Vec<String>,
    strict_modes: bool,
    user_environment: bool,
}

impl Default for AuthorizedKeysFiles {
    /// `.ssh/authorized_keys` in the account's home, with strict modes.
    fn default() -> Self {
        Self::new([".ssh/authorized_keys"])
    }
}

impl AuthorizedKeysFiles {
    /// Files by their paths: `%h` stands for the account's home, `%u` for its name, `%U` for its number, `%%` for a
    /// percent sign; a relative path begins at home. All that comes into a path is the account's own: a name that a
    /// stranger typed never does.
    pub fn new<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self {
            patterns: patterns.into_iter().map(Into::into).collect(),
            strict_modes: true,
            user_environment: false,
        }
    }

    /// Whether a file counts only if nobody but its owner and root could have written it. On by default.
    #[must_use]
    pub fn strict_modes(self, strict_modes: bool) -> Self {
        Self { strict_modes, ..self }
    }

    /// Whether `environment="…"` of a key has an effect. Off by default: a variable can change what a forced command
    /// does.
    #[must_use]
    pub fn user_environment(self, user_environment: bool) -> Self {
        Self {
            user_environment,
            ..self
        }
    }

    /// Whether `key` may log into `account` from where `candidate` is, and what it then may do.
    pub async fn decide(&self, account: &Account, candidate: &Candidate, key: &PublicKey) -> Decision {
        self.look_aside(account, &candidate.peer, key)
            .await
            .map_or(Decision::Refuse, Decision::Accept)
    }

    /// The files may lie where nothing answers, and anybody can name their owner: the threads that read them are counted.
    async fn look_aside(&self, account: &Account, peer: &Peer, key: &PublicKey) -> Option<Permissions> {
        let (files, account, peer, key) = (self.clone(), account.clone(), peer.clone(), key.clone());
        let looked = aside(&KEY_FILES, move || Ok(files.look(&account, &peer, &key)));
        // Reading has panicked or the runtime is ending: nobody logs in then.
        looked.await.ok().flatten()
    }

    fn look(&self, account: &Account, peer: &Peer, key: &PublicKey) -> Option<Permissions> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let now = i64::try_from(now.as_secs()).ok()?;
        self.patterns.iter().find_map(|pattern| {
            let path = expand(pattern, account)?;
            let text = match read(&path, account, self.strict_modes) {
                Ok(text) => text,
                Err(Unread::Missing) => return None,
                Err(why) => {
                    tracing::warn!(path = %Printable(path.as_os_str().as_bytes()), %why, "keys file does not count");
                    return None;
                }
            };
            let keys = AuthorizedKeys::parse(&text);
            for bad in keys.bad_lines() {
                tracing::debug!(path = %Printable(path.as_os_str().as_bytes()), ?bad, "line grants nothing");
            }
            keys.find_all(key).find_map(|entry| self.permissions(key, &entry.options, peer, now))
        })
    }

    /// What a key with these options may do from `peer` now; `None` if nothing.
    fn permissions(
        &self,
        key: &PublicKey,
        options: &KeyOptions,
        peer: &Peer,
        now: i64,
    ) -> Option<Permissions> {
        let from_here = match peer.ip() {
            Some(address) => options.allows_address(address),
            None => options.from.is_none(),
        };
        // What a security key's owner did cannot be seen in the signature of another kind of key.
        let unknowable = options.verify_required && !key.is_security_key();
        if !from_here || options.expired(now, LARGEST_OFFSET_SECONDS) || unknowable {
            return None;
        }
        let destination = |target: &crate::keys::authorized_keys::ForwardTarget| {
            Destination::new(target.host.clone(), target.port)
        };
        let place = |target: &crate::keys::authorized_keys::ForwardTarget| {
            ListenPlace::new(target.host.as_deref().unwrap_or("*"), target.port)
        };
        Some(Permissions {
            forced_command: options.command.clone(),
            environment: if self.user_environment {
                options.environment.clone()
            } else {
                Vec::new()
            },
            port_forwarding: !options.no_port_forwarding,
            permit_open: (!options.permit_open.is_empty())
                .then(|| options.permit_open.iter().map(destination).collect()),
            permit_listen: (!options.permit_listen.is_empty())
                .then(|| options.permit_listen.iter().map(place).collect()),
            agent_forwarding: !options.no_agent_forwarding,
            x11_forwarding: !options.no_x11_forwarding,
            tunnel: options.tunnel,
            terminal: !options.no_pty,
            security_key: Demands {
                touch: !options.no_touch_required,
                verification: options.verify_required,
            },
        })
    }
}

/// The path a pattern stands for; `None` if it has a token that is not known.
fn expand(pattern: &str, account: &Account) -> Option<PathBuf> {
    let mut path = Vec::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '%' => match rest.next()? {
                '%' => path.push(b'%'),
                'h' => path.extend_from_slice(account.home.as_os_str().as_bytes()),
                'u' => path.extend_from_slice(account.name.as_bytes()),
                'U' => path.extend_from_slice(account.uid.to_string().as_bytes()),
                _ => return None,
            },
            other => path.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(account.home.join(std::ffi::OsStr::from_bytes(&path)))
}

/// Why a file does not count.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("there is none")]
    Missing,
    #[error("{0}")]
    Io(io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    #[error("bad ownership or modes of {0}")]
    Unsafe(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Io(error)
        }
    }
}

/// The content of a file that nobody else could have written.
fn read(path: &Path, account: &Account, strict: bool) -> Result<Vec<u8>, Unread> {
    // Opened without blocking, should it be a FIFO; everything that is checked is checked on what was opened.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Unread::NotAFile);
    }
    if strict {
        check_modes(path, &found, account)?;
    }
    let mut text = Vec::new();
    let limit = MAX_FILE_BYTES.saturating_add(1);
    file.take(limit).read_to_end(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length < limit) {
        Ok(text)
    } else {
        Err(Unread::TooLarge)
    }
}

/// Checks the file and every directory above it, up to the account's home or the root.
fn check_modes(path: &Path, found: &Metadata, account: &Account) -> Result<(), Unread> {
    let refuse = |path: &Path| Err(Unread::Unsafe(Printable(path.as_os_str().as_bytes()).to_string()));
    if !is_safe(found, account.uid) {
        return refuse(path);
    }
    let home = account.home.canonicalize().ok();
    for directory in path.canonicalize()?.ancestors().skip(1) {
        let found = directory.metadata()?;
        // In a directory with the sticky bit (as /tmp) nobody can replace what belongs to another.
        let sticky = found.uid() == 0 && found.mode() & 0o1000 != 0;
        if !sticky && !is_safe(&found, account.uid) {
            return refuse(directory);
        }
        if home.as_deref() == Some(directory) {
            break;
        }
    }
    Ok(())
}

/// Owned by the user or root, and nobody else may write.
fn is_safe(found: &Metadata, uid: u32) -> bool {
    (found.uid() == uid || found.uid() == 0) && found.mode() & 0o022 == 0
}

/// The largest file of keys that is read: tens of thousands of keys.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// The zone that is furthest ahead of UTC: keys with a local `expiry-time` expire early rather than late.
const LARGEST_OFFSET_SECONDS: i32 = 14 * 60 * 60;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::aside::MAX_KEY_FILES;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJGT8m7HyDsLfrEEbFi6U0PDhLMvoLHdvDPaGHMrfdPS test";

    struct Home {
        directory: tempfile::TempDir,
        account: Account,
    }

    impl Home {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir(directory.path().join(".ssh")).unwrap();
            fs::set_permissions(directory.path().join(".ssh"), fs::Permissions::from_mode(0o700)).unwrap();
            let account = Account {
                home: directory.path().to_owned(),
                ..Account::current().unwrap()
            };
            Self { directory, account }
        }

        fn file(&self) -> PathBuf {
            self.directory.path().join(".ssh/authorized_keys")
        }

        fn write(&self, text: &str) {
            fs::write(self.file(), text).unwrap();
            self.mode(&self.file(), 0o600);
        }

        fn mode(&self, path: &Path, mode: u32) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn look(&self, files: &AuthorizedKeysFiles, peer: &str) -> Option<Permissions> {
            let key = PublicKey::from_openssh(KEY).unwrap().0;
            let peer = match peer {
                "" => Peer::named("pipe"),
                address => Peer::tcp(
                    format!("{address}:1").parse().unwrap(),
                    "127.0.0.1:22".parse().unwrap(),
                ),
            };
            files.look(&self.account, &peer, &key)
        }
    }

    fn with(options: &str) -> Option<Permissions> {
        let home = Home::new();
        home.write(&format!("# keys\n{options} {KEY}\n"));
        home.look(&AuthorizedKeysFiles::default(), "192.0.2.1")
    }

    #[test]
    fn a_listed_key_may_log_in_until_it_is_taken_out() {
        let home = Home::new();
        let files = AuthorizedKeysFiles::default();
        assert_eq!(home.look(&files, "192.0.2.1"), None);
        home.write(KEY);
        assert_eq!(home.look(&files, "192.0.2.1"), Some(Permissions::default()));
        home.write("");
        assert_eq!(home.look(&files, "192.0.2.1"), None);
    }

    #[tokio::test]
    async fn no_more_files_are_read_at_a_time_than_there_are_threads_for_them() {
        let (home, key) = (Home::new(), PublicKey::from_openssh(KEY).unwrap().0);
        home.write(KEY);
        let mut hanging = Vec::new();
        for _ in 0..MAX_KEY_FILES {
            hanging.push(KEY_FILES.thread().await.unwrap());
        }
        let (files, peer) = (AuthorizedKeysFiles::default(), Peer::named("pipe"));
        let mut looking = Box::pin(files.look_aside(&home.account, &peer, &key));
        tokio::select! {
            biased;
            found = &mut looking => panic!("{found:?} without a thread"),
            () = tokio::task::yield_now() => {}
        }
        hanging.pop();
        assert_eq!(looking.await, Some(Permissions::default()));
    }

    #[test]
    fn options_become_permissions() {
        let command = with("command=\"echo \\\"hi\\\"\"").unwrap();
        assert_eq!(command.forced_command.as_deref(), Some(&b"echo \"hi\""[..]));
        assert!(!with("restrict").unwrap().port_forwarding);
        assert!(!with("restrict").unwrap().terminal);
        assert!(with("restrict,port-forwarding").unwrap().port_forwarding);
        assert!(!with("no-port-forwarding").unwrap().port_forwarding);
        let none = with("restrict").unwrap();
        assert!(!none.agent_forwarding && !none.x11_forwarding && !none.may_listen("localhost", 1));
        let some = with("restrict,agent-forwarding").unwrap();
        assert!(some.agent_forwarding && !some.x11_forwarding);
        assert!(!with("no-agent-forwarding").unwrap().agent_forwarding);
        assert!(!with("no-x11-forwarding").unwrap().x11_forwarding);
        assert_eq!(with("tunnel=\"2\"").unwrap().tunnel_unit(3), None);
        let listen = with("permitlisten=\"localhost:8080\"").unwrap();
        assert!(listen.may_listen("localhost", 8080) && !listen.may_listen("127.0.0.1", 8080));
        assert!(!listen.may_listen_socket());
        let open = with("permitopen=\"example.org:80\"").unwrap();
        assert!(open.may_open("example.org", 80) && !open.may_open("example.org", 81));
    }

    #[test]
    fn what_cannot_be_enforced_or_does_not_hold_refuses_the_key() {
        for options in [
            "no-such-option",
            "verify-required",
            "cert-authority",
            "from=\"198.51.100.0/24\"",
            "from=\"192.0.2.0/24,!192.0.2.1\"",
            "expiry-time=\"20200101\"",
            "expiry-time=\"20200101Z\"",
        ] {
            assert_eq!(with(options), None, "{options}");
        }
        assert!(with("from=\"192.0.2.0/24\"").is_some());
        assert!(with("expiry-time=\"29991231Z\"").is_some());
    }

    #[test]
    fn what_is_demanded_of_a_security_key_reaches_its_login() {
        const SECURITY_KEY: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJsaDYXQYruc6bil\
                                    CYDIK4YSOeG+zmrRO2M9t03//7LHAAAABHNzaDo=";
        let home = Home::new();
        let key = PublicKey::from_openssh(SECURITY_KEY).unwrap().0;
        let peer = Peer::tcp("192.0.2.1:1".parse().unwrap(), "127.0.0.1:22".parse().unwrap());
        for (options, touch, verification) in [
            ("", true, false),
            ("no-touch-required", false, false),
            ("verify-required", true, true),
            ("no-touch-required,verify-required", false, true),
        ] {
            home.write(&format!("{options} {SECURITY_KEY}"));
            let found = AuthorizedKeysFiles::default()
                .look(&home.account, &peer, &key)
                .unwrap();
            assert_eq!(found.security_key, Demands { touch, verification }, "{options}");
        }
    }

    #[test]
    fn a_key_bound_to_addresses_is_refused_where_there_is_none() {
        let home = Home::new();
        home.write(&format!("from=\"*\" {KEY}"));
        assert_eq!(home.look(&AuthorizedKeysFiles::default(), ""), None);
    }

    #[test]
    fn environment_counts_only_where_the_server_allows_it() {
        let home = Home::new();
        home.write(&format!("environment=\"A=b\" {KEY}"));
        let environment = |files: &AuthorizedKeysFiles| home.look(files, "192.0.2.1").unwrap().environment;
        let files = AuthorizedKeysFiles::default();
        assert_eq!(environment(&files), []);
        assert_eq!(
            environment(&files.user_environment(true)),
            [("A".to_owned(), b"b".to_vec())]
        );
    }

    #[test]
    fn a_file_that_others_could_have_written_does_not_count() {
        let home = Home::new();
        let strict = AuthorizedKeysFiles::default();
        home.write(KEY);
        for (path, mode) in [(home.file(), 0o666), (home.file(), 0o620), (home.file(), 0o602)] {
            home.mode(&path, mode);
            assert_eq!(home.look(&strict, "192.0.2.1"), None, "{mode:o}");
            assert!(
                home.look(&strict.clone().strict_modes(false), "192.0.2.1")
                    .is_some()
            );
        }
        home.mode(&home.file(), 0o644);
        assert!(home.look(&strict, "192.0.2.1").is_some());
        home.mode(&home.directory.path().join(".ssh"), 0o770);
        assert_eq!(home.look(&strict, "192.0.2.1"), None);
        home.mode(&home.directory.path().join(".ssh"), 0o700);
        home.mode(home.directory.path(), 0o777);
        assert_eq!(home.look(&strict, "192.0.2.1"), None);
    }

    #[test]
    fn a_link_counts_for_what_it_leads_to() {
        let (home, elsewhere) = (Home::new(), Home::new());
        elsewhere.write(KEY);
        symlink(elsewhere.file(), home.file()).unwrap();
        assert!(home.look(&AuthorizedKeysFiles::default(), "192.0.2.1").is_some());
        home.mode(&elsewhere.file(), 0o666);
        assert_eq!(home.look(&AuthorizedKeysFiles::default(), "192.0.2.1"), None);
    }

    #[test]
    fn directories_and_pipes_are_no_files_of_keys() {
        let home = Home::new();
        fs::create_dir(home.file()).unwrap();
        assert_eq!(home.look(&AuthorizedKeysFiles::default(), "192.0.2.1"), None);
        fs::remove_dir(home.file()).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, home.file(), Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(home.look(&AuthorizedKeysFiles::default(), "192.0.2.1"), None);
    }

    #[test]
    fn a_file_without_end_is_not_read() {
        let home = Home::new();
        home.write(KEY);
        File::options()
            .write(true)
            .open(home.file())
            .unwrap()
            .set_len(MAX_FILE_BYTES + 1)
            .unwrap();
        assert_eq!(home.look(&AuthorizedKeysFiles::default(), "192.0.2.1"), None);
    }

    #[test]
    fn paths_are_made_of_the_accounts_own_words() {
        let account = Account {
            name: "alice".into(),
            uid: 7,
            gid: 7,
            home: "/home/alice".into(),
            shell: "/bin/sh".into(),
        };
        let check = |pattern: &str, expected: Option<&str>| {
            assert_eq!(
                expand(pattern, &account).as_deref(),
                expected.map(Path::new),
                "{pattern}"
            );
        };
        check(".ssh/authorized_keys", Some("/home/alice/.ssh/authorized_keys"));
        check("%h/keys", Some("/home/alice/keys"));
        check("/etc/ssh/keys/%u", Some("/etc/ssh/keys/alice"));
        check("/keys/%U%%", Some("/keys/7%"));
        check("/keys/%x", None);
        check("/keys/%", None);
    }
}
