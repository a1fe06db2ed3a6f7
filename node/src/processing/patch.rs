//! A change to a policy, as data: what a tenant sets for one of its operation types, or for all of them.
//!
//! The actor kind `policy` stores it and merges changes into it; the pools lay it over the policy that the
//! application registered. It is checked whole, once, where it comes in.

use std::time::Duration;

use selvedge_protocol::limits::{
    NAME_BYTES_MAX, POLICY_ATTEMPTS_MAX, POLICY_BREAKER_FAILURES_MAX, POLICY_BREAKER_PROBES_MAX,
    POLICY_CODES_MAX, POLICY_CONCURRENCY_MAX, POLICY_FACTOR_MAX, POLICY_MS_MAX, POLICY_RATE_MAX,
    RETENTION_MS,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::processing::policy::{BreakerPolicy, Policy, Rate, Retry};

/// What differs from the application's policy. A field that is not there does not differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RatePatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerPatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
}

/// The rate of a [`PolicyPatch`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RatePatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<u32>,
    /// A second, unless it says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<u64>,
}

/// The retries of a [`PolicyPatch`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_codes: Option<Vec<String>>,
}

/// The breaker of a [`PolicyPatch`]. What it leaves out is as the application says, or as by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BreakerPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
}

/// Why a change is refused: the field, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {remedy}")]
pub struct WrongPatch {
    pub field: String,
    pub remedy: String,
}

/// What a field may hold.
enum Rule {
    Whole { min: u64, max: u64 },
    Factor,
    Codes,
    Fields(&'static [(&'static str, Self)]),
}

const MS: Rule = up_to(POLICY_MS_MAX);

/// All fields. A test keeps them the same as those of [`PolicyPatch`].
const FIELDS: &[(&str, Rule)] = &[
    ("concurrency", up_to(POLICY_CONCURRENCY_MAX)),
    ("clusterConcurrency", up_to(POLICY_CONCURRENCY_MAX)),
    (
        "rate",
        Rule::Fields(&[("operations", up_to(POLICY_RATE_MAX)), ("periodMs", MS)]),
    ),
    (
        "retry",
        Rule::Fields(&[
            ("attemptsMax", up_to(POLICY_ATTEMPTS_MAX)),
            (
                "initialMs",
                Rule::Whole {
                    min: 0,
                    max: POLICY_MS_MAX,
                },
            ),
            ("factor", Rule::Factor),
            ("maxMs", MS),
            ("finalCodes", Rule::Codes),
        ]),
    ),
    ("stepTimeoutMs", MS),
    ("heartbeatTimeoutMs", MS),
    ("totalTimeoutMs", MS),
    ("queueTimeoutMs", MS),
    (
        "breaker",
        Rule::Fields(&[
            ("failures", up_to(POLICY_BREAKER_FAILURES_MAX)),
            ("windowMs", MS),
            ("openMs", MS),
            ("probes", up_to(POLICY_BREAKER_PROBES_MAX)),
        ]),
    ),
    (
        "retentionMs",
        Rule::Whole {
            min: RETENTION_MS,
            max: POLICY_MS_MAX,
        },
    ),
];

const fn up_to(max: u64) -> Rule {
    Rule::Whole { min: 1, max }
}

impl PolicyPatch {
    /// The whole of a policy, in the same form.
    pub(crate) fn of(policy: &Policy) -> Self {
        let retry = &policy.retry;
        Self {
            concurrency: Some(u32::try_from(policy.concurrency).unwrap_or(u32::MAX)),
            cluster_concurrency: policy
                .cluster_concurrency
                .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            rate: policy.rate.map(|rate| RatePatch {
                operations: Some(rate.operations),
                period_ms: Some(whole_ms(rate.period)),
            }),
            retry: Some(RetryPatch {
                attempts_max: Some(retry.attempts_max),
                initial_ms: Some(whole_ms(retry.initial)),
                factor: Some(retry.factor),
                max_ms: Some(whole_ms(retry.max)),
                final_codes: Some(retry.final_codes.clone()),
            }),
            step_timeout_ms: Some(whole_ms(policy.step_timeout)),
            heartbeat_timeout_ms: policy.heartbeat_timeout.map(whole_ms),
            total_timeout_ms: policy.total_timeout.map(whole_ms),
            queue_timeout_ms: policy.queue_timeout.map(whole_ms),
            breaker: policy.breaker.map(|breaker| BreakerPatch {
                failures: Some(breaker.failures),
                window_ms: Some(whole_ms(breaker.window)),
                open_ms: Some(whole_ms(breaker.open)),
                probes: Some(breaker.probes),
            }),
            retention_ms: policy.retention.map(whole_ms),
        }
    }

