//! Rules in text: `RESOURCE:ACTION`, either of them `*`, and `:own` behind for what is the principal's own. What is
//! written is read the same; what means nothing is refused.

use std::fmt;
use std::str::FromStr;

use selvedge_protocol::limits::ROLE_RULE_BYTES_MAX;

use crate::identity::permission::{Action, Holder, Owner, Resource, TABLE};
use crate::identity::role::{Rule, Scope};

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("a rule is RESOURCE:ACTION or RESOURCE:ACTION:own, for example session:read:own")]
    Form,
    #[error("there is no such resource; use * or one of {}", names(Resource::ALL.map(Resource::name)))]
    Resource,
    #[error("there is no such action; use * or one of {}", names(Action::ALL.map(Action::name)))]
    Action,
    #[error("no role can give {0}")]
    Nothing(String),
    #[error("{0} cannot be given for what is one's own, since nobody knows whose it is")]
    Own(String),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.len() > ROLE_RULE_BYTES_MAX {
            return Err(RuleError::Form);
        }
        let parts: Vec<_> = text.split(':').collect();
        let (resource, action, scope) = match *parts {
            [resource, action] => (resource, action, Scope::Any),
            [resource, action, "own"] => (resource, action, Scope::Own),
            _ => return Err(RuleError::Form),
        };
        let rule = Self {
            resource: Resource::ALL.into_iter().find(|it| it.name() == resource),
            action: Action::ALL.into_iter().find(|it| it.name() == action),
            scope,
        };
        if rule.resource.is_none() && resource != ALL {
            return Err(RuleError::Resource);
        }
        if rule.action.is_none() && action != ALL {
            return Err(RuleError::Action);
        }
        rule.gives_something()?;
        Ok(rule)
    }
}

impl Rule {
    fn gives_something(self) -> Result<(), RuleError> {
        let mut given = TABLE
            .iter()
            .filter(|it| self.matches(it.permission) && it.holder != Holder::Administrators)
            .peekable();
        if given.peek().is_none() {
            return Err(RuleError::Nothing(self.to_string()));
        }
        let is_known = |owner: Owner| match owner {
            Owner::Known => true,
            Owner::Unknown => false,
        };
        match self.scope == Scope::Own && !given.any(|it| is_known(it.owner)) {
            true => Err(RuleError::Own(format!(
                "{}:{}",
                self.resource.map_or(ALL, Resource::name),
                self.action.map_or(ALL, Action::name)
            ))),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.resource.map_or(ALL, Resource::name);
        let action = self.action.map_or(ALL, Action::name);
        let scope = match self.scope {
            Scope::Any => "",
            Scope::Own => ":own",
        };
        write!(f, "{resource}:{action}{scope}")
    }
}

/// Every rule that means something, for descriptions.
pub(crate) fn every_rule() -> Vec<String> {
    let resources = Resource::ALL.map(Some).into_iter().chain([None]);
    let pairs = resources.flat_map(|resource| {
        let actions = Action::ALL.map(Some).into_iter().chain([None]);
        actions.map(move |action| (resource, action))
    });
    let rules = pairs.flat_map(|(resource, action)| {
        [Scope::Any, Scope::Own].map(|scope| Rule {
            resource,
            action,
            scope,
        })
    });
    let told = rules.filter(|rule| rule.gives_something().is_ok());
    told.map(|rule| rule.to_string()).collect()
}

fn names<const N: usize>(names: [&str; N]) -> String {
    names.join(", ")
}

const ALL: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "*:*",
            "operation:read",
            "*:read",
            "actor:*",
            "session:read:own",
            "*:*:own",
            "api-key:write:own",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_rule_is_one() {
        let all = every_rule();
        for text in &all {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), *text);
        }
        assert!(all.iter().any(|it| it == "*:*") && all.iter().all(|it| it != "config:read"));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, expected) in [
            ("", RuleError::Form),
            ("operation", RuleError::Form),
            ("operation:read:any", RuleError::Form),
            ("operation:read:own:own", RuleError::Form),
            ("Operation:read", RuleError::Resource),
            ("operations:read", RuleError::Resource),
            (" operation:read", RuleError::Resource),
            (":read", RuleError::Resource),
            ("operation:", RuleError::Action),
            ("operation:delete", RuleError::Action),
        ] {
            assert_eq!(text.parse::<Rule>().unwrap_err(), expected, "{text:?}");
        }
        for text in [
            "cluster:administer",
            "config:read",
            "config:tell",
            "config:*",
        ] {
            let refused = text.parse::<Rule>().unwrap_err();
            assert_eq!(refused, RuleError::Nothing(text.to_owned()));
        }
        let refused = "operation:read:own".parse::<Rule>().unwrap_err();
        assert_eq!(refused, RuleError::Own("operation:read".to_owned()));
        assert!("*".repeat(100).parse::<Rule>().is_err());
    }
}
