//! A text that must not be seen: tokens, passwords. Configuration and credentials hold it.
//!
//! It never prints its value, and is compared in constant time.

use std::fmt;

use aws_lc_rs::constant_time;

/// A secret text.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `text` is the secret. Takes as long for a near miss as for a far one; only the length
    /// of the secret can be measured.
    pub fn is(&self, text: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), text.as_bytes()).is_ok()
    }

    /// The text, for where it has to be shown or sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn is_never_printed() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?} {secret:#?}").contains("hunter2"));
    }

    #[test]
    fn is_only_equal_to_itself() {
        let secret = Secret::new("hunter2");
        assert!(secret.is("hunter2"));
        assert!(!secret.is("hunter3"));
        assert!(!secret.is("hunter"));
        assert!(!secret.is(""));
    }
}
