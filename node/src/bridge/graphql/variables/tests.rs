//! Tests of variables: where they may be used, what they take, and what stands for those that have no value.

use async_graphql::parser::parse_query;
use serde_json::json;

use super::*;

const SCHEMA: &str = "
scalar JSON
scalar UInt64
scalar DateTime
enum Status { OPEN CLOSED }
input Label { key: String! value: String! }
input Filter {
  status: Status label: Label labels: [Label!]! = [] priority: Int! = 7 inner: Filter any: JSON id: ID
}
interface Named { name(short: Boolean! = false): String }
type Thing implements Named { name(short: Boolean! = false): String things(first: Int): [Thing!]! }
type Query {
  thing(id: ID!, ids: [ID!], grid: [[Int!]!]): Thing!
  find(filter: Filter, float: Float, text: String, is: Boolean, after: UInt64, at: DateTime, any: JSON): [Named]
}
type Subscription { watch(after: UInt64): Thing }
";

fn types() -> Types {
    Types::read(SCHEMA).unwrap()
}

fn checked(text: &str) -> Result<(), Failure> {
    check(&types(), &parse_query(text).unwrap())
}

/// What variables are after they were bound.
fn bound(text: &str, values: serde_json::Value) -> Result<serde_json::Value, Failure> {
    let document = parse_query(text).unwrap();
    let (_, operation) = document.operations.iter().next().unwrap();
    let mut values = Variables::from_json(values);
    bind(&types(), &document, &operation.node, &mut values)?;
    Ok(serde_json::to_value(values).unwrap())
}

#[test]
fn a_variable_is_used_where_its_type_fits() {
    for (declared, used) in [
        ("$v: ID!", "thing(id: $v) { name }"),
        ("$v: ID = 1", "thing(id: $v) { name }"),
        ("$v: ID!", "thing(id: 1, ids: [$v, 2]) { name }"),
        ("$v: [ID!]!", "thing(id: 1, ids: $v) { name }"),
        ("$v: [ID!]", "thing(id: 1, ids: $v) { name }"),
        ("$v: [[Int!]!]", "thing(id: 1, grid: $v) { name }"),
        ("$v: [Int!]!", "thing(id: 1, grid: [$v]) { name }"),
        ("$v: Int!", "thing(id: 1, grid: [[$v]]) { name }"),
        ("$v: Filter", "find(filter: $v) { name }"),
        (
            "$v: Filter!",
            "find(filter: { inner: { inner: $v } }) { name }",
        ),
        ("$v: Int", "find(filter: { priority: $v }) { name }"),
        ("$v: Boolean", "find { name(short: $v) }"),
        ("$v: Label!", "find(filter: { labels: [$v] }) { name }"),
        (
            "$v: String!",
            "find(filter: { labels: { key: $v, value: $v } }) { name }",
        ),
        ("$v: [Label!]", "find(filter: { labels: $v }) { name }"),
        ("$v: Boolean!", "find @include(if: $v) { name }"),
        ("$v: Boolean = true", "find @skip(if: $v) { name }"),
        ("$v: String", "find(any: { a: [$v] }) { name }"),
        (
            "$v: Int",
            "find { ... on Thing { things(first: $v) { name } } }",
        ),
        ("$v: String!", "__type(name: $v) { name }"),
        // What is not known is not looked at.
        ("$v: Int", "nothing(of: $v) { it }"),
        ("$v: Int", "find(nothing: $v) { name }"),
        (
            "$v: Int",
            "find(filter: { nothing: $v }) @nothing(of: $v) { name }",
        ),
    ] {
        let text = format!("query({declared}) {{ {used} }}");
        assert_eq!(checked(&text), Ok(()), "{text}");
    }
}

