//! The result as a page of Markdown: a job summary, or the body of a report.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{escape::markdown, result::CommandResult};
use crate::{
    domain::{
        share::Share,
        verdict::{Judgement, Verdict},
    },
    engine::outcome::Moment,
    port::{Grade, excerpt::beginning},
};

/// Hosts drop a summary of more than 1 MiB whole.
const BYTES_MAX: usize = 900_000;
/// Points of the drawn timeline.
const POINTS_MAX: usize = 40;
const LINES_MAX: usize = 500;
const CHARS_MAX: usize = 4000;
/// Low, so that the checks are on the first screen; colours that are seen on a light page and on a dark one.
const CHART: &str = "%%{init: {\"xyChart\": {\"height\": 220}, \"themeVariables\": {\"xyChart\": {\"plotColorPalette\": \"#1f6feb, #db6d28, #2da44e\"}}}}%%";

/// What the page says beyond the result.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// `https://github.com/owner/name`, for links that compare versions.
    pub repository: Option<String>,
    /// The run's log.
    pub log: Option<String>,
    pub actor: Option<String>,
    /// Who approved the run.
    pub approvers: Vec<String>,
}

/// Writes the page: first what came of it and what to do, then the traffic, the checks, the versions, the
/// snapshots, and the evidence folded away. Never more than a host takes.
pub fn render(result: &CommandResult, around: &Around) -> String {
    let mut page = head(result);
    let parts =
        [timeline(result), checks(result), versions(result, around), snapshots(result), evidence(result)];
    for part in parts {
        if page.len() + part.len() <= BYTES_MAX {
            page.push_str(&part);
        }
    }
    page
}

/// The same in one line, for a command that only prepares or looks.
pub fn line(result: &CommandResult) -> String {
    format!("{}: {}\n\n", titled(result, "**", "**"), bounded(&result.sentence))
}

fn titled(result: &CommandResult, begin: &str, end: &str) -> String {
    let mark = match result.exit_code {
        0 => "✅",
        11 | 13 | 15 | 130 | 143 => "⚠️",
        _ => "❌",
    };
    let name = result.attempt.as_deref().map_or(String::new(), |attempt| format!(" {}", markdown(attempt)));
    format!("{mark} {begin}tidegate {}{end}{name}", markdown(&result.command))
}

fn head(result: &CommandResult) -> String {
    let mut text = format!("## {}\n\n", titled(result, "", ""));
    let _ = writeln!(text, "{}\n", bounded(&result.sentence));
    if let Some(reason) = &result.hotfix {
        let _ = writeln!(text, "**HOTFIX past the gate: {}**\n", bounded(reason));
    }
    if let Some(hint) = &result.hint {
        let _ = writeln!(text, "Hint: {}\n", bounded(hint));
    }
    if let Some(next) = &result.next {
        let at = result.next_at.map_or(String::new(), |at| format!(", due {}", markdown(&at.to_string())));
        let _ = writeln!(text, "Next: <code>{}</code>{at}\n", bounded(next));
    }
    text
}

/// A sentence may quote what a server said.
fn bounded(text: &str) -> String {
    markdown(&beginning(text, CHARS_MAX))
}

