//! From a parsed command to its exit code: config, connections, signals, report.

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use super::{Common, ci::Page, herald::Herald, identity, screen::Screen};
use crate::{
    config::{self, Config, DEPLOYMENT, Hearer, Parts},
    domain::history::History,
    engine::{
        Engine, Options, Timing, dry_run,
        outcome::{Done, Facts},
        stop::{self, Stop, Stopper},
        unit::Unit,
    },
    error::{Failure, Signal, Told},
    platform::{self, Asked, Signals},
    port::{
        Clock, Context, Journal, Progress,
        adapter::Environment,
        clock::SystemClock,
        secret::{TOKEN_GIVEN, TOKEN_OF_JOB},
        veil::{remember, remembered},
    },
    report::{
        plain::{Harmless, plain},
        summary::{self, Around},
    },
};

/// A subcommand that drives the engine.
pub(super) trait Verb {
    /// Adds its own flags to the request.
    fn options(&self, _options: &mut Options) {}

    /// Whether it acts on what was recorded when the release opened, under the config of that time.
    fn under_recorded_config(&self) -> bool {
        false
    }

    /// What it cannot do without; it goes on where the rest of the file lacks a variable or a secret.
    fn needs(&self) -> Parts {
        Parts::All
    }

    /// What is printed instead of a result, where the command prints a document.
    fn document(&self, _config: &Config) -> Option<String> {
        None
    }

