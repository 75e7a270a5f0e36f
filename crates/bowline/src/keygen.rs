//! `bowline keygen`: make a key, show its public half, show its fingerprint: ssh-keygen(1)'s flags.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::Arg::{Long, Short, Value};
use ssh_client::keys::{KeyFileError, KeyKind, PrivateKey, PublicKey};
use ssh_client::wire::rand_core::CryptoRng;

use crate::arguments::text;
use crate::terminal::{ask_line, ask_secret, complain, is_interactive, say};

const USAGE: &str =
    "usage: bowline keygen [-q] [-t ed25519|ecdsa|rsa] [-b bits] -f file [-N passphrase] [-C comment]
       bowline keygen -y -f file [-P passphrase]
       bowline keygen -l -f file";

/// The most bytes of a key file.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[derive(Debug, Default)]
struct Arguments {
    action: Action,
    kind: Option<String>,
    bits: Option<String>,
    file: Option<PathBuf>,
    new_passphrase: Option<String>,
    passphrase: Option<String>,
    comment: Option<String>,
    quiet: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Action {
    #[default]
    Generate,
    /// `-y`
    PublicHalf,
    /// `-l`
    Fingerprint,
}

pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let done = parse(words).and_then(|arguments| match arguments.action {
        Action::Generate => generate(&arguments),
        Action::PublicHalf => public_half(&arguments),
        Action::Fingerprint => fingerprint(&arguments),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

fn parse(words: Vec<OsString>) -> Result<Arguments, String> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut found = Arguments::default();
    let usage = |error: lexopt::Error| format!("{error}\n{USAGE}");
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('y') => found.action = Action::PublicHalf,
            Short('l') => found.action = Action::Fingerprint,
            Short('q') => found.quiet = true,
            Short('f') => found.file = Some(parser.value().map_err(usage)?.into()),
            Short(letter @ ('t' | 'b' | 'N' | 'P' | 'C')) => {
                let value = text(parser.value().map_err(usage)?)?;
                match letter {
                    't' => found.kind = Some(value),
                    'b' => found.bits = Some(value),
                    'N' => found.new_passphrase = Some(value),
                    'P' => found.passphrase = Some(value),
                    _ => found.comment = Some(value),
                }
            }
            Short(_) | Long(_) | Value(_) => return Err(usage(argument.unexpected())),
        }
    }
    Ok(found)
}

fn generate(arguments: &Arguments) -> Result<(), String> {
    let kind = kind(arguments.kind.as_deref(), arguments.bits.as_deref())?;
    let path = arguments.file.clone().map_or_else(|| default_file(kind), Ok)?;
    let public_path = with_pub(&path);
    may_write(&path)?;
    let passphrase = match &arguments.new_passphrase {
        Some(given) => given.clone(),
        None => ask_twice()?,
    };
    let comment = arguments.comment.clone().unwrap_or_else(default_comment);
    let mut rng = ssh_client::system_rng().map_err(|error| format!("the system's randomness: {error}"))?;
    let key = kind.make(&mut *rng, &comment)?;
    let passphrase = (!passphrase.is_empty()).then_some(passphrase.as_bytes());
    let armoured = key
        .to_openssh(passphrase, &mut *rng)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    write_new(&path, armoured.as_bytes(), 0o600)?;
    write_new(
        &public_path,
        format!("{}\n", key.public().to_openssh(&comment)).as_bytes(),
        0o644,
    )?;
    if !arguments.quiet {
        say(&format!(
            "Generating public/private {} key pair.",
            key.public().type_word().to_lowercase()
        ));
        say(&format!(
            "Your identification has been saved in {}",
            path.display()
        ));
        say(&format!(
            "Your public key has been saved in {}",
            public_path.display()
        ));
        say(&format!(
            "The key fingerprint is:\n{} {comment}",
            key.public().fingerprint()
        ));
    }
    Ok(())
}

/// What `-t` and `-b` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Kind(KeyKind),
    Rsa(usize),
}

impl Wanted {
    fn make(self, rng: &mut dyn CryptoRng, comment: &str) -> Result<PrivateKey, String> {
        match self {
            Self::Kind(kind) => Ok(PrivateKey::generate(kind, rng, comment)),
            Self::Rsa(bits) => PrivateKey::generate_rsa(bits, rng, comment)
                .map_err(|error| format!("Invalid RSA key length: {error}")),
        }
    }
}