/// Time from left to right, the candidate's share upward, one line per service that went its own way.
fn timeline(result: &CommandResult) -> String {
    let skipped = result.timeline.len().saturating_sub(POINTS_MAX);
    let moments: Vec<_> = result.timeline.iter().skip(skipped).collect();
    if moments.len() < 2 {
        return String::new();
    }
    let mut lines: BTreeMap<Vec<Share>, Vec<&str>> = BTreeMap::new();
    let targets: std::collections::BTreeSet<_> = moments.iter().flat_map(|m| m.split.keys()).collect();
    for target in targets {
        let shares = moments.iter().map(|m| m.split.get(target).copied().unwrap_or_default()).collect();
        lines.entry(shares).or_default().push(target.as_str());
    }
    // A label that is there twice would be one place.
    let label = |(n, m): (usize, &&Moment)| format!("\"{}: {}\"", n + 1, m.at.strftime("%H:%M:%S"));
    let times: Vec<String> = moments.iter().enumerate().map(label).collect();
    let mut text = format!("### Traffic to the candidate\n\n```mermaid\n{CHART}\nxychart-beta\n");
    let _ = writeln!(text, "  x-axis [{}]\n  y-axis \"%\" 0 --> 100", times.join(", "));
    // Traffic moves in steps, which bars show; bars of several services would hide each other.
    let shape = if lines.len() == 1 { "bar" } else { "line" };
    for shares in lines.keys() {
        let points: Vec<String> = shares.iter().map(|share| share.typed()).collect();
        let _ = writeln!(text, "  {shape} [{}]", points.join(", "));
    }
    text.push_str("```\n\n| since (UTC) |");
    for names in lines.values() {
        let _ = write!(text, " {} |", markdown(&names.join(", ")));
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(lines.len()));
    for (n, moment) in moments.iter().enumerate() {
        let _ = write!(text, "| {} |", moment.at.strftime("%Y-%m-%d %H:%M:%S"));
        for shares in lines.keys() {
            let _ = write!(text, " {} |", shares.get(n).copied().unwrap_or_default());
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn checks(result: &CommandResult) -> String {
    if result.checks.is_empty() {
        return String::new();
    }
    let verdict = result.verdict.map_or(String::new(), |verdict| format!(": **{verdict}**"));
    let mut text = format!(
        "### Checks{verdict}\n\n| check | service | verdict | candidate | baseline | bound | events |\n|---|---|---|---:|---:|---|---:|\n"
    );
    for judgement in result.checks.iter().take(LINES_MAX) {
        let number = |number: Option<f64>| number.map_or("–".into(), |n| markdown(&judgement.kind.show(n)));
        let recorded = if judgement.against_recorded { " (recorded)" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {}{recorded} | {} | {} |",
            markdown(judgement.check.as_str()),
            markdown(judgement.target.as_str()),
            verdict_word(judgement),
            number(judgement.candidate),
            number(judgement.baseline),
            bounded(&judgement.bound),
            judgement.events,
        );
    }
    text.push('\n');
    text
}

fn verdict_word(judgement: &Judgement) -> &'static str {
    match judgement.verdict {
        _ if judgement.shadow => "shadow",
        _ if !judgement.decides && judgement.warned => "⚠️ warns",
        _ if !judgement.decides => "tells",
        Verdict::Pass if judgement.warned => "⚠️ pass, warned",
        Verdict::Pass => "✅ pass",
        Verdict::Fail => "❌ **fail**",
        Verdict::Insufficient => "⚠️ insufficient",
        Verdict::Error => "❌ error",
    }
}

fn versions(result: &CommandResult, around: &Around) -> String {
    let mut text = String::new();
    if let Some(candidate) = &result.release {
        let baseline = result.baseline_version.as_deref();
        let _ = write!(
            text,
            "**{}** beside {}",
            bounded(candidate),
            baseline.map_or("a baseline that does not say its version".into(), bounded)
        );
        if let (Some(repository), Some(baseline)) = (&around.repository, baseline)
            && [candidate.as_str(), baseline].iter().all(|name| is_ref(name))
        {
            let _ = write!(text, " ([compare]({repository}/compare/{baseline}...{candidate}))");
        }
        text.push_str("\n\n");
    }
    if !around.approvers.is_empty() {
        let names: Vec<String> = around.approvers.iter().map(|name| bounded(name)).collect();
        let _ = writeln!(text, "Approved by **{}**\n", names.join(", "));
    }
    let by = around.actor.as_deref().map(|actor| format!("started by {}", bounded(actor)));
    let log = around.log.as_deref().filter(|log| is_link(log)).map(|log| format!("[log]({log})"));
    let about: Vec<String> = by.into_iter().chain(log).collect();
    if !about.is_empty() {
        let _ = writeln!(text, "{}\n", about.join(", "));
    }
    text
}

/// A name that can stand in a link as it is.
fn is_ref(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_/".contains(c))
}

fn is_link(text: &str) -> bool {
    text.starts_with("https://")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ":/.-_?=&%#".contains(c))
}

fn snapshots(result: &CommandResult) -> String {
    if result.snapshots.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "### Snapshots\n\n| database | snapshot | to restore it beside the original |\n|---|---|---|\n",
    );
    for (database, artifact) in result.snapshots.iter().take(LINES_MAX) {
        let (database, id) = (markdown(database.as_str()), bounded(&artifact.id));
        let _ = writeln!(
            text,
            "| {database} | <code>{id}</code> | <code>tidegate restore-db --database {database} --from {id} --into NAME</code> |"
        );
    }
    text.push('\n');
    text
}

/// What the sentence rests on.
fn evidence(result: &CommandResult) -> String {
    let mut lines: Vec<String> = result.checks.iter().map(|judgement| bounded(&judgement.sentence)).collect();
    for finding in &result.findings {
        let mark = match finding.grade {
            Grade::Refuse => "❌",
            Grade::Warn => "⚠️",
            Grade::Unknown => "❔",
            Grade::Ok => "✅",
        };
        lines.push(format!("{mark} {}: {}", bounded(&finding.about), bounded(&finding.message)));
    }
    lines.extend(result.details.iter().map(|line| bounded(line)));
    if lines.is_empty() {
        return String::new();
    }
    let more = lines.len().saturating_sub(LINES_MAX);
    let mut text = String::from("<details><summary>Evidence</summary>\n\n");
    for line in lines.iter().take(LINES_MAX) {
        let _ = writeln!(text, "- {line}");
    }
    if more > 0 {
        let _ = writeln!(text, "- and {more} more");
    }
    text.push_str("\n</details>\n\n");
    text
}
