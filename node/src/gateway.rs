//! The one service between sessions and the inside: authorises, and finds who answers.
//!
//! Sessions of the edge and of the bridge call it. It never waits on the caller's task: answers go
//! straight to the sink that came with the request.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, future};
use selvedge_cluster::actor::{
    CommandRequest, Host, Identity, Kind, Origin, QueryRequest, ReplyTo, ScopedAddress,
    Subscription, SubscriptionItem,
};
use selvedge_cluster::audit::{Entry, Outcome as Ended};
use selvedge_protocol::frame::{Consistency, Outcome, Since};
use selvedge_protocol::{
    ActorAddress, ErrorCode, Failure, IdError, OperationId, SessionId, Target, Tenant,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::app::Running;
use crate::audit::Refusals;
use crate::gateway::subject::{Asked, is_subject};
use crate::identity::{
    Action, Directory, Logins, Permission, Principal, Request, Resource, Scope, authorize, scope,
};
use crate::limit::{Allowance, Bearer, LimitName, Limits};
use crate::operation::{OperationCommand, OperationKind, OperationPayload, Operations};
use crate::processing::PayloadBroken;

mod actors;
pub(crate) mod audit;
mod cluster;
mod directory;
pub(crate) mod failure;
mod limit;
mod signing_keys;
mod subject;
mod users;

pub use actors::ACTOR_PAGE_MAX;
pub(crate) use subject::SUBJECT;

/// Answers what clients ask. One gateway does, or layers around it.
pub trait Service: Send + Sync + 'static {
    /// Executes a command. Never waits; refusals come as answers.
    fn command(&self, caller: &Caller, call: CommandCall, reply: ReplyTo);
    /// Executes a query. Never waits.
    fn query(&self, caller: &Caller, call: QueryCall, reply: ReplyTo);
    /// The events of a target from a position on.
    fn subscribe(
        &self,
        caller: &Caller,
        target: Target,
        since: Since,
    ) -> BoxFuture<'static, Result<Feed, Failure>>;
    /// Passes an ephemeral message on. Lossy: refusals are not told.
    fn tell(&self, caller: &Caller, target: &Target, name: &str, data: &Bytes);
    /// Hears that somebody was refused by whoever authorises what never comes here. Must be cheap.
    fn denied(&self, principal: &Principal, permission: Permission);
    /// Hears why a principal does not hold any more: its credential has expired, or something of it has changed. Must be cheap.
    fn ended(&self, principal: &Principal, failure: &Failure);
    /// Records in the audit trail what somebody is about to do that nothing else is committed of.
    fn record(&self, caller: &Caller, act: Act) -> BoxFuture<'static, Result<(), Failure>>;
    /// What somebody may use, for the [`Caller`] that is made of it.
    fn allowance(&self, principal: &Principal, bearer: Bearer) -> Result<Allowance, Failure> {
        let _ = (principal, bearer);
        Ok(Allowance::unlimited())
    }
}

/// Something for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The tenant that it is done in.
    pub tenant: Tenant,
    /// A resource and what is done to it: `session.close`.
    pub action: &'static str,
    /// To what: a name or an id.
    pub target: String,
    /// More, JSON text; empty is nothing.
    pub detail: String,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Principal,
    /// `None` for a request that stands alone, as one of HTTP does.
    pub session: Option<SessionId>,
    /// What it may use.
    pub allowance: Allowance,
}

/// A command of a caller.
#[derive(Debug)]
pub struct CommandCall {
    pub target: Target,
    pub identity: Identity,
    pub name: String,
    pub body: Bytes,
    pub payload: CommandPayload,
    /// The version that the target must have for it, in the commit that it is part of.
    pub if_version: Option<u64>,
    pub deadline: Option<Instant>,
}

/// The bytes beside a command.
#[derive(Debug)]
pub enum CommandPayload {
    None,
    /// All of them, to be stored.
    Whole(Bytes),
    /// To be handed through. Ends with an error where the client broke off.
    Streamed {
        length: Option<u64>,
        chunks: mpsc::Receiver<Result<Bytes, PayloadBroken>>,
    },
}

/// A query of a caller.
#[derive(Debug)]
pub struct QueryCall {
    pub target: Target,
    pub name: String,
    pub body: Bytes,
    pub consistency: Consistency,
    pub deadline: Option<Instant>,
}

/// The events of a target, in order, for as long as somebody asks for them.
pub struct Feed {
    /// The seq after which it begins.
    pub position: u64,
    pub items: BoxStream<'static, Result<SubscriptionItem, Failure>>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Feed(after {})", self.position)
    }
}

