//! Versions of the session protocol, and how both ends agree on one.

/// ALPN protocol id of the client port.
pub const ALPN: &[u8] = b"selvedge/1";

/// The version this build speaks best. Written into the header of every frame.
pub const CURRENT: u8 = 1;

/// The versions this build speaks, best first: the current one and its predecessor, once there is one.
pub const SPOKEN: &[u8] = &[CURRENT];

/// The best version that both ends speak, or `None`.
pub fn negotiate(offered: &[u8]) -> Option<u8> {
    SPOKEN
        .iter()
        .copied()
        .find(|version| offered.contains(version))
}
