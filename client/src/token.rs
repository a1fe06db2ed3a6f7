//! The credential of a client: a text that no log or debug output ever shows.

use std::fmt;

/// A token that is never shown.
#[derive(Clone, Default)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to be put into a Hello and nowhere else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
