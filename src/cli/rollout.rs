//! `rollout`

use super::app::Verb;
use crate::{
    domain::share::Share,
    engine::{Engine, Options, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Walk the stages up to this share; the release stays open below 100
    #[arg(long, env = "TIDEGATE_TO", value_name = "PERCENT")]
    to: Option<Share>,
    #[command(flatten)]
    opening: super::Opening,
    /// Straight to the last stage, past those before it; needs a hotfix reason
    #[arg(long, env = "TIDEGATE_SKIP_CANARY", requires = "hotfix")]
    skip_canary: bool,
    #[command(flatten)]
    gated: super::Gated,
    #[command(flatten)]
    migrating: super::migrate::Migrating,
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.open(&self.opening);
        options.hotfix = self.gated.hotfix.clone();
        options.skip_canary = self.skip_canary;
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.rollout(self.to, self.migrating.contract(), self.migrating.assume()).await
    }
}