/// How a variable is declared, where it is used, and what is said of it.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "$v: Boolean",
        "thing(id: 1) { things(first: $v) { name } }",
        "first takes Int, and $v is of the type Boolean",
    ),
    (
        "$v: [Int]",
        "thing(id: 1) { things(first: $v) { name } }",
        "first takes Int",
    ),
    ("$v: ID", "thing(id: $v) { name }", "id takes ID!"),
    ("$v: ID = null", "thing(id: $v) { name }", "id takes ID!"),
    ("$v: String!", "thing(id: $v) { name }", "id takes ID!"),
    (
        "$v: ID!",
        "thing(id: 1, ids: $v) { name }",
        "ids takes [ID!]",
    ),
    (
        "$v: [ID]",
        "thing(id: 1, ids: $v) { name }",
        "ids takes [ID!]",
    ),
    (
        "$v: ID",
        "thing(id: 1, ids: [2, $v]) { name }",
        "ids[1] takes ID!",
    ),
    (
        "$v: [[Int]!]",
        "thing(id: 1, grid: $v) { name }",
        "grid takes [[Int!]!]",
    ),
    (
        "$v: Int",
        "find(filter: $v) { name }",
        "filter takes Filter",
    ),
    (
        "$v: String",
        "find(filter: { status: $v }) { name }",
        "filter.status takes Status",
    ),
    (
        "$v: String",
        "find(filter: { label: { key: $v } }) { name }",
        "filter.label.key takes String!",
    ),
    (
        "$v: String",
        "find(filter: { labels: [{ key: $v }] }) { name }",
        "filter.labels[0].key takes String!",
    ),
    (
        "$v: String",
        "find(filter: { labels: { key: $v } }) { name }",
        "filter.labels.key takes String!",
    ),
    (
        "$v: Float",
        "find(filter: { inner: { priority: $v } }) { name }",
        "filter.inner.priority takes Int!",
    ),
    (
        "$v: Boolean",
        "find @include(if: $v) { name }",
        "if takes Boolean!",
    ),
    (
        "$v: Boolean",
        "... @skip(if: $v) { find { name } }",
        "if takes Boolean!",
    ),
    (
        "$v: String",
        "find { ... on Named { name(short: $v) } }",
        "short takes Boolean!",
    ),
    (
        "$v: String",
        "...f } fragment f on Query { ...g } fragment g on Query { find(is: $v) { name }",
        "is takes Boolean",
    ),
    (
        "$v: String",
        "__type(name: $v) { name }",
        "name takes String!",
    ),
];

#[test]
fn a_variable_of_another_type_is_refused_wherever_it_is() {
    for (declared, used, at) in REFUSED {
        let text = format!("query({declared}) {{ {used} }}");
        let failure = checked(&text).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Invalid, "{text}");
        assert_eq!(failure.field.as_deref(), Some("query"), "{text}");
        assert!(failure.message.contains(at), "{text}: {}", failure.message);
    }
    // Of operations that are not executed as well, each with the fragments that it has.
    let fragment = "fragment f on Query { find(text: $v) { name } }";
    for (other, is_right) in [("String", true), ("Int", false)] {
        let text =
            format!("query a($v: String) {{ ...f }} query b($v: {other}) {{ ...f }} {fragment}");
        assert_eq!(checked(&text).is_ok(), is_right, "{text}");
    }
    let text = "subscription($v: Float) { watch(after: $v) { name } }";
    assert!(
        checked(text)
            .unwrap_err()
            .message
            .contains("after takes UInt64")
    );
}

#[test]
fn values_of_the_document_are_of_the_types_of_their_places() {
    for right in [
        "thing(id: 1) { things(first: 2147483647) { name } }",
        "find(filter: { status: OPEN, priority: -1, any: { a: [1, B] } }, float: 1, any: 1.5) { name }",
        "find(filter: null, after: \"7\", at: \"2026-01-31T12:00:00Z\") { name }",
    ] {
        assert_eq!(checked(&format!("{{ {right} }}")), Ok(()), "{right}");
    }
    for (wrong, at) in [
        (
            "thing(id: 1) { things(first: 2147483648) { name } }",
            "first: Int is a whole number",
        ),
        (
            "thing(id: null) { name }",
            "id: it needs a value of the type ID!",
        ),
        (
            "thing(id: 1, grid: [[1], [2, 1.5]]) { name }",
            "grid[1][1]: Int",
        ),
        ("find(filter: 1) { name }", "filter: Filter is an object"),
        (
            "find(filter: { status: AJAR }) { name }",
            "filter.status: Status is one of OPEN, CLOSED",
        ),
        (
            "find(after: -1) { name }",
            "after: UInt64 is a whole number from 0 on",
        ),
        ("find(at: 1) { name }", "at: DateTime is a time"),
    ] {
        let failure = checked(&format!("{{ {wrong} }}")).unwrap_err();
        assert!(failure.message.contains(at), "{wrong}: {}", failure.message);
    }
}

