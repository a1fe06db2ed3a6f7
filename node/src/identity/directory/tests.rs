//! The directory on a store: what is kept, who may change it, and what it refuses.

use std::path::Path;
use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::audit;
use selvedge_cluster::bulletin::{Follower, News};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::record::{self, golden};
use selvedge_cluster::store::{Order, Store};
use selvedge_protocol::limits::{API_KEYS_MAX, ROLES_MAX};
use selvedge_protocol::{ErrorCode, Failure, Tenant, if_version};

use super::*;
use crate::identity::api_key::ShownKey;
use crate::identity::{
    Action, Permission, Principal, Resource, Role, Scope, Secret, authorize, scope,
};
use crate::notice::{Heard, Notice};

const NOW: u64 = 1_700_000_000_000;

struct World {
    directory: Directory,
    clock: Clock,
    store: Arc<dyn Store>,
    _files: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let store = Embedded::open(EmbeddedConfig::new(files.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock = Clock::manual(NOW, 1);
        Self {
            directory: Directory::new(Arc::clone(&store), clock.clone(), &SessionKey::new([7; 32])),
            clock,
            store,
            _files: files,
        }
    }

    async fn set(&self, by: &Principal, name: &str, rules: &[&str]) -> Result<StoredRole, Failure> {
        self.set_at(by, name, rules, None).await
    }

    async fn set_at(
        &self,
        by: &Principal,
        name: &str,
        rules: &[&str],
        if_version: Option<u64>,
    ) -> Result<StoredRole, Failure> {
        let write = RoleWrite {
            name: name.to_owned(),
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            if_version,
        };
        self.directory.set_role(by, write).await
    }

    async fn make(&self, by: &Principal, roles: &[&str]) -> Result<MadeKey, Failure> {
        let request = self.clock.random().to_be_bytes();
        self.make_as(by, roles, &request).await
    }

    async fn make_as(
        &self,
        by: &Principal,
        roles: &[&str],
        request: &[u8],
    ) -> Result<MadeKey, Failure> {
        let new = NewKey {
            name: "a key".to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            expires_ms: None,
        };
        let maker = KeyMaker { by, request };
        self.directory.make_api_key(maker, new).await
    }

    async fn come(&self, text: &Secret) -> Result<Principal, Failure> {
        let shown = ShownKey::parse(text.reveal()).unwrap();
        self.directory.principal_of_key(&shown).await
    }

    /// Hands on what was announced, as the node's follower does.
    async fn hear(&self, follower: &mut Follower) -> Vec<Notice> {
        let News::Notices(notices) = follower.next().await else {
            panic!("lost");
        };
        let notices = notices.iter().map(|it| record::decode(b"", it).unwrap());
        let notices: Vec<Notice> = notices.collect();
        for notice in &notices {
            self.directory.standings().heard(Heard::Notice(notice));
        }
        notices
    }

    async fn audited(&self, tenant: &Tenant) -> Vec<(String, String, String)> {
        let mut transaction = self.store.begin();
        let chain = tenant.into();
        let page = audit::page(&mut *transaction, &chain, None, Order::Ascending, 256);
        let entries = page.await.unwrap().into_iter().map(|it| it.entry);
        entries
            .map(|it| (it.principal, it.action, it.target))
            .collect()
    }
}

fn tenant() -> Tenant {
    Tenant::default_tenant()
}

fn admin() -> Principal {
    Principal::new("admin", tenant(), [Role::ADMIN])
}

/// Somebody who may change roles and make keys, and sends commands to actors.
fn keeper() -> Principal {
    let rules = ["role:*", "api-key:*", "actor:write"];
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    Principal::new("keeper", tenant(), [Role::new("keeper", rules)])
}

fn may(principal: &Principal, resource: Resource, action: Action) -> bool {
    authorize(principal, Permission::new(resource, action)).is_ok()
}

#[test]
fn records_of_older_binaries_are_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    assert!(golden::check(&directory, "role", &roles::golden::sample()).is_empty());
    assert!(golden::check(&directory, "api-key", &api_keys::golden::sample()).is_empty());
}

