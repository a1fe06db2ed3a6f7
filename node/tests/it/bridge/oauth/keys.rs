//! Tokens of API keys.

use base64::prelude::BASE64_STANDARD;

use super::*;

impl World {
    /// A key's id and its text.
    async fn key(&self, expires: Option<&str>) -> (String, String) {
        let new = json!({ "name": "a", "roles": ["viewer"], "expiresAt": expires });
        let made = self.node.admin().post("/v1/api-keys", &new).await.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id"), text("key"))
    }

    async fn grant(&self, id: &str, secret: &str) -> Answer {
        let members = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
        ];
        form(&self.node.nobody(), "/oauth/token", &with(&members, &[])).await
    }
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_gets_a_token_that_is_the_key_and_ends_with_it() {
    let world = World::start().await;
    let (id, key) = world.key(None).await;
    let granted = world.grant(&id, &key).await.json();
    assert_eq!(
        (&granted["token_type"], &granted["scope"]),
        (&json!("Bearer"), &json!("viewer"))
    );
    assert!(granted["expires_in"].as_u64().unwrap() <= 300);
    // It goes on by showing the key.
    assert_eq!(granted["refresh_token"], Value::Null);
    let token = &granted["access_token"];
    assert_eq!(world.opens(token).await, StatusCode::OK);
    let session = world.node.client(token.as_str().unwrap());
    session
        .post("/v1/users", &json!({ "username": "x" }))
        .await
        .problem(403, "permission_denied");
    let admin = world.node.admin();
    let members = [("token", token.as_str().unwrap())];
    let told = form(&admin, "/oauth/introspect", &members).await;
    assert_eq!(told.json()["sub"], format!("key:{id}"));
    // By the header as well, and not by both.
    let http = world
        .node
        .nobody()
        .header("authorization", &basic(&id, &key));
    let by_header = form(
        &http,
        "/oauth/token",
        &[("grant_type", "client_credentials")],
    )
    .await;
    assert_eq!(by_header.status, StatusCode::OK);
    let both = [
        ("grant_type", "client_credentials"),
        ("client_id", id.as_str()),
        ("client_secret", key.as_str()),
    ];
    assert_eq!(
        error(&form(&http, "/oauth/token", &both).await, 400),
        "invalid_request"
    );

    let revoked = world
        .node
        .admin()
        .tell(&format!("/v1/api-keys/{id}/revoke"))
        .await;
    assert_eq!(revoked.status, StatusCode::OK);
    world.is_let_go(token).await;
    assert_eq!(error(&world.grant(&id, &key).await, 401), "invalid_client");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_key_gets_nothing() {
    let world = World::start().await;
    let (id, key) = world.key(Some("2100-01-01T00:00:00Z")).await;
    let (other, _) = world.key(None).await;
    let wrong = format!("{}A", &key[..key.len() - 1]);
    for (id, secret) in [
        (other.as_str(), key.as_str()),
        (id.as_str(), wrong.as_str()),
        (id.as_str(), "admin-token"),
        (id.as_str(), ""),
        ("", key.as_str()),
        ("admin", "admin-token"),
        ("console", "x"),
    ] {
        if wrong == key {
            continue;
        }
        let refused = world.grant(id, secret).await;
        assert_eq!(error(&refused, 401), "invalid_client", "{id}");
        assert!(refused.header("www-authenticate").starts_with("Basic"));
    }
    for header in ["Bearer admin-token", "Basic ???", "Basic", "Basic QQ=="] {
        let http = world.node.nobody().header("authorization", header);
        let refused = form(
            &http,
            "/oauth/token",
            &[("grant_type", "client_credentials")],
        )
        .await;
        assert_eq!(error(&refused, 401), "invalid_client", "{header}");
    }
    // Clients of users have no secret.
    let http = world
        .node
        .nobody()
        .header("authorization", &basic(&id, &key));
    let members = [("grant_type", "refresh_token"), ("refresh_token", "a")];
    assert_eq!(
        error(&form(&http, "/oauth/token", &members).await, 401),
        "invalid_client"
    );
    // The token of one is no longer good than the key.
    let soon = selvedge_protocol::time::format(now_ms() + 60_000);
    let (id, key) = world.key(Some(&soon)).await;
    let granted = world.grant(&id, &key).await.json();
    assert!(granted["expires_in"].as_u64().unwrap() <= 60, "{granted}");
    world.node.stop().await;
}

fn now_ms() -> u64 {
    Clock::system().wall_ms()
}
