//! What each path of the API takes and answers: one function a route, beside which the table has it.

use selvedge_protocol::limits::{
    ACTOR_KEY_BYTES_MAX, AUDIT_TEXT_BYTES_MAX, CHOSEN_ID_BYTES_MAX, OPERATION_PAGE_MAX,
};
use serde_json::{Value, json};
use utoipa::openapi::Required;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use crate::bridge::rest::condition::TAG;
use crate::bridge::rest::doc::{Doc, chars, number, one_of, text};
use crate::bridge::rest::schema::{
    ActorPage, ActorState, AuditPage, AuditVerified, ClusterNode, ClusterPlan, ClusterStatus,
    ClusterWhy, Config, ConsentShown, Nothing, OperationPage, OperationShown, Removed, Reply,
    SubjectErased, SubjectExport, SubjectPage, SubjectShown, WhyShown,
};
use crate::bridge::rest::{actors, audit, cluster, operations, sessions, subjects};

const OPERATIONS: &str = "operations";
const ACTORS: &str = "actors";
const SESSIONS: &str = "sessions";
const CLUSTER: &str = "cluster";
const AUDIT: &str = "audit";
const SUBJECTS: &str = "subjects";
const NODE: &str = "node";

pub(super) fn submit() -> Doc {
    let example = json!({ "id": "import-1", "type": "digest", "labels": { "source": "a" } });
    let headers = [("Location", "Where the operation is.")];
    keyed(Doc::api(
        "submitOperation",
        OPERATIONS,
        "Submits an operation, once.",
    ))
    .body::<operations::Submission>(Required::True, example)
    .answers_with::<OperationShown>(
        202,
        "It is accepted, which means durable.",
        operation(),
        &headers,
    )
    .answers::<OperationShown>(
        200,
        "The same was submitted before; as it is now.",
        operation(),
    )
    .refuses(&[409])
}

pub(super) fn operations() -> Doc {
    let statuses = [
        "pending",
        "running",
        "waiting",
        "paused",
        "succeeded",
        "failed",
        "cancelling",
        "cancelled",
        "compensating",
        "compensated",
    ];
    let created = || any().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let page = json!({ "items": [operation()], "cursor": null });
    let api = Doc::api(
        "listOperations",
        OPERATIONS,
        "Lists operations, the newest first.",
    )
    .query("status", one_of(&statuses), "Only of this status.")
    .query("type", kind(), "Only of this type.")
    .query(
        "label",
        text("^[^=]{1,100}=[^\\x00]{1,100}$"),
        "Only with this label, `KEY=VALUE`.",
    )
    .query("createdBy", any(), "Only of this principal.")
    .query("createdAfter", created(), "Not created before this.")
    .query("createdBefore", created(), "Created before this.");
    paged(api).answers_with::<OperationPage>(200, "A page.", page, &LINK)
}

pub(super) fn operation_get() -> Doc {
    let api = Doc::api("getOperation", OPERATIONS, "An operation as it is.");
    tagged::<OperationShown>(fresh(with_id(api)), operation()).refuses(&[404])
}

pub(super) fn operation_why() -> Doc {
    let example = json!({
        "id": "import-1", "type": "digest", "status": "waiting", "summary": "it is waiting: for its time",
        "waits": [], "attempt": 0, "owner": { "node": "node-1", "slot": 7 },
    });
    let api = Doc::api(
        "whyOperation",
        OPERATIONS,
        "What an operation waits for, and who has it.",
    );
    with_id(api)
        .answers::<WhyShown>(200, "What it waits for.", example)
        .refuses(&[404])
}

pub(super) fn operation_events() -> Doc {
    let api = Doc::api(
        "watchOperation",
        OPERATIONS,
        "The events of an operation up to its last one.",
    );
    let api = with_id(api).says(204, "The operation is final, and all its events are known.");
    streamed(api)
}

pub(super) fn cancel() -> Doc {
    plain(
        "cancelOperation",
        "Asks an operation to stop, and to undo what it has done.",
    )
}

pub(super) fn pause() -> Doc {
    plain(
        "pauseOperation",
        "Asks an operation to halt after the step at work.",
    )
}

pub(super) fn resume() -> Doc {
    plain("resumeOperation", "Lets a paused operation go on.")
}

pub(super) fn retry() -> Doc {
    let api = verb(
        "retryOperation",
        "Runs an operation again that has failed or was cancelled.",
    );
    told(api.body::<operations::Retry>(Required::False, json!({})))
}

pub(super) fn signal() -> Doc {
    let api = verb(
        "signalOperation",
        "Tells an operation something that a step of it waits for.",
    );
    let example = json!({ "name": "approved", "data": { "by": "ann" } });
    told(api.body::<operations::Signal>(Required::True, example))
}

