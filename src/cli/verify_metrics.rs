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
}

impl Verb for Args {
    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.verify_metrics(self.bake.map(Span::get)).await
    }
}
