//! The cluster as an issuer of tokens that are taken: by the rules and code of all others, with keys from the store.

use async_trait::async_trait;

use crate::identity::directory::Directory;
use crate::identity::jwt::claims::{Rules, TenantRule};
use crate::identity::jwt::key_set::KeySet;
use crate::identity::jwt::keys::Published;
use crate::identity::jwt::source::{Source, SourceError};
use crate::identity::jwt::table::ClaimPath;

/// The cluster itself, under the name that its tokens have it by.
#[derive(Debug)]
pub struct OwnIssuer {
    pub name: String,
    pub directory: Directory,
}

impl OwnIssuer {
    /// What its tokens must claim, and where its keys are. They are for itself, and name their tenant; what their roles are by
    /// now the directory knows.
    pub(super) fn into_parts(self) -> (Rules, Box<dyn Source>) {
        let Self { name, directory } = self;
        let rules = Rules {
            audience: name.clone(),
            issuer: name,
            tenant: TenantRule::Claim(ClaimPath::Name("tenant".to_owned())),
            roles: None,
        };
        (rules, Box::new(Stored(directory)))
    }
}

struct Stored(Directory);

#[async_trait]
impl Source for Stored {
    async fn fetch(&self) -> Result<Published, SourceError> {
        let published = self.0.published_keys().await?;
        let keys = KeySet::parse(published.to_string().as_bytes())?;
        if keys.len() == 0 {
            // The first one is made by the first login: it is not to be waited for because somebody asked before.
            return Err(SourceError::None);
        }
        Ok(Published {
            keys,
            // It is at hand: it is looked at as often as may be.
            age_ms: Some(0),
        })
    }
}
