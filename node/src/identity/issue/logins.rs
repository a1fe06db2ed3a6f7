//! Logins: who shows a password gets tokens, who shows a refresh token gets the next ones, and what ends either.
//!
//! The bridge calls it. Each login and refresh is one transaction; what a node remembers beside the store is how failed
//! logins slow others down. A user that is not there, has no password or is disabled is answered in the same words, after
//! the same work, as one whose password is wrong.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use selvedge_cluster::audit::{self, Entry, Outcome};
use selvedge_cluster::store;
use selvedge_protocol::limits::NAME_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use serde_json::json;
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::counted::LoginOutcome;
use crate::identity::directory::{Directory, Email, User, UserAt, Username, present};
use crate::identity::issue::config::IssueConfig;
use crate::identity::issue::family::{Family, Reason};
use crate::identity::issue::keys::Present;
use crate::identity::issue::refresh::RefreshToken;
use crate::identity::issue::rows::{LoginAt, ShownToken, begin, show};
use crate::identity::issue::secrets::Secrets;
use crate::identity::issue::signing_key::Signer;
use crate::identity::jwt::{Issuers, OwnIssuer};
use crate::identity::password::{Password, Verdict};
use crate::identity::throttle::{Attempt, Familiarity, Place, Throttle, Wait};
use crate::identity::{Clients, Principal, Secret};
use crate::limit::Limits;
use crate::metrics;

/// The logins of a cluster, from one node. Cheap to clone.
#[derive(Clone)]
pub struct Logins(Arc<Parts>);

pub(super) struct Parts {
    pub(super) directory: Directory,
    throttle: Mutex<Throttle>,
    /// What all nodes count together; without it each counts alone.
    limits: OnceLock<Limits>,
    pub(super) secrets: Secrets,
    pub(super) present: Present,
    /// Who says so in the tokens, and for whom they are.
    pub(super) issuer: String,
    pub(super) config: IssueConfig,
    /// What knows the cluster's own tokens again.
    pub(super) own: Issuers,
}

/// Somebody who wants to log in.
#[derive(Debug)]
pub struct Login {
    pub tenant: Tenant,
    /// As it was typed.
    pub username: String,
    pub password: Password,
    /// What it logs in with: only the same one may go on with it.
    pub client: ClientName,
    pub address: IpAddr,
}

/// What a client calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName(String);

/// What somebody gets who may come in.
#[derive(Debug)]
pub struct Grant {
    pub access: Secret,
    pub expires_in_s: u64,
    pub refresh: Secret,
    pub user: Uuid,
    pub login: Uuid,
    /// Names of the roles that the user has at present.
    pub roles: Vec<String>,
    /// Who the user is, for the client that has asked for it with its code.
    pub id_token: Option<Secret>,
}

/// Why a refresh token gives nothing.
#[derive(Debug)]
pub enum NotRefreshed {
    /// It is none, or its login is over. Nothing else is said.
    Refused,
    Failed(Failure),
}

