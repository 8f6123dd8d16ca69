//! A step that runs something: a migration, a smoke test, a hook, a deploy script.

use async_trait::async_trait;
use std::collections::BTreeMap;

use super::{Context, Fault, Progress};
use crate::domain::{observed::Instance, template::Words};

/// One step of the file.
#[async_trait]
pub trait Command: Send + Sync {
    /// Runs the step to its end. A step that ran and failed (exit code, unmet expectation) is a
    /// `Permanent` fault whose detail is the end of what it printed. Dropping the future kills whatever
    /// was started, children included. The context's deadline is the step's limit.
    async fn run(&self, cx: &Context, task: &Task, progress: &dyn Progress) -> Result<Output, Fault>;
}

/// In what situation a step runs.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// How the step is called in the log: `migrations.schema`.
    pub name: String,
    /// `TIDEGATE_*` variables and their values.
    pub variables: BTreeMap<String, String>,
    /// What `{{…}}` stands for.
    pub words: Words,
    /// Where HTTP requests with a path of their own go: `http://host:port`.
    pub base_url: Option<String>,
    /// Instances of the side the step is about.
    pub instances: Vec<Instance>,
}

/// What a step that succeeded has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The last line printed that is not blank: an id, a number, a revision.
    pub answer: Option<String>,
    /// One line for the log: `exit 0 in 1.2 s`, `200 in 12 ms`.
    pub summary: String,
}
