//! The page: what it shows and to whom, where it sends users, and from where it takes passwords.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_framed_by_nobody_and_runs_nothing() {
    let world = World::start().await;
    let page = world.page(&[("tenant", "default")]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("x-frame-options"), "DENY");
    // With `no-referrer` a browser would say `Origin: null` of the form, which is anybody's.
    assert_eq!(page.header("referrer-policy"), "same-origin");
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "form-action 'self' https://app.example;",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    let html = text(&page);
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("style="));
    assert!(html.contains("The app &amp; co") && html.contains("<strong>default</strong>"));
    // What comes of it has no referrer at all.
    let answer = world
        .filled(&[], &[("username", "ann"), ("password", GOOD)])
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cache-control"), "no-store");
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "a table of places")]
async fn nobody_is_sent_to_a_place_that_is_not_the_client_s() {
    let world = World::start().await;
    let own = format!("{}/", world.origin());
    let elsewhere = format!("{}/other", world.origin());
    for others in [
        [("client_id", ""), ("x", "")],
        [("client_id", "none"), ("x", "")],
        [("redirect_uri", ""), ("x", "")],
        [("redirect_uri", "https://app.example/back"), ("x", "")],
        [
            ("redirect_uri", "https://app.example/back?from=us&x"),
            ("x", ""),
        ],
        [
            ("redirect_uri", "https://app.example.evil/back?from=us"),
            ("x", ""),
        ],
        [
            (
                "redirect_uri",
                "https://app.example@evil.example/back?from=us",
            ),
            ("x", ""),
        ],
        [
            ("redirect_uri", "https://app.example/../back?from=us"),
            ("x", ""),
        ],
        [
            ("redirect_uri", "https://APP.example/back?from=us"),
            ("x", ""),
        ],
        [
            ("redirect_uri", "https://app.example/%62ack?from=us"),
            ("x", ""),
        ],
        [
            ("redirect_uri", "https://app.example/back?from=us#a"),
            ("x", ""),
        ],
        [
            ("redirect_uri", "https://app.example:8443/back?from=us"),
            ("x", ""),
        ],
        [
            ("redirect_uri", "https://app.example/back?from=us\r\nX: y"),
            ("x", ""),
        ],
        [("redirect_uri", own.as_str()), ("x", "")],
        [("client_id", "console"), ("redirect_uri", APP)],
        [
            ("client_id", "console"),
            ("redirect_uri", elsewhere.as_str()),
        ],
        [
            ("client_id", "console"),
            ("redirect_uri", "http://evil.example/"),
        ],
        [
            ("client_id", "tool"),
            ("redirect_uri", "http://localhost/cb"),
        ],
        [
            ("client_id", "<script>"),
            ("redirect_uri", "<script>alert(1)</script>"),
        ],
    ] {
        let page = world.page(&others).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{others:?}");
        assert_eq!(page.header("location"), "", "{others:?}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(
            page.header("content-security-policy")
                .contains("form-action 'none'")
        );
        assert!(!text(&page).contains("<script"));
    }
    for (client, uri) in [
        ("console", own.as_str()),
        ("tool", "http://127.0.0.1:50123/cb"),
        ("app", "https://app.example/other"),
    ] {
        let others = [("client_id", client), ("redirect_uri", uri)];
        let sent = world.sent(&others).await;
        assert!(
            sent.starts_with(&format!("{uri}?code=selvc_default.")),
            "{sent}"
        );
    }
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_else_is_wrong_the_client_is_told_with_who_says_so() {
    let world = World::start().await;
    for (others, error) in [
        (
            [("code_challenge", ""), ("code_challenge_method", "")],
            "invalid_request",
        ),
        (
            [("code_challenge_method", ""), ("x", "")],
            "invalid_request",
        ),
        (
            [("code_challenge_method", "plain"), ("x", "")],
            "invalid_request",
        ),
        ([("code_challenge", "short"), ("x", "")], "invalid_request"),
        (
            [("response_type", "token"), ("x", "")],
            "unsupported_response_type",
        ),
        ([("prompt", "none"), ("x", "")], "login_required"),
    ] {
        let answer = world.page(&others).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{others:?}");
        let location = answer.header("location");
        assert!(location.starts_with(&format!("{APP}&error=")), "{location}");
        assert_eq!(of_query(location, "error").as_deref(), Some(error));
        assert_eq!(of_query(location, "state").as_deref(), Some("s&t"));
        assert_eq!(of_query(location, "iss").as_deref(), Some(ISSUER));
    }
    let twice = format!("/oauth/authorize?{}&state=again", query(&[]));
    let answer = world.node.nobody().get(&twice).await;
    let error = of_query(answer.header("location"), "error");
    assert_eq!(error.as_deref(), Some("invalid_request"));
    // So is the answer that is a success, by which a client tells one issuer from another.
    let sent = world.sent(&[("state", "")]).await;
    assert_eq!(of_query(&sent, "iss").as_deref(), Some(ISSUER));
    assert_eq!(of_query(&sent, "state"), None);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_taken_from_the_page_alone() {
    let world = World::start().await;
    let page = carried(&world.page(&[]).await);
    let mut members = request(&[]);
    members.extend([("username", "ann"), ("password", GOOD)]);
    let carrying = |page| {
        let mut members = members.clone();
        members.push(("page", page));
        members
    };
    let whole = carrying(&page);
    let bare = world.node.nobody();
    let own = world.origin();
    // Of another site, or of one that hides where it is from.
    for origin in ["https://evil.example", "https://app.example", "null"] {
        let http = world.browser().header("origin", origin);
        let refused = form(&http, "/oauth/authorize", &whole).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin}");
    }
    for site in ["cross-site", "same-site", "none", ""] {
        let http = bare.header("origin", &own).header("sec-fetch-site", site);
        let refused = form(&http, "/oauth/authorize", &whole).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{site}");
        assert_eq!(refused.header("location"), "");
    }
    // Another's page, for another request, or none.
    let other = carried(&world.page(&[("state", "other")]).await);
    for page in ["", "AAAA", other.as_str()] {
        let refused = form(&world.browser(), "/oauth/authorize", &carrying(page)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{page}");
        assert_eq!(refused.header("location"), "");
    }
    let changed: Vec<_> = whole
        .iter()
        .map(|(name, value)| match *name {
            "code_challenge" => (*name, VERIFIER),
            _ => (*name, *value),
        })
        .collect();
    let refused = form(&world.browser(), "/oauth/authorize", &changed).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let taken = form(&world.browser(), "/oauth/authorize", &whole).await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_at_the_page_is_slowed_down_as_elsewhere() {
    let world = World::at(Clock::manual(1_900_000_000_000, 1)).await;
    let evil = "\"><script>alert(1)</script>";
    let wrong = world
        .filled(&[], &[("username", evil), ("password", "wrong")])
        .await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    let html = text(&wrong);
    assert!(
        html.contains("role=\"alert\"") && !html.contains("<script>"),
        "{html}"
    );
    assert!(html.contains("value=\"&quot;&gt;&lt;script&gt;"), "{html}");
    // It can be tried again from there.
    assert!(!carried(&wrong).is_empty());
    let mut last = wrong;
    for _ in 0..6 {
        last = world
            .filled(&[], &[("username", "ann"), ("password", "wrong")])
            .await;
        assert_eq!(last.header("location"), "");
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.header("retry-after").parse::<u32>().unwrap() >= 1);
    assert!(text(&last).contains("role=\"alert\""));
    // Nor is the right one looked at meanwhile.
    let right = world
        .filled(&[], &[("username", "ann"), ("password", GOOD)])
        .await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS);
    let counted = text(&world.node.nobody().get("/metrics").await);
    for outcome in ["ok", "wrong", "throttled"] {
        let metric = format!("selvedge_logins_total{{outcome=\"{outcome}\"}}");
        assert!(outcome == "ok" || counted.contains(&metric), "{counted}");
    }
    world.node.stop().await;
}
