//! Terminals (RFC 4254 §6.2, §6.7, §6.8).

use crate::TerminalModes;
use crate::payload::{Field, payload};
use crate::wire::{DecodeError, Reader, Writer};

payload! {
    /// RFC 4254 §6.2: give the program a terminal.
    pub struct PtyReq = "pty-req" {
        /// The value for `TERM`.
        pub terminal: String,
        /// Width in characters; 0 means unknown. Chosen by the peer: any value may come.
        pub columns: u32,
        /// Height in rows; 0 means unknown.
        pub rows: u32,
        /// Width in pixels; 0 means unknown.
        pub width_pixels: u32,
        /// Height in pixels; 0 means unknown.
        pub height_pixels: u32,
        /// The terminal's modes.
        pub modes: TerminalModes,
    }

    /// RFC 4254 §6.7: the terminal has a new size. Sent without asking for a reply.
    pub struct WindowChange = "window-change" {
        /// Width in characters.
        pub columns: u32,
        /// Height in rows.
        pub rows: u32,
        /// Width in pixels; 0 means unknown.
        pub width_pixels: u32,
        /// Height in pixels; 0 means unknown.
        pub height_pixels: u32,
    }

    /// RFC 4254 §6.8: whether the client may do flow control by itself. Sent without asking for a reply.
    pub struct XonXoff = "xon-xoff" {
        /// Whether it may.
        pub client_can_do: bool,
    }
}

impl WindowChange {
    /// The new size in characters; pixels unknown.
    pub const fn new(columns: u32, rows: u32) -> Self {
        Self {
            columns,
            rows,
            width_pixels: 0,
            height_pixels: 0,
        }
    }
}

impl Field for TerminalModes {
    fn put(&self, writer: &mut Writer<'_>) {
        writer.nested(|list| self.encode(list));
    }
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode(reader.nested()?)
    }
}