/// The gateway of a node.
#[derive(Debug, Clone)]
pub struct Gateway {
    host: Host,
    operations: Operations,
    refusals: Option<Refusals>,
    limits: Limits,
    directory: Directory,
    logins: Option<Logins>,
}

impl Gateway {
    /// A gateway to the actors and operations of an application, to who is known to its cluster, and within its limits.
    pub fn new(application: &Running) -> Self {
        Self {
            host: application.host.clone(),
            operations: application.operations.clone(),
            refusals: None,
            limits: application.limits.clone(),
            directory: application.directory.clone(),
            logins: None,
        }
    }

    /// The same where the cluster gives tokens itself.
    #[must_use]
    pub fn issuing(mut self, logins: Logins) -> Self {
        self.logins = Some(logins);
        self
    }

    /// The same with a place to note who is refused what.
    #[must_use]
    pub fn noting(mut self, refusals: Refusals) -> Self {
        self.refusals = Some(refusals);
        self
    }

    /// The one place where what clients ask for is authorised.
    fn authorize(&self, caller: &Caller, permission: Permission) -> Result<(), Failure> {
        self.noted(caller, permission, authorize(&caller.principal, permission))
    }

    /// The same for what one may do with one's own.
    fn scope(&self, caller: &Caller, permission: Permission) -> Result<Scope, Failure> {
        self.noted(caller, permission, scope(&caller.principal, permission))
    }

    fn noted<T>(
        &self,
        caller: &Caller,
        permission: Permission,
        authorized: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if authorized.is_err() {
            self.denied(&caller.principal, permission);
        }
        authorized
    }

    fn permit(
        &self,
        caller: &Caller,
        request: Request<'_>,
        target: &Target,
    ) -> Result<(), Failure> {
        self.authorize(caller, Permission::of(request, target))
    }

    fn query_audit(&self, caller: &Caller, call: &QueryCall, reply: ReplyTo) {
        let asked = match audit::Asked::parse(&call.name, &call.body) {
            Ok(asked) => asked,
            Err(failure) => return fail(reply, failure),
        };
        match self.authorize(caller, asked.permission()) {
            Ok(()) => asked.answer(self, &caller.principal.tenant, reply),
            Err(failure) => fail(reply, failure),
        }
    }

    fn command_actor(
        &self,
        caller: &Caller,
        address: ActorAddress,
        call: CommandCall,
        reply: ReplyTo,
    ) {
        let payload = match call.payload {
            CommandPayload::None => None,
            CommandPayload::Whole(bytes) => Some(bytes),
            CommandPayload::Streamed { .. } => return fail(reply, failure::streamed_to_actor()),
        };
        let actor = match self.public(caller, address) {
            Ok(actor) => actor,
            Err(failure) => return fail(reply, failure),
        };
        let request = CommandRequest {
            actor,
            principal: Arc::clone(&caller.principal.name),
            origin: Origin::Client(caller.session),
            identity: call.identity,
            name: call.name,
            body: call.body,
            payload,
            if_version: call.if_version,
            deadline: call.deadline,
        };
        self.host.command(request, reply);
    }

    fn command_operation(
        &self,
        caller: &Caller,
        id: OperationId,
        call: CommandCall,
        reply: ReplyTo,
    ) {
        let payload = match call.payload {
            CommandPayload::None => OperationPayload::None,
            CommandPayload::Whole(bytes) => OperationPayload::Stored(bytes),
            CommandPayload::Streamed { length, chunks } => {
                OperationPayload::Streamed { length, chunks }
            }
        };
        let command = OperationCommand {
            tenant: caller.principal.tenant.clone(),
            principal: Arc::clone(&caller.principal.name),
            id,
            identity: call.identity,
            name: call.name,
            body: call.body,
            payload,
            if_version: call.if_version,
            deadline: call.deadline,
        };
        self.operations.command(command, reply);
    }

    /// The address within the caller's tenant, if clients may address actors of its kind.
    fn public(&self, caller: &Caller, address: ActorAddress) -> Result<ScopedAddress, Failure> {
        if !self.host.is_public(&address.kind) {
            return Err(failure::unknown_kind(&address.kind));
        }
        Ok(ScopedAddress {
            tenant: caller.principal.tenant.clone(),
            address,
        })
    }

