//! `init`: a first tidegate.yml from flags, from what the folder shows, and from a few questions.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::Path,
};

use super::{Common, app, screen};
use crate::{
    config::{
        Config,
        init::{Answers, ServiceAnswer, detect, render},
    },
    domain::names::EnvironmentName,
    engine::outcome::Done,
    error::Failure,
    platform,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// What the file releases
    #[arg(long)]
    name: Option<String>,
    /// Where HAProxy's runtime API listens: a path or host:port
    #[arg(long, value_name = "ADDRESS")]
    socket: Option<String>,
    /// A service, as NAME=BACKEND or a name that is both; may be given several times
    #[arg(long = "serves", value_name = "NAME[=BACKEND]")]
    serves: Vec<String>,
    /// The two servers that are the sides
    #[arg(long, value_name = "ONE,OTHER", value_delimiter = ',')]
    sides: Option<Vec<String>>,
    /// A path that answers 200 when an instance is well
    #[arg(long, value_name = "PATH")]
    health: Option<String>,
    /// The environment variable that holds the PostgreSQL URL of a database to snapshot
    #[arg(long, value_name = "VARIABLE")]
    database_url: Option<String>,
    /// The command that migrates
    #[arg(long, value_name = "COMMAND")]
    migrate: Option<String>,
    /// The command that takes a migration back
    #[arg(long, value_name = "COMMAND", requires = "migrate")]
    undo: Option<String>,
    /// Stages such as `10% for 15m`; may be given several times
    #[arg(long = "stage", value_name = "STAGE")]
    stages: Vec<String>,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> u8 {
    match write(args, common) {
        Ok(done) => screen::done("init", common, &done),
        Err(failure) => screen::fail("init", common, &failure),
    }
}

fn write(args: &Args, common: &Common) -> Result<Done, Failure> {
    if args.sides.as_ref().is_some_and(|sides| sides.len() != 2) {
        return Err(Failure::usage("`--sides` takes two names: `--sides blue,green`"));
    }
    let file = &common.config;
    let shown = file.display();
    if file.exists() {
        return Err(Failure::usage(format!(
            "{shown} exists and is left as it is; `--config` names another file"
        )));
    }
    let folder = file.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let mut answers = detect(folder);
    args.fill(&mut answers);
    if !args.yes && std::io::stdin().is_terminal() {
        args.ask(&mut answers).map_err(|e| Failure::usage(format!("failed to ask: {e}")))?;
    }
    let text = render(&answers);
    // What is written must load: an answer that is no name is refused here, and nothing is written.
    let production = EnvironmentName::new("production").map_err(|e| Failure::Bug(e.to_string()))?;
    Config::from_text(file, text.clone(), &production, app::environment())?;
    if common.dry_run {
        let _ = write!(std::io::stdout(), "{text}");
        return Ok(Done::new(format!("would write {shown}")));
    }
    let mut out = std::fs::File::create_new(file)
        .map_err(|e| Failure::usage(format!("failed to write {shown}: {e}")))?;
    platform::adopt(&out, file);
    out.write_all(text.as_bytes()).map_err(|e| Failure::usage(format!("failed to write {shown}: {e}")))?;
    Ok(Done::new(format!("wrote {shown}")).next("look at it, then `tidegate plan` and `tidegate preflight`"))
}

impl Args {
    /// Flags beat what the folder shows.
    fn fill(&self, answers: &mut Answers) {
        if let Some(name) = &self.name {
            answers.name.clone_from(name);
        }
        if let Some(socket) = &self.socket {
            answers.socket.clone_from(socket);
        }
        if !self.serves.is_empty() {
            answers.services = self.serves.iter().map(|text| service(text)).collect();
        }
        for service in &mut answers.services {
            if let Some([one, other]) = self.sides.as_deref() {
                service.sides = [one.clone(), other.clone()];
            }
            if self.health.is_some() {
                service.health.clone_from(&self.health);
            }
        }
        if self.database_url.is_some() {
            answers.database.clone_from(&self.database_url);
        }
        if let Some(migrate) = &self.migrate {
            answers.migrate = Some((migrate.clone(), self.undo.clone()));
        }
        if !self.stages.is_empty() {
            answers.stages.clone_from(&self.stages);
        }
    }

    /// Asks for what no flag said; an empty line takes what is in brackets.
    fn ask(&self, answers: &mut Answers) -> std::io::Result<()> {
        if self.name.is_none() {
            answers.name = question("What does this file release?", &answers.name)?;
        }
        if self.socket.is_none() {
            answers.socket =
                question("Where does HAProxy's runtime API listen (path or host:port)?", &answers.socket)?;
        }
        if self.serves.is_empty() {
            let known: Vec<&str> = answers.services.iter().map(|s| s.backend.as_str()).collect();
            let backends = question("Which backends, with commas between them?", &known.join(","))?;
            let before = std::mem::take(&mut answers.services);
            for backend in backends.split(',').map(str::trim).filter(|b| !b.is_empty()) {
                let found = before.iter().find(|s| s.backend == backend).cloned();
                answers.services.push(found.unwrap_or_else(|| service(backend)));
            }
        }
        if self.sides.is_none() {
            for service in &mut answers.services {
                let asked = format!("The two servers of {} that are its sides?", service.backend);
                let sides = question(&asked, &service.sides.join(","))?;
                if let Some((one, other)) = sides.split_once(',') {
                    service.sides = [one.trim().into(), other.trim().into()];
                }
            }
        }
        if self.health.is_none() {
            let health =
                question("A path that answers 200 when an instance is well (- for none)?", "/health")?;
            let health = (health != "-").then_some(health);
            answers.services.iter_mut().for_each(|s| s.health.clone_from(&health));
        }
        if self.database_url.is_none() {
            let variable =
                question("The variable that holds a PostgreSQL URL to snapshot (- for none)?", "-")?;
            answers.database = (variable != "-").then_some(variable);
        }
        if self.migrate.is_none() {
            let known = answers.migrate.as_ref().map_or("-", |(up, _)| up.as_str()).to_string();
            let up = question("The command that migrates (- for none)?", &known)?;
            if up == "-" {
                answers.migrate = None;
            } else if answers.migrate.as_ref().is_none_or(|(old, _)| *old != up) {
                answers.migrate = Some((up, None));
            }
        }
        Ok(())
    }
}

fn service(text: &str) -> ServiceAnswer {
    let (name, backend) = text.split_once('=').unwrap_or((text, text));
    ServiceAnswer {
        name: name.to_string(),
        backend: backend.to_string(),
        sides: ["blue".into(), "green".into()],
        health: None,
    }
}

fn question(text: &str, default: &str) -> std::io::Result<String> {
    let mut out = std::io::stdout();
    write!(out, "{text} [{default}] ")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim();
    Ok(if answer.is_empty() { default.to_string() } else { answer.to_string() })
}
