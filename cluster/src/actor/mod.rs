//! Hosting of durable actors.
