//! Whether a password is the account's: asked of `unix_chkpwd`, the helper by which Linux-PAM checks the password of
//! the calling user without being root. It reads the password, ended by a NUL, from its standard input.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Where distributions put the helper.
const HELPERS: [&str; 3] = [
    "/usr/sbin/unix_chkpwd",
    "/sbin/unix_chkpwd",
    "/usr/bin/unix_chkpwd",
];
/// The longest password passed on, in bytes (what the helper itself takes).
const MAX_PASSWORD_BYTES: usize = 512;
/// A helper that does not answer in this time says no.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether `password` is that of the account `user`. Every failure on the way is a no.
pub(super) async fn is_right(user: &str, password: &[u8]) -> bool {
    let Some(helper) = HELPERS.iter().find(|path| Path::new(path).exists()) else {
        tracing::error!("passwords cannot be checked: this system has no unix_chkpwd");
        return false;
    };
    if password.is_empty() || password.len() > MAX_PASSWORD_BYTES || password.contains(&0) {
        return false;
    }
    let asked = tokio::time::timeout(PATIENCE, ask(helper, user, password)).await;
    asked.is_ok_and(|answer| answer.unwrap_or(false))
}

async fn ask(helper: &str, user: &str, password: &[u8]) -> std::io::Result<bool> {
    let mut child = Command::new(helper)
        .args([user, "nonull"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(password).await?;
        input.write_all(&[0]).await?;
    }
    Ok(child.wait().await?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_but_the_password_is_right() {
        for password in [
            &b""[..],
            b"surely not the password of anybody",
            b"with\0nul",
            &[b'a'; 600],
        ] {
            assert!(!is_right("root", password).await);
        }
    }
}
