//! Personal data: what is sealed, what an erasure leaves, and who races with whom.

mod commits;
mod erasure;
mod export;
mod rest;
mod retention;
mod world;
