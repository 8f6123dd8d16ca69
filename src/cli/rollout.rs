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
    #[command(flatten)]
    gated: super::Gated,
    #[command(flatten)]
    migrating: super::migrate::Migrating,
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.open(&self.opening);
        options.hotfix = self.gated.hotfix.clone();
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.rollout(self.to, self.migrating.contract(), self.migrating.assume()).await
    }
}
