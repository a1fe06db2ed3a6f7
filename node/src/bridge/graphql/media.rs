//! Which type of answer a client wants, from its header Accept.
//!
//! Pure.

/// The types that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// What GraphQL over HTTP defines: its statuses tell how the request went.
    GraphqlResponse,
    /// What clients have that are older than it.
    Json,
    /// One answer after another.
    EventStream,
}

impl Media {
    /// The one that a client likes best. `None`: none of them. Without a word it is JSON.
    pub(super) fn wanted(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept else {
            return Some(Self::Json);
        };
        best(accept, Self::of_range)
    }

    fn of_range(range: &str) -> Option<Self> {
        match &*range.to_ascii_lowercase() {
            "application/graphql-response+json" => Some(Self::GraphqlResponse),
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "text/event-stream" => Some(Self::EventStream),
            _ => None,
        }
    }

    /// The header Content-Type of its answers.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::EventStream => "text/event-stream; charset=utf-8",
        }
    }
}

/// Whether a client would rather have a page than anything else, as browsers say of what a person opens.
pub(super) fn is_page_wanted(accept: Option<&str>) -> bool {
    let is_page = |range: &str| Some(range.eq_ignore_ascii_case("text/html"));
    accept.and_then(|accept| best(accept, is_page)) == Some(true)
}

/// What a client likes best of what is known of its ranges; of those that are liked as much, the first.
fn best<T>(accept: &str, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut best: Option<(f32, T)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some(media) = parts.next().and_then(&known) else {
            continue;
        };
        let quality = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Some(1.0), |(_, value)| value.trim().parse().ok())
            .unwrap_or(0.0);
        if quality > best.as_ref().map_or(0.0, |(quality, _)| *quality) {
            best = Some((quality, media));
        }
    }
    best.map(|(_, media)| media)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_who_asks_for_one_first() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for accept in [
            browser,
            "text/html",
            "Text/HTML; charset=utf-8",
            "application/json;q=0.9, text/html",
            "text/html, application/json",
        ] {
            assert!(is_page_wanted(Some(accept)), "{accept}");
        }
        for accept in [
            "*/*",
            "application/json, text/html",
            "application/json, text/html;q=0.9",
            "*/*, text/html",
            "text/html;q=0",
            "text/html;q=NaN",
            "application/graphql-response+json",
            "text/plain, text/html",
            "",
        ] {
            assert!(!is_page_wanted(Some(accept)), "{accept}");
        }
        assert!(!is_page_wanted(None));
    }

    #[test]
    fn the_best_liked_type_is_answered() {
        for (accept, wanted) in [
            (None, Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/*"), Some(Media::Json)),
            (Some("Application/JSON; charset=utf-8"), Some(Media::Json)),
            (
                Some("application/graphql-response+json"),
                Some(Media::GraphqlResponse),
            ),
            (
                Some("application/graphql-response+json, application/json;q=0.9"),
                Some(Media::GraphqlResponse),
            ),
            (
                Some("application/graphql-response+json;q=0.5, application/json"),
                Some(Media::Json),
            ),
            (
                Some("text/event-stream, application/json;q=0.1"),
                Some(Media::EventStream),
            ),
            (Some("text/html, */*;q=0.8"), Some(Media::Json)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
            (Some("application/json;q=x"), None),
            (Some("application/json;q=NaN"), None),
            (Some(""), None),
        ] {
            assert_eq!(Media::wanted(accept), wanted, "{accept:?}");
        }
    }
}
