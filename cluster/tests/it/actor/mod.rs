//! The hosting of actors over the embedded store: what it promises, and attempts to break it.

mod basics;
mod kinds;
mod world;