#[test]
fn a_variable_takes_the_values_of_its_type() {
    for (ty, value) in [
        ("Int", json!(null)),
        ("Int!", json!(-2_147_483_648_i64)),
        ("Float!", json!(1)),
        ("Float!", json!(1.5)),
        ("String!", json!("")),
        ("Boolean!", json!(false)),
        ("ID!", json!("a")),
        ("ID!", json!(5)),
        ("[ID!]!", json!(["a", 5])),
        ("[ID!]!", json!("a")),
        ("[[Int!]]", json!([[1, 2], null, [3]])),
        ("[[Int!]]", json!(1)),
        ("Status", json!("CLOSED")),
        ("UInt64!", json!("18446744073709551615")),
        ("UInt64!", json!(18_446_744_073_709_551_615_u64)),
        ("DateTime!", json!("2026-01-31T12:00:00Z")),
        ("JSON!", json!({ "a": [1, { "b": null }] })),
        ("Filter!", json!({})),
        (
            "Filter!",
            json!({ "labels": { "key": "a", "value": "b" }, "inner": { "priority": 1 }, "any": [] }),
        ),
        // Which the library says of.
        ("Nothing!", json!(1)),
        ("Thing!", json!(1)),
    ] {
        let text = format!("query($v: {ty}) {{ find(any: $v) {{ name }} }}");
        let document = parse_query(&text).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let mut values = Variables::from_json(json!({ "v": value, "more": 1 }));
        let held = operation
            .node
            .variable_definitions
            .iter()
            .try_for_each(|it| {
                let value = values.entry(Name::new("v")).or_default();
                fits(&types(), &it.node.var_type.node, value, "variables.v")
            });
        assert!(held.is_ok(), "{ty}: {value}");
    }
}

#[test]
fn a_value_that_a_variable_does_not_take_is_named() {
    for (declared, given, at) in [
        ("$v: Int!", json!({}), "variables.v"),
        ("$v: Int!", json!({ "v": null }), "variables.v"),
        ("$v: Int! = 1", json!({ "v": null }), "variables.v"),
        ("$v: Int", json!({ "v": "1" }), "variables.v"),
        ("$v: Int", json!({ "v": 1.5 }), "variables.v"),
        ("$v: Int", json!({ "v": 2_147_483_648_i64 }), "variables.v"),
        ("$v: Int", json!({ "v": true }), "variables.v"),
        ("$v: Int", json!({ "v": [1] }), "variables.v"),
        ("$v: Float", json!({ "v": "1.5" }), "variables.v"),
        ("$v: String", json!({ "v": 1 }), "variables.v"),
        ("$v: Boolean", json!({ "v": 0 }), "variables.v"),
        ("$v: ID", json!({ "v": 1.5 }), "variables.v"),
        ("$v: [ID!]", json!({ "v": ["a", null] }), "variables.v[1]"),
        (
            "$v: [[Int]]",
            json!({ "v": [[1], ["x"]] }),
            "variables.v[1][0]",
        ),
        ("$v: Status", json!({ "v": "open" }), "variables.v"),
        ("$v: Status", json!({ "v": 0 }), "variables.v"),
        ("$v: UInt64", json!({ "v": "-1" }), "variables.v"),
        ("$v: DateTime", json!({ "v": 0 }), "variables.v"),
        ("$v: Filter", json!({ "v": "x" }), "variables.v"),
        (
            "$v: Filter",
            json!({ "v": { "nothing": 1 } }),
            "variables.v.nothing",
        ),
        (
            "$v: Filter",
            json!({ "v": { "label": { "key": "a" } } }),
            "variables.v.label.value",
        ),
        (
            "$v: Filter",
            json!({ "v": { "labels": [{ "key": "a", "value": 1 }] } }),
            "variables.v.labels[0].value",
        ),
        (
            "$v: Filter",
            json!({ "v": { "priority": null } }),
            "variables.v.priority",
        ),
    ] {
        let text = format!("query({declared}) {{ find {{ name }} }}");
        let failure = bound(&text, given.clone()).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Invalid, "{declared} {given}");
        assert_eq!(failure.field.as_deref(), Some(at), "{declared} {given}");
    }
}

#[test]
fn a_place_whose_variable_has_no_value_keeps_its_default() {
    let text = "query($v: Int, $w: Boolean, $x: String, $y: Int = 3, $l: [Label!]) {
        find(text: $x, filter: { priority: $v, labels: $l }) { name(short: $w) }
        other: find(filter: { priority: $y }) { name } }";
    let left = json!({ "v": 7, "w": false, "l": [] });
    assert_eq!(bound(text, json!({})), Ok(left));
    let given = json!({ "v": 1, "w": true, "x": "a", "y": 2, "l": null });
    assert_eq!(bound(text, given.clone()), Ok(given));
}
