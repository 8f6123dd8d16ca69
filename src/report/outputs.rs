//! The result as single values, for the steps of a workflow that come after.

use std::fmt::Write as _;

use super::{plain::plain, result::CommandResult};

/// One published output.
pub struct Output {
    pub name: &'static str,
    pub help: &'static str,
    /// One line; what was not known is empty.
    value: fn(&CommandResult) -> String,
}

/// All outputs, in the order in which they are documented.
pub const OUTPUTS: [Output; 14] = [
    Output {
        name: "state",
        help: "Where the release stands: none, open, waiting, finished, rolled_back, stuck",
        value: |result| word(&result.state),
    },
    Output {
        name: "verdict",
        help: "pass, insufficient, error or fail; empty where nothing was judged",
        value: |result| result.verdict.map(|verdict| verdict.to_string()).unwrap_or_default(),
    },
    Output {
        name: "exit-code",
        help: "What the command ended with, also where `fail-on` lets the step pass",
        value: |result| result.exit_code.to_string(),
    },
    Output {
        name: "split",
        help: "The candidate's share per service in percent, as confirmed: `api=10,web=10`",
        value: |result| {
            let shares = result.split.iter().map(|(target, share)| format!("{target}={}", share.typed()));
            shares.collect::<Vec<_>>().join(",")
        },
    },
    Output { name: "changed", help: "none, partial or all", value: |result| word(&result.changed) },
    Output {
        name: "release",
        help: "The release's name",
        value: |result| result.release.clone().unwrap_or_default(),
    },
    Output {
        name: "baseline-version",
        help: "What the baseline ran when the release opened",
        value: |result| result.baseline_version.clone().unwrap_or_default(),
    },
    Output {
        name: "candidate-version",
        help: "What the candidate runs: the release's name",
        value: |result| result.release.clone().unwrap_or_default(),
    },
    Output {
        name: "snapshot-ids",
        help: "The snapshots of this release: `main=ID,search=ID`",
        value: |result| {
            let ids =
                result.snapshots.iter().map(|(database, artifact)| format!("{database}={}", artifact.id));
            ids.collect::<Vec<_>>().join(",")
        },
    },
    Output {
        name: "next-at",
        help: "When a waiting release is due, RFC 3339",
        value: |result| result.next_at.map(|at| at.to_string()).unwrap_or_default(),
    },
    Output {
        name: "sentence",
        help: "The result in one sentence",
        value: |result| result.sentence.replace('\n', " "),
    },
    Output {
        name: "report-path",
        help: "The job's page as a Markdown file, from the workspace on; empty where none was written",
        value: |result| result.report_path.clone().unwrap_or_default(),
    },
    Output {
        name: "deployment-id",
        help: "The deployment on GitHub that was made or updated (`deployment`)",
        value: |result| result.deployment_id.clone().unwrap_or_default(),
    },
    Output {
        name: "result",
        help: "All of it as one JSON object (schema/result.schema.json)",
        value: |result| result.json(false),
    },
];

fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// All outputs of a result; none has a control character in it.
pub fn values(result: &CommandResult) -> impl Iterator<Item = (&'static str, String)> {
    OUTPUTS.iter().map(|output| (output.name, plain(&(output.value)(result))))
}

/// The outputs as a file of `TIDEGATE_NAME=value` lines, which GitLab takes as a dotenv report and Jenkins
/// reads as properties. The whole JSON is too long for those and is left out.
pub fn dotenv(result: &CommandResult) -> String {
    let mut text = String::new();
    for (name, value) in values(result).filter(|(name, _)| *name != "result") {
        let _ = writeln!(text, "{}={value}", variable(name));
    }
    text
}

/// The outputs as lines that a shell reads: CircleCI's `BASH_ENV`.
pub fn exports(result: &CommandResult) -> String {
    let mut text = String::new();
    for (name, value) in values(result).filter(|(name, _)| *name != "result") {
        let _ = writeln!(text, "export {}='{}'", variable(name), value.replace('\'', "'\\''"));
    }
    text
}

fn variable(name: &str) -> String {
    format!("TIDEGATE_RESULT_{}", name.to_uppercase().replace('-', "_"))
}
