//! Logins on a store of the test's own, judged by what the verifier of tokens makes of what is given.

use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::bulletin::{Follower, News};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::{Order, Store, record};
use selvedge_protocol::limits::{
    ACCESS_TOKEN_MS, ACCESS_TOKEN_MS_MAX, LOGIN_IDLE_MS_MAX, REFRESH_REPEAT_MS, SIGNING_KEY_MS,
    TOKEN_FAMILIES_USER_MAX, TOKEN_SKEW_MS,
};

use super::*;
use crate::identity::directory::{NewUser, UserAt, UserChange, UserState};
use crate::identity::jwt::{Issuers, OwnIssuer, Refused};
use crate::identity::{Authenticator, DevelopmentToken, Principal, Role, Secret, Tokens};
use crate::notice::Notice;

const ISSUER: &str = "selvedge:test";
const GOOD: &str = "vier Pferde kauen Heu";

struct World {
    logins: Logins,
    directory: Directory,
    issuers: Issuers,
    clock: Clock,
    store: Arc<dyn Store>,
    _files: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(EmbeddedConfig::new(files.path().join("store"))).unwrap());
        let clock = Clock::manual(1_900_000_000_000, 1);
        let directory =
            Directory::new(Arc::clone(&store), clock.clone(), &SessionKey::new([7; 32]));
        let own = OwnIssuer {
            name: ISSUER.to_owned(),
            directory: directory.clone(),
        };
        Self {
            logins: Logins::new(directory.clone(), &[1; 32], ISSUER.to_owned()),
            issuers: Issuers::new(Vec::new(), Some(own), &clock),
            directory,
            clock,
            store,
            _files: files,
        }
    }

    async fn user(&self, name: &str) -> User {
        let password = self.directory.keep(password(GOOD), &[name]).await.unwrap();
        let new = NewUser {
            username: Username::new(name).unwrap(),
            email: None,
            roles: vec!["viewer".to_owned()],
            password: Some(password),
        };
        self.directory.create_user(&admin(), new).await.unwrap()
    }

    async fn log_in(&self, name: &str, text: &str) -> Result<Grant, Failure> {
        self.logins.log_in(login(name, text)).await
    }

    async fn refresh(&self, grant: &Grant) -> Result<Grant, NotRefreshed> {
        self.logins.refresh(grant.refresh.reveal(), &client()).await
    }

    async fn change(&self, user: &User, change: UserChange) {
        let at = UserAt {
            id: user.id,
            version: None,
        };
        self.directory
            .change_user(&admin(), at, change)
            .await
            .unwrap();
    }

    async fn audited(&self) -> Vec<String> {
        let mut transaction = self.store.begin();
        let chain = (&acme()).into();
        let page = audit::page(&mut *transaction, &chain, None, Order::Ascending, 200).await;
        let told = page.unwrap().into_iter().map(|it| {
            let outcome = match it.entry.outcome {
                Outcome::Done => String::new(),
                Outcome::Refused { code } => format!(" {code}"),
            };
            assert!(!it.entry.detail.contains("selvr_") && !it.entry.detail.contains(GOOD));
            format!("{} {}{outcome}", it.entry.principal, it.entry.action)
        });
        told.collect()
    }
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

