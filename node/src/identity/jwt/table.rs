//! `[[identity.issuers]]` of a configuration: whose tokens are taken, and what they mean here.
//!
//! ```toml
//! [[identity.issuers]]
//! issuer = "https://login.example.org/realms/staff"
//! audience = "selvedge"                     # of this service, at the issuer
//! jwks = "https://login.example.org/keys"   # or a file; left out: by discovery
//! tenant_claim = "org"                      # or `tenant = "acme"` for all
//! roles_claim = ["realm_access", "roles"]   # a claim, or the names that lead to one
//! roles = { staff = "viewer", ops = "operator" }
//! ```
//!
//! Parsed once, before any port opens, into what cannot be wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{
    ISSUER_BYTES_MAX, ISSUER_PATH_MAX, ISSUER_ROLES_MAX, ISSUERS_MAX, NAME_BYTES_MAX,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identity::jwt::claims::{RolesRule, Rules, TenantRule};
use crate::identity::jwt::source::{self, FileSource, HttpSource, Place, Source};

/// One of these tables as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerTable {
    /// Exactly as its tokens have it in `iss`.
    pub issuer: String,
    /// What its tokens for this service have in `aud`.
    pub audience: String,
    /// A file or an https URL with its keys.
    pub jwks: Option<String>,
    pub tenant_claim: Option<ClaimPath>,
    pub tenant: Option<String>,
    pub roles_claim: Option<ClaimPath>,
    /// From its roles to ours.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

/// A claim, or the names that lead to it through objects. Names are taken as they are: those of some issuers
/// are URLs, dots and all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum ClaimPath {
    Name(String),
    Names(Vec<String>),
}

/// An issuer as it was configured, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    rules: Rules,
    keys: KeysPlace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeysPlace {
    File(PathBuf),
    Http(Place),
}

/// A field that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identity.issuers[{at}].{field}: {remedy}")]
pub struct WrongIssuer {
    /// Which table, from 0.
    pub at: usize,
    pub field: &'static str,
    pub remedy: String,
}

/// A field and a remedy.
type Wrong = (&'static str, String);

impl IssuerConfig {
    /// Checks every field of all tables.
    pub fn all(tables: Vec<IssuerTable>) -> Result<Vec<Self>, WrongIssuer> {
        let mut configs: Vec<Self> = Vec::new();
        for (at, table) in tables.into_iter().enumerate() {
            let wrong = |(field, remedy)| WrongIssuer { at, field, remedy };
            if at >= ISSUERS_MAX {
                return Err(wrong((
                    "issuer",
                    format!("have at most {ISSUERS_MAX} issuers"),
                )));
            }
            let config = Self::one(table).map_err(wrong)?;
            let issuer = &config.rules.issuer;
            if configs.iter().any(|known| known.rules.issuer == *issuer) {
                let remedy = format!("{issuer:?} is there twice; make one table of the two");
                return Err(wrong(("issuer", remedy)));
            }
            configs.push(config);
        }
        Ok(configs)
    }

    fn one(table: IssuerTable) -> Result<Self, Wrong> {
        named(
            "issuer",
            &table.issuer,
            "as the issuer has it in its tokens, often a URL",
        )?;
        named(
            "audience",
            &table.audience,
            "under which the issuer knows this service",
        )?;
        let keys = KeysPlace::parse(&table.issuer, table.jwks.as_deref())?;
        Ok(Self {
            rules: Rules {
                tenant: tenant(table.tenant_claim, table.tenant.as_deref())?,
                roles: roles(table.roles_claim, table.roles)?,
                issuer: table.issuer,
                audience: table.audience,
            },
            keys,
        })
    }

    /// What `Issuers` works with.
    pub(super) fn into_parts(self) -> (Rules, Box<dyn Source>) {
        let source: Box<dyn Source> = match self.keys {
            KeysPlace::File(path) => Box::new(FileSource(path)),
            KeysPlace::Http(place) => Box::new(HttpSource::new(place)),
        };
        (self.rules, source)
    }
}

impl KeysPlace {
    fn parse(issuer: &str, jwks: Option<&str>) -> Result<Self, Wrong> {
        let Some(text) = jwks else {
            let place = Place::discovered(issuer).map_err(|reason| {
                let remedy = format!("{issuer:?} cannot be discovered: {reason}; set jwks");
                ("issuer", remedy)
            })?;
            return Ok(Self::Http(place));
        };
        if text.contains("://") {
            let url = source::trusted(text).map_err(|reason| {
                let remedy =
                    format!("{text:?}: {reason}; give an https URL, or the path of a file");
                ("jwks", remedy)
            })?;
            return Ok(Self::Http(Place::Keys(url)));
        }
        let path = PathBuf::from(text);
        match path.is_file() {
            true => Ok(Self::File(path)),
            false => {
                let remedy =
                    format!("{text:?} is no file; give one that is there, or an https URL");
                Err(("jwks", remedy))
            }
        }
    }
}

impl ClaimPath {
    /// Its names, one by one.
    fn names(&self) -> &[String] {
        match self {
            Self::Name(name) => std::slice::from_ref(name),
            Self::Names(names) => names,
        }
    }

    /// The claim it leads to.
    pub(super) fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (last, before) = self.names().split_last()?;
        let mut at = claims;
        for name in before {
            at = at.get(name)?.as_object()?;
        }
        at.get(last)
    }

    fn check(self, field: &'static str) -> Result<Self, Wrong> {
        let names = self.names();
        let is_named = |name: &String| (1..=ISSUER_BYTES_MAX).contains(&name.len());
        match (1..=ISSUER_PATH_MAX).contains(&names.len()) && names.iter().all(is_named) {
            true => Ok(self),
            false => {
                let remedy = format!(
                    "give the name of a claim, or a list of 1 to {ISSUER_PATH_MAX} names that lead to it"
                );
                Err((field, remedy))
            }
        }
    }
}

