//! Tests of the bridge over real sockets on loopback, in front of a whole node.

mod graphql;