#[tokio::test]
async fn a_key_may_what_its_roles_give_at_present() {
    let world = World::new();
    let mut follower = Follower::begin(Arc::clone(&world.store), world.clock.clone())
        .await
        .unwrap();
    world
        .set(&admin(), "teller", &["actor:tell"])
        .await
        .unwrap();
    let made = world.make(&admin(), &["teller", "viewer"]).await.unwrap();
    let principal = world.come(&made.text).await.unwrap();
    assert_eq!(*principal.name, format!("key:{}", made.key.id));
    assert!(may(&principal, Resource::Actor, Action::Tell));
    assert!(may(&principal, Resource::Actor, Action::Read));
    assert!(!may(&principal, Resource::Actor, Action::Write));
    assert!(!principal.sees_all_tenants());
    world.hear(&mut follower).await;

    let other = ["actor:write", "session:read:own"];
    let principal = world.come(&made.text).await.unwrap();
    world.set(&admin(), "teller", &other).await.unwrap();
    assert!(
        principal.check_present(&world.clock).is_ok(),
        "not heard of"
    );
    world.hear(&mut follower).await;
    let ended = principal.check_present(&world.clock).unwrap_err();
    assert_eq!(ended.code, ErrorCode::Unavailable, "it comes again");
    let principal = world.come(&made.text).await.unwrap();
    assert!(may(&principal, Resource::Actor, Action::Write));
    assert!(!may(&principal, Resource::Actor, Action::Tell));
    let own = scope(&principal, Permission::new(Resource::Session, Action::Read));
    assert_eq!(own.unwrap(), Scope::Any, "a viewer");

    world
        .directory
        .remove_role(&admin(), "teller", None)
        .await
        .unwrap();
    world.hear(&mut follower).await;
    assert!(principal.check_present(&world.clock).is_err());
    let principal = world.come(&made.text).await.unwrap();
    assert!(!may(&principal, Resource::Actor, Action::Write));
    assert!(may(&principal, Resource::Actor, Action::Read));
    // One that is made again under the name counts again, and is heard of.
    world.set(&admin(), "teller", &other).await.unwrap();
    world.hear(&mut follower).await;
    assert!(principal.check_present(&world.clock).is_err());
}

#[tokio::test]
async fn a_key_may_no_more_than_its_maker_at_present() {
    let world = World::new();
    let directory = &world.directory;
    world
        .set(&admin(), "writer", &["actor:write", "actor:read"])
        .await
        .unwrap();
    let user = NewUser {
        username: Username::new("ann").unwrap(),
        email: None,
        roles: ["writer", "admin"].map(str::to_owned).to_vec(),
        password: None,
    };
    let ann = directory.create_user(&admin(), user).await.unwrap();
    let as_ann = Principal::new(ann.principal(), tenant(), [Role::ADMIN]);
    let key = world.make(&as_ann, &["writer", "viewer"]).await.unwrap();
    let came = world.come(&key.text).await.unwrap();
    assert!(may(&came, Resource::Actor, Action::Write));
    assert!(may(&came, Resource::Session, Action::Read));
    let change = async |change: UserChange| {
        let at = UserAt {
            id: ann.id,
            version: None,
        };
        directory.change_user(&admin(), at, change).await.unwrap();
    };
    let mut follower = Follower::begin(Arc::clone(&world.store), world.clock.clone())
        .await
        .unwrap();
    // Who is demoted takes the key along, and whoever has come by it hears of that.
    change(UserChange {
        roles: Some(vec!["writer".to_owned()]),
        ..UserChange::default()
    })
    .await;
    world.hear(&mut follower).await;
    assert!(came.check_present(&world.clock).is_err());
    let came = world.come(&key.text).await.unwrap();
    assert!(may(&came, Resource::Actor, Action::Write));
    assert!(!may(&came, Resource::Session, Action::Read));
    // So is who loses a part of a role.
    world
        .set(&admin(), "writer", &["actor:read"])
        .await
        .unwrap();
    world.hear(&mut follower).await;
    assert!(came.check_present(&world.clock).is_err());
    let came = world.come(&key.text).await.unwrap();
    assert!(!may(&came, Resource::Actor, Action::Write));
    // Nobody's keys let anybody in.
    change(UserChange {
        state: Some(UserState::Disabled),
        ..UserChange::default()
    })
    .await;
    world.hear(&mut follower).await;
    assert!(came.check_present(&world.clock).is_err());
    let refused = world.come(&key.text).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    change(UserChange {
        state: Some(UserState::Enabled),
        ..UserChange::default()
    })
    .await;
    assert!(world.come(&key.text).await.is_ok());
    let at = UserAt {
        id: ann.id,
        version: None,
    };
    directory.remove_user(&admin(), at).await.unwrap();
    assert!(world.come(&key.text).await.is_err());
}

