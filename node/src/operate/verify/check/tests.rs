//! What the tests of the checkers share.

pub(super) mod simulated;
