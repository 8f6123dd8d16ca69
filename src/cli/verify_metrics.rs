//! `verify-metrics`

use super::app::Verb;
use crate::{
    domain::duration::Span,
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
}

impl Verb for Args {
    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        let time = self.bake.map(Span::get);
        if self.recheck { engine.recheck(time).await } else { engine.verify_metrics(time).await }
    }
}