    /// Answers queries of which who may ask them depends on more than their target, or gives the way to answer back.
    fn query_apart(&self, caller: &Caller, call: &QueryCall, reply: ReplyTo) -> Option<ReplyTo> {
        match (&call.target, &*call.name) {
            // On their kind.
            (Target::Actors, "list") => self.list_actors(caller, &call.body, reply),
            // On whose it is.
            (Target::Cluster, audit::PAGE | audit::VERIFY) => self.query_audit(caller, call, reply),
            (target, name) => {
                if let Some(asked) = limit::Asked::of(target, name, &call.body) {
                    limit::query(self, caller, &asked, reply);
                } else if let Some(needed) = in_directory(target, name) {
                    let scope = self.scope(caller, needed);
                    directory::query(&self.directory, caller, scope, call, reply);
                } else {
                    return Some(reply);
                }
            }
        }
        None
    }
}

impl Service for Gateway {
    fn command(&self, caller: &Caller, call: CommandCall, reply: ReplyTo) {
        if let Some(asked) = limit::Asked::of(&call.target, &call.name, &call.body) {
            // Who may change what depends on whose it is.
            return limit::command(self, caller, &asked, reply);
        }
        if let Some(asked) = signing_keys::Asked::of(&call) {
            let needed = Permission::new(Resource::Cluster, Action::Administer);
            let permitted = self.authorize(caller, needed);
            return signing_keys::command(self.logins.as_ref(), caller, (permitted, asked), reply);
        }
        if let Some(needed) = in_directory(&call.target, &call.name) {
            let scope = self.scope(caller, needed);
            return directory::command(&self.directory, caller, scope, &call, reply);
        }
        let permitted = self.permit(caller, Request::Command, &call.target);
        if let Err(failure) = permitted.and_then(|()| take_for_command(caller, &call)) {
            return fail(reply, failure);
        }
        match &call.target {
            Target::Actor(address) if is_subject(address) => {
                Asked::new(address, &call.name, &call.body, caller).command(self, reply);
            }
            Target::Actor(address) => {
                let address = address.clone();
                self.command_actor(caller, address, call, reply);
            }
            Target::Operation(id) => {
                let id = id.clone();
                self.command_operation(caller, id, call, reply);
            }
            Target::Cluster => {
                let asked = cluster::Asked {
                    name: &call.name,
                    body: &call.body,
                    principal: &caller.principal.name,
                };
                cluster::command(self.host.admin(), &asked, reply);
            }
            Target::Operations | Target::Actors => {
                fail(reply, failure::no_such(&call.target, &call.name));
            }
        }
    }

    fn query(&self, caller: &Caller, call: QueryCall, reply: ReplyTo) {
        let Some(reply) = self.query_apart(caller, &call, reply) else {
            return;
        };
        let permitted = self.permit(caller, Request::Query(&call.name), &call.target);
        let take = || take(caller, LimitName::Queries, &call.target);
        if let Err(failure) = permitted.and_then(|()| take()) {
            return fail(reply, failure);
        }
        let tenant = || caller.principal.tenant.clone();
        match call.target {
            Target::Actor(address) if is_subject(&address) => {
                Asked::new(&address, &call.name, &call.body, caller).query(self, reply);
            }
            Target::Actor(address) => match self.public(caller, address) {
                Ok(actor) => {
                    let request = QueryRequest {
                        actor,
                        name: call.name,
                        body: call.body,
                        consistency: call.consistency,
                        deadline: call.deadline,
                    };
                    self.host.query(request, reply);
                }
                Err(failure) => fail(reply, failure),
            },
            // An operation is an actor; what it waits for is known to its owner alone.
            Target::Operation(id)
                if call.consistency == Consistency::Eventual && call.name == "get" =>
            {
                match operation(tenant(), &id) {
                    Ok(actor) => {
                        let request = QueryRequest {
                            actor,
                            name: call.name,
                            body: call.body,
                            consistency: call.consistency,
                            deadline: call.deadline,
                        };
                        self.host.query(request, reply);
                    }
                    Err(failure) => fail(reply, failure),
                }
            }
            Target::Operation(id) => {
                self.operations
                    .query(tenant(), &id, call.name, call.body, call.deadline, reply);
            }
            Target::Operations if matches!(&*call.name, "list" | "count") => {
                self.operations
                    .list(tenant(), &call.name, &call.body, reply);
            }
            Target::Cluster => {
                let asked = cluster::Asked {
                    name: &call.name,
                    body: &call.body,
                    principal: &caller.principal.name,
                };
                cluster::query(self.host.admin(), &asked, reply);
            }
            Target::Operations | Target::Actors => {
                fail(reply, failure::no_such(&call.target, &call.name));
            }
        }
    }

