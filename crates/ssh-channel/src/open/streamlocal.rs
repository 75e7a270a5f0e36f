//! Unix sockets (OpenSSH `PROTOCOL` §2.4): the two TCP channel types with a path in place of host and port.

use crate::payload::payload;

payload! {
    /// OpenSSH `PROTOCOL` §2.4: connect to the Unix socket at `path`.
    pub struct DirectStreamlocal = "direct-streamlocal@openssh.com" {
        /// The socket's path on the other side.
        pub path: Vec<u8>,
        /// Reserved: empty.
        pub reserved: Vec<u8>,
        /// Reserved: 0.
        pub reserved_number: u32,
    }

    /// OpenSSH `PROTOCOL` §2.4: a connection arrived at the Unix socket that was asked for.
    pub struct ForwardedStreamlocal = "forwarded-streamlocal@openssh.com" {
        /// The socket's path, as the request spelled it.
        pub path: Vec<u8>,
        /// Reserved: empty.
        pub reserved: Vec<u8>,
    }
}

impl DirectStreamlocal {
    /// To the socket at `path`.
    pub fn new(path: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            reserved: Vec::new(),
            reserved_number: 0,
        }
    }
}

impl ForwardedStreamlocal {
    /// From the socket at `path`.
    pub fn new(path: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            reserved: Vec::new(),
        }
    }
}
