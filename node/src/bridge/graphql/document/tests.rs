//! Tests of measuring documents: hostile ones, and those that tools send.

use async_graphql::parser::parse_query;
use selvedge_protocol::ErrorCode;

use super::*;

fn checked(text: &str) -> Result<(), Failure> {
    check(&parse_query(text).unwrap(), Introspection::On)
}

fn refused(text: &str) -> String {
    let failure = checked(text).unwrap_err();
    assert_eq!(failure.field.as_deref(), Some("query"));
    failure.message
}

#[test]
fn cycles_of_fragments_are_refused_named_or_not() {
    for text in [
        "query { ...a } fragment a on Query { ...a }",
        "query { ...a } fragment a on Query { x { ...b } } fragment b on Query { ...a }",
        "query { about { node } } fragment a on Query { ...b } fragment b on Query { ... { ...a } }",
    ] {
        assert!(refused(text).contains("contains itself"), "{text}");
    }
}

#[test]
fn fragments_that_double_are_measured_at_once_and_refused() {
    let mut text = "query { ...f0 }".to_owned();
    for at in 0..30 {
        text.push_str(&format!(
            "fragment f{at} on Query {{ ...f{next} ...f{next} }}",
            next = at + 1
        ));
    }
    for last in ["about { node }", "...nothing"] {
        let text = format!("{text} fragment f30 on Query {{ {last} }}");
        let said = refused(&text);
        assert!(said.contains("fields"), "{said}");
    }
}

#[test]
fn limits_hold_with_fragments_in_their_places() {
    let deep = |levels: usize| format!("{}{}", "{ a ".repeat(levels), "}".repeat(levels));
    assert_eq!(checked(&deep(GRAPHQL_DEPTH_MAX)), Ok(()));
    assert!(refused(&deep(GRAPHQL_DEPTH_MAX + 1)).contains("deep"));
    let half = GRAPHQL_DEPTH_MAX / 2 + 1;
    let by_fragment = format!(
        "query {} fragment f on Query {}",
        deep(half).replacen("a }", "a { ...f } }", 1),
        deep(half)
    );
    assert!(refused(&by_fragment).contains("deep"), "{by_fragment}");

    let roots = |count: usize| {
        let names: Vec<_> = (0..count).map(|at| format!("f{at}")).collect();
        names.join(" ")
    };
    let most = GRAPHQL_ROOT_FIELDS_MAX;
    assert_eq!(checked(&format!("{{ {} }}", roots(most))), Ok(()));
    assert!(refused(&format!("{{ {} }}", roots(most + 1))).contains("at its root"));
    let wide = format!("{{ a {{ {} }} }}", roots(GRAPHQL_FIELDS_MAX));
    assert!(refused(&wide).contains("fields"));

    let aliases: Vec<_> = (0..=GRAPHQL_ALIASES_MAX)
        .map(|at| format!("a{at}: b"))
        .collect();
    assert!(refused(&format!("{{ x {{ {} }} }}", aliases.join(" "))).contains("aliases"));
    let directives = "@skip(if: false) ".repeat(GRAPHQL_DIRECTIVES_MAX + 1);
    assert!(refused(&format!("{{ a {directives} }}")).contains("directives"));
    assert!(refused(&format!("query {directives} {{ a }}")).contains("directives"));
    let operations: Vec<_> = (0..=GRAPHQL_OPERATIONS_MAX)
        .map(|at| format!("query q{at} {{ a }}"))
        .collect();
    assert!(refused(&operations.join(" ")).contains("operations"));
}

#[test]
fn a_mutation_has_each_field_at_its_root_once() {
    for text in [
        "mutation { a { x x } b: a { x } }",
        "mutation { ...f } fragment f on M { a { x } b: a { x } }",
        "{ a { x } a { y } }",
    ] {
        assert_eq!(checked(text), Ok(()), "{text}");
    }
    for text in [
        "mutation { a { x } a { y } }",
        "mutation { a { x } ... { a { x } } }",
        "mutation { ...f ...f } fragment f on M { a { x } }",
        "query q { a } mutation m { a @skip(if: true) b: a b: c }",
    ] {
        assert!(refused(text).contains("more than once"), "{text}");
    }
}

#[test]
fn a_subscription_has_one_field_at_its_root() {
    assert_eq!(checked("subscription { a { b c } }"), Ok(()));
    for text in [
        "subscription { a b }",
        "subscription { ...f } fragment f on S { a }",
        "subscription { ... { a } }",
    ] {
        assert!(refused(text).contains("one field"), "{text}");
    }
}

#[test]
fn deep_questions_for_the_schema_are_refused_and_all_of_them_where_it_is_not_told() {
    let deep = "{ __schema { types { fields { type { fields { type { fields { type { fields { name \
                } } } } } } } } } }";
    assert!(refused(deep).contains("schema"));
    for text in [
        "{ __schema { queryType { name } } }",
        "{ __type(name: \"x\") { name } }",
    ] {
        assert_eq!(checked(text), Ok(()));
        let failure = check(&parse_query(text).unwrap(), Introspection::Off).unwrap_err();
        assert_eq!(failure.code, ErrorCode::PermissionDenied);
    }
    let own = parse_query("{ __typename about { __typename } }").unwrap();
    assert_eq!(check(&own, Introspection::Off), Ok(()));
}

#[test]
fn the_operation_of_a_request_is_the_one_that_is_named_or_the_only_one() {
    let document = parse_query("query a { x } mutation b { y }").unwrap();
    let of = |name| chosen(&document, name).map(|it| it.ty);
    assert_eq!(of(Some("a")), Some(OperationType::Query));
    assert_eq!(of(Some("b")), Some(OperationType::Mutation));
    assert_eq!(of(Some("c")), None);
    assert_eq!(of(None), None);
    let document = parse_query("{ x }").unwrap();
    assert!(chosen(&document, None).is_some());
    assert!(chosen(&document, Some("a")).is_none());
}
