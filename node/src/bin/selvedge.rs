//! The `selvedge` binary: the node with the demo application.

use std::process::ExitCode;

use selvedge_node::demo_app;

fn main() -> ExitCode {
    selvedge_node::main(demo_app::application)
}
