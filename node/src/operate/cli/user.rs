//! The commands and flags of `selvedge user`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ClientFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a user. Nobody gives roles that give more than they have.
    Add {
        /// a-z, 0-9 and ._@+-, of which the first is a letter or digit.
        name: String,
        #[arg(long)]
        email: Option<String>,
        /// What it may do; may be repeated.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Where the password is, on one line; - is standard input. Without it the user cannot log in.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Show a user.
    Get(Named),
    /// List the users of the tenant in the order in which they were made.
    List {
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Change some of a user.
    Set {
        /// The name of the user, or its id.
        user: String,
        /// An address; nothing takes away the one that it has.
        #[arg(long)]
        email: Option<String>,
        /// The roles that it has from now on; may be repeated.
        #[arg(long = "role", value_name = "ROLE", conflicts_with = "no_roles")]
        roles: Vec<String>,
        /// It has no roles from now on.
        #[arg(long)]
        no_roles: bool,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Let a user log in that was disabled.
    Enable(Named),
    /// Let a user log in no more; its logins end, and whoever is connected is let go within a second.
    Disable(Named),
    /// Give a user another password; its logins end.
    Password {
        /// The name of the user, or its id.
        user: String,
        /// Where the password is, on one line; - is standard input.
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Remove a user.
    Remove(Named),
    /// List the logins of a user.
    Logins(Named),
    /// End a login of a user.
    Logout {
        /// The name of the user, or its id.
        user: String,
        /// The id of the login.
        login: String,
        #[command(flatten)]
        client: ClientFlags,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The name of the user, or its id.
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}
