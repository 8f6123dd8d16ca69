//! How a call to the outside fails, and what may be done about it.

use std::fmt;

use super::excerpt::beginning;

/// A failed call: who was asked, for what, about which object, and how to treat it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// `haproxy`, `postgres`, `prometheus`
    pub provider: &'static str,
    /// What was asked, as in "failed to …": `set the weights`, `read the counters`.
    pub operation: String,
    /// The object: a backend, a URL without its credentials, a file.
    pub object: String,
    pub treat: Treat,
    /// What the other side said, without secrets; at most a few lines.
    pub detail: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// Nobody was asked: a setting that the call needs is wrong or missing.
    pub misconfigured: bool,
}

/// What may be done after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treat {
    /// Asking again gives the same answer.
    Permanent,
    /// May go away: retry within the deadline.
    Temporary,
    /// A write whose answer was lost. Observe; never repeat blindly.
    OutcomeUnknown,
}

const DETAIL_MAX: usize = 2000;

impl Fault {
    pub fn new(
        treat: Treat,
        provider: &'static str,
        operation: impl Into<String>,
        object: impl Into<String>,
        detail: impl fmt::Display,
    ) -> Self {
        let detail = beginning(&detail.to_string(), DETAIL_MAX);
        Fault {
            provider,
            operation: operation.into(),
            object: object.into(),
            treat,
            detail,
            hint: None,
            misconfigured: false,
        }
    }

    pub fn permanent(
        provider: &'static str,
        operation: impl Into<String>,
        object: impl Into<String>,
        detail: impl fmt::Display,
    ) -> Self {
        Self::new(Treat::Permanent, provider, operation, object, detail)
    }

    pub fn temporary(
        provider: &'static str,
        operation: impl Into<String>,
        object: impl Into<String>,
        detail: impl fmt::Display,
    ) -> Self {
        Self::new(Treat::Temporary, provider, operation, object, detail)
    }

    pub fn outcome_unknown(
        provider: &'static str,
        operation: impl Into<String>,
        object: impl Into<String>,
        detail: impl fmt::Display,
    ) -> Self {
        Self::new(Treat::OutcomeUnknown, provider, operation, object, detail)
    }

    /// Says that a setting is to blame, and not who was to be asked.
    #[must_use]
    pub fn by_setting(mut self) -> Self {
        self.misconfigured = true;
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With its hint, in one line.
    pub fn told(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{self}; hint: {hint}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {} on {} {}: {}", self.operation, self.provider, self.object, self.detail)
    }
}
