//! The table `[bridge]` of a configuration: how a node serves HTTP at the address of `http`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::bridge::Origins;
use crate::edge::admission::Rate;
use crate::identity::check_origin;
use crate::operate::edge_table;
use crate::operate::failure::CommandFailure;

/// The table as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BridgeTable {
    /// Pages of these origins may use it from a browser, beside its own.
    pub(crate) origins: Vec<String>,
    /// Where browsers reach it, `https://HOST`, if that is not what they ask for: behind a proxy.
    pub(crate) public_url: Option<String>,
    /// HTTPS with the certificate of `[tls]`. If it is not given: yes, but for a loopback address.
    pub(crate) tls: Option<bool>,
    pub(crate) threads: Option<u32>,
    pub(crate) connections_max: Option<u32>,
    /// New connections of an IPv4 address or IPv6 /64.
    pub(crate) address: Option<Rate>,
    /// Of an IPv4 /24 or IPv6 /48.
    pub(crate) network: Option<Rate>,
    /// Of this machine, instead of these two.
    pub(crate) loopback: Option<Rate>,
    /// Whether clients may ask for the GraphQL schema. If it is not given: at a loopback address only.
    pub(crate) graphql_introspection: Option<bool>,
}

impl BridgeTable {
    /// Checks every field; `by` names what gave a key its value.
    pub(crate) fn checked(self, by: impl Fn(&str) -> String) -> Result<Self, CommandFailure> {
        let refuse = |key: &str, remedy: &str| {
            let by = by(&format!("bridge.{key}"));
            Err(CommandFailure::usage(format!("{by}: {remedy}")))
        };
        if let Err(remedy) = Origins::new(self.origins.clone()) {
            return refuse("origins", &remedy);
        }
        if let Some(Err(remedy)) = self.public_url.as_deref().map(check_origin) {
            return refuse("public_url", &remedy);
        }
        if self.threads.is_some_and(|count| !(1..=64).contains(&count)) {
            return refuse("threads", "use 1 to 64");
        }
        if self
            .connections_max
            .is_some_and(|count| !(1..=10_000_000).contains(&count))
        {
            return refuse("connections_max", "use 1 to 10000000");
        }
        for (key, rate) in [
            ("address", self.address),
            ("network", self.network),
            ("loopback", self.loopback),
        ] {
            if let Some(Err((part, remedy))) = rate.map(edge_table::checked_rate) {
                return refuse(&format!("{key}.{part}"), &remedy);
            }
        }
        Ok(self)
    }

    /// Whether it serves HTTPS at this address.
    pub(crate) fn is_https(&self, address: SocketAddr) -> bool {
        self.tls.unwrap_or_else(|| !address.ip().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_name_their_key_and_what_to_use() {
        for (text, said) in [
            (
                "origins = ['app.example']",
                "bridge.origins: \"app.example\" is no origin",
            ),
            ("threads = 0", "bridge.threads: use 1 to 64"),
            (
                "public_url = 'https://node.example/console'",
                "bridge.public_url: \"https://node.example/console\": use https://HOST",
            ),
            ("connections_max = 0", "bridge.connections_max: use 1"),
            (
                "network = { per_second = 5, burst = 0 }",
                "bridge.network.burst: use 1",
            ),
        ] {
            let table: BridgeTable = toml::from_str(text).unwrap();
            let failure = table.checked(ToOwned::to_owned).unwrap_err();
            assert!(
                failure.message.contains(said),
                "{text}: {}",
                failure.message
            );
        }
        assert!(toml::from_str::<BridgeTable>("orgins = []").is_err());
    }

    #[test]
    fn what_others_can_reach_is_encrypted_unless_told_otherwise() {
        let table = |text| toml::from_str::<BridgeTable>(text).unwrap();
        let [private, public] = ["127.0.0.1:7480", "0.0.0.0:7480"].map(|it| it.parse().unwrap());
        assert!(!table("").is_https(private));
        assert!(table("").is_https(public));
        assert!(table("tls = true").is_https(private));
        assert!(!table("tls = false").is_https(public));
    }
}
