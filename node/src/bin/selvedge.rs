//! The `selvedge` binary: the node with the demo application.

use std::process::ExitCode;

use selvedge_node::demo_app;

/// Sessions free what actors allocated, on other threads: the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    selvedge_node::main(demo_app::application)
}
