//! Durations on the command line: `90s`, `5m`, `1h30m`, `2d`.

use jiff::{Span, SpanRelativeTo};

/// Milliseconds of a duration; a day has 24 hours, whatever the clocks do.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let wrong = |reason: &dyn std::fmt::Display| {
        format!("{text:?} is not a duration, such as 90s, 5m or 1h30m: {reason}")
    };
    let span: Span = text.parse().map_err(|error| wrong(&error))?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|error| wrong(&error))?;
    u64::try_from(duration.as_millis()).map_err(|_| wrong(&"it is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("250ms", 250),
        ] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "5", "soon", "-5m", "1 fortnight", "1y"] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }
}
