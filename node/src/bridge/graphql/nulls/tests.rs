//! Tests of what stands where a field has failed: what the executor gives against what the specification says, for
//! documents, schemas of fields and failures that chance chooses; and events of subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::parse_query;
use async_graphql::{
    Context, EmptySubscription, Error, Object, Request, Schema, SimpleObject, Subscription,
};
use futures::{Stream, StreamExt, stream};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// The places at which fields fail.
struct Failing(BTreeSet<String>);

#[derive(Debug)]
struct Thing;

/// Whether the field that is being resolved is to fail.
fn resolved<T>(context: &Context<'_>, value: T) -> Result<T, Error> {
    let place = context.path_node.unwrap().to_string();
    match context.data::<Failing>()?.0.contains(&place) {
        true => Err(Error::new(place)),
        false => Ok(value),
    }
}

#[Object]
#[allow(
    clippy::unused_async,
    reason = "what makes fields of these takes async functions alone"
)]
impl Thing {
    async fn leaf(&self, context: &Context<'_>) -> Result<Option<i32>, Error> {
        resolved(context, Some(1))
    }

    async fn sure_leaf(&self, context: &Context<'_>) -> Result<i32, Error> {
        resolved(context, 2)
    }

    async fn thing(&self, context: &Context<'_>) -> Result<Option<Self>, Error> {
        resolved(context, Some(Self))
    }

    async fn sure_thing(&self, context: &Context<'_>) -> Result<Self, Error> {
        // Not at once, so that its end comes after that of others.
        tokio::task::yield_now().await;
        resolved(context, Self)
    }

    async fn list(&self, context: &Context<'_>) -> Result<Option<Vec<Option<Self>>>, Error> {
        resolved(context, Some(vec![Some(Self), None, Some(Self)]))
    }

    async fn list_of_sure(&self, context: &Context<'_>) -> Result<Option<Vec<Self>>, Error> {
        resolved(context, Some(vec![Self, Self]))
    }

    async fn sure_list(&self, context: &Context<'_>) -> Result<Vec<Option<Self>>, Error> {
        resolved(context, vec![Some(Self), Some(Self)])
    }

    async fn sure_list_of_sure(&self, context: &Context<'_>) -> Result<Vec<Self>, Error> {
        resolved(context, vec![Self, Self])
    }
}

/// A field of the document.
#[derive(Debug, Clone)]
struct Asked {
    name: &'static str,
    /// Its place among those of the same name, which makes its alias.
    number: usize,
    is_in_fragment: bool,
    within: Vec<Self>,
}

impl Asked {
    fn key(&self) -> String {
        format!("{}{}", self.name, self.number)
    }

    fn is_nullable(&self) -> bool {
        !self.name.starts_with("sure")
    }
}

/// What a list has, and whether its items may be null.
fn items(name: &str) -> Option<(&'static [bool], bool)> {
    match name {
        "list" => Some((&[true, false, true], true)),
        "sureList" => Some((&[true, true], true)),
        "listOfSure" | "sureListOfSure" => Some((&[true, true], false)),
        _ => None,
    }
}

fn document(asked: &[Asked]) -> String {
    let fields: Vec<_> = asked
        .iter()
        .map(|field| {
            let within = match field.within.is_empty() {
                true => String::new(),
                false => document(&field.within),
            };
            let text = format!("{}: {}{within}", field.key(), field.name);
            match field.is_in_fragment {
                true => format!("... {{ {text} }}"),
                false => text,
            }
        })
        .collect();
    format!("{{ {} }}", fields.join(" "))
}

/// What the specification has for a selection, and the errors of it. `Err`: it cannot be.
fn expected(
    asked: &[Asked],
    at: &str,
    failing: &BTreeSet<String>,
    errors: &mut BTreeSet<String>,
) -> Result<Value, ()> {
    let mut object = Map::new();
    let mut is_broken = false;
    for field in asked {
        let place = match at {
            "" => field.key(),
            at => format!("{at}.{}", field.key()),
        };
        let value = expected_field(field, &place, failing, errors);
        match value.or_else(|()| field.is_nullable().then_some(Value::Null).ok_or(())) {
            Ok(value) => {
                object.insert(field.key(), value);
            }
            Err(()) => is_broken = true,
        }
    }
    match is_broken {
        true => Err(()),
        false => Ok(Value::Object(object)),
    }
}

