//! What a preflight look finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing a person should know before anything changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub grade: Grade,
    /// What was looked at: `api`, `databases.main`.
    pub about: String,
    pub message: String,
}

/// How a finding weighs. Only `refuse` stops a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    Ok,
    /// It could not be found out.
    Unknown,
    Warn,
    Refuse,
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Grade::Ok => "ok",
            Grade::Unknown => "unknown",
            Grade::Warn => "warn",
            Grade::Refuse => "REFUSE",
        })
    }
}

impl Finding {
    pub fn new(grade: Grade, about: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { grade, about: about.into(), message: message.into() }
    }
}
