//! What a `saga` operation asks for: the input as it is submitted, and the steps that it comes to once it is
//! checked. Pure.

use std::ops::Range;

use selvedge_protocol::limits::{
    INLINE_BYTES_MAX, NAME_BYTES_MAX, OPERATION_WAITS_MAX, SAGA_STEPS_MAX,
};
use selvedge_protocol::{ActorAddress, OperationType};
use serde::Deserialize;
use serde_json::Value;

use crate::operation::is_operation;
use crate::processing::InvalidInput;
use crate::processing::builtin::saga::reference;

/// The input of an operation of the type `saga`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    steps: Vec<StepInput>,
    /// How many steps may be under way at a time.
    #[serde(default = "one")]
    at_once: usize,
}

const fn one() -> usize {
    1
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StepInput {
    name: String,
    run: ActInput,
    compensate: Option<ActInput>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ActInput {
    Operation(OperationInput),
    Command(CommandInput),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OperationInput {
    #[serde(rename = "type")]
    operation_type: String,
    #[serde(default)]
    input: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CommandInput {
    actor: String,
    name: String,
    #[serde(default)]
    body: Value,
}

/// A saga that may be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    at_once: usize,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) run: Act,
    pub(super) compensate: Option<Act>,
    /// Positions of the steps whose results it needs before it can begin.
    needs: Vec<usize>,
}

/// What a step or its compensation does.
#[derive(Debug)]
pub(super) enum Act {
    Operation(Call),
    Command(Command),
}

/// An operation to be run to its end.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) operation_type: OperationType,
    pub(super) input: Value,
}

/// A command to be sent. Its answer is not waited for.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) actor: ActorAddress,
    pub(super) name: String,
    pub(super) body: Value,
}

impl Plan {
    pub(super) fn new(input: Input) -> Result<Self, InvalidInput> {
        if !(1..=SAGA_STEPS_MAX).contains(&input.steps.len()) {
            let message = format!("a saga has 1 to {SAGA_STEPS_MAX} steps; one can call another");
            return Err(InvalidInput::new("steps", message));
        }
        if !(1..=OPERATION_WAITS_MAX).contains(&input.at_once) {
            let message = format!("use 1 to {OPERATION_WAITS_MAX}");
            return Err(InvalidInput::new("atOnce", message));
        }
        let mut steps: Vec<Step> = Vec::with_capacity(input.steps.len());
        for step in input.steps {
            let step = step.checked(&steps)?;
            steps.push(step);
        }
        Ok(Self {
            steps,
            at_once: input.at_once,
        })
    }

    /// The steps in the order in which they run, those together that may run side by side. The same each
    /// time that the saga is taken up again.
    pub(super) fn waves(&self) -> Vec<Range<usize>> {
        let mut waves: Vec<Range<usize>> = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            match waves.last_mut() {
                Some(wave)
                    if wave.len() < self.at_once
                        && step.needs.iter().all(|need| *need < wave.start) =>
                {
                    wave.end = at + 1;
                }
                Some(_) | None => waves.push(at..at + 1),
            }
        }
        waves
    }
}

impl StepInput {
    fn checked(self, before: &[Step]) -> Result<Step, InvalidInput> {
        let field = format!("steps[{}]", before.len());
        let named = |message: &str| InvalidInput::new(format!("{field}.name"), message);
        let is_plain = |at: char| at.is_ascii_alphanumeric() || matches!(at, '.' | '_' | ':' | '-');
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) || !self.name.chars().all(is_plain) {
            return Err(named("use 1 to 64 letters, digits and . _ : -"));
        }
        if before.iter().any(|step| step.name == self.name) {
            return Err(named("an earlier step has this name"));
        }
        let run = self.run.checked(&format!("{field}.run"))?;
        let compensate = self.compensate;
        let compensate = compensate.map(|undo| undo.checked(&format!("{field}.compensate")));
        let mut step = Step {
            name: self.name,
            run,
            compensate: compensate.transpose()?,
            needs: Vec::new(),
        };
        step.needs = needs(&step.run, &format!("{field}.run"), before, None)?;
        if let Some(undo) = &step.compensate {
            // It may use what the step itself has come to.
            needs(undo, &format!("{field}.compensate"), before, Some(&step))?;
        }
        Ok(step)
    }
}

impl ActInput {
    fn checked(self, field: &str) -> Result<Act, InvalidInput> {
        match self {
            Self::Operation(call) => {
                let operation_type = OperationType::new(&call.operation_type);
                let operation_type = operation_type.map_err(|error| {
                    InvalidInput::new(format!("{field}.operation.type"), error.to_string())
                })?;
                fits(&call.input, &format!("{field}.operation.input"))?;
                Ok(Act::Operation(Call {
                    operation_type,
                    input: call.input,
                }))
            }
            Self::Command(command) => {
                let field = format!("{field}.command");
                let actor = command.actor.parse::<ActorAddress>();
                let at_actor = |message| InvalidInput::new(format!("{field}.actor"), message);
                let actor = actor.map_err(|error| at_actor(error.to_string()))?;
                if is_operation(&actor) {
                    // What operations tell each other is not for data to say.
                    let message = "an operation is run by a step, not sent a command";
                    return Err(at_actor(message.to_owned()));
                }
                if !(1..=NAME_BYTES_MAX).contains(&command.name.len()) {
                    let message = format!("a command's name has 1 to {NAME_BYTES_MAX} bytes");
                    return Err(InvalidInput::new(format!("{field}.name"), message));
                }
                fits(&command.body, &format!("{field}.body"))?;
                Ok(Act::Command(Command {
                    actor,
                    name: command.name,
                    body: command.body,
                }))
            }
        }
    }
}

