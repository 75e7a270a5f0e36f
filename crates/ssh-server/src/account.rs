//! Who programs run as: an account of the system, read from the user database.
//!
//! Only `/etc/passwd` is read. Directories reached through the name service switch (LDAP and the like) are
//! deliberately absent: asking them needs the C library's code in this process. An application with such users builds
//! its [`Account`] itself.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One account of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's primary group.
    pub gid: u32,
    /// Where programs start and `authorized_keys` is looked for.
    pub home: PathBuf,
    /// The login shell, which runs every command as `shell -c command`.
    pub shell: PathBuf,
}

impl Account {
    /// The account this process runs as.
    ///
    /// When the user database has no row for it (containers often give a bare number) the account is made from `HOME`,
    /// `USER` and `SHELL` of the environment.
    pub fn current() -> io::Result<Self> {
        let uid = rustix::process::getuid().as_raw();
        if let Some(account) = database()?.into_iter().find(|account| account.uid == uid) {
            return Ok(account);
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Ok(Self {
            name: variable("USER")
                .and_then(|name| name.into_string().ok())
                .unwrap_or_else(|| uid.to_string()),
            uid,
            gid: rustix::process::getgid().as_raw(),
            home: variable("HOME").unwrap_or_else(|| "/".into()).into(),
            shell: variable("SHELL").unwrap_or_else(|| DEFAULT_SHELL.into()).into(),
        })
    }

    /// The account with the login name `name`, if the user database has one.
    pub fn find(name: &str) -> io::Result<Option<Self>> {
        Ok(database()?.into_iter().find(|account| account.name == name))
    }
}

/// All accounts. A file that is not there is an empty one.
fn database() -> io::Result<Vec<Account>> {
    match std::fs::read(USER_DATABASE) {
        Ok(text) => Ok(text.split(|byte| *byte == b'\n').filter_map(account).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// One line of passwd(5): `name:password:uid:gid:comment:home:shell`. A malformed line is no account.
fn account(line: &[u8]) -> Option<Account> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = text(fields.next()?)?.to_owned();
    let (uid, gid) = (
        text(fields.nth(1)?)?.parse().ok()?,
        text(fields.next()?)?.parse().ok()?,
    );
    let home = path(fields.nth(1)?).unwrap_or_else(|| "/".into());
    let shell = path(fields.next().unwrap_or_default()).unwrap_or_else(|| DEFAULT_SHELL.into());
    (!name.is_empty()).then_some(Account {
        name,
        uid,
        gid,
        home,
        shell,
    })
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

fn path(field: &[u8]) -> Option<PathBuf> {
    let path = PathBuf::from(OsString::from_vec(field.to_vec()));
    Path::is_absolute(&path).then_some(path)
}

const USER_DATABASE: &str = "/etc/passwd";
/// What passwd(5) says an empty shell field means.
const DEFAULT_SHELL: &str = "/bin/sh";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_user_database_become_accounts() {
        let check = |line: &str, expected: Option<(&str, u32, u32, &str, &str)>| {
            let read = account(line.as_bytes());
            let read = read.as_ref().map(|account| {
                let (home, shell) = (account.home.to_str().unwrap(), account.shell.to_str().unwrap());
                (account.name.as_str(), account.uid, account.gid, home, shell)
            });
            assert_eq!(read, expected, "{line}");
        };
        check(
            "alice:x:1000:1001:Alice,,,:/home/alice:/bin/bash",
            Some(("alice", 1000, 1001, "/home/alice", "/bin/bash")),
        );
        check(
            "bob:x:1002:1002::/home/bob:",
            Some(("bob", 1002, 1002, "/home/bob", "/bin/sh")),
        );
        check(
            "carol:x:1003:1003::/home/carol",
            Some(("carol", 1003, 1003, "/home/carol", "/bin/sh")),
        );
        check(
            "dave:x:1004:1004:::/bin/bash",
            Some(("dave", 1004, 1004, "/", "/bin/bash")),
        );
        check(":x:0:0::/:/bin/sh", None);
        check("eve:x:-1:0::/:/bin/sh", None);
        check("mallory:x:99999999999:0::/:/bin/sh", None);
        check("short:x:1:1", None);
        check("", None);
    }

    #[test]
    fn the_account_of_this_process_is_found() {
        let account = Account::current().unwrap();
        assert_eq!(account.uid, rustix::process::getuid().as_raw());
        assert!(
            account.home.is_absolute() && account.shell.is_absolute(),
            "{account:?}"
        );
        assert_eq!(Account::find("no such user").unwrap(), None);
    }
}
