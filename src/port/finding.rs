//! What a preflight look finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fault, Treat};

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

    /// What could not be looked at. A fault that may go away by itself says nothing against a release.
    pub fn fault(about: impl Into<String>, fault: &Fault) -> Self {
        let grade = match fault.treat {
            Treat::Permanent => Grade::Refuse,
            Treat::Temporary | Treat::OutcomeUnknown => Grade::Unknown,
        };
        Finding::new(grade, about, fault.told())
    }
}

/// What is found of one thing.
pub struct Findings {
    about: String,
    pub list: Vec<Finding>,
}

impl Findings {
    pub fn new(about: impl Into<String>) -> Self {
        Findings { about: about.into(), list: Vec::new() }
    }

    pub fn add(&mut self, grade: Grade, message: impl Into<String>) {
        self.list.push(Finding::new(grade, self.about.clone(), message));
    }

    /// A look that failed at something a release needs.
    pub fn fault(&mut self, fault: &Fault) {
        self.list.push(Finding::fault(self.about.clone(), fault));
    }

    /// A look that failed at something a release can do without.
    pub fn unknown(&mut self, fault: &Fault) {
        self.add(Grade::Unknown, fault.told());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fault_that_stays_refuses_and_its_hint_is_told() {
        for (treat, grade) in [
            (Treat::Permanent, Grade::Refuse),
            (Treat::Temporary, Grade::Unknown),
            (Treat::OutcomeUnknown, Grade::Unknown),
        ] {
            let fault = Fault::new(treat, "aws", "look", "api", "Rate exceeded").hint("wait");
            let mut findings = Findings::new("api");
            findings.fault(&fault);
            findings.unknown(&fault);
            let message = "failed to look on aws api: Rate exceeded; hint: wait";
            let wanted = [grade, Grade::Unknown].map(|grade| Finding::new(grade, "api", message));
            assert_eq!(findings.list, wanted);
        }
    }
}