    /// This patch with a change merged in (RFC 7396): `null` clears a field, what is not named stays.
    pub(crate) fn merged(&self, change: &[u8]) -> Result<Self, WrongPatch> {
        let example = "use an object of the fields to change, for example {\"concurrency\": 2}";
        let change: Value = serde_json::from_slice(change)
            .map_err(|error| wrong("body", format!("{example}: {error}")))?;
        let Value::Object(change) = change else {
            return Err(wrong("body", example.to_owned()));
        };
        check(FIELDS, &change, "")?;
        // Of a type without maps: never fails.
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        merge(&mut whole, Value::Object(change));
        let merged: Self = serde_json::from_value(whole)
            .map_err(|error| wrong("body", format!("{example}: {error}")))?;
        merged.fits()?;
        Ok(merged)
    }

    /// A policy with what this patch says. Concurrency never grows: the pool's places are all there are.
    pub(crate) fn over(&self, base: &Policy) -> Policy {
        let ms = Duration::from_millis;
        let whole = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        let places = self.concurrency.map(whole);
        let over_all = self.cluster_concurrency.map(whole);
        Policy {
            concurrency: base.concurrency.min(places.unwrap_or(usize::MAX)),
            cluster_concurrency: [base.cluster_concurrency, over_all]
                .into_iter()
                .flatten()
                .min(),
            rate: self.own_rate(base).or(base.rate),
            retry: self.retry.as_ref().map_or_else(
                || base.retry.clone(),
                |retry| Retry {
                    attempts_max: retry.attempts_max.unwrap_or(base.retry.attempts_max),
                    initial: retry.initial_ms.map_or(base.retry.initial, ms),
                    factor: retry.factor.unwrap_or(base.retry.factor),
                    max: retry.max_ms.map_or(base.retry.max, ms),
                    final_codes: retry
                        .final_codes
                        .clone()
                        .unwrap_or_else(|| base.retry.final_codes.clone()),
                },
            ),
            step_timeout: self.step_timeout_ms.map_or(base.step_timeout, ms),
            heartbeat_timeout: self.heartbeat_timeout_ms.map(ms).or(base.heartbeat_timeout),
            total_timeout: self.total_timeout_ms.map(ms).or(base.total_timeout),
            queue_timeout: self.queue_timeout_ms.map(ms).or(base.queue_timeout),
            breaker: self.own_breaker(base).or(base.breaker),
            retention: self.retention_ms.map(ms).or(base.retention),
        }
    }

    /// The tenant's own rate, beside the pool's.
    fn own_rate(&self, base: &Policy) -> Option<Rate> {
        let patch = self.rate.as_ref()?;
        let period = base.rate.map_or(Duration::from_secs(1), |rate| rate.period);
        Some(Rate {
            operations: patch.operations?,
            period: patch.period_ms.map_or(period, Duration::from_millis),
        })
    }

    /// The tenant's own breaker, in place of the pool's.
    fn own_breaker(&self, base: &Policy) -> Option<BreakerPolicy> {
        let patch = self.breaker.as_ref()?;
        let base = base.breaker.unwrap_or_default();
        Some(BreakerPolicy {
            failures: patch.failures.unwrap_or(base.failures),
            window: patch.window_ms.map_or(base.window, Duration::from_millis),
            open: patch.open_ms.map_or(base.open, Duration::from_millis),
            probes: patch.probes.unwrap_or(base.probes),
        })
    }

