//! The commands and flags of `selvedge token`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Log in with a password and print the access token. The refresh token, by which the login goes on, is printed by
    /// --output json alone.
    Login {
        #[arg(long, value_name = "NAME")]
        username: String,
        /// Where the password is, on one line; - is standard input.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        /// What the login is listed by; only the same one goes on with it.
        #[arg(long, value_name = "NAME", default_value = CLIENT)]
        client: String,
        /// The tenant that the user is of.
        #[arg(long, value_name = "TENANT", env = "SELVEDGE_TENANT")]
        tenant: Option<String>,
        #[command(flatten)]
        web: WebFlags,
    },
    /// Go on with a login: the next access token, and with --output json the next refresh token. The one that is shown is good
    /// for nothing afterwards.
    Refresh {
        /// Where the refresh token is, on one line; - is standard input.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// What the login was begun with.
        #[arg(long, value_name = "NAME", default_value = CLIENT)]
        client: String,
        #[command(flatten)]
        web: WebFlags,
    },
    /// End the login that a refresh token is of, or an access token alone. Whoever is connected by it is let go within a second.
    Revoke {
        /// Where the token is, on one line; - is standard input.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        #[command(flatten)]
        web: WebFlags,
    },
    /// Show what an access token or API key is now, for who may see users.
    Inspect {
        /// Where the token is, on one line; - is standard input.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// The credential of who asks.
        #[arg(
            long,
            value_name = "TOKEN",
            env = "SELVEDGE_TOKEN",
            hide_env_values = true
        )]
        token: Option<String>,
        #[command(flatten)]
        web: WebFlags,
    },
}

/// Where a node serves HTTP. Without --url: what the profile says that `dev` left in the data directory.
#[derive(Debug, Clone, Args)]
pub(crate) struct WebFlags {
    /// Where the node serves HTTP: https://HOST:PORT, or http on a loopback address.
    #[arg(long, value_name = "URL", env = "SELVEDGE_URL")]
    pub(crate) url: Option<String>,
    /// The certificate authority to trust, PEM [default: those of the system].
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The data directory of a `dev` node, for its profile.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "./selvedge-data",
        env = "SELVEDGE_DATA_DIR"
    )]
    pub(crate) data_dir: PathBuf,
}

/// What logins of the command line are listed by.
const CLIENT: &str = "cli";
