//! Users see to themselves, and to nobody else, as far as rules for one's own let them; and who is named by a username is
//! the one of that id.

use serde_json::{Value, json};

use super::Node;
use crate::bridge::client::{Answer, Http, Method, StatusCode};

async fn make(admin: &Http, name: &str, email: &str) -> String {
    let body = json!({ "username": name, "email": email, "roles": ["viewer"] });
    let made = admin.post("/v1/users", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn patch(http: &Http, path: &str, body: &Value) -> Answer {
    let json = http.header("content-type", "application/json");
    json.send(Method::PATCH, path, body.to_string().into())
        .await
}

fn names(page: &Answer) -> Vec<String> {
    let page = page.json();
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["username"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_s_own_user_is_all_that_one_sees() {
    let node = Node::start().await;
    let admin = node.http("role/admin");
    let ann = make(&admin, "ann", "ann@example.org").await;
    let ben = make(&admin, "ben", "ben@example.org").await;
    for role in [
        "role/viewer",
        "role/operator",
        "role/developer",
        "own/user:read",
    ] {
        let itself = node.http(&format!("user:{ann}@{role}"));
        assert_eq!(names(&itself.get("/v1/users").await), ["ann"], "{role}");
        for name in [&*ann, "ann", "ANN"] {
            let shown = itself.get(&format!("/v1/users/{name}")).await.json();
            assert_eq!(shown["email"], "ann@example.org", "{role} {name}");
            let logins = itself.get(&format!("/v1/users/{name}/logins")).await;
            assert_eq!(logins.json()["items"], json!([]), "{role} {name}");
        }
        // Others are not there, whether there are any or not.
        let unknown = itself.get("/v1/users/nobody").await;
        unknown.problem(404, "not_found");
        let unknown = unknown.json()["detail"].clone();
        for name in [&*ben, "ben"] {
            for path in [
                format!("/v1/users/{name}"),
                format!("/v1/users/{name}/logins"),
            ] {
                let hidden = itself.get(&path).await;
                hidden.problem(404, "not_found");
                assert_eq!(hidden.json()["detail"], unknown, "{role} {path}");
            }
        }
    }
    // Who is no user is nobody: an API key, somebody of an issuer, and one whose name only looks like it.
    for name in ["key:00", "issuer|ann", "ann", "user:ann"] {
        let other = node.http(&format!("{name}@role/viewer"));
        assert_eq!(names(&other.get("/v1/users").await), [""; 0], "{name}");
        other.get("/v1/users/ann").await.problem(404, "not_found");
    }
    let elsewhere = node.http(&format!("user:{ann}@role/viewer"));
    let elsewhere = elsewhere.header("selvedge-tenant", "acme");
    assert_eq!(names(&elsewhere.get("/v1/users").await), [""; 0]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_themselves_what_others_decide_about() {
    let node = Node::start().await;
    let admin = node.http("role/admin");
    let ann = make(&admin, "ann", "ann@example.org").await;
    let itself = node.http(&format!("user:{ann}@role/viewer"));
    let forbidden = (403, "permission_denied");
    let invalid = (422, "invalid");
    // All at once is nothing at all.
    for (more, field, (status, code)) in [
        (json!({ "roles": ["admin"] }), "roles", forbidden),
        (json!({ "roles": [] }), "roles", forbidden),
        (json!({ "enabled": true }), "enabled", forbidden),
        (json!({ "version": 9 }), "version", invalid),
        (json!({ "username": "root" }), "username", invalid),
        (json!({ "tenant": "acme" }), "tenant", invalid),
        (json!({ "password": "x" }), "password", invalid),
    ] {
        let mut body = more;
        body["email"] = json!("a@b");
        let refused = patch(&itself, "/v1/users/ann", &body).await;
        let refused = refused.problem(status, code);
        assert_eq!(refused, field, "{body}");
    }
    let left = admin.get("/v1/users/ann").await.json();
    assert_eq!(
        (&left["version"], &left["email"]),
        (&json!(1), &json!("ann@example.org"))
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_changes_of_oneself_what_is_one_s_own() {
    let node = Node::start().await;
    let admin = node.http("role/admin");
    let ann = make(&admin, "ann", "ann@example.org").await;
    make(&admin, "ben", "ben@example.org").await;
    let itself = node.http(&format!("user:{ann}@role/viewer"));
    let email = json!({ "email": "new@example.org" });
    let changed = patch(&itself, "/v1/users/ann", &email).await.json();
    assert_eq!(
        (&changed["version"], &changed["email"]),
        (&json!(2), &json!("new@example.org"))
    );
    assert_eq!(changed["roles"], json!(["viewer"]));
    let other = patch(&itself, "/v1/users/ben", &email).await;
    other.problem(404, "not_found");
    // To read is not to write.
    let reader = node.http(&format!("user:{ann}@own/user:read"));
    let refused = patch(&reader, "/v1/users/ann", &email).await;
    refused.problem(403, "permission_denied");

    let new = json!({ "username": "eve", "roles": [] });
    let made = itself.post("/v1/users", &new).await;
    made.problem(403, "permission_denied");
    let removed = itself.delete("/v1/users/ann").await;
    removed.problem(403, "permission_denied");
    let password = json!({ "password": "some words in a row" });
    let refused = itself.put("/v1/users/ann/password", &password).await;
    refused.problem(403, "permission_denied");
    let said = refused.json()["detail"].to_string();
    assert!(said.contains("POST /v1/password"), "{said}");
    for (user, field) in [("ann", "login"), ("ben", "id")] {
        let path = format!("/v1/users/{user}/logins/none");
        let ended = itself.delete(&path).await.problem(404, "not_found");
        assert_eq!(ended, field);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_named_by_a_username_is_the_user_of_that_id() {
    let node = Node::start().await;
    let admin = node.http("role/admin");
    let ann = make(&admin, "ann", "ann@example.org").await;
    let id_like = json!({ "username": ann });
    let refused = admin
        .post("/v1/users", &id_like)
        .await
        .problem(422, "invalid");
    assert_eq!(refused, "username");

    let set = admin
        .put(
            "/v1/limits/principal:user:ann/commands",
            &json!({ "rate": "5/s" }),
        )
        .await
        .json();
    assert_eq!(set["scope"], format!("principal:user:{ann}"));
    for name in ["ann", &ann] {
        let path = format!("/v1/limits/principal:user:{name}/commands");
        assert_eq!(admin.get(&path).await.json()["rate"], "5/s", "{name}");
    }
    let unknown = admin.get("/v1/limits/principal:user:ben/commands").await;
    assert_eq!(unknown.problem(404, "not_found"), "scope");
    let itself = node.http(&format!("user:{ann}@own/session:write"));
    for name in ["user:ann".to_owned(), format!("user:{ann}")] {
        let closed = itself
            .delete(&format!("/v1/sessions?principal={name}"))
            .await;
        assert!(closed.status.is_success(), "{name}: {}", closed.status);
    }
    let refused = itself.delete("/v1/sessions?principal=user:ben").await;
    refused.problem(403, "permission_denied");
    let unknown = admin.delete("/v1/sessions?principal=user:ben").await;
    assert_eq!(unknown.problem(404, "not_found"), "principal");
    // The trail is asked for her by either name, and has none but the id.
    let trail = admin.get("/v1/audit?principal=user:ann").await.json();
    let items = trail["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{trail}");
    let own = format!("user:{ann}");
    for item in items {
        assert_eq!(
            (&item["principal"], &item["target"]),
            (&json!(own), &json!(own))
        );
    }
    let unknown = admin.get("/v1/audit?principal=user:ben").await;
    assert_eq!(unknown.problem(404, "not_found"), "principal");
    node.stop().await;
}
