//! Looks over a GraphQL document before it is parsed: its tokens and how deep its brackets go. The parser recurses as
//! deep as they do and allocates for each token, so both are bounded here, in one pass that does neither.
//!
//! Pure. What is no GraphQL is left to the parser, which says what is wrong with it.

use selvedge_protocol::limits::{
    GRAPHQL_DOCUMENT_BYTES_MAX, GRAPHQL_NESTING_MAX, GRAPHQL_TOKENS_MAX,
};
use selvedge_protocol::{ErrorCode, Failure};

/// Refuses a document that is too large to be parsed.
pub(super) fn scan(document: &str) -> Result<(), Failure> {
    if document.len() > GRAPHQL_DOCUMENT_BYTES_MAX {
        return Err(too_large(format!(
            "the document has {} bytes; use at most {GRAPHQL_DOCUMENT_BYTES_MAX}, and variables for what is large",
            document.len()
        )));
    }
    let bytes = document.as_bytes();
    let (mut at, mut tokens, mut nesting) = (0, 0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b' ' | b',' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'#' => {
                at = after(bytes, at, |byte| !matches!(byte, b'\n' | b'\r'));
                continue;
            }
            b'"' => string(bytes, at),
            b'(' | b'[' | b'{' => {
                nesting += 1;
                at + 1
            }
            b')' | b']' | b'}' => {
                nesting = nesting.saturating_sub(1);
                at + 1
            }
            b'.' => after(bytes, at, |byte| byte == b'.'),
            byte if is_word(*byte) => after(bytes, at, is_word),
            _ => at + 1,
        };
        at = end;
        tokens += 1;
        if tokens > GRAPHQL_TOKENS_MAX {
            return Err(too_large(format!(
                "the document has more than {GRAPHQL_TOKENS_MAX} tokens; ask in several requests"
            )));
        }
        if nesting > GRAPHQL_NESTING_MAX {
            return Err(too_large(format!(
                "the document has brackets more than {GRAPHQL_NESTING_MAX} deep; ask for less at a time"
            )));
        }
    }
    Ok(())
}

/// Where the bytes from `at` on end that are of a sort.
fn after(bytes: &[u8], at: usize, is_of_it: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| !is_of_it(*byte));
    at + length.unwrap_or(rest.len())
}

/// Where the string that begins at `at` ends.
fn string(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let (quote, escape): (&[u8], &[u8]) = match rest.starts_with(b"\"\"\"") {
        true => (b"\"\"\"", b"\\\"\"\""),
        false => (b"\"", b"\\"),
    };
    let mut within = quote.len();
    while let Some(rest) = rest.get(within..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(quote) {
            return at + within + quote.len();
        }
        within += match rest.starts_with(escape) {
            // The backslash and what it stands before.
            true => escape.len().max(2),
            false => 1,
        };
    }
    bytes.len()
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn too_large(message: String) -> Failure {
    Failure::field(ErrorCode::TooLarge, "query", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_documents_pass_whatever_their_strings_and_comments_hold() {
        let brackets = "{".repeat(GRAPHQL_NESTING_MAX + 1);
        for document in [
            "{ about { node } }".to_owned(),
            format!("# {brackets}\n{{ about {{ node }} }}"),
            format!("{{ operation(id: \"{brackets}\") {{ id }} }}"),
            format!("{{ operation(id: \"\\\"{brackets}\") {{ id }} }}"),
            format!("{{ operation(id: \"\"\"\\\"\"\"{brackets}\"\"\") {{ id }} }}"),
            "\"".to_owned(),
            "\"\\".to_owned(),
            "\"\"\"".to_owned(),
            "\u{feff}{ ü }".to_owned(),
            String::new(),
        ] {
            assert_eq!(scan(&document), Ok(()), "{document}");
        }
    }

    #[test]
    fn deep_long_and_large_documents_are_refused() {
        let deep = |open: &str| format!("{{ a{} }}", open.repeat(GRAPHQL_NESTING_MAX));
        for (document, said) in [
            (deep("{a"), "deep"),
            (deep("(a:["), "deep"),
            (deep("\"\"{"), "deep"),
            ("a ".repeat(GRAPHQL_TOKENS_MAX + 1), "tokens"),
            ("@".repeat(GRAPHQL_TOKENS_MAX + 1), "tokens"),
            ("...a".repeat(GRAPHQL_TOKENS_MAX / 2 + 1), "tokens"),
            (" ".repeat(GRAPHQL_DOCUMENT_BYTES_MAX + 1), "bytes"),
        ] {
            let failure = scan(&document).unwrap_err();
            assert_eq!(failure.code, ErrorCode::TooLarge);
            assert!(failure.message.contains(said), "{}", failure.message);
        }
    }
}
