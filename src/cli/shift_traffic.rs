//! `shift-traffic`

use super::app::Verb;
use crate::{
    domain::share::Share,
    engine::{Engine, Options, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The candidate's share in percent: `10`, `12.5%`
    #[arg(long, env = "TIDEGATE_TO", value_name = "PERCENT")]
    to: Share,
    #[command(flatten)]
    opening: super::Opening,
    #[command(flatten)]
    gated: super::Gated,
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.open(&self.opening);
        options.hotfix = self.gated.hotfix.clone();
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.shift_traffic(self.to).await
    }
}
