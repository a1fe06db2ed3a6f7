//! Codes, tokens of keys and revocations on a store and a clock of the test's own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_protocol::limits::TOKEN_SKEW_MS;
use selvedge_protocol::{ErrorCode, Tenant};

use super::*;
use crate::identity::directory::{Directory, KeyMaker, NewKey, NewUser, Username};
use crate::identity::issue::config::TokensTable;
use crate::identity::issue::revoked::tests::fill;
use crate::identity::{
    Authenticator, Clients, DevelopmentToken, KeyNotGranted, Password, Principal, Role, Scope,
    Tokens,
};

const GOOD: &str = "vier Pferde kauen Heu";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct World {
    logins: Logins,
    directory: Directory,
    tokens: Tokens,
    clock: Clock,
    _files: tempfile::TempDir,
}

impl World {
    /// A cluster whose access tokens are good for two minutes and its logins for three days, or one unused.
    async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let store = Embedded::open(EmbeddedConfig::new(files.path().join("store"))).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock = Clock::manual(1_900_000_000_000, 1);
        let directory = Directory::new(store, clock.clone(), &SessionKey::new([1; 32]));
        let table = TokensTable {
            issuer: Some("selvedge:test".to_owned()),
            access_minutes: Some(2),
            refresh_days: Some(3),
            refresh_idle_days: Some(1),
        };
        let config = table.checked(Clients::default()).unwrap();
        let logins = Logins::configured(directory.clone(), &[1; 32], config);
        let own = DevelopmentToken::new("admin", Secret::new("operator"));
        let kept = directory.keep(password(), &["ann"]).await.unwrap();
        let new = NewUser {
            username: Username::new("ann").unwrap(),
            email: None,
            roles: vec!["viewer".to_owned()],
            password: Some(kept),
        };
        directory.create_user(&admin(), new).await.unwrap();
        Self {
            tokens: Tokens::issued_here(own, Vec::new(), &logins, clock.clone()),
            logins,
            directory,
            clock,
            _files: files,
        }
    }

    async fn code(&self) -> String {
        let asked = CodeAsked {
            redirect_uri: "https://app.example/".to_owned(),
            challenge: Challenge::parse(CHALLENGE).unwrap(),
            id_token: IdToken::NotAsked,
        };
        let code = self.logins.authorize(login(), asked).await.unwrap();
        code.reveal().to_owned()
    }

    async fn redeem(&self, code: &str) -> Result<Grant, NotRefreshed> {
        let shown = CodeShown {
            code: code.to_owned(),
            verifier: VERIFIER.to_owned(),
            client: client(),
            redirect_uri: "https://app.example/".to_owned(),
        };
        self.logins.redeem(shown).await
    }

    async fn opens(&self, token: &str) -> bool {
        match self.tokens.authenticate(token, None).await {
            Ok(_) => true,
            Err(failure) => {
                assert_eq!(failure.code, ErrorCode::Unauthenticated, "{failure}");
                false
            }
        }
    }
}

fn admin() -> Principal {
    Principal::new("admin", Tenant::default_tenant(), [Role::ADMIN])
}

fn password() -> Password {
    Password::new(GOOD.to_owned()).unwrap()
}

fn client() -> ClientName {
    ClientName::new("app").unwrap()
}

fn login() -> Login {
    Login {
        tenant: Tenant::default_tenant(),
        username: "ann".to_owned(),
        password: password(),
        client: client(),
        address: IpAddr::from([192, 0, 2, 1]),
    }
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let world = World::start().await;
    let code = world.code().await;
    assert!(!format!("{:?}", world.redeem("x").await).contains(&code));
    world.clock.advance(Duration::from_millis(CODE_MS_MAX - 1));
    let soon = world.code().await;
    assert!(world.redeem(&code).await.is_ok());
    world.clock.advance(Duration::from_millis(CODE_MS_MAX));
    assert!(matches!(
        world.redeem(&soon).await,
        Err(NotRefreshed::Refused)
    ));
    // It leaves no login behind, and the next one takes its place.
    let ann = Username::new("ann").unwrap();
    let tenant = Tenant::default_tenant();
    let ann = world.directory.user_named(&tenant, &ann).await.unwrap();
    let logins = world.directory.logins(&tenant, &ann.unwrap()).await;
    assert_eq!(logins.unwrap().len(), 1);
}

