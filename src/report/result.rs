//! The result of a command, in the shape that `--output json` prints.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _};

use super::plain::is_harmful;
use crate::{
    domain::{
        names::{EntryName, TargetName},
        record::Artifact,
        share::{Split, in_percent},
        verdict::{Judgement, Verdict},
    },
    engine::outcome::{Changed, Done, Facts, Moment, Shown, State},
    error::Failure,
    port::{Finding, Grade, veil::veiled},
};

/// In a line about somebody who does not know of the release what they should.
pub const NOT_TOLD: &str = "not told";

/// What every command prints with `--output json`. Fields are added in later versions, never removed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CommandResult {
    /// The subcommand: `shift-traffic`.
    pub command: String,
    pub exit_code: u8,
    /// Nothing was changed anywhere: all of this is what would have been.
    pub dry_run: bool,
    /// The result in one sentence.
    pub sentence: String,
    /// What to do about a failure.
    pub hint: Option<String>,
    /// The command that follows.
    pub next: Option<String>,
    /// When a waiting release is due.
    pub next_at: Option<Timestamp>,
    pub release: Option<String>,
    /// The release's name and the number of its opening record: `v1.2.3#12`.
    pub attempt: Option<String>,
    pub state: State,
    pub changed: Changed,
    /// The candidate's share per service in percent (12.5), as confirmed.
    #[serde(rename = "split_percent", serialize_with = "in_percent")]
    #[schemars(with = "BTreeMap<TargetName, f64>")]
    pub split: Split,
    pub verdict: Option<Verdict>,
    /// One per check and service.
    pub checks: Vec<Judgement>,
    pub findings: Vec<Finding>,
    /// By database.
    pub snapshots: BTreeMap<EntryName, Artifact>,
    /// What the baseline ran when the release opened; `service=version,…` where they differ.
    pub baseline_version: Option<String>,
    /// Why the gate was passed without a verdict.
    pub hotfix: Option<String>,
    /// How the traffic went since the release opened.
    pub timeline: Vec<Moment>,
    /// The release's deployment on GitHub, where one was made or updated.
    pub deployment_id: Option<String>,
    /// The page about it, as a Markdown file; on GitHub from the workspace on.
    pub report_path: Option<String>,
    /// Lines for people.
    pub details: Vec<String>,
    /// What verdicts rest on, of `report`.
    pub evidence: Vec<Shown>,
}

/// The lines in which others may have repeated a secret, without it.
fn veiled_facts(mut facts: Facts) -> Facts {
    let texts = (facts.details.iter_mut())
        .chain(facts.findings.iter_mut().map(|finding| &mut finding.message))
        .chain(facts.judgements.iter_mut().map(|judgement| &mut judgement.sentence))
        .chain(facts.evidence.iter_mut().map(|shown| &mut shown.judgement.sentence));
    texts.for_each(|text| *text = veiled(text).into_owned());
    facts
}

/// Every text in it, names included.
fn veil_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = veiled(text).into_owned(),
        Value::Array(list) => list.iter_mut().for_each(veil_all),
        Value::Object(fields) => fields.values_mut().for_each(veil_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl CommandResult {
    /// Puts together how a command ended and what was known by then.
    pub fn new(command: &str, ended: Result<&Done, &Failure>, facts: Facts) -> Self {
        let (exit_code, sentence, hint) = match ended {
            Ok(done) => (0, done.sentence.clone(), None),
            Err(failure) => (failure.exit_code(), failure.to_string(), failure.hint().map(str::to_string)),
        };
        let done = ended.ok();
        let facts = veiled_facts(facts);
        CommandResult {
            command: command.to_string(),
            exit_code,
            dry_run: false,
            sentence: veiled(&sentence).into_owned(),
            hint: hint.map(|hint| veiled(&hint).into_owned()),
            next: match ended {
                Ok(done) => done.next.clone(),
                Err(failure) => failure.next(command),
            },
            next_at: done.and_then(|d| d.next_at),
            release: facts.attempt.as_ref().map(|a| a.release.to_string()),
            attempt: facts.attempt.as_ref().map(ToString::to_string),
            state: if done.is_some_and(|d| d.waiting) { State::Waiting } else { facts.state },
            changed: facts.changed,
            split: facts.split,
            verdict: facts.verdict,
            checks: facts.judgements,
            findings: facts.findings,
            snapshots: facts.snapshots,
            baseline_version: facts.baseline_version,
            hotfix: facts.hotfix,
            timeline: facts.timeline,
            deployment_id: None,
            report_path: None,
            details: facts.details,
            evidence: facts.evidence,
        }
    }

    /// As one JSON object: nothing secret is in it, whichever field it came into, and to the reader of a log it
    /// is no command and steers no terminal.
    pub fn json(&self, pretty: bool) -> String {
        let mut whole = serde_json::to_value(self).unwrap_or_else(|e| json!({"bug": e.to_string()}));
        veil_all(&mut whole);
        let text = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
        let mut harmless = String::new();
        // the same to a reader of JSON
        for c in text.unwrap_or_default().replace("##[", "#\\u0023[").chars() {
            match c {
                c if is_harmful(c) && c != '\n' => _ = write!(harmless, "\\u{:04x}", u32::from(c)),
                c => harmless.push(c),
            }
        }
        harmless
    }

    /// Adds what came of telling others.
    pub fn heard(&mut self, deployment_id: Option<String>, lines: Vec<String>) {
        self.deployment_id = deployment_id;
        for line in lines {
            let line = veiled(&line).into_owned();
            match line.contains(NOT_TOLD) {
                true => self.findings.push(Finding::new(Grade::Warn, "notify", line)),
                false => self.details.push(line),
            }
        }
    }

    /// Marks the result of a dry run.
    #[must_use]
    pub fn dry(self) -> Self {
        CommandResult {
            dry_run: true,
            changed: Changed::None,
            // nothing of this is so: a step that reads them must not believe it
            state: State::None,
            split: Split::new(),
            timeline: Vec::new(),
            next_at: None,
            verdict: None,
            checks: Vec::new(),
            sentence: format!("dry run, nothing was changed; it would end with: {}", self.sentence),
            ..self
        }
    }
}