pub(super) fn actors() -> Doc {
    let page = json!({ "items": [{ "kind": "room", "key": "42" }], "cursor": null });
    let api = Doc::api(
        "listActors",
        ACTORS,
        "Lists the actors of a kind, in the order of their keys.",
    )
    .needs("kind", kind(), "The kind.");
    paged(api).answers_with::<ActorPage>(200, "A page, of at most 100.", page, &LINK)
}

pub(super) fn actor_get() -> Doc {
    let example = json!({ "state": { "value": 2 }, "seq": 1, "version": 1 });
    let api = Doc::api("getActor", ACTORS, "The state of an actor.");
    tagged::<ActorState>(fresh(with_actor(api)), example).refuses(&[404])
}

pub(super) fn actor_command() -> Doc {
    let example = json!({ "command": "add", "body": { "by": 2 } });
    let api = Doc::api("commandActor", ACTORS, "Sends a command to an actor, once.");
    conditional(keyed(with_actor(api)))
        .body::<actors::Command>(Required::True, example)
        .answers::<Reply>(200, "It is done, which means durable.", reply())
        .refuses(&[404, 409])
}

pub(super) fn actor_query() -> Doc {
    let api = Doc::api("queryActor", ACTORS, "Asks an actor something.");
    fresh(with_actor(api))
        .body::<actors::Query>(Required::True, json!({ "query": "get" }))
        .answers::<Reply>(200, "What it says.", reply())
        .refuses(&[404, 409])
}

pub(super) fn actor_events() -> Doc {
    let api = Doc::api(
        "watchActor",
        ACTORS,
        "The events of an actor, as they happen.",
    );
    streamed(with_actor(api))
}

pub(super) fn sessions() -> Doc {
    let api = Doc::api(
        "listSessions",
        SESSIONS,
        "Lists the live sessions of this node.",
    )
    .query(
        "tenant",
        text("^[a-z0-9-]{1,63}$"),
        "Of this tenant alone; for an administrator.",
    );
    let page = json!({ "items": [], "cursor": null });
    paged(api).answers_with::<sessions::Sessions>(200, "A page.", page, &LINK)
}

pub(super) fn session_close() -> Doc {
    Doc::api(
        "closeSession",
        SESSIONS,
        "Closes a session; its client is told so.",
    )
    .path("id", uuid(), "The session.")
    .says(204, "It is told to end.")
    .refuses(&[404])
}

pub(super) fn cluster_status() -> Doc {
    let example = json!({
        "plan": 3, "slots": 1024, "owned": 1024, "moving": 0, "controller": "node-1", "nodes": [],
    });
    Doc::api("clusterStatus", CLUSTER, "How the nodes are.").answers::<ClusterStatus>(
        200,
        "How they are.",
        example,
    )
}

pub(super) fn cluster_plan() -> Doc {
    let example = json!({ "plan": 3, "slots": 1024, "nodes": [], "nobody": [], "moves": [] });
    Doc::api("clusterPlan", CLUSTER, "Which node is to own which slots.").answers::<ClusterPlan>(
        200,
        "The plan.",
        example,
    )
}

pub(super) fn cluster_why() -> Doc {
    Doc::api(
        "clusterWhy",
        CLUSTER,
        "What the cluster, or a node of it, waits for.",
    )
    .query("node", chars(1, 63), "Of this node alone.")
    .answers::<ClusterWhy>(
        200,
        "What it waits for.",
        json!({ "atRest": true, "reasons": [] }),
    )
    .refuses(&[404])
}

pub(super) fn node_drain() -> Doc {
    let api = node("drainNode", "Lets a node give away what it owns.");
    api.body::<cluster::Drain>(Required::False, json!({ "force": false }))
        .answers::<ClusterNode>(200, "The node as it is now.", a_node())
}

pub(super) fn node_undrain() -> Doc {
    let api = node("undrainNode", "Lets a node own its share again.");
    api.body::<Nothing>(Required::False, json!({}))
        .answers::<ClusterNode>(200, "The node as it is now.", a_node())
}

pub(super) fn node_remove() -> Doc {
    let example = json!({ "node": "node-2", "removed": true, "before": false });
    node("removeNode", "Forgets a node that is gone for good.").answers::<Removed>(
        200,
        "It is removed.",
        example,
    )
}

pub(super) fn config() -> Doc {
    Doc::api(
        "getConfig",
        CLUSTER,
        "With what this node was started. For an administrator.",
    )
    .answers::<Config>(
        200,
        "The configuration, without secrets.",
        json!({ "name": "node-1" }),
    )
}

