//! `verify-metrics`

use std::path::{Path, PathBuf};

use super::app::{Verb, environment};
use crate::{
    config::Config,
    domain::{
        check::Check,
        duration::Span,
        names::{EnvironmentName, ReleaseName},
    },
    engine::{Engine, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// How long to watch; the stage's time if absent
    #[arg(long = "for", env = "TIDEGATE_FOR", value_name = "DURATION")]
    bake: Option<Span>,
    /// Ask the checks of a finished release again where `finish.recheck` has it due; a `warn` counts
    #[arg(long, env = "TIDEGATE_RECHECK")]
    recheck: bool,
    /// Judge the stored verdicts of this release again: they come out the same. Asks no source, writes nothing
    #[arg(long, value_name = "RELEASE", conflicts_with_all = ["bake", "recheck"])]
    replay: Option<ReleaseName>,
    /// Judge what is stored of all past releases (with `--replay` of one) under the checks of this file, and tell
    /// which would have gone back
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bake", "recheck"])]
    with: Option<PathBuf>,
}

impl Verb for Args {
    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        if let Some(file) = &self.with {
            let text = std::fs::read_to_string(file)
                .map_err(|e| Failure::usage(format!("failed to read {}: {e}", file.display())))?;
            let checks = checks_of(file, text, &engine.unit.environment)?;
            return engine.judge_with(self.replay.as_ref(), &checks).await;
        }
        if let Some(release) = &self.replay {
            let recorded = Path::new("the recorded config");
            let read = |text: &str| checks_of(recorded, text.to_string(), &engine.unit.environment);
            return engine.replay(release, &read).await;
        }
        let time = self.bake.map(Span::get);
        if self.recheck { engine.recheck(time).await } else { engine.verify_metrics(time).await }
    }
}

/// The checks of a config's text.
fn checks_of(file: &Path, text: String, environment_name: &EnvironmentName) -> Result<Vec<Check>, Failure> {
    let config = Config::from_text(file, text, environment_name, environment())?;
    Ok(config.sections.checks.into_iter().map(|line| line.check).collect())
}
