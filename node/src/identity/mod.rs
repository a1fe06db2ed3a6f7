//! Who acts, and what they may: authentication of principals, roles and the table of permissions, authorisation, and
//! resume tokens.
//!
//! Sessions and requests ask here before anything of a client reaches the inside. Nothing here knows a transport,
//! and no secret is ever part of a log or an error.

mod api_key;
mod authenticator;
mod authorize;
mod clients;
mod counted;
mod directory;
mod issue;
pub mod jwt;
mod known;
mod password;
mod permission;
mod principal;
mod resume;
mod role;
mod rule_text;
mod secret;
mod standing;
mod throttle;
mod tokens;

pub use authenticator::{Authenticator, DevelopmentToken};
pub use authorize::{authorize, scope};
pub(crate) use clients::form_action;
pub use clients::{CONSOLE, Client, ClientTable, Clients, RedirectUri, WrongClient};
pub(crate) use counted::{CredentialFault, LoginOutcome};
pub use directory::{
    ApiKey, Directory, Email, KeyMaker, MadeKey, NewKey, NewUser, RoleMade, RoleWrite, StoredRole,
    User, UserAt, UserChange, UserState, Username,
};
pub(crate) use directory::{SealedUsers, no_such_role, no_such_user, user_of};
pub(crate) use issue::check_origin;
pub use issue::{
    Challenge, ClientName, CodeAsked, CodeShown, Grant, IdToken, IssueConfig, KeyGrant,
    KeyNotGranted, Login, LoginShown, Logins, NotRefreshed, NotRevoked, PageWrong, Rotated,
    Rotation, TokensTable, WrongTokens,
};
pub use password::{Kept, Password};
pub use permission::{Action, Entry, Holder, Owner, Permission, Request, Resource, TABLE};
pub use principal::Principal;
pub(crate) use principal::Term;
pub use resume::{ResumeClaims, ResumeKey};
pub use role::{BUILT_IN, Role, Rule, Scope};
pub use rule_text::RuleError;
pub(crate) use rule_text::every_rule;
pub use secret::Secret;
pub use standing::{Basis, Standing, Standings};
pub use tokens::Tokens;
