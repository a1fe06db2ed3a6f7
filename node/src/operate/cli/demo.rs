//! The flags of `selvedge demo`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The directory to digest [default: the current one, without .git, target and node_modules].
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Where the embedded store lives.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "./selvedge-data",
        env = "SELVEDGE_DATA_DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// Where the manifest goes [default: demo.sha256 in the data directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// End with the manifest instead of serving on.
    #[arg(long)]
    pub(crate) exit: bool,
    /// Where the demo's node listens; port 0 asks for a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:0",
        env = "SELVEDGE_QUIC"
    )]
    pub(crate) quic: String,
    /// Where the demo's node serves HTTP and its console; port 0 asks for a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:0",
        env = "SELVEDGE_HTTP"
    )]
    pub(crate) http: String,
}
