//! The command line. One file per subcommand: arguments, the request they make, the engine's answer.

mod action;
mod app;
mod ci;
mod completions;
#[cfg(all(feature = "demo", unix))]
mod demo;
mod deploy;
mod finish;
mod herald;
mod identity;
mod init;
mod migrate;
mod plan;
mod preflight;
mod reference;
mod report;
mod restore_db;
mod rollback;
mod rollout;
mod schema;
mod screen;
mod shift_traffic;
mod smoke_test;
mod snapshot_db;
mod status;
mod verify_metrics;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    domain::{
        duration::Span,
        names::{EnvironmentName, ReleaseName, TargetName},
    },
    engine::Supersede,
    platform,
    report::plain::plain_lines,
};

/// Staged production releases: snapshot, candidate beside baseline, shift, verify, and back by itself when
/// the metrics turn.
#[derive(Parser)]
#[command(name = "tidegate", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes. A flag beats its variable, the variable beats the file.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The config file
    #[arg(long, global = true, env = "TIDEGATE_CONFIG", default_value = "tidegate.yml", value_name = "FILE")]
    config: PathBuf,
    /// The environment: `production`, or one that the file lists
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_ENVIRONMENT",
        default_value = "production",
        value_name = "NAME"
    )]
    environment: EnvironmentName,
    /// The release's name; on CI the tag or commit if absent
    #[arg(long, global = true, env = "TIDEGATE_RELEASE", value_name = "NAME")]
    release: Option<ReleaseName>,
    /// Only this service; may be given several times
    #[arg(long, global = true, env = "TIDEGATE_SERVICE", value_delimiter = ',', value_name = "NAME")]
    service: Vec<TargetName>,
    /// Look, decide and print; write nothing anywhere
    #[arg(long, global = true, env = "TIDEGATE_DRY_RUN")]
    dry_run: bool,
    /// How the result is printed
    #[arg(long, global = true, env = "TIDEGATE_OUTPUT", default_value = "text", value_name = "FORM")]
    output: Output,
    /// When the job must be over: a bake that takes longer ends as `waiting` with exit code 0
    #[arg(long, global = true, env = "TIDEGATE_TIME_LIMIT", value_name = "DURATION")]
    time_limit: Option<Span>,
    /// Verdicts that end with an exit code other than 0; `none` for none of them
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_FAIL_ON",
        value_delimiter = ',',
        default_value = "fail,insufficient,error",
        value_name = "VERDICTS"
    )]
    fail_on: Vec<FailOn>,
    /// What the CI's page for the job gets; `auto`: the whole result of what moves a release on or ends it, or
    /// fails, and one line of everything else
    #[arg(long, global = true, env = "TIDEGATE_SUMMARY", default_value = "auto", value_name = "WHEN")]
    summary: Summary,
    /// A file for the result as `NAME=value` lines, for CI systems that have no place of their own for it
    #[arg(long, global = true, env = "TIDEGATE_OUTPUTS", value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// A file for the page about the result, as Markdown; on GitHub `.tidegate/report/COMMAND.md` if absent
    #[arg(long, global = true, env = "TIDEGATE_REPORT", value_name = "FILE")]
    report: Option<PathBuf>,
    /// Whether GitHub shows the release as a deployment: `tidegate` makes one, `github` adds to the one that
    /// the job's `environment:` makes
    #[arg(long, global = true, env = "TIDEGATE_DEPLOYMENT", default_value = "none", value_name = "WHO")]
    deployment: Deployment,
    /// Tell what is done, call by call, on standard error
    #[arg(short, long, global = true, env = "TIDEGATE_VERBOSE")]
    verbose: bool,
}

