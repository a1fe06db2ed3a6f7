//! The HTML of the page at which users log in, and of what there is in its place. It has no script; its one style is named by
//! its hash. Pure.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// What a page shows.
pub(super) struct LoginPage<'a> {
    pub(super) client: &'a str,
    /// `None`: it is the one that is there without asking.
    pub(super) tenant: Option<&'a str>,
    /// What was typed before.
    pub(super) username: &'a str,
    /// What was wrong.
    pub(super) alert: Option<&'a str>,
    /// What comes back with the password.
    pub(super) hidden: &'a [(&'a str, &'a str)],
}

impl LoginPage<'_> {
    pub(super) fn html(&self) -> String {
        let mut hidden = String::new();
        for (name, value) in self.hidden {
            let (name, value) = (escaped(name), escaped(value));
            let _ = write!(
                hidden,
                "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
            );
        }
        let alert = self.alert.map_or(String::new(), |alert| {
            format!("<p role=\"alert\" id=\"alert\">{}</p>", escaped(alert))
        });
        // A reader hears what was wrong where it is to be mended.
        let described = match self.alert {
            Some(_) => " aria-invalid=\"true\" aria-describedby=\"alert\"",
            None => "",
        };
        let tenant = self.tenant.map_or(String::new(), |tenant| {
            format!("<p>Tenant <strong>{}</strong></p>", escaped(tenant))
        });
        let (client, username) = (escaped(self.client), escaped(self.username));
        // Who comes back for another try goes on with the password.
        let (at_name, at_password) = match self.username {
            "" => (" autofocus", ""),
            _ => ("", " autofocus"),
        };
        document(
            "Log in",
            &format!(
                "<h1>Log in</h1><p>to go on to <strong>{client}</strong></p>{tenant}{alert}\
                 <form method=\"post\" action=\"/oauth/authorize\">{hidden}\
                 <label for=\"username\">Username</label>\
                 <input id=\"username\" name=\"username\" value=\"{username}\" autocomplete=\"username\" \
                 autocapitalize=\"none\" spellcheck=\"false\" required{at_name}{described}>\
                 <label for=\"password\">Password</label>\
                 <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" \
                 required{at_password}{described}>\
                 <button>Log in</button></form>"
            ),
        )
    }
}

/// A page that leads nowhere.
pub(super) fn refusal(message: &str) -> String {
    let message = escaped(message);
    document(
        "Not possible",
        &format!("<h1>This does not work</h1><p role=\"alert\">{message}</p>"),
    )
}

/// The policy of content of these pages. `form_action` is where a form may lead beside the node itself.
pub(super) fn policy(form_action: Option<&str>) -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let form_action = match form_action {
        Some(place) => format!("'self' {place}"),
        None => "'none'".to_owned(),
    };
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · Selvedge</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )
}

/// Text as it stands in HTML, in an element and in an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            it => out.push(it),
        }
    }
    out
}

const STYLE: &str = ":root{color-scheme:light dark;--edge:#767676;--fit:#0b57d0;--bad:#b3261e}\
@media (prefers-color-scheme:dark){:root{--edge:#8f8f8f;--fit:#a8c7fa;--bad:#ffb4ab}}\
body{margin:0;font:1rem/1.5 system-ui,sans-serif}\
main{max-width:22rem;margin:10vh auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}\
p{overflow-wrap:anywhere}\
[role=alert]{border-left:.25rem solid var(--bad);padding-left:.75rem;color:var(--bad)}\
label{display:block;margin-top:1rem}\
input{box-sizing:border-box;width:100%;font:inherit;padding:.5rem;border:1px solid var(--edge);border-radius:.25rem}\
button{width:100%;margin-top:1.5rem;font:inherit;padding:.6rem;border:0;border-radius:.25rem;background:var(--fit);color:Canvas}\
:focus-visible{outline:.2rem solid var(--fit);outline-offset:.1rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_shown_is_text() {
        let evil = "\"><script>alert('1')</script>&amp;";
        let page = LoginPage {
            client: evil,
            tenant: Some(evil),
            username: evil,
            alert: Some(evil),
            hidden: &[("state", evil)],
        };
        for html in [page.html(), refusal(evil)] {
            assert!(
                !html.contains("<script") && !html.contains("\">&lt;\""),
                "{html}"
            );
            assert!(
                html.contains("&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;")
            );
        }
    }

    #[test]
    fn the_page_needs_nobody_and_can_be_read_out() {
        let page = LoginPage {
            client: "The app",
            tenant: None,
            username: "",
            alert: None,
            hidden: &[],
        };
        let html = page.html();
        for part in [
            "<label for=\"username\">",
            "<label for=\"password\">",
            "autocomplete=\"username\"",
            "autocomplete=\"current-password\"",
            "lang=\"en\"",
            "prefers-color-scheme:dark",
        ] {
            assert!(html.contains(part), "{part}");
        }
        for part in ["://", "<script", "onclick", "style=", "role=\"alert\""] {
            assert!(!html.contains(part), "{part}");
        }
        assert!(!html.contains("Tenant"));
    }

    #[test]
    fn the_policy_lets_one_style_and_one_place_through() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert_eq!(
            policy(Some("https://app.example")),
            format!(
                "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self' https://app.example; base-uri 'none'; \
                 frame-ancestors 'none'"
            )
        );
        assert!(policy(None).contains("form-action 'none'"));
    }
}
