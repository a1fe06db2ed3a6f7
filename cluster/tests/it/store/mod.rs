//! The store: one conformance suite over every backend, and what only the embedded one has.

mod conformance;