/// The bits of an RSA key when `-b` does not say.
const DEFAULT_RSA_BITS: &str = "3072";

/// The kind of key that `-t` and `-b` ask for. Ed25519 has one size: `-b` says nothing there, as in ssh-keygen.
fn kind(name: Option<&str>, bits: Option<&str>) -> Result<Wanted, String> {
    let name = name.unwrap_or("ed25519");
    if let "rsa" | "ssh-rsa" = name {
        let bits = bits.unwrap_or(DEFAULT_RSA_BITS);
        let bits = bits
            .parse()
            .map_err(|_| format!("Invalid RSA key length {bits}"))?;
        return Ok(Wanted::Rsa(bits));
    }
    match (name, bits.unwrap_or("256")) {
        ("ed25519" | "ssh-ed25519", _) => Ok(Wanted::Kind(KeyKind::Ed25519)),
        ("ecdsa", "256") | ("ecdsa-sha2-nistp256", _) => Ok(Wanted::Kind(KeyKind::EcdsaP256)),
        ("ecdsa", "384") | ("ecdsa-sha2-nistp384", _) => Ok(Wanted::Kind(KeyKind::EcdsaP384)),
        ("ecdsa", "521") | ("ecdsa-sha2-nistp521", _) => Ok(Wanted::Kind(KeyKind::EcdsaP521)),
        ("ecdsa", bits) => Err(format!(
            "Invalid ECDSA key length {bits}: valid lengths are 256, 384 or 521 bits"
        )),
        (other, _) => Err(format!(
            "unknown or not yet supported key type {other}: ed25519, ecdsa and rsa are"
        )),
    }
}

fn public_half(arguments: &Arguments) -> Result<(), String> {
    let path = arguments
        .file
        .clone()
        .map_or_else(|| default_file(Wanted::Kind(KeyKind::Ed25519)), Ok)?;
    let key = load(&path, arguments.passphrase.as_deref())?;
    say(&key.public().to_openssh(key.comment()));
    Ok(())
}

