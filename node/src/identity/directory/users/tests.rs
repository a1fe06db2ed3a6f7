//! Users on a store of the test's own.

use std::sync::Arc;

use selvedge_cluster::audit;
use selvedge_cluster::bulletin::{Follower, News};
use selvedge_cluster::store::Order;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::{Clock, store::Store};

use super::*;
use crate::identity::Role;
use crate::identity::directory::UserState;

struct World {
    directory: Directory,
    clock: Clock,
    store: Arc<dyn Store>,
    _files: tempfile::TempDir,
}

fn world() -> World {
    let files = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(Embedded::open(EmbeddedConfig::new(files.path().join("store"))).unwrap());
    let clock = Clock::manual(1_000_000, 1);
    World {
        directory: Directory::new(Arc::clone(&store), clock.clone(), &SessionKey::new([7; 32])),
        clock,
        store,
        _files: files,
    }
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

fn admin() -> Principal {
    Principal::new("admin", acme(), [Role::ADMIN])
}

fn named(name: &str, roles: &[&str]) -> NewUser {
    NewUser {
        username: Username::new(name).unwrap(),
        email: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        password: None,
    }
}

fn at(user: &User) -> UserAt {
    UserAt {
        id: user.id,
        version: None,
    }
}

fn roles(names: &[&str]) -> UserChange {
    let names = names.iter().map(|name| (*name).to_owned());
    UserChange {
        roles: Some(names.collect()),
        ..UserChange::default()
    }
}

#[tokio::test]
async fn a_user_is_made_found_changed_and_removed() {
    let World {
        directory, clock, ..
    } = &world();
    let ann = directory
        .create_user(&admin(), named("Ann", &["viewer"]))
        .await
        .unwrap();
    assert_eq!(
        directory.user(&acme(), ann.id).await.unwrap(),
        Some(ann.clone())
    );
    let name = Username::new("ANN").unwrap();
    assert_eq!(
        directory.user_named(&acme(), &name).await.unwrap(),
        Some(ann.clone())
    );

    let taken = directory
        .create_user(&admin(), named("aNN", &[]))
        .await
        .unwrap_err();
    assert_eq!(
        (taken.code, taken.field.as_deref()),
        (ErrorCode::Conflict, Some("username"))
    );

    clock.advance(std::time::Duration::from_secs(1));
    let changed = directory
        .change_user(&admin(), at(&ann), roles(&["operator"]))
        .await
        .unwrap();
    assert_eq!(
        (changed.version, &*changed.roles),
        (2, ["operator".to_owned()].as_slice())
    );
    let stale = UserAt {
        id: ann.id,
        version: Some(1),
    };
    let refused = directory
        .change_user(&admin(), stale.clone(), roles(&[]))
        .await
        .unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("ifVersion"));
    assert!(directory.remove_user(&admin(), stale).await.is_err());

    directory.remove_user(&admin(), at(&ann)).await.unwrap();
    assert_eq!(directory.user_named(&acme(), &name).await.unwrap(), None);
    let gone = directory.remove_user(&admin(), at(&ann)).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    assert!(
        directory
            .create_user(&admin(), named("ann", &[]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn principals_are_named_by_either_name_of_a_user() {
    let World { directory, .. } = &world();
    let ann = directory
        .create_user(&admin(), named("ann", &[]))
        .await
        .unwrap();
    let upper = format!("user:{}", ann.id.to_string().to_uppercase());
    let itself = Some(ann.principal());
    for (name, expected) in [
        ("user:ann", itself.clone()),
        ("user:ANN", itself.clone()),
        (&ann.principal(), itself.clone()),
        (&upper, itself),
        ("user:ben", None),
        ("user:", None),
        ("user:a b", None),
        ("admin", Some("admin".to_owned())),
        ("issuer|ann", Some("issuer|ann".to_owned())),
    ] {
        let found = directory.principal_named(&acme(), name).await.unwrap();
        assert_eq!(found, expected, "{name}");
    }
    // Nobody of another tenant.
    let other = Tenant::default_tenant();
    let found = directory.principal_named(&other, "user:ann").await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn users_are_listed_in_the_order_they_were_made() {
    let World {
        directory, clock, ..
    } = &world();
    for at in 0..7 {
        clock.advance(std::time::Duration::from_millis(1));
        directory
            .create_user(&admin(), named(&format!("user{at}"), &[]))
            .await
            .unwrap();
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = directory.users(&acme(), after, 3).await.unwrap();
        names.extend(page.iter().map(|user| user.username.as_str().to_owned()));
        match page.last() {
            Some(last) => after = Some(last.id),
            None => break,
        }
    }
    assert_eq!(
        names,
        [
            "user0", "user1", "user2", "user3", "user4", "user5", "user6"
        ]
    );
}

#[tokio::test]
async fn nobody_makes_or_becomes_somebody_who_may_more() {
    let World { directory, .. } = &world();
    // May all that is done to users, as a role of a tenant may have it, and is a viewer beside.
    let clerk = Principal::new("clerk", acme(), [Role::VIEWER]);
    let made = directory
        .create_user(&clerk, named("low", &["viewer"]))
        .await
        .unwrap();
    for more in ["operator", "admin"] {
        let refused = directory
            .create_user(&clerk, named("high", &[more]))
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::PermissionDenied, "{more}");
        let refused = directory
            .change_user(&clerk, at(&made), roles(&["viewer", more]))
            .await;
        assert_eq!(
            refused.unwrap_err().code,
            ErrorCode::PermissionDenied,
            "{more}"
        );
    }
    let boss = directory
        .create_user(&admin(), named("boss", &["admin"]))
        .await
        .unwrap();
    let kept: Kept = serde_json::from_str("\"$argon2id$\"").unwrap();
    for refused in [
        directory
            .set_password(&clerk, at(&boss), kept)
            .await
            .map(drop),
        directory.remove_user(&clerk, at(&boss)).await,
        directory
            .change_user(&clerk, at(&boss), roles(&["viewer"]))
            .await
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code, ErrorCode::PermissionDenied);
    }
    assert_eq!(directory.user(&acme(), boss.id).await.unwrap(), Some(boss));
    let unknown = directory
        .create_user(&admin(), named("x", &["root\u{1b}[31m"]))
        .await
        .unwrap_err();
    assert_eq!(
        (unknown.code, unknown.field.as_deref()),
        (ErrorCode::Invalid, Some("roles"))
    );
    assert!(!unknown.message.contains('\u{1b}'), "{}", unknown.message);
}

#[tokio::test]
async fn users_of_another_tenant_are_not_there() {
    let World { directory, .. } = &world();
    let ann = directory
        .create_user(&admin(), named("ann", &[]))
        .await
        .unwrap();
    let other = Principal::new("admin", Tenant::default_tenant(), [Role::ADMIN]);
    assert_eq!(directory.user(&other.tenant, ann.id).await.unwrap(), None);
    assert!(
        directory
            .users(&other.tenant, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let kept: Kept = serde_json::from_str("\"x\"").unwrap();
    for refused in [
        directory.remove_user(&other, at(&ann)).await,
        directory
            .set_password(&other, at(&ann), kept)
            .await
            .map(drop),
        directory
            .change_user(&other, at(&ann), UserChange::default())
            .await
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    }
    // The same name is somebody else there.
    assert!(
        directory
            .create_user(&other, named("ann", &[]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn each_change_is_audited_and_announced_in_its_commit() {
    let World {
        directory,
        clock,
        store,
        ..
    } = &world();
    let mut follower = Follower::begin(Arc::clone(store), clock.clone())
        .await
        .unwrap();
    let ann = directory
        .create_user(&admin(), named("ann", &["viewer"]))
        .await
        .unwrap();
    let state = Some(UserState::Disabled);
    let disable = UserChange {
        state,
        ..UserChange::default()
    };
    directory
        .change_user(&admin(), at(&ann), disable.clone())
        .await
        .unwrap();
    // What changes nothing leaves nothing.
    directory
        .change_user(&admin(), at(&ann), disable)
        .await
        .unwrap();
    let kept: Kept = serde_json::from_str("\"$argon2id$secret\"").unwrap();
    directory
        .set_password(&admin(), at(&ann), kept)
        .await
        .unwrap();
    directory.remove_user(&admin(), at(&ann)).await.unwrap();
    let page = audit::page(
        &mut *store.begin(),
        &(&acme()).into(),
        None,
        Order::Ascending,
        10,
    )
    .await
    .unwrap();
    let told: Vec<_> = page
        .iter()
        .map(|it| (&*it.entry.action, &*it.entry.principal, &*it.entry.target))
        .collect();
    let id = &*ann.id.to_string();
    assert_eq!(
        told,
        [
            ("user.create", "admin", id),
            ("user.change", "admin", id),
            ("user.set-password", "admin", id),
            ("user.remove", "admin", id),
        ]
    );
    for hidden in ["argon2", "ann"] {
        let is_told = page.iter().any(|it| it.entry.detail.contains(hidden));
        assert!(!is_told, "{hidden}");
    }
    let News::Notices(notices) = follower.next().await else {
        panic!("nothing is heard");
    };
    let expected = Notice::User {
        tenant: acme(),
        id: ann.id.to_string(),
    };
    assert_eq!(notices.len(), 4);
    for notice in notices {
        assert_eq!(record::decode::<Notice>(b"", &notice).unwrap(), expected);
    }
}
