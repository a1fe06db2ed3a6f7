//! Every key of the store, as one enum: its families, their persisted ordinals, and their encoding.

/// A key of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {}
