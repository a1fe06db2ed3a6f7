//! A user: somebody who logs in with a password of this cluster. The record in the store, and what may be changed of it:
//! pure.

use selvedge_cluster::store::record::Record;
use selvedge_protocol::limits::{EMAIL_BYTES_MAX, USER_PLACES_MAX, USERNAME_BYTES_MAX};
use selvedge_protocol::{ErrorCode, Failure, SubjectId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity::password::Kept;

/// The name that a user logs in with, in the form in which no two of a tenant are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Username(String);

impl Username {
    /// Folds a name to small letters. What may be in it looks the same to everybody, so that nobody passes for somebody else,
    /// and does nothing to logs, terminals and command lines.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(text: &str) -> Result<Self, Failure> {
        let folded = text.to_ascii_lowercase();
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let may_follow = |byte: u8| is_letter(byte) || b"._@+-".contains(&byte);
        let is_name = folded.len() <= USERNAME_BYTES_MAX
            && folded.bytes().next().is_some_and(is_letter)
            && folded.bytes().all(may_follow);
        match is_name {
            true => Ok(Self(folded)),
            false => Err(Failure::field(
                ErrorCode::Invalid,
                "username",
                format!(
                    "a username has 1 to {USERNAME_BYTES_MAX} of a-z, 0-9 and ._@+- and begins with a letter or digit"
                ),
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An address of mail: one at sign, and nothing that a header or a terminal would stumble over. That it is theirs is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email(String);

impl Email {
    /// # Errors
    /// If it is none.
    pub fn new(text: &str) -> Result<Self, Failure> {
        let has_parts = text.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty() && !host.is_empty() && !host.contains('@')
        });
        let is_plain =
            |it: char| !it.is_control() && !it.is_whitespace() && !"<>\",;:\\".contains(it);
        match has_parts && text.len() <= EMAIL_BYTES_MAX && text.chars().all(is_plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(Failure::field(
                ErrorCode::Invalid,
                "email",
                format!(
                    "give one address such as ann@example.org, of {EMAIL_BYTES_MAX} bytes at the most"
                ),
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a user may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserState {
    Enabled,
    Disabled,
}

/// The hash of a user and a place that it has logged in from: what is stored says of nobody where they were.
pub(in crate::identity) type PlaceHash = [u8; 16];

/// A user as it is stored, under its tenant and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: Uuid,
    pub created_ms: u64,
    pub updated_ms: u64,
    /// Raised by one with each change that somebody makes. Logins are none.
    pub version: u64,
    pub username: Username,
    pub email: Option<Email>,
    /// Names of roles, in order, each once. One that is no role gives nothing.
    pub roles: Vec<String>,
    pub state: UserState,
    /// `None`: it cannot log in with one.
    pub(in crate::identity) password: Option<Kept>,
    pub password_changed_ms: Option<u64>,
    /// Logins that began before this are over.
    pub(in crate::identity) logins_from_ms: u64,
    /// The last one last.
    places: Vec<PlaceHash>,
}

impl Record for User {
    const FORMAT: u8 = 1;
}

/// What is known of a user that is to be.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub username: Username,
    pub email: Option<Email>,
    pub roles: Vec<String>,
    pub password: Option<Kept>,
}

/// What is to be changed of one. Nothing else can be, whatever somebody sends.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// `Some(None)`: it has none any more.
    pub email: Option<Option<Email>>,
    pub roles: Option<Vec<String>>,
    pub state: Option<UserState>,
}

impl User {
    pub(in crate::identity) fn new(id: Uuid, new: NewUser, now_ms: u64) -> Self {
        let NewUser {
            username,
            email,
            roles,
            password,
        } = new;
        Self {
            id,
            created_ms: now_ms,
            updated_ms: now_ms,
            version: 1,
            username,
            email,
            roles: in_order(roles),
            state: UserState::Enabled,
            password_changed_ms: password.is_some().then_some(now_ms),
            password,
            logins_from_ms: now_ms,
            places: Vec::new(),
        }
    }

    /// Changes it; whether anything is not as it was.
    pub(in crate::identity) fn change(&mut self, change: UserChange, now_ms: u64) -> bool {
        let UserChange {
            email,
            roles,
            state,
        } = change;
        let before = self.clone();
        if let Some(email) = email {
            self.email = email;
        }
        if let Some(roles) = roles {
            self.roles = in_order(roles);
        }
        if let Some(state) = state {
            self.state = state;
        }
        if *self == before {
            return false;
        }
        if self.state != before.state {
            self.end_logins(now_ms);
        }
        self.touch(now_ms);
        true
    }

    /// Gives it a password. Whoever has logged in with the one before has to come again.
    pub(in crate::identity) fn set_password(&mut self, password: Kept, now_ms: u64) {
        self.password = Some(password);
        self.password_changed_ms = Some(now_ms);
        self.end_logins(now_ms);
        self.touch(now_ms);
    }

    /// The password is the same, and kept in another way.
    pub(in crate::identity) fn keep_password_as(&mut self, password: Kept) {
        self.password = Some(password);
    }

    /// It has logged in from there.
    pub(in crate::identity) fn came_from(&mut self, place: PlaceHash) {
        self.places.retain(|known| *known != place);
        if self.places.len() >= USER_PLACES_MAX {
            self.places.remove(0);
        }
        self.places.push(place);
    }

    pub(in crate::identity) fn knows(&self, place: &PlaceHash) -> bool {
        self.places.contains(place)
    }

    pub fn is_enabled(&self) -> bool {
        self.state == UserState::Enabled
    }

    /// The name of the principal that it is: without its username, for it stands in audit records and beside what the
    /// user makes. No subject of a foreign issuer has such a one, and no operator.
    pub fn principal(&self) -> String {
        principal_of(self.id)
    }

    fn end_logins(&mut self, now_ms: u64) {
        // A login of this very millisecond is one before the change.
        self.logins_from_ms = now_ms.saturating_add(1).max(self.logins_from_ms);
    }

    fn touch(&mut self, now_ms: u64) {
        self.updated_ms = now_ms.max(self.updated_ms);
        self.version = self.version.saturating_add(1);
    }
}

fn in_order(mut roles: Vec<String>) -> Vec<String> {
    roles.sort();
    roles.dedup();
    roles
}

/// The name of the principal that the user of an id is.
pub(super) fn principal_of(id: Uuid) -> String {
    format!("{USER_PREFIX}{id}")
}

/// The subject that the user of an id is: what is stored of it lies under the key of that one.
pub(super) fn subject_of(id: Uuid) -> SubjectId {
    match SubjectId::new(principal_of(id)) {
        Ok(subject) => subject,
        // Of letters, digits, a colon and hyphens, and short.
        Err(error) => panic!("the user {id} is no subject: {error}"),
    }
}

/// The id of the user that a subject, or a principal, is.
pub(crate) fn user_of(name: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(name.strip_prefix(USER_PREFIX)?).ok()?;
    // Of the forms that an id may be written in, one names it.
    (principal_of(id) == name).then_some(id)
}

/// What the name of a user's principal begins with. No issuer's does: theirs have a `|`, which no username has.
pub(super) const USER_PREFIX: &str = "user:";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use selvedge_cluster::store::record::golden;

    use super::*;

    fn ann() -> User {
        let new = NewUser {
            username: Username::new("Ann").unwrap(),
            email: None,
            roles: vec![
                "viewer".to_owned(),
                "operator".to_owned(),
                "viewer".to_owned(),
            ],
            password: None,
        };
        User::new(Uuid::from_u128(7), new, 1_000)
    }

    #[test]
    fn its_record_is_what_it_was() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let user = User {
            email: Some(Email::new("ann@example.org").unwrap()),
            password: serde_json::from_str("\"$argon2id$…\"").unwrap(),
            password_changed_ms: Some(5),
            places: vec![[6; 16]],
            ..ann()
        };
        assert_eq!(golden::check(&directory, "user", &user), []);
        assert!(!format!("{user:?}").contains("argon2id"));
    }

    #[test]
    fn names_look_the_same_to_everybody() {
        assert_eq!(
            Username::new("Ann.B+1@Example.org").unwrap().as_str(),
            "ann.b+1@example.org"
        );
        let longest = "a".repeat(USERNAME_BYTES_MAX);
        assert!(Username::new(&longest).is_ok());
        for wrong in [
            "",
            "-rf",
            ".ann",
            "ann b",
            "ann\n",
            "ann\u{1b}[31m",
            "ann\u{202e}",
            "аnn",
            "ann|x",
            "ann:x",
            "ann/x",
            &format!("{longest}a"),
        ] {
            let refused = Username::new(wrong).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("username"), "{wrong:?}");
            assert!(!refused.message.contains(char::is_control));
        }
    }

    #[test]
    fn a_user_is_a_subject_and_a_principal_without_its_name() {
        let ann = ann();
        assert_eq!(ann.principal(), subject_of(ann.id).as_str());
        assert!(!ann.principal().contains("ann"));
        assert_eq!(user_of(&ann.principal()), Some(ann.id));
        let simple = format!("user:{}", ann.id.simple());
        for other in ["user:ann", "ann", "user:", "key:7", &simple] {
            assert_eq!(user_of(other), None, "{other}");
        }
    }

    #[test]
    fn an_address_of_mail_is_one() {
        assert!(Email::new("ann+x@mail.example.org").is_ok());
        assert!(Email::new("änn@bücher.example").is_ok());
        let long = format!("a@{}", "b".repeat(EMAIL_BYTES_MAX));
        for wrong in [
            "",
            "ann",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: c@d",
            "a@b,c@d",
            "<a@b>",
            &long,
        ] {
            assert!(Email::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_changes_raises_the_version_and_nothing_else_does() {
        let mut user = ann();
        assert_eq!(user.roles, ["operator", "viewer"]);
        let same = UserChange {
            roles: Some(vec!["viewer".to_owned(), "operator".to_owned()]),
            ..UserChange::default()
        };
        assert!(!user.change(same, 2_000));
        user.came_from([1; 16]);
        assert_eq!((user.version, user.updated_ms), (1, 1_000));
        let email = Some(Some(Email::new("a@b").unwrap()));
        assert!(user.change(
            UserChange {
                email,
                ..UserChange::default()
            },
            2_000
        ));
        assert_eq!(
            (user.version, user.updated_ms, user.logins_from_ms),
            (2, 2_000, 1_000)
        );
    }

    #[test]
    fn logins_end_with_what_they_rested_on() {
        let mut user = ann();
        let kept: Kept = serde_json::from_str("\"x\"").unwrap();
        user.set_password(kept.clone(), 5_000);
        assert_eq!((user.version, user.logins_from_ms), (2, 5_001));
        user.keep_password_as(kept);
        assert_eq!((user.version, user.logins_from_ms), (2, 5_001));
        let state = Some(UserState::Disabled);
        user.change(
            UserChange {
                state,
                ..UserChange::default()
            },
            6_000,
        );
        assert_eq!((user.version, user.logins_from_ms), (3, 6_001));
        // A clock that was set back brings none of them to life.
        let state = Some(UserState::Enabled);
        user.change(
            UserChange {
                state,
                ..UserChange::default()
            },
            10,
        );
        assert_eq!(
            (user.version, user.logins_from_ms, user.updated_ms),
            (4, 6_001, 6_000)
        );
    }

    #[test]
    fn the_last_places_are_known() {
        let mut user = ann();
        for place in 0..20 {
            user.came_from([place; 16]);
            user.came_from([0; 16]);
        }
        assert_eq!(user.places.len(), USER_PLACES_MAX);
        assert!(user.knows(&[0; 16]) && user.knows(&[19; 16]) && !user.knows(&[5; 16]));
    }
}