fn expected_field(
    field: &Asked,
    place: &str,
    failing: &BTreeSet<String>,
    errors: &mut BTreeSet<String>,
) -> Result<Value, ()> {
    if failing.contains(place) {
        errors.insert(place.to_owned());
        return Err(());
    }
    if let Some((items, is_nullable)) = items(field.name) {
        let mut is_broken = false;
        let mut list = Vec::new();
        for (index, is_there) in items.iter().enumerate() {
            let place = format!("{place}.{index}");
            match is_there {
                true => match expected(&field.within, &place, failing, errors) {
                    Ok(value) => list.push(value),
                    Err(()) if is_nullable => list.push(Value::Null),
                    Err(()) => is_broken = true,
                },
                false => list.push(Value::Null),
            }
        }
        return match is_broken {
            true => Err(()),
            false => Ok(Value::Array(list)),
        };
    }
    match field.name {
        "leaf" => Ok(json!(1)),
        "sureLeaf" => Ok(json!(2)),
        _ => expected(&field.within, place, failing, errors),
    }
}

/// Every place of a document at which a field may fail.
fn places(asked: &[Asked], at: &str, found: &mut Vec<String>) {
    for field in asked {
        let place = match at {
            "" => field.key(),
            at => format!("{at}.{}", field.key()),
        };
        match items(field.name) {
            Some((items, _)) => {
                for index in 0..items.len() {
                    places(&field.within, &format!("{place}.{index}"), found);
                }
            }
            None => places(&field.within, &place, found),
        }
        found.push(place);
    }
}

fn leaves() -> impl Strategy<Value = Asked> {
    (prop_oneof![Just("leaf"), Just("sureLeaf")], any::<bool>()).prop_map(
        |(name, is_in_fragment)| Asked {
            name,
            number: 0,
            is_in_fragment,
            within: Vec::new(),
        },
    )
}

fn selections() -> impl Strategy<Value = Vec<Asked>> {
    let composites = prop_oneof![
        Just("thing"),
        Just("sureThing"),
        Just("list"),
        Just("listOfSure"),
        Just("sureList"),
        Just("sureListOfSure"),
    ];
    let composites = composites.boxed();
    let fields = leaves().prop_recursive(4, 24, 3, move |within| {
        let within = prop::collection::vec(within, 1..=3);
        (composites.clone(), any::<bool>(), within).prop_map(|(name, is_in_fragment, within)| {
            Asked {
                name,
                number: 0,
                is_in_fragment,
                within: numbered(within),
            }
        })
    });
    prop::collection::vec(fields, 1..=3).prop_map(numbered)
}

/// With another alias for each.
fn numbered(mut asked: Vec<Asked>) -> Vec<Asked> {
    for (number, field) in asked.iter_mut().enumerate() {
        field.number = number;
    }
    asked
}

fn executed(text: &str, failing: BTreeSet<String>) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let schema = Schema::build(Thing, async_graphql::EmptyMutation, EmptySubscription)
        .extension(Nulls)
        .limit_recursive_depth(64)
        .finish();
    let mut document = parse_query(text).unwrap();
    mark(&mut document);
    let mut request = Request::new(text).data(Failing(failing));
    request.set_parsed_query(document);
    let response = runtime.block_on(schema.execute(request));
    serde_json::to_value(response).unwrap()
}

/// The places that errors are of, each once.
fn places_of_errors(response: &Value) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for error in response["errors"].as_array().into_iter().flatten() {
        let path = error["path"].as_array().unwrap().iter();
        let path: Vec<_> = path
            .map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
            .collect();
        assert_eq!(error["message"], path.join("."));
        *places.entry(path.join(".")).or_default() += 1;
    }
    places
}

proptest! {
    #[test]
    fn what_failed_is_null_or_makes_null_what_it_is_part_of(
        asked in selections(),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..=3),
    ) {
        let mut all = Vec::new();
        places(&asked, "", &mut all);
        let failing: BTreeSet<String> = chosen.iter().map(|index| index.get(&all).clone()).collect();
        let mut errors = BTreeSet::new();
        let data = expected(&asked, "", &failing, &mut errors).unwrap_or_default();
        let response = executed(&document(&asked), failing.clone());
        prop_assert_eq!(&response["data"], &data, "{} {:?}", document(&asked), failing);
        let told = places_of_errors(&response);
        prop_assert!(told.values().all(|count| *count == 1), "{:?}", told);
        prop_assert_eq!(told.into_keys().collect::<BTreeSet<_>>(), errors);
    }
}

