//! What each command does, one file per noun.

pub(crate) mod actor;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod cluster;
mod cluster_nodes;
pub(crate) mod config;
pub(crate) mod demo;
mod dev_cluster;
pub(crate) mod directory;
pub(crate) mod limit;
pub(crate) mod op;
pub(crate) mod policy;
pub(crate) mod schedule;
pub(crate) mod serve;
pub(crate) mod subject;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod worker;
