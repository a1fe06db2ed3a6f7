//! Stateless resets (RFC 9000, section 10.3) that outlive the process: a client of a node that was killed
//! hears at its next packet that its connection is gone, and need not wait for a timeout.
//!
//! The edge and the peer port make their endpoints with it. It never sends anything itself.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use quinn::EndpointConfig;

use crate::gate::CheckedIds;

/// The key of one node's resets: the same after a restart. No two nodes share one, as either could be made
/// to end the other's connections.
#[derive(Clone)]
pub struct ResetKey(hmac::Key);

impl ResetKey {
    /// The key of the node of this name, from a secret that stays.
    pub fn of_node(secret: &[u8], node: &str) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, format!("stateless reset of {node}").as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The settings of an endpoint that resets the connections of its node's earlier processes.
    pub fn endpoint_config(&self) -> EndpointConfig {
        let mut config = EndpointConfig::new(Arc::new(self.0.clone()));
        let mut key = [0; 16];
        let derived = hmac::sign(&self.0, b"connection ids");
        key.copy_from_slice(&derived.as_ref()[..16]);
        config.cid_generator(move || Box::new(CheckedIds::new(key)));
        config
    }
}

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetKey(…)")
    }
}
