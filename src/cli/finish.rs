//! `finish`

use super::app::Verb;
use crate::{
    engine::{Engine, Options, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Do not wait for the old side's keep time
    #[arg(long, env = "TIDEGATE_NOW")]
    now: bool,
    /// Do nothing, and end with 0, where nothing can be finished yet (for scheduled runs)
    #[arg(long, env = "TIDEGATE_IF_DUE", conflicts_with = "now")]
    if_due: bool,
    #[command(flatten)]
    gated: super::Gated,
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.hotfix = self.gated.hotfix.clone();
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        match self.if_due {
            true => engine.finish_if_due().await,
            false => engine.finish(self.now).await,
        }
    }
}
