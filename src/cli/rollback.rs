//! `rollback`

use super::app::Verb;
use crate::{
    config::Parts,
    domain::names::{ReleaseName, SideName},
    engine::{Engine, Options, outcome::Done, rollback::Rollback},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Act only when this run's own release failed or was left half-way (for steps that always run)
    #[arg(long, env = "TIDEGATE_IF_NEEDED")]
    if_needed: bool,
    /// Take this release's migrations back too, last first
    #[arg(long, env = "TIDEGATE_MIGRATIONS")]
    migrations: bool,
    /// After a finished release: deploy this version again and move all traffic to it
    #[arg(long, env = "TIDEGATE_TO_VERSION", value_name = "VERSION", conflicts_with_all = ["if_needed", "migrations"])]
    to: Option<ReleaseName>,
    /// The side to go back to when the journal cannot be read
    #[arg(long, env = "TIDEGATE_TO_BASELINE", value_name = "SIDE")]
    to_baseline: Option<SideName>,
    /// Why; it is recorded
    #[arg(long, env = "TIDEGATE_REASON", value_name = "TEXT")]
    reason: Option<String>,
    /// Go past an unhealthy baseline, a contracting migration, or a version (`--to`) that was never here
    #[arg(long, env = "TIDEGATE_FORCE")]
    force: bool,
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.force = self.force;
    }

    fn under_recorded_config(&self) -> bool {
        self.to.is_none()
    }

    fn needs(&self) -> Parts {
        match (&self.to, &self.to_baseline) {
            (Some(_), _) => Parts::All,
            (None, Some(_)) => Parts::Targets,
            (None, None) => Parts::Traffic,
        }
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        let how = Rollback {
            if_needed: self.if_needed,
            migrations: self.migrations,
            to: self.to.clone(),
            to_baseline: self.to_baseline.clone(),
            reason: self.reason.clone(),
        };
        engine.rollback(&how).await
    }
}
