//! The `selvedge` binary: the node with the demo application.

use std::process::ExitCode;

fn main() -> ExitCode {
    selvedge_node::main(selvedge_node::demo_app::application())
}