fn admin() -> Principal {
    Principal::new("admin", acme(), [Role::ADMIN])
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn client() -> ClientName {
    ClientName::new("cli").unwrap()
}

fn login(name: &str, text: &str) -> Login {
    Login {
        tenant: acme(),
        username: name.to_owned(),
        password: password(text),
        client: client(),
        address: IpAddr::from([192, 0, 2, 1]),
    }
}

#[tokio::test]
async fn who_has_the_password_gets_a_token_that_says_so() {
    let world = World::new();
    let ann = world.user("ann").await;
    let grant = world.log_in("ANN", GOOD).await.unwrap();
    let now_ms = world.clock.wall_ms();
    let claims = world
        .issuers
        .verify(grant.access.reveal(), now_ms)
        .await
        .unwrap();
    assert_eq!(
        (&*claims.issuer, &*claims.subject),
        (ISSUER, &*ann.id.to_string())
    );
    assert_eq!(claims.tenant, Some(acme()));
    assert_eq!(claims.login, Some(grant.login.to_string()));
    assert!(claims.token_id.is_some());
    assert_eq!(
        claims.expires_ms / 1_000 * 1_000,
        (now_ms + ACCESS_TOKEN_MS) / 1_000 * 1_000
    );
    // Its end is its end.
    let late_ms = now_ms + ACCESS_TOKEN_MS + TOKEN_SKEW_MS;
    let late = world.issuers.verify(grant.access.reveal(), late_ms).await;
    assert_eq!(late, Err(Refused::Expired));
    assert!(!format!("{grant:?}").contains(&grant.refresh.reveal()[10..40]));
    let logged_in = format!("{} user.login", ann.principal());
    assert_eq!(world.audited().await, ["admin user.create", &*logged_in]);
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_and_the_work_are_the_same() {
    let world = World::new();
    let ann = world.user("ann").await;
    let bob = world.user("bob").await;
    let state = Some(UserState::Disabled);
    world
        .change(
            &bob,
            UserChange {
                state,
                ..UserChange::default()
            },
        )
        .await;
    let nobody = NewUser {
        username: Username::new("carl").unwrap(),
        email: None,
        roles: Vec::new(),
        password: None,
    };
    world.directory.create_user(&admin(), nobody).await.unwrap();
    let mut answers = Vec::new();
    for (name, text) in [
        ("ann", "wrong"),
        ("nobody", GOOD),
        ("bob", GOOD),
        ("carl", GOOD),
        ("no name at all\n", GOOD),
        ("", ""),
    ] {
        let before = world.directory.passwords().counted();
        answers.push(world.log_in(name, text).await.unwrap_err());
        assert_eq!(
            world.directory.passwords().counted() - before,
            1,
            "{name:?}"
        );
    }
    assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
    assert_eq!(answers[0].code, ErrorCode::Unauthenticated);
    // A user of another tenant is nobody here.
    let tenant = Tenant::default_tenant();
    let elsewhere = world
        .logins
        .log_in(Login {
            tenant,
            ..login("ann", GOOD)
        })
        .await;
    assert_eq!(elsewhere.unwrap_err(), answers[0]);
    assert_eq!(
        world.directory.user(&acme(), ann.id).await.unwrap(),
        Some(ann)
    );
}

#[tokio::test]
async fn refused_logins_of_users_are_audited_without_what_was_typed() {
    let world = World::new();
    let ann = world.user("ann").await;
    world
        .log_in("ann", "hunter2 hunter2 hunter2")
        .await
        .unwrap_err();
    world.log_in("hunter2 hunter2", GOOD).await.unwrap_err();
    let told = async {
        loop {
            let told = world.audited().await;
            if told.len() == 2 {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(10), told)
        .await
        .unwrap();
    let refused = format!("{} user.login unauthenticated", ann.principal());
    assert_eq!(told[1], refused);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_user_at_home_is_not() {
    let world = World::new();
    world.user("ann").await;
    world.log_in("ann", GOOD).await.unwrap();
    let from = |last: u8| Login {
        address: IpAddr::from([10, 0, last, 1]),
        ..login("ann", "wrong")
    };
    let mut refused = None;
    for place in 0..6 {
        for _ in 0..5 {
            let failure = world.logins.log_in(from(place)).await.unwrap_err();
            if failure.code == ErrorCode::LimitExceeded {
                refused = Some(failure);
            }
        }
    }
    let refused = refused.expect("guesses are slowed down");
    assert!(refused.retry_after_ms.is_some_and(|ms| ms >= 1_000));
    let before = world.directory.passwords().counted();
    world.logins.log_in(from(9)).await.unwrap_err();
    assert_eq!(
        world.directory.passwords().counted(),
        before,
        "who waits costs nothing"
    );
    world.log_in("ann", GOOD).await.unwrap();
}

#[tokio::test]
async fn a_login_goes_on_until_an_old_token_is_shown() {
    let world = World::new();
    let ann = world.user("ann").await;
    let begun = world.log_in("ann", GOOD).await.unwrap();
    let mut follower = Follower::begin(Arc::clone(&world.store), world.clock.clone())
        .await
        .unwrap();
    let second = world.refresh(&begun).await.unwrap();
    assert_eq!(second.login, begun.login);
    // The answer was lost, and is given again.
    let again = world.refresh(&begun).await.unwrap();
    assert_eq!(again.refresh.reveal(), second.refresh.reveal());
    let third = world.refresh(&second).await.unwrap();
    world
        .clock
        .advance(Duration::from_millis(REFRESH_REPEAT_MS + 1));
    // Whoever shows the first one now has stolen it, or was stolen from.
    assert!(matches!(
        world.refresh(&begun).await,
        Err(NotRefreshed::Refused)
    ));
    assert!(matches!(
        world.refresh(&third).await,
        Err(NotRefreshed::Refused)
    ));
    let News::Notices(notices) = follower.next().await else {
        panic!("nothing is heard");
    };
    let id = begun.login.to_string();
    let expected = Notice::TokenFamily { tenant: acme(), id };
    assert_eq!(
        record::decode::<Notice>(b"", &notices[0]).unwrap(),
        expected
    );
    let ended = format!("{} login.end", ann.principal());
    assert_eq!(*world.audited().await.last().unwrap(), ended);
    // Another login of the same user is another one.
    assert!(world.log_in("ann", GOOD).await.is_ok());
}

#[tokio::test]
async fn a_login_ends_with_what_it_rests_on() {
    let world = World::new();
    let ann = world.user("ann").await;
    let disabled = |state| UserChange {
        state: Some(state),
        ..UserChange::default()
    };

    let grant = world.log_in("ann", GOOD).await.unwrap();
    world.change(&ann, disabled(UserState::Disabled)).await;
    assert!(world.refresh(&grant).await.is_err());
    world.change(&ann, disabled(UserState::Enabled)).await;
    assert!(
        world.refresh(&grant).await.is_err(),
        "it does not come to life again"
    );

    world.clock.advance(Duration::from_secs(1));
    let grant = world.log_in("ann", GOOD).await.unwrap();
    let kept = world
        .directory
        .keep(password("sieben Ziegen fressen Gras"), &["ann"])
        .await
        .unwrap();
    let at = UserAt {
        id: ann.id,
        version: None,
    };
    world
        .directory
        .set_password(&admin(), at.clone(), kept)
        .await
        .unwrap();
    assert!(world.refresh(&grant).await.is_err());
    assert!(world.log_in("ann", GOOD).await.is_err());
    world.clock.advance(Duration::from_secs(1));
}

#[tokio::test]
async fn a_login_ends_by_whoever_may_end_it_and_by_itself() {
    let world = World::new();
    let ann = world.user("ann").await;
    let at = UserAt {
        id: ann.id,
        version: None,
    };
    let again = || world.log_in("ann", GOOD);
    let grant = again().await.unwrap();
    world.logins.log_out(grant.refresh.reveal()).await.unwrap();
    assert!(world.refresh(&grant).await.is_err());

    let grant = again().await.unwrap();
    let ann = world
        .directory
        .user(&acme(), ann.id)
        .await
        .unwrap()
        .unwrap();
    let login = grant.login.to_string();
    world
        .directory
        .end_login(&admin(), &ann, &login)
        .await
        .unwrap();
    assert!(world.refresh(&grant).await.is_err());
    let shown = world.directory.logins(&acme(), &ann).await.unwrap();
    let mut reasons: Vec<_> = shown.iter().filter_map(|login| login.reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["logged-out", "revoked"]);
    let foreign = Principal::new("admin", Tenant::default_tenant(), [Role::ADMIN]);
    assert!(
        world
            .directory
            .end_login(&foreign, &ann, &login)
            .await
            .is_err()
    );

    let grant = again().await.unwrap();
    world
        .clock
        .advance(Duration::from_millis(LOGIN_IDLE_MS_MAX));
    assert!(world.refresh(&grant).await.is_err());

    let grant = again().await.unwrap();
    world.directory.remove_user(&admin(), at).await.unwrap();
    assert!(world.refresh(&grant).await.is_err());
    assert!(again().await.is_err());
}

#[tokio::test]
async fn only_the_client_that_began_goes_on() {
    let world = World::new();
    world.user("ann").await;
    let grant = world.log_in("ann", GOOD).await.unwrap();
    let other = ClientName::new("other").unwrap();
    assert!(
        world
            .logins
            .refresh(grant.refresh.reveal(), &other)
            .await
            .is_err()
    );
    for text in ["", "selvr_", "selvr_acme.AAAA", grant.access.reveal()] {
        assert!(matches!(
            world.logins.refresh(text, &client()).await,
            Err(NotRefreshed::Refused)
        ));
        world.logins.log_out(text).await.unwrap();
    }
    assert!(world.refresh(&grant).await.is_ok());
}

#[tokio::test]
async fn two_that_show_the_same_token_at_once_get_the_same() {
    let world = World::new();
    world.user("ann").await;
    let grant = world.log_in("ann", GOOD).await.unwrap();
    let both = futures::future::join_all((0..8).map(|_| world.refresh(&grant))).await;
    let mut texts: Vec<_> = both
        .into_iter()
        .map(|it| it.unwrap().refresh.reveal().to_owned())
        .collect();
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

#[tokio::test]
async fn logins_of_a_user_are_bounded() {
    let world = World::new();
    world.user("ann").await;
    let mut grants = Vec::new();
    for _ in 0..TOKEN_FAMILIES_USER_MAX + 2 {
        world.clock.advance(Duration::from_millis(1));
        grants.push(world.log_in("ann", GOOD).await.unwrap());
    }
    for (at, grant) in grants.iter().enumerate() {
        assert_eq!(world.refresh(grant).await.is_ok(), at >= 2, "{at}");
    }
}

#[tokio::test]
async fn keys_are_rotated_and_what_they_signed_is_good_to_its_end() {
    let world = World::new();
    world.user("ann").await;
    let old = world.log_in("ann", GOOD).await.unwrap();
    world
        .issuers
        .verify(old.access.reveal(), world.clock.wall_ms())
        .await
        .unwrap();
    // Near its end the next one is made and published.
    world
        .clock
        .advance(Duration::from_millis(SIGNING_KEY_MS - 60 * 60 * 1_000));
    let before = world.log_in("ann", GOOD).await.unwrap();
    let published = world.directory.published_keys().await.unwrap();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    world.clock.advance(Duration::from_millis(60 * 60 * 1_000));
    let after = world.log_in("ann", GOOD).await.unwrap();
    let id = |grant: &Grant| grant.access.reveal().split('.').next().unwrap().to_owned();
    assert_eq!(id(&old), id(&before));
    assert_ne!(id(&before), id(&after));
    // The keys that a node knows are asked for again once a minute; a new one has just begun here.
    let own = OwnIssuer {
        name: ISSUER.to_owned(),
        directory: world.directory.clone(),
    };
    let issuers = Issuers::new(Vec::new(), Some(own), &world.clock);
    let now_ms = world.clock.wall_ms();
    issuers.verify(after.access.reveal(), now_ms).await.unwrap();
    // Rotated out: the key of the first ones goes, and no key id brings it back.
    world.clock.advance(Duration::from_millis(
        ACCESS_TOKEN_MS_MAX + 3 * TOKEN_SKEW_MS,
    ));
    world.log_in("ann", GOOD).await.unwrap();
    let published = world.directory.published_keys().await.unwrap();
    assert_eq!(published["keys"].as_array().unwrap().len(), 1);
    let own = OwnIssuer {
        name: ISSUER.to_owned(),
        directory: world.directory.clone(),
    };
    let issuers = Issuers::new(Vec::new(), Some(own), &world.clock);
    let refused = issuers.verify(before.access.reveal(), now_ms).await;
    assert!(matches!(refused, Err(Refused::Invalid(_))), "{refused:?}");
    assert!(!published.to_string().contains("\"d\""));
}

/// An authenticator of a node that hears of nothing: each look is at the store.
fn tokens(world: &World) -> Tokens {
    let own = DevelopmentToken::new("admin", Secret::new("operator"));
    Tokens::issued_here(own, Vec::new(), &world.logins, world.clock.clone())
}

#[tokio::test]
async fn a_token_is_its_user_with_the_roles_of_this_moment() {
    let world = World::new();
    let ann = world.user("ann").await;
    let grant = world.log_in("ann", GOOD).await.unwrap();
    let token = grant.access.reveal();
    let principal = tokens(&world).authenticate(token, None).await.unwrap();
    assert_eq!(
        (&*principal.name, principal.tenant.as_str()),
        (&*ann.principal(), "acme")
    );
    assert_eq!(principal.roles(), [Role::VIEWER]);
    // Not in another tenant, whatever is asked for.
    let foreign = tokens(&world)
        .authenticate(token, Some(Tenant::default_tenant()))
        .await;
    assert_eq!(foreign.unwrap_err().code, ErrorCode::PermissionDenied);
    let roles = Some(vec!["operator".to_owned()]);
    world
        .change(
            &ann,
            UserChange {
                roles,
                ..UserChange::default()
            },
        )
        .await;
    let principal = tokens(&world).authenticate(token, None).await.unwrap();
    assert_eq!(principal.roles(), [Role::OPERATOR]);
    // What has ended is over before the token is.
    world.logins.log_out(grant.refresh.reveal()).await.unwrap();
    let over = tokens(&world).authenticate(token, None).await.unwrap_err();
    assert_eq!(over.code, ErrorCode::Unauthenticated);
    assert!(tokens(&world).authenticate("operator", None).await.is_ok());
    for wrong in ["", "x", grant.refresh.reveal()] {
        let refused = tokens(&world).authenticate(wrong, None).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthenticated);
    }
}

#[tokio::test]
async fn whoever_it_rests_on_voids_what_a_node_remembers() {
    let world = World::new();
    let ann = world.user("ann").await;
    let tokens = tokens(&world);
    let heard = |notice: Notice| {
        world
            .directory
            .standings()
            .heard(crate::notice::Heard::Notice(&notice));
    };
    let id = ann.id.to_string();
    let of_user = Notice::User { tenant: acme(), id };
    for step in 0..2 {
        let grant = world.log_in("ann", GOOD).await.unwrap();
        let principal = tokens
            .authenticate(grant.access.reveal(), None)
            .await
            .unwrap();
        assert!(principal.check_present(&world.clock).is_ok());
        let id = grant.login.to_string();
        heard(match step {
            0 => of_user.clone(),
            _ => Notice::TokenFamily { tenant: acme(), id },
        });
        let voided = principal.check_present(&world.clock).unwrap_err();
        assert_eq!(voided.code, ErrorCode::Unavailable);
        // Who is still somebody is let in again.
        assert!(
            tokens
                .authenticate(grant.access.reveal(), None)
                .await
                .is_ok()
        );
    }
}