#[tokio::test]
async fn a_login_lasts_as_it_is_configured() {
    let world = World::start().await;
    let first = world.redeem(&world.code().await).await.unwrap();
    assert_eq!(first.expires_in_s, 120);
    assert!(world.opens(first.access.reveal()).await);
    world
        .clock
        .advance(Duration::from_millis(120_000 + TOKEN_SKEW_MS));
    assert!(!world.opens(first.access.reveal()).await);
    let hours = |count: u64| Duration::from_secs(count * 3_600);
    let mut last = first;
    for _ in 0..3 {
        world.clock.advance(hours(23));
        let next = world.logins.refresh(last.refresh.reveal(), &client()).await;
        last = next.unwrap();
    }
    world.clock.advance(hours(23));
    let over = world.logins.refresh(last.refresh.reveal(), &client()).await;
    assert!(
        matches!(over, Err(NotRefreshed::Refused)),
        "after three days"
    );
    let idle = world.redeem(&world.code().await).await.unwrap();
    world.clock.advance(hours(24));
    let over = world.logins.refresh(idle.refresh.reveal(), &client()).await;
    assert!(matches!(over, Err(NotRefreshed::Refused)), "after a day");
}

#[tokio::test]
async fn a_key_made_anew_is_not_the_key_that_a_token_was_given_for() {
    let world = World::start().await;
    let by = &admin();
    let make = || async {
        let new = NewKey {
            name: "a".to_owned(),
            roles: vec!["viewer".to_owned()],
            expires_ms: Some(world.clock.wall_ms() + 90_000),
        };
        let request = b"the same".as_slice();
        let made = world.directory.make_api_key(KeyMaker { by, request }, new);
        made.await.unwrap()
    };
    let first = make().await;
    let id = first.key.id.clone();
    let granted = world.logins.grant_to_key(&id, first.text.reveal()).await;
    let granted = granted.unwrap();
    // No longer than the key.
    assert_eq!(granted.expires_in_s, 90);
    let token = granted.access.reveal();
    let principal = world.tokens.authenticate(token, None).await.unwrap();
    assert_eq!(&*principal.name, format!("key:{id}"));
    assert_eq!(principal.roles(), [Role::VIEWER]);
    let removed = world
        .directory
        .remove_api_key(by, Scope::Any, &id, None)
        .await;
    removed.unwrap();
    let second = make().await;
    assert_eq!(second.key.id, id);
    let fresh = Tokens::issued_here(
        DevelopmentToken::new("admin", Secret::new("operator")),
        Vec::new(),
        &world.logins,
        world.clock.clone(),
    );
    let refused = fresh.authenticate(token, None).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    let old = world.logins.grant_to_key(&id, first.text.reveal()).await;
    assert!(matches!(old, Err(KeyNotGranted::Refused)));
    world.clock.advance(Duration::from_secs(91));
    let late = world.logins.grant_to_key(&id, second.text.reveal()).await;
    assert!(matches!(late, Err(KeyNotGranted::Refused)));
}

#[tokio::test]
async fn revoked_tokens_are_bounded_and_past_it_their_logins_end() {
    let world = World::start().await;
    let last = world.redeem(&world.code().await).await.unwrap();
    let until_ms = world.clock.wall_ms() + 120_000;
    fill(&world.directory, &Tenant::default_tenant(), until_ms).await;
    assert!(world.opens(last.access.reveal()).await);
    world.logins.revoke(last.access.reveal()).await.unwrap();
    let over = world.logins.refresh(last.refresh.reveal(), &client()).await;
    assert!(matches!(over, Err(NotRefreshed::Refused)));
    // Once they have expired there is room.
    world
        .clock
        .advance(Duration::from_millis(120_000 + TOKEN_SKEW_MS));
    let next = world.redeem(&world.code().await).await.unwrap();
    world.logins.revoke(next.access.reveal()).await.unwrap();
    assert!(!world.opens(next.access.reveal()).await);
    let goes_on = world.logins.refresh(next.refresh.reveal(), &client()).await;
    assert!(goes_on.is_ok());
}
