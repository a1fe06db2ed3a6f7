//! What the node says of itself to clients, held to what it does; and the pages of clients.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_answers() {
    let world = World::start().await;
    let nobody = world.node.nobody();
    let found = nobody.get("/.well-known/openid-configuration").await;
    let document = found.json();
    let other = nobody.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(other.json(), document);
    assert_eq!(document["issuer"], ISSUER);
    let origin = world.origin();
    let at = |name: &str| {
        let url = document[name].as_str().unwrap();
        let path = url
            .strip_prefix(&origin)
            .unwrap_or_else(|| panic!("{name} is {url}"));
        path.to_owned()
    };
    let page = nobody
        .get(&format!("{}?{}", at("authorization_endpoint"), query(&[])))
        .await;
    assert_eq!(page.status, StatusCode::OK);
    for grant in document["grant_types_supported"].as_array().unwrap() {
        let members = [("grant_type", grant.as_str().unwrap())];
        let refused = form(&nobody, &at("token_endpoint"), &members).await.json();
        assert_ne!(refused["error"], "unsupported_grant_type");
    }
    let revoked = form(&nobody, &at("revocation_endpoint"), &[("token", "a")]).await;
    assert_eq!(revoked.status, StatusCode::OK);
    let told = form(
        &world.node.admin(),
        &at("introspection_endpoint"),
        &[("token", "a")],
    )
    .await;
    assert_eq!(told.json(), json!({ "active": false }));
    assert_eq!(
        nobody.get(&at("service_documentation")).await.status,
        StatusCode::OK
    );
    // The key that has signed an id token is among those that are published.
    let code = world.code(&[("scope", "openid")]).await;
    let tokens = world.exchange(&code, &[]).await.json();
    let head = tokens["id_token"]
        .as_str()
        .unwrap()
        .split('.')
        .next()
        .unwrap();
    let head: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    let algorithms = document["id_token_signing_alg_values_supported"]
        .as_array()
        .unwrap();
    assert!(algorithms.contains(&head["alg"]));
    let keys = nobody.get(&at("jwks_uri")).await.json();
    let mut ids = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["kid"]);
    assert!(ids.any(|id| *id == head["kid"]), "{keys}");
    for claim in document["claims_supported"].as_array().unwrap() {
        let name = claim.as_str().unwrap();
        let claims = claims(&tokens["id_token"]);
        assert!(name == "nonce" || !claims[name].is_null(), "{name}");
    }
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_configured_is_said() {
    let configure = |config: &mut BridgeConfig| {
        config.public_url = Some("https://public.example".to_owned());
    };
    let node = Node::of_users(Clock::system(), config(), configure).await;
    let found = node
        .nobody()
        .get("/.well-known/openid-configuration")
        .await
        .json();
    assert_eq!(
        found["token_endpoint"],
        "https://public.example/oauth/token"
    );
    let page = |uri: &str| {
        let others = [("client_id", "console"), ("redirect_uri", uri)];
        let path = format!("/oauth/authorize?{}", query(&others));
        let nobody = node.nobody();
        async move { nobody.get(&path).await.status }
    };
    assert_eq!(page("https://public.example/").await, StatusCode::OK);
    let direct = format!("http://{}/", node.address);
    assert_eq!(page(&direct).await, StatusCode::BAD_REQUEST);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_clients_have_their_tokens_and_nothing_else() {
    let world = World::start().await;
    let of_app = world.node.nobody().header("origin", "https://app.example");
    let members = [("grant_type", "refresh_token"), ("refresh_token", "a")];
    let answer = form(&of_app, "/oauth/token", &members).await;
    assert_eq!(error(&answer, 400), "invalid_grant");
    let allowed = "access-control-allow-origin";
    assert_eq!(answer.header(allowed), "https://app.example");
    let found = of_app.get("/.well-known/openid-configuration").await;
    assert_eq!(found.header(allowed), "https://app.example");
    for path in ["/v1/users", "/oauth/introspect", "/oauth/authorize", "/"] {
        let refused = of_app.get(path).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(refused.header(allowed), "", "{path}");
    }
    let stranger = world.node.nobody().header("origin", "https://evil.example");
    let refused = form(&stranger, "/oauth/token", &members).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    world.node.stop().await;
}
