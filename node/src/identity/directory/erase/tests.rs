//! Users as subjects: what is stored of them, and what is left when they are gone.

use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::audit;
use selvedge_cluster::privacy::{SubjectKeys, Unsealing, WrappingKeys};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::{AdminKey, Key};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::{Order, Pairs, Range, Store};
use selvedge_protocol::ErrorCode;

use super::*;
use crate::identity::directory::names::set_in_the_clear;
use crate::identity::directory::{Email, KeyMaker, NewKey, NewUser, UserAt, UserChange, Username};
use crate::identity::{Role, UserState};

/// What is looked for in all that is left.
const NAME: &str = "ann.of.the.mark";
const EMAIL: &str = "ann@mark.example";

struct World {
    directory: Directory,
    /// The same as one of a node without keys has it.
    clear: Directory,
    store: Arc<dyn Store>,
    _files: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(EmbeddedConfig::new(files.path().join("store"))).unwrap());
        let wrapping = WrappingKeys::parse(WrappingKeys::generate("k1").as_str()).unwrap();
        let keys = SubjectKeys::new(Arc::clone(&store), Arc::new(wrapping));
        let clock = Clock::manual(1_000_000, 1);
        let key = SessionKey::new([7; 32]);
        Self {
            directory: Directory::new(Arc::new(Unsealing::new(keys)), clock.clone(), &key),
            clear: Directory::new(Arc::clone(&store), clock, &key),
            store,
            _files: files,
        }
    }

    async fn ann(&self, directory: &Directory) -> User {
        directory.create_user(&admin(), new(NAME)).await.unwrap()
    }

    /// A user as an earlier version stored it.
    async fn ann_of_an_earlier_version(&self) -> User {
        let ann = self.ann(&self.clear).await;
        let mut transaction = self.store.begin();
        let names = self.clear.names();
        let acme = acme();
        let cleared = names.clear(&mut *transaction, &acme, &ann.username);
        cleared.await.unwrap();
        set_in_the_clear(&mut *transaction, &acme, (&ann.username, ann.id));
        transaction.commit().await.unwrap();
        assert!(self.holds(NAME).await && self.holds(EMAIL).await);
        ann
    }

    /// Everything, as it is stored.
    async fn rows(&self) -> Pairs {
        let all = Range {
            begin: std::ops::Bound::Unbounded,
            end: std::ops::Bound::Unbounded,
            order: Order::Ascending,
            limit: 100_000,
            isolation: Isolation::Snapshot,
        };
        self.store.begin().range(all).await.unwrap()
    }

    async fn holds(&self, text: &str) -> bool {
        let is_in = |bytes: &[u8]| bytes.windows(text.len()).any(|it| it == text.as_bytes());
        let rows = self.rows().await;
        rows.iter().any(|(key, value)| is_in(key) || is_in(value))
    }

    async fn audited(&self) -> Vec<(String, String, String)> {
        let mut transaction = self.store.begin();
        let chain = (&acme()).into();
        let page = audit::page(&mut *transaction, &chain, None, Order::Ascending, 100).await;
        let entries = page.unwrap().into_iter().map(|it| it.entry);
        entries
            .map(|it| (it.principal, it.action, it.target))
            .collect()
    }
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

fn admin() -> Principal {
    Principal::new("admin", acme(), [Role::ADMIN])
}

fn name() -> Username {
    Username::new(NAME).unwrap()
}

fn new(name: &str) -> NewUser {
    NewUser {
        username: Username::new(name).unwrap(),
        email: Some(Email::new(EMAIL).unwrap()),
        roles: vec!["viewer".to_owned()],
        password: None,
    }
}

fn at(user: &User) -> UserAt {
    UserAt {
        id: user.id,
        version: None,
    }
}