impl Common {
    fn time_limit(&self) -> Option<Duration> {
        self.time_limit.map(Span::get)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Fail,
    Insufficient,
    Error,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Summary {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deployment {
    Tidegate,
    Github,
    None,
}

impl Deployment {
    /// As the adapter calls it.
    fn by(self) -> Option<&'static str> {
        match self {
            Deployment::Tidegate => Some("tidegate"),
            Deployment::Github => Some("github"),
            Deployment::None => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object on standard output, progress on standard error
    Json,
}

/// What to do with another release that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SupersedeArg {
    /// It stands at 100 %: call it finished
    Finish,
    /// Roll it back first
    Rollback,
}

impl From<SupersedeArg> for Supersede {
    fn from(arg: SupersedeArg) -> Self {
        match arg {
            SupersedeArg::Finish => Supersede::Finish,
            SupersedeArg::Rollback => Supersede::Rollback,
        }
    }
}

/// Flags of every command that may open a release.
#[derive(Args, Clone, Debug, Default)]
struct Opening {
    /// What to do with another release that is open
    #[arg(long, env = "TIDEGATE_SUPERSEDE", value_name = "HOW")]
    supersede: Option<SupersedeArg>,
}

impl crate::engine::Options {
    /// For a command that may open a release: without a name it is the CI's tag or commit.
    fn open(&mut self, opening: &Opening) {
        self.supersede = opening.supersede.map(Into::into);
        if self.release.is_none() {
            self.release = identity::ci_release();
        }
    }
}

/// A reason says something.
fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a reason is needed: it is recorded".into()),
        said => Ok(said.to_string()),
    }
}

/// Flags of every command that the gate may stop.
#[derive(Args, Clone, Debug, Default)]
struct Gated {
    /// Go past the gate for this reason; it is recorded. Never past health, the journal or the read-back
    #[arg(long, env = "TIDEGATE_HOTFIX", value_name = "REASON", value_parser = reason)]
    hotfix: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Refuse before anything changes: services, databases, journal, the way back
    Preflight(preflight::Args),
    /// Snapshot every database of the unit, once per attempt, and verify it
    SnapshotDb(snapshot_db::Args),
    /// Restore a snapshot into a new database, never over the old one
    RestoreDb(restore_db::Args),
    /// Run the migrations, once per attempt
    Migrate(migrate::Args),
    /// Bring the candidate up at no traffic and wait until it is healthy
    Deploy(deploy::Args),
    /// Run the smoke tests, against the candidate before it has traffic, against the public face after
    SmokeTest(smoke_test::Args),
    /// Move traffic and confirm it by reading it back
    ShiftTraffic(shift_traffic::Args),
    /// Watch the checks for the bake time and give a verdict
    VerifyMetrics(verify_metrics::Args),
    /// Put back exactly what was recorded when the release opened, and prove it
    Rollback(rollback::Args),
    /// The whole plan; run again, it goes on
    Rollout(rollout::Args),
    /// Close the release: retire the old side after its keep time, delete our expired snapshots
    Finish(finish::Args),
    /// Print what `rollout` would do
    Plan(plan::Args),
    /// Print where the release stands
    Status(status::Args),
    /// Show the verdicts of a release and what they rest on
    Report(report::Args),
    /// Write a first tidegate.yml
    Init(init::Args),
    /// Print the JSON schema of tidegate.yml, or of the result of `--output json`
    Schema(schema::Args),
    /// A miniature production on this machine: a good release goes out, a bad one is thrown out
    #[cfg(all(feature = "demo", unix))]
    Demo(demo::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Read the inputs of a GitHub action, and become the command they ask for
    #[command(hide = true)]
    Action {
        /// The command, where the action is one command's own
        command: Option<String>,
    },
    /// Print the reference of the commands as Markdown
    #[command(hide = true)]
    Reference {
        /// The folders of the action files instead
        #[arg(long)]
        actions: bool,
        /// The action file of this folder instead
        #[arg(long)]
        action: Option<String>,
        /// The adapters instead of the commands
        #[arg(long)]
        adapters: bool,
    },
}

/// Everything from the arguments to the exit code.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprint!("tidegate: a bug: {}", plain_lines(&panic.to_string()));
        eprintln!(
            "hint: the journal has all that was done; `tidegate status` tells where the release stands"
        );
        std::process::exit(1);
    }));
    if let Some(code) = platform::duties() {
        return code;
    }
    app::drop_empty_variables();
    app::veil_variables();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let json = std::env::args().any(|a| a == "--output=json")
                || std::env::args()
                    .zip(std::env::args().skip(1))
                    .any(|(a, b)| a == "--output" && b == "json");
            if json && code == 2 {
                return ExitCode::from(screen::refuse_in_json(&error.to_string()));
            }
            match error.use_stderr() {
                // it repeats what was given, which may come from anywhere
                true => eprint!("{}", plain_lines(&error.to_string())),
                false => drop(error.print()),
            }
            if code == 2 {
                screen::refuse_on_ci(&error.to_string(), &Cli::command());
            }
            return ExitCode::from(code);
        }
    };
    app::trace(cli.common.verbose);
    let common = &cli.common;
    let code = match &cli.command {
        Command::Completions(args) => completions::run(args, &mut Cli::command()),
        Command::Action { command } => {
            let failure = action::run(command.as_deref(), &Cli::command());
            screen::fail("action", common, &failure)
        }
        Command::Reference { actions: true, .. } => {
            action::folders().for_each(|folder| println!("{folder}"));
            0
        }
        Command::Reference { action: Some(folder), .. } => match action::file(folder, &Cli::command()) {
            Some(text) => {
                print!("{text}");
                0
            }
            None => 2,
        },
        Command::Reference { adapters: true, .. } => {
            print!("{}", reference::adapters());
            0
        }
        Command::Reference { .. } => {
            print!("{}", reference::render(&Cli::command()));
            0
        }
        Command::Schema(args) => schema::run(args),
        Command::Init(args) => init::run(args, common),
        #[cfg(all(feature = "demo", unix))]
        Command::Demo(args) => demo::run(args, common),
        Command::Preflight(args) => app::drive("preflight", common, args),
        Command::SnapshotDb(args) => app::drive("snapshot-db", common, args),
        Command::RestoreDb(args) => app::drive("restore-db", common, args),
        Command::Migrate(args) => app::drive("migrate", common, args),
        Command::Deploy(args) => app::drive("deploy", common, args),
        Command::SmokeTest(args) => app::drive("smoke-test", common, args),
        Command::ShiftTraffic(args) => app::drive("shift-traffic", common, args),
        Command::VerifyMetrics(args) => app::drive("verify-metrics", common, args),
        Command::Rollback(args) => app::drive("rollback", common, args),
        Command::Rollout(args) => app::drive("rollout", common, args),
        Command::Finish(args) => app::drive("finish", common, args),
        Command::Plan(args) => app::drive("plan", common, args),
        Command::Report(args) => app::drive("report", common, args),
        Command::Status(args) => app::drive("status", common, args),
    };
    ExitCode::from(code)
}
