//! Verifies tokens: the async part, over the pure `token`, `keys` and `claims`.
//!
//! An authenticator calls [`Issuers::verify`]. It waits only where keys have to be fetched, which is bounded and
//! goes on by itself, so that one who gives up waiting takes nothing from the others.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_protocol::error::chain;
use selvedge_protocol::limits::KEYS_FETCH_MS_MAX;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::identity::Standings;
use crate::identity::jwt::claims::{Claims, Rules, issuer};
use crate::identity::jwt::key::Key;
use crate::identity::jwt::keys::{Answer, Keys, Published};
use crate::identity::jwt::own::OwnIssuer;
use crate::identity::jwt::refused::{Fault, Refused};
use crate::identity::jwt::source::{Source, SourceError};
use crate::identity::jwt::table::IssuerConfig;
use crate::identity::jwt::token::Token;

/// The foreign issuers whose tokens are taken.
#[derive(Debug)]
pub struct Issuers {
    by_name: HashMap<String, Arc<Issuer>>,
}

/// One of them.
struct Issuer {
    rules: Rules,
    source: Box<dyn Source>,
    keys: Mutex<Keys>,
    /// Where the keys are the cluster's own: what hears of their changes, and how many it had heard of when they were looked at.
    changes: Option<(Standings, AtomicU64)>,
    /// Changes when a fetch has ended.
    fetched: watch::Sender<()>,
    clock: Clock,
    started: Instant,
}

impl Issuers {
    /// Knows these issuers, and the cluster itself where it is one. Keys are fetched when the first token of each comes;
    /// within a tokio runtime.
    pub fn new(configs: Vec<IssuerConfig>, own: Option<OwnIssuer>, clock: &Clock) -> Self {
        let parts = configs.into_iter().map(IssuerConfig::into_parts);
        let mut issuers = Self::with_sources(parts, clock);
        if let Some(own) = own {
            let standings = own.directory.standings().clone();
            let (rules, source) = own.into_parts();
            let name = rules.issuer.clone();
            let seen = AtomicU64::new(standings.key_changes());
            let issuer = Issuer {
                changes: Some((standings, seen)),
                ..Issuer::new(rules, source, clock.clone())
            };
            // In the place of another of its name: nobody else speaks for the cluster.
            issuers.by_name.insert(name, Arc::new(issuer));
        }
        issuers
    }

    /// The same with other places for their keys.
    pub(super) fn with_sources(
        parts: impl IntoIterator<Item = (Rules, Box<dyn Source>)>,
        clock: &Clock,
    ) -> Self {
        let issuer = |(rules, source): (Rules, Box<dyn Source>)| {
            let name = rules.issuer.clone();
            (name, Arc::new(Issuer::new(rules, source, clock.clone())))
        };
        Self {
            by_name: parts.into_iter().map(issuer).collect(),
        }
    }

    /// Who has this token, at this time of the wall clock.
    pub async fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, Refused> {
        let verified = self.verified(token, now_ms).await;
        if let Err(refused) = &verified {
            tracing::debug!(reason = refused.reason(), "a token is refused");
        }
        verified
    }

    async fn verified(&self, text: &str, now_ms: u64) -> Result<Claims, Refused> {
        let token = Token::parse(text)?;
        let name = issuer(&token.claims).ok_or(Fault::Claim("iss"))?;
        let issuer = self.by_name.get(name).ok_or(Refused::UnknownIssuer)?;
        let key = issuer.key(token.header.key_id.as_deref()).await?;
        if !key.is_for(&token.header.algorithm) {
            return Err(Fault::Algorithm.into());
        }
        if !key.verifies(token.signed, &token.signature) {
            return Err(Fault::Signature.into());
        }
        let claims = issuer.rules.check(&token.claims, now_ms)?;
        Ok(Claims {
            key_id: token.header.key_id,
            ..claims
        })
    }
}

impl Issuer {
    fn new(rules: Rules, source: Box<dyn Source>, clock: Clock) -> Self {
        Self {
            rules,
            source,
            keys: Mutex::default(),
            changes: None,
            fetched: watch::Sender::new(()),
            started: clock.monotonic(),
            clock,
        }
    }

    /// The key of this id, fetched if need be.
    async fn key(self: &Arc<Self>, id: Option<&str>) -> Result<Arc<Key>, Refused> {
        for _ in 0..WAITS_MAX {
            let (told, mut fetched) = {
                let mut keys = self.keys.lock();
                // Before another one can end the fetch that this one may have to wait for.
                let fetched = self.fetched.subscribe();
                if self.have_changed() {
                    *keys = Keys::default();
                }
                (keys.find(id, self.now_ms()), fetched)
            };
            if told.fetch {
                self.fetch();
            }
            match told.answer {
                Answer::Key(key) => return Ok(key),
                Answer::Unknown => return Err(Fault::UnknownKey.into()),
                Answer::Unavailable => return Err(Refused::Unavailable),
                // The sender is ours: there is no error.
                Answer::Wait => {
                    let _ = fetched.changed().await;
                }
            }
        }
        Err(Refused::Unavailable)
    }

    /// Whether what is known of the keys is of before a change.
    fn have_changed(&self) -> bool {
        self.changes.as_ref().is_some_and(|(standings, seen)| {
            let heard = standings.key_changes();
            seen.swap(heard, Ordering::AcqRel) != heard
        })
    }

    /// Fetches the keys behind the callers' back.
    fn fetch(self: &Arc<Self>) {
        let mut flight = Flight {
            issuer: Arc::clone(self),
            published: None,
        };
        tokio::spawn(async move {
            let limit = Duration::from_millis(KEYS_FETCH_MS_MAX);
            let fetched = timeout(limit, flight.issuer.source.fetch()).await;
            let name = &flight.issuer.rules.issuer;
            match fetched.unwrap_or(Err(SourceError::Late)) {
                Ok(published) => {
                    let keys = published.keys.len();
                    if keys == 0 {
                        tracing::warn!(issuer = name, "an issuer publishes no key that is taken");
                    }
                    tracing::debug!(issuer = name, keys, "keys are fetched");
                    flight.published.replace(published);
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(issuer = name, error, "an issuer's keys cannot be fetched");
                }
            }
        });
    }

    fn now_ms(&self) -> u64 {
        let since = self.clock.monotonic().duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A fetch under way. However it ends, those who wait for it are told.
struct Flight {
    issuer: Arc<Issuer>,
    published: Option<Published>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let published = self.published.take();
        let now_ms = self.issuer.now_ms();
        self.issuer.keys.lock().fetched(published, now_ms);
        self.issuer.fetched.send_replace(());
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({:?})", self.rules)
    }
}

/// Fetches that one token waits for: one that was under way when it came, and one for its own key.
const WAITS_MAX: usize = 3;
