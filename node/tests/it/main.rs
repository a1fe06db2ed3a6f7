<<<<<<< HEAD
//! Tests of the node as its users meet it, and of the repository itself.

mod tidy;
=======
//! The node's integration tests, in one binary.

mod edge;
>>>>>>> edge
