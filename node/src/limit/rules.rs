//! The limits that are in force on this node: what is stored, as far as it has been read. Accounts ask it once, when they
//! are made, and are told of changes; owners of limits ask it at each question.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use selvedge_protocol::limits::{LOGIN_TRIES_BURST, LOGIN_TRIES_HOUR};

use crate::limit::name::{Counted, LimitId, LimitName, Party};
use crate::limit::rate::Rate;

/// A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules(Arc<RwLock<HashMap<LimitId, Rate>>>);

impl Rules {
    /// These and no others.
    pub(super) fn replace(&self, rules: HashMap<LimitId, Rate>) {
        *self.0.write() = rules;
    }

    /// What holds for somebody: the limit of its own, or that of all.
    pub(super) fn of(&self, party: &Party, name: LimitName) -> Option<Rate> {
        let rules = self.0.read();
        if rules.is_empty() {
            return None;
        }
        let mut scopes = party.scopes().into_iter();
        scopes.find_map(|scope| rules.get(&LimitId { scope, name }).copied())
    }

    /// The rate of what is counted together.
    pub(super) fn rate(&self, party: &Party, counted: Counted) -> Option<Rate> {
        match counted {
            Counted::Limit(name) => self.of(party, name),
            Counted::Passwords => Some(PASSWORDS),
        }
    }
}

/// Of one user, over the cluster.
const PASSWORDS: Rate = Rate::per_hour(LOGIN_TRIES_HOUR, LOGIN_TRIES_BURST);

#[cfg(test)]
mod tests {
    use selvedge_protocol::Tenant;

    use super::*;
    use crate::limit::name::Scope;

    #[test]
    fn one_s_own_limit_goes_before_that_of_all() {
        let tenant = |name: &str| Tenant::new(name).unwrap();
        let party = |of: &str, principal: Option<&str>| Party {
            tenant: tenant(of),
            principal: principal.map(Arc::from),
        };
        let rules = Rules::default();
        let rate = |tokens| Rate::per_second(tokens);
        let name = LimitName::Commands;
        assert_eq!(rules.of(&party("a", None), name), None);
        let id = |scope| LimitId { scope, name };
        rules.replace(HashMap::from([
            (id(Scope::Tenant(tenant("a"))), rate(1)),
            (id(Scope::Tenants), rate(2)),
            (id(Scope::Principal(tenant("a"), "ann".into())), rate(3)),
            (id(Scope::Principals(tenant("a"))), rate(4)),
        ]));
        for (of, principal, tokens) in [
            ("a", None, Some(1)),
            ("b", None, Some(2)),
            ("a", Some("ann"), Some(3)),
            ("a", Some("bob"), Some(4)),
            ("b", Some("ann"), None),
        ] {
            let found = rules.of(&party(of, principal), name);
            assert_eq!(found, tokens.map(rate), "{of} {principal:?}");
        }
        assert_eq!(rules.of(&party("a", None), LimitName::Queries), None);
    }
}
