//! The CI system that runs this: recognised by its variables, and told the result where it looks for one.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    engine::ledger::nonce,
    error::Failure,
    report::{
        github,
        outputs::{dotenv, exports},
        result::CommandResult,
        summary::{self, Around},
    },
};

/// Where the result goes besides the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ci {
    system: System,
    /// Single values for later steps.
    outputs: Option<PathBuf>,
    /// A page for people.
    summary: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum System {
    GitHub,
    GitLab,
    Jenkins,
    CircleCi,
    #[default]
    None,
}

/// The file of outputs where the CI system has no place of its own.
const DOTENV: &str = "tidegate.env";

impl Ci {
    /// `said` is the file that a flag names.
    pub fn recognise(variable: &dyn Fn(&str) -> Option<String>, said: Option<&Path>) -> Ci {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| given(name).map(PathBuf::from);
        let is = |name: &str| given(name).is_some_and(|value| value == "true");
        let mut ci = if is("GITHUB_ACTIONS") {
            Ci {
                system: System::GitHub,
                outputs: path("GITHUB_OUTPUT"),
                summary: path("GITHUB_STEP_SUMMARY"),
            }
        } else if is("GITLAB_CI") {
            let folder = path("CI_PROJECT_DIR").unwrap_or_default();
            Ci { system: System::GitLab, outputs: Some(folder.join(DOTENV)), ..Ci::default() }
        } else if given("JENKINS_URL").is_some() {
            let folder = path("WORKSPACE").unwrap_or_default();
            Ci { system: System::Jenkins, outputs: Some(folder.join(DOTENV)), ..Ci::default() }
        } else if is("CIRCLECI") {
            Ci { system: System::CircleCi, outputs: path("BASH_ENV"), ..Ci::default() }
        } else {
            Ci::default()
        };
        if let (Some(said), false) = (said, ci.system == System::GitHub) {
            ci.outputs = Some(said.to_path_buf());
            ci.system = if ci.system == System::CircleCi { System::Jenkins } else { ci.system };
        }
        ci
    }

    /// Tells the result. What cannot be written is said and changes nothing.
    pub fn tell(&self, result: &CommandResult, failure: Option<&Failure>, page: bool, around: &Around) {
        if self.system == System::GitHub {
            // The runner reads both streams; standard output may be one JSON object.
            eprint!("{}", github::annotations(result, failure));
        }
        if let Some(file) = &self.outputs {
            let text = match self.system {
                System::GitHub => github::outputs(result, &nonce().unwrap_or_else(|_| "end".into())),
                System::CircleCi => exports(result),
                _ => dotenv(result),
            };
            let appended = matches!(self.system, System::GitHub | System::CircleCi);
            told(file, write(file, &text, appended));
        }
        if let (Some(file), true) = (&self.summary, page) {
            told(file, write(file, &summary::render(result, around), true));
        }
    }
}

fn write(file: &Path, text: &str, appended: bool) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.create(true).append(appended).write(true).truncate(!appended);
    let mut opened = options.open(file)?;
    crate::adapter::owner::adopt(&opened, file);
    opened.write_all(text.as_bytes())
}

fn told(file: &Path, written: std::io::Result<()>) {
    if let Err(error) = written {
        eprintln!("the result could not be written to {}: {error}", file.display());
    }
}
