//! `migrate`

use clap::ValueEnum;

use super::app::Verb;
use crate::{
    engine::{Engine, Options, migrate::Assume, outcome::Done},
    error::Failure,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    opening: super::Opening,
    #[command(flatten)]
    pub migrating: Migrating,
}

/// Flags of everything that migrates.
#[derive(clap::Args)]
pub(super) struct Migrating {
    /// `contract` makes this release's migrations a point of no return
    #[arg(long, env = "TIDEGATE_KIND", default_value = "expand", value_name = "KIND")]
    kind: Kind,
    /// What became of a migration whose end is not recorded, if you have looked
    #[arg(long, env = "TIDEGATE_ASSUME", value_name = "WHAT")]
    assume: Option<AssumeArg>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The old version works on the new data
    Expand,
    /// It does not: no automatic way back
    Contract,
}

#[derive(Clone, Copy, ValueEnum)]
enum AssumeArg {
    Done,
    NotRun,
}

impl Migrating {
    pub(super) fn contract(&self) -> bool {
        self.kind == Kind::Contract
    }

    pub(super) fn assume(&self) -> Option<Assume> {
        self.assume.map(|a| match a {
            AssumeArg::Done => Assume::Done,
            AssumeArg::NotRun => Assume::NotRun,
        })
    }
}

impl Verb for Args {
    fn options(&self, options: &mut Options) {
        options.open(&self.opening);
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure> {
        engine.migrate(self.migrating.contract(), self.migrating.assume()).await
    }
}