pub(super) fn openapi() -> Doc {
    Doc::open("getOpenApi", NODE, "This description.").answers::<Config>(
        200,
        "OpenAPI 3.1.",
        json!({ "openapi": "3.1.0" }),
    )
}

pub(super) fn docs() -> Doc {
    Doc::open(
        "getDocs",
        NODE,
        "A page that shows this description and lets it be tried.",
    )
    .text(200, "The page.", "text/html")
}

pub(super) fn docs_script() -> Doc {
    Doc::open("getDocsScript", NODE, "What that page does.").text(200, "It.", "text/javascript")
}

pub(super) fn docs_style() -> Doc {
    Doc::open("getDocsStyle", NODE, "How that page looks.").text(200, "It.", "text/css")
}

pub(super) fn audit() -> Doc {
    let moment = || any().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let record = json!({
        "number": 7, "time": "2026-01-31T12:00:00.000Z", "principal": "ann", "action": "policy.set",
        "target": "digest", "outcome": "done", "detail": { "before": {}, "after": { "concurrency": 2 } },
        "previous": "00", "hash": "01",
    });
    let api = Doc::api(
        "listAudit",
        AUDIT,
        "Lists the audit trail, the newest first.",
    )
    .query(
        "chain",
        chain(),
        "The tenant's, or the cluster's; the latter for its administrators.",
    )
    .query(
        "from",
        number(0, usize::MAX),
        "From this number on, ascending.",
    )
    .query("since", moment(), "Not before this.")
    .query("until", moment(), "Before this.")
    .query(
        "principal",
        chars(0, AUDIT_TEXT_BYTES_MAX),
        "Only of this principal.",
    )
    .query(
        "action",
        chars(0, AUDIT_TEXT_BYTES_MAX),
        "Only this action, `policy.set`, or those of a resource, `policy`.",
    );
    let page = json!({ "items": [record], "cursor": null });
    let what = "A page; with filters it may be short, or empty, and go on.";
    paged(api).answers_with::<AuditPage>(200, what, page, &LINK)
}

pub(super) fn audit_verify() -> Doc {
    let head = json!({ "number": 7, "hash": "01" });
    let example = json!({ "result": "whole", "records": 7, "first": 1, "head": head });
    Doc::api(
        "verifyAudit",
        AUDIT,
        "Verifies the chain of the audit trail, or a part of it: then come again with `at` as `from`.",
    )
    .body::<audit::VerifyAudit>(Required::False, json!({}))
    .answers::<AuditVerified>(200, "What was found; damage is an answer as well.", example)
}

fn chain() -> ObjectBuilder {
    one_of(&["tenant", "cluster"])
}

fn node(id: &str, summary: &str) -> Doc {
    keyed(Doc::api(id, CLUSTER, summary))
        .path("node", chars(1, 63), "The name of the node.")
        .refuses(&[404, 409])
}

fn verb(id: &str, summary: &str) -> Doc {
    conditional(keyed(with_id(Doc::api(id, OPERATIONS, summary))))
}

fn plain(id: &str, summary: &str) -> Doc {
    told(verb(id, summary).body::<Nothing>(Required::False, json!({})))
}

fn told(api: Doc) -> Doc {
    api.answers::<OperationShown>(200, "The operation as it is then.", operation())
        .refuses(&[404, 409])
}

pub(super) fn keyed(api: Doc) -> Doc {
    api.header(
        "Idempotency-Key",
        chars(1, 255),
        "Makes repeats of the request one: a UUID, or any text, for a day.",
    )
}

pub(super) fn conditional(api: Doc) -> Doc {
    let what = "The ETag of what was read: refused with 412 if there is another version by now, compared in the commit.";
    api.header("If-Match", text(TAG), what).refuses(&[412])
}

fn fresh(api: Doc) -> Doc {
    api.query(
        "consistency",
        one_of(&["linearizable", "eventual"]),
        "`eventual` takes any committed state, possibly a little old, from whichever node is asked.",
    )
}

pub(super) fn paged(api: Doc) -> Doc {
    api.query("cursor", chars(0, 1_024), "The cursor of the page before.")
        .query(
            "limit",
            number(1, OPERATION_PAGE_MAX),
            "The size of the page.",
        )
}

fn streamed(api: Doc) -> Doc {
    let seq = || number(0, usize::MAX);
    api.query("after", seq(), "Only events after this one.")
        .header("Last-Event-ID", seq(), "The same, from who comes back.")
        .text(
            200,
            "Events as they come: `id` is the seq, `event` the type, `data` is `{seq, type, time, data}`. A gap is an \
             event `gap` with the state to go on from, a failure the event `problem`.",
            "text/event-stream",
        )
        .refuses(&[404])
}

