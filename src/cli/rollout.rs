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
    /// Go on only with a rollout that waits, as far as that one was to go, and end with 0 otherwise (for
    /// scheduled runs)
    #[arg(long, env = "TIDEGATE_IF_WAITING", conflicts_with_all = ["to", "skip_canary"])]
    if_waiting: bool,
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
        // who only goes on with what is there names nothing new
        if !self.if_waiting {
            options.open(&self.opening);
        }
        options.goal = Some(self.to.unwrap_or(Share::ALL));
        options.hotfix = self.gated.hotfix.clone();
        options.skip_canary = self.skip_canary;
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        let (contract, assume) = (self.migrating.contract(), self.migrating.assume());
        if !self.if_waiting {
            return engine.rollout(self.to, contract, assume).await;
        }
        match engine.waiting_goal().await? {
            Ok(goal) => engine.with_goal(goal).rollout(Some(goal), contract, assume).await,
            Err(nothing) => Ok(nothing),
        }
    }
}
