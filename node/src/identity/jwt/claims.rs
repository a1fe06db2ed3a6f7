//! What a token claims, checked against what the configuration says of its issuer. Pure; `issuers` calls it once
//! the signature is verified, and not before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{
    TOKEN_AUDIENCES_MAX, TOKEN_ROLES_MAX, TOKEN_SKEW_MS, TOKEN_SUBJECT_BYTES_MAX,
};
use serde_json::{Map, Value};

use crate::identity::jwt::refused::{Fault, Refused};
use crate::identity::jwt::table::ClaimPath;

/// Who somebody is, as an issuer says that is trusted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Subjects are unique within it, and not beyond.
    pub issuer: String,
    pub subject: String,
    /// `None` if the configuration says nothing of tenants. It does not mean every tenant.
    pub tenant: Option<Tenant>,
    /// Roles of ours, in order, each once: what the configuration maps those of the token to.
    pub roles: Vec<String>,
    /// The token's `exp`, Unix milliseconds. Verification takes it `TOKEN_SKEW_MS` longer.
    pub expires_ms: u64,
    /// The token's `jti`, if it has one.
    pub token_id: Option<String>,
    /// The login that it came of (`sid`), if it says so.
    pub login: Option<String>,
    /// The key that has signed it, if it names one.
    pub key_id: Option<String>,
}

/// What the tokens of an issuer must and may claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) tenant: TenantRule,
    pub(super) roles: Option<RolesRule>,
}

/// Where the tenant of a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TenantRule {
    Unsaid,
    Fixed(Tenant),
    /// A token without it is refused.
    Claim(ClaimPath),
}

/// Where the roles of a token are, and what they are here. Those that are not mapped are nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RolesRule {
    pub(super) claim: ClaimPath,
    pub(super) ours: BTreeMap<String, String>,
}

impl Rules {
    /// The claims of a token that was signed by the issuer.
    pub(super) fn check(
        &self,
        claims: &Map<String, Value>,
        now_ms: u64,
    ) -> Result<Claims, Refused> {
        // The issuer was looked up by this claim; whoever calls with another one is wrong.
        if issuer(claims) != Some(self.issuer.as_str()) {
            return Err(Refused::UnknownIssuer);
        }
        let expires_ms = date(claims, "exp")?.ok_or(Fault::Claim("exp"))?;
        if now_ms >= expires_ms.saturating_add(TOKEN_SKEW_MS) {
            return Err(Refused::Expired);
        }
        for name in ["nbf", "iat"] {
            let begins_ms = date(claims, name)?.unwrap_or(0);
            if begins_ms > now_ms.saturating_add(TOKEN_SKEW_MS) {
                return Err(Refused::NotYetValid);
            }
        }
        if !self.is_addressed(claims)? {
            return Err(Refused::WrongAudience);
        }
        Ok(Claims {
            issuer: self.issuer.clone(),
            subject: label(claims, "sub")?.ok_or(Fault::Claim("sub"))?,
            tenant: self.tenant(claims)?,
            roles: self.roles(claims)?,
            expires_ms,
            token_id: label(claims, "jti")?,
            login: label(claims, "sid")?,
            key_id: None,
        })
    }

    /// Whether the token is for this service.
    fn is_addressed(&self, claims: &Map<String, Value>) -> Result<bool, Fault> {
        let wrong = Fault::Claim("aud");
        match claims.get("aud") {
            Some(Value::String(audience)) => Ok(*audience == self.audience),
            Some(Value::Array(audiences)) if audiences.len() <= TOKEN_AUDIENCES_MAX => {
                match audiences.iter().all(Value::is_string) {
                    true => Ok(audiences.iter().any(|audience| *audience == self.audience)),
                    false => Err(wrong),
                }
            }
            Some(_) | None => Err(wrong),
        }
    }

    fn tenant(&self, claims: &Map<String, Value>) -> Result<Option<Tenant>, Fault> {
        match &self.tenant {
            TenantRule::Unsaid => Ok(None),
            TenantRule::Fixed(tenant) => Ok(Some(tenant.clone())),
            TenantRule::Claim(claim) => {
                let text = claim.find(claims).and_then(Value::as_str);
                let tenant = text.and_then(|text| Tenant::new(text).ok());
                tenant.map(Some).ok_or(Fault::Claim("of the tenant"))
            }
        }
    }

    fn roles(&self, claims: &Map<String, Value>) -> Result<Vec<String>, Fault> {
        let Some(rule) = &self.roles else {
            return Ok(Vec::new());
        };
        let wrong = Fault::Claim("of the roles");
        let theirs: Vec<&str> = match rule.claim.find(claims) {
            None => Vec::new(),
            // As `scope` has it.
            Some(Value::String(text)) => text.split(' ').filter(|it| !it.is_empty()).collect(),
            Some(Value::Array(list)) => {
                let texts = list.iter().map(Value::as_str);
                texts.collect::<Option<_>>().ok_or(wrong)?
            }
            Some(_) => return Err(wrong),
        };
        if theirs.len() > TOKEN_ROLES_MAX {
            return Err(wrong);
        }
        let ours: BTreeSet<_> = theirs.iter().filter_map(|it| rule.ours.get(*it)).collect();
        Ok(ours.into_iter().cloned().collect())
    }
}

/// Who says that the token is of them.
pub(super) fn issuer(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("iss").and_then(Value::as_str)
}

/// A text that names something: it will be seen in logs and lists.
fn label(claims: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Fault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text))
            if (1..=TOKEN_SUBJECT_BYTES_MAX).contains(&text.len())
                && !text.contains(char::is_control) =>
        {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(Fault::Claim(name)),
    }
}

/// A time in Unix milliseconds, of seconds that may have a fraction (RFC 7519, NumericDate).
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, Fault> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let since = value
        .as_f64()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let since = since.filter(|since| since.as_secs() <= DATE_SECONDS_MAX);
    let ms = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    ms.map(Some).ok_or(Fault::Claim(name))
}

/// The end of the year 9999: later dates are mistakes, such as milliseconds.
const DATE_SECONDS_MAX: u64 = 253_402_300_799;
