//! `restore-db`

use super::app::Verb;
use crate::{
    domain::names::EntryName,
    engine::{Engine, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The database's key in the file
    #[arg(long, env = "TIDEGATE_DATABASE", value_name = "NAME")]
    database: EntryName,
    /// The snapshot's id; the newest release's if absent
    #[arg(long, env = "TIDEGATE_SNAPSHOT", value_name = "ID")]
    from: Option<String>,
    /// The name of the new database; one that exists is refused
    #[arg(long, env = "TIDEGATE_INTO", value_name = "NAME")]
    into: String,
}

impl Verb for Args {
    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.restore_db(&self.database, self.from.as_deref(), &self.into).await
    }
}
