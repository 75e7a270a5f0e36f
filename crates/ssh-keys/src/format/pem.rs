//! The armour of private key files: a first line, base64, a last line (RFC 7468 in outline).
//!
//! ```text
//! -----BEGIN OPENSSH PRIVATE KEY-----
//! b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
//! …
//! -----END OPENSSH PRIVATE KEY-----
//! ```
//!
//! Blank lines before and after are let pass, any line ending is, anything else is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::shown;
use crate::{FileProblem, KeyFileError};

/// Longest private key file that is looked at, in bytes. One of the largest RSA keys has about 13 KiB.
pub const MAX_KEY_FILE_BYTES: usize = 256 * 1024;

const LABEL: &str = "OPENSSH PRIVATE KEY";
/// Characters of base64 in a line, as OpenSSH writes them.
const LINE_CHARACTERS: usize = 70;

/// The bytes inside the armour.
pub(crate) fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    if text.len() > MAX_KEY_FILE_BYTES {
        return Err(KeyFileError::TooLarge {
            bytes: text.len(),
            limit: MAX_KEY_FILE_BYTES,
        });
    }
    let mut lines = text
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .skip_while(|line| line.is_empty());
    check_label(lines.next().unwrap_or_default())?;
    let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
    let end = format!("-----END {LABEL}-----");
    loop {
        let line = lines
            .next()
            .ok_or(FileProblem::Armour("its last line is missing"))?;
        if line == end.as_bytes() {
            break;
        }
        base64.extend_from_slice(line);
    }
    if lines.any(|line| !line.is_empty()) {
        return Err(FileProblem::Armour("something stands behind its last line").into());
    }
    // Room for all of it at once: a vector that grew would leave parts of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD
        .decode_vec(base64.as_slice(), &mut bytes)
        .map_err(|_| FileProblem::Armour("its base64 does not decode"))?;
    Ok(bytes)
}

/// The armour around `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(bytes));
    let mut text = Zeroizing::new(String::with_capacity(
        base64.len().saturating_mul(2).saturating_add(100),
    ));
    text.push_str("-----BEGIN ");
    text.push_str(LABEL);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(LINE_CHARACTERS.min(rest.len()))
        && !line.is_empty()
    {
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(LABEL);
    text.push_str("-----\n");
    text
}

/// Whether the first line opens the one form that is read; other private keys are told from what is none at all.
fn check_label(line: &[u8]) -> Result<(), KeyFileError> {
    if line.starts_with(b"PuTTY-User-Key-File-") {
        return Err(KeyFileError::UnsupportedFormat("PuTTY".to_owned()));
    }
    let label = line
        .strip_prefix(b"-----BEGIN ")
        .and_then(|line| line.strip_suffix(b"-----"));
    match label {
        Some(label) if label == LABEL.as_bytes() => Ok(()),
        Some(label) if label.ends_with(b"PRIVATE KEY") => Err(KeyFileError::UnsupportedFormat(shown(label))),
        _ => Err(KeyFileError::NotAPrivateKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 50, 52, 53, 54, 105, 4096] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let text = encode(&bytes);
            assert!(text.lines().all(|line| line.len() <= LINE_CHARACTERS));
            assert_eq!(*decode(text.as_bytes()).unwrap(), bytes);
            let foreign = format!("\r\n \n{}\r\n\r\n", text.replace('\n', "\r\n"));
            assert_eq!(*decode(foreign.as_bytes()).unwrap(), bytes);
        }
    }

    #[test]
    fn every_other_armour_has_its_own_error() {
        let armour = |what| KeyFileError::Malformed(FileProblem::Armour(what));
        let text = encode(b"abc").to_string();
        for (text, expected) in [
            (String::new(), KeyFileError::NotAPrivateKey),
            ("\n\n".to_owned(), KeyFileError::NotAPrivateKey),
            ("ssh-ed25519 AAAA".to_owned(), KeyFileError::NotAPrivateKey),
            (
                "-----BEGIN SSH SIGNATURE-----\n".to_owned(),
                KeyFileError::NotAPrivateKey,
            ),
            (format!("x\n{text}"), KeyFileError::NotAPrivateKey),
            (
                "-----BEGIN RSA PRIVATE KEY-----".to_owned(),
                KeyFileError::UnsupportedFormat("RSA PRIVATE KEY".to_owned()),
            ),
            (
                "-----BEGIN PRIVATE KEY-----".to_owned(),
                KeyFileError::UnsupportedFormat("PRIVATE KEY".to_owned()),
            ),
            (
                "PuTTY-User-Key-File-3: ssh-ed25519".to_owned(),
                KeyFileError::UnsupportedFormat("PuTTY".to_owned()),
            ),
            (
                text.replace("-----END", "-----end"),
                armour("its last line is missing"),
            ),
            (text.replace("YWJj", "YW=j"), armour("its base64 does not decode")),
            (
                text.replace("YWJj", "Comment: x\nYWJj"),
                armour("its base64 does not decode"),
            ),
            (
                format!("{text}x"),
                armour("something stands behind its last line"),
            ),
            (
                "-".repeat(MAX_KEY_FILE_BYTES + 1),
                KeyFileError::TooLarge {
                    bytes: MAX_KEY_FILE_BYTES + 1,
                    limit: MAX_KEY_FILE_BYTES,
                },
            ),
        ] {
            assert_eq!(
                decode(text.as_bytes()),
                Err(expected),
                "{}",
                &text[..text.len().min(80)]
            );
        }
    }
}
