//! `status`

use std::path::{Path, PathBuf};

use super::app::Verb;
use crate::{
    config::Parts,
    domain::share::Split,
    engine::{Engine, outcome::Done, status::Adopt},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Accept what the targets show as the state to go on from; with a file: what a rollback without a
    /// journal printed, if the targets show it
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[allow(clippy::option_option)]
    adopt: Option<Option<PathBuf>>,
}

impl Verb for Args {
    fn needs(&self) -> Parts {
        Parts::Traffic
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        let adopt = match &self.adopt {
            None => None,
            Some(None) => Some(Adopt::Live),
            Some(Some(file)) => Some(Adopt::Split(read(file)?)),
        };
        engine.status(adopt).await
    }
}

fn read(file: &Path) -> Result<Split, Failure> {
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("failed to read {shown}: {e}")))?;
    let value: serde_json::Value = serde_json::from_str(text.trim())
        .map_err(|e| Failure::usage(format!("{shown} is not the record that was printed: {e}")))?;
    let split = value.get("split").cloned().unwrap_or_default();
    serde_json::from_value(split)
        .map_err(|e| Failure::usage(format!("{shown} is not the record that was printed: {e}")))
}