fn fingerprint(arguments: &Arguments) -> Result<(), String> {
    let path = arguments
        .file
        .clone()
        .map_or_else(|| default_file(Wanted::Kind(KeyKind::Ed25519)), Ok)?;
    let shown = |key: &PublicKey, comment: &str| {
        let comment = if comment.is_empty() { "no comment" } else { comment };
        say(&format!(
            "{} {} {comment} ({})",
            key.bits(),
            key.fingerprint(),
            key.type_word()
        ));
    };
    let bytes = read(&path)?;
    let mut found = false;
    for line in String::from_utf8_lossy(&bytes).lines() {
        if let Ok((key, comment)) = PublicKey::from_openssh(line) {
            shown(&key, &comment);
            found = true;
        }
    }
    if found {
        return Ok(());
    }
    // A private key file: its public half is readable without the passphrase; the .pub beside it has the comment.
    let key = PrivateKey::public_from_openssh(&bytes)
        .map_err(|_| format!("{} is not a key file.", path.display()))?;
    let comment = fs::read_to_string(with_pub(&path))
        .ok()
        .and_then(|line| PublicKey::from_openssh(line.trim()).ok())
        .map(|(_, comment)| comment)
        .unwrap_or_default();
    shown(&key, &comment);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = fs::metadata(path)
        .map_err(|error| format!("{}: {error}", path.display()))?
        .len();
    if length > MAX_FILE_BYTES {
        return Err(format!("{}: too large to be a key", path.display()));
    }
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn load(path: &Path, passphrase: Option<&str>) -> Result<PrivateKey, String> {
    let bytes = read(path)?;
    let tell = |error: KeyFileError| format!("Load key \"{}\": {error}", path.display());
    match PrivateKey::from_openssh(&bytes, passphrase.map(str::as_bytes)) {
        Err(KeyFileError::PassphraseNeeded) if passphrase.is_none() => {
            let prompt = format!("Enter passphrase for \"{}\": ", path.display());
            let given = ask_secret(&prompt).ok_or_else(|| tell(KeyFileError::PassphraseNeeded))?;
            PrivateKey::from_openssh(&bytes, Some(given.as_bytes())).map_err(tell)
        }
        loaded => loaded.map_err(tell),
    }
}

fn with_pub(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn default_file(kind: Wanted) -> Result<PathBuf, String> {
    let home = std::env::home_dir().ok_or("there is no home directory: name the file with -f")?;
    let name = match kind {
        Wanted::Rsa(_) => "id_rsa",
        Wanted::Kind(KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521) => "id_ecdsa",
        Wanted::Kind(_) => "id_ed25519",
    };
    Ok(home.join(".ssh").join(name))
}

fn default_comment() -> String {
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| "user".to_owned());
    let system = rustix::system::uname();
    format!("{user}@{}", system.nodename().to_string_lossy())
}

fn ask_twice() -> Result<String, String> {
    let none = || "a passphrase is needed: give it with -N (-N '' for none)".to_owned();
    let first = ask_secret("Enter passphrase (empty for no passphrase): ").ok_or_else(none)?;
    let second = ask_secret("Enter same passphrase again: ").ok_or_else(none)?;
    if first == second {
        Ok(first)
    } else {
        Err("Passphrases do not match.".to_owned())
    }
}

/// A file that is there is replaced only when a person says so.
fn may_write(path: &Path) -> Result<(), String> {
    if !path.exists() {
        return Ok(());
    }
    let question = format!("{} already exists.\nOverwrite (y/n)? ", path.display());
    let agreed =
        is_interactive() && ask_line(&question).is_some_and(|answer| answer.eq_ignore_ascii_case("y"));
    if !agreed {
        return Err(format!("{} already exists.", path.display()));
    }
    fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match fs::remove_file(with_pub(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", with_pub(path).display()))
        }
        _ => Ok(()),
    }
}

/// Creates a file with its final mode from the first moment, so that nobody reads a key between two calls.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), String> {
    let tell = |error: std::io::Error| format!("Saving key \"{}\" failed: {error}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(tell)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key is worse than none.
        let _ = fs::remove_file(path);
        return Err(tell(error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn run(line: &[&str]) -> Result<(), String> {
        let arguments = parse(line.iter().map(OsString::from).collect())?;
        match arguments.action {
            Action::Generate => generate(&arguments),
            Action::PublicHalf => public_half(&arguments),
            Action::Fingerprint => fingerprint(&arguments),
        }
    }

    #[test]
    fn a_key_is_made_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        let name = file.to_str().unwrap();
        run(&["-q", "-t", "ed25519", "-f", name, "-N", "secret", "-C", "me@here"]).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&file, Some("secret")).unwrap().comment(), "me@here");
        assert!(load(&file, Some("wrong")).unwrap_err().contains(name));
        assert!(
            run(&["-q", "-f", name, "-N", ""])
                .unwrap_err()
                .contains("already exists")
        );
        run(&["-l", "-f", name]).unwrap();
        run(&["-y", "-P", "secret", "-f", name]).unwrap();
    }

    #[test]
    fn ecdsa_keys_come_in_three_sizes_and_rsa_keys_in_many() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, bits, expected) in [
            ("ecdsa", "256", Some("ecdsa-sha2-nistp256")),
            ("ecdsa", "384", Some("ecdsa-sha2-nistp384")),
            ("ecdsa", "521", Some("ecdsa-sha2-nistp521")),
            ("ecdsa", "512", None),
            ("ed25519", "4096", Some("ssh-ed25519")),
            ("rsa", "1024", Some("ssh-rsa")),
            ("rsa", "1023", None),
            ("rsa", "16385", None),
            ("rsa", "many", None),
        ] {
            let file = folder.path().join(format!("{kind}{bits}"));
            let name = file.to_str().unwrap();
            let made = run(&["-q", "-t", kind, "-b", bits, "-f", name, "-N", ""]);
            let found = made.and_then(|()| load(&file, None));
            assert_eq!(
                found
                    .ok()
                    .map(|key| key.public().key_type().to_owned())
                    .as_deref(),
                expected
            );
        }
    }

    #[test]
    fn mistakes_name_the_file() {
        assert!(
            run(&["-y", "-f", "/nowhere/id"])
                .unwrap_err()
                .contains("/nowhere/id")
        );
        assert!(
            run(&["-l", "-f", "/dev/null"])
                .unwrap_err()
                .contains("not a key file")
        );
        assert!(
            run(&["-t", "dsa", "-f", "/nowhere/id", "-N", ""])
                .unwrap_err()
                .contains("dsa")
        );
    }
}
