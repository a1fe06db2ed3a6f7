//! What handlers of the bridge may do with the node, from whatever thread they run on.
//!
//! The node's tasks belong to its main runtime, and a task that is started from a thread of the bridge would stay on
//! that thread. So every call goes over here, which enters the main runtime first.

use std::fmt;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use metrics_exporter_prometheus::PrometheusHandle;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::SubscriptionItem;
use selvedge_protocol::frame::{ClientFrame, Outcome, Since, Success};
use selvedge_protocol::{ErrorCode, Failure, Target, Tenant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::bridge::health::{About, Health};
use crate::bridge::lane;
use crate::gateway::{Act, Caller, CommandCall, QueryCall, Service, failure};
use crate::identity::{
    Authenticator, ClientName, CodeAsked, CodeShown, Grant, KeyGrant, KeyNotGranted, Login, Logins,
    NotRefreshed, NotRevoked, Password, Principal, Secret, Term, user_of,
};
use crate::session::{Addresses, LinkSender, SessionHandle, Sessions, Transport};

/// The inside of the node, as the bridge sees it. Cheap to clone.
#[derive(Clone)]
pub struct Inside {
    /// The main runtime.
    pub runtime: Handle,
    pub sessions: Sessions,
    pub service: Arc<dyn Service>,
    pub authenticator: Arc<dyn Authenticator>,
    /// Who logs in, and the cluster's own tokens.
    pub logins: Logins,
    pub clock: Clock,
    pub health: Health,
    pub about: Arc<About>,
    pub metrics: PrometheusHandle,
    /// The cluster's other bridges, `host:port` of each; those that are away as well, for their pages come here then.
    pub bridges: Addresses,
    /// With what the node was started, for administrators of the cluster. Without secrets.
    pub config: Arc<serde_json::Value>,
}

/// The events of a target, from the main runtime.
#[derive(Debug)]
pub struct Subscribed {
    /// The seq after which they begin.
    pub position: u64,
    /// Dropped, it ends the subscription.
    pub items: mpsc::Receiver<Result<SubscriptionItem, Failure>>,
}

impl Inside {
    /// The principal of a token, in the tenant it asks for or else its own.
    pub async fn authenticate(
        &self,
        token: String,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        let authenticator = Arc::clone(&self.authenticator);
        let mut task = async move { authenticator.authenticate(&token, tenant).await }.boxed();
        let at_once = {
            let _main = self.runtime.enter();
            task.as_mut().now_or_never()
        };
        let principal = match at_once {
            // What is known here needs no other thread.
            Some(known) => known,
            None => self.runtime.spawn(task).await.map_err(|_| stopped())?,
        }?;
        principal
            .check_present(&self.clock)
            .inspect_err(|failure| self.service.ended(&principal, failure))?;
        Ok(principal)
    }

    /// Lets somebody in who has the password.
    pub(super) async fn log_in(&self, login: Login) -> Result<Grant, Failure> {
        let logins = self.logins.clone();
        self.within(async move { logins.log_in(login).await })
            .await?
    }

    /// Gives somebody who has the password another one.
    pub(super) async fn change_password(&self, login: Login, new: Password) -> Result<(), Failure> {
        let logins = self.logins.clone();
        self.within(async move { logins.change_password(login, new).await })
            .await?
    }

    /// Gives the next tokens to who shows the present one.
    pub(super) async fn refresh(
        &self,
        token: String,
        client: ClientName,
    ) -> Result<Grant, NotRefreshed> {
        let logins = self.logins.clone();
        let refreshed = self.within(async move { logins.refresh(&token, &client).await });
        refreshed.await.map_err(NotRefreshed::Failed)?
    }

    /// Lets somebody in who has the password, as far as a code for a client.
    pub(super) async fn authorize(
        &self,
        login: Login,
        asked: CodeAsked,
    ) -> Result<Secret, Failure> {
        let logins = self.logins.clone();
        self.within(async move { logins.authorize(login, asked).await })
            .await?
    }

    /// The name that somebody logs in with, if they are a user of the cluster.
    pub(super) async fn username(&self, of: &Principal) -> Result<Option<String>, Failure> {
        let Some(id) = user_of(&of.name) else {
            return Ok(None);
        };
        let (directory, tenant) = (self.logins.directory().clone(), of.tenant.clone());
        let found = self.within(async move { directory.user(&tenant, id).await });
        let found = found.await?.map_err(|error| failure::store(&error))?;
        Ok(found.map(|user| user.username.as_str().to_owned()))
    }

    /// Gives the first tokens of a login to who shows its code.
    pub(super) async fn redeem(&self, shown: CodeShown) -> Result<Grant, NotRefreshed> {
        let logins = self.logins.clone();
        let redeemed = self.within(async move { logins.redeem(shown).await });
        redeemed.await.map_err(NotRefreshed::Failed)?
    }

    /// Gives a token to who shows an API key.
    pub(super) async fn grant_to_key(
        &self,
        id: String,
        secret: Secret,
    ) -> Result<KeyGrant, KeyNotGranted> {
        let logins = self.logins.clone();
        let granted = self.within(async move { logins.grant_to_key(&id, secret.reveal()).await });
        granted.await.map_err(KeyNotGranted::Failed)?
    }

    /// Ends the login that a refresh token is of, or an access token alone.
    pub(super) async fn revoke(&self, token: String) -> Result<(), NotRevoked> {
        let logins = self.logins.clone();
        let revoked = self.within(async move { logins.revoke(&token).await });
        revoked.await.map_err(NotRevoked::Failed)?
    }

    /// The keys that the cluster's tokens are verified with.
    pub(super) async fn published_keys(&self) -> Result<serde_json::Value, Failure> {
        let logins = self.logins.clone();
        self.within(async move { logins.published_keys().await })
            .await?
    }

    /// Does something within the main runtime, also where who has asked for it goes away.
    async fn within<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        self.runtime.spawn(work).await.map_err(|_| stopped())
    }

    /// How long the credential of a caller holds, for what goes on for longer than a request.
    pub(super) fn term(&self, caller: &Caller) -> Term {
        Term::new(Some(caller.principal.clone()), self.clock.clone())
    }

    /// Executes a command: success is committed and durable.
    pub async fn command(&self, caller: &Caller, call: CommandCall) -> Result<Success, Failure> {
        let answer = {
            let _main = self.runtime.enter();
            let (reply, answer) = lane::reply();
            self.service.command(caller, call, reply);
            answer
        };
        answered(answer).await
    }

    /// Executes a query.
    pub async fn query(&self, caller: &Caller, call: QueryCall) -> Result<Success, Failure> {
        let answer = {
            let _main = self.runtime.enter();
            let (reply, answer) = lane::reply();
            self.service.query(caller, call, reply);
            answer
        };
        answered(answer).await
    }

    /// Records in the audit trail what a caller is about to do.
    pub async fn record(&self, caller: &Caller, act: Act) -> Result<(), Failure> {
        let recording = self.service.record(caller, act);
        self.runtime.spawn(recording).await.map_err(|_| stopped())?
    }

    /// The events of a target from a position on.
    pub async fn subscribe(
        &self,
        caller: &Caller,
        target: Target,
        since: Since,
    ) -> Result<Subscribed, Failure> {
        let opening = {
            let _main = self.runtime.enter();
            self.service.subscribe(caller, target, since)
        };
        let mut feed = self.runtime.spawn(opening).await.map_err(|_| stopped())??;
        let (sender, items) = mpsc::channel(ITEMS_MAX);
        self.runtime.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    item = feed.items.next() => {
                        let Some(item) = item else { return };
                        if sender.send(item).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Subscribed {
            position: feed.position,
            items,
        })
    }

    /// Opens or resumes the session that the first frame of a connection asks for.
    pub async fn open(
        &self,
        first: ClientFrame,
        link: LinkSender,
    ) -> Result<SessionHandle, Failure> {
        let link = link.over(Transport::WebSocket);
        let sessions = self.sessions.clone();
        let task = async move { sessions.open(first, link).await };
        self.runtime.spawn(task).await.map_err(|_| stopped())?
    }
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

/// Items on their way to a handler: it takes them as fast as its client does, and the rest waits in the store.
const ITEMS_MAX: usize = 16;

async fn answered(answer: oneshot::Receiver<Outcome>) -> Result<Success, Failure> {
    match answer.await {
        Ok(Outcome::Success(success)) => Ok(success),
        Ok(Outcome::Failure(failure)) => Err(failure),
        Err(_) => Err(stopped()),
    }
}

fn stopped() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the node stops; ask another, or again in a moment",
    )
}
