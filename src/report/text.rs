//! The result as text: first what came of it, then the numbers, then what to do.

use std::fmt::Write as _;

use super::{plain::plain, result::CommandResult};
use crate::{
    domain::verdict::{Judgement, Verdict},
    port::Grade,
};

/// How the result is painted. Colour is never the only carrier of meaning.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    pub colour: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub fn odd(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }
}

/// Writes the result for people.
pub fn render(result: &CommandResult, paint: Paint) -> String {
    let mut text = String::new();
    let attempt = result.attempt.as_ref().map_or(String::new(), |a| format!("  {}", plain(a)));
    let command = &result.command;
    let sentence: Vec<String> = result.sentence.lines().map(plain).collect();
    let first = sentence.first().cloned().unwrap_or_default();
    let head = match result.exit_code {
        0 => format!("{}{attempt}  {first}", paint.good(command)),
        code => format!("{}{attempt}  {first}", paint.bad(&format!("{command} FAILED ({code})"))),
    };
    let _ = writeln!(text, "{head}");
    for line in sentence.iter().skip(1) {
        let _ = writeln!(text, "{line}");
    }
    for finding in &result.findings {
        let word = format!("{:<7}", finding.grade);
        let grade = match finding.grade {
            Grade::Ok => paint.good(&word),
            Grade::Unknown | Grade::Warn => paint.odd(&word),
            Grade::Refuse => paint.bad(&word),
        };
        let _ = writeln!(text, "  {grade} {}: {}", plain(&finding.about), plain(&finding.message));
    }
    for detail in &result.details {
        let _ = writeln!(text, "  {}", plain(detail));
    }
    for judgement in &result.checks {
        let _ = writeln!(text, "  {}", check_line(judgement, paint));
    }
    if let Some(hint) = &result.hint {
        let _ = writeln!(text, "hint: {}", plain(hint));
    }
    // A failure's hint says it better.
    if let Some(next) = result.next.as_ref().filter(|_| result.exit_code == 0) {
        let _ = writeln!(text, "next: {}", plain(next));
    }
    text
}

/// One check: its state, and the sentence of the judge.
pub fn check_line(judgement: &Judgement, paint: Paint) -> String {
    let word = match judgement.verdict {
        _ if judgement.shadow => paint.faint("shadow      "),
        _ if !judgement.decides && judgement.warned => paint.odd("warn        "),
        _ if !judgement.decides => paint.faint("tells       "),
        Verdict::Pass if judgement.warned => paint.odd("pass, warned"),
        Verdict::Pass => paint.good("pass        "),
        Verdict::Fail => paint.bad("FAIL        "),
        Verdict::Insufficient => paint.odd("not yet     "),
        Verdict::Error => paint.bad("ERROR       "),
    };
    format!("{word} {:<12} {}", judgement.target, plain(&judgement.sentence))
}
