//! Who acts, as other systems say it.

mod jwt;
