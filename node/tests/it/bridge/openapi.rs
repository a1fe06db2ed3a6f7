//! The description of the API, held to the answers of a node; and the page that shows it, which needs nobody else.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Node;
use super::client::{Answer, Method};

/// The description, and where an answer is in it.
struct Described(Value);

impl Described {
    /// Holds an answer to what is said of it.
    fn holds(&self, method: &str, path: &str, answer: &Answer) {
        let at = format!("{method} {path} {}", answer.status.as_u16());
        let operation = &self.0["paths"][path][method];
        assert!(operation.is_object(), "{at} is not described");
        let response = &operation["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{at} is not described");
        for name in response["headers"].as_object().unwrap().keys() {
            // Those that are always there.
            if name.starts_with("Selvedge-") {
                assert_ne!(answer.header(&name.to_lowercase()), "", "{at}: {name}");
            }
        }
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{at}");
            return;
        };
        let media = answer.header("content-type").split(';').next().unwrap();
        let schema = content.get(media).map(|content| &content["schema"]);
        if media == "text/html" {
            assert!(schema.is_some(), "{at}: {media}");
            return;
        }
        self.fits(
            schema.unwrap_or_else(|| panic!("{at}: {media}")),
            &answer.json(),
            &at,
        );
    }

    /// Holds a value to a schema: its type, its fields, all of them.
    fn fits(&self, schema: &Value, value: &Value, at: &str) {
        if let Some(reference) = schema["$ref"].as_str() {
            let named = self.0.pointer(&reference[1..]).unwrap();
            return self.fits(named, value, at);
        }
        if let Some(either) = schema["oneOf"].as_array() {
            if !value.is_null() {
                let schema = either.iter().find(|schema| schema["type"] != "null");
                self.fits(schema.unwrap(), value, at);
            }
            return;
        }
        let is = |name: &Value| match name.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "null" => value.is_null(),
            other => panic!("{at}: no type {other}"),
        };
        match &schema["type"] {
            Value::Null => return,
            Value::Array(names) => assert!(names.iter().any(is), "{at}: {value} is no {names:?}"),
            name => assert!(is(name), "{at}: {value} is no {name}"),
        }
        if let Some(known) = schema["enum"].as_array() {
            assert!(known.contains(value), "{at}: {value} is none of {known:?}");
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(
                value.get(name.as_str().unwrap()).is_some(),
                "{at}: {name} is missing in {value}"
            );
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item, at);
        }
        for (name, field) in value.as_object().into_iter().flatten() {
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) => {
                    assert!(
                        schema["properties"].is_null(),
                        "{at}: {name} is not described"
                    );
                }
                (Value::Null, others) => self.fits(others, field, at),
                (schema, _) => self.fits(schema, field, &format!("{at} {name}")),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