#[test]
fn a_type_says_at_each_of_its_lists_what_may_be_null() {
    for (ty, nullable) in [
        ("Int", &[true][..]),
        ("Int!", &[false]),
        ("[Int]", &[true, true]),
        ("[Int!]", &[true, false]),
        ("[Int]!", &[false, true]),
        ("[[Int!]]!", &[false, true, false]),
    ] {
        for (lists, is) in nullable.iter().enumerate() {
            assert_eq!(is_nullable(ty, lists), *is, "{ty} {lists}");
        }
    }
}

#[test]
fn fields_that_are_asked_for_twice_are_null_if_they_fail_once() {
    let text = "{ a: thing { leaf } a: thing { b: sureThing { sureLeaf } } a: thing { leaf } }";
    let response = executed(text, BTreeSet::from(["a.b.sureLeaf".to_owned()]));
    assert_eq!(response["data"], json!({ "a": null }));
}

#[test]
fn what_is_there_is_no_null_whatever_is_asked_of_it() {
    for (text, data) in [
        (
            "{ thing { ... @skip(if: true) { leaf } } sureThing { leaf @skip(if: true) } }",
            json!({ "thing": {}, "sureThing": {} }),
        ),
        (
            "{ list { ...f } } fragment f on Thing { ... @include(if: false) { leaf } }",
            json!({ "list": [{}, null, {}] }),
        ),
        (
            "{ a: thing { ... { thing { ... @skip(if: true) { leaf } } } } }",
            json!({ "a": { "thing": {} } }),
        ),
        ("{ thing @skip(if: true) { leaf } }", json!({})),
        (
            "{ thing { ... { leaf } } }",
            json!({ "thing": { "leaf": 1 } }),
        ),
    ] {
        let response = executed(text, BTreeSet::new());
        assert_eq!(response, json!({ "data": data }), "{text}");
    }
}

struct Events;

#[Subscription]
#[allow(
    clippy::unused_async,
    reason = "what makes fields of these takes async functions alone"
)]
impl Events {
    async fn things(&self) -> impl Stream<Item = Happened> {
        stream::iter((0..4).map(|number| Happened {
            number,
            part: Part(number),
        }))
    }

    async fn perhaps(&self) -> impl Stream<Item = Option<Happened>> {
        stream::iter((0..4).map(|number| {
            Some(Happened {
                number,
                part: Part(number),
            })
        }))
    }
}

#[derive(SimpleObject)]
struct Happened {
    number: usize,
    part: Part,
}

struct Part(usize);

#[Object]
#[allow(
    clippy::unused_async,
    reason = "what makes fields of these takes async functions alone"
)]
impl Part {
    async fn even(&self) -> Result<usize, Error> {
        even(self.0)
    }

    async fn half(&self) -> Result<Option<usize>, Error> {
        even(self.0).map(|number| Some(number / 2))
    }
}

fn even(number: usize) -> Result<usize, Error> {
    match number % 2 {
        0 => Ok(number),
        _ => Err(Error::new("odd")),
    }
}

#[tokio::test]
async fn each_event_of_a_subscription_is_its_own() {
    let schema = Schema::build(Thing, async_graphql::EmptyMutation, Events)
        .extension(Nulls)
        .finish();
    let data = async |text: &str| -> Vec<Value> {
        let responses = schema.execute_stream(text).map(|response| {
            let response = serde_json::to_value(response).unwrap();
            assert_eq!(
                response.get("errors").is_some(),
                response.to_string().contains("null")
            );
            response["data"].clone()
        });
        responses.collect().await
    };
    let half = |number: Value, half: Value| json!({ "it": { "number": number, "part": { "half": half } } });
    assert_eq!(
        data("subscription { it: things { number part { half } } }").await,
        [
            half(json!(0), json!(0)),
            half(json!(1), Value::Null),
            half(json!(2), json!(1)),
            half(json!(3), Value::Null),
        ]
    );
    let even = |number: usize| json!({ "it": { "part": { "even": number } } });
    assert_eq!(
        data("subscription { it: things { part { even } } }").await,
        [even(0), Value::Null, even(2), Value::Null]
    );
    let none = json!({ "it": null });
    assert_eq!(
        data("subscription { it: perhaps { part { even } } }").await,
        [even(0), none.clone(), even(2), none]
    );
}