    fn subscribe(
        &self,
        caller: &Caller,
        target: Target,
        since: Since,
    ) -> BoxFuture<'static, Result<Feed, Failure>> {
        let permitted = self.permit(caller, Request::Subscribe, &target);
        let take = || caller.allowance.take(LimitName::Subscriptions);
        if let Err(failure) = permitted.and_then(|()| take()) {
            return future::ready(Err(failure)).boxed();
        }
        match target {
            Target::Actor(address) => match self.public(caller, address) {
                Ok(actor) => {
                    let host = self.host.clone();
                    async move { host.subscribe(actor, since).await.map(feed) }.boxed()
                }
                Err(failure) => future::ready(Err(failure)).boxed(),
            },
            Target::Operation(id) => {
                let operations = self.operations.clone();
                let tenant = caller.principal.tenant.clone();
                async move { operations.subscribe(tenant, &id, since).await.map(feed) }.boxed()
            }
            Target::Operations | Target::Actors | Target::Cluster => {
                future::ready(Err(failure::no_such(&target, "events"))).boxed()
            }
        }
    }

    fn tell(&self, caller: &Caller, target: &Target, name: &str, data: &Bytes) {
        let permitted = self.permit(caller, Request::Tell, target);
        let take = || caller.allowance.take(LimitName::Datagrams);
        if permitted.and_then(|()| take()).is_err() {
            return;
        }
        match target {
            Target::Actor(address) => {
                if let Some(session) = caller.session
                    && let Ok(actor) = self.public(caller, address.clone())
                {
                    self.host.tell_subscribers(&actor, session, name, data);
                }
            }
            // Nobody hears of these but through their events.
            Target::Operation(_) | Target::Operations | Target::Actors | Target::Cluster => {}
        }
    }

    fn denied(&self, principal: &Principal, permission: Permission) {
        if let Some(refusals) = &self.refusals {
            refusals.note_denied(principal, permission);
        }
    }

    fn ended(&self, principal: &Principal, failure: &Failure) {
        if let Some(refusals) = &self.refusals {
            refusals.note_ended(principal, failure);
        }
    }

    fn record(&self, caller: &Caller, act: Act) -> BoxFuture<'static, Result<(), Failure>> {
        let trail = self.host.trail();
        let entry = Entry {
            at_ms: trail.now_ms(),
            principal: caller.principal.name.to_string(),
            action: act.action.to_owned(),
            target: act.target,
            outcome: Ended::Done,
            detail: act.detail,
        };
        async move {
            let recorded = trail.record(&act.tenant.into(), &entry).await;
            recorded.map_err(|error| failure::store(&error))
        }
        .boxed()
    }
    fn allowance(&self, principal: &Principal, bearer: Bearer) -> Result<Allowance, Failure> {
        self.limits
            .allowance(&principal.tenant, &principal.name, bearer)
    }
}

/// The actor that an operation is.
fn operation(tenant: Tenant, id: &OperationId) -> Result<ScopedAddress, Failure> {
    let address = format!("{}/{id}", OperationKind::NAME).parse();
    let invalid = |error: IdError| Failure::field(ErrorCode::Invalid, "id", error.to_string());
    Ok(ScopedAddress {
        tenant,
        address: address.map_err(invalid)?,
    })
}

/// Takes a token for a request. What is said to the cluster itself needs none: who set a limit too low can mend it.
fn take(caller: &Caller, name: LimitName, target: &Target) -> Result<(), Failure> {
    match target {
        Target::Cluster => Ok(()),
        Target::Actor(_) | Target::Operation(_) | Target::Operations | Target::Actors => {
            caller.allowance.take(name)
        }
    }
}

fn take_for_command(caller: &Caller, call: &CommandCall) -> Result<(), Failure> {
    let name = match (&call.target, &*call.name) {
        (Target::Operation(_), "submit") => LimitName::Submissions,
        _ => LimitName::Commands,
    };
    take(caller, name, &call.target)
}

/// What a request about who is known needs; `None`: it is about something else.
fn in_directory(target: &Target, name: &str) -> Option<Permission> {
    match target {
        Target::Cluster => Permission::in_directory(name),
        Target::Actor(_) | Target::Operation(_) | Target::Operations | Target::Actors => None,
    }
}

fn fail(reply: ReplyTo, failure: Failure) {
    reply.answer(Outcome::Failure(failure));
}

fn feed(subscription: Subscription) -> Feed {
    let position = subscription.position();
    let items = stream::unfold(Some(subscription), |subscription| async move {
        let mut subscription = subscription?;
        match subscription.next().await {
            Ok(item) => Some((Ok(item), Some(subscription))),
            Err(failure) => Some((Err(failure), None)),
        }
    });
    Feed {
        position,
        items: items.boxed(),
    }
}