#[tokio::test]
async fn nothing_readable_is_stored_of_a_user_who_can_be_read() {
    let world = World::new();
    let ann = world.ann(&world.directory).await;
    for text in [NAME, EMAIL, "viewer"] {
        // The roles are told in the audit trail.
        assert_eq!(world.holds(text).await, text == "viewer", "{text}");
    }
    let found = world.directory.user_named(&acme(), &name()).await.unwrap();
    assert_eq!(found, Some(ann.clone()));
    let listed = world.directory.users(&acme(), None, 10).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&ann));
    let taken = world.directory.create_user(&admin(), new(NAME)).await;
    assert_eq!(taken.unwrap_err().code, ErrorCode::Conflict);
    let disabled = UserChange {
        state: Some(UserState::Disabled),
        ..UserChange::default()
    };
    let changed = world
        .directory
        .change_user(&admin(), at(&ann), disabled)
        .await
        .unwrap();
    let found = world.directory.user(&acme(), ann.id).await.unwrap();
    assert_eq!(found, Some(changed));
    assert!(!world.holds(NAME).await && !world.holds(EMAIL).await);
}

#[tokio::test]
async fn users_of_an_earlier_version_are_read_and_sealed() {
    let world = World::new();
    let ann = world.ann_of_an_earlier_version().await;
    let found = world.directory.user_named(&acme(), &name()).await.unwrap();
    assert_eq!(found, Some(ann.clone()));
    let taken = world.directory.create_user(&admin(), new(NAME)).await;
    assert_eq!(taken.unwrap_err().code, ErrorCode::Conflict);
    // By a change.
    let email = Some(Some(Email::new("other@example.org").unwrap()));
    let change = UserChange {
        email,
        ..UserChange::default()
    };
    let changed = world
        .directory
        .change_user(&admin(), at(&ann), change)
        .await
        .unwrap();
    assert!(!world.holds(NAME).await && !world.holds("other@").await);
    let found = world.directory.user_named(&acme(), &name()).await.unwrap();
    assert_eq!(found, Some(changed));
    let left = world.directory.seal_users(&acme(), None).await.unwrap();
    assert_eq!((left.sealed, left.next), (0, None));
}

#[tokio::test]
async fn users_in_the_clear_are_sealed_without_a_change() {
    let world = World::new();
    let ann = world.ann_of_an_earlier_version().await;
    // Of this version, when there was no key.
    let admin = admin();
    let made = world.clear.create_user(&admin, new("ben.of.the.mark"));
    let ben = made.await.unwrap();
    assert!(world.holds("ben.of.the.mark").await);
    let cy = world.directory.create_user(&admin, new("cy")).await;
    let cy = cy.unwrap();
    let other = Tenant::default_tenant();
    for (tenant, expected) in [(&other, 0), (&acme(), 2), (&acme(), 0)] {
        let sealed = world.directory.seal_users(tenant, None).await.unwrap();
        assert_eq!((sealed.sealed, sealed.next), (expected, None));
    }
    for text in [NAME, EMAIL, "of.the.mark"] {
        assert!(!world.holds(text).await, "{text}");
    }
    let found = world.directory.user_named(&acme(), &name()).await.unwrap();
    assert_eq!(found, Some(ann.clone()));
    let listed = world.directory.users(&acme(), None, 10).await.unwrap();
    let mut all = [ann, ben, cy];
    // They were made in the same millisecond.
    all.sort_by_key(|user| user.id);
    assert_eq!(listed, all);
}

/// A key of this user's.
async fn make_key(directory: &Directory, user: &User) {
    let by = &Principal::new(user.principal(), acme(), [Role::VIEWER]);
    let new = NewKey {
        name: "of the laptop".to_owned(),
        roles: vec!["viewer".to_owned()],
        expires_ms: None,
    };
    let maker = KeyMaker {
        by,
        request: b"once",
    };
    directory.make_api_key(maker, new).await.unwrap();
}

