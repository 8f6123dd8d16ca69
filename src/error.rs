//! Every way a command can end without success, with its exit code and its hint.

use crate::{
    document::node::Located,
    domain::{history::Corrupt, verdict::Verdict},
    port::{Fault, Treat},
};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{message}")]
    Usage { message: String, hint: Option<String> },
    /// What is wrong with the file, in its order.
    #[error("{}", lines(file, located))]
    Config { file: String, located: Vec<Located> },
    #[error("{sentence}")]
    Verdict { verdict: Verdict, sentence: String, hint: Option<String> },
    /// The live state is neither what was recorded nor what was asked.
    #[error("{0}")]
    Drift(Told),
    /// Another run holds the lease, or another release is open.
    #[error("{0}")]
    Held(Told),
    /// Unreachable or denied before any write.
    #[error("{0}")]
    Unreachable(Told),
    /// Preflight or gate refused.
    #[error("{0}")]
    Refused(Told),
    /// A step failed or is partial; the state is recorded.
    #[error("{0}")]
    Step(Told),
    /// A rollback is incomplete or frozen.
    #[error("{0}")]
    Stuck(Told),
    /// A signal came; the state is recorded.
    #[error("interrupted by {}: {told}", signal.name())]
    Interrupted { signal: Signal, told: Told },
    #[error("a bug in tidegate: {0}")]
    Bug(String),
}

/// What happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What failed and what was left as it was.
    pub message: String,
    pub hint: Option<String>,
    /// What the other side was to be asked with is wrong or missing: it was never asked.
    pub misconfigured: bool,
}

impl Told {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Told { message: message.into(), hint: Some(hint.into()), misconfigured: false }
    }

    pub fn plain(message: impl Into<String>) -> Self {
        Told { message: message.into(), hint: None, misconfigured: false }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// The signals that end a command early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        }
    }
}

const CONFIG_LINES_MAX: usize = 10;

/// One line each, as compilers write them: `tidegate.yml:3:5: …`.
fn lines(file: &str, located: &[Located]) -> String {
    let position = |l: &Located| l.position.map_or(String::new(), |p| format!(":{}:{}", p.line, p.column));
    let mut lines: Vec<String> =
        located.iter().take(CONFIG_LINES_MAX).map(|l| format!("{file}{}: {l}", position(l))).collect();
    if located.len() > CONFIG_LINES_MAX {
        lines.push(format!("{file}: and {} more", located.len() - CONFIG_LINES_MAX));
    }
    lines.join("\n")
}

/// One row of the published table of exit codes.
pub struct ExitCode {
    pub code: u8,
    pub meaning: &'static str,
}

/// The published exit codes. The README's table is generated from this.
pub const EXIT_CODES: [ExitCode; 14] = [
    ExitCode { code: 0, meaning: "done and confirmed by reading it back; or `waiting`, or nothing to do" },
    ExitCode { code: 1, meaning: "a bug in tidegate" },
    ExitCode { code: 2, meaning: "usage or configuration" },
    ExitCode { code: 10, meaning: "verdict `fail`; from `rollout`: rolled back and confirmed" },
    ExitCode { code: 11, meaning: "verdict `insufficient`" },
    ExitCode { code: 12, meaning: "the live state is neither what was recorded nor what was asked" },
    ExitCode { code: 13, meaning: "another run holds the lease, or another release is open" },
    ExitCode { code: 14, meaning: "unreachable or denied before any write: nothing was changed" },
    ExitCode { code: 15, meaning: "preflight or gate refused" },
    ExitCode {
        code: 16,
        meaning: "a step failed or is partial; the state is recorded; run again or roll back",
    },
    ExitCode { code: 17, meaning: "verdict `error`: a metric source could not be read for too long" },
    ExitCode { code: 20, meaning: "a rollback is incomplete or frozen: a human is needed now" },
    ExitCode { code: 130, meaning: "interrupted (SIGINT) at a safe point; run again" },
    ExitCode { code: 143, meaning: "interrupted (SIGTERM) at a safe point; run again" },
];

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Bug(_) => 1,
            Failure::Usage { .. } | Failure::Config { .. } => 2,
            Failure::Verdict { verdict, .. } => verdict_code(*verdict),
            Failure::Drift(_) => 12,
            Failure::Held(_) => 13,
            Failure::Unreachable(told) if told.misconfigured => 2,
            Failure::Unreachable(_) => 14,
            Failure::Refused(_) => 15,
            Failure::Step(_) => 16,
            Failure::Stuck(_) => 20,
            Failure::Interrupted { signal: Signal::Interrupt, .. } => 130,
            Failure::Interrupted { signal: Signal::Terminate, .. } => 143,
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Failure::Usage { hint, .. } | Failure::Verdict { hint, .. } => hint.as_deref(),
            Failure::Config { .. } | Failure::Bug(_) => None,
            Failure::Drift(told)
            | Failure::Held(told)
            | Failure::Unreachable(told)
            | Failure::Refused(told)
            | Failure::Step(told)
            | Failure::Stuck(told)
            | Failure::Interrupted { told, .. } => told.hint.as_deref(),
        }
    }

    /// The command that follows, where there is one.
    pub fn next(&self, command: &str) -> Option<String> {
        match self {
            Failure::Usage { .. } | Failure::Config { .. } | Failure::Bug(_) => None,
            Failure::Verdict { verdict: Verdict::Fail, .. } if command == "rollout" => {
                Some("tidegate status".into())
            }
            Failure::Verdict { verdict: Verdict::Fail, .. } | Failure::Stuck(_) => {
                Some("tidegate rollback".into())
            }
            Failure::Verdict { .. } => Some("tidegate verify-metrics".into()),
            Failure::Drift(_) | Failure::Held(_) | Failure::Refused(_) => Some("tidegate status".into()),
            Failure::Unreachable(_) | Failure::Step(_) | Failure::Interrupted { .. } => {
                Some(format!("tidegate {command}"))
            }
        }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Failure::Usage { message: message.into(), hint: None }
    }

    /// A fault met before anything was written.
    pub fn before_any_write(fault: &Fault) -> Self {
        Failure::Unreachable(Told {
            message: format!("{fault}; nothing was changed"),
            hint: fault.hint.clone().or_else(|| retry_hint(fault)),
            misconfigured: fault.misconfigured,
        })
    }

    /// A fault met in the middle of a step.
    pub fn in_step(fault: &Fault, left_as: &str) -> Self {
        Failure::Step(Told {
            message: format!("{fault}; {left_as}"),
            hint: fault.hint.clone().or_else(|| retry_hint(fault)),
            misconfigured: fault.misconfigured,
        })
    }
}

/// The exit code of a verdict.
pub fn verdict_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 10,
        Verdict::Insufficient => 11,
        Verdict::Error => 17,
    }
}

fn retry_hint(fault: &Fault) -> Option<String> {
    (fault.treat == Treat::Temporary).then(|| "it may go away: run the same command again".to_string())
}

impl From<Corrupt> for Failure {
    fn from(corrupt: Corrupt) -> Self {
        Failure::Refused(Told::new(
            format!("the journal cannot be used: {corrupt}; nothing was changed"),
            "`rollback --to-baseline SIDE` works without a journal",
        ))
    }
}