impl ClientName {
    /// # Errors
    /// If it is none.
    pub fn new(text: &str) -> Result<Self, Failure> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(Failure::field(
                ErrorCode::Invalid,
                "client",
                format!("a client is named by 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9 and ._:/-"),
            )),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Logins {
    /// Those of the cluster with this key, in the name of `issuer`.
    pub fn new(directory: Directory, key: &[u8; 32], issuer: String) -> Self {
        let config = IssueConfig {
            issuer: Some(issuer),
            ..IssueConfig::default()
        };
        Self::configured(directory, key, config)
    }

    /// The same as a configuration has it.
    pub fn configured(directory: Directory, key: &[u8; 32], config: IssueConfig) -> Self {
        let issuer = config.issuer.clone().unwrap_or_default();
        let own = OwnIssuer {
            name: issuer.clone(),
            directory: directory.clone(),
        };
        Self(Arc::new(Parts {
            throttle: Mutex::default(),
            limits: OnceLock::new(),
            secrets: Secrets::of_cluster(key),
            present: Present::default(),
            own: Issuers::new(Vec::new(), Some(own), directory.clock()),
            directory,
            issuer,
            config,
        }))
    }

    /// The same, counting tried passwords together with the other nodes of the cluster.
    #[must_use]
    pub fn counting_with(self, limits: Limits) -> Self {
        // Who was told before goes on with that.
        let _ = self.0.limits.set(limits);
        self
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// The clients that users log in with.
    pub fn clients(&self) -> &Clients {
        &self.0.config.clients
    }

    /// Lets somebody in who has the password.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] where anything is wrong, [`ErrorCode::LimitExceeded`] where too much was.
    pub async fn log_in(&self, login: Login) -> Result<Grant, Failure> {
        let user = self.check(&login).await?;
        let parts = &*self.0;
        let clock = parts.directory.clock();
        let now_ms = clock.wall_ms();
        let id = parts.directory.new_id(now_ms);
        let first = RefreshToken::first(login.tenant.clone(), user.id, id, clock);
        let client = login.client.0.clone();
        let family = Family::begin(&first, client, parts.config.lasts, now_ms);
        let place = Place::of(login.address);
        let user = self.begin(&login.tenant, &user, family, place).await?;
        self.grant(&user, &login.client, &first).await
    }

    /// The user whose password it is. Counted, whatever becomes of it.
    pub(super) async fn check(&self, login: &Login) -> Result<User, Failure> {
        let checked = self.checked(login).await;
        metrics::login(match &checked {
            Ok(_) => LoginOutcome::Ok,
            Err(failure) => LoginOutcome::of(failure.code),
        });
        checked
    }

    async fn checked(&self, login: &Login) -> Result<User, Failure> {
        let parts = &*self.0;
        let tenant = &login.tenant;
        let found = match Username::new(&login.username) {
            Ok(name) => parts.directory.user_named(tenant, &name).await,
            Err(_) => Ok(None),
        };
        let found = found.map_err(|error| failure::store(&error))?;
        let place = Place::of(login.address);
        let is_known = found
            .as_ref()
            .is_some_and(|user| user.knows(&self.place_hash(tenant, user.id, place)));
        let attempt = Attempt {
            tenant,
            username: &login.username.to_ascii_lowercase(),
            place,
            familiarity: match is_known {
                true => Familiarity::Known,
                false => Familiarity::Unknown,
            },
        };
        // Who finds no turn has not tried.
        let turn = parts.directory.passwords().turn().await?;
        let now_ms = parts.directory.clock().wall_ms();
        let is_guessed_at = parts.throttle.lock().is_guessed_at(attempt, now_ms);
        if is_guessed_at {
            self.try_with_the_others(attempt)?;
        }
        let begun = parts.throttle.lock().begin(attempt, now_ms);
        begun.map_err(too_many)?;
        let kept = found.as_ref().filter(|user| user.is_enabled());
        let kept = kept.and_then(|user| user.password.clone());
        let verdict = turn.verify(login.password.clone(), kept).await?;
        match (found, verdict) {
            (Some(user), Verdict::Right | Verdict::RightButOld) => {
                parts.throttle.lock().succeeded(attempt);
                match verdict {
                    Verdict::RightButOld => self.keep_anew(user, login).await,
                    Verdict::Right | Verdict::Wrong => Ok(user),
                }
            }
            (found, _) => {
                self.tell_refused(tenant, found.as_ref(), login.address);
                Err(wrong())
            }
        }
    }

    /// Takes one of the tries that all nodes have together for a name, whoever's it is: those that are nobody's are answered as
    /// those that are somebody's.
    fn try_with_the_others(&self, attempt: Attempt<'_>) -> Result<(), Failure> {
        let Some(limits) = self.0.limits.get() else {
            return Ok(());
        };
        let parts: [&[u8]; 3] = [
            b"tried",
            attempt.tenant.as_str().as_bytes(),
            attempt.username.as_bytes(),
        ];
        let proof = self.0.secrets.proof(&parts);
        let mark = Uuid::from_bytes(std::array::from_fn(|at| proof.as_bytes()[at]));
        let tried = limits.try_password(attempt.tenant, format!("mark:{mark}").into());
        tried.map_err(|wait| {
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            too_many(Wait { ms: ms.max(1) })
        })
    }

    /// The user with its password hashed by today's parameters, which the transaction of the login writes.
    async fn keep_anew(&self, mut user: User, login: &Login) -> Result<User, Failure> {
        let turn = self.0.directory.passwords().turn().await?;
        let kept = turn.hash(login.password.clone()).await?;
        user.keep_password_as(kept);
        Ok(user)
    }

    /// Begins a login of a user who has shown that it is them. `seen` is the user as it was then: if anything of it has changed
    /// that matters, it does not begin.
    pub(super) async fn begin(
        &self,
        tenant: &Tenant,
        seen: &User,
        family: Family,
        place: Place,
    ) -> Result<User, Failure> {
        let parts = &*self.0;
        let clock = parts.directory.clock();
        let place = self.place_hash(tenant, seen.id, place);
        let note = &move |user: &mut User| user.came_from(place);
        let begun = store::run_repeatable(parts.directory.store(), clock, |mut transaction| {
            let family = family.clone();
            async move {
                let begun = begin(
                    &parts.directory,
                    &mut *transaction,
                    (tenant, seen),
                    family,
                    note,
                )
                .await?;
                Ok((transaction, begun))
            }
        });
        let (begun, _) = begun.await.map_err(|error| failure::store(&error))?;
        begun.ok_or_else(wrong)
    }

    /// Gives somebody who has the password another one; all their logins end.
    pub async fn change_password(&self, login: Login, new: Password) -> Result<(), Failure> {
        let user = self.check(&login).await?;
        let directory = &self.0.directory;
        let names = [
            user.username.as_str(),
            user.email.as_ref().map_or("", Email::as_str),
        ];
        let wrong = |failure| Failure {
            field: Some("newPassword".to_owned()),
            ..failure
        };
        new.check(&names).map_err(wrong)?;
        let kept = directory.keep(new, &names).await?;
        let roles = present(&mut *directory.store().begin(), &login.tenant, &user.roles).await;
        let roles = roles.map_err(|error| failure::store(&error))?;
        let by = Principal::new(user.principal(), login.tenant, roles);
        let at = UserAt {
            id: user.id,
            version: Some(user.version),
        };
        directory.set_password(&by, at, kept).await.map(drop)
    }

    /// The keys that tokens of the cluster are verified with: a JWK set.
    pub async fn published_keys(&self) -> Result<serde_json::Value, Failure> {
        let published = self.0.directory.published_keys().await;
        published.map_err(|error| failure::store(&error))
    }

    /// Gives the next tokens to who shows the present one.
    pub async fn refresh(&self, text: &str, client: &ClientName) -> Result<Grant, NotRefreshed> {
        let parts = &*self.0;
        let token = RefreshToken::read(text, &parts.secrets).ok_or(NotRefreshed::Refused)?;
        let next = token.next(&parts.secrets);
        let now_ms = parts.directory.clock().wall_ms();
        let (shown, next_hash) = (&token, next.hash());
        let done = store::run_repeatable(
            parts.directory.store(),
            parts.directory.clock(),
            |mut transaction| async move {
                let tokens = ShownToken {
                    shown,
                    next_hash,
                    client: &client.0,
                };
                let user = show(&mut *transaction, &tokens, now_ms).await?;
                Ok((transaction, user))
            },
        );
        let done = done
            .await
            .map_err(|error| NotRefreshed::Failed(failure::store(&error)));
        let user = done?.0.ok_or(NotRefreshed::Refused)?;
        let granted = self.grant(&user, client, &next).await;
        granted.map_err(NotRefreshed::Failed)
    }

    /// Ends the login that a refresh token is of, whichever of it this is. One that is none ends nothing.
    pub async fn log_out(&self, text: &str) -> Result<(), Failure> {
        let Some(token) = RefreshToken::read(text, &self.0.secrets) else {
            return Ok(());
        };
        let at = LoginAt {
            tenant: &token.tenant,
            user: token.user,
            login: token.family,
        };
        self.0
            .directory
            .end(at, None, Reason::LoggedOut)
            .await
            .map(drop)
    }

    /// In whose name tokens are given.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Where those are that log in.
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// The tokens of a login, for who has come to them.
    pub(super) async fn grant(
        &self,
        user: &User,
        client: &ClientName,
        refresh: &RefreshToken,
    ) -> Result<Grant, Failure> {
        let parts = &*self.0;
        let signer = self.signer().await?;
        let clock = parts.directory.clock();
        let now_s = clock.wall_ms() / 1_000;
        let expires_in_s = parts.config.access_ms / 1_000;
        let claims = json!({
            "iss": parts.issuer,
            "aud": parts.issuer,
            "sub": user.id,
            "client_id": client.0,
            "tenant": refresh.tenant.as_str(),
            "roles": user.roles,
            "name": user.username.as_str(),
            "sid": refresh.family,
            "jti": parts.directory.new_id(clock.wall_ms()),
            "iat": now_s,
            "exp": now_s + expires_in_s,
        });
        Ok(Grant {
            access: Secret::new(signer.sign(&claims)),
            expires_in_s,
            refresh: Secret::new(refresh.text(&parts.secrets).as_str()),
            user: user.id,
            login: refresh.family,
            roles: user.roles.clone(),
            id_token: None,
        })
    }

    /// The key that signs now.
    pub(super) async fn signer(&self) -> Result<Arc<Signer>, Failure> {
        let parts = &*self.0;
        let signer = parts.present.signer(&parts.directory, &parts.secrets);
        signer.await
    }

    /// What is kept of a place: without the cluster's key nobody can try which place it is.
    fn place_hash(&self, tenant: &Tenant, user: Uuid, place: Place) -> [u8; 16] {
        let parts: [&[u8]; 4] = [
            b"place",
            tenant.as_str().as_bytes(),
            user.as_bytes(),
            &place.to_bytes(),
        ];
        let proof = self.0.secrets.proof(&parts);
        std::array::from_fn(|at| proof.as_bytes()[at])
    }

    /// Writes down that somebody was not let in as a user that there is, behind the answer: it comes as soon for those that
    /// there are not. How often that is the throttle bounds.
    fn tell_refused(&self, tenant: &Tenant, user: Option<&User>, address: IpAddr) {
        let Some(user) = user else {
            return;
        };
        let entry = Entry {
            at_ms: self.0.directory.clock().wall_ms(),
            principal: user.principal(),
            action: "user.login".to_owned(),
            target: user.id.to_string(),
            outcome: Outcome::Refused {
                code: ErrorCode::Unauthenticated.name().to_owned(),
            },
            detail: json!({ "id": user.id, "address": address.to_string() }).to_string(),
        };
        let (directory, tenant) = (self.0.directory.clone(), tenant.clone());
        tokio::spawn(async move {
            let (tenant, entry) = (&tenant, &entry);
            let told = store::run(
                directory.store(),
                directory.clock(),
                |mut transaction| async move {
                    audit::append(&mut *transaction, tenant, entry.clone()).await?;
                    Ok((transaction, ()))
                },
            );
            if let Err(error) = told.await {
                tracing::warn!(%error, "a refused login is not in the audit trail");
            }
        });
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logins({})", self.0.issuer)
    }
}

/// One answer for all that may be wrong.
fn wrong() -> Failure {
    Failure::field(
        ErrorCode::Unauthenticated,
        "password",
        "the username or the password is wrong, or the user may not log in",
    )
}

fn too_many(wait: Wait) -> Failure {
    Failure {
        retry_after_ms: u32::try_from(wait.ms).ok(),
        ..Failure::field(ErrorCode::LimitExceeded, "username", wait.to_string())
    }
}

#[cfg(test)]
mod tests;