/// The positions of the steps whose results an act refers to: earlier ones, and `own`.
fn needs(
    act: &Act,
    field: &str,
    before: &[Step],
    own: Option<&Step>,
) -> Result<Vec<usize>, InvalidInput> {
    let (value, field) = match act {
        Act::Operation(call) => (&call.input, format!("{field}.operation.input")),
        Act::Command(command) => (&command.body, format!("{field}.command.body")),
    };
    let mut needs = Vec::new();
    reference::each(value, &field, &mut |field, name| {
        let found = before.iter().chain(own).position(|step| step.name == name);
        let step = found.and_then(|at| before.iter().chain(own).nth(at));
        let message = match (found, step.map(|step| &step.run)) {
            (Some(at), Some(Act::Operation(_))) => {
                needs.push(at);
                return Ok(());
            }
            (_, Some(Act::Command(_))) => format!("step {name:?} is a command: it has no result"),
            (_, _) => format!("there is no earlier step {name:?}"),
        };
        Err(InvalidInput::new(format!("{field}.$result"), message))
    })?;
    Ok(needs)
}

/// Whether a message between actors can hold it, before references bring what they bring.
fn fits(value: &Value, field: &str) -> Result<(), InvalidInput> {
    let length = value.to_string().len();
    match length <= INLINE_BYTES_MAX / 2 {
        true => Ok(()),
        false => Err(InvalidInput::new(
            field,
            format!("{length} bytes are over {}", INLINE_BYTES_MAX / 2),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(input: &Value) -> Result<Plan, InvalidInput> {
        Plan::new(InvalidInput::read(&input.to_string())?)
    }

    fn call(name: &str, input: Value) -> Value {
        json!({ "name": name, "run": { "operation": { "type": "t", "input": input } } })
    }

    fn after(name: &str) -> Value {
        json!({ "$result": name })
    }

    #[test]
    fn waves_hold_what_may_run_side_by_side() {
        let steps = [
            call("a", json!(1)),
            call("b", json!(2)),
            call("c", after("a")),
            call("d", json!([after("a"), after("b")])),
            call("e", after("d")),
        ];
        let waves = |at_once: usize| {
            let plan = plan(&json!({ "steps": steps, "atOnce": at_once })).unwrap();
            plan.waves()
        };
        assert_eq!(waves(1), [0..1, 1..2, 2..3, 3..4, 4..5]);
        assert_eq!(waves(2), [0..2, 2..4, 4..5]);
        assert_eq!(waves(9), [0..2, 2..4, 4..5]);
    }

    #[test]
    fn wrong_plans_are_refused_by_field() {
        let command = |actor: &str, name: &str| json!({ "name": "b", "run": { "command": { "actor": actor, "name": name } } });
        let undone = |compensate: Value| {
            let mut step = call("b", json!(1));
            step["compensate"] = compensate;
            step
        };
        let undo = |input: Value| json!({ "operation": { "type": "t", "input": input } });
        for (second, field) in [
            (call("a", json!(1)), "steps[1].name"),
            (call("", json!(1)), "steps[1].name"),
            (call("undo a/x", json!(1)), "steps[1].name"),
            (
                call("b", after("b")),
                "steps[1].run.operation.input.$result",
            ),
            (
                call("b", json!([after("c")])),
                "steps[1].run.operation.input[0].$result",
            ),
            (
                call("b", json!({ "$result": "a", "x": 1 })),
                "steps[1].run.operation.input",
            ),
            (
                call("b", json!("x".repeat(INLINE_BYTES_MAX))),
                "steps[1].run.operation.input",
            ),
            (command("room", "say"), "steps[1].run.command.actor"),
            (
                command("operation/x", "child.finished"),
                "steps[1].run.command.actor",
            ),
            (command("room/1", ""), "steps[1].run.command.name"),
            (
                undone(undo(after("c"))),
                "steps[1].compensate.operation.input.$result",
            ),
            (undone(json!({})), "steps[1].compensate"),
            (
                json!({ "name": "b", "run": { "operation": { "type": "T!" } } }),
                "steps[1].run.operation.type",
            ),
            (
                json!({ "name": "b", "run": { "operation": { "type": 1 } } }),
                "steps[1].run.operation.type",
            ),
            (json!({ "name": "b", "runs": 1 }), "steps[1].runs"),
        ] {
            let input = json!({ "steps": [call("a", json!(1)), second] });
            let refused = plan(&input).unwrap_err();
            assert_eq!(refused.field, field, "{refused}");
        }
        plan(&json!({ "steps": [call("a", json!(1)), undone(undo(after("b")))] })).unwrap();
    }

    #[test]
    fn wrong_plans_are_refused_as_a_whole() {
        let command = json!({ "command": { "actor": "room/1", "name": "say" } });
        let command = json!({ "name": "b", "run": command });
        let after_command = json!({ "steps": [command, call("c", after("b"))] });
        let refused = plan(&after_command).unwrap_err();
        assert_eq!(refused.field, "steps[1].run.operation.input.$result");
        let many: Vec<_> = (0..=SAGA_STEPS_MAX)
            .map(|at| call(&format!("s{at}"), json!(1)))
            .collect();
        for (input, field) in [
            (json!({ "steps": [] }), "steps"),
            (json!({ "steps": many }), "steps"),
            (
                json!({ "steps": [call("a", json!(1))], "atOnce": 0 }),
                "atOnce",
            ),
            (
                json!({ "steps": [call("a", json!(1))], "atOnce": 129 }),
                "atOnce",
            ),
            (json!({ "steps": [call("a", json!(1))], "then": 1 }), "then"),
        ] {
            assert_eq!(plan(&input).unwrap_err().field, field);
        }
    }
}
