//! `deploy`

use super::app::Verb;
use crate::{
    engine::{Engine, Options, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    opening: super::Opening,
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.open(&self.opening);
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.deploy().await
    }
}
