//! The CI system that runs this: recognised by its variables, and told the result where it looks for one.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    engine::ledger::nonce,
    error::Failure,
    platform,
    report::{
        github,
        outputs::{dotenv, exports},
        result::CommandResult,
        summary::{self, Around},
    },
};

/// Where the result goes besides the log.
#[derive(Debug, Default)]
pub(super) struct Ci {
    /// The log's reader takes annotations, and folds what is between two of its commands.
    pub annotates: bool,
    /// Single values for later steps.
    outputs: Option<(PathBuf, Form)>,
    /// A page for people.
    summary: Option<PathBuf>,
    /// Where the repository is checked out.
    workspace: Option<PathBuf>,
    /// The same as a file of its own, or a folder for one per command.
    report: Option<Report>,
}

/// Where the page goes as a file.
#[derive(Debug)]
struct Report {
    place: PathBuf,
    /// `place` is a folder of ours.
    folder: bool,
    /// Later steps see paths from here on: the container calls the workspace by another name.
    workspace: Option<PathBuf>,
}

/// How single values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As GITHUB_OUTPUT has them, added to what is there.
    GitHub,
    /// Lines for a shell, added to what is there.
    Exports,
    /// `NAME=value` lines and nothing else.
    Dotenv,
}

/// How much the job's page gets of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Whole,
    Line,
    None,
}

/// The file of outputs where the CI system has no place of its own.
const DOTENV: &str = "tidegate.env";

impl Ci {
    /// `said` and `report` are the files that flags name.
    pub fn recognise(
        variable: &dyn Fn(&str) -> Option<String>,
        said: Option<&Path>,
        report: Option<&Path>,
    ) -> Ci {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| given(name).map(PathBuf::from);
        let is = |name: &str| given(name).is_some_and(|value| value == "true");
        let dotenv = |folder: &str| (path(folder).unwrap_or_default().join(DOTENV), Form::Dotenv);
        let workspace = path("GITHUB_WORKSPACE");
        let report = match report {
            Some(file) => Some(Report { place: file.into(), folder: false, workspace }),
            None if is("GITHUB_ACTIONS") => {
                Some(Report { place: Path::new(".tidegate").join("report"), folder: true, workspace })
            }
            None => None,
        };
        if is("GITHUB_ACTIONS") {
            return Ci {
                report,
                workspace: path("GITHUB_WORKSPACE"),
                annotates: true,
                outputs: path("GITHUB_OUTPUT").map(|file| (file, Form::GitHub)),
                summary: path("GITHUB_STEP_SUMMARY"),
            };
        }
        let outputs = if let Some(said) = said {
            Some((said.to_path_buf(), Form::Dotenv))
        } else if is("GITLAB_CI") {
            Some(dotenv("CI_PROJECT_DIR"))
        } else if given("JENKINS_URL").is_some() {
            Some(dotenv("WORKSPACE"))
        } else if is("CIRCLECI") {
            path("BASH_ENV").map(|file| (file, Form::Exports))
        } else {
            None
        };
        Ci { outputs, report, ..Ci::default() }
    }

    /// Has the runner hide these wherever anybody's output shows them, also in steps of their own.
    pub fn mask(&self, secrets: &[String]) {
        if self.annotates {
            eprint!("{}", github::masks(secrets));
        }
    }

    /// Writes the page as a file; its path as later steps see it.
    pub fn report(&self, result: &CommandResult, around: &Around) -> Option<String> {
        let Report { place, folder, workspace } = self.report.as_ref()?;
        let file = if *folder { place.join(format!("{}.md", result.command)) } else { place.clone() };
        let written = || {
            if *folder {
                platform::create_folders(place, 0o777)?;
                // a workspace that is looked over for changes stays as it was
                write(&place.join(".gitignore"), "*\n", false)?;
            }
            write(&file, &summary::render(result, around), false)
        };
        if let Err(error) = written() {
            told(&file, Err(error));
            return None;
        }
        let whole = std::path::absolute(&file).unwrap_or(file);
        let seen = workspace.as_ref().and_then(|workspace| whole.strip_prefix(workspace).ok());
        Some(seen.unwrap_or(&whole).display().to_string())
    }

    /// Tells the result. What cannot be written is said and changes nothing.
    pub fn tell(&self, result: &CommandResult, failure: Option<&Failure>, page: Page, around: &Around) {
        if self.annotates {
            // The runner reads both streams; standard output may be one JSON object.
            let here = std::env::current_dir().unwrap_or_default();
            let folder = self.workspace.as_ref().and_then(|root| here.strip_prefix(root).ok());
            eprint!("{}", github::annotations(result, failure, folder.unwrap_or(Path::new(""))));
        }
        if let Some((file, form)) = &self.outputs {
            let text = match form {
                Form::GitHub => github::outputs(result, &nonce().unwrap_or_else(|_| "end".into())),
                Form::Exports => exports(result),
                Form::Dotenv => dotenv(result),
            };
            told(file, write(file, &text, *form != Form::Dotenv));
        }
        let text = match page {
            Page::Whole => summary::render(result, around),
            Page::Line => summary::line(result),
            Page::None => return,
        };
        if let Some(file) = &self.summary {
            told(file, write(file, &text, true));
        }
    }
}

fn write(file: &Path, text: &str, appended: bool) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.create(true).append(appended).write(true).truncate(!appended);
    let mut opened = options.open(file)?;
    platform::adopt(&opened, file);
    opened.write_all(text.as_bytes())
}

fn told(file: &Path, written: std::io::Result<()>) {
    if let Err(error) = written {
        eprintln!("the result could not be written to {}: {error}", file.display());
    }
}
