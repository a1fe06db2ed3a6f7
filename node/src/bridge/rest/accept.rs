//! What a client accepts (RFC 9110, 12.5.1): pure.

/// Whether an `Accept` takes this media type. The most specific range that matches decides, and quality 0 is a no.
pub(crate) fn accepts(accept: &str, given: &str) -> bool {
    let wide = given.split('/').next().unwrap_or_default();
    let rank = |range: &str| {
        if range.eq_ignore_ascii_case(given) {
            Some(2)
        } else if range
            .split_once('/')
            .is_some_and(|(one, two)| one.eq_ignore_ascii_case(wide) && two == "*")
        {
            Some(1)
        } else {
            (range == "*/*").then_some(0)
        }
    };
    let matching = accept.split(',').filter_map(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let rank = rank(pieces.next()?)?;
        let quality = pieces.find_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        let refused = quality.is_some_and(|quality| quality.parse() == Ok(0.0_f32));
        Some((rank, !refused))
    });
    match matching.max_by_key(|(rank, _)| *rank) {
        Some((_, is_taken)) => is_taken,
        // An empty header says nothing.
        None => accept.trim().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::accepts;

    #[test]
    fn the_most_specific_range_decides() {
        for (accept, taken) in [
            ("", true),
            ("*/*", true),
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/html, application/*;q=0.1", true),
            ("text/html", false),
            ("application/json;q=0, */*", false),
            ("application/*;q=0.0", false),
            ("*/*;q=0, application/json", true),
            ("application", false),
        ] {
            assert_eq!(accepts(accept, "application/json"), taken, "{accept:?}");
        }
    }
}
