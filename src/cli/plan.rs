//! `plan`

use super::app::Verb;
use crate::{
    config::{self, Config},
    engine::{Engine, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Print the config with all defaults filled in
    #[arg(long)]
    explain: bool,
    /// Ask nobody: without the time that evidence takes at today's rates
    #[arg(long)]
    offline: bool,
}

impl Verb for Args {
    fn document(&self, config: &Config) -> Option<String> {
        self.explain.then(|| config::explain(config))
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.plan(self.offline).await
    }
}
