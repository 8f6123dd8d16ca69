//! `report`

use std::path::PathBuf;

use super::app::Verb;
use crate::{
    config::Parts,
    engine::{Engine, outcome::Done},
    error::Failure,
    report::chart,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Show what each verdict of the release rests on: both sides over the time, the bound, how sure it is
    #[arg(long)]
    verdict: bool,
    /// Draw the last verdict into this file, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Verb for Args {
    fn needs(&self) -> Parts {
        Parts::Traffic
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        let release = engine.options.release.as_ref();
        let done = engine.report(release, self.verdict || self.svg.is_some()).await?;
        let Some(file) = &self.svg else { return Ok(done) };
        let drawn = chart::of_last(&engine.facts().evidence);
        let drawn = drawn.ok_or_else(|| Failure::usage("there is no verdict to be drawn"))?;
        std::fs::write(file, drawn)
            .map_err(|e| Failure::usage(format!("failed to write {}: {e}", file.display())))?;
        Ok(Done { sentence: format!("{}; drawn into {}", done.sentence, file.display()), ..done })
    }
}