async fn answers_are_as_described() {
    let node = Node::start().await;
    let http = node.admin();
    let api = Described(node.nobody().get("/openapi.json").await.json());
    let add = json!({ "command": "add", "body": { "by": 2 } });
    let later = json!({
        "id": "o", "type": "digest", "runAt": "2100-01-01T00:00:00Z", "labels": { "k": "v" }, "metadata": { "a": 1 },
    });
    let wrong = json!({ "id": "w", "type": "import", "input": { "steps": "no" } });
    let item = "/v1/operations/{id}";
    for (path, template, body) in [
        ("/v1/operations", "/v1/operations", &later),
        ("/v1/operations", "/v1/operations", &later),
        ("/v1/operations", "/v1/operations", &wrong),
        (
            "/v1/operations",
            "/v1/operations",
            &json!({ "id": "o", "type": "import" }),
        ),
        ("/v1/operations", "/v1/operations", &json!({})),
        (
            "/v1/operations/o/pause",
            "/v1/operations/{id}/pause",
            &json!({}),
        ),
        (
            "/v1/operations/o/resume",
            "/v1/operations/{id}/resume",
            &json!({}),
        ),
        (
            "/v1/operations/o/signal",
            "/v1/operations/{id}/signal",
            &json!({ "name": "s" }),
        ),
        (
            "/v1/operations/o/cancel",
            "/v1/operations/{id}/cancel",
            &json!({}),
        ),
        (
            "/v1/operations/o/retry",
            "/v1/operations/{id}/retry",
            &json!({}),
        ),
        (
            "/v1/operations/none/retry",
            "/v1/operations/{id}/retry",
            &json!({}),
        ),
        (
            "/v1/actors/counter/a/commands",
            "/v1/actors/{kind}/{key}/commands",
            &add,
        ),
        (
            "/v1/actors/counter/a/queries",
            "/v1/actors/{kind}/{key}/queries",
            &json!({ "query": "get" }),
        ),
        (
            "/v1/actors/counter/a/queries",
            "/v1/actors/{kind}/{key}/queries",
            &json!({ "query": "no" }),
        ),
        (
            "/v1/cluster/nodes/n/drain",
            "/v1/cluster/nodes/{node}/drain",
            &json!({}),
        ),
        (
            "/v1/cluster/nodes/n/undrain",
            "/v1/cluster/nodes/{node}/undrain",
            &json!({}),
        ),
    ] {
        api.holds("post", template, &http.post(path, body).await);
    }
    let limit = "/v1/limits/principal:ann/datagrams";
    let template = "/v1/limits/{scope}/{name}";
    for body in [json!({ "rate": "9/s" }), json!({ "rate": "9" }), json!({})] {
        let answer = http
            .header("content-type", "application/json")
            .send(Method::PUT, limit, body.to_string().into())
            .await;
        api.holds("put", template, &answer);
    }
    let role = json!({ "rules": ["actor:tell"] });
    let set = http.put("/v1/roles/teller", &role).await;
    api.holds("put", "/v1/roles/{name}", &set);
    let wrong = json!({ "rules": ["no"] });
    let refused = http.put("/v1/roles/teller", &wrong).await;
    api.holds("put", "/v1/roles/{name}", &refused);
    let new = json!({ "name": "a", "roles": ["teller"] });
    let made = http.post("/v1/api-keys", &new).await;
    api.holds("post", "/v1/api-keys", &made);
    let key = made.header("location").to_owned();
    hold_users(&node, &api).await;
    for (path, template) in [
        ("/v1/operations", "/v1/operations"),
        ("/v1/operations/o", item),
        ("/v1/operations/w", item),
        ("/v1/operations/none", item),
        ("/v1/operations/o/why", "/v1/operations/{id}/why"),
        ("/v1/operations?limit=0", "/v1/operations"),
        ("/v1/actors?kind=counter", "/v1/actors"),
        ("/v1/actors/counter/a", "/v1/actors/{kind}/{key}"),
        ("/v1/sessions", "/v1/sessions"),
        ("/v1/roles", "/v1/roles"),
        ("/v1/roles/viewer", "/v1/roles/{name}"),
        ("/v1/roles/teller", "/v1/roles/{name}"),
        ("/v1/roles/none", "/v1/roles/{name}"),
        ("/v1/api-keys", "/v1/api-keys"),
        (key.as_str(), "/v1/api-keys/{id}"),
        ("/v1/api-keys/none", "/v1/api-keys/{id}"),
        ("/v1/cluster", "/v1/cluster"),
        ("/v1/cluster/plan", "/v1/cluster/plan"),
        ("/v1/cluster/why", "/v1/cluster/why"),
        ("/v1/config", "/v1/config"),
        ("/v1/limits", "/v1/limits"),
        ("/v1/limits/top", "/v1/limits/top"),
        (
            "/v1/limits/principal:ann/datagrams",
            "/v1/limits/{scope}/{name}",
        ),
        (
            "/v1/limits/principal:none/datagrams",
            "/v1/limits/{scope}/{name}",
        ),
        ("/v1/audit", "/v1/audit"),
        ("/livez", "/livez"),
        ("/readyz", "/readyz"),
        ("/healthz", "/healthz"),
        ("/version", "/version"),
        ("/openapi.json", "/openapi.json"),
    ] {
        api.holds("get", template, &http.get(path).await);
        if template.starts_with("/v1/") {
            api.holds("get", template, &node.nobody().get(path).await);
        }
    }
    let revoked = http.tell(&format!("{key}/revoke")).await;
    api.holds("post", "/v1/api-keys/{id}/revoke", &revoked);
    for (path, template) in [
        (key.as_str(), "/v1/api-keys/{id}"),
        (key.as_str(), "/v1/api-keys/{id}"),
        ("/v1/roles/teller", "/v1/roles/{name}"),
        ("/v1/roles/admin", "/v1/roles/{name}"),
        ("/v1/sessions?principal=ann", "/v1/sessions"),
        ("/v1/sessions", "/v1/sessions"),
    ] {
        api.holds("delete", template, &http.delete(path).await);
    }
    let gone = http.delete("/v1/cluster/nodes/n").await;
    api.holds("delete", "/v1/cluster/nodes/{node}", &gone);
    let deleted = http.delete("/v1/limits/principal:ann/datagrams").await;
    api.holds("delete", "/v1/limits/{scope}/{name}", &deleted);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_needs_nobody_else() {
    let node = Node::start().await;
    let http = node.nobody();
    let page = http.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"));
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(!text.contains("://") && !text.contains("style=") && !text.contains("onclick"));
    for (path, media) in [
        ("/docs/page.js", "text/javascript; charset=utf-8"),
        ("/docs/page.css", "text/css; charset=utf-8"),
    ] {
        assert!(text.contains(path));
        let file = http.get(path).await;
        assert_eq!(file.status, StatusCode::OK);
        assert_eq!(file.header("content-type"), media);
        assert!(
            !String::from_utf8(file.body.to_vec())
                .unwrap()
                .contains("://")
        );
    }
    node.stop().await;
}

/// The answers of the paths of users, logins and tokens.
#[expect(clippy::too_many_lines, reason = "a table of requests")]
async fn hold_users(node: &Node, api: &Described) {
    let (http, nobody) = (node.admin(), node.nobody());
    let password = "some words in a row";
    let ann = json!({ "username": "ann", "email": "ann@example.org", "roles": ["viewer"], "password": password });
    for new in [
        &ann,
        &ann,
        &json!({ "username": "b", "password": "short" }),
        &json!({}),
    ] {
        api.holds("post", "/v1/users", &http.post("/v1/users", new).await);
    }
    let bare = http.post("/v1/users", &json!({ "username": "b" })).await;
    api.holds("post", "/v1/users", &bare);
    let user = "/v1/users/{id}";
    for path in ["/v1/users/ann", "/v1/users/none"] {
        api.holds("get", user, &http.get(path).await);
        api.holds("get", user, &nobody.get(path).await);
        let patch = http.header("content-type", "application/json");
        let patched = patch
            .send(Method::PATCH, path, r#"{"roles":[]}"#.into())
            .await;
        api.holds("patch", user, &patched);
        let body = json!({ "password": password });
        let set = http.put(&format!("{path}/password"), &body).await;
        api.holds("put", "/v1/users/{id}/password", &set);
    }
    api.holds("get", "/v1/users", &http.get("/v1/users").await);
    let mut login = json!({ "username": "ann", "password": password });
    let granted = nobody.post("/v1/login", &login).await;
    api.holds("post", "/v1/login", &granted);
    assert_eq!(granted.header("cache-control"), "no-store");
    let granted = granted.json();
    login["password"] = json!("wrong");
    api.holds("post", "/v1/login", &nobody.post("/v1/login", &login).await);
    let logins = http.get("/v1/users/ann/logins").await;
    api.holds("get", "/v1/users/{id}/logins", &logins);
    let form = "application/x-www-form-urlencoded";
    let form = |http: &crate::bridge::client::Http| http.header("content-type", form);
    let refresh = granted["refreshToken"].as_str().unwrap();
    let refresh = format!("grant_type=refresh_token&refresh_token={refresh}");
    for body in [refresh.as_str(), "grant_type=none", ""] {
        let answer = form(&nobody)
            .send(Method::POST, "/oauth/token", body.to_owned().into())
            .await;
        api.holds("post", "/oauth/token", &answer);
    }
    for body in ["token=a", ""] {
        let answer = form(&nobody)
            .send(Method::POST, "/oauth/revoke", body.into())
            .await;
        api.holds("post", "/oauth/revoke", &answer);
        let answer = form(&http)
            .send(Method::POST, "/oauth/introspect", body.into())
            .await;
        api.holds("post", "/oauth/introspect", &answer);
    }
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        api.holds("get", path, &nobody.get(path).await);
    }
    let authorize = "/oauth/authorize";
    let request = format!(
        "client_id=console&redirect_uri=http://{}/&response_type=code&code_challenge_method=S256&code_challenge={}",
        node.address,
        "A".repeat(43)
    );
    for query in ["", &request, &request.replace("S256", "plain")] {
        let answer = nobody.get(&format!("{authorize}?{query}")).await;
        api.holds("get", authorize, &answer);
        let answer = form(&nobody)
            .send(Method::POST, authorize, query.to_owned().into())
            .await;
        api.holds("post", authorize, &answer);
    }
    let page = nobody.get(&format!("{authorize}?{request}")).await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let (_, carried) = page.split_once("name=\"page\" value=\"").unwrap();
    let carried = carried.split_once('"').unwrap().0;
    for password in ["wrong", &password.replace(' ', "+")] {
        let body = format!("{request}&page={carried}&username=ann&password={password}");
        let answer = form(&nobody)
            .send(Method::POST, authorize, body.into())
            .await;
        api.holds("post", authorize, &answer);
    }
    let key = "grant_type=client_credentials&client_id=a&client_secret=b";
    let refused = form(&nobody)
        .send(Method::POST, "/oauth/token", key.into())
        .await;
    api.holds("post", "/oauth/token", &refused);
    let keys = nobody.get("/.well-known/jwks.json").await;
    api.holds("get", "/.well-known/jwks.json", &keys);
    assert_eq!(keys.json()["keys"][0]["alg"], "EdDSA");
    let mut change =
        json!({ "username": "ann", "password": password, "newPassword": "other words in a row" });
    let changed = nobody.post("/v1/password", &change).await;
    api.holds("post", "/v1/password", &changed);
    change["newPassword"] = json!("short");
    change["password"] = json!("other words in a row");
    let changed = nobody.post("/v1/password", &change).await;
    api.holds("post", "/v1/password", &changed);
    let ended = format!(
        "/v1/users/ann/logins/{}",
        granted["login"].as_str().unwrap()
    );
    for path in [ended.as_str(), "/v1/users/ann/logins/none"] {
        api.holds(
            "delete",
            "/v1/users/{id}/logins/{login}",
            &http.delete(path).await,
        );
    }
    for path in ["/v1/users/ann", "/v1/users/ann"] {
        api.holds("delete", user, &http.delete(path).await);
    }
}
