//! How much of something in how much time: `50/s`, `600/min`, `10/h`, with a burst. Pure.

use std::fmt;
use std::str::FromStr;

use selvedge_protocol::limits::{LIMIT_BATCH_MS, LIMIT_RATE_MAX};

/// A rate and how much of it may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    tokens: u64,
    per: Per,
    burst: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// Why a text or number is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongRate {
    #[error(
        "{0:?} is no rate: use a whole number from 1 to {LIMIT_RATE_MAX} and a time, as in 50/s, 600/min or 10/h"
    )]
    Rate(String),
    #[error("{0} is no burst: use 1 to {LIMIT_RATE_MAX}")]
    Burst(u64),
}

impl Rate {
    /// So many a second, and as many at once: for what is fixed in code.
    pub const fn per_second(tokens: u64) -> Self {
        Self {
            tokens,
            per: Per::Second,
            burst: tokens,
        }
    }

    /// So many an hour, and no more than a burst of them at once.
    pub(super) const fn per_hour(tokens: u64, burst: u64) -> Self {
        Self {
            tokens,
            per: Per::Hour,
            burst,
        }
    }

    /// The same with another burst.
    pub fn with_burst(self, burst: u64) -> Result<Self, WrongRate> {
        match (1..=LIMIT_RATE_MAX).contains(&burst) {
            true => Ok(Self { burst, ..self }),
            false => Err(WrongRate::Burst(burst)),
        }
    }

    /// Tokens in each period.
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    pub const fn period_ns(&self) -> u64 {
        self.period_seconds() * 1_000_000_000
    }

    pub const fn period_seconds(&self) -> u64 {
        match self.per {
            Per::Second => 1,
            Per::Minute => 60,
            Per::Hour => 3_600,
        }
    }

    /// What may come at once.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// What a node may be ahead of the owner of the limit: what comes in a tenth of a second, at least one and at most
    /// the burst.
    pub fn batch(&self) -> u64 {
        let came = u128::from(self.tokens) * u128::from(LIMIT_BATCH_MS) * 1_000_000
            / u128::from(self.period_ns());
        u64::try_from(came).unwrap_or(u64::MAX).clamp(1, self.burst)
    }

    /// One token comes in this time, nanoseconds, rounded up: never more than the rate.
    pub const fn interval_ns(&self) -> u64 {
        self.period_ns().div_ceil(self.tokens)
    }
}

impl FromStr for Rate {
    type Err = WrongRate;

    fn from_str(text: &str) -> Result<Self, WrongRate> {
        let wrong = || WrongRate::Rate(text.to_owned());
        let (tokens, per) = text.split_once('/').ok_or_else(wrong)?;
        // No sign, no blank.
        if !tokens.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let tokens: u64 = tokens.parse().map_err(|_| wrong())?;
        let per = match per {
            "s" => Per::Second,
            "min" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(wrong()),
        };
        if !(1..=LIMIT_RATE_MAX).contains(&tokens) {
            return Err(wrong());
        }
        let rate = Self {
            tokens,
            per,
            burst: 1,
        };
        // Who says nothing of a burst has what comes in a second, at least one.
        let burst = tokens / rate.period_seconds();
        Ok(Self {
            burst: burst.max(1),
            ..rate
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => "s",
            Per::Minute => "min",
            Per::Hour => "h",
        };
        write!(f, "{}/{per}", self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_they_are_read() {
        for (text, burst, batch) in [
            ("50/s", 50, 5),
            ("1/s", 1, 1),
            ("9/s", 9, 1),
            ("600/min", 10, 1),
            ("10/h", 1, 1),
            ("1000000000/s", 1_000_000_000, 100_000_000),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!((rate.burst(), rate.batch()), (burst, batch), "{text}");
        }
        let rate: Rate = "1000/s".parse().unwrap();
        assert_eq!(rate.with_burst(7).unwrap().batch(), 7);
        for wrong in [
            "",
            "50",
            "0/s",
            "-1/s",
            "+1/s",
            "1/d",
            "1.5/s",
            "1000000001/s",
            " 1/s",
            "1/s ",
        ] {
            let error = wrong.parse::<Rate>().unwrap_err();
            assert!(error.to_string().contains("50/s"), "{error}");
        }
        assert!(rate.with_burst(0).is_err());
    }
}
