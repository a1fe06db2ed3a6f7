//! Claims to the edge: times, audiences, tenants, roles.

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{TOKEN_AUDIENCES_MAX, TOKEN_ROLES_MAX, TOKEN_SKEW_MS};
use serde_json::{Value, json};

use crate::identity::jwt::claims::{RolesRule, Rules, TenantRule};
use crate::identity::jwt::tests::{AUDIENCE, NOW_S, good, rules, with};
use crate::identity::jwt::{ClaimPath, Claims, Fault, Refused};

const SKEW_S: u64 = TOKEN_SKEW_MS / 1_000;

fn check_at(rules: &Rules, claims: &Value, now_ms: u64) -> Result<Claims, Refused> {
    rules.check(claims.as_object().unwrap(), now_ms)
}

fn check(claims: &Value) -> Result<Claims, Refused> {
    check_at(&rules(), claims, NOW_S * 1_000)
}

fn name(text: &str) -> ClaimPath {
    ClaimPath::Name(text.to_owned())
}

#[test]
fn a_token_is_taken_from_its_time_to_its_end_and_a_minute_about() {
    let claims = json!({
        "iss": super::ISSUER, "aud": AUDIENCE, "sub": "a",
        "nbf": NOW_S, "iat": NOW_S, "exp": NOW_S + 600,
    });
    let begin_ms = (NOW_S - SKEW_S) * 1_000;
    let end_ms = (NOW_S + 600 + SKEW_S) * 1_000;
    for (now_ms, refused) in [
        (0, Some(Refused::NotYetValid)),
        (begin_ms - 1, Some(Refused::NotYetValid)),
        (begin_ms, None),
        (end_ms - 1, None),
        (end_ms, Some(Refused::Expired)),
        (u64::MAX, Some(Refused::Expired)),
    ] {
        assert_eq!(
            check_at(&rules(), &claims, now_ms).err(),
            refused,
            "{now_ms}"
        );
    }
}

#[test]
fn each_time_is_checked_by_itself() {
    for claim in ["nbf", "iat"] {
        assert!(check(&with(claim, json!(null))).is_ok(), "{claim}");
        assert!(
            check(&with(claim, json!(NOW_S + SKEW_S))).is_ok(),
            "{claim}"
        );
        let early = check(&with(claim, json!(NOW_S + SKEW_S + 1)));
        assert_eq!(early.unwrap_err(), Refused::NotYetValid, "{claim}");
    }
    let missing = check(&with("exp", json!(null)));
    assert_eq!(missing.unwrap_err(), Refused::Invalid(Fault::Claim("exp")));
    // Seconds may have a fraction.
    let claims = check(&with("exp", json!(2_000_000_000.25))).unwrap();
    assert_eq!(claims.expires_ms, 2_000_000_000_250);
}

#[test]
fn what_is_no_time_is_refused() {
    for claim in ["exp", "nbf", "iat"] {
        for value in [
            json!("2000000000"),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!(u64::MAX),
            // Milliseconds: a token for 60,000 years.
            json!(NOW_S * 1_000),
            json!([NOW_S]),
            json!({}),
            json!(true),
        ] {
            let refused = check(&with(claim, value.clone())).unwrap_err();
            assert_eq!(
                refused,
                Refused::Invalid(Fault::Claim(claim)),
                "{claim} {value}"
            );
        }
        let mut claims = good();
        claims[claim] = Value::Null;
        assert_eq!(
            check(&claims).unwrap_err(),
            Refused::Invalid(Fault::Claim(claim))
        );
    }
}

#[test]
fn a_token_is_for_this_service_or_refused() {
    let with_audience = |value: Value| check(&with("aud", value)).map(|_| ());
    assert!(with_audience(json!([AUDIENCE])).is_ok());
    assert!(with_audience(json!(["other", AUDIENCE])).is_ok());
    for value in [
        json!("other"),
        json!(["other"]),
        json!([]),
        json!("selvedge "),
        json!("Selvedge"),
    ] {
        assert_eq!(with_audience(value), Err(Refused::WrongAudience));
    }
    let mut many = vec!["other"; TOKEN_AUDIENCES_MAX - 1];
    many.push(AUDIENCE);
    assert!(with_audience(json!(many)).is_ok());
    many.push(AUDIENCE);
    for value in [
        json!(many),
        json!(null),
        json!({ AUDIENCE: 1 }),
        json!([AUDIENCE, 1]),
        json!(1),
    ] {
        assert_eq!(
            with_audience(value),
            Err(Refused::Invalid(Fault::Claim("aud")))
        );
    }
}

