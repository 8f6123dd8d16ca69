//! `preflight`

use super::app::Verb;
use crate::{
    engine::{Engine, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {}

impl Verb for Args {
    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.preflight().await
    }
}
