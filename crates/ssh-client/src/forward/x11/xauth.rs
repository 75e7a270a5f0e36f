//! Cookies of displays, as `xauth` keeps them: the display's own, and those it makes for programs that it does not trust
//! (X11 SECURITY extension).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use zeroize::Zeroizing;

use super::cookies::{COOKIE_BYTES, PROTOCOL};
use super::display::{Place, X11Display, X11Error};
use crate::tokio_driver::system_rng;

/// How long `xauth` may take.
const XAUTH_TIME: Duration = Duration::from_secs(10);

/// The longest lifetime that `xauth` can be told, in seconds: it reads 32 bits.
const LONGEST_LIFETIME: u64 = 0xffff_ffff;

impl X11Display {
    /// The same display with the cookie that the program `xauth` has for it, if any (`XAuthLocation` of
    /// `ssh_config(5)`): programs that show it may do everything on the display.
    ///
    /// # Errors
    /// [`X11Error::Xauth`]: the program cannot be run, or takes too long.
    pub async fn ask_xauth(mut self, xauth: impl Into<OsString>) -> Result<Self, X11Error> {
        let xauth = xauth.into();
        let listed = run(&xauth, None, &["list", &self.listed_name()]).await;
        let (listed, _) = listed.map_err(|source| failed(&xauth, source))?;
        self.cookie = find_cookie(&String::from_utf8_lossy(&listed));
        Ok(self)
    }

    /// The same display with a cookie that it makes now for programs it does not trust: they may draw, and neither see
    /// nor touch the windows of others. `xauth` asks the display for it, which must have the SECURITY extension; the
    /// cookie ends `lifetime` after the last program that showed it has left (in whole seconds, at most 136 years; `None`:
    /// never). It stands in a file for this user only, and only until it was read.
    ///
    /// # Errors
    /// [`X11Error::Xauth`]: the program cannot be run, takes too long, or the display made no cookie.
    pub async fn ask_xauth_untrusted(
        mut self,
        xauth: impl Into<OsString>,
        lifetime: Option<Duration>,
    ) -> Result<Self, X11Error> {
        let xauth = xauth.into();
        let made = self.untrusted(&xauth, lifetime).await;
        self.cookie = Some(made.map_err(|source| failed(&xauth, source))?);
        Ok(self)
    }

    async fn untrusted(&self, xauth: &OsStr, lifetime: Option<Duration>) -> io::Result<Zeroizing<Vec<u8>>> {
        let folder = Folder::make()?;
        let file = folder.0.join("xauthfile");
        // Only the host's name is spelled in another way: `:0` as it stands is what finds the display.
        let name = match self.name.strip_prefix("localhost:") {
            Some(rest) => format!("unix:{rest}"),
            None => self.name.clone(),
        };
        let seconds = lifetime.map(|lifetime| lifetime.as_secs().min(LONGEST_LIFETIME).to_string());
        let mut words = vec!["generate", &name, PROTOCOL, "untrusted"];
        if let Some(seconds) = &seconds {
            words.extend(["timeout", seconds]);
        }
        let (_, succeeded) = run(xauth, Some(&file), &words).await?;
        if !succeeded {
            return Err(io::Error::other(
                "the display makes no cookie for untrusted programs",
            ));
        }
        let (listed, _) = run(xauth, Some(&file), &["list", &name]).await?;
        let found = find_cookie(&String::from_utf8_lossy(&listed));
        found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no cookie"))
    }

    /// The name its cookie is listed under: those of this machine's displays stand under `unix`, wherever they are
    /// reached.
    fn listed_name(&self) -> String {
        match (&self.place, self.name.split_once(':')) {
            (Place::Socket(_), Some(("", rest))) | (_, Some(("localhost", rest))) => format!("unix:{rest}"),
            _ => self.name.clone(),
        }
    }
}

fn failed(xauth: &OsStr, source: io::Error) -> X11Error {
    X11Error::Xauth {
        program: xauth.to_string_lossy().into_owned(),
        source,
    }
}

/// What `xauth` says, about its own file or another one, and whether it was content.
async fn run(xauth: &OsStr, file: Option<&Path>, words: &[&str]) -> io::Result<(Zeroizing<Vec<u8>>, bool)> {
    let mut command = tokio::process::Command::new(xauth);
    if let Some(file) = file {
        command.arg("-f").arg(file);
    }
    command
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(XAUTH_TIME, command.output())
        .await
        .map_err(io::Error::from)??;
    Ok((Zeroizing::new(output.stdout), output.status.success()))
}

/// The first cookie in what `xauth list` says: `host/unix:0  MIT-MAGIC-COOKIE-1  hexadecimal`.
fn find_cookie(listed: &str) -> Option<Zeroizing<Vec<u8>>> {
    listed.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let protocol = words.next()?;
        let cookie = words.next().and_then(from_hex)?;
        (protocol == PROTOCOL && cookie.len() == COOKIE_BYTES).then_some(cookie)
    })
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.as_bytes().chunks(2) {
        let [high, low] = *pair else { return None };
        let (high, low) = (char::from(high).to_digit(16)?, char::from(low).to_digit(16)?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(bytes)
}

/// A folder for this user only, which goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        let mut name = [0; 8];
        system_rng()?.fill_bytes(&mut name);
        let folder = std::env::temp_dir().join(format!("bowline-{:016x}", u64::from_be_bytes(name)));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(folder = %self.0.display(), %error, "it stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::x11::to_hex;

    #[test]
    fn the_cookie_is_found_in_what_xauth_lists() {
        let listed = "me/unix:0  XDM-AUTHORIZATION-1  00112233445566778899aabbccddeeff\n\
                      me/unix:0  MIT-MAGIC-COOKIE-1  short\n\
                      me/unix:0  MIT-MAGIC-COOKIE-1  00112233445566778899aabbccddeefF\n";
        let cookie = find_cookie(listed).unwrap();
        assert_eq!(to_hex(&cookie).as_str(), "00112233445566778899aabbccddeeff");
        for nothing in [
            "",
            "me/unix:0",
            "me/unix:0 MIT-MAGIC-COOKIE-1",
            "x MIT-MAGIC-COOKIE-1 zz",
            "x MIT-MAGIC-COOKIE-1 0",
        ] {
            assert!(find_cookie(nothing).is_none(), "{nothing:?}");
        }
    }

    #[test]
    fn displays_are_listed_under_the_names_xauth_gives_them() {
        for (name, listed) in [
            (":0", "unix:0"),
            ("localhost:10.0", "unix:10.0"),
            ("unix:1", "unix:1"),
            ("host:2.1", "host:2.1"),
        ] {
            assert_eq!(X11Display::new(name).unwrap().listed_name(), listed);
        }
    }
}
