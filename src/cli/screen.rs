//! Where everything is printed: progress, the result, and what the CI system is told of it.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
};

use super::{
    Common, FailOn, Output, Summary,
    ci::{Ci, Page},
    identity,
};
use crate::{
    domain::verdict::Verdict,
    engine::{
        dry_run,
        outcome::{Changed, Done, Facts},
    },
    error::{Failure, verdict_code},
    port::{Clock, Progress, clock::SystemClock},
    report::{
        lines::Lines,
        live::Live,
        result::CommandResult,
        summary::Around,
        text::{Paint, render},
    },
};

/// The listener, which says so where nothing is really done.
fn told(common: &Common, progress: Arc<dyn Progress>) -> Arc<dyn Progress> {
    if common.dry_run { Arc::new(dry_run::Told(progress)) } else { progress }
}

/// Where everything is printed.
pub(super) struct Screen {
    output: Output,
    dry_run: bool,
    paint: Paint,
    pub progress: Arc<dyn Progress>,
    shown: Shown,
    pub ci: Ci,
    fail_on: Vec<FailOn>,
    summary: Summary,
}

/// How progress is shown.
enum Shown {
    Live(Arc<Live>),
    Lines(Arc<Lines>),
}

impl Shown {
    /// Makes room for the result.
    fn clear(&self) {
        match self {
            Shown::Live(live) => live.clear(),
            Shown::Lines(lines) => lines.clear(),
        }
    }
}

impl Screen {
    pub fn new(common: &Common, clock: Arc<dyn Clock>) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let paint = Paint { colour };
        let on_ci = std::env::var_os("CI").is_some();
        let ci = Ci::recognise(
            &|name| std::env::var(name).ok(),
            common.outputs.as_deref(),
            common.report.as_deref(),
        );
        let (fail_on, summary) = (common.fail_on.clone(), common.summary);
        if common.output == Output::Text && terminal && !on_ci {
            let live = Arc::new(Live::new(paint));
            let progress = told(common, live.clone());
            return Screen {
                output: common.output,
                dry_run: common.dry_run,
                paint,
                progress,
                shown: Shown::Live(live),
                ci,
                fail_on,
                summary,
            };
        }
        let out: Box<dyn std::io::Write + Send> = match common.output {
            Output::Text => Box::new(std::io::stdout()),
            Output::Json => Box::new(std::io::stderr()),
        };
        let lines = Arc::new(Lines::new(out, clock, paint, ci.annotates));
        let (progress, shown) = (told(common, lines.clone()), Shown::Lines(lines));
        let (output, dry_run) = (common.output, common.dry_run);
        Screen { output, dry_run, paint, progress, shown, ci, fail_on, summary }
    }

    pub fn finish(&self, command: &str, ended: Result<&Done, &Failure>, facts: Facts) -> u8 {
        self.show(self.result(command, ended, facts), ended.err(), &identity::around())
    }

    pub fn result(&self, command: &str, ended: Result<&Done, &Failure>, facts: Facts) -> CommandResult {
        let result = CommandResult::new(command, ended, facts);
        if self.dry_run { result.dry() } else { result }
    }

    pub fn show(&self, mut result: CommandResult, failure: Option<&Failure>, around: &Around) -> u8 {
        self.shown.clear();
        if self.reports(&result) {
            result.report_path = self.ci.report(&result, around);
        }
        match self.output {
            Output::Json => {
                let _ = writeln!(std::io::stdout(), "{}", result.json(true));
            }
            Output::Text if result.exit_code == 0 => {
                let _ = write!(std::io::stdout(), "{}", render(&result, self.paint));
            }
            Output::Text => {
                let _ = write!(std::io::stderr(), "{}", render(&result, self.paint));
            }
        }
        self.ci.tell(&result, failure, self.page(&result), around);
        self.status(result.exit_code)
    }

    /// What the job's page gets. Every step of a job has a part of it that no other step can change, and a
    /// release may take ten of them: so what ended a release or took it further gets a whole page, what failed
    /// too, and everything else is one line.
    pub fn page(&self, result: &CommandResult) -> Page {
        let ends = ["rollout", "rollback", "finish", "restore-db"].contains(&result.command.as_str());
        let did = result.changed != Changed::None || result.verdict.is_some() || result.dry_run;
        match self.summary {
            Summary::Always => Page::Whole,
            Summary::Never => Page::None,
            Summary::Auto if result.exit_code != 0 || (ends && did) => Page::Whole,
            Summary::Auto => Page::Line,
        }
    }

    /// Whether the whole page is written as a file: that is nobody's to scroll past.
    fn reports(&self, result: &CommandResult) -> bool {
        self.page(result) == Page::Whole
            || (self.summary == Summary::Auto && result.command == "verify-metrics")
    }

    /// What the process ends with: verdicts that the caller does not want to fail for end with 0.
    fn status(&self, code: u8) -> u8 {
        let kinds = [
            (Verdict::Fail, FailOn::Fail),
            (Verdict::Insufficient, FailOn::Insufficient),
            (Verdict::Error, FailOn::Error),
        ];
        match kinds.iter().find(|(verdict, _)| verdict_code(*verdict) == code) {
            Some((_, kind)) if !self.fail_on.contains(kind) => 0,
            _ => code,
        }
    }
}

/// Prints a failure of a command that drives no engine.
pub(super) fn fail(command: &str, common: &Common, failure: &Failure) -> u8 {
    let screen = Screen::new(common, Arc::new(SystemClock::default()));
    screen.finish(command, Err(failure), Facts::default())
}

/// Prints the success of a command that drives no engine.
pub(super) fn done(command: &str, common: &Common, done: &Done) -> u8 {
    let screen = Screen::new(common, Arc::new(SystemClock::default()));
    screen.finish(command, Ok(done), Facts::default())
}

/// A command line that cannot be read, told where the CI system looks: the flags of an action are its inputs.
pub(super) fn refuse_on_ci(message: &str, commands: &clap::Command) {
    let variable = |name: &str| std::env::var(name).ok();
    let command = std::env::args().nth(1).filter(|name| commands.find_subcommand(name).is_some());
    let command = command.unwrap_or_else(|| "tidegate".into());
    let message = message.trim().trim_start_matches("error: ");
    let message = message.split("\n\nFor more information").next().unwrap_or(message);
    let by_inputs = std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("INPUT_"));
    let message = match by_inputs {
        // flags that nobody typed
        true => {
            let message = message.split("\n\nUsage: ").next().unwrap_or(message);
            super::action::as_inputs(message, &command, commands)
        }
        false => message.to_string(),
    };
    let failure = Failure::usage(message);
    let result = CommandResult::new(&command, Err(&failure), Facts::default());
    Ci::recognise(&variable, None, None).tell(&result, Some(&failure), Page::Whole, &identity::around());
}

/// A command line that cannot be read, as the JSON object that was asked for.
pub(super) fn refuse_in_json(message: &str) -> u8 {
    let result = CommandResult::new("tidegate", Err(&Failure::usage(message.trim())), Facts::default());
    let _ = writeln!(std::io::stdout(), "{}", result.json(true));
    result.exit_code
}
