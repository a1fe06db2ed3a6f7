//! Lists of actors, as clients ask for them: keys of one kind of the caller's tenant, a page at a time. Reads nothing of
//! the actors themselves.

use selvedge_cluster::actor::{ReplyTo, kind};
use selvedge_protocol::ActorKind;
use selvedge_protocol::frame::{Outcome, Success};
use serde::{Deserialize, Serialize};

use crate::gateway::{Caller, Gateway, fail, failure};
use crate::identity::Permission;
use crate::limit::LimitName;

impl Gateway {
    pub(super) fn list_actors(&self, caller: &Caller, body: &[u8], reply: ReplyTo) {
        let request = match serde_json::from_slice::<ListActors>(body) {
            Ok(request) => request,
            Err(error) => {
                return fail(reply, failure::body(&error));
            }
        };
        let permission = Permission::to_list(&request.kind);
        let permitted = self.authorize(caller, permission);
        let take = || caller.allowance.take(LimitName::Queries);
        if let Err(failure) = permitted.and_then(|()| take()) {
            return fail(reply, failure);
        }
        let host = self.host.clone();
        let tenant = caller.principal.tenant.clone();
        tokio::spawn(async move {
            let limit = request
                .limit
                .unwrap_or(PAGE_LEN_DEFAULT)
                .clamp(1, ACTOR_PAGE_MAX);
            let after = request.after.as_deref();
            let outcome = match host.list(&tenant, &request.kind, after, limit).await {
                Ok(keys) => Outcome::Success(Success {
                    body: kind::json::encode(&ActorPage { keys }),
                    seq: 0,
                    version: 0,
                }),
                Err(error) => Outcome::Failure(failure::store(&error)),
            };
            reply.answer(outcome);
        });
    }
}

/// The body of the query `list` on [`Target::Actors`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListActors {
    kind: ActorKind,
    /// Keys after this one.
    after: Option<String>,
    limit: Option<usize>,
}

/// Its answer: keys in order. Less than `limit` means that there are no more.
#[derive(Debug, Serialize)]
struct ActorPage {
    keys: Vec<String>,
}

/// A page of a listing, where nothing is said.
const PAGE_LEN_DEFAULT: usize = 50;
/// A page of keys of 512 bytes must fit into a frame: 100 of them in JSON take 52 kB.
pub const ACTOR_PAGE_MAX: usize = 100;