#[test]
fn a_subject_has_a_name_that_can_be_shown() {
    for claim in ["sub", "jti"] {
        let long = "x".repeat(256);
        for value in [
            json!(""),
            json!(long),
            json!("a\nb"),
            json!("a\u{1b}[2J"),
            json!(7),
        ] {
            let refused = check(&with(claim, value)).unwrap_err();
            assert_eq!(refused, Refused::Invalid(Fault::Claim(claim)));
        }
    }
    let missing = check(&with("sub", json!(null))).unwrap_err();
    assert_eq!(missing, Refused::Invalid(Fault::Claim("sub")));
    assert_eq!(check(&good()).unwrap().token_id, None);
    let claims = check(&with("jti", json!("j-1"))).unwrap();
    assert_eq!(claims.token_id.as_deref(), Some("j-1"));
}

#[test]
fn the_tenant_comes_from_where_it_is_said_to() {
    let tenant = |rule: TenantRule, claims: &Value| {
        let rules = Rules {
            tenant: rule,
            ..rules()
        };
        check_at(&rules, claims, NOW_S * 1_000).map(|claims| claims.tenant)
    };
    let acme = Tenant::new("acme").unwrap();
    let claims = with("org", json!("acme"));
    assert_eq!(tenant(TenantRule::Unsaid, &claims), Ok(None));
    assert_eq!(
        tenant(TenantRule::Fixed(acme.clone()), &good()),
        Ok(Some(acme.clone()))
    );
    assert_eq!(
        tenant(TenantRule::Claim(name("org")), &claims),
        Ok(Some(acme.clone()))
    );
    let path = ClaimPath::Names(vec!["app".to_owned(), "org".to_owned()]);
    let nested = with("app", json!({ "org": "acme" }));
    assert_eq!(
        tenant(TenantRule::Claim(path.clone()), &nested),
        Ok(Some(acme))
    );
    // Never some other tenant instead.
    let wrong = Err(Refused::Invalid(Fault::Claim("of the tenant")));
    for value in [
        json!(null),
        json!(""),
        json!("A b"),
        json!(["acme"]),
        json!(7),
    ] {
        assert_eq!(
            tenant(TenantRule::Claim(name("org")), &with("org", value)),
            wrong
        );
    }
    assert_eq!(
        tenant(TenantRule::Claim(path), &with("app", json!("acme"))),
        wrong
    );
}

#[test]
fn roles_are_what_they_are_mapped_to_and_nothing_else() {
    let ours = [
        ("ops", "operator"),
        ("staff", "viewer"),
        ("boss", "operator"),
    ];
    let ours = ours.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned()));
    let rules = Rules {
        roles: Some(RolesRule {
            claim: name("roles"),
            ours: ours.into(),
        }),
        ..rules()
    };
    let roles = |value: Value| {
        let checked = check_at(&rules, &with("roles", value), NOW_S * 1_000);
        checked.map(|claims| claims.roles)
    };
    let both = vec!["operator".to_owned(), "viewer".to_owned()];
    assert_eq!(
        roles(json!(["staff", "ops", "boss", "admin"])),
        Ok(both.clone())
    );
    assert_eq!(roles(json!("ops staff  admin")), Ok(both));
    for value in [
        json!(null),
        json!([]),
        json!(""),
        json!(["admin", "operator", "Ops"]),
    ] {
        assert_eq!(roles(value), Ok(Vec::new()));
    }
    let many = vec!["ops"; TOKEN_ROLES_MAX];
    assert_eq!(roles(json!(many)).unwrap().len(), 1);
    let wrong = Err(Refused::Invalid(Fault::Claim("of the roles")));
    for value in [
        json!(vec!["ops"; TOKEN_ROLES_MAX + 1]),
        json!("ops ".repeat(TOKEN_ROLES_MAX + 1)),
        json!(["ops", 1]),
        json!({ "ops": true }),
        json!(7),
    ] {
        assert_eq!(roles(value), wrong);
    }
    // Without a rule, what a token says of roles is nothing.
    assert!(
        check(&with("roles", json!(["admin"])))
            .unwrap()
            .roles
            .is_empty()
    );
}
