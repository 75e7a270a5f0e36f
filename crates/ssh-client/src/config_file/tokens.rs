//! `%` tokens and the home directory's `~` in configured paths (`ssh_config(5)`, "TOKENS").

use std::path::PathBuf;

use thiserror::Error;

/// What tokens stand for in this connection.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// `%d` and `~`: the local user's home directory.
    pub home: PathBuf,
    /// `%u`: the local user's name.
    pub local_user: String,
    /// `%h`: the remote host's name, after `HostName`.
    pub host: String,
    /// `%n`: the remote host's name as it was given.
    pub original_host: String,
    /// `%p`: the remote port.
    pub port: u16,
    /// `%r`: the remote user's name.
    pub remote_user: String,
    /// `%k`: the name by which the host's key is looked up.
    pub host_key_alias: String,
    /// `%l`: this host's name; `%L` is the same up to its first dot.
    pub local_host: String,
    /// `%i`: the local user's number.
    pub user_id: String,
}

/// A token that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{text}\" holds the unknown token %{token}")]
pub struct TokenError {
    /// The text that holds it.
    pub text: String,
    /// The character behind the `%`.
    pub token: String,
}

/// The path that `text` stands for: with the home directory for `~`.
///
/// # Errors
/// A `%` token that is not known.
pub fn expand(text: &str, tokens: &Tokens) -> Result<PathBuf, TokenError> {
    match text.strip_prefix("~/") {
        Some(rest) => Ok(format!("{}/{}", tokens.home.display(), expand_text(rest, tokens)?).into()),
        None => Ok(expand_text(text, tokens)?.into()),
    }
}

/// The text that `text` stands for: a command, a name.
///
/// # Errors
/// A `%` token that is not known.
pub fn expand_text(text: &str, tokens: &Tokens) -> Result<String, TokenError> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(each) = characters.next() {
        if each != '%' {
            out.push(each);
            continue;
        }
        match characters.next() {
            Some('%') => out.push('%'),
            Some('d') => out.push_str(&tokens.home.to_string_lossy()),
            Some('u') => out.push_str(&tokens.local_user),
            Some('h') => out.push_str(&tokens.host),
            Some('n') => out.push_str(&tokens.original_host),
            Some('p') => out.push_str(&tokens.port.to_string()),
            Some('r') => out.push_str(&tokens.remote_user),
            Some('k') => out.push_str(&tokens.host_key_alias),
            Some('l') => out.push_str(&tokens.local_host),
            Some('L') => out.push_str(tokens.local_host.split('.').next().unwrap_or_default()),
            Some('i') => out.push_str(&tokens.user_id),
            other => {
                let token = other.map(String::from).unwrap_or_default();
                return Err(TokenError {
                    text: text.to_owned(),
                    token,
                });
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced() {
        let tokens = Tokens {
            home: "/home/a".into(),
            local_user: "a".into(),
            host: "h.example".into(),
            original_host: "h".into(),
            port: 22,
            remote_user: "r".into(),
            host_key_alias: "alias".into(),
            local_host: "here.example".into(),
            user_id: "1000".into(),
        };
        assert_eq!(
            expand("~/.ssh/id_%h_%p_%r_%u_%n_%%", &tokens),
            Ok("/home/a/.ssh/id_h.example_22_r_a_h_%".into())
        );
        assert_eq!(expand("%d/k", &tokens), Ok("/home/a/k".into()));
        assert_eq!(expand("a~/b", &tokens), Ok("a~/b".into()));
        assert_eq!(
            expand_text("~/%k %l %L %i", &tokens),
            Ok("~/alias here.example here 1000".into())
        );
        assert_eq!(expand("%Q", &tokens).unwrap_err().token, "Q");
        assert!(expand("50%", &tokens).is_err());
    }
}
