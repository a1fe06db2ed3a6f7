//! Codes and what comes of them.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_exchanged_for_a_login_that_goes_on() {
    let world = World::start().await;
    let asked = [("scope", "openid profile admin"), ("nonce", "n-1")];
    let sent = world.sent(&asked).await;
    assert!(
        sent.starts_with(&format!("{APP}&code=selvc_default.")),
        "{sent}"
    );
    assert_eq!(of_query(&sent, "state").as_deref(), Some("s&t"));
    let code = of_query(&sent, "code").unwrap();
    let answer = world.exchange(&code, &[]).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let tokens = answer.json();
    assert_eq!(answer.status, StatusCode::OK, "{tokens}");
    // What was given, which is not what was asked for.
    assert_eq!(tokens["scope"], "openid viewer");
    assert_eq!(world.opens(&tokens["access_token"]).await, StatusCode::OK);
    let access = claims(&tokens["access_token"]);
    assert_eq!(
        (&access["aud"], &access["client_id"]),
        (&json!(ISSUER), &json!("app"))
    );

    let id = claims(&tokens["id_token"]);
    assert_eq!((&id["iss"], &id["aud"]), (&json!(ISSUER), &json!("app")));
    assert_eq!((&id["nonce"], &id["sub"]), (&json!("n-1"), &access["sub"]));
    assert_eq!(id["sid"], access["sid"]);
    assert!(id["auth_time"].as_u64().unwrap() <= id["iat"].as_u64().unwrap());
    // It says who somebody is, and lets nobody in.
    assert_eq!(
        world.opens(&tokens["id_token"]).await,
        StatusCode::UNAUTHORIZED
    );

    assert_eq!(
        error(&world.refresh(&tokens, "tool").await, 400),
        "invalid_grant"
    );
    assert_eq!(
        error(&world.refresh(&tokens, "first-party").await, 400),
        "invalid_grant"
    );
    let next = world.refresh(&tokens, "app").await.json();
    assert_eq!(world.opens(&next["access_token"]).await, StatusCode::OK);
    let logins = world.node.admin().get("/v1/users/ann/logins").await.json();
    assert_eq!(logins["items"][0]["client"], "app");
    // Without `openid` nobody is told who the user is.
    let code = world.code(&[]).await;
    let plain = world.exchange(&code, &[]).await.json();
    assert_eq!(
        (&plain["id_token"], &plain["scope"]),
        (&Value::Null, &json!("viewer"))
    );
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_without_its_verifier_is_good_for_nothing() {
    let world = World::start().await;
    let code = world.code(&[]).await;
    let other = "a".repeat(43);
    for (others, told) in [
        ([("code_verifier", "")], "invalid_request"),
        // As if the challenge had been its own verifier.
        ([("code_verifier", CHALLENGE)], "invalid_grant"),
        ([("code_verifier", other.as_str())], "invalid_grant"),
        ([("code_verifier", "short")], "invalid_grant"),
        ([("client_id", "tool")], "invalid_grant"),
        ([("client_id", "console")], "invalid_grant"),
        ([("client_id", "none")], "invalid_client"),
        ([("client_id", "")], "invalid_request"),
        ([("redirect_uri", "")], "invalid_request"),
        // The client's as well, and not where the code was sent.
        (
            [("redirect_uri", "https://app.example/other")],
            "invalid_grant",
        ),
        (
            [("redirect_uri", "https://app.example/back?from=us&")],
            "invalid_grant",
        ),
        ([("code", "")], "invalid_request"),
        ([("code", "selvc_default.AAAA")], "invalid_grant"),
        ([("grant_type", "password")], "unsupported_grant_type"),
    ] {
        let refused = world.exchange(&code, &others).await;
        assert_eq!(error(&refused, 400), told, "{others:?}");
    }
    // Nor is it a refresh token.
    let passed_off = json!({ "refresh_token": code.replace("selvc_", "selvr_") });
    assert_eq!(
        error(&world.refresh(&passed_off, "app").await, 400),
        "invalid_grant"
    );
    // Who fails has not used it up.
    assert_eq!(world.exchange(&code, &[]).await.status, StatusCode::OK);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_shown_again_ends_what_came_of_it() {
    let world = World::start().await;
    let code = world.code(&[]).await;
    let tokens = world.exchange(&code, &[]).await.json();
    let other = world.exchange(&world.code(&[]).await, &[]).await.json();
    let next = world.refresh(&tokens, "app").await.json();
    for token in [&tokens, &next] {
        assert_eq!(world.opens(&token["access_token"]).await, StatusCode::OK);
    }
    // Somebody who has stolen it and is of another client changes nothing.
    let foreign = world.exchange(&code, &[("client_id", "tool")]).await;
    assert_eq!(error(&foreign, 400), "invalid_grant");
    assert_eq!(world.opens(&next["access_token"]).await, StatusCode::OK);
    assert_eq!(
        error(&world.exchange(&code, &[]).await, 400),
        "invalid_grant"
    );
    for token in [&tokens, &next] {
        world.is_let_go(&token["access_token"]).await;
    }
    assert_eq!(
        error(&world.refresh(&next, "app").await, 400),
        "invalid_grant"
    );
    assert_eq!(world.opens(&other["access_token"]).await, StatusCode::OK);
    let logins = world.node.admin().get("/v1/users/ann/logins").await.json();
    let reasons: Vec<_> = logins["items"].as_array().unwrap().iter().collect();
    assert!(
        reasons.iter().any(|it| it["reason"] == "code-reused"),
        "{logins}"
    );
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_exchange_one_code_at_once_have_one_login_or_none() {
    let world = World::start().await;
    for _ in 0..4 {
        let code = world.code(&[]).await;
        let both = (0..4).map(|_| world.exchange(&code, &[]));
        let answers = futures::future::join_all(both).await;
        let good: Vec<_> = answers
            .iter()
            .filter(|it| it.status == StatusCode::OK)
            .collect();
        assert_eq!(good.len(), 1);
        // The others have shown it again.
        world.is_let_go(&good[0].json()["access_token"]).await;
    }
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_is_revoked_alone() {
    let world = World::start().await;
    let first = world.exchange(&world.code(&[]).await, &[]).await.json();
    let second = world.refresh(&first, "app").await.json();
    let nobody = world.node.nobody();
    let revoke = |token: &str| {
        let members = [("token".to_owned(), token.to_owned())];
        let nobody = nobody.clone();
        async move {
            let [(name, value)] = &members;
            form(&nobody, "/oauth/revoke", &[(name, value)]).await
        }
    };
    assert_eq!(world.opens(&first["access_token"]).await, StatusCode::OK);
    let access = first["access_token"].as_str().unwrap();
    // Changed by one bit it is nobody's, and ends nothing.
    let (signed, _) = access.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(86));
    assert_eq!(revoke(&forged).await.status, StatusCode::OK);
    assert_eq!(world.opens(&first["access_token"]).await, StatusCode::OK);
    for _ in 0..2 {
        assert_eq!(revoke(access).await.status, StatusCode::OK);
        world.is_let_go(&first["access_token"]).await;
    }
    // The login and its other tokens go on.
    assert_eq!(world.opens(&second["access_token"]).await, StatusCode::OK);
    let third = world.refresh(&second, "app").await.json();
    assert_eq!(world.opens(&third["access_token"]).await, StatusCode::OK);
    let audited = text(&world.node.admin().get("/v1/audit?limit=100").await);
    assert_eq!(audited.matches("\"token.revoke\"").count(), 1, "{audited}");
    // With its refresh token the login ends, and all that came of it.
    let refresh = third["refresh_token"].as_str().unwrap();
    assert_eq!(revoke(refresh).await.status, StatusCode::OK);
    world.is_let_go(&third["access_token"]).await;
    let key = format!("selv_default.{}.{}", "0".repeat(32), "A".repeat(43));
    assert_eq!(error(&revoke(&key).await, 400), "unsupported_token_type");
    assert_eq!(revoke("none").await.status, StatusCode::OK);
    world.node.stop().await;
}
