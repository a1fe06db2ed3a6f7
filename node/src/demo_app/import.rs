//! The handler `import`: five steps that take their time, an approval to wait for, and two of them undone
//! when it fails or is cancelled. It imports nothing: it shows what a long operation looks like.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::demo_app::log::StepLog;
use crate::processing::{Handler, HandlerError, OperationContext};

/// Runs operations of the type `import`.
#[derive(Debug, Clone, Default)]
pub struct ImportHandler {
    log: StepLog,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    #[serde(default = "some_rows")]
    rows: u64,
    /// What each step takes.
    #[serde(default = "half_a_second")]
    step_ms: u64,
    /// Whether `publish` waits for the signal `approve`, whose data is true or false.
    #[serde(default)]
    approval: bool,
    /// The step that fails for good, to see it undone.
    #[serde(default)]
    fail_at: Option<String>,
}

const fn some_rows() -> u64 {
    1_000
}

const fn half_a_second() -> u64 {
    500
}

#[derive(Debug, Serialize, Deserialize)]
struct Rows {
    rows: u64,
}

impl ImportHandler {
    /// A handler that notes each execution of a step or compensation in `log`.
    pub(super) const fn new(log: StepLog) -> Self {
        Self { log }
    }

    /// One step: takes its time, is noted, and may be told to fail.
    async fn work(
        &self,
        context: &OperationContext,
        input: &Input,
        name: &str,
    ) -> Result<Rows, HandlerError> {
        context
            .step(name, || async {
                context.progress(&json!({ "step": name, "rows": input.rows }));
                tokio::time::sleep(Duration::from_millis(input.step_ms)).await;
                self.log.note(&context.idempotency_key(name))?;
                if input.fail_at.as_deref() == Some(name) {
                    return Err(HandlerError::permanent(format!("told to fail at {name}"))
                        .with_code("told_to_fail"));
                }
                Ok(Rows { rows: input.rows })
            })
            .await
    }
}

impl Handler for ImportHandler {
    async fn run(&self, context: OperationContext) -> Result<Value, HandlerError> {
        let input: Input = context.input()?;
        self.work(&context, &input, "fetch").await?;
        self.work(&context, &input, "check").await?;
        self.work(&context, &input, "reserve").await?;
        context
            .compensate("release", &json!({ "rows": input.rows }))
            .await?;
        self.work(&context, &input, "load").await?;
        context
            .compensate("unload", &json!({ "rows": input.rows }))
            .await?;
        if input.approval {
            let approved: Option<bool> = context.wait_signal("approval", "approve", None).await?;
            if approved == Some(false) {
                return Err(HandlerError::permanent("somebody said no").with_code("refused"));
            }
        }
        let published = self.work(&context, &input, "publish").await?;
        Ok(json!({ "rows": published.rows }))
    }

    async fn compensate(
        &self,
        context: OperationContext,
        name: String,
        data: Value,
    ) -> Result<(), HandlerError> {
        let _ = data;
        self.log.note(&context.idempotency_key(&name))?;
        Ok(())
    }
}