    async fn run(&self, engine: &Engine<'_>) -> Result<Done, Failure>;
}

/// After a signal the process is out by then, whatever hangs.
const OUT_BY: Duration = Duration::from_millis(4800);

/// Log lines for `--verbose` and for `TIDEGATE_LOG`.
pub(super) fn trace(verbose: bool) {
    let filter = match std::env::var("TIDEGATE_LOG") {
        Ok(filter) => filter,
        Err(_) if verbose => "tidegate=debug".into(),
        Err(_) => return,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(|| Harmless(std::io::stderr()))
        .with_env_filter(filter)
        .compact();
    // A second subscriber is only ever refused in tests.
    let _ = subscriber.try_init();
}

/// Variables in which CI systems and clouds hand over secrets, whatever the file says.
const SECRET_VARIABLES: [&str; 8] = [
    "GITHUB_TOKEN",
    "GH_TOKEN",
    TOKEN_GIVEN,
    TOKEN_OF_JOB,
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// From here on none of them is shown.
pub(super) fn veil_variables() {
    let inputs = super::action::token_variables();
    let names = SECRET_VARIABLES.into_iter().map(str::to_string).chain(inputs);
    names.filter_map(|name| std::env::var(name).ok()).for_each(|value| remember(&value));
}

/// CI systems hand over unset inputs as empty variables: those count as absent. The process starts itself
/// again without them, in place, as a program cannot safely change its own environment.
pub(super) fn drop_empty_variables() {
    let empty = |(name, value): &(std::ffi::OsString, std::ffi::OsString)| {
        value.is_empty() && name.to_string_lossy().starts_with("TIDEGATE_")
    };
    let names: Vec<_> = std::env::vars_os().filter(empty).map(|(name, _)| name).collect();
    if names.is_empty() {
        return;
    }
    // It returns only if it failed; then the empty variable is refused by its own name.
    let _ = platform::start_again(|again| {
        again.args(std::env::args_os().skip(1));
        names.iter().for_each(|name| _ = again.env_remove(name));
    });
}

/// The process's environment.
pub(super) fn environment() -> Environment {
    Arc::new(|name| std::env::var(name).ok())
}

/// Runs one verb and prints its result.
pub(super) fn drive(command: &'static str, common: &Common, verb: &impl Verb) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tidegate: failed to start: {error}");
            return 1;
        }
    };
    let code = runtime.block_on(drive_async(command, common, verb));
    // What is still under way, a blocking read for one, does not hold the exit back.
    runtime.shutdown_background();
    code
}

async fn drive_async(command: &'static str, common: &Common, verb: &impl Verb) -> u8 {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let screen = Screen::new(common, clock.clone());
    let (stopper, stop) = stop::pair();
    listen(stopper);
    let (unit, hearers) = match prepare(common, verb, screen.progress.as_ref()).await {
        Err(failure) => return screen.finish(command, Err(&failure), Facts::default()),
        Ok(Prepared::Document(text)) => {
            return if std::io::stdout().write_all(text.as_bytes()).is_ok() { 0 } else { 1 };
        }
        Ok(Prepared::Unit(unit, hearers)) => (unit, hearers),
    };
    screen.ci.mask(&remembered());
    let place = (unit.name.clone(), unit.environment.clone());
    let around = identity::around();
    let herald = Herald::new(screen.progress.clone(), hearers, place, around.log.clone(), clock.clone());
    let progress = herald.as_ref().map_or(screen.progress.as_ref(), |herald| herald as &dyn Progress);
    let (ended, facts) =
        run_engine(common, verb, *unit, clock.clone(), (&screen, progress), stop.clone()).await;
    let attempt = facts.attempt.clone();
    let mut result = screen.result(command, ended.as_ref(), facts);
    let around = match screen.page(&result) {
        Page::Whole => Around {
            approvers: tokio::select! {
                names = identity::approvers(clock) => names,
                _ = stop.signal() => Vec::new(),
            },
            ..around
        },
        Page::Line | Page::None => around,
    };
    if let Some(herald) = herald {
        let told = herald.end(&result, attempt.as_ref(), &summary::render(&result, &around), &stop).await;
        result.heard(told.posted.get(DEPLOYMENT).map(|posted| posted.id.clone()), told.lines);
    }
    screen.show(result, ended.err().as_ref(), &around)
}

async fn run_engine(
    common: &Common,
    verb: &impl Verb,
    unit: Unit,
    clock: Arc<dyn Clock>,
    (screen, progress): (&Screen, &dyn Progress),
    stop: Stop,
) -> (Result<Done, Failure>, Facts) {
    let unit = if common.dry_run { dry_run::dry(unit, screen.progress.clone()) } else { unit };
    let mut options = Options {
        release: common.release.clone(),
        services: common.service.clone(),
        dry_run: common.dry_run,
        time_limit: common.time_limit(),
        ..Options::default()
    };
    verb.options(&mut options);
    if let Some(unknown) = options.services.iter().find(|name| unit.service(name).is_none()) {
        let known: Vec<&str> = unit.services.iter().map(|s| s.name.as_str()).collect();
        let failure = Failure::usage(format!("there is no service `{unknown}`; known: {}", known.join(", ")));
        return (Err(failure), Facts::default());
    }
    let holder = match identity::holder() {
        Ok(holder) => holder,
        Err(failure) => return (Err(failure), Facts::default()),
    };
    let engine = Engine::new(&unit, clock.clone(), holder, progress, stop.clone(), options, timing());
    let ended = tokio::select! {
        biased;
        ended = verb.run(&engine) => ended,
        signal = out_by(&stop) => Err(Failure::Interrupted {
            signal,
            told: if engine.may_land().is_zero() { Told::new(
                "a call did not answer in time; no write to a provider is without an answer",
                "run the same command again: it goes on",
            ) } else { Told::new(
                "a call did not answer in time; the journal has the intent, and whether it was carried out is not known",
                "run the same command again: it finds out; or `tidegate rollback`",
            ) },
        }),
    };
    let facts = engine.facts().clone();
    (ended, facts)
}

async fn out_by(stop: &Stop) -> Signal {
    let signal = stop.signal().await;
    tokio::time::sleep(OUT_BY).await;
    signal
}

/// Limits that tests and slow networks may change; seconds.
fn timing() -> Timing {
    let usual = Timing::default();
    let said = |name: &str| {
        let value = std::env::var(name).ok().and_then(|v| v.parse::<f64>().ok());
        value.and_then(|v| Duration::try_from_secs_f64(v).ok())
    };
    let [call, settle, healthy] =
        ["TIDEGATE_CALL_SECONDS", "TIDEGATE_SETTLE_SECONDS", "TIDEGATE_HEALTHY_SECONDS"].map(said);
    Timing {
        said: call.or(settle).or(healthy).is_some(),
        call: call.unwrap_or(usual.call),
        settle: settle.unwrap_or(usual.settle),
        healthy: healthy.unwrap_or(usual.healthy),
        error_after: said("TIDEGATE_ERROR_AFTER_SECONDS").unwrap_or(usual.error_after),
        ..usual
    }
}

enum Prepared {
    /// What is to be released, and who hears of it.
    Unit(Box<Unit>, Vec<Hearer>),
    Document(String),
}

async fn prepare(common: &Common, verb: &impl Verb, progress: &dyn Progress) -> Result<Prepared, Failure> {
    let config = match config::load(&common.config, &common.environment, environment()) {
        // A file that was broken since must not keep a release from going back.
        Err(failure @ Failure::Config { .. }) if verb.under_recorded_config() => {
            let journal = config::journal_of(&common.config, &common.environment, environment());
            let Some(journal) = journal else { return Err(failure) };
            let unit = recorded_unit(&common.config, journal, "", verb, progress).await.ok_or(failure)?;
            return Ok(Prepared::Unit(Box::new(unit), Vec::new()));
        }
        loaded => loaded?,
    };
    if let Some(text) = verb.document(&config) {
        return Ok(Prepared::Document(text));
    }
    if verb.under_recorded_config()
        && let Ok(journal) = config.connect_journal()
        && let Some(unit) = recorded_unit(&config.file, journal, &config.digest, verb, progress).await
    {
        return Ok(Prepared::Unit(Box::new(unit), hearers(common, &config)));
    }
    let unit = connect(&config, verb, progress)?;
    Ok(Prepared::Unit(Box::new(unit), hearers(common, &config)))
}

/// Those who hear of it; a run that only looks has no news.
fn hearers(common: &Common, config: &Config) -> Vec<Hearer> {
    if common.dry_run {
        return Vec::new();
    }
    let (hearers, told) = config.connect_notifiers(common.deployment.by());
    for line in told {
        eprintln!("this one hears nothing of the release: {}", plain(&line));
    }
    hearers
}

/// The unit, as far as the verb needs it. A rollback tells what it does without: a hook or a smoke test of
/// its own may be among it.
fn connect(config: &Config, verb: &impl Verb, progress: &dyn Progress) -> Result<Unit, Failure> {
    let (unit, lacking) = config.connect_parts(verb.needs())?;
    if verb.under_recorded_config() {
        for lack in lacking {
            let place = lack.position.map(|p| format!(":{}:{}", p.line, p.column)).unwrap_or_default();
            progress.line(&format!("going on without: {}{place}: {}", config.file.display(), lack.message));
        }
    }
    Ok(unit)
}

/// The unit as it was configured when the open release was opened; `None` where that cannot be had, or is
/// what the file says now (`digest`).
async fn recorded_unit(
    file: &Path,
    journal: Box<dyn Journal>,
    digest: &str,
    verb: &impl Verb,
    progress: &dyn Progress,
) -> Option<Unit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let cx = Context::new(clock, Timing::default().call);
    let head = cx.bounded(journal.head(&cx)).await.ok()?.ok()??;
    let records = cx.bounded(journal.load(&cx, head.opened.max(1))).await.ok()?.ok()?;
    let history = History::replay(&records).ok()?;
    let opened = &history.open()?.opened;
    if opened.config_digest == digest {
        return None;
    }
    let recorded = Config::from_text(file, opened.config.clone(), &opened.environment, environment());
    let unit = recorded.and_then(|config| connect(&config, verb, progress)).ok()?;
    Some(Unit { journal, ..unit })
}

/// Hears who asks it to end; as process 1 of a container nobody else would.
pub(super) fn listen(stopper: Stopper) {
    let Ok(mut signals) = Signals::listen() else { return };
    tokio::spawn(async move {
        loop {
            stopper.stop(match signals.next().await {
                Asked::Interrupt => Signal::Interrupt,
                Asked::Terminate => Signal::Terminate,
            });
        }
    });
}
