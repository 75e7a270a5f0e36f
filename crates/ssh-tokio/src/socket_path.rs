//! How long the path of a Unix socket may be: what does not fit is refused by name, before anything is made or removed.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest path of a Unix socket, in bytes: `sun_path` of unix(7) has 108, and the last one ends it.
pub const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Whether a Unix socket can have this path.
///
/// # Errors
/// It is too long; the error names both numbers.
pub fn check_socket_path(path: &Path) -> io::Result<()> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes <= MAX_SOCKET_PATH_BYTES {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidFilename,
        format!(
            "the path of a Unix socket has {MAX_SOCKET_PATH_BYTES} bytes at most, and this one has {bytes}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_the_system_takes_passes_and_one_byte_more_does_not() {
        let folder = std::env::temp_dir().join(format!("socket-path-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let room = MAX_SOCKET_PATH_BYTES - folder.as_os_str().len() - 1;
        let path = |bytes: usize| folder.join("x".repeat(bytes));
        check_socket_path(&path(room)).unwrap();
        UnixListener::bind(path(room)).unwrap();
        let error = check_socket_path(&path(room + 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the path of a Unix socket has 107 bytes at most, and this one has 108"
        );
        assert!(UnixListener::bind(path(room + 1)).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
