//! The tables `[edge]` and `[peers]` of a configuration: who may begin a handshake at the addresses of `quic` and `peer`.

use crate::edge::admission::{AdmissionConfig, Rate};
use crate::operate::failure::CommandFailure;

/// Checks every field of the table of this name; `by` names what gave a key its value.
pub(crate) fn checked(
    name: &str,
    table: AdmissionConfig,
    by: impl Fn(&str) -> String,
) -> Result<AdmissionConfig, CommandFailure> {
    let refuse = |key: &str, remedy: String| {
        let by = by(&format!("{name}.{key}"));
        Err(CommandFailure::usage(format!("{by}: {remedy}")))
    };
    // So few leave room for each of the four sorts of clients.
    if !(8..=HANDSHAKES_MAX).contains(&table.handshakes_max) {
        return refuse("handshakes_max", format!("use 8 to {HANDSHAKES_MAX}"));
    }
    for (key, rate) in [
        ("address", table.address),
        ("network", table.network),
        ("loopback", table.loopback),
        ("unproven", table.unproven),
        ("retries", table.retries),
        ("refusals", table.refusals),
    ] {
        if let Err((part, remedy)) = checked_rate(rate) {
            return refuse(&format!("{key}.{part}"), remedy);
        }
    }
    Ok(table)
}

/// Whether a rate can be meant: which part of it cannot, and what to use.
pub(crate) fn checked_rate(rate: Rate) -> Result<(), (&'static str, String)> {
    let Rate { per_second, burst } = rate;
    let wrong = [("per_second", per_second), ("burst", burst)]
        .into_iter()
        .find(|(_, number)| !(1..=RATE_MAX).contains(number));
    match wrong {
        None => Ok(()),
        Some((part, _)) => Err((part, format!("use 1 to {RATE_MAX}"))),
    }
}

/// At 50 kB each 50 GB: more than nodes have.
const HANDSHAKES_MAX: u32 = 1_000_000;
/// More packets than a machine receives in a second.
const RATE_MAX: u32 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_name_their_key_and_what_to_use() {
        for (text, said) in [
            ("handshakes_max = 7", "edge.handshakes_max: use 8 to"),
            (
                "address = { per_second = 0, burst = 1 }",
                "edge.address.per_second: use 1 to",
            ),
            (
                "retries = { per_second = 1, burst = 0 }",
                "edge.retries.burst: use 1 to",
            ),
        ] {
            let table: AdmissionConfig = toml::from_str(text).unwrap();
            let failure = checked("edge", table, ToOwned::to_owned).unwrap_err();
            assert!(failure.message.contains(said), "{}", failure.message);
        }
        for (text, said) in [
            ("adress = { per_second = 1, burst = 1 }", "adress"),
            ("address = { per_second = 1 }", "burst"),
            ("address = 5", "Rate"),
        ] {
            let error = toml::from_str::<AdmissionConfig>(text).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_not_given_is_as_it_is_by_itself() {
        let table: AdmissionConfig =
            toml::from_str("address = { per_second = 5, burst = 9 }").unwrap();
        let rate = Rate {
            per_second: 5,
            burst: 9,
        };
        let expected = AdmissionConfig {
            address: rate,
            ..AdmissionConfig::default()
        };
        assert_eq!(checked("edge", table, ToOwned::to_owned).unwrap(), expected);
    }
}