pub(super) fn tagged<T: utoipa::ToSchema>(api: Doc, example: Value) -> Doc {
    api.header("If-None-Match", any(), "Tags of what the client has.")
        .answers_with::<T>(200, "As it is.", example, &[("ETag", "Its tag.")])
        .says(304, "The client has it.")
}

fn with_id(api: Doc) -> Doc {
    let pattern = format!("^[A-Za-z0-9._:-]{{1,{CHOSEN_ID_BYTES_MAX}}}$");
    api.path("id", text(&pattern), "The id of the operation.")
}

fn with_actor(api: Doc) -> Doc {
    api.path("kind", kind(), "The kind of the actor.").path(
        "key",
        chars(1, ACTOR_KEY_BYTES_MAX),
        "The key of the actor: 1 to 512 bytes of UTF-8.",
    )
}

pub(super) fn any() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn kind() -> ObjectBuilder {
    text("^[a-z][a-z0-9_.-]{0,63}$")
}

fn uuid() -> ObjectBuilder {
    text("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
}

fn operation() -> Value {
    json!({
        "id": "import-1", "type": "digest", "status": "running", "metadata": {}, "input": null,
        "tenant": "default", "createdBy": "ann", "createdAt": "2026-01-31T12:00:00Z",
        "updatedAt": "2026-01-31T12:00:01Z", "version": 2, "attempt": 1, "steps": [], "priority": 0,
        "labels": { "source": "a" },
    })
}

fn reply() -> Value {
    json!({ "reply": { "value": 2 }, "seq": 1, "version": 1 })
}

fn a_node() -> Value {
    json!({
        "node": "node-2", "state": "draining", "drained": true, "controller": false, "incarnation": 1,
        "roles": ["core"], "weight": 1, "slots": 12, "planned": 0, "quic": null, "peer": "10.0.0.2:7410",
        "operations": ["digest"], "versions": {},
    })
}

pub(super) const LINK: [(&str, &str); 1] = [("Link", "The next page, as `rel=\"next\"`.")];

pub(super) fn subjects() -> Doc {
    let example = json!({
        "items": [{
            "subject": "p-17", "state": "present", "createdAt": "2026-01-31T12:00:00Z", "wrappedBy": "k1",
        }],
        "cursor": null,
    });
    let api = Doc::api(
        "listSubjects",
        SUBJECTS,
        "Lists the persons that data is about, by id.",
    );
    paged(api).answers_with::<SubjectPage>(200, "A page.", example, &LINK)
}

pub(super) fn subject_get() -> Doc {
    let api = Doc::api("getSubject", SUBJECTS, "What a person has consented to.");
    let example = json!({ "subject": "p-17", "consents": [a_consent()] });
    with_subject(api).answers::<SubjectShown>(200, "It.", example)
}

pub(super) fn subject_export() -> Doc {
    let example = json!({
        "subject": "p-17", "tenant": "default",
        "items": [{ "actor": "profile/p-17", "state": { "fields": {} }, "seq": 1, "version": 1 }],
    });
    let what = "Everything that is stored about a person, streamed; audited.";
    let api = Doc::api("exportSubject", SUBJECTS, what);
    with_subject(api).answers::<SubjectExport>(
        200,
        "Each item has one of `state`, `event`, `payload`, `consent`, `user`, `login`, `apiKey` and `audit`.",
        example,
    )
}

pub(super) fn subject_erase() -> Doc {
    let what = "Erases what is stored about a person, for good. May be repeated, and goes on where it was.";
    let api = with_subject(Doc::api("eraseSubject", SUBJECTS, what));
    let example = json!({ "subject": "p-17", "erased": "now", "actors": 3 });
    api.body::<Nothing>(Required::False, json!({}))
        .answers::<SubjectErased>(200, "The key is destroyed, and all is cleared.", example)
        .refuses(&[404])
}

pub(super) fn subject_consent() -> Doc {
    let what = "Records what a person says to a use of the data; audited.";
    let api = with_subject(Doc::api("setConsent", SUBJECTS, what));
    let example = json!({ "purpose": "newsletter", "granted": true, "note": "by letter" });
    api.body::<subjects::Consent>(Required::True, example)
        .answers::<ConsentShown>(200, "As it is recorded.", a_consent())
        .refuses(&[413])
}

fn a_consent() -> Value {
    json!({
        "purpose": "newsletter", "granted": true, "at": "2026-01-31T12:00:00Z", "by": "ann", "note": "by letter",
    })
}

fn with_subject(api: Doc) -> Doc {
    let pattern = format!("^[A-Za-z0-9._:-]{{1,{CHOSEN_ID_BYTES_MAX}}}$");
    api.path("id", text(&pattern), "The id of the person: a pseudonym.")
}
