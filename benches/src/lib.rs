//! What the benches and examples of this package share. Nothing else uses it.

pub mod counted;
