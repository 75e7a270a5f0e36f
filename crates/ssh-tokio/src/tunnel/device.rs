//! A tun or tap device of Linux, without addresses.

use std::fmt;
use std::fs::OpenOptions;
use std::io;

use thiserror::Error;
use tun_rs::{AsyncDevice, DeviceBuilder, Layer};

use crate::channel::{TUN_ANY_UNIT, TUN_ETHERNET, TUN_POINT_TO_POINT, Tun};

/// What the system makes devices of.
pub const DEVICE_FILE: &str = "/dev/net/tun";

/// The largest number of a device that OpenSSH knows.
pub const MAX_UNIT: u32 = TUN_ANY_UNIT - 2;

/// What a tunnel carries (OpenSSH `PROTOCOL` §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TunnelMode {
    /// IP packets, of a tun device.
    PointToPoint,
    /// Ethernet frames, of a tap device.
    Ethernet,
}

impl TunnelMode {
    /// The mode with this number; `None` if there is none.
    pub const fn of(mode: u32) -> Option<Self> {
        match mode {
            TUN_POINT_TO_POINT => Some(Self::PointToPoint),
            TUN_ETHERNET => Some(Self::Ethernet),
            _ => None,
        }
    }

    /// What is asked of the other side: a tunnel of this mode to the device `unit` there, or to any that is free.
    pub fn wanted(self, unit: Option<u32>) -> Tun {
        let mode = match self {
            Self::PointToPoint => TUN_POINT_TO_POINT,
            Self::Ethernet => TUN_ETHERNET,
        };
        Tun {
            mode,
            unit: unit.unwrap_or(TUN_ANY_UNIT),
        }
    }

    /// The system's word for a device of the mode, which its name begins with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::PointToPoint => "tun",
            Self::Ethernet => "tap",
        }
    }
}

impl fmt::Display for TunnelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PointToPoint => "point-to-point",
            Self::Ethernet => "ethernet",
        })
    }
}

/// Why there is no device.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The number is none that a device can have.
    #[error("there is no tunnel device {unit}: the largest is {MAX_UNIT}")]
    Unit {
        /// The number.
        unit: u32,
    },
    /// The system lets nobody make devices here, or not this user.
    #[error("open {DEVICE_FILE}: {source}")]
    Open {
        /// What the system said.
        source: io::Error,
    },
    /// The device cannot be had: it is in use, of the other mode, or not this user's.
    #[error("create {device}: {source}")]
    Create {
        /// Its name; that of the kind where any would do.
        device: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A tun or tap device that this process holds. Dropping it gives it back.
pub struct TunnelDevice {
    name: String,
    mode: TunnelMode,
    device: AsyncDevice,
}

impl TunnelDevice {
    /// Makes the device `tun`*unit* or `tap`*unit*, takes it if somebody has made it and nobody holds it, or makes one
    /// with the next free number. It has no address, and whether it is up is left as it is.
    ///
    /// The system takes some milliseconds for it, which are better spent where blocking is allowed. Panics outside of a
    /// tokio runtime with its I/O driver, as tokio's sockets do.
    ///
    /// # Errors
    /// See [`TunnelError`].
    pub fn open(mode: TunnelMode, unit: Option<u32>) -> Result<Self, TunnelError> {
        if let Some(unit) = unit.filter(|unit| *unit > MAX_UNIT) {
            return Err(TunnelError::Unit { unit });
        }
        // Opened once for nothing, so that the two steps have errors of their own; and the crate would make the file
        // where it is missing.
        let file = OpenOptions::new().read(true).write(true).open(DEVICE_FILE);
        drop(file.map_err(|source| TunnelError::Open { source })?);
        let wanted = unit.map(|unit| format!("{}{unit}", mode.prefix()));
        let begun = Self::create(mode, wanted.as_deref());
        begun.map_err(|source| TunnelError::Create {
            device: wanted.unwrap_or_else(|| format!("a {} device", mode.prefix())),
            source,
        })
    }

    fn create(mode: TunnelMode, name: Option<&str>) -> io::Result<Self> {
        let layer = match mode {
            TunnelMode::PointToPoint => Layer::L3,
            TunnelMode::Ethernet => Layer::L2,
        };
        let builder = DeviceBuilder::new().layer(layer).inherit_enable_state();
        let device = match name {
            Some(name) => builder.name(name),
            None => builder,
        }
        .build_async()?;
        Ok(Self {
            name: device.name()?,
            mode,
            device,
        })
    }

    /// The name it has in this system.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it carries.
    pub const fn mode(&self) -> TunnelMode {
        self.mode
    }

    /// Waits for the next packet that the system sends by the device; its length. Of one that is longer than `into`, the
    /// rest is lost.
    ///
    /// # Errors
    /// The device is gone.
    pub async fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        self.device.recv(into).await
    }

    /// Gives the system a packet as one that came in by the device, at once.
    ///
    /// # Errors
    /// The device is down or gone, has no room, or this is no packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.device.try_send(packet).map(|_length| ())
    }
}

impl fmt::Debug for TunnelDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelDevice")
            .field("name", &self.name)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