#[tokio::test]
async fn of_an_erased_user_there_is_its_id_in_the_trail_and_nothing_else() {
    let world = World::new();
    let directory = &world.directory;
    let ann = world.ann(directory).await;
    let ben = directory.create_user(&admin(), new("ben")).await.unwrap();
    make_key(directory, &ann).await;
    make_key(directory, &ben).await;
    assert_eq!(directory.api_keys_of(&acme(), &ann).await.unwrap().len(), 1);
    // Who may less than she does may not.
    let nobody = Principal::new("clerk", acme(), []);
    let refused = directory.erase_user(&nobody, ann.id).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::PermissionDenied);

    let erased = directory.erase_user(&admin(), ann.id).await.unwrap();
    assert_eq!(erased, Erased::Now);
    assert_eq!(directory.user(&acme(), ann.id).await.unwrap(), None);
    assert_eq!(directory.user_named(&acme(), &name()).await.unwrap(), None);
    assert!(
        directory
            .api_keys_of(&acme(), &ann)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(directory.api_keys_of(&acme(), &ben).await.unwrap().len(), 1);
    let listed = directory.users(&acme(), None, 10).await.unwrap();
    assert_eq!(listed, [ben]);
    let told = world.audited().await;
    let entry = |action: &str, target: String| ("admin".to_owned(), action.to_owned(), target);
    assert_eq!(
        told[told.len() - 2..],
        [
            entry("user.remove", ann.id.to_string()),
            entry("subject.erase", ann.principal())
        ]
    );
    // Again there is nothing, and her name is anybody's.
    let again = directory.erase_user(&admin(), ann.id).await.unwrap();
    assert_eq!(again, Erased::Before);
    let unknown = directory.erase_user(&admin(), Uuid::from_u128(1)).await;
    assert_eq!(unknown.unwrap(), Erased::Nothing);
    let anew = world.ann(directory).await;
    assert_ne!(anew.id, ann.id);
}

#[tokio::test]
async fn a_user_in_the_clear_is_erased_as_well() {
    let world = World::new();
    let ann = world.ann_of_an_earlier_version().await;
    let erased = world.directory.erase_user(&admin(), ann.id).await.unwrap();
    assert_eq!(erased, Erased::Now);
    assert!(!world.holds(NAME).await && !world.holds(EMAIL).await);
    let told = world.audited().await;
    assert_eq!(told.last().unwrap().1, "subject.erase");
}

#[tokio::test]
async fn the_key_of_a_removed_user_goes_unless_more_lies_under_it() {
    let world = World::new();
    let directory = &world.directory;
    let mut last = Vec::new();
    for (user, has_more) in [("ann", false), ("ben", true)] {
        let user = directory.create_user(&admin(), new(user)).await.unwrap();
        if has_more {
            let row = AdminKey::SubjectActor {
                tenant: acme(),
                subject: user.principal(),
                address: "profile/a".parse().unwrap(),
            };
            let mut transaction = world.store.begin();
            transaction.set(&Key::from(row).encode(), b"");
            transaction.commit().await.unwrap();
        }
        directory.remove_user(&admin(), at(&user)).await.unwrap();
        let told = world.audited().await;
        let of_user = told.iter().filter(|it| it.2.contains(&user.id.to_string()));
        last.push(of_user.map(|it| it.1.clone()).collect::<Vec<_>>());
    }
    assert_eq!(
        last,
        [
            vec!["user.create", "subject.erase", "user.remove"],
            vec!["user.create", "user.remove"]
        ]
    );
}

#[tokio::test]
async fn who_was_erased_since_a_backup_is_not_there_when_it_is_restored() {
    let world = World::new();
    let directory = &world.directory;
    let ann = world.ann(directory).await;
    let of_backup: Pairs = world.rows().await;
    directory.erase_user(&admin(), ann.id).await.unwrap();
    // All rows of then but those of keys, which are restored apart.
    let mut transaction = world.store.begin();
    for (key, value) in &of_backup {
        let is_of_user = matches!(
            Key::decode(key),
            Ok(Key::Admin(
                AdminKey::User { .. } | AdminKey::UserByName { .. }
            ))
        );
        if is_of_user {
            transaction.set(key, value);
        }
    }
    transaction.commit().await.unwrap();
    assert_eq!(directory.user_named(&acme(), &name()).await.unwrap(), None);
    assert_eq!(directory.users(&acme(), None, 10).await.unwrap(), []);
    let again = directory.erase_user(&admin(), ann.id).await.unwrap();
    assert_eq!(again, Erased::Before);
    let left = world.rows().await;
    let id = ann.id.to_string();
    let is_hers = |key: &[u8]| key.windows(id.len()).any(|it| it == id.as_bytes());
    let left: Vec<_> = left
        .iter()
        .filter(|(key, _)| is_hers(key))
        .map(|(key, _)| Key::decode(key).unwrap())
        .collect();
    assert!(
        matches!(left[..], [Key::Admin(AdminKey::SubjectKey { .. })]),
        "{left:?}"
    );
    // The row of her name is still there, and holds nobody up.
    world.ann(directory).await;
}
