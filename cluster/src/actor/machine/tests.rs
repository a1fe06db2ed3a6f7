//! The machine in simulated time.
