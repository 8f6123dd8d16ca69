//! What GitHub's runner reads: outputs, annotations, and a log without commands that are not ours.

use std::{fmt::Write as _, path::Path};

use super::{outputs::values, plain::plain, result::CommandResult};
use crate::{
    domain::verdict::Verdict,
    error::Failure,
    port::{Grade, excerpt::beginning},
};

/// The runner shows ten annotations of each level per step.
const ANNOTATIONS_MAX: usize = 10;
/// Characters of one annotation's message that the runner keeps.
const MESSAGE_MAX: usize = 4096;

/// The outputs in the form that GITHUB_OUTPUT takes. `word` is random: it must not be guessed by a value.
pub fn outputs(result: &CommandResult, word: &str) -> String {
    let mut text = String::new();
    for (name, value) in values(result) {
        let mut delimiter = format!("tidegate_{word}");
        while value.contains(&delimiter) {
            delimiter.push('_');
        }
        let _ = writeln!(text, "{name}<<{delimiter}\n{value}\n{delimiter}");
    }
    text
}

/// What went wrong, as annotations of the run: in the config file where it is the file, and one for each
/// check that failed.
/// `folder` is where the process runs, from the repository's root on.
pub fn annotations(result: &CommandResult, failure: Option<&Failure>, folder: &Path) -> String {
    let mut all = Vec::new();
    match failure {
        Some(Failure::Config { file, located }) => {
            for problem in located {
                let file = folder.join(file).display().to_string();
                let place = problem.position.map(|at| (file.as_str(), at.line, at.column));
                all.push(command("error", "tidegate", place, &problem.to_string()));
            }
        }
        Some(_) => {
            let hint = result.hint.as_ref().map_or(String::new(), |hint| format!(" hint: {hint}"));
            let title = format!("tidegate {}", result.command);
            all.push(command("error", &title, None, &format!("{}{hint}", result.sentence)));
        }
        None => {}
    }
    for judgement in result.checks.iter().filter(|j| j.decides && !j.shadow) {
        let level = match judgement.verdict {
            Verdict::Fail | Verdict::Error => "error",
            Verdict::Insufficient => "warning",
            Verdict::Pass if judgement.warned => "warning",
            Verdict::Pass => continue,
        };
        let title = format!("check {} of {}: {}", judgement.check, judgement.target, judgement.verdict);
        all.push(command(level, &title, None, &judgement.sentence));
    }
    for finding in &result.findings {
        let level = match finding.grade {
            Grade::Refuse => "error",
            Grade::Warn => "warning",
            Grade::Ok | Grade::Unknown => continue,
        };
        all.push(command(level, &finding.about, None, &finding.message));
    }
    all.truncate(ANNOTATIONS_MAX);
    all.concat()
}

/// Commands that have the runner hide these.
pub fn masks(secrets: &[String]) -> String {
    let escaped = |secret: &String| secret.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    secrets.iter().map(|secret| format!("::add-mask::{}\n", escaped(secret))).collect()
}

/// One workflow command, on a line of its own.
fn command(level: &str, title: &str, place: Option<(&str, u32, u32)>, message: &str) -> String {
    let place = place.map_or(String::new(), |(file, line, column)| {
        format!("file={},line={line},col={column},", property(file))
    });
    let message: Vec<String> = message.lines().map(plain).collect();
    let message = beginning(&message.join("\n"), MESSAGE_MAX - 1);
    format!("::{level} {place}title={}::{}\n", property(title), data(&message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").replace("##[", "#\u{2060}#[")
}

fn property(text: &str) -> String {
    data(&plain(text)).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_several_lines_is_one_command() {
        let masks = masks(&["a%0Ab".into(), "a\n::error::pwned\rb".into()]);
        assert_eq!(masks, "::add-mask::a%250Ab\n::add-mask::a%0A::error::pwned%0Db\n");
    }
}
