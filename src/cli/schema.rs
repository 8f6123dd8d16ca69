//! `schema`

use clap::ValueEnum;
use std::io::Write as _;

use crate::{config, report::result::CommandResult};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Of what
    #[arg(long, default_value = "config", value_name = "WHAT")]
    of: Of,
}

#[derive(Clone, Copy, ValueEnum)]
enum Of {
    /// tidegate.yml, for editors
    Config,
    /// What `--output json` prints
    Result,
}

pub(super) fn run(args: &Args) -> u8 {
    let schema = match args.of {
        Of::Config => config::schema(),
        Of::Result => schemars::schema_for!(CommandResult).to_value(),
    };
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    u8::from(writeln!(std::io::stdout(), "{text}").is_err())
}
