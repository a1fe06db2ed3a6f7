//! The table `[peers]` of a configuration as it is written: who may begin a handshake at the address of `peer`. It has the
//! keys of `[edge]`, with defaults of its own; the configuration checks it.

use serde::Deserialize;

use crate::edge::admission::{AdmissionConfig, Rate};

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PeersTable {
    handshakes_max: Option<u32>,
    address: Option<Rate>,
    network: Option<Rate>,
    loopback: Option<Rate>,
    unproven: Option<Rate>,
    retries: Option<Rate>,
    refusals: Option<Rate>,
}

impl PeersTable {
    /// With what is not given as it is by itself.
    pub(crate) fn admission(self) -> AdmissionConfig {
        let by_itself = AdmissionConfig::between_nodes();
        AdmissionConfig {
            handshakes_max: self.handshakes_max.unwrap_or(by_itself.handshakes_max),
            address: self.address.unwrap_or(by_itself.address),
            network: self.network.unwrap_or(by_itself.network),
            loopback: self.loopback.unwrap_or(by_itself.loopback),
            unproven: self.unproven.unwrap_or(by_itself.unproven),
            retries: self.retries.unwrap_or(by_itself.retries),
            refusals: self.refusals.unwrap_or(by_itself.refusals),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_as_it_is_between_nodes() {
        let table: PeersTable = toml::from_str("address = { per_second = 5, burst = 9 }").unwrap();
        let expected = AdmissionConfig {
            address: Rate {
                per_second: 5,
                burst: 9,
            },
            ..AdmissionConfig::between_nodes()
        };
        assert_eq!(table.admission(), expected);
        let error = toml::from_str::<PeersTable>("adress = { per_second = 5, burst = 9 }");
        assert!(error.unwrap_err().to_string().contains("adress"));
    }
}
