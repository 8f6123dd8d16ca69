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
    #[command(flatten)]
    gated: super::Gated,
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.hotfix = self.gated.hotfix.clone();
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.finish(self.now).await
    }
}