    /// This patch where it says something, else the other.
    pub(crate) fn or(&self, other: &Self) -> Self {
        let mut whole = serde_json::to_value(other).unwrap_or_default();
        merge(&mut whole, serde_json::to_value(self).unwrap_or_default());
        serde_json::from_value(whole).unwrap_or_else(|_| self.clone())
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What no single field can show.
    fn fits(&self) -> Result<(), WrongPatch> {
        if self.rate.as_ref().is_some_and(|r| r.operations.is_none()) {
            let remedy = "say how many operations may start in a period, or clear rate with null";
            return Err(wrong("rate.operations", remedy.to_owned()));
        }
        let retry = self.retry.as_ref();
        let waits = retry.and_then(|retry| retry.initial_ms.zip(retry.max_ms));
        match waits {
            Some((initial, max)) if initial > max => Err(wrong(
                "retry.initialMs",
                format!("the first wait is over the longest one, retry.maxMs: use at most {max}"),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Checks every field of a change by its rule.
fn check(
    fields: &[(&str, Rule)],
    change: &Map<String, Value>,
    prefix: &str,
) -> Result<(), WrongPatch> {
    for (name, value) in change {
        let path = format!("{prefix}{name}");
        let rule = fields.iter().find(|(known, _)| known == name);
        let Some((_, rule)) = rule else {
            let names: Vec<_> = fields.iter().map(|(known, _)| *known).collect();
            let remedy = format!("there is no such field; use one of {}", names.join(", "));
            return Err(wrong(&path, remedy));
        };
        if !value.is_null() {
            rule.check(&path, value)?;
        }
    }
    Ok(())
}

impl Rule {
    fn check(&self, path: &str, value: &Value) -> Result<(), WrongPatch> {
        match self {
            Self::Whole { min, max } => {
                let number = value.as_u64();
                let is_right = number.is_some_and(|number| (*min..=*max).contains(&number));
                let remedy = || format!("use a whole number from {min} to {max}, not {value}");
                is_right.then_some(()).ok_or_else(|| wrong(path, remedy()))
            }
            Self::Factor => {
                let number = value.as_f64();
                let is_right = number.is_some_and(|n| (1.0..=POLICY_FACTOR_MAX).contains(&n));
                let remedy = || format!("use a number from 1 to {POLICY_FACTOR_MAX}, not {value}");
                is_right.then_some(()).ok_or_else(|| wrong(path, remedy()))
            }
            Self::Codes => {
                let fits = |code: &Value| {
                    let code = code.as_str();
                    code.is_some_and(|code| (1..=NAME_BYTES_MAX).contains(&code.len()))
                };
                let is_right = value
                    .as_array()
                    .is_some_and(|codes| codes.len() <= POLICY_CODES_MAX && codes.iter().all(fits));
                let remedy = || {
                    format!(
                        "use a list of at most {POLICY_CODES_MAX} error codes of 1 to \
                         {NAME_BYTES_MAX} bytes"
                    )
                };
                is_right.then_some(()).ok_or_else(|| wrong(path, remedy()))
            }
            Self::Fields(fields) => match value {
                Value::Object(inner) => check(fields, inner, &format!("{path}.")),
                _ => {
                    let names: Vec<_> = fields.iter().map(|(known, _)| *known).collect();
                    let remedy = format!("use an object with {}", names.join(", "));
                    Err(wrong(path, remedy))
                }
            },
        }
    }
}

/// JSON merge patch (RFC 7396); an object that has become empty is not there any more.
fn merge(whole: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *whole = change;
        return;
    };
    if !whole.is_object() {
        *whole = Value::Object(Map::new());
    }
    let Value::Object(fields) = whole else {
        return;
    };
    for (name, value) in change {
        if value.is_null() {
            fields.remove(&name);
            continue;
        }
        let field = fields.entry(name.clone()).or_insert(Value::Null);
        merge(field, value);
        if field.as_object().is_some_and(Map::is_empty) {
            fields.remove(&name);
        }
    }
}

fn wrong(field: &str, remedy: String) -> WrongPatch {
    WrongPatch {
        field: field.to_owned(),
        remedy,
    }
}

/// Milliseconds; less than one counts as one.
fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