#[tokio::test]
async fn a_key_that_was_revoked_or_removed_or_has_expired_is_nobody_s() {
    let world = World::new();
    let mut follower = Follower::begin(Arc::clone(&world.store), world.clock.clone())
        .await
        .unwrap();
    for how in ["revoke", "remove"] {
        let made = world.make(&admin(), &["viewer"]).await.unwrap();
        let principal = world.come(&made.text).await.unwrap();
        let id = &made.key.id;
        if how == "revoke" {
            let revoked = world
                .directory
                .revoke_api_key(&admin(), Scope::Any, id, Some(1))
                .await;
            assert_eq!(revoked.unwrap().revoked_ms, Some(NOW));
            // Again is the same, and audited once.
            let again = world
                .directory
                .revoke_api_key(&admin(), Scope::Any, id, None)
                .await;
            assert_eq!(again.unwrap().version, 2);
        } else {
            world
                .directory
                .remove_api_key(&admin(), Scope::Any, id, Some(1))
                .await
                .unwrap();
        }
        let heard = world.hear(&mut follower).await;
        let (tenant, id) = (tenant(), id.clone());
        assert_eq!(heard, [Notice::ApiKey { tenant, id }]);
        assert!(principal.check_present(&world.clock).is_err());
        let refused = world.come(&made.text).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthenticated);
    }
    let new = NewKey {
        name: "short".to_owned(),
        roles: Vec::new(),
        expires_ms: Some(NOW + 1_000),
    };
    let by = &admin();
    let request = b"r";
    let maker = KeyMaker { by, request };
    let made = world
        .directory
        .make_api_key(maker, new.clone())
        .await
        .unwrap();
    let principal = world.come(&made.text).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(1));
    assert!(principal.check_present(&world.clock).is_err());
    assert!(world.come(&made.text).await.is_err());
    let request = b"s";
    let maker = KeyMaker { by, request };
    let late = world.directory.make_api_key(maker, new).await.unwrap_err();
    assert_eq!(late.field.as_deref(), Some("expiresAt"));
}

#[tokio::test]
async fn all_that_is_wrong_with_a_key_is_refused_alike() {
    let world = World::new();
    let made = world.make(&admin(), &["viewer"]).await.unwrap();
    let text = made.text.reveal();
    let (front, secret) = text.rsplit_once('.').unwrap();
    let other_secret = format!("{front}.{}", "A".repeat(secret.len()));
    let other_id = text.replace(&made.key.id, &"0".repeat(32));
    let other_tenant = text.replace("selv_default.", "selv_acme.");
    let mut told = Vec::new();
    for wrong in [other_secret, other_id, other_tenant] {
        told.push(world.come(&Secret::new(wrong)).await.unwrap_err());
    }
    world
        .directory
        .revoke_api_key(&admin(), Scope::Any, &made.key.id, None)
        .await
        .unwrap();
    told.push(world.come(&made.text).await.unwrap_err());
    for failure in &told {
        assert_eq!(failure.to_string(), told[0].to_string());
        assert!(!failure.to_string().contains(secret));
    }
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let world = World::new();
    let keeper = keeper();
    world
        .set(&keeper, "writers", &["actor:write"])
        .await
        .unwrap();
    let all = [
        "*:*",
        "*:read",
        "actor:*",
        "actor:read",
        "session:read:own",
        "operation:write",
    ];
    for more in all {
        // Neither a new role nor the one that it has itself.
        for name in ["more", "writers", "keeper"] {
            let refused = world
                .set(&keeper, name, &["actor:write", more])
                .await
                .unwrap_err();
            assert_eq!(refused.code, ErrorCode::PermissionDenied, "{more}");
        }
    }
    for role in ["viewer", "admin"] {
        let refused = world.make(&keeper, &[role]).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::PermissionDenied, "{role}");
    }
    assert!(world.make(&keeper, &["writers"]).await.is_ok());
    // One that gives more is not theirs to take away or make less.
    world.set(&admin(), "readers", &["*:read"]).await.unwrap();
    let refused = world
        .set(&keeper, "readers", &["actor:write"])
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::PermissionDenied);
    let refused = world
        .directory
        .remove_role(&keeper, "readers", None)
        .await
        .unwrap_err();
    assert_eq!(refused.code, ErrorCode::PermissionDenied);
    // And a key makes none, whatever it may.
    let made = world.make(&admin(), &["admin"]).await.unwrap();
    let key = world.come(&made.text).await.unwrap();
    let refused = world.make(&key, &["viewer"]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::PermissionDenied);
    let kept: Vec<_> = world.directory.roles(&tenant()).await.unwrap();
    let made: Vec<_> = kept
        .iter()
        .filter(|it| it.made.is_some())
        .map(|it| &*it.name)
        .collect();
    assert_eq!(made, ["readers", "writers"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_role_is_named() {
    let world = World::new();
    let by = admin();
    for (name, rules, field) in [
        ("", vec![], "name"),
        ("Upper", vec![], "name"),
        ("a\nb", vec![], "name"),
        ("a\u{1b}[31m", vec![], "name"),
        ("admin", vec!["actor:read"], "name"),
        ("r", vec!["actor:read", "actor"], "rules[1]"),
        ("r", vec!["cluster:administer"], "rules[0]"),
        ("r", vec!["actor:read"; 200], "rules"),
    ] {
        let refused = world.set(&by, name, &rules).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid, "{name:?}");
        assert_eq!(refused.field.as_deref(), Some(field), "{name:?}");
        assert!(!refused.to_string().contains(['\n', '\u{1b}']));
    }
    let gone = world
        .directory
        .remove_role(&by, "none", None)
        .await
        .unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    for name in ["a\nb", "x".repeat(200).as_str(), "\u{202e}evil", ""] {
        let new = NewKey {
            name: name.to_owned(),
            roles: Vec::new(),
            expires_ms: None,
        };
        let maker = KeyMaker {
            by: &by,
            request: b"r",
        };
        let refused = world.directory.make_api_key(maker, new).await.unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("name"));
        let refused = world.directory.close_sessions(&by, name).await;
        assert_eq!(refused.is_ok(), name.len() == 200, "{name:?}");
    }
    let refused = world.make(&by, &["viewer", "none"]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotFound);
    assert_eq!(refused.field.as_deref(), Some("roles[1]"));
}

