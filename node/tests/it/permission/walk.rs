//! The table of permissions by each way into a node: whoever has all but one is refused what that one is for, and
//! whoever has that one alone gets through.

use std::collections::BTreeSet;

use selvedge_node::identity::TABLE;
use selvedge_protocol::frame::{ClientFrame, Ping, ServerFrame, WorkerReady};
use serde_json::json;

use super::{Frame, Node, ROOM, WAYS, Way, code, error, problem};
use crate::bridge::client::{Method, StatusCode};

/// The same asked by each way that has it.
struct Ask {
    permission: &'static str,
    frame: Option<Frame>,
    rest: Option<(Method, &'static str, &'static str)>,
    graphql: Option<&'static str>,
    /// What becomes of it where it is let through: nothing, or the code of a failure that lies behind.
    behind: &'static str,
}

const fn ask(permission: &'static str) -> Ask {
    Ask {
        permission,
        frame: None,
        rest: None,
        graphql: None,
        behind: "",
    }
}

impl Ask {
    fn command(self, to: &'static str, name: &'static str, body: &'static str) -> Self {
        Self {
            frame: Some(Frame::Command(to, name, body)),
            ..self
        }
    }

    fn query(self, of: &'static str, name: &'static str, body: &'static str) -> Self {
        Self {
            frame: Some(Frame::Query(of, name, body)),
            ..self
        }
    }

    fn watch(self, target: &'static str) -> Self {
        Self {
            frame: Some(Frame::Subscribe(target)),
            ..self
        }
    }

    fn get(self, path: &'static str) -> Self {
        Self {
            rest: Some((Method::GET, path, "")),
            ..self
        }
    }

    fn post(self, path: &'static str, body: &'static str) -> Self {
        Self {
            rest: Some((Method::POST, path, body)),
            ..self
        }
    }

    fn put(self, path: &'static str, body: &'static str) -> Self {
        Self {
            rest: Some((Method::PUT, path, body)),
            ..self
        }
    }

    fn patch(self, path: &'static str, body: &'static str) -> Self {
        Self {
            rest: Some((Method::PATCH, path, body)),
            ..self
        }
    }

    fn delete(self, path: &'static str) -> Self {
        Self {
            rest: Some((Method::DELETE, path, "")),
            ..self
        }
    }

    fn graphql(self, document: &'static str) -> Self {
        Self {
            graphql: Some(document),
            ..self
        }
    }

    fn behind(self, code: &'static str) -> Self {
        Self {
            behind: code,
            ..self
        }
    }
}

