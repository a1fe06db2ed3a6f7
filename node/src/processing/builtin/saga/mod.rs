//! The handler `saga`: steps declared as data, each with what undoes it.
//!
//! `plan` checks the input, `reference` puts results of earlier steps into later inputs. A step is the call
//! of an operation or a command to an actor; this handler does nothing else.
//!
//! The promise to undo a step is made before the step, so that no end of the saga comes between what a step
//! has done and the promise. A step that has not succeeded by then has nothing to undo: it failed, or it
//! was under way when the saga was cancelled and was cancelled with it, and undoes itself.

mod plan;
mod reference;

use std::collections::BTreeMap;

use futures::future::join_all;
use selvedge_protocol::limits::{INLINE_BYTES_MAX, SAGA_RESULT_BYTES_MAX};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::processing::builtin::saga::plan::{Act, Plan, Step};
use crate::processing::builtin::saga::reference::resolve;
use crate::processing::{Handler, HandlerError, InvalidInput, OperationContext};

/// Runs operations of the type `saga`, which succeed, or have undone what they did: `compensated`.
///
/// ```json
/// { "steps": [
///   { "name": "reserve",
///     "run": { "operation": { "type": "http", "input": { "method": "POST", "url": "https://stock.example/holds" } } },
///     "compensate": { "operation": { "type": "http", "input": {
///       "method": "DELETE", "url": { "$result": "reserve", "pointer": "/headers/location" } } } } },
///   { "name": "count",
///     "run": { "command": { "actor": "counter/orders", "name": "add", "body": { "by": 1 } } },
///     "compensate": { "command": { "actor": "counter/orders", "name": "add", "body": { "by": -1 } } } }
/// ], "atOnce": 1 }
/// ```
///
/// Steps run in order; with `atOnce`, so many neighbours side by side that do not use each other's results.
/// A command is sent and not waited for, so it cannot fail and has no result. The results of called
/// operations are handed on up to 64 KiB each. The result is `{"steps": {name: result}}`, without the
/// results if they are over 1 MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct SagaHandler;

/// What steps have come to, by name.
type Results = BTreeMap<String, Value>;

impl Handler for SagaHandler {
    fn validate(&self, input: &str) -> Result<(), InvalidInput> {
        Plan::new(InvalidInput::read(input)?).map(|_| ())
    }

    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let plan = Plan::new(context.input()?)?;
        let mut results = Results::new();
        for wave in plan.waves() {
            let steps = &plan.steps[wave];
            let running = steps.iter().map(|step| run(&context, step, &results));
            // All to their end, a failure among them or not: what is let go could not be undone.
            let ended = join_all(running).await;
            for (step, result) in steps.iter().zip(ended) {
                results.insert(step.name.clone(), result?);
            }
        }
        let result = json!({ "steps": results });
        match result.to_string().len() <= SAGA_RESULT_BYTES_MAX {
            true => Ok(result),
            false => Ok(json!({ "steps": null })),
        }
    }

    async fn compensate(
        &self,
        context: OperationContext,
        name: String,
        _data: Value,
    ) -> Result<(), HandlerError> {
        let plan = Plan::new(context.input()?)?;
        let results = finished(&context, &plan);
        let step = plan.steps.iter().find(|step| step.name == name);
        let undo = step.and_then(|step| step.compensate.as_ref());
        match undo.filter(|_| results.contains_key(&name)) {
            None => Ok(()),
            Some(undo) => act(&context, "compensate", undo, &results)
                .await
                .map(|_| ()),
        }
    }
}

async fn run(
    context: &OperationContext,
    step: &Step,
    results: &Results,
) -> Result<Value, HandlerError> {
    if step.compensate.is_some() {
        // Durable with the step's beginning: one commit.
        context.compensate(&step.name, &Value::Null).await?;
    }
    act(context, &step.name, &step.run, results).await
}

async fn act(
    context: &OperationContext,
    name: &str,
    act: &Act,
    results: &Results,
) -> Result<Value, HandlerError> {
    // Half of what a message between actors holds; the input itself has the other.
    let mut room = INLINE_BYTES_MAX / 2;
    match act {
        Act::Operation(call) => {
            let input = resolve(&call.input, results, &mut room)?;
            context.call(name, &call.operation_type, &input).await
        }
        Act::Command(command) => {
            let body = resolve(&command.body, results, &mut room)?;
            let to = &command.actor;
            context.send(name, to, &command.name, &body).await?;
            Ok(Value::Null)
        }
    }
}

/// The steps that have done what they were to do, when there is something to undo.
fn finished(context: &OperationContext, plan: &Plan) -> Results {
    #[derive(Deserialize)]
    struct Called {
        status: String,
        #[serde(default)]
        result: Value,
    }
    let stored = |step: &Step| {
        let finished = context.attempt.finished.iter();
        let mut named = finished.filter(|finished| *finished.name == *step.name);
        let result = &named.next()?.result;
        match &step.run {
            Act::Command(_) => Some(Value::Null),
            Act::Operation(_) => {
                let called: Called = serde_json::from_str(result).ok()?;
                (called.status == "succeeded").then_some(called.result)
            }
        }
    };
    let steps = plan.steps.iter();
    let found = steps.filter_map(|step| Some((step.name.clone(), stored(step)?)));
    found.collect()
}