fn named(field: &'static str, text: &str, what: &str) -> Result<(), Wrong> {
    match (1..=ISSUER_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) {
        true => Ok(()),
        false => Err((
            field,
            format!("give the name {what}, of 1 to {ISSUER_BYTES_MAX} bytes"),
        )),
    }
}

fn tenant(claim: Option<ClaimPath>, fixed: Option<&str>) -> Result<TenantRule, Wrong> {
    match (claim, fixed) {
        (None, None) => Ok(TenantRule::Unsaid),
        (Some(claim), None) => Ok(TenantRule::Claim(claim.check("tenant_claim")?)),
        (None, Some(fixed)) => {
            let tenant = Tenant::new(fixed).map_err(|error| ("tenant", error.to_string()))?;
            Ok(TenantRule::Fixed(tenant))
        }
        (Some(_), Some(_)) => {
            let remedy = "leave this out or tenant_claim: a token has one tenant";
            Err(("tenant", remedy.to_owned()))
        }
    }
}

fn roles(
    claim: Option<ClaimPath>,
    ours: BTreeMap<String, String>,
) -> Result<Option<RolesRule>, Wrong> {
    if ours.len() > ISSUER_ROLES_MAX {
        let remedy = format!("map at most {ISSUER_ROLES_MAX} roles");
        return Err(("roles", remedy));
    }
    if let Some(role) = ours.values().find(|role| !is_role(role)) {
        let remedy =
            format!("{role:?} is no role; use a-z, then any of a-z, 0-9, '_', '.' and '-'");
        return Err(("roles", remedy));
    }
    match (claim, ours.is_empty()) {
        (None, true) => Ok(None),
        (Some(claim), false) => Ok(Some(RolesRule {
            claim: claim.check("roles_claim")?,
            ours,
        })),
        (Some(_), true) => {
            let remedy = "say what each role of the issuer is here; others are nothing";
            Err(("roles", remedy.to_owned()))
        }
        (None, false) => {
            let remedy = "name the claim that has the roles, or leave roles out";
            Err(("roles_claim", remedy.to_owned()))
        }
    }
}

/// Whether a role of ours can have this name.
fn is_role(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|at: char| at.is_ascii_lowercase())
        && name
            .bytes()
            .all(|at| at.is_ascii_lowercase() || at.is_ascii_digit() || b"_.-".contains(&at))
}
