//! The query parameters of a request: each known, given once, and text. Handlers take what they need by name.

use percent_encoding::percent_decode_str;
use selvedge_protocol::limits::{OPERATION_PAGE_DEFAULT, OPERATION_PAGE_MAX};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::problem::Problem;

/// Parameters by name.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of a query string; others than `known` are refused.
    pub(crate) fn parse(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode("query", name)?;
            if !known.contains(&name.as_str()) {
                let message = match known {
                    [] => "this path takes no parameters".to_owned(),
                    known => format!(
                        "this path takes no such parameter; use {}",
                        known.join(", ")
                    ),
                };
                return Err(invalid(&name, message));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(invalid(&name, "the parameter is given twice; give it once"));
            }
            let value = decode(&name, value)?;
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter as what it has to be; what it says of itself is what it should be.
    pub(crate) fn of<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let parse = |text: &str| {
            text.parse()
                .map_err(|error: T::Err| invalid(name, error.to_string()))
        };
        self.text(name).map(parse).transpose()
    }

    /// The size of a page, by `limit`.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.text("limit") else {
            return Ok(OPERATION_PAGE_DEFAULT);
        };
        match text.parse() {
            Ok(limit) if (1..=OPERATION_PAGE_MAX).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => Err(invalid(
                "limit",
                format!("a page has 1 to {OPERATION_PAGE_MAX} items"),
            )),
        }
    }

    /// The same with another cursor, as a query string.
    pub(crate) fn with_cursor(&self, cursor: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let others = self.0.iter().filter(|(name, _)| name != "cursor");
        query.extend_pairs(others);
        query.append_pair("cursor", cursor);
        query.finish()
    }
}

/// A refusal of a field.
pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Problem {
    // A name that somebody made up is not repeated at any length.
    let field: String = field.chars().take(FIELD_CHARS_MAX).collect();
    Failure::field(ErrorCode::Invalid, field, message).into()
}

fn decode(name: &str, text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    match percent_decode_str(&text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(invalid(
            name,
            "its percent-encoding is no UTF-8; encode the bytes of UTF-8",
        )),
    }
}

/// As much of a foreign name as tells which it is.
const FIELD_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_known_and_given_once() {
        let known = ["kind", "cursor", "limit"];
        let parameters = Parameters::parse("kind=a%2Fb+c&limit=7", &known).unwrap();
        assert_eq!(parameters.text("kind"), Some("a/b c"));
        assert_eq!(parameters.limit().unwrap(), 7);
        assert_eq!(
            parameters.with_cursor("x y"),
            "kind=a%2Fb+c&limit=7&cursor=x+y"
        );
        for (query, field) in [
            ("kind=a&kind=b", "kind"),
            ("kynd=a", "kynd"),
            ("kind=%FF", "kind"),
        ] {
            let problem = Parameters::parse(query, &known).unwrap_err();
            assert_eq!(problem.field(), Some(field), "{query}");
        }
        for limit in ["0", "501", "-1", "many", ""] {
            let query = format!("limit={limit}");
            let parameters = Parameters::parse(&query, &known).unwrap();
            assert_eq!(parameters.limit().unwrap_err().field(), Some("limit"));
        }
    }
}