#[tokio::test]
async fn a_change_rests_on_the_version_that_was_read() {
    let world = World::new();
    let by = admin();
    let is_condition = |refused: Failure| {
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert_eq!(refused.field.as_deref(), Some(if_version::FIELD));
    };
    is_condition(world.set_at(&by, "r", &[], Some(1)).await.unwrap_err());
    let made = world.set_at(&by, "r", &[], Some(0)).await.unwrap();
    assert_eq!(made.made.unwrap().version, 1);
    is_condition(world.set_at(&by, "r", &[], Some(0)).await.unwrap_err());
    assert_eq!(
        world
            .set_at(&by, "r", &[], Some(1))
            .await
            .unwrap()
            .made
            .unwrap()
            .version,
        2
    );
    is_condition(
        world
            .directory
            .remove_role(&by, "r", Some(1))
            .await
            .unwrap_err(),
    );
    let key = world.make(&by, &[]).await.unwrap().key;
    let revoked = world
        .directory
        .revoke_api_key(&by, Scope::Any, &key.id, Some(2))
        .await;
    is_condition(revoked.unwrap_err());
}

#[tokio::test]
async fn a_request_that_is_repeated_makes_one_key() {
    let world = World::new();
    let made = world.make_as(&admin(), &[], b"same").await.unwrap();
    let again = world.make_as(&admin(), &[], b"same").await.unwrap_err();
    assert_eq!(again.code, ErrorCode::Conflict);
    assert!(again.message.contains(&made.key.id));
    // Of somebody else, or somewhere else, it is another request.
    let elsewhere = Principal::new("admin", Tenant::new("acme").unwrap(), [Role::ADMIN]);
    assert!(world.make_as(&keeper(), &[], b"same").await.is_ok());
    assert!(world.make_as(&elsewhere, &[], b"same").await.is_ok());
    assert_eq!(
        world
            .directory
            .api_keys(&admin(), Scope::Any)
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_tenant_and_an_owner_see_what_is_theirs() {
    let world = World::new();
    let acme = Principal::new("admin", Tenant::new("acme").unwrap(), [Role::ADMIN]);
    world.set(&acme, "theirs", &[]).await.unwrap();
    let key = world.make(&acme, &[]).await.unwrap().key;
    let own = world.make(&keeper(), &[]).await.unwrap().key;
    let directory = &world.directory;
    assert!(directory.role(&tenant(), "theirs").await.unwrap().is_none());
    assert!(
        directory
            .remove_role(&admin(), "theirs", None)
            .await
            .is_err()
    );
    for id in [&*key.id, "", "../x", &"f".repeat(32)] {
        let refused = directory
            .api_key(&admin(), Scope::Any, id)
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
        assert!(
            directory
                .revoke_api_key(&admin(), Scope::Any, id, None)
                .await
                .is_err()
        );
        assert!(
            directory
                .remove_api_key(&admin(), Scope::Any, id, None)
                .await
                .is_err()
        );
    }
    let other = world.make(&admin(), &[]).await.unwrap().key;
    let ids = |keys: Vec<ApiKey>| keys.into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(
        ids(directory.api_keys(&keeper(), Scope::Own).await.unwrap()),
        *std::slice::from_ref(&own.id)
    );
    assert_eq!(
        ids(directory.api_keys(&keeper(), Scope::Any).await.unwrap()).len(),
        2
    );
    assert!(
        directory
            .api_key(&keeper(), Scope::Own, &other.id)
            .await
            .is_err()
    );
    let refused = directory
        .revoke_api_key(&keeper(), Scope::Own, &other.id, None)
        .await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    assert!(
        directory
            .remove_api_key(&keeper(), Scope::Own, &own.id, None)
            .await
            .is_ok()
    );
    assert!(directory.api_key(&acme, Scope::Any, &key.id).await.is_ok());
}

#[tokio::test]
async fn each_change_leaves_one_audit_record_and_a_refusal_none() {
    let world = World::new();
    let by = admin();
    world.set(&by, "r", &["actor:read"]).await.unwrap();
    let _ = world.set(&keeper(), "r", &["*:*"]).await.unwrap_err();
    let made = world.make(&by, &["r"]).await.unwrap();
    let id = made.key.id.clone();
    let _ = world.come(&made.text).await.unwrap();
    world
        .directory
        .revoke_api_key(&by, Scope::Any, &id, None)
        .await
        .unwrap();
    world
        .directory
        .revoke_api_key(&by, Scope::Any, &id, None)
        .await
        .unwrap();
    world
        .directory
        .remove_api_key(&by, Scope::Any, &id, None)
        .await
        .unwrap();
    world.directory.remove_role(&by, "r", None).await.unwrap();
    world.directory.close_sessions(&by, "ann").await.unwrap();
    let expected = [
        ("role.set", "r"),
        ("api-key.create", &id),
        ("api-key.revoke", &id),
        ("api-key.remove", &id),
        ("role.remove", "r"),
        ("session.close-all", "ann"),
    ];
    let expected =
        expected.map(|(action, target)| ("admin".to_owned(), action.to_owned(), target.to_owned()));
    assert_eq!(world.audited(&tenant()).await, expected);
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_an_hour() {
    let world = World::new();
    let made = world.make(&admin(), &[]).await.unwrap();
    let used = || async {
        let key = world
            .directory
            .api_key(&admin(), Scope::Any, &made.key.id)
            .await
            .unwrap();
        (key.last_used_ms, key.version)
    };
    let noted = |at: u64| async move {
        for _ in 0..10_000 {
            if used().await.0 == Some(at) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the use is not noted");
    };
    assert_eq!(used().await, (None, 1));
    world.come(&made.text).await.unwrap();
    noted(NOW).await;
    world
        .clock
        .advance(std::time::Duration::from_millis(API_KEY_USED_MS_LESS));
    world.come(&made.text).await.unwrap();
    assert_eq!(used().await, (Some(NOW), 1));
    world.clock.advance(std::time::Duration::from_millis(1));
    world.come(&made.text).await.unwrap();
    noted(NOW + API_KEY_USED_MS_LESS + 1).await;
}

const API_KEY_USED_MS_LESS: u64 = selvedge_protocol::limits::API_KEY_USED_MS - 1;

#[tokio::test]
async fn there_are_no_more_than_may_be() {
    let world = World::new();
    let by = admin();
    for number in 0..ROLES_MAX {
        world.set(&by, &format!("r{number}"), &[]).await.unwrap();
    }
    let refused = world.set(&by, "more", &[]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(
        world.set(&by, "r7", &["actor:read"]).await.is_ok(),
        "one that is there"
    );
    for _ in 0..API_KEYS_MAX {
        world.make(&by, &[]).await.unwrap();
    }
    let refused = world.make(&by, &[]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    // Another tenant has its own.
    let acme = Principal::new("admin", Tenant::new("acme").unwrap(), [Role::ADMIN]);
    assert!(world.make(&acme, &[]).await.is_ok());
}