/// Everything that can be asked, but for ephemeral messages and the word of a worker that it is ready.
fn asks() -> Vec<Ask> {
    [
        of_operations(),
        of_actors(),
        of_ours(),
        administration(),
        of_the_directory(),
        of_limits(),
        of_users(),
        of_subjects(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_operations() -> Vec<Ask> {
    vec![
        ask("operation:read")
            .query("operations", "list", "{}")
            .get("/v1/operations")
            .graphql("{ operations { __typename } }"),
        ask("operation:read").query("operations", "count", "{}"),
        ask("operation:read")
            .query("operation none", "get", "")
            .get("/v1/operations/none")
            .behind("not_found"),
        ask("operation:read")
            .query("operation none", "why", "")
            .get("/v1/operations/none/why")
            .behind("not_found"),
        // What is not there is null in GraphQL.
        ask("operation:read").graphql("{ operation(id: \"none\") { id } }"),
        ask("operation:read").graphql("{ node(id: \"operation/none\") { id } }"),
        ask("operation:read").watch("operation none"),
        ask("operation:read")
            .get("/v1/operations/none/events")
            .behind("not_found"),
        ask("operation:read")
            .query("actors", "list", r#"{"kind":"operation"}"#)
            .get("/v1/actors?kind=operation")
            .graphql("{ actors(kind: \"operation\") { __typename } }"),
        ask("operation:write")
            .command("operation new", "submit", r#"{"type":"digest"}"#)
            .post("/v1/operations", r#"{"type":"digest"}"#)
            .graphql("mutation { submitOperation(input: { type: \"digest\" }) { created } }"),
        ask("operation:write")
            .command("operation none", "cancel", "{}")
            .post("/v1/operations/none/cancel", "")
            .graphql("mutation { cancelOperation(id: \"none\") { id } }")
            .behind("not_found"),
        ask("operation:write")
            .command("operation none", "pause", "{}")
            .post("/v1/operations/none/pause", "")
            .graphql("mutation { pauseOperation(id: \"none\") { id } }")
            .behind("not_found"),
        ask("operation:write")
            .command("operation none", "resume", "{}")
            .post("/v1/operations/none/resume", "")
            .graphql("mutation { resumeOperation(id: \"none\") { id } }")
            .behind("not_found"),
        ask("operation:write")
            .command("operation none", "retry", "{}")
            .post("/v1/operations/none/retry", "")
            .graphql("mutation { retryOperation(id: \"none\") { id } }")
            .behind("not_found"),
        ask("operation:write")
            .command("operation none", "signal", r#"{"name":"go"}"#)
            .post("/v1/operations/none/signal", r#"{"name":"go"}"#)
            .graphql("mutation { signalOperation(id: \"none\", name: \"go\") { id } }")
            .behind("not_found"),
        // Of a task that this session has not.
        ask("operation:work")
            .query("operation none", "payload", r#"{"lease":1,"from":0}"#)
            .behind("conflict"),
    ]
}

fn of_actors() -> Vec<Ask> {
    vec![
        ask("actor:read")
            .query("counter/a", "get", "{}")
            .post("/v1/actors/counter/a/queries", r#"{"query":"get"}"#)
            .graphql(
                "{ actorQuery(kind: \"counter\", key: \"a\", name: \"get\") { __typename } }",
            ),
        ask("actor:read")
            .query("counter/a", "state", "{}")
            .get("/v1/actors/counter/a")
            .graphql("{ actor(kind: \"counter\", key: \"a\") { state } }"),
        ask("actor:read").watch("counter/a"),
        ask("actor:read")
            .query("actors", "list", r#"{"kind":"counter"}"#)
            .get("/v1/actors?kind=counter")
            .graphql("{ actors(kind: \"counter\") { __typename } }"),
        ask("actor:write")
            .command("counter/a", "add", r#"{"by":1}"#)
            .post(
                "/v1/actors/counter/a/commands",
                r#"{"command":"add","body":{"by":1}}"#,
            )
            .graphql(
                "mutation { sendCommand(kind: \"counter\", key: \"a\", command: \"add\", body: { by: 1 }) { seq } }",
            ),
    ]
}

/// Actors of kinds that are ours.
fn of_ours() -> Vec<Ask> {
    vec![
        ask("schedule:read")
            .query("schedule/none", "state", "{}")
            .get("/v1/actors/schedule/none")
            .graphql("{ actor(kind: \"schedule\", key: \"none\") { state } }"),
        ask("schedule:read").watch("schedule/none"),
        ask("schedule:read")
            .query("actors", "list", r#"{"kind":"schedule"}"#)
            .get("/v1/actors?kind=schedule")
            .graphql("{ actors(kind: \"schedule\") { __typename } }"),
        ask("schedule:write")
            .command("schedule/none", "trigger", "{}")
            .post(
                "/v1/actors/schedule/none/commands",
                r#"{"command":"trigger","body":{}}"#,
            )
            .graphql(
                "mutation { sendCommand(kind: \"schedule\", key: \"none\", command: \"trigger\") { seq } }",
            )
            .behind("not_found"),
        ask("policy:read")
            .query("policy/digest", "get", "{}")
            .get("/v1/actors/policy/digest")
            .graphql("{ actor(kind: \"policy\", key: \"digest\") { state } }"),
        ask("policy:read").watch("policy/digest"),
        ask("policy:read")
            .query("actors", "list", r#"{"kind":"policy"}"#)
            .get("/v1/actors?kind=policy")
            .graphql("{ actors(kind: \"policy\") { __typename } }"),
        ask("policy:write")
            .command("policy/digest", "reset", "{}")
            .post(
                "/v1/actors/policy/digest/commands",
                r#"{"command":"reset","body":{}}"#,
            )
            .graphql(
                "mutation { sendCommand(kind: \"policy\", key: \"digest\", command: \"reset\") { seq } }",
            ),
    ]
}

/// Of a node that has no key for personal data.
fn of_subjects() -> Vec<Ask> {
    vec![
        ask("subject:read")
            .query("subject/*", "list", "{}")
            .get("/v1/subjects")
            .behind("rejected"),
        ask("subject:read")
            .query("subject/ann", "get", "{}")
            .get("/v1/subjects/ann")
            .behind("rejected"),
        ask("subject:read")
            .query("subject/ann", "state", "{}")
            .get("/v1/actors/subject/ann")
            .graphql("{ actor(kind: \"subject\", key: \"ann\") { state } }")
            .behind("rejected"),
        ask("subject:read")
            .query("subject/ann", "export", "{}")
            .get("/v1/subjects/ann/export")
            .behind("rejected"),
        ask("subject:write")
            .command("subject/ann", "erase", "{}")
            .post("/v1/subjects/ann/erase", "")
            .graphql(
                "mutation { sendCommand(kind: \"subject\", key: \"ann\", command: \"erase\") { seq } }",
            )
            .behind("rejected"),
        ask("subject:write")
            .command("subject/ann", "consent", r#"{"purpose":"mail","granted":true}"#)
            .post(
                "/v1/subjects/ann/consents",
                r#"{"purpose":"mail","granted":true}"#,
            )
            .behind("rejected"),
        ask("subject:write")
            .command("subject/*", "rewrap", "{}")
            .post(
                "/v1/actors/subject/*/commands",
                r#"{"command":"rewrap","body":{}}"#,
            )
            .behind("rejected"),
    ]
}

fn administration() -> Vec<Ask> {
    vec![
        ask("session:read").get("/v1/sessions"),
        ask("session:write")
            .delete("/v1/sessions/01900000-0000-7000-8000-000000000000")
            .behind("not_found"),
        ask("cluster:read")
            .query("cluster", "status", "{}")
            .get("/v1/cluster")
            .graphql("{ cluster { slots } }"),
        ask("cluster:read")
            .query("cluster", "plan", "{}")
            .get("/v1/cluster/plan"),
        ask("cluster:read")
            .query("cluster", "why", "{}")
            .get("/v1/cluster/why"),
        ask("cluster:administer")
            .command("cluster", "drain", r#"{"node":"node-9"}"#)
            .post("/v1/cluster/nodes/node-9/drain", "{}")
            .graphql("mutation { drainNode(node: \"node-9\") { __typename } }")
            .behind("not_found"),
        ask("cluster:administer")
            .command("cluster", "undrain", r#"{"node":"node-9"}"#)
            .post("/v1/cluster/nodes/node-9/undrain", "{}")
            .graphql("mutation { undrainNode(node: \"node-9\") { __typename } }")
            .behind("not_found"),
        ask("cluster:administer")
            .command("cluster", "remove", r#"{"node":"node-9"}"#)
            .delete("/v1/cluster/nodes/node-9")
            .graphql("mutation { removeNode(node: \"node-9\") { __typename } }")
            .behind("not_found"),
        ask("cluster:administer").command("cluster", "signing-key.rotate", "{}"),
        ask("config:read").get("/v1/config"),
        ask("audit:read")
            .query("cluster", "audit.page", "{}")
            .get("/v1/audit"),
        ask("audit:read")
            .query("cluster", "audit.verify", "{}")
            .post("/v1/audit/verify", "{}"),
        ask("audit:administer")
            .query("cluster", "audit.page", r#"{"chain":"cluster"}"#)
            .get("/v1/audit?chain=cluster"),
        ask("audit:administer")
            .query("cluster", "audit.verify", r#"{"chain":"cluster"}"#)
            .post("/v1/audit/verify", r#"{"chain":"cluster"}"#),
    ]
}

fn of_limits() -> Vec<Ask> {
    vec![
        ask("limit:read")
            .query("cluster", "limit.list", "{}")
            .get("/v1/limits"),
        ask("limit:read")
            .query("cluster", "limit.top", "{}")
            .get("/v1/limits/top"),
        ask("limit:read")
            .query(
                "cluster",
                "limit.get",
                r#"{"scope":"principal:none","limit":"commands"}"#,
            )
            .get("/v1/limits/principal:none/commands")
            .behind("not_found"),
        ask("limit:write")
            .command(
                "cluster",
                "limit.set",
                r#"{"scope":"principal:none","limit":"queries","rate":"9/s"}"#,
            )
            .put("/v1/limits/principal:none/queries", r#"{"rate":"9/s"}"#),
        ask("limit:write")
            .command(
                "cluster",
                "limit.delete",
                r#"{"scope":"principal:none","limit":"queries"}"#,
            )
            .delete("/v1/limits/principal:*/queries"),
        ask("limit:administer")
            .command(
                "cluster",
                "limit.set",
                r#"{"scope":"tenant:other","limit":"queries","rate":"9/s"}"#,
            )
            .put("/v1/limits/tenant:*/datagrams", r#"{"rate":"9/s"}"#),
        ask("limit:administer")
            .command(
                "cluster",
                "limit.delete",
                r#"{"scope":"tenant:other","limit":"queries"}"#,
            )
            .delete("/v1/limits/tenant:other/queries"),
    ]
}

/// Who is known. The id of a key that there is not has the form of one.
fn of_the_directory() -> Vec<Ask> {
    const ID: &str = r#"{"id":"00000000000000000000000000000000"}"#;
    vec![
        ask("role:read")
            .query("cluster", "role.list", "{}")
            .get("/v1/roles"),
        ask("role:read")
            .query("cluster", "role.get", r#"{"name":"viewer"}"#)
            .get("/v1/roles/viewer"),
        ask("role:write")
            .command(
                "cluster",
                "role.set",
                r#"{"name":"walked","rules":["role:write"]}"#,
            )
            .put("/v1/roles/walked", r#"{"rules":["role:write"]}"#),
        ask("role:write")
            .command("cluster", "role.remove", r#"{"name":"none"}"#)
            .delete("/v1/roles/none")
            .behind("not_found"),
        ask("api-key:read")
            .query("cluster", "api-key.list", "{}")
            .get("/v1/api-keys"),
        ask("api-key:read")
            .query("cluster", "api-key.get", ID)
            .get("/v1/api-keys/00000000000000000000000000000000")
            .behind("not_found"),
        ask("api-key:write")
            .command(
                "cluster",
                "api-key.create",
                r#"{"name":"walked","roles":[]}"#,
            )
            .post("/v1/api-keys", r#"{"name":"walked","roles":[]}"#),
        ask("api-key:write")
            .command("cluster", "api-key.revoke", ID)
            .post("/v1/api-keys/00000000000000000000000000000000/revoke", "{}")
            .behind("not_found"),
        ask("api-key:write")
            .command("cluster", "api-key.remove", ID)
            .delete("/v1/api-keys/00000000000000000000000000000000")
            .behind("not_found"),
        ask("session:write")
            .command("cluster", "session.close-all", r#"{"principal":"nobody"}"#)
            .delete("/v1/sessions?principal=nobody"),
    ]
}

fn of_users() -> Vec<Ask> {
    const ID: &str = r#"{"id":"nobody"}"#;
    vec![
        ask("user:read")
            .query("cluster", "user.list", "{}")
            .get("/v1/users"),
        ask("user:read")
            .query("cluster", "user.get", ID)
            .get("/v1/users/nobody")
            .behind("not_found"),
        ask("user:read")
            .query("cluster", "login.list", ID)
            .get("/v1/users/nobody/logins")
            .behind("not_found"),
        // Names that there are already are a conflict, so each way has one that is none.
        ask("user:write")
            .command("cluster", "user.create", r#"{"username":"-"}"#)
            .post("/v1/users", r#"{"username":"-"}"#)
            .behind("invalid"),
        ask("user:write")
            .command("cluster", "user.set", r#"{"id":"nobody","enabled":false}"#)
            .patch("/v1/users/nobody", r#"{"enabled":false}"#)
            .behind("not_found"),
        ask("user:write")
            .command(
                "cluster",
                "user.set-password",
                r#"{"id":"nobody","password":"some words in a row"}"#,
            )
            .put(
                "/v1/users/nobody/password",
                r#"{"password":"some words in a row"}"#,
            )
            .behind("not_found"),
        ask("user:write")
            .command("cluster", "user.remove", ID)
            .delete("/v1/users/nobody")
            .behind("not_found"),
        ask("user:write")
            .command("cluster", "login.end", r#"{"id":"nobody","login":"none"}"#)
            .delete("/v1/users/nobody/logins/none")
            .behind("not_found"),
    ]
}

/// Puts the question by each way; what is not as expected.
async fn put(node: &Node, ask: &Ask, token: &str, expected: &str) -> Vec<String> {
    let mut heard = Vec::new();
    if let Some(frame) = ask.frame {
        for way in WAYS {
            let outcome = node.session(way, token).await.ask(frame).await;
            heard.push((format!("{way:?} {frame:?}"), code(&outcome).to_owned()));
        }
    }
    if let Some((method, path, body)) = &ask.rest {
        let http = match body.is_empty() {
            true => node.http(token),
            false => node.http(token).header("content-type", "application/json"),
        };
        let answer = http.send(method.clone(), path, (*body).into()).await;
        heard.push((format!("{method} {path}"), problem(&answer)));
    }
    if let Some(document) = ask.graphql {
        let answer = node.graphql(token, document).await;
        heard.push((document.to_owned(), error(&answer)));
    }
    assert!(!heard.is_empty());
    let wrong = heard.into_iter().filter(|(_, code)| code != expected);
    wrong
        .map(|(what, code)| format!("{token}: {what}: {code:?}, not {expected:?}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_permission_is_asked_for_by_each_way() {
    let node = Node::start().await;
    let mut wrong = Vec::new();
    let mut walked = BTreeSet::from(["actor:tell".to_owned()]);
    for ask in asks() {
        let permission = ask.permission;
        walked.insert(permission.to_owned());
        let without = format!("without/{permission}");
        wrong.extend(put(&node, &ask, &without, "permission_denied").await);
        let only = format!("only/{permission}");
        wrong.extend(put(&node, &ask, &only, ask.behind).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: BTreeSet<_> = TABLE.iter().map(|it| it.permission.to_string()).collect();
    assert_eq!(walked, all);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_messages_of_who_may_not_send_them_are_not_heard() {
    let node = Node::start().await;
    // Over a WebSocket all comes in the order in which it was said.
    let mut watcher = node.session(Way::WebSocket, "only/actor:read").await;
    watcher.ask(Frame::Subscribe(ROOM)).await.unwrap();
    for way in WAYS {
        node.session(way, "without/actor:tell")
            .await
            .tell("refused")
            .await;
        node.session(way, "only/actor:tell")
            .await
            .tell("let through")
            .await;
        match watcher.next().await {
            ServerFrame::Ephemeral(heard) => assert_eq!(&*heard.name, "let through"),
            other => panic!("{way:?}: {other:?}"),
        }
    }
    drop(watcher);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_may_not_work_are_sent_away() {
    let node = Node::start().await;
    let ready = || {
        ClientFrame::WorkerReady(WorkerReady {
            types: vec!["digest".parse().unwrap()],
            capacity: 1,
            ext: Vec::new(),
        })
    };
    for way in WAYS {
        let mut worker = node.session(way, "only/operation:work").await;
        worker.send(ready()).await;
        worker.send(ClientFrame::Ping(Ping { nonce: 1 })).await;
        assert!(matches!(worker.next().await, ServerFrame::Pong(_)));
        let mut other = node.session(way, "without/operation:work").await;
        other.send(ready()).await;
        match other.next().await {
            ServerFrame::Goodbye(goodbye) => {
                let failure = goodbye.failure.unwrap();
                assert_eq!(failure.code.name(), "permission_denied");
                assert!(failure.message.contains("operation:work"), "{failure}");
            }
            other => panic!("{way:?}: {other:?}"),
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_events_are_refused_as_well() {
    let node = Node::start().await;
    for (permission, path, field) in [
        (
            "actor:read",
            "/v1/actors/counter/a/events",
            "actorEvents(kind: \"counter\", key: \"a\")",
        ),
        (
            "schedule:read",
            "/v1/actors/schedule/a/events",
            "actorEvents(kind: \"schedule\", key: \"a\")",
        ),
        (
            "operation:read",
            "/v1/operations/a/events",
            "operationEvents(id: \"a\")",
        ),
    ] {
        let http = node.http(&format!("without/{permission}"));
        let refused = http.get(path).await;
        refused.problem(403, "permission_denied");
        let document = format!("subscription {{ {field} {{ __typename }} }}");
        let http = http.header("accept", "text/event-stream");
        let answer = http.post("/graphql", &json!({ "query": document })).await;
        assert_eq!(answer.status, StatusCode::OK);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains("\"permission_denied\""), "{text}");
        assert!(text.contains(permission), "{text}");
    }
    drop(
        node.http("only/actor:read")
            .events("/v1/actors/counter/a/events")
            .await,
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_who_what_and_which_role_may() {
    let node = Node::start().await;
    let command = Frame::Command("counter/a", "add", r#"{"by":1}"#);
    let mut session = node.session(Way::Quic, "role/viewer").await;
    let failure = session.ask(command).await.unwrap_err();
    for part in [
        "ann",
        "viewer",
        "commands to actors",
        "actor:write",
        "developer or admin",
    ] {
        assert!(failure.message.contains(part), "{failure}");
    }
    drop(session);
    node.stop().await;
}
